"""Exercises of notebook 09: what the paper left out."""

import torch
from torch import Tensor

from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import compare, exercise, recognise


@exercise("09-1")
def loosened_boxes(answer) -> str:
    """Boxes whose edges all move outwards by a share of their sides, cut off at the image."""
    height, width, share = 80, 120, 0.2
    cases = {
        "a box in the middle": torch.tensor([[40.0, 30.0, 80.0, 50.0]]),
        "a box at the border": torch.tensor([[0.0, 10.0, 60.0, 80.0]]),
        "three boxes": torch.tensor(
            [[40.0, 30.0, 80.0, 50.0], [0.0, 10.0, 60.0, 80.0], [100.0, 2.0, 118.0, 70.0]]
        ),
    }
    limits = torch.tensor([width, height, width, height]).float()
    outwards = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    for given, boxes in cases.items():
        found = answer(boxes.clone(), share, height, width)
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        uncut = boxes + share * outwards * sides
        expected = _cut(uncut, limits)
        mistakes = {
            "A box ends where the image does: cut it off there.": uncut,
            "The x coordinates end at the width, the y coordinates at the height. Yours are "
            "exchanged.": _cut(uncut, limits[[1, 0, 1, 0]]),
            "Every edge moves by the share, so a side grows by twice as much. Yours grows by the "
            "share in all.": _cut(boxes + share / 2 * outwards * sides, limits),
            "The share is of the box's sides, not of the image's.": _cut(
                boxes + share * outwards * limits, limits
            ),
            "The upper and lower edge move by a share of the height, the others by one of the "
            "width.": _cut(boxes + share * outwards * sides[:, :1], limits),
            "Two of your edges move inwards: which corner do x and y grow away from?": _cut(
                boxes + share * sides, limits
            ),
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    return "boxes in the middle and at the border of an image, and several at once"


def _cut(boxes: Tensor, limits: Tensor) -> Tensor:
    return boxes.clamp_min(0).minimum(limits)


@asks("09-1", percent=(5, 10, 15, 25, 30, 40), filled=(50, 70, 80))
def filling_left(percent: int = 20, filled: int = 60) -> Question:
    """Which share of a loosened box the object fills, in percent."""
    share = percent / 100
    answer = filled / (1 + 2 * share) ** 2
    words = (
        f"fills {filled} %",
        f"loosened by {percent} %",
        f"{filled} / (1 + 2 * {share:g}) ** 2",
        f"the filling rate falls to {short(answer)} %",
    )
    mistakes = {
        "Every edge moves outwards, so a side grows by twice the share.": filled / (1 + share) ** 2,
        "Both sides of the box grow.": filled / (1 + 2 * share),
    }
    return Question(answer, words, mistakes)


@exercise("09-2")
def found_by_chance(answer) -> str:
    """How likely chance alone tells at least one of many changes apart."""
    cases = {
        "two changes at 95 %": (2, 0.95),
        "a single change at 95 %": (1, 0.95),
        "24 changes at 95 %": (24, 0.95),
        "24 changes at 99 %": (24, 0.99),
        "no change at all": (0, 0.95),
    }
    for given, (changes, level) in cases.items():
        found = answer(changes, level)
        expected = 1 - level**changes
        mistakes = {
            "That is the chance that no interval leaves out zero. At least one does in all other "
            "cases.": level**changes,
            "Chances of events that can happen together do not add up: their sum is above 1 for 24 "
            "changes.": changes * (1 - level),
            "That is the chance that every interval leaves out zero.": (1 - level) ** changes,
            "That is the chance that not all intervals leave out zero.": 1 - (1 - level) ** changes,
            "Return a chance between 0 and 1.": 100 * expected,
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    return "two changes, one, 24, and none, at two levels"


@asks("09-2", changes=(5, 10, 15, 30, 40), percent=(95, 98, 99))
def chance_of_many(changes: int = 24, percent: int = 95) -> Question:
    """The chance of at least one finding among many changes that change nothing."""
    level = percent / 100
    answer = 1 - level**changes
    words = (
        f"{changes} changes",
        f"{percent} % each",
        f"found_by_chance({changes}, {level:g})",
        f"a chance of {short(answer)}",
    )
    mistakes = {"That is the chance that nothing is found.": level**changes}
    return Question(answer, words, mistakes, sensible=answer > 0.05)


@exercise("09-3")
def calibration_error(answer) -> str:
    """Mean distance of confidence and share of right labels in bins, in points."""
    generator = torch.Generator().manual_seed(9)
    sigma = torch.rand(400, generator=generator, dtype=torch.float64) ** 2
    honest = torch.rand(400, generator=generator, dtype=torch.float64) < sigma
    cases = {
        "a sigma that is .75 where half of the labels are right": (
            torch.full((8,), 0.75, dtype=torch.float64),
            torch.arange(8) < 4,
        ),
        "two bins of different size": (
            torch.tensor([0.25, 0.75, 0.75, 0.75], dtype=torch.float64),
            torch.tensor([True, True, True, False]),
        ),
        "too low in one bin, too high in another": (
            torch.tensor([0.25, 0.25, 0.75, 0.75], dtype=torch.float64),
            torch.tensor([True, False, False, True]),
        ),
        "400 pixels": (sigma, honest),
        "a sigma of 1": (torch.ones(4, dtype=torch.float64), torch.arange(4) < 3),
    }
    for given, (values, right) in cases.items():
        found = answer(values.clone(), right.clone(), 10)
        pixels, trusted, correct = _bins(values, right, 10)
        expected = 100 * (trusted - correct).abs().sum() / pixels.sum()
        there = pixels > 0
        gaps = ((trusted - correct) / pixels)[there]
        mistakes = {
            "Return points, from percent.": expected / 100,
            "Errors of opposite sign cancel in yours: take the distance in every bin, then the "
            "mean.": 100 * (trusted - correct).sum().abs() / pixels.sum(),
            "You give every bin the same weight. A bin counts by its pixels.": 100
            * gaps.abs().mean(),
            "An error has no sign here: take the distance.": 100
            * (trusted - correct).sum()
            / pixels.sum(),
            "That is the worst bin. The error is the mean over the pixels.": 100 * gaps.abs().max(),
            "Compare sigma with each single label and honest doubt looks like an error. Take "
            "means in the bin first.": 100 * (values - right.double()).abs().mean(),
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    return "bins of one and of different sizes, errors of both signs, 400 pixels, and a sigma of 1"


def _bins(values: Tensor, right: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels, summed sigma and right labels of each bin."""
    number = (values * bins).long().clamp(max=bins - 1)
    weights = (torch.ones_like(values), values, right.double())
    pixels, trusted, correct = (number.bincount(each, minlength=bins) for each in weights)
    return pixels, trusted, correct
