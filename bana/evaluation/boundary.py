"""Boundary IoU (Cheng et al. 2021): how well labels follow the outlines of what they mark.

mIoU hardly feels an outline that is off by a few pixels; this score looks at nothing else.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from bana.evaluation.miou import check_convention, check_pair, class_iou, mean_iou
from bana.losses import IGNORE

SHARE = 0.02
NEIGHBOURS = np.ones((3, 3), np.uint8)


class BoundaryScores(NamedTuple):
    """Boundary IoU in percent.

    Attributes:
        miou: mean over the classes that have a boundary in labels or masks.
        per_class: one value a class, background first; nan where a class has no boundary in either.
    """

    miou: float
    per_class: tuple[float, ...]


def boundary_width(height: int, width: int) -> int:
    """d: 2 % of the image's diagonal, rounded, at least 1 pixel."""
    return max(1, round(SHARE * math.hypot(height, width)))


def boundary_region(inside: np.ndarray, ignored: np.ndarray, distance: int) -> np.ndarray:
    """The pixels of a region that lie near its outline.

    As in the authors' code, distance is counted in steps to any of eight neighbours, and what lies
    beyond the image's border is outside. An ignored pixel may be either, so it is no outside.

    Args:
        inside: the region, bool [H, W].
        ignored: pixels that are not evaluated, bool [H, W].
        distance: d, in pixels, at least 1.

    Returns:
        bool [H, W]: true where the region has an outside pixel at most d steps away.
    """
    solid = (inside | ignored).astype(np.uint8)
    core = cv2.erode(
        solid, NEIGHBOURS, iterations=distance, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return inside & ~ignored & (core == 0)


def boundary_areas(
    labels: Tensor, mask: Tensor, n_classes: int, ignored: str = "dropped"
) -> Tensor:
    """Intersection and union of the boundary regions of one image, class by class.

    Args:
        labels, mask: uint8 [H, W], 0..L and 255, at the image's own size.
        n_classes: L + 1.
        ignored: see `BoundaryScorer`.

    Returns:
        int64 [L + 1, 2], in pixels: what `bana.evaluation.miou.class_areas` is to mIoU.

    Raises:
        ValueError: if sizes differ, a value is no class, or ``ignored`` is unknown.
    """
    check_convention(ignored)
    check_pair(labels, mask, n_classes)
    said, true = labels.cpu().numpy(), mask.cpu().numpy()
    unknown = true == IGNORE
    if ignored == "dropped":
        unknown = unknown | (said == IGNORE)
    distance = boundary_width(*true.shape)
    areas = torch.zeros(n_classes, 2, dtype=torch.int64)
    for c in np.union1d(said, true):
        if c != IGNORE:
            one, other = (boundary_region(m == c, unknown, distance) for m in (said, true))
            areas[c] = torch.tensor([int((one & other).sum()), int((one | other).sum())])
    return areas


class BoundaryScorer:
    """Boundary IoU over a whole data set, image by image.

    The paper defines it for the masks of single objects. For label maps each class is one region
    an image, background too; intersections and unions of its boundary regions are summed over the
    data set, as those of mIoU are, and the mean of the classes is taken last.

    Pixels that the mask marks 255 are ignored in labels and mask alike: they are in no boundary
    region and create none, so that VOC's white outlines cost nothing and hide nothing beyond their
    own width. Pixels that the *label* marks 255 are ignored likewise where ``ignored`` is
    "dropped"; "wrong" counts them as a class of their own, whose edges are edges of the labels.

    Args:
        n_classes: L + 1.
        ignored: "dropped" or "wrong".

    Raises:
        ValueError: if ``ignored`` is unknown.
    """

    def __init__(self, n_classes: int, ignored: str = "dropped") -> None:
        check_convention(ignored)
        self.n_classes = n_classes
        self.ignored = ignored
        self._areas = torch.zeros(n_classes, 2, dtype=torch.int64)

    def update(self, labels: Tensor, mask: Tensor) -> None:
        """Count the boundary pixels of one image.

        Args:
            labels, mask: uint8 [H, W], 0..L and 255, at the image's own size.

        Raises:
            ValueError: if sizes differ, or a value is no class.
        """
        self._areas += boundary_areas(labels, mask, self.n_classes, self.ignored)

    def scores(self) -> BoundaryScores:
        """Scores of all images so far."""
        per_class = tuple(class_iou(self._areas).tolist())
        return BoundaryScores(float(mean_iou(self._areas)), per_class)
