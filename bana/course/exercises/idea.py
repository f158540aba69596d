"""Exercises of notebook 00: a score, the attention, and what a box hides."""

import math

import torch

from bana.bap import background_attention, background_queries
from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import Hint, compare, exercise, recognise


@exercise("00-1")
def _iou(answer) -> str:
    mask = torch.zeros(4, 6, dtype=torch.bool)
    mask[1:3, 1:5] = True
    other = torch.zeros_like(mask)
    other[2:4, 3:6] = True
    found = answer(mask, other)
    if found is not None and math.isclose(float(found), 100 * 2 / 14, rel_tol=1e-4):
        raise Hint("A pixel that is in both masks is counted twice in your union.")
    if found is not None and math.isclose(float(found), 2 / 12, rel_tol=1e-4):
        raise Hint("The score is in percent.")
    compare(found, 100 * 2 / 12, "two masks that share 2 of 12 pixels")
    compare(answer(mask, mask), 100.0, "a mask and itself")
    compare(answer(mask, ~mask), 0.0, "masks that share nothing")
    nothing = torch.zeros_like(mask)
    compare(answer(nothing, mask), 0.0, "an empty mask and another")
    absent = "A class that is in neither mask must not count: two empty masks give nan."
    try:
        empty = answer(nothing, nothing)
    except ZeroDivisionError:
        raise Hint(absent) from None
    if not math.isnan(float(empty)):
        raise Hint(absent)
    return "masks that share some, all and no pixels, and empty ones"


@exercise("00-2")
def _attention(answer) -> str:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(5, 4, 6, generator=generator)
    background = torch.zeros(4, 6)
    background[:, :2] = 1
    expected = _reference(features, background)
    found = answer(features.clone(), background.clone())
    if isinstance(found, torch.Tensor) and found.shape == expected.shape:
        # The length of the query does not matter; that of the features does.
        lengths = features.norm(dim=0)
        if torch.allclose(found / found.max(), (expected * lengths) / (expected * lengths).max()):
            raise Hint("A cosine divides by the length of the feature too, in every cell.")
        if torch.allclose(found, _reference(features, torch.ones(4, 6))):
            raise Hint("Your query is the mean of all cells: only those with M = 1 belong to it.")
        if torch.allclose(found, torch.where(background > 0, 1, expected)):
            raise Hint("Here the cosine is asked for everywhere, outside the box too.")
    compare(found, expected, "a map with background on its left")
    whole = answer(features, torch.zeros(4, 6))
    if bool(torch.as_tensor(whole).isnan().any()):
        raise Hint("Without background the mean is 0 / 0: A should be 0 there, yours is nan.")
    compare(whole, torch.zeros(4, 6), "a map without background")
    opposed = torch.cat([features, torch.zeros(1, 4, 6)])
    opposed[:, 3, 5] = -opposed[:, 0, 0]
    found, expected = answer(opposed, background), _reference(opposed, background)
    signed = expected.clone()
    signed[3, 5] = -expected[0, 0]
    recognise(found, expected, {"A cosine below 0 becomes 0: the ReLU of Eq. 3.": signed})
    compare(found, expected, "a feature turned around")
    return "random features, a map without background, and a cosine below 0"


def _reference(features: torch.Tensor, background: torch.Tensor) -> torch.Tensor:
    queries, valid = background_queries(features[None], background[None, None], grid_size=1)
    return background_attention(features[None], queries, valid)[0, 0]


@asks("00-3", kept=(0.3, 0.4, 0.6, 0.7, 0.8), share=(0.2, 0.3, 0.4, 0.6, 0.7, 0.8))
def least_precision(kept: float = 0.5, share: float = 0.5) -> Question:
    """How precise a label must be that keeps a part of a box, to beat the filled box."""
    answer = share * (share + kept) / (kept * (1 + share))
    words = (
        f"keeps {round(100 * kept)} % of the box",
        f"covers {round(100 * share)} % of it",
        f"{share} * ({share} + {kept}) / ({kept} * (1 + {share}))",
        f"For $s = {short(share)}$ and $k = {short(kept)}$ that is {short(answer)}",
    )
    lenient = "A label that keeps less misses some of the object: it must be more precise still."
    return Question(answer, words, {lenient: share}, sensible=answer < 0.95)


@exercise("00-3")
def _in_box(answer) -> str:
    given = "a filled box, half of it object"
    found = answer(0.5, 1.0, 0.5)
    if found is not None and math.isclose(float(found), 0.5 / 1.5, rel_tol=1e-4):
        raise Hint("What both have in common is in s and in k: take it off once.")
    compare(found, 0.5, given)
    compare(answer(0.3, 1.0, 0.3), 0.3, "a filled box, 30 % of it object")
    compare(answer(0.4, 0.4, 1.0), 1.0, "a label without error")
    compare(answer(0.5, 0.4, 0.75), 0.5, "40 % of the box kept, three quarters of it rightly")
    compare(answer(0.6, 0.25, 0.8), 0.2 / 0.65, "s = .6, k = .25, p = .8")
    return "filled boxes, a label without error and two others"
