"""LabelMe's files: rectangles as they are, other shapes by the boxes around them."""

from pathlib import Path
from typing import Any

import pytest
from photos import boxes_of, folder_of, write_json

from bana.data.formats.common import Folder
from bana.data.formats.labelme import read_labelme
from bana.data.voc_files import DataError


@pytest.fixture
def images(tmp_path: Path) -> Folder:
    return folder_of(tmp_path / "im", "a.jpg", "sub/b c.jpg")


def shape(points: Any, form: str = "rectangle", label: Any = "cat") -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": form, "group_id": None, "flags": {}}


def held(*shapes: dict[str, Any], name: str = "a.jpg", **changes: Any) -> dict[str, Any]:
    made = {"imagePath": name, "imageWidth": 80, "imageHeight": 60, "imageData": None}
    return {**made, "shapes": list(shapes), **changes}


def test_rectangles_have_any_two_corners(images: Folder, tmp_path: Path) -> None:
    write_json(
        tmp_path / "lm/a.json",
        held(shape([[50.5, 40], [10, 20.25]]), shape([[0, 60], [80, 0]], label="traffic light")),
    )
    write_json(tmp_path / "lm/b c.json", held(shape([[1, 2], [3, 4]]), name="..\\im\\sub\\b c.jpg"))
    read = read_labelme(tmp_path / "lm", images)
    assert boxes_of(read) == {
        "a.jpg": [("cat", (10, 20.25, 50.5, 40)), ("traffic light", (0, 0, 80, 60))],
        "b c.jpg": [("cat", (1, 2, 3, 4))],
    }
    assert read.classes is None and not read.notes and read.photographs[0].size == (80, 60)


def test_other_shapes_are_counted(images: Folder, tmp_path: Path) -> None:
    shapes = (
        shape([[10, 20], [30, 10], [20, 50]], "polygon"),
        shape([[40, 30], [43, 34]], "circle"),
        shape([[4, 5], [9, 9]], "mask"),
        shape([[4, 5]], "point"),
        shape([[4, 5], [9, 9]], "line"),
    )
    path = write_json(tmp_path / "a.json", held(*shapes))
    read = read_labelme(path, images)
    boxes = [("cat", (10, 10, 30, 50)), ("cat", (35, 25, 45, 35)), ("cat", (4, 5, 10, 10))]
    assert boxes_of(read)["a.jpg"] == boxes
    assert read.notes == [
        f"{path}: 1 circles taken by the boxes around them",
        f"{path}: 1 masks taken by the boxes around them",
        f"{path}: 1 polygons taken by the boxes around them",
        f"{path}: 1 shapes 'line' passed over, as they have no inside",
        f"{path}: 1 shapes 'point' passed over, as they have no inside",
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "no list of 'shapes'"),
        ({"shapes": {}}, "no list of 'shapes'"),
        (held(imagePath=None), "imagePath is null, not a text"),
        (held(imageWidth="wide"), "imageWidth is \"wide\", not a number"),
        (held(imageHeight=0), "imageHeight is 0, not a whole number from 1 up"),
        (held(shape([[1, 2], [3, 4]], label=3)), "shape 1: the label is 3, not a text"),
        (held(shape([[1, 2], [3, 4]], label="")), "shape 1: the label is empty"),
        (held(shape([[1, 2]])), "shape 1: a rectangle of 1 points"),
        (held(shape([[1, 2], [3, 4]], "polygon")), "shape 1: a polygon of 2 points"),
        (held(shape([[1, 2], [3, 4]], "star")), "a shape of type 'star' is not known"),
        (held(shape([[1, 2], [3, "x"]])), "a coordinate is \"x\", not a number"),
        (held(shape([[1, 2], [3, float("nan")]])), "a coordinate is NaN, not a number"),
        (held(shape([[1, 2], 3])), "points is no list of pairs"),
        (held("cat"), "shape 1: is no object"),
    ],
    ids=[
        "list", "shapes", "path", "width", "height", "label-3", "label-empty", "one-point",
        "two-points", "star", "text", "nan", "pair", "string",
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(value: Any, reason: str, images: Folder, tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", value)
    with pytest.raises(DataError) as error:
        read_labelme(path, images)
    assert str(error.value).startswith(str(path)) and reason in str(error.value)


def test_a_file_that_names_another_photograph(images: Folder, tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", held(name="b c.jpg"))
    with pytest.raises(DataError, match=r"imagePath is 'b c.jpg', but a.jpg is there too"):
        read_labelme(path, images)
    # A file of a name that no photograph has contradicts nothing.
    path = path.rename(tmp_path / "other.json")
    assert list(boxes_of(read_labelme(path, images))) == ["b c.jpg"]


def test_a_name_is_taken_as_it_stands(tmp_path: Path) -> None:
    """Two spaces are not one: that would be another photograph."""
    images = folder_of(tmp_path / "im", "b c.jpg", "b  c.jpg")
    path = write_json(tmp_path / "other.json", held(shape([[1, 2], [3, 4]]), name="b  c.jpg"))
    assert list(boxes_of(read_labelme(path, images))) == ["b  c.jpg"]


def test_a_turned_rectangle_is_told(images: Folder, tmp_path: Path) -> None:
    upright = shape([[20, 15], [50, 15], [50, 45], [20, 45]])
    path = write_json(tmp_path / "a.json", held(upright))
    assert read_labelme(path, images).notes == []
    write_json(path, held(upright, shape([[35, 15], [50, 30], [35, 45], [20, 30]])))
    read = read_labelme(path, images)
    assert boxes_of(read)["a.jpg"] == [("cat", (20, 15, 50, 45))] * 2
    assert read.notes == [f"{path}: 1 turned boxes taken by the upright boxes around them"]


def test_no_files(images: Folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no .json file in the folder"):
        read_labelme(images.root, images)
