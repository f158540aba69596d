"""Eq. 10-14 against loops, their limits, and the losses they are compared with."""

import math

import pytest
import reference
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bana.losses import (
    agreement,
    bootstrapped_loss,
    confidence_map,
    cosine_scores,
    cross_entropy_loss,
    entropy_regularised_loss,
    generalised_cross_entropy_loss,
    noise_aware_loss,
    per_class_noise_aware_loss,
    reliable_pixels,
    symmetric_cross_entropy_loss,
)

C, D, SMALL, LARGE = 4, 5, (3, 4), (7, 10)


def scene(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """phi, W, Y_crf, Y_ret: about half of the pixels agree, a few are ignored by either map."""
    generator = torch.Generator().manual_seed(seed)
    phi = torch.randn(2, D, *SMALL, generator=generator, dtype=torch.float64)
    weight = torch.randn(C, D, generator=generator, dtype=torch.float64)
    y_crf = torch.randint(C, (2, *LARGE), generator=generator, dtype=torch.uint8)
    other = torch.randint(C, (2, *LARGE), generator=generator, dtype=torch.uint8)
    draw = torch.rand(2, *LARGE, generator=generator)
    y_ret = torch.where(draw < 0.5, y_crf, other)
    y_crf = y_crf.masked_fill(draw > 0.95, 255)
    y_ret = y_ret.masked_fill((draw > 0.45) & (draw < 0.5), 255)
    return phi, weight, y_crf, y_ret


def loop_cosines(phi: Tensor, weight: Tensor, size: tuple[int, int] = LARGE):
    return reference.enlarged(reference.cosine_map(phi, weight), *size)


def test_cosines_are_taken_at_feature_size_and_then_enlarged() -> None:
    phi, weight, _, _ = scene(0)
    scores = cosine_scores(phi, weight, LARGE)
    torch.testing.assert_close(scores, torch.from_numpy(loop_cosines(phi, weight)))
    # Aligned corners: the four corner cells are seen unmixed.
    small = F.cosine_similarity(phi[:, None], weight[None, :, :, None, None], dim=2)
    torch.testing.assert_close(scores[..., [0, -1], :][..., [0, -1]], small[..., ::2, ::3])


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 999), st.sampled_from([1.0, 7.0]), st.booleans())
def test_equals_the_loops(seed: int, gamma: float, detach: bool) -> None:
    phi, weight, y_crf, y_ret = scene(seed)
    loss = noise_aware_loss(phi, weight, y_crf, y_ret, 20.0, gamma, 0.1, detach)
    cosines = loop_cosines(phi, weight)
    expected = reference.confidence(cosines, y_crf, gamma)
    torch.testing.assert_close(loss.confidence, torch.from_numpy(expected))
    reliable = reference.cross_entropy(cosines, y_crf, y_ret, 20.0)
    weighted = reference.weighted_cross_entropy(cosines, y_crf, y_ret, 20.0, gamma)
    assert loss.cross_entropy.item() == pytest.approx(reliable)
    assert loss.weighted.item() == pytest.approx(weighted)
    total = reference.noise_aware(cosines, y_crf, y_ret, 20.0, gamma, 0.1)
    assert loss.total.item() == pytest.approx(total)


def test_defaults_are_the_authors() -> None:
    """Sigma's gradient included, which theirs does not stop."""
    phi, weight, y_crf, y_ret = scene(1)
    phi.requires_grad_()
    plain = noise_aware_loss(phi, weight, y_crf, y_ret)
    spelt = noise_aware_loss(
        phi, weight, y_crf, y_ret, temperature=20, gamma=7, lam=0.1, detach_confidence=False
    )
    assert plain.total == spelt.total
    assert plain.confidence.requires_grad


