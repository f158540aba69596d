"""Tables of the supplement, and the case that Table 1 leaves out: GAP with its own attention."""

from collections.abc import Mapping, Sequence
from typing import Any

from bana.evaluation.verdicts import NOT_TOLD_APART, difference_of, stated, verdict
from bana.experiment import published
from bana.experiment.exhibits.cells import REPLICATION, VOC, estimated, ours, quoted
from bana.experiment.exhibits.label_tables import LABELS
from bana.experiment.exhibits.measured import Measured
from bana.experiment.exhibits.network_tables import LOSSES
from bana.experiment.exhibits.table import Cell, Column, Row, Table

MAPS = {"precision": "precision %", "recall": "recall %", "iou": "IoU %"}
ATTENTIONS = {"none": "no u_0", "gap": "A of GAP", "bap": "A of BAP"}
ANSWERS = {"boxes": "boxes given their class %", "queries": "background queries told %"}
FEATURES = {
    "imagenet": "ImageNet's features, frozen",
    "shipped": "the classifier that comes with the package",
    "trained": "the profile's own classifier",
}
QUOTED_GRIDS = (1, 2, 3)
AUTHORS_SECONDS = "authors, machines not named, seconds"


def _missing(made: Measured, table: str) -> str:
    return f"not measured: `bana table {table} --profile {made.name} --record`"


def cam_table(measured: Sequence[Measured]) -> Table:
    """Supplement: activation maps of GAP and BAP at their thresholds, and what they classify."""
    columns = []
    for made in measured:
        names = ["threshold, % of the maximum in a box", *MAPS.values(), *ANSWERS.values()]
        columns += [Column(name, made.data) for name in names]
    columns.append(Column("paper, precision %", VOC))
    rows = []
    for pooling, name in (("gap", "GAP"), ("bap", "BAP")):
        cells = [cell for made in measured for cell in _cam_cells(made, pooling)]
        paper = published.CAM_PRECISION.get(pooling)
        rows.append(Row(name, (*cells, quoted(paper, VOC, "supplement"))))
    cells = [cell for made in measured for cell in _cam_cells(made, "differences")]
    rows.append(Row("BAP less GAP, points", (*cells, quoted(None, VOC, "supplement"))))
    caption = (
        "Class activation maps of the classifiers trained with GAP and with BAP against masks, "
        "means over classes, and the share of boxes and of background queries that they give "
        "their class, of all classes and background; 95 % intervals over images. A map is divided "
        "by its maximum in each box; the threshold is the one of the highest IoU on training "
        "images, each pooling's own, so that precision and recall are read together. The paper "
        "does not tell its threshold; its classification accuracy is not among the published "
        "numbers at hand."
    )
    title = "Activation maps and classification"
    return Table("supplement", title, caption, "pooling", tuple(columns), tuple(rows))


def _cam_cells(made: Measured, row: str) -> list[Cell]:
    card = (made.more.get("activations") or {}).get(row, {})
    why = _missing(made, "cam")
    threshold, blank = card.get("threshold"), why
    if card and threshold is None:
        blank = "thresholds are chosen, not scored"
    first = ours(made, "activations", threshold and 100 * threshold, blank)
    return [
        first,
        *(estimated(made, "activations", card.get(key), why) for key in (*MAPS, *ANSWERS)),
    ]


def crossing_table(measured: Sequence[Measured]) -> Table:
    """Beside Table 1: whose activation map and whose attention, GAP with its own A among them."""
    names = ATTENTIONS.values()
    columns = [Column(f"{name}, mIoU %", made.data) for made in measured for name in names]
    columns += [Column(f"paper, val, {ATTENTIONS[name]}, mIoU %", VOC) for name in ("none", "bap")]
    rows = []
    for cam in ("gap", "bap"):
        cells = []
        for made in measured:
            found = {(c["cam"], c["attention"]): c for c in _crossing(made).get("cells", [])}
            for attention in ATTENTIONS:
                score = found.get((cam, attention), {}).get("miou")
                cells.append(estimated(made, "crossing", score, _missing(made, "crossing")))
        kinds = {"gap": ("gap", None), "bap": ("bap-no-u0", "bap")}[cam]
        scores = [published.LABELS[kind].val if kind else None for kind in kinds]
        cells += [quoted(score, VOC, "Table 1") for score in scores]
        rows.append(Row(f"CAM of {cam.upper()}", tuple(cells)))
    told = [
        f"{made.name}: {'; '.join(map(_crossed, _crossing(made)['differences']))}."
        for made in measured
        if _crossing(made)
    ]
    caption = (
        "mIoU of Y_crf with u_c of the classifier of a row and u_0 of that of a column; threshold, "
        "N and CRF are the same for all. The paper gives GAP no u_0, so that its gain of BAP with "
        "u_0 over GAP is of two changes. 95 % intervals over images, of one training each. "
        + (f"Differences, points: {' '.join(told)}" if told else "Nothing of ours is measured yet.")
    )
    title = "Whose activation map, whose attention"
    return Table("not in the paper", title, caption, "u_c", tuple(columns), tuple(rows))


