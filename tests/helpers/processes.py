"""No test waits for a process for ever, and none leaves one behind."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess

import psutil
import pytest

# Seconds that a process, and that a whole test, may take on the busiest machine.
PROCESS_LIMIT, TEST_LIMIT = 120.0, 480.0
# Seconds that what is about to end has for it.
GRACE = 10.0
# What multiprocessing starts beside the processes that it is asked for, once and for all tests.
SERVANTS = (
    "multiprocessing.forkserver import main",
    "multiprocessing.resource_tracker import main",
)


def running() -> set[psutil.Process]:
    """All processes below this one that are not over, but for multiprocessing's servants."""
    found: set[psutil.Process] = set()
    for child in psutil.Process().children():
        try:
            if not any(name in " ".join(child.cmdline()) for name in SERVANTS):
                found.add(child)
            found.update(child.children(recursive=True))
        except psutil.NoSuchProcess:  # over in the meantime, or waits to be waited for
            continue
    return {process for process in found if not _is_over(process)}


def _is_over(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def ended(process: BaseProcess, seconds: float = PROCESS_LIMIT) -> int | None:
    """Exit code of a process, which must end in time, and so must those that it had started."""
    helpers, late = set(), time.monotonic() + seconds
    while process.exitcode is None:
        helpers |= _below(process)
        if time.monotonic() > late:
            killed(process)
            pytest.fail(f"process {process.pid} was not over after {seconds:.0f} s")
        process.join(0.1)
    assert not _killed_after(helpers, GRACE), "a process left its helpers behind"
    return process.exitcode


def killed(process: BaseProcess, grace: float = GRACE) -> None:
    """Kill a process; those that it had started must end of themselves."""
    helpers = _below(process)
    process.kill()
    process.join()
    assert not _killed_after(helpers, grace), "a killed process left its helpers behind"


def _below(process: BaseProcess) -> set[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return set(psutil.Process(process.pid).children(recursive=True))
    return set()


def _killed_after(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Kill what is not over in so many seconds; returns what had to be killed."""
    _, late = psutil.wait_procs(processes, timeout=seconds)
    late = [process for process in late if not _is_over(process)]
    for process in late:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return late


@contextmanager
def watched(seconds: float = TEST_LIMIT, grace: float = GRACE) -> Iterator[None]:
    """Fails what takes too long or leaves processes behind; an autouse fixture's body.

    What is waited for are processes, so that killing these ends the waiting, too. What is about to
    end when the body does has ``grace`` seconds for it.
    """
    earlier = running()
    late = threading.Event()

    def stop() -> None:
        late.set()
        _killed_after(running() - earlier, 0)

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        left = _killed_after(running() - earlier, grace)
    assert not late.is_set(), f"took longer than {seconds:.0f} s"
    assert not left, f"left processes behind: {[process.pid for process in left]}"
