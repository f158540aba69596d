"""What is to be run on a GPU, in the order that matters most, within a budget; it goes on.

    python benchmarks/gpu.py --photographs VOC_FOLDER --weights FOLDER --minutes 30

First whether the GPU computes what the CPU does, then speed and which operations take most of it,
each of these steps alone; then, side by side on the cores and the one GPU, the paper's experiment
with VGG-16 on the photographs, voc-mini under several seeds, and voc-mini's recipes; at last, alone
again, the CRF. Each step is a process of its own; the record (results/gpu.json) is written after
each, and says of each goal whether it is met or by how much it is missed. The same command goes on
with what is not done: out of minutes, trainings are asked to stop and have saved their state.

`--rehearse` does the same at a tiny size on drawn scenes and the CPU, to find what is broken before
a GPU is paid for. Every number of it is marked as a rehearsal, and it writes nothing to results/.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_steps import SEEDS, Step, plan

from bana.files.artefacts import content_hash, read_json, write_json
from bana.files.paths import repo_root
from bana.training.runs import environment

# Seconds: fewer are not worth a beginning; and so many has who is asked to stop.
LEAST, GRACE = 20.0, 30.0


class Running(NamedTuple):
    """A step at work: its process, when it began, and the file of what it says."""

    step: Step
    process: subprocess.Popen
    start: float
    log: Path


def begin(step: Step, log: Path) -> Running:
    """Start a step's process."""
    threads = {} if step.cores is None else {"OMP_NUM_THREADS": str(step.cores)}
    with log.open("a", encoding="utf-8", newline="") as opened:
        process = subprocess.Popen(
            [sys.executable, *step.words],
            cwd=repo_root(),
            stdout=opened,
            stderr=opened,
            env=os.environ | threads,
        )
    return Running(step, process, time.perf_counter(), log)


