"""The profiles: the paper's settings are the paper's, and a try never passes for the real thing."""

import inspect
from dataclasses import fields, replace

import pytest

from bana.crf.dense import CrfParameters
from bana.data.transforms import training_transform
from bana.experiment import stages
from bana.experiment.profiles import (
    PROFILES,
    Changes,
    changed,
    get_profile,
    semi_supervised,
    shortened,
    with_seed,
)
from bana.losses import noise_aware_loss
from bana.networks.classifier import BoxClassifier
from bana.networks.segmenter import AtrousPyramid, Segmenter
from bana.training.optimisation import Optimisation
from bana.training.segmentation import LOSSES


@pytest.mark.parametrize("name", list(PROFILES))
def test_crops_fit_the_strides(name: str) -> None:
    # Only with k * stride + 1 pixels do the corners of crop and feature map align in training.
    profile = get_profile(name)
    assert profile.name == name
    assert (profile.crop - 1) % profile.output_stride == 0
    assert set(profile.losses) <= set(LOSSES)


def test_paper_profiles_are_the_papers() -> None:
    vgg, resnet = get_profile("paper-vgg"), get_profile("paper-resnet")
    assert (vgg.backbone, vgg.output_stride, vgg.crop) == ("vgg16", 8, 321)
    assert vgg.classifier == Optimisation(8_000, 20, 1e-3, 10.0, 5e-4)
    assert int(vgg.classifier_drop * vgg.classifier.iterations) == 5_000
    assert (vgg.segmentation.iterations, vgg.segmentation.batch) == (23_805, 20)
    assert vgg.segmentation.learning_rate == 1e-3
    assert vgg.test_crf == CrfParameters(4, 121, 5, 3, 3, 10)
    assert vgg.label_crf == resnet.label_crf == CrfParameters(4, 55, 3, 3, 3, 10)
    assert (resnet.backbone, resnet.segmenter_backbone) == ("vgg16", "resnet101")
    assert resnet.neck == "aspp"
    assert (resnet.segmentation.iterations, resnet.segmentation.batch) == (20_000, 10)
    assert resnet.segmentation.learning_rate == 2.5e-4
    assert resnet.test_crf == CrfParameters(4, 67, 3, 3, 1, 10)
    assert vgg.crop_scale == (0.5, 1.5) and vgg.unary.background_threshold == 0.99


def test_settings_that_no_profile_changes_are_the_papers() -> None:
    def defaults(function) -> dict:
        parameters = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    pooling = {"pooling": "bap", "grid_size": 4, "parts": 2, "min_background": 0.125}
    assert defaults(BoxClassifier) == pooling
    assert defaults(Segmenter) == {"temperature": 20.0}
    loss = {"temperature": 20.0, "gamma": 7.0, "lam": 0.1, "detach_confidence": False}
    assert defaults(noise_aware_loss) == loss
    assert defaults(AtrousPyramid) == {"width": 256, "rates": (6, 12, 18, 24)}
    assert defaults(training_transform)["jitter"] == 0.5
    for name in ("paper-vgg", "paper-resnet"):
        profile = get_profile(name)
        assert profile.test_scales == (0.5, 0.75, 1.0, 1.5)
        assert (profile.image_scale, profile.frozen_stages) == (1.0, 0)
        assert {"grid_size": profile.grid_size, "parts": profile.parts}.items() <= pooling.items()
        assert {"gamma": profile.gamma, "lam": profile.lam}.items() <= loss.items()
        assert profile.unary.grid_size == 1
        assert profile.train_splits == ("train_aug", "train") and profile.frozen_statistics
        for training_settings in (profile.classifier, profile.segmentation):
            assert (training_settings.head_factor, training_settings.weight_decay) == (10, 5e-4)


