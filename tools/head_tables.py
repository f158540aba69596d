"""Heads on frozen features as Markdown: benches, maps of noise, and trainings again.

From the records in results/; see tools/readme.py.
"""

from collections.abc import Mapping
from typing import Any

from markdown_tables import difference_cell, score_of, table_of

from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import difference_of, interval, verdict
from bana.experiment.exhibits.answers import CELL

LOSSES = {
    "crf": "cross-entropy on Y_crf",
    "ret": "cross-entropy on Y_ret",
    "ignore": "cross-entropy where both agree, the rest ignored",
    "entropy": "entropy regularisation",
    "bootstrap": "bootstrapping",
    "nal": "noise-aware loss",
    "nal-detached": "noise-aware loss, sigma held constant",
    "truth": "cross-entropy on true masks",
}
BENCH = LOSSES | {
    "truth": "true masks",
    "generalised": "generalised cross-entropy",
    "symmetric": "symmetric cross-entropy",
    "nal-per-class": "noise-aware loss, ~S class by class",
}
FAILED = 15.0
"""Points below the mean of cross-entropy on Y_crf from which on a training of a head has failed."""
SPILLS = {"Y_crf": "Y_crf alone", "both": "both labels"}


def bench_table(benches: dict[str, dict[str, Any]]) -> str:
    """Pairs of losses on frozen features, differences by profile, task and head."""
    columns = {
        f"`{name}`, {kind}": made
        for name, record in benches.items()
        for kind, made in record["benches"].items()
    }
    pairs = dict.fromkeys(pair for made in columns.values() for pair in made["differences"])
    rows = []
    for pair in pairs:
        first, second = pair.split(" - ")
        cells = [_bench_cell(made, pair) for made in columns.values()]
        rows.append([f"{BENCH[first]}, over {BENCH[second]}", *cells])
    records = "; ".join(
        f"[`{name}`](../results/bench-{name}.json), {len(record['seeds'])} seeds{_classes(record)}"
        for name, record in benches.items()
    )
    header = ["losses on frozen features, points of mIoU [95 %]", *columns]
    table = f"{table_of(header, rows)}\n\nBenches: {records}. {_failed(columns)}".rstrip()
    return table if columns else ""


def _bench_cell(made: Mapping[str, Any], pair: str) -> str:
    """A pair's difference; a lead over a loss that could not be trained is none."""
    if any(loss in _not_trained(made) for loss in pair.split(" - ")):
        return "failed"
    difference = made["differences"].get(pair)
    return difference_cell(difference_of(difference)) if difference else "-"


def _not_trained(made: Mapping[str, Any]) -> list[str]:
    """The losses of a bench with which some head stayed far behind cross-entropy."""
    return [
        loss
        for loss, row in made.get("miou", {}).items()
        if None not in row["by_seed"] and min(row["by_seed"]) < made["miou"]["crf"]["mean"] - FAILED
    ]


def _classes(record: dict[str, Any]) -> str:
    """Where the bench of all classes lies, if it has a record of its own."""
    if "classes" not in record:
        return ""
    return f" (all classes [by another training of the classifier](../results/{record['classes']}))"


def _failed(columns: Mapping[str, dict[str, Any]]) -> str:
    """Which losses could not be trained under some seeds, or all; nothing where there are none."""
    failed = [
        f"{BENCH[loss]}, {where}: {', '.join(map(score_of, made['miou'][loss]['by_seed']))}"
        for where, made in columns.items()
        for loss in _not_trained(made)
    ]
    return (
        f"Trainings that failed, mIoU by seed in %: {'; '.join(failed)}. The "
        "rate of learning was chosen with cross-entropy on Y_crf for all losses: what is said of "
        "these here says nothing about them elsewhere."
        if failed
        else ""
    )


