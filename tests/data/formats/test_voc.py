"""Boxes of VOC's XML files; whole data sets are in tests/data/test_importing.py."""

from pathlib import Path

import pytest
from photos import HEIGHT, WIDTH, folder_of

from bana.data.annotations import Annotation, write_annotation
from bana.data.formats.common import Folder
from bana.data.formats.voc import ask_for_convention, read_voc, read_voc_file
from bana.data.voc_files import DataError


@pytest.fixture
def images(tmp_path: Path) -> Folder:
    return folder_of(tmp_path / "photos", "meadow.jpg", "day 1/zebra 1.jpg")


def written(images: Folder, name: str, corners: list[float]) -> Path:
    path = images.root.parent / "xml" / name
    made = Annotation([("cat", corners)], [("cat", [1.0, 1, 50, 50])], (WIDTH, HEIGHT))
    write_annotation(path, made)
    return path


@pytest.mark.parametrize(("one_based", "corners"), [(True, (9, 19)), (False, (10, 20))])
def test_both_conventions(images: Folder, one_based: bool, corners: tuple) -> None:
    path = written(images, "day 1/zebra 1.xml", [10.0, 20, 30, 40])
    written(images, "meadow.xml", [10.0, 20, 30, 40])
    first, second = read_voc(path.parents[1], images, one_based)
    assert (first.name, second.name) == ("day_1_zebra_1", "meadow")
    for photograph in (first, second):
        assert photograph.boxes[0].corners == (*corners, 30, 40)
        assert photograph.crowds[0].corners == ((0, 0, 50, 50) if one_based else (1, 1, 50, 50))
        assert photograph.size == (WIDTH, HEIGHT)
    alone = read_voc_file(path, path.parents[1], images, one_based)
    assert alone.boxes == first.boxes


def test_a_folder_without_files_is_refused(images: Folder) -> None:
    with pytest.raises(DataError, match=r"no \.xml file in the folder"):
        read_voc(images.root, images)


@pytest.mark.parametrize(
    ("corners", "asked"),
    [([0.0, 5, 20, 30], True), ([1.0, 1, 20, 30], False), ([0.0, 0, 0.5, 0.5], False)],
)
def test_boxes_that_begin_at_0_are_asked_about(images: Folder, corners: list, asked: bool) -> None:
    path = written(images, "meadow.xml", corners)
    photographs = read_voc(path, images)
    if asked:
        with pytest.raises(DataError, match="object 1: begins at 0, but VOC counts pixels from 1"):
            ask_for_convention(photographs, path)
    else:
        ask_for_convention(photographs, path)
