"""Notebooks as files: what makes one stale, and outputs that differ only where results differ."""

import ast
import hashlib
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbstripout import strip_output

from bana.files.paths import notebooks_dir

MAX_BYTES = 1_000_000
PARAMETERS_TAG = "parameters"
INJECTED_TAG = "injected-parameters"
VOLATILE_KEYS = [
    "metadata.papermill",
    "metadata.widgets",
    "metadata.language_info.version",
    "cell.metadata.papermill",
    "cell.metadata.execution",
    "cell.metadata.ExecuteTime",
]


class NotebookError(ValueError):
    """A notebook cannot be run or published; the message names the notebook and the reason."""


def find_notebooks(folder: Path | None = None) -> list[Path]:
    """Notebooks of the course in their order.

    Args:
        folder: where to look; the clone's `notebooks/` where not given.

    Returns:
        Files named `NN_*.ipynb`, N a digit, sorted.
    """
    return sorted((folder or notebooks_dir()).glob("[0-9][0-9]_*.ipynb"))


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook of format 4.

    Raises:
        NotebookError: the file is missing or is not a notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise NotebookError(f"{path}: not a readable notebook ({error})") from error


def has_tag(cell: NotebookNode, tag: str) -> bool:
    """Whether a cell has a tag."""
    return tag in cell.metadata.get("tags", [])


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Code cells that hold something, without the one papermill injects."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.strip() and not has_tag(cell, INJECTED_TAG)
    ]


def code_digest(notebook: NotebookNode) -> str:
    """SHA-256 of the code cells' sources alone: text, outputs and metadata do not enter."""
    digest = hashlib.sha256()
    for cell in code_cells(notebook):
        digest.update(cell.source.strip().encode() + b"\0")
    return digest.hexdigest()


def parameters(notebook: NotebookNode) -> dict[str, object]:
    """Names and default values in the cell tagged `parameters`.

    Args:
        notebook: a notebook with at most one such cell.

    Returns:
        Name -> literal; empty where no cell is tagged.

    Raises:
        NotebookError: more than one such cell, or a line that is not `name = literal`.
    """
    tagged = [c for c in code_cells(notebook) if has_tag(c, PARAMETERS_TAG)]
    if len(tagged) > 1:
        raise NotebookError(f"{len(tagged)} cells are tagged {PARAMETERS_TAG!r}, one is allowed")
    found: dict[str, object] = {}
    for statement in ast.parse(tagged[0].source).body if tagged else []:
        try:
            (target,) = statement.targets  # type: ignore[attr-defined]
            found[target.id] = ast.literal_eval(statement.value)  # type: ignore[attr-defined]
        except (AttributeError, ValueError) as error:
            raise NotebookError(
                f"parameters cell, line {statement.lineno}: only `name = literal` is allowed"
            ) from error
    return found


def _normal_outputs(cell: NotebookNode, count: int) -> list[NotebookNode]:
    """Outputs without progress bars and timing: streams joined, stderr dropped, counts set."""
    outputs: list[NotebookNode] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            if output.name == "stderr":
                continue
            # The kernel cuts one print into several messages as its buffer happens to empty.
            if outputs and outputs[-1].output_type == "stream":
                outputs[-1].text += output.text
                continue
        if "execution_count" in output:
            output.execution_count = count
        outputs.append(output)
    return outputs


def with_outputs(source: NotebookNode, executed: NotebookNode, name: str) -> NotebookNode:
    """Put the outputs of an executed copy into the notebook as it is written now.

    Text may have changed since the run, code may not. Progress bars, warnings on stderr, timing,
    widget state and the injected parameters are left out, and cells count from 1, so the same
    results give the same bytes.

    Args:
        source: the notebook as written.
        executed: the same notebook as papermill left it.
        name: name used in errors.

    Returns:
        A new notebook; the two arguments stay as they are.

    Raises:
        NotebookError: the code differs, a cell was not executed, or an output is an error.
    """
    if code_digest(source) != code_digest(executed):
        raise NotebookError(f"{name}: its code changed since the run; run it again first")
    result = nbformat.from_dict(source)
    runs = code_cells(nbformat.from_dict(executed))
    for count, (cell, run) in enumerate(zip(code_cells(result), runs, strict=True), start=1):
        if run.execution_count is None:
            raise NotebookError(f"{name}: code cell {count} was not executed")
        if any(output.output_type == "error" for output in run.outputs):
            raise NotebookError(f"{name}: code cell {count} holds an error")
        cell.outputs, cell.execution_count = _normal_outputs(run, count), count
    result.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    return strip_output(
        result, keep_output=True, keep_count=True, keep_id=True, extra_keys=VOLATILE_KEYS
    )


def write_notebook(notebook: NotebookNode, path: Path) -> bool:
    """Write a notebook where its bytes changed.

    Args:
        notebook: a valid notebook.
        path: the file.

    Returns:
        Whether the file was written.

    Raises:
        NotebookError: it would pass 1 MB, more than a notebook page on the web shows well.
    """
    data = (nbformat.writes(notebook).rstrip("\n") + "\n").encode()
    if len(data) >= MAX_BYTES:
        raise NotebookError(f"{path.name}: {len(data)} bytes, {MAX_BYTES} are allowed")
    if path.is_file() and path.read_bytes() == data:
        return False
    path.write_bytes(data)
    return True


def publish(source: Path, executed: Path) -> bool:
    """Write an executed notebook's outputs into its committed source.

    Args:
        source: the notebook in `notebooks/`; overwritten where something changed.
        executed: what papermill wrote.

    Returns:
        Whether the file changed.

    Raises:
        NotebookError: not run, run with other code, with an error, or 1 MB or larger.
    """
    if not executed.is_file():
        raise NotebookError(f"{source.name}: it was not run yet with this profile")
    merged = with_outputs(read_notebook(source), read_notebook(executed), source.name)
    return write_notebook(merged, source)
