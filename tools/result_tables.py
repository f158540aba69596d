"""The results of docs/results.md as Markdown, from the records in results/; see tools/readme.py."""

from collections.abc import Mapping
from typing import Any

from bias_tables import lines_drawn
from head_tables import LOSSES, bench_table, noise_table, trainings_again
from left_out_tables import changes
from markdown_tables import difference_cell, score_of, table_of
from recipe_tables import recipes_tried

from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import (
    NOT_TOLD_APART,
    difference_of,
    estimated,
    interval,
    stated,
    verdict,
)
from bana.experiment.published import ORDERINGS

PROFILES = {
    "voc-mini": "photographs: a stratified part of VOC 2012's segmentation *val* set, cut into",
    "sample": "drawn scenes, cut into",
}
LABELS = {
    "boxes": "boxes filled",
    "boxes-crf": "boxes filled, CRF",
    "boxes-middle": "middle of the boxes grown by a CRF",
    "grabcut": "GrabCut",
    "gap": "GAP, Y_crf",
    "bap-no-u0": "BAP, Y_crf without u_0",
    "bap": "BAP, Y_crf",
    "bap-ret": "BAP, Y_ret",
    "agreement-dropped": "where both agree, other pixels left out",
    "agreement-wrong": "where both agree, other pixels counted wrong",
}
INSIDE = {
    "within boxes: Y_crf right where Y_ret agrees (S)": "accuracy_reliable",
    "within boxes: Y_crf right where it does not (~S)": "accuracy_unreliable",
    "within boxes: share of ~S, recall of errors by chance": "unreliable_share",
    "within boxes: errors that lie in ~S, recall": "recall",
    "within boxes: error rate, precision by chance": "error_rate",
    "within boxes: ~S that is an error, precision": "precision",
}


def section(
    records: dict[str, dict[str, Any]],
    regimes: Mapping[str, dict[str, Any]] | None = None,
    benches: Mapping[str, dict[str, Any]] | None = None,
    maps: Mapping[str, dict[str, Any]] | None = None,
    again: Mapping[str, list[dict[str, Any]]] | None = None,
    left_out: Mapping[str, dict[str, Any]] | None = None,
    recipes: Mapping[str, dict[str, Any]] | None = None,
    biases: Mapping[str, dict[str, Any]] | None = None,
    training: Mapping[str, dict[str, Any]] | None = None,
) -> str:
    """The results section, in Markdown, of records, cards, benches and maps by profile.

    ``training`` are cards of training images.
    """
    names = [name for name in PROFILES if name in records]
    parts = [_intro(name, records[name]) for name in names]
    shown = {name: records[name] for name in names}
    parts += [_labels(shown), _orderings(shown, "labels_val", LABELS)]
    cards = {name: r for name in PROFILES if (r := (regimes or {}).get(name))}
    parts.append(_regime(cards, training or {}, shown))
    parts += [_networks(shown, "single"), _networks(shown, "multi")]
    parts.append(_orderings(shown, "segmentation_val", LOSSES))
    parts.append(lines_drawn(biases or {}, LOSSES))
    parts.append(bench_table({name: r for name in PROFILES if (r := (benches or {}).get(name))}))
    drawn = {name: r for name in PROFILES if (r := (maps or {}).get(name))}
    parts.append(noise_table(drawn, benches or {}))
    parts.append(trainings_again(benches or {}, again or {}))
    parts.append(_head_room(shown, benches or {}, biases or {}))
    parts += [recipes_tried(name, record) for name, record in (recipes or {}).items()]
    parts.append(changes(left_out or {}))
    return "\n\n".join(part for part in parts if part)


def measured_pairs(
    records: Mapping[str, dict[str, Any]],
    benches: Mapping[str, dict[str, Any]],
    biases: Mapping[str, dict[str, Any]],
    pair: str,
) -> dict[str, Difference]:
    """A pair's difference wherever it was measured: networks of a profile, and its benches."""
    made = {
        f"`{name}`, networks": record.get("differences", {}).get("segmentation_val", {})
        for name, record in records.items()
    }
    for name, record in biases.items():
        apart = record["bias"]["differences"]
        made[f"`{name}`, networks at their biases"] = {p: r["at chosen"] for p, r in apart.items()}
    for name, record in benches.items():
        for kind, each in record["benches"].items():
            made[f"`{name}`, bench of {kind}"] = each["differences"]
    return {place: difference_of(each[pair]) for place, each in made.items() if pair in each}


