"""A record's scores as tables of plain text."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import difference_of, estimated, stated

AP_COLUMNS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "APs",
    "ap_medium": "APm",
    "ap_large": "APl",
}


def record_tables(record: Mapping[str, Any]) -> str:
    """The scores of labels, boxes' masks and networks, in percent.

    Args:
        record: of `bana.experiment.recording.record`, or of several seeds from
            `bana.experiment.seeds.combined_record`, whose scores are shown as mean ± standard
            deviation. What an older record lacks is left out.
    """
    images = f"{record['data']['images']['val']} val images"
    seeds = record.get("seeds", ())
    spread = record.get("spread", {})
    lines = [f"mean ± standard deviation of {len(seeds)} seeds"] if seeds else []
    rows = record["labels_val"]
    columns = {"miou": "mIoU %", "boundary_miou": "boundary %", "coverage": "coverage %"}
    columns = {key: text for key, text in columns.items() if any(key in r for r in rows.values())}
    lines.append(_table(f"labels of {images}", columns, rows, spread.get("labels_val")))
    if record.get("instances_val"):
        lines.append(precision_lines(record["instances_val"], spread.get("instances_val")))
    networks, apart = record["segmentation_val"], spread.get("segmentation_val")
    modes = {mode: mode for mode in next(iter(networks.values()), {})}
    for measure, name in {"miou": "mIoU", "boundary_miou": "boundary IoU"}.items():
        if any(measure in scores for row in networks.values() for scores in row.values()):
            title = f"networks on {images}, {name} % by test mode"
            lines.append(_table(title, modes, _one(networks, measure), _one(apart, measure)))
    return "\n".join(lines)


def precision_lines(rows: Mapping[str, Any], spread: Mapping[str, Any] | None = None) -> str:
    """A table of average precision, in percent; "-" where there is no object of that size.

    Args:
        rows: of `bana.experiment.stages.instance_scores`.
        spread: their standard deviations over seeds.
    """
    return _table("masks of boxes, COCO's AP %", AP_COLUMNS, rows, spread)


def bench_lines(title: str, result: Mapping[str, Any]) -> str:
    """A bench of losses: scores with their spread, differences, and what became of wrong labels.

    Args:
        title: task and head.
        result: of `bana.experiment.benching.loss_bench`.
    """
    scores, seeds = result["miou"], len(next(iter(result["miou"].values()))["by_seed"])
    rows = {loss: {"miou": row["mean"]} for loss, row in scores.items()}
    spread = {loss: {"miou": row["spread"]} for loss, row in scores.items()}
    for loss, row in rows.items():
        for region, shares in result["mechanism"][loss].items():
            row |= {f"{kind} {region}": share for kind, share in shares.items()}
    columns = {"miou": "mIoU %"} | {
        f"{kind} {region}": f"{kind} {region} %"
        for kind in ("rescued", "spoiled")
        for region in ("S", "~S")
    }
    told = f"mean and deviation of {seeds} seeds" if seeds > 1 else "one seed"
    lines = [_table(f"{title}: {told}", columns, rows, spread)]
    for pair, difference in result["differences"].items():
        lines.append(f"  {pair:<28}{stated(difference_of(difference))}")
    return "\n".join(lines)


def recipe_lines(recipes: Mapping[str, Any]) -> str:
    """Recipes of the segmenter: scores on held-out training images, and the lead of true masks.

    Args:
        recipes: of `bana.experiment.benching.recipe_bench`.
    """
    columns = {"truth": "truth %", "crf": "Y_crf %"}
    rows = {name: recipe["miou"] for name, recipe in recipes.items()}
    lines = [_table("held-out training images, mIoU by recipe", columns, rows, None)]
    for name, recipe in recipes.items():
        ahead, iterations = stated(difference_of(recipe["truth - crf"])), recipe["optimisation"]
        line = f"  {name:<14}{iterations['iterations']:>6} iterations  truth - crf {ahead}"
        if moved := recipe.get("at bias"):  # older records have none
            line += f"; own biases {stated(difference_of(moved['truth - crf']))}"
        lines.append(line)
    return "\n".join(lines)


def bias_lines(card: Mapping[str, Any]) -> str:
    """Networks by argmax and at the background bias that training images choose.

    Args:
        card: of `bana.experiment.bias.bias_card`.
    """
    networks, columns = card["networks"], {"argmax": "argmax", "at chosen": "own bias"}
    title = f"networks on {card['images']['val']} val images, mIoU % by background bias"
    several = len(next(iter(networks.values()))["chosen"]) > 1

    def over_seeds(reduce: Callable[[Sequence[float]], float]) -> dict[str, dict[str, Any]]:
        return {
            loss: {c: None if None in row[c] else reduce(row[c]) for c in columns}
            for loss, row in networks.items()
        }

    spread = over_seeds(statistics.stdev) if several else None
    lines = [_table(title, columns, over_seeds(statistics.fmean), spread)]
    for loss, row in networks.items():
        lines.append(f"  {loss}: bias {', '.join(f'{bias:+.2f}' for bias in row['chosen'])}")
    for pair, row in card["differences"].items():
        told = (f"{text} {stated(difference_of(row[way]))}" for way, text in columns.items())
        lines.append(f"  {pair}: {'; '.join(told)}")
    return "\n".join(lines)


def noise_lines(entries: Sequence[Mapping[str, Any]]) -> str:
    """A map of label noise: what each loss brings over cross-entropy and over ignoring ~S.

    Args:
        entries: of `bana.experiment.noise.noise_map`.
    """
    lines = []
    for entry in entries:
        lines.append(
            f"{entry['noise']} spilled by {entry['reach']}: {entry['wrong']:.1f} % of labels in "
            f"boxes wrong, {entry['unreliable']:.1f} % in ~S, which holds {entry['recall']:.1f} % "
            f"of the wrong ones"
        )
        for other in ("crf", "ignore"):
            lines += [
                f"  {f'{loss} - {other}':<28}{stated(difference_of(made))}"
                for loss, made in entry[f"over {other}"].items()
            ]
    return "\n".join(lines)


# Of a regime card, as they are told; percent of pixels.
SHARES = {
    "accuracy_reliable": "Y_crf right on S",
    "accuracy_unreliable": "Y_crf right on ~S",
    "precision": "~S that is an error",
    "error_rate": "  by chance (error rate)",
    "precision_gain": "  above chance",
    "recall": "errors that lie in ~S",
    "unreliable_share": "  by chance (share of ~S)",
    "recall_gain": "  above chance",
}


def regime_lines(record: Mapping[str, Any]) -> str:
    """The regime card, in percent and points, with 95 % intervals over images.

    Args:
        record: of `bana regime`: "split", "regime" and "sigma", see `bana.evaluation.regime`.
    """
    card, sigma = record["regime"], record["sigma"]
    filling = card["filling"]
    lines = [f"regime of {card['images']} {record['split']} images, {card['boxes']} boxes"]
    if filling["boxes"]:
        quarters = ", ".join(f"{value:.0f}" for value in filling["quartiles"])
        lines.append(f"  a box is filled to {filling['mean']:.1f} % (quartiles {quarters})")
    lines += [f"  {kind:<30}mIoU {estimated(made)}" for kind, made in card["miou"].items()]
    for made in card["differences"]:
        values = [made[key] for key in Difference._fields]
        told = "-" if None in values else stated(Difference(*values))
        lines.append(f"  {made['first'] + ' - ' + made['second']:<30}{told}")
    for name, shares in card["inside"].items():
        lines.append(f"within boxes, {name} pixels")
        for key, made in shares.items():
            if key != "pixels":
                lines.append(f"  {SHARES[key]:<30}{estimated(made)}")
    if sigma:
        lines.append(f"sigma on ~S of {sigma['images']} training images")
        lines.append(f"  {'AUC (chance: 50)':<30}{estimated(sigma['auc'])}")
        lines.append(f"  {'labels right':<30}{estimated(sigma['right'])}")
        for part in sigma["bins"]:
            where = f"sigma {part['low']:.1f}-{part['high']:.1f}"
            lines.append(f"  {where:<30}{estimated(part['right'])}, {_cell(part['share'], None)} %")
    return "\n".join(lines)


def _one(networks: Mapping[str, Any] | None, measure: str) -> dict[str, Any] | None:
    """{loss: {mode: value}} of one measure."""
    if networks is None:
        return None
    return {
        loss: {mode: scores.get(measure) for mode, scores in modes.items()}
        for loss, modes in networks.items()
    }


def _table(
    title: str,
    columns: Mapping[str, str],
    rows: Mapping[str, Mapping[str, float | None]],
    spread: Mapping[str, Mapping[str, float | None]] | None,
) -> str:
    lines = [title, f"  {'':<20}" + "".join(f"{text:>14}" for text in columns.values())]
    for row, values in rows.items():
        apart = (spread or {}).get(row, {})
        cells = (_cell(values.get(key), apart.get(key)) for key in columns)
        lines.append(f"  {row:<20}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)


def _cell(value: float | None, spread: float | None) -> str:
    if value is None or value != value:  # nan
        return "-"
    return f"{value:.1f}" if spread is None else f"{value:.1f} ± {spread:.1f}"
