"""Exercises of the notebooks: a judge, an open stub, and a solution that the judge takes."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from answers import BANKS

from bana.course.editions import exercise_notes, instructor_edition, student_edition, with_bank
from bana.course.exercises import judging
from bana.course.exercises.banks import pattern, question, short
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
def written(path: Path, bank: int = 0) -> dict[str, Exercise]:
    """The exercises of a notebook, by the names in its headings."""
    notebook = with_bank(read_notebook(path), bank)
    made = (
        notebook,
        student_edition(notebook),
        instructor_edition(notebook, "", exercise_notes()),
    )
    sources = ([c.source for c in code_cells(nb) if has_tag(c, "stub")] for nb in made)
    names = HEADING.findall(section(path, "Exercises"))
    return {n: Exercise(*each) for n, each in zip(names, zip(*sources, strict=True), strict=True)}


def tried(name: str, source: str, path: Path) -> bool:
    """Whether an exercise takes the answer that a cell defines and checks."""
    sources = [cell.source for cell in code_cells(read_notebook(path))]
    imports = next(text for text in sources if re.search("^(import|from) ", text, re.MULTILINE))
    names: dict = {}
    exec(imports, names)
    assert f'\n_ = check("{name}", ' in source
    exec(source, names)
    return names["_"]


CASES = [(path, name) for path in NOTEBOOKS for name in judging.exercises(path.name[:2])]
ASKED = [(path, name) for path, name in CASES if question(name)]
each_asked = pytest.mark.parametrize(("path", "name"), ASKED, ids=[name for _, name in ASKED])
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


@pytest.mark.parametrize("bank", BANKS)
@each_exercise
def test_a_solution_is_right(path: Path, name: str, bank: int, capsys) -> None:
    right = tried(name, written(path, bank)[name].solved, path)
    said = capsys.readouterr().out
    here = f"{name}, bank {bank}: right" if bank and question(name) else f"{name}: right"
    assert right and said.startswith(here), said


@each_asked
def test_a_solution_to_other_numbers_is_refused(path: Path, name: str, capsys) -> None:
    stub, solved = written(path, 1)[name].stub, written(path)[name].solved
    copied = solved.rpartition("\n")[0] + "\n" + stub.rpartition("\n")[2]
    assert not tried(name, copied, path)
    assert "answers the question of another group" in capsys.readouterr().out


def texts(path: Path, name: str, bank: int) -> list[str]:
    """Statement, stub and solution of an exercise."""
    cells = with_bank(read_notebook(path), bank).cells
    start = next(i for i, c in enumerate(cells) if c.source.startswith(f"### Exercise {name}."))
    return [cell.source for cell in cells[start : start + 3]]


@each_asked
def test_every_number_of_a_bank_is_in_the_text(path: Path, name: str) -> None:
    statement, _, solution = texts(path, name, 0)
    words = question(name).words
    assert all(re.search(pattern(word), statement + solution) for word in words)
    code, reasons = solution.split("```\n\n")
    for number, part in enumerate((statement, code, reasons)):
        assert any(re.search(pattern(word), part) for word in words), f"no word in part {number}"
    answer = [word for word in words if short(question(name).answer) in word]
    assert any(re.search(pattern(word), reasons) for word in answer), "no answer in the reasons"


@pytest.mark.parametrize("bank", BANKS[1:])
@each_asked
def test_no_number_of_the_notebooks_is_left_in_another_bank(
    path: Path, name: str, bank: int
) -> None:
    made = "\n".join(texts(path, name, bank))
    for old, new in zip(question(name).words, question(name, bank).words, strict=True):
        assert re.search(pattern(new), made)
        assert old == new or not re.search(pattern(old), made), f"bank {bank} still says {old!r}"
    assert f", number, bank={bank})" in made


def test_every_notebook_asks_for_a_number() -> None:
    assert {name[:2] for _, name in ASKED} == set(judging.MODULES)


@each_notebook
def test_readers_are_asked(path: Path) -> None:
    cells = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown"]
    assert sum(cell.startswith("**Predict first.**") for cell in cells) >= 2
    assert any(cell.startswith("> **Common mistake.**") for cell in cells)
    assert len(QUESTION.findall(section(path, "Five questions"))) == 5
    assert re.search(r"\]\(https?://", section(path, "Further reading"))
