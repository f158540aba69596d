"""Every notebook of the course: its build, its committed outputs, and a whole run with `smoke`.

What is run is the instructor edition, with the solutions in their cells and the code of the folded
answers in cells of their own, where a reader would try it.
"""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from bana.course import runner
from bana.course.claims import check_claims
from bana.course.editions import build_instructors
from bana.course.exercises import judging
from bana.course.notebook_io import (
    code_cells,
    find_notebooks,
    has_tag,
    parameters,
    read_notebook,
    write_notebook,
)
from bana.files.paths import notebooks_dir, repo_root

NOTEBOOKS = find_notebooks()
MAX_LINES = 20

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])


def outputs(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """(number of the code cell, output) pairs."""
    cells = enumerate(code_cells(notebook), start=1)
    return [(number, output) for number, cell in cells for output in cell.outputs]


def figures_without_alt(notebook: NotebookNode) -> list[int]:
    """Numbers of the code cells that show an image without a description."""
    return [
        number
        for number, output in outputs(notebook)
        for kind in output.get("data", {})
        if kind.startswith("image/") and not output.metadata.get(kind, {}).get("alt", "").strip()
    ]


@each_notebook
def test_opens_with_title_aims_prerequisites_and_minutes(path):
    first = read_notebook(path).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(rf"# (<[^>]+>)*{path.name[:2]}\b", first.source), "title: '# NN ...'"
    text = first.source.lower()
    for wanted in ("you will learn", "prerequisites", "minutes"):
        assert wanted in text, f"the first cell should say {wanted!r}"
    assert path.name[:2] != "00" or "all ten notebooks 8 to 10 on 2 cores" in text


@each_notebook
def test_has_one_cell_of_plain_parameters(path):
    found = parameters(read_notebook(path))
    assert found.get("profile") == "sample"
    assert found.get("data_root") is None


@each_notebook
def test_code_cells_are_short(path):
    for number, cell in enumerate(code_cells(read_notebook(path)), start=1):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= MAX_LINES, f"code cell {number} has {len(lines)} lines"


@each_notebook
def test_ends_with_summary_exercises_questions_and_reading(path):
    cells = read_notebook(path).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings[-4:] == ["Summary", "Exercises", "Five questions", "Further reading"]
    assert cells[-1].cell_type == "markdown"


@each_notebook
def test_committed_outputs_are_of_one_good_run(path):
    notebook = read_notebook(path)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run it and publish: `make notebooks`"
    assert [n for n, output in outputs(notebook) if output.output_type == "error"] == []
    assert [n for n, o in outputs(notebook) if o.get("name") == "stderr"] == []
    assert figures_without_alt(notebook) == []
    assert path.stat().st_size < 1_000_000


@each_notebook
def test_conclusions_hold_for_the_committed_run(path):
    assert check_claims(read_notebook(path)) == []


@each_notebook
def test_names_no_path_of_one_machine(path):
    notebook = read_notebook(path)
    text = "\n".join(cell.source for cell in notebook.cells)
    for _, output in outputs(notebook):
        text += "\n" + output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
    for folder in (repo_root().parent, Path.home(), Path(tempfile.gettempdir())):
        assert f"{folder.as_posix()}/" not in text


def try_answers(path: Path) -> None:
    """Write the code of a notebook's folded answers into cells behind them."""
    notebook = read_notebook(path)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if has_tag(cell, "answers"):
            blocks = re.findall(r"```python\n(.+?)```", cell.source, flags=re.DOTALL)
            cells += [new_code_cell(block) for block in blocks]
    notebook.cells = cells
    write_notebook(notebook, path)


@pytest.fixture(scope="module")
def smoke_course(tmp_path_factory: pytest.TempPathFactory) -> runner.Course:
    """One folder for all notebooks, so that each finds what the ones before it made."""
    source = tmp_path_factory.mktemp("instructor")
    build_instructors(source)
    for path in find_notebooks(source):
        try_answers(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield replace(runner.make_course("smoke"), source=source)


@pytest.mark.notebooks
@each_notebook
def test_runs_with_the_smoke_profile(path, smoke_course, capfd):
    code = runner.run_course(smoke_course, only=path.name[:2])
    assert code == 0, capfd.readouterr().out
    executed = read_notebook(smoke_course.executed / path.name)
    assert figures_without_alt(executed) == []
    stubs = [cell for cell in code_cells(executed) if has_tag(cell, "stub")]
    said = ["".join(output.text for output in cell.outputs) for cell in stubs]
    assert [text.split(". ")[0] for text in said] == [
        f"{name}: right" for name in judging.exercises(path.name[:2])
    ]


def test_numbers_are_unique():
    numbers = [path.name[:2] for path in NOTEBOOKS]
    assert len(set(numbers)) == len(numbers)
    assert {path.parent for path in NOTEBOOKS} <= {notebooks_dir()}
