"""A classifier of one's own boxes: what it learns, what is kept, what is told."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from colours import classifier_of, colours
from photos import write_discs, write_photo

from bana.data.formats.common import Folder
from bana.data.formats.detection import read_boxes
from bana.data.voc_files import read_image
from bana.experiment import classifying, own_classifier
from bana.experiment.mask_free import MEASURES
from bana.experiment.masking import classes_of, mask_jobs
from bana.experiment.own_boxes import BoxedPhotographs
from bana.experiment.own_classifier import (
    NAME,
    OwnSettings,
    begun,
    own_settings,
    told,
    train_on_boxes,
)
from bana.experiment.pretrained import Pretrained, load_pretrained, masks, pooling_of
from bana.experiment.profiles import get_profile
from bana.networks import backbones
from bana.networks.classifier import BoxClassifier
from bana.training.machine import Machine

SIDE = 64
HERE = Machine(accelerator="cpu", loader_workers=0)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small crops, and few of them, for a backbone that is one."""
    monkeypatch.setitem(backbones.BACKBONES, "colours", colours)

    def smaller(photographs: int, side: int, iterations: int | None = None) -> OwnSettings:
        made = own_settings(photographs, side, iterations)
        few = replace(made.optimisation, batch=4)
        return replace(made, crops=replace(made.crops, crop=65), optimisation=few)

    monkeypatch.setattr(own_classifier, "own_settings", smaller)


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the labels of photographs held out, which take most of the time."""
    nothing = {measure: torch.zeros(1) for measure in MEASURES}
    monkeypatch.setattr(own_classifier, "_measure", lambda *_: (nothing, nothing))


@pytest.fixture
def start() -> Pretrained:
    """Knows red, and nothing of green."""
    torch.manual_seed(0)
    return classifier_of("red", "blue", rows=torch.randn(3, 3) / 10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_discs(tmp_path / "im", 25)
    return tmp_path


def train(
    folder: Path, start: Pretrained, iterations: int = 2, machine: Machine = HERE
) -> tuple[Pretrained, dict]:
    images = Folder(folder / "im")
    read = read_boxes("csv", folder / "boxes.csv", images)
    classes = classes_of(read)
    jobs = mask_jobs(read, images, classes)
    return train_on_boxes(folder / "out", jobs, classes, start, SIDE, iterations, machine)


def rows_of(model: Pretrained) -> list[list[float]]:
    return model.classifier.weight.tolist()


def test_it_begins_where_the_other_is(start: Pretrained) -> None:
    with torch.no_grad():
        start.classifier.backbone.body[0].weight.mul_(2)
    before = start.classifier.weight.clone()
    model = begun(start, ("background", "green", "Red"), 0)
    assert torch.equal(model.weight[0], before[0]) and torch.equal(model.weight[2], before[1])
    assert model.weight[1].isfinite().all() and model.weight.requires_grad
    assert torch.equal(model.backbone.body[0].weight, start.classifier.backbone.body[0].weight)
    assert model.backbone.body[0].weight is not start.classifier.backbone.body[0].weight
    assert torch.equal(start.classifier.weight, before)


def test_it_pools_as_the_other_does(start: Pretrained) -> None:
    like = BoxClassifier(start.classifier.backbone, 2, "gap", 2, 1, 0.5)
    model = begun(replace(start, classifier=like), ("background", "green"), 0)
    assert pooling_of(model) == pooling_of(like)


def test_a_kept_training_leaves_torchs_generator_alone(
    folder: Path, start: Pretrained, unmeasured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, kept = own_classifier._trained, []

    @functools.wraps(make)  # its module is part of the key
    def watched(*given):
        torch.manual_seed(9)
        before = torch.get_rng_state()
        made = make(*given)
        kept.append(torch.equal(torch.get_rng_state(), before))
        return made

    monkeypatch.setattr(own_classifier, "_trained", watched)
    train(folder, start)
    train(folder, start)
    assert kept[1]


@pytest.mark.parametrize(("photographs", "iterations"), [(20, 200), (480, 300), (5000, 500)])
def test_iterations_by_the_number_of_photographs(photographs: int, iterations: int) -> None:
    settings = own_settings(photographs, SIDE)
    assert settings.optimisation.iterations == iterations
    profile = get_profile("voc-mini")
    assert replace(settings.optimisation, iterations=500) == profile.classifier
    assert settings.crops.crop == profile.crop and settings.frozen_stages == profile.frozen_stages
    assert own_settings(photographs, SIDE, 7).optimisation.iterations == 7


def test_it_learns_colours_that_it_did_not_know(folder: Path, start: Pretrained) -> None:
    own, report = train(folder, start, 20)
    assert own.classes == ("background", "green", "red")
    named = report["named_by_own"]["after"]
    assert named["value"] > 90 > report["most_frequent"]
    assert report["measures"]["named"]["boxes"] < len(report["held_out"]), "of red alone"


def test_the_report_and_the_files(folder: Path, start: Pretrained) -> None:
    (folder / "im/3.jpg").write_bytes(b"no photograph")
    own, report = train(folder, start)
    assert json.loads((folder / "out/train.json").read_text()) == report
    assert report["photographs"] == 20 and len(report["held_out"]) == 4
    assert list(report["left_out"]) == ["3"] and "3" not in report["held_out"]
    assert report["iterations"] == 2 and report["few"] == {}
    assert set(report["measures"]) == {"agreement", "found", "named"}
    # What Python gets of it.
    again = load_pretrained(NAME, folder / "out/classifier")
    assert again.classes == own.classes and rows_of(again) == rows_of(own)
    assert again.unary == start.unary and again.crf == start.crf
    made = masks(
        read_image(folder / "im/0.jpg"), torch.tensor([[10.0, 14, 38, 42]]), ["green"], own
    )
    assert made.y_crf.shape == (60, 80) and made.classes.tolist() == [0, 1]


def test_photographs_held_out_have_no_part_in_the_training(
    folder: Path, start: Pretrained, monkeypatch: pytest.MonkeyPatch, unmeasured: None
) -> None:
    seen: set[str] = set()
    load = BoxedPhotographs.__getitem__

    def noting(self: BoxedPhotographs, index: int) -> dict:
        seen.add(self.jobs[index].name)
        return load(self, index)

    monkeypatch.setattr(BoxedPhotographs, "__getitem__", noting)
    _, report = train(folder, start, 10)
    assert len(seen) == 20 and not seen & set(report["held_out"])


def test_a_class_of_boxes_too_small_for_training_is_told(
    folder: Path, start: Pretrained, unmeasured: None
) -> None:
    boxes = train(folder, start)[1]["boxes"]
    with (folder / "boxes.csv").open("a") as file:
        file.writelines(f"{number}.jpg,1,1,6,6,ant\n" for number in range(25))
    _, report = train(folder, start)
    assert report["few"] == {"ant": 0} and report["boxes"] == boxes


def test_nothing_is_trained_twice(
    folder: Path, start: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(folder, start)
    monkeypatch.setattr(classifying, "train_classifier", lambda *_: 1 / 0)
    monkeypatch.setattr(own_classifier, "box_measures", lambda *_: 1 / 0)
    again = train(folder, start)
    assert rows_of(again[0]) == rows_of(first[0]) and again[1] == first[1]


@pytest.mark.parametrize("change", ["photograph", "box", "iterations", "start"])
def test_what_has_changed_trains_anew(
    change: str,
    folder: Path,
    start: Pretrained,
    monkeypatch: pytest.MonkeyPatch,
    unmeasured: None,
) -> None:
    train(folder, start)
    iterations = 2
    if change == "photograph":
        write_photo(folder / "im/0.jpg")
        write_photo(folder / "im/1.jpg")  # one of the two is trained on
    elif change == "box":
        text = (folder / "boxes.csv").read_text()
        (folder / "boxes.csv").write_text(text.replace(",14,", ",13,"))
    elif change == "iterations":
        iterations = 3
    else:
        start = replace(start, about=start.about | {"hash": "another"})
    monkeypatch.setattr(classifying, "train_classifier", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(folder, start, iterations)


def test_a_training_that_was_ended_goes_on(
    folder: Path, start: Pretrained, monkeypatch: pytest.MonkeyPatch, unmeasured: None
) -> None:
    unbroken = rows_of(train(folder, start, 4)[0])
    (folder / "out").rename(folder / "first")
    load, loads = BoxedPhotographs.__getitem__, []

    def ending(self: BoxedPhotographs, index: int) -> dict:
        loads.append(index)
        if len(loads) == 10:
            raise RuntimeError("the power is gone")
        return load(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(BoxedPhotographs, "__getitem__", ending)
        with pytest.raises(RuntimeError, match="the power is gone"):
            train(folder, start, 4, replace(HERE, checkpoint_minutes=0))
    assert list((folder / "out/kept/train").glob("classifier-*/checkpoint-00000002-*.pt"))
    drawn = len(loads)
    with monkeypatch.context() as patch:
        patch.setattr(BoxedPhotographs, "__getitem__", ending)
        assert rows_of(train(folder, start, 4)[0]) == unbroken
    assert len(loads) - drawn == 8, "the two batches of four that were left"


def test_what_was_begun_with_other_boxes_goes(
    folder: Path, start: Pretrained, unmeasured: None
) -> None:
    train(folder, start)
    train(folder, start, 3)
    assert len(list((folder / "out/kept/train").glob("classifier-*"))) == 1


def row(before: float, after: float, low: float, high: float) -> dict:
    return {
        "before": {"value": before, "low": 0, "high": 100},
        "after": {"value": after, "low": 0, "high": 100},
        "gain": {"mean": after - before, "low": low, "high": high},
        "boxes": 9,
    }


def report_of(agreement: dict, found: dict) -> dict:
    nothing = {"before": None, "after": None, "gain": None, "boxes": 0}
    return {
        "photographs": 80,
        "boxes": 200,
        "iterations": 200,
        "held_out": ["a"] * 20,
        "left_out": {"b": "damaged"},
        "few": {"ant": 2},
        "measures": {"agreement": agreement, "found": found, "named": nothing},
        "named_by_own": {"after": {"value": 81.2, "low": 70, "high": 90}},
        "most_frequent": 40.0,
    }


UP, DOWN, SAME = (50, 60, 2, 18), (60, 50, -18, -2), (50, 51, -3, 5)


@pytest.mark.parametrize(
    ("found", "agreement", "conclusion"),
    [
        (UP, DOWN, "boxes are found better after the training, a sign and no proof"),
        (DOWN, UP, "boxes are found worse after the training: it may have made masks worse"),
        (SAME, UP, "the training is not told apart from none by the boxes found again"),
    ],
    ids=["higher", "lower", "neither"],
)
def test_what_is_told(found: tuple, agreement: tuple, conclusion: str) -> None:
    lines = told(report_of(row(*agreement), row(*found)))
    assert lines[0].startswith("trained on 200 boxes in 80 photographs, 200 iterations; 20")
    assert lines[1] == "1 photographs that cannot be read had no part in it"
    assert lines[2] == "classes with fewer than 5 boxes to train on: ant (2)"
    assert "names 81 % [70, 90] rightly; the most frequent class is 40 %" in lines[3]
    assert lines[4].startswith("boxes found again from larger ones, % (9 boxes)")
    assert ("not told apart" in lines[4]) == (found == SAME)
    assert len(lines) == 7, "nothing of a measure that no box has"
    assert lines[-1].startswith(conclusion)
    assert "the masks are those of the trained classifier" in lines[-1]


def test_without_a_box_to_enlarge_nothing_is_concluded() -> None:
    report = report_of(row(*UP), row(*UP))
    report["measures"]["found"] = report["measures"]["named"]
    assert told(report)[-1].startswith("no box can be enlarged")
