"""Tests that wait for ever or leave processes behind are noticed, and the processes ended."""

import subprocess
import sys
import time
from collections.abc import Iterator

import processes
import psutil
import pytest
from processes import ended, killed, running, watched
from training_jobs import CONTEXT

FOREVER = "import time; time.sleep(600)"


def sleep_with_a_helper(seconds: float, helpers: int) -> None:
    """Body of a process that has started others."""
    for _ in range(helpers):
        subprocess.Popen([sys.executable, "-c", FOREVER])
    time.sleep(seconds)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen]]:
    """Processes of a test, ended in any case."""
    made: list[subprocess.Popen] = []
    yield made
    for process in made:
        process.kill()
        process.wait()


def test_a_process_left_behind_is_named_and_ended(started) -> None:
    with pytest.raises(AssertionError, match="left processes behind"), watched(grace=0.5):
        started.append(subprocess.Popen([sys.executable, "-c", FOREVER]))
    started[0].wait(10)


def test_a_job_of_the_fork_server_is_noticed_too() -> None:
    process = None
    with pytest.raises(AssertionError, match="left processes behind"), watched(grace=0.5):
        process = CONTEXT.Process(target=sleep_with_a_helper, args=(600, 0))
        process.start()
    process.join(10)
    assert process.exitcode


def test_what_ends_in_the_end_is_no_failure(started) -> None:
    with watched():
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"]))


def test_what_was_there_before_is_left_alone(started) -> None:
    started.append(subprocess.Popen([sys.executable, "-c", FOREVER]))
    with watched():
        pass
    assert started[0].poll() is None and psutil.Process(started[0].pid) in running()


def test_waiting_has_an_end(started) -> None:
    began = time.monotonic()
    with pytest.raises(AssertionError, match="took longer than 1 s"), watched(1):
        started.append(subprocess.Popen([sys.executable, "-c", FOREVER]))
        started[0].wait()
    assert time.monotonic() - began < 60


def test_a_process_that_does_not_end_fails_the_test() -> None:
    process = CONTEXT.Process(target=sleep_with_a_helper, args=(600, 0))
    process.start()
    with pytest.raises(pytest.fail.Exception, match="not over after 1 s"):
        ended(process, 1)
    assert process.exitcode is not None


@pytest.mark.parametrize("seconds", [600, 1], ids=["killed", "ended"])
def test_helpers_must_end_with_their_process(seconds: float, monkeypatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.5)
    process = CONTEXT.Process(target=sleep_with_a_helper, args=(seconds, 1))
    process.start()
    while not psutil.Process(process.pid).children():
        time.sleep(0.01)
    (helper,) = psutil.Process(process.pid).children()
    with pytest.raises(AssertionError, match="left its helpers behind"):
        ended(process) if seconds == 1 else killed(process, 0.5)
    helper.wait(10)
