"""One process at a time in a folder: the second one waits, whatever becomes of the first."""

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from bana.files import alone
from bana.files.alone import alone_in
from bana.files.paths import repo_root
from bana.files.unfinished import NotWritten

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows knows no such lock")
HOLD = """
import sys
from pathlib import Path
from bana.files.alone import alone_in
with alone_in(Path(sys.argv[1]), together="together" in sys.argv):
    print("in", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another(folder: Path, *words: str) -> Iterator[subprocess.Popen]:
    """Another process that works in the folder, or waits for it, until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *words],
        cwd=repo_root(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(stream: IO[str]) -> str:
    """The next line; nothing where none comes."""
    ready, _, _ = select.select([stream], [], [], 60)
    return stream.readline() if ready else ""


def is_in(process: subprocess.Popen) -> bool:
    return line_of(process.stdout) == "in\n"


def waits(process: subprocess.Popen) -> bool:
    return "another process works here; waiting for it" in line_of(process.stderr)


def test_the_second_waits_until_the_first_leaves(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with another(folder) as first:
        assert is_in(first)
        with another(folder) as second:
            assert waits(second)
            first.communicate("\n")
            assert is_in(second)
    assert list(folder.iterdir()) == [], "the lock is no file"


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with another(tmp_path) as first:
        assert is_in(first)
        with another(tmp_path) as second:
            assert waits(second)
            first.send_signal(signal.SIGKILL)
            assert is_in(second)


def test_parts_of_one_work_are_there_together_and_nobody_else(tmp_path: Path) -> None:
    with another(tmp_path, "together") as first, another(tmp_path, "together") as second:
        assert is_in(first) and is_in(second)
        with pytest.raises(BlockingIOError), alone_in(tmp_path, wait=False):
            pass
        with alone_in(tmp_path, together=True, wait=False):
            pass


def test_a_process_does_not_wait_for_itself(tmp_path: Path) -> None:
    with alone_in(tmp_path):
        with alone_in(tmp_path):
            pass
        with another(tmp_path) as other:
            assert waits(other), "still held after the inner block"
    assert not alone._held
    with alone_in(tmp_path, wait=False):
        pass


def test_a_folder_that_was_removed_while_one_waited(tmp_path: Path) -> None:
    folder, first = tmp_path / "folder", ExitStack()
    first.enter_context(alone_in(folder))
    with another(folder) as second:
        assert waits(second)
        shutil.rmtree(folder)
        folder.mkdir()
        first.close()
        # A lock of the folder that is gone would keep nobody out of the new one.
        assert is_in(second)
        with another(folder) as third:
            assert waits(third)


def test_a_disk_without_locks_is_no_error(tmp_path: Path, monkeypatch) -> None:
    def unknown(*arguments) -> None:
        raise OSError("Function not implemented")

    monkeypatch.setattr(alone.fcntl, "flock", unknown)
    with alone_in(tmp_path):
        pass
    monkeypatch.setattr(alone, "fcntl", None)
    with alone_in(tmp_path / "a"):
        assert (tmp_path / "a").is_dir()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    deep = tmp_path / "file" / "deep"
    with pytest.raises(NotWritten, match="deep cannot be written"), alone_in(deep):
        pass


def test_an_error_inside_leaves_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path):
        raise ZeroDivisionError
    with another(tmp_path) as other:
        assert is_in(other)
