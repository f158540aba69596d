"""Label Studio's exports: percent become pixels, and two opinions are not mixed."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from photos import boxes_of, folder_of, write_json

from bana.data.boxes import check_boxes
from bana.data.formats.common import CUT_OFF, Folder
from bana.data.formats.labelstudio import read_labelstudio
from bana.data.voc_files import DataError


@pytest.fixture
def images(tmp_path: Path) -> Folder:
    return folder_of(tmp_path / "im", "a b.jpg", "sub/c.jpg")


def region(kind: str = "rectanglelabels", labels: Any = ("cat",), **value: Any) -> dict[str, Any]:
    value = value or {"x": 12.5, "y": 25, "width": 50, "height": 50, "rotation": 0}
    return {
        "id": "r1",
        "type": kind,
        "original_width": 80,
        "original_height": 60,
        "value": {**value, kind: list(labels) if isinstance(labels, tuple) else labels},
    }


def task(*regions: dict[str, Any], image: str = "a b.jpg", number: int = 7) -> dict[str, Any]:
    done = {"id": 1, "was_cancelled": False, "result": list(regions)}
    return {"id": number, "data": {"image": image, "text": "a cat"}, "annotations": [done]}


def read(images: Folder, *tasks: dict[str, Any]) -> Any:
    return read_labelstudio(write_json(images.root.parent / "export.json", list(tasks)), images)


@pytest.mark.parametrize(
    "image",
    [
        "a b.jpg",
        "/data/upload/3/1a2b3c4d-a%20b.jpg",
        "/data/local-files/?d=im/a%20b.jpg",
        "https://host/im/a%20b.jpg",
    ],
    ids=["name", "upload", "local", "url"],
)
def test_percent_become_pixels(image: str, images: Folder) -> None:
    made = read(images, task(region(), image=image), task(image="sub/c.jpg", number=8))
    assert boxes_of(made) == {"a b.jpg": [("cat", (10, 15, 50, 45))], "c.jpg": []}
    assert made.photographs[0].size == (80, 60) and not made.notes and not made.failed


@pytest.mark.parametrize(
    ("image", "more"),
    [
        ("/data/upload/1/1a2b3c4d-a.jpg", {}),
        ("1a2b3c4d-a.jpg", {"file_upload": "1a2b3c4d-a.jpg"}),
    ],
    ids=["path", "name"],
)
def test_an_upload_says_nothing_of_its_folder(image: str, more: dict, tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "a.jpg", "x/a.jpg")
    with pytest.raises(DataError, match=r"task 7: 'a.jpg' may be a.jpg or x/a.jpg in .*: rename"):
        read(images, task(region(), image=image) | more)
    (images.root / "x/a.jpg").unlink()
    made = read(Folder(images.root), task(region(), image=image) | more)
    assert list(boxes_of(made)) == ["a.jpg"]


@pytest.mark.parametrize(
    "image",
    [
        "20240131-a.jpg",
        "/data/local-files/?d=im/20240131-a.jpg",
        "/data/local-files/?d=upload/20240131-a.jpg",
        "https://host/im/20240131-a.jpg",
    ],
    ids=["name", "local", "folder", "url"],
)
def test_a_name_of_somebodys_own_is_not_taken_for_an_upload(image: str, tmp_path: Path) -> None:
    """A date looks as the eight digits of an upload do, and a.jpg is another photograph."""
    images = folder_of(tmp_path / "im", "a.jpg")
    told = "'20240131-a.jpg' is not in .* nothing says that it is an upload of a.jpg: give"
    with pytest.raises(DataError, match=told):
        read(images, task(region(), image=image))
    images = folder_of(tmp_path / "im", "a.jpg", "20240131-a.jpg")
    assert list(boxes_of(read(images, task(region(), image=image)))) == ["20240131-a.jpg"]


def test_the_minimal_export(images: Folder) -> None:
    flat = region()
    flat = {**flat.pop("value"), "original_width": 80, "original_height": 60}
    minimal = {"id": 1, "image": "a b.jpg", "label": [flat], "annotator": 1, "lead_time": 2.5}
    assert boxes_of(read(images, minimal)) == {"a b.jpg": [("cat", (10, 15, 50, 45))]}


def test_labels_given_apart_from_shapes(images: Folder) -> None:
    shape = {"x": 12.5, "y": 25, "width": 50, "height": 50, "rotation": 0}
    plain = region("rectangle", **shape)
    del plain["value"]["rectangle"]
    assert boxes_of(read(images, task(plain, region("labels", **shape)))) == {
        "a b.jpg": [("cat", (10, 15, 50, 45))]
    }


def test_turned_boxes_and_other_shapes(images: Folder) -> None:
    # A quarter turn clockwise about the upper left corner: the box hangs to the left of it.
    quarter = {"x": 50, "y": 50, "width": 10, "height": 10, "rotation": 90}
    polygon = region("polygonlabels", points=[[50, 50], [75, 50], [50, 100]])
    ellipse = region("ellipselabels", x=50, y=50, radiusX=25, radiusY=10, rotation=0)
    others = [region(**quarter), polygon, ellipse]
    others = [{**each, "id": f"r{number}"} for number, each in enumerate(others)]
    choice = {"id": "c", "type": "choices", "value": {"choices": ["good"]}}
    point = {**region("keypointlabels", x=1, y=2), "id": "k"}
    made = read(images, task(*others, choice, point))
    assert boxes_of(made)["a b.jpg"] == [
        ("cat", (34, 30, 40, 38)),
        ("cat", (40, 30, 60, 60)),
        ("cat", (20, 24, 60, 36)),
    ]
    assert [note.split(": ", 1)[1] for note in made.notes] == [
        "ellipses taken by the boxes around them (1)",
        "key points passed over (1)",
        "polygons taken by the boxes around them (1)",
        "results without a shape passed over (1)",
        "turned boxes taken by the upright boxes around them (1)",
    ]


def test_what_a_turn_takes_out_of_the_photograph_is_cut_off_in_words(images: Folder) -> None:
    corner = region(x=0, y=50, width=10, height=10, rotation=45)
    made = read(images, task(corner))
    ((_, (x1, *_)),) = boxes_of(made)["a b.jpg"]
    assert x1 == 0 and sum(CUT_OFF in note for note in made.notes) == 1


def test_two_regions_of_one_id_are_refused(images: Folder) -> None:
    other = region("rectanglelabels", x=1, y=2, width=3, height=4, rotation=0)
    with pytest.raises(DataError, match="task 7: two regions have the id 'r1', but another 'x'"):
        read(images, task(region(), other))
    # Without ids they are two.
    both = [{**each, "id": None} for each in (region(), other)]
    assert len(boxes_of(read(images, task(*both)))["a b.jpg"]) == 2


@pytest.mark.parametrize("turn", [90, 180, 270.0])
def test_a_photograph_that_was_turned_is_refused(turn: float, images: Folder) -> None:
    with pytest.raises(DataError, match="region r1: the photograph was turned"):
        read(images, task({**region(), "image_rotation": turn}))
    assert boxes_of(read(images, task({**region(), "image_rotation": 0})))


def test_predictions_are_counted(images: Folder) -> None:
    guessed = {**task(region()), "predictions": [{"result": []}, 12]}
    made = read(images, guessed, {**task(image="sub/c.jpg"), "predictions": None})
    assert [note.split(": ", 1)[1] for note in made.notes] == ["predictions not used (2)"]


def test_two_opinions_are_not_mixed(images: Folder) -> None:
    twice = task(region())
    twice["annotations"] *= 2
    made = read(images, twice, task(image="sub/c.jpg"))
    assert list(boxes_of(made)) == ["c.jpg"]
    assert "task 7: 2 annotations: keep one of them" in made.failed["a b"]
    twice["annotations"] = [*twice["annotations"][:1], {"was_cancelled": True, "result": []}]
    assert boxes_of(read(images, twice)) == {"a b.jpg": [("cat", (10, 15, 50, 45))]}


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (task(region(labels=("cat", "dog"))), "['cat', 'dog'] is not one label"),
        (task(region(labels=())), "None is not one label"),
        (task(region(labels=(3,))), "the label is 3, not a text"),
        (task(region(x=320, y=1, width=1, height=1)), "x is 320, not in percent"),
        (task(region(x="x", y=1, width=1, height=1)), 'x is "x", not a number'),
        (task({**region(), "original_width": None}), "original_width is null"),
        (task(image="a b.txt"), "0 photographs in its data, not one"),
        (task(region("polygonlabels", points=[[1, 1], [2, 2]])), "fewer than 3 points"),
    ],
    ids=["two", "none", "number", "percent", "text", "size", "image", "polygon"],
)
def test_what_is_wrong_is_refused(made: dict[str, Any], reason: str, images: Folder) -> None:
    with pytest.raises(DataError) as error:
        read(images, made)
    assert "export.json: task 7" in str(error.value) and reason in str(error.value)


@pytest.mark.parametrize(
    ("x", "reason"), [(-1, None), (-5, "sticks out by 4 pixels"), (120, "lies wholly outside")]
)
def test_boxes_are_judged_in_pixels_as_those_of_every_format(
    x: float, reason: str | None, images: Folder
) -> None:
    """One of them is no reason to refuse the others."""
    made = read(images, task(region(x=x, y=25, width=50, height=50)))
    left = 0.8 * x
    assert boxes_of(made) == {"a b.jpg": [("cat", pytest.approx((left, 15, left + 40, 45)))]}
    corners = torch.tensor([made.photographs[0].boxes[0].corners])
    with pytest.raises(ValueError, match=reason) if reason else nullcontext():
        check_boxes(corners, 60, 80, "a b.jpg")


def test_regions_of_two_sizes(images: Folder) -> None:
    other = {**region(), "id": "r2", "original_width": 40}
    with pytest.raises(DataError, match="photographs of different sizes"):
        read(images, task(region(), other))


def test_other_json_is_refused(images: Folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is no list of tasks"):
        read_labelstudio(write_json(tmp_path / "a.json", {"a": 1}), images)


def test_relations_and_key_points_are_passed_over(images: Folder) -> None:
    relation = {"from_id": "r1", "to_id": "r2", "type": "relation", "direction": "right"}
    dot = region("keypointlabels", ["nose"], x=5, y=5, width=0.4)
    made = read(images, task(region(), relation, dot | {"id": "r2"}))
    assert [kind for kind, _ in boxes_of(made)["a b.jpg"]] == ["cat"]
    told = sorted(note.split(": ")[-1] for note in made.notes)
    assert told == ["key points passed over (1)", "relations of regions passed over (1)"]


def test_an_export_of_long_ago_is_not_read_as_empty(images: Folder) -> None:
    old = task(region())
    old["completions"] = old.pop("annotations")
    with pytest.raises(DataError, match="task 7: has completions, as Label Studio wrote before"):
        read(images, old)
