"""Changed labels against masks: what is counted, kept, resumed and compared."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bana.data.transforms import eval_image
from bana.data.voc import DataError
from bana.evaluation.boundary import boundary_areas
from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.experiment import stages
from bana.experiment.left_out import measuring
from bana.experiment.left_out.boxes import Defect
from bana.experiment.left_out.measuring import MEASURES, Bench, compared, kept_areas
from bana.experiment.left_out.steps import Change, changed_labels
from bana.experiment.profiles import Profile

CHANGES = {"as it is": Change(), "loosened 20 %": Change(Defect("loosened", 0.2))}


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Change]]:
    """Images and changes whose labels are made during a test."""
    seen: list[tuple[str, Change]] = []
    real = measuring.areas_of_change

    def watched(bench: Bench, change: Change, item: dict, features: Tensor) -> Tensor:
        seen.append((item["id"], change))
        return real(bench, change, item, features)

    watched.__module__ = real.__module__
    monkeypatch.setattr(measuring, "areas_of_change", watched)
    return seen


def features_of(bench: Bench, item: dict) -> Tensor:
    with torch.no_grad():
        return bench.model.backbone(eval_image(item, bench.settings.image_scale)[None])[0]


def test_unchanged_labels_are_those_of_the_stage(profile: Profile, bench: Bench) -> None:
    """To the last bit, from the photograph on."""
    for number in range(len(bench.data)):
        item = bench.data[number]
        expected = stages.image_labels(profile, bench.model, item)
        with torch.no_grad():
            made = changed_labels(
                bench.model, item, features_of(bench, item), bench.settings, Change()
            ).labels
        assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))


def test_areas_are_of_both_labels_and_both_measures(bench: Bench, tmp_path: Path) -> None:
    areas = kept_areas(bench, CHANGES, tmp_path, [0, 2])
    count = len(bench.data.classes)
    for name, change in CHANGES.items():
        assert areas[name].shape == (2, len(MEASURES), count, 2)
        for row, number in zip(areas[name], (0, 2), strict=True):
            item = bench.data[number]
            with torch.no_grad():
                made = changed_labels(
                    bench.model, item, features_of(bench, item), bench.settings, change
                ).labels
            mask = bench.data.mask(item["id"])
            assert torch.equal(row[0], class_areas(made.y_crf, mask, count))
            assert torch.equal(row[1], class_areas(made.y_ret, mask, count))
            assert torch.equal(row[2], boundary_areas(made.y_crf, mask, count))
            assert torch.equal(row[3], boundary_areas(made.y_ret, mask, count))


def test_what_is_there_is_not_made_again(
    bench: Bench, tmp_path: Path, looked_at: list[tuple[str, Change]]
) -> None:
    first = kept_areas(bench, CHANGES, tmp_path, [0, 1])
    assert len(looked_at) == 4
    looked_at.clear()
    again = kept_areas(bench, CHANGES, tmp_path, [0, 1, 2])
    third = bench.data.ids[2]
    assert looked_at == [(third, change) for change in CHANGES.values()]
    assert all(torch.equal(again[name][:2], areas) for name, areas in first.items())
    looked_at.clear()
    more = {**CHANGES, "T 2": Change(temperature=2)}
    kept_areas(bench, more, tmp_path, [0, 1, 2])
    assert [change for _, change in looked_at] == 3 * [Change(temperature=2)]


def test_an_interrupted_run_goes_on(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = measuring.areas_of_change, []

    def stopped(bench: Bench, change: Change, item: dict, features: Tensor) -> Tensor:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(item["id"])
        return real(bench, change, item, features)

    stopped.__module__ = real.__module__
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "areas_of_change", stopped)
        with pytest.raises(KeyboardInterrupt):
            kept_areas(bench, {"as it is": Change()}, tmp_path, [0, 1, 2])
        assert seen == bench.data.ids[:2]
        seen.clear()
        kept_areas(bench, {"as it is": Change()}, tmp_path, [0, 1, 2])
        assert seen == bench.data.ids[2:]


@pytest.mark.parametrize("what", ["change", "settings", "weights", "seed"])
def test_results_of_something_else_are_not_taken(
    what: str, bench: Bench, tmp_path: Path, looked_at: list[tuple[str, Change]]
) -> None:
    kept_areas(bench, {"one": Change()}, tmp_path, [0])
    looked_at.clear()
    change, other = Change(), bench
    if what == "change":
        change = Change(temperature=0.5)
    elif what == "settings":
        assert bench.settings.unary is not None
        unary = replace(bench.settings.unary, background_threshold=0.9)
        other = bench._replace(settings=replace(bench.settings, unary=unary))
    elif what == "seed":
        other = bench._replace(seed=7)
    else:
        with torch.no_grad():
            bench.model.weight += 1
    kept_areas(other, {"one": change}, tmp_path, [0])
    assert len(looked_at) == 1


def test_comparison_is_the_one_rule_of_verdict(bench: Bench, tmp_path: Path) -> None:
    areas = kept_areas(bench, CHANGES, tmp_path, [0, 1, 2])
    base, other = areas.values()
    rows = compared(other, base)
    assert set(rows) == set(MEASURES)
    for column, measure in enumerate(MEASURES):
        expected = paired_difference(other[None, :, column], base[None, :, column])
        row = rows[measure]
        assert (row["mean"], row["low"], row["high"]) == expected
        assert row["miou"] == pytest.approx(float(mean_iou(other[:, column].sum(0))))
    same = compared(base, base)
    assert all(row["mean"] == 0 and row["verdict"] == "not told apart" for row in same.values())


def test_an_image_without_mask_is_told_before_anything_is_made(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_at: list
) -> None:
    monkeypatch.setattr(bench.data, "mask_path", lambda name: tmp_path / f"{name}.png")
    with pytest.raises(DataError, match=f"{bench.data.ids[0]}.png"):
        kept_areas(bench, CHANGES, tmp_path, [0])
    assert not looked_at
