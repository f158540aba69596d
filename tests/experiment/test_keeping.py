"""Keys of results: every setting counts, a file by what it holds, nothing by where it lies."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from bana import bap, cam
from bana.experiment import keeping
from bana.experiment.keeping import described, key_of


@dataclass(frozen=True)
class Settings:
    rate: float
    names: tuple[str, ...] = ()
    weights: Path | None = None


def test_every_input_counts() -> None:
    inputs = [
        Settings(0.1),
        Settings(0.2),
        Settings(0.1, ("a",)),
        Settings(0.1, ("a", "b")),
        {"a": 1},
        {"b": 1},
        "a",
        None,
        1,
    ]
    assert len({key_of(bap.pool_boxes, each) for each in inputs}) == len(inputs)
    assert key_of(bap.pool_boxes, 1, 2) != key_of(bap.pool_boxes, 2, 1)


def test_the_code_counts_that_the_maker_imports(monkeypatch) -> None:
    assert key_of(bap.pool_boxes, 1) != key_of(cam.class_activation, 1)
    monkeypatch.setattr(keeping, "source_hash", lambda module: module)
    assert key_of(bap.pool_boxes, 1) == key_of(bap.grid_cells, 1)


def test_a_file_counts_by_what_it_holds(tmp_path: Path) -> None:
    one, other = tmp_path / "one.pth", tmp_path / "folder" / "other.pth"
    other.parent.mkdir()
    for path in (one, other):
        path.write_bytes(b"weights")
    before = described(Settings(0.1, weights=one))
    assert described(Settings(0.1, weights=other)) == before
    one.write_bytes(b"other weights")
    assert described(Settings(0.1, weights=one)) != before


def test_sets_have_no_order() -> None:
    assert described(frozenset("cab")) == ["a", "b", "c"]


def test_what_has_no_description_is_refused() -> None:
    with pytest.raises(TypeError, match="of object cannot be part of a key"):
        described([object()])
