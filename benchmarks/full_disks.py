"""Disks that are full or cannot be written, two commands at once, and no network.

For `benchmarks/faults.py`. A disk is a tmpfs of so many pages or files, which needs root.
"""

import ctypes
import os
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from commands_apart import FileSteps, Hook, Started
from fault_jobs import UNFINISHED, Job, begin, contents
from kills import Base, difference, halves, must, spread
from tqdm import tqdm

PAGE = 4096
ROOM, FILES = 1 << 30, 100_000
"""Bytes and files of a disk that is not full."""
CONTROL = re.compile(r"\x1b\[\w|\r")
"""What progress bars write to move about."""
CAPABILITIES = 0x20080522
"""The kernel's name of the form in which `_obey_modes` tells it capabilities."""
PAST_MODES = 0b110
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: with them root writes into closed folders."""
NEW_NETWORK = 0x40000000
"""The kernel's number of a network namespace, in which there is no network."""


@contextmanager
def small_disks(root: Path) -> Iterator[list[Path]]:
    """Disks in the places where a job writes, of `ROOM` bytes each at first."""
    places = [root / "out", root / "runs"]
    mounted = []
    try:
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            _mount(f"size={ROOM},nr_inodes={FILES}", "-t", "tmpfs", "tmpfs", str(place))
            mounted.append(place)
        yield places
    finally:
        for place in mounted:
            subprocess.run(["umount", str(place)], check=True)


def _mount(options: str, *words: str) -> None:
    subprocess.run(["mount", "-o", options, *words], check=True, capture_output=True)


def _remount(places: list[Path], options: str = f"rw,size={ROOM},nr_inodes={FILES}") -> None:
    for place in places:
        _mount(f"remount,{options}", str(place))


def fill_disks(job: Job, root: Path, base: Base, most: int, seed: int) -> dict[str, Any]:
    """Give a command on disks that are full at many moments of its run, and again with room.

    Args:
        job, root, base: the job.
        most: disks of different sizes, and of different numbers of files.
        seed: of the sizes.

    Returns:
        "pages" and "files", how many of each were tried; "read_only", one more; "told", lines that
        the command ended with; "losses".
    """
    chance, losses, told = random.Random(f"{seed} {job.name}"), [], set()
    counts = {"pages": 0, "files": 0, "read_only": 0}
    with small_disks(root) as places:
        begin(root, base.folder)
        before = [_used(place) for place in places]
        must(Started(job, root).end(), job)
        after = [_used(place) for place in places]
        cases = [("read_only", "ro")]
        for what, number in (("pages", 0), ("files", 1)):
            both = zip(before, after, strict=True)
            new = max(late[number] - early[number] for early, late in both)
            steps = range(new) if new <= most else sorted(chance.sample(range(new), most))
            cases += [(what, step) for step in steps]
        for what, step in tqdm(cases, desc=f"{job.name}, disks"):
            _remount(places)
            begin(root, base.folder)
            for place, used in zip(places, before, strict=True):
                if what == "pages":
                    _remount([place], f"size={(used[0] + step) * PAGE or PAGE}")
                elif what == "files":
                    _remount([place], f"nr_inodes={used[1] + step}")
                else:
                    _remount([place], "ro")
            lost, last = _disturbed(job, root, base, Started(job, root), partial(_remount, places))
            if last:
                counts[what] += 1
                told.add(last)
            losses += [f"{what} {step}: {each}" for each in lost]
    return {**counts, "losses": losses, "told": _forms(told, root)}


def _used(place: Path) -> tuple[int, int]:
    """Pages and files of a disk that are in use."""
    about = os.statvfs(place)
    return about.f_blocks - about.f_bfree, sum(1 for _ in place.rglob("*")) + 1


def fill_at_steps(job: Job, root: Path, base: Base, most: int) -> dict[str, Any]:
    """Let the disks get full, and the folders read-only, before each thing done to a file.

    Args:
        job, root, base: the job.
        most: steps, spread evenly.

    Returns:
        "steps", how many were tried; "full" and "closed", at how many of them the command ended
        with a line, since the others need no room or no right, or can be done without; "losses";
        "told", see `fill_disks`.
    """
    losses, told, chosen = [], set(), spread(base.steps, most)
    counts = {"full": 0, "closed": 0}
    with small_disks(root) as places:
        ways = (
            ("full", _full_at, partial(_remount, places)),
            ("closed", _closed_at, partial(_open, places)),
        )
        for what, inside, mend in ways:
            for step in tqdm(chosen, desc=f"{job.name}, {what} at each step"):
                begin(root, base.folder)
                started = Started(job, root, partial(inside, root, places, step))
                lost, last = _disturbed(job, root, base, started, mend)
                if last:
                    counts[what] += 1
                    told.add(last)
                losses += [f"{what} before step {step}: {each}" for each in lost]
    return {"steps": len(chosen), **counts, "losses": losses, "told": _forms(told, root)}


