"""Sentences of a notebook that say what its run shows, checked against the numbers of that run.

A code cell calls `note(bap=85.5, gap=82.9)`. The numbers go into the cell's output, in full and
out of sight. A paragraph that draws the conclusion begins with "**What happened here.**" and has
in its metadata what each of its statements rests on:

    "claims": {"85.5 %": "bap", "3 points": "bap - gap", "BAP is higher": "bap > gap"}

A text with numbers is true when the expression's value rounds to the number as it is printed (a
text with several numbers takes as many values, parted by commas). Any other text is true when its
comparison is. `check_claims` reads a committed notebook and lists all that does not hold, and what
such a paragraph says without resting it on anything.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any

from IPython.display import display

from bana.evaluation.intervals import Difference

MEASURED = "application/vnd.bana.measured+json"
OPENING = "**What happened here.**"
Value = float | bool

# A number that stands by itself: "85.5", ".41", "-1.2", "1,280", but not the 0 of u_0 or val_0032.
NUMBER = re.compile(r"(?<![\w.])[+\-−]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?!\w)")
# Numbers that name something and measure nothing: "Eq. 7", "notebooks 02 to 04", and those in
# formulas that set a value or have a letter and no decimal point: "$\lambda = 0.1$", "$1 - A$".
REFERENCE = re.compile(
    r"\b(?:Eq\.|Figure|Table|notebooks?|exercises?|seed)\s\d+(?:(?:-|–|, | and | to )\d+)*",
    re.IGNORECASE,
)
FORMULA = re.compile(r"\$[^$]*\$")
NAMING = re.compile(r"\$(?:\\?[A-Za-z]\w* = [\d.]+|[^.]*[A-Za-z][^.]*)\$")
# Words that compare or count. Each must be part of a claim that is a comparison.
COMPARING = (
    *("higher", "highest", "lower", "lowest", "above", "below", "exceeds", "equal", "equals"),
    *("more", "most", "mostly", "less", "least", "fewer", "fewest", "half", "twice"),
    *("better", "best", "worse", "worst", "wins", "won", "loses", "lost", "beats", "beaten"),
    *("larger", "largest", "smaller", "smallest", "greater", "greatest", "stronger", "weaker"),
    *("sharper", "blurrier", "brighter", "brightest", "darker", "darkest", "closer", "nearer"),
    *("rises", "falls", "grows", "shrinks", "gains", "improves", "helps", "hurts", "pays", "costs"),
    *("agrees", "disagrees", "contradicts", "told apart", "as in the paper", "the order"),
    *("all", "none", "every", "always", "never", "nearly", "almost", "hardly", "barely", "clearly"),
    *("two of", "three of", "four of", "five of", "six of", "seven of", "eight of", "nine of"),
)
COMPARISON = re.compile(rf"\b(?:{'|'.join(COMPARING)})\b", re.IGNORECASE)

OPERATORS: Mapping[type[ast.AST], Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
FUNCTIONS: Mapping[str, Callable] = {"abs": abs, "min": min, "max": max, "round": round}


class ClaimError(ValueError):
    """A claim that cannot be judged; the message says why."""


def note(**values: float | Difference) -> None:
    """Keep numbers of the run in the output of the cell, where no reader sees them.

    Args:
        values: plain numbers, of Python, numpy or a tensor of one element; what is not finite is
            kept as "no number", on which no claim can rest. A `Difference` called `d` is kept as
            `d`, `d_low` and `d_high`.

    Raises:
        TypeError: a value is no number.
    """
    kept: dict[str, float | None] = {}
    for name, value in values.items():
        if isinstance(value, Difference):
            names = (name, f"{name}_low", f"{name}_high")
            kept.update((n, _plain(n, v)) for n, v in zip(names, value, strict=True))
        else:
            kept[name] = _plain(name, value)
    # The empty HTML is what a page or a notebook shows of it.
    display({MEASURED: kept, "text/html": ""}, raw=True)


def _plain(name: str, value: object) -> float | None:
    single = value.item() if hasattr(value, "item") else value
    if not isinstance(single, Real):
        raise TypeError(f"{name}: a number is wanted, not {type(value).__name__}")
    whole = isinstance(single, int)
    return int(single) if whole else float(single) if math.isfinite(single) else None


def noted(cell: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Names and numbers that a cell's output holds; None is "no number"."""
    for output in cell.get("outputs", []):
        yield from output.get("data", {}).get(MEASURED, {}).items()


def check_claims(notebook: Mapping[str, Any]) -> list[str]:
    """What is wrong with the conclusions of a notebook and what they rest on.

    In a paragraph that begins with `OPENING`, every claim must be found once and be true by the
    numbers that were noted above it. Every number must be part of a claim, except those that only
    name something (`NAMES`: equations, notebooks, settings such as $N = 4$), and every word of
    `COMPARING` part of a claim that is a comparison.

    Args:
        notebook: as nbformat reads it, with the outputs of its run. (Every notebook imports this
            module; nbformat itself takes seconds to import.)

    Returns:
        One line a fault, with the number of the cell from 0; empty when all is well.
    """
    known: dict[str, float | None] = {}
    faults = []
    for number, cell in enumerate(notebook["cells"]):
        where = f"cell [{number}]"
        for name, value in noted(cell):
            if name in known:
                faults.append(f"{where}: {name!r} is noted for the second time")
            known[name] = value
        claims = cell["metadata"].get("claims")
        if cell["cell_type"] == "markdown" and cell["source"].startswith(OPENING):
            faults += [f"{where}: {fault}" for fault in _check_text(cell["source"], claims, known)]
        elif claims is not None:
            faults.append(f"{where}: has claims and does not begin with {OPENING}")
    return faults