def head_rooms(
    records: Mapping[str, dict[str, Any]],
    benches: Mapping[str, dict[str, Any]],
    biases: Mapping[str, dict[str, Any]],
) -> dict[str, Difference]:
    """What true masks bring over cross-entropy on Y_crf, wherever it was measured."""
    return measured_pairs(records, benches, biases, "truth - crf")


def _intro(name: str, record: dict[str, Any]) -> str:
    images, profile = record["data"]["images"], record["profile"]
    minutes = sum(record["seconds"].values()) / 60
    seeds, each = f"seed {profile['seed']}", ""
    if "seeds" in record:
        seeds = f"mean ± standard deviation of {len(record['seeds'])} seeds"
        each = " a seed"
    return (
        f"**`{name}`**: {PROFILES[name]} {images['train']} training and {images['val']} validation "
        f"images, {len(record['data']['classes']) - 1} classes; backbone {profile['backbone']}, "
        f"{profile['classifier']['iterations']} and {profile['segmentation']['iterations']} "
        f"iterations, {seeds}; {minutes:.0f} minutes of training and labelling{each} on "
        f"{record['environment']['cores']} cores, which may have had other work "
        f"([record](../results/{name}.json), commit {record['commit']})."
    )


def value_at(record: dict[str, Any], *place: str) -> str:
    """A score, with its spread where the record has several seeds; "-" where there is none."""
    value, spread = record, record.get("spread")
    for key in place:
        value = value.get(key) if value else None
        spread = spread.get(key) if spread else None
    return score_of(value) if value is None or spread is None else f"{value:.1f} ± {spread:.1f}"


def _with(records: dict[str, dict[str, Any]], *place: str) -> dict[str, dict[str, Any]]:
    """The records that have something at a place; older ones lack what is measured since."""
    return {n: r for n, r in records.items() if value_at(r, *place) != "-"}


def _measured(records: dict[str, dict[str, Any]], kind: str) -> dict[str, str]:
    """The kinds of labels that one of the records has at least, with what they are called."""
    return {
        key: label for key, label in LABELS.items() if any(key in r[kind] for r in records.values())
    }


def _labels(records: dict[str, dict[str, Any]]) -> str:
    rows = []
    for key, label in _measured(records, "labels_val").items():
        cells = [
            f"{value_at(r, 'labels_val', key, 'miou')} ({r['labels_val'][key]['coverage']:.0f})"
            if key in r["labels_val"]
            else "-"
            for r in records.values()
        ]
        rows.append([label, *cells])
    header = ["labels made from boxes, mIoU % (pixels labelled %)", *(f"`{n}`" for n in records)]
    return table_of(header, rows)


def _networks(records: dict[str, dict[str, Any]], mode: str) -> str:
    records = _with(records, "segmentation_val", "crf", mode, "miou")
    rows = []
    trained = [key for key in LOSSES if _with(records, "segmentation_val", key, mode, "miou")]
    for key, label in ((key, LOSSES[key]) for key in trained):
        cells = [
            " / ".join(
                value_at(record, "segmentation_val", key, test, "miou")
                for test in (mode, f"{mode}-crf")
            )
            for record in records.values()
        ]
        rows.append([label, *cells])
    how = {"single": "single scale", "multi": "multi-scale with flips"}[mode]
    header = [f"network trained with, mIoU % {how} / with CRF", *(f"`{n}`" for n in records)]
    return table_of(header, rows) if records else ""


def _regime(
    cards: dict[str, dict[str, Any]],
    training: Mapping[str, dict[str, Any]],
    records: dict[str, dict[str, Any]],
) -> str:
    """Whether the data sets lie where the method works; nothing without cards."""
    rows = {
        "images, boxes": lambda card: f"{card['images']}, {card['boxes']}",
        "a box's pixels that its class covers, mean (quartiles)": _filling,
    }
    columns = {f"`{name}`": (card, f"regime-{name}.json") for name, card in cards.items()}
    for name in (name for name in cards if name in training):
        columns[f"`{name}`, training images"] = training[name], f"regime-{name}-train.json"
    shown = [card for card, _ in columns.values()]
    pairs = [(d["first"], d["second"]) for r in shown for d in r["regime"]["differences"]]
    for pair in dict.fromkeys(pairs):
        name = f"{LABELS[pair[0]]}, over {LABELS[pair[1]]}"
        rows[name] = lambda card, pair=pair: _card_cell(card, pair)
    for name, key in INSIDE.items():
        rows[name] = lambda card, key=key: estimated(card["inside"]["all"][key])
    lines = [[name, *(row(r["regime"]) for r in shown)] for name, row in rows.items()]
    if any(r["sigma"] for r in shown):
        name = "a right label of ~S has a higher sigma than a wrong one (chance: 50)"
        lines.append([name, *(estimated((r["sigma"] or {}).get("auc")) for r in shown)])
    found = ", ".join(f"[{name}](../results/{file})" for name, (_, file) in columns.items())
    header = ["regime card, % and points, 95 % intervals over images", *columns]
    told = f"{table_of(header, lines)}\n\nCards: {found}.{_other_training(cards, records)}"
    return told if cards else ""


