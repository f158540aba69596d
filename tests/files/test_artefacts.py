"""Kept results: the key decides, and a file is whole or as it was."""

import json
from pathlib import Path

import pytest
import torch

from bana.files import artefacts
from bana.files.artefacts import (
    content_hash,
    kept_json,
    load_checkpoint,
    read_json,
    save_checkpoint,
    write_json,
)


class _Killed(Exception):
    """Stands for whatever ends a process while it writes."""


def half_written(value: object, path: Path) -> None:
    Path(path).write_bytes(b"half")
    raise _Killed


def test_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run" / "model.pt"
    kept = {"state": {"weight": torch.arange(6.0).view(2, 3)}, "history": [{"loss": 0.5}]}
    save_checkpoint(path, "one", kept)
    assert "key" not in kept
    loaded = load_checkpoint(path, "one")
    assert torch.equal(loaded["state"]["weight"], kept["state"]["weight"])
    assert loaded["history"] == kept["history"]
    assert [file.name for file in path.parent.iterdir()] == ["model.pt"]


def test_checkpoint_of_another_key_counts_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    assert load_checkpoint(path, "one") is None
    save_checkpoint(path, "one", {"value": 1})
    assert load_checkpoint(path, "two") is None
    save_checkpoint(path, "two", {"value": 2})
    assert load_checkpoint(path, "one") is None
    assert load_checkpoint(path, "two")["value"] == 2


def test_killed_while_saving_a_checkpoint(tmp_path: Path, monkeypatch) -> None:
    old, new = tmp_path / "old.pt", tmp_path / "new.pt"
    save_checkpoint(old, "one", {"value": 1})
    monkeypatch.setattr(artefacts.torch, "save", half_written)
    for path in (old, new):
        with pytest.raises(_Killed):
            save_checkpoint(path, "one", {"value": 2})
    assert load_checkpoint(old, "one")["value"] == 1
    assert not new.exists()


def test_killed_while_writing_json(tmp_path: Path, monkeypatch) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    write_json(old, {"value": 1})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", lambda path, *_, **__: half_written(None, path))
        for path in (old, new):
            with pytest.raises(_Killed):
                write_json(path, {"value": 2})
    assert read_json(old) == {"value": 1}
    assert not new.exists()


def test_what_json_cannot_hold_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_json(path, {"value": 1})
    with pytest.raises(TypeError):
        write_json(path, {"value": torch.zeros(1)})
    assert read_json(path) == {"value": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_holds_no_number_that_is_none(value: float, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    with pytest.raises(ValueError, match=r"scores.json: a number is NaN or infinite, .*: use None"):
        write_json(path, {"rows": [{"miou": value}]})
    assert not path.exists()


def test_json_file_is_plain_text_in_utf8(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "scores.json"
    write_json(path, {"name": "Krähenbühl", "rows": [1, 2.5]})
    assert json.loads(path.read_text(encoding="utf-8")) == read_json(path)
    assert read_json(path) == {"name": "Krähenbühl", "rows": [1, 2.5]}
    assert path.read_bytes().endswith(b"}\n")
    assert read_json(tmp_path / "nothing.json") == {}


def test_kept_json_is_made_once_a_key(tmp_path: Path) -> None:
    made = []

    def make() -> dict:
        made.append(1)
        return {"row": {"miou": float(len(made))}}

    path = tmp_path / "scores.json"
    assert kept_json(path, "one", make) == {"row": {"miou": 1}}
    assert kept_json(path, "one", make) == {"row": {"miou": 1}}
    assert len(made) == 1
    assert kept_json(path, "two", make) == {"row": {"miou": 2}}
    assert kept_json(path, "one", make) == {"row": {"miou": 3}}


def test_failure_to_make_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    kept_json(path, "one", lambda: {"value": 1})

    def fail() -> dict:
        raise _Killed

    with pytest.raises(_Killed):
        kept_json(path, "two", fail)
    assert kept_json(path, "one", fail) == {"value": 1}


def test_hash_depends_on_content_alone() -> None:
    assert content_hash({"a": 1, "b": (2, 3)}) == content_hash({"b": [2, 3], "a": 1})
    different = [(), (1,), ("1",), (1, 2), ([1, 2],), ({"1": 2},), (None,), ("",), (1.5,)]
    assert len({content_hash(*parts) for parts in different}) == len(different)


def test_failed_write_cleans_up(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(artefacts.torch, "save", half_written)
    with pytest.raises(_Killed):
        save_checkpoint(tmp_path / "model.pt", "one", {"value": 1})
    assert not list(tmp_path.iterdir())


class _Evil:
    """What a file of unknown origin may hold: it runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("kind", ["evil", "half", "text", "empty"])
def test_a_file_that_is_no_checkpoint_is_told_and_runs_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    save_checkpoint(path, "one", {"value": torch.zeros(100)})
    if kind == "evil":
        torch.save({"key": "one", "value": _Evil(tmp_path / "run")}, path)
    else:
        whole = path.read_bytes()
        path.write_bytes({"half": whole[: len(whole) // 2], "text": b"text", "empty": b""}[kind])
    with pytest.raises(ValueError, match=r"model\.pt is damaged: remove it") as caught:
        load_checkpoint(path, "one")
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["", "{", "[1]", "\0"])
def test_a_damaged_record_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"scores\.json is damaged: remove it"):
        read_json(path)
