"""How full boxes are, and what that means for the labels made from them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bana.data.boxes import box_masks
from bana.evaluation.intervals import estimate
from bana.evaluation.verdicts import plain_estimate
from bana.experiment.exhibits.sources import Materials, Needs
from bana.losses import IGNORE

KINDS = ("boxes", "boxes-crf", "gap", "bap")
FILLING = Needs(labels=KINDS)
EDGES = (0.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 100.0)
"""Ends of the classes of filling rate, in percent."""


def filling(materials: Materials) -> dict[str, Any]:
    """Filling rates of the validation images' boxes, and the labels' IoU by filling rate.

    Returns:
        "rates": percent of its pixels that a box's class covers, [boxes]; "edges": of the classes
        of rate; "boxes": how many are in each; "iou": {kind: one estimate a class of rate, None of
        an empty one}, the mean over boxes of the IoU within the box of its class, in percent, with
        a 95 % interval over images; "images": how many.
    """
    data = materials.data["val"]
    rates, sums = [], []
    for name in data.ids:
        boxes, classes = data.annotation(name)
        labels = {kind: materials.label(name, kind) for kind in KINDS}
        table = torch.zeros(len(EDGES) - 1, len(KINDS), 2, dtype=torch.float64)
        for rate, ious in box_scores(boxes.as_subclass(Tensor), classes, data.mask(name), labels):
            rates.append(rate)
            table[class_between(EDGES, rate)] += torch.stack([ious, torch.ones_like(ious)], 1)
        sums.append(table)
    stacked = torch.stack(sums)  # [N, classes of rate, kinds, sum and number]

    def of(bin_: int, kind: int) -> dict[str, float] | None:
        return plain_estimate(
            estimate(stacked[:, bin_, kind], lambda each: each[:, 0] / each[:, 1])
        )

    return {
        "rates": torch.tensor(rates),
        "edges": list(EDGES),
        "boxes": stacked[:, :, 0, 1].sum(0).long().tolist(),
        "iou": {
            kind: [of(bin_, number) for bin_ in range(len(EDGES) - 1)]
            for number, kind in enumerate(KINDS)
        },
        "images": len(data),
    }


def class_between(edges: Sequence[float], value: float) -> int:
    """Number of the class in which a value lies; an edge belongs to the class above it.

    Args:
        edges: ends of the classes, ascending; what lies beyond belongs to the first or the last.
        value: such as a filling rate, in the unit of the edges.
    """
    return min(sum(value >= edge for edge in edges[1:]), len(edges) - 2)


def box_scores(
    boxes: Tensor, classes: Tensor, mask: Tensor, labels: dict[str, Tensor]
) -> list[tuple[float, Tensor]]:
    """Filling rate and the labels' IoU of each box, in percent.

    Args:
        boxes: float [K, 4], XYXY, half-open, pixels.
        classes: int64 [K].
        mask: uint8 [H, W]; pixels marked 255 do not count.
        labels: uint8 [H, W] by kind.

    Returns:
        (rate, float64 [kinds]) of each box in which the mask has a pixel of its class.
    """
    made = []
    for inside, label in zip(box_masks(boxes, *mask.shape), classes.tolist(), strict=True):
        counted = inside & (mask != IGNORE)
        truth = counted & (mask == label)
        if not truth.any():
            continue
        found = [counted & (each == label) for each in labels.values()]
        ious = [100 * int((f & truth).sum()) / int((f | truth).sum()) for f in found]
        rate = 100 * int(truth.sum()) / int(counted.sum())
        made.append((rate, torch.tensor(ious, dtype=torch.float64)))
    return made