def test_defaults_of_the_losses_that_forgive_are_their_papers() -> None:
    phi, weight, y_crf, _ = scene(1)
    generalised = generalised_cross_entropy_loss(phi, weight, y_crf)
    assert generalised == generalised_cross_entropy_loss(phi, weight, y_crf, 20, q=0.7)
    symmetric = symmetric_cross_entropy_loss(phi, weight, y_crf)
    assert symmetric == symmetric_cross_entropy_loss(
        phi, weight, y_crf, 20, forward=0.1, reverse=1, log_zero=-4
    )


def test_confidence_is_0_where_every_class_is_opposite() -> None:
    sigma = confidence_map(torch.full((1, 3, 2, 2), -1.0), torch.ones(1, 2, 2).long(), 7)
    assert torch.equal(sigma, torch.zeros(1, 2, 2))


def test_confidence_is_one_where_the_label_scores_highest_and_falls_with_gamma() -> None:
    phi, weight, _, _ = scene(2)
    cosines = cosine_scores(phi, weight, LARGE)
    best, worst = cosines.argmax(1), cosines.argmin(1)
    torch.testing.assert_close(confidence_map(cosines, best, 7), torch.ones(2, *LARGE).double())
    once, often = confidence_map(cosines, worst, 1), confidence_map(cosines, worst, 7)
    assert (once < 1).all() and (often < once).all() and (often >= 0).all()
    torch.testing.assert_close(often, once**7)


def test_confidence_of_one_pixel_by_hand() -> None:
    cosines = torch.tensor([0.6, 0.0, -0.5]).view(1, 3, 1, 1)
    for label, ratio in [(0, 1.0), (1, 1 / 1.6), (2, 0.5 / 1.6)]:
        sigma = confidence_map(cosines, torch.full((1, 1, 1), label), 2)
        assert sigma.item() == pytest.approx(ratio**2)
    assert confidence_map(cosines, torch.full((1, 1, 1), 255), 2).item() == 0


@pytest.mark.parametrize("gamma", [1.0, 7.0, 15.0, 30.0])
def test_a_mean_does_not_shrink_with_its_weights(gamma: float) -> None:
    """One pixel of ~S with a ratio of .1: sigma^30 is 1e-30, and still its weight is all of it."""
    angle = torch.tensor(0.8).acos()  # D = .2 for the label and 2 for the favourite
    weight = torch.tensor([[1.0, 0.0], [-0.8, -angle.sin()]])
    features = weight[:1, :, None, None].clone()
    labels = torch.ones(1, 1, 1, dtype=torch.uint8), torch.zeros(1, 1, 1, dtype=torch.uint8)
    made = noise_aware_loss(features, weight, *labels, 1.0, gamma)
    expected = cross_entropy_loss(features, weight, labels[0], 1.0)
    torch.testing.assert_close(made[2], expected)


@pytest.mark.parametrize(("ratio", "gamma"), [(0.3, 7.0), (0.05, 30.0), (3e-6, 7.0)])
def test_slopes_of_a_mean_do_not_depend_on_how_small_its_weights_are(ratio, gamma) -> None:
    """Pixels of ~S whose sigma is 1e-39, of which float32 has but a few digits."""
    pixels, doubtful = 2 * ratio * torch.tensor([1, 0.9, 0.5]) - 1, torch.zeros(1, 1, 3).long()

    def slopes(dtype: torch.dtype, function) -> list[Tensor]:
        cosines = pixels.to(dtype)
        phi = torch.stack([cosines, (1 - cosines**2).sqrt()])[None, :, None].requires_grad_()
        weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=dtype, requires_grad=True)
        return gradients(function(phi, weight, doubtful, 1 - doubtful, 2.0, gamma), phi, weight)

    for function in (lambda *given: noise_aware_loss(*given)[2], per_class_noise_aware_loss):
        for single, double in zip(
            slopes(torch.float32, function), slopes(torch.float64, function), strict=True
        ):
            assert single.isfinite().all()
            if ratio > 1e-4:  # as small as 1 + cos can be told from 0 in float32
                torch.testing.assert_close(single.double(), double, rtol=1e-2, atol=1e-4)


