"""The table of kills of `benchmarks/faults.py`: killed anywhere, given again, nothing is lost."""

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from commands_apart import Ended, FileSteps, Started
from fault_jobs import (
    UNFINISHED,
    Job,
    begin,
    contents,
    empty,
    files_below,
    not_whole,
    write_inputs,
)
from tqdm import tqdm

PARTS = 5
"""Parts of a run in which the record counts kills."""


class Base(NamedTuple):
    """Where a job starts, what is there when it ends undisturbed, its seconds and its steps."""

    folder: Path
    expected: dict[str, str]
    seconds: float
    steps: int


def make_base(job: Job, work: Path) -> Base:
    """Give the commands before a job's own, then the command itself, twice and undisturbed.

    Raises:
        RuntimeError: if one of them fails, or the two leave different files.
    """
    root, base = work / "job", work / "bases" / job.name
    empty(root)
    empty(base)
    write_inputs(root)
    for earlier in job.start:
        must(Started(earlier, root).end(), earlier)
    if job.change:
        job.change(root)
    shutil.copytree(root, base, dirs_exist_ok=True)
    must(Started(job, root).end(), job)
    expected = contents(root)
    begin(root, base)
    counted = work / "steps"

    def count() -> FileSteps:
        # One byte a step: the process that counts ends without a chance to tell.
        file = os.open(counted, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        return FileSteps(root, lambda _: _tick(file))

    ended = must(Started(job, root, count).end(), job)
    if changed := difference(expected, contents(root)):
        raise RuntimeError(f"{job.name}: differs from run to run without a kill: {changed}")
    return Base(base, expected, ended.seconds, counted.stat().st_size)


def must(ended: Ended, job: Job) -> Ended:
    """What ended, if it ended well."""
    if ended.code:
        raise RuntimeError(f"{job.name} ended with {ended.code}:\n{ended.told}")
    return ended


def difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """The first few files that are missing, too many or other, in words; empty if none is."""
    words = [f"missing {name}" for name in sorted(expected.keys() - found.keys())]
    words += [f"too many: {name}" for name in sorted(found.keys() - expected.keys())]
    common = expected.keys() & found.keys()
    words += [f"other: {name}" for name in sorted(common) if expected[name] != found[name]]
    return "; ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")


def halves(root: Path) -> list[str]:
    """Files that a command may read and that are not whole; unfinished ones have another name."""
    found = []
    for name, path in files_below(root).items():
        if not name.endswith(("/", UNFINISHED)) and (reason := not_whole(path)):
            found.append(f"half written: {name}: {reason}")
    return found


def share_done(root: Path, base: Base) -> float:
    """Share of what an undisturbed run changes that is already as it will be."""
    before, now = contents(base.folder), whole_contents(root)
    changed = {
        name
        for name in base.expected.keys() | before.keys()
        if base.expected.get(name) != before.get(name)
    }
    same = sum(now.get(name) == base.expected.get(name) for name in changed)
    return same / max(1, len(changed))


def whole_contents(root: Path) -> dict[str, str]:
    """As `contents`, of a run that was interrupted."""
    return contents(root, lambda name, path: not name.endswith(UNFINISHED) and not not_whole(path))


def at_the_end(ended: Ended, root: Path, base: Base) -> list[str]:
    """What was lost of a command that should have ended well, in words."""
    if ended.code:
        last = ended.told.strip().splitlines()[-1:]
        return [f"ended with {ended.code}: {' '.join(last)}"]
    changed = difference(base.expected, contents(root))
    return [changed] if changed else []


def kill_at_moments(job: Job, root: Path, base: Base, kills: int, seed: int) -> dict[str, Any]:
    """Kill a command at moments that are drawn, one in each of equal parts of its time.

    A command that was killed is given again and killed again, three times of four, and in the end
    until it ends.

    Returns:
        "kills"; "runs", beginnings from nothing; "losses", what was lost, with the moment; of the
        kills how many fell in each fifth of the work, by the share of the files that were there.
    """
    chance, losses, shares, runs = random.Random(f"{seed} {job.name}"), [], [], 0
    parts = chance.sample(range(kills), kills)
    going_on = False
    for number, part in enumerate(tqdm(parts, desc=f"{job.name}, moments")):
        moment = (part + chance.random()) / kills * base.seconds
        while True:
            if not going_on:
                begin(root, base.folder)
                runs += 1
            ended = Started(job, root).kill(moment)
            if ended.code == -signal.SIGKILL:
                break
            # Over already: so much of the work was there, or this time it was quicker.
            losses += [f"before {moment:.3f} s: {lost}" for lost in at_the_end(ended, root, base)]
            moment, going_on = moment if going_on else 0.9 * moment, False
        shares.append(share_done(root, base))
        losses += [f"killed after {moment:.3f} s: {lost}" for lost in halves(root)]
        going_on = chance.random() < 0.75 and number + 1 < kills
        if not going_on:
            last = Started(job, root).end()
            losses += [f"at last, {moment:.3f} s: {lost}" for lost in at_the_end(last, root, base)]
    fifths = Counter(min(PARTS - 1, int(share * PARTS)) for share in shares)
    return {
        "kills": kills,
        "runs": runs,
        "seconds_undisturbed": round(base.seconds, 2),
        "kills_by_fifths_of_the_files": [fifths[number] for number in range(PARTS)],
        "losses": losses,
    }


def kill_at_steps(job: Job, root: Path, base: Base, most: int) -> dict[str, Any]:
    """Kill a command right before what it does to a file: each step, or as many spread evenly.

    Args:
        job, root, base: the job.
        most: kills.
    """
    losses, kills = [], 0
    for step in tqdm(spread(base.steps, most), desc=f"{job.name}, steps"):
        begin(root, base.folder)
        ended = Started(job, root, partial(_dying_at, root, step)).end()
        if ended.code != -signal.SIGKILL:
            losses.append(f"step {step} did not come, the command ended with {ended.code}")
            continue
        kills += 1
        lost = halves(root) + at_the_end(Started(job, root).end(), root, base)
        losses += [f"killed before step {step}: {each}" for each in lost]
    return {"steps": base.steps, "kills": kills, "losses": losses}


def spread(steps: int, most: int) -> list[int]:
    """The numbers of all steps, or of as many spread evenly."""
    return sorted({1 + number * steps // most for number in range(most)})


def _dying_at(root: Path, step: int) -> FileSteps:
    def act(number: int) -> None:
        if number == step:
            os.killpg(0, signal.SIGKILL)

    return FileSteps(root, act)


def _tick(file: int) -> None:
    os.write(file, b".")
