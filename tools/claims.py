"""Writes the numbers of "What happened here" anew after a run, and lists what no longer holds.

A new run changes numbers, and some of the comparisons drawn from them. `python tools/claims.py`
prints every measured number as the run has it, with as many decimals as before. What a sentence
compares is for its author: those that are false now are listed, and the exit code is 1.
"""

import re
import sys
from collections.abc import Mapping

from nbformat import NotebookNode

from bana.course.claims import (
    OPENING,
    ClaimError,
    check_claims,
    evaluate,
    noted,
    numbers,
)
from bana.course.notebook_io import find_notebooks, read_notebook, write_notebook


def restate(notebook: NotebookNode) -> bool:
    """Write the numbers of all claims as they were measured; says whether any changed."""
    known: dict[str, float | None] = {}
    changed = False
    for cell in notebook.cells:
        known.update(noted(cell))
        if not cell.source.startswith(OPENING):
            continue
        # All places first: a number written anew may be the one that another claim had before.
        places = []
        for claim, expression in cell.metadata.get("claims", {}).items():
            found = re.search(r"\s+".join(map(re.escape, claim.split())), cell.source)
            start, text = (found.start(), found[0]) if found else (-1, claim)
            places.append((start, text, restated(text, expression, known), expression))
        for start, old, new, _ in sorted(places, reverse=True):
            if start >= 0 and new != old:
                cell.source = cell.source[:start] + new + cell.source[start + len(old) :]
                changed = True
        cell.metadata["claims"] = {" ".join(new.split()): e for _, _, new, e in places}
    return changed


def restated(text: str, expression: str, known: Mapping[str, float | None]) -> str:
    """A claim's text with its numbers as measured; as it is where it compares or cannot be judged.

    Args:
        text: with numbers.
        expression: as many values, parted by commas.
        known: what was measured, by name.
    """
    try:
        result = evaluate(expression, known)
    except ClaimError:
        return text
    values = result if isinstance(result, tuple) else (result,)
    printed = list(numbers(text))
    if len(values) != len(printed) or any(isinstance(value, bool) for value in values):
        return text
    for match, value in reversed(list(zip(printed, values, strict=True))):
        text = text[: match.start()] + alike(match[0], value) + text[match.end() :]
    return text


def alike(printed: str, value: float) -> str:
    """A number in the manner of another: its sign, decimals, separators and leading zero."""
    places = len(printed.partition(".")[2])
    sign = "+" if printed[0] in "+-−" else ""
    made = f"{value:{sign}{',' if ',' in printed else ''}.{places}f}"
    if printed.lstrip("+-−").startswith("."):
        made = made.replace("0.", ".", 1) if abs(value) < 1 else made
    return made.replace("-", "−") if "−" in printed else made


def main() -> int:
    """Restate every committed notebook; list the faults that are left."""
    faults = 0
    for path in find_notebooks():
        notebook = read_notebook(path)
        if restate(notebook):
            write_notebook(notebook, path)
            print(f"{path.name}: numbers written anew")
        for fault in check_claims(notebook):
            print(f"{path.name}: {fault}")
            faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
