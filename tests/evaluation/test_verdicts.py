"""Verdicts in words, and scores and differences as JSON holds them."""

import math

import pytest
import torch

from bana.evaluation.intervals import Difference, Estimate, estimate, paired_difference
from bana.evaluation.miou import mean_iou
from bana.evaluation.verdicts import (
    difference_of,
    estimated,
    plain_difference,
    plain_estimate,
    plain_score,
    stated,
    verdict,
)


@pytest.mark.parametrize(
    ("difference", "word", "text"),
    [
        (Difference(1.23, 0.31, 2.14), "higher", "+1.2 [+0.3, +2.1]"),
        (Difference(-1.23, -2.14, -0.31), "lower", "-1.2 [-2.1, -0.3]"),
        (Difference(1.0, 0.0405, 1.9), "higher", "+1.0 [+0.04, +1.9]"),
        (Difference(-1.0, -1.9, -0.0012), "lower", "-1.0 [-1.9, -0.001]"),
        (Difference(0.7, -0.04, 1.4), "not told apart", "+0.7 [-0.0, +1.4], not told apart"),
        (Difference(0.2, -0.3, 0.7), "not told apart", "+0.2 [-0.3, +0.7], not told apart"),
        (Difference(0, 0, 0), "not told apart", "+0.0 [+0.0, +0.0], not told apart"),
    ],
)
def test_words(difference: Difference, word: str, text: str) -> None:
    assert verdict(difference) == word
    assert stated(difference) == text


def test_scores_go_into_json_and_come_back() -> None:
    difference, score = Difference(1.5, -0.25, 3.0), Estimate(61.23, 58.0, 64.06)
    assert plain_difference(difference) == {"mean": 1.5, "low": -0.25, "high": 3.0}
    assert difference_of(plain_difference(difference)) == difference
    assert plain_estimate(score) == {"value": 61.23, "low": 58.0, "high": 64.06}
    assert estimated(plain_estimate(score)) == "61.2 [58.0, 64.1]"
    assert plain_score(61.23) == 61.23


def test_what_has_no_score_is_none_in_json() -> None:
    nothing = torch.zeros(1, 3, 4, 2, dtype=torch.int64)
    assert plain_difference(paired_difference(nothing, nothing)) is None
    assert plain_difference(Difference(1.0, math.nan, 2.0)) is None
    assert all(map(math.isnan, difference_of(None)))
    assert stated(difference_of(None)) == "not scored"
    assert plain_estimate(estimate(nothing[0], mean_iou)) is None
    assert estimated(None) == "-"
    assert plain_score(math.nan) is None
