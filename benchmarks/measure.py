"""What the benchmarks share: times taken in turn, worker processes, peak memory, the record.

Methods are compared by the ratio of times taken right after one another in one run, since a
machine's speed drifts, and memory in a process of its own, since the first method to run pays for
what later ones find warm.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

import psutil
import torch

Methods = Mapping[str, Callable[[], object]]


def seconds_in_turn(methods: Methods, repeats: int) -> dict[str, list[float]]:
    """Seconds of each method, A B A B and so on; a first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for repeat in range(repeats + 1):
        for name, run in methods.items():
            elapsed = _seconds(run)
            if repeat:
                seconds[name].append(elapsed)
    return seconds


class Worker:
    """A process that runs the methods of a benchmark when told to.

    Args:
        script: the benchmark's file, which calls :func:`serve` when given ``arguments``.
        arguments: its words of the command line.
    """

    def __init__(self, script: str, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self._line()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, method: str) -> None:
        """Let the process run a method; :meth:`seconds` must be called next."""
        assert self._process.stdin is not None
        self._process.stdin.write(method + "\n")
        self._process.stdin.flush()

    def seconds(self) -> float:
        """Wait for the method and return how long it took."""
        return float(self._line())

    def peak_memory(self, method: str) -> int:
        """Run a method and return the bytes of memory that it added at its peak.

        Sampled from outside, every two milliseconds: a method may hold its own process's threads
        up, and the peak that the system keeps is not to be reset everywhere.
        """
        process = psutil.Process(self._process.pid)
        before = peak = process.memory_info().rss
        self.start(method)
        waiting = Thread(target=self.seconds)
        waiting.start()
        while waiting.is_alive():
            peak = max(peak, process.memory_info().rss)
            waiting.join(0.002)
        return peak - before

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self._process.args} ended early")
        return line


def serve(methods: Methods) -> None:
    """The worker's side: run the methods named on standard input, print the seconds of each."""
    print("ready", flush=True)
    for line in sys.stdin:
        print(_seconds(methods[line.strip()]), flush=True)


def environment() -> dict[str, Any]:
    """What a record was measured with."""
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def write_record(record: Mapping[str, Any], out: Path | None) -> None:
    """Print a record and, where a file is named, write it there."""
    text = json.dumps(record, indent=2)
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n", encoding="utf-8", newline="\n")


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
