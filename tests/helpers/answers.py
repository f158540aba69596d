"""Tests of a notebook's exercises: what every list of right and wrong answers is held against."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from bana.course import check
from bana.course.exercises.banks import question
from bana.course.exercises.judging import exercises

Answer = Callable[..., Any]
BANKS = (0, 1, 2)


def right_number(name: str, bank: int = 0) -> dict[str, Any]:
    """What `check` takes beside a right function: the number asked for, if one is, and its bank."""
    exercises(name[:2])
    asked = question(name, bank)
    return {"number": asked and asked.answer, "bank": bank}


def cases_of(
    right: Mapping[str, Answer], wrong: Iterable[tuple[str, Answer, str]]
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Two tests, to be given names that pytest collects.

    Args:
        right: one answer an exercise that must pass.
        wrong: exercise, answer, and a phrase of the hint that the answer must get.
    """

    @pytest.mark.parametrize("bank", BANKS)
    @pytest.mark.parametrize(("name", "answer"), right.items(), ids=right)
    def passes(name: str, answer: Answer, bank: int, capsys) -> None:
        assert check(name, answer, **right_number(name, bank)), capsys.readouterr().out

    wrong = list(wrong)
    hints = [f"{name}-{said[:40]}" for name, _, said in wrong]

    @pytest.mark.parametrize(("name", "answer", "said"), wrong, ids=hints)
    def gets_its_hint(name: str, answer: Answer, said: str, capsys) -> None:
        for bank in BANKS:
            assert not check(name, answer, **right_number(name, bank))
            assert said in capsys.readouterr().out
        assert not check(name, answer)
        assert said in capsys.readouterr().out

    return passes, gets_its_hint
