"""Everything that was never run on a GPU, in order, within a budget; a killed run goes on.

    python benchmarks/gpu.py --photographs VOC_FOLDER --weights FOLDER --minutes 30

First whether the GPU computes what the CPU does, then speed and which operations take most of it,
then the paper's experiment with VGG-16 on the photographs, voc-mini, and voc-mini's recipes. Each
step is a process of its own; the record (results/gpu.json) is written after each, and says of each
goal whether it is met or by how much it is missed. The same command goes on with what is not done:
out of minutes, a training is asked to stop and has saved its state.

`--rehearse` does the same at a tiny size on drawn scenes and the CPU, to find what is broken before
a GPU is paid for. Every number of it is marked as a rehearsal, and it writes nothing to results/.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bana.files.artefacts import content_hash, read_json, write_json
from bana.files.paths import repo_root
from bana.training.runs import environment

BENCHMARKS = Path(__file__).resolve().parent
# The paper's 8,000 and 23,805 iterations are 15 and 45 looks at each of 10,582 photographs. A
# command has one number for both stages: on 800 photographs these are 45 looks.
ITERATIONS = 1_800
VARIANTS = ("bap", "bap-no-u0", "gap", "boxes", "boxes-crf")
LOSSES = ("crf", "ret", "ignore", "nal", "truth")
SEEDS = (0, 1, 2)
# Seconds: fewer are not worth a beginning; and so many has who is asked to stop.
LEAST, GRACE = 20.0, 30.0
Goal = dict[str, Any]


class Step(NamedTuple):
    """A process, the record that it writes, and what its numbers are held against.

    Attributes:
        words: after the Python, which runs in the folder of the repository.
        out: its record, None where it writes none.
        goals: of the record.
    """

    name: str
    words: list[str]
    out: Path | None = None
    goals: Callable[[dict], list[Goal]] = lambda record: []


def at_least(what: str, value: float, wanted: float) -> Goal:
    """A goal that a number is to reach; missed by a factor of ``short_by``."""
    made: Goal = {"goal": what, "wanted": f">= {wanted:g}", "value": value, "met": value >= wanted}
    return made | ({"short_by": round(wanted / value, 3)} if 0 < value < wanted else {})


def at_most(what: str, value: float, wanted: float) -> Goal:
    """A goal that a number is not to exceed; missed by a factor of ``over_by``."""
    over = {} if value <= wanted else {"over_by": round(value / wanted, 3)}
    return {"goal": what, "wanted": f"<= {wanted:g}", "value": value, "met": not over} | over


def check_goals(record: dict) -> list[Goal]:
    """Each part of the method as near to the CPU as it is to be."""
    rows = record["checks"].items()
    return [
        at_most(f"{name}: apart from the CPU", row.get("apart", float("inf")), row["may_be_apart"])
        for name, row in rows
    ]


def label_goals(record: dict) -> list[Goal]:
    """Labels of the GPU equal those of the CPU."""
    held = record["labels"]
    return [
        at_least(f"share of equal pixels, {kind}", held[f"equal_{kind}"], held["wanted"])
        for kind in ("y_crf", "y_ret")
    ]


def crf_goals(record: dict) -> list[Goal]:
    """The lattice on the GPU against pydensecrf on a core, at 21 labels."""
    rows = [row for row in record["one_thread"] if row["labels"] == 21 and row["plausible"] == 21]
    both = [row for row in rows if {"pydensecrf", "dense on GPU"} <= row.keys()]
    both = [row for row in rows if {"pydensecrf", "dense on GPU"} <= row.keys()]
    if not both:
        goal = at_least("lattice: times as fast as pydensecrf", 0.0, 20.0)
        return [goal | {"why": "not measured: pydensecrf or the GPU is not here"}]
    return [
        at_least(
            f"lattice, {row['parameters']}, {row['picture']}: times as fast as pydensecrf",
            1 / row["dense on GPU"]["ratio_to_pydensecrf"],
            20.0,
        )
        for row in both
    ]


def training_goals(record: dict) -> list[Goal]:
    """Minutes of both stages, as projected from their speed."""
    return [
        at_most(f"{stage}: minutes", record[stage]["minutes_projected"]["minutes"], minutes)
        for stage, minutes in (("classifier", 10.0), ("segmentation", 25.0))
        if stage in record
    ]


def plan(folder: Path, photographs: Path | None, weights: Path | None, seeds: int) -> list[Step]:
    """The steps, in order; without photographs those of a rehearsal."""
    tiny = photographs is None
    shown = [] if tiny else ["--photographs", str(photographs)]
    steps = []

    def script(name: str, file: str, words: list[str], goals: Callable[[dict], list[Goal]]) -> None:
        out = folder / f"{name}.json"
        words = [str(BENCHMARKS / f"{file}.py"), *words, "--out", str(out)]
        steps.append(Step(name, words, out, goals))

    device = ["--device", "cpu" if tiny else "cuda"]
    script("checks", "gpu_checks", device, check_goals)
    script(
        "labels", "gpu_checks", [*device, "--labels", "2" if tiny else "50", *shown], label_goals
    )
    parts = ["--quick", "--parts", "one_thread"]
    if not tiny:
        parts = ["--parts", "one_thread", "scaling", "accuracy", *shown]
    script("crf", "crf", ["--repeats", "1", *parts], crf_goals)
    chosen = _data(photographs, weights)
    for name, more in (("training", []), ("training-compiled", ["--compile"])):
        words = ["--profile", "paper-vgg", "--precision", "bf16-mixed", "--iterations", "40"]
        words = ["--quick"] if tiny else [*words, *more, *chosen]
        if not (tiny and more):
            script(name, "training", words, training_goals)
    for seed in SEEDS[:seeds]:
        steps += _experiment(folder, seed, photographs, chosen)
    if not tiny:
        out = folder / "voc-mini.json"
        words = ["--seeds", *map(str, SEEDS[:seeds]), "--data", str(photographs), "--out", str(out)]
        steps.append(
            Step("voc-mini", ["-m", "bana", "evaluate", "--profile", "voc-mini", *words], out)
        )
    steps.append(_recipes(folder, photographs))
    return steps


def _recipes(folder: Path, photographs: Path | None) -> Step:
    """Whether more iterations make true masks lead Y_crf, on held-out training photographs."""
    out = folder / "recipes.json"
    # A fifth of the training images is held out, for which "smoke" has too few.
    words = ["--profile", "sample", "--iterations", "1", "--recipes", "plain"]
    if photographs is not None:
        words = ["--profile", "voc-mini", "--recipes", "plain", "times-4", "times-16"]
        words += ["--data", str(photographs)]
    return Step("recipes", ["-m", "bana", "bench", "recipes", *words, "--out", str(out)], out)


def _data(photographs: Path | None, weights: Path | None) -> list[str]:
    named = ["--data", str(photographs)] if photographs else []
    return [*named, *(["--weights", str(weights)] if weights else [])]


def _experiment(
    folder: Path, seed: int, photographs: Path | None, chosen: Sequence[str]
) -> list[Step]:
    """Stage 1, labels, stage 3 and scores of a seed."""
    tiny = photographs is None
    base = "smoke" if tiny else "paper-vgg"
    own = ["--profile", f"{base}-seed{seed}" if seed else base, *chosen]
    own += [] if tiny else ["--iterations", str(ITERATIONS)]
    machine = ["--accelerator", "cpu" if tiny else "cuda"]
    machine += [] if tiny else ["--precision", "bf16-mixed"]
    where = ["--devices", "cpu" if tiny else "cuda", "--workers", "1" if tiny else "4"]
    steps = []

    def command(name: str, *words: str, out: Path | None = None) -> None:
        told = [] if out is None else ["--out", str(out)]
        steps.append(Step(f"seed {seed}: {name}", ["-m", "bana", *words, *own, *told], out))

    poolings = ("bap",) if tiny else ("bap", "gap")
    for pooling in poolings:
        command(f"classifier, {pooling}", "train", "classifier", "--pooling", pooling, *machine)
    for variant in ("bap",) if tiny else VARIANTS:
        command(f"labels, {variant}", "label", "--variant", variant, *where)
    for loss in ("crf", "nal") if tiny else LOSSES:
        command(f"network, {loss}", "train", "segmentation", "--loss", loss, *machine)
    command("scores", "evaluate", out=folder / f"scores-{seed}.json")
    return steps


def run_step(step: Step, seconds: float, log: Path) -> tuple[str, float]:
    """Run a step for so many seconds at most.

    Returns:
        "done", "failed" or "stopped", and how long it took.
    """
    start = time.perf_counter()
    with log.open("a", encoding="utf-8", newline="") as opened:
        process = subprocess.Popen(
            [sys.executable, *step.words], cwd=repo_root(), stdout=opened, stderr=opened
        )
        try:
            code = process.wait(seconds)
            state = "done" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            state = "stopped"
        finally:
            _end(process)
    return state, round(time.perf_counter() - start, 1)


def _end(process: subprocess.Popen) -> None:
    """Ask a process to stop, and kill it where it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def row_of(step: Step, state: str, seconds: float, rehearsal: bool) -> dict[str, Any]:
    """What the record says of a step; the goals of a rehearsal are neither met nor missed."""
    row: dict[str, Any] = {"key": key_of(step), "state": state, "seconds": seconds}
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


