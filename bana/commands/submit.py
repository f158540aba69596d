"""A command as a job: what it asks for, and how it goes on where it stood after a preemption."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bana.commands.running import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bana.experiment.cluster import Ended, JobOptions

STOPPED = 128 + signal.SIGTERM
"""Exit code of a training that was asked to stop and has saved its state."""


def add_job_option(made: argparse._ActionsContainer) -> None:
    """Add --job, to a command that has --submit; `options_of` reads it."""
    made.add_argument(
        "--job",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="of each job under --submit: partition, account, qos, constraint, minutes, cpus (a "
        "process), gpus (a node), memory (GB a node), at_once, cluster (slurm, local or debug)",
    )


def options_of(arguments: argparse.Namespace, **defaults: int | None) -> "JobOptions":
    """What --job says, with defaults for what it does not say.

    Raises:
        ValueError: if it makes no sense, or there is no --submit that it could be for.
    """
    from bana.experiment.cluster import job_options

    if arguments.job and not arguments.submit:
        raise ValueError("--job says how --submit hands out jobs: give --submit too")
    options = job_options(arguments.job)
    missing = {name: value for name, value in defaults.items() if getattr(options, name) is None}
    return replace(options, **missing)


def gpus_of(devices: Iterable[str]) -> int | None:
    """GPUs of a node that has devices such as "cpu" and "cuda:1"; None where none is named.

    Raises:
        ValueError: if a name is no device's.
    """
    from bana.training.machine import DEVICES, is_device_name

    devices = list(devices)
    for name in devices:
        if not is_device_name(name):
            raise ValueError(f"no device {name!r}: use {DEVICES}")
    numbers = [int(name.partition(":")[2] or 0) for name in devices if name.startswith("cuda")]
    return max(numbers) + 1 if numbers else None


def tell_of_failures(ended: "Mapping[str, Ended]", well: tuple[int, ...] = (0,)) -> bool:
    """Name the jobs that came to nothing, each with its last words; say whether there are any."""
    failed = {name: job for name, job in ended.items() if job.code not in well}
    for name, job in failed.items():
        print(f"bana: {name} failed: {job.why} ({job.log})", file=sys.stderr)
    return bool(failed)


@dataclass(frozen=True)
class Command:
    """A command that a job runs; called, it returns its exit code.

    Before its time is over, or somebody with more rights takes the machine, a job gets a signal
    (SIGUSR2 from submitit). A training then ends its iteration, saves its state and is requeued;
    anything else is requeued at once, since whatever it finished is kept. SIGTERM alone, after
    which SLURM itself requeues or somebody cancels, lets a training save its state and end.
    """

    arguments: argparse.Namespace

    @classmethod
    def of(cls, arguments: argparse.Namespace, **changes: Any) -> "Command":
        """The command with some of its arguments changed."""
        own = copy(arguments)
        vars(own).update(changes)
        return cls(own)

    def __call__(self) -> int:
        """Run the command; see the class."""
        from submitit import JobEnvironment

        _join_the_others()
        with _told_of_preemption() as requeue:
            code = run(self.arguments)
            if code != STOPPED:
                return code
            requeue()
        # Without a result: SLURM knows whether the job is to begin again. The first of several
        # processes may still be writing, and SLURM would end it for the exit code of another.
        raise SystemExit(0 if JobEnvironment().global_rank else code)

    def checkpoint(self) -> Any:
        """What is to be done after a preemption: the same, which goes on where it stood."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@contextmanager
def _told_of_preemption() -> "Iterator[Callable[[], None]]":
    """Let a training end well before submitit's answer to a preemption, which ends the process.

    Yields:
        Gives that answer where there was a preemption.
    """
    from submitit import JobEnvironment

    number = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
    answer, idle = signal.getsignal(number), signal.getsignal(signal.SIGTERM)
    asked = []

    def ask(number: int, frame: Any) -> None:
        stop = signal.getsignal(signal.SIGTERM)
        if stop == idle or not callable(stop):
            answer(number, frame)
        else:  # a training, which answers SIGTERM
            asked.append(number)
            stop(signal.SIGTERM, frame)

    def requeue() -> None:
        if asked:
            answer(asked[0], None)  # ends the first of several processes, and requeues them all

    if not callable(answer):  # submitit's debug executor answers nothing
        yield requeue
        return
    signal.signal(number, ask)
    try:
        yield requeue
    finally:
        signal.signal(number, answer)


def _join_the_others() -> None:
    """Tell the trainings of a job's processes of one another, as torchrun would."""
    from submitit import JobEnvironment
    from submitit.helpers import TorchDistributedEnvironment

    job = JobEnvironment()
    if job.num_tasks == 1:
        return
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    os.environ.update(TORCHELASTIC_RUN_ID=job.job_id, GROUP_RANK=str(job.node))
    if job.num_nodes == 1:
        os.environ["MASTER_ADDR"] = "127.0.0.1"
