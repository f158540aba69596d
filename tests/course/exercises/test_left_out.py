"""Exercises of notebook 09: typical wrong answers get their hints, a right one passes."""

import torch
from answers import cases_of

OUTWARDS = torch.tensor([-1.0, -1.0, 1.0, 1.0])


def sides_of(boxes):
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return torch.stack([width, height, width, height], 1)


def cut(boxes, height, width):
    return torch.stack(
        [
            boxes[:, 0].clamp(0, width),
            boxes[:, 1].clamp(0, height),
            boxes[:, 2].clamp(0, width),
            boxes[:, 3].clamp(0, height),
        ],
        1,
    )


def loosened(boxes, share, height, width):
    return cut(boxes + share * OUTWARDS * sides_of(boxes), height, width)


def not_cut(boxes, share, height, width):
    return boxes + share * OUTWARDS * sides_of(boxes)


def cut_across(boxes, share, height, width):
    return cut(boxes + share * OUTWARDS * sides_of(boxes), width, height)


def half_of_it(boxes, share, height, width):
    return loosened(boxes, share / 2, height, width)


def of_the_image(boxes, share, height, width):
    sides = torch.tensor([width, height, width, height])
    return cut(boxes + share * OUTWARDS * sides, height, width)


def by_the_width(boxes, share, height, width):
    return cut(boxes + share * OUTWARDS * sides_of(boxes)[:, :1], height, width)


def moved(boxes, share, height, width):
    return cut(boxes + share * sides_of(boxes), height, width)


def always_a_fifth(boxes, share, height, width):
    return loosened(boxes, 0.2, height, width)


def always_one_image(boxes, share, height, width):
    return loosened(boxes, share, 80, 120)


def found_by_chance(changes, level):
    return 1 - level**changes


def nothing_found(changes, level):
    return level**changes


def added_up(changes, level):
    return changes * (1 - level)


def added_up_to_one(changes, level):
    return min(1, changes * (1 - level))


def all_found(changes, level):
    return (1 - level) ** changes


def not_all_found(changes, level):
    return 1 - (1 - level) ** changes


def in_percent(changes, level):
    return 100 * (1 - level**changes)


def gaps_and_sizes(sigma, right, bins):
    number = (sigma * bins).long().clamp(max=bins - 1)
    members = [number == k for k in range(bins) if (number == k).any()]
    gaps = [sigma[m].mean() - right[m].double().mean() for m in members]
    return torch.stack(gaps), torch.tensor([m.sum() for m in members]).double()


def calibration_error(sigma, right, bins):
    gaps, sizes = gaps_and_sizes(sigma, right, bins)
    return 100 * (sizes * gaps.abs()).sum() / sizes.sum()


def as_a_fraction(sigma, right, bins):
    return calibration_error(sigma, right, bins) / 100


def cancelling(sigma, right, bins):
    return 100 * (sigma.mean() - right.double().mean()).abs()


def bins_alike(sigma, right, bins):
    return 100 * gaps_and_sizes(sigma, right, bins)[0].abs().mean()


def with_a_sign(sigma, right, bins):
    return 100 * (sigma.mean() - right.double().mean())


def the_worst(sigma, right, bins):
    return 100 * gaps_and_sizes(sigma, right, bins)[0].abs().max()


def by_pixel(sigma, right, bins):
    return 100 * (sigma - right.double()).abs().mean()


def always_ten(sigma, right, bins):
    return calibration_error(sigma, right, 10)


def one_falls_out(sigma, right, bins):
    number, total = (sigma * bins).long(), 0.0
    for k in range(bins):
        member = number == k
        if member.any():
            total += float((sigma[member].sum() - right[member].sum()).abs())
    return 100 * total / len(sigma)


RIGHT = {"09-1": loosened, "09-2": found_by_chance, "09-3": calibration_error}
WRONG = [
    ("09-1", not_cut, "cut it off there"),
    ("09-1", cut_across, "are exchanged"),
    ("09-1", half_of_it, "grows by twice as much"),
    ("09-1", of_the_image, "not of the image's"),
    ("09-1", by_the_width, "a share of the height"),
    ("09-1", moved, "move inwards"),
    ("09-1", always_a_fifth, "share is an argument"),
    ("09-1", always_one_image, "Height and width are arguments"),
    ("09-2", nothing_found, "no interval leaves out zero"),
    ("09-2", added_up, "do not add up"),
    ("09-2", added_up_to_one, "their sum is above 1 for 24 changes"),
    ("09-2", all_found, "every interval leaves out zero"),
    ("09-2", not_all_found, "not all intervals"),
    ("09-2", in_percent, "between 0 and 1"),
    ("09-3", as_a_fraction, "Return points"),
    ("09-3", cancelling, "cancel in yours"),
    ("09-3", bins_alike, "counts by its pixels"),
    ("09-3", with_a_sign, "has no sign"),
    ("09-3", the_worst, "the worst bin"),
    ("09-3", by_pixel, "means in the bin first"),
    ("09-3", always_ten, "number of bins is an argument"),
    ("09-3", one_falls_out, "is too small"),
]


test_a_right_answer_passes, test_a_wrong_answer_gets_its_hint = cases_of(RIGHT, WRONG)
