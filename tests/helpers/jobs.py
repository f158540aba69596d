"""Jobs for submitit's executors: small ones, and commands in processes that need not import torch.

A job of the local executor is a new Python, which takes seconds to import the package. Here its
controller is replaced by one that forks, where a test is not about the controller.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest


@dataclass
class Small:
    """A job that ends in some way, and writes down how many run beside it."""

    folder: Path
    how: str

    def __call__(self) -> int:
        lives = self.folder / f"lives-{self.how}"
        lives.write_text(lives.read_text() + "x" if lives.exists() else "x")
        running = self.folder / f"running-{self.how}"
        running.touch()
        print(f"{self.how} prints this", flush=True)
        time.sleep(0.3)
        beside = len(list(self.folder.glob("running-*")))
        (self.folder / f"beside-{self.how}").write_text(str(beside))
        running.unlink()
        if self.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "preempted" and lives.read_text() == "x":
            os.kill(os.getpid(), signal.SIGUSR2)
            time.sleep(60)
        if self.how == "broken":
            raise LookupError("nothing is there")
        if self.how == "refusing":
            print("bana: wrong input")
            return 2
        return 0

    def checkpoint(self):
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class Stopping:
    """A job that asks its submitter to stop, and would go on for a minute."""

    folder: Path
    submitter: int

    def __call__(self) -> int:
        (self.folder / "pid").write_text(str(os.getpid()))
        os.kill(self.submitter, signal.SIGTERM)
        time.sleep(60)
        return 0


def _body(folder: Path, job_id: str, runs: Path, profile) -> None:
    """A job's process: submitit's own, with the profile known and the kills that a test wants."""
    from submitit.core.submission import process_job
    from training_jobs import know_jobs

    import bana.experiment.labelling as labelling
    from bana.training.engine import Engine

    job_id = job_id or str(os.getpid())
    variables = {"EXECUTOR": "local", "LOCAL_JOB_ID": job_id, "LOCAL_NTASKS": "1"}
    os.environ.update({f"SUBMITIT_{name}": value for name, value in variables.items()})
    os.environ["BANA_RUNS"] = str(runs)
    sys.stdout = sys.stderr = (folder / f"{job_id}_0_log.out").open("a", buffering=1)
    write, record = labelling._write_labels, Engine._record

    def write_and_die(job, item, features) -> None:
        write(job, item, features)
        if (runs / f"kill-{item['id']}").exists():
            (runs / f"kill-{item['id']}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def record_and_preempt(self, *arguments):
        marker = runs / f"preempt-{self.done}"
        if marker.exists():
            marker.unlink()
            os.kill(os.getpid(), signal.SIGUSR2)
        return record(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelling, "_write_labels", write_and_die)
        patch.setattr(Engine, "_record", record_and_preempt)
        know_jobs(patch, profile)
        process_job(folder)


class Forked:
    """In the place of submitit's controller: starts a job's process again where it is requeued."""

    def __init__(self, folder: Path, runs: Path, profile) -> None:
        self._about = (folder, runs, profile)
        self._process = self._started("")
        self.pid = self._process.pid

    def _started(self, job_id: str) -> BaseProcess:
        from training_jobs import CONTEXT

        folder, runs, profile = self._about
        process = CONTEXT.Process(target=_body, args=(folder, job_id, runs, profile))
        process.start()
        return process

    def poll(self) -> int | None:
        """As of subprocess.Popen."""
        if self._process.exitcode == 144:  # submitit.local.local.LOCAL_REQUEUE_RETURN_CODE
            self._process = self._started(str(self.pid))
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """As of subprocess.Popen."""
        os.kill(self._process.pid, number)


def fork_jobs(patch: pytest.MonkeyPatch, runs: Path, profile) -> None:
    """Let submitit's local executor fork its jobs, which know a profile."""
    from submitit.local import local

    patch.setattr(
        local, "start_controller", lambda folder, **options: Forked(Path(folder), runs, profile)
    )
