"""Exercises of the notebooks: a judge, an open stub, and a solution that the judge takes."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from bana.course.editions import exercise_notes, instructor_edition, student_edition
from bana.course.exercises import judging
from bana.course.notebook_io import code_cells, find_notebooks, has_tag, read_notebook

NOTEBOOKS = find_notebooks()
HEADING = re.compile(
    r"^### Exercise (\d\d-\d)\. .+\n\n\*Minutes: \d+\. Difficulty: [123] of 3\.\*$", re.MULTILINE
)
QUESTION = re.compile(r"^\*\*\d\.\*\* .+?<details>\s*<summary>Answer</summary>", re.M | re.S)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])


def section(path: Path, title: str) -> str:
    """Text of a section, its code cells as they are."""
    text = "\n\n".join(cell.source for cell in read_notebook(path).cells)
    return re.split(r"^## ", text.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


class Exercise(NamedTuple):
    """Sources of one cell: as committed, as students get it, as instructors get it."""

    stub: str
    students: str
    solved: str


@cache
def written(path: Path) -> dict[str, Exercise]:
    """The exercises of a notebook, by the names in its headings."""
    notebook = read_notebook(path)
    made = (
        notebook,
        student_edition(notebook),
        instructor_edition(notebook, "", exercise_notes()),
    )
    sources = ([c.source for c in code_cells(nb) if has_tag(c, "stub")] for nb in made)
    names = HEADING.findall(section(path, "Exercises"))
    return {n: Exercise(*each) for n, each in zip(names, zip(*sources, strict=True), strict=True)}


def tried(name: str, source: str, path: Path) -> bool:
    """Whether an exercise takes the answer that a cell defines."""
    imports = next(c.source for c in code_cells(read_notebook(path)) if "\nimport" in c.source)
    names: dict = {}
    exec(imports, names)
    call = re.search(rf'^_ = check\("{name}", (\w+)\)\Z', source, re.MULTILINE)
    assert call, f"{name}: its cell ends in _ = check({name!r}, answer)"
    exec(source.replace(call[0], ""), names)
    return judging.check(name, names[call[1]])


CASES = [(path, name) for path in NOTEBOOKS for name in judging.exercises(path.name[:2])]
each_exercise = pytest.mark.parametrize(("path", "name"), CASES, ids=[name for _, name in CASES])


@each_notebook
def test_every_notebook_has_exercises_with_judges(path: Path) -> None:
    names = list(written(path))
    assert len(names) >= 3
    assert names == list(judging.exercises(path.name[:2]))


@each_exercise
@pytest.mark.parametrize("edition", ["stub", "students"])
def test_a_stub_is_open(path: Path, name: str, edition: str, capsys) -> None:
    assert not tried(name, getattr(written(path)[name], edition), path)
    assert capsys.readouterr().out == f"{name}: open. Write it, then run this cell again.\n"


@each_exercise
def test_a_solution_is_right(path: Path, name: str, capsys) -> None:
    assert tried(name, written(path)[name].solved, path), capsys.readouterr().out


@each_notebook
def test_readers_are_asked(path: Path) -> None:
    cells = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown"]
    assert sum(cell.startswith("**Predict first.**") for cell in cells) >= 2
    assert any(cell.startswith("> **Common mistake.**") for cell in cells)
    assert len(QUESTION.findall(section(path, "Five questions"))) == 5
    assert re.search(r"\]\(https?://", section(path, "Further reading"))
