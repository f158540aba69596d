"""Exercises of notebook 00: wrong answers get the hint that they need."""

import pytest
import torch

from bana.course import check


def cosines(features, background):
    query = (features * background).sum((1, 2)) / background.sum().clamp(min=1)
    return torch.cosine_similarity(features, query[:, None, None], dim=0).clamp(min=0)


WRONG = {
    "00-1": [
        (lambda a, b: 100 * (a & b).sum() / (a.sum() + b.sum()), "counted twice in your union"),
        (lambda a, b: (a & b).sum() / (a | b).sum(), "The score is in percent"),
        (lambda a, b: 100 * (a & b).sum() / (a | b).sum().clamp(min=1), "two empty masks give nan"),
        (lambda a, b: 100 * (a == b).float().mean(), "too large"),
    ],
    "00-2": [
        (lambda f, m: (f * (f * m).sum((1, 2))[:, None, None]).sum(0), "divides by the length"),
        (lambda f, m: cosines(f, torch.ones_like(m)), "only those with M = 1"),
        (
            lambda f, m: torch.cosine_similarity(
                f, ((f * m).sum((1, 2)) / m.sum())[:, None, None], dim=0
            ).clamp(min=0),
            "yours is nan",
        ),
        (
            lambda f, m: torch.cosine_similarity(f, (f * m).sum((1, 2))[:, None, None], dim=0),
            "a feature turned around",
        ),
    ],
    "00-3": [
        (lambda s, k, p: k * p / (s + k), "take it off once"),
        (lambda s, k, p: p, "half of the box kept, two thirds of it rightly"),
        (lambda s, k, p: k * p / s, "too large"),
        (lambda s, k, p: None, "open"),
    ],
}
CASES = [(name, *case) for name, cases in WRONG.items() for case in cases]


@pytest.mark.parametrize(("name", "answer", "phrase"), CASES)
def test_a_wrong_answer_gets_a_useful_hint(name: str, answer, phrase: str, capsys) -> None:
    assert not check(name, answer)
    said = capsys.readouterr().out
    assert phrase in said


def test_a_right_answer_is_right() -> None:
    assert check("00-2", cosines)
