"""A promptable model beside labels learned from boxes: what is scored, kept and said."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import be_quick, make_profile
from tiny_sam import save_tiny_sam
from torch import Tensor

from bana.baselines import filled_boxes
from bana.data.voc import DataError
from bana.evaluation.boundary import boundary_areas
from bana.evaluation.intervals import Difference, estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import verdict
from bana.experiment import prompting
from bana.experiment.left_out import measuring, running
from bana.experiment.left_out.boxes import Defect, drawn
from bana.experiment.left_out.catalogue import Experiment
from bana.experiment.left_out.measuring import Bench, kept_areas
from bana.experiment.left_out.running import bench_of, left_out
from bana.experiment.left_out.steps import Change
from bana.experiment.profiles import Profile
from bana.experiment.promptable import Promptable, Prompted, filled_masks, load_promptable, prompted
from bana.experiment.prompting import DRAWINGS, kept_answers, kept_card, sam_card, sam_lines

PROFILE = make_profile(name="prompting", val_limit=3, losses=("nal",), label_workers=1)
CPU = torch.device("cpu")
SHARES = {"loosened 5 %": 0.05, "loosened 10 %": 0.1, "loosened 20 %": 0.2, "loosened 30 %": 0.3}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prompting")


@pytest.fixture(scope="module")
def checkpoint(runs: Path) -> Path:
    return save_tiny_sam(runs / "checkpoints" / "tiny")


@pytest.fixture(autouse=True)
def profile(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Profile]:
    be_quick(monkeypatch)
    monkeypatch.setenv("BANA_RUNS", str(runs))
    yield PROFILE


@pytest.fixture
def bench(profile: Profile) -> Bench:
    return bench_of(profile)


@pytest.fixture
def model(checkpoint: Path) -> Promptable:
    return load_promptable(checkpoint, CPU)


@pytest.fixture
def card(profile: Profile, checkpoint: Path) -> dict:
    return sam_card(profile, checkpoint)


def in_the_module(function: Callable) -> Callable:
    """Stands in for a function of the module, which is in the keys of what is kept."""
    function.__module__ = prompting.__name__
    return function


def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Positions of the images that are looked at from now on."""
    seen, real = [], prompting.image_answer

    def watched(promptable: Promptable, bench: Bench, number: int) -> dict:
        seen.append(number)
        return real(promptable, bench, number)

    monkeypatch.setattr(prompting, "image_answer", in_the_module(watched))
    return seen


def by_hand(model: Promptable, bench: Bench, share: float) -> dict[str, Tensor]:
    """Areas of boxes filled and of the model's labels, loosened: [N, 2 measures, L + 1, 2]."""
    made: dict[str, list[Tensor]] = {"boxes": [], "sam": []}
    count = len(bench.data.classes)
    for number in range(len(bench.data)):
        item = bench.data[number]
        image, boxes = item["image"].as_subclass(Tensor), item["boxes"].as_subclass(Tensor)
        size, mask = tuple(image.shape[1:]), bench.data.mask(item["id"])
        if share:
            defect = Defect("loosened", share)
            boxes = drawn(boxes, item["labels"], size, defect, item["id"], bench.seed).boxes
        masks = prompted(model, image, boxes).masks
        for kind, label in (
            ("boxes", filled_boxes(boxes, item["labels"], *size)),
            ("sam", filled_masks(masks, boxes, item["labels"])),
        ):
            both = class_areas(label, mask, count), boundary_areas(label, mask, count)
            made[kind].append(torch.stack(both))
    return {kind: torch.stack(areas) for kind, areas in made.items()}


def test_drawings_are_those_of_the_experiment_on_boxes():
    expected = {name: Change(Defect("loosened", share)) for name, share in SHARES.items()}
    assert {"unchanged": Change()} | expected == DRAWINGS


