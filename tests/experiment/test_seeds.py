"""Several seeds: folders that do not collide, and means and spreads worked out by hand."""

import copy
import json

import pytest

from bana.experiment.profiles import PROFILES, get_profile, with_seed
from bana.experiment.seeds import combined_record
from bana.files.paths import run_dir


def record(seed: int, miou: float, **changes) -> dict:
    row = {"miou": miou, "per_class": [miou + 10, None], "coverage": 100.0}
    made = {
        "commit": "abc",
        "profile": {"name": "voc-mini" + f"-seed{seed}" * (seed > 0), "seed": seed, "crop": 9},
        "data": {"classes": ["background", "cat"]},
        "labels_val": {"bap": row},
        "instances_val": {},
        "segmentation_val": {"nal": {"single": row, "single-crf": {**row, "miou": 2 * miou}}},
        "seconds": {"classifier-bap": 10.0 + seed},
    }
    return {**copy.deepcopy(made), **changes}


def test_folders_of_seeds_do_not_collide() -> None:
    profiles = [with_seed(p, seed) for p in PROFILES.values() for seed in range(4)]
    folders = {run_dir(profile.name) for profile in profiles}
    assert len(folders) == 4 * len(PROFILES)
    assert with_seed(get_profile("voc-mini"), 1).name == "voc-mini-seed1"
    assert with_seed(get_profile("voc-mini"), 1).seed == 1
    for profile in profiles:
        assert get_profile(profile.name) == profile  # so that every command takes the name
    with pytest.raises(ValueError, match="unknown profile 'voc-mini-seed'"):
        get_profile("voc-mini-seed")
    with pytest.raises(ValueError, match="unknown profile 'nothing-seed1'"):
        get_profile("nothing-seed1")
    own = get_profile("sample")
    assert with_seed(own, own.seed) is own
    with pytest.raises(ValueError, match="at least 0, got -1"):
        with_seed(own, -1)


def test_mean_and_spread_by_hand() -> None:
    made = combined_record([record(0, 50.0), record(1, 53.0), record(2, 59.0)], "voc-mini")
    assert made["labels_val"]["bap"]["miou"] == pytest.approx(54)
    # Deviations -4, -1, 5: 42 / 2 is the variance.
    assert made["spread"]["labels_val"]["bap"]["miou"] == pytest.approx(21**0.5)
    assert made["labels_val"]["bap"]["per_class"] == [pytest.approx(64), None]
    crf = ("segmentation_val", "nal", "single-crf", "miou")
    mean, spread = made, made["spread"]
    for key in crf:
        mean, spread = mean[key], spread[key]
    assert (mean, spread) == (pytest.approx(108), pytest.approx(2 * 21**0.5))
    assert made["spread"]["labels_val"]["bap"]["coverage"] == 0
    assert made["seeds"] == [0, 1, 2] and made["profile"]["name"] == "voc-mini"
    assert made["seconds"] == {"classifier-bap": 11}
    assert made["by_seed"]["1"] == {
        "labels_val": {"bap": 53.0},
        "instances_val": {},
        "segmentation_val": {"nal": {"single": 53.0, "single-crf": 106.0}},
    }
    json.dumps(made, allow_nan=False)


def test_the_name_is_the_profiles_whatever_the_seeds() -> None:
    made = combined_record([record(1, 50.0), record(2, 60.0)], "voc-mini")
    assert made["profile"]["name"] == "voc-mini" and made["seeds"] == [1, 2]


def test_records_are_not_changed() -> None:
    records = [record(0, 50.0), record(1, 60.0)]
    before = copy.deepcopy(records)
    combined_record(records, "voc-mini")
    assert records == before


def test_a_score_missing_under_one_seed_has_no_mean() -> None:
    other = record(1, 50.0)
    other["labels_val"]["bap"]["miou"] = None
    made = combined_record([record(0, 50.0), other], "voc-mini")
    assert made["labels_val"]["bap"]["miou"] is None
    assert made["spread"]["labels_val"]["bap"]["miou"] is None


def test_records_without_instances_combine_too() -> None:
    records = [record(0, 50.0), record(1, 60.0)]
    for each in records:
        del each["instances_val"]
    assert "instances_val" not in combined_record(records, "voc-mini")


def test_what_cannot_be_combined_is_refused() -> None:
    one = record(0, 50.0)
    with pytest.raises(ValueError, match="at least two seeds, got 1"):
        combined_record([one], "voc-mini")
    with pytest.raises(ValueError, match="counts once, got 0, 0"):
        combined_record([one, one], "voc-mini")
    other = record(1, 50.0, data={"classes": ["background", "dog"]})
    with pytest.raises(ValueError, match="seeds 0 and 1 differ in data"):
        combined_record([one, other], "voc-mini")
    longer = record(1, 50.0)
    longer["profile"]["crop"] = 17
    with pytest.raises(ValueError, match="seeds 0 and 1 differ in profile"):
        combined_record([one, longer], "voc-mini")
    fewer = record(1, 50.0)
    del fewer["segmentation_val"]["nal"]["single-crf"]
    with pytest.raises(ValueError, match="differ in scores, segmentation_val, nal: single-crf"):
        combined_record([one, fewer], "voc-mini")
