"""Banks: the numbers that exercises ask for, another set for each seed.

A function can be handed on from group to group. A number that has to be worked out with it cannot,
if every group is asked for another one. Bank 0 is what the committed notebooks ask. A question
knows its answer and every piece of text that depends on what is given, so that statement, solution
and reasons are rewritten together.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import Any, NamedTuple

TOLERANCE = 0.006  # relative: three digits are off by .005 at most


class Question(NamedTuple):
    """A number to work out with an exercise's function.

    Attributes:
        answer: the number.
        words: pieces of text that depend on what is given, in the same order for every bank.
        mistakes: typical wrong numbers, by their hint.
        sensible: whether the answer is worth asking for.
    """

    answer: float
    words: tuple[str, ...]
    mistakes: dict[str, float]
    sensible: bool = True


Asking = Callable[..., Question]
_QUESTIONS: dict[str, tuple[Asking, dict[str, Sequence[Any]]]] = {}


def asks(name: str, **choices: Sequence[Any]) -> Callable[[Asking], Asking]:
    """Register the question of an exercise: a function of what is given, with bank 0 as defaults.

    Args:
        name: such as "02-1".
        choices: what else each argument of the function may be.
    """

    def register(asking: Asking) -> Asking:
        _QUESTIONS[name] = asking, choices
        return asking

    return register


def question(name: str, bank: int = 0) -> Question | None:
    """What an exercise asks for in a bank; None where it asks for a function alone.

    Args:
        name: such as "02-1"; its notebook's module has to be imported.
        bank: 0 for the committed notebooks, or any seed above.

    Raises:
        ValueError: a bank below 0, or no whole number.
    """
    if not isinstance(bank, int) or bank < 0:
        raise ValueError(f"bank {bank!r}: a bank is 0 or a seed above, a whole number")
    if name not in _QUESTIONS:
        return None
    others = _others(name)
    return others[(bank - 1) % len(others)] if bank else _QUESTIONS[name][0]()


def close(found: float, wanted: float, times: float = 1.0) -> bool:
    """Whether a number is another one, rounded to three significant digits or better."""
    return abs(found - wanted) <= times * TOLERANCE * abs(wanted)


def rewritten(text: str, name: str, bank: int) -> str:
    """A text about an exercise, with the numbers of a bank in place of those of bank 0."""
    committed, drawn = question(name), question(name, bank)
    if committed is None or drawn is None or drawn == committed:
        return text
    pairs = dict(zip(committed.words, drawn.words, strict=True))
    any_of_them = "|".join(map(pattern, sorted(pairs, key=len, reverse=True)))
    return re.sub(any_of_them, lambda found: pairs[" ".join(found[0].split())], text)


def pattern(words: str) -> str:
    """A regular expression of words that a line may break between."""
    return r"(?<![\w.])" + r"\s+".join(map(re.escape, words.split())) + r"(?!\w)"


@cache
def _others(name: str) -> list[Question]:
    """All that a question may be besides bank 0, shuffled, no two of them with one answer.

    So a number comes again only after as many seeds as there are questions, and no typical mistake
    happens to give the right one.
    """
    asking, choices = _QUESTIONS[name]
    given = itertools.product(*choices.values())
    every = [asking(**dict(zip(choices, one, strict=True))) for one in given]
    Random(name).shuffle(every)
    kept = [asking()]
    for one in filter(lambda each: each.sensible, every):
        taken = [*one.mistakes.values(), *(other.answer for other in kept)]
        if not any(close(one.answer, number, times=3) for number in taken):
            kept.append(one)
    return kept[1:]


def short(number: float, digits: int = 3) -> str:
    """A number as text has it: .5, 2, 1.31; rounded to significant digits."""
    return f"{number:.{digits}g}".removeprefix("0")
