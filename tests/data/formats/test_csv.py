"""Boxes of CSV files; what goes wrong with whole data sets is in tests/data/test_importing.py."""

from pathlib import Path

import pytest
from photos import folder_of

from bana.data.formats.common import Folder
from bana.data.formats.csv import check_csv, read_csv
from bana.data.voc_files import DataError

HEADER = "image,xmin,ymin,xmax,ymax,class\n"


@pytest.fixture
def images(tmp_path: Path) -> Folder:
    return folder_of(tmp_path / "photos", "meadow.jpg", "zebra 1.jpg")


def written(images: Folder, text: str) -> Path:
    path = images.root.parent / "boxes.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(("one_based", "x1"), [(False, 1), (True, 0)])
def test_a_box_a_line(images: Folder, one_based: bool, x1: int) -> None:
    lines = "meadow.jpg,1,1,30,40,cat\nzebra 1.jpg\nmeadow.jpg,2.5,2,31,40,cat\n"
    lines = lines.replace("zebra 1.jpg\n", "zebra 1.jpg,,,,,\n")
    first, second = read_csv(written(images, HEADER + lines), images, one_based)
    assert first.name == "meadow" and second.name == "zebra_1" and second.boxes == []
    shift = 1 - x1
    corners = [box.corners for box in first.boxes]
    assert corners == [(x1, x1, 30, 40), (2.5 - shift, 2 - shift, 31, 40)]


def test_a_bom_and_spaces_do_no_harm(images: Folder) -> None:
    text = "\ufeffimage, xmin,ymin,xmax,ymax,class\r\n meadow.jpg ,1,2,3,4, big  cat \r\n"
    (photograph,) = read_csv(written(images, text), images)
    assert photograph.name == "meadow" and photograph.boxes[0].kind == "big cat"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"image,x,y\n", "boxes.csv:1: the header must be image,xmin"),
        (b"", "boxes.csv:1: the header must be"),
        (HEADER.encode() + b"\xff\xfe,1,2,3,4,cat\n", r"boxes\.csv:2: no text in UTF-8"),
    ],
)
def test_no_such_csv(images: Folder, content: bytes, reason: str) -> None:
    path = images.root.parent / "boxes.csv"
    path.write_bytes(content)
    for read in (check_csv, lambda path: read_csv(path, images)):
        with pytest.raises(DataError, match=reason):
            read(path)


def test_all_lines_that_are_wrong_are_told(images: Folder) -> None:
    text = HEADER + "meadow.jpg,1,2,3,cat\nmeadow.jpg,a,2,3,4,cat\nmeadow.jpg,1,2,3,4,\n"
    with pytest.raises(DataError) as raised:
        read_csv(written(images, text), images)
    for line in (2, 3, 4):
        assert f"boxes.csv:{line}: " in str(raised.value)
