"""What the paper left out, as Markdown, from the records in results/; see tools/readme.py."""

from collections.abc import Iterator, Mapping
from typing import Any

from markdown_tables import table_of

from bana.evaluation.verdicts import Difference, stated
from bana.experiment.left_out.measuring import UNCHANGED


def changes(records: Mapping[str, dict[str, Any]]) -> str:
    """What the paper left out: every change with its difference, then what else was asked."""
    if not records:
        return ""
    cells: dict[str, list[str]] = {}
    for place, record in enumerate(records.values()):
        for name, change, row in _changes(record):
            row_cells = cells.setdefault(f"{name}: {change}", ["-"] * 2 * len(records))
            row_cells[2 * place : 2 * place + 2] = [_told(row[kind]) for kind in ("y_crf", "y_ret")]
    header = [f"`{name}`: {kind}" for name in records for kind in ("Y_crf", "Y_ret")]
    asked = {
        name: made["question"]
        for record in records.values()
        for name, made in record["experiments"].items()
    }
    images = ", ".join(_images(name, record) for name, record in records.items())
    parts = [
        f"**What the paper left out** (notebook 09; {images}): points of mIoU over the unchanged "
        "method, the same classifier on the same images.",
        table_of(["changed", *header], [[name, *row] for name, row in cells.items()]),
    ]
    for name, question in asked.items():
        told = {
            profile: record["experiments"][name]["shows"]
            for profile, record in records.items()
            if name in record["experiments"] and "changes" not in record["experiments"][name]
        }
        if told:
            answers = " ".join(f"On `{profile}`: {shows}" for profile, shows in told.items())
            parts.append(f"*{question}* {answers}")
    return "\n\n".join(parts)


def _changes(record: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Experiment, change and what was measured, of all changes but the unchanged method."""
    for name, made in record["experiments"].items():
        for change, row in made.get("changes", {}).items():
            if change != UNCHANGED:
                yield name, change, row


def _told(row: dict[str, Any]) -> str:
    return stated(Difference(row["mean"], row["low"], row["high"]))


def _images(name: str, record: dict[str, Any]) -> str:
    """On how many images of a profile, with a link to the record."""
    counts = [made["images"] for made in record["experiments"].values() if "changes" in made]
    return f"{max(counts)} validation images of [`{name}`](../results/left-out-{name}.json)"
