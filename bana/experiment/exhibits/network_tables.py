"""Tables of networks: losses, labels to learn from, classes; ours, the paper's and its peers'."""

from collections.abc import Mapping, Sequence
from typing import Any

from bana.experiment import published
from bana.experiment.exhibits.cells import PAPER, REPLICATION, VOC, ours, quoted
from bana.experiment.exhibits.measured import Measured
from bana.experiment.exhibits.table import Cell, Column, Row, Table

GPU_PROFILES = ("paper-vgg", "paper-resnet")
LOSSES = {
    "crf": "cross-entropy on Y_crf",
    "ret": "cross-entropy on Y_ret",
    "ignore": "ignore ~S",
    "entropy": "entropy regularisation",
    "bootstrap": "bootstrapping",
    "nal": "noise-aware loss",
    "truth": "true masks",
}
MODES = {
    "single": "single scale",
    "single-crf": "single scale, CRF",
    "multi": "multi-scale",
    "multi-crf": "multi-scale, CRF",
}
"""How a network is tested, see `bana.experiment.stages.segmentation_scores`."""

QUOTED = {
    "paper, V1, val": (published.SEGMENTATION_V1, "Tables 4 and 5", PAPER),
    "paper, V1, test": (published.TEST_V1, "Tables 4 and 5", PAPER),
    "replication, V1, val": (published.SEGMENTATION_V1_REPLICATION, "Table 4", REPLICATION),
    "paper, V2, val": (published.SEGMENTATION_V2, "Tables 4 and 5", PAPER),
    "paper, V2, test": (published.TEST_V2, "Tables 4 and 5", PAPER),
    "replication, V2, val": (published.SEGMENTATION_V2_REPLICATION, "Table 4", REPLICATION),
}
"""The published columns of Tables 4 and 5: their numbers, where they are printed, by whom."""

PEERS = Column("peers as the paper quotes them, val, mIoU %", VOC)


def losses_table(measured: Sequence[Measured]) -> Table:
    """Table 3: what is done with unreliable pixels, in networks and in heads of many seeds."""
    columns = [column for made in measured for column in _network_columns(made, heads=True)]
    columns += [Column(f"paper, V1, {when}, mIoU %", VOC) for when in ("before", "after")]
    columns += [Column(f"replication, V1, {when}, mIoU %", VOC) for when in ("before", "after")]
    rows = []
    for loss, name in LOSSES.items():
        cells = [cell for made in measured for cell in _network_cells(made, loss, heads=True)]
        sources = ((published.LOSSES, PAPER), (published.LOSSES_REPLICATION, REPLICATION))
        for scores, source in sources:
            for value in scores.get(loss, (None, None)):
                cells.append(quoted(value, VOC, "Table 3", source))
        rows.append(Row(name, tuple(cells)))
    caption = (
        "What is done with the pixels where Y_crf and Y_ret differ. Networks at a single scale, "
        f"without and with CRF{_trainings(measured)}{_heads(measured)}. The paper's "
        '"after" is multi-scale testing and CRF together.'
    )
    return Table(
        "Table 3", "What to do with unreliable pixels", caption, "loss", tuple(columns), tuple(rows)
    )


def _heads(measured: Sequence[Measured]) -> str:
    """What heads are, where a bench of them is shown."""
    if not any(_benches(made) for made in measured):
        return ""
    return (
        "; heads are small classifiers on frozen features, mean and standard deviation over "
        f"seeds{_head_seeds(measured)}"
    )


def _trainings(measured: Sequence[Measured]) -> str:
    """Of how many trainings networks are the mean, where it is not one everywhere."""
    seeds = {made.name: len(made.record.get("seeds", [0])) for made in measured}
    if set(seeds.values()) <= {1}:
        return ", one training each"
    told = ", ".join(f"{name}: {count}" for name, count in seeds.items())
    return f", mean and standard deviation over trainings of all stages ({told})"


def _mean_of(measured: Sequence[Measured]) -> str:
    """Of how many trainings scores without a spread are the mean."""
    seeds = {made.name: made.record.get("seeds", [0]) for made in measured}
    told = "; ".join(
        f"{name}: {'seeds' if len(each) > 1 else 'seed'} {', '.join(map(str, each))}"
        for name, each in seeds.items()
    )
    return f", mean over the trainings of the record ({told})" if told else ""


def _head_seeds(measured: Sequence[Measured]) -> str:
    """How many seeds heads have, and where those of all classes are of another classifier."""
    counts = {len(made.bench["seeds"]) for made in measured if made.bench}
    told = f" ({' or '.join(map(str, sorted(counts)))})" if counts else ""
    others = [made.name for made in measured if made.more.get("bench_classes")]
    if others:
        told += (
            f"; on {' and '.join(others)} the heads of classes are of another training of the "
            "classifier than the heads of object"
        )
    return told