def test_every_label_is_scored_on_the_same_images_and_boxes(card, profile, bench, model, tmp_path):
    assert json.loads(json.dumps(card)) == card  # as a record holds it
    assert list(card["drawings"]) == list(DRAWINGS) and card["images"] == 3
    learned = kept_areas(bench, DRAWINGS, tmp_path, range(3))
    for name in DRAWINGS:
        areas = by_hand(model, bench, SHARES.get(name, 0))
        areas["y_crf"] = learned[name][:, [0, 2]]
        for column, measure in enumerate(("miou", "boundary")):
            row = card["drawings"][name][measure]
            sides = {kind: side[:, column] for kind, side in areas.items()}
            for kind, side in sides.items():
                assert row[kind] == estimate(side, mean_iou)._asdict()
            for other in ("y_crf", "boxes"):
                ahead = paired_difference(sides["sam"][None], sides[other][None])
                assert row[f"sam - {other}"] == ahead._asdict() | {"verdict": verdict(ahead)}
    scores = [card["drawings"][name]["miou"]["sam"]["value"] for name in DRAWINGS]
    assert len(set(scores)) == len(DRAWINGS)  # looser boxes are other labels


def test_classes_are_scored_apart(profile, checkpoint, bench, model, tmp_path, monkeypatch):
    monkeypatch.setattr(prompting, "FEW", 2)
    card = sam_card(profile, checkpoint)
    areas = by_hand(model, bench, 0)
    areas["y_crf"] = kept_areas(bench, {"one": Change()}, tmp_path, range(3))["one"]
    assert list(card["classes"]) == list(bench.data.classes)
    absent, few = 0, set()
    items = {number: bench.data[number] for number in range(3)}
    for number, row in enumerate(card["classes"].values()):
        for kind, side in areas.items():
            inside, union = side[:, 0, number].sum(0).tolist()
            if not union:
                absent += 1
                assert row[kind] is None
                continue
            assert row[kind]["value"] == pytest.approx(100 * inside / union)
            assert row[kind]["low"] <= row[kind]["value"] <= row[kind]["high"]
        where = [number in item["labels"] or number == 0 for item in map(items.get, range(3))]
        assert row["images"] == sum(where)
        ahead = row["sam - y_crf"]
        assert (ahead is None) == (sum(where) < 2)
        few.add(ahead is None)
        if ahead is not None:
            both = row["sam"]["value"] - row["y_crf"]["value"]
            assert ahead["mean"] == pytest.approx(both)
            difference = Difference(ahead["mean"], ahead["low"], ahead["high"])
            assert ahead["verdict"] == verdict(difference)
    assert few == {True, False}
    assert 0 < absent < 3 * len(card["classes"])


def test_the_card_says_which_checkpoint_it_was(card, model, checkpoint, bench):
    assert card["checkpoint"] == "tiny" and card["type"] == "sam"
    assert card["weights"] == model.weights
    learned = [each.numel() for name, each in load_file(checkpoint / "model.safetensors").items()]
    assert card["parameters"] <= sum(learned) < 1.1 * card["parameters"]  # with fixed positions
    boxes = sum(len(bench.data[number]["boxes"]) for number in range(3))
    assert card["prompts an image"] == pytest.approx(len(DRAWINGS) * boxes / 3)
    assert card["seconds an image"] > 0 and card["coverage"] == 100
    told = sam_lines(card)
    assert "tiny (sam, " in told and "boxes loosened 30 %" in told and "not told apart" in told


def test_loose_boxes_reach_the_model(bench, model, monkeypatch, tmp_path):
    asked = []

    def watched(promptable: Promptable, image: Tensor, boxes: Tensor) -> Prompted:
        asked.append(boxes)
        return prompted(promptable, image, boxes)

    monkeypatch.setattr(prompting, "prompted", watched)
    kept_answers(model, bench, tmp_path, [1])
    item = bench.data[1]
    boxes, size = item["boxes"].as_subclass(Tensor), tuple(item["image"].shape[1:])
    expected = [boxes]
    for share in SHARES.values():
        reach = share * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        moved = boxes + reach * torch.tensor([-1, -1, 1, 1])
        limits = torch.tensor([size[1], size[0]]).repeat(2)
        expected.append(torch.minimum(moved.clamp_min(0), limits))
    (found,) = asked
    torch.testing.assert_close(found, torch.cat(expected))


def test_a_second_call_looks_at_no_image(card, profile, checkpoint, monkeypatch):
    def never(*arguments: object) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr(prompting, "image_answer", in_the_module(never))
    assert sam_card(profile, checkpoint) == card


