"""Runs the course: each notebook is a task of doit, executed by papermill when it is stale.

A notebook is stale when something it depends on differs from its last good run: its code cells,
its parameters, the modules that it imports, the profile's settings, the data, the Python and torch
in use; or when what it made is gone. Its text may be edited freely.
"""

import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import papermill
import psutil
from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.exceptions import TaskFailed
from doit.reporter import ConsoleReporter
from doit.task import Task
from papermill.exceptions import PapermillExecutionError

from bana.course.notebook_io import (
    NotebookError,
    code_cells,
    code_digest,
    find_notebooks,
    parameters,
    publish,
    read_notebook,
)
from bana.data.fingerprint import PARTS, fingerprint
from bana.data.voc import find_voc_root
from bana.experiment import stages
from bana.experiment.profiles import check_data_folder, get_profile
from bana.files.artefacts import content_hash, file_hash
from bana.files.paths import figures_dir, notebooks_dir, results_dir, run_dir
from bana.files.sources import code_hash
from bana.files.unfinished import move

QUIET_KERNEL = ["--IPKernelApp.log_level=40"]
# Seconds. Papermill gives up after 60, which a busy machine takes for a first start.
KERNEL_START = 300
# A notebook waits for the one that makes what it needs, so that nothing is made twice at a time.
# 06 takes one core: beside 08, which takes one too, and not beside the trainings of 07.
AFTER = {
    "04": ["03"],
    "05": ["03"],
    "06": ["05", "07"],
    "07": ["05"],
    "08": ["05", "07"],
    "09": ["03"],
}
State = dict[str, str]


@dataclass(frozen=True)
class Course:
    """One run of the course.

    Attributes:
        profile: name of the profile.
        data_root: folder in VOC layout, for profiles on real photographs; None otherwise.
        source: folder of the notebooks.
    """

    profile: str
    data_root: Path | None
    source: Path

    @property
    def executed(self) -> Path:
        """Folder of the executed notebooks."""
        return run_dir(self.profile) / "notebooks"


def make_course(profile: str, data_root: Path | None = None) -> Course:
    """Check profile and data before anything is started.

    Args:
        profile: name of a profile.
        data_root: folder in VOC layout; None takes `BANA_VOC_ROOT`. A profile on the drawn sample
            needs none and takes none.

    Returns:
        The course of the clone's own notebooks.

    Raises:
        ValueError: unknown profile, data for a profile that draws its own, or a profile on
            photographs without any.
    """
    chosen = get_profile(profile)
    if chosen.data == "sample":
        check_data_folder(chosen, data_root)
        root = None
    else:
        root = find_voc_root(data_root).resolve()
    return Course(profile, root, notebooks_dir())


def _data_state(course: Course) -> str:
    """Everything that a notebook could see of the data; the sample is drawn where it is missing."""
    profile = get_profile(course.profile)
    splits = [stages.dataset(profile, split, course.data_root) for split in ("train", "val")]
    return content_hash([fingerprint(data, *PARTS) for data in splits])


def _notebook_parameters(course: Course, notebook: Path) -> dict[str, object]:
    """Values for the parameters that the notebook declares and this run sets."""
    try:
        declared = parameters(read_notebook(notebook))
    except NotebookError as error:
        raise NotebookError(f"{notebook.name}: {error}") from error
    if "profile" not in declared:
        raise NotebookError(f"{notebook.name}: no cell tagged `parameters` sets `profile`")
    values: dict[str, object] = {"profile": course.profile}
    if course.data_root is not None and "data_root" in declared:
        values["data_root"] = str(course.data_root)
    return values


def _common_state(course: Course) -> State:
    return {
        "profile settings": content_hash(asdict(get_profile(course.profile))),
        "data": _data_state(course),
        "Python or torch": f"{platform.python_version()} {version('torch')}",
    }


def _records_state(code: str) -> str:
    """Hash of the records in results/ that a notebook's code names."""
    named = [path for path in sorted(results_dir().glob("*.json")) if f'"{path.name}"' in code]
    return content_hash([[path.name, file_hash(path)] for path in named])