def test_train_aug_is_taken_where_it_is(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    root = stages.data_root(replace(get_profile("smoke"), train_limit=4, val_limit=2))
    paper = get_profile("paper-vgg")
    assert len(stages.dataset(paper, "train", root)) == 4
    lists = root / "ImageSets" / "Segmentation"
    (lists / "train_aug.txt").write_text((lists / "train.txt").read_text().split()[0])
    assert stages.dataset(paper, "train", root).split == "train_aug"
    assert len(stages.dataset(paper, "train", root)) == 1


def test_unknown_profile_is_named() -> None:
    with pytest.raises(ValueError, match="unknown profile 'voc-maxi'.*sample"):
        get_profile("voc-maxi")


def test_a_try_never_passes_for_the_real_thing() -> None:
    real = get_profile("paper-vgg")
    short = shortened(real, 2)
    assert short.name == "paper-vgg-2-iterations"
    assert (short.classifier.iterations, short.segmentation.iterations) == (2, 2)
    assert short.train_limit == 40  # as many photographs as two batches of twenty can show
    expected = {"name", "classifier", "segmentation", "train_limit"}
    different = {f.name for f in fields(real) if getattr(real, f.name) != getattr(short, f.name)}
    assert different == expected
    with pytest.raises(ValueError, match="at least 1"):
        shortened(real, 0)


def homes(profile) -> list[str]:
    """Names of the runs in which classifier, labels and segmenter lie."""
    own = profile.name
    return [profile.classifier_home or own, profile.labels_home or own, own]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"grid_size": 2}, ["sample-grid2"] * 3),
        ({"parts": 1}, ["sample-parts1"] * 3),
        ({"label_grid": 2}, ["sample", "sample-labelgrid2", "sample-labelgrid2"]),
        ({"threshold": 0.5}, ["sample", "sample-threshold0.5", "sample-threshold0.5"]),
        ({"gamma": 3.0}, ["sample", "sample", "sample-gamma3"]),
        (
            {"lam": 1, "threshold": 0, "grid_size": 1},
            ["sample-grid1", "sample-grid1-threshold0", "sample-grid1-threshold0-lambda1"],
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_change_has_folders_of_its_own_from_its_stage_on(given, expected) -> None:
    assert homes(changed(get_profile("sample"), Changes(**given))) == expected


def test_a_change_is_in_the_profile_and_nothing_else_is() -> None:
    base = get_profile("sample")
    given = Changes(grid_size=2, parts=3, label_grid=4, threshold=0.5, gamma=3.0, lam=0.5)
    made = changed(base, given)
    assert (made.grid_size, made.parts, made.gamma, made.lam) == (2, 3, 3.0, 0.5)
    assert (made.unary.grid_size, made.unary.background_threshold) == (4, 0.5)
    back = replace(made, grid_size=4, parts=2, gamma=7.0, lam=0.1, unary=base.unary)
    own = {"name": "sample", "classifier_home": None, "labels_home": None}
    assert replace(back, **own) == base


def test_the_profiles_own_values_change_nothing() -> None:
    base = get_profile("sample")
    own = Changes(4, 2, base.unary.grid_size, base.unary.background_threshold, 7.0, 0.1)
    assert changed(base, own) == changed(base, Changes()) == base


def test_a_strong_split_has_a_folder_of_its_own_for_the_segmenter_alone() -> None:
    base = get_profile("sample")
    made = semi_supervised(base, "gold")
    assert homes(made) == ["sample", "sample", "sample-strong-gold"]
    assert made.strong_split == "gold" and semi_supervised(made, "gold") == made
    own = {"name": "sample", "classifier_home": None, "labels_home": None}
    assert replace(made, strong_split=None, **own) == base
    tried = semi_supervised(changed(base, Changes(threshold=0.5)), "gold")
    expected = ["sample", "sample-threshold0.5", "sample-threshold0.5-strong-gold"]
    assert homes(tried) == expected
    assert homes(with_seed(tried, 2)) == [f"{home}-seed2" for home in expected]


SAMPLE = get_profile("sample")
GOLD = semi_supervised(SAMPLE, "gold")


@pytest.mark.parametrize(
    ("profile", "given", "ends"),
    [
        (GOLD, {}, [None, None, ""]),
        (GOLD, {"lam": 1}, [None, None, "-lambda1"]),
        (GOLD, {"label_grid": 3}, [None, "-labelgrid3", "-labelgrid3"]),
        (GOLD, {"label_grid": 3, "lam": 1}, [None, "-labelgrid3", "-labelgrid3-lambda1"]),
        (GOLD, {"grid_size": 2}, ["-grid2"] * 3),
        (GOLD, {"grid_size": 2, "lam": 1}, ["-grid2", "-grid2", "-grid2-lambda1"]),
        (
            changed(SAMPLE, Changes(lam=1)),
            {"grid_size": 2, "gamma": 3},
            ["-grid2", "-grid2", "-grid2-gamma3"],
        ),
        (changed(SAMPLE, Changes(threshold=0.5)), {"lam": 1}, [None, "", "-lambda1"]),
    ],
    ids=lambda value: "-".join(value) or "nothing" if isinstance(value, dict) else "",
)
def test_a_change_leaves_the_homes_of_other_runs_alone(profile, given, ends) -> None:
    made = homes(changed(profile, Changes(**given)))
    # None: where it was, in the run of "sample"; else in a run that goes on the changed one's name.
    assert made == ["sample" if end is None else profile.name + end for end in ends]


@pytest.mark.parametrize(
    "profile", [GOLD, changed(SAMPLE, Changes(gamma=3))], ids=["gold", "gamma"]
)
def test_a_try_leaves_the_homes_of_other_runs_alone(profile) -> None:
    assert homes(shortened(profile, 5)) == [f"{profile.name}-5-iterations"] * 3


def test_a_seeded_profile_takes_no_other_seed() -> None:
    made = with_seed(get_profile("sample"), 1)
    assert with_seed(made, 1) == made
    with pytest.raises(ValueError, match="sample-seed1 has its seed: name it without"):
        with_seed(made, 0)


def test_a_seed_moves_every_home() -> None:
    made = with_seed(changed(get_profile("sample"), Changes(threshold=0.5, gamma=3.0)), 2)
    expected = ["sample-seed2", "sample-threshold0.5-seed2", "sample-threshold0.5-gamma3-seed2"]
    assert homes(made) == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"grid_size": 0}, "grid_size must be at least 1, got 0"),
        ({"gamma": 0.5}, "gamma must be at least 1, got 0.5"),
        ({"lam": -1}, "lam must be at least 0"),
        ({"lam": float("nan")}, "lam must be at least 0"),
        ({"threshold": 1.5}, "threshold must be at most 1"),
    ],
    ids=str,
)
def test_a_change_out_of_range_is_refused(given, told) -> None:
    with pytest.raises(ValueError, match=told):
        Changes(**given)
