"""The command `bana`: thin fronts of the package's functions.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from bana.commands.bench import add_bench_command
from bana.commands.course import add_course_commands
from bana.commands.data import add_data_commands
from bana.commands.evaluate import add_evaluation_commands
from bana.commands.gallery import add_gallery_commands
from bana.commands.label import add_label_command
from bana.commands.masks import add_masks_command
from bana.commands.running import print_anything, run
from bana.commands.train import add_train_command, tell_of_unused_folder

VARIANTS = ("bap", "bap-no-u0", "gap", "boxes", "boxes-crf", "boxes-middle")
VARIANTS += ("grabcut",)
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

    course = with_profile(command("run", _run, "execute the notebooks that are stale, in order"))
    course.add_argument("--only", metavar="NN", help="this notebook alone, such as 03")
    course.add_argument("--force", action="store_true", help="execute what is up to date too")
    course.add_argument(
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

    add_label_command(command, with_profile, VARIANTS)
    add_evaluation_commands(command, with_profile, LOSSES, VARIANTS)
    add_bench_command(command, with_profile, LOSSES)
    add_gallery_commands(command, with_profile)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words of the command line; None takes the process's own.

    Returns:
        0 when all went well, 1 when a notebook failed or the check found something to do, 2 for
        wrong input, which is told in one line, 143 or 130 when a training was asked to stop.
    """
    print_anything()
    return run(_parser().parse_args(arguments))
