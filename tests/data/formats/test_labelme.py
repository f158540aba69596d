"""LabelMe's files: rectangles as they are, other shapes by the boxes around them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from photos import boxes_of, folder_of, write_json

from bana.data.formats.common import CUT_OFF, Folder
from bana.data.formats.labelme import read_labelme
from bana.data.importing import import_boxes
from bana.data.voc_files import DataError
from bana.evaluation.mask_files import WRITERS, Masked


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
        f"{path}: circles taken by the boxes around them (1)",
        f"{path}: masks taken by the boxes around them (1)",
        f"{path}: polygons taken by the boxes around them (1)",
        f"{path}: shapes 'line' passed over, as they have no inside (1)",
        f"{path}: shapes 'point' passed over, as they have no inside (1)",
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


def test_a_name_is_read_from_the_folder_of_its_file(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "a.jpg", "sub/a.jpg", "sub/b.jpg", "x/c.jpg", "y/c.jpg")
    lm, value = tmp_path / "lm", held(shape([[1, 2], [3, 4]]))
    write_json(lm / "a.json", value)
    write_json(lm / "sub/a.json", value)
    write_json(lm / "sub/deep/b.json", held(name="..\\b.jpg"))
    write_json(lm / "y/c.json", held(name="c.jpg"))
    found = [each.path for each in read_labelme(lm, images).photographs]
    names = ("a.jpg", "sub/a.jpg", "sub/b.jpg", "y/c.jpg")
    assert found == [images.root / name for name in names]
    # Beside a photograph it is of that one, wherever the files begin.
    write_json(images.root / "sub/a.json", value)
    for path in (images.root / "sub", images.root / "sub/a.json"):
        (photograph,) = read_labelme(path, images).photographs
        assert photograph.path == images.root / "sub/a.jpg"


def test_a_name_that_may_be_of_two_folders_is_refused(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "a.jpg", "cam2/a.jpg", "cam2/b.jpg")
    path = write_json(tmp_path / "lm/cam1/a.json", held())
    with pytest.raises(
        DataError, match=r"a.json: 'a.jpg' may be a.jpg or cam2/a.jpg in .*: rename"
    ):
        read_labelme(path, images)


def test_the_only_photograph_of_a_name_is_taken_and_told(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "images/b.jpg", "x/a.jpg", "y/a.jpg")
    write_json(tmp_path / "other/labels/b.json", held(name="b.jpg"))
    read = read_labelme(tmp_path / "other", images)
    assert [each.path for each in read.photographs] == [tmp_path / "im/images/b.jpg"]
    told = "photographs of the name found in another folder than their file's (1)"
    assert read.notes == [f"{tmp_path / 'other'}: {told}"]
    write_json(tmp_path / "other/labels/a.json", held())
    with pytest.raises(DataError, match=r"a.json: 'a.jpg' may be x/a.jpg or y/a.jpg in .*: rename"):
        read_labelme(tmp_path / "other", images)


def test_a_turned_rectangle_is_told(images: Folder, tmp_path: Path) -> None:
    upright = shape([[20, 15], [50, 15], [50, 45], [20, 45]])
    path = write_json(tmp_path / "a.json", held(upright))
    assert read_labelme(path, images).notes == []
    write_json(path, held(upright, shape([[35, 15], [50, 30], [35, 45], [20, 30]])))
    read = read_labelme(path, images)
    assert boxes_of(read)["a.jpg"] == [("cat", (20, 15, 50, 45))] * 2
    assert read.notes == [f"{path}: turned boxes taken by the upright boxes around them (1)"]


def test_shapes_of_one_label_and_group_are_one_object(images: Folder, tmp_path: Path) -> None:
    one, two, three, four = (
        [[1, 2], [3, 4]],
        [[10, 12], [13, 14]],
        [[5, 6], [7, 8]],
        [[2, 2], [9, 9]],
    )
    shapes = [
        {**shape(one), "group_id": 1},
        {**shape(two), "group_id": 1},
        {**shape(two, label="dog"), "group_id": 1},
        {**shape(three), "group_id": 2},
        shape(three),
        shape(four),
        {**shape([[0, 0]], "point"), "group_id": 1},
    ]
    path = write_json(tmp_path / "a.json", held(*shapes))
    read = read_labelme(path, images)
    assert boxes_of(read)["a.jpg"] == [
        ("cat", (1, 2, 13, 14)),
        ("dog", (10, 12, 13, 14)),
        ("cat", (5, 6, 7, 8)),
        ("cat", (5, 6, 7, 8)),
        ("cat", (2, 2, 9, 9)),
    ]
    assert read.photographs[0].boxes[0].where == f"{path}: shape 1"
    assert f"{path}: objects of several shapes that share a label and a group (1)" in read.notes


def test_our_own_masks_come_back_as_their_boxes(images: Folder, tmp_path: Path) -> None:
    """Two boxes, one with a mask in three parts, through the file that `bana masks` writes."""
    label = torch.zeros(60, 80, dtype=torch.uint8)
    for rows, columns in ((slice(5, 20), slice(4, 30)), (slice(30, 33), 12), (40, slice(20, 22))):
        label[rows, columns] = 1
    label[8:50, 50:70] = 2
    boxes = torch.tensor([[4.0, 5, 30, 41], [50, 8, 70, 50]])
    numbers, classes = torch.tensor([1, 2]), ("background", "cat", "dog")
    image = Masked("a", images.root / "a.jpg", "a.jpg", label, boxes, numbers, classes)
    WRITERS["labelme"].write(tmp_path / "labelme", image)
    read = read_labelme(tmp_path / "labelme", images)
    assert boxes_of(read)["a.jpg"] == [("cat", (4, 5, 30, 41)), ("dog", (50, 8, 70, 50))]


def test_polygons_far_outside_are_refused_and_circles_cut_off(
    images: Folder, tmp_path: Path
) -> None:
    near = shape([[-1.5, 5], [30, 10], [20, 50]], "polygon")
    circle = shape([[40, 30], [40, 900]], "circle")
    path = write_json(tmp_path / "a.json", held(near, circle))
    read = read_labelme(path, images)
    assert boxes_of(read)["a.jpg"] == [("cat", (0, 5, 30, 50)), ("cat", (0, 0, 80, 60))]
    assert f"{path}: {CUT_OFF} (1)" in read.notes
    write_json(path, held(shape([[-300, 5], [30, 10], [20, 50]], "polygon")))
    with pytest.raises(DataError, match=r"shape 1: box \(-300, 5, 30, 50\).* out by 300 pixels"):
        import_boxes("labelme", path, images.root, tmp_path / "out")


def test_no_files(images: Folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no .json file in the folder"):
        read_labelme(images.root, images)
