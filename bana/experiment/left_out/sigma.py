"""Whether sigma is honest: as high as labels of that sigma are right, by its exponent gamma.

Gamma changes no order, so that it changes nothing of how well sigma tells right labels from wrong
ones; it does change how much the loss (Eq. 13) trusts them. Sigma is taken at gamma 1, in fine
steps, of which every other gamma is a power.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from bana.evaluation.intervals import estimate
from bana.evaluation.regime import BINS, FINE, JudgedImage, sigma_counts
from bana.evaluation.verdicts import plain_estimate

GAMMAS = (1.0, 3.0, 7.0, 15.0, 30.0, 60.0)


def honesty(images: Iterable[JudgedImage]) -> dict[str, Any]:
    """How far sigma is from the share of right labels, on ~S, for several gammas.

    Args:
        images: with sigma at gamma 1.

    Returns:
        "right": an estimate of the share of right labels in ~S, percent; "gammas": {gamma:
        {"sigma": its mean there, percent; "over": by how much it is above the share of right
        labels, points; "error": the mean distance of the two in ten bins of sigma, points}}, an
        estimate each, with 95 % intervals over images; None where ~S is empty.

    Raises:
        ValueError: if there is no image.
    """
    tables = [sigma_counts(*image) for image in images]
    if not tables:
        raise ValueError("there is no image to score")
    counts = torch.stack(tables)  # [N, FINE, wrong or right]
    gammas = {}
    for gamma in GAMMAS:
        steps = ((torch.arange(FINE, dtype=torch.float64) + 0.5) / FINE) ** gamma
        scores = {
            "sigma": lambda sums, steps=steps: _mean_sigma(sums, steps),
            "over": lambda sums, steps=steps: _mean_sigma(sums, steps) - _right(sums),
            "error": lambda sums, steps=steps: _calibration_error(sums, steps),
        }
        gammas[f"{gamma:g}"] = {
            name: plain_estimate(estimate(counts, score)) for name, score in scores.items()
        }
    right = plain_estimate(estimate(counts, _right))
    return {"images": len(counts), "right": right, "gammas": gammas}


def _right(sums: Tensor) -> Tensor:
    return 100 * sums[:, :, 1].sum(1) / sums.sum((1, 2))


def _mean_sigma(sums: Tensor, steps: Tensor) -> Tensor:
    pixels = sums.sum(2)  # [R, FINE]
    return 100 * (pixels * steps).sum(1) / pixels.sum(1)


def _calibration_error(sums: Tensor, steps: Tensor) -> Tensor:
    """Mean over pixels of |mean sigma - share of right labels| in their bin of sigma."""
    bins = torch.nn.functional.one_hot((steps * BINS).long().clamp(max=BINS - 1), BINS).to(sums)
    pixels = sums.sum(2)
    trusted, right = (pixels * steps) @ bins, sums[:, :, 1] @ bins  # [R, BINS]
    return 100 * (trusted - right).abs().sum(1) / pixels.sum(1)
