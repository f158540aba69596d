"""The command `bana`: thin fronts of the package's functions.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bana.data_cli import add_data_commands
from bana.evaluation_cli import add_evaluation_commands
from bana.paths import run_dir

SPLITS = ("train", "val")
POOLINGS = ("bap", "gap")
VARIANTS = ("bap", "bap-no-u0", "gap", "boxes", "grabcut")
LOSSES = ("nal", "crf", "ret", "ignore", "entropy", "bootstrap")
EPILOGUE = """\
profiles: sample (drawn, no download, minutes on two cores), voc-mini (photographs, light
backbone, two cores), paper-vgg and paper-resnet (the paper's settings, a GPU), smoke (tests).
What a command makes lies in runs/<profile>/ and is made once: a later command finds it there.
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


def _train(arguments: argparse.Namespace) -> int:
    from bana import stages
    from bana.profiles import get_profile

    profile = get_profile(arguments.profile)
    if arguments.model == "classifier":
        stages.classifier(profile, arguments.pooling, arguments.data)
    else:
        stages.segmenter(profile, arguments.loss, arguments.data)
    print(run_dir(profile.name))
    return 0


def _label(arguments: argparse.Namespace) -> int:
    from bana import stages
    from bana.artefacts import read_json
    from bana.labelling import Crew, manifest_path
    from bana.profiles import get_profile

    profile = get_profile(arguments.profile)
    crew = Crew(
        arguments.workers or profile.label_workers,
        tuple(arguments.devices.split(",")),
        arguments.batch,
    )
    folder = stages.labels(
        profile, arguments.split, arguments.variant, arguments.data, crew, arguments.shard
    )
    print(folder)
    failures = read_json(manifest_path(folder, arguments.shard))["failures"]
    for reason in failures.values():
        print(f"bana: {reason}", file=sys.stderr)
    return 1 if failures else 0


def _shard(text: str) -> tuple[int, int]:
    """K/N as two numbers."""
    part, _, parts = text.partition("/")
    return int(part), int(parts)


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

    add_data_commands(commands)

    train = command("train", _train, "train a network, unless it is trained already")
    models = train.add_subparsers(dest="model", metavar="MODEL", required=True)
    classifier = with_profile(models.add_parser("classifier", help="stage 1, learns from boxes"))
    classifier.add_argument(
        "--pooling", choices=POOLINGS, default="bap", help="within a box (default: bap)"
    )
    segmentation = with_profile(
        models.add_parser("segmentation", help="stage 3, learns from pseudo labels")
    )
    segmentation.add_argument("--loss", choices=LOSSES, default="nal", help="(default: nal)")

    label = with_profile(command("label", _label, "make the pseudo labels of a split"))
    label.add_argument("--split", choices=SPLITS, default="train", help="(default: train)")
    label.add_argument(
        "--variant", choices=VARIANTS, default="bap", help="how they are made (default: bap)"
    )
    label.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: what the profile says)"
    )
    label.add_argument(
        "--devices",
        default="cpu",
        metavar="LIST",
        help="dealt out to the processes, such as cuda:0,cuda:1 (default: cpu)",
    )
    label.add_argument(
        "--batch",
        type=int,
        default=1,
        metavar="N",
        help="images of one size in a process at once (default: 1; on a GPU try 8)",
    )
    label.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="K/N",
        help="only the K-th of N parts, for N machines that share the folder of runs",
    )

    add_evaluation_commands(command, with_profile, LOSSES, VARIANTS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words of the command line; None takes the process's own.

    Returns:
        0 when all went well, 1 when a notebook failed or the check found something to do, 2 for
        wrong input, which is told in one line.
    """
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.action(parsed)
    except (ValueError, OSError) as error:
        if parsed.debug:
            raise
        print(f"bana: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
