"""Writes the numbers of README.md and docs/results.md, from the records in results/.

`bana evaluate`, `regime` and `bench` with `--record`, and the benchmarks, make records; this turns
them into sentences and tables, so that no number of the two is typed by hand. A test checks that
both are what this writes.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bias_tables import order_by_bias
from head_tables import LOSSES, moved_verdicts, retrained
from markdown_tables import table_of
from recipe_tables import recipe_gaps
from result_tables import (
    LABELS,
    PROFILES,
    card_difference,
    head_rooms,
    measured_pairs,
    section,
    value_at,
)
from speed_tables import speed

from bana.course.gallery.answers import tell_answers
from bana.course.gallery.scenes import upper_first
from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import NOT_TOLD_APART, difference_of, stated, verdict
from bana.experiment.exhibits.answers import CEILING, HALVES, POOLING_ALONE, answers_of

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "docs" / "results.md"
BEGIN, END = "<!-- {}: written by tools/readme.py -->", "<!-- end of {} -->"
SHORT = ("boxes", "boxes-crf", "boxes-middle", "grabcut", "gap", "bap-no-u0", "bap")
"""The kinds of labels that the README shows."""


def extract(
    records: dict[str, dict[str, Any]],
    regimes: Mapping[str, dict[str, Any]],
    benches: Mapping[str, dict[str, Any]],
    maps: Mapping[str, dict[str, Any]],
    again: Mapping[str, list[dict[str, Any]]] | None = None,
    recipes: Mapping[str, dict[str, Any]] | None = None,
    biases: Mapping[str, dict[str, Any]] | None = None,
    crossings: Mapping[str, dict[str, Any]] | None = None,
    activations: Mapping[str, dict[str, Any]] | None = None,
    training: Mapping[str, dict[str, Any]] | None = None,
) -> str:
    """The results as the README tells them: figure, table, what it could not show and why."""
    shown = {name: records[name] for name in PROFILES if name in records}
    rows = [[LABELS[key], *(_label(n, key, shown, regimes) for n in shown)] for key in SHORT]
    crf = [value_at(r, "segmentation_val", "crf", "single", "miou") for r in shown.values()]
    rows.append([f"network, {LOSSES['crf']}, single scale", *crf])
    kinds = {"record": shown, "crossing": crossings or {}, "bias": biases or {}}
    kinds |= {"bench": benches, "noise": maps}
    asked = answers_of(
        {n: {kind: each[n] for kind, each in kinds.items() if n in each} for n in shown}
    )
    figure = f"![{tell_answers(asked).alt}](figures/answers.png)"
    table = table_of(["mIoU in %", *(f"`{name}`" for name in shown)], rows)
    nal = _not_shown(shown, benches, biases or {})
    why = order_by_bias(biases or {}), _tried(recipes or {})
    missed = (
        _sentences(_pooling(asked), _pooling_in_training(training or {})),
        _maps(activations or {}),
        _sentences(nal, *why),
    )
    sure = _sentences(_trained_again(shown), _trust(benches, again or {}))
    parts = figure, table, _halves(asked), _missed(missed), _spoiled(asked), sure
    return "\n\n".join(filter(None, parts))


def _sentences(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _missed(parts: Iterable[str]) -> str:
    """What was not shown, in a list."""
    lines = [f"- {part}" for part in parts if part]
    return "\n".join(["**What could not be shown:**", "", *lines]) if lines else ""


def _label(
    name: str,
    kind: str,
    records: dict[str, dict[str, Any]],
    regimes: Mapping[str, dict[str, Any]],
) -> str:
    """mIoU of labels: by the record of several trainings, else by the regime card of one."""
    carded = name in regimes and "seeds" not in records[name]
    found = regimes[name]["regime"]["miou"].get(kind) if carded else None
    if found:
        return f"{found['value']:.1f}"
    return value_at(records[name], "labels_val", kind, "miou")


def _pooling(asked: Mapping[str, Any]) -> str:
    """What background-aware pooling brings where u_0 is the same on both sides, in a sentence."""
    rows = [
        (row["text"].removeprefix(f"{POOLING_ALONE}, "), made)
        for group in asked["groups"]
        for row in group["rows"]
        if row["text"].startswith(f"{POOLING_ALONE}, ")
        if (made := {n: difference_of(each) for n, each in row["by"].items() if each})
    ]
    if all(verdict(each) == "higher" for _, made in rows for each in made.values()):
        return ""
    told = "; ".join(
        f"{text} " + " and ".join(f"{stated(each)} on `{name}`" for name, each in made.items())
        for text, made in rows
    )
    return f"That pooling alone makes better labels everywhere. {POOLING_ALONE}: {told}."


def _pooling_in_training(training: Mapping[str, dict[str, Any]]) -> str:
    """The same of training images, of which there are more; there labels are made."""
    pair = ("bap-no-u0", "gap")
    found = {
        name: (record["regime"]["images"], gap)
        for name, record in training.items()
        if (gap := card_difference(record["regime"], pair))
    }
    told = " and ".join(
        f"{stated(gap)} on the {images} of `{name}`" for name, (images, gap) in found.items()
    )
    return f"On training images, without u_0 (one training each): {told}." if told else ""


def _halves(asked: Mapping[str, Any]) -> str:
    """By which half of the unary BAP's labels gain, in a paragraph."""
    made = [
        (row["text"], {n: difference_of(each) for n, each in row["by"].items() if each})
        for group in asked["groups"]
        for row in group["rows"]
        if row["text"] in HALVES.values()
    ]
    told = "; ".join(
        f"{text}: " + " and ".join(f"{stated(each)} on `{name}`" for name, each in gaps.items())
        for text, gaps in made
        if gaps
    )
    return f"**Which half of the unary gains by BAP** (one training each). {told}." if told else ""


