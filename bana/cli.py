"""The command `bana`: thin fronts of the package's functions.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bana.paths import results_dir
from bana.training_cli import add_changes, add_train_command, chosen_profile

SPLITS = ("train", "val")
VARIANTS = ("bap", "bap-no-u0", "gap", "boxes", "grabcut")
LOSSES = ("nal", "crf", "ret", "ignore", "entropy", "bootstrap")
EPILOGUE = """\
profiles: sample (drawn, no download, minutes on two cores), voc-mini (photographs, light
backbone, two cores), paper-vgg and paper-resnet (the paper's settings, a GPU), smoke (tests).
What a command makes lies in runs/<profile>/ and is made once: a later command finds it there.
An interrupted training goes on from its last checkpoint when the same command is given again.
Exit codes: 0 all went well, 1 something is left to do, 2 wrong input or too small a machine (told
in one line), 143 and 130 a training was asked to stop (SIGTERM, Ctrl-C) and has saved its state.
"""


def _run(arguments: argparse.Namespace) -> int:
    from bana.runner import make_course, run_course

    course = make_course(arguments.profile, arguments.data)
    return run_course(course, arguments.only, arguments.force)


def _publish(arguments: argparse.Namespace) -> int:
    from bana.runner import make_course, publish_course

    changed = publish_course(make_course("sample"))
    print("\n".join(changed) if changed else "nothing changed")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from bana.check import check_environment, report

    answers = check_environment()
    print(report(answers))
    return 1 if any(answer.remedy for answer in answers) else 0


def _data(arguments: argparse.Namespace) -> int:
    from bana import stages
    from bana.profiles import get_profile
    from bana.sample import make_sample

    profile = replace(get_profile("sample"), seed=arguments.seed)
    if arguments.out is None:
        print(stages.data_root(profile))
    else:
        print(make_sample(arguments.out, seed=arguments.seed))
    return 0


def _label(arguments: argparse.Namespace) -> int:
    from bana import stages

    profile = chosen_profile(arguments)
    print(stages.labels(profile, arguments.split, arguments.variant, arguments.data))
    return 0


def _table(record: Mapping[str, Any]) -> str:
    """The scores of a record as two tables, in percent."""
    images = record["data"]["images"]["val"]
    lines = [f"labels of {images} val images", f"  {'':<20}{'mIoU %':>12}{'coverage %':>12}"]
    for row, scores in record["labels_val"].items():
        lines.append(f"  {row:<20}{scores['miou']:12.1f}{scores['coverage']:12.1f}")
    networks = record["segmentation_val"]
    modes = list(next(iter(networks.values()), {}))
    lines += [f"networks on {images} val images, mIoU % by test mode"]
    lines += [f"  {'trained on':<20}" + "".join(f"{mode:>12}" for mode in modes)]
    for loss, scores in networks.items():
        cells = "".join(f"{scores[mode]['miou']:12.1f}" for mode in modes)
        lines.append(f"  {loss:<20}{cells}")
    return "\n".join(lines)


def _environment() -> dict[str, str | int | None]:
    """What a record was measured with."""
    import platform
    from importlib.metadata import version

    packages = ("torch", "torchvision", "timm", "opencv-python-headless", "numpy")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "cores": os.cpu_count(),
    }


def _evaluate(arguments: argparse.Namespace) -> int:
    from bana import stages
    from bana.figures import source_commit

    profile = chosen_profile(arguments)
    record = {
        "command": f"bana evaluate --profile {profile.name}",
        "commit": source_commit(),
        "environment": _environment(),
        **stages.record(profile, arguments.data),
    }
    print(_table(record))
    out = arguments.out or results_dir() / f"{profile.name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    # A class that occurs nowhere has no score: nan, which JSON does not know, becomes null.
    record = json.loads(json.dumps(record), parse_constant=lambda _: None)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    out.write_text(text, encoding="utf-8", newline="\n")
    print(f"record: {out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bana",
        description="Segmentation networks from bounding boxes: run the course, or its parts.",
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(
        name: str, action: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.set_defaults(action=action)
        return made

    def with_profile(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("--profile", default="sample", help="settings to use (default: sample)")
        made.add_argument(
            "--data",
            type=Path,
            metavar="FOLDER",
            help="photographs in VOC layout (default: BANA_VOC_ROOT)",
        )
        return made

    run = with_profile(command("run", _run, "execute the notebooks that are stale, in order"))
    run.add_argument("--only", metavar="NN", help="this notebook alone, such as 03")
    run.add_argument("--force", action="store_true", help="execute what is up to date too")

    command("publish", _publish, "write the sample run's outputs into the committed notebooks")
    command("check", _check, "say whether the environment has what a run needs")

    data = command("data", _data, "draw the sample data set")
    data.add_argument("name", choices=("sample",), help="the data set to make")
    data.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to (default: where runs look)"
    )
    data.add_argument("--seed", type=int, default=0, help="other scenes (default: 0)")

    add_train_command(command, with_profile, LOSSES)

    label = add_changes(with_profile(command("label", _label, "make the pseudo labels of a split")))
    label.add_argument("--split", choices=SPLITS, default="train", help="(default: train)")
    label.add_argument(
        "--variant", choices=VARIANTS, default="bap", help="how they are made (default: bap)"
    )

    evaluate = with_profile(
        command("evaluate", _evaluate, "score labels and networks, and record the scores")
    )
    add_changes(evaluate).add_argument(
        "--out", type=Path, metavar="FILE", help="the record (default: results/<profile>.json)"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words of the command line; None takes the process's own.

    Returns:
        0 when all went well, 1 when a notebook failed or the check found something to do, 2 for
        wrong input, which is told in one line, 143 or 130 when a training was asked to stop.
    """
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.action(parsed)
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        if parsed.debug:
            raise
        print(f"bana: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