def _other_training(cards: dict[str, dict[str, Any]], records: dict[str, dict[str, Any]]) -> str:
    """Of which profiles the card is of no training that the labels above are of, in a sentence."""
    found = []
    for name, card in cards.items():
        own = card["regime"].get("miou", {}).get("bap", {}).get("value")
        record = records.get(name, {})
        scores = [by["labels_val"].get("bap") for by in record.get("by_seed", {}).values()]
        scores = scores or [record.get("labels_val", {}).get("bap", {}).get("miou")]
        known = [score for score in scores if None not in (own, score)]
        if known and not any(abs(score - own) < 1e-3 for score in known):
            found.append(f"`{name}`")
    what = "is of another training than the labels above"
    return f" The card of {' and of '.join(found)} {what}." if found else ""


def _filling(card: dict[str, Any]) -> str:
    mean, quarters = card["filling"]["mean"], card["filling"]["quartiles"]
    return f"{mean:.0f} ({', '.join(f'{q:.0f}' for q in quarters)})" if quarters else "-"


def card_difference(card: Mapping[str, Any], pair: tuple[str, str]) -> Difference | None:
    """A difference of a regime card; None where it was not taken or has no score."""
    for made in card["differences"]:
        values = [made[key] for key in Difference._fields]
        if (made["first"], made["second"]) == pair and None not in values:
            return Difference(*values)
    return None


def _card_cell(card: Mapping[str, Any], pair: tuple[str, str]) -> str:
    gap = card_difference(card, pair)
    return "-" if gap is None else difference_cell(gap)


ONE_TRAINING = (
    "Each of these networks is trained once: the interval covers the choice of images, not the "
    "chance in a training, so that a gap of a point or two is open."
)


def _orderings(records: dict[str, dict[str, Any]], part: str, names: dict[str, str]) -> str:
    """What the paper puts above what, and whether it lies there: by intervals over images.

    They are over seeds, too, where a record has several; where it has one, networks are told to
    know of a single training.
    """
    paragraphs = []
    for name, record in records.items():
        verdicts: dict[str, list[str]] = {"higher": [], "lower": [], NOT_TOLD_APART: []}
        for better, worse in (pair for pairs in ORDERINGS.values() for pair in pairs):
            made = record.get("differences", {}).get(part, {}).get(f"{better} - {worse}")
            if made:
                difference = difference_of(made)
                claim = f"{names[better]} over {names[worse]} ({interval(difference)})"
                verdicts[verdict(difference)].append(claim)
        told = {"higher": "Came out", "lower": "Came out the other way"}
        told[NOT_TOLD_APART] = "Not told apart"
        sentences = [f"{told[kind]}: {'; '.join(made)}." for kind, made in verdicts.items() if made]
        if sentences and part == "segmentation_val" and "seeds" not in record:
            sentences.append(ONE_TRAINING)
        if sentences:
            paragraphs.append(f"The paper's orderings on `{name}`. {' '.join(sentences)}")
    return "\n\n".join(paragraphs)


def _head_room(
    records: Mapping[str, dict[str, Any]],
    benches: Mapping[str, dict[str, Any]],
    biases: Mapping[str, dict[str, Any]],
) -> str:
    """What no loss could show here, since true masks do not show more than pseudo labels."""
    apart = head_rooms(records, benches, biases)
    if not apart:
        return ""
    room = "; ".join(f"{place}: {stated(difference)}" for place, difference in apart.items())
    text = (
        f"**What could not be shown.** A loss on pseudo labels has something to win where true "
        f"masks teach more than Y_crf. They gain over it, in points: {room}."
    )
    full = [place for place, difference in apart.items() if verdict(difference) != "higher"]
    if full:
        some = f" Where true masks are not ahead ({'; '.join(full)}),"
        text += (
            f"{some if len(full) < len(apart) else ' They are ahead in none of these:'} a loss "
            f"that is not told apart from cross-entropy on Y_crf there is neither confirmed nor "
            f"refuted."
        )
    return text
