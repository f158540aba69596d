"""Editions of the committed notebooks: complete, the same but for the stubs, and shown well."""

import ast
import base64
import io
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from nbformat import NotebookNode
from PIL import Image

from bana.course import editions
from bana.course.exercises import judging
from bana.course.notebook_io import code_cells, find_notebooks, has_tag, read_notebook
from bana.course.plotting import STYLE
from bana.course.slides import HEADING, HEIGHT, ROOM, Slide, slides

NOTEBOOKS = find_notebooks()
# How a cell begins, or ends, that is what a tag says.
MARKED = {
    "exercises": re.compile(r"^## Exercises$", re.MULTILINE),
    "exercise": re.compile(r"\A### Exercise \d\d-\d\. "),
    "stub": re.compile(r'^_ = check\("\d\d-\d", \w+(, number)?\)\Z', re.MULTILINE),
    "solution": re.compile(r"<summary>Solution"),
    "answers": re.compile(r"<summary>Answer"),
    "prediction": re.compile(r"\A\*\*Predict first"),
    "finding": re.compile(r"\A\*\*What happened here"),
    "mistake": re.compile(r"\A> \*\*Common mistake"),
}
# Pixels of 720 that letters of 10 points have at least. From a seat six picture heights away a
# capital is then seen under 6.7 minutes of arc; good eyes read letters of 5.
SMALLEST = 12
# The five photographs in six columns, the teaser in ten tiles a scene, the confidence in eight: the
# slide before names what is seen, Alt and a click enlarge.
SEEN_AS_A_WHOLE = {"ef025c40", "nb08-de07217d", "nb08-ed7e5a12"}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])


@cache
def instructors(path: Path) -> NotebookNode:
    return editions.instructor_edition(read_notebook(path), "", editions.exercise_notes())


@cache
def thread(path: Path) -> list[Slide]:
    return slides(read_notebook(path))


@each_notebook
def test_tags_say_what_a_cell_is(path: Path) -> None:
    for cell in read_notebook(path).cells:
        for tag, text in MARKED.items():
            found = bool(text.search(cell.source)) and (cell.cell_type == "code") == (tag == "stub")
            assert has_tag(cell, tag) == found, f"cell {cell.id}: is it {tag!r}?"


@each_notebook
def test_students_and_instructors_run_the_same_but_for_the_stubs(path: Path) -> None:
    notebook = read_notebook(path)
    solutions = [editions.solution(c)[0] for c in notebook.cells if has_tag(c, "solution")]
    students = code_cells(editions.student_edition(notebook))
    assert len(solutions) >= 3
    for theirs, ours, source in zip(
        students, code_cells(instructors(path)), code_cells(notebook), strict=True
    ):
        if has_tag(source, "stub"):
            assert theirs.source == source.source.replace(
                "    ...", "    raise NotImplementedError"
            )
            assert editions.put_back(theirs.source, solutions.pop(0)) == ours.source
        else:
            assert theirs.source == ours.source == source.source
    assert solutions == []


@each_notebook
def test_another_bank_changes_exercises_alone(path: Path) -> None:
    notebook = read_notebook(path)
    before = [cell.source for cell in notebook.cells]
    assert editions.with_bank(notebook, 0) == notebook
    made = editions.with_bank(notebook, 2027)
    assert [cell.source for cell in notebook.cells] == before, "it stays as it is"
    changed = [c for c, old in zip(made.cells, before, strict=True) if c.source != old]
    assert changed
    for cell in changed:
        assert any(has_tag(cell, tag) for tag in ("exercise", "stub", "solution"))


@each_notebook
def test_students_are_told_no_solution_and_no_answer(path: Path) -> None:
    notebook = read_notebook(path)
    text = "\n".join(cell.source for cell in editions.student_edition(notebook).cells)
    folds = [
        line
        for cell in notebook.cells
        for fold in re.findall(r"</summary>\n(.+?)</details>", cell.source, re.DOTALL)
        for line in re.sub(r"```python.+?```", "", fold, flags=re.DOTALL).splitlines()
        if len(line) > 40
    ]
    assert len(folds) > 20
    assert [line for line in folds if line in text] == []
    assert "Solution" not in text and "Answer" not in text


