"""How an answer is judged: it is tried, and what comes back is a hint and never the solution."""

import math
import reprlib
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


class FormHint(Hint):
    """A hint on the type or shape of an answer: advice on its values does not fit."""


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
    if not isinstance(name, str):
        raise ValueError(f"the name {_line(name)}: give that of an exercise, such as '02-3', first")
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
    except (KeyboardInterrupt, SystemExit) as error:  # the way out of a loop without an end
        print(f"{here}: it was stopped with {type(error).__name__}{_place(error, answer)}.")
        return False
    except Exception as error:  # the reader's code may raise anything
        said = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"{here}: it stopped with {said}{_place(error, answer)}.")
        return False
    print(f"{here}: right. Tried on {tried}.")
    return True


@contextmanager
def without_autograd() -> Iterator[None]:
    """Answers in the block are to be derived by hand: automatic differentiation is a hint there."""
    try:
        with torch.no_grad():
            yield
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise Hint(
            "This asks automatic differentiation. Derive the gradient, and write it with products."
        ) from error


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
        raise Hint(
            f"The function is right, but a number is wanted, not {_line(number)}."
        ) from error
    if not math.isfinite(found):
        raise Hint(f"The function is right, but a number is wanted, not {found}.")
    if close(found, asked.answer):
        return
    if close(found, committed.answer):
        raise Hint("The function is right. The number answers the question of another group.")
    for hint, wrong in asked.mistakes.items():
        if close(found, wrong):
            raise Hint(f"The function is right, the number is not. {hint}")
    if close(found / 100, asked.answer) or close(100 * found, asked.answer):
        raise Hint("The function is right. Percent or a share: which is asked for?")
    side = "large" if found > asked.answer else "small"
    raise Hint(f"The function is right. Your number {found:.4g} is too {side}.")


def _place(error: BaseException, answer: Any) -> str:
    """Where in the reader's own function an error arose, and on what, if the judge told."""
    code = getattr(answer, "__code__", None)
    on = "".join(f", for {note}" for note in getattr(error, "__notes__", ()))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if code and (frame.filename, frame.name) == (code.co_filename, code.co_name):
            return f", in line {frame.lineno - code.co_firstlineno + 1} of {frame.name}{on}"
    return on


def _line(value: Any) -> str:
    """A value in one line, with its middle left out where it is long."""
    return " ".join(reprlib.repr(value).split())


@contextmanager
def tried_on(given: str) -> Iterator[None]:
    """Let an error that the answer raises inside the block say on what it was tried.

    Args:
        given: what it was asked, in words that follow "for".
    """
    try:
        yield
    except Exception as error:
        error.add_note(given)
        raise


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
        if hasattr(found, "tolist"):  # a tensor or array of them
            found = found.tolist()
        if not isinstance(found, tuple | list) or len(found) != len(expected):
            raise FormHint(f"For {given}, return {len(expected)} values.")
        for number, (one, other) in enumerate(zip(found, expected, strict=True), start=1):
            compare(one, other, f"{given} (value {number} of {len(expected)})", tolerance)
        return
    try:
        value = _tensor(found).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        kind = _kind(expected)
        raise FormHint(f"For {given}, a {kind} is wanted, not {_line(found)}.") from error
    wanted = torch.as_tensor(expected).detach()
    if value.shape != wanted.shape:
        raise FormHint(
            f"For {given}, the result should have shape {list(wanted.shape)}; yours has "
            f"{list(value.shape)}."
        )
    value, wanted = value.double(), wanted.double()
    if value.isnan().any() and not wanted.isnan().any():
        raise Hint(f"For {given}, the result holds nan: is something divided by 0?")
    same = torch.isclose(value, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not same.all():
        raise Hint(_differing(value, wanted, same, given))


def _tensor(found: Any) -> Tensor:
    """A result as a tensor; tensors of one shape in a list are one."""
    try:
        return torch.as_tensor(found)
    except ValueError:  # more than numbers in a list
        return torch.stack(found)


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
def helped(advice: str, form: bool = False) -> Iterator[None]:
    """Add a sentence to whatever `compare` finds wrong with the values inside the block.

    Args:
        advice: the sentence.
        form: whether it fits a wrong type or shape, too.

    Raises:
        Hint: what was found wrong, and the advice.
    """
    try:
        yield
    except Hint as found:
        if isinstance(found, FormHint) and not form:
            raise
        raise Hint(f"{found} {advice}".strip()) from None


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
