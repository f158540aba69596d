"""The one place where conventions of boxes and masks are decided.

Boxes are float32 [K, 4], XYXY, in pixels, 0-based and half-open: the left upper pixel of an image
covers [0, 1) x [0, 1), a box around the whole image is (0, 0, width, height), and x2 - x1 is the
width. A pixel belongs to a box when its centre does: x1 <= column + 0.5 < x2.

PASCAL VOC counts pixels from 1 and includes the last one, so its (1, 1, width, height) is our
(0, 0, width, height). Read as if it were ours, every VOC box loses its first column and its first
row of pixels; the authors' code does so.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

MAX_OVERHANG = 2.0


def voc_to_half_open(boxes: Tensor) -> Tensor:
    """Convert VOC's 1-based inclusive boxes to 0-based half-open ones.

    Args:
        boxes: float [..., 4], XYXY, pixels, 1 <= x1 <= x2 <= width; fractions are kept.

    Returns:
        float [..., 4], (x1 - 1, y1 - 1, x2, y2), on the device and in the dtype of `boxes`.
    """
    return boxes - boxes.new_tensor([1, 1, 0, 0])


def half_open_to_voc(boxes: Tensor) -> Tensor:
    """Convert 0-based half-open boxes to VOC's 1-based inclusive ones.

    Args:
        boxes: float [..., 4], XYXY, pixels, half-open.

    Returns:
        float [..., 4], (x1 + 1, y1 + 1, x2, y2), on the device and in the dtype of `boxes`.
    """
    return boxes + boxes.new_tensor([1, 1, 0, 0])


def box_masks(boxes: Tensor, height: int, width: int) -> Tensor:
    """Draw every box as a mask of its own.

    Args:
        boxes: float [K, 4], XYXY, half-open, pixels; parts outside the image are cut off.
        height: of the masks, in pixels.
        width: of the masks, in pixels.

    Returns:
        bool [K, height, width], true where the pixel's centre lies inside the box.
    """
    inside_rows, inside_columns = rows_and_columns(boxes, height, width)
    return inside_rows[:, :, None] & inside_columns[:, None, :]


def rows_and_columns(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The rows and columns whose centres lie in each box: [K, height + width] instead of a mask.

    Args:
        boxes, height, width: as of `box_masks`.

    Returns:
        bool [K, height] and bool [K, width].
    """
    rows = torch.arange(height, device=boxes.device) + 0.5
    columns = torch.arange(width, device=boxes.device) + 0.5
    x1, y1, x2, y2 = boxes.as_subclass(Tensor)[:, :, None].unbind(1)  # each [K, 1]
    return (y1 <= rows) & (rows < y2), (x1 <= columns) & (columns < x2)


def pixels_of(box: Tensor) -> tuple[slice, slice]:
    """The rows and columns whose centres lie in one box, to index [..., height, width] with.

    Where boxes are many, what concerns a box is looked at there and not in a mask of its own.

    Args:
        box: float [4], XYXY, half-open, pixels; parts outside the image are cut off.
    """
    x1, y1, x2, y2 = (max(0, math.ceil(value - 0.5)) for value in box.tolist())
    return slice(y1, y2), slice(x1, x2)


def covered(boxes: Tensor, height: int, width: int) -> Tensor:
    """The union of boxes, bool [height, width], without a mask of each: thousands fit in memory.

    Args:
        boxes, height, width: as of `box_masks`.
    """
    rows, columns = rows_and_columns(boxes, height, width)
    return rows.float().T @ columns.float() > 0  # counts of boxes, which are exact


def crowds_of(item: Mapping[str, Any], device: torch.device | None = None) -> Tensor:
    """The crowds of an image, [Q, 4], on its own device or another; of most images there are none.

    Args:
        item: as `bana.data.voc.VocDataset` gives it.
        device: None leaves them where they are.
    """
    boxes = item["boxes"].as_subclass(Tensor)
    return item.get("crowds", boxes[:0]).as_subclass(Tensor).to(device or boxes.device)


