"""Exercises of notebook 02: typical wrong answers get their hints."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from answers import right_number
from torch import Tensor

from bana.bap import background_attention, background_queries
from bana.course import check


def share(alpha: float, on_object: float, on_ground: float) -> float:
    kept, rest = alpha * (1 - on_object), (1 - alpha) * (1 - on_ground)
    return kept / (kept + rest)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda alpha, a, b: alpha * (1 - a), "what does Eq. 4 divide by?"),
        (lambda alpha, a, b: (1 - a) / (2 - a - b), "weighs all cells alike"),
        (lambda alpha, a, b: share(alpha, 1 - a, 1 - b), "is the weight A or 1 - A?"),
        (lambda alpha, a, b: alpha, "is the weight A or 1 - A?"),
        (share, "What does the package pool there?"),
        (lambda *given: 0.0 if given[1] == given[2] == 1 else share(*given), "pool there?"),
    ],
)
def test_pooled_share(answer, said: str, capsys) -> None:
    assert not check("02-1", answer)
    assert said in capsys.readouterr().out


def test_pooled_share_of_nothing_is_the_plain_one(capsys) -> None:
    assert check(
        "02-1",
        lambda *given: given[0] if given[1] == given[2] == 1 else share(*given),
        **right_number("02-1"),
    )


def attention(features: Tensor, queries: Tensor, valid: Tensor) -> Tensor:
    flat = F.normalize(features.flatten(1), dim=0)
    cosines = F.normalize(queries, dim=1) @ flat
    mean = cosines[valid].relu().sum(0) / valid.sum().clamp(min=1)
    return mean.view(features.shape[1:])


def products(features, queries, valid):
    return (queries[valid] @ features.flatten(1)).relu().mean(0).view(features.shape[1:])


def rectified_late(features, queries, valid):
    flat = F.normalize(features.flatten(1), dim=0)
    mean = (F.normalize(queries, dim=1) @ flat)[valid].mean(0)
    return mean.relu().view(features.shape[1:])


def over_all(features, queries, valid):
    return attention(features, queries, valid) * valid.float().mean()


def own_division(features, queries, valid):
    flat = features.flatten(1)
    cosines = F.normalize(queries, dim=1) @ (flat / flat.norm(dim=0))
    return cosines[valid].relu().mean(0).view(features.shape[1:])


def mean_of_none(features, queries, valid):
    flat = F.normalize(features.flatten(1), dim=0)
    cosines = F.normalize(queries, dim=1) @ flat
    return cosines[valid].relu().mean(0).view(features.shape[1:])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (products, "both vectors are divided by their lengths"),
        (rectified_late, "rectified by itself, before the mean"),
        (over_all, "J is their number"),
        (own_division, "A feature of length 0 has no direction"),
        (mean_of_none, "Without any query A is 0"),
        (lambda *given: attention(*given).flatten(), "should have shape [3, 5]; yours has [15]"),
    ],
)
def test_attention_map(answer, said: str, capsys) -> None:
    assert not check("02-2", answer)
    assert said in capsys.readouterr().out


def test_attention_map_without_loops(capsys) -> None:
    assert check("02-2", attention)


def two_grounds(theta: float, part: float, length: bool = True) -> tuple[float, float]:
    along, across = part + (1 - part) * math.cos(theta), (1 - part) * math.sin(theta)
    return (1 + math.cos(theta)) / 2, along / (math.hypot(along, across) if length else 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda t, s: two_grounds(t, s, length=False), "shorter than 1"),
        (lambda t, s: (s + (1 - s) * math.cos(t), two_grounds(t, s)[1]), "a query has one vote"),
        (lambda t, s: ((1 + math.cos(t)) / 2, math.cos(t / 2)), "which kind does it lean to?"),
        (lambda t, s: two_grounds(t, 1 - s), "which kind does it lean to?"),
        (lambda t, s: two_grounds(t, s)[0], "return 2 values"),
    ],
)
def test_grid_against_single(answer, said: str, capsys) -> None:
    assert not check("02-3", answer)
    assert said in capsys.readouterr().out


def test_grid_against_single_by_hand(capsys) -> None:
    assert check("02-3", two_grounds, **right_number("02-3"))
    assert check("02-3", lambda *given: np.array(two_grounds(*given)), **right_number("02-3"))
    assert check("02-3", lambda *given: torch.tensor(two_grounds(*given)), **right_number("02-3"))
    grid, single = two_grounds(1.0, 0.5)
    assert grid == pytest.approx(single**2), "the notebook says so"


def test_the_formula_is_what_the_package_does() -> None:
    theta = 1.2
    kinds = torch.tensor([[1.0, 0.0], [math.cos(theta), math.sin(theta)]])
    features = torch.stack([kinds[0], kinds[0], kinds[0], kinds[1]], dim=1)[None, :, :, None]
    features = features.expand(1, 2, 4, 4)
    background = torch.ones(1, 1, 4, 4)
    queries, valid = background_queries(features, background, 1)
    single = background_attention(features, queries, valid)[0, 0, 0, 0]
    assert float(single) == pytest.approx(two_grounds(theta, 0.75)[1], abs=1e-5)
