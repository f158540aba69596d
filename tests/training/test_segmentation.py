"""The segmenter's training loop and its losses, on a problem of a few seconds."""

import pytest
import torch
from squares import batch, rates_of, segmenter, settings
from torch import Tensor, nn

from bana.losses import (
    bootstrapped_loss,
    cosine_scores,
    entropy_regularised_loss,
    generalised_cross_entropy_loss,
    noise_aware_loss,
    per_class_noise_aware_loss,
    symmetric_cross_entropy_loss,
)
from bana.networks.segmenter import Segmenter
from bana.training import segmentation
from bana.training.optimisation import Optimisation
from bana.training.segmentation import (
    LOSSES,
    WEIGHTS,
    confidence_of,
    train_segmenter,
    weights_of,
)


@pytest.mark.parametrize("loss", list(LOSSES))
def test_segmenter_learns_a_tiny_problem(loss: str) -> None:
    model, seen = segmenter(), []
    data = batch()
    if loss in ("generalised", "symmetric"):
        # Losses that forgive take the rarer classes for noise when they begin with random weights.
        train_segmenter(model, [data] * 10, settings(10, 5e-4), "crf")
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


def by_hand(rule: str, iterations: int) -> Segmenter:
    """A training written out with torch alone, but for network and loss."""
    model, data = segmenter().train(), batch()
    named = list(model.named_parameters())
    groups = []
    for inside, factor in ((True, 1), (False, 10)):
        mine = [(n, p) for n, p in named if n.startswith("backbone.") == inside]
        weights = [p for n, p in mine if not n.endswith(".bias")]
        biases = [p for n, p in mine if n.endswith(".bias")]
        groups.append({"params": weights, "lr": 0.02 * factor, "weight_decay": 5e-4})
        groups.append({"params": biases, "lr": 0.02 * factor * 2, "weight_decay": 0.0})
    descent = (
        torch.optim.AdamW(groups) if rule == "adamw" else torch.optim.SGD(groups, momentum=0.9)
    )
    schedule = torch.optim.lr_scheduler.PolynomialLR(descent, iterations, power=0.9)
    for _ in range(iterations):
        descent.zero_grad()
        phi = model(data["image"])
        labels = data["y_crf"], data["y_ret"]
        noise_aware_loss(phi, model.weight, *labels, model.temperature).total.backward()
        descent.step()
        schedule.step()
    return model


@pytest.mark.parametrize(
    "chosen", [Optimisation(5, 4, 0.02), Optimisation(5, 4, 0.02, rule="adamw")]
)
def test_a_training_is_to_the_last_bit_the_one_written_out(chosen: Optimisation) -> None:
    model, expected = segmenter(), by_hand(chosen.rule, 5)
    train_segmenter(model, [batch()] * 5, chosen, "nal")
    for name, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_the_mean_of_weights_and_buffers_is_the_one_written_out() -> None:
    model = segmenter()
    model.backbone.frozen_statistics = False
    seen: list[dict[str, Tensor]] = []

    def keep(number: int, model: Segmenter) -> None:
        seen.append({n: v.clone() for n, v in model.state_dict().items()})

    train_segmenter(model, [batch()] * 6, Optimisation(6, 4, 0.02, ema=0.75), "crf", keep)
    moved = [n for n in seen[0] if not torch.equal(seen[0][n], seen[-1][n])]
    assert any("running_mean" in n for n in moved) and "weight" in moved
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        mean = seen[0][name].double()
        for later in seen[1:]:
            mean = 0.75 * mean + 0.25 * later[name].double()
        torch.testing.assert_close(value, mean.float())
    assert not torch.equal(model.weight, seen[-1]["weight"])


def test_a_mean_changes_nothing_of_the_training_itself() -> None:
    plain, mean = [], []
    for ema, seen in ((None, plain), (0.75, mean)):
        chosen = Optimisation(4, 4, 0.02, ema=ema)
        given = [batch()] * 4
        train_segmenter(
            segmenter(), given, chosen, "nal", lambda n, m, s=seen: s.append(m.weight.tolist())
        )
    assert plain == mean


def test_segmenters_rate_decays_to_the_power_of_nine_tenths(monkeypatch) -> None:
    chosen = settings(8, 1e-3)
    rates = rates_of(
        monkeypatch, segmentation, 8, lambda b: train_segmenter(segmenter(), b, chosen, "crf")
    )
    assert rates == pytest.approx([1e-3 * (1 - t / 8) ** 0.9 for t in range(1, 9)])


