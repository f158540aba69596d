"""What nbval runs differs from the committed notebooks in the profile alone."""

import pytest
from load_tool import load_tool
from nbformat.v4 import new_code_cell, new_notebook

from bana.course.notebook_io import NotebookError, find_notebooks, parameters, read_notebook


def test_the_profile_is_all_that_differs(tmp_path) -> None:
    load_tool("smoke").write_all(tmp_path / "smoke")
    for path in find_notebooks():
        made, committed = read_notebook(tmp_path / "smoke" / path.name), read_notebook(path)
        assert parameters(made) == parameters(committed) | {"profile": "smoke"}
        differing = [
            mine.source
            for mine, theirs in zip(made.cells, committed.cells, strict=True)
            if mine != theirs
        ]
        assert len(differing) == 1 and 'profile = "smoke"' in differing[0]


def test_something_is_compared() -> None:
    sources = [cell.source for path in find_notebooks() for cell in read_notebook(path).cells]
    assert sum(source.startswith("# NBVAL_CHECK_OUTPUT") for source in sources) >= 9


def test_a_notebook_without_the_samples_profile_is_refused() -> None:
    cell = new_code_cell('profile = "paper-vgg"', metadata={"tags": ["parameters"]})
    with pytest.raises(NotebookError, match="no cell tagged 'parameters' has the line"):
        load_tool("smoke").under_smoke(new_notebook(cells=[cell]))
