"""Figures on disk: PNG, SVG and PDF, the same bytes on every run, and a note of their origin."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

from bana.files.artefacts import file_hash, read_json, source_commit

MAX_BYTES = 1_000_000
ENDINGS = ("png", "svg", "pdf")
PACKAGES = ("torch", "numpy", "matplotlib")
REQUIRED = ("item", "title", "caption", "alt", "command", "profile", "seed")
"""What no note may lack; an item that the paper does not have says so."""


class Size(NamedTuple):
    """What a figure is drawn for.

    Attributes:
        width: in inches.
        height: at most, in inches.
        font: of all letters, in points.
        dpi: of pixels, first choice; lower ones follow where a file would be too large for git.
    """

    width: float
    height: float
    font: float
    dpi: int


SIZES: dict[str, Size] = {
    "paper": Size(6.9, 8.8, 8.0, 150),
    "slide": Size(12.8, 7.2, 16.0, 100),
}
"""Two columns of a conference paper, and a slide of 16:9."""

PAGE = Size(9.2, 10.5, 10.0, 80)
"""As wide as a notebook's page; what notebooks show is not written to a file."""


def stem_of(name: str, size: str) -> str:
    """File name without ending: that of paper size has the figure's own name.

    Raises:
        ValueError: the size is unknown, or the name may not be one.
    """
    if size not in SIZES:
        raise ValueError(f"unknown size {size!r}: use {' or '.join(SIZES)}")
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"figure name {name!r} may hold letters, digits, - and _ only")
    return name if size == "paper" else f"{name}-{size}"


def is_current(folder: Path, stem: str, key: str) -> bool:
    """Whether a figure's files are there, as they were written, and belong to a key."""
    note = read_json(folder / f"{stem}.json")
    return note.get("key") == key and all(
        (folder / name).is_file() and file_hash(folder / name) == digest
        for name, digest in note.get("files", {}).items()
    )


def write_figure(fig: Figure, folder: Path, stem: str, size: Size, note: dict[str, Any]) -> Path:
    """Write a figure in every format, and its note beside it.

    The note's commit is the one at which the picture became what it is: the same picture drawn
    again from the same sources leaves the note as it was. The figure stays open.

    Args:
        fig: the figure.
        folder: where to; made where it is missing.
        stem: file name without ending, of `stem_of`.
        size: what it was drawn for.
        note: what is known of the figure, `REQUIRED` at least; plain JSON values.

    Returns:
        Path of the PNG.

    Raises:
        ValueError: something required is missing or empty, or a file passes 1 MB at the lowest
            resolution.
    """
    missing = [key for key in REQUIRED if note.get(key) in (None, "", " ")]
    if missing:
        raise ValueError(f"figure {stem}: its note lacks {', '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None, "Title": note["alt"]},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None, "Title": note["title"]},
    }
    fig.draw_without_rendering()  # lays it out, once for all formats
    fig.set_layout_engine("none")
    for ending in ENDINGS:
        _write_below_limit(fig, folder / f"{stem}.{ending}", size, metadata[ending])
    files = {f"{stem}.{ending}": file_hash(folder / f"{stem}.{ending}") for ending in ENDINGS}
    write_note(folder / f"{stem}.json", {**note, "files": files})
    return folder / f"{stem}.png"


def write_note(path: Path, note: dict[str, Any]) -> None:
    """Write a note with versions and commit; the commit stays where nothing else has changed."""
    note = {**note, "versions": versions()}
    old = read_json(path)
    same = {**old, "commit": ""} == {**note, "commit": ""}
    note["commit"] = old["commit"] if same and "commit" in old else source_commit()
    text = json.dumps(note, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def versions() -> dict[str, str]:
    """Python and the packages that a picture depends on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _write_below_limit(
    fig: Figure, path: Path, size: Size, metadata: dict[str, str | None]
) -> None:
    """Save at the highest of the resolutions that keeps the file small enough for git."""
    dpis = [size.dpi, *(dpi for dpi in (110, 80, 60, 40) if dpi < size.dpi)]
    for dpi in dpis:
        with matplotlib.rc_context({"svg.hashsalt": "bana", "pdf.compression": 9}):
            fig.savefig(path, dpi=dpi, metadata=metadata)
        if path.stat().st_size < MAX_BYTES:
            return
    path.unlink()
    raise ValueError(f"{path.name} passes {MAX_BYTES} bytes even at {dpis[-1]} dpi: split it")
