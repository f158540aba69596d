"""CVAT's files: boxes as they are, turned ones by the boxes around them."""

from pathlib import Path

import pytest
from photos import boxes_of, folder_of, write_text

from bana.data.formats.common import CUT_OFF, Folder
from bana.data.formats.cvat import read_cvat
from bana.data.voc_files import DataError

BOX = '<box label="cat" xtl="10" ytl="20.5" xbr="50" ybr="40"/>'


@pytest.fixture
def images(tmp_path: Path) -> Folder:
    return folder_of(tmp_path / "im", "a.jpg", "sub/a.jpg")


def written(tmp_path: Path, shapes: str, more: str = "", name: str = "a.jpg") -> Path:
    image = f'<image id="0" name="{name}" width="80" height="60">{shapes}</image>'
    return write_text(tmp_path / "cvat.xml", f"<annotations>{more}{image}</annotations>")


def test_boxes_and_the_order_of_classes(images: Folder, tmp_path: Path) -> None:
    labels = "".join(f"<label><name>{name}</name></label>" for name in ("dog", "cat", "dog"))
    more = f"<meta><task><labels>{labels}</labels></task></meta>"
    more += '<image id="1" name="sub/a.jpg" width="80" height="60"/>'
    read = read_cvat(written(tmp_path, BOX, more), images)
    assert [str(p.path.relative_to(images.root)) for p in read.photographs] == [
        str(Path("sub/a.jpg")),
        "a.jpg",
    ]
    assert boxes_of(read)["a.jpg"] == [("cat", (10, 20.5, 50, 40))]
    assert not read.photographs[0].boxes and read.photographs[1].size == (80, 60)
    assert read.classes == ("background", "dog", "cat") and not read.notes


def test_other_shapes_are_counted(images: Folder, tmp_path: Path) -> None:
    shapes = (
        '<box label="cat" xtl="10" ytl="20" xbr="30" ybr="26" rotation="90.0"/>'
        '<box label="cat" xtl="10" ytl="20" xbr="30" ybr="26" rotation="0"/>'
        '<polygon label="dog" points="10.5,20;30,10;20,50"/>'
        '<ellipse label="dog" cx="40" cy="30" rx="10" ry="5"/>'
        '<mask label="dog" rle="1, 2" left="4" top="5" width="10" height="3"/>'
        '<points label="dog" points="1,2"/><tag label="dog"/>'
    )
    path = written(tmp_path, shapes)
    read = read_cvat(path, images)
    assert boxes_of(read)["a.jpg"] == [
        ("cat", (17, 13, 23, 33)),
        ("cat", (10, 20, 30, 26)),
        ("dog", (10.5, 10, 30, 50)),
        ("dog", (30, 25, 50, 35)),
        ("dog", (4, 5, 14, 8)),
    ]
    assert [note.removeprefix(f"{path}: ") for note in read.notes] == [
        "<points> passed over (1)",
        "<tag> passed over (1)",
        "ellipses taken by the boxes around them (1)",
        "masks taken by the boxes around them (1)",
        "polygons taken by the boxes around them (1)",
        "turned boxes taken by the upright boxes around them (1)",
    ]


@pytest.mark.parametrize(
    ("shapes", "more", "reason"),
    [
        ('<box label="cat" xtl="10" ytl="20" xbr="50"/>', "", "ybr is null, not a number"),
        (BOX.replace("10", "ten"), "", "image 'a.jpg', box 1: xtl is \"ten\""),
        (BOX.replace('label="cat"', ""), "", "label is null, not a text"),
        ('<polygon label="cat" points="1,2;3,4"/>', "", "points is not x,y;x,y;x,y"),
        ('<star label="cat"/>', "", "<star> is not known"),
        ("", '<track id="0" label="cat"/>', "tracks of a video"),
        ("", '<image id="2" name="a.jpg" width="x" height="60"/>', 'image 1: width is "x"'),
        ("", '<image id="2" width="80" height="60"/>', "image 1: name is null"),
    ],
    ids=["side", "ten", "label", "points", "star", "video", "width", "name"],
)
def test_what_is_wrong_is_refused(
    shapes: str, more: str, reason: str, images: Folder, tmp_path: Path
) -> None:
    path = written(tmp_path, shapes, more)
    with pytest.raises(DataError) as error:
        read_cvat(path, images)
    assert str(error.value).startswith(str(path)) and reason in str(error.value)


def test_polygons_far_outside_stay_as_they_are(images: Folder, tmp_path: Path) -> None:
    """And are refused with the photograph at hand, as boxes there are; turned boxes are cut off."""
    shapes = '<polygon label="dog" points="-900,20;30,10;20,50"/>'
    shapes += '<ellipse label="dog" cx="40" cy="30" rx="90" ry="5"/>'
    path = written(tmp_path, shapes)
    read = read_cvat(path, images)
    assert boxes_of(read)["a.jpg"] == [("dog", (-900, 10, 30, 50)), ("dog", (0, 25, 80, 35))]
    assert f"{path}: {CUT_OFF} (1)" in read.notes


def test_groups_are_told_and_not_joined(images: Folder, tmp_path: Path) -> None:
    """They may hold different objects."""
    part = '<polygon label="dog" points="10,20;30,10;20,50" group_id="{}"/>'
    path = written(tmp_path, "".join(map(part.format, (3, 3, 4, 0, 0))) + BOX)
    read = read_cvat(path, images)
    assert len(read.photographs[0].boxes) == 6
    told = f"{path}: shapes that share a group, each taken as a box of its own (2)"
    assert told in read.notes
    assert not any("group" in note for note in read_cvat(written(tmp_path, BOX), images).notes)


def test_a_name_is_taken_as_it_stands(tmp_path: Path) -> None:
    """Two spaces are not one: that would be another photograph."""
    images = folder_of(tmp_path / "im", "b c.jpg", "b  c.jpg")
    path = written(tmp_path, BOX, name="b  c.jpg")
    assert list(boxes_of(read_cvat(path, images))) == ["b  c.jpg"]


def test_other_xml_is_refused(images: Folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not of CVAT but <annotation>"):
        read_cvat(write_text(tmp_path / "a.xml", "<annotation/>"), images)
