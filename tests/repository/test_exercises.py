"""Exercises of the notebooks: a judge, an open stub, and a solution that the judge takes."""

import re
from pathlib import Path

import pytest

from bana.course.exercises import judging
from bana.course.notebook_io import code_cells, find_notebooks, read_notebook

NOTEBOOKS = find_notebooks()
HEADING = re.compile(
    r"^### Exercise (\d\d-\d)\. .+\n\n\*Minutes: \d+\. Difficulty: [123] of 3\.\*$", re.MULTILINE
)
SOLUTION = re.compile(r"<details>\s*<summary>Solution</summary>\s*```python\n(.+?)```", re.DOTALL)
QUESTION = re.compile(r"^\*\*\d\.\*\* .+?<details>\s*<summary>Answer</summary>", re.M | re.S)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])


def section(path: Path, title: str) -> str:
    """Text of a section, its code cells as they are."""
    text = "\n\n".join(cell.source for cell in read_notebook(path).cells)
    return re.split(r"^## ", text.split(f"\n## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def written(path: Path) -> dict[str, tuple[str, str]]:
    """{exercise: (source of its stub, source of its solution)} as the notebook has them."""
    parts = HEADING.split(section(path, "Exercises"))[1:]
    found = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        stubs = [c.source for c in code_cells(read_notebook(path)) if f'check("{name}"' in c.source]
        solutions = SOLUTION.findall(text)
        assert len(stubs) == len(solutions) == 1, f"{name}: one stub, and one solution below it"
        found[name] = stubs[0], solutions[0]
    return found


def tried(name: str, source: str, path: Path) -> bool:
    """Whether an exercise takes the answer that a piece of code defines."""
    imports = next(c.source for c in code_cells(read_notebook(path)) if "\nimport" in c.source)
    names: dict = {}
    exec(imports, names)
    call = re.search(rf'^_ = check\("{name}", (\w+)\)$', written(path)[name][0], re.MULTILINE)
    assert call, f"{name}: the stub ends in _ = check({name!r}, answer)"
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
def test_a_stub_is_open(path: Path, name: str, capsys) -> None:
    assert not tried(name, written(path)[name][0], path)
    assert capsys.readouterr().out == f"{name}: open. Write it, then run this cell again.\n"


@each_exercise
def test_a_solution_is_right(path: Path, name: str, capsys) -> None:
    assert tried(name, written(path)[name][1], path), capsys.readouterr().out


@each_notebook
def test_readers_are_asked(path: Path) -> None:
    cells = [cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown"]
    assert sum(cell.startswith("**Predict first.**") for cell in cells) >= 2
    assert any(cell.startswith("> **Common mistake.**") for cell in cells)
    assert len(QUESTION.findall(section(path, "Five questions"))) == 5
    assert re.search(r"\]\(https?://", section(path, "Further reading"))
