"""Where records of commands go: into the run, into results/ if asked to, or into a file."""

import json
from pathlib import Path

import pytest

from bana.commands import records
from bana.commands.main import main
from bana.experiment import benching, recording, regime
from bana.files import artefacts
from bana.files.paths import results_dir, run_dir

COMMANDS = {
    "smoke.json": ["evaluate", "--profile", "smoke"],
    "regime-smoke-train.json": ["regime", "--profile", "smoke", "--split", "train"],
    "bench-smoke.json": ["bench", "losses", "--profile", "smoke", "--tasks", "object"],
}


@pytest.fixture(autouse=True)
def nothing_is_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    made = {"data": {"images": {"train": 4, "val": 3}}, "labels_val": {}, "segmentation_val": {}}
    monkeypatch.setattr(recording, "record", lambda profile, root: made)
    monkeypatch.setattr(recording, "about", lambda profile, root: made)
    monkeypatch.setattr(benching, "loss_bench", lambda *given: {})
    monkeypatch.setattr("bana.experiment.tables.bench_lines", lambda *given: "")
    monkeypatch.setattr("bana.experiment.tables.regime_lines", lambda *given: "")
    monkeypatch.setattr(regime, "regime_card", lambda *given: {})
    monkeypatch.setattr(artefacts, "source_commit", lambda: "1a2b3c4")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_record_lies_with_its_run(name: str, capsys: pytest.CaptureFixture) -> None:
    assert main(COMMANDS[name]) == 0
    path = run_dir("smoke") / "records" / name
    record = json.loads(path.read_text())
    assert record["command"].startswith(f"bana {COMMANDS[name][0]} ") and record["commit"]
    assert record["environment"]["torch"] and record["data"]["images"]["val"] == 3
    assert f"record: {path}\n" in capsys.readouterr().out


def test_of_several_seeds_it_lies_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bana.experiment.seeds.combined_record", lambda made, name: made[0])
    monkeypatch.setattr(recording, "differences", lambda *given: {})
    for seeds, run in (([1], "smoke-seed1"), ([1, 2], "smoke")):
        assert main(["evaluate", "--profile", "smoke", "--seeds", *map(str, seeds)]) == 0
        assert (run_dir(run) / "records" / f"{run}.json").is_file()


@pytest.mark.parametrize("name", COMMANDS)
def test_one_that_is_asked_for_goes_into_results(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(records, "results_dir", lambda: tmp_path / "results")
    assert main([*COMMANDS[name], "--record"]) == 0
    assert (tmp_path / "results" / name).is_file() and not (tmp_path / "runs").exists()
    file = tmp_path / "mine" / "a.json"
    assert main([*COMMANDS[name], "--out", str(file)]) == 0
    assert file.read_bytes() == (tmp_path / "results" / name).read_bytes()


def test_code_without_a_commit_makes_no_published_record(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(artefacts, "source_commit", lambda: "1a2b3c4-dirty")
    monkeypatch.setattr(recording, "record", None)  # it is told before anything is measured
    assert main(["evaluate", "--profile", "smoke", "--record"]) == 2
    assert "the code has changes without a commit" in capsys.readouterr().err


def test_a_record_of_another_command_is_not_replaced_in_silence(
    capsys: pytest.CaptureFixture,
) -> None:
    assert main(["evaluate", "--profile", "smoke"]) == 0
    assert main(["evaluate", "--profile", "smoke"]) == 0
    assert "is replaced" not in capsys.readouterr().err
    assert main(["evaluate", "--profile", "smoke", "--losses", "crf"]) == 0
    told = capsys.readouterr().err
    assert "was the record of `bana evaluate --profile smoke`, and is replaced" in told


def test_a_record_that_goes_on_loses_nothing_and_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "a.json"
    for command in ("bana bench recipes plain", "bana bench recipes plain ema"):
        records.write_record(path, command, {}, goes_on=True)
    assert capsys.readouterr().err == ""


def test_one_of_both_places(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--profile", "smoke", "--out", "a.json", "--record"])
    assert end.value.code == 2 and "not allowed with argument --out" in capsys.readouterr().err


def test_no_record_is_written_into_the_checkout_unasked() -> None:
    there = {path: path.stat().st_mtime_ns for path in results_dir().iterdir()}
    for words in COMMANDS.values():
        assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in results_dir().iterdir()} == there
