"""The paper's tables from records: every cell has its source, and nothing is made up."""

import json
import os
from pathlib import Path

import pytest

from bana.data.voc_files import DataError
from bana.experiment import published
from bana.experiment.exhibits import measured
from bana.experiment.exhibits.label_tables import LABELS
from bana.experiment.exhibits.measured import Measured, from_records
from bana.experiment.exhibits.table_items import NEEDS, TABLES, about_tables, needs_of
from bana.experiment.profiles import get_profile
from bana.files.paths import results_dir

CLASSES = ["background", "cup", "bird"]


def estimate(value):
    return {"value": value, "low": value - 2, "high": value + 2}


def made(name="tiny", instances=True, bench=True) -> Measured:
    label = {"miou": 60.0, "coverage": 100.0}
    network = {"miou": 40.0, "per_class": [80.0, None, 30.0]}
    record = {
        "data": {"images": {"train": 4, "val": 3}, "classes": CLASSES},
        "labels_val": {kind: label for kind in LABELS if kind != "boxes-middle"},
        "instances_val": {"bap": {"ap": 9.0, "ap50": 20.0, "ap75": None}} if instances else {},
        "segmentation_val": {
            loss: {"single": network, "single-crf": network | {"miou": 41.0}}
            for loss in ("crf", "nal", "truth")
        },
    }
    card = {
        "filling": {"mean": 55.0},
        "miou": {"bap": estimate(60.5)},
        "differences": [{"first": "bap", "second": "gap", "mean": 3.0, "low": 1.0, "high": 5.0}],
        "inside": {"all": {key: estimate(30.0) for key in ALL_INSIDE}},
    }
    heads = {"benches": {"object, linear": {"miou": {"nal": {"mean": 74.0, "spread": 0.5}}}}}
    heads |= {"seeds": [0, 1, 2]}
    origins = {"record": f"results/{name}.json", "card": "the card", "bench": "the bench"}
    return Measured(name, record, card, heads if bench else None, origins, {f"{name}.json": "0"})


ALL_INSIDE = ("accuracy_reliable", "accuracy_unreliable", "precision", "error_rate", "recall")
ALL_INSIDE += ("unreliable_share",)


def cells(table, row, column):
    places = [i for i, c in enumerate(table.columns) if column in c.heading()]
    (found,) = [r for r in table.rows if r.name == row]
    return [found.cells[i] for i in places]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("several", [False, True], ids=["one", "two"])
def test_every_table_is_made_of_any_measurements(name, several):
    of = [made(), made("other", instances=False, bench=False)][: 1 + several]
    table = TABLES[name](of)
    assert table.item and table.title and table.caption.endswith(".")
    assert len({c.heading() for c in table.columns}) == len(table.columns)
    assert table.markdown().count("\n|") >= len(table.rows)
    assert table.origins() or name in ("gamma_lambda", "sam")  # of which nothing is published


def test_labels_stand_beside_the_published_ones_with_intervals():
    table = TABLES["labels"]([made()])
    assert [row.name for row in table.rows] == [name for name, _ in LABELS.values()]
    (ours,) = cells(table, "BAP, Y_crf", "mIoU %; tiny")
    assert (ours.value, ours.low, ours.source.origin) == (60.5, 58.5, "the card")
    (paper,) = cells(table, "BAP, Y_crf", "paper, val")
    assert paper.value == published.LABELS["bap"].val and "Table 1" in paper.source.origin
    wssl = "middle of the box grown by a CRF; published: WSSL"
    (missing,) = cells(table, wssl, "mIoU %; tiny")
    assert missing.value is None and "bana evaluate --profile tiny" in missing.why
    (theirs,) = cells(table, wssl, "paper, train")
    assert theirs.value == published.LABELS["wssl"].train
    (control,) = cells(table, "box filled, CRF (control)", "paper, val")
    assert control.value is None


def test_labels_of_training_images_have_a_column_where_they_were_asked_for():
    card = {"miou": {"bap": estimate(70.0), "agreement-wrong": estimate(50.0)}}
    table = TABLES["labels"]([made()._replace(more={"card_train": card})])
    (bap,) = cells(table, "BAP, Y_crf", "train, mIoU %; tiny, 4 train images")
    assert (bap.value, bap.low, bap.source.data) == (70.0, 68.0, "tiny, 4 train images")
    (agreed,) = cells(table, "both agree, the rest counted wrong", "train, mIoU %; tiny")
    assert agreed.value == 50.0
    table = TABLES["labels"]([made()._replace(more={"card_train": None})])
    (blank,) = cells(table, "BAP, Y_crf", "train, mIoU %; tiny, 4 train images")
    assert "bana regime --split train --profile tiny" in blank.why
    table = TABLES["labels"]([made()])
    assert not [c for c in table.columns if "train images" in c.heading()]


