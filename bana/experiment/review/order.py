"""The order in which masks are worth checking, and how many errors it finds where masks are known.

Y_crf and Y_ret are made in two ways, and where they differ at least one of them is wrong. Of each
box there is 1 - IoU of its masks in the two; the photographs with the highest mean come first. The
share of pixels in boxes that differ, which was tried too, lets one large object outweigh all others
and empty masks pass: it caught fewer errors.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bana.data.boxes import covered
from bana.data.class_names import matched
from bana.data.mask_checks import Boxed, reordered
from bana.data.voc import VOC_CLASSES
from bana.data.voc_files import IGNORE, DataError, read_class_names, read_mask, whole_file
from bana.experiment.mask_folder import labels_of, record_of

RESAMPLES = 2000
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of the photographs after which the record tells what was found."""
WORST = 0.2
"""The worst masks are this share of all."""
OTHER = 254
"""Number of what no box claims, in a mask of other classes; labels never have it."""


class Entry(NamedTuple):
    """A photograph in the order: how far the masks of its boxes differ, in [0, 1], how many boxes
    it has, and how many of them have an empty mask."""

    name: str
    file_name: str
    differ: float
    boxes: int
    empty: int


def review_order(out: Path, names: Sequence[str]) -> list[Entry]:
    """Photographs from the one whose boxes' two masks differ most to the one where they agree.

    Args:
        out: folder of the masks.
        names: of the photographs that have masks.
    """
    entries = []
    for name in names:
        held = record_of(out, name)
        boxes, empty = len(held["boxes"]), held["areas"].count(0)
        entries.append(Entry(name, held["file_name"], sum(held["differ"]) / boxes, boxes, empty))
    return sorted(entries, key=lambda entry: (-entry.differ, entry.name))


def write_order(path: Path, entries: Sequence[Entry]) -> None:
    """Write the order as CSV: rank, image, differ, boxes, empty."""
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["rank", "image", "differ", "boxes", "empty"])
        for rank, entry in enumerate(entries, start=1):
            rows.writerow([rank, entry.file_name, f"{entry.differ:.4f}", entry.boxes, entry.empty])


def errors_of(
    out: Path, entries: Sequence[Entry], classes: Sequence[str], truth: Path
) -> dict[str, float]:
    """Share of the pixels in boxes on which Y_crf is wrong, by photograph.

    Args:
        out: folder of the masks.
        entries: the photographs.
        classes: of the masks, background first.
        truth: folder of true masks, <name>.png, palette or grey, numbered as classes.txt in that
            folder or the one above says, else as VOC's 20 classes; 255 is not counted.

    Returns:
        Shares in [0, 1] of the photographs that have a true mask.

    Raises:
        DataError: if no photograph has one, or one is damaged, of another size or has a number that
            is no class, or if none has a pixel of the boxes' classes.
    """
    renumbered = torch.full((256,), OTHER, dtype=torch.uint8)
    renumbered[IGNORE] = IGNORE
    known = _truth_classes(truth)
    for number, own in enumerate(matched(known, classes)):
        renumbered[number] = OTHER if own is None else own
    # The boxes' classes as the true masks number them.
    there = {int(renumbered[number]): number for number in range(1, len(known))}
    errors: dict[str, float] = {}
    recognised = False
    for entry in entries:
        path = truth / f"{entry.name}.png"
        if not path.is_file():
            continue
        y_crf, _ = labels_of(out, entry.name)
        mask = read_mask(path)
        if mask.shape != y_crf.shape:
            raise DataError(
                f"{path}: {tuple(mask.shape)}, but the photograph is {tuple(y_crf.shape)}"
            )
        if beyond := sorted({*mask.unique().tolist()} - {*range(len(known)), IGNORE}):
            raise DataError(f"{path}: has the number {beyond[0]}. {_numbering(truth, known)}")
        numbers, *corners = zip(*record_of(out, entry.name)["boxes"], strict=True)
        boxes = torch.tensor(corners).T
        boxed = Boxed(boxes, torch.tensor([there.get(number, -1) for number in numbers]))
        if reason := reordered(path, mask, lambda boxed=boxed: boxed, len(known)):
            raise DataError(f"{path}: {reason}")
        true = renumbered[mask.long()]
        recognised |= bool(torch.isin(true, torch.tensor(numbers)).any())
        counted = covered(boxes, *mask.shape) & (mask != IGNORE) & (y_crf != IGNORE)
        wrong = (true != y_crf) & counted
        errors[entry.name] = float(wrong.sum()) / max(1, int(counted.sum()))
    if not errors:
        raise DataError(f"{truth}: no mask of any of the {len(entries)} photographs (<name>.png)")
    if not recognised:
        raise DataError(
            f"{truth}: no mask has a pixel of the boxes' classes. {_numbering(truth, known)}"
        )
    return errors


