"""The published gallery: figures and tables copied from a run, and the page that shows them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bana.course.gallery.files import ENDINGS, REQUIRED, stem_of
from bana.course.gallery.items import FIGURES
from bana.course.gallery.scenes import upper_first
from bana.course.gallery.table_files import write_table
from bana.experiment.exhibits.measured import from_records
from bana.experiment.exhibits.table_items import TABLES
from bana.files.artefacts import file_hash
from bana.files.paths import figures_dir, gallery_dir

PAGE = "README.md"
OPENING = """\
# Gallery

Figures of one run of one profile, and tables of the records in `results/`, each made by the command
that stands below it. `bana publish` writes this folder; nothing in it is edited by hand. What a
picture was made from is in the note beside it: data, labels and weights by their hashes.
"""


class GalleryError(ValueError):
    """The gallery cannot be published or shown; the message names the file and what to do."""


def publish_gallery(profile_name: str, folder: Path | None = None) -> list[str]:
    """Copy a run's figures into the gallery, write tables of the records, and the page of both.

    Nothing is computed or drawn. A file that belongs to nothing any more is removed.

    Args:
        profile_name: of the run.
        folder: of the gallery; the clone's own where not given.

    Returns:
        Names of the files that changed.

    Raises:
        GalleryError: a figure is missing in the run, or its files are not those of its note.
    """
    folder = folder or gallery_dir()
    run = figures_dir(profile_name)
    for name in FIGURES:
        check_figure(run, name, f"`bana figure --all --profile {profile_name}` draws it")
    before = _hashes(folder)
    folder.mkdir(parents=True, exist_ok=True)
    kept = {PAGE}
    for name in FIGURES:
        for file in (f"{stem_of(name, 'paper')}.{ending}" for ending in (*ENDINGS, "json")):
            shutil.copyfile(run / file, folder / file)
            kept.add(file)
    measured = from_records()
    for name, make in TABLES.items():
        path = write_table(make(measured), folder, name, measured, f"bana table {name}")
        kept |= {path.with_suffix(f".{ending}").name for ending in ("md", "csv", "tex", "json")}
    for path in folder.iterdir():
        if path.is_file() and path.name not in kept:
            path.unlink()
    (folder / PAGE).write_text(gallery_page(folder), encoding="utf-8", newline="\n")
    after = _hashes(folder)
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


def check_figure(folder: Path, name: str, remedy: str) -> dict[str, Any]:
    """The note of a figure whose files are all there, described, and those that the note is of.

    Args:
        folder: where it lies.
        name: of the figure.
        remedy: what to do where something is amiss.

    Raises:
        GalleryError: the note is missing or lacks something, or a file is missing or another.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise GalleryError(f"{path} is missing: {remedy}")
    note = json.loads(path.read_text(encoding="utf-8"))
    if lacking := [key for key in (*REQUIRED, "files") if note.get(key) in (None, "", {})]:
        raise GalleryError(f"{path} has no {', '.join(lacking)}: {remedy}")
    for file, digest in note["files"].items():
        if not (folder / file).is_file():
            raise GalleryError(f"{folder / file} is missing: {remedy}")
        if file_hash(folder / file) != digest:
            raise GalleryError(f"{folder / file} is not what its note describes: {remedy}")
    return note


def gallery_page(folder: Path, place: str = "") -> str:
    """The gallery as a page of Markdown: every figure with caption and text, every table.

    Args:
        folder: of the published files.
        place: of the folder as the page sees it, such as "figures/"; empty for a page in it.

    Raises:
        GalleryError: as `check_figure`.
    """
    parts = [OPENING, *_figures(folder, place), *_tables(folder, place)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _figures(folder: Path, place: str) -> Iterator[str]:
    for name in FIGURES:
        note = check_figure(folder, name, "`bana publish` writes it")
        yield f"## {note['title']}"
        yield f"![{note['alt']}]({place}{name}.png)"
        yield f"**{upper_first(note['item'])}.** {note['caption']}"
        yield f"<details><summary>In words</summary>\n\n{note['alt']}\n\n</details>"
        links = ", ".join(
            f"[{text}]({place}{name}.{ending})"
            for ending, text in {"svg": "SVG", "pdf": "PDF", "json": "note"}.items()
        )
        yield (
            f"`{note['command']}`, profile `{note['profile']}`, seed {note['seed']}, commit "
            f"{note['commit']}. {links}"
        )


def _tables(folder: Path, place: str) -> Iterator[str]:
    for name in TABLES:
        stem = f"table-{name}"
        note = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
        yield f"## {note['title']}: a table"
        yield f"**{upper_first(note['item'])}.** {note['caption']}"
        yield (folder / f"{stem}.md").read_text(encoding="utf-8")
        links = ", ".join(
            f"[{text}]({place}{stem}.{ending})"
            for ending, text in {"csv": "CSV", "tex": "LaTeX", "json": "note"}.items()
        )
        yield f"`{note['command']}`. {links}"


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_hash(path) for path in folder.glob("*") if path.is_file()}
