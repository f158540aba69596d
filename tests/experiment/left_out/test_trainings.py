"""Trainings on less: which images and boxes are left, and that keys know it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny

from bana.data.annotations import read_annotation
from bana.data.fingerprint import fingerprint
from bana.experiment import stages
from bana.experiment.left_out import trainings
from bana.experiment.left_out.trainings import (
    BACKBONES,
    FEWER,
    Training,
    check_trainings,
    classifier_of,
    fewer_images,
    settings_of,
    train_missing,
    training_path,
    with_forgotten,
)
from bana.experiment.profiles import PROFILES, Profile
from bana.files.artefacts import weights_hash
from bana.networks import backbones
from bana.networks.backbones import Backbone


def test_forgotten_boxes_are_gone_from_the_data_and_from_nothing_else(
    profile: Profile, tmp_path: Path
) -> None:
    data = stages.dataset(profile, "train")
    before = fingerprint(data, "photograph", "boxes")
    half, few = (with_forgotten(data, share, tmp_path / str(share)) for share in (0.6, 0.2))
    assert half.ids == data.ids and len(half) == len(data)
    for name, item, less, least in zip(data.ids, data, half, few, strict=False):
        whole = {tuple(box) for box in item["boxes"].tolist()}
        left = {tuple(box) for box in less["boxes"].tolist()}
        assert {tuple(box) for box in least["boxes"].tolist()} <= left <= whole
        assert torch.equal(less["image"], item["image"])
        assert len(read_annotation(data.annotation_path(name)).objects) == len(whole)
    total, left = (sum(len(i["boxes"]) for i in each) for each in (data, few))
    assert left < total
    assert fingerprint(data, "photograph", "boxes") == before
    assert fingerprint(half, "photograph", "boxes") != fingerprint(few, "photograph", "boxes")
    everything = with_forgotten(data, 1.0, tmp_path / "all")
    assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(everything, data, strict=False))


@pytest.mark.parametrize(("share", "expected"), [(1.0, 3), (0.5, 2), (0.01, 1)])
def test_fewer_images_are_some_of_them(share: float, expected: int, profile: Profile) -> None:
    data = stages.dataset(profile, "train")
    rest = fewer_images(data, share)
    assert len(rest) == expected and set(rest.ids) <= set(data.ids) and len(data) == 3


def test_a_training_is_kept_and_differs_from_the_profiles(profile: Profile) -> None:
    names = ("another seed", "half of boxes forgotten", "half of the images")
    chosen = {name: FEWER[name] for name in names}
    train_missing(profile, chosen)
    own = stages.classifier(profile, "bap").weight
    for name, training in chosen.items():
        model = classifier_of(profile, name, training)
        assert not model.training and not torch.equal(model.weight, own)
        path = training_path(profile, name)
        kept = path.stat().st_mtime_ns
        assert torch.equal(classifier_of(profile, name, training).weight, model.weight)
        assert path.stat().st_mtime_ns == kept


def test_no_training_trains_nothing(profile: Profile) -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    model, again = (classifier_of(profile, "none", Training(untrained=True)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before), "the caller's generator is left alone"
    assert weights_hash(model.state_dict()) == weights_hash(again.state_dict())
    assert model.weight[1:].isnan().all() and not model.weight[0].isnan().any()
    assert not training_path(profile, "none").exists() and not model.training


def test_another_backbone_is_built(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def other(*settings) -> Backbone:
        asked.append(settings)
        return tiny(*settings)

    monkeypatch.setitem(backbones.BACKBONES, "other", other)
    training = Training(backbone="other", output_stride=8, frozen_stages=1)
    classifier_of(profile, "other", training)
    assert asked == [(8, 1, None)]


@pytest.mark.parametrize("name", PROFILES)
def test_the_other_backbone_takes_the_settings_of_every_shipped_profile(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*arguments) -> None:
        raise LookupError("weights")

    monkeypatch.setattr(backbones, "download", reached)
    shipped = PROFILES[name]
    for training in BACKBONES.values():
        made = settings_of(shipped, training).backbone
        assert (made.name, made.output_stride, made.frozen_stages) == ("vgg16", 8, 0)
        with torch.device("meta"), pytest.raises(LookupError):
            replace(made, weights=None).build()  # refused settings would not ask for weights
    if shipped.backbone == "vgg16":
        with pytest.raises(ValueError, match=f"'{name}' has backbone vgg16 already"):
            check_trainings(shipped, BACKBONES)
    else:
        check_trainings(shipped, BACKBONES)


def test_the_profiles_own_backbone_is_refused_before_anything_is_made(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "dataset", None)
    own = Training(backbone=profile.backbone)
    with pytest.raises(ValueError, match="training 'own'.*has backbone tiny already"):
        train_missing(profile, {"own": own})
    with pytest.raises(ValueError, match="training 'own'.*has backbone tiny already"):
        classifier_of(profile, "own", own)


def test_a_stale_training_is_missing(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(trainings, "trained_beside", lambda *given: asked.append(given[2]))
    few = {"stale": Training(boxes=0.5)}
    classifier_of(profile, "stale", few["stale"])
    train_missing(profile, few)
    train_missing(replace(profile, grid_size=2), few)
    assert asked == [[], list(few.items())]
