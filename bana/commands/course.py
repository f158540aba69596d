"""The command `bana course`: what is handed out, taught from, shown and touched."""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

EDITIONS = ("student", "instructor", "slides")
PAGES = ("box", "noise")


def add_course_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `bana course build` and `bana course playground`.

    Args:
        command: makes a command of its name, action and help.
    """
    course = command("course", _run, "make what a class needs: editions, slides, a page to touch")
    actions = course.add_subparsers(dest="what", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="students' notebooks, instructors', and slides")
    build.add_argument(
        "--out", type=Path, default=Path("build"), metavar="FOLDER", help="(default: build)"
    )
    build.add_argument("--edition", choices=EDITIONS, help="this one alone (default: all)")
    build.add_argument(
        "--bank",
        type=_bank,
        metavar="SEED",
        help="ask exercises' questions with other numbers, a set for each seed (default: 0, "
        "the numbers of the notebooks)",
    )
    build.set_defaults(course_function=_build)
    page = actions.add_parser("playground", help="one page to touch, without kernel or network")
    page.add_argument(
        "--about",
        choices=PAGES,
        default="box",
        help="drag a box (notebook 02), or turn label noise up (06); (default: box)",
    )
    page.add_argument(
        "--out",
        type=Path,
        default=Path("playground.html"),
        metavar="FILE",
        help="(default: playground.html)",
    )
    page.set_defaults(course_function=_playground)


def _run(arguments: argparse.Namespace) -> int:
    return arguments.course_function(arguments)


def _playground(arguments: argparse.Namespace) -> int:
    from bana.course.widget import write_noise_page, write_playground

    write = write_playground if arguments.about == "box" else write_noise_page
    print(write(arguments.out))
    return 0


def _bank(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: give a seed, such as 7")
    return int(text)


def _build(arguments: argparse.Namespace) -> int:
    from bana.course.editions import build_instructors, build_students
    from bana.course.slides import build_slides

    if arguments.edition == "slides" and arguments.bank is not None:
        raise ValueError(f"--bank {arguments.bank}: slides ask no exercises: leave it out")
    bank = arguments.bank or 0
    students = partial(build_students, bank=bank)
    instructors = partial(build_instructors, bank=bank)
    builders = (students, instructors, build_slides)
    for edition, build in zip(EDITIONS, builders, strict=True):
        if arguments.edition in (None, edition):
            start, folder = time.monotonic(), arguments.out / edition
            files = build(folder)
            print(f"{edition}: {len(files)} files, {time.monotonic() - start:.0f} s: {folder}")
    return 0
