"""Trainings that are killed, stopped, or run out of disk go on as if nothing had happened."""

import csv
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import PROCESS_LIMIT, ended, killed, watched
from training_jobs import METHODS, job_profile, result, same, start

pytestmark = pytest.mark.skipif(
    "forkserver" not in METHODS, reason="each of many processes would import torch anew here"
)

ITERATIONS = 15
KILLS = 20
WORDS = ("segmentation", "--checkpoint-minutes", "0")


@pytest.fixture(autouse=True)
def over_in_time() -> Iterator[None]:
    with watched():
        yield


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs in which classifier, labels and segmenter were made in one go."""
    runs = tmp_path_factory.mktemp("unbroken")
    process = start(job_profile(ITERATIONS), runs, *WORDS)
    assert ended(process) == 0, (runs / "log").read_text()
    return runs


@pytest.fixture
def runs(unbroken: Path, tmp_path: Path) -> Path:
    """Runs with the scenes and nothing else."""
    for scenes in unbroken.glob("sample-*"):
        shutil.copytree(scenes, tmp_path / scenes.name)
    return tmp_path


def metrics(runs: Path, training: str) -> list[tuple[str, ...]]:
    """Iteration and loss of every row of a training's metrics.csv."""
    (path,) = runs.glob(f"job/{training}-*/metrics.csv")
    with path.open(newline="") as opened:
        return [(row["iteration"], row["loss"]) for row in csv.DictReader(opened)]


def assert_as_unbroken(runs: Path, unbroken: Path) -> None:
    for name in ("classifier-bap", "segmenter-nal"):
        assert same(result(runs, name), result(unbroken, name)), name
        rows = metrics(runs, name)
        assert [int(number) for number, _ in rows] == list(range(1, ITERATIONS + 1))
        assert rows == metrics(unbroken, name)
    assert not list(runs.rglob("checkpoint-*")) and not list(runs.glob("job/*.tmp"))
    assert not list(runs.glob("job/classifier-*/*.tmp"))
    assert not list(runs.glob("job/segmenter-*/*.tmp"))
    for label in (unbroken / "job" / "labels").rglob("*.png"):
        other = runs / label.relative_to(unbroken)
        assert other.read_bytes() == label.read_bytes()


def test_the_unbroken_run_trained_and_kept_its_confidence(unbroken: Path) -> None:
    kept = result(unbroken, "segmenter-nal")
    assert len(kept["history"]) == ITERATIONS and list(kept["extra"]) == [3, 9, 15]
    assert kept["history"][-1] != kept["history"][0]


def test_killed_at_random_moments_and_resumed(runs: Path, unbroken: Path) -> None:
    # Moments of the first half of a run, however long that takes here and now; what is killed goes
    # on in the next one, so that kills reach the second half too.
    began = time.monotonic()
    ended(start(job_profile(ITERATIONS), runs, *WORDS))
    whole = time.monotonic() - began
    shutil.rmtree(runs / "job")
    chance, kills, finished = random.Random(0), 0, 0
    while kills < KILLS or not finished:
        process = start(job_profile(ITERATIONS), runs, *WORDS)
        if kills < KILLS:
            process.join(chance.uniform(0.0, whole / 2))
            if process.exitcode is None:
                killed(process)
                kills += 1
                continue
        assert ended(process) == 0, (runs / "log").read_text()
        assert_as_unbroken(runs, unbroken)
        finished += 1
        shutil.rmtree(runs / "job")
    assert "going on after iteration" in (runs / "log").read_text()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_asked_to_stop_it_saves_and_says_so(
    number: int, code: int, runs: Path, unbroken: Path
) -> None:
    # No checkpoint is due for minutes: what is there was saved because of the signal.
    process = start(job_profile(ITERATIONS), runs, "segmentation")
    late = time.monotonic() + PROCESS_LIMIT
    while not list(runs.glob("job/classifier-*/metrics.csv")) or not metrics(runs, "classifier"):
        assert process.is_alive() and time.monotonic() < late, (runs / "log").read_text()
        time.sleep(0.005)
    os.kill(process.pid, number)
    assert ended(process) == code
    line = (runs / "log").read_text().splitlines()[-1]
    assert line.startswith("bana: stopped after iteration") and "run again to go on" in line
    (kept,) = runs.glob("job/classifier-*/checkpoint-*.pt")
    assert int(kept.stem.split("-")[1]) == len(metrics(runs, "classifier"))
    process = start(job_profile(ITERATIONS), runs, *WORDS)
    assert ended(process) == 0, (runs / "log").read_text()
    assert_as_unbroken(runs, unbroken)
