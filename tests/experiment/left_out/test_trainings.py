"""Trainings on less: which images and boxes are left, and that keys know it."""

from pathlib import Path

import pytest
import torch

from bana.data.annotations import read_annotation
from bana.data.fingerprint import fingerprint
from bana.experiment import stages
from bana.experiment.left_out.trainings import (
    BACKBONES,
    FEWER,
    Training,
    classifier_of,
    fewer_images,
    train_missing,
    training_path,
    with_forgotten,
)
from bana.experiment.profiles import Profile
from bana.files.artefacts import weights_hash


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
    real = stages.backbone_settings
    monkeypatch.setattr(
        stages,
        "backbone_settings",
        lambda changed, name: asked.append(name) or real(changed, "tiny"),
    )
    classifier_of(profile, "vgg16", BACKBONES["vgg16"])
    assert asked == ["vgg16"]