def _maps(activations: Mapping[str, dict[str, Any]]) -> str:
    """How BAP's activation maps compare with GAP's, if they are not better in all everywhere."""
    cards = {name: record["activations"] for name, record in activations.items()}
    measures = {"precision": "precision", "recall": "recall", "iou": "IoU"}
    made = {
        title: {
            name: Difference(gap["value"], gap["low"], gap["high"])
            for name, card in cards.items()
            if (gap := card["differences"][measure])
        }
        for measure, title in measures.items()
    }
    if all(verdict(each) == "higher" for gaps in made.values() for each in gaps.values()):
        return ""
    told = "; ".join(
        f"{title} " + " and ".join(f"{stated(each)} on `{name}`" for name, each in gaps.items())
        for title, gaps in made.items()
    )
    cut = " and ".join(
        f"GAP {card['gap']['threshold']:.2f}, BAP {card['bap']['threshold']:.2f} on `{name}`"
        for name, card in cards.items()
    )
    return (
        f"That BAP's activation maps are better than GAP's. At the thresholds that training images "
        f"chose ({cut}): {told}."
    )


def _not_shown(
    records: dict[str, dict[str, Any]],
    benches: Mapping[str, dict[str, Any]],
    biases: Mapping[str, dict[str, Any]],
) -> str:
    """Where the noise-aware loss is not ahead of cross-entropy, and what was measured of why."""
    places = measured_pairs(records, benches, biases, "nal - crf")
    missed = [place for place, made in places.items() if verdict(made) != "higher"]
    apart = head_rooms(records, benches, biases)
    rooms = [made for place, made in apart.items() if place in missed]
    if not rooms:
        return ""
    rest = [made.mean for made in rooms if verdict(made) == "higher"]
    behind = sum(verdict(made) == "lower" for made in places.values())
    text = (
        f"That NAL beats cross-entropy on labels as they come: of {len(places)} comparisons "
        f"({_counted(places)}) it is ahead in {len(places) - len(missed) or 'none'}"
        f"{f' and behind in {behind}' if behind else ''}."
    )
    if len(rest) < len(rooms):
        text += f" In {len(rooms) - len(rest)} of them not even true masks are ahead of Y_crf."
    if rest:
        many = f"{len(rest)} true masks gain up to"
        where = many if len(rest) > 1 else "one, true masks gain"
        text += (
            f" In {'the other ' if len(rest) < len(rooms) else ''}{where} {max(rest):.1f} points; "
            f"NAL was not compared with them."
        )
    return text


def _counted(places: Collection[str]) -> str:
    """How many comparisons are of networks, and how many of heads."""
    heads = sum("bench of" in place for place in places)
    biased = sum("at their biases" in place for place in places)
    networks = len(places) - heads - biased
    told = {"of networks by the argmax": networks, "of networks with own biases": biased}
    told |= {"of heads, object against background and all classes": heads}
    return ", ".join(f"{number} {what}" for what, number in told.items() if number)


def _tried(recipes: Mapping[str, dict[str, Any]]) -> str:
    """Whether another way to train gives true masks a lead, in a sentence for each profile."""
    told = []
    for name, record in recipes.items():
        gaps = recipe_gaps(record)
        ahead = len({recipe for recipe, gap in gaps if verdict(gap) == "higher"})
        longest = max(
            made["optimisation"]["iterations"]
            for each in (record, *record.get("again", []))
            for made in each["recipes"].values()
        )
        text = (
            f"Of {len({recipe for recipe, _ in gaps})} recipes for the network of `{name}`, the "
            f"longest with {longest:,} iterations, {ahead or 'none'} puts true masks ahead on "
            f"held-out training images"
        )
        if moved := recipe_gaps(record, "at bias"):
            won = sum(verdict(gap) == "higher" for _, gap in moved)
            text += f"; with own biases they are ahead in {won} of {len(moved)} comparisons"
        told.append(f"{text}.")
    return " ".join(told)


