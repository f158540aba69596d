"""How an answer is judged: it is tried, and what comes back is a hint and never the solution."""

import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from bana.course.exercises.banks import Question, close, question, short

Judge = Callable[[Any], str]

# The module of each notebook's exercises.
MODULES = {
    "00": "idea",
    "01": "boxes",
    "02": "pooling",
    "03": "classifier",
    "04": "maps",
    "05": "labels",
    "06": "noise",
    "07": "segmenter",
    "08": "results",
    "09": "left_out",
}


class Hint(Exception):
    """What is wrong with an answer, in words that help and do not tell the answer."""


_JUDGES: dict[str, Judge] = {}


def exercise(name: str) -> Callable[[Judge], Judge]:
    """Register a judge as that of an exercise.

    Args:
        name: such as "02-3": the notebook's number, and the exercise's.
    """

    def register(judge: Judge) -> Judge:
        _JUDGES[name] = judge
        return judge

    return register


def exercises(notebook: str) -> dict[str, Judge]:
    """The judges of a notebook's exercises, by name, in order.

    Args:
        notebook: its number, such as "02".

    Raises:
        ValueError: if it has none.
    """
    if notebook not in MODULES:
        raise ValueError(f"no notebook {notebook!r}: use one of {', '.join(MODULES)}")
    import_module(f"bana.course.exercises.{MODULES[notebook]}")
    return {name: _JUDGES[name] for name in sorted(_JUDGES) if name.startswith(f"{notebook}-")}


def check(name: str, answer: Any, number: Any = None, bank: int = 0) -> bool:
    """Try an answer to an exercise and print what was found.

    Args:
        name: such as "02-3".
        answer: what the exercise asks for, mostly a function.
        number: what the exercise asks to be worked out with it, if it does.
        bank: whose numbers are asked for; 0 for those of the committed notebooks.

    Returns:
        Whether it is right.

    Raises:
        ValueError: if there is no such exercise or bank.
    """
    known = exercises(name.partition("-")[0])
    if name not in known:
        raise ValueError(f"no exercise {name!r}: use one of {', '.join(known)}")
    asked, here = question(name, bank), f"{name}, bank {bank}" if bank else name
    try:
        tried = known[name](answer)
        if asked is not None:
            judge_number(number, asked, question(name))
            tried += f", and {short(asked.answer)} is the number"
    except Hint as hint:
        print(f"{here}: not yet. {hint}")
        return False
    except NotImplementedError:
        print(f"{here}: open. Write it, then run this cell again.")
        return False
    except Exception as error:  # the reader's code may raise anything
        print(f"{here}: it stopped with {type(error).__name__}: {error}{_place(error, answer)}.")
        return False
    print(f"{here}: right. Tried on {tried}.")
    return True


def judge_number(number: Any, asked: Question, committed: Question) -> None:
    """Raise a hint where a number is not the one that an exercise asks for.

    Args:
        number: what the reader worked out.
        asked: the question of the reader's bank.
        committed: the same question of bank 0, whose answer everybody can look up.

    Raises:
        Hint: it is not there, not a number, or another one.
    """
    if number is None or number is ...:
        raise Hint("The function is right. Now work out the number that the exercise asks for.")
    try:
        found = float(number)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Hint(f"The function is right, but a number is wanted, not {number!r}.") from error
    if not math.isfinite(found):
        raise Hint(f"The function is right, but a number is wanted, not {found}.")
    if close(found, asked.answer):
        return
    if close(found, committed.answer):
        raise Hint("The function is right. The number answers the question of another group.")
    for hint, wrong in asked.mistakes.items():
        if close(found, wrong):
            raise Hint(f"The function is right, the number is not. {hint}")
    side = "large" if found > asked.answer else "small"
    raise Hint(f"The function is right. Your number {found:.4g} is too {side}.")


def _place(error: Exception, answer: Any) -> str:
    """Where in the reader's own function an error arose."""
    code = getattr(answer, "__code__", None)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if code and (frame.filename, frame.name) == (code.co_filename, code.co_name):
            return f", in line {frame.lineno - code.co_firstlineno + 1} of {frame.name}"
    return ""


def compare(found: Any, expected: Any, given: str, tolerance: float = 1e-4) -> None:
    """Raise the plainest hint there is where an answer's result is not the expected one.

    Args:
        found: what the answer returned.
        expected: a tensor, a number, or a tuple of such.
        given: what it was asked, in words that follow "for".
        tolerance: of values, absolute and relative.

    Raises:
        Hint: it is nothing, or of another type, shape or value.
        NotImplementedError: it is None, which is what an empty function returns.
    """
    if found is None:
        raise NotImplementedError
    if isinstance(expected, tuple):
        if not isinstance(found, tuple | list) or len(found) != len(expected):
            raise Hint(f"For {given}, return {len(expected)} values.")
        for number, (one, other) in enumerate(zip(found, expected, strict=True), start=1):
            compare(one, other, f"{given} (value {number} of {len(expected)})", tolerance)
        return
    try:
        value = torch.as_tensor(found).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Hint(f"For {given}, a {_kind(expected)} is wanted, not {found!r}.") from error
    wanted = torch.as_tensor(expected).detach()
    if value.shape != wanted.shape:
        raise Hint(
            f"For {given}, the result should have shape {list(wanted.shape)}; yours has "
            f"{list(value.shape)}."
        )
    value, wanted = value.double(), wanted.double()
    if value.isnan().any() and not wanted.isnan().any():
        raise Hint(f"For {given}, the result holds nan: is something divided by 0?")
    same = torch.isclose(value, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not same.all():
        raise Hint(_differing(value, wanted, same, given))


def recognise(found: Any, expected: Any, mistakes: Mapping[str, Any]) -> None:
    """Raise the hint of the first known mistake whose result an answer has.

    Args:
        found: what the answer returned.
        expected: the right result; a mistake that gives the same here is no mistake here.
        mistakes: what each of them gives, by its hint.

    Raises:
        Hint: it is one of them.
    """
    for hint, result in mistakes.items():
        if _same(found, result) and not _same(expected, result):
            raise Hint(hint)


def _same(found: Any, result: Any) -> bool:
    try:
        compare(found, result, "this")
    except (Hint, NotImplementedError):
        return False
    return True


@contextmanager
def helped(advice: str) -> Iterator[None]:
    """Add a sentence to whatever `compare` finds wrong inside the block.

    Raises:
        Hint: what was found wrong, and the advice.
    """
    try:
        yield
    except Hint as found:
        raise Hint(f"{found} {advice}") from None


def _differing(value: Tensor, wanted: Tensor, same: Tensor, given: str) -> str:
    if value.ndim == 0:
        side = "large" if value > wanted else "small"
        return f"For {given}, your result {value:.4g} is too {side}."
    return (
        f"For {given}, {int((~same).sum())} of {same.numel()} values differ, by up to "
        f"{float((value - wanted).abs().nan_to_num().max()):.3g}."
    )


def _kind(expected: Any) -> str:
    return f"tensor {list(expected.shape)}" if isinstance(expected, Tensor) else "number"
