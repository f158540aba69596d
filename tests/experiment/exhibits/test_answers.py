"""Questions and answers: each from the record that measured it, none where it was not measured."""

import json

import pytest
from tiny import make_profile

from bana.evaluation.verdicts import difference_of
from bana.experiment.exhibits import sources
from bana.experiment.exhibits.answers import ANSWERS, GROUPS, KINDS, PROFILES, answers, answers_of
from bana.experiment.exhibits.sources import Sources
from bana.files.artefacts import file_hash
from bana.files.paths import results_dir


def apart(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 1, "high": mean + 1}


RECORDS = {
    "record": {
        "differences": {
            "labels_val": {"bap - gap": apart(1)},
            "segmentation_val": {"nal - crf": apart(2), "truth - crf": apart(3)},
        }
    },
    "crossing": {
        "crossing": {
            "differences": [
                {"first": ["bap", "none"], "second": ["gap", "none"], "points": apart(-9)},
                {"first": ["bap", "bap"], "second": ["gap", "gap"], "points": apart(10)},
            ]
        }
    },
    "bias": {"bias": {"differences": {"nal - crf": {"argmax": apart(-9), "at chosen": apart(4)}}}},
    "bench": {
        "benches": {
            "object, linear": {"differences": {"nal - crf": apart(5)}},
            "classes, conv": {"differences": {"nal - crf": apart(-9)}},
        }
    },
    "noise": {
        "map": [
            {"noise": "Y_crf", "reach": 8, "over crf": {"lambda .1": apart(6), "ignore": None}},
            {"noise": "Y_crf", "reach": 0, "over crf": {"lambda .1": apart(-9)}},
            {"noise": "both", "reach": 2, "over crf": {"gamma 30": apart(7)}},
            {"noise": "both", "reach": 8, "over crf": {"gamma 30": apart(8)}},
        ]
    },
}


def told(made: dict, profile: str) -> dict[tuple[str, str], float]:
    return {
        (group["title"], row["text"]): row["by"][profile]["mean"]
        for group in made["groups"]
        for row in group["rows"]
        if row["by"][profile] is not None
    }


def test_each_answer_is_of_the_record_that_measured_it():
    made = answers_of({"voc-mini": RECORDS, "sample": {}})
    assert told(made, "voc-mini") == {
        ("labels", "BAP with u_0 over GAP without"): 1,
        ("labels, one training, u_0 for GAP too", "BAP over GAP, both with u_0"): 10,
        ("networks, by the argmax", "NAL"): 2,
        ("networks, by the argmax", "true masks"): 3,
        ("networks, each with its own bias", "NAL"): 4,
        ("heads", "NAL"): 5,
        ("heads, Y_crf 32 pixels too wide", "NAL (gamma 7)"): 6,
        ("heads, both labels 32 pixels too wide", "NAL (gamma 30)"): 8,
    }
    assert told(made, "sample") == {}
    assert list(made["profiles"]) == ["voc-mini", "sample"]
    rows = [len(group["rows"]) for group in made["groups"]]
    assert rows == [len(group.rows) for group in GROUPS]


def test_every_question_is_answered_by_the_committed_records():
    made = answers(Sources(make_profile()).gather(ANSWERS))
    for group in made["groups"]:
        for row in group["rows"]:
            for profile in PROFILES:
                assert row["by"][profile] is not None, (group["title"], row["text"], profile)
                difference = difference_of(row["by"][profile])
                assert difference.low <= difference.mean <= difference.high
    record = json.loads((results_dir() / "voc-mini.json").read_text(encoding="utf-8"))
    assert (
        made["groups"][0]["rows"][1]["by"]["voc-mini"]
        == record["differences"]["labels_val"]["bap - gap"]
    )


def test_records_are_told_by_their_hashes_and_a_missing_one_is_named(tmp_path, monkeypatch):
    materials = Sources(make_profile()).gather(ANSWERS)
    names = [name.format(profile) for profile in PROFILES for name in KINDS.values()]
    assert materials.origin["inputs"] == {
        f"{name}.json": file_hash(results_dir() / f"{name}.json") for name in names
    }
    assert materials.data == {}, "no photograph is needed"
    monkeypatch.setattr(sources, "results_dir", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"voc-mini\.json"):
        Sources(make_profile()).gather(ANSWERS)
