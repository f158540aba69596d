"""What Windows lacks and refuses, as far as another system can be made to; a plugin of pytest.

    PYTHONPATH=tests/helpers python -m pytest -p as_windows tests/files

runs tests without fork, fcntl, links and the signals of POSIX; and a file that this process
has open, or mapped into its memory, is neither replaced nor removed, which is how leaks are found.
Tests that are skipped on Windows, such as those of locks, fail so.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MODULES = ("fcntl", "resource", "pwd", "grp", "termios")
FUNCTIONS = ("fork", "forkpty", "killpg", "setsid", "sched_getaffinity")
SIGNALS = ("SIGKILL", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM")
DENIED, NO_PRIVILEGE = 5, 1314
PROCESS = Path("/proc/self")


def pytest_configure() -> None:
    """Patch before anything of the package is imported."""
    patch = pytest.MonkeyPatch()
    without_fork(patch)
    hidden(patch)
    without_links(patch)
    guarding_open_files(patch)


def without_fork(patch: pytest.MonkeyPatch) -> None:
    """Every process is spawned."""
    patch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    multiprocessing.set_start_method("spawn", force=True)


def hidden(patch: pytest.MonkeyPatch) -> None:
    """No module, function or signal of POSIX."""
    import subprocess  # which looks for some of them once  # noqa: F401

    import psutil  # noqa: F401

    for name in MODULES:
        patch.setitem(sys.modules, name, None)
    for name in FUNCTIONS:
        patch.delattr(os, name, raising=False)
    for name in SIGNALS:
        patch.delattr(signal, name, raising=False)


def without_links(patch: pytest.MonkeyPatch) -> None:
    """Neither symbolic links, for which users have no right, nor hard ones, as on FAT."""
    for name in ("symlink", "link"):
        patch.setattr(os, name, _refused(NO_PRIVILEGE, "a required privilege is not held"))


def guarding_open_files(patch: pytest.MonkeyPatch) -> None:
    """Nothing that this process holds open is replaced, renamed or removed."""
    for name in ("replace", "rename", "unlink", "remove"):
        patch.setattr(os, name, _guarded(getattr(os, name)))


def error_of_windows(number: int, text: str) -> PermissionError:
    """An error as Windows raises it."""
    error = PermissionError(13, text)
    error.winerror = number
    return error


def _refused(number: int, text: str) -> Callable[..., None]:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise error_of_windows(number, text)

    return refuse


def _guarded(function: Callable[..., None]) -> Callable[..., None]:
    def guard(*paths: Any, **options: Any) -> None:
        if not options:
            for path in paths:
                refuse_open(path)
        function(*paths, **options)

    return guard


def refuse_open(path: Any) -> None:
    """Raise Windows's error if this process has the file, or one in the folder, open."""
    if isinstance(path, str | os.PathLike):
        full = os.path.realpath(path)
        for held in open_files():
            if held == full or held.startswith(full + os.sep):
                raise error_of_windows(DENIED, f"Access is denied: {full}")


def open_files() -> Iterator[str]:
    """Paths that this process holds open or has mapped; none without /proc."""
    for entry in os.scandir(PROCESS / "fd") if PROCESS.is_dir() else ():
        try:
            yield os.readlink(entry.path)
        except OSError:  # the folder's own
            continue
    if PROCESS.is_dir():
        for line in (PROCESS / "maps").read_text(encoding="utf-8", errors="replace").splitlines():
            yield line.partition("/")[1] + line.partition("/")[2]


@contextmanager
def like_windows() -> Iterator[pytest.MonkeyPatch]:
    """All but fork, for the body of one test."""
    with pytest.MonkeyPatch.context() as patch:
        hidden(patch)
        without_links(patch)
        guarding_open_files(patch)
        yield patch
