"""Jobs on a cluster, or on this machine where there is none: handed out, and waited for.

submitit does what differs: a SLURM array, or a process of its own for each job. What is here is
what it leaves open: how many local processes run at a time, whose log is whose, and what became of
each job.
"""

import importlib.util
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any

from bana.files.alone import alone_in

CLUSTERS = ("slurm", "local", "debug")
# Of a job that nobody gave minutes. A local one has no queue behind it that would need them.
SLURM_MINUTES, LOCAL_MINUTES = 240, 365 * 24 * 60
# Every job goes on where it stood, so that one of several days may be requeued many times.
REQUEUES = 100
SECONDS_BETWEEN_LOOKS = {"slurm": 5.0}


@dataclass(frozen=True)
class JobOptions:
    """What a job asks for; each is a ``--job KEY=VALUE`` of the command line.

    Attributes:
        cluster: "slurm", "local", or "debug" (in this process); None takes SLURM where it is.
        partition, account, qos, constraint: as sbatch knows them; of no meaning elsewhere.
        minutes: after which SLURM ends a job, which is then requeued; None takes `SLURM_MINUTES`,
            and a local job has as many as it needs.
        cpus: of a process, cores.
        gpus: of a node.
        memory: of a node, in GB.
        at_once: jobs that run at a time; None takes all on SLURM (256 at most), and locally as
            many as there are cores for.
    """

    cluster: str | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    minutes: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    memory: int | None = None
    at_once: int | None = None


NUMBERS = ("minutes", "cpus", "gpus", "memory", "at_once")


def job_options(words: Sequence[str]) -> JobOptions:
    """Options from words such as ``partition=gpu``.

    Raises:
        ValueError: if a word is none, or names no option, twice the same, or a number that is none.
    """
    known = [field.name for field in fields(JobOptions)]
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise ValueError(f"--job {word}: it is KEY=VALUE, such as partition=gpu")
        if key not in known:
            raise ValueError(f"--job {word}: no option {key!r}: use {', '.join(known)}")
        if key in given:
            raise ValueError(f"--job {word}: {key} is given twice")
        given[key] = _number(word, value, key) if key in NUMBERS else value
    if given.get("cluster", "slurm") not in CLUSTERS:
        raise ValueError(f"--job cluster={given['cluster']}: use {', '.join(CLUSTERS)}")
    return JobOptions(**given)


def _number(word: str, value: str, key: str) -> int:
    least = 0 if key == "gpus" else 1
    if not value.isdecimal() or int(value) < least:
        raise ValueError(f"--job {word}: {key} is a whole number of at least {least}")
    return int(value)


@dataclass(frozen=True)
class Ended:
    """What became of a job.

    Attributes:
        log: all that it printed.
        code: its exit code, None where it came to nothing.
        why: it came to nothing, or says what it did in its last line.
    """

    log: Path
    code: int | None
    why: str


def run_jobs(
    jobs: Mapping[str, Callable[[], int]],
    folder: Path,
    options: JobOptions,
    nodes: int = 1,
    processes: int = 1,
) -> dict[str, Ended]:
    """Hand out jobs, wait for all of them, and say in a line of each what became of it.

    Ends the jobs that are left where this process is asked to stop.

    Args:
        jobs: by name; each returns its exit code, can be pickled, and has a ``checkpoint`` where it
            is to be requeued, see submitit.
        folder: of their logs, <name>.log, and of submitit's files; all machines see it.
        options: of every job.
        nodes: of every job.
        processes: of every job on each node.

    Raises:
        ValueError: if this is Windows, submitit is not installed, there is no such cluster, or it
            refuses the jobs.
        BlockingIOError: if another command waits for jobs of this folder.
    """
    if not hasattr(signal, "SIGUSR2"):
        raise ValueError("--submit needs Linux or macOS: on Windows give the command without it")
    if importlib.util.find_spec("submitit") is None:
        raise ValueError("--submit needs submitit: pip install -e .[cluster]")
    with _alone_in(folder):
        executor = _executor(_next_attempt(folder), options, folder.name, nodes, processes)
        limit = _at_once(executor.cluster, options, len(jobs), processes)
        _tell(jobs, executor, limit, options)
        return _all_of(jobs, executor, limit, folder)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    try:
        with alone_in(folder, wait=False):
            yield
    except BlockingIOError as error:
        raise BlockingIOError(f"{folder}: another command waits for jobs of this folder") from error


def _next_attempt(folder: Path) -> Path:
    """A folder of its own: submitit names files by process, whose numbers come again."""
    attempts = (folder / f"attempt-{number}" for number in count(1))
    attempt = next(path for path in attempts if not path.exists())
    attempt.mkdir()
    return attempt


