"""A promptable model in the tables: with a record, without one, and of a part of the images."""

import json

import pytest

from bana.experiment.exhibits import measured
from bana.experiment.exhibits.measured import PARTS, Measured, from_records, from_run
from bana.experiment.exhibits.sam_tables import sam_table
from bana.experiment.exhibits.table import Cell, Table
from bana.experiment.exhibits.table_items import TABLES
from bana.experiment.profiles import get_profile
from bana.experiment.prompting import DRAWINGS

SAM = "SAM, box prompts"


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 2, "high": value + 2}


def scores(crf: float, sam: float, verdict: str) -> dict:
    ahead = {"mean": sam - crf, "low": sam - crf - 1, "high": sam - crf + 1, "verdict": verdict}
    row = {"boxes": estimate(50.0), "y_crf": estimate(crf), "sam": estimate(sam)}
    return row | {"sam - y_crf": ahead, "sam - boxes": ahead}


def card(images: int = 3) -> dict:
    drawings = {name: {"miou": scores(60.0, 60.5, "not told apart")} for name in DRAWINGS}
    drawings["unchanged"] = {"miou": scores(60.0, 71.5, "higher")}
    drawings["loosened 30 %"] = {"miou": scores(40.0, 35.0, "lower")}
    absent = dict.fromkeys(scores(0, 0, ""))
    made = {"checkpoint": "vit", "type": "sam", "parameters": 91_000_000, "images": images}
    made |= {"weights": {"model.safetensors": 64 * "a"}, "coverage": 100.0}
    made |= {"seconds an image": 1.25, "prompts an image": 10.0, "drawings": drawings}
    rare = scores(20.0, 40.0, "") | dict.fromkeys(("sam - y_crf", "sam - boxes"))
    classes = {"cup": scores(30.0, 55.0, "higher"), "bird": absent, "owl": rare}
    return made | {"classes": classes}


def made(name: str = "tiny", sam: dict | None = None) -> Measured:
    record = {"data": {"images": {"train": 4, "val": 3}, "classes": ["background", "cup", "bird"]}}
    record |= {"labels_val": {}}
    origins = {"record": f"results/{name}.json"} | (
        {"sam": f"results/sam-{name}.json"} if sam else {}
    )
    return Measured(name, record, None, None, origins, {}, {"sam": sam})


def cell(table: Table, row: str, column: str) -> Cell:
    (place,) = [i for i, each in enumerate(table.columns) if each.heading().startswith(column)]
    (found,) = [each for each in table.rows if each.name == row]
    return found.cells[place]


def test_the_row_stands_among_the_labels():
    table = TABLES["labels"]([made(sam=card())])
    assert table.rows[-1].name == SAM
    score = cell(table, SAM, "mIoU %; tiny")
    assert (score.value, score.low, score.source.origin) == (71.5, 69.5, "results/sam-tiny.json")
    assert cell(table, SAM, "pixels labelled %; tiny").value == 100
    assert cell(table, SAM, "paper, val").value is None
    more = {"sam": card(), "card_train": None}
    blank = cell(TABLES["labels"]([made()._replace(more=more)]), SAM, "train, mIoU %; tiny")
    assert blank.value is None and blank.why == "not measured on training images"


def test_without_a_record_the_command_is_told():
    asked = "`bana bench sam --profile tiny --sam FOLDER --record`"
    told = f"not measured: no checkpoint comes along: {asked}"
    labels = TABLES["labels"]([made()])
    assert SAM not in [row.name for row in labels.rows] and "SAM" not in labels.caption
    (command,) = (note for note in labels.notes if "SAM" in note)
    assert command == f"No row of SAM's masks: {asked} measures it"
    assert command in labels.markdown()
    table = TABLES["sam"]([made()])
    (found,) = [each for each in table.rows if each.name == "mIoU, boxes unchanged"]
    ours = [c for c, at in zip(found.cells, table.columns, strict=True) if "tiny" in at.data]
    assert ours and all(each.value is None and each.why == told for each in ours)
    assert told in table.markdown()
    assert "Nothing of ours is measured yet." in table.caption and not table.notes


def test_scores_of_a_part_of_the_images_are_in_no_column_of_all():
    of = [made(sam=card(images=2))]
    blank = cell(TABLES["labels"](of), SAM, "mIoU %; tiny, 3 val images")
    assert blank.value is None and blank.why == "measured on 2 of the 3 images alone"
    table = sam_table(of)
    assert all(column.data == "tiny, 2 val images" for column in table.columns)
    assert cell(table, "mIoU, boxes unchanged", SAM).value == 71.5


def test_looseness_and_classes_are_rows_and_labels_are_columns():
    table = sam_table([made(sam=card())])
    assert [row.name for row in table.rows] == [
        *(f"mIoU, boxes {name}" for name in DRAWINGS),
        "IoU, cup",
        "IoU, bird",
        "IoU, owl",
    ]
    row = "mIoU, boxes loosened 30 %"
    assert cell(table, row, "box filled").value == 50
    assert cell(table, row, "BAP, Y_crf").value == 40
    assert cell(table, row, SAM).value == 35
    assert cell(table, row, "SAM less Y_crf").text() == "-5.0 [-6.0, -4.0]"
    assert cell(table, "IoU, cup", SAM).value == 55
    assert cell(table, "IoU, bird", SAM).why == "no such class, or it occurs nowhere"
    assert cell(table, "IoU, owl", SAM).value == 40
    rare = cell(table, "IoU, owl", "SAM less Y_crf")
    assert rare.value is None and rare.why.startswith("in fewer than 5 images")
    assert "vit, sam, 91.0 M parameters, SHA-256 of model.safetensors aaaaaaaaaaaaaaaa, 1.2 s" in (
        table.caption
    )
    assert table.notes == (
        "tiny, SAM against Y_crf, mIoU, boxes: higher: unchanged; lower: loosened 30 %; "
        "not told apart: loosened 5 %, loosened 10 %, loosened 20 %",
        "tiny, SAM against Y_crf, IoU of classes: higher: cup",
    )
    assert table.notes[0] in table.markdown() and table.notes[1] in table.latex()


def test_a_data_set_without_record_leaves_the_other_ones_numbers():
    table = sam_table([made(sam=card()), made("other")])
    cells = table.rows[0].cells
    assert [each.value is None for each in cells] == 4 * [False] + 4 * [True]
    assert "--profile other" in cells[4].why


@pytest.mark.parametrize("there", [False, True])
def test_records_and_runs_bring_it(there, monkeypatch, tmp_path):
    monkeypatch.setattr(measured, "results_dir", lambda: tmp_path)
    about = {"commit": "abc", "data": made().record["data"]}
    (tmp_path / "sample.json").write_text(json.dumps(about))
    if there:
        (tmp_path / "sam-sample.json").write_text(json.dumps({"commit": "def", "sam": card()}))
    (found,) = from_records()
    assert found.more["sam"] == (card() if there else None)
    assert found.origins.get("sam") == ("results/sam-sample.json, commit def" if there else None)

    kept = card() if there else None
    part = PARTS["sam"]._replace(measure=lambda profile, root: kept)
    monkeypatch.setitem(PARTS, "sam", part)
    monkeypatch.setattr(measured.recording, "about", lambda *words: about)
    (found,) = from_run(get_profile("smoke"), None, ["sam"])
    score = sam_table([found]).rows[0].cells[2]
    assert score.value == (71.5 if there else None)
    assert (
        score.source.origin.startswith("run of smoke") if there else "bana bench sam" in score.why
    )