def test_instructors_are_told_about_every_exercise() -> None:
    names = [name for number in judging.MODULES for name in judging.exercises(number)]
    assert list(editions.exercise_notes()) == names
    assert list(editions.lessons()) == list(judging.MODULES)


@pytest.mark.parametrize("number", judging.MODULES)
def test_hints_that_instructors_are_told_are_those_of_the_judge(number: str) -> None:
    module = import_module(f"bana.course.exercises.{judging.MODULES[number]}")
    nodes = ast.walk(ast.parse(Path(module.__file__).read_bytes()))
    said = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    notes = [text for name, text in editions.exercise_notes().items() if name.startswith(number)]
    for text in notes:
        points = [int(n) for n in re.findall(r"\((\d)\)[;.]", text.partition("Points:")[2])]
        assert points == [2, 1, 1]
        hints = re.findall(r'"([^"]+)"', " ".join(text.partition("Points:")[0].split()))
        assert hints
        for hint in hints:
            assert any(hint in one for one in said), f"no judge says {hint!r}"


@each_notebook
def test_minutes_are_those_of_the_exercises(path: Path) -> None:
    text = "\n".join(cell.source for cell in read_notebook(path).cells)
    each = re.findall(r"^\*Minutes: (\d+)\. Difficulty", text, re.MULTILINE)
    ((read, total),) = re.findall(r"read (\d+), exercises (\d+)", text)
    assert sum(map(int, each)) == int(total)
    assert f"for the exercises: {read}, {total}." in editions.lessons()[path.name[:2]]


@each_notebook
def test_minutes_to_read_are_those_of_words_and_code(path: Path) -> None:
    cells = read_notebook(path).cells
    words, lines = 0, 0
    for cell in cells:
        if cell.cell_type == "markdown":
            asked = any(
                has_tag(cell, tag) for tag in ("exercises", "exercise", "solution", "answers")
            )
            words += 0 if asked else len(cell.source.split())
        elif not has_tag(cell, "remove-input") and not has_tag(cell, "stub"):
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
    (told,) = re.findall(r"read (\d+), exercises", cells[0].source)
    assert int(told) % 5 == 0
    assert abs(int(told) - (words / 200 + lines / 10)) <= 5


@each_notebook
def test_slides_are_a_thread(path: Path) -> None:
    assert 15 <= len(thread(path)) <= 25
    for slide in thread(path):
        shown = [c for c in slide if c.metadata.slideshow.slide_type != "notes"]
        text = [c for c in shown if not HEADING.sub("", c.source).startswith("#### ")]
        assert any(HEADING.sub("", cell.source).strip() for cell in text), "a heading alone"
    title, last = thread(path)[0], thread(path)[-1]
    assert title[0].source.startswith("# ") and last[0].source.startswith("## Summary")


@each_notebook
def test_slides_ask_before_they_show(path: Path) -> None:
    assert sum(has_tag(cell, "prediction") for slide in thread(path) for cell in slide) >= 2


@each_notebook
def test_figures_on_slides_are_large(path: Path) -> None:
    figures = 0
    for slide in thread(path):
        for cell in slide:
            for kind, data in (pair for o in cell.get("outputs", []) for pair in _images(o)):
                figures += 1
                assert has_tag(cell, "remove-input"), f"{cell.id}: code beside a figure"
                assert cell is [c for c in slide if c.cell_type == "code"][-1]
                width, height = Image.open(io.BytesIO(base64.b64decode(data))).size
                scale = min(ROOM[0] / width, (HEIGHT - 80) / height)
                letters = STYLE["font.size"] / 72 * STYLE["savefig.dpi"] * scale
                assert letters >= SMALLEST or cell.id in SEEN_AS_A_WHOLE, f"{cell.id}: {kind}"
    assert figures >= 4


def _images(output: NotebookNode) -> list[tuple[str, str]]:
    return [(k, data) for k, data in output.get("data", {}).items() if k.startswith("image/")]
