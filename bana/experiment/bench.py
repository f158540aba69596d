"""The bench of losses: many small trainings on frozen features that differ in the loss alone.

A segmenter trained for minutes hardly tells labels apart, since even true masks do not make it
better. A head on the classifier's frozen features trains in seconds, so that every loss can be
trained under several seeds, and compared with others seed by seed and image by image.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import plain_difference, plain_score
from bana.experiment.keeping import key_of
from bana.experiment.processes import computing_with, spread_and_kept
from bana.losses import IGNORE, reliable_pixels
from bana.networks.heads import PixelHead
from bana.training.heads import FrozenImage, HeadSettings, predicted, train_head
from bana.training.segmentation import LOSSES, weights_of

TASKS = ("object", "classes")
# Chosen with cross-entropy on Y_crf by the masks of every fifth *training* image, held out: of .01,
# .03, .1 (linear) and of .001, .003, .01 (conv), on voc-mini and on the sample.
LEARNING_RATES = {"linear": 3e-2, "conv": 3e-3}
# What is said of the losses: the first less the second, wherever both were trained.
PAIRS = (
    ("truth", "crf"),
    ("crf", "ret"),
    ("nal", "ignore"),
    ("nal", "crf"),
    ("nal", "ret"),
    ("nal", "entropy"),
    ("nal", "bootstrap"),
    ("nal", "generalised"),
    ("nal", "symmetric"),
    ("nal", "nal-detached"),
    ("nal", "nal-per-class"),
    ("ignore", "crf"),
)


@dataclass(frozen=True)
class BenchSettings:
    """What one bench compares.

    Attributes:
        task: "object" tells objects from background, "classes" all classes from one another.
        head: how heads are trained.
        losses: keys of `bana.training.segmentation.LOSSES`.
        seeds: of the heads; the classifier and its labels are the same for all.
        gamma, lam: of Eq. 12 and 14, for the losses that have them.

    Raises:
        ValueError: if the task is unknown, or a loss or a seed is given twice.
    """

    task: str
    head: HeadSettings
    losses: tuple[str, ...]
    seeds: tuple[int, ...]
    gamma: float = 7.0
    lam: float = 0.1

    def __post_init__(self) -> None:
        """Refuse an unknown task, and what would count twice."""
        if self.task not in TASKS:
            raise ValueError(f"unknown task {self.task!r}: use {' or '.join(TASKS)}")
        for name in ("losses", "seeds"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ValueError(f"{name} {' '.join(map(str, given))}: each counts once")

    def weights(self, loss: str) -> dict[str, float]:
        """Gamma and lambda, of which the loss has them."""
        return weights_of(loss, self.gamma, self.lam)


def head_settings(kind: str, epochs: int = 2) -> HeadSettings:
    """How a kind of head is trained, see `bana.networks.heads.KINDS`."""
    return HeadSettings(kind, epochs, batch=8, learning_rate=LEARNING_RATES[kind])


def for_task(images: Sequence[FrozenImage], task: str) -> list[FrozenImage]:
    """The images with their labels as a task has them: 0..L, or 0 and 1 for "object"."""
    if task == "classes":
        return list(images)
    names = ("mask", "y_crf", "y_ret")
    return [i._replace(**{name: _object(getattr(i, name)) for name in names}) for i in images]


def _object(labels: Tensor) -> Tensor:
    return torch.where(labels == IGNORE, IGNORE, (labels > 0).byte()).byte()


def taught(images: Sequence[FrozenImage], loss: str) -> list[FrozenImage]:
    """The images as a loss sees them: with true masks in the place of both labels for "truth".

    Raises:
        ValueError: if the loss is unknown.
    """
    if loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}: use one of {', '.join(LOSSES)}")
    if loss != "truth":
        return list(images)
    return [image._replace(y_crf=image.mask, y_ret=image.mask) for image in images]


def one_training(
    train: Sequence[FrozenImage],
    val: Sequence[FrozenImage],
    loss: str,
    n_classes: int,
    head: HeadSettings,
    seed: int,
    weights: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """A head trained with one loss, measured on images that it did not see and on those it did.

    Args:
        train, val: with the labels of a task.
        loss: a key of `bana.training.segmentation.LOSSES`.
        n_classes: C, background included.
        head: how it is trained.
        seed: of the head.
        weights: see `bana.training.segmentation.weights_of`; the paper's where there are none.

    Returns:
        "areas": int64 [N, C, 2] on ``val``, see `bana.evaluation.miou.class_areas`;
        "mechanism": int64 [2, 2, 2] on ``train``, see `label_mistakes`.
    """
    # On maps this small, threads would wait for one another.
    with computing_with(1):
        weighed = partial(LOSSES[loss], **weights)
        trained = train_head(taught(train, loss), weighed, n_classes, head, seed)
        return _measured(trained, train, val, n_classes)


def _measured(
    trained: PixelHead, train: Sequence[FrozenImage], val: Sequence[FrozenImage], n_classes: int
) -> dict[str, Tensor]:
    mechanism = sum(
        label_mistakes(labels, image)
        for labels, image in zip(predicted(trained, train), train, strict=True)
    )
    return {"areas": head_areas(trained, val, n_classes), "mechanism": mechanism}


def head_areas(head: PixelHead, images: Sequence[FrozenImage], n_classes: int) -> Tensor:
    """Areas of a head's predictions on images, int64 [N, C, 2], see `class_areas`."""
    pairs = zip(predicted(head, images), images, strict=True)
    return torch.stack([class_areas(labels, image.mask, n_classes) for labels, image in pairs])


