"""Exercises of notebook 01: typical wrong answers get their hints."""

import pytest
import torch
from answers import right_number
from torch import Tensor

from bana.course import check
from bana.data.boxes import background_mask, box_masks


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda w, h: (w - 1) / w, "A row is lost as well"),
        (lambda w, h: (h - 1) / h, "A column is lost as well"),
        (lambda w, h: (1 - 1 / w) ** 2, "The box is not a square"),
        (lambda w, h: w * h / ((w + 1) * (h + 1)), "The careless box is the smaller one"),
        (
            lambda w, h: (w - 1) * (h - 1) / (w * h + (w - 1) * (h - 1)),
            "The union is not the sum of the areas",
        ),
    ],
)
def test_careless_overlap(answer, said: str, capsys) -> None:
    assert not check("01-1", answer)
    assert said in capsys.readouterr().out


def test_careless_overlap_is_a_product(capsys) -> None:
    assert check("01-1", lambda w, h: (1 - 1 / w) * (1 - 1 / h), **right_number("01-1"))


def areas(corners: Tensor, height: int, width: int, at_least: float = 0.0) -> Tensor:
    x1, y1, x2, y2 = corners[:, :, None].unbind(1)
    i, j = torch.arange(height), torch.arange(width)
    rows = (torch.minimum(y2, i + 1) - torch.maximum(y1, i)).clamp(min=at_least)
    columns = (torch.minimum(x2, j + 1) - torch.maximum(x1, j)).clamp(min=at_least)
    return rows[:, :, None] * columns[:, None, :]


def over_the_border(corners: Tensor, height: int, width: int) -> Tensor:
    """Areas that gather what lies outside in the outermost pixels."""
    found = areas(corners + 2, height + 4, width + 4)
    inner = found[:, 2:-2, 2:-2].clone()
    inner[:, :, 0] += found[:, 2:-2, :2].sum(2)
    return inner


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda c, h, w: areas(c, h, w, at_least=-99.0), "both overlaps come out negative"),
        (lambda c, h, w: areas(c[:, [1, 0, 3, 2]], h, w), "you seem to have them exchanged"),
        (lambda c, h, w: box_masks(c, h, w).float(), "wherever its centre lies"),
        (lambda c, h, w: torch.zeros(len(c), h, w), "2 of 24 values differ"),
        (over_the_border, "beyond the border of the image"),
        (lambda c, h, w: areas(c, h, w).amax(0), "should have shape [1, 4, 6]"),
    ],
)
def test_covered_area(answer, said: str, capsys) -> None:
    assert not check("01-2", answer)
    assert said in capsys.readouterr().out


def test_covered_area_is_a_product_of_overlaps(capsys) -> None:
    assert check("01-2", areas)


def region(corners, height, width, top, left, size, padding=255):
    """The right answer; another padding makes it a wrong one."""
    found = torch.full((size, size), padding)
    whole = background_mask(corners, height, width)[0].long()
    rows, columns = torch.arange(size) + top, torch.arange(size) + left
    seen = ((0 <= rows) & (rows < height))[:, None] & ((0 <= columns) & (columns < width))
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    return torch.where(seen, whole[rows[:, None], columns], found)


def late(corners, height, width, top, left, size):
    """M drawn from the moved boxes."""
    moved = corners - torch.tensor([left, top, left, top])
    return background_mask(moved, size, size)[0]


def sliced(corners, height, width, top, left, size):
    return background_mask(corners, height, width)[0, top : top + size, left : left + size]


def exchanged(corners, height, width, top, left, size):
    return region(corners, height, width, left, top, size)


def inside_is_one(corners, height, width, top, left, size):
    found = region(corners, height, width, top, left, size)
    return torch.where(found == 255, found, 1 - found)


def no_start(corners, height, width, top, left, size):
    """Padding at the bottom and right only."""
    return region(corners, height, width, max(top, 0), max(left, 0), size)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (late, "padding is called background"),
        (lambda *given: region(*given, padding=0), "padding is said to lie in a box"),
        (sliced, "fill it with padding first"),
        (exchanged, "measured from the same corner"),
        (inside_is_one, "the other way round"),
        (no_start, "its first rows and columns are padding"),
    ],
)
def test_region_of_a_crop(answer, said: str, capsys) -> None:
    assert not check("01-3", answer)
    assert said in capsys.readouterr().out


def test_region_of_a_crop_is_pasted(capsys) -> None:
    assert check("01-3", region)
