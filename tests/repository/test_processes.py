"""Two processes train what one process with two accumulation steps trains."""

import csv
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from processes import PROCESS_LIMIT, ended, watched
from training_jobs import job_profile, result, same, start

from bana.experiment.profiles import Profile

# Measured here: no difference in any bit, since halves add up exactly. The bound leaves room for
# another order of the sum.
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}
ITERATIONS = 6


@pytest.fixture(autouse=True)
def over_in_time() -> Iterator[None]:
    with watched():
        yield


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def launched(rank: int, processes: int, port: int) -> dict[str, str]:
    """The variables that torchrun gives a process."""
    values = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "MASTER_PORT": port}
    values |= {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    values |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "test"}
    return {name: str(value) for name, value in values.items()}


def begin(runs: Path, processes: int, profile: Profile, *words: str) -> list[BaseProcess]:
    words = ("segmentation", "--accelerator", "cpu", *words)
    port = free_port()
    return [
        start(profile, runs, *words, variables=launched(rank, processes, port))
        for rank in range(processes)
    ]


def end(started: list[BaseProcess]) -> list[int | None]:
    """Exit codes, once all processes are over."""
    try:
        return [ended(process) for process in started]
    finally:
        for process in started:
            process.kill()


def train(runs: Path, processes: int, *words: str, backbone: str = "tiny-plain") -> None:
    profile = job_profile(ITERATIONS, batch=4, backbone=backbone)
    started = begin(runs, processes, profile, *words)
    assert end(started) == [0] * processes, (runs / "log").read_text()


@pytest.fixture(scope="module")
def accumulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("accumulated")
    train(runs, 1, "--accumulate", "2")
    return runs


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, accumulated: Path) -> Path:
    runs = tmp_path_factory.mktemp("two")
    for scenes in accumulated.glob("sample-*"):
        shutil.copytree(scenes, runs / scenes.name)  # drawn once, not by both processes
    train(runs, 2)
    return runs


@pytest.mark.parametrize("name", ["classifier-bap", "segmenter-nal"])
def test_two_processes_are_two_accumulation_steps(name: str, two: Path, accumulated: Path) -> None:
    one, other = result(two, name), result(accumulated, name)
    assert len(one["history"]) == ITERATIONS
    for row, expected in zip(one["history"], other["history"], strict=True):
        assert row == pytest.approx(expected, rel=1e-6)
    for weights, value in one["state"].items():
        torch.testing.assert_close(value, other["state"][weights], **TOLERANCE)


def test_the_first_process_alone_writes(two: Path) -> None:
    (path,) = two.glob("job/classifier-bap-*/metrics.csv")
    with path.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["iteration"] for row in rows] == [str(t) for t in range(1, ITERATIONS + 1)]
    assert (two / "log").read_text().count("classifier (bap):   0%") == 1


def test_a_batch_in_pieces_is_another_loss(two: Path, tmp_path: Path, accumulated: Path) -> None:
    # What the bound above must not hide: the whole batch as one micro-batch.
    for scenes in accumulated.glob("sample-*"):
        shutil.copytree(scenes, tmp_path / scenes.name)
    train(tmp_path, 1)
    whole, pieces = (result(r, "segmenter-nal")["history"] for r in (tmp_path, two))
    assert whole[0]["loss"] != pytest.approx(pieces[0]["loss"], rel=1e-4)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without asking it")
def test_one_process_asked_to_stop_stops_both_and_both_go_on(
    accumulated: Path, tmp_path: Path
) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    for runs in (unbroken, broken):
        runs.mkdir()
        for scenes in accumulated.glob("sample-*"):
            shutil.copytree(scenes, runs / scenes.name)
    train(unbroken, 2, backbone="tiny")  # with dropout, a stream of its own in each process
    profile = job_profile(ITERATIONS, batch=4, backbone="tiny")
    started, late = begin(broken, 2, profile), time.monotonic() + PROCESS_LIMIT
    while len("".join(p.read_text() for p in broken.glob("job/*/metrics.csv")).splitlines()) < 2:
        assert time.monotonic() < late, (broken / "log").read_text()
        assert all(process.is_alive() for process in started), (broken / "log").read_text()
        time.sleep(0.002)
    os.kill(started[1].pid, signal.SIGTERM)
    assert end(started) == [143, 143], (broken / "log").read_text()
    assert (broken / "log").read_text().count("bana: stopped after") == 1
    train(broken, 2, backbone="tiny")
    for name in ("classifier-bap", "segmenter-nal"):
        assert same(result(broken, name), result(unbroken, name)), name
