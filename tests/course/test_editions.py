"""Editions of a small notebook: what a student gets, and what an instructor gets."""

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bana.course.editions import (
    build_instructors,
    build_students,
    exercise_notes,
    instructor_edition,
    lessons,
    put_back,
    solution,
    student_edition,
)
from bana.course.notebook_io import NotebookError, has_tag

STUB = 'def double(x):\n    """Twice x."""\n    ...  # your code\n\n\n_ = check("02-1", double)'
SOLVED = STUB.replace("...  # your code", "return 2 * x")
FOLD = """<details><summary>Solution</summary>

```python
def double(x):
    \"\"\"Twice x.\"\"\"
    return 2 * x
```

Two times.

And no more.

</details>"""
ASKED = "**1.** Why?\n\n<details><summary>Answer</summary>\n\nBecause.\n\n</details>\n\n**2.** How?"
NOTES = {"02-1": "They add."}


def cell(text: str, *tags: str, code: bool = False) -> NotebookNode:
    printed = [new_output("stream", text="said\n")]
    made = new_code_cell(text, outputs=printed, execution_count=1) if code else None
    made = made or new_markdown_cell(text)
    made.metadata["tags"] = list(tags)
    return made


@pytest.fixture
def notebook() -> NotebookNode:
    cells = [
        cell("# 02 Twice"),
        cell("print(2)", code=True),
        cell("**What happened here.** It is 2.", "finding"),
        cell("## Summary\n\nTwo.\n\n## Exercises\n\nThe solution is folded.", "exercises"),
        cell("### Exercise 02-1. Double", "exercise"),
        cell(STUB, "stub", code=True),
        cell(FOLD, "solution"),
        cell(ASKED, "answers"),
    ]
    return new_notebook(cells=cells)


def text_of(notebook: NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells)


def test_a_student_gets_a_stub_that_raises_and_neither_solution_nor_answer(notebook) -> None:
    made = student_edition(notebook)
    (stub,) = (cell.source for cell in made.cells if has_tag(cell, "stub"))
    names: dict = {"check": lambda name, answer: None}
    exec(stub, names)
    assert names["double"].__doc__ == "Twice x."
    with pytest.raises(NotImplementedError):
        names["double"](1)
    for hidden in ("2 * x", "Two times", "And no more", "Because", "folded"):
        assert hidden not in text_of(made)
    assert "**1.** Why?\n\n**2.** How?" in text_of(made)
    assert "## Summary\n\nTwo.\n\n## Exercises\n" in text_of(made)


def test_a_student_runs_everything(notebook) -> None:
    made = student_edition(notebook)
    ran = [(c.outputs, c.execution_count) for c in made.cells if c.cell_type == "code"]
    assert ran == [([], None), ([], None)]
    (finding,) = (cell.source for cell in made.cells if has_tag(cell, "finding"))
    assert finding.startswith("<details>") and "It is 2." in finding


def test_an_instructor_gets_solutions_reasons_and_notes(notebook) -> None:
    made = instructor_edition(notebook, "Ten minutes.", NOTES)
    assert made.cells[1].source == "Ten minutes."
    where = next(i for i, cell in enumerate(made.cells) if has_tag(cell, "stub"))
    stub, reasons, notes = made.cells[where : where + 3]
    assert stub.source == SOLVED
    assert stub.outputs == [] and stub.execution_count is None
    assert reasons.source == "**Why.** Two times.\n\nAnd no more."
    assert notes.source == "They add."
    assert made.cells[2].outputs == notebook.cells[1].outputs
    assert "Because." in text_of(made) and "folded" not in text_of(made)


def test_a_solution_put_back_makes_the_instructors_cell(notebook) -> None:
    stub = student_edition(notebook).cells[5].source
    assert put_back(stub, solution(notebook.cells[6])[0]) == SOLVED


def test_the_notebook_stays_as_it_is(notebook) -> None:
    before = text_of(notebook)
    student_edition(notebook)
    instructor_edition(notebook, "", NOTES)
    assert text_of(notebook) == before and notebook.cells[5].outputs


def test_what_is_missing_is_named(notebook) -> None:
    with pytest.raises(NotebookError, match="exercises.md: nothing about exercise 02-1"):
        instructor_edition(notebook, "", {})
    notebook.cells[5].source = SOLVED
    with pytest.raises(NotebookError, match="'...  # your code' is in a stub 0 times, not once"):
        student_edition(notebook)
    notebook.cells[6].source = "It is easy."
    with pytest.raises(NotebookError, match="no code and reasons in a fold called Solution"):
        instructor_edition(notebook, "", NOTES)


def test_pages_are_read_exercise_by_exercise() -> None:
    notes, about = exercise_notes(), lessons()
    assert notes["02-1"].startswith("**For the instructor.** Expect:\n\n- ")
    assert "Points: right (2)" in notes["02-1"] and "#" not in notes["02-3"]
    assert "the exercises: 45, 40." in about["02"] and "more queries are better" in about["02"]


@pytest.mark.parametrize("build", [build_students, build_instructors])
def test_a_bank_is_built_into_the_files(build, tmp_path) -> None:
    for bank, said in ((0, "number)"), (2027, "number, bank=2027)")):
        texts = [path.read_text(encoding="utf-8") for path in build(tmp_path, bank)]
        assert all(said in text for text in texts)
    with pytest.raises(ValueError, match="bank -1"):
        build(tmp_path, -1)


@pytest.mark.parametrize("build", [build_students, build_instructors])
def test_the_same_build_gives_the_same_bytes(build, tmp_path) -> None:
    first = {path.name: path.read_bytes() for path in build(tmp_path / "one")}
    assert first == {path.name: path.read_bytes() for path in build(tmp_path / "other")}
    assert len(first) == 10
