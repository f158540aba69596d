"""What can be said of masks where nobody has drawn any: measures from boxes alone.

Each is a number of a box in [0, 1], and none is the IoU of its mask, which nobody knows here:

    agreement   IoU of the box's masks in Y_crf and in Y_ret, two labels of one classifier. It sees
                where one of them errs, and nothing of what both get wrong; masks that fill their
                boxes agree.
    found       How well labels made from a box that is too large find the true one: the box is
                enlarged by a quarter of its sides on each side, and the rows and columns that its
                mask covers are compared with those of the true box. It sees masks that are too
                large and too small, and nothing of holes and of the outline within the rows and
                columns. A mask that fills the enlarged box gets .44.
    named       Whether the classifier names the box's class, of all classes that it is asked about.
                It says nothing of any mask.

How far the first two go with mIoU where masks are known is measured by `benchmarks/mask_free.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bana.data.boxes import box_masks, rows_and_columns
from bana.data.transforms import add_region
from bana.evaluation.intervals import Difference, Estimate, estimate
from bana.experiment.masking import compared
from bana.experiment.pretrained import Pretrained, label_maps
from bana.experiment.transfer import transfer_weight

MEASURES = ("agreement", "found", "named")
MARGIN = 0.25
"""A box is enlarged by this share of its sides, on each side."""
ROOM = 1.2
"""A box that cannot be enlarged by at least this factor of its area, for want of image, is no
question."""

Item = Mapping[str, Any]
Labels = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class Measured(NamedTuple):
    """Two classifiers by one measure, in percent of the boxes, with 95 % intervals over images.

    Attributes:
        before, after: of the two; None where no box has the measure.
        gain: after less before, on the same images; None likewise.
        boxes: how many have it.
    """

    before: Estimate | None
    after: Estimate | None
    gain: Difference | None
    boxes: int


def box_measures(model: Pretrained, item: Item, classes: Sequence[str]) -> dict[str, Tensor]:
    """The measures of every box of a photograph.

    Args:
        model: a classifier.
        item: "image", "boxes" and "labels" as `bana.data.voc.VocDataset` gives them, of the size at
            which the classifier is to see the photograph.
        classes: names of the labels, background first.

    Returns:
        {measure: float [K]} for `MEASURES`; nan where a box has none: "found" of one that nearly
        fills the image, "named" of a class that the classifier does not know.
    """
    side = max(item["image"].shape[1:])

    def labels(image: Tensor, boxes: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        return label_maps(image, boxes, numbers, classes, model, side)

    return {**label_measures(item, labels), "named": named(model, item, classes)}


def label_measures(item: Item, labels: Labels) -> dict[str, Tensor]:
    """Those of the measures that are about labels, however these are made.

    Args:
        item: as of `box_measures`.
        labels: gives Y_crf and Y_ret, uint8 [H, W], of an image, its boxes and their classes.
    """
    image, boxes = (item[key].as_subclass(Tensor) for key in ("image", "boxes"))
    numbers = item["labels"]
    _, differ = compared(*labels(image, boxes, numbers), boxes, numbers.tolist())
    larger = enlarged(boxes, *image.shape[1:])
    y_crf, _ = labels(image, larger, numbers)
    return {
        "agreement": 1 - torch.tensor(differ, dtype=torch.float32),
        "found": found(y_crf, boxes, larger, numbers),
    }


def enlarged(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes [K, 4] with `MARGIN` added on each side, as far as the image goes."""
    sides = (boxes[:, 2:] - boxes[:, :2]) * MARGIN
    larger = torch.cat([boxes[:, :2] - sides, boxes[:, 2:] + sides], 1)
    return larger.clamp_min(0).minimum(boxes.new_tensor([width, height, width, height]))


def found(label: Tensor, boxes: Tensor, larger: Tensor, numbers: Tensor) -> Tensor:
    """How well labels of enlarged boxes find the true ones.

    Args:
        label: Y_crf of the enlarged boxes, uint8 [H, W].
        boxes: the true ones, float [K, 4], XYXY, half-open, pixels.
        larger: of `enlarged`.
        numbers: int64 [K], the classes.

    Returns:
        float [K]: the IoU of the rows that the box's mask covers and those of the true box, times
        the same of the columns; nan where the box had no room to be enlarged. What lies in another
        true box alone, as a neighbour of the same class does, is not counted.
    """
    height, width = label.shape
    true_rows, true_columns = rows_and_columns(boxes, height, width)
    scores = torch.full((len(boxes),), float("nan"))
    for k, (box, large) in enumerate(zip(boxes, larger, strict=True)):
        if _area(large) < ROOM * _area(box):
            continue
        own, around = box_masks(torch.stack([box, large]), height, width)
        others = box_masks(torch.cat([boxes[:k], boxes[k + 1 :]]), height, width).any(0)
        mask = (label == int(numbers[k])) & around & (own | ~others)
        rows = _overlap(mask.any(1), true_rows[k])
        scores[k] = rows * _overlap(mask.any(0), true_columns[k])
    return scores


def _area(box: Tensor) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _overlap(first: Tensor, second: Tensor) -> float:
    return float((first & second).sum()) / max(1, int((first | second).sum()))


def named(model: Pretrained, item: Item, classes: Sequence[str]) -> Tensor:
    """Whether each box gets its own class, of those of ``classes`` that the classifier knows.

    Args:
        model, item, classes: as of `box_measures`.

    Returns:
        float [K]: 1 or 0, nan for a box of a class that it does not know.
    """
    weight = transfer_weight(model.classifier.weight, model.classes, classes)
    background = (add_region(dict(item))["region"].as_subclass(Tensor) == 1).float()[None, None]
    boxes = nn.functional.pad(item["boxes"].as_subclass(Tensor), (1, 0))  # of image 0
    seen = item["image"].as_subclass(Tensor)[None], background, boxes
    with torch.no_grad():
        logits = torch.func.functional_call(model.classifier, {"weight": weight}, seen)
    scores = logits.boxes.mean(1)[:, 1:]  # [K, L]
    chosen = scores.nan_to_num(nan=float("-inf")).argmax(1) + 1
    right = (chosen == item["labels"]).float()
    return right.masked_fill(weight.isnan().any(1)[item["labels"]], float("nan"))


def measured(
    before: Sequence[Mapping[str, Tensor]], after: Sequence[Mapping[str, Tensor]], measure: str
) -> Measured:
    """Two classifiers by one measure, on the boxes that have it under both.

    Args:
        before, after: of `box_measures`, of the same photographs.
        measure: one of `MEASURES`.
    """
    rows = []
    for one, other in zip(before, after, strict=True):
        first, second = one[measure], other[measure]
        both = ~(first.isnan() | second.isnan())
        rows.append([float(both.sum()), float(first[both].sum()), float(second[both].sum())])
    counts = torch.tensor(rows, dtype=torch.float64)
    gain = estimate(counts, lambda sums: 100 * (sums[:, 2] - sums[:, 1]) / sums[:, 0])
    return Measured(
        estimate(counts, lambda sums: 100 * sums[:, 1] / sums[:, 0]),
        estimate(counts, lambda sums: 100 * sums[:, 2] / sums[:, 0]),
        None if gain is None else Difference(*gain),
        int(counts[:, 0].sum()),
    )
