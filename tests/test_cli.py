"""The command line: quick help, errors of one line, and what it hands to the package."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest

from bana import check, cli, stages, training_cli
from bana.cli import main
from bana.machine import PRECISIONS, Machine
from bana.networks import POOLINGS
from bana.training import LOSSES


def test_help_needs_no_torch():
    code = (
        "import sys, bana.cli; bana.cli._parser().format_help(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_choices_are_those_of_the_package():
    assert set(cli.LOSSES) == set(LOSSES)
    assert set(cli.VARIANTS) == set(stages.VARIANTS)
    assert set(training_cli.POOLINGS) == set(POOLINGS)
    assert set(training_cli.PRECISIONS) == set(PRECISIONS)
    assert set(training_cli.MACHINE) == {field.name for field in fields(Machine)}


def test_wrong_input_is_one_line_and_exit_code_2(capsys):
    assert main(["run", "--profile", "smal"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("bana: unknown profile 'smal'")
    assert message.count("\n") == 1


def test_debug_shows_where_it_happened():
    with pytest.raises(ValueError, match="unknown profile"):
        main(["--debug", "run", "--profile", "smal"])


@pytest.mark.parametrize(
    ("words", "stage", "choice"),
    [
        (["train", "classifier", "--pooling", "gap"], "classifier", ("gap",)),
        (["train", "segmentation"], "segmenter", ("nal",)),
        (["label", "--split", "val", "--variant", "boxes"], "labels", ("val", "boxes")),
    ],
)
def test_commands_call_their_stage(monkeypatch, words, stage, choice):
    called = []
    monkeypatch.setattr(stages, stage, lambda *arguments: called.append(arguments))
    assert main([*words, "--profile", "smoke"]) == 0
    ((profile, *rest),) = called
    assert profile.name == "smoke"
    machine = [Machine()] if words[0] == "train" else []
    assert rest == [*choice, None, *machine]


def test_evaluate_prints_tables_and_writes_a_valid_record(monkeypatch, tmp_path, capsys):
    scores = {"miou": 61.25, "coverage": 90.0, "per_class": [61.25, float("nan")]}
    record = {
        "data": {"images": {"train": 4, "val": 3}},
        "labels_val": {"boxes": scores},
        "segmentation_val": {"nal": {"single": scores, "single-crf": scores}},
    }
    monkeypatch.setattr(stages, "record", lambda profile, root: record)
    out = tmp_path / "new" / "smoke.json"
    assert main(["evaluate", "--profile", "smoke", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["labels_val"]["boxes"]["per_class"] == [61.25, None]
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["boxes", "61.2", "90.0"] in lines
    assert ["nal", "61.2", "61.2"] in lines


def test_check_says_what_to_do(monkeypatch, capsys):
    assert [answer.found for answer in check.check_environment() if not answer.found] == []
    monkeypatch.setattr(check, "MEMORY_GB", 1e6)
    assert main(["check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    found = next(i for i, line in enumerate(lines) if line.startswith("FIX  memory"))
    assert lines[found + 1].strip().startswith("-> close programs")
