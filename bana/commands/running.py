"""One command from its words to its exit code: errors of one line, and no process left behind."""

import argparse
import atexit
import importlib
import multiprocessing
import sys

OF_THE_COURSE = (
    "doit",
    "ipykernel",
    "jupyterlab",
    "matplotlib",
    "nbconvert",
    "nbformat",
    "nbstripout",
    "papermill",
)
"""Packages of the extra `course`, which the rest of the package does without."""


def run(arguments: argparse.Namespace) -> int:
    """Run a command that has been read.

    Args:
        arguments: with its "action" and "debug".

    Returns:
        Its exit code, see `bana.commands.main.main`.
    """
    importlib.import_module("multiprocessing.util")  # whose own farewell must come after ours
    atexit.register(_end_workers)
    try:
        return arguments.action(arguments)
    except Exception as error:
        code = _exit_code(error)
        if arguments.debug or code is None:
            raise
        print(f"bana: {_line(error)}", file=sys.stderr)
        return code


def _exit_code(error: Exception) -> int | None:
    """What a command ends with after an error that one line tells; None after a fault of ours.

    `bana.training.runs.Interrupted` brings its code; to import it here would be to import torch.
    """
    if isinstance(error, ValueError | OSError | FloatingPointError) or _of_the_course(error):
        return 2
    return getattr(error, "exit_code", None)


def _of_the_course(error: Exception) -> bool:
    """Whether a package is missing that the course alone needs."""
    return isinstance(error, ModuleNotFoundError) and (
        (error.name or "").partition(".")[0] in OF_THE_COURSE
    )


def _line(error: Exception) -> str:
    """What is told of an error."""
    if _of_the_course(error):
        return "this is of the course, whose packages are missing: pip install -e '.[course]'"
    return str(error)


def print_anything() -> None:
    """Write as \\u2212 what the encoding of the output lacks, as of a file on Windows (cp1252)."""
    for stream in (sys.stdout, sys.stderr):
        # A notebook's, a test's, or none at all.
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _end_workers() -> None:
    """End the workers of loaders that an error has left behind.

    They leave SIGTERM to this process, see `bana.training.engine.begin_worker`, and Python would
    send them no other signal before it waits for them.
    """
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()
