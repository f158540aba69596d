"""Everything that was never run on a GPU, in order, within a budget; a killed run goes on.

    python benchmarks/gpu.py --photographs VOC_FOLDER --weights FOLDER --minutes 30

First whether the GPU computes what the CPU does, then speed and which operations take most of it,
each of these steps alone; then, side by side on the cores and the one GPU, the paper's experiment
with VGG-16 on the photographs, voc-mini under several seeds, and voc-mini's recipes. Each step is a
process of its own; the record (results/gpu.json) is written after each, and says of each goal
whether it is met or by how much it is missed. The same command goes on with what is not done: out
of minutes, trainings are asked to stop and have saved their state.

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
VARIANTS = ("bap", "bap-no-u0", "boxes", "boxes-crf", "boxes-middle", "gap", "grabcut")
LOSSES = ("crf", "ret", "ignore", "nal", "truth")
MINI_LOSSES = (*LOSSES, "entropy", "bootstrap")
# The long ones first, so that no core waits for them in the end.
RECIPES = ("together", "times-16", "times-4", "all-stages", "crop-321", "skip", "wide-aspp")
RECIPES += ("lite2", "plain", "imagenet", "rate-3", "adamw", "ema")
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
        after: names of the steps that are to be done before.
        cores: that it is counted with, beside other steps; None is timed, and so alone.
    """

    name: str
    words: list[str]
    out: Path | None = None
    goals: Callable[[dict], list[Goal]] = lambda record: []
    after: tuple[str, ...] = ()
    cores: int | None = None


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
    parts = ["--quick"] if tiny else shown
    script("crf", "crf", ["--repeats", "1", "--parts", "one_thread", *parts], crf_goals)
    words = ["--profile", "paper-vgg", "--precision", "bf16-mixed", "--iterations", "40"]
    words = ["--quick"] if tiny else [*words, *_data(photographs, weights)]
    script("training", "training", words, training_goals)
    if tiny:
        return steps + _experiment(folder, SMOKE, 0, []) + _recipes(folder, None, ())
    voc, told = _data(photographs, None), _data(photographs, weights)
    own = {seed: _experiment(folder, PAPER, seed, told) for seed in SEEDS[:seeds]}
    mini = [_experiment(folder, MINI, seed, voc) for seed in SEEDS[:seeds]]
    labels = "voc-mini, seed 0: labels, train bap"
    steps += own[0] + mini[0] + _recipes(folder, photographs, (labels,))
    steps += [step for each in mini[1:] for step in each] + [_of_all_seeds(folder, mini, voc)]
    steps += _beyond_the_paper(folder, voc, (mini[0][-1].name,))
    return steps + [step for seed in SEEDS[1:seeds] for step in own[seed]]


class Experiment(NamedTuple):
    """The three stages of a profile.

    Attributes:
        profile: its name.
        losses: of its networks.
        variants: of its labels on val.
        words, train, label: options of every command, of trainings, of making labels.
        workers: processes of a training that prepare crops, or that make labels.
    """

    profile: str
    losses: tuple[str, ...]
    variants: tuple[str, ...]
    words: list[str]
    train: str
    label: str
    workers: int


SMOKE = Experiment("smoke", ("crf", "nal"), ("bap",), [], "--accelerator cpu", "--devices cpu", 1)
PAPER = Experiment(
    "paper-vgg",
    LOSSES,
    VARIANTS,
    ["--iterations", str(ITERATIONS)],
    "--accelerator cuda --precision bf16-mixed",
    "--devices cuda --batch 8",
    6,
)
MINI = Experiment("voc-mini", MINI_LOSSES, VARIANTS, [], "--accelerator cuda", "--devices cuda", 3)


def _data(photographs: Path | None, weights: Path | None) -> list[str]:
    named = ["--data", str(photographs)] if photographs else []
    return [*named, *(["--weights", str(weights)] if weights else [])]


