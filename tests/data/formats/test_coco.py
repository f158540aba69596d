"""COCO's files as a source of boxes: what the file says besides is kept for the masks' files."""

from pathlib import Path

import pytest
from photos import folder_of, write_json

from bana.data.formats.coco import read_coco_boxes
from bana.data.voc_files import DataError

RUNS = {"size": [60, 80], "counts": [60 * 70, 60 * 10]}

FLAT = "{}: annotations left out, as their boxes have no area (1): 6"


def held(**crowd) -> dict:
    image = {"id": 12, "file_name": "photos/a.jpg", "width": 80, "height": 60, "flickr": "x"}
    box = {"id": 4, "image_id": 12, "category_id": 9, "bbox": [1, 2, 30, 40], "iscrowd": 0}
    thing = {**box, "id": 5, "iscrowd": 1, **crowd}
    flat = {**box, "id": 6, "bbox": [1, 2, 0, 40]}
    second = {**box, "id": 7, "note": "second", "segmentation": [[0, 0, 5, 0, 5, 5]]}
    return {
        "info": {"year": 2026},
        "images": [image],
        "categories": [{"id": 9, "name": "cat", "supercategory": "pet"}],
        "annotations": [box, thing, flat, second],
    }


def test_entries_beside_the_boxes_they_are_of(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "a.jpg")
    made = held(segmentation=RUNS)
    read = read_coco_boxes(write_json(tmp_path / "c.json", made), images)
    (photograph,) = read.photographs
    assert photograph.path == tmp_path / "im/a.jpg" and len(photograph.boxes) == 2
    assert read.notes == [FLAT.format(tmp_path / "c.json")]
    assert read.coco.head == {"info": {"year": 2026}}
    assert read.coco.categories == made["categories"]
    (entry,) = read.coco.images
    assert entry.name == "a" and entry.image == made["images"][0]
    assert [each["id"] for each in entry.boxes] == [4, 7], "in the order of the boxes"
    assert entry.boxes[1]["note"] == "second" and "segmentation" not in entry.boxes[1]
    assert entry.crowds == [made["annotations"][1]]


def test_what_is_flagged_ignore_is_a_crowd(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "a.jpg")
    made = held(iscrowd=0, ignore=1, segmentation=RUNS)
    path = write_json(tmp_path / "c.json", made)
    read = read_coco_boxes(path, images)
    (photograph,) = read.photographs
    assert len(photograph.boxes) == 2 and len(photograph.crowds) == 1
    assert read.coco.images[0].crowds == [made["annotations"][1]], "as it stands"
    assert f"{path}: annotations flagged ignore, read as crowds (1): 5" in read.notes


def test_ignore_that_is_no_flag_is_refused(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "a.jpg")
    with pytest.raises(DataError, match="annotation 5: ignore is"):
        read_coco_boxes(write_json(tmp_path / "c.json", held(ignore=2)), images)


def test_categories_that_no_annotation_has_are_in_nobodys_way(tmp_path: Path) -> None:
    images, made = folder_of(tmp_path / "im", "a.jpg"), held(segmentation=RUNS)
    own = made["categories"]
    made["categories"] = [{"id": 0, "name": "background"}, {"id": 1, "name": "dog"}, *own]
    read = read_coco_boxes(write_json(tmp_path / "few.json", made), images)
    assert read.classes == ("background", "dog", "cat"), "a split without dogs has their number"
    assert "that no annotation has, left out (1): background" in read.notes[0]
    made["categories"] = [*({"id": 10 + n, "name": f"c{n}"} for n in range(300)), *own]
    read = read_coco_boxes(write_json(tmp_path / "many.json", made), images)
    assert read.classes == ("background", "cat")
    assert "that no annotation has, left out (300): c0" in read.notes[0]
    assert read.coco.categories == made["categories"]


def test_boxes_of_background_are_refused(tmp_path: Path) -> None:
    images, made = folder_of(tmp_path / "im", "a.jpg"), held()
    made["categories"][0]["name"] = "background"
    with pytest.raises(DataError, match="have a category called background.*: remove them"):
        read_coco_boxes(write_json(tmp_path / "c.json", made), images)


def test_a_crowd_that_cannot_be_drawn_is_left_out_and_told(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "a.jpg")
    for number, wrong in enumerate(({}, {"segmentation": [[1, 2]]}, {"segmentation": None})):
        path = write_json(tmp_path / f"{number}.json", held(**wrong))
        read = read_coco_boxes(path, images)
        assert read.coco.images[0].crowds == [] and len(read.photographs[0].crowds) == 1
        assert read.notes[1:] == [
            f"{path}: 1 crowd without a segmentation, left out of COCO's files of masks"
        ]