def _full_at(root: Path, places: list[Path], step: int) -> Hook:
    """From this step on the disks have room for no byte and no file more."""

    def act(number: int) -> None:
        if number == step:
            for place in places:
                about = os.statvfs(place)
                pages, files = about.f_blocks - about.f_bfree, about.f_files - about.f_ffree
                _remount([place], f"size={pages * PAGE or PAGE},nr_inodes={files}")

    return FileSteps(root, act)


def _closed_at(root: Path, places: list[Path], step: int) -> Hook:
    """From this step on all folders and files there may be read alone."""
    _obey_modes()

    def act(number: int) -> None:
        if number == step:
            _change_modes(places, folders=0o555, files=0o444)

    return FileSteps(root, act)


def _obey_modes() -> None:
    """Let this process, which is root's, be refused what a mode forbids."""
    kernel = ctypes.CDLL(None, use_errno=True)
    mine, held = (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    failed = kernel.capget(mine, held)
    held[0] &= ~PAST_MODES
    if failed or kernel.capset(mine, held):
        raise OSError(ctypes.get_errno(), "no process without the capability to pass over modes")


def _open(places: list[Path]) -> None:
    _change_modes(places, folders=0o755, files=0o644)


def _change_modes(places: list[Path], folders: int, files: int) -> None:
    for place in places:
        for path in [*place.rglob("*"), place]:
            if not path.is_symlink():
                path.chmod(folders if path.is_dir() else files)


def _disturbed(
    job: Job, root: Path, base: Base, started: Started, mend: Callable[[], None]
) -> tuple[list[str], str]:
    """What was lost when writing failed and after it, and the last line, empty if none failed."""
    ended = started.end()
    lines = CONTROL.sub("\n", ended.told).strip().splitlines()
    last = lines[-1].strip() if lines else ""
    lost = halves(root)
    if ended.code:
        if ended.code != 2 or not last.startswith("bana: ") or "Traceback" in ended.told:
            lost.append(f"ended with {ended.code}: {last}")
        lost += _not_left_whole(job, root, base)
    else:
        last = ""
    mend()
    again = Started(job, root).end()
    if again.code:
        return [*lost, f"with room again it ended with {again.code}: {again.told[-300:]}"], last
    if changed := difference(base.expected, contents(root)):
        lost.append(f"with room again: {changed}")
    return lost, last


def _not_left_whole(job: Job, root: Path, base: Base) -> list[str]:
    """Old files that a failed command should have left, and new ones that it should not.

    Unfinished files may stay in a folder that is closed by then.
    """
    early, late, now = contents(base.folder), base.expected, contents(root)
    lost = [
        f"an old file is gone or other: {name}"
        for name, held in early.items()
        if late.get(name) == held
        and now.get(name, held if name.endswith("/") else None) != held
        and Path(name).stem not in job.stale
    ]
    return lost + [
        f"left behind: {name}"
        for name in now
        if name.endswith(UNFINISHED) and (root / name).parent.stat().st_mode & 0o200
    ]


def _forms(told: set[str], root: Path) -> list[str]:
    """Lines without what differs between files: one of each kind."""
    return sorted({line[max(0, line.find(" c")) :].replace(str(root), "") for line in told})[:12]


def two_at_once(job: Job, root: Path, base: Base, times: int, seed: int) -> dict[str, Any]:
    """Give a command twice at the same time; every other time kill the first in the middle."""
    chance, losses = random.Random(f"{seed} {job.name}"), []
    for number in tqdm(range(times), desc=f"{job.name}, two at once"):
        begin(root, base.folder)
        first = Started(job, root)
        second = Started(job, root)
        if number % 2:
            first.kill(chance.random() * base.seconds)
            codes = [second.end().code]
        else:
            codes = [first.end().code, second.end().code]
        if any(codes):
            losses.append(f"time {number}: ended with {codes}")
        elif changed := difference(base.expected, contents(root)):
            losses.append(f"time {number}: {changed}")
    return {"times": times, "first_killed": times // 2, "losses": losses}


def without_network(job: Job, root: Path, base: Base) -> dict[str, Any]:
    """Give a command where there is no network, not even to the machine itself."""
    begin(root, base.folder)
    ended = Started(job, root, _leave_the_network).end()
    changed = difference(base.expected, contents(root))
    lost = [f"ended with {ended.code}: {ended.told[-300:]}"] if ended.code else []
    return {"losses": [*lost, changed] if changed else lost}


def _leave_the_network() -> Hook | None:
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no namespace without a network")
    return None
