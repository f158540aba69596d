"""Files that are being written: what they are called, what is left of them, and why they fail.

A file is written beside its place and moved there, so that it appears whole or not at all. What a
killed process leaves has a name that no command reads, with the process's number in it.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_NAME = re.compile(r"\..*\.(\d{1,9})\.tmp")
# Windows: access is denied, or another process uses the file. Who looks at every new file, such as
# a virus scanner, is done in a moment.
_IN_USE = (5, 32)
_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8)
# Characters of a path that Windows takes unless it was told to take longer ones.
LONGEST = 259


class NotWritten(OSError):
    """A file cannot be written; the message names it, why, and what to do.

    Attributes:
        reason: why, in the words of the system.
        number: the system's number of it, 0 where there is none.
    """

    reason = ""
    number = 0


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the system inside the block into `NotWritten` of that path."""
    try:
        yield
    except NotWritten:
        raise
    except OSError as error:
        reason = error.strerror or (str(error).splitlines() or [type(error).__name__])[0]
        number = error.errno or 0
        if _is_too_long(path, error):
            reason = f"its name has {len(str(path))} characters, see docs/setup.md"
            number = errno.ENAMETOOLONG
        told = NotWritten(
            f"{path} cannot be written ({reason}): see to it that it can, and give the same "
            f"command again; what is finished is kept"
        )
        told.reason, told.number = reason, number
        raise told from error


def unfinished(path: Path) -> Path:
    """Where this process writes a file, or a folder, before it is moved to its path."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def move(begun: Path, path: Path) -> None:
    """Move a file, or a folder to where none is, into its place.

    Windows refuses while another program has the file open; it is asked a few times.

    Raises:
        OSError: if it cannot be moved.
    """
    for wait in _WAITS:
        try:
            os.replace(begun, path)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE:
                raise
            time.sleep(wait)
    try:
        os.replace(begun, path)
    except PermissionError as error:
        raise PermissionError(error.errno, "another program has it open") from error


def _is_too_long(path: Path, error: OSError) -> bool:
    """Whether Windows says of a path that is too long that there is no such thing."""
    told = isinstance(error, FileNotFoundError) and hasattr(error, "winerror")
    return told and len(str(unfinished(path).absolute())) > LONGEST


def remove_unfinished(folder: Path, below: bool = False) -> None:
    """Remove what killed processes left half-written.

    Args:
        folder: in which no other process writes now, see `bana.files.alone.alone_in`.
        below: in all folders below it, too.
    """
    if folder.is_dir():
        _remove(folder.rglob("*.tmp") if below else folder.glob("*.tmp"))


def remove_abandoned(path: Path) -> None:
    """Remove what processes that are over left of this file, where others may be writing it.

    Processes of other machines that share the folder count as over.
    """
    mine = [each for each in path.parent.glob("*.tmp") if each.name.startswith(f".{path.name}.")]
    _remove(each for each in mine if not _is_written(each))


def is_filled(path: Path) -> bool:
    """Whether a file is there that was written, and not one that a power cut emptied."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if not _NAME.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_written(path: Path) -> bool:
    """Whether the process in a name still runs; of this one's number it was an earlier process."""
    found = _NAME.fullmatch(path.name)
    number = int(found[1]) if found else 0
    return number != os.getpid() and psutil.pid_exists(number)
