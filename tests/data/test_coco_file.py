"""COCO files by other programs: what is certain is read, everything else is one line."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bana.data.checks import DataError
from bana.data.coco_file import _runs, checked_segmentation, read_instances

POLYGON = [[20, 15, 50, 15, 50, 45, 20, 45]]
HEIGHT, WIDTH = 60, 80


def written(folder: Path, part: str = "", number: int = 0, **changes) -> Path:
    """A file with three annotations, and changes in one entry of one part; ... takes a key away."""
    box = {"image_id": 1, "category_id": 1, "bbox": [20, 15, 30, 30], "segmentation": POLYGON}
    file = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"id": n, **box, "iscrowd": 0, "area": 900} for n in range(3)],
    }
    if part:
        entry = {**file[part][number], **changes}
        file[part][number] = {key: value for key, value in entry.items() if value is not ...}
    path = folder / "a.json"
    path.write_text(json.dumps(file))
    return path


READ_AS = [
    ("images", "width", 80.0, 80),
    ("images", "height", "60", 60),
    ("images", "id", "1", 1),
    ("images", "id", 1.0, 1),
    ("categories", "id", "1", 1),
    ("categories", "name", 5, "5"),
    ("categories", "name", " big \n cat ", "big cat"),
    ("annotations", "image_id", "1", 1),
    ("annotations", "iscrowd", "0", 0),
    ("annotations", "iscrowd", True, 1),
    ("annotations", "iscrowd", ..., 0),
    ("annotations", "bbox", ["20", 15.0, 30, "30.5"], [20, 15, 30, 30.5]),
    ("annotations", "area", "900", 900.0),
]


@pytest.mark.parametrize(("part", "key", "value", "expected"), READ_AS, ids=range(len(READ_AS)))
def test_certain_values(tmp_path, part, key, value, expected):
    entry = read_instances(written(tmp_path, part, 0, **{key: value}))[part][0]
    assert entry[key] == expected and type(entry[key]) is type(expected)


def test_a_box_that_cvat_turned_is_refused(tmp_path):
    """Its file for COCO has the box before the turn; a truth of masks has what was outlined."""
    for angle in (0.0, 360, "left", None):
        path = written(tmp_path, "annotations", 0, attributes={"rotation": angle})
        assert len(read_instances(path)["annotations"]) == 3
    path = written(tmp_path, "annotations", 0, attributes={"occluded": False, "rotation": 33.0})
    with pytest.raises(DataError, match=r"annotation 0: its attribute rotation .* by 33 degrees"):
        read_instances(path)
    assert len(read_instances(path, need="segmentation")["annotations"]) == 3


REFUSED = [
    ("images", "width", None, "image 1: width is null, not a number"),
    ("images", "width", 80.5, "image 1: width is 80.5, not a whole number"),
    ("images", "height", 0, "image 1: 80 x 0 is no size"),
    ("images", "file_name", 12, "image 1: file_name is 12, not a text"),
    ("images", "file_name", "", "image 1: file_name is empty"),
    ("images", "file_name", ..., "images 1: no 'file_name'"),
    ("images", "id", True, "images 1: id is true, not a number"),
    ("images", "id", "a.jpg", 'images 1: id is "a.jpg", not a number'),
    ("categories", "id", "01", 'categories 1: id is "01", not a whole number'),
    ("categories", "name", None, "category 1: name is null, not a text"),
    ("categories", "name", math.nan, "category 1: name is NaN, not a text"),
    ("categories", "id", 2, "categories: id 2 occurs twice"),
    ("annotations", "id", 1.5, "annotations 1: id is 1.5"),
    ("annotations", "id", "1", "annotations: id 1 occurs twice"),
    ("annotations", "image_id", 9, "annotation 0: there is no image 9"),
    ("annotations", "category_id", "9", "annotation 0: unknown category 9"),
    ("annotations", "iscrowd", math.nan, "annotation 0: iscrowd is NaN"),
    ("annotations", "iscrowd", None, "annotation 0: iscrowd is null"),
    ("annotations", "iscrowd", "false", 'annotation 0: iscrowd is "false"'),
    ("annotations", "iscrowd", 2, "annotation 0: iscrowd is 2, not 0 or 1"),
    ("annotations", "bbox", None, "annotation 0: bbox is null, not x, y, width, height"),
    ("annotations", "bbox", [1, 2, 3], "annotation 0: bbox is [1, 2, 3], not x, y, width, height"),
    (
        "annotations",
        "bbox",
        [1, 2, math.inf, 3],
        "annotation 0: bbox [1, 2, Infinity, 3]: width is Infinity, not a number",
    ),
    ("annotations", "area", "large", 'annotation 0: area is "large"'),
]


@pytest.mark.parametrize(("part", "key", "value", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_values_that_are_not(tmp_path, part, key, value, reason):
    path = written(tmp_path, part, 0, **{key: value})
    with pytest.raises(DataError) as caught:
        read_instances(path)
    assert str(caught.value).startswith(f"{path}: {reason}") and "\n" not in str(caught.value)


def test_everything_at_fault_is_told(tmp_path):
    path = written(tmp_path)
    file = json.loads(path.read_text())
    for entry in file["annotations"]:
        entry["bbox"] = None
    file["annotations"].append("no object")
    path.write_text(json.dumps(file))
    with pytest.raises(DataError) as caught:
        read_instances(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: 4 things are wrong:" and len(lines) == 5


@pytest.mark.parametrize("text", ["[]", "{}", "3", '{"images": [], "categories": {}}'])
def test_other_files(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match="no COCO file of instances, it has no '"):
        read_instances(path)


@pytest.mark.parametrize("segmentation", [POLYGON, ...], ids=["outline", "area"])
def test_corners_instead_of_sides(tmp_path, segmentation):
    path = written(tmp_path)
    file = json.loads(path.read_text())
    for entry in file["annotations"]:
        entry["bbox"] = [20, 15, 50, 45]
        if segmentation is ...:
            del entry["segmentation"]
    path.write_text(json.dumps(file))
    with pytest.raises(DataError, match=r"annotation 0: bbox \[20.*\] is two corners"):
        read_instances(path)
    # One in many is chance, or a mistake of another kind.
    file["annotations"] = [{**entry, "id": n} for n, entry in enumerate(file["annotations"][:1])]
    file["annotations"] += [
        {**file["annotations"][0], "id": n + 1, "bbox": [20, 15, 30, 30]} for n in range(3)
    ]
    path.write_text(json.dumps(file))
    assert len(read_instances(path)["annotations"]) == 4


def drawn(value: object) -> object:
    return checked_segmentation(value, HEIGHT, WIDTH, "annotation 7")


def mask() -> np.ndarray:
    made = np.zeros((HEIGHT, WIDTH), np.uint8)
    made[15:45, 20:50] = 1
    made[3, 7] = 1
    return made


def test_segmentations_that_are_right():
    assert drawn(POLYGON) == [[float(value) for value in POLYGON[0]]]
    assert drawn([["20", 15, 50, 15, 50, 45]]) == [[20, 15, 50, 15, 50, 45]]
    packed = coco_mask.encode(np.asfortranarray(mask()))
    assert drawn(packed) == {"size": [60, 80], "counts": packed["counts"].decode()}
    assert drawn({"size": [60.0, 80], "counts": [0, 4800.0]})["counts"] == [0, 4800]


def test_compressed_run_lengths_are_cocos():
    generator = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.3, 0.7, 1.0):
        some = (generator.random((HEIGHT, WIDTH)) < share).astype(np.uint8)
        flat = some.T.ravel()
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *edges, flat.size]).tolist()
        runs = [0, *runs] if flat[0] else runs
        assert _runs(coco_mask.encode(np.asfortranarray(some))["counts"].decode()) == runs


WRONG = [
    (None, "it is null"),
    ([], r"it is \[\]"),
    ("text", "it is "),
    ([[]], "no polygon of three points"),
    ([[20, 15, 50, 45]], "no polygon of three points"),
    ([[20, 15, 50, 15, 50]], "no polygon of three points"),
    ([20, 15, 50, 15, 50, 45], "no polygon of three points"),
    ([[20, 15, 50, 15, 50, None]], "null, not a number"),
    ([[20, 15, 50, 15, 50, math.nan]], "far outside of 80 x 60"),
    ([[20, 15, 50, 15, 50, 1e9]], "far outside of 80 x 60"),
    ({}, "run lengths of size null"),
    ({"size": [80, 60], "counts": [0, 4800]}, r"size \[80, 60\], height and width"),
    ({"size": "60", "counts": [0, 4800]}, "run lengths of size"),
    ({"size": [60, 80], "counts": [0, 4799]}, "add up to 4799, not 4800"),
    ({"size": [60, 80], "counts": [0, 99999]}, "add up to 99999"),
    ({"size": [60, 80], "counts": [5, -5, 4800]}, "add up to"),
    ({"size": [60, 80], "counts": []}, "add up to 0"),
    ({"size": [60, 80], "counts": None}, "no run lengths but null"),
    ({"size": [60, 80], "counts": ["x"]}, "not a number"),
    ({"size": [60, 80], "counts": "x"}, "add up to"),
    ({"size": [60, 80], "counts": ""}, "add up to 0"),
    ({"size": [60, 80], "counts": "~~~"}, "add up to"),
    ({"size": [60, 80], "counts": "\u00e9"}, "add up to nothing"),
    ({"size": [60, 80], "counts": "P" * 50}, "add up to nothing"),
]


@pytest.mark.parametrize(("value", "reason"), WRONG, ids=range(len(WRONG)))
def test_segmentations_that_are_wrong(value, reason):
    with pytest.raises(DataError, match=f"^annotation 7: no segmentation to decode: .*{reason}"):
        drawn(value)
