"""Tables on disk: Markdown, CSV and LaTeX, with a note of their origin."""

from collections.abc import Sequence
from pathlib import Path

from bana.course.gallery.files import stem_of, write_note
from bana.experiment.exhibits.measured import Measured
from bana.experiment.exhibits.table import Table


def write_table(
    table: Table, folder: Path, name: str, measured: Sequence[Measured], command: str
) -> Path:
    """Write a table in every format, and its note beside it.

    Args:
        table: what to write.
        folder: where to; made where it is missing.
        name: of the table; its files are called `table-<name>`.
        measured: what it was made from.
        command: that makes it again.

    Returns:
        Path of the Markdown file.
    """
    stem = f"table-{stem_of(name, 'paper')}"
    folder.mkdir(parents=True, exist_ok=True)
    origins = table.origins()
    texts = {"md": table.markdown(), "csv": table.csv(), "tex": table.latex()}
    for ending, text in texts.items():
        (folder / f"{stem}.{ending}").write_text(text, encoding="utf-8", newline="\n")
    note = {
        "name": name,
        "item": table.item,
        "title": table.title,
        "caption": table.caption,
        "command": command,
        "profiles": [made.name for made in measured],
        "sources": origins,
        "records": {
            file: digest
            for made in measured
            for file, digest in made.files.items()
            if any(f"results/{file}," in origin for each in origins.values() for origin in each)
        },
        "files": sorted(f"{stem}.{ending}" for ending in texts),
    }
    write_note(folder / f"{stem}.json", note)
    return folder / f"{stem}.md"
