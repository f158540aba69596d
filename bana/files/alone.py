"""One process at a time in a folder: the second waits until the first is done, however it ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bana.files.unfinished import explained

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_held: dict[tuple[int, int], int] = {}
"""Folders that this process holds, by device and number, and how many times."""


@contextmanager
def alone_in(folder: Path, together: bool = False, wait: bool = True) -> Iterator[None]:
    """Work in a folder while no other process of this machine does; wait for one that does.

    The lock is on the folder itself, so that no file tells of it, and ends with its process. There
    is none on Windows and on disks that know no such lock: there nobody may give two commands for
    one folder at once.

    Args:
        folder: made where it is missing.
        together: beside others who say so too, such as parts of one work, and nobody else.
        wait: for the other process.

    Raises:
        bana.files.unfinished.NotWritten: if the folder cannot be made.
        BlockingIOError: if another process works there and is not to be waited for.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    opened = _opened(folder, together, wait)
    about = os.fstat(opened)
    own = about.st_dev, about.st_ino
    _held[own] = _held.get(own, 0) + 1
    try:
        yield
    finally:
        _held[own] -= 1
        if not _held[own]:
            del _held[own]
        os.close(opened)


def _opened(folder: Path, together: bool, wait: bool) -> int:
    """The folder, open and locked; the lock ends when it is closed."""
    while True:
        opened = os.open(folder, os.O_RDONLY)
        try:
            about = os.fstat(opened)
            if (about.st_dev, about.st_ino) in _held:
                return opened
            _lock(opened, folder, together, wait)
            # The one who was waited for may have removed the folder, or put another in its place.
            folder.mkdir(parents=True, exist_ok=True)
            if os.path.samestat(about, folder.stat()):
                return opened
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)


def _lock(opened: int, folder: Path, together: bool, wait: bool) -> None:
    kind = fcntl.LOCK_SH if together else fcntl.LOCK_EX
    try:
        fcntl.flock(opened, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise
        print(f"bana: {folder}: another process works here; waiting for it", file=sys.stderr)
        fcntl.flock(opened, kind)
    except OSError:
        return  # the disk knows no locks
