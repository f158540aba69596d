"""An image out of a shard is the image of the folder, and so is what is wrong with it."""

from pathlib import Path

import pytest
import torch
from packed import CLASSES, write_folder

from bana.data.packing import pack
from bana.data.shard_items import item_of, mask_file
from bana.data.tar_shards import Sample, read_shard
from bana.data.voc import DataError, VocDataset, write_mask

NAMES = ("a", "b.c", "d/e f", "g", "h")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "voc", NAMES)


@pytest.fixture(scope="module")
def samples(root: Path, tmp_path_factory) -> list[Sample]:
    out = tmp_path_factory.mktemp("shards")
    (shard,) = pack(root, "train", out).shards
    return list(read_shard(out, shard, "photographs"))


def test_items_are_those_of_the_folder(root: Path, samples: list[Sample]) -> None:
    data = VocDataset(root, "train")
    items = [item_of(sample, data.classes, Path("s.tar")) for sample in samples]
    assert any("crowds" in item for item in items) and any("mask" in item for item in items)
    for number, item in enumerate(items):
        expected = data[number]
        assert item.keys() == expected.keys() and item["id"] == expected["id"]
        for key in item.keys() - {"id"}:
            assert type(item[key]) is type(expected[key]), key
            assert torch.equal(item[key], expected[key]), key


WRONG = {
    "photograph": ("jpg", b"\xff\xd8 nothing", r"s\.tar: a\.jpg: not an image"),
    "boxes": ("xml", b"<annotation>", r"s\.tar: a\.xml: not well-formed XML"),
    "entities": ("xml", b'<!DOCTYPE a [<!ENTITY b "c">]><a/>', r"s\.tar: a\.xml: declares the ent"),
    "class": (
        "xml",
        b"<annotation><object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>"
        b"<ymax>2</ymax></bndbox></object></annotation>",
        r"s\.tar: a\.xml: unknown class 'dog'",
    ),
    "mask": ("class.png", b"\x89PNG", r"s\.tar: a\.class\.png: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_names_shard_and_member(name: str, samples: list[Sample]) -> None:
    kind, content, told = WRONG[name]
    wrong = Sample("a", {**samples[0].files, kind: content})
    with pytest.raises(DataError, match=told) as error:
        item_of(wrong, CLASSES, Path("s.tar"))
    assert "\n" not in str(error.value)


def test_a_photograph_cut_short_is_noticed(samples: list[Sample]) -> None:
    cut = samples[0].files["jpg"][:-200]
    with pytest.raises(DataError, match=r"s\.tar: a\.jpg: cannot be read as an image"):
        item_of(Sample("a", {**samples[0].files, "jpg": cut}), CLASSES, Path("s.tar"))


def test_a_mask_is_the_file_that_a_folder_has(tmp_path: Path) -> None:
    mask = torch.arange(60, dtype=torch.uint8).reshape(5, 12)
    mask[0, 0] = 255
    write_mask(tmp_path / "mask.png", mask)
    assert mask_file(mask) == (tmp_path / "mask.png").read_bytes()
