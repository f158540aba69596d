"""Boundary IoU of several pairs in one call."""

from collections.abc import Iterable

from torch import Tensor

from bana.evaluation.boundary import BoundaryScorer, BoundaryScores


def score_boundaries(
    pairs: Iterable[tuple[Tensor, Tensor]], n_classes: int, ignored: str = "dropped"
) -> BoundaryScores:
    """Of (labels, mask), uint8 [H, W] each; arguments and errors as of `BoundaryScorer`."""
    scorer = BoundaryScorer(n_classes, ignored)
    for labels, mask in pairs:
        scorer.update(labels, mask)
    return scorer.scores()
