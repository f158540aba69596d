"""Tests of a notebook's exercises: what every list of right and wrong answers is held against."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from bana.course import check

Answer = Callable[..., Any]


def cases_of(
    right: Mapping[str, Answer], wrong: Iterable[tuple[str, Answer, str]]
) -> tuple[Callable[..., None], Callable[..., None]]:
    """Two tests, to be given names that pytest collects.

    Args:
        right: one answer an exercise that must pass.
        wrong: exercise, answer, and a phrase of the hint that the answer must get.
    """

    @pytest.mark.parametrize(("name", "answer"), right.items(), ids=right)
    def passes(name: str, answer: Answer, capsys) -> None:
        assert check(name, answer), capsys.readouterr().out

    wrong = list(wrong)
    hints = [f"{name}-{said[:40]}" for name, _, said in wrong]

    @pytest.mark.parametrize(("name", "answer", "said"), wrong, ids=hints)
    def gets_its_hint(name: str, answer: Answer, said: str, capsys) -> None:
        assert not check(name, answer)
        assert said in capsys.readouterr().out

    return passes, gets_its_hint
