"""When the noise-aware loss helps: label noise turned up in steps, lambda and gamma varied.

Noise is *spill*: the objects of a label grow by some positions within the boxes, as labels do where
a CRF finds no edge. Either Y_crf spills alone, so that Y_ret contradicts it there and ~S finds the
noise, or both labels spill alike, so that nothing does. True masks, which never spill, say how much
there is to win.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bana.evaluation.intervals import paired_difference
from bana.evaluation.verdicts import plain_difference
from bana.experiment.bench import for_task, head_areas, taught
from bana.experiment.keeping import key_of
from bana.experiment.processes import computing_with, spread_and_kept
from bana.experiment.seeds import by_seed
from bana.losses import IGNORE, noise_aware_loss, reliable_pixels
from bana.training.heads import FrozenImage, HeadSettings, train_head
from bana.training.segmentation import LOSSES, SegmentationLoss

NOISES = {"Y_crf": ("y_crf",), "both": ("y_crf", "y_ret")}
"""The labels that spill, by the name of the noise."""


@dataclass(frozen=True)
class Weighing:
    """How the noise-aware loss weighs ~S.

    Attributes:
        lam: lambda of Eq. 14 (the paper: .1).
        gamma: exponent of Eq. 12 (the paper: 7).
        by_area: lambda is multiplied by |~S| / |S| of the batch, so that a pixel of ~S counts on
            average lambda times as much as one of S, however small ~S is.
    """

    lam: float = 0.1
    gamma: float = 7.0
    by_area: bool = False


WEIGHINGS = {
    "lambda .1": Weighing(),
    "lambda .01": Weighing(0.01),
    "lambda 1": Weighing(1.0),
    "lambda by area": Weighing(1.0, by_area=True),
    "gamma 1": Weighing(gamma=1.0),
    "gamma 30": Weighing(gamma=30.0),
}
"""The paper's weighing, then one thing changed at a time."""


@dataclass(frozen=True)
class NoiseSettings:
    """What one map compares.

    Attributes:
        head: how heads are trained.
        reaches: of the spill, in label positions.
        seeds: of the heads.
    """

    head: HeadSettings
    reaches: tuple[int, ...]
    seeds: tuple[int, ...]


def spilled(image: FrozenImage, labels: Sequence[str], reach: int) -> FrozenImage:
    """An image of objects and background whose labels grow within the boxes.

    Args:
        image: with labels 0, 1 and 255.
        labels: which of "y_crf", "y_ret" grow.
        reach: positions by which an object grows in each direction, at least 0.
    """
    return image._replace(**{n: _grown(getattr(image, n), image.inside, reach) for n in labels})


def _grown(label: Tensor, inside: Tensor, reach: int) -> Tensor:
    objects = (label == 1).float()[None, None]
    near = F.max_pool2d(objects, 2 * reach + 1, stride=1, padding=reach)[0, 0] > 0
    return torch.where(near & inside & (label != IGNORE), 1, label.int()).to(label.dtype)


def weighed_loss(weighing: Weighing) -> SegmentationLoss:
    """The noise-aware loss with a weighing of its own."""
    return partial(_weighed, weighing)


def _weighed(
    weighing: Weighing, phi: Tensor, weight: Tensor, y_crf: Tensor, y_ret: Tensor, tau: float
) -> Tensor:
    lam = weighing.lam
    if weighing.by_area:
        reliable, unreliable = reliable_pixels(y_crf, y_ret)
        lam *= float(unreliable.sum() / reliable.sum().clamp_min(1))
    made = noise_aware_loss(phi, weight, y_crf, y_ret, tau, weighing.gamma, lam)
    return made.total


def _contenders() -> Mapping[str, tuple[SegmentationLoss, Any]]:
    """{name: (loss, what it depends on)}: cross-entropies, of masks too, and every weighing."""
    plain = {name: (LOSSES[name], name) for name in ("truth", "crf", "ret", "ignore")}
    return plain | {name: (weighed_loss(w), w) for name, w in WEIGHINGS.items()}