def test_a_pixel_without_any_confidence_counts_as_absent() -> None:
    phi = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).requires_grad_()
    weight = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    labels = torch.ones(1, 1, 1).long(), torch.zeros(1, 1, 1).long()
    made = noise_aware_loss(phi, weight, *labels)
    assert made.total.item() == 0
    assert all(torch.equal(each, 0 * each) for each in gradients(made.total, phi, weight))


def test_regions_by_hand() -> None:
    y_crf = torch.tensor([[[0, 1, 1, 255, 2, 255]]], dtype=torch.uint8)
    y_ret = torch.tensor([[[0, 1, 2, 2, 255, 255]]], dtype=torch.uint8)
    reliable, unreliable = reliable_pixels(y_crf, y_ret)
    assert reliable.flatten().tolist() == [True, True, False, False, False, False]
    assert unreliable.flatten().tolist() == [False, False, True, False, False, False]
    assert agreement(y_crf, y_ret).flatten().tolist() == [0, 1, 255, 255, 255, 255]
    assert agreement(y_crf, y_ret).dtype == torch.uint8


def gradients(loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    return [
        g if g is not None else torch.zeros_like(x)
        for g, x in zip(
            torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True),
            inputs,
            strict=True,
        )
    ]


@pytest.mark.parametrize("detach", [True, False])
def test_everything_agrees(detach: bool) -> None:
    phi, weight, y_crf, _ = scene(3)
    phi.requires_grad_()
    loss = noise_aware_loss(phi, weight, y_crf, y_crf, detach_confidence=detach)
    assert loss.weighted.item() == 0
    torch.testing.assert_close(loss.total, cross_entropy_loss(phi, weight, y_crf))
    assert torch.equal(gradients(loss.weighted, phi)[0], torch.zeros_like(phi))


@pytest.mark.parametrize("detach", [True, False])
def test_nothing_agrees(detach: bool) -> None:
    phi, weight, y_crf, _ = scene(4)
    phi.requires_grad_()
    y_ret = ((y_crf + 1) % C).masked_fill(y_crf == 255, 255)
    loss = noise_aware_loss(phi, weight, y_crf, y_ret, detach_confidence=detach)
    assert loss.cross_entropy.item() == 0 and loss.weighted.item() > 0
    torch.testing.assert_close(loss.total, 0.1 * loss.weighted)
    assert torch.equal(gradients(loss.cross_entropy, phi)[0], torch.zeros_like(phi))
    assert torch.isfinite(gradients(loss.total, phi)[0]).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("detach", [True, False])
def test_everything_ignored_costs_nothing(dtype: torch.dtype, detach: bool) -> None:
    phi, weight, y_crf, y_ret = scene(5)
    phi, weight = phi.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()
    y_crf = torch.full_like(y_crf, 255)
    loss = noise_aware_loss(phi, weight, y_crf, y_ret, detach_confidence=detach)
    baselines = [
        cross_entropy_loss(phi, weight, y_crf),
        entropy_regularised_loss(phi, weight, y_crf, y_ret),
        bootstrapped_loss(phi, weight, y_crf, y_ret),
        generalised_cross_entropy_loss(phi, weight, y_crf),
        symmetric_cross_entropy_loss(phi, weight, y_crf),
        per_class_noise_aware_loss(phi, weight, y_crf, y_ret),
    ]
    for value in (loss.total, loss.cross_entropy, loss.weighted, *baselines):
        assert value.item() == 0
    for value in (loss.total, *baselines):
        for gradient in gradients(value, phi, weight):
            assert torch.equal(gradient, torch.zeros_like(gradient))
    assert torch.equal(loss.confidence, torch.zeros_like(loss.confidence))


