"""Several seeds of one experiment: their records made into one, with mean and spread."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from bana.evaluation.miou import mean_iou
from bana.evaluation.verdicts import plain_score

SCORES = ("labels_val", "instances_val", "segmentation_val")


def by_seed(areas: Tensor) -> list[float | None]:
    """mIoU in percent, one a seed, of areas [S, N, C, 2]; None where no position counts."""
    return [plain_score(score) for score in mean_iou(areas.sum(1)).tolist()]


def combined_record(records: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """One record of several that differ in nothing but the seed.

    Args:
        records: as `bana.experiment.recording.record` makes them, of at least two seeds.
        name: of the profile that the seeds were put into.

    Returns:
        A record of the same form whose scores and seconds are means over the seeds, with
        "seeds": their list; "spread": the scores' standard deviations over the n seeds, with
        n - 1 in the denominator; "by_seed": each seed's mIoU. A score that is missing under any
        seed is None.

    Raises:
        ValueError: if there are fewer than two, a seed comes twice, or the records differ in
            settings, data or rows.
    """
    seeds = [record["profile"]["seed"] for record in records]
    if len(seeds) < 2:
        raise ValueError(f"a spread needs at least two seeds, got {len(seeds)}")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"every seed counts once, got {', '.join(map(str, seeds))}")
    for record, seed in zip(records, seeds, strict=True):
        for part in ("profile", "data"):
            if _but_seed(record[part]) != _but_seed(records[0][part]):
                raise ValueError(f"the records of seeds {seeds[0]} and {seed} differ in {part}")
    parts = [part for part in SCORES if part in records[0]]
    scores = [{part: record.get(part) for part in parts} for record in records]
    means = _combine(scores, statistics.fmean, "scores")
    seconds = [record["seconds"] for record in records]
    return {
        **records[0],
        **means,
        "profile": {**records[0]["profile"], "name": name},
        "seconds": _combine(seconds, statistics.fmean, "seconds"),
        "seeds": seeds,
        "spread": _combine(scores, statistics.stdev, "scores"),
        "by_seed": {str(s): _mious(each) for s, each in zip(seeds, scores, strict=True)},
    }


def _but_seed(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in ("name", "seed")}


def _combine(values: Sequence[Any], reduce: Callable[[Sequence[float]], float], where: str) -> Any:
    """Reduce numbers that lie at the same place in nested dictionaries and lists."""
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, Mapping):
        if any(value.keys() != first.keys() for value in values):
            raise ValueError(f"the records differ in {where}: {', '.join(_strange(values))}")
        return {k: _combine([v[k] for v in values], reduce, f"{where}, {k}") for k in first}
    if isinstance(first, Sequence):
        return [_combine(place, reduce, where) for place in zip(*values, strict=True)]
    return reduce(values)


def _strange(values: Sequence[Mapping[str, Any]]) -> list[str]:
    everywhere = set.intersection(*(set(value) for value in values))
    return sorted({key for value in values for key in value} - everywhere)


def _mious(scores: Any) -> Any:
    """The same nest of dictionaries with mIoU, or AP, alone at its ends."""
    for measure in ("miou", "ap"):
        if measure in scores:
            return scores[measure]
    return {key: _mious(value) for key, value in scores.items()}
