"""Training loops, optimiser groups and the paper's settings, on problems of a few seconds."""

import inspect
from dataclasses import fields, replace

import pytest
import torch
from bana.training.loops import loops
from torch import Tensor, nn

from bana.crf.dense import CrfParameters
from bana.data.transforms import training_transform
from bana.experiment import stages
from bana.experiment.profiles import PROFILES, get_profile, shortened
from bana.losses import cosine_scores, noise_aware_loss
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier
from bana.networks.segmenter import AtrousPyramid, Segmenter, build_neck
from bana.training.classification import train_classifier
from bana.training.optimisation import Optimisation, optimiser
from bana.training.segmentation import LOSSES, confidence_of, train_segmenter

SIDE = 33


def backbone(channels: int = 16) -> Backbone:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, channels, 3, stride=2, padding=1),
        nn.ReLU(),
    )
    return Backbone(body, channels, 4)


def batch(n: int = 4) -> dict[str, Tensor]:
    """Noisy grey images, each with one square of red (class 1) or blue (class 2)."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(90, 150, (n, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    labels, boxes = torch.arange(n) % 2 + 1, []
    masks = torch.zeros(n, SIDE, SIDE, dtype=torch.uint8)
    for i, label in enumerate(labels.tolist()):
        x, y = (5 + 3 * i) % 15, (4 + 5 * i) % 15
        colour = torch.tensor([220, 30, 30] if label == 1 else [30, 30, 220])
        images[i, :, y : y + 14, x : x + 14] = colour.view(3, 1, 1)
        masks[i, y : y + 14, x : x + 14] = label
        boxes.append([i, x, y, x + 14, y + 14])
    wrong = masks.clone()
    wrong[:, :8] = 0
    return {
        "image": images,
        "background": (masks == 0)[:, None].float(),
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "labels": labels,
        "y_crf": masks,
        "y_ret": wrong,
    }


def segmenter() -> Segmenter:
    neck, channels = build_neck("aspp-small", 16)
    return Segmenter(backbone(), neck, channels, 2)


def settings(iterations: int, rate: float = 0.02) -> Optimisation:
    return Optimisation(iterations=iterations, batch=4, learning_rate=rate)


def test_groups_of_the_optimiser() -> None:
    model = segmenter()
    groups = optimiser(model, Optimisation(1, 1, learning_rate=0.5, weight_decay=0.25)).param_groups
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        new, bias = not name.startswith("backbone."), name.endswith(".bias")
        expected = 0.5 * (10 if new else 1) * (2 if bias else 1), 0.0 if bias else 0.25
        assert rates.pop(id(parameter)) == expected, name
    assert not rates
    assert all(g["momentum"] == 0.9 for g in groups)


def test_frozen_parameters_are_left_out() -> None:
    model = BoxClassifier(backbone(), 2)
    model.backbone.body[0].requires_grad_(False)
    held = {id(p) for g in optimiser(model, settings(1)).param_groups for p in g["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    frozen = model.backbone.body[0].weight.clone()
    train_classifier(model, [batch()], settings(1))
    assert torch.equal(model.backbone.body[0].weight, frozen)


@pytest.mark.parametrize("pooling", ["bap", "gap"])
def test_classifier_learns_a_tiny_problem(pooling: str) -> None:
    model = BoxClassifier(backbone(), 2, pooling)
    history = train_classifier(model, [batch()] * 40, settings(40))
    assert len(history) == 40 and set(history[0]) == {"loss", "accuracy"}
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["accuracy"] == 1
    assert not model.training


@pytest.mark.parametrize("loss", list(LOSSES))
def test_segmenter_learns_a_tiny_problem(loss: str) -> None:
    model, seen = segmenter(), []
    data = batch()
    history = train_segmenter(
        model, [data] * 30, settings(30, 5e-4), loss, lambda number, model: seen.append(number)
    )
    assert len(history) == 30 and seen == list(range(1, 31))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert not model.training
    with torch.no_grad():
        right = model.scores(data["image"]).argmax(1) == data["y_crf"]
    assert right.float().mean() > 0.85


def test_same_seed_same_training() -> None:
    first, second = (
        train_segmenter(segmenter(), [batch()] * 3, settings(3), "nal") for _ in range(2)
    )
    assert first == second


def rates_of(monkeypatch: pytest.MonkeyPatch, iterations: int, train) -> list[float]:
    """The rate of the first group at each iteration, as a fraction of the first."""
    held, rates = [], []
    make = loops.optimiser
    monkeypatch.setattr(
        loops, "optimiser", lambda *arguments: held.append(make(*arguments)) or held[-1]
    )

    def batches():
        for _ in range(iterations):
            yield batch(2)
            rates.append(held[0].param_groups[0]["lr"])

    train(batches())
    return rates


def test_classifiers_rate_falls_to_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(8, 1e-3)
    rates = rates_of(
        monkeypatch, 8, lambda b: train_classifier(BoxClassifier(backbone(), 2), b, chosen)
    )
    # Read after each step: the sixth iteration, 5 of 8 done, is the first with the lower rate.
    assert rates == pytest.approx([1e-3] * 4 + [1e-4] * 4)


def test_segmenters_rate_decays_to_the_power_of_nine_tenths(monkeypatch) -> None:
    chosen = settings(8, 1e-3)
    rates = rates_of(monkeypatch, 8, lambda b: train_segmenter(segmenter(), b, chosen, "crf"))
    assert rates == pytest.approx([1e-3 * (1 - t / 8) ** 0.9 for t in range(1, 9)])


def test_losses_are_what_they_are_called() -> None:
    generator = torch.Generator().manual_seed(1)
    phi, weight = (
        torch.randn(1, 4, 3, 3, generator=generator),
        torch.randn(3, 4, generator=generator),
    )
    y_crf, y_ret = torch.randint(3, (2, 1, 5, 5), generator=generator)
    cosines = cosine_scores(phi, weight, (5, 5))

    def plain(labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(10 * cosines, labels, ignore_index=255)

    agreed = torch.where(y_crf == y_ret, y_crf, 255)
    for name, expected in [
        ("crf", plain(y_crf)),
        ("ret", plain(y_ret)),
        ("ignore", plain(agreed)),
        ("nal", noise_aware_loss(phi, weight, y_crf, y_ret, 10).total),
    ]:
        torch.testing.assert_close(LOSSES[name](phi, weight, y_crf, y_ret, 10), expected)
    assert set(LOSSES) == {"crf", "ret", "ignore", "entropy", "bootstrap", "nal"}


def test_unknown_loss_is_named() -> None:
    with pytest.raises(ValueError, match="unknown loss 'focal'"):
        train_segmenter(segmenter(), [], settings(1), "focal")


def test_diverged_training_stops_with_a_reason() -> None:
    model = BoxClassifier(backbone(), 2)
    with torch.no_grad():
        model.weight.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="learning rate"):
        train_classifier(model, [batch()], settings(1))


def test_confidence_leaves_the_model_as_it_was() -> None:
    model, data = segmenter().train(), batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sigma = confidence_of(model, data["image"], data["y_crf"])
    assert sigma.shape == data["y_crf"].shape and 0 <= sigma.min() and sigma.max() <= 1
    assert model.training and not sigma.requires_grad
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


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
    loss = {"temperature": 20.0, "gamma": 7.0, "lam": 0.1, "detach_confidence": True}
    assert defaults(noise_aware_loss) == loss
    assert defaults(AtrousPyramid) == {"width": 256, "rates": (6, 12, 18, 24)}
    assert defaults(training_transform)["jitter"] == 0.5
    for name in ("paper-vgg", "paper-resnet"):
        profile = get_profile(name)
        assert profile.test_scales == (0.5, 0.75, 1.0, 1.5)
        assert (profile.image_scale, profile.frozen_stages) == (1.0, 0)
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
