"""Slides of a notebook: a thread of its cells, for reveal.js, shown without a network.

A cell is on the slides where its metadata say so, `slideshow.slide_type`, as JupyterLab sets it:
`slide` starts a slide, `fragment` appears on it at a click, `notes` is for the speaker. All other
cells are left out. A code cell tagged `remove-input` shows its output alone.

A `##` inside a cell starts another slide, and what stands before the first heading of a cell
comments on the slide before: it goes to the speaker. Text is as large as it fits; what does not fit
at the smallest size goes to the speaker too, paragraph by paragraph from the end.
"""

import math
import re
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from traitlets.config import Config

from bana.course.notebook_io import NotebookError, find_notebooks, has_tag, read_notebook

WIDTH, HEIGHT = 1280, 720
ROOM = (1230, 620)  # pixels that a slide has for text, below its heading and between its margins
SIZES = range(36, 23, -1)  # of text, in pixels of 720
LETTER, MONOSPACE = 0.45, 0.61  # width of a character, as a share of its size
CODE = 0.8  # size of code and of tables, as a share of that of text
TEMPLATE = Path(__file__).with_suffix(".html.j2")
HEADING = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)
# The last paragraph of a text, with its heading if it has one, and what stands before it.
LAST = re.compile(r"(.+?)\n\n((?:#+ [^\n]+\n\n)?(?:(?!\n\n).)+)", re.DOTALL)
# What a deck loads: packages, the folder in each, its files, and where they go in `assets/`.
REVEAL = ("reveal.css", "reveal.js", "theme/white.css", "plugin/notes.js", "plugin/zoom.js")
Assets = tuple[str, str, tuple[str, ...], str]
MATHJAX: Assets = (
    "django-static-mathjax",
    "mathjax/static/mathjax",
    ("LICENSE", "es5/tex-svg.js"),
    "mathjax",
)
DECK: Assets = (
    "pyreveal",
    "pyreveal/revealjs",
    ("LICENSE", *(f"dist/{name}" for name in REVEAL)),
    "reveal",
)

Slide = list[NotebookNode]


def slides(notebook: NotebookNode) -> list[Slide]:
    """The thread of a notebook: the cells of each slide, sized to fit.

    Args:
        notebook: with outputs and the metadata of this module; it stays as it is.

    Raises:
        NotebookError: a slide does not fit at the smallest size, or nothing starts one.
    """
    made: list[Slide] = []
    title = ""
    for cell in notebook.cells:
        for piece in _pieces(nbformat.from_dict(cell)):
            headings = HEADING.findall(piece.source) if piece.cell_type == "markdown" else []
            title = (headings or [title])[-1]
            kind = piece.metadata.get("slideshow", {}).get("slide_type")
            if kind == "slide":
                made.append([])
                if not headings:
                    made[-1].append(_text(f"#### {title}", f"{piece.id}-head", "slide"))
                    piece.metadata.slideshow.slide_type = "-"
            elif kind and not made:
                raise NotebookError(f"cell {piece.id} is on no slide: a `slide` comes first")
            if kind:
                made[-1].append(piece)
    for slide in made:
        _fit(slide)
    return made


def build_slides(folder: Path) -> list[Path]:
    """Write the slides of every notebook, and all that they load, into a folder.

    Args:
        folder: made where it is missing. Its files may be opened as they are.

    Returns:
        One HTML file a notebook.

    Raises:
        ValueError: a package that brings reveal.js or MathJax is not installed.
        NotebookError: a slide does not fit.
    """
    copy_assets(folder / "assets", (DECK, MATHJAX))
    hidden = {"enabled": True, "remove_input_tags": {"remove-input"}}
    exporter = SlidesExporter(
        template_file=str(TEMPLATE),
        reveal_url_prefix="assets/reveal",
        reveal_theme="white",
        reveal_width=str(WIDTH),
        reveal_height=str(HEIGHT),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config(TagRemovePreprocessor=hidden),
    )
    files = []
    for source in find_notebooks():
        notebook = read_notebook(source)
        try:
            notebook.cells = [cell for slide in slides(notebook) for cell in slide]
        except NotebookError as error:
            raise NotebookError(f"{source.name}: {error}") from error
        page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": source.stem}})
        files.append(folder / f"{source.stem}.html")
        files[-1].write_text(page, encoding="utf-8", newline="\n")
    return files