def _spoiled(asked: Mapping[str, Any]) -> str:
    """What true masks and losses bring over cross-entropy if labels are too wide, in a paragraph.

    Cross-entropy sees nothing but Y_crf, so that true masks are ahead by the same in every group.
    """
    told, room = [], {}
    for group in (each for each in asked["groups"] if each["title"].endswith("too wide")):
        by_place: dict[str, list[str]] = {}
        for row in group["rows"]:
            if row["text"] == CEILING:
                room = {n: difference_of(made) for n, made in row["by"].items() if made}
            else:
                by_place.setdefault(_where(row["by"]), []).append(row["text"])
        parts = [f"{_listed(texts)} {where}" for where, texts in by_place.items() if where]
        if parts:
            told.append(f" {upper_first(group['title'])}: {'; '.join(parts)}.")
    if not told:
        return ""
    gains = " and ".join(f"{stated(made)} on `{name}`" for name, made in room.items())
    everywhere = all(verdict(made) == "higher" for made in room.values())
    found = "there is room" if everywhere else "room was not found everywhere"
    return (
        f"**On labels made worse** {found}: over cross-entropy, true masks bring {gains}."
        f"{''.join(told)}"
    )


def _listed(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def _where(made: Mapping[str, Mapping[str, float] | None]) -> str:
    """On which data sets a difference is ahead, behind or not told apart."""
    words = {"higher": "ahead", "lower": "behind", NOT_TOLD_APART: NOT_TOLD_APART}
    found = {name: words[verdict(difference_of(each))] for name, each in made.items() if each}
    if len(made) > 1 and len(found) == len(made) and len(set(found.values())) == 1:
        return f"{found.popitem()[1]} on both"
    return " and ".join(f"{word} on `{name}`" for name, word in found.items())


def _trained_again(records: Mapping[str, dict[str, Any]]) -> str:
    """Of which profiles labels and networks are of several trainings, in a sentence."""
    told = [
        f"`{name}` over {len(record['seeds'])} seeds of everything{_from(record)}"
        for name, record in records.items()
        if "seeds" in record
    ]
    if not told:
        return ""
    return (
        f"Labels and networks are means (± deviation), of {' and of '.join(told)}; their intervals "
        f"draw images and seeds, but so few seeds say little of how trainings vary."
    )


def _from(record: Mapping[str, Any]) -> str:
    """What a seed is the first to change."""
    drawn = record["data"].get("kind") == "drawn sample"
    return ", the drawn scenes included" if drawn else " from the classifier on"


def _trust(benches: Mapping[str, dict[str, Any]], again: Mapping[str, list[dict[str, Any]]]) -> str:
    """How many verdicts depend on the training of the classifier, in a sentence."""
    found = retrained(benches, again)
    if not found:
        return ""
    moved, total = (
        sum(len(moved_verdicts(p)) for p in found.values()),
        sum(map(len, found.values())),
    )
    where = " and ".join(f"`{name}` ({_times(len(each))})" for name, each in again.items())
    return (
        f"Intervals of heads do not cover the training of the classifier behind them. Trained "
        f"again on {where}, it changed {moved} of {total} verdicts about losses."
    )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def read_records(names: Iterable[str] = tuple(PROFILES)) -> dict[str, dict[str, Any]]:
    """The records that are in results/, by name."""
    paths = {name: ROOT / "results" / f"{name}.json" for name in names}
    return {n: json.loads(p.read_text(encoding="utf-8")) for n, p in paths.items() if p.is_file()}


def with_classes(name: str, bench: dict[str, Any]) -> dict[str, Any]:
    """A bench with that of all classes, where it has a record of its own."""
    other = f"bench-{name}-classes"
    made = read_records([other]).get(other)
    if made is None:
        return bench
    return bench | {"benches": bench["benches"] | made["benches"], "classes": f"{other}.json"}


def with_section(page: str, name: str, text: str) -> str:
    """A page with one of its sections replaced."""
    begin, end = BEGIN.format(name), END.format(name)
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def written(page: str, sections: Mapping[str, str]) -> str:
    """A page with every section written anew."""
    for name, text in sections.items():
        page = with_section(page, name, text)
    return page


def pages() -> dict[Path, str]:
    """Both pages as the records want them."""
    cards, benches, maps, left_out, recipes, biases, crossings, activations, training = (
        {
            name: record
            for name in PROFILES
            if (record := read_records([kind.format(name)]).get(kind.format(name)))
        }
        for kind in (
            *("regime-{}", "bench-{}", "noise-{}", "left-out-{}", "recipes-{}", "bias-{}"),
            *("crossing-{}", "activations-{}", "regime-{}-train"),
        )
    )
    found = read_records(), cards, {n: with_classes(n, r) for n, r in benches.items()}, maps
    for name, record in recipes.items():
        paths = sorted((ROOT / "results").glob(f"recipes-{name}-again-*.json"))
        record["again"] = list(read_records(path.stem for path in paths).values())
    again = {
        name: list(read_records(path.stem for path in paths).values())
        for name in PROFILES
        if (paths := sorted((ROOT / "results").glob(f"bench-{name}-again-*.json")))
    }
    wanted = {
        README: {
            "results": extract(*found, again, recipes, biases, crossings, activations, training)
        },
        RESULTS: {
            "results": section(*found, again, left_out, recipes, biases, training),
            "speed": speed(read_records(("labels", "crf"))),
        },
    }
    return {
        path: written(path.read_text(encoding="utf-8"), sections)
        for path, sections in wanted.items()
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8", newline="\n")
