"""Exercises of notebook 09: what the paper left out."""

import torch
from torch import Tensor

from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import compare, exercise, recognise


@exercise("09-1")
def loosened_boxes(answer) -> str:
    """Boxes whose edges all move outwards by a share of their sides, cut off at the image."""
    middle, border = [40.0, 30.0, 80.0, 50.0], [0.0, 10.0, 60.0, 80.0]
    cases = {
        "a box in the middle": ([middle], 0.2, 80, 120),
        "a box at the border": ([border], 0.2, 80, 120),
        "three boxes": ([middle, border, [100.0, 2.0, 118.0, 70.0]], 0.2, 80, 120),
        "a share of .1": ([middle, border], 0.1, 80, 120),
        "an image of another size": ([middle, border], 0.2, 90, 85),
    }
    outwards = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    for given, (corners, share, height, width) in cases.items():
        boxes = torch.tensor(corners)
        limits = torch.tensor([width, height, width, height]).float()
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
            "The share is an argument. Yours is always the same.": _cut(
                boxes + 0.2 * outwards * sides, limits
            ),
            "Height and width are arguments. Your image always ends at the same place.": _cut(
                uncut, torch.tensor([120.0, 80.0, 120.0, 80.0])
            ),
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    return "boxes in the middle and at the border, several at once, two shares and two images"


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
            10,
        ),
        "two bins of different size": (
            torch.tensor([0.25, 0.75, 0.75, 0.75], dtype=torch.float64),
            torch.tensor([True, True, True, False]),
            10,
        ),
        "too low in one bin, too high in another": (
            torch.tensor([0.25, 0.25, 0.75, 0.75], dtype=torch.float64),
            torch.tensor([True, False, False, True]),
            10,
        ),
        "400 pixels": (sigma, honest, 10),
        "a sigma of 1": (torch.ones(4, dtype=torch.float64), torch.arange(4) < 3, 10),
        "four bins": (sigma, honest, 4),
    }
    for given, (values, right, bins) in cases.items():
        found = answer(values.clone(), right.clone(), bins)
        expected = _error_in(bins, values, right)
        pixels, trusted, correct = _bins(values, right, bins)
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
            "The number of bins is an argument. Yours is always ten.": _error_in(10, values, right),
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    return "errors of both signs, 400 pixels, a sigma of 1, and two numbers of bins"


def _error_in(bins: int, values: Tensor, right: Tensor) -> Tensor:
    """Calibration error in points."""
    pixels, trusted, correct = _bins(values, right, bins)
    return 100 * (trusted - correct).abs().sum() / pixels.sum()


def _bins(values: Tensor, right: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels, summed sigma and right labels of each bin."""
    number = (values * bins).long().clamp(max=bins - 1)
    weights = (torch.ones_like(values), values, right.double())
    pixels, trusted, correct = (number.bincount(each, minlength=bins) for each in weights)
    return pixels, trusted, correct