def run_all(
    steps: Sequence[Step], out: Path, minutes: float, about: Mapping[str, Any], rehearsal: bool
) -> dict[str, Any]:
    """Run what is not done yet, and write the record after every step."""
    late = time.monotonic() + 60 * minutes
    record = read_json(out)
    if record.get("about") != dict(about):
        record = {}  # of another machine, version or commit
    record = {"benchmark": "GPU, part by part", "rehearsal": rehearsal, "about": dict(about)} | {
        "steps": record.get("steps", {})
    }
    logs = out.parent / f"{out.stem}-logs"
    logs.mkdir(parents=True, exist_ok=True)
    for step in steps:
        before = record["steps"].get(step.name, {})
        if before.get("state") == "done" and before.get("key") == key_of(step):
            print(f"{step.name}: done before")
            continue
        left = late - time.monotonic() - GRACE
        if left < min(LEAST, 30 * minutes):
            record["steps"].setdefault(step.name, {"state": "not reached"})
        else:
            print(f"{step.name} ...", flush=True)
            log = logs / f"{step.name.replace(': ', '-').replace(', ', '-')}.log"
            if step.out is not None:
                step.out.unlink(missing_ok=True)
            state, seconds = run_step(step, left, log)
            record["steps"][step.name] = row_of(step, state, seconds, rehearsal)
            print(told(step.name, record["steps"][step.name], log), flush=True)
        write_json(out, record)
    return record


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
    record = run_all(steps, out, options.minutes, about_machine(rehearsal), rehearsal)
    left = [step.name for step in steps if record["steps"][step.name]["state"] != "done"]
    goals = [goal for row in record["steps"].values() for goal in row.get("goals", [])]
    missed = [goal["goal"] for goal in goals if goal["met"] is False]
    print(json.dumps({"record": str(out), "rehearsal": rehearsal, "left": left, "missed": missed}))
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