def test_ignored_pixels_have_no_say() -> None:
    phi, weight, y_crf, y_ret = scene(6)
    phi.requires_grad_()
    # With as many cells as pixels nothing mixes, so an ignored pixel must not reach its cell.
    y_crf, y_ret = y_crf[:, :3, :4], y_ret[:, :3, :4].clone()
    y_ret[:, 1, 2] = 255
    loss = noise_aware_loss(phi, weight, y_crf, y_ret, detach_confidence=False)
    gradient = gradients(loss.total, phi)[0]
    assert torch.equal(gradient[:, :, 1, 2], torch.zeros(2, D).double())
    assert (gradient[:, :, y_ret[0] != 255] != 0).any()


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(7)
    phi = torch.randn(1, 3, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    y_crf = torch.tensor([[[0, 1, 2], [1, 2, 0], [255, 0, 1]]])
    y_ret = torch.tensor([[[0, 1, 1], [2, 2, 1], [0, 0, 255]]])
    # A low temperature keeps the softmax away from saturation.
    assert torch.autograd.gradcheck(
        lambda f, w: noise_aware_loss(f, w, y_crf, y_ret, 2.0, 7.0, 0.5, False)[:3], (phi, weight)
    )
    assert torch.autograd.gradcheck(
        lambda f, w: entropy_regularised_loss(f, w, y_crf, y_ret, 2.0), (phi, weight)
    )
    assert torch.autograd.gradcheck(
        lambda f, w: cross_entropy_loss(f, w, y_crf, 2.0), (phi, weight)
    )
    for loss in (generalised_cross_entropy_loss, symmetric_cross_entropy_loss):
        assert torch.autograd.gradcheck(lambda f, w: loss(f, w, y_crf, 2.0), (phi, weight))  # noqa: B023
    assert torch.autograd.gradcheck(
        lambda f, w: per_class_noise_aware_loss(f, w, y_crf, y_ret, 2.0), (phi, weight)
    )


def test_detached_confidence_is_a_constant() -> None:
    phi, weight, y_crf, y_ret = scene(8)
    phi.requires_grad_()
    loss = noise_aware_loss(phi, weight, y_crf, y_ret, detach_confidence=True)
    assert not loss.confidence.requires_grad
    _, unreliable = reliable_pixels(y_crf, y_ret)
    share = loss.confidence * unreliable
    labels = y_crf.long().masked_fill(~unreliable, 0)
    scores = 20 * cosine_scores(phi, weight, LARGE)
    by_hand = (share * F.cross_entropy(scores, labels, reduction="none")).sum() / share.sum()
    torch.testing.assert_close(gradients(loss.weighted, phi)[0], gradients(by_hand, phi)[0])


def test_features_of_any_length_give_the_same_loss() -> None:
    phi, weight, y_crf, y_ret = scene(9)
    before = noise_aware_loss(phi, weight, y_crf, y_ret).total
    torch.testing.assert_close(noise_aware_loss(phi * 1e3, weight, y_crf, y_ret).total, before)
    torch.testing.assert_close(noise_aware_loss(phi, weight * 0.01, y_crf, y_ret).total, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_any_float_type(dtype: torch.dtype) -> None:
    phi, weight, y_crf, y_ret = scene(10)
    exact = noise_aware_loss(phi, weight, y_crf, y_ret).total
    phi[0, :, 0, 0] = 0
    with_zero = noise_aware_loss(phi.to(dtype), weight.to(dtype), y_crf, y_ret)
    assert all(torch.isfinite(value).all() for value in with_zero)
    assert with_zero.total.dtype == torch.promote_types(dtype, torch.float32)
    phi = scene(10)[0].to(dtype)
    close = noise_aware_loss(phi, weight.to(dtype), y_crf, y_ret).total.double()
    torch.testing.assert_close(close, exact, atol=0, rtol=0.03)


def test_zero_features_and_weights_have_no_slope() -> None:
    phi, weight, y_crf, y_ret = scene(10)
    phi[0, :, 1, 1] = 0
    weight[2] = 0
    phi, weight = phi.float().requires_grad_(), weight.float().requires_grad_()
    by_phi, by_weight = gradients(noise_aware_loss(phi, weight, y_crf, y_ret).total, phi, weight)
    assert (by_phi[0, :, 1, 1] == 0).all() and (by_weight[2] == 0).all()
    assert 0 < by_phi.abs().max() < 10 and 0 < by_weight.abs().max() < 10


def test_losses_under_autocast_are_those_without_it() -> None:
    phi, weight, y_crf, y_ret = scene(18)
    phi, weight = phi.float(), weight.float()
    expected = noise_aware_loss(phi, weight, y_crf, y_ret)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = noise_aware_loss(phi, weight, y_crf, y_ret)
    assert all(torch.equal(one, other) for one, other in zip(made, expected, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_cosines_of_16_bits_are_those_of_the_same_numbers_in_32(dtype: torch.dtype) -> None:
    phi, weight, _, _ = scene(19)
    phi, weight = (1e4 * phi).to(torch.float16).to(dtype), weight.to(dtype)
    made = cosine_scores(phi, weight, LARGE)
    assert made.dtype == torch.float32
    assert torch.equal(made, cosine_scores(phi.float(), weight.float(), LARGE))
    assert torch.equal(made, cosine_scores(phi, weight.float(), LARGE))


@pytest.mark.parametrize("label_type", [torch.uint8, torch.int64])
def test_labels_of_either_type(label_type: torch.dtype) -> None:
    phi, weight, y_crf, y_ret = scene(11)
    expected = noise_aware_loss(phi, weight, y_crf, y_ret).total
    assert (
        noise_aware_loss(phi, weight, y_crf.to(label_type), y_ret.to(label_type)).total == expected
    )


def loop_baselines(
    cosines, y_crf: Tensor, y_ret: Tensor, tau: float, lam: float, beta: float
) -> dict[str, float]:
    """Cross-entropies, entropy regularisation and bootstrapping, pixel by pixel."""
    every, entropy, mixed, reliable = [], [], [], []
    for n, y, x in [tuple(p) for p in (y_crf != 255).nonzero().tolist()]:
        log_h = reference.log_softmax(tau * cosines[n, :, y, x])
        nll = -log_h[y_crf[n, y, x]]
        every.append(nll)
        if y_ret[n, y, x] == y_crf[n, y, x]:
            reliable.append(nll)
        elif y_ret[n, y, x] != 255:
            own = -sum(math.exp(value) * value for value in log_h)
            entropy.append(own)
            mixed.append(beta * nll + (1 - beta) * own)

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    return {
        "plain": mean(every),
        "ignoring": mean(reliable),
        "entropy": mean(reliable) + lam * mean(entropy),
        "bootstrapped": mean(reliable) + lam * mean(mixed),
    }


def test_baselines_equal_the_loops() -> None:
    phi, weight, y_crf, y_ret = scene(12)
    expected = loop_baselines(loop_cosines(phi, weight), y_crf, y_ret, 20, 0.1, 0.95)
    made = {
        "plain": cross_entropy_loss(phi, weight, y_crf),
        "ignoring": cross_entropy_loss(phi, weight, agreement(y_crf, y_ret)),
        "entropy": entropy_regularised_loss(phi, weight, y_crf, y_ret),
        "bootstrapped": bootstrapped_loss(phi, weight, y_crf, y_ret),
    }
    assert {name: value.item() for name, value in made.items()} == pytest.approx(expected)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 999), st.floats(0.5, 30), st.floats(1, 10), st.floats(0, 3), st.floats(0, 1))
def test_every_setting_reaches_its_loss(
    seed: int, tau: float, gamma: float, lam: float, beta: float
) -> None:
    phi, weight, y_crf, y_ret = inputs = scene(seed)
    cosines = loop_cosines(phi, weight)
    expected = loop_baselines(cosines, y_crf, y_ret, tau, lam, beta)
    made = {
        "plain": cross_entropy_loss(phi, weight, y_crf, tau),
        "ignoring": cross_entropy_loss(phi, weight, agreement(y_crf, y_ret), tau),
        "entropy": entropy_regularised_loss(*inputs, tau, lam),
        "bootstrapped": bootstrapped_loss(*inputs, tau, lam, beta),
    }
    assert {name: value.item() for name, value in made.items()} == pytest.approx(expected)
    noise_aware = noise_aware_loss(*inputs, tau, gamma, lam).total.item()
    whole = reference.noise_aware(cosines, y_crf, y_ret, tau, gamma, lam)
    assert noise_aware == pytest.approx(whole)


@settings(deadline=None, max_examples=10)
@given(
    st.integers(0, 999), st.floats(0.5, 10), st.floats(0.1, 1), st.floats(0, 2), st.floats(-9, -1)
)
def test_losses_that_forgive_equal_the_loops(
    seed: int, tau: float, q: float, share: float, log_zero: float
) -> None:
    phi, weight, y_crf, _ = scene(seed)
    cosines = loop_cosines(phi, weight)
    generalised, symmetric = [], []
    for n, y, x in [tuple(p) for p in (y_crf != 255).nonzero().tolist()]:
        log_h = reference.log_softmax(tau * cosines[n, :, y, x])
        label = int(y_crf[n, y, x])
        generalised.append((1 - math.exp(log_h[label]) ** q) / q)
        reverse = -sum(math.exp(log_h[c]) * (0 if c == label else log_zero) for c in range(C))
        symmetric.append(share * -log_h[label] + 0.7 * reverse)
    made = generalised_cross_entropy_loss(phi, weight, y_crf, tau, q)
    assert made.item() == pytest.approx(sum(generalised) / len(generalised))
    made = symmetric_cross_entropy_loss(phi, weight, y_crf, tau, share, 0.7, log_zero)
    assert made.item() == pytest.approx(sum(symmetric) / len(symmetric))


@pytest.mark.parametrize("tau", [20.0, 60.0, 100.0])
def test_generalised_cross_entropy_has_a_slope_where_the_label_is_hopeless(tau: float) -> None:
    phi = torch.tensor([[0.0, -1.0]]).reshape(1, 2, 1, 1).requires_grad_()
    weight = torch.tensor([[0.1, -1.0], [0.0, 1.0]], requires_grad=True)
    made = generalised_cross_entropy_loss(phi, weight, torch.ones(1, 1, 1).long(), tau, 0.7)
    made.backward()
    assert made.item() == pytest.approx(1 / 0.7)  # p is 0, which no slope of p^q survives
    assert phi.grad.isfinite().all() and weight.grad.isfinite().all()


def test_generalised_cross_entropy_lies_between_cross_entropy_and_absolute_error() -> None:
    phi, weight, y_crf, _ = scene(13)
    plain = cross_entropy_loss(phi, weight, y_crf)
    almost = generalised_cross_entropy_loss(phi, weight, y_crf, q=1e-6)
    torch.testing.assert_close(almost, plain, atol=0, rtol=1e-3)
    error = generalised_cross_entropy_loss(phi, weight, y_crf, q=1.0)
    reverse = symmetric_cross_entropy_loss(phi, weight, y_crf, forward=0, reverse=1, log_zero=-1)
    torch.testing.assert_close(error, reverse)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 999), st.floats(0.5, 10), st.floats(1, 8), st.floats(0, 3))