def noise_table(maps: Mapping[str, dict[str, Any]], benches: Mapping[str, dict[str, Any]]) -> str:
    """Labels made worse in steps, and what ways to treat ~S bring; nothing without maps."""
    rows = []
    for name, record in maps.items():
        for entry in record["map"]:
            over = entry["over crf"]
            gaps = [over[key] for key in ("truth", "lambda .1", "gamma 30", "ignore")]
            gaps.append(entry["over ignore"]["lambda .1"])
            rows.append(
                [
                    f"`{name}`, {SPILLS[entry['noise']]}, {CELL * entry['reach']} pixels",
                    f"{entry['wrong']:.0f} / {entry['recall']:.0f}",
                    *(difference_cell(difference_of(gap)) for gap in gaps),
                ]
            )
    header = [
        "labels that spill",
        "wrong in boxes / of these in ~S, %",
        "true masks",
        "noise-aware",
        "noise-aware, gamma 30",
        "ignoring ~S",
        "noise-aware over ignoring ~S",
    ]
    records = ", ".join(f"[`{name}`](../results/noise-{name}.json)" for name in maps)
    table = table_of(header, rows)
    return (
        f"{table}\n\nLinear heads on frozen features, object against background; points of mIoU "
        f"over cross-entropy on Y_crf, but for the last column.{_elsewhere(maps, benches)} Maps, "
        f"with other lambdas and gammas: {records}."
        if maps
        else ""
    )


def _elsewhere(maps: Mapping[str, dict[str, Any]], benches: Mapping[str, dict[str, Any]]) -> str:
    """Of which profiles map and bench are of different trainings, in a sentence."""
    found = []
    for name, record in maps.items():
        bench = benches.get(name, {}).get("benches", {}).get("object, linear")
        unspoilt = [entry for entry in record["map"] if not entry["reach"]]
        if bench and unspoilt and unspoilt[0]["miou"]["crf"] != bench["miou"]["crf"]["by_seed"]:
            found.append(f"`{name}`")
    what = "is of another training of the classifier than the bench above"
    return f" The map of {' and '.join(found)} {what}." if found else ""


ONE_CLASSIFIER = (
    "**How far to trust a verdict.** Intervals cover the choice of images and the seeds of heads, "
    "but not the training of the one classifier that made features and labels"
)
DISAGREE = "trainings of it with the same settings and seed"
CAUTION = "So do not build on small differences, even where they are told apart"


def retrained(
    benches: Mapping[str, dict[str, Any]], again: Mapping[str, list[dict[str, Any]]]
) -> dict[tuple[str, str], dict[str, list[Difference]]]:
    """{(profile, bench): {pair: its difference by every training of the classifier}}."""
    found = {}
    for name, records in again.items():
        for kind, bench in benches[name]["benches"].items():
            others = [r["benches"][kind]["differences"] for r in records if kind in r["benches"]]
            pairs = {
                pair: [difference_of(each[pair]) for each in (bench["differences"], *others)]
                for pair in bench["differences"]
                if others and all(pair in each for each in others)
            }
            found |= {(name, kind): pairs} if pairs else {}
    return found


def moved_verdicts(pairs: Mapping[str, list[Difference]]) -> dict[str, list[Difference]]:
    """The pairs about which the trainings disagree."""
    return {pair: made for pair, made in pairs.items() if len(set(map(verdict, made))) > 1}


def trainings_again(
    benches: Mapping[str, dict[str, Any]], again: Mapping[str, list[dict[str, Any]]]
) -> str:
    """Verdicts that another training of the classifier moves: intervals do not cover it."""
    found, places = retrained(benches, again), []
    for name in dict.fromkeys(name for name, _ in found):
        kinds = {kind: pairs for (owner, kind), pairs in found.items() if owner == name}
        told = []
        for kind, pairs in kinds.items():
            moved = moved_verdicts(pairs)
            apart = "; ".join(f"{pair} {', '.join(map(interval, m))}" for pair, m in moved.items())
            task = kind.removesuffix(", linear")
            told.append(
                f"{len(moved)} of {len(pairs)} verdicts of {task}{f' ({apart})' if apart else ''}"
            )
        records = ", ".join(
            f"[{number}](../results/bench-{name}-again-{number}.json)"
            for number in range(1, len(again[name]) + 1)
        )
        commits = ", ".join(r["commit"] for r in (benches[name], *again[name]))
        trainings = len(next(iter(next(iter(kinds.values())).values())))
        places.append(
            f"On `{name}`, {trainings} {DISAGREE} (code of commits {commits}; records of the "
            f"others: {records}) disagree about {' and '.join(told)}."
        )
    return f"{ONE_CLASSIFIER}. {' '.join(places)} {CAUTION}." if places else ""