def label_mistakes(labels: Tensor, image: FrozenImage) -> Tensor:
    """What a network made of right and wrong labels in the boxes of an image it learned from.

    Args:
        labels: its prediction, of the size of the image's labels.
        image: with Y_crf, which may be wrong, and the mask.

    Returns:
        int64 [2, 2, 2]: positions by region (S, ~S), whether Y_crf is right (no, yes), and whether
        the prediction is (no, yes).
    """
    counted = image.inside & (image.mask != IGNORE)
    label_right, own_right = image.y_crf == image.mask, labels == image.mask
    counts = torch.zeros(2, 2, 2, dtype=torch.int64)
    for region, where in enumerate(reliable_pixels(image.y_crf, image.y_ret)):
        index = 2 * label_right.long() + own_right.long()
        counts[region] = index[where & counted].bincount(minlength=4).view(2, 2)
    return counts


def bench(
    train: Sequence[FrozenImage],
    val: Sequence[FrozenImage],
    n_classes: int,
    settings: BenchSettings,
    keep: tuple[Path, str],
    processes: int = 1,
) -> dict[str, Any]:
    """Every loss under every seed, with paired differences and what became of wrong labels.

    Args:
        train, val: with labels 0..L.
        n_classes: L + 1.
        settings: what is compared.
        keep: a folder in which each training's result is kept, and the hash of the images, so that
            an interrupted bench goes on.
        processes: that train heads, one thread each; results do not depend on it.

    Returns:
        "miou": {loss: {"mean", "spread" (standard deviation over seeds), "by_seed"}} in percent;
        "differences": {"nal - crf": {"mean", "low", "high"}} in points, see `paired_difference`,
        of `PAIRS` and, of a loss in none of them, over "crf";
        "mechanism": {loss: {"S", "~S": {"rescued", "spoiled"}}}: of the positions in boxes whose
        Y_crf is wrong the percentage that the network gets right, and of those whose Y_crf is
        right the percentage that it gets wrong, on training images, over all seeds. None where no
        position counts.
    """
    train, val = for_task(train, settings.task), for_task(val, settings.task)
    count = 2 if settings.task == "object" else n_classes
    runs = [(seed, loss) for seed in settings.seeds for loss in settings.losses]
    kept = {run: _kept(settings, *run, keep) for run in runs}
    title = f"bench {settings.task}, {settings.head.kind}"
    shared = train, val, count, settings
    results = spread_and_kept(_train_one, shared, kept, processes, title)
    areas: dict[str, list[Tensor]] = {loss: [] for loss in settings.losses}
    mistakes = {loss: torch.zeros(2, 2, 2, dtype=torch.int64) for loss in settings.losses}
    for seed, loss in runs:
        made = results[seed, loss]
        areas[loss].append(made["areas"])
        mistakes[loss] += made["mechanism"]
    return {
        "miou": {loss: _over_seeds(each) for loss, each in areas.items()},
        "differences": {
            f"{first} - {second}": plain_difference(
                paired_difference(torch.stack(areas[first]), torch.stack(areas[second]))
            )
            for first, second in _pairs(settings.losses)
        },
        "mechanism": {loss: _shares(counts) for loss, counts in mistakes.items()},
    }


def _pairs(losses: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of these losses that are compared."""
    named = {loss for pair in PAIRS for loss in pair}
    others = ((loss, "crf") for loss in losses if loss not in named)
    return [pair for pair in (*PAIRS, *others) if set(pair) <= set(losses)]


def _kept(
    settings: BenchSettings, seed: int, loss: str, keep: tuple[Path, str]
) -> tuple[Path, str]:
    """File and key of one training's result."""
    folder, data_key = keep
    path = folder / f"{settings.task}-{settings.head.kind}-{loss}-{seed}.pt"
    weights = settings.weights(loss)
    return path, key_of(one_training, data_key, settings.task, loss, weights, settings.head, seed)


def _train_one(shared: tuple[Any, ...], run: tuple[int, str]) -> dict[str, Tensor]:
    (train, val, count, settings), (seed, loss) = shared, run
    weights = settings.weights(loss)
    return one_training(train, val, loss, count, settings.head, seed, weights)


def _over_seeds(areas: Sequence[Tensor]) -> dict[str, Any]:
    by_seed = [float(mean_iou(each.sum(0))) for each in areas]
    if any(map(math.isnan, by_seed)):
        return {"mean": None, "spread": None, "by_seed": [plain_score(each) for each in by_seed]}
    spread = statistics.stdev(by_seed) if len(by_seed) > 1 else None
    return {"mean": statistics.fmean(by_seed), "spread": spread, "by_seed": by_seed}


def _shares(counts: Tensor) -> dict[str, dict[str, float | None]]:
    return {
        region: {
            "rescued": _percent(counts[number, 0, 1], counts[number, 0].sum()),
            "spoiled": _percent(counts[number, 1, 0], counts[number, 1].sum()),
        }
        for number, region in enumerate(("S", "~S"))
    }


def _percent(part: Tensor, whole: Tensor) -> float | None:
    return 100 * int(part) / int(whole) if whole else None