def test_regions_class_by_class_equal_the_loops(
    seed: int, tau: float, gamma: float, lam: float
) -> None:
    phi, weight, y_crf, y_ret = scene(seed)
    cosines = loop_cosines(phi, weight)
    sigma = reference.confidence(cosines, y_crf, gamma)
    upper = lower = 0.0
    for n, y, x in [tuple(p) for p in ((y_crf != 255) & (y_ret != 255)).nonzero().tolist()]:
        log_h = reference.log_softmax(tau * cosines[n, :, y, x])
        for c in range(C):
            if not (y_crf[n, y, x] == c and y_ret[n, y, x] == c):
                upper -= sigma[n, y, x] * log_h[c]
                lower += sigma[n, y, x]
    expected = reference.cross_entropy(cosines, y_crf, y_ret, tau) + lam * upper / lower
    made = per_class_noise_aware_loss(phi, weight, y_crf, y_ret, tau, gamma, lam)
    assert made.item() == pytest.approx(expected)


# Every loss of (phi, W, Y_crf, Y_ret), and the pixels that count in it, of (S, ~S, Y_crf).
EVERY_LOSS = {
    "cross-entropy": (
        lambda phi, w, crf, ret: cross_entropy_loss(phi, w, crf, 2),
        lambda reliable, unreliable, crf: crf != 255,
    ),
    "cross-entropy on S": (
        lambda phi, w, crf, ret: cross_entropy_loss(phi, w, agreement(crf, ret), 2),
        lambda reliable, unreliable, crf: reliable,
    ),
    "entropy": (
        lambda phi, w, crf, ret: entropy_regularised_loss(phi, w, crf, ret, 2),
        lambda reliable, unreliable, crf: reliable | unreliable,
    ),
    "bootstrapping": (
        lambda phi, w, crf, ret: bootstrapped_loss(phi, w, crf, ret, 2),
        lambda reliable, unreliable, crf: reliable | unreliable,
    ),
    "noise-aware": (
        lambda phi, w, crf, ret: noise_aware_loss(phi, w, crf, ret, 2).total,
        lambda reliable, unreliable, crf: reliable | unreliable,
    ),
    "generalised": (
        lambda phi, w, crf, ret: generalised_cross_entropy_loss(phi, w, crf, 2),
        lambda reliable, unreliable, crf: crf != 255,
    ),
    "symmetric": (
        lambda phi, w, crf, ret: symmetric_cross_entropy_loss(phi, w, crf, 2),
        lambda reliable, unreliable, crf: crf != 255,
    ),
    "noise-aware, class by class": (
        lambda phi, w, crf, ret: per_class_noise_aware_loss(phi, w, crf, ret, 2),
        lambda reliable, unreliable, crf: reliable | unreliable,
    ),
    "noise-aware, sigma constant": (
        lambda phi, w, crf, ret: (
            noise_aware_loss(phi, w, crf, ret, 2, detach_confidence=True).total
        ),
        lambda reliable, unreliable, crf: reliable | unreliable,
    ),
}


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize("seed", range(4))
def test_gradient_is_0_at_ignored_pixels_and_nowhere_else(loss: str, seed: int) -> None:
    phi, weight, y_crf, y_ret = scene(seed)
    # As many cells as pixels, so that the gradient of a cell is that of its pixel alone.
    phi = F.interpolate(phi, LARGE, mode="bilinear").requires_grad_()
    function, counted = EVERY_LOSS[loss]
    (gradient,) = torch.autograd.grad(function(phi, weight, y_crf, y_ret), phi)
    expected = counted(*reliable_pixels(y_crf, y_ret), y_crf)
    assert expected.any() and not expected.all()
    assert torch.equal((gradient != 0).any(1), expected)


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_pixels_that_do_not_count_might_as_well_not_be_there(loss: str) -> None:
    phi, weight, y_crf, y_ret = scene(15)
    phi = F.interpolate(phi, LARGE, mode="bilinear")
    function, counted = EVERY_LOSS[loss]
    kept = counted(*reliable_pixels(y_crf, y_ret), y_crf)
    fewer = phi.permute(1, 0, 2, 3)[:, kept][None, :, None]  # [1, D, 1, pixels that count]
    less = function(fewer, weight, y_crf[kept][None, None], y_ret[kept][None, None])
    torch.testing.assert_close(function(phi, weight, y_crf, y_ret), less)


