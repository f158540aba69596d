"""Instance masks from label maps and boxes, in the form that COCO's evaluation reads."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from bana.data.boxes import pixels_of


class Part(NamedTuple):
    """The mask of one box as far as the box goes.

    Attributes:
        mask: bool [h, w], of the pixels in the box.
        left, top: column and row of its first pixel in the image.
        size: (height, width) of the image.
    """

    mask: Tensor
    left: int
    top: int
    size: tuple[int, int]

    def whole(self) -> Tensor:
        """The mask in the whole image, bool [H, W]."""
        drawn = torch.zeros(self.size, dtype=torch.bool)
        height, width = self.mask.shape
        drawn[self.top : self.top + height, self.left : self.left + width] = self.mask
        return drawn


def encode(mask: Tensor) -> dict[str, Any]:
    """A mask, bool [H, W], as COCO's compressed run lengths {"size": [H, W], "counts": str}.

    Run lengths go down the columns, where tensors lie along the rows: a mask handed over in the
    wrong order comes out transposed, which a public replication's COCO masks did.
    """
    by_column = np.asfortranarray(mask.cpu().numpy().astype(np.uint8))
    made = coco_mask.encode(by_column)
    return {"size": list(mask.shape), "counts": made["counts"].decode("ascii")}


def box_parts(labels: Tensor, boxes: Tensor, classes: Tensor) -> Iterator[Part]:
    """The instance of every box: the pixels inside it that carry its class.

    Boxes of one class that overlap share the pixels in both: a label map does not say whose they
    are, and giving them to one would be a rule of our own. Masks come one at a time and each in
    its box, since all may not fit memory.

    Args:
        labels: uint8 [H, W], 0..L and 255, on the CPU.
        boxes: float [K, 4], XYXY, half-open, pixels of ``labels``.
        classes: int64 [K], 1..L.

    Raises:
        ValueError: if there are not as many boxes as classes.
    """
    for box, number in zip(boxes, classes.tolist(), strict=True):
        rows, columns = pixels_of(box)
        mask = labels[rows, columns] == number
        yield Part(mask, columns.start, rows.start, (labels.shape[0], labels.shape[1]))


def encode_part(part: Part) -> dict[str, Any]:
    """As `encode`, of a mask that is known in its box alone, without one of the whole image."""
    height, width = part.size
    # One more pixel above and below, so that runs begin and end within a column.
    down = np.pad(part.mask.numpy().T, ((0, 0), (1, 1))).astype(np.int8)
    steps = np.diff(down, axis=1)
    first = (part.left + np.arange(len(down))) * height + part.top  # of each column
    begins, ends = (
        (first[column] + row).tolist()
        for column, row in (np.nonzero(steps == sign) for sign in (1, -1))
    )
    counts, at = [], 0
    for begin, end in zip(begins, ends, strict=True):
        if begin == at and counts:  # down to the bottom and on from the top
            counts[-1] += end - begin
        else:
            counts += [begin - at, end - begin]
        at = end
    if at < height * width:
        counts.append(height * width - at)
    made = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return {"size": [height, width], "counts": made["counts"].decode("ascii")}


def decode(run_lengths: dict[str, Any]) -> Tensor:
    """The mask of `encode`, bool [H, W]."""
    (mask,) = coco_mask.decode([run_lengths]).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(mask)).bool()


def part_results(
    parts: Iterable[Part], image_id: int, category_ids: list[int]
) -> list[dict[str, Any]]:
    """The masks of one image's boxes as entries of a COCO results file; the score of each is 1.

    An empty mask detects nothing and is left out.

    Args:
        parts: of K boxes; they may come one at a time.
        image_id: the image's number in the ground truth.
        category_ids: of the K boxes' classes, in the ground truth's numbering.
    """
    return [
        {
            "image_id": image_id,
            "category_id": category,
            "segmentation": encode_part(part),
            "score": 1.0,
        }
        for part, category in zip(parts, category_ids, strict=True)
        if part.mask.any()
    ]
