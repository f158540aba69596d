"""Slides: which cells make one, how large their text is, and that they need no network."""

import re
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bana.course import slides as made_slides
from bana.course.notebook_io import NotebookError
from bana.course.slides import SIZES, build_slides, slides

FIGURE = new_output("display_data", {"image/png": "aGVsbG8=", "text/plain": "Figure"})
PRINTED = new_output("stream", text="printed\n")


def on(cell: NotebookNode, kind: str | None) -> NotebookNode:
    if kind:
        cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def text(source: str, kind: str | None = "slide") -> NotebookNode:
    return on(new_markdown_cell(source), kind)


def thread(*cells: NotebookNode) -> list[list[tuple[str, str]]]:
    """Slide type and source of the cells of each slide."""
    return [
        [(cell.metadata.slideshow.slide_type, cell.source) for cell in slide]
        for slide in slides(new_notebook(cells=list(cells)))
    ]


def test_a_slide_goes_on_until_the_next() -> None:
    found = thread(
        text("# Title"), text("left out", None), text("said", "notes"), text("## Two"),
        text("then", "fragment"),
    )  # fmt: skip
    assert found == [
        [("slide", "# Title"), ("notes", "said")],
        [("slide", "## Two"), ("fragment", "then")],
    ]


def test_a_slide_without_a_heading_has_that_of_its_section() -> None:
    found = thread(text("# Title"), text("## Left out", None), text("Guess."))
    assert found[1] == [("slide", "#### Left out"), ("-", "Guess.")]


def test_headings_part_a_cell_and_what_precedes_them_is_for_the_speaker() -> None:
    cell = text("As seen above.\n\n## One\n\nText.\n\n### Of it\n\nMore.\n\n## Two\n\nEnd.")
    found = thread(text("# Title"), cell)
    assert found[0][1] == ("notes", "As seen above.")
    assert found[1:] == [
        [("slide", "## One\n\nText.\n\n### Of it\n\nMore.")],
        [("slide", "## Two\n\nEnd.")],
    ]


def test_exercises_are_not_shown_and_notebooks_are_linked_as_slides() -> None:
    found = thread(text("## Summary\n\nNext: [03](03_a.ipynb).\n\n## Exercises\n\nWrite."))
    assert found == [[("slide", "## Summary\n\nNext: [03](03_a.html).")]]


def test_a_line_that_leads_to_code_is_for_the_speaker() -> None:
    found = thread(text("## Sum\n\nIt adds.\n\nNow with loops:"))
    assert found == [[("slide", "## Sum\n\nIt adds."), ("notes", "Now with loops:")]]
    assert thread(text("## Sum\n\nWith loops:")) == [[("slide", "## Sum\n\nWith loops:")]]


def test_a_figure_stands_alone() -> None:
    (slide,) = slides(
        new_notebook(cells=[on(new_code_cell("x", outputs=[PRINTED, FIGURE]), "slide")])
    )
    assert slide[-1].outputs == [FIGURE]


def test_text_is_as_large_as_it_fits_and_the_rest_is_for_the_speaker() -> None:
    few, many = slides(new_notebook(cells=[text("## A\n\nFew."), text("## B\n\n" + 200 * "word ")]))
    assert SIZES[0] == few[0].metadata.px > many[0].metadata.px >= SIZES[-1]
    paragraphs = "\n\n".join(f"{n} " + 90 * "word " for n in range(9))
    ((shown, *notes),) = slides(new_notebook(cells=[text(f"## A\n\n{paragraphs}")]))
    assert shown.source.startswith("## A\n\n0 word") and "8 word" not in shown.source
    said = [shown.source, *(cell.source for cell in notes)]
    assert "\n\n".join(said).split() == f"## A\n\n{paragraphs}".split()


def test_code_is_not_cut() -> None:
    def code(width: int, lines: int) -> NotebookNode:
        return on(new_code_cell("\n".join(lines * ["x" * width])), "slide")

    (slide,) = slides(new_notebook(cells=[code(100, 20)]))
    assert slide[-1].metadata.px >= 24
    for wide in (code(130, 1), code(10, 40)):
        with pytest.raises(NotebookError, match="too much for one slide"):
            slides(new_notebook(cells=[wide]))


def test_a_thread_begins_with_a_slide() -> None:
    with pytest.raises(NotebookError, match="a `slide` comes first"):
        thread(text("said", "notes"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> list[Path]:
    return build_slides(tmp_path_factory.mktemp("slides"))


def test_pages_load_nothing_from_the_web(pages) -> None:
    assert len(pages) == 10
    for page in pages:
        html = page.read_text(encoding="utf-8")
        # What a browser loads by itself; links are for readers.
        loaded = re.findall(r'<(?:script|img|iframe|link)\b[^>]*?(?:src|href)="([^"]+)"', html)
        files = {name for name in loaded if not name.startswith("data:")}
        assert {"assets/reveal/dist/reveal.js", "assets/reveal/dist/theme/white.css"} <= files
        assert all((page.parent / name).is_file() for name in files), files
        assert not re.search(r"(?:import|@import)[^;\n]*https?://", html)
    for style in (pages[0].parent / "assets").rglob("*.css"):
        assert not re.search(r"(?:url\(|@import)[^;)]*https?://", style.read_text(encoding="utf-8"))


def test_pages_describe_their_figures(pages) -> None:
    for page in pages:
        tags = re.findall(r"<img [^>]+>", page.read_text(encoding="utf-8"))
        figures = [tag for tag in tags if 'class="figure"' in tag]
        assert len(figures) >= 4
        assert all(re.search(r'alt="[^"]{20,}"', tag) for tag in figures)


def test_a_package_that_is_missing_is_named_in_one_line(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(made_slides, "DECK", ("no-such-package", "a", ("b",), "c"))
    with pytest.raises(ValueError, match=r"c comes with no-such-package, .*\[slides\]'$"):
        build_slides(tmp_path)
