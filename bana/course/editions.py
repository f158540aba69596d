"""Two editions of the notebooks: one to hand out without solutions, one to teach from.

Tags say what a cell is; `tests/repository/test_exercises.py` holds them against the text.

| tag | the cell |
| --- | --- |
| exercises | begins the exercises, after `## Exercises` |
| exercise | asks for a function |
| stub | is to be filled in, and ends in `check` |
| solution | has the function and its reasons in a fold |
| answers | asks questions, each with its answer in a fold |
| prediction | asks what a run will show |
| finding | says what it showed |

What instructors are told of an exercise is in docs/exercises.md, of a notebook in docs/teaching.md.
"""

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from bana.course.exercises.banks import rewritten
from bana.course.exercises.judging import exercises
from bana.course.notebook_io import (
    NotebookError,
    find_notebooks,
    has_tag,
    read_notebook,
    write_notebook,
)
from bana.files.paths import docs_dir

GAP = "    ...  # your code"
NUMBER = "number = ..."
OPEN = "    raise NotImplementedError  # your code"
SOLUTION = re.compile(
    r"<details><summary>Solution</summary>\n\n```python\n(.+?)```\n\n(.+)\n\n</details>", re.DOTALL
)
ANSWER = re.compile(r"\n*<details><summary>Answer</summary>\n.+?</details>", re.DOTALL)
BEGINNING = re.compile(r"(^|\n)## Exercises\n.*", re.DOTALL)
HEADING = re.compile(r"### Exercise (\d\d-\d)\. ")
CALL = re.compile(r'^(_ = check\("\d\d-\d", \w+, number)\)\Z', re.MULTILINE)

FOR_STUDENTS = """\
## Exercises

Write each function in place of its `raise NotImplementedError` and run the cell. `check` tries it
on several cases: on a wrong answer it gives a hint, on a right one it says what it tried."""
FOR_INSTRUCTORS = """\
## Exercises

Each cell holds the solution. Below it are its reasons, what to expect of a group, and points."""


def with_bank(notebook: NotebookNode, bank: int) -> NotebookNode:
    """A notebook whose exercises ask for the numbers of a bank, in text, solutions and checks.

    Args:
        notebook: with the tags of this module; it stays as it is.
        bank: 0 for the numbers of the committed notebooks, or any seed above.

    Raises:
        ValueError: a bank below 0.
    """
    made, name = nbformat.from_dict(notebook), ""
    for cell in made.cells:
        if has_tag(cell, "exercise"):
            name = HEADING.match(cell.source)[1]
            exercises(name[:2])  # whose questions are now known
        if any(has_tag(cell, tag) for tag in ("exercise", "stub", "solution")):
            cell.source = rewritten(cell.source, name, bank)
        if has_tag(cell, "stub") and bank:
            cell.source = CALL.sub(rf"\g<1>, bank={bank})", cell.source)
    return made


def student_edition(notebook: NotebookNode) -> NotebookNode:
    """A notebook to hand out: stubs that raise, no solution, no answer, and nothing run yet.

    What a run showed is folded, so that predictions come first. A stub keeps its signature,
    docstring and call of `check`, and no other code is touched.

    Args:
        notebook: with the tags of this module; it stays as it is.

    Raises:
        NotebookError: a stub has no gap to fill in.
    """
    made = nbformat.from_dict(notebook)
    made.cells = [cell for cell in made.cells if not has_tag(cell, "solution")]
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if has_tag(cell, "stub"):
            cell.source = _replaced(cell.source, GAP, OPEN)
        if has_tag(cell, "answers"):
            cell.source = ANSWER.sub("", cell.source)
        if has_tag(cell, "exercises"):
            cell.source = BEGINNING.sub(lambda found: found[1] + FOR_STUDENTS, cell.source)
        if has_tag(cell, "finding"):
            cell.source = _folded(cell.source, "Run first, then compare")
    return made


