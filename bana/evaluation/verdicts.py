"""One rule of verdict: a difference that is smaller than its interval is not told apart from zero.

Scores of the same images are compared image by image: the bootstrap draws images (and seeds, where
there are several) with replacement, the same for both sides, and the interval is the middle 95 % of
the differences of mIoU that come out.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from bana.evaluation.miou import check_convention, check_pair
from bana.losses import IGNORE

NOT_TOLD_APART = "not told apart"
NOT_SCORED = "not scored"


class Difference(NamedTuple):
    """A difference of two scores in points, with the ends of its 95 % interval.

    All three are NaN where one of the scores is.
    """

    mean: float
    low: float
    high: float


def verdict(difference: Difference) -> str:
    """In words: "higher", "lower", or "not told apart" where the interval holds zero or is NaN."""
    if difference.low > 0:
        return "higher"
    return "lower" if difference.high < 0 else NOT_TOLD_APART


def stated(difference: Difference) -> str:
    """A difference as README, tables and notebooks print it: points, interval, verdict.

    "not scored" where it is NaN.
    """
    if math.isnan(difference.mean):
        return NOT_SCORED
    text = interval(difference)
    return f"{text}, {NOT_TOLD_APART}" if verdict(difference) == NOT_TOLD_APART else text


def interval(difference: Difference) -> str:
    """A difference and its interval in points: "+1.2 [+0.3, +2.1]"."""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*difference)


def plain_difference(difference: Difference) -> dict[str, float] | None:
    """A difference as JSON holds it: {"mean", "low", "high"}; None where one of them is NaN."""
    return None if any(map(math.isnan, difference)) else difference._asdict()


def difference_of(plain: Mapping[str, float] | None) -> Difference:
    """The difference that `plain_difference` gave; NaN of None."""
    return Difference(math.nan, math.nan, math.nan) if plain is None else Difference(**plain)


def plain_score(value: float) -> float | None:
    """A score as JSON holds it: NaN, which JSON does not know, becomes None."""
    return None if math.isnan(value) else value


def class_areas(labels: Tensor, mask: Tensor, n_classes: int, ignored: str = "dropped") -> Tensor:
    """Intersection and union of labels and mask in one image, class by class.

    Args:
        labels, mask: integers [H, W], 0..L and 255; pixels that the mask marks 255 never count.
        n_classes: L + 1.
        ignored: what becomes of pixels that the labels mark 255, see `bana.evaluation.miou.Scorer`.

    Returns:
        int64 [L + 1, 2], in pixels. Summed over images and divided they are the classes' IoU.

    Raises:
        ValueError: if sizes differ, a value is no class, or ``ignored`` is unknown.
    """
    check_convention(ignored)
    check_pair(labels, mask, n_classes)
    counted = mask != IGNORE
    if ignored == "dropped":
        counted = counted & (labels != IGNORE)
    known = labels.long()[counted].clamp_max(n_classes)  # 255, where it counts as wrong
    pairs = mask.long()[counted] * (n_classes + 1) + known
    table = pairs.bincount(minlength=n_classes * (n_classes + 1)).view(n_classes, n_classes + 1)
    inside = table.diagonal()  # of the square part, where labels and mask are classes
    union = table.sum(1) + table[:, :n_classes].sum(0) - inside
    return torch.stack([inside, union], 1)


def mean_iou(areas: Tensor) -> Tensor:
    """mIoU in percent of summed areas [..., L + 1, 2]: the mean over classes that occur."""
    inside, union = areas.double().unbind(-1)
    return 100 * (inside / union).nanmean(-1)  # 0 / 0, a class that occurs nowhere, is nan


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
    _check_resamples(resamples)
    if first.shape != second.shape or first.ndim != 4 or not len(first) or not first.shape[1]:
        raise ValueError(
            f"areas must be [seeds, images, classes, 2] on both sides, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}"
        )
    seeds, images = first.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(images, (resamples, images), generator=generator)
    ones = torch.ones(drawn.shape, dtype=torch.float64)
    times = torch.zeros_like(ones).scatter_add_(1, drawn, ones)  # [R, N]
    one, other = (torch.einsum("rn,sncm->rscm", times, side.double()) for side in (first, second))
    chosen = torch.randint(seeds, (resamples, seeds), generator=generator)
    differences = (mean_iou(one) - mean_iou(other)).gather(1, chosen).mean(1)  # [R]
    whole = float((mean_iou(first.sum(1)) - mean_iou(second.sum(1))).mean())
    if math.isnan(whole):
        return Difference(whole, whole, whole)
    low, high = differences.nanquantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return Difference(whole, float(low), float(high))


def _check_resamples(resamples: int) -> None:
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")


class Estimate(NamedTuple):
    """A score with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def plain_estimate(made: Estimate | None) -> dict[str, float] | None:
    """An estimate as JSON holds it: {"value", "low", "high"}; None where there is none."""
    return made._asdict() if made else None


def estimated(plain: Mapping[str, float] | None) -> str:
    """An estimate as JSON holds it, in words: "61.2 [58.0, 64.1]"; "-" where there is none."""
    return "{value:.1f} [{low:.1f}, {high:.1f}]".format(**plain) if plain else "-"


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
    _check_resamples(resamples)
    images = len(counts)
    if not images:
        raise ValueError("there is no image to score")
    whole = float(score(counts.sum(0, keepdim=True).double())[0])
    if math.isnan(whole):
        return None
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(images, (resamples, images), generator=generator)
    times = torch.zeros(resamples, images, dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(times))
    sums = (times @ counts.flatten(1).double()).unflatten(1, counts.shape[1:])
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = score(sums).nanquantile(ends).tolist()
    return Estimate(whole, low, high)