def unknown_in_crowds(crowds: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Pixels of crowds that no box claims, bool [height, width].

    Nobody counted the objects of a crowd, so that such a pixel is no background either.

    Args:
        crowds, boxes: [K, 4] each.
        height, width: as of `box_masks`.
    """
    return covered(crowds, height, width) & ~covered(boxes, height, width)


def background_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """Mark the pixels outside every box: M of Eq. 1.

    The authors' repository expects these masks as files, without the program that made them; here
    they follow from the boxes.

    Args:
        boxes: float [K, 4], XYXY, half-open, pixels; K may be 0.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        float32 [1, height, width], 1 outside every box, else 0.
    """
    return (~covered(boxes, height, width))[None].float()


def class_masks(boxes: Tensor, classes: Tensor, wanted: Tensor, height: int, width: int) -> Tensor:
    """Draw the union B_c of the boxes of each wanted class (Eq. 5).

    Args:
        boxes: float [K, 4], XYXY, half-open, pixels.
        classes: int64 [K], the boxes' classes.
        wanted: int64 [C], the classes to draw, in the order of the result.
        height: of the masks, in pixels.
        width: of the masks, in pixels.

    Returns:
        bool [C, height, width]; all false for a class without boxes.

    Raises:
        ValueError: when there are not as many classes as boxes.
    """
    if len(boxes) != len(classes):
        raise ValueError(f"classes: {len(classes)} classes for {len(boxes)} boxes")
    unions = [covered(boxes[classes == kind], height, width) for kind in wanted.tolist()]
    return torch.stack(unions) if unions else boxes.new_zeros(0, height, width, dtype=torch.bool)


def check_boxes(boxes: Tensor, height: int, width: int, where: str) -> Tensor:
    """Check that every box lies in its image, and clip what sticks out by a rounding error.

    Up to `MAX_OVERHANG` pixels beyond the border are clipped, which happens in hand-made
    annotations. A box that sticks out further is an error and not clipped, since it most often
    means that the boxes belong to an image of another size. So is one that lies in the image's
    first pixel, as all boxes do that are fractions of the image.

    Args:
        boxes: float [K, 4], XYXY, half-open, pixels; K may be 0.
        height: of the image, in pixels.
        width: of the image, in pixels.
        where: the file or argument that the boxes come from, for the error message.

    Returns:
        float [K, 4], a clipped copy.

    Raises:
        ValueError: when `boxes` is not [K, 4], or holds a box that is not finite, inverted, empty,
            outside the image or in its first pixel; the message begins with `where`.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{where}: boxes must be [K, 4], not {list(boxes.shape)}")
    limits = boxes.new_tensor([width, height, width, height])
    for box in boxes.tolist():
        problem = _problem(box, height, width)
        if problem:
            corners = ", ".join(f"{value:g}" for value in box)
            raise ValueError(
                f"{where}: box ({corners}), 0-based half-open, {problem} "
                f"in an image of {width} x {height}"
            )
    return torch.minimum(boxes.clamp(min=0), limits)


def _problem(box: list[float], height: int, width: int) -> str | None:
    """Say in a few words what is wrong with a box, or None."""
    x1, y1, x2, y2 = box
    if not all(-float("inf") < value < float("inf") for value in box):
        return "is not finite"
    if x2 < x1 or y2 < y1:
        return "is inverted"
    if x2 == x1 or y2 == y1:
        return "is empty"
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return "lies wholly outside"
    if x2 <= 1 and y2 <= 1 and min(height, width) > 1:
        return "lies in the first pixel: numbers from 0 to 1, fractions of the image, are not read,"
    overhang = max(-x1, -y1, x2 - width, y2 - height)
    if overhang > MAX_OVERHANG:
        return f"sticks out by {overhang:g} pixels"
    return None