def label_noise(images: Sequence[FrozenImage]) -> dict[str, float]:
    """How noisy labels are within boxes, and what ~S tells of it; all in percent.

    Returns:
        "wrong": of the positions, Y_crf is not the mask; "unreliable": are in ~S; "recall": of the
        wrong ones, are in ~S; "precision": of those in ~S, are wrong. 0 where there is none.
    """
    counts = torch.zeros(4, dtype=torch.int64)
    for image in images:
        counted = image.inside & (image.mask != IGNORE) & (image.y_crf != IGNORE)
        wrong = counted & (image.y_crf != image.mask)
        unreliable = counted & reliable_pixels(image.y_crf, image.y_ret)[1]
        counts += torch.stack(
            [each.sum() for each in (counted, wrong, unreliable, wrong & unreliable)]
        )
    counted, wrong, unreliable, both = (max(1, int(count)) for count in counts)
    return {
        "wrong": 100 * int(counts[1]) / counted,
        "unreliable": 100 * int(counts[2]) / counted,
        "recall": 100 * int(counts[3]) / wrong,
        "precision": 100 * int(counts[3]) / unreliable,
    }


def noise_map(
    train: Sequence[FrozenImage],
    val: Sequence[FrozenImage],
    settings: NoiseSettings,
    keep: tuple[Path, str],
    processes: int = 1,
) -> list[dict[str, Any]]:
    """Losses trained on labels of more and more noise, told from background by their objects.

    Args:
        train, val: with labels 0..L; noise is added to the training labels alone.
        settings: what is compared.
        keep: a folder in which each training's result is kept, and the hash of the images.
        processes: that train heads, one thread each; results do not depend on it.

    Returns:
        One entry a kind of noise and reach: "noise", "reach", what `label_noise` says of it,
        "miou": {contender: one percent a seed}, and "over crf", "over ignore": {contender:
        {"mean", "low", "high"}} in points, see `paired_difference`. None where no position counts.
    """
    train, val = for_task(train, "object"), for_task(val, "object")
    places = [(noise, reach) for noise in NOISES for reach in settings.reaches]
    runs = [(p, n, seed) for p in places for n in _contenders() for seed in settings.seeds]
    kept = {run: _kept(settings, *run, keep) for run in runs}
    made = spread_and_kept(_train_one, (train, val, settings.head), kept, processes, "noise")
    entries = []
    for place in places:
        areas = {
            name: torch.stack([made[place, name, seed]["areas"] for seed in settings.seeds])
            for name in _contenders()
        }
        entries.append(
            dict(zip(("noise", "reach"), place, strict=True))
            | label_noise(_spilled_at(train, place))
            | {"miou": {n: by_seed(each) for n, each in areas.items()}}
            | {f"over {other}": _over(areas, other) for other in ("crf", "ignore")}
        )
    return entries


def _learned_from(
    images: Sequence[FrozenImage], place: tuple[str, int], name: str
) -> list[FrozenImage]:
    """The images as a contender sees them."""
    return taught(images, name) if name == "truth" else _spilled_at(images, place)


def _spilled_at(images: Sequence[FrozenImage], place: tuple[str, int]) -> list[FrozenImage]:
    noise, reach = place
    return [spilled(image, NOISES[noise], reach) for image in images]


def _over(areas: Mapping[str, Tensor], other: str) -> dict[str, dict[str, float] | None]:
    rest = (name for name in areas if name != other)
    return {name: plain_difference(paired_difference(areas[name], areas[other])) for name in rest}


def _kept(
    settings: NoiseSettings,
    place: tuple[str, int],
    name: str,
    seed: int,
    keep: tuple[Path, str],
) -> tuple[Path, str]:
    """File and key of one training's areas.

    Where nothing spills that is learned from, the noises are one, with one file.
    """
    (noise, reach), (folder, data_key) = place, keep
    reach = 0 if name == "truth" else reach
    place = noise if reach else "none", reach
    key = key_of(noise_map, data_key, list(place), _contenders()[name][1], settings.head, seed)
    words = [*place, name, seed]
    return folder / f"noise-{'-'.join(str(word).replace(' ', '_') for word in words)}.pt", key


def _train_one(shared: tuple[Any, ...], run: tuple[tuple[str, int], str, int]) -> dict[str, Tensor]:
    """Areas of one training on val, [N, 2, 2]."""
    (train, val, head), (place, name, seed) = shared, run
    with computing_with(1):
        trained = train_head(
            _learned_from(train, place, name), _contenders()[name][0], 2, head, seed
        )
        return {"areas": head_areas(trained, val, 2)}