def test_losses_have_networks_heads_and_both_publications():
    table = TABLES["losses"]([made()])
    nal = {
        column.title: cell for column, cell in zip(table.columns, table.rows[5].cells, strict=True)
    }
    assert table.rows[5].name == "noise-aware loss"
    assert nal["network, single scale, CRF, mIoU %"].value == 41.0
    assert nal["heads, object, linear, mIoU %"].text() == "74.0 ± 0.5"
    assert nal["paper, V1, after, mIoU %"].value == published.LOSSES["nal"].after
    assert nal["replication, V1, before, mIoU %"].value == 61.4
    (ignored,) = cells(table, "ignore ~S", "network, single scale, mIoU")
    assert "`bana evaluate --profile tiny --losses crf ret ignore entropy" in ignored.why
    of_run = made()._replace(origins={**made().origins, "record": f"{measured.OF_RUN}tiny, seed 0"})
    (ignored,) = cells(TABLES["losses"]([of_run]), "ignore ~S", "network, single scale, mIoU")
    assert ignored.why == "not among the losses of the profile"


def test_records_of_other_profiles_have_columns_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measured, "results_dir", lambda: tmp_path)
    for name in ("paper-vgg", "sample"):
        record = made(name).record | {"commit": "abc"}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    assert [each.name for each in measured.from_records()] == ["sample", "paper-vgg"]


def test_what_needs_a_gpu_has_no_empty_column_and_a_note_names_its_command():
    table = TABLES["networks"]([made()])
    by_column = zip(*(row.cells for row in table.rows), strict=True)
    assert all(any(cell.value is not None for cell in column) for column in by_column)
    for text in (table.markdown(), table.latex()):
        for profile in ("paper-vgg", "paper-resnet"):
            assert f"bana evaluate --profile {profile}" in text
    assert [n.split(",")[0] for n in TABLES["networks"]([made("paper-vgg")]).notes] == [
        "Profile paper-resnet"
    ]
    (peer,) = cells(table, "Box2Seg", "peers")
    assert peer.value == published.PEERS_VAL["Box2Seg"]
    (masks,) = cells(table, "both, and 1,464 masks", "paper, V1, val")
    assert masks.value == published.SEMI_SUPERVISED_V1_VAL


def test_precision_says_of_every_row_what_it_is_of():
    table = TABLES["precision"]([made(), made("other", instances=False)])
    told = {row.heading(): row for row in table.rows}
    assert "BAP, Y_crf; tiny, 3 val images" in told
    assert told["BAP, Y_crf; tiny, 3 val images"].cells[2].why == "no object of that size"
    assert "single objects" in told["all labels; other, 3 val images"].cells[0].why
    assert told["paper: COCO to COCO, Y_crf; COCO"].cells[0].value == 17.2


def test_a_class_that_a_data_set_lacks_has_no_number():
    table = TABLES["per_class"]([made()])
    (ours, theirs) = next(row for row in table.rows if row.name == "bird").cells
    assert (ours.value, theirs.value) == (30.0, published.PER_CLASS_V1["bird"])
    (cup,) = cells(table, "cup", "network")
    assert cup.value is None


def test_a_table_says_what_it_is_in_a_line():
    assert about_tables().keys() == TABLES.keys()
    assert all(line.endswith(".") for line in about_tables().values())


def test_the_committed_records_fill_every_table():
    of = from_records()
    assert {each.name for each in of} == {"voc-mini", "sample"}
    for name, make in TABLES.items():
        table = make(of)
        for row in table.rows:
            for cell in row.cells:
                origin = cell.source.origin
                if cell.value is not None and origin.startswith("results/"):
                    assert (results_dir() / origin.split(",")[0].removeprefix("results/")).is_file()
        assert name in TABLES


