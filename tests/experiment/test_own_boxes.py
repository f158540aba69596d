"""Boxes of one's own as training data: what is refused, what is held out, what a network sees."""

import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from photos import csv_of, write_discs, write_json, write_photo

from bana.data.formats.common import Folder
from bana.data.formats.detection import read_boxes
from bana.data.voc_files import DataError
from bana.experiment import own_boxes
from bana.experiment.masking import MaskJob, classes_of, mask_jobs
from bana.experiment.own_boxes import (
    BoxedPhotographs,
    Looked,
    check_enough,
    described_jobs,
    large_enough,
    looked_at,
    parted,
)

CLASSES = ("background", "red", "green", "blue")


def jobs_of(images: Path, kind: str, boxes: Path) -> list[MaskJob]:
    read = read_boxes(kind, boxes, Folder(images))
    return mask_jobs(read, Folder(images), classes_of(read))


def fake(*kinds: tuple[int, ...]) -> list[MaskJob]:
    """Photographs that nobody looks into, with the classes of their boxes."""
    return [MaskJob(str(n), f"{n}.jpg", None, numbers) for n, numbers in enumerate(kinds)]


@pytest.mark.parametrize(("size", "side"), [((80, 60), 40), ((320, 240), 160), ((60, 80), 100)])
def test_photographs_are_brought_to_size_with_their_boxes(
    size: tuple[int, int], side: int, tmp_path: Path
) -> None:
    write_photo(tmp_path / "im/a.jpg", size)
    boxes = csv_of(tmp_path / "b.csv", [["a.jpg", 20, 10, 60, 50, "cat"]])
    (item,) = BoxedPhotographs(jobs_of(tmp_path / "im", "csv", boxes), side)
    factor = side / max(size)
    assert tuple(item["image"].shape[:0:-1]) == tuple(round(s * factor) for s in size)
    assert item["boxes"].canvas_size == tuple(item["image"].shape[1:])
    assert item["boxes"][0].tolist() == pytest.approx([x * factor for x in (20, 10, 60, 50)])
    assert item["labels"].tolist() == [1] and item["labels"].dtype == torch.int64
    assert item["id"] == "a" and "crowds" not in item and "mask" not in item


def test_crowds_come_along(tmp_path: Path) -> None:
    write_photo(tmp_path / "im/a.jpg")
    entries = [
        {"id": n, "image_id": 1, "category_id": 1, "bbox": [20, 10, 20, 20], "iscrowd": n - 1}
        for n in (1, 2)
    ]
    image = {"id": 1, "file_name": "a.jpg", "width": 80, "height": 60}
    held = {"images": [image], "categories": [{"id": 1, "name": "cat"}], "annotations": entries}
    boxes = write_json(tmp_path / "c.json", held)
    (item,) = BoxedPhotographs(jobs_of(tmp_path / "im", "coco", boxes), 40)
    assert item["crowds"].tolist() == item["boxes"].tolist() == [[10, 5, 20, 15]]


def test_a_fifth_is_held_out_by_the_seed() -> None:
    jobs = fake(*[(1 + n % 2,) for n in range(50)])
    train, held = parted(jobs, seed=0)
    assert len(held) == 10 and len(train) == 40
    assert sorted(job.name for job in train + held) == sorted(job.name for job in jobs)
    assert parted(jobs, seed=0) == (train, held) != parted(jobs, seed=1)


def test_of_many_photographs_no_more_than_enough_are_held_out() -> None:
    _, held = parted(fake(*[(1,)] * 1000), seed=0)
    assert len(held) == own_boxes.MOST_HELD_OUT


@pytest.mark.parametrize("seed", range(5))
def test_every_class_keeps_half_of_its_photographs_to_train_on(seed: int) -> None:
    jobs = fake(*[(1, 2) if n < 3 else (3, 3) if n == 3 else (1,) for n in range(30)])
    train, held = parted(jobs, seed)
    assert len(held) == 6
    left = Counter(number for job in train for number in set(job.numbers))
    assert left[2] >= 2 and left[3] == 1


