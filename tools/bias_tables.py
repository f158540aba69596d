"""Networks with a background bias of their own, as Markdown, from results/; see tools/readme.py."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markdown_tables import score_of, table_of

from bana.evaluation.verdicts import difference_of, stated, verdict

WAYS = ("argmax", "at chosen")
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
        "argmax is not what mIoU asks for. So each network has a bias on the background's "
        "log-probability, chosen on every fifth training image with the labels that it learned "
        f"from ({'; '.join(map(_chosen, records.items()))}). Records: {links}.\n\n"
        f"{table_of(header, rows)}\n\n{' '.join(_by_bias(*each) for each in cards.items())}"
    )


def _scores(network: Card | None) -> str:
    return " / ".join(_score(network[way]) for way in WAYS) if network else "- / -"


def _score(by_seed: Sequence[float | None]) -> str:
    if None in by_seed:
        return score_of(None)
    mean = f"{statistics.fmean(by_seed):.1f}"
    return mean if len(by_seed) == 1 else f"{mean} ± {statistics.stdev(by_seed):.1f}"


def _apart(difference: Card | None) -> str:
    return " / ".join(stated(difference_of(difference[w])) for w in WAYS) if difference else "-"


def _chosen(named: tuple[str, Card]) -> str:
    """The biases of a profile's networks: from the least to the highest of the seeds."""
    name, record = named
    told = []
    for loss, network in record["bias"]["networks"].items():
        low, high = min(network["chosen"]), max(network["chosen"])
        told.append(f"{loss} {low:+g}" + (f" to {high:+g}" if high > low else ""))
    return f"`{name}`, {len(record['seeds'])} seeds: {', '.join(told)}"


def _by_bias(name: str, card: Card) -> str:
    """Where true masks lead and trail if all networks have one bias, in a sentence."""
    row = card["differences"].get("truth - crf")
    if row is None:
        return ""
    made = list(map(difference_of, row["by bias"]))
    last = f"{card['biases'][0]:+g} to {card['biases'][-1]:+g}"
    places = {
        word: [b for b, each in zip(card["biases"], made, strict=True) if verdict(each) == kind]
        for kind, word in (("higher", "ahead"), ("lower", "behind"))
    }
    told = [f"{word} at {_runs(found)}" for word, found in places.items() if found]
    ends = " and ".join(f"{stated(made[place])} at {card['biases'][place]:+g}" for place in (0, -1))
    where = " and ".join(told) if told else "told apart from Y_crf at none"
    return (
        f"With one bias for both, from {last}, true masks on `{name}` are {where}: {ends}; the "
        f"argmax is 0."
    )


def _runs(biases: Sequence[float]) -> str:
    """Biases in words, neighbours as a range: "-3 to -0.75, 0.5"."""
    return ", ".join(
        f"{run[0]:+g}" + (f" to {run[-1]:+g}" if len(run) > 1 else "") for run in _in_runs(biases)
    )


def _in_runs(biases: Sequence[float]) -> Iterator[list[float]]:
    run: list[float] = []
    for bias in biases:
        if run and bias - run[-1] > 0.25:
            yield run
            run = []
        run.append(bias)
    yield run
