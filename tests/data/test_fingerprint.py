"""Fingerprints of data: each kind of file is noticed where it counts, and the place is not."""

import os
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest

from bana.data.fingerprint import (
    PARTS,
    UNREADABLE,
    fingerprint,
    image_fingerprints,
    photograph_hash,
)
from bana.data.sample.make import make_sample
from bana.data.voc import VocDataset
from bana.files import artefacts

FILES = {
    "photograph": "JPEGImages/train_0000.jpg",
    "boxes": "Annotations/train_0000.xml",
    "mask": "SegmentationClass/train_0000.png",
    "objects": "SegmentationObject/train_0000.png",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    return make_sample(tmp_path_factory.mktemp("data") / "sample", 0, train=3, val=1)


@pytest.fixture
def root(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / "copy")


def every(root: Path, split: str = "train") -> dict[str, str]:
    return {part: fingerprint(VocDataset(root, split), part) for part in PARTS}


@pytest.mark.parametrize("kind", FILES)
def test_an_edited_file_changes_its_own_part_alone(kind: str, root: Path) -> None:
    before, val = every(root), every(root, "val")
    images = image_fingerprints(VocDataset(root, "train"), kind)
    path = root / FILES[kind]
    path.write_bytes(path.read_bytes() + b" ")
    after = every(root)
    assert {part for part in PARTS if before[part] != after[part]} == {kind}
    assert every(root, "val") == val
    now = image_fingerprints(VocDataset(root, "train"), kind)
    assert [name for name in now if now[name] != images[name]] == ["train_0000"]


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_goes_and_comes_is_noticed(kind: str, root: Path) -> None:
    before, path = every(root), root / FILES[kind]
    path.rename(root / "elsewhere")
    assert every(root)[kind] != before[kind]
    (root / "elsewhere").rename(path)
    assert every(root) == before


@pytest.mark.parametrize("kind", ["boxes", "mask", "objects"])
def test_equal_size_and_time_hide_no_change_of_boxes_and_masks(kind: str, root: Path) -> None:
    before, path = every(root), root / FILES[kind]
    about, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert every(root)[kind] != before[kind]


def test_a_copy_of_the_photographs_is_the_same_data(root: Path, tmp_path: Path) -> None:
    before = every(root)
    os.utime(root / FILES["photograph"], ns=(0, 0))
    other = shutil.copytree(root, tmp_path / "scratch", copy_function=shutil.copyfile)
    assert every(root) == every(other) == before


def test_a_process_reads_a_photograph_once(root: Path, monkeypatch) -> None:
    path, read = root / FILES["photograph"], []
    monkeypatch.setattr(artefacts, "file_hash", lambda path: read.append(path.name) or "1")
    for _ in range(2):
        image_fingerprints(VocDataset(root, "train"), "photograph")
    assert sorted(read) == ["train_0000.jpg", "train_0001.jpg", "train_0002.jpg"]
    path.write_bytes(path.read_bytes() + b" ")
    image_fingerprints(VocDataset(root, "train"), "photograph")
    assert read[3:] == ["train_0000.jpg"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "locked"])
def test_a_photograph_that_cannot_be_read_is_told_so_until_it_can(kind, root, monkeypatch) -> None:
    path = root / FILES["photograph"]
    whole = path.rename(root / "kept.jpg")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        shutil.copyfile(whole, path)
        monkeypatch.setattr(artefacts, "file_hash", Mock(side_effect=PermissionError))
    assert photograph_hash(path) == UNREADABLE
    monkeypatch.undo()
    if kind == "locked":
        assert photograph_hash(path) == photograph_hash(whole)


def test_classes_and_lists_count(root: Path) -> None:
    before = every(root)
    classes = root / "classes.txt"
    names = classes.read_text().splitlines()
    classes.write_text("\n".join([names[0], *names[:0:-1]]))
    assert not set(every(root).values()) & set(before.values())
    classes.write_text("\n".join(names))
    listed = root / "ImageSets" / "Segmentation" / "train.txt"
    listed.write_text("\n".join(reversed(listed.read_text().split())))
    assert not set(every(root).values()) & set(before.values()), "the order is the order of crops"


def test_where_the_data_lies_does_not_count(root: Path, tmp_path: Path, monkeypatch) -> None:
    before = every(root)
    moved = root.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert every(moved) == every(Path("moved")) == before


def test_the_same_relative_folder_elsewhere_is_other_data(
    root: Path, tmp_path, monkeypatch
) -> None:
    other = shutil.copytree(root, tmp_path / "other" / "copy")
    path = other / FILES["boxes"]
    path.write_bytes(path.read_bytes() + b" ")
    monkeypatch.chdir(root.parent)
    here = every(Path("copy"))
    monkeypatch.chdir(other.parent)
    assert every(Path("copy"))["boxes"] != here["boxes"]


def test_some_images_alone(root: Path) -> None:
    data = VocDataset(root, "train")
    some = image_fingerprints(data, "boxes", names=data.ids[:1])
    assert some == {data.ids[0]: image_fingerprints(data, "boxes")[data.ids[0]]}
    with pytest.raises(ValueError, match="unknown part 'size': use photograph, boxes"):
        fingerprint(data, "size")
