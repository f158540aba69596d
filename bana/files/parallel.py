"""The same work on many files, in several processes, with a progress bar."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from threading import Thread
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")
# Starting processes takes seconds, most of them for importing torch: more than so few files take.
FEW = 64


def _context() -> BaseContext:
    # A forked process would inherit torch's thread pool in a state it cannot use. Where there is a
    # server of forks, it imports what takes long, computes nothing, and starts helpers in no time.
    # On macOS an import may start threads of the system, which no fork survives.
    if sys.platform == "darwin" or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torchvision", "timm"])
    return context


HELPERS = _context()
"""How helper processes are started, in every room."""


def end_with_parent() -> None:
    """Have this helper process end when the one that started it does, even if that is killed.

    Left alone, a helper would wait for its next job for ever.
    """
    Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # from a thread, an exception or sys.exit would end the thread alone


def default_workers() -> int:
    """Number of processes where nobody says: the cores, at most 8, since disks limit the rest."""
    return min(8, os.cpu_count() or 1)


def mapped(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    description: str,
    workers: int | None = None,
) -> Iterator[Result]:
    """Apply a function to every item.

    Args:
        function: of one item; it and its items can be pickled.
        items: what to work on.
        description: beside the progress bar.
        workers: processes; None takes `default_workers()`, and none but this one for few items.

    Yields:
        The results, in the order of the items.
    """
    if workers is None:
        workers = 1 if len(items) <= FEW else default_workers()
    bar = tqdm(total=len(items), desc=description, leave=False)
    with bar:
        if workers == 1:
            for item in items:
                yield function(item)
                bar.update()
            return
        with ProcessPoolExecutor(workers, HELPERS, end_with_parent) as pool:
            for result in pool.map(function, items, chunksize=16):
                yield result
                bar.update()
