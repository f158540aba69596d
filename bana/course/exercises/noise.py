"""Exercises of notebook 06: the noise-aware loss."""

from collections.abc import Callable

import torch
from torch import Tensor

from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import Hint, compare, exercise, recognise, tried_on
from bana.losses import noise_aware_loss


@exercise("06-1")
def cosine_at(answer) -> str:
    """Eq. 11 and 12 solved for the cosine of the label."""
    cases = ((0.5, 1.0, 1.0), (0.5, 1.0, 7.0), (0.25, 0.6, 3.0), (1.0, 0.3, 7.0), (0.0, 0.8, 2.0))
    for sigma, best, gamma in cases:
        given = f"sigma = {sigma:g}, best = {best:g}, gamma = {gamma:g}"
        with tried_on(given):
            found = answer(sigma, best, gamma)
        root = sigma ** (1 / gamma)
        expected = (1 + best) * root - 1
        mistakes = {
            "Eq. 12 is a ratio of D, not of cosines. What lies between the two?": best * root,
            "Eq. 12 raises the ratio to the power gamma. What undoes a power?": (
                (1 + best) * sigma**gamma - 1
            ),
            "That is D of the label, between 0 and 2. The cosine is asked for.": (1 + best) * root,
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    return "sigma of 0, .25, .5 and 1 with four values of gamma"


@asks("06-1", sigma=(0.1, 0.2, 0.25, 0.3, 0.4, 0.6, 0.7, 0.8), gamma=(2, 3, 4, 5, 6, 8, 10))
def lag(sigma: float = 0.5, gamma: int = 7) -> Question:
    """How far below 1 the label's cosine may lie for some confidence."""
    ratio = sigma ** (1 / gamma)
    answer = 2 * (1 - ratio)
    words = (
        f"and $\\gamma = {gamma}$",
        f"for $\\sigma$ to be {short(sigma)}",
        f"cosine_at({sigma}, 1, {gamma})",
        f"a lag of {short(answer)}",
    )
    mistakes = {
        "That is the cosine. How far below 1 is it?": 1 - answer,
        "That is how far the ratio lies below 1. D goes up to 2.": 1 - ratio,
    }
    return Question(answer, words, mistakes)


@exercise("06-2")
def weighted_loss(answer) -> str:
    """Eq. 13 of a batch, also where there is no unreliable pixel."""
    generator = torch.Generator().manual_seed(2)
    loss = 3 * torch.rand(2, 4, 5, generator=generator)
    sigma = torch.rand(2, 4, 5, generator=generator)
    region = torch.zeros(2, 4, 5, dtype=torch.bool)
    region[0, :, :2] = region[1, 1, 3] = True
    first = region.clone()
    first[1] = False
    none = torch.zeros_like(region)
    cases = {
        "two images with much and little in ~S": (loss, sigma, region),
        "a second image with nothing in ~S": (loss, sigma, first),
        "a batch with nothing in ~S": (loss, sigma, none),
        "a sigma of 0 everywhere": (loss, 0 * sigma, region),
    }
    for given, (values, weight, where) in cases.items():
        with tried_on(given):
            found = answer(values.clone(), weight.clone(), where.clone())
        w = weight * where
        total, pixels = w.sum().clamp_min(1e-12), where.sum().clamp_min(1)
        each = (values * w).sum((1, 2)) / w.sum((1, 2)).clamp_min(1e-12)
        expected = (values * w).sum() / total
        everywhere = weight.sum().clamp_min(1e-12)
        only = "Only the pixels of ~S enter, above and below the line."
        mistakes = {
            "You take a mean in each image and then the mean of the images. Eq. 13 is one mean "
            "over the pixels of the whole batch.": each.mean(),
            "A weighted mean divides by the sum of its weights, not by the number of pixels.": (
                (values * w).sum() / pixels
            ),
            only: (values * weight).sum() / everywhere,
            "This is the plain mean over ~S. Where is sigma?": (values * where).sum() / pixels,
        }
        recognise(found, expected, mistakes)
        recognise(found, expected, {only: (values * w).sum() / everywhere})
        compare(found, expected, given)
    return "batches with much, little and nothing in ~S, and a sigma of 0"


def turning_loss(detach: bool, scale: float) -> Callable[[Tensor], Tensor]:
    """L_wce of pixels with label 0 as a function of their angles, on the plane of the notebook."""
    corners = torch.tensor([90.0, 210.0, 330.0], dtype=torch.float64).deg2rad()
    weight = torch.stack([corners.cos(), corners.sin()], 1)  # [3, 2]

    def loss(angles: Tensor) -> Tensor:
        phi = torch.stack([angles.cos(), angles.sin()])[None, :, None]  # [1, 2, 1, n]
        label = torch.zeros(1, 1, len(angles), dtype=torch.uint8)
        made = noise_aware_loss(phi, weight, label, label + 1, detach_confidence=detach)
        return scale * made.weighted

    return loss


# A pixel at 140 degrees looks the same with sigma detached, one at 165 degrees does not.
_ORDERS = ((140.0, 165.0), (165.0, 140.0))


@exercise("06-3")
def is_detached(answer) -> str:
    """Whether autograd sees all of a loss: its gradient against differences."""

    def said(detach: bool, degrees: tuple[float, ...], scale: float = 1.0) -> bool:
        angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
        found = answer(turning_loss(detach, scale), angles)
        if found is None:
            raise NotImplementedError
        return bool(found)

    whole = (
        "A loss with nothing detached, and you say that something is. How does its gradient "
        "compare with what the loss does on a small step?"
    )
    if any(said(False, degrees) for degrees in _ORDERS) or said(False, _ORDERS[0], scale=1e-6):
        raise Hint(whole)
    seen = [said(True, degrees) for degrees in _ORDERS]
    if not any(seen):
        raise Hint(
            "Here sigma is detached, and you say no. A detached part still has a value, and the "
            "loss still has a gradient: what is it that only autograd leaves out?"
        )
    if not (all(seen) and said(True, (90.0, 140.0, 165.0))):
        raise Hint("Sigma is detached, and only one of the pixels tells. Look at every angle.")
    if not said(True, _ORDERS[0], scale=1e-6):
        raise Hint(
            "It works until the loss is multiplied by a millionth: do you compare two slopes by a "
            "fixed difference?"
        )
    if said(False, (90.0, 165.0)):
        raise Hint(f"{whole} Where a slope is 0 only rounding is left: compare with the largest.")
    return "losses with sigma detached or not, large and small, of two and three pixels"
