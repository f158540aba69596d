"""Where the record of a command goes, and what it says of its origin.

A record belongs to the run that it was measured in and lies there. README, notebooks and tables are
written from those in `results/` of the clone, where a command puts one only if it is asked to.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from bana.files.paths import results_dir, run_dir


def add_record(made: argparse.ArgumentParser, file: str) -> argparse.ArgumentParser:
    """Add --out and --record, of which a command takes one.

    Args:
        made: the command.
        file: name of the record, for the help.
    """
    where = made.add_mutually_exclusive_group()
    where.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=f"the record (default: {file} in records/ of the run's folder)",
    )
    where.add_argument(
        "--record",
        action="store_true",
        help="the record goes into results/, where README and tables find it",
    )
    return made


def record_path(arguments: argparse.Namespace, profile_name: str, file: str) -> Path:
    """Where the record of a command goes.

    Args:
        arguments: of a command that has those of `add_record`.
        profile_name: of the run.
        file: name of the record.

    Raises:
        ValueError: as `published_path`.
    """
    if arguments.out:
        return arguments.out
    return published_path(file) if arguments.record else run_dir(profile_name) / "records" / file


def published_path(file: str) -> Path:
    """Where a record of that name lies in `results/`.

    Raises:
        ValueError: if the code has changes that no commit holds: nobody could run it again.
    """
    from bana.files.artefacts import source_commit

    if source_commit().endswith("-dirty"):
        raise ValueError("--record: the code has changes without a commit: commit them, or --out")
    return results_dir() / file


def write_record(path: Path, command: str, measured: dict[str, Any], goes_on: bool = False) -> None:
    """Write what was measured, with the command, the commit and the machine, and say where.

    Args:
        path: of the record.
        command: that measured it.
        measured: what it holds.
        goes_on: it holds what the record held before, so that nothing is lost.

    Raises:
        ValueError: if a number in it is NaN or infinite.
    """
    from bana.evaluation.prediction import fastest_device
    from bana.files.artefacts import read_json, source_commit, write_json
    from bana.training.runs import environment

    before = read_json(path).get("command", command)
    if before != command and not goes_on:
        print(f"bana: note: {path} was the record of `{before}`, and is replaced", file=sys.stderr)
    origin = {"command": command, "commit": source_commit()}
    write_json(path, origin | {"environment": environment(fastest_device())} | measured)
    print(f"record: {path}")