def instructor_edition(notebook: NotebookNode, lesson: str, notes: dict[str, str]) -> NotebookNode:
    """A notebook to teach from: solutions in their cells, with what to expect and the points.

    Args:
        notebook: with the tags of this module; it stays as it is.
        lesson: what to tell about the whole notebook, below its title.
        notes: what to tell about each exercise, by its name.

    Raises:
        NotebookError: an exercise without a solution or without notes.
    """
    made = nbformat.from_dict(notebook)
    first, *rest = made.cells
    made.cells = [first, _added(first, lesson)]
    name, stub = "", None
    for cell in rest:
        made.cells.append(cell)
        if has_tag(cell, "exercises"):
            cell.source = BEGINNING.sub(lambda found: found[1] + FOR_INSTRUCTORS, cell.source)
        if has_tag(cell, "exercise"):
            name = HEADING.match(cell.source)[1]
        if has_tag(cell, "stub"):
            stub, cell.outputs, cell.execution_count = cell, [], None
        if has_tag(cell, "solution"):
            code, reasons = solution(cell)
            stub.source = put_back(stub.source, code)
            cell.source = f"**Why.** {reasons}"
            if name not in notes:
                raise NotebookError(f"docs/exercises.md: nothing about exercise {name}")
            made.cells.append(_added(cell, notes[name]))
    return made


def solution(cell: NotebookNode) -> tuple[str, str]:
    """The code and the reasons in a cell tagged `solution`.

    Raises:
        NotebookError: they are not where they should be.
    """
    found = SOLUTION.fullmatch(cell.source)
    if found is None:
        raise NotebookError(f"cell {cell.id}: no code and reasons in a fold called Solution")
    return found[1].rstrip("\n"), found[2]


def put_back(stub: str, code: str) -> str:
    """The source of a stub with a solution in place of its function and number; `check` stays."""
    _, _, call = stub.rpartition("\n\n\n")
    if NUMBER in call:
        code, _, number = code.rpartition("\n\n\n")
        call = call.replace(NUMBER, number)
    return f"{code}\n\n\n{call}"


def lessons() -> dict[str, str]:
    """What docs/teaching.md says of each notebook, by its number."""
    text = (docs_dir() / "teaching.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d) .+? \| (.+?) \| (.+?) \| (.+?) \|$", text, flags=re.MULTILINE)
    return {
        number: f"**For the instructor.** Minutes to read, and for the exercises: {minutes}.\n\n"
        f"- Worth a discussion: {talk}.\n- Misconceptions to expect: {wrong}."
        for number, minutes, talk, wrong in rows
    }


def exercise_notes() -> dict[str, str]:
    """What docs/exercises.md says of each exercise, by its name."""
    text = (docs_dir() / "exercises.md").read_text(encoding="utf-8")
    text = re.sub(r"^## .+\n", "", text, flags=re.MULTILINE)
    parts = re.split(r"^### (\d\d-\d)\n", text, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {name: f"**For the instructor.** Expect:\n\n{text.strip()}" for name, text in pairs}


def build_students(folder: Path, bank: int = 0) -> list[Path]:
    """Write the student edition of every notebook into a folder; returns the files.

    Raises:
        ValueError: a bank below 0.
    """
    return _build(folder, bank, lambda notebook, number: student_edition(notebook))


def build_instructors(folder: Path, bank: int = 0) -> list[Path]:
    """Write the instructor edition of every notebook into a folder; returns the files.

    Raises:
        ValueError: a bank below 0.
    """
    about, notes = lessons(), exercise_notes()
    return _build(folder, bank, lambda nb, number: instructor_edition(nb, about[number], notes))


def _build(
    folder: Path, bank: int, edition: Callable[[NotebookNode, str], NotebookNode]
) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for source in find_notebooks():
        files.append(folder / source.name)
        try:
            notebook = with_bank(read_notebook(source), bank)
            write_notebook(edition(notebook, source.name[:2]), files[-1])
        except NotebookError as error:
            raise NotebookError(f"{source.name}: {error}") from error
    return files


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise NotebookError(f"{old.strip()!r} is in a stub {text.count(old)} times, not once")
    return text.replace(old, new)


def _folded(text: str, title: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _added(after: NotebookNode, text: str) -> NotebookNode:
    """A cell of text whose id follows from the one before it: the same build, the same bytes."""
    return new_markdown_cell(text, id=f"{after.id}-notes", metadata={"tags": ["instructor"]})
