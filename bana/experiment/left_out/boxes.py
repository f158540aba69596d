"""Boxes as annotators draw them: too large, moved, forgotten, drawn twice.

What is drawn at random is drawn from the seed, the image and the kind of defect alone: a larger
share moves the same edges further, and forgets the same boxes and some more.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bana.files.artefacts import content_hash

SECOND = 0.05
"""The edges of a box's second drawing are moved by a normal of this share of its sides."""


@dataclass(frozen=True)
class Defect:
    """What is wrong with boxes.

    Attributes:
        kind: a key of `KINDS`.
        share: for "loosened", "jittered" and "shifted" how far, as a share of the box's sides; for
            "missing" and "duplicated" how many of the boxes.
        chance: of the boxes, the share that "loosened", "jittered" and "shifted" are done to.

    Raises:
        ValueError: if the kind is unknown, or a share is outside 0..1.
    """

    kind: str
    share: float
    chance: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.kind not in KINDS:
            raise ValueError(f"unknown defect {self.kind!r}: use one of {', '.join(KINDS)}")
        if not (0 <= self.share <= 1 and 0 <= self.chance <= 1):
            raise ValueError(f"share and chance must be in [0, 1], got {self.share}, {self.chance}")


class Drawn(NamedTuple):
    """Boxes of one image after a defect.

    Attributes:
        boxes: float [K', 4], XYXY, half-open, pixels.
        classes: int64 [K'].
        defective: bool [K'], the boxes that are not as they should be; of a box that was drawn
            twice both, since nothing tells which of the two is one too many.
        forgotten: how many boxes are missing.
    """

    boxes: Tensor
    classes: Tensor
    defective: Tensor
    forgotten: int = 0


def drawn(
    boxes: Tensor, classes: Tensor, size: tuple[int, int], defect: Defect, name: str, seed: int = 0
) -> Drawn:
    """The boxes of an image with a defect.

    Args:
        boxes: float [K, 4], XYXY, half-open, pixels.
        classes: int64 [K].
        size: height and width of the image; boxes end at its border.
        defect: what goes wrong.
        name: id of the image.
        seed: of the drawing.
    """
    digits = content_hash(seed, name, defect.kind)
    generator = torch.Generator().manual_seed(int(digits[:12], 16))
    hit = torch.rand(len(boxes), generator=generator)
    if defect.kind == "missing":
        kept = hit >= defect.share
        untouched = torch.zeros(int(kept.sum()), dtype=torch.bool)
        return Drawn(boxes[kept], classes[kept], untouched, int((~kept).sum()))
    moved = _within(KINDS[defect.kind](boxes, defect.share, generator), size)
    if defect.kind == "duplicated":
        twice = hit < defect.share
        defective = torch.cat([twice, twice[twice]])
        return Drawn(
            torch.cat([boxes, moved[twice]]), torch.cat([classes, classes[twice]]), defective
        )
    wrong = hit < defect.chance
    return Drawn(torch.where(wrong[:, None], moved, boxes), classes, wrong)


def _sides(boxes: Tensor) -> Tensor:
    """Width and height of each box, twice over: [K, 4]."""
    return (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)


def _loosened(boxes: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Every edge moved outwards by a share of the side."""
    return boxes + share * _sides(boxes) * boxes.new_tensor([-1, -1, 1, 1])


def _jittered(boxes: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Every edge moved by a normal of its own, whose deviation is a share of the side."""
    return boxes + share * _sides(boxes) * torch.randn(boxes.shape, generator=generator)


def _shifted(boxes: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """The whole box moved by a share of its sides, in a direction of its own."""
    angle = 2 * math.pi * torch.rand(len(boxes), generator=generator)
    direction = torch.stack([angle.cos(), angle.sin()], 1).repeat(1, 2)
    return boxes + share * _sides(boxes) * direction


def _second(boxes: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """The same box drawn by somebody else."""
    return _jittered(boxes, SECOND, generator)


def _within(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes cut off at the image's border, corners in order, at least a pixel wide and high."""
    height, width = size
    limits = boxes.new_tensor([width, height])
    low = torch.minimum(boxes[:, :2], boxes[:, 2:]).clamp_min(0).minimum(limits - 1)
    high = torch.maximum(boxes[:, :2], boxes[:, 2:]).minimum(limits).maximum(low + 1)
    return torch.cat([low, high], 1)


KINDS = {
    "loosened": _loosened,
    "jittered": _jittered,
    "shifted": _shifted,
    "missing": None,
    "duplicated": _second,
}
"""How each kind moves boxes; None moves none."""