def networks_table(measured: Sequence[Measured]) -> Table:
    """Tables 4 and 5: which labels to learn from, the paper's networks and its peers."""
    columns = [column for made in measured for column in _network_columns(made, heads=False)]
    columns += [Column(f"{name}, mIoU %", VOC) for name in QUOTED]
    columns.append(PEERS)
    rows = []
    for loss, name in (("crf", "Y_crf"), ("ret", "Y_ret"), ("nal", "both, noise-aware loss")):
        cells = [cell for made in measured for cell in _network_cells(made, loss, heads=False)]
        rows.append(
            Row(name, (*cells, *_published({n: v[0].get(loss) for n, v in QUOTED.items()})))
        )
    rows += [_semi_supervised(measured), _ceiling(measured), *_peers(measured)]
    caption = (
        "What networks learn from: Y_crf, Y_ret, or both by the noise-aware loss; V1 is "
        "DeepLab-V1 (VGG-16), V2 DeepLab-V2 (ResNet-101), ours is the profile's. Peers are "
        "quoted as the paper quotes them. Ours is at a single scale, without and with CRF."
    )
    return Table(
        "Tables 4 and 5",
        "Which labels to learn from, and peers",
        caption,
        "learned from",
        tuple(columns),
        tuple(rows),
        tuple(_needs_gpu(name) for name in GPU_PROFILES if name not in {m.name for m in measured}),
    )


def _published(values: Mapping[str, float | None], peer: float | None = None) -> list[Cell]:
    """Cells of the published columns, and of the peers'."""
    cells = [
        quoted(values.get(name), VOC, table, source) for name, (_, table, source) in QUOTED.items()
    ]
    return [*cells, quoted(peer, VOC, "Tables 4 and 5")]


def _semi_supervised(measured: Sequence[Measured]) -> Row:
    values = {
        "paper, V1, val": published.SEMI_SUPERVISED_V1_VAL,
        "paper, V1, test": published.TEST_V1["nal with 1,464 masks"],
    }
    cells = _all_blank(measured, "not trained here: `bana train segmentation --strong SPLIT`")
    return Row("both, and 1,464 masks", (*cells, *_published(values)))


def _ceiling(measured: Sequence[Measured]) -> Row:
    cells = [cell for made in measured for cell in _network_cells(made, "truth", heads=False)]
    return Row(LOSSES["truth"], (*cells, *_published({})))


def _peers(measured: Sequence[Measured]) -> list[Row]:
    cells = _all_blank(measured, "another method, not trained here")
    return [
        Row(peer, (*cells, *_published({}, value))) for peer, value in published.PEERS_VAL.items()
    ]


def _all_blank(measured: Sequence[Measured], why: str) -> list[Cell]:
    """Blank cells of all columns that are ours."""
    return [
        ours(made, "record", None, why)
        for made in measured
        for _ in _network_columns(made, heads=False)
    ]


def _needs_gpu(name: str) -> str:
    return (
        f"Profile {name}, with the paper's network, has no column: it was not run and needs a GPU: "
        f"`bana evaluate --profile {name} --data FOLDER --record`"
    )


def _modes(made: Measured) -> list[str]:
    return list(next(iter(made.record["segmentation_val"].values())))


def _network_columns(made: Measured, heads: bool) -> list[Column]:
    columns = [Column(f"network, {MODES[mode]}, mIoU %", made.data) for mode in _modes(made)]
    if heads:
        columns += [Column(f"heads, {kind}, mIoU %", made.data) for _, kind, _ in _benches(made)]
    return columns


def _benches(made: Measured) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Part of the record, kind, and bench; that of all classes may have a record of its own."""
    records = {"bench": made.bench, "bench_classes": made.more.get("bench_classes")}
    return [
        (part, kind, bench)
        for part, record in records.items()
        if record
        for kind, bench in record["benches"].items()
    ]


def _network_cells(made: Measured, loss: str, heads: bool) -> list[Cell]:
    scores = made.record["segmentation_val"].get(loss, {})
    asked = " ".join(LOSSES)
    why = f"not in this record: `bana evaluate --profile {made.name} --losses {asked} --record`"
    if made.of_run:
        why = "not among the losses of the profile"
    spread = (made.record.get("spread") or {}).get("segmentation_val", {}).get(loss, {})
    cells = [
        ours(
            made,
            "record",
            scores.get(mode, {}).get("miou"),
            why,
            spread=spread.get(mode, {}).get("miou"),
        )
        for mode in _modes(made)
    ]
    for part, _, bench in _benches(made) if heads else ():
        row = bench["miou"].get(loss, {})
        why_not = "not in this bench"
        cells.append(ours(made, part, row.get("mean"), why_not, spread=row.get("spread")))
    return cells


def per_class_table(measured: Sequence[Measured]) -> Table:
    """The supplement's table: IoU of every class of the noise-aware network."""
    columns, scores = [], []
    for made in measured:
        mode = _modes(made)[-1]
        columns.append(Column(f"network, {MODES[mode]}, IoU %", made.data))
        row = made.record["segmentation_val"].get("nal", {}).get(mode, {}).get("per_class", [])
        scores.append(dict(zip(made.record["data"]["classes"], row, strict=False)))
    columns.append(Column("paper, V1, multi-scale and CRF, IoU %", VOC))
    names = dict.fromkeys([name for each in scores for name in each] + list(published.PER_CLASS_V1))
    rows = []
    for name in names:
        why = "no such class, or it occurs nowhere"
        cells = [
            ours(made, "record", each.get(name), why)
            for made, each in zip(measured, scores, strict=True)
        ]
        cells.append(quoted(published.PER_CLASS_V1.get(name), VOC, "supplement"))
        rows.append(Row(name, tuple(cells)))
    caption = (
        "IoU of every class of the network trained with the noise-aware loss"
        f"{_mean_of(measured)}. Columns are of different data sets and networks."
    )
    return Table(
        "supplement: class by class",
        "Class by class, mean of the trainings of a record",
        caption,
        "class",
        tuple(columns),
        tuple(rows),
    )