def _numbering(truth: Path, known: Sequence[str]) -> str:
    """How true masks were read, and how to have them read otherwise."""
    return (
        f"True masks were read with the numbers 0 to {len(known) - 1}, of {known[0]} to "
        f"{known[-1]}, and 255: write their classes into {truth / 'classes.txt'}, one on a line"
    )


def _truth_classes(truth: Path) -> tuple[str, ...]:
    if not truth.is_dir():
        raise DataError(f"{truth}: no such folder of masks")
    # The parent of "." would be itself.
    places = (truth, truth.absolute().parent)
    found = [path for place in places if (path := place / "classes.txt").exists()]
    return read_class_names(found[0], background_implied=True) if found else VOC_CLASSES


def review_curve(errors: Sequence[float]) -> dict[str, Any]:
    """How many errors are caught by looking at photographs in an order, beside chance.

    Args:
        errors: share of wrong pixels of each photograph, in the order of looking.

    Returns:
        "photographs"; "caught", percent of all errors in the first k, for k from 0; "points", of
        some shares of the photographs: the percent of errors caught with its 95 % interval over
        resampled photographs, by chance (looking in any order), and at best (looking at the worst
        first), and the percent found of the worst fifth of the masks, with its interval; "gain",
        the mean over all k of caught over chance, in points, with its interval.
    """
    held = np.asarray(errors, dtype=np.float64)
    chosen = np.random.default_rng(0).integers(0, len(held), (RESAMPLES, len(held)))
    # A resample keeps the order: photographs are drawn, not places.
    drawn = held[np.sort(chosen, axis=1)]
    caught, best = _caught(held[None])[0], _caught(-np.sort(-held)[None])[0]
    every = _caught(drawn)
    worst, worst_drawn = _worst_found(held[None])[0], _worst_found(drawn)
    points = []
    for share in SHARES:
        k = round(share * len(held))
        points.append(
            {
                "looked_at": 100 * k / len(held),
                "caught": _with_interval(caught[k], every[:, k]),
                "chance": 100 * k / len(held),
                "best": float(best[k]),
                "worst_fifth": _with_interval(worst[k], worst_drawn[:, k]),
            }
        )
    chance = _caught(np.zeros((1, len(held))))[0]
    gain = _with_interval((caught - chance).mean(), (every - chance).mean(1))
    return {
        "photographs": len(held),
        "mean_error": float(100 * held.mean()),
        "gain": gain,
        "points": points,
        "caught": [round(float(value), 2) for value in caught],
    }


def _caught(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of all errors in the first 0, 1, ... of each row; chance where there is none."""
    total = errors.sum(1, keepdims=True)
    n = errors.shape[1]
    sums = np.concatenate([np.zeros((len(errors), 1)), errors.cumsum(1)], axis=1)
    chance = np.broadcast_to(np.linspace(0, 1, n + 1), sums.shape)
    return 100 * np.where(total > 0, sums / np.where(total > 0, total, 1), chance)


def _worst_found(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percent of each row's worst fifth that is in its first 0, 1, ..."""
    count = max(1, round(WORST * errors.shape[1]))
    ranks = (-errors).argsort(1, kind="stable").argsort(1, kind="stable")
    return _caught((ranks < count).astype(np.float64))


def _with_interval(value: float, drawn: NDArray[np.float64]) -> dict[str, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"value": float(value), "low": float(low), "high": float(high)}