def test_bootstrapping_pulls_towards_a_constant_target() -> None:
    phi, weight, y_crf, y_ret = scene(16)
    phi.requires_grad_()
    reliable, unreliable = reliable_pixels(y_crf, y_ret)
    log_h = (2 * cosine_scores(phi, weight, LARGE)).log_softmax(1)
    labels = F.one_hot(y_crf.long() % 255, C).movedim(3, 1)

    def by_hand(own: Tensor) -> Tensor:
        cross_entropy = -(labels * log_h).sum(1)[reliable].mean()
        target = 0.6 * labels + 0.4 * own
        return cross_entropy + 0.5 * -(target * log_h).sum(1)[unreliable].mean()

    constant, moving = (gradients(by_hand(h), phi)[0] for h in (log_h.exp().detach(), log_h.exp()))
    made = bootstrapped_loss(phi, weight, y_crf, y_ret, 2, 0.5, 0.6)
    torch.testing.assert_close(gradients(made, phi)[0], constant)
    assert (constant - moving).abs().max() > 1e-3


def test_inputs_stay_as_they_are() -> None:
    inputs = scene(13)
    kept = [t.clone() for t in inputs]
    noise_aware_loss(*inputs)
    bootstrapped_loss(*inputs)
    entropy_regularised_loss(*inputs)
    agreement(*inputs[2:])
    assert all(torch.equal(before, after) for before, after in zip(kept, inputs, strict=True))


