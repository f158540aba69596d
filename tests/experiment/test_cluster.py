"""Jobs of submitit: how many at a time, what became of each, and what SLURM is asked for."""

import importlib.util
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fake_slurm import write_slurm
from jobs import Small, Stopping
from processes import watched

from bana.experiment import cluster
from bana.experiment.cluster import Ended, JobOptions, job_options, last_line, run_jobs

fcntl = pytest.importorskip("fcntl", reason="neither SLURM nor submitit knows Windows")
HELPERS = Path(__file__).parents[1] / "helpers"
WAYS = ("well", "killed", "preempted", "broken", "refusing")
LOCAL = JobOptions(cluster="local", at_once=2)


@pytest.fixture(autouse=True)
def over_in_time() -> Iterator[None]:
    with watched():
        yield


@pytest.fixture(scope="module")
def paths() -> Iterator[None]:
    """Jobs find the tests' helpers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")])
        )
        yield


@pytest.fixture(scope="module")
def local(tmp_path_factory, paths) -> tuple[Path, dict[str, Ended]]:
    """A folder, and what became of jobs in it, two at a time."""
    folder = tmp_path_factory.mktemp("local")
    jobs = {how: Small(folder, how) for how in WAYS}
    return folder, run_jobs(jobs, folder / "jobs", LOCAL)


def test_every_job_is_told_of(local) -> None:
    _, ended = local
    assert list(ended) == list(WAYS)
    codes = {how: job.code for how, job in ended.items()}
    assert codes == {"well": 0, "killed": None, "preempted": 0, "broken": None, "refusing": 2}
    assert (
        "killed" in ended["killed"].why and "last words: killed prints this" in ended["killed"].why
    )
    assert ended["broken"].why == "LookupError: nothing is there"
    assert ended["refusing"].why == "bana: wrong input"


def test_logs_are_together_under_the_names_of_the_jobs(local) -> None:
    folder, ended = local
    for how in WAYS:
        assert ended[how].log == folder / "jobs" / f"{how}.log"
        assert f"{how} prints this" in ended[how].log.read_text()


def test_no_more_than_so_many_run_beside_each_other(local) -> None:
    folder, _ = local
    assert max(int((folder / f"beside-{how}").read_text()) for how in WAYS) <= 2


class Counted:
    """An executor whose jobs are done when they are looked at for the third time."""

    cluster = "counted"

    def __init__(self) -> None:
        self.running, self.most, self.handed = 0, 0, []

    def submit_array(self, work: list[str]) -> list["Counted.Job"]:
        self.handed += work
        self.running += len(work)
        self.most = max(self.most, self.running)
        return [Counted.Job(self) for _ in work]

    class Job:
        def __init__(self, executor: "Counted") -> None:
            self.executor, self.looks = executor, 0

        def done(self) -> bool:
            self.looks += 1
            self.executor.running -= self.looks == 3
            return self.looks == 3


@pytest.mark.parametrize("limit", [1, 2, 5, 9])
def test_so_many_are_handed_out_and_no_more(tmp_path: Path, monkeypatch, limit: int) -> None:
    monkeypatch.setattr(cluster, "_what_became_of", lambda job, log: Ended(log, 0, ""))
    monkeypatch.setitem(cluster.SECONDS_BETWEEN_LOOKS, "counted", 0.0)
    jobs, executor = {name: name for name in "abcdefg"}, Counted()
    assert list(cluster._all_of(jobs, executor, limit, tmp_path)) == list(jobs)
    assert executor.most == min(limit, len(jobs)) and executor.handed == list(jobs)


def test_a_preempted_job_has_a_second_life_and_no_other_has(local) -> None:
    folder, ended = local
    lives = {how: len((folder / f"lives-{how}").read_text()) for how in WAYS}
    assert lives == {**dict.fromkeys(WAYS, 1), "preempted": 2}
    assert ended["preempted"].log.read_text().count("preempted prints this") == 2


def test_every_call_has_files_of_its_own(tmp_path: Path) -> None:
    # Jobs are named by their process, and the numbers of processes come again.
    for _ in range(2):
        run_jobs({"well": Small(tmp_path, "well")}, tmp_path / "jobs", JobOptions(cluster="debug"))
    found = {path.name for path in (tmp_path / "jobs").iterdir()}
    assert found == {"attempt-1", "attempt-2", "well.log"}


def test_who_is_asked_to_stop_leaves_no_job_behind(tmp_path: Path, paths, capsys) -> None:
    job = Stopping(tmp_path, os.getpid())
    with pytest.raises(SystemExit) as stopped:
        run_jobs({"long": job, "never": job}, tmp_path / "jobs", JobOptions("local", at_once=1))
    assert stopped.value.code == 143
    assert "run again to go on" in capsys.readouterr().err
    left = int((tmp_path / "pid").read_text())
    if psutil.pid_exists(left):
        psutil.Process(left).wait(10)
    assert len(list((tmp_path / "jobs" / "attempt-1").glob("*_submitted.pkl"))) == 1


def test_two_commands_do_not_hand_out_the_same_jobs(tmp_path: Path) -> None:
    opened = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another command waits for jobs"):
            run_jobs({}, tmp_path, JobOptions(cluster="debug"))
    finally:
        os.close(opened)


def test_without_submitit_there_is_a_line_that_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -e .\[cluster\]"):
        run_jobs({}, tmp_path, JobOptions())


@pytest.mark.parametrize(
    ("options", "nodes", "message"),
    [(JobOptions("local"), 2, "2 nodes need SLURM"), (JobOptions("slurm"), 1, "no srun")],
    ids=["nodes", "slurm"],
)
def test_what_needs_slurm_is_refused_without_it(
    tmp_path, monkeypatch, options, nodes, message
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=message):
        run_jobs({}, tmp_path, options, nodes)


@pytest.mark.parametrize(
    ("cores", "options", "jobs"),
    [(8, JobOptions("local"), 8), (8, JobOptions("local", cpus=3), 2)]
    + [(2, JobOptions("local", cpus=8), 1), (2, JobOptions("local", cpus=8, at_once=5), 5)],
    ids=["cores", "cpus", "one", "said"],
)
def test_local_jobs_share_the_cores(monkeypatch, cores: int, options, jobs: int) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert cluster._at_once("local", options, 99, 1) == jobs
    assert cluster._at_once("slurm", options, 99, 1) == 99, "the array has the limit in it"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """The folder of a SLURM of shell scripts, which is on the PATH."""
    from submitit.slurm.slurm import SlurmJob

    folder = write_slurm(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setitem(cluster.SECONDS_BETWEEN_LOOKS, "slurm", 0.1)
    yield folder
    SlurmJob.watcher.clear()


def test_slurm_gets_one_array_with_the_options(slurm: Path, tmp_path: Path, paths) -> None:
    words = ["partition=gpu", "account=us", "qos=low", "constraint=a100", "minutes=30"]
    options = job_options([*words, "cpus=4", "gpus=1", "memory=16", "at_once=2"])
    jobs = {how: Small(tmp_path, how) for how in ("well", "preempted", "killed")}
    ended = run_jobs(jobs, tmp_path / "jobs", options)
    assert {how: job.code for how, job in ended.items()} == {
        "well": 0,
        "preempted": 0,
        "killed": None,
    }
    assert (tmp_path / "lives-preempted").read_text() == "xx"
    script = (slurm / "script.sh").read_text()
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script, re.MULTILINE))
    wanted = {"array": "0-2%2", "job-name": "bana-jobs", "time": "30", "mem": "16GB"}
    wanted |= {"partition": "gpu", "account": "us", "qos": "low", "constraint": "a100"}
    wanted |= {"cpus-per-task": "4", "gpus-per-node": "1", "nodes": "1", "ntasks-per-node": "1"}
    wanted |= {"signal": "USR2@90"}
    assert asked.items() >= wanted.items()
    assert "#SBATCH --requeue\n" in script
    (run,) = (line for line in script.splitlines() if line.startswith("srun "))
    assert "--cpus-per-task=4" in run and "--kill-on-bad-exit=1" in run


def test_slurm_that_refuses_is_heard(slurm: Path, tmp_path: Path) -> None:
    (slurm / "refuse").touch()
    jobs = {how: Small(tmp_path, how) for how in ("well", "broken")}
    with pytest.raises(ValueError, match="were refused: .*invalid partition"):
        run_jobs(jobs, tmp_path / "jobs", JobOptions(partition="none"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["partition"], "it is KEY=VALUE"),
        (["partition="], "it is KEY=VALUE"),
        (["nodelist=n1"], "no option 'nodelist': use cluster, partition,"),
        (["cpus=2", "cpus=3"], "cpus is given twice"),
        (["minutes=0"], "whole number of at least 1"),
        (["gpus=-1"], "whole number of at least 0"),
        (["memory=16GB"], "whole number"),
        (["cluster=pbs"], "use slurm, local, debug"),
    ],
    ids=["word", "empty", "unknown", "twice", "zero", "negative", "unit", "cluster"],
)
def test_options_that_make_no_sense_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        job_options(words)


def test_options_are_what_the_words_say() -> None:
    assert job_options([]) == JobOptions()
    words = ["partition=gpu", "gpus=0", "at_once=3"]
    assert job_options(words) == JobOptions(partition="gpu", gpus=0, at_once=3)


def test_last_words_are_not_those_of_submitit_or_of_a_bar() -> None:
    text = "first\n 10%|#\r100%|##\nbana: why\n\nsubmitit INFO (2026) - Job completed\n"
    assert last_line(text) == "bana: why"
    assert last_line("submitit INFO (2026) - Starting\n") == ""


def test_windows_is_told_in_a_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delattr(signal, "SIGUSR2")
    with pytest.raises(ValueError, match="--submit needs Linux or macOS: on Windows") as caught:
        run_jobs({"well": Small(tmp_path, "well")}, tmp_path / "jobs", JobOptions())
    assert "\n" not in str(caught.value) and not (tmp_path / "jobs").exists()