def test_a_run_measures_what_is_asked_and_no_more(monkeypatch):
    asked = []
    profile = get_profile("smoke")
    data = {"data": {"images": {"train": 4, "val": 3}}}
    for name, part in measured.PARTS.items():
        watched = part._replace(
            measure=lambda *words, name=name: asked.append(name) or {"of": name}
        )
        monkeypatch.setitem(measured.PARTS, name, watched)
    monkeypatch.setattr(measured.recording, "about", lambda *words: data)
    (found,) = measured.from_run(profile, None, needs_of(["grid", "cam", "grid"]))
    assert sorted(asked) == ["activations", "grids"] and found.card is None
    assert found.more == {"grids": {"of": "grids"}, "activations": {"of": "activations"}}
    assert found.data == "smoke, 3 val images" and found.origins["grids"].startswith("run of smoke")
    asked.clear()
    measured.from_run(profile)
    assert sorted(asked) == ["card", "record"]


def test_a_run_names_the_machine_of_its_latest_training(monkeypatch, tmp_path):
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    record = {"data": {"images": {"train": 4, "val": 3}}}
    part = measured.PARTS["record"]._replace(measure=lambda *words: record)
    monkeypatch.setitem(measured.PARTS, "record", part)
    (found,) = measured.from_run(get_profile("smoke"), None, ["record"])
    assert "environment" not in found.record
    for number, name in enumerate(("segmenter-nal-1", "classifier-bap-2")):
        path = tmp_path / "smoke" / name / "environment.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"device": name}))
        os.utime(path, (number, number))
    (found,) = measured.from_run(get_profile("smoke"), None, ["record"])
    assert found.record["environment"] == {"device": "classifier-bap-2"}


def test_every_table_says_what_it_is_made_of():
    assert set(NEEDS) <= set(TABLES)
    assert set(needs_of(list(TABLES))) == set(measured.PARTS) - {"bench", "bench_classes"}
    assert set(measured.OF_TABLES) <= set(needs_of(list(TABLES)))


def test_published_numbers_keep_their_digits():
    per_class, grids = (TABLES[name]([made()]) for name in ("per_class", "grid"))
    (motorbike,) = cells(per_class, "motorbike", "paper")
    assert motorbike.text() == f"{published.PER_CLASS_V1['motorbike']}" == "71.35"
    (third,) = cells(grids, "N = 2 in training", "replication, N = 3")
    assert third.text() == "75.15"


def test_records_of_several_seeds_show_their_spread():
    one = made()
    assert (
        cells(TABLES["labels"]([one]), "BAP, Y_crf", "mIoU %; tiny")[0].text()
        == "60.5 [58.5, 62.5]"
    )
    spread = {"labels_val": {"bap": {"miou": 1.25}}, "segmentation_val": {}}
    several = one._replace(record=one.record | {"seeds": [0, 1], "spread": spread})
    assert (
        cells(TABLES["labels"]([several]), "BAP, Y_crf", "mIoU %; tiny")[0].text() == "60.0 ± 1.2"
    )
    assert "one training each" in TABLES["losses"]([one]).caption
    assert "trainings of all stages (tiny: 2)" in TABLES["losses"]([several]).caption
    assert "over seeds (3)" in TABLES["losses"]([one]).caption


def test_scores_without_an_interval_are_told():
    notes = TABLES["labels"]([made()]).notes
    assert any("GAP, Y_crf: no interval: not in its regime card" in note for note in notes)
    assert not any(": BAP, Y_crf: no interval" in note for note in notes)


def test_the_profiles_own_grid_is_not_compared_with_itself():
    apart = {"mean": 0.0, "low": 0.0, "high": 0.0}
    other = {"mean": 2.0, "low": 1.0, "high": 3.0}
    cards = [
        {"trained": 4, "generated": m, "miou": estimate(60), "over own": gap}
        for m, gap in ((1, apart), (2, other), (3, apart))
    ]
    of = made()._replace(more={"grids": {"own": [4, 1], "cells": cards}})
    assert "from the profile's own N: tiny: 1 of 2." in TABLES["grid"]([of]).caption


def test_without_any_record_there_is_no_table(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "results_dir", lambda: tmp_path)
    with pytest.raises(DataError, match="no record of voc-mini, sample"):
        from_records()
    record = {"commit": "abc", "data": {"images": {"val": 3}}}
    (tmp_path / "sample.json").write_text(json.dumps(record))
    (found,) = from_records()
    assert (found.data, found.card) == ("sample, 3 val images", None)
    assert found.origins == {"record": "results/sample.json, commit abc"}
    assert found.files.keys() == {"sample.json"}
