"""Tables of labels: their mIoU, the masks of boxes, and whether a data set suits the method."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bana.experiment import published
from bana.experiment.exhibits.cells import COCO, REPLICATION, VOC, estimated, ours, quoted
from bana.experiment.exhibits.measured import Measured
from bana.experiment.exhibits.table import EACH_ROW, Cell, Column, Row, Table
from bana.experiment.left_out.measuring import UNCHANGED
from bana.experiment.tables import AP_COLUMNS

LABELS = {
    "boxes": ("box filled", "boxes"),
    "boxes-crf": ("box filled, CRF (control)", None),
    "grabcut": ("GrabCut", "grabcut"),
    "boxes-middle": ("middle of the box grown by a CRF; published: WSSL", "wssl"),
    "gap": ("GAP, Y_crf", "gap"),
    "bap-no-u0": ("BAP, Y_crf without u_0", "bap-no-u0"),
    "bap": ("BAP, Y_crf", "bap"),
    "bap-ret": ("BAP, Y_ret", "bap-ret"),
    "agreement-dropped": ("both agree, the rest left out", "agreement"),
    "agreement-wrong": ("both agree, the rest counted wrong", "agreement"),
}
SAM = "SAM, box prompts"
INSIDE = {
    "accuracy_reliable": "Y_crf right where Y_ret agrees (S)",
    "accuracy_unreliable": "Y_crf right where it does not (~S)",
    "precision": "~S that is an error: precision",
    "error_rate": "error rate: precision by chance",
    "recall": "errors that lie in ~S: recall",
    "unreliable_share": "share of ~S: recall by chance",
}


def labels_table(measured: Sequence[Measured]) -> Table:
    """Table 1: mIoU of pseudo labels, with the controls and both conventions for agreement."""
    columns = []
    for made in measured:
        columns += [Column("mIoU %", made.data), Column("pixels labelled %", made.data)]
        if "card_train" in made.more:
            columns.append(Column("train, mIoU %", made.train_data))
    columns += [Column("paper, train, mIoU %", VOC), Column("paper, val, mIoU %", VOC)]
    columns.append(Column("replication, val, mIoU %", VOC))
    rows = []
    for kind, (name, theirs) in LABELS.items():
        cells = [cell for made in measured for cell in _label_cells(made, kind)]
        paper = published.LABELS.get(theirs)
        cells += [
            quoted(paper and paper.train, VOC, "Table 1"),
            quoted(paper and paper.val, VOC, "Table 1"),
            quoted(published.LABELS_REPLICATION_VAL.get(theirs), VOC, "Table 1", REPLICATION),
        ]
        rows.append(Row(name, tuple(cells)))
    asked = any(made.more.get("sam") for made in measured)
    if asked:
        rows.append(_sam_row(measured))
    notes = () if asked else (f"No row of SAM's masks: {_sam_command(measured[-1])} measures it",)
    notes += tuple(
        f"{made.name}: {LABELS[kind][0]}: no interval: not in its regime card"
        for made in measured
        for kind in LABELS
        if made.card and "seeds" not in made.record
        if kind in made.record.get("labels_val", {}) and kind not in made.card.get("miou", {})
    )
    caption = (
        "mIoU of labels made from boxes, with 95 % intervals over images, or with the standard "
        "deviation over the seeds of a record that has several. Masks of training images "
        "are read to measure alone. Where WSSL was published, ours holds the middle fifth of a box "
        "for surely its object and lets the same CRF as in the other rows find its edges, which is "
        "WSSL's idea and not its code. Networks, images and classes differ between data sets, so "
        "that rows are compared within a column. The paper does not say which convention its row "
        "of agreement has."
    )
    caption += " SAM learned from masks, and is asked for the mask of each box." if asked else ""
    title = "Labels made from boxes"
    return Table("Table 1", title, caption, "labels", tuple(columns), tuple(rows), notes)


def _label_cells(made: Measured, kind: str) -> list[Cell]:
    row = made.record.get("labels_val", {}).get(kind)
    trained = [_train_cell(made, kind)] if "card_train" in made.more else []
    if row is None:
        why = f"not in this record yet: `bana evaluate --profile {made.name} --record`"
        return [*[ours(made, "record", None, why)] * 2, *trained]
    spread = (made.record.get("spread") or {}).get("labels_val", {}).get(kind, {}).get("miou")
    estimate = (made.card or {}).get("miou", {}).get(kind) if spread is None else None
    score = (
        estimated(made, "card", estimate, "")
        if estimate
        else ours(made, "record", row["miou"], "", spread=spread)
    )
    return [score, ours(made, "record", row["coverage"], ""), *trained]


def _sam_row(measured: Sequence[Measured]) -> Row:
    cells = [cell for made in measured for cell in _sam_cells(made)]
    cells += [quoted(None, VOC, "Table 1")] * 2
    cells.append(quoted(None, VOC, "Table 1", REPLICATION))
    return Row(SAM, tuple(cells))


def _sam_cells(made: Measured) -> list[Cell]:
    card, why = made.more.get("sam"), no_sam(made)
    count = made.record["data"]["images"]["val"]
    if card and card["images"] != count:  # a column holds scores of the same images
        card, why = None, f"measured on {card['images']} of the {count} images alone"
    score = card["drawings"][UNCHANGED]["miou"]["sam"] if card else None
    cells = [
        estimated(made, "sam", score, why),
        ours(made, "sam", card["coverage"] if card else None, why),
    ]
    if "card_train" in made.more:
        why = "not measured on training images"
        cells.append(ours(made, "sam", None, why, made.train_data))
    return cells


def no_sam(made: Measured) -> str:
    """Why there is no score of a promptable model, and what makes one."""
    return f"not measured: no checkpoint comes along: {_sam_command(made)}"


def _sam_command(made: Measured) -> str:
    return f"`bana bench sam --profile {made.name} --sam FOLDER --record`"


def _train_cell(made: Measured, kind: str) -> Cell:
    why = f"not measured: `bana regime --split train --profile {made.name} --record`"
    card = made.more["card_train"] or {}
    return estimated(made, "card_train", card.get("miou", {}).get(kind), why, made.train_data)


def precision_table(measured: Sequence[Measured]) -> Table:
    """Table 2: COCO's average precision of the boxes' masks."""
    rows = []
    for made in measured:
        found = made.record.get("instances_val") or {}
        for kind in (kind for kind in LABELS if not found or kind in found):
            scores = found.get(kind, {})
            why = f"{made.name} has no masks of single objects"
            if scores:
                why = "no object of that size"
            cells = [ours(made, "record", scores.get(key), why) for key in AP_COLUMNS]
            rows.append(Row(LABELS[kind][0], tuple(cells), made.data))
            if not found:
                rows[-1] = Row("all labels", tuple(cells), made.data)
                break
    for name, scores in published.PRECISION.items():
        cells = [quoted(value, COCO, "Table 2") for value in scores]
        rows.append(Row(f"paper: {name}", tuple(cells), COCO))
    caption = (
        "COCO's average precision of the masks of boxes. Rows of different data sets are not "
        "comparable: each says which it is of. The paper's first two rows are by a classifier "
        "of VOC, which never saw sixty of COCO's classes. On any other data: `bana export "
        "--target FOLDER`."
    )
    columns = tuple(Column(f"{text} %", EACH_ROW) for text in AP_COLUMNS.values())
    return Table(
        "Table 2", "Masks of boxes, average precision", caption, "labels", columns, tuple(rows)
    )


def regime_table(measured: Sequence[Measured]) -> Table:
    """The regime card: whether a data set is one in which the method works."""
    columns = tuple(Column("% or points, 95 % interval", made.data) for made in measured)
    rows = [Row("a box's pixels that its class covers, mean", _of_cards(measured, _filling))]
    pairs = dict.fromkeys(
        (each["first"], each["second"])
        for made in measured
        if made.card
        for each in made.card["differences"]
    )
    for first, second in pairs:
        name = f"{LABELS[first][0]}, over {LABELS[second][0]}"
        rows.append(Row(name, _of_cards(measured, _difference_of(first, second))))
    for key, name in INSIDE.items():
        rows.append(
            Row(
                f"within boxes: {name}",
                _of_cards(measured, lambda card, key=key: card["inside"]["all"][key]),
            )
        )
    caption = (
        "What the method lives on: boxes that hold ground, features that know more than "
        "colours, and labels that disagree where one is wrong. Percent, and points where one "
        "label is over another."
    )
    return Table(
        "not in the paper", "The regime card", caption, "regime card", columns, tuple(rows)
    )


def _filling(card: Mapping[str, Any]) -> dict[str, float] | float | None:
    return card["filling"]["mean"]


def _difference_of(first: str, second: str) -> Callable[[Mapping[str, Any]], Any]:
    def found(card: Mapping[str, Any]) -> dict[str, float] | None:
        for made in card["differences"]:
            if (made["first"], made["second"]) == (first, second) and made["mean"] is not None:
                return {"value": made["mean"], "low": made["low"], "high": made["high"]}
        return None

    return found


def _of_cards(
    measured: Sequence[Measured], read: Callable[[Mapping[str, Any]], Any]
) -> tuple[Cell, ...]:
    cells = []
    for made in measured:
        why = f"no card of {made.name}: `bana regime --profile {made.name} --record`"
        value = read(made.card) if made.card else None
        if isinstance(value, Mapping) or value is None:
            cells.append(estimated(made, "card", value, why))
        else:
            cells.append(ours(made, "card", value, why))
    return tuple(cells)
