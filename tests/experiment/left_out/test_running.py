"""The experiments under a profile: what each measures, and that a second call computes nothing."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
import torch

from bana.evaluation.regime import JudgedImage
from bana.experiment import stages
from bana.experiment.left_out import doctor, measuring, running, sigma, trainings
from bana.experiment.left_out.catalogue import EXPERIMENTS
from bana.experiment.left_out.doctor import DEFECTS
from bana.experiment.left_out.measuring import MEASURES, UNCHANGED
from bana.experiment.left_out.running import chosen_numbers, left_out
from bana.experiment.left_out.saying import shown_by
from bana.experiment.left_out.trainings import FEWER
from bana.experiment.profiles import Profile
from bana.experiment.regime import judged_images

NAMES = ("cams", "doctor", "sigma", "fewer")


def never_again(module: str) -> Callable[..., None]:
    """Stands in for a function of a module, which is in the keys of what is kept."""

    def never(*arguments: object) -> None:
        raise AssertionError("computed again")

    never.__module__ = module
    return never


def test_experiments_measure_and_are_kept(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: FEWER[name] for name in ("another seed", "no training")}
    defects = {name: DEFECTS[name] for name in ("loosened 30 %", "duplicated")}
    monkeypatch.setattr(trainings, "FEWER", few)
    monkeypatch.setattr(doctor, "DEFECTS", defects)
    made = left_out(profile, NAMES, images=2)
    assert list(made) == list(NAMES)
    assert json.loads(json.dumps(made)) == made  # as a record holds it
    for name, each in made.items():
        assert each["question"] == EXPERIMENTS[name].question and each["images"] == 2
    for name, changes in (("cams", ["image maximum"]), ("fewer", list(few))):
        rows = made[name]["changes"]
        assert list(rows) == [UNCHANGED, *changes]
        assert all(set(row) == set(MEASURES) for row in rows.values())
        assert rows[UNCHANGED]["y_crf"]["mean"] == 0
    assert set(made["fewer"]["seconds of training"]) == {"another seed"}
    assert set(made["doctor"]["defects"]) == {*defects, "missing"}
    assert "doubt" in made["doctor"]["defects"]["duplicated"]["signs"]  # sigma judged

    for each in made.values():
        assert each["shows"] == shown_by(each)

    for module, name in ((measuring, "_areas_of_image"), (doctor, "examined"), (sigma, "honesty")):
        monkeypatch.setattr(module, name, never_again(module.__name__))
    assert left_out(profile, NAMES, images=2) == made


def test_sigma_is_asked_for_at_gamma_one(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the training images, whose labels the loss weighs: every other gamma is a power of it."""
    seen = []

    def watched(images: Iterable[JudgedImage]) -> dict:
        seen.extend(images)
        return {"images": len(seen), "right": None, "gammas": {}}

    watched.__module__ = sigma.__name__
    monkeypatch.setattr(sigma, "honesty", watched)
    left_out(profile, ["sigma"], images=1)
    folder = stages.labels(profile, "train", "bap")
    data = stages.dataset(profile, "train")
    model = stages.segmenter(profile, "nal")
    expected = next(judged_images(model, data, folder, profile.image_scale))
    assert len(seen) == 1 and torch.allclose(
        seen[0].confidence ** 7, expected.confidence, atol=1e-5
    )
    assert not torch.allclose(seen[0].confidence, expected.confidence, atol=1e-2)


def test_few_images_are_evenly_spaced(profile: Profile) -> None:
    assert chosen_numbers(7, None) == list(range(7))
    assert chosen_numbers(7, 3) == [0, 2, 4] and chosen_numbers(2, 5) == [0, 1]
    assert left_out(profile, ["cams"], images=1)["cams"]["images"] == 1


def test_the_profiles_settings_are_the_ground(profile: Profile) -> None:
    """What is unchanged follows the profile."""
    one = left_out(profile, ["cams"])["cams"]["changes"][UNCHANGED]
    unary = replace(profile.unary, background="none")
    other = left_out(replace(profile, unary=unary), ["cams"])["cams"]["changes"][UNCHANGED]
    assert other["y_crf"]["miou"] != one["y_crf"]["miou"]


def test_wrong_requests_are_refused_before_anything_is_made(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "bench_of", None)
    with pytest.raises(ValueError, match="unknown experiment 'box': use one of boxes, threshold"):
        left_out(profile, ["cams", "box"])
    with pytest.raises(ValueError, match="at least one image, not 0"):
        left_out(profile, ["cams"], images=0)
