"""What is to be run on a GPU: steps, what each comes after, and what its numbers are held against.

`benchmarks/gpu.py` runs them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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

    def script(name: str, file: str, words: list[str], goals: Callable[[dict], list[Goal]]) -> Step:
        out = folder / f"{name}.json"
        words = [str(BENCHMARKS / f"{file}.py"), *words, "--out", str(out)]
        return Step(name, words, out, goals)

    device = ["--device", "cpu" if tiny else "cuda"]
    some = [*device, "--labels", "2" if tiny else "50", *shown]
    speed = ["--profile", "paper-vgg", "--precision", "bf16-mixed", "--iterations", "40"]
    speed = ["--quick"] if tiny else [*speed, *_data(photographs, weights)]
    steps = [
        script("checks", "gpu_checks", device, check_goals),
        script("labels", "gpu_checks", some, label_goals),
        script("training", "training", speed, training_goals),
    ]
    parts = ["--repeats", "1", "--parts", "one_thread", *(["--quick"] if tiny else shown)]
    # At the end: the exact filter of whole photographs takes minutes.
    crf = [script("crf", "crf", parts, crf_goals)]
    if tiny:
        return steps + _experiment(folder, SMOKE, 0, None, None) + _recipes(folder, None, ()) + crf
    voc = _data(photographs, None)
    own = {seed: _experiment(folder, PAPER, seed, photographs, weights) for seed in SEEDS[:seeds]}
    mini = [_experiment(folder, MINI, seed, photographs, None) for seed in SEEDS[:seeds]]
    labels = "voc-mini, seed 0: labels, train bap"
    steps += own[0] + mini[0] + _recipes(folder, photographs, (labels,))
    steps += [step for each in mini[1:] for step in each] + _of_all_seeds(folder, mini, voc)
    steps += _beyond_the_paper(folder, voc, (mini[0][-1].name,))
    return steps + [step for seed in SEEDS[1:seeds] for step in own[seed]] + crf


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


def _experiment(
    folder: Path, made: Experiment, seed: int, photographs: Path | None, weights: Path | None
) -> list[Step]:
    """Stage 1, labels, stage 3 and scores of a seed."""
    steps: list[Step] = []
    own = ["--profile", f"{made.profile}-seed{seed}" if seed else made.profile]
    own += [*made.words, *_data(photographs, None)]
    workers = f"--workers {made.workers}"

    weighted = _data(None, weights)

    def command(
        name: str, cores: int, after: Sequence[str], words: str, more: Sequence[str] = weighted
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
        # Boxes alone need no network, and the command refuses what it would not use.
        more = weighted if needed else ()
        return command(f"labels, {split} {variant}", made.workers, needed, words, more)

    def network(loss: str) -> str:
        words = f"train segmentation --loss {loss} {made.train} {workers}"
        return command(f"network, {loss}", made.workers, [train_labels], words)

    def scores(name: str, losses: Sequence[str], after: Sequence[str]) -> str:
        more = [*weighted, "--out", str(folder / f"{made.profile}-seed{seed}-{name}.json")]
        return command(f"scores, {name}", 1, after, f"evaluate --losses {' '.join(losses)}", more)

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


def _of_all_seeds(
    folder: Path, experiments: Sequence[Sequence[Step]], data: list[str]
) -> list[Step]:
    """voc-mini under all seeds, from what each has made: its record, and that with own biases."""
    of = ["--profile", "voc-mini", *data, "--losses", *MINI_LOSSES]
    of += ["--seeds", *map(str, SEEDS[: len(experiments)])]
    after, made = tuple(each[-1].name for each in experiments), []
    for name, words in (("voc-mini", ["evaluate"]), ("voc-mini: bias", ["bench", "bias"])):
        out = folder / f"{name.replace(': ', '-')}.json"
        command = ["-m", "bana", *words, *of, "--out", str(out)]
        made.append(Step(name, command, out, after=after, cores=1))
    return made


def _beyond_the_paper(folder: Path, data: list[str], after: tuple[str, ...]) -> list[Step]:
    """Cards of voc-mini, what the paper left out, and the grids of its supplement."""
    made = []

    def command(name: str, words: str, out: Path | None = None) -> None:
        told = [] if out is None else ["--out", str(out)]
        whole = ["-m", "bana", *words.split(), "--profile", "voc-mini", *data, *told]
        made.append(Step(f"voc-mini: {name}", whole, out, after=after, cores=2))

    command("left out", "bench left-out --images 100", folder / "left-out.json")
    command("grids", "table grid --record")
    command("crossing", "table crossing --record")
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
