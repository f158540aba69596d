"""Masks that do not fit: a palette in another order, and classes outside their boxes.

Both look right to whoever opens the file: a program that saved it anew kept the colours and dealt
other indices to them, or the mask is mirrored, shifted, or another photograph's.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bana.data.boxes import background_mask
from bana.data.voc_files import DAMAGE, IGNORE, PALETTE

# A class lies outside its boxes where more than this share of its pixels does, and so many of them.
OUTSIDE_SHARE = 0.25
OUTSIDE_PIXELS = 50
# Boxes are drawn by hand: so many pixels around them count as inside.
MARGIN = 2.0


class Boxed(NamedTuple):
    """What the boxes of a photograph allow a mask to be.

    Attributes:
        boxes: float [K, 4], XYXY, half-open, pixels, those of crowds too.
        classes: int64 [K], their classes.
    """

    boxes: Tensor
    classes: Tensor


def outside_boxes(mask: Tensor, boxed: Boxed) -> dict[int, tuple[int, int]]:
    """Count the pixels of each class that lie outside of the class's boxes.

    Args:
        mask: uint8 [H, W].
        boxed: boxes; a class without any is passed over.

    Returns:
        {class: (pixels outside, pixels)} of the classes in the mask that have a box.
    """
    counts = {}
    for kind in sorted(set(boxed.classes.tolist()) & set(mask.unique().tolist())):
        boxes = boxed.boxes[boxed.classes == kind]
        wide = boxes + boxes.new_tensor([-MARGIN, -MARGIN, MARGIN, MARGIN])
        away = background_mask(wide, *mask.shape)[0] > 0
        own = mask == kind
        counts[kind] = int((own & away).sum()), int(own.sum())
    return counts


def strays(mask: Tensor, boxed: Boxed, classes: Sequence[str]) -> Iterator[str]:
    """Say which classes of a mask lie outside of their boxes by more than hand-made boxes do."""
    for kind, (outside, pixels) in outside_boxes(mask, boxed).items():
        if outside >= OUTSIDE_PIXELS and outside > OUTSIDE_SHARE * pixels:
            yield f"{100 * outside / pixels:.0f} % of {classes[kind]} lies outside of its boxes"


def nothing_shown(shown: set[int]) -> str | None:
    """What is wrong with masks that show no class of any object, but pixels that do not count.

    In a single mask 255 may be an object that nobody could outline. In all of them it is the
    object, as in black and white masks of one class.

    Args:
        shown: every number in the masks of a split.
    """
    if shown - {0, IGNORE} or IGNORE not in shown:
        return None
    return (
        f"no mask shows a class but {IGNORE}, which is not counted: is it the objects'? "
        f"Write the numbers of their classes there"
    )


def other_order(path: Path) -> Tensor | None:
    """The mask as its palette's colours say, where they are VOC's in another order.

    Args:
        path: a mask; a grey one has no colours to disagree with.

    Returns:
        uint8 [H, W], the indices that VOC gives to the colours; None where the file has no
        palette, one with colours that are not VOC's (another data set's own), or VOC's.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode != "P" or not (entries := picture.getpalette("RGB")):
                return None
            mask = np.array(picture, dtype=np.uint8)
    except DAMAGE:
        return None
    index_of = {tuple(colour): index for index, colour in enumerate(PALETTE.tolist())}
    colours = [tuple(entries[place : place + 3]) for place in range(0, len(entries), 3)]
    if not all(colour in index_of for colour in colours):
        return None
    said = np.arange(256, dtype=np.uint8)
    said[: len(colours)] = [index_of[colour] for colour in colours]
    return torch.from_numpy(said[mask]) if (said[mask] != mask).any() else None


def reordered(
    path: Path, mask: Tensor, boxes: Callable[[], Boxed | None], known: int
) -> str | None:
    """Say whether a mask's palette has been put in another order, or None.

    A data set of its own may colour its classes as it likes, and by chance in VOC's colours. So the
    colours count only where they fit the boxes better than the indices do, or, without boxes, where
    black, VOC's background, is not the colour of 0.

    Args:
        path: the file.
        mask: its indices, uint8 [H, W].
        boxes: gives the photograph's boxes, None where it has no file of them; called only where
            colours and indices differ, which is seldom.
        known: number of classes with background.
    """
    other = other_order(path)
    if other is None:
        return None
    there = set(other.unique().tolist()) - {IGNORE}
    if max(there, default=0) >= known:
        return None
    boxed = boxes()
    if boxed is not None and len(boxed.boxes):
        wrong = _misfit(other, boxed) < _misfit(mask, boxed)
    else:
        wrong = bool(((mask == 0) & (other != 0)).any() and ((mask != 0) & (other == 0)).any())
    if not wrong:
        return None
    index = int(mask[other != mask][0])
    colour = int(other[other != mask][0])
    return (
        f"index {index} has the colour that VOC gives to {colour}: a program has put the palette "
        f"in another order, and the classes are not what they look like"
    )


def _misfit(mask: Tensor, boxed: Boxed) -> float:
    """Share of the pixels of objects that lie outside of the boxes of their class."""
    objects = (mask != 0) & (mask != IGNORE)
    inside = sum(pixels - outside for outside, pixels in outside_boxes(mask, boxed).values())
    total = int(objects.sum())
    return 1 - inside / total if total else 1.0
