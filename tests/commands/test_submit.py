"""Commands as jobs: labels of shards are those of one process, whatever ends a job in between."""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from unittest import mock

import pytest
from jobs import fork_jobs
from processes import watched
from tiny import be_quick, make_profile
from training_jobs import METHODS, job_profile, know_jobs, result, same

from bana.commands import submit
from bana.commands.main import _parser, main
from bana.commands.submit import Command, gpus_of, options_of
from bana.experiment import cluster, profiles, stages
from bana.experiment.cluster import Ended, JobOptions
from bana.experiment.labelling import Crew
from bana.files.paths import repo_root
from bana.training.machine import Machine, processes_of

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGUSR2"), reason="neither SLURM nor submitit knows Windows"
)
FORKED = pytest.mark.skipif(
    "forkserver" not in METHODS, reason="each of the jobs would import torch anew here"
)
DEBUG = ("--job", "cluster=debug")


@pytest.fixture(autouse=True)
def over_in_time() -> Iterator[None]:
    with watched():
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Iterator[Path]:
    """Folder of runs with the labels that one process made; the tiny profile is known."""
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        patch.setitem(profiles.PROFILES, "tiny", make_profile(label_workers=1, train_limit=5))
        patch.setenv("BANA_RUNS", str(root))
        stages.labels(profiles.get_profile("tiny"), "train", "bap", crew=Crew(1, batch=2))
        yield root


@pytest.fixture
def runs(finished: Path, tmp_path: Path, monkeypatch) -> Path:
    """Runs with scenes and classifier, and no labels."""
    shutil.copytree(finished, tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "tiny" / "labels")
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def labels_in(runs: Path, where: str = "tiny/labels/bap/train") -> tuple[dict, dict]:
    """The label files of a run, and its manifest without what differs from run to run."""
    folder = runs / where
    files = {path.relative_to(folder): path.read_bytes() for path in folder.glob("*/*.png")}
    assert [path.name for path in folder.glob("manifest*")] == ["manifest.json"]
    return files, json.loads((folder / "manifest.json").read_text()) | {"seconds": 0.0}


def label(*words: str) -> int:
    return main(["label", "--profile", "tiny", "--batch", "2", *words, *DEBUG])


def test_shards_are_one_process_to_the_last_bit(runs: Path, finished: Path, capsys) -> None:
    assert label("--submit", "3") == 0
    files, manifest = labels_in(runs)
    expected, whole = labels_in(finished)
    assert files == expected and len(files) == 10
    # Text, so that the order of the images counts.
    assert json.dumps(manifest) == json.dumps(whole)
    said = capsys.readouterr().out
    assert "3 shards: 0 are finished" in said and "shard-2-of-3: done (2 of 3" in said
    assert (runs / "tiny" / "jobs" / "label-bap-train" / "shard-3-of-3.log").is_file()


def test_only_what_is_missing_is_handed_out(runs: Path, finished: Path, monkeypatch) -> None:
    handed: list[str] = []
    run_jobs = cluster.run_jobs

    def watching(jobs, *arguments):
        handed.extend(jobs)
        return run_jobs(jobs, *arguments)

    monkeypatch.setattr(cluster, "run_jobs", watching)
    assert label("--submit", "2") == 0
    handed.clear()
    assert label("--submit", "3") == 0
    assert handed == [], "in whatever parts they were made"
    lost = sorted((runs / "tiny/labels/bap/train/Y_crf").iterdir())[0]
    lost.unlink()
    assert label("--submit", "3") == 0
    assert handed == ["shard-1-of-3"]
    assert labels_in(runs) == labels_in(finished)


# A photograph is part of what a classifier learned from: labels that need none tell apart.
BOXES = ("--submit", "2", "--variant", "boxes")


def test_an_edited_image_is_missing(runs: Path, capsys) -> None:
    assert label(*BOXES) == 0
    before = labels_in(runs, "tiny/labels/boxes/train")
    data = stages.dataset(profiles.get_profile("tiny"), "train")
    path = data.image_path(data.ids[-1])
    path.write_bytes(path.read_bytes() + b" ")
    capsys.readouterr()
    assert label(*BOXES) == 0
    assert "2 shards: 1 are finished" in capsys.readouterr().out
    files, manifest = labels_in(runs, "tiny/labels/boxes/train")
    assert files == before[0]
    changed = {k for k, v in manifest["images"].items() if v != before[1]["images"][k]}
    assert changed == {data.ids[-1]}