def test_losses_are_what_they_are_called() -> None:
    generator = torch.Generator().manual_seed(1)
    phi, weight = (
        torch.randn(1, 4, 3, 3, generator=generator),
        torch.randn(3, 4, generator=generator),
    )
    y_crf, y_ret = torch.randint(3, (2, 1, 5, 5), generator=generator)
    phi.requires_grad_()
    cosines = cosine_scores(phi, weight, (5, 5))

    def plain(labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(10 * cosines, labels, ignore_index=255)

    agreed = torch.where(y_crf == y_ret, y_crf, 255)
    inputs = phi, weight, y_crf, y_ret, 10
    expected = {
        "crf": plain(y_crf),
        "ret": plain(y_ret),
        "ignore": plain(agreed),
        "entropy": entropy_regularised_loss(*inputs),
        "bootstrap": bootstrapped_loss(*inputs),
        "generalised": generalised_cross_entropy_loss(phi, weight, y_crf, 10),
        "symmetric": symmetric_cross_entropy_loss(phi, weight, y_crf, 10),
        "nal": noise_aware_loss(*inputs, detach_confidence=False).total,
        "nal-detached": noise_aware_loss(*inputs, detach_confidence=True).total,
        "nal-per-class": per_class_noise_aware_loss(*inputs),
        "truth": plain(y_crf),
    }
    assert LOSSES.keys() == expected.keys()
    for name, value in expected.items():
        made = LOSSES[name](*inputs)
        torch.testing.assert_close(made, value)
        # Two of them have one value and differ in what they teach.
        gradients = [torch.autograd.grad(each, phi, retain_graph=True)[0] for each in (made, value)]
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("loss", list(LOSSES))
def test_loss_gets_what_the_batch_and_the_model_say(loss: str, monkeypatch) -> None:
    model, data, given = segmenter(), batch(), []
    data["y_ret"] = data["y_ret"].flip(1)
    real = LOSSES[loss]

    def record(*arguments) -> Tensor:
        given.append(arguments)
        return real(*arguments)

    monkeypatch.setitem(LOSSES, loss, record)
    model.temperature = 7.5
    with torch.no_grad():
        expected = model.train()(data["image"])
    train_segmenter(model, [data], settings(1), loss)
    ((phi, weight, y_crf, y_ret, temperature),) = given
    torch.testing.assert_close(phi, expected)
    assert weight is model.weight and temperature == 7.5
    assert torch.equal(y_crf, data["y_crf"]) and torch.equal(y_ret, data["y_ret"])
    assert not torch.equal(y_crf, y_ret)


@pytest.mark.parametrize("loss", list(LOSSES))
def test_weights_are_those_of_the_functions(loss: str) -> None:
    data = batch()
    data["y_ret"] = data["y_ret"].flip(1)
    generator = torch.Generator().manual_seed(0)
    model = segmenter().eval()
    phi = torch.rand(len(data["image"]), model.weight.shape[1], 5, 5, generator=generator)

    def value(**weights: float) -> float:
        given = phi, model.weight.detach(), data["y_crf"], data["y_ret"], 20.0
        return float(LOSSES[loss](*given, **weights))

    papers = weights_of(loss, 7.0, 0.1)
    assert value(**papers) == value()
    for name in ("gamma", "lam"):
        if name in WEIGHTS.get(loss, ()):
            assert value(**papers | {name: 2.5}) != value()
        else:
            assert name not in papers


def test_unknown_loss_is_named() -> None:
    with pytest.raises(ValueError, match="unknown loss 'focal'"):
        train_segmenter(segmenter(), [], settings(1), "focal")


def test_confidence_leaves_the_model_as_it_was() -> None:
    model, data = segmenter().train(), batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sigma = confidence_of(model, data["image"], data["y_crf"])
    assert sigma.shape == data["y_crf"].shape and 0 <= sigma.min() and sigma.max() <= 1
    assert model.training and not sigma.requires_grad
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_confidence_leaves_the_mode_of_every_part_as_it_was() -> None:
    model, data = segmenter().train(), batch()
    model.backbone.eval()
    before = [module.training for module in model.modules()]
    confidence_of(model, data["image"], data["y_crf"])
    assert [module.training for module in model.modules()] == before
    with pytest.raises(ValueError, match="images must be uint8 or float"):
        confidence_of(model, data["image"].long(), data["y_crf"])
    assert [module.training for module in model.modules()] == before