def _figure_times(profile: str) -> dict[str, int]:
    return {str(f): f.stat().st_mtime_ns for f in figures_dir(profile).glob("*.*")}


@contextmanager
def _kernel_environment(beside: int) -> Iterator[None]:
    """Environment in which kernels start: their share of the cores, inline figures, this Python."""
    before = dict(os.environ)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if beside > 1:
        # Two kernels with as many threads each as there are cores wait for one another.
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // beside)))
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    for variable in ("MPLBACKEND", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(variable, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _watch_memory() -> Iterator[list[int]]:
    """List whose one entry becomes the peak of the bytes that this process's children hold."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        me = psutil.Process()
        while not done.wait(0.5):
            held = 0
            for child in me.children(recursive=True):
                try:
                    held += child.memory_info().rss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], held)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _failure(notebook: Path, executed: Path, error: Exception) -> str:
    """What failed, in the order in which a reader asks: notebook, cell, code, error, where."""
    lines = [f"FAILED {notebook.name}"]
    if isinstance(error, PapermillExecutionError):
        head = [line for line in error.source.splitlines() if line.strip()][:6]
        lines += [f"  code cell [{error.exec_count}], number {error.cell_index + 1} in the file:"]
        lines += [f"    | {line}" for line in head]
        lines += [f"  {error.ename}: {error.evalue}"]
    else:
        # A kernel that dies (most often for want of memory) leaves no error in a cell.
        lines += [f"  {type(error).__name__}: {error}"]
    return "\n".join([*lines, f"  the notebook up to there, with its traceback: {executed}"])


def _execute(
    course: Course, notebook: Path, values: dict[str, object], state: State, beside: int
) -> dict[str, object] | TaskFailed:
    """Action of doit: run one notebook; what it returns is kept for the next run to compare."""
    executed = course.executed / notebook.name
    executed.parent.mkdir(parents=True, exist_ok=True)
    partial = executed.with_suffix(".failed.ipynb")
    start, figures = time.monotonic(), _figure_times(course.profile)
    with _kernel_environment(beside), _watch_memory() as peak:
        try:
            papermill.execute_notebook(
                str(notebook),
                str(partial),
                parameters=values,
                kernel_name="python3",
                language="python",
                cwd=str(course.source),
                extra_arguments=QUIET_KERNEL,
                start_timeout=KERNEL_START,
            )
        except Exception as error:
            return TaskFailed(_failure(notebook, partial, error), report=True)
    move(partial, executed)
    made = [f for f, t in _figure_times(course.profile).items() if figures.get(f) != t]
    seconds, gigabytes = time.monotonic() - start, peak[0] / 1e9
    print(f"   {notebook.stem}: {seconds:.0f} s, peak memory {gigabytes:.1f} GB", flush=True)
    return {"state": state, "figures": sorted(made), "seconds": seconds}


def _is_fresh(executed: Path, state: State) -> Callable[[Task, Mapping], bool]:
    """Check of doit: does the state of the last good run equal this one's, and is it all there."""

    def check(task: Task, values: Mapping) -> bool:
        old = values.get("state")
        if old is None or not executed.is_file():
            why = ["not run yet"]
        else:
            why = [f"{part} changed" for part in state if old.get(part) != state[part]]
            why += [f"{Path(f).name} is gone" for f in values["figures"] if not Path(f).is_file()]
        task.meta = {"why": ", ".join(why)}
        return not why

    return check


class Reporter(ConsoleReporter):
    """Tells for each notebook whether it runs and why."""

    def execute_task(self, task: Task) -> None:
        """Say which notebook starts and what made it stale."""
        if not task.actions:  # the group of all notebooks
            return
        why = (task.meta or {}).get("why") or "asked for"
        self.write(f">> {task.doc} ({why})\n")

    def skip_uptodate(self, task: Task) -> None:
        """Say that a notebook has nothing new."""
        self.write(f"-- {task.doc}: up to date\n")

    def _write_failure(self, result: dict, write_exception: bool = True) -> None:
        self.write(result["exception"].message + "\n")

    def complete_run(self) -> None:
        """Print what went wrong outside of the notebooks, if anything."""
        for message in self.runtime_errors:
            self.write(message + "\n")


def default_beside() -> int:
    """Notebooks executed at a time where nobody says: two on two cores, where doit can fork."""
    return 2 if sys.platform == "linux" and (os.cpu_count() or 1) > 1 else 1


def _tasks(course: Course, only: str | None, beside: int) -> Iterator[dict[str, object]]:
    common = _common_state(course)
    every = find_notebooks(course.source)
    notebooks = [each for each in every if only is None or each.name.startswith(only)]
    names = {notebook.name[:2]: notebook.stem for notebook in notebooks}
    for notebook in notebooks:
        waits_for = AFTER.get(notebook.name[:2], ())
        values = _notebook_parameters(course, notebook)
        read = read_notebook(notebook)
        code = "\n".join(cell.source for cell in code_cells(read))
        state = {
            "code": code_digest(read),
            "parameters": json.dumps(values, sort_keys=True),
            "package source": code_hash(code),
            "records": _records_state(code),
            **common,
        }
        yield {
            "name": notebook.stem,
            "doc": notebook.stem,
            "actions": [(_execute, [course, notebook, values, state, beside])],
            "task_dep": [f"notebook:{names[n]}" for n in waits_for if n in names],
            "uptodate": [_is_fresh(course.executed / notebook.name, state)],
            "verbosity": 2,
        }


def run_course(
    course: Course, only: str | None = None, force: bool = False, beside: int = 1
) -> int:
    """Execute the stale notebooks of a course in order; stop at the first that fails.

    Progress, times, peak memory and failures are printed.

    Args:
        course: what to run, of `make_course`.
        only: beginning of a notebook's file name, such as "03"; it makes itself what it needs.
        force: run even what is up to date.
        beside: notebooks executed at a time; one that needs what another makes waits for it.

    Returns:
        0 when every notebook is up to date at the end, else 1.

    Raises:
        NotebookError: no such notebook, or one without proper parameters.
        ValueError: ``beside`` is below 1.
    """
    if beside < 1:
        raise ValueError(f"notebooks executed at a time must be at least 1, got {beside}")
    tasks = list(_tasks(course, only, beside))
    if not tasks:
        which = f"that starts with {only!r}" if only else "of the form NN_*.ipynb"
        raise NotebookError(f"{course.source}: no notebook {which}")
    run_dir(course.profile).mkdir(parents=True, exist_ok=True)
    settings = {
        "dep_file": str(run_dir(course.profile) / ".doit.db"),
        "backend": "json",
        "reporter": Reporter,
        "outfile": sys.stdout,
        "default_tasks": ["notebook"],
    }
    namespace = {"DOIT_CONFIG": settings, "task_notebook": lambda: (task for task in tasks)}
    # Without config files: doit would look for its own table in whatever folder we are in.
    engine = DoitMain(ModuleTaskLoader(namespace), config_filenames=())
    start = time.monotonic()
    options = ["--always-execute"] if force else []
    if beside > 1 and len(tasks) > 1:
        options += ["--process", str(beside)]
    code = engine.run(["run", *options])
    print(f"{len(tasks)} notebooks, {time.monotonic() - start:.0f} s: {course.executed}")
    return 0 if code == 0 else 1


def publish_course(course: Course) -> list[str]:
    """Write the outputs of the executed notebooks into the committed ones.

    Args:
        course: a course that was run; nothing is executed here.

    Returns:
        Names of the notebooks that changed.

    Raises:
        NotebookError: one was not run, changed since, holds an error, or is 1 MB or larger.
    """
    sources = find_notebooks(course.source)
    return [s.name for s in sources if publish(s, course.executed / s.name)]