def copy_assets(folder: Path, some: Sequence[Assets]) -> None:
    """Copy files that pages load into a folder, from the packages that bring them.

    Args:
        folder: made where it is missing.
        some: `MATHJAX`, `DECK`, or both.

    Raises:
        ValueError: a package is not installed.
    """
    for package, inside, names, into in some:
        try:
            root = Path(distribution(package).locate_file(inside))
        except PackageNotFoundError as error:
            raise ValueError(
                f"{into} comes with {package}, which is not installed: pip install -e '.[slides]'"
            ) from error
        for name in names:
            target = folder / into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target)


def _pieces(cell: NotebookNode) -> Iterator[NotebookNode]:
    """A cell as parts of slides, each with its slide type, if it has any."""
    starts: list[int] = []
    if cell.cell_type == "code":
        figures = [o for o in cell.outputs if "image/" in " ".join(o.get("data", {}))]
        # Beside a figure printed text would only make the figure smaller.
        cell.outputs = figures or cell.outputs
    elif cell.metadata.get("slideshow", {}).get("slide_type") == "slide":
        cell.source = cell.source.replace(".ipynb)", ".html)")
        found = list(HEADING.finditer(cell.source))
        starts = [f.start() for f in found if f is found[0] or not f[0].startswith("###")]
    if not starts:
        yield cell
        return
    if comment := cell.source[: starts[0]].strip():
        yield _text(comment, f"{cell.id}-before", "notes")
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        text = cell.source[start:end].strip()
        if text.startswith("## Exercises"):
            continue
        # "Now with loops:" leads to a cell that is not here.
        body, _, last = text.rpartition("\n\n")
        leads = last.endswith(":") and HEADING.sub("", body).strip()
        yield _text(body if leads else text, f"{cell.id}-{start}", "slide")
        if leads:
            yield _text(last, f"{cell.id}-{start}-after", "notes")


def _text(source: str, name: str, kind: str) -> NotebookNode:
    return new_markdown_cell(source, id=name, metadata={"slideshow": {"slide_type": kind}})


def _fit(slide: Slide) -> None:
    """Set the size of a slide's text, and give to the speaker what does not fit."""
    shown = [c for c in slide if c.metadata.slideshow.slide_type != "notes"]
    while not (sizes := [px for px in SIZES if sum(_height(c, px) for c in shown) <= ROOM[1]]):
        last = shown[-1]
        found = LAST.fullmatch(last.source) if last.cell_type == "markdown" else None
        if found is None:
            raise NotebookError(f"cell {last.id}: too much for one slide")
        last.source, rest = found.groups()
        slide.insert(slide.index(last) + 1, _text(rest, f"{last.id}-{len(slide)}", "notes"))
    for cell in slide:
        cell.metadata["px"] = sizes[0]


def _height(cell: NotebookNode, px: int) -> float:
    """Pixels that a cell takes at a size of text, estimated; infinite where a line is cut."""
    if cell.cell_type == "markdown":
        return _text_height(cell.source, px)
    total = 0.0 if has_tag(cell, "remove-input") else _code_height(cell.source, px)
    for output in cell.outputs:
        data = output.get("data", {})
        if "text/markdown" in data:
            total += _table_height(data["text/markdown"], px)
        elif output.output_type == "stream":
            total += _code_height(output.text, px)
    return total


def _text_height(text: str, px: float) -> float:
    letters = ROOM[0] / (LETTER * px)
    lines = 0.0
    # The heading of a slide has a place of its own.
    for block in HEADING.sub("", text, count=1).strip().split("\n\n"):
        if block.startswith("$$"):
            lines += 3.4 + 1.2 * block.count(r"\\")
            continue
        items = re.split(r"\n(?=[-*] |\d\. )", block)
        plain = (re.sub(r"\\[A-Za-z]+|[{}$*`>]", "", item) for item in items)
        lines += sum(math.ceil(len(item) / letters) + 0.3 for item in plain) + 0.4
    return 1.4 * px * lines


def _code_height(text: str, px: float) -> float:
    lines = text.rstrip().splitlines()
    if max(map(len, lines), default=0) * MONOSPACE * CODE * px > ROOM[0]:
        return math.inf
    return 1.3 * CODE * px * len(lines) + 24


def _table_height(text: str, px: float) -> float:
    rows = [line for line in text.splitlines() if not line.startswith(("|-", "| -"))]
    letters = ROOM[0] / (LETTER * CODE * px)
    lines = sum(math.ceil((len(row) + 3 * row.count("|")) / letters) + 0.5 for row in rows)
    return 1.4 * CODE * px * lines
