"""Helper processes and threads: who computes, not what."""

import io
import signal
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from bana.files.artefacts import load_checkpoint, save_checkpoint
from bana.files.parallel import HELPERS, end_with_parent
from bana.training.runs import RunError

Job = TypeVar("Job", bound=Hashable)
Made = TypeVar("Made")


def begin(threads: int = 1) -> None:
    """Begin the life of a helper process, which ends when the one that started it does.

    Args:
        threads: that it computes with.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    torch.set_num_threads(threads)


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Compute with so many threads inside the block, and with as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def packed(value: Any) -> bytes:
    """Tensors and plain records as bytes for helper processes."""
    # They would share tensors one by one, each by an open file of its own.
    held = io.BytesIO()
    torch.save(value, held)
    return held.getvalue()


def unpacked(value: bytes) -> Any:
    """What this process's parent has packed, a moment ago."""
    return torch.load(io.BytesIO(value), weights_only=False)


def spread(
    function: Callable[[Any, Job], Made],
    shared: Any,
    jobs: Sequence[Job],
    processes: int,
    title: str,
) -> Iterator[tuple[Job, Made]]:
    """Jobs with what a function makes of them, as they are done.

    Args:
        function: of a module, called with ``shared`` and a job. It is to compute with one thread,
            so that what it makes does not depend on the number of processes.
        shared: what all jobs need, of tensors and plain records; sent to each process once.
        jobs: to be done.
        processes: how many; 1 works in this one.
        title: of the progress bar.

    Raises:
        bana.training.runs.RunError: if a process was ended from outside.
    """
    if min(processes, len(jobs)) <= 1:
        for job in tqdm(jobs, desc=title):
            yield job, function(shared, job)
        return
    pool = ProcessPoolExecutor(processes, HELPERS, _start, (packed((function, shared)),))
    try:
        futures = {pool.submit(_done, job): job for job in jobs}
        for future in tqdm(as_completed(futures), desc=title, total=len(jobs)):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise RunError("a process was ended from outside, perhaps for want of memory") from error
    finally:
        pool.shutdown(cancel_futures=True)


def spread_and_kept(
    function: Callable[[Any, Job], dict[str, Any]],
    shared: Any,
    kept: Mapping[Job, tuple[Path, str]],
    processes: int,
    title: str,
) -> dict[Job, dict[str, Any]]:
    """What is made of jobs whose results are kept: only what is missing is done.

    Args:
        function, shared, processes, title: see `spread`.
        kept: file and key of each job's result; jobs that share a file are done once.

    Raises:
        bana.training.runs.RunError: as `spread`; what was done until then is kept.
    """
    missing = {place: job for job, place in kept.items() if load_checkpoint(*place) is None}
    for job, made in spread(function, shared, list(missing.values()), processes, title):
        save_checkpoint(*kept[job], made)
    return {job: load_checkpoint(*place) for job, place in kept.items()}


_work: tuple[Callable[[Any, Any], Any], Any] | None = None


def _start(work: bytes) -> None:
    global _work
    begin()
    _work = unpacked(work)


def _done(job: Any) -> Any:
    assert _work is not None, "the process was not started by _start"
    function, shared = _work
    return function(shared, job)
