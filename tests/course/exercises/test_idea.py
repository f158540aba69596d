"""Exercises of notebook 00: wrong answers get the hint that they need."""

import torch
from answers import cases_of


def cosines(features, background):
    query = (features * background).sum((1, 2)) / background.sum().clamp(min=1)
    return torch.cosine_similarity(features, query[:, None, None], dim=0).clamp(min=0)


def one_outside(features, background):
    return torch.where(background > 0, 1.0, cosines(features, background))


RIGHT = {"00-2": cosines}
WRONG = [
    ("00-1", lambda a, b: 100 * (a & b).sum() / (a.sum() + b.sum()), "counted twice in your union"),
    ("00-1", lambda a, b: (a & b).sum() / (a | b).sum(), "The score is in percent"),
    (
        "00-1",
        lambda a, b: 100 * (a & b).sum() / (a | b).sum().clamp(min=1),
        "two empty masks give nan",
    ),
    (
        "00-1",
        lambda a, b: 100 * int((a & b).sum()) / int((a | b).sum()),
        "two empty masks give nan",
    ),
    ("00-1", lambda a, b: 100 * (a == b).float().mean(), "too large"),
    ("00-2", lambda f, m: (f * (f * m).sum((1, 2))[:, None, None]).sum(0), "divides by the length"),
    ("00-2", lambda f, m: cosines(f, torch.ones_like(m)), "only those with M = 1"),
    (
        "00-2",
        lambda f, m: torch.cosine_similarity(
            f, ((f * m).sum((1, 2)) / m.sum())[:, None, None], dim=0
        ).clamp(min=0),
        "yours is nan",
    ),
    (
        "00-2",
        lambda f, m: torch.cosine_similarity(f, (f * m).sum((1, 2))[:, None, None], dim=0),
        "the ReLU of Eq. 3",
    ),
    ("00-2", one_outside, "outside the box too"),
    ("00-3", lambda s, k, p: k * p / (s + k), "take it off once"),
    ("00-3", lambda s, k, p: p, "40 % of the box kept, three quarters of it rightly"),
    ("00-3", lambda s, k, p: k * p / s, "too large"),
    ("00-3", lambda s, k, p: None, "open"),
]

test_a_right_answer_passes, test_a_wrong_answer_gets_its_hint = cases_of(RIGHT, WRONG)