def _crossing(made: Measured) -> Mapping[str, Any]:
    return made.more.get("crossing") or {}


def _crossed(difference: Mapping[str, Any]) -> str:
    """Such as "BAP with A of BAP over GAP with A of GAP +1.0 [+0.2, +1.8]"."""
    first, second = (
        f"{difference[end][0].upper()} with {ATTENTIONS[difference[end][1]]}"
        for end in ("first", "second")
    )
    return f"{first} over {second} {stated(difference_of(difference['points']))}"


def grid_table(measured: Sequence[Measured]) -> Table:
    """Supplement: mIoU of Y_crf by N in training and N in generation."""
    cells = {
        made.name: {(c["trained"], c["generated"]): c for c in _grids(made).get("cells", [])}
        for made in measured
    }
    places = [place for each in cells.values() for place in each]
    trained = sorted({n for n, _ in places} | set(published.GRID_SIZE_REPLICATION))
    generated = sorted({m for _, m in places} | set(QUOTED_GRIDS))
    columns = [
        Column(f"N = {m} in generation, mIoU %", made.data) for made in measured for m in generated
    ]
    columns += [Column(f"replication, N = {m} in generation, mIoU %", VOC) for m in QUOTED_GRIDS]
    rows = []
    for n in trained:
        row = [
            estimated(
                made, "grids", cells[made.name].get((n, m), {}).get("miou"), _missing(made, "grid")
            )
            for made in measured
            for m in generated
        ]
        theirs = published.GRID_SIZE_REPLICATION.get(n, {})
        row += [quoted(theirs.get(m), VOC, "grid sizes", REPLICATION) for m in QUOTED_GRIDS]
        rows.append(Row(f"N = {n} in training", tuple(row)))
    apart = [
        f"{made.name}: {_told_apart(others)} of {len(others)}"
        for made in measured
        if (others := _but_own(made, cells[made.name]))
    ]
    caption = (
        "mIoU of BAP's Y_crf by the rows N of the background grid, when the classifier is trained "
        "and when labels are made; 95 % intervals over images. Each N in training is one training: "
        "no interval covers its chance. "
        + (
            "Cells told apart, image by image, from the profile's own N: " + "; ".join(apart) + "."
            if apart
            else "Nothing of ours is measured yet."
        )
    )
    title = "Grids in training and in generation"
    return Table("supplement", title, caption, "grid", tuple(columns), tuple(rows))


def _grids(made: Measured) -> Mapping[str, Any]:
    return made.more.get("grids") or {}


def _but_own(made: Measured, cells: Mapping[tuple[int, int], Any]) -> list[Mapping[str, Any]]:
    """The cells but the one of the profile's own two N."""
    own = tuple(_grids(made).get("own", ()))
    return [cell for place, cell in cells.items() if place != own]


def _told_apart(cells: Sequence[Mapping[str, Any]]) -> int:
    """How many cells differ from the profile's own by more than their interval."""
    return sum(verdict(difference_of(cell["over own"])) != NOT_TOLD_APART for cell in cells)


def gamma_lambda_table(measured: Sequence[Measured]) -> Table:
    """Supplement: the noise-aware loss by gamma and lambda, less cross-entropy on Y_crf."""
    found = {made.name: made.more.get("weighings") or {} for made in measured}
    cells = {
        name: {(c["gamma"], c["lam"]): c for c in card.get("cells", [])}
        for name, card in found.items()
    }
    places = [place for each in cells.values() for place in each] or [(7.0, 0.1)]
    lambdas = sorted({lam for _, lam in places})
    columns = tuple(
        Column(f"lambda {lam:g}, points", made.data) for made in measured for lam in lambdas
    )
    rows = []
    for gamma in sorted({gamma for gamma, _ in places}):
        row = [
            estimated(
                made,
                "weighings",
                cells[made.name].get((gamma, lam), {}).get("over crf"),
                _missing(made, "gamma_lambda"),
            )
            for made in measured
            for lam in lambdas
        ]
        name = f"gamma {gamma:g}" + " (the paper's, with lambda 0.1)" * (gamma == 7)
        rows.append(Row(name, tuple(row)))
    means = [
        f"{name}: {sum(card['crf']) / len(card['crf']):.1f} % over {len(card['crf'])} seeds"
        for name, card in found.items()
        if card and None not in card["crf"]
    ]
    caption = (
        "The noise-aware loss (Eq. 12 to 14) on Y_crf as it is, less cross-entropy on Y_crf: mIoU "
        "of linear heads on frozen features that tell objects from background, in points, with "
        "95 % intervals over seeds and images. "
        + (f"Cross-entropy: {'; '.join(means)}." if means else "Nothing of ours is measured yet.")
    )
    return Table("supplement", "Gamma by lambda", caption, "confidence", columns, tuple(rows))


