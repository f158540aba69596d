"""Gamma by lambda: the noise-aware loss on labels as they are, against plain cross-entropy.

Heads on frozen features, as in `bana.experiment.bench`: every pair is trained under several seeds
and compared with cross-entropy on Y_crf seed by seed and image by image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bana.evaluation.intervals import paired_difference
from bana.evaluation.verdicts import plain_difference
from bana.experiment import benching, stages
from bana.experiment.bench import for_task, head_areas, head_settings
from bana.experiment.keeping import key_of
from bana.experiment.noise import Weighing, weighed_loss
from bana.experiment.processes import computing_with, spread_and_kept
from bana.experiment.profiles import Profile
from bana.experiment.seeds import by_seed
from bana.files.paths import run_dir
from bana.training.heads import FrozenImage, HeadSettings, train_head
from bana.training.segmentation import LOSSES

GAMMAS = (1.0, 3.0, 7.0, 15.0)
LAMBDAS = (0.01, 0.1, 1.0)
SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class WeighingSettings:
    """What is compared.

    Attributes:
        task: see `bana.experiment.bench.BenchSettings`.
        head: how heads are trained.
        gammas, lambdas: every pair of them is trained.
        seeds: of the heads; features and labels are the same for all.
    """

    task: str
    head: HeadSettings
    gammas: tuple[float, ...] = GAMMAS
    lambdas: tuple[float, ...] = LAMBDAS
    seeds: tuple[int, ...] = SEEDS


def weighing_card(profile: Profile, root: str | Path | None = None) -> dict[str, Any]:
    """`compared` of linear heads, of objects and background, on a profile's features and labels."""
    images = benching.frozen(profile, root=root)
    settings = WeighingSettings("object", head_settings("linear"))
    n_classes = len(stages.dataset(profile, "val", root).classes)
    keep = run_dir(profile.name) / "bench", images["key"]
    splits = images["train"], images["val"]
    return compared(*splits, n_classes, settings, keep, profile.label_workers)


def compared(
    train: Sequence[FrozenImage],
    val: Sequence[FrozenImage],
    n_classes: int,
    settings: WeighingSettings,
    keep: tuple[Path, str],
    processes: int = 1,
) -> dict[str, Any]:
    """Every gamma with every lambda under every seed, and cross-entropy on Y_crf.

    Args:
        train, val: with labels 0..L.
        n_classes: L + 1.
        settings: what is compared.
        keep: a folder in which each training's result is kept, and the hash of the images, so that
            an interrupted comparison goes on.
        processes: that train heads, one thread each; results do not depend on it.

    Returns:
        "task"; "seeds"; "crf": cross-entropy's mIoU in percent, one a seed; "cells": a list of
        {"gamma", "lam", "miou" (one a seed), "over crf"}, the last {"mean", "low", "high"} in
        points, see `paired_difference`: the interval is over seeds and images. None where no
        position counts.
    """
    train, val = for_task(train, settings.task), for_task(val, settings.task)
    count = 2 if settings.task == "object" else n_classes
    pairs = [Weighing(lam, gamma) for gamma in settings.gammas for lam in settings.lambdas]
    contenders: list[Weighing | None] = [None, *pairs]
    runs = [(weighing, seed) for weighing in contenders for seed in settings.seeds]
    kept = {run: _kept(settings, *run, keep) for run in runs}
    shared = train, val, count, settings.head
    made = spread_and_kept(_train_one, shared, kept, processes, "gamma by lambda")
    areas = {
        each: torch.stack([made[each, seed]["areas"] for seed in settings.seeds])
        for each in contenders
    }
    return {
        "task": settings.task,
        "seeds": list(settings.seeds),
        "crf": by_seed(areas[None]),
        "cells": [
            {
                "gamma": each.gamma,
                "lam": each.lam,
                "miou": by_seed(areas[each]),
                "over crf": plain_difference(paired_difference(areas[each], areas[None])),
            }
            for each in pairs
        ],
    }


def _kept(
    settings: WeighingSettings, weighing: Weighing | None, seed: int, keep: tuple[Path, str]
) -> tuple[Path, str]:
    """File and key of one training's areas."""
    folder, data_key = keep
    name = "crf" if weighing is None else f"gamma{weighing.gamma:g}-lambda{weighing.lam:g}"
    path = folder / f"weighing-{settings.task}-{settings.head.kind}-{name}-{seed}.pt"
    return path, key_of(compared, data_key, settings.task, settings.head, weighing, seed)


def _train_one(shared: tuple[Any, ...], run: tuple[Weighing | None, int]) -> dict[str, Tensor]:
    """Areas of one training on val, [N, C, 2]."""
    (train, val, count, head), (weighing, seed) = shared, run
    loss = LOSSES["crf"] if weighing is None else weighed_loss(weighing)
    with computing_with(1):
        return {"areas": head_areas(train_head(train, loss, count, head, seed), val, count)}