def test_an_unreadable_image_is_in_the_one_manifest(runs: Path, capsys) -> None:
    data = stages.dataset(profiles.get_profile("tiny"), "train")
    photograph = data.image_path(data.ids[0])
    photograph.write_bytes(photograph.read_bytes()[:500])
    with pytest.warns(UserWarning, match="1 images have no labels"):
        assert label(*BOXES) == 1
    _, manifest = labels_in(runs, "tiny/labels/boxes/train")
    assert list(manifest["failures"]) == [data.ids[0]]
    assert photograph.name in capsys.readouterr().err


def test_no_shard_trains_the_classifier(runs: Path, capsys) -> None:
    (runs / "tiny" / "classifier-bap.pt").unlink()
    assert label("--submit", "2") == 2
    assert "give `bana train classifier --pooling bap` first" in capsys.readouterr().err
    assert label("--submit", "2", "--variant", "boxes") == 0


def test_labels_of_other_settings_are_not_mixed_in(runs: Path, capsys) -> None:
    folder = runs / "tiny/labels/bap/train"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"key": "other"}')
    assert label("--submit", "2") == 2
    assert "labels of other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["label", "--job", "cpus=2"], "give --submit too"),
        (["train", "classifier", "--job", "cpus=2"], "give --submit too"),
        (["label", "--submit", "2", "--job", "walltime=1"], "no option 'walltime'"),
        (["train", "classifier", "--submit", "--restart"], "begin anew after every preemption"),
    ],
    ids=["label", "train", "unknown", "restart"],
)
def test_words_that_make_no_sense_are_one_line(words: list[str], message: str, capsys) -> None:
    assert main([*words, "--profile", "smoke"]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_a_shard_and_all_shards_exclude_each_other(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["label", "--shard", "1/2", "--submit", "2"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.fixture
def handed(monkeypatch, tmp_path: Path) -> list:
    """What is handed out, of which nothing is run."""
    calls: list = []

    def run_jobs(jobs, folder, *arguments):
        calls.append((jobs, folder, *arguments))
        return {name: Ended(tmp_path / "log", calls[0][0][name].code, "why") for name in jobs}

    monkeypatch.setattr(cluster, "run_jobs", run_jobs)
    monkeypatch.setattr(Command, "code", 0, raising=False)
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    return calls


def test_a_training_asks_for_its_nodes_and_devices(handed: list, tmp_path: Path) -> None:
    words = ["--nodes", "8", "--devices", "4", "--workers", "3", "--submit"]
    words += ["--job", "partition=gpu", "minutes=60"]
    assert main(["train", "segmentation", "--profile", "smoke", *words]) == 0
    ((jobs, folder, options, nodes, processes),) = handed
    assert (nodes, processes) == (8, 4)
    assert (options.gpus, options.cpus) == (4, 4)
    assert (options.partition, options.minutes) == ("gpu", 60)
    assert folder == tmp_path / "smoke" / "jobs" / "train-segmentation-nal"
    (command,) = jobs.values()
    assert not command.arguments.submit and command.arguments.nodes == 8


@pytest.mark.parametrize(
    ("words", "gpus"),
    [([], 1), (["--accelerator", "cpu"], None), (["--accelerator", "cuda:1"], 2)]
    + [(["--job", "gpus=0"], 0)],
    ids=["auto", "cpu", "second", "said"],
)
def test_a_training_asks_for_gpus_unless_it_needs_none(handed: list, words, gpus) -> None:
    # torch sees no GPU here, which is the business of the machine that runs the job.
    assert main(["train", "classifier", "--profile", "smoke", "--submit", *words]) == 0
    assert handed[0][2].gpus == gpus


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (2, 2), (None, 1)])
def test_a_training_ends_as_its_job_did(handed, monkeypatch, capsys, code, expected) -> None:
    monkeypatch.setattr(Command, "code", code)
    assert main(["train", "classifier", "--profile", "smoke", "--submit"]) == expected
    assert ("classifier-bap failed: why" in capsys.readouterr().err) == (code != 0)


def test_gpus_of_devices() -> None:
    assert gpus_of(["cpu"]) is None
    assert gpus_of(["cuda"]) == 1
    assert gpus_of(["cuda:0", "cuda:3", "cpu"]) == 4
    with pytest.raises(ValueError, match="no device 'cuda:a': use cpu, cuda, cuda:<number> or mps"):
        gpus_of(["cuda:a"])


def test_the_processes_of_a_job_know_one_another() -> None:
    variables = {"EXECUTOR": "local", "LOCAL_JOB_ID": "12", "LOCAL_NTASKS": "4"}
    variables |= {"LOCAL_JOB_NUM_NODES": "2", "LOCAL_NODEID": "1", "LOCAL_GLOBALID": "3"}
    variables |= {"LOCAL_LOCALID": "1"}
    with mock.patch.dict(os.environ, {f"SUBMITIT_{k}": v for k, v in variables.items()}):
        submit._join_the_others()
        assert processes_of(Machine()) == (2, 2)
        names = ("RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE")
        assert [os.environ[name] for name in names] == ["3", "1", "1", "4"]


PAGE = (repo_root() / "docs" / "scaling.md").read_text(encoding="utf-8")
SHELL = PAGE.split("## Many machines")[1].split("```")[1].replace("\\\n", " ")
WRITTEN = [line for line in SHELL.splitlines() if line.startswith("bana ")]


@pytest.mark.parametrize("line", WRITTEN, ids=[f"{n}" for n in range(len(WRITTEN))])
def test_the_commands_of_the_page_are_understood(line: str) -> None:
    arguments = _parser().parse_args(shlex.split(line)[1:])
    options_of(arguments)
    profile = profiles.get_profile(arguments.profile)
    if arguments.command == "train":
        training = getattr(profile, arguments.model)
        assert training.batch % ((arguments.nodes or 1) * arguments.devices) == 0


def test_the_page_has_the_options_that_there_are() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall("`([a-z_]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(field.name for field in fields(JobOptions))
    assert f"| {cluster.SLURM_MINUTES} |" in PAGE


@pytest.fixture
def forked(tmp_path: Path, monkeypatch) -> Path:
    """Folder of runs of the profile "job", whose jobs are forked."""
    know_jobs(monkeypatch, job_profile(6))
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    fork_jobs(monkeypatch, tmp_path / "runs", job_profile(6))
    return tmp_path / "runs"


@FORKED
def test_a_killed_shard_is_named_and_done_by_the_second_call(forked: Path, capsys) -> None:
    words = ["label", "--profile", "job", "--variant", "boxes-crf"]
    where = "job/labels/boxes-crf/train"
    assert main(words) == 0
    expected = labels_in(forked, where)
    shutil.rmtree(forked / where)
    # Its second shard has the images 1 and 3, and dies with one of them done.
    (forked / "kill-train_0001").touch()
    words += ["--submit", "2", "--job", "cluster=local", "at_once=2"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "shard-2-of-2 failed: killed" in said and "shard-1-of-2 failed" not in said
    assert "shard-2-of-2: 1 images to do" in said
    assert len(list((forked / where / "Y_crf").iterdir())) == 3
    assert main(words) == 0
    assert "2 shards: 1 are finished" in capsys.readouterr().out
    assert labels_in(forked, where) == expected


@FORKED
def test_a_preempted_training_saves_its_state_and_goes_on(forked: Path, monkeypatch) -> None:
    words = ["train", "classifier", "--profile", "job", "--accelerator", "cpu"]
    assert main(words) == 0
    expected = result(forked, "classifier-bap")
    (forked / "job" / "classifier-bap.pt").unlink()
    (forked / "preempt-3").touch()
    assert main([*words, "--submit", "--job", "cluster=local"]) == 0
    log = (forked / "job/jobs/train-classifier-bap/classifier-bap.log").read_text()
    # The time between checkpoints is five minutes: this one was written because of the signal.
    assert "going on after iteration 3" in log
    assert same(result(forked, "classifier-bap"), expected)


def test_a_command_is_what_it_was_with_changes() -> None:
    given = argparse.Namespace(shard=(1, 1), submit=2)
    command = Command.of(given, shard=(2, 2), submit=None)
    assert command.arguments == argparse.Namespace(shard=(2, 2), submit=None)
    assert given.submit == 2, "inputs are never modified"
