"""Exercises of notebook 08: typical wrong answers get their hints, a right one passes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from answers import cases_of, right_number

from bana.course import check

ENDS = torch.tensor([0.025, 0.975], dtype=torch.float64)


def two_conventions(inside, union, missing):
    dropped, wrong = inside / union, inside / (union + missing)
    return 100 * dropped.nanmean(), 100 * wrong.nanmean()


def as_fractions(inside, union, missing):
    return tuple(value / 100 for value in two_conventions(inside, union, missing))


def absent_as_zero(inside, union, missing):
    dropped, wrong = inside / union, inside / (union + missing)
    return 100 * dropped.nan_to_num().mean(), 100 * wrong.nan_to_num().mean()


def absent_as_nan(inside, union, missing):
    return 100 * (inside / union).mean(), 100 * (inside / (union + missing)).mean()


def of_all_classes_together(inside, union, missing):
    together = inside.sum(), union.sum(), missing.sum()
    return two_conventions(*(part[None] for part in together))


def out_of_the_intersection(inside, union, missing):
    dropped, _ = two_conventions(inside, union, missing)
    return dropped, 100 * ((inside - missing).clamp_min(0) / union).nanmean()


def where_labelled(inside, union, missing):
    there = union > 0
    return two_conventions(inside[there], union[there], missing[there])


def gains_over_chance(counts):
    wrong, right = counts.T  # S and ~S
    pixels = wrong + right
    precision, rate = wrong[1] / pixels[1], wrong.sum() / pixels.sum()
    recall, share = wrong[1] / wrong.sum(), pixels[1] / pixels.sum()
    return 100 * (precision - rate), 100 * (recall - share)


def parts(counts):
    wrong, pixels = counts[:, 0], counts.sum(1)
    precision, recall = 100 * wrong[1] / pixels[1], 100 * wrong[1] / wrong.sum()
    return precision, recall, 100 * wrong.sum() / pixels.sum(), 100 * pixels[1] / pixels.sum()


def exchanged_chance(counts):
    precision, recall, rate, share = parts(counts)
    return precision - share, recall - rate


def exchanged_shares(counts):
    precision, recall, rate, share = parts(counts)
    return recall - share, precision - rate


def over_one_half(counts):
    precision, recall, _, _ = parts(counts)
    return precision - 50, recall - 50


def right_ones(counts):
    return gains_over_chance(counts.flip(1))


def gains_as_fractions(counts):
    return tuple(value / 100 for value in gains_over_chance(counts))


def nothing_of_nothing(counts):
    precision, recall = gains_over_chance(counts)
    return precision.nan_to_num(), recall


def scores(areas, times):
    sums = torch.einsum("rn,ncm->rcm", times, areas)
    return 100 * (sums[..., 0] / sums[..., 1]).nanmean(1)


def paired_interval(first, second, times):
    low, high = (scores(first, times) - scores(second, times)).quantile(ENDS)
    return low, high


def of_image_scores(first, second, times):
    one, other = (100 * (s[..., 0] / s[..., 1]).nanmean(1) for s in (first, second))
    return tuple((times @ (one - other) / times.sum(1)).quantile(ENDS))


def of_two_intervals(first, second, times):
    one, other = (scores(side, times).quantile(ENDS) for side in (first, second))
    return one[0] - other[1], one[1] - other[0]


def end_by_end(first, second, times):
    return tuple(scores(first, times).quantile(ENDS) - scores(second, times).quantile(ENDS))


def middle_ninety(first, second, times):
    less = scores(first, times) - scores(second, times)
    return tuple(less.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64)))


def other_images(first, second, times):
    return tuple((scores(first, times) - scores(second, times.flip(0))).quantile(ENDS))


def classes_together(first, second, times):
    return paired_interval(first.sum(1, keepdim=True), second.sum(1, keepdim=True), times)


RIGHT = {"08-1": two_conventions, "08-2": gains_over_chance, "08-3": paired_interval}
WRONG = [
    ("08-1", as_fractions, "percent"),
    ("08-1", absent_as_zero, "do not count it as 0"),
    ("08-1", absent_as_nan, "divided by 0"),
    ("08-1", of_all_classes_together, "the large ones decide"),
    ("08-1", out_of_the_intersection, "never in the intersection"),
    ("08-1", where_labelled, "in the masks"),
    ("08-2", exchanged_chance, "a random region have for its precision"),
    ("08-2", exchanged_shares, "recall a share of the errors"),
    ("08-2", over_one_half, "not one half"),
    ("08-2", right_ones, "a hit is a wrong label"),
    ("08-2", gains_as_fractions, "Return points"),
    ("08-2", nothing_of_nothing, "leave it nan"),
    ("08-3", of_image_scores, "average the mIoU of the images"),
    ("08-3", of_two_intervals, "the ends of two intervals"),
    ("08-3", end_by_end, "end by end"),
    ("08-3", middle_ninety, "leaves 5 %"),
    ("08-3", other_images, "the same images"),
    ("08-3", classes_together, "before you divide"),
]


test_a_right_answer_passes, test_a_wrong_answer_gets_its_hint = cases_of(RIGHT, WRONG)


@pytest.mark.parametrize("packed", [torch.stack, np.array], ids=["tensor", "array"])
@pytest.mark.parametrize("name", RIGHT)
def test_two_values_may_be_one_tensor_or_array(name: str, packed: Callable, capsys) -> None:
    assert check(name, lambda *given: packed(RIGHT[name](*given)), **right_number(name))


def test_two_values_in_an_array_get_the_same_hints(capsys) -> None:
    assert not check("08-3", lambda *given: np.array(other_images(*given)))
    assert "the same images" in capsys.readouterr().out