def class_agnostic_table(measured: Sequence[Measured]) -> Table:
    """Supplement: labels of unknown classes, u_c = 1 - u_0, by the origin of the features."""
    columns = []
    for made in measured:
        columns += [Column("mIoU %", made.data), Column("over boxes filled, points", made.data)]
    columns.append(Column("replication, train, mIoU %", VOC))
    rows = [Row("box filled", _agnostic_cells(measured, None, None))]
    for origin, name in FEATURES.items():
        for kind in ("Y_crf", "Y_ret"):
            rows.append(Row(f"{name}: {kind}", _agnostic_cells(measured, origin, kind)))
    caption = (
        "Labels with u_c = 1 - u_0 for all classes, as if the classifier knew none: what is gained "
        "from features alone, in which background resembles background. A label takes its class "
        "from its box; "
        "threshold and CRF are the profile's for all origins. 95 % intervals over images. The "
        "replication's features are those of its own classifier, on VOC's training images."
    )
    title = "Classes that no classifier knows"
    return Table("supplement", title, caption, "features", tuple(columns), tuple(rows))


def _agnostic_cells(
    measured: Sequence[Measured], origin: str | None, kind: str | None
) -> tuple[Cell, ...]:
    cells = []
    for made in measured:
        card, why = made.more.get("agnostic") or {}, _missing(made, "class_agnostic")
        if origin is None:
            cells.append(estimated(made, "agnostic", card.get("boxes"), why))
            cells.append(ours(made, "agnostic", None, "what the others are measured against"))
            continue
        row = card.get(origin, {}).get(kind, {})
        cells += [estimated(made, "agnostic", row.get(key), why) for key in ("miou", "over boxes")]
    theirs = published.CLASS_AGNOSTIC_REPLICATION_TRAIN.get(kind) if origin == "trained" else None
    return (*cells, quoted(theirs, VOC, "class-agnostic labels", REPLICATION))


def time_table(measured: Sequence[Measured]) -> Table:
    """Supplement: seconds of every stage, as the record says, with the machine named."""
    columns = [Column(f"seconds, {_machine(made)}", made.data) for made in measured]
    columns.append(Column(AUTHORS_SECONDS, VOC))
    seconds = [made.record.get("seconds", {}) for made in measured]
    keys = sorted({key for each in seconds for key in each}, key=_stage_order)
    rows = []
    for key in keys:
        why = "not in this record"
        cells = [
            ours(made, "record", each.get(key), why)
            for made, each in zip(measured, seconds, strict=True)
        ]
        theirs = {"classifier-bap": "classifier", "segmenter-nal": "segmenter"}.get(key)
        cells.append(quoted(published.SECONDS.get(theirs or ""), VOC, "text"))
        rows.append(Row(_stage_name(key), tuple(cells)))
    whys = "not measured apart from the labels: `benchmarks/crf.py` times it"
    cells = [ours(made, "record", None, whys) for made in measured]
    rows.append(
        Row("CRF, an image", (*cells, quoted(published.SECONDS["CRF, an image"], VOC, "text")))
    )
    caption = (
        "Seconds of every stage, as the record of the run has them. Networks may be trained beside "
        "one another and labels made by several processes, on whatever else the machine had to do, "
        "so that nothing is claimed from a row; labels of an interrupted run tell the time of its "
        "last part. The authors' trainings are of VOC's 10,582 images on GPUs."
    )
    return Table("supplement", "Run time", caption, "stage", tuple(columns), tuple(rows))


def _machine(made: Measured) -> str:
    found = made.record.get("environment")
    if not found:
        return "machine not recorded"
    return f"{found['system']}, {found['cores']} cores, {found['device']}"


def _stage_order(key: str) -> tuple[int, str]:
    stage = key.split("-")[0]
    return ("classifier", "labels", "segmenter").index(stage), key


def _stage_name(key: str) -> str:
    """Such as "labels, BAP, Y_crf, train images" for "labels-bap-train"."""
    stage, _, rest = key.partition("-")
    if stage == "classifier":
        return f"classifier, {rest.upper()}"
    if stage == "segmenter":
        return f"network, {LOSSES.get(rest, rest)}"
    kind, _, split = rest.rpartition("-")
    return f"labels, {LABELS[kind][0] if kind in LABELS else kind}, {split} images"