def _check_text(
    source: str, claims: Mapping[str, str] | None, known: Mapping[str, float | None]
) -> Iterator[str]:
    """Faults of one paragraph."""
    if not claims:
        yield "claims nothing: say in its metadata what it rests on"
        return
    text = _one_line(source)
    all_spans, comparing_spans = [], []
    for claim, expression in claims.items():
        found = text.count(_one_line(claim))
        if found != 1:
            yield f"{claim!r} is {f'{found} times' if found else 'not'} in the text"
            continue
        start = text.index(_one_line(claim))
        all_spans.append((start, start + len(_one_line(claim))))
        try:
            result = evaluate(expression, known)
            if isinstance(result, bool):
                comparing_spans.append(all_spans[-1])
            _judge(_one_line(claim), expression, result)
        except ClaimError as fault:
            yield f"{claim!r}: {fault}"
    for match in numbers(text):
        if not _covered(match, all_spans):
            yield f"the number {match[0]} rests on no claim"
    for match in COMPARISON.finditer(text):
        if not _covered(match, comparing_spans):
            yield f"the word {match[0]!r} rests on no comparison"


def _judge(claim: str, expression: str, result: Value | tuple[Value, ...]) -> None:
    """Raise what is wrong with a claim whose expression has this value."""
    printed = [match[0] for match in numbers(claim)]
    if isinstance(result, bool):
        constants = {float(n.value) for n in ast.walk(_parse(expression)) if _is_number(n)}
        missing = [p for p in printed if abs(_number(p)) not in constants]
        if missing:
            raise ClaimError(f"{expression} does not compare with {missing[0]}")
        if not result:
            raise ClaimError(f"{expression} is false")
        return
    values = result if isinstance(result, tuple) else (result,)
    if len(values) != len(printed) or any(isinstance(value, bool) for value in values):
        raise ClaimError(f"{expression} has {len(values)} values for {len(printed)} numbers")
    for value, text in zip(values, printed, strict=True):
        places = len(text.partition(".")[2])
        if abs(value - _number(text)) > 0.5 * 10.0**-places * (1 + 1e-9):
            raise ClaimError(f"{text} is printed, {value:.{places + 2}f} was measured")


def evaluate(expression: str, known: Mapping[str, float | None]) -> Value | tuple[Value, ...]:
    """Value of an expression over noted numbers.

    Args:
        expression: numbers, names, + - * /, comparisons, and, or, not, abs, min, max and round;
            several, parted by commas, give a tuple.
        known: the numbers by name.

    Raises:
        ClaimError: it is anything else, names what was not noted, or names nothing at all.
    """
    tree = _parse(expression)
    if not any(isinstance(n, ast.Name) and n.id not in FUNCTIONS for n in ast.walk(tree)):
        raise ClaimError(f"{expression} names nothing that was measured")
    try:
        if isinstance(tree, ast.Tuple):
            return tuple(_value(part, known) for part in tree.elts)
        return _value(tree, known)
    except ZeroDivisionError as error:
        raise ClaimError(f"{expression} divides by zero") from error


def _value(node: ast.AST, known: Mapping[str, float | None]) -> Value:
    def of(part: ast.AST) -> Value:
        return _value(part, known)

    match node:
        case ast.Constant() if _is_number(node):
            return node.value
        case ast.Name(id=name):
            if known.get(name) is None:
                raise ClaimError(
                    f"{name!r} was noted as no number"
                    if name in known
                    else f"{name!r} was not noted above"
                )
            return known[name]
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](of(left), of(right))
        case ast.UnaryOp(ast.USub(), operand):
            return -of(operand)
        case ast.UnaryOp(ast.Not(), operand):
            return not of(operand)
        case ast.BoolOp(op, parts):
            return (all if isinstance(op, ast.And) else any)(of(part) for part in parts)
        case ast.Compare(left, ops, rights) if all(type(op) in OPERATORS for op in ops):
            values = [of(part) for part in (left, *rights)]
            pairs = zip(ops, values, values[1:], strict=False)
            return all(OPERATORS[type(op)](a, b) for op, a, b in pairs)
        case ast.Call(ast.Name(id=name), arguments, []) if name in FUNCTIONS:
            return FUNCTIONS[name](*(of(argument) for argument in arguments))
    raise ClaimError(f"{ast.unparse(node)} is no part of the language of claims")


def _parse(expression: str) -> ast.expr:
    try:
        return ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise ClaimError(f"{expression!r} cannot be read") from error


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def numbers(text: str) -> Iterator[re.Match]:
    """Numbers of a text, but for those that only name something.

    Args:
        text: of one line or several; spans are those of this text.
    """
    plain = REFERENCE.sub(_blank, text)
    plain = FORMULA.sub(
        lambda match: _blank(match) if NAMING.fullmatch(match[0]) else match[0], plain
    )
    return NUMBER.finditer(plain)


def _blank(match: re.Match) -> str:
    return " " * len(match[0])


def _number(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


def _covered(match: re.Match, spans: list[tuple[int, int]]) -> bool:
    return any(start <= match.start() and match.end() <= end for start, end in spans)


def _one_line(text: str) -> str:
    return " ".join(text.split())