def _executor(folder: Path, options: JobOptions, name: str, nodes: int, processes: int) -> Any:
    """submitit's executor, under the options."""
    import submitit

    try:
        requeues = {"slurm_max_num_timeout": REQUEUES, "local_max_num_timeout": REQUEUES}
        executor = submitit.AutoExecutor(folder, options.cluster, **requeues)
    except RuntimeError as error:
        raise ValueError("--job cluster=slurm: there is no srun on the PATH") from error
    slurm = executor.cluster == "slurm"
    if nodes > 1 and not slurm:
        raise ValueError(f"{nodes} nodes need SLURM, and there is no srun on the PATH")
    executor.update_parameters(
        name=f"bana-{name}",
        nodes=nodes,
        tasks_per_node=processes,
        timeout_min=options.minutes or (SLURM_MINUTES if slurm else LOCAL_MINUTES),
        cpus_per_task=options.cpus,
        gpus_per_node=options.gpus or None,
        mem_gb=options.memory,
        stderr_to_stdout=True,
        slurm_partition=options.partition,
        slurm_account=options.account,
        slurm_qos=options.qos,
        slurm_constraint=options.constraint,
        slurm_array_parallelism=options.at_once,
        slurm_additional_parameters={"requeue": True},
        slurm_srun_args=_srun_arguments(options),
    )
    return executor


def _srun_arguments(options: JobOptions) -> list[str]:
    # The others would wait for a process of theirs that is no more. Since SLURM 22.05 srun does not
    # take the cores over from sbatch.
    cores = [f"--cpus-per-task={options.cpus}"] if options.cpus else []
    return ["--kill-on-bad-exit=1", *cores]


def _at_once(cluster: str, options: JobOptions, jobs: int, processes: int) -> int:
    """Jobs that are handed out before one has ended; an array of SLURM counts its own."""
    if cluster == "slurm":
        return jobs
    if cluster == "debug":
        return 1
    return options.at_once or max(1, (os.cpu_count() or 1) // (processes * (options.cpus or 1)))


def _tell(jobs: Mapping[str, Any], executor: Any, limit: int, options: JobOptions) -> None:
    slurm = executor.cluster == "slurm"
    how = "for SLURM" if slurm else f"on this machine, at most {limit} at a time"
    print(f"{len(jobs)} to do {how}; logs in {executor.folder.parent}", flush=True)
    unused = [k for k in ("partition", "account", "qos", "constraint") if getattr(options, k)]
    if unused and not slurm:
        print(f"no SLURM here: {', '.join(unused)} not used", flush=True)


def _all_of(
    jobs: Mapping[str, Callable[[], int]], executor: Any, limit: int, folder: Path
) -> dict[str, Ended]:
    waiting, running, ended = list(jobs), {}, {}
    began = time.monotonic()
    try:
        with _stopped_by_signals():
            while waiting or running:
                now = waiting[: limit - len(running)]
                del waiting[: len(now)]
                running |= _handed_out(executor, {name: jobs[name] for name in now})
                for name in [name for name, job in running.items() if job.done()]:
                    ended[name] = _what_became_of(running.pop(name), folder / f"{name}.log")
                    took = time.monotonic() - began
                    print(
                        f"{name}: {_in_words(ended[name].code)}"
                        f" ({len(ended)} of {len(jobs)}, after {took:.0f} s)",
                        flush=True,
                    )
                if running:
                    time.sleep(SECONDS_BETWEEN_LOOKS.get(executor.cluster, 0.1))
    except BaseException:
        for job in running.values():
            job.cancel(check=False)
        raise
    return {name: ended[name] for name in jobs}


def _in_words(code: int | None) -> str:
    if code is None:
        return "came to nothing"
    return f"ended with exit code {code}" if code else "done"


def _handed_out(executor: Any, work: Mapping[str, Callable[[], int]]) -> dict[str, Any]:
    if not work:
        return {}
    from submitit.core.utils import FailedJobError, FailedSubmissionError
    from submitit.helpers import clean_env

    try:
        with clean_env():  # of a SLURM job that this command may be part of
            handed = executor.submit_array(list(work.values()))
    except (FailedJobError, FailedSubmissionError) as error:
        raise ValueError(f"the jobs were refused: {last_line(str(error))}") from error
    return dict(zip(work, handed, strict=True))


def _what_became_of(job: Any, log: Path) -> Ended:
    _collect(job, log)
    said = last_line(log.read_text(encoding="utf-8", errors="replace"))
    first = job.task(0)
    # Of a job that was killed nothing will come, though submitit would wait for it.
    if not first.paths.result_pickle.exists() and job.state not in ("COMPLETED", "DONE"):
        why = f"killed, or out of memory or time (state {job.state}); its last words: {said}"
        return Ended(log, None, why if said else why.partition(";")[0])
    if first.exception() is not None:
        return Ended(log, None, said)
    return Ended(log, first.result(), said)


def _collect(job: Any, log: Path) -> None:
    """Bring what the processes of a job printed together, in the first one's order."""
    with log.open("wb") as together:
        for number in range(job.num_tasks):
            path = job.task(number).paths.stdout
            if path.is_file():
                with path.open("rb") as opened:
                    shutil.copyfileobj(opened, together)


def last_line(text: str) -> str:
    """The last line that says something, but for what submitit says of itself."""
    lines = (line.strip() for line in reversed(re.split(r"[\r\n]+", text)))
    return next((line for line in lines if line and not line.startswith("submitit ")), "")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end what is inside in the same way, so that no job is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        print("bana: the jobs that were left are ended; run again to go on", file=sys.stderr)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