def _experiment(folder: Path, made: Experiment, seed: int, chosen: Sequence[str]) -> list[Step]:
    """Stage 1, labels, stage 3 and scores of a seed."""
    steps: list[Step] = []
    own = ["--profile", f"{made.profile}-seed{seed}" if seed else made.profile]
    own += [*made.words, *chosen]
    workers = f"--workers {made.workers}"

    def command(
        name: str, cores: int, after: Sequence[str], words: str, more: Sequence[str] = ()
    ) -> str:
        title = f"{made.profile}, seed {seed}: {name}"
        whole = ["-m", "bana", *words.split(), *own, *more]
        steps.append(Step(title, whole, after=tuple(after), cores=cores))
        return title

    def classifier(pooling: str) -> str:
        words = f"train classifier --pooling {pooling} {made.train} {workers}"
        return command(f"classifier, {pooling}", made.workers, (), words)

    def labels(split: str, variant: str) -> str:
        needed = [poolings[name] for name in poolings if variant.split("-")[0] == name]
        words = f"label --split {split} --variant {variant} {made.label} {workers}"
        return command(f"labels, {split} {variant}", made.workers, needed, words)

    def network(loss: str) -> str:
        words = f"train segmentation --loss {loss} {made.train} {workers}"
        return command(f"network, {loss}", made.workers, [train_labels], words)

    def scores(name: str, losses: Sequence[str], after: Sequence[str]) -> str:
        told = ["--out", str(folder / f"{made.profile}-seed{seed}-{name}.json")]
        return command(f"scores, {name}", 1, after, f"evaluate --losses {' '.join(losses)}", told)

    poolings = {pooling: classifier(pooling) for pooling in ("bap", "gap")}
    train_labels = labels("train", "bap")
    networks = {loss: network(loss) for loss in made.losses}
    shown = [*poolings.values(), *(labels("val", variant) for variant in made.variants)]
    # The labels' scores are made by the first, and found by the others.
    first, *others = made.losses
    done = [scores(first, [first], [*shown, networks[first]])]
    done += [scores(loss, [loss], [done[0], networks[loss]]) for loss in others]
    scores("all", made.losses, done)
    steps[-1] = steps[-1]._replace(out=Path(steps[-1].words[-1]))
    return steps


def _of_all_seeds(folder: Path, experiments: Sequence[Sequence[Step]], data: list[str]) -> Step:
    """The record of voc-mini under all seeds, from what each seed has made."""
    out = folder / "voc-mini.json"
    words = ["-m", "bana", "evaluate", "--profile", "voc-mini", *data, "--losses", *MINI_LOSSES]
    words += ["--seeds", *map(str, SEEDS[: len(experiments)]), "--out", str(out)]
    after = tuple(each[-1].name for each in experiments)
    return Step("voc-mini", words, out, after=after, cores=1)


def _beyond_the_paper(folder: Path, data: list[str], after: tuple[str, ...]) -> list[Step]:
    """Cards of voc-mini, what the paper left out, and the grids of its supplement."""
    made = []

    def command(name: str, words: str, out: Path | None = None) -> None:
        told = [] if out is None else ["--out", str(out)]
        whole = ["-m", "bana", *words.split(), "--profile", "voc-mini", *data, *told]
        made.append(Step(f"voc-mini: {name}", whole, out, after=after, cores=2))

    command("left out", "bench left-out --images 100", folder / "left-out.json")
    command("grids", "table grid --record")
    command("card, val", "regime --sigma", folder / "regime.json")
    command("card, train", "regime --split train", folder / "regime-train.json")
    return made


def _recipes(folder: Path, photographs: Path | None, after: tuple[str, ...]) -> list[Step]:
    """What makes true masks lead Y_crf on held-out training photographs: each recipe, and all."""
    # A fifth of the training images is held out, for which "smoke" has too few.
    profile = ["--profile", "sample", "--iterations", "1"]
    names: tuple[str, ...] = ("plain",)
    if photographs is not None:
        profile, names = ["--profile", "voc-mini", "--data", str(photographs)], RECIPES
    made = []
    for name, recipes in [*((f"recipe, {name}", [name]) for name in names), ("recipes", names)]:
        out = folder / f"{name.replace(', ', '-')}.json"
        words = ["-m", "bana", "bench", "recipes", *profile, "--recipes", *recipes]
        words += ["--workers", "1" if photographs is None else "3", "--out", str(out)]
        needed = after if name != "recipes" else tuple(step.name for step in made)
        made.append(Step(name, words, out, after=needed, cores=3))
    return made


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