def end(running: Sequence[Running]) -> None:
    """Ask processes to stop, and kill those that do not."""
    for each in running:
        if each.process.poll() is None:
            each.process.terminate()
    late = time.monotonic() + GRACE
    for each in running:
        try:
            each.process.wait(max(0.0, late - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()


def row_of(step: Step, state: str, seconds: float, rehearsal: bool) -> dict[str, Any]:
    """What the record says of a step; the goals of a rehearsal are neither met nor missed.

    Args:
        step: that ended.
        state: "done", "failed" or "stopped".
        seconds: that it took.
        rehearsal: whether its numbers are no results.
    """
    row: dict[str, Any] = {"key": key_of(step), "state": state, "seconds": seconds}
    row["alone"] = step.cores is None
    if step.out is not None and step.out.is_file() and state != "stopped":
        row["record"] = read_json(step.out)
        row["goals"] = step.goals(row["record"])
    if rehearsal:
        row["rehearsal"] = True
        for goal in row.get("goals", []):
            goal |= {"met": None, "rehearsal": True}
    return row


def key_of(step: Step) -> str:
    """Hash of what a step is; a done one of another key is done again."""
    return content_hash(step.words)


def can_begin(
    step: Step, states: Mapping[str, str], running: Sequence[Running], cores: int
) -> bool:
    """Whether what a step needs is done, and whether there is room for it beside the others."""
    if any(states.get(name) != "done" for name in step.after):
        return False
    if step.cores is None or any(each.step.cores is None for each in running):
        return not running
    used = sum(each.step.cores for each in running)
    return not running or used + step.cores <= cores


def run_all(
    steps: Sequence[Step],
    out: Path,
    minutes: float,
    about: Mapping[str, Any],
    rehearsal: bool,
    cores: int = 1,
) -> dict[str, Any]:
    """Run what is not done yet, and write the record after every step.

    Timed steps run alone and before all that follow them; the others side by side.
    """
    late = time.monotonic() + 60 * minutes - GRACE
    record = read_json(out)
    if record.get("about") != dict(about):
        record = {}  # of another machine, version or commit
    record = {"benchmark": "GPU, part by part", "rehearsal": rehearsal, "about": dict(about)} | {
        "steps": record.get("steps", {})
    }
    logs = out.parent / f"{out.stem}-logs"
    logs.mkdir(parents=True, exist_ok=True)
    waiting = []
    for step in steps:
        before = record["steps"].get(step.name, {})
        if before.get("state") == "done" and before.get("key") == key_of(step):
            print(f"{step.name}: done before")
        else:
            record["steps"].pop(step.name, None)
            waiting.append(step)
    least = min(LEAST, 30 * minutes)
    running: list[Running] = []
    try:
        while True:
            running = _still_running(running, record, rehearsal, out)
            left = late - time.monotonic()
            for step in list(waiting) if left >= least else ():
                states = {name: row["state"] for name, row in record["steps"].items()}
                if can_begin(step, states, running, cores):
                    print(f"{step.name} ...", flush=True)
                    if step.out is not None:
                        step.out.unlink(missing_ok=True)
                    log = logs / f"{step.name.replace(': ', '-').replace(', ', '-')}.log"
                    running.append(begin(step, log))
                    waiting.remove(step)
                if step.cores is None and step in waiting:
                    break  # what follows waits for it
            if not running:
                break
            if left <= 0:
                end(running)
            time.sleep(0.1)
    finally:
        end(running)
    record["steps"] |= {step.name: {"state": "not reached"} for step in waiting}
    write_json(out, record)
    return record


def _still_running(
    running: Sequence[Running], record: dict[str, Any], rehearsal: bool, out: Path
) -> list[Running]:
    """Write down the steps that have ended, and return the others."""
    for each in running:
        code = each.process.poll()
        if code is not None:
            state = {0: "done", 143: "stopped", -15: "stopped"}.get(code, "failed")
            seconds = round(time.perf_counter() - each.start, 1)
            record["steps"][each.step.name] = row_of(each.step, state, seconds, rehearsal)
            print(told(each.step.name, record["steps"][each.step.name], each.log), flush=True)
            write_json(out, record)
    return [each for each in running if each.step.name not in record["steps"]]


def told(name: str, row: Mapping[str, Any], log: Path) -> str:
    """A step in a few lines: what became of it and of its goals."""
    lines = [f"{name}: {row['state']} after {row['seconds']} s"]
    if row["state"] != "done":
        lines[0] += f", see {log}"
    for goal in row.get("goals", []):
        verdict = {True: "met", False: "MISSED", None: "rehearsal"}[goal["met"]]
        by = [f"by a factor of {goal[key]}" for key in ("short_by", "over_by") if key in goal]
        lines.append(
            f"  {verdict}: {goal['goal']} {goal['value']:.4g} {goal['wanted']} {' '.join(by)}"
        )
    return "\n".join(line.rstrip() for line in lines)


def about_machine(rehearsal: bool) -> dict[str, Any]:
    """Device, driver, versions and commit."""
    device = torch.device("cpu" if rehearsal else "cuda")
    held = environment(device)
    if not rehearsal:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        asked = subprocess.run(query, check=True, capture_output=True, encoding="utf-8")
        held |= {"driver": asked.stdout.split()[0], "cuda": torch.version.cuda}
        held["memory_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1)
    return held


def main(words: Sequence[str] | None = None) -> int:
    """Run the plan; 0 when all of it is done, 1 when something is left, 2 for wrong input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, help="in VOC layout, with masks")
    parser.add_argument("--weights", type=Path, help="folder of VGG-16's, see docs/training.md")
    parser.add_argument("--minutes", type=float, default=30.0, help="(default: 30)")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of the experiment")
    parser.add_argument("--cores", type=int, help="for steps side by side (default: all)")
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the CPU")
    parser.add_argument("--list", action="store_true", help="only name the steps")
    parser.add_argument("--out", type=Path, help="(default: results/gpu.json)")
    options = parser.parse_args(words)
    rehearsal, results = options.rehearse, repo_root() / "results"
    build = repo_root() / "build" / "gpu"
    out = (
        options.out or (build / "rehearsal.json" if rehearsal else results / "gpu.json")
    ).resolve()
    if rehearsal and results in out.parents:
        parser.error(f"--out {out}: a rehearsal is no result: name a place outside of results/")
    if not rehearsal and options.photographs is None:
        parser.error("--photographs FOLDER is needed, or --rehearse")
    if not (rehearsal or options.list or torch.cuda.is_available()):
        parser.error("torch sees no CUDA GPU here: --rehearse tries the script on the CPU")
    folder = build / ("rehearsal" if rehearsal else "parts")
    folder.mkdir(parents=True, exist_ok=True)
    if rehearsal:
        # In a place of its own, so that nothing of it is found by a real run, and on the CPU.
        os.environ.update(BANA_RUNS=str(folder / "runs"), CUDA_VISIBLE_DEVICES="")
    steps = plan(
        folder,
        None if rehearsal else options.photographs.resolve(),
        options.weights,
        1 if rehearsal else options.seeds,
    )
    if options.list:
        print("\n".join(f"{step.name}: {' '.join(step.words)}" for step in steps))
        return 0
    cores = options.cores or os.cpu_count() or 1
    record = run_all(steps, out, options.minutes, about_machine(rehearsal), rehearsal, cores)
    left = [step.name for step in steps if record["steps"][step.name]["state"] != "done"]
    goals = [goal for row in record["steps"].values() for goal in row.get("goals", [])]
    missed = [goal["goal"] for goal in goals if goal["met"] is False]
    print(json.dumps({"record": str(out), "rehearsal": rehearsal, "left": left, "missed": missed}))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
