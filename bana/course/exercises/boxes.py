"""Exercises of notebook 01: a careless box, covered areas, and the region of a crop."""

import torch
from torch import Tensor

from bana.course.exercises.banks import Question, asks
from bana.course.exercises.judging import Hint, compare, exercise, helped, recognise
from bana.data.boxes import background_mask


@exercise("01-1")
def careless_overlap(answer) -> str:
    """IoU of a VOC box read rightly and read as if it were half-open."""
    found = answer(10, 20)
    expected = 9 * 19 / 200
    mistakes = {
        "A row is lost as well as a column.": 9 / 10,
        "A column is lost as well as a row.": 19 / 20,
        "The box is not a square: its height loses a pixel of its own.": (9 / 10) ** 2,
        "The careless box is the smaller one: which lies in the other?": 200 / (11 * 21),
        "The union is not the sum of the areas: what is in both counts once.": 171 / 371,
    }
    recognise(found, expected, mistakes)
    compare(found, expected, "a box 10 pixels wide and 20 high")
    for width, height in ((100, 100), (3, 2), (1, 5)):
        expected = (width - 1) * (height - 1) / (width * height)
        given = f"a box {width} pixels wide and {height} high"
        compare(answer(width, height), expected, given)
    return "boxes of 200, 10,000 and 6 pixels, and one that vanishes"


@asks("01-1", percent=tuple(n for n in range(2, 26) if n not in (10, 19)))  # 19: just 10 pixels
def longest_side(percent: int = 10) -> Question:
    """Up to which size a square loses so much."""
    lost = percent / 100
    answer = int(1 / (1 - (1 - lost) ** 0.5))
    words = (
        f"loses {percent} % or more",
        f"(1 - {1 - lost:.3g}**0.5)",
        f"{answer} pixels a side",
    )
    mistakes = {
        "A row is lost as well as a column.": int(1 / lost),
        "Look at the other side: this is the shortest one that loses less.": answer + 1,
    }
    return Question(answer, words, mistakes)


@exercise("01-2")
def covered_area(answer) -> str:
    """Area of every pixel that each box covers."""
    corner = torch.tensor([[4.0, 0.0, 6.0, 1.0]])
    expected = _areas(corner, 4, 6)
    found = answer(corner.clone(), 4, 6)
    if isinstance(found, Tensor) and found.shape == expected.shape:
        if found.min() < 0 or found[0, 3, 0] > 0:
            raise Hint(
                "A pixel far from the box gets an area. Left of it and below it both overlaps come "
                "out negative: what is their product?"
            )
        if found.sum() == 0 and answer(corner[:, [1, 0, 3, 2]], 4, 6).sum() > 0:
            raise Hint("Rows go along y and columns along x: you seem to have them exchanged.")
    compare(found, expected, "a box of 2 x 1 whole pixels in the upper right corner")
    thin = torch.tensor([[1.6, 0.5, 1.9, 3.5]])
    with helped("A pixel counts by the area that is covered, wherever its centre lies."):
        compare(answer(thin.clone(), 4, 6), _areas(thin, 4, 6), "a box between two pixel centres")
    outside = torch.tensor([[-1.5, 2.25, 2.5, 9.0], [7.0, 1.0, 9.0, 2.0]])
    with helped("What lies beyond the border of the image belongs to no pixel."):
        compare(answer(outside.clone(), 4, 6), _areas(outside, 4, 6), "two boxes over the border")
    several = torch.tensor([[1.2, 0.4, 4.5, 3.6], [0.0, 0.0, 6.0, 4.0], [3.1, 2.2, 3.3, 2.4]])
    with helped("Each box has a map of its own, also where boxes overlap."):
        compare(answer(several.clone(), 4, 6), _areas(several, 4, 6), "three boxes that overlap")
    return "whole pixels, a sliver between centres, boxes over the border and overlapping ones"


def _areas(corners: Tensor, height: int, width: int) -> Tensor:
    """Covered area of every pixel, one overlap at a time; [K, height, width]."""
    areas = torch.zeros(len(corners), height, width)
    for k, (x1, y1, x2, y2) in enumerate(corners.tolist()):
        for row in range(height):
            for column in range(width):
                tall = max(0.0, min(y2, row + 1) - max(y1, row))
                wide = max(0.0, min(x2, column + 1) - max(x1, column))
                areas[k, row, column] = tall * wide
    return areas


_BEYOND = "The crop keeps its size where the image ends: fill it with padding first."
_BEFORE = (
    "Where the crop begins before the image, its first rows and columns are padding; a slice from "
    "a negative number counts from the end."
)


@exercise("01-3")
def region_of_a_crop(answer) -> str:
    """Region mask of a crop that may reach beyond its image."""
    corners = torch.tensor([[1.0, 2.0, 4.0, 5.0], [3.0, 1.0, 7.0, 3.0]])
    tries = (
        ((1, 2, 4), "a crop inside its image", "Box and crop are measured from the same corner."),
        ((2, 3, 7), "a crop beyond the right and lower border", _BEYOND),
        ((-2, -1, 6), "a crop that begins above and left of its image", _BEFORE),
        ((-1, -2, 13), "a crop larger than its image", _BEFORE),
        ((6, 9, 4), "a crop beyond the corner, without any image", "All of it is padding."),
        ((-5, 2, 4), "a crop above its image", "All of it is padding."),
    )
    for (top, left, size), given, advice in tries:
        expected = _region(corners, 6, 9, top, left, size)
        found = answer(corners.clone(), 6, 9, top, left, size)
        if isinstance(found, Tensor) and found.shape == expected.shape:
            padded = found[expected == 255]
            if len(padded) and bool((padded == 1).all()):
                raise Hint(
                    f"For {given}, padding is called background. Outside every box is not enough: "
                    "there must be an image to be background in."
                )
            if len(padded) and bool((padded == 0).all()):
                raise Hint(f"For {given}, padding is said to lie in a box: it has its own value.")
            turned = torch.where(expected == 255, expected, 1 - expected)
            if torch.equal(found.double(), turned.double()) and len(padded) < size**2:
                raise Hint("1 is outside every box and 0 inside; yours has it the other way round.")
        with helped(advice, form=advice in (_BEYOND, _BEFORE)):
            compare(found, expected, given)
    empty = answer(torch.zeros(0, 4), 3, 3, 0, 0, 4)
    compare(empty, _region(torch.zeros(0, 4), 3, 3, 0, 0, 4), "an image without boxes")
    return "crops inside, beyond each border and wholly outside an image, and one without boxes"


def _region(corners: Tensor, height: int, width: int, top: int, left: int, size: int) -> Tensor:
    """The region mask, pixel by pixel; int64 [size, size]."""
    whole = background_mask(corners, height, width)[0].long()
    region = torch.full((size, size), 255)
    for row in range(size):
        for column in range(size):
            y, x = top + row, left + column
            if 0 <= y < height and 0 <= x < width:
                region[row, column] = whole[y, x]
    return region
