"""Tables in Markdown, for the tools that write pages from records."""

import math

from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import NOT_SCORED, NOT_TOLD_APART, interval, verdict


def table_of(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def score_of(value: float | None) -> str:
    """A percentage to the tenth, as a cell; a dash where there is none."""
    return "-" if value is None else f"{value:.1f}"


def difference_cell(difference: Difference) -> str:
    """A difference as a cell: bold where it is told apart, plain where it is not.

    Among fifty cells the eye finds bold ones; words behind the others would hide them.
    """
    if math.isnan(difference.mean):
        return NOT_SCORED
    text = interval(difference)
    return text if verdict(difference) == NOT_TOLD_APART else f"**{text}**"
