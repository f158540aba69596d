"""Intervals of scores and differences: a bootstrap over images, and seeds if there are several.

Scores of the same images are compared image by image: images (and seeds) are drawn with
replacement, the same for both sides, and the interval is the middle 95 % of what comes out.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from bana.evaluation.miou import mean_iou


class Difference(NamedTuple):
    """A difference of two scores in points, with the ends of its 95 % interval.

    All three are NaN where one of the scores is.
    """

    mean: float
    low: float
    high: float


class Estimate(NamedTuple):
    """A score with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def paired_difference(
    first: Tensor, second: Tensor, resamples: int = 1000, seed: int = 0
) -> Difference:
    """Difference in mIoU, first less second, with its bootstrap interval.

    Args:
        first, second: areas of `class_areas`, [S, N, L + 1, 2]: the same S seeds and N images on
            both sides. With one seed the interval knows of the images alone.
        resamples: how often images and seeds are drawn.
        seed: of the drawing.

    Returns:
        NaN where a side has no score under one of the seeds. Draws of images that have none are
        left out.

    Raises:
        ValueError: if the shapes differ, nothing is there or ``resamples`` is below 1.
    """
    if first.shape != second.shape or first.ndim != 4 or not len(first) or not first.shape[1]:
        raise ValueError(
            f"areas must be [seeds, images, classes, 2] on both sides, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}"
        )
    seeds, images = first.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    times = _times_drawn(images, resamples, generator)
    one, other = (torch.einsum("rn,sncm->rscm", times, side.double()) for side in (first, second))
    chosen = torch.randint(seeds, (resamples, seeds), generator=generator)
    differences = (mean_iou(one) - mean_iou(other)).gather(1, chosen).mean(1)  # [R]
    whole = float((mean_iou(first.sum(1)) - mean_iou(second.sum(1))).mean())
    if math.isnan(whole):
        return Difference(whole, whole, whole)
    low, high = differences.nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return Difference(whole, float(low), float(high))


def estimate(
    counts: Tensor, score: Callable[[Tensor], Tensor], resamples: int = 1000
) -> Estimate | None:
    """A score of counts that are summed over images, with its bootstrap interval.

    Args:
        counts: [N, ...], those of one image each.
        score: gives [R] from R sums [R, ...], such as `mean_iou`; nan where a sum has none.
        resamples: how often images are drawn; the draws are the same at every call.

    Returns:
        None where the data set has no score. Draws of images that have none are left out.

    Raises:
        ValueError: if there is no image or ``resamples`` is below 1.
    """
    images = len(counts)
    if not images:
        raise ValueError("there is no image to score")
    whole = float(score(counts.sum(0, keepdim=True).double())[0])
    if math.isnan(whole):
        return None
    times = _times_drawn(images, resamples, torch.Generator().manual_seed(0))
    sums = (times @ counts.flatten(1).double()).unflatten(1, counts.shape[1:])
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = score(sums).nanquantile(ends).tolist()
    return Estimate(whole, low, high)


def _times_drawn(images: int, resamples: int, generator: torch.Generator) -> Tensor:
    """How often each of N images is drawn in each of R resamples: float64 [R, N]."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    drawn = torch.randint(images, (resamples, images), generator=generator)
    times = torch.zeros(resamples, images, dtype=torch.float64)
    return times.scatter_add_(1, drawn, torch.ones_like(times))
