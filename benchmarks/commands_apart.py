"""Commands in processes of their own that can be killed or disturbed, for `benchmarks/faults.py`.

A process is forked from this one, which has imported everything and knows the hashes of the code,
so that a thousand of them cost little more than their work. It leads a group of its own, and
SIGKILL goes to the group: nothing of it lives on.
"""

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fault_jobs import Job, words_of
from tqdm import tqdm

from bana.commands.main import main
from bana.files.sources import source_hash

WARM = (
    "bana.commands.main",
    "bana.data.formats.detection",
    "bana.evaluation.average_precision",
    "bana.experiment.classifying",
    "bana.experiment.label_folders",
    "bana.experiment.masking",
    "bana.experiment.review.page",
    "bana.experiment.segmenting",
    "bana.experiment.stages",
    "bana.experiment.tables",
    "bana.experiment.transfer",
    "lightning_fabric",
    "torchvision.transforms.v2",
)
LIMIT = 300.0
"""Seconds after which a command is taken for stuck and killed."""
PAUSE = 0.001
CRASHED = 99
"""Exit code of a command that ended in an error which it does not tell in a line."""

Hook = Callable[[str, tuple], None]


def warm_up() -> None:
    """Import what commands import, and hash the code that their keys depend on.

    The lock of progress bars is one of this process alone: processes would share the usual one, and
    who is killed while he holds it holds it for ever.
    """
    tqdm.set_lock(threading.RLock())
    tqdm.monitor_interval = 0
    for name in WARM:
        importlib.import_module(name)
    for name in ("classifying", "label_folders", "masking", "segmenting"):
        source_hash(f"bana.experiment.{name}")


class Ended(NamedTuple):
    """How a command ended: its exit code, minus a signal's number; what it told; its seconds."""

    code: int
    told: str
    seconds: float


class Started:
    """A command that runs.

    Args:
        job: the command.
        root: its folder.
        inside: called first in the new process; what it returns is an audit hook there, or None.
    """

    def __init__(
        self, job: Job, root: Path, inside: Callable[[], Hook | None] = lambda: None
    ) -> None:
        self.log = root.with_name(f"{root.name}.log")
        self.began = time.perf_counter()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            _run(job, root, self.log, inside)

    def kill(self, after: float) -> Ended:
        """Kill the command after so many seconds, unless it is over before."""
        while time.perf_counter() - self.began < after and not self._over():
            time.sleep(0.0005)
        if not self._over():
            with suppress(ProcessLookupError):  # it does not lead a group yet
                os.killpg(self.pid, signal.SIGKILL)
            os.kill(self.pid, signal.SIGKILL)
        return self.end()

    def end(self) -> Ended:
        """Wait for the end."""
        waited = 0.0  # not by the clock, which goes on where all processes are stopped for a while
        while not self._over():
            if waited > LIMIT:
                os.killpg(self.pid, signal.SIGKILL)
            time.sleep(PAUSE)
            waited += PAUSE
        _, status = os.waitpid(self.pid, 0)
        told = self.log.read_text(encoding="utf-8", errors="replace")
        seconds = time.perf_counter() - self.began
        return Ended(os.waitstatus_to_exitcode(status), told, seconds)

    def _over(self) -> bool:
        return bool(os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))


def _run(job: Job, root: Path, log: Path, inside: Callable[[], Hook | None]) -> None:
    """The life of the new process."""
    code = CRASHED
    try:
        os.setsid()
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(written, 1)
        os.dup2(written, 2)
        home, temporary = root / "home", root / "temporary"
        os.environ.update(BANA_RUNS=str(root / "runs"), HOME=str(home), TMPDIR=str(temporary))
        os.environ.pop("BANA_VOC_ROOT", None)
        if hook := inside():
            sys.addaudithook(hook)
        code = main(words_of(job, root))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class FileSteps:
    """An audit hook that counts what is done to files below a folder, and acts before one step.

    A step is an opening to write, a move, a link, a new folder or a removal.

    Args:
        root: the folder.
        act: called with the number of each step, from 1, before it is done.
    """

    MOVES = frozenset(
        f"os.{name}" for name in ("rename", "link", "symlink", "mkdir", "remove", "rmdir")
    )
    REMOVALS = frozenset(("os.remove", "os.rmdir"))

    def __init__(self, root: Path, act: Callable[[int], None]) -> None:
        self._root, self._act, self._count = f"{root}{os.sep}", act, 0

    def __call__(self, event: str, arguments: tuple) -> None:
        """What the interpreter calls."""
        if event == "open":
            path, mode, flags = arguments
            if not (set(mode) & set("wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR)):
                return
        elif event in self.MOVES:
            path = arguments[0]
        else:
            return
        # shutil removes within an open folder and names the file alone.
        below = isinstance(path, str | os.PathLike) and (
            os.path.abspath(path).startswith(self._root)
            or (event in self.REMOVALS and not os.path.isabs(path))
        )
        if below:
            self._count += 1
            self._act(self._count)
