"""What the paper left out, as Markdown, from the records in results/; see tools/readme.py."""

from collections.abc import Iterator, Mapping
from typing import Any

from markdown_tables import difference_cell, table_of

from bana.evaluation.intervals import Difference
from bana.experiment.left_out.measuring import UNCHANGED

AFTER_Y_CRF = "prototypes"
"""The experiment that changes what is done once Y_crf is there."""
SPLITS = {"doctor": "validation", "sigma": "training"}
"""The images that an experiment looks at, where it is not of changes."""


def changes(records: Mapping[str, dict[str, Any]]) -> str:
    """What the paper left out: every change with its difference, then what else was asked."""
    if not records:
        return ""
    cells: dict[str, list[str]] = {}
    for place, record in enumerate(records.values()):
        for name, change, row in _changes(record):
            row_cells = cells.setdefault(f"{name}: {change}", ["-"] * 2 * len(records))
            kinds = {"y_crf": "-" if name == AFTER_Y_CRF else _told(row["y_crf"])}
            row_cells[2 * place : 2 * place + 2] = [kinds["y_crf"], _told(row["y_ret"])]
    header = [f"`{name}`: {kind}" for name in records for kind in ("Y_crf", "Y_ret")]
    asked = {
        name: made["question"]
        for record in records.values()
        for name, made in record["experiments"].items()
    }
    images = ", ".join(_images(name, record) for name, record in records.items())
    own = "the same classifier on the same images"
    if any(name.startswith("fewer: ") for name in cells):
        own += "; rows `fewer` are of other classifiers, one training each"
    unchanged = [f"{score:.1f}" for record in records.values() for score in _unchanged(record)]
    rows = [["unchanged, mIoU %", *unchanged], *([name, *row] for name, row in cells.items())]
    parts = [
        f"**What the paper left out** (notebook 09; {images}): points of mIoU over the unchanged "
        f"method ({_settings(records)}), {own}.",
        table_of(["changed", *header], rows),
    ]
    for name, question in asked.items():
        told = {
            profile: f"On {made['images']} {SPLITS[name]} images of `{profile}`: {made['shows']}"
            for profile, record in records.items()
            if (made := record["experiments"].get(name)) and "changes" not in made
        }
        if told:
            answers = " ".join(told.values())
            parts.append(f"*{question}* {answers}")
    return "\n\n".join(parts)


def _changes(record: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Experiment, change and what was measured, of all changes but the unchanged method."""
    for name, made in record["experiments"].items():
        for change, row in made.get("changes", {}).items():
            if change != UNCHANGED:
                yield name, change, row


def _unchanged(record: dict[str, Any]) -> Iterator[float]:
    """mIoU of both labels of the method as it is; every experiment has the same."""
    made = next(each for each in record["experiments"].values() if "changes" in each)
    return (made["changes"][UNCHANGED][kind]["miou"] for kind in ("y_crf", "y_ret"))


def _settings(records: Mapping[str, dict[str, Any]]) -> str:
    """What the unchanged method does where the experiments do something else."""
    told = []
    for name, record in records.items():
        unary = record["profile"]["unary"]
        queries = unary["grid_size"] ** 2
        told.append(
            f"`{name}`: threshold {unary['background_threshold']:g}, T 1, "
            f"{queries} background {'query' if queries == 1 else 'queries'} where labels are made"
        )
    return "; ".join(told)


def _told(row: dict[str, Any]) -> str:
    return difference_cell(Difference(row["mean"], row["low"], row["high"]))


def _images(name: str, record: dict[str, Any]) -> str:
    """On how many images of a profile, with a link to the record."""
    counts = [made["images"] for made in record["experiments"].values() if "changes" in made]
    return f"{max(counts)} validation images of [`{name}`](../results/left-out-{name}.json)"
