"""The noise-aware loss, Eq. 10-14 of the paper, and the losses it is compared with.

All of them take the network's last feature map phi and the cosine classifier's weights W, work
out the cosines at feature size and bring those, not the features, to the size of the labels.
Labels are 0..C-1 or 255; of others torch complains, on a GPU after the fact, but for Y_ret where it
is only compared with Y_crf.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from bana.bap import divisors

IGNORE = 255
EPSILON = 1e-12
# Largest sigma in ~S below which the slope of Eq. 13 would overflow.
FAINT = 1e-20


class NoiseAwareLoss(NamedTuple):
    """What `noise_aware_loss` returns: Eq. 14, 10, 13 and the map of Eq. 12."""

    total: Float[Tensor, ""]
    cross_entropy: Float[Tensor, ""]
    weighted: Float[Tensor, ""]
    confidence: Float[Tensor, "N H W"]


def cosine_scores(
    features: Float[Tensor, "N D h w"], weight: Float[Tensor, "C D"], size: tuple[int, int]
) -> Float[Tensor, "N C H W"]:
    """Cosine between features and classifier weights, enlarged to the size of the labels.

    Args:
        features, weight: phi and W.
        size: height and width of the labels, in pixels; bilinear with aligned corners, so
            cell i lies at pixel i * (H - 1) / (h - 1).

    Returns:
        float32 or better, under autocast too; in [-1, 1] up to rounding.

    Raises:
        ValueError: if features and weights are not of one length D.
    """
    if features.ndim != 4 or weight.ndim != 2 or features.shape[1] != weight.shape[1]:
        raise ValueError(
            f"features [N, D, h, w] and weight [C, D] must share D, got "
            f"{tuple(features.shape)} and {tuple(weight.shape)}"
        )
    # Losses are summed over hundreds of thousands of pixels, which half precision cannot hold.
    precise = torch.promote_types(torch.promote_types(features.dtype, weight.dtype), torch.float32)
    flat, weight = features.flatten(2).to(precise), weight.to(precise)  # [N, D, hw]
    with torch.autocast(features.device.type, enabled=False):
        cosines = weight / divisors(weight, 1) @ flat / divisors(flat, 1)  # [N, C, hw]
    cosines = cosines.unflatten(2, features.shape[2:])
    return F.interpolate(cosines, size=size, mode="bilinear", align_corners=True)


def reliable_pixels(
    y_crf: Integer[Tensor, "*N H W"], y_ret: Integer[Tensor, "*N H W"]
) -> tuple[Bool[Tensor, "*N H W"], Bool[Tensor, "*N H W"]]:
    """The regions S, where the two label maps agree, and ~S, where they do not.

    Args:
        y_crf, y_ret: labels, 255 = ignore.

    Returns:
        S and ~S. A pixel that either map ignores is in neither. ~S is one region for all classes:
        negating the agreement class by class, as one replication did, would put every reliable
        pixel into the ~S of all the classes it does not have.

    Raises:
        ValueError: if the maps are of two sizes.
    """
    if y_crf.shape != y_ret.shape:
        raise ValueError(f"labels {tuple(y_crf.shape)} and {tuple(y_ret.shape)} differ in size")
    known = (y_crf != IGNORE) & (y_ret != IGNORE)
    agree = y_crf == y_ret
    return known & agree, known & ~agree


def confidence_map(
    cosines: Float[Tensor, "N C H W"], y_crf: Integer[Tensor, "N H W"], gamma: float
) -> Float[Tensor, "N H W"]:
    """How strongly the classifier believes in Y_crf, relative to its favourite class: Eq. 11, 12.

    Args:
        cosines: cos(phi, W) in [-1, 1].
        y_crf: labels, 0..C-1 or 255.
        gamma: exponent, at least 1.

    Returns:
        sigma in [0, 1]: 1 where the label is the highest scoring class; 0 at ignored pixels.

    Raises:
        ValueError: if gamma is below 1, or cosines and labels do not fit together.
    """
    _check_gamma(gamma)
    _check_labels(cosines, y_crf)
    if y_crf.shape[1:] != cosines.shape[2:]:
        raise ValueError(
            f"labels {tuple(y_crf.shape)} must be of the size of cosines {tuple(cosines.shape)}"
        )
    return _ratio(cosines, y_crf).pow(gamma) * (y_crf != IGNORE)


def noise_aware_loss(
    features: Float[Tensor, "N D h w"],
    weight: Float[Tensor, "C D"],
    y_crf: Integer[Tensor, "N H W"],
    y_ret: Integer[Tensor, "N H W"],
    temperature: float = 20.0,
    gamma: float = 7.0,
    lam: float = 0.1,
    detach_confidence: bool = False,
) -> NoiseAwareLoss:
    """Cross-entropy where both label maps agree, confidence-weighted elsewhere: Eq. 10-14.

    Args:
        features, weight: phi and W; C = L + 1.
        y_crf, y_ret: labels, 0..L, 255 = ignore.
        temperature: tau of H = softmax(tau cos(phi, W)).
        gamma: exponent of Eq. 12, at least 1.
        lam: lambda of Eq. 14, weight of the unreliable region.
        detach_confidence: treat sigma as a constant. The paper does not say; in the authors' code
            it is none (False), so that the loss also falls where sigma does.

    Returns:
        total (Eq. 14), cross_entropy (Eq. 10), weighted (Eq. 13), in float32 or better, as half
        precision cannot hold sums over an image; and the confidence (Eq. 12). An empty region
        contributes exactly 0 (the authors' code: 0 / 0), and so does a pixel of ~S where sigma is
        0: if it is alone there, it counts as absent.

    Raises:
        ValueError: if features, weights and label maps do not fit together, gamma is below 1,
            ``temperature`` is not above 0, or ``lam`` is below 0.
    """
    _check_labels(features, y_crf, y_ret)
    _check_gamma(gamma)
    if not temperature > 0 or not lam >= 0:
        raise ValueError(f"temperature must be above 0 and lam at least 0: {temperature}, {lam}")
    cosines = cosine_scores(features, weight, y_crf.shape[1:])  # [N, C, H, W]
    negative_log = _negative_log_likelihood(cosines, y_crf, temperature)  # [N, H, W]
    reliable, unreliable = reliable_pixels(y_crf, y_ret)
    ratio = _ratio(cosines, y_crf)  # [N, H, W]
    if detach_confidence:
        ratio = ratio.detach()
    confidence = ratio.pow(gamma) * (y_crf != IGNORE)  # as of `confidence_map`
    cross_entropy = _masked_mean(negative_log, reliable)
    weighted = _weighted_mean(negative_log, _weights(ratio, unreliable, gamma))
    return NoiseAwareLoss(cross_entropy + lam * weighted, cross_entropy, weighted, confidence)


def cross_entropy_loss(
    features: Float[Tensor, "N D h w"],
    weight: Float[Tensor, "C D"],
    labels: Integer[Tensor, "N H W"],
    temperature: float = 20.0,
) -> Float[Tensor, ""]:
    """Mean cross-entropy over all pixels that are not ignored; 0 when all are.

    With Y_crf or Y_ret as labels this is the plain baseline; with `agreement(y_crf, y_ret)` it is
    the baseline that ignores ~S.

    Raises:
        ValueError: if features, weights and labels do not fit together.
    """
    _check_labels(features, labels)
    cosines = cosine_scores(features, weight, labels.shape[1:])
    return _masked_mean(_negative_log_likelihood(cosines, labels, temperature), labels != IGNORE)


def agreement(
    y_crf: Integer[Tensor, "*N H W"], y_ret: Integer[Tensor, "*N H W"]
) -> Integer[Tensor, "*N H W"]:
    """Y_crf where both label maps agree, 255 elsewhere; in the dtype of ``y_crf``.

    Raises:
        ValueError: if the maps are of two sizes.
    """
    reliable, _ = reliable_pixels(y_crf, y_ret)
    return torch.where(reliable, y_crf, torch.full_like(y_crf, IGNORE))


def entropy_regularised_loss(
    features: Float[Tensor, "N D h w"],
    weight: Float[Tensor, "C D"],
    y_crf: Integer[Tensor, "N H W"],
    y_ret: Integer[Tensor, "N H W"],
    temperature: float = 20.0,
    lam: float = 0.1,
) -> Float[Tensor, ""]:
    """Cross-entropy on S plus lambda times the mean entropy of the prediction on ~S.

    A baseline of the paper's Table 3.

    Raises:
        ValueError: if features, weights and labels do not fit together.
    """
    _check_labels(features, y_crf, y_ret)
    cosines = cosine_scores(features, weight, y_crf.shape[1:])
    log_probabilities = (temperature * cosines).log_softmax(1)  # [N, C, H, W]
    entropy = -(log_probabilities.exp() * log_probabilities).sum(1)  # [N, H, W]
    reliable, unreliable = reliable_pixels(y_crf, y_ret)
    negative_log = _negative_log_likelihood(cosines, y_crf, temperature)
    return _masked_mean(negative_log, reliable) + lam * _masked_mean(entropy, unreliable)


def bootstrapped_loss(
    features: Float[Tensor, "N D h w"],
    weight: Float[Tensor, "C D"],
    y_crf: Integer[Tensor, "N H W"],
    y_ret: Integer[Tensor, "N H W"],
    temperature: float = 20.0,
    lam: float = 0.1,
    beta: float = 0.95,
) -> Float[Tensor, ""]:
    """Cross-entropy on S plus lambda times soft bootstrapping (Reed et al. 2015) on ~S.

    On ~S the target is beta one_hot(Y_crf) + (1 - beta) H, with H the network's own prediction
    held constant. ``beta`` is the same at every step (a replication let it compound towards 0).
    A baseline of the paper's Table 3.

    Raises:
        ValueError: if features, weights and labels do not fit together.
    """
    _check_labels(features, y_crf, y_ret)
    cosines = cosine_scores(features, weight, y_crf.shape[1:])
    log_probabilities = (temperature * cosines).log_softmax(1)  # [N, C, H, W]
    negative_log = _negative_log_likelihood(cosines, y_crf, temperature)
    own = -(log_probabilities.detach().exp() * log_probabilities).sum(1)  # [N, H, W]
    reliable, unreliable = reliable_pixels(y_crf, y_ret)
    mixed = beta * negative_log + (1 - beta) * own
    return _masked_mean(negative_log, reliable) + lam * _masked_mean(mixed, unreliable)


def per_class_noise_aware_loss(
    features: Float[Tensor, "N D h w"],
    weight: Float[Tensor, "C D"],
    y_crf: Integer[Tensor, "N H W"],
    y_ret: Integer[Tensor, "N H W"],
    temperature: float = 20.0,
    gamma: float = 7.0,
    lam: float = 0.1,
) -> Float[Tensor, ""]:
    """Eq. 14 with ~S as a replication of the paper computed it: a region of its own a class.

    Negating "both labels say c" class by class puts every reliable pixel into the ~S of all
    classes but its own, and every unreliable one into that of all classes, so that Eq. 13 pulls
    pixels towards classes that neither label names. Sigma is that of Eq. 12, with its gradient.
    Kept to be measured beside `noise_aware_loss`; not how the paper is meant.

    Raises:
        ValueError: as `noise_aware_loss`.
    """
    _check_labels(features, y_crf, y_ret)
    _check_gamma(gamma)
    cosines = cosine_scores(features, weight, y_crf.shape[1:])  # [N, C, H, W]
    reliable, unreliable = reliable_pixels(y_crf, y_ret)
    cross_entropy = _masked_mean(_negative_log_likelihood(cosines, y_crf, temperature), reliable)
    own = F.one_hot(y_crf.long().masked_fill(~reliable, 0), len(weight)).movedim(3, 1)
    others = (reliable | unreliable)[:, None] & ~(own.bool() & reliable[:, None])  # ~S_c
    sigma = _weights(_ratio(cosines, y_crf), reliable | unreliable, gamma)
    negative_log = -(temperature * cosines).log_softmax(1)
    return cross_entropy + lam * _weighted_mean(negative_log, sigma[:, None] * others)


def generalised_cross_entropy_loss(
    features: Float[Tensor, "N D h w"],
    weight: Float[Tensor, "C D"],
    labels: Integer[Tensor, "N H W"],
    temperature: float = 20.0,
    q: float = 0.7,
) -> Float[Tensor, ""]:
    """Mean of (1 - p^q) / q over all pixels that are not ignored; p is H at the label.

    Zhang and Sabuncu (2018): between cross-entropy (q to 0) and the mean absolute error (q = 1),
    which forgives wrong labels. It knows one label map and no ~S. Not in the paper.

    Raises:
        ValueError: if features, weights and labels do not fit together, or q is not above 0.
    """
    if not q > 0:
        raise ValueError(f"q must be above 0, got {q}")
    _check_labels(features, labels)
    cosines = cosine_scores(features, weight, labels.shape[1:])
    # Not p to the power q: where p is too small for its type, the slope there would be nan.
    power = (-q * _negative_log_likelihood(cosines, labels, temperature)).exp()  # p^q
    return _masked_mean((1 - power) / q, labels != IGNORE)


def symmetric_cross_entropy_loss(
    features: Float[Tensor, "N D h w"],
    weight: Float[Tensor, "C D"],
    labels: Integer[Tensor, "N H W"],
    temperature: float = 20.0,
    forward: float = 0.1,
    reverse: float = 1.0,
    log_zero: float = -4.0,
) -> Float[Tensor, ""]:
    """Cross-entropy plus its reverse, in which label and prediction change places.

    Wang et al. (2019), who put ``log_zero`` for the logarithm of the zeros of a one-hot label. It
    knows one label map and no ~S. Not in the paper.

    Args:
        features, weight, labels, temperature: as in `cross_entropy_loss`.
        forward, reverse: weights of the two parts.
        log_zero: below 0.

    Raises:
        ValueError: if features, weights and labels do not fit together, or ``log_zero`` is not
            below 0.
    """
    if not log_zero < 0:
        raise ValueError(f"log_zero must be below 0, got {log_zero}")
    _check_labels(features, labels)
    cosines = cosine_scores(features, weight, labels.shape[1:])
    negative_log = _negative_log_likelihood(cosines, labels, temperature)
    reversed_ = -log_zero * (1 - (-negative_log).exp())
    return _masked_mean(forward * negative_log + reverse * reversed_, labels != IGNORE)


def _negative_log_likelihood(
    cosines: Float[Tensor, "N C H W"], labels: Integer[Tensor, "N H W"], temperature: float
) -> Float[Tensor, "N H W"]:
    """-log H at each pixel's label; 0 where the label is ignored."""
    return F.cross_entropy(
        temperature * cosines, labels.long(), ignore_index=IGNORE, reduction="none"
    )


def _ratio(
    cosines: Float[Tensor, "N C H W"], y_crf: Integer[Tensor, "N H W"]
) -> Float[Tensor, "N H W"]:
    """D of the label over the largest D, in [0, 1]: sigma before its power; anything at 255."""
    distances = 1 + cosines  # D_c, [N, C, H, W]
    chosen = distances.gather(1, y_crf.long().masked_fill(y_crf == IGNORE, 0)[:, None])[:, 0]
    return (chosen / distances.amax(1).clamp_min(EPSILON)).clamp(0, 1)


def _weights(
    ratio: Float[Tensor, "N H W"], region: Bool[Tensor, "N H W"], gamma: float
) -> Float[Tensor, "N H W"]:
    """Sigma in a region, 0 elsewhere; where all of it is faint, of ratios over the largest.

    A mean that is weighted by sigma does not feel the factor, which would be 1 / sigma in its
    slope.
    """
    ratio = ratio * region
    largest = ratio.detach().amax() if len(ratio) else ratio.new_zeros(())
    faint = (largest > 0) & (largest**gamma < FAINT)
    return (ratio * torch.where(faint, 1 / largest, 1)).pow(gamma)


def _masked_mean(values: Float[Tensor, "N H W"], mask: Bool[Tensor, "N H W"]) -> Float[Tensor, ""]:
    return (values * mask).sum() / mask.sum().clamp_min(1)


def _weighted_mean(
    values: Float[Tensor, "*N H W"], weights: Float[Tensor, "*N H W"]
) -> Float[Tensor, ""]:
    total = weights.sum()
    return (values * weights).sum() / torch.where(total > 0, total, 1)  # sigma^gamma may be tiny


def _check_gamma(gamma: float) -> None:
    if not gamma >= 1:
        raise ValueError(f"gamma must be at least 1, got {gamma}")


def _check_labels(features: Tensor, *maps: Tensor) -> None:
    for labels in maps:
        if labels.ndim != 3 or len(labels) != len(features) or labels.shape != maps[0].shape:
            raise ValueError(
                f"labels must be [N, H, W] with N = {len(features)} and of one size, got "
                f"{[tuple(m.shape) for m in maps]}"
            )
