"""Mean intersection over union of label maps against masks."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from bana.losses import IGNORE


class Scores(NamedTuple):
    """Intersection over union in percent.

    Attributes:
        miou: mean over the classes that occur in labels or masks.
        per_class: one value a class, background first; nan where a class occurs in neither.
        coverage: percentage of the evaluated pixels that carry a label.
    """

    miou: float
    per_class: tuple[float, ...]
    coverage: float


def class_areas(labels: Tensor, mask: Tensor, n_classes: int, ignored: str = "dropped") -> Tensor:
    """Intersection and union of labels and mask in one image, class by class.

    Args:
        labels, mask: integers [H, W], 0..L and 255; pixels that the mask marks 255 never count.
        n_classes: L + 1.
        ignored: what becomes of pixels that the labels mark 255, see `Scorer`.

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


def class_iou(areas: Tensor) -> Tensor:
    """IoU in percent of summed areas [..., L + 1, 2]; nan for a class that occurs nowhere."""
    inside, union = areas.double().unbind(-1)
    return 100 * inside / union  # 0 / 0 is nan


def mean_iou(areas: Tensor) -> Tensor:
    """mIoU in percent of summed areas [..., L + 1, 2]: the mean over classes that occur."""
    return class_iou(areas).nanmean(-1)


class Scorer:
    """mIoU over a whole data set, image by image: areas are summed, then the mean of classes.

    Pixels that the mask marks 255 never count. Pixels that the *label* marks 255 are counted as
    ``ignored`` says; the two conventions give very different numbers for the agreement of Y_crf
    and Y_ret, so both are always reported.

    Args:
        n_classes: L + 1.
        ignored: "dropped" leaves unlabelled pixels out; "wrong" counts them as misses.

    Attributes:
        areas: of each image so far, see `class_areas`.

    Raises:
        ValueError: if ``ignored`` is unknown.
    """

    def __init__(self, n_classes: int, ignored: str = "dropped") -> None:
        check_convention(ignored)
        self.n_classes = n_classes
        self.ignored = ignored
        self.labelled = self.evaluated = 0
        self.areas: list[Tensor] = []

    def update(self, labels: Tensor, mask: Tensor) -> None:
        """Count the pixels of one image.

        Args:
            labels, mask: uint8 [H, W], 0..L and 255, at the image's own size.

        Raises:
            ValueError: if sizes differ, or a value is no class.
        """
        self.areas.append(class_areas(labels, mask, self.n_classes, self.ignored))
        evaluated = mask != IGNORE
        self.evaluated += int(evaluated.sum())
        self.labelled += int((evaluated & (labels != IGNORE)).sum())

    def scores(self) -> Scores:
        """Scores of all images so far.

        Raises:
            ValueError: if there is nothing to score.
        """
        if not self.evaluated:
            raise ValueError("there is no pixel to score")
        total = torch.stack(self.areas).sum(0)
        coverage = 100 * self.labelled / self.evaluated
        return Scores(float(mean_iou(total)), tuple(class_iou(total).tolist()), coverage)


def score_labels(
    pairs: Iterable[tuple[Tensor, Tensor]], n_classes: int, ignored: str = "dropped"
) -> Scores:
    """mIoU of label maps over a whole data set, see `Scorer`.

    Args:
        pairs: (labels, mask), uint8 [H, W] each, 0..L and 255.
        n_classes: L + 1.
        ignored: "dropped" leaves unlabelled pixels out; "wrong" counts them as misses.

    Raises:
        ValueError: if sizes differ, a value is no class, ``ignored`` is unknown or there is nothing
            to score.
    """
    scorer = Scorer(n_classes, ignored)
    for labels, mask in pairs:
        scorer.update(labels, mask)
    return scorer.scores()


def check_convention(ignored: str) -> None:
    """Refuse a convention for unlabelled pixels that is neither "dropped" nor "wrong"."""
    if ignored not in ("dropped", "wrong"):
        raise ValueError(f"ignored must be dropped or wrong, got {ignored!r}")


def check_pair(labels: Tensor, mask: Tensor, n_classes: int) -> None:
    """Refuse labels and a mask of two sizes, fractions, and values that are no class or 255."""
    if labels.shape != mask.shape:
        raise ValueError(f"labels {tuple(labels.shape)} and mask {tuple(mask.shape)} differ")
    for name, values in (("labels", labels), ("mask", mask)):
        if values.is_floating_point():
            raise ValueError(f"{name} must be whole numbers, got {values.dtype}")
        known = (values >= 0) & (values < n_classes) | (values == IGNORE)
        if not known.all():
            found = values[~known][0].item()
            raise ValueError(f"class {found} in {name}: use 0..{n_classes - 1} and {IGNORE}")