@pytest.mark.usefixtures("unchecked")
def test_labels_of_another_size_are_refused() -> None:
    phi, weight, y_crf, y_ret = scene(14)
    with pytest.raises(ValueError, match="labels"):
        noise_aware_loss(phi, weight, y_crf, y_ret[:, 1:])
    with pytest.raises(ValueError, match="labels"):
        noise_aware_loss(phi, weight, y_crf[:1], y_ret[:1])
    with pytest.raises(ValueError, match="labels"):
        cross_entropy_loss(phi, weight, y_crf[0])
    with pytest.raises(ValueError, match="must share D"):
        noise_aware_loss(phi[:, 1:], weight, y_crf, y_ret)
    with pytest.raises(ValueError, match=r"gamma must be at least 1, got 0\.5"):
        noise_aware_loss(phi, weight, y_crf, y_ret, gamma=0.5)


def test_settings_without_a_meaning_are_refused() -> None:
    phi, weight, y_crf, y_ret = scene(20)
    for q in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="q must be above 0, got"):
            generalised_cross_entropy_loss(phi, weight, y_crf, q=q)
    for log_zero in (0.0, 4.0, math.nan):
        with pytest.raises(ValueError, match="log_zero must be below 0, got"):
            symmetric_cross_entropy_loss(phi, weight, y_crf, log_zero=log_zero)
    for function in (noise_aware_loss, per_class_noise_aware_loss):
        with pytest.raises(ValueError, match=r"gamma must be at least 1, got 0\.5"):
            function(phi, weight, y_crf, y_ret, gamma=0.5)
    for wrong in ({"temperature": -20.0}, {"temperature": math.nan}, {"lam": -1.0}):
        with pytest.raises(ValueError, match="temperature must be above 0 and lam at least 0"):
            noise_aware_loss(phi, weight, y_crf, y_ret, **wrong)


@pytest.mark.usefixtures("unchecked")
def test_maps_that_would_be_broadcast_are_refused() -> None:
    phi, weight, y_crf, y_ret = scene(17)
    cosines = cosine_scores(phi, weight, LARGE)
    for other in (y_ret[:1], y_ret[0], y_ret[:, :1]):
        for function in (reliable_pixels, agreement):
            with pytest.raises(ValueError, match="differ in size"):
                function(y_crf, other)
        with pytest.raises(ValueError, match="labels"):
            confidence_map(cosines, other, 7.0)
