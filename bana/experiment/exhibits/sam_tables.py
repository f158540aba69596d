"""The table of a promptable model, asked by boxes, beside labels learned from boxes."""

from collections.abc import Mapping, Sequence
from typing import Any

from bana.evaluation.verdicts import NOT_TOLD_APART
from bana.experiment.exhibits.cells import estimated
from bana.experiment.exhibits.label_tables import SAM, no_sam
from bana.experiment.exhibits.measured import Measured
from bana.experiment.exhibits.table import Cell, Column, Row, Table
from bana.experiment.prompting import DRAWINGS, FEW

LABELS = {
    "boxes": "box filled, %",
    "y_crf": "BAP, Y_crf, %",
    "sam": f"{SAM}, %",
    "sam - y_crf": "SAM less Y_crf, points",
}
WORDS = ("higher", "lower", NOT_TOLD_APART)


def sam_table(measured: Sequence[Measured]) -> Table:
    """A promptable model beside labels learned from boxes: by looseness of boxes, by class."""
    columns = [Column(title, _data(made)) for made in measured for title in LABELS.values()]
    names = [*dict.fromkeys(name for made in measured for name in _card(made).get("classes", {}))]
    rows = [Row(f"mIoU, boxes {each}", _cells(measured, "drawings", each)) for each in DRAWINGS]
    rows += [Row(f"IoU, {each}", _cells(measured, "classes", each)) for each in names]
    caption = (
        "Labels of the same images from the same boxes: boxes filled, Y_crf of a classifier that "
        "learned from boxes alone, and the masks that a promptable model gives for each box, of "
        "those it proposes the one that it expects to be best, cut off at the box. First mIoU, by "
        "how far every edge of every box is moved outwards, as a share of the box's side; then the "
        "IoU of each class, of boxes as they are. 95 % intervals over images. SAM learned from "
        "masks, so that this compares what each needs as well as what each gives. "
        + (" ".join(told for made in measured if (told := _of_checkpoint(made))) or NOTHING)
    )
    title = "Boxes put to a promptable model"
    notes = tuple(told for made in measured for told in _verdicts(made))
    return Table("not in the paper", title, caption, "labels", tuple(columns), tuple(rows), notes)


NOTHING = "Nothing of ours is measured yet."


def _card(made: Measured) -> dict[str, Any]:
    return made.more.get("sam") or {}


def _data(made: Measured) -> str:
    """What was scored: perhaps a part of the images."""
    card = _card(made)
    return f"{made.name}, {card['images']} val images" if card else made.data


def _row(made: Measured, part: str, name: str) -> Mapping[str, Any]:
    row = _card(made).get(part, {}).get(name, {})
    return row.get("miou", {}) if part == "drawings" else row


def _cells(measured: Sequence[Measured], part: str, name: str) -> tuple[Cell, ...]:
    cells = []
    for made in measured:
        row = _row(made, part, name)
        why = _why(row) if _card(made) else no_sam(made)
        cells += [estimated(made, "sam", row.get(key), why, _data(made)) for key in LABELS]
    return tuple(cells)


def _why(row: Mapping[str, Any]) -> str:
    if row.get("sam") is None:
        return "no such class, or it occurs nowhere"
    return f"in fewer than {FEW} images: no interval worth the name"


def _of_checkpoint(made: Measured) -> str:
    card = _card(made)
    if not card:
        return ""
    digests = ", ".join(f"{file} {digest[:16]}" for file, digest in card["weights"].items())
    return (
        f"{made.name}: {card['checkpoint']}, {card['type']}, {card['parameters'] / 1e6:.1f} M "
        f"parameters, SHA-256 of {digests}, {card['seconds an image']:.1f} s an image with "
        f"{card['prompts an image']:.0f} boxes asked for."
    )


def _verdicts(made: Measured) -> list[str]:
    """Where SAM is told apart from Y_crf, as sentences without their full stop."""
    said = []
    for part, what in (("drawings", "mIoU, boxes"), ("classes", "IoU of classes")):
        rows = {each: _row(made, part, each)["sam - y_crf"] for each in _card(made).get(part, {})}
        found = {
            word: [each for each, row in rows.items() if row and row["verdict"] == word]
            for word in WORDS
        }
        parts = [f"{word}: {', '.join(names)}" for word, names in found.items() if names]
        if parts:
            said.append(f"{made.name}, SAM against Y_crf, {what}: {'; '.join(parts)}")
    return said
