"""Photographs whose labels differ most come first, and the curve says what that is worth."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bana.data.voc_files import PALETTE, DataError, write_mask
from bana.experiment.mask_folder import keep_labels, keep_record
from bana.experiment.review.order import (
    Entry,
    errors_of,
    review_curve,
    review_order,
    write_order,
)

CLASSES = ("background", "zebra", "tv")


def square(number: int, side: int = 10) -> Tensor:
    """A square in the upper left corner, uint8 [20, 30]."""
    label = torch.zeros(20, 30, dtype=torch.uint8)
    label[:side, :side] = number
    return label


def kept(out: Path, name: str, differ: list[float], areas: list[int], label: Tensor) -> None:
    boxes = [[int(label.max()), 0.0, 0.0, 10.0, 10.0]] * len(differ)
    record = {"file_name": f"{name}.jpg", "boxes": boxes, "areas": areas, "differ": differ}
    keep_record(out, name, record)
    keep_labels(out, name, label, label)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    kept(tmp_path, "b", [0.5, 0.1], [9, 0], square(1))
    kept(tmp_path, "x/a", [0.9], [9], square(2))
    kept(tmp_path, "a", [0.3], [9], square(1, 5))
    return tmp_path


def test_the_mean_over_boxes_decides_and_then_the_name(out: Path) -> None:
    entries = review_order(out, ["a", "b", "x/a"])
    assert [entry.name for entry in entries] == ["x/a", "a", "b"]
    assert entries[2] == Entry("b", "b.jpg", pytest.approx(0.3), 2, 1)


def test_the_order_as_csv(out: Path) -> None:
    write_order(out / "review.csv", review_order(out, ["a", "b", "x/a"]))
    with (out / "review.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["x/a.jpg", "a.jpg", "b.jpg"]
    assert rows[0] == {
        "rank": "1",
        "image": "x/a.jpg",
        "differ": "0.9000",
        "boxes": "1",
        "empty": "0",
    }


def test_errors_are_counted_in_boxes_and_by_the_names_of_classes(out: Path) -> None:
    truth = out / "truth"
    # VOC's tvmonitor is 20 and is what the masks' "tv" means; 255 is not counted.
    mask = square(20)
    mask[:5, :10] = 255
    write_mask(truth / "x/a.png", mask)
    write_mask(truth / "b.png", square(20))  # another class than the masks'
    outside = square(0)
    outside[15:, 20:] = 20
    write_mask(truth / "a.png", outside)
    errors = errors_of(out, review_order(out, ["a", "b", "x/a"]), CLASSES, truth)
    assert errors == {"x/a": 0, "b": 1, "a": 0.25}


def test_truth_with_classes_of_its_own(out: Path) -> None:
    truth = out / "truth"
    write_mask(truth / "a.png", square(1, 5))
    (truth / "classes.txt").write_text("background\nzebra\n")
    entries = review_order(out, ["a", "b", "x/a"])
    assert errors_of(out, entries, CLASSES, truth) == {"a": 0}
    write_mask(truth / "b.png", square(2))
    (truth / "classes.txt").write_text("background\nzebra\ncat\n")
    assert errors_of(out, entries, CLASSES, truth) == {"a": 0, "b": 1}


def test_classes_above_are_found_from_inside_the_folder(out: Path, monkeypatch) -> None:
    truth = out / "above/truth"
    write_mask(truth / "a.png", square(1, 5))
    (out / "above/classes.txt").write_text("background\nzebra\n")
    monkeypatch.chdir(truth)
    assert errors_of(out, review_order(out, ["a"]), CLASSES, Path(".")) == {"a": 0}


def test_classes_that_differ_in_signs_are_not_taken_for_one(out: Path) -> None:
    truth, classes = out / "truth", ("background", "C++", "C#")
    write_mask(truth / "a.png", square(1, 5))
    (truth / "classes.txt").write_text("background\nC++\nC#\n")
    assert errors_of(out, review_order(out, ["a"]), classes, truth) == {"a": 0}


def test_truth_of_other_numbers_is_refused(out: Path) -> None:
    truth, entries = out / "truth", review_order(out, ["a", "b", "x/a"])
    write_mask(truth / "a.png", square(1, 5))
    numbering = r"read with the numbers 0 to 20, of background to tvmonitor, and 255: write"
    with pytest.raises(
        DataError, match=rf"no mask has a pixel of the boxes' classes. .*{numbering}"
    ):
        errors_of(out, entries, CLASSES, truth)  # 1 is VOC's aeroplane
    write_mask(truth / "a.png", square(255, 5))
    with pytest.raises(DataError, match="no mask has a pixel of the boxes' classes"):
        errors_of(out, entries, CLASSES, truth)
    write_mask(truth / "a.png", square(77, 5))
    with pytest.raises(DataError, match=rf"a\.png: has the number 77\. .*{numbering}"):
        errors_of(out, entries, CLASSES, truth)


def test_truth_whose_palette_was_compacted_is_refused(out: Path) -> None:
    """Its indices are not the classes that its colours show, and the boxes tell which are meant."""
    truth, entries = out / "truth", review_order(out, ["x/a"])
    truth.mkdir()
    (truth / "classes.txt").write_text("background\nzebra\ncar\ntv\n")
    (truth / "x").mkdir()
    picture = Image.fromarray(square(1, 9).numpy()).convert("P")
    picture.putpalette(PALETTE[[0, 3]].ravel().tolist())
    picture.save(truth / "x/a.png")
    with pytest.raises(DataError, match=r"a\.png: index 1 has the colour that VOC gives to 3"):
        errors_of(out, entries, CLASSES, truth)
    write_mask(truth / "x/a.png", square(3, 9))
    assert errors_of(out, entries, CLASSES, truth) == {"x/a": 0.19}


def test_truth_that_is_none(out: Path) -> None:
    entries = review_order(out, ["a"])
    with pytest.raises(DataError, match="no such folder of masks"):
        errors_of(out, entries, CLASSES, out / "none")
    (out / "truth").mkdir()
    with pytest.raises(DataError, match="no mask of any of the 1 photographs"):
        errors_of(out, entries, CLASSES, out / "truth")
    write_mask(out / "truth/a.png", torch.zeros(5, 5, dtype=torch.uint8))
    with pytest.raises(DataError, match=r"a\.png: \(5, 5\), but the photograph is \(20, 30\)"):
        errors_of(out, entries, CLASSES, out / "truth")


def test_the_best_order_and_the_worst() -> None:
    errors = [0.5] * 4 + [0.0] * 16
    best, worst = review_curve(errors), review_curve(errors[::-1])
    (point,) = [each for each in best["points"] if each["looked_at"] == 20]
    assert point["caught"]["value"] == point["best"] == point["worst_fifth"]["value"] == 100
    assert point["chance"] == 20
    (point,) = [each for each in worst["points"] if each["looked_at"] == 20]
    assert point["caught"]["value"] == 0 and point["best"] == 100
    assert best["gain"]["value"] == pytest.approx(-worst["gain"]["value"])
    assert best["gain"]["low"] > 0 > worst["gain"]["high"]
    assert best["caught"] == [0, 25, 50, 75, 100, *[100] * 16]
    assert best["mean_error"] == 10 and best["photographs"] == 20


def test_chance_is_told_from_nothing() -> None:
    errors = np.random.default_rng(1).random(200)
    gain = review_curve(errors.tolist())["gain"]
    assert gain["low"] < 0 < gain["high"] and abs(gain["value"]) < 5
    assert review_curve([0.0] * 10)["gain"] == {"value": 0, "low": 0, "high": 0}
    assert review_curve([0.5])["photographs"] == 1
