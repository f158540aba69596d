"""Mean intersection over union of label maps against masks."""

from collections.abc import Iterable
from typing import NamedTuple

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


class Scorer:
    """mIoU over a whole data set, image by image: one confusion matrix, then the mean of classes.

    Pixels that the mask marks 255 never count. Pixels that the *label* marks 255 are counted as
    ``ignored`` says; the two conventions give very different numbers for the agreement of Y_crf
    and Y_ret, so both are always reported.

    Args:
        n_classes: L + 1.
        ignored: "dropped" leaves unlabelled pixels out; "wrong" counts them as misses.

    Raises:
        ValueError: if ``ignored`` is unknown.
    """

    def __init__(self, n_classes: int, ignored: str = "dropped") -> None:
        # Here, since with it come a hundred other metrics, and seconds, at every import of bana.
        from torchmetrics.classification import MulticlassJaccardIndex

        check_convention(ignored)
        self.n_classes = n_classes
        self.ignored = ignored
        self.labelled = self.evaluated = 0
        # "wrong" gives unlabelled pixels a class of their own, which no mask has.
        self._metric = MulticlassJaccardIndex(
            n_classes + 1, average="none", ignore_index=IGNORE, zero_division=float("nan")
        )

    def update(self, labels: Tensor, mask: Tensor) -> None:
        """Count the pixels of one image.

        Args:
            labels, mask: uint8 [H, W], 0..L and 255, at the image's own size.

        Raises:
            ValueError: if sizes differ, or a value is no class.
        """
        check_pair(labels, mask, self.n_classes)
        unlabelled = labels == IGNORE
        self.evaluated += int((mask != IGNORE).sum())
        self.labelled += int(((mask != IGNORE) & ~unlabelled).sum())
        target = mask.long()
        if self.ignored == "dropped":
            target = target.masked_fill(unlabelled, IGNORE)
        known = labels.long().masked_fill(unlabelled, self.n_classes)
        self._metric.update(known[None], target[None])

    def scores(self) -> Scores:
        """Scores of all images so far.

        Raises:
            ValueError: if there is nothing to score.
        """
        if not self.evaluated:
            raise ValueError("there is no pixel to score")
        per_class = 100 * self._metric.compute()[: self.n_classes]
        coverage = 100 * self.labelled / self.evaluated
        return Scores(float(per_class.nanmean()), tuple(per_class.tolist()), coverage)


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
