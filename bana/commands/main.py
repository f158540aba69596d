"""The command `bana`: thin fronts of the package's functions.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
import atexit
import importlib
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

from bana.commands.bench import add_bench_command
from bana.commands.course import add_course_commands
from bana.commands.data import add_data_commands, count
from bana.commands.evaluate import add_evaluation_commands
from bana.commands.gallery import add_gallery_commands
from bana.commands.masks import add_masks_command
from bana.commands.train import (
    add_changes,
    add_train_command,
    chosen_profile,
    tell_of_unused_folder,
)

SPLITS = ("train", "val")
VARIANTS = ("bap", "bap-no-u0", "gap", "boxes", "boxes-crf", "grabcut")
LOSSES = ("nal", "nal-detached", "nal-per-class", "crf", "ret", "ignore", "entropy", "bootstrap")
LOSSES += ("generalised", "symmetric", "truth")
EPILOGUE = """\
profiles: sample (drawn, no download, minutes on two cores), voc-mini (photographs, light
backbone, two cores), paper-vgg and paper-resnet (the paper's settings, a GPU), smoke (tests).
What a command makes lies in runs/<profile>/ and is made once: a later command finds it there.
An interrupted training goes on from its last checkpoint when the same command is given again.
Exit codes: 0 all went well, 1 something is left to do, 2 wrong input or too small a machine (told
in one line), 143 and 130 a training was asked to stop (SIGTERM, Ctrl-C) and has saved its state.
"""


def _run(arguments: argparse.Namespace) -> int:
    from bana.course.runner import default_beside, make_course, run_course
    from bana.experiment.profiles import get_profile

    course = make_course(arguments.profile, arguments.data)
    tell_of_unused_folder(get_profile(arguments.profile))
    beside = default_beside() if arguments.beside is None else arguments.beside
    return run_course(course, arguments.only, arguments.force, beside)


def _publish(arguments: argparse.Namespace) -> int:
    from bana.course.gallery.page import publish_gallery
    from bana.course.runner import make_course, publish_course

    changed = [*publish_course(make_course("sample")), *publish_gallery("sample")]
    print("\n".join(changed) if changed else "nothing changed")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from bana.course.environment import check_environment, report

    answers = check_environment()
    print(report(answers))
    return 1 if any(answer.remedy for answer in answers) else 0


def _label(arguments: argparse.Namespace) -> int:
    from bana.experiment import stages
    from bana.experiment.label_folders import manifest_path
    from bana.experiment.labelling import Crew
    from bana.files.artefacts import read_json

    profile = chosen_profile(arguments)
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
    if not (part.isdigit() and parts.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, such as 1/4")
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
            help="photographs in VOC layout, for a profile that draws none (default: "
            "BANA_VOC_ROOT)",
        )
        return made

    run = with_profile(command("run", _run, "execute the notebooks that are stale, in order"))
    run.add_argument("--only", metavar="NN", help="this notebook alone, such as 03")
    run.add_argument("--force", action="store_true", help="execute what is up to date too")
    run.add_argument(
        "--beside",
        metavar="N",
        type=int,
        help="notebooks executed at a time (default: 2 where there are two cores and Linux)",
    )

    command(
        "publish",
        _publish,
        "write the sample run's outputs into the notebooks, its figures into figures/",
    )
    command("check", _check, "say whether the environment has what a run needs")

    add_course_commands(command)

    add_masks_command(commands)
    add_data_commands(commands)

    add_train_command(command, with_profile, LOSSES)

    _add_label_command(command, with_profile)
    add_evaluation_commands(command, with_profile, LOSSES, VARIANTS)
    add_bench_command(command, with_profile, LOSSES)
    add_gallery_commands(command, with_profile)
    return parser


def _add_label_command(
    command: Callable[..., argparse.ArgumentParser],
    with_profile: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
) -> None:
    """Add `bana label`; arguments as of `bana.commands.train.add_train_command`."""
    label = add_changes(with_profile(command("label", _label, "make the pseudo labels of a split")))
    label.add_argument("--split", choices=SPLITS, default="train", help="(default: train)")
    label.add_argument(
        "--variant", choices=VARIANTS, default="bap", help="how they are made (default: bap)"
    )
    label.add_argument(
        "--workers", type=count, metavar="N", help="processes (default: what the profile says)"
    )
    label.add_argument(
        "--devices",
        default="cpu",
        metavar="LIST",
        help="dealt out to the processes, such as cuda:0,cuda:1 (default: cpu)",
    )
    label.add_argument(
        "--batch",
        type=count,
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


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words of the command line; None takes the process's own.

    Returns:
        0 when all went well, 1 when a notebook failed or the check found something to do, 2 for
        wrong input, which is told in one line, 143 or 130 when a training was asked to stop.
    """
    parsed = _parser().parse_args(arguments)
    importlib.import_module("multiprocessing.util")  # whose own farewell must come after ours
    atexit.register(_end_workers)
    try:
        return parsed.action(parsed)
    except Exception as error:
        code = _exit_code(error)
        if parsed.debug or code is None:
            raise
        print(f"bana: {error}", file=sys.stderr)
        return code


def _exit_code(error: Exception) -> int | None:
    """What a command ends with after an error that one line tells; None after a fault of ours.

    `bana.training.runs.Interrupted` brings its code; to import it here would be to import torch.
    """
    if isinstance(error, ValueError | OSError | FloatingPointError):
        return 2
    return getattr(error, "exit_code", None)


def _end_workers() -> None:
    """End the workers of loaders that an error has left behind.

    They leave SIGTERM to this process, see
    `bana.training.engine.leave_signals_to_the_main_process`, and Python would send them no other
    signal before it waits for them.
    """
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
