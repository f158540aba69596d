"""Writes the notebooks under the smoke profile into build/smoke, for nbval.

Outputs that depend on no training are compared with the committed ones (`# NBVAL_CHECK_OUTPUT`),
and every cell is run; both take minutes, where training the sample's networks takes twenty.
"""

import shutil
from pathlib import Path

from nbformat import NotebookNode

from bana.course.notebook_io import (
    PARAMETERS_TAG,
    NotebookError,
    find_notebooks,
    has_tag,
    read_notebook,
    write_notebook,
)
from bana.files.paths import repo_root

OLD, NEW = 'profile = "sample"', 'profile = "smoke"'


def under_smoke(notebook: NotebookNode) -> NotebookNode:
    """The notebook with the other profile in its parameters; changed in place, and returned.

    Raises:
        NotebookError: its parameters do not set the sample's.
    """
    cells = [cell for cell in notebook.cells if has_tag(cell, PARAMETERS_TAG)]
    if len(cells) != 1 or cells[0].source.count(OLD) != 1:
        raise NotebookError(f"no cell tagged {PARAMETERS_TAG!r} has the line {OLD}")
    cells[0].source = cells[0].source.replace(OLD, NEW)
    return notebook


def write_all(folder: Path) -> None:
    """Empty a folder, and write all notebooks into it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in find_notebooks():
        write_notebook(under_smoke(read_notebook(path)), folder / path.name)


if __name__ == "__main__":
    write_all(repo_root() / "build" / "smoke")