def test_an_interrupted_run_goes_on(bench, model, monkeypatch, tmp_path):
    real = prompting.image_answer

    def stopped(promptable: Promptable, bench: Bench, number: int) -> dict:
        if number == 1:
            raise KeyboardInterrupt
        return real(promptable, bench, number)

    with monkeypatch.context() as patch:
        patch.setattr(prompting, "image_answer", in_the_module(stopped))
        with pytest.raises(KeyboardInterrupt):
            kept_answers(model, bench, tmp_path, range(3))
    seen = looked_at(monkeypatch)
    assert len(kept_answers(model, bench, tmp_path, range(3))) == 3 and seen == [1, 2]


def test_other_weights_are_asked_anew_wherever_they_lie(
    bench, model, checkpoint, monkeypatch, tmp_path
):
    kept_answers(model, bench, tmp_path, [0])
    seen = looked_at(monkeypatch)
    moved = shutil.copytree(checkpoint, tmp_path / "elsewhere" / "tiny")
    kept_answers(load_promptable(moved, CPU), bench, tmp_path, [0])
    assert not seen
    other = load_promptable(save_tiny_sam(tmp_path / "other" / "tiny", seed=1), CPU)
    kept_answers(other, bench, tmp_path, [0])
    assert seen == [0]
    for changed in (
        (model._replace(files={**model.files, "config.json": "0"}), bench),
        (model, bench._replace(seed=7)),
    ):
        kept_answers(model, bench, tmp_path, [0])
        seen.clear()
        kept_answers(*changed, tmp_path, [0])
        assert seen == [0]


def test_y_crf_is_made_once_for_this_and_for_the_experiment_on_boxes(card, profile, monkeypatch):
    real, seen = measuring.areas_of_change, []

    def watched(bench: Bench, change: Change, item: dict, features: Tensor) -> Tensor:
        seen.append(change)
        return real(bench, change, item, features)

    watched.__module__ = real.__module__
    monkeypatch.setattr(measuring, "areas_of_change", watched)
    few = {"loosened 20 %": DRAWINGS["loosened 20 %"], "T 2": Change(temperature=2)}
    monkeypatch.setitem(running.EXPERIMENTS, "boxes", Experiment("How many?", few))
    made = left_out(profile, ["boxes"])["boxes"]["changes"]
    assert seen == 3 * [few["T 2"]]
    for name in ("unchanged", "loosened 20 %"):
        score = card["drawings"][name]["miou"]["y_crf"]["value"]
        assert score == pytest.approx(made[name]["y_crf"]["miou"])


def test_few_images_and_none(profile, checkpoint, monkeypatch):
    assert sam_card(profile, checkpoint, images=2)["images"] == 2
    monkeypatch.setattr(prompting, "bench_of", None)  # nothing is trained before it is told
    with pytest.raises(ValueError, match="at least one image, not 0"):
        sam_card(profile, checkpoint, images=0)
    with pytest.raises(ValueError, match="no such folder"):
        sam_card(profile, checkpoint / "none")


def test_an_image_without_mask_is_told_before_anything_is_asked(
    profile, bench, checkpoint, monkeypatch, tmp_path
):
    monkeypatch.setattr(bench.data, "mask_path", lambda name: tmp_path / f"{name}.png")
    monkeypatch.setattr(prompting, "bench_of", lambda *words: bench)
    monkeypatch.setattr(prompting, "image_answer", None)
    with pytest.raises(DataError, match=f"{bench.data.ids[0]}.png"):
        sam_card(profile, checkpoint)


def test_a_run_finds_its_card_while_labels_are_the_same(card, profile, runs, monkeypatch):
    assert kept_card(profile) == card
    shutil.move(runs / "checkpoints", runs / "away")  # it is not needed any more
    assert kept_card(profile) == card
    shutil.move(runs / "away", runs / "checkpoints")
    unary = replace(profile.unary, background="none")
    assert kept_card(replace(profile, unary=unary)) is None
    monkeypatch.setattr(prompting, "bench_of", None)  # where there is none nothing is trained
    assert kept_card(replace(profile, name="prompting-other")) is None
