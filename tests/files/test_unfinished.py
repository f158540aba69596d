"""Files on their way: whole or not at all, and nothing is left of what killed processes wrote."""

import errno
import os
import pickle
from pathlib import Path

import pytest

from bana.data.voc_files import whole_file
from bana.files import artefacts, unfinished
from bana.files.artefacts import write_json
from bana.files.unfinished import (
    NotWritten,
    is_filled,
    remove_abandoned,
    remove_unfinished,
)

DEAD = 2**22 + 1
"""No process has this number: Linux counts up to 2^22."""


def left_by(number: int, path: Path, text: str = "half") -> Path:
    """What a killed process of that number left of a file."""
    half = path.with_name(f".{path.name}.{number}.tmp")
    half.write_text(text)
    return half


def test_the_next_one_who_writes_a_file_clears_away(tmp_path: Path) -> None:
    path = tmp_path / "scores[1].json"
    gone = [left_by(number, path) for number in (DEAD, os.getpid())]
    others = [left_by(os.getppid(), path), left_by(DEAD, tmp_path / "other.json")]
    user = tmp_path / ".scores[1].json.mine.tmp"
    user.write_text("a name that no process of ours makes")
    write_json(path, {"a": 1})
    assert not any(half.exists() for half in gone)
    assert all(half.exists() for half in (*others, user))


def test_alone_in_a_folder_all_that_is_unfinished_goes(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    (tmp_path / ".a.77.tmp").mkdir()
    (tmp_path / ".a.77.tmp" / "001-cat.png").touch()
    here, there = left_by(os.getppid(), tmp_path / "b.png"), left_by(DEAD, deep / "c.png")
    own = tmp_path / "notes.tmp"
    own.touch()
    remove_unfinished(tmp_path)
    assert not here.exists() and there.exists() and not (tmp_path / ".a.77.tmp").exists()
    remove_unfinished(tmp_path, below=True)
    assert not there.exists() and own.exists()
    remove_unfinished(tmp_path / "nowhere")


def test_abandoned_folders_go_too(tmp_path: Path) -> None:
    half = tmp_path / f".sample.{DEAD}.tmp"
    half.mkdir()
    remove_abandoned(tmp_path / "sample")
    assert not half.exists()


@pytest.mark.parametrize("writer", ["write_json", "whole_file"])
def test_a_full_disk_is_told_in_one_line_and_the_file_stays(
    writer: str, tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")

    def full(*arguments, **options) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(NotWritten) as caught:
        if writer == "write_json":
            write_json(path, {"a": 1})
        else:
            with whole_file(path) as begun:
                begun.write_text("new")
    line = str(caught.value)
    assert line.startswith(f"{path} cannot be written (No space left on device)")
    assert "give the same command again" in line and "\n" not in line
    assert path.read_text() == "{}" and [each.name for each in tmp_path.iterdir()] == ["a.json"]
    assert caught.value.number == errno.ENOSPC


def test_torchs_own_error_of_a_full_disk_is_one_of_the_system(tmp_path: Path, monkeypatch) -> None:
    def full(*arguments) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc] . unexpected pos 64 vs 0\nmore")

    monkeypatch.setattr(artefacts.torch, "save", full)
    with pytest.raises(NotWritten, match="model.pt cannot be written .*unexpected pos") as caught:
        artefacts.save_checkpoint(tmp_path / "model.pt", "key", {})
    assert "\n" not in str(caught.value)


def test_what_is_no_fault_of_the_disk_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a.txt"):
        raise ZeroDivisionError
    inner, outer = tmp_path / "b.txt", tmp_path / "a.txt"
    with pytest.raises(NotWritten, match="b.txt cannot"), whole_file(outer), whole_file(inner):
        raise OSError(errno.EIO, "Input/output error")


def test_it_comes_through_from_another_process() -> None:
    error = NotWritten("a cannot be written")
    error.reason, error.number = "No space left on device", errno.ENOSPC
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason, again.number) == (str(error), error.reason, error.number)


def test_what_a_power_cut_emptied_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert not is_filled(path) and not is_filled(tmp_path)
    path.touch()
    assert not is_filled(path)
    path.write_bytes(b"a")
    assert is_filled(path)
    assert unfinished.unfinished(path).name == f".a.png.{os.getpid()}.tmp"


def refusing(monkeypatch, number: int | None, times: int) -> list[float]:
    """Let moves be refused so many times, as Windows does with that number; lists the waits."""
    replace, left, waits = os.replace, [times], []

    def refused(begun, path) -> None:
        left[0] -= 1
        if left[0] >= 0:
            error = PermissionError(errno.EACCES, "Access is denied")
            if number is not None:
                error.winerror = number
            raise error
        replace(begun, path)

    monkeypatch.setattr(os, "replace", refused)
    monkeypatch.setattr(unfinished.time, "sleep", waits.append)
    return waits


@pytest.mark.parametrize("number", [5, 32])
def test_a_file_that_is_in_use_for_a_moment_is_waited_for(
    number: int, tmp_path: Path, monkeypatch
) -> None:
    waits = refusing(monkeypatch, number, 2)
    write_json(tmp_path / "a.json", {"a": 1})
    assert len(waits) == 2 and (tmp_path / "a.json").is_file()


def test_a_file_that_stays_in_use_is_told_in_one_line(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    waits = refusing(monkeypatch, 32, 100)
    with pytest.raises(NotWritten, match="another program has it open") as caught:
        write_json(path, {"a": 1})
    assert "\n" not in str(caught.value) and 1 < sum(waits) < 3
    assert path.read_text() == "{}" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [None, 183])
def test_what_will_not_change_is_not_waited_for(
    number: int | None, tmp_path: Path, monkeypatch
) -> None:
    waits = refusing(monkeypatch, number, 100)
    with pytest.raises(NotWritten, match="Access is denied"), whole_file(tmp_path / "a") as begun:
        begun.touch()
    assert waits == []


@pytest.mark.parametrize("length", [100, 250])
def test_a_name_too_long_for_windows_is_called_so(length: int, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / ("a" * (length - len(str(tmp_path)) - 1))
    error = FileNotFoundError(errno.ENOENT, "The system cannot find the path specified")
    error.winerror = 3
    with pytest.raises(NotWritten) as caught, whole_file(path):
        raise error
    long = length == 250
    assert (caught.value.number == errno.ENAMETOOLONG) == long
    assert ("its name has 250 characters" in str(caught.value)) == long