def test_classes_of_one_photograph_leave_nothing_to_measure_on() -> None:
    with pytest.raises(DataError, match="none can be held out to measure on: leave --train out"):
        parted(fake(*[(n, n) for n in range(1, 31)]), seed=0)


@pytest.mark.parametrize(
    ("kinds", "background", "told"),
    [
        ([(1, 2)] * 19, 0.5, "--train: 19 photographs with boxes are too few to learn from"),
        ([(1, 1)] * 30, 0.5, "needs two with 5 boxes; there is red (60): leave --train out"),
        ([(1,)] * 30 + [(2,)] * 4, 0.5, "needs two with 5 boxes; there is red (30), green (4)"),
        ([(1, 2)] * 30, 0.1, "the boxes fill all but 0 of 30 photographs"),
    ],
    ids=["photographs", "one-class", "few-boxes", "no-background"],
)
def test_what_nothing_is_learned_from_is_refused(
    kinds: list[tuple[int, ...]], background: float, told: str
) -> None:
    with pytest.raises(DataError) as caught:
        check_enough(fake(*kinds), CLASSES, kinds, [background] * len(kinds), 0.125)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).endswith("leave --train out, which trains nothing")


def test_just_enough() -> None:
    jobs = fake(*[(1,)] * 15, *[(2,)] * 5)
    learned = [job.numbers for job in jobs]
    check_enough(jobs, CLASSES, learned, [0.5] * 20, 0.125)
    check_enough([*jobs, *fake((1,))], CLASSES, [*learned, (1,)], [0.5] * 20 + [0.1], 0.125)
    told = "there is red (15), green (4), and 1 box of less than 8 pixels where photographs are"
    with pytest.raises(DataError, match=re.escape(told)):
        check_enough(jobs, CLASSES, [*learned[:-1], ()], [0.5] * 20, 0.125)


def test_boxes_that_training_leaves_out_are_not_counted(tmp_path: Path) -> None:
    write_photo(tmp_path / "im/a.jpg", (80, 60))
    rows = [["a.jpg", 20, 10, 28, 50, "cat"], ["a.jpg", 0, 0, 40, 60, "dog"]]
    (job,) = jobs_of(tmp_path / "im", "csv", csv_of(tmp_path / "b.csv", rows))
    assert large_enough(job, 80) == [1, 2] and large_enough(job, 79) == [2]


def test_each_photograph_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = write_discs(tmp_path / "im", 4)
    (tmp_path / "im/2.jpg").write_bytes(b"no photograph")
    jobs = jobs_of(tmp_path / "im", "csv", boxes)
    seen = looked_at(tmp_path, jobs, 1)
    assert list(seen) == [job.name for job in jobs]
    assert "2.jpg: not an image" in seen["2"].reason
    outside = 1 - 28 * 28 / (80 * 60)
    assert seen["0"] == Looked("", pytest.approx(outside, abs=1e-6))
    monkeypatch.setattr(own_boxes, "checked_photograph", lambda photograph: 1 / 0)
    assert looked_at(tmp_path, jobs, 1) == seen
    write_photo(tmp_path / "im/2.jpg")
    with pytest.raises(ZeroDivisionError):
        looked_at(tmp_path, jobs, 1)


def test_what_a_training_depends_on(tmp_path: Path) -> None:
    boxes = write_discs(tmp_path / "im", 2)
    before = described_jobs(jobs_of(tmp_path / "im", "csv", boxes))
    assert before == described_jobs(jobs_of(tmp_path / "im", "csv", boxes))
    write_photo(tmp_path / "im/0.jpg")
    after = described_jobs(jobs_of(tmp_path / "im", "csv", boxes))
    assert after[0] != before[0] and after[1] == before[1]
    text = boxes.read_text().replace("1.jpg,13", "1.jpg,12")
    assert text != boxes.read_text()
    boxes.write_text(text)
    moved = described_jobs(jobs_of(tmp_path / "im", "csv", boxes))
    assert moved[1] != after[1] and moved[0] == after[0]
