"""The regime card: the numbers that tell whether a data set lies where the method works.

The method lives on three things: boxes that hold background, so that there is something to carve
out; features that know more of it than the colours do, which a CRF alone sees; and a second kind of
labels that disagrees with the first where the first is wrong. Each has its numbers here, with
intervals over images, and with what chance would reach beside them.

All numbers are in percent, and None where there is no pixel to count. Pixels that a mask marks 255
never count.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bana.data.boxes import covered, pixels_of
from bana.evaluation.intervals import Difference, estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import plain_difference, plain_estimate
from bana.losses import IGNORE, agreement, reliable_pixels

# What is said of kinds of labels: mIoU of the first less that of the second.
DIFFERENCES = (
    ("boxes-crf", "boxes"),
    ("gap", "boxes-crf"),
    ("bap", "gap"),
    ("bap", "bap-no-u0"),
    ("bap-no-u0", "gap"),
    ("bap", "bap-ret"),
)
TRUTHS = {"all": (0, 1), "background": (0,), "object": (1,)}
BINS, FINE = 10, 1000


class RegimeImage(NamedTuple):
    """One image: its labels of every kind, "bap" and "bap-ret" among them, mask and boxes.

    Attributes:
        labels: uint8 [H, W] each, 0..L and 255, see `bana.evaluation.scoring.read_label_files`.
        mask: uint8 [H, W], 0..L and 255.
        boxes: float [K, 4], XYXY, half-open, pixels; K may be 0.
        classes: int64 [K], 1..L.
    """

    labels: Mapping[str, Tensor]
    mask: Tensor
    boxes: Tensor
    classes: Tensor


class JudgedImage(NamedTuple):
    """One image whose labels a network judges: sigma float [H, W] in [0, 1], and uint8 maps."""

    confidence: Tensor
    y_crf: Tensor
    y_ret: Tensor
    mask: Tensor


def regime(images: Iterable[RegimeImage], n_classes: int) -> dict[str, Any]:
    """The card of one data set, but for the calibration of sigma.

    Args:
        images: all of the data set, one at a time.
        n_classes: L + 1.

    Returns:
        "images" and "boxes": how many; "filling": "mean" and "quartiles" of `filling_rates`, and
        the "boxes" that have one; "miou": an estimate by kind of label, and by both conventions of
        the pixels where Y_crf and Y_ret agree, see `bana.evaluation.miou.Scorer`; "differences": a
        list of {"first", "second", "mean", "low", "high"} in points, of the `DIFFERENCES` whose
        labels are there; "inside": `within_boxes`. An estimate is {"value", "low", "high"}, a 95 %
        interval over images, or None.

    Raises:
        ValueError: if there is no image, or maps of one image differ in size.
    """
    filling: list[float] = []
    areas: dict[str, list[Tensor]] = {}
    inside: list[Tensor] = []
    boxes = 0
    for labels, mask, corners, classes in images:
        boxes += len(corners)
        filling += filling_rates(corners, classes, mask)
        for kind, made in labels.items():
            areas.setdefault(kind, []).append(class_areas(made, mask, n_classes))
        agreed = agreement(labels["bap"], labels["bap-ret"])
        for ignored in ("dropped", "wrong"):
            made = class_areas(agreed, mask, n_classes, ignored)
            areas.setdefault(f"agreement-{ignored}", []).append(made)
        inside.append(inside_counts(labels["bap"], labels["bap-ret"], mask, corners))
    if not inside:
        raise ValueError("there is no image to score")
    stacked = {kind: torch.stack(each) for kind, each in areas.items()}  # [N, L + 1, 2]
    return {
        "images": len(inside),
        "boxes": boxes,
        "filling": _spread(filling),
        "miou": {kind: plain_estimate(estimate(each, mean_iou)) for kind, each in stacked.items()},
        "differences": [
            {"first": first, "second": second} | _difference(stacked[first], stacked[second])
            for first, second in DIFFERENCES
            if first in stacked and second in stacked
        ],
        "inside": within_boxes(torch.stack(inside)),
    }


def filling_rates(boxes: Tensor, classes: Tensor, mask: Tensor) -> list[float]:
    """Share of each box's pixels that its object covers, in percent.

    The mask knows classes, not objects: where boxes of one class overlap, the other's pixels count.

    Args:
        boxes, classes, mask: see `RegimeImage`.

    Returns:
        One value a box; boxes without a pixel that counts have none.
    """
    rates = []
    for box, number in zip(boxes, classes.tolist(), strict=True):
        inside = mask[pixels_of(box)]
        if pixels := int((inside != IGNORE).sum()):
            rates.append(100 * int((inside == number).sum()) / pixels)
    return rates


def inside_counts(y_crf: Tensor, y_ret: Tensor, mask: Tensor, boxes: Tensor) -> Tensor:
    """How many pixels within boxes Y_crf labels rightly, apart for S and ~S.

    Args:
        y_crf, y_ret, mask, boxes: see `RegimeImage`; pixels that a label map marks 255 never count.

    Returns:
        int64 [2, 2, 2]: S and ~S; background and object in the mask; wrong and right.
    """
    counted = covered(boxes, *mask.shape) & (mask != IGNORE)
    cases = 2 * (mask > 0).long() + (y_crf == mask).long()
    return torch.stack(
        [
            cases[region & counted].bincount(minlength=4).view(2, 2)
            for region in reliable_pixels(y_crf, y_ret)
        ]
    )


def within_boxes(counts: Tensor) -> dict[str, dict[str, Any]]:
    """What the agreement of Y_crf and Y_ret says of Y_crf within boxes.

    Disagreement is taken as a finder of errors: its precision is the share of ~S that is wrong, its
    recall the share of the wrong pixels that lie in ~S. A region of the same size drawn at random
    would have the error rate for its precision, and the share of ~S for its recall.

    Args:
        counts: [N, 2, 2, 2], of `inside_counts`.

    Returns:
        For "all" pixels within boxes, and those that are "background" or "object" in the mask:
        "pixels", and estimates of "accuracy_reliable" and "accuracy_unreliable" (Y_crf on S and on
        ~S), "precision", "error_rate" (chance), "precision_gain" (over chance, in points),
        "recall", "unreliable_share" (chance) and "recall_gain".
    """
    card: dict[str, dict[str, Any]] = {}
    for name, truths in TRUTHS.items():
        table = counts[:, :, list(truths)].sum(2)  # [N, S or ~S, wrong or right]
        card[name] = {"pixels": int(table.sum())}
        for key in agreement_shares(table[:1].double()):
            made = estimate(table, lambda sums, key=key: agreement_shares(sums)[key])
            card[name][key] = plain_estimate(made)
    return card


def agreement_shares(sums: Tensor) -> dict[str, Tensor]:
    """The shares of `within_boxes`, in percent.

    Args:
        sums: float [R, 2, 2]: S and ~S; wrong and right.

    Returns:
        [R] each; nan for 0 / 0.
    """
    wrong, right = sums.unbind(2)  # [R, S or ~S]
    region, everywhere = sums.sum(2), sums.sum((1, 2))
    accuracy = 100 * right / region
    precision, error_rate = 100 * wrong[:, 1] / region[:, 1], 100 * wrong.sum(1) / everywhere
    recall, share = 100 * wrong[:, 1] / wrong.sum(1), 100 * region[:, 1] / everywhere
    return {
        "accuracy_reliable": accuracy[:, 0],
        "accuracy_unreliable": accuracy[:, 1],
        "precision": precision,
        "error_rate": error_rate,
        "precision_gain": precision - error_rate,
        "recall": recall,
        "unreliable_share": share,
        "recall_gain": recall - share,
    }


def calibration(images: Iterable[JudgedImage]) -> dict[str, Any]:
    """Whether sigma (Eq. 12) knows which labels are right, on ~S, where the loss asks it.

    Args:
        images: the training images, whose labels sigma judges, one at a time.

    Returns:
        "images"; "pixels" of ~S; "right": an estimate of the share of right labels; "auc": one of
        how often a right label has a higher sigma than a wrong one, 50 by chance, with ties
        counted half; "bins": ten of {"low", "high", "share", "right"}, the share of the pixels
        whose sigma lies there and an estimate of their right labels.

    Raises:
        ValueError: if there is no image.
    """
    tables = [sigma_counts(*image) for image in images]
    if not tables:
        raise ValueError("there is no image to score")
    fine = torch.stack(tables)  # [N, FINE, wrong or right]
    coarse = fine.unflatten(1, (BINS, FINE // BINS)).sum(2)  # [N, BINS, wrong or right]
    pixels = int(coarse.sum())

    def right(sums: Tensor) -> Tensor:
        return 100 * sums[:, 1] / sums.sum(1)

    return {
        "images": len(fine),
        "pixels": pixels,
        "right": plain_estimate(estimate(coarse.sum(1), right)),
        "auc": plain_estimate(estimate(fine, ordering_chance)),
        "bins": [
            {
                "low": number / BINS,
                "high": (number + 1) / BINS,
                "share": 100 * int(coarse[:, number].sum()) / pixels if pixels else None,
                "right": plain_estimate(estimate(coarse[:, number], right)),
            }
            for number in range(BINS)
        ],
    }


def sigma_counts(confidence: Tensor, y_crf: Tensor, y_ret: Tensor, mask: Tensor) -> Tensor:
    """How many labels in ~S are wrong and right, by their sigma.

    Args:
        confidence, y_crf, y_ret, mask: see `JudgedImage`.

    Returns:
        int64 [FINE, 2]: sigma from 0 to 1 in steps of equal width; wrong and right.
    """
    _, unreliable = reliable_pixels(y_crf, y_ret)
    counted = unreliable & (mask != IGNORE)
    step = (confidence[counted] * FINE).long().clamp(0, FINE - 1)
    right = (y_crf == mask)[counted].long()
    return (2 * step + right).bincount(minlength=2 * FINE).view(FINE, 2)


def ordering_chance(sums: Tensor) -> Tensor:
    """Area under the ROC curve in percent: how often a right label has the higher value.

    Args:
        sums: [R, steps, 2], wrong and right by ascending value; those of one step are ties.

    Returns:
        [R]; nan where there is no wrong or no right label.
    """
    wrong, right = sums.unbind(2)
    below = wrong.cumsum(1) - wrong / 2
    return 100 * (right * below).sum(1) / (right.sum(1) * wrong.sum(1))


def _difference(first: Tensor, second: Tensor) -> dict[str, float | None]:
    """The paired difference of areas [N, L + 1, 2] as JSON holds it."""
    made = plain_difference(paired_difference(first[None], second[None]))
    return dict.fromkeys(Difference._fields) if made is None else dict(made)


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean and quartiles, None of nothing."""
    if not values:
        return {"boxes": 0, "mean": None, "quartiles": None}
    made = torch.tensor(values, dtype=torch.float64)
    quarters = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    return {
        "boxes": len(values),
        "mean": float(made.mean()),
        "quartiles": made.quantile(quarters).tolist(),
    }
