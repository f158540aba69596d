"""The course: notebooks that run, exercises that are checked, figures, and the look of them."""

from typing import Any


def check(name: str, answer: Any, number: Any = None, bank: int = 0) -> bool:
    """Try an answer to an exercise; see `bana.course.exercises.judging.check`."""
    from bana.course.exercises.judging import check as tried

    return tried(name, answer, number, bank)
