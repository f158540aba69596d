"""The index of tar shards: what is written is read, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest

from bana.data.checks import DataError
from bana.data.shard_index import Index, Shard, is_word, read_index, shard_name, write_index

SHARDS = (Shard("val-000000.tar", 3, 20480, "0" * 64), Shard("val-000001.tar", 1, 10240, "f" * 64))
INDEX = Index("photographs", "val", ("background", "traffic light"), SHARDS)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_index(tmp_path, INDEX)
    assert read_index(tmp_path) == read_index(tmp_path, "photographs") == INDEX
    assert INDEX.images == 4
    assert json.loads((tmp_path / "shards.json").read_text())["images"] == 4


def test_it_grows_with_the_shards_and_not_with_the_images(tmp_path: Path) -> None:
    write_index(tmp_path, INDEX)
    few = (tmp_path / "shards.json").stat().st_size
    many = tuple(shard._replace(images=10_000) for shard in SHARDS)
    write_index(tmp_path, Index("photographs", "val", INDEX.classes, many))
    assert (tmp_path / "shards.json").stat().st_size < few + 20


def test_without_one_there_are_no_shards(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no tar shards with an index.*`bana data pack`"):
        read_index(tmp_path)


def test_labels_are_no_photographs(tmp_path: Path) -> None:
    write_index(tmp_path, INDEX)
    with pytest.raises(DataError, match="hold photographs, not labels: name another folder"):
        read_index(tmp_path, "labels")


def changed(**changes: Any) -> dict[str, Any]:
    first = {"name": "val-000000.tar", "images": 1, "bytes": 10240, "sha256": "0" * 64}
    about = {"format": "bana tar shards 1", "holds": "photographs", "split": "val"}
    about |= {"classes": ["background", "cat"], "shards": [first]}
    for key, value in changes.items():
        (about if key in about else first)[key] = value
    return about


DAMAGED = {
    "no object": ([], "no bana tar shards 1"),
    "format": (changed(format="2"), "no bana tar shards 1"),
    "holds": (changed(holds=["photographs"]), '"holds" is'),
    "split upwards": (changed(split="../val"), '"split" is "../val"'),
    "split null": (changed(split=None), '"split" is null'),
    "classes": (changed(classes="background"), '"classes" is no list'),
    "class": (changed(classes=["background", None]), "a class is null"),
    "background": (changed(classes=["cat"]), "the first class must be background"),
    "shards": (changed(shards={}), '"shards" is no list'),
    "shard": (changed(shards=["val-000000.tar"]), 'shard 0 is "val-000000.tar"'),
    "elsewhere": (changed(name="../../val-000000.tar"), "shard 0 is .*, not val-000000.tar"),
    "another split": (changed(name="train-000000.tar"), "not val-000000.tar"),
    "images": (changed(images=-1), 'shard 0: "images" is -1'),
    "true": (changed(images=True), 'shard 0: "images" is true'),
    "bytes": (changed(bytes="10240"), 'shard 0: "bytes" is "10240"'),
    "sha256": (changed(sha256="0" * 63), 'shard 0: "sha256" is'),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_index_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    said, told = DAMAGED[name]
    (tmp_path / "shards.json").write_text(json.dumps(said))
    with pytest.raises(DataError, match=f"shards.json: .*{told}") as error:
        read_index(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ['{"format": ', "", '{"split": "a", "split": "b"}', "\ud800"])
def test_no_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "shards.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(DataError, match="shards.json"):
        read_index(tmp_path)


def test_names_sort_in_the_order_of_the_images() -> None:
    names = [shard_name("val", number) for number in (0, 9, 10, 999_999)]
    assert names == sorted(names) and names[2] == "val-000010.tar"
    assert is_word("train_aug-2") and not any(map(is_word, ("", ".", "a b", "a/b", ".a", "a\n")))
