"""Tables of the supplement: ours beside the published, blank with the command that fills them."""

import pytest

from bana.experiment import published
from bana.experiment.exhibits.measured import Measured
from bana.experiment.exhibits.supplement_tables import (
    cam_table,
    class_agnostic_table,
    crossing_table,
    gamma_lambda_table,
    grid_table,
    time_table,
)

SECONDS = {
    "classifier-bap": 61.9,
    "labels-bap-train": 36.4,
    "labels-boxes-middle-val": 7.0,
    "segmenter-nal": 240.0,
}
ENVIRONMENT = {"system": "Linux x86_64", "cores": 2, "device": "cpu"}


def made(**more) -> Measured:
    record = {"data": {"images": {"train": 4, "val": 3}}, "seconds": SECONDS}
    record |= {"environment": ENVIRONMENT}
    origins = dict.fromkeys(("record", *more), "somewhere")
    return Measured("tiny", record, None, None, origins, {}, more)


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 2, "high": value + 2}


def difference(mean: float, half: float = 1.0) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def cell(table, row: str, column: str):
    (place,) = [i for i, c in enumerate(table.columns) if c.heading().startswith(column)]
    (found,) = [r for r in table.rows if r.name == row]
    return found.cells[place]


EMPTY = {
    "cam": (cam_table, "activations"),
    "crossing": (crossing_table, "crossing"),
    "grid": (grid_table, "grids"),
    "gamma_lambda": (gamma_lambda_table, "weighings"),
    "class_agnostic": (class_agnostic_table, "agnostic"),
}


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("asked", [True, False], ids=["not there", "not asked for"])
def test_what_is_not_measured_is_blank_and_names_its_command(name, asked):
    make, part = EMPTY[name]
    table = make([made(**{part: None} if asked else {})])
    ours = [
        cell
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if column.data.startswith("tiny")
    ]
    assert ours and all(each.value is None for each in ours)
    assert f"not measured: `bana table {name} --profile tiny --record`" in table.reasons()


def test_activation_maps_stand_beside_the_papers_precision():
    row = {"threshold": 0.35, "precision": estimate(60.0), "recall": estimate(50.0)}
    row |= {"iou": estimate(40.0), "boxes": estimate(90.0), "queries": None}
    less = {key: estimate(3.0) for key in ("precision", "recall", "iou", "boxes", "queries")}
    card = {"gap": row, "bap": row | {"iou": estimate(43.0)}, "differences": less}
    table = cam_table([made(activations=card)])
    assert cell(table, "GAP", "threshold, % of the maximum").value == pytest.approx(35)
    assert cell(table, "BAP", "IoU %").text() == "43.0 [41.0, 45.0]"
    assert cell(table, "BAP less GAP, points", "IoU %").value == 3.0
    assert cell(table, "GAP", "background queries").value is None
    assert cell(table, "BAP less GAP, points", "threshold").value is None
    paper = cell(table, "BAP", "paper, precision %")
    assert (paper.value, paper.source.data) == (published.CAM_PRECISION["bap"], "PASCAL VOC 2012")


def test_grids_have_the_replications_beside_them_and_say_what_is_told_apart():
    cells = [
        {"trained": n, "generated": m, "miou": estimate(60.0 + n + m / 10)}
        | {"over own": difference(float(n - 4))}
        for n in (1, 4)
        for m in (1, 4)
    ]
    table = grid_table([made(grids={"own": [4, 1], "cells": cells})])
    assert cell(table, "N = 1 in training", "N = 4 in generation, mIoU %; tiny").value == 61.4
    theirs = cell(table, "N = 4 in training", "replication, N = 2 in generation")
    assert theirs.value == 78.72
    assert cell(table, "N = 5 in training", "N = 1 in generation, mIoU %; tiny").value is None
    assert len(table.rows) == 5 and "tiny: 2 of 3." in table.caption


def test_gamma_by_lambda_is_less_cross_entropy():
    cells = [
        {"gamma": gamma, "lam": lam, "over crf": difference(gamma * lam)}
        for gamma in (1.0, 7.0)
        for lam in (0.1, 1.0)
    ]
    table = gamma_lambda_table([made(weighings={"crf": [70.0, 71.0], "cells": cells})])
    assert cell(table, "gamma 1", "lambda 0.1, points").text() == "0.1 [-0.9, 1.1]"
    assert cell(table, "gamma 7 (the paper's, with lambda 0.1)", "lambda 1, points").value == 7.0
    assert "tiny: 70.5 % over 2 seeds." in table.caption


def test_crossed_unaries_stand_by_whose_map_and_whose_attention():
    scores = {("gap", "none"): 60.0, ("gap", "bap"): 62.0, ("bap", "bap"): 64.0}
    cells = [{"cam": c, "attention": a, "miou": estimate(v)} for (c, a), v in scores.items()]
    apart = {"first": ["bap", "bap"], "second": ["gap", "gap"], "points": difference(0.5)}
    table = crossing_table([made(crossing={"cells": cells, "differences": [apart]})])
    assert cell(table, "CAM of GAP", "A of BAP").text() == "62.0 [60.0, 64.0]"
    assert cell(table, "CAM of BAP", "A of BAP").value == 64.0
    assert cell(table, "CAM of BAP", "no u_0").value is None
    assert cell(table, "CAM of GAP", "paper, val, no u_0").value == published.LABELS["gap"].val
    assert cell(table, "CAM of BAP", "paper, val, A of BAP").value == published.LABELS["bap"].val
    assert cell(table, "CAM of GAP", "paper, val, A of BAP").value is None
    told = "BAP with A of BAP over GAP with A of GAP +0.5 [-0.5, +1.5], not told apart."
    assert f"Differences, points: tiny: {told}" in table.caption


def test_unknown_classes_are_measured_against_the_boxes():
    row = {"miou": estimate(65.0), "over boxes": difference(5.0)}
    card = {"boxes": estimate(60.0)}
    card |= {name: {"Y_crf": row, "Y_ret": row} for name in ("imagenet", "shipped", "trained")}
    table = class_agnostic_table([made(agnostic=card)])
    assert cell(table, "box filled", "mIoU %; tiny").value == 60.0
    name = "ImageNet's features, frozen: Y_ret"
    assert cell(table, name, "over boxes filled, points").text() == "5.0 [4.0, 6.0]"
    assert cell(table, name, "replication").value is None
    own = "the profile's own classifier: Y_crf"
    assert cell(table, own, "replication, train, mIoU %").value == 67.48


def test_time_names_the_machine_and_is_in_the_order_of_the_stages():
    table = time_table([made()])
    assert table.columns[0].title == "seconds, Linux x86_64, 2 cores, cpu"
    assert [row.name for row in table.rows] == [
        "classifier, BAP",
        "labels, BAP, Y_crf, train images",
        "labels, middle of the box grown by a CRF; published: WSSL, val images",
        "network, noise-aware loss",
        "CRF, an image",
    ]
    assert [row.cells[0].value for row in table.rows] == [61.9, 36.4, 7.0, 240.0, None]
    assert [row.cells[1].value for row in table.rows] == [5040.0, None, None, 15120.0, 0.4]
    unknown = made()
    del unknown.record["environment"]
    assert "machine not recorded" in time_table([unknown]).columns[0].title
