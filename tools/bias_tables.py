"""Networks with a background bias of their own, as Markdown, from results/; see tools/readme.py."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from markdown_tables import difference_cell, score_of, table_of

from bana.evaluation.verdicts import difference_of, stated, verdict

WAYS = ("argmax", "at chosen")
WORDS = {"higher": "ahead", "lower": "behind"}
Card = Mapping[str, Any]


def lines_drawn(records: Mapping[str, Card], names: Mapping[str, str]) -> str:
    """Networks by argmax, and with the bias that training images choose for each.

    Args:
        records: of `bana bench bias`, by profile.
        names: what losses are called.
    """
    if not records:
        return ""
    cards = {name: record["bias"] for name, record in records.items()}
    rows = [
        [text, *(_scores(card["networks"].get(loss)) for card in cards.values())]
        for loss, text in names.items()
        if any(loss in card["networks"] for card in cards.values())
    ]
    pairs = dict.fromkeys(pair for card in cards.values() for pair in card["differences"])
    for pair in pairs:
        first, second = (names[loss] for loss in pair.split(" - "))
        cells = (_apart(card["differences"].get(pair)) for card in cards.values())
        rows.append([f"{first}, over {second}", *cells])
    links = ", ".join(f"[`{name}`](../results/bias-{name}.json)" for name in cards)
    header = ["mIoU % and points, single scale, argmax / own bias", *(f"`{n}`" for n in cards)]
    return (
        "**Where the line is drawn.** Networks differ in how readily they say background, and the "
        "argmax is not what mIoU asks for (notebook 07). So each network is scored twice: by the "
        "argmax, and with a bias of its own on the background's log-probability, chosen on every "
        "fifth training image with the labels that it learned from "
        f"({'; '.join(map(_chosen, records.items()))}). Intervals take these biases as given. "
        f"Records: {links}.\n\n"
        f"{table_of(header, rows)}\n\n"
        f"{' '.join(_by_bias(name, card) for name, card in cards.items())}"
    )


def _by_bias(name: str, card: Card) -> str:
    """Where true masks lead and trail if both networks have the same bias, in a sentence."""
    row = card["differences"].get("truth - crf")
    if row is None:
        return ""
    ends = "; ".join(
        f"at {card['biases'][n]:+g}: {stated(difference_of(row['by bias'][n]))}" for n in (0, -1)
    )
    return (
        f"If networks of true masks and of Y_crf have the same bias, true masks on `{name}` are "
        f"{_told_apart(card)} ({ends})."
    )


def order_by_bias(records: Mapping[str, Card]) -> str:
    """The same of all profiles in one short sentence, for the README."""
    told = {
        name: _told_apart(record["bias"])
        for name, record in records.items()
        if "truth - crf" in record["bias"]["differences"]
    }
    if not told:
        return ""
    both = any(all(word in where for word in WORDS.values()) for where in told.values())
    why = ": the order depends on where the line is drawn" if both else ""
    first, *rest = (f"on `{name}`{{}} {text}" for name, text in told.items())
    where = ", ".join((first.format(" are"), *(each.format("") for each in rest)))
    return f"With the same bias for both networks, true masks {where}{why}."


def _told_apart(card: Card) -> str:
    """The biases at which true masks are ahead of Y_crf or behind it, in words."""
    made = map(difference_of, card["differences"]["truth - crf"]["by bias"])
    runs = [
        f"{WORDS[kind]} at {_ends([bias for bias, _ in run])}"
        for kind, run in groupby(
            zip(card["biases"], made, strict=True), key=lambda pair: verdict(pair[1])
        )
        if kind in WORDS
    ]
    return " and ".join(runs) or "nowhere told apart from Y_crf"


def _scores(network: Card | None) -> str:
    return " / ".join(_score(network[way]) for way in WAYS) if network else "- / -"


def _score(by_seed: Sequence[float | None]) -> str:
    if None in by_seed:
        return score_of(None)
    mean = f"{statistics.fmean(by_seed):.1f}"
    return mean if len(by_seed) == 1 else f"{mean} ± {statistics.stdev(by_seed):.1f}"


def _apart(difference: Card | None) -> str:
    return (
        " / ".join(difference_cell(difference_of(difference[w])) for w in WAYS)
        if difference
        else "-"
    )


def _chosen(named: tuple[str, Card]) -> str:
    """The biases of a profile's networks: from the least to the highest of the seeds."""
    name, record = named
    told = [
        f"{loss} {_ends(network['chosen'])}" for loss, network in record["bias"]["networks"].items()
    ]
    seeds = len(record["seeds"])
    return f"`{name}`, {seeds} seed{'s' if seeds > 1 else ''}: {', '.join(told)}"


def _ends(biases: Sequence[float]) -> str:
    low, high = (f"{end:+g}" if end else "0" for end in (min(biases), max(biases)))
    return low if low == high else f"{low} to {high}"
