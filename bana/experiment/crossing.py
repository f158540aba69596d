"""Both halves of the unary of either classifier: whose activation map, and whose attention.

The paper compares GAP without u_0, BAP without it, and BAP with it (Table 1). Whether the last
gains by background-aware pooling, or by there being a u_0 at all, it leaves open: GAP's features
have an attention too. Here u_c is of one classifier and u_0 of either, or of none.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bana.crf.dense import CrfParameters
from bana.data.boxes import crowds_of
from bana.data.fingerprint import fingerprint
from bana.data.transforms import eval_image
from bana.data.voc import VocDataset
from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import plain_difference, plain_estimate
from bana.experiment import stages
from bana.experiment.keeping import key_of
from bana.experiment.processes import computing_with, spread
from bana.experiment.profiles import Profile
from bana.files.artefacts import kept_json, weights_hash
from bana.files.paths import run_dir
from bana.interpolation import bilinear
from bana.labels import (
    Maps,
    UnaryOptions,
    as_labels,
    enlarged_maps,
    normalised_cams,
    refined,
    regions_of,
    unary_of,
)
from bana.networks.classifier import BoxClassifier

POOLINGS = ("gap", "bap")
NONE = "none"
CELLS = tuple((cam, attention) for cam in POOLINGS for attention in (NONE, *POOLINGS))
"""Whose u_c, whose u_0."""

PAIRS = (
    (("bap", NONE), ("gap", NONE)),
    (("gap", "gap"), ("gap", NONE)),
    (("bap", "bap"), ("bap", NONE)),
    (("bap", "bap"), ("gap", "gap")),
    (("gap", "bap"), ("gap", "gap")),
    (("bap", "bap"), ("gap", "bap")),
)
"""Cells that differ in one thing, and the fourth in both: the first less the second."""


def crossing_card(profile: Profile, root: str | Path | None = None) -> dict[str, Any]:
    """mIoU of Y_crf on the validation images by the classifier of u_c and that of u_0.

    Threshold, N, temperature and CRF are the profile's, and the same for all.

    Returns:
        "cells": a list of {"cam", "attention", "miou": an estimate in percent}, "none" where there
        is no u_0; "differences": a list of {"first", "second": [cam, attention], "points":
        {"mean", "low", "high"} or None}. Intervals are over images and know of one training each.

    Raises:
        bana.data.voc.DataError: if an image has no mask.
    """
    models = {pooling: stages.classifier(profile, pooling, root) for pooling in POOLINGS}
    data = stages.dataset(profile, "val", root)
    for name in data.ids:
        data.mask(name)  # or tells that there is none
    settings = profile.unary, profile.label_crf
    weights = {pooling: weights_hash(model.state_dict()) for pooling, model in models.items()}
    seen = fingerprint(data, "photograph", "boxes", "mask")
    return kept_json(
        run_dir(profile.name) / "crossing.json",
        key_of(crossing_card, weights, seen, settings, profile.image_scale),
        lambda: card_of(_areas(models, data, profile)),
    )


def card_of(areas: Mapping[tuple[str, str], Tensor]) -> dict[str, Any]:
    """What `crossing_card` returns, of the areas [N, L + 1, 2] of each of `CELLS`."""
    return {
        "cells": [
            {
                "cam": cam,
                "attention": attention,
                "miou": plain_estimate(estimate(areas[cam, attention], mean_iou)),
            }
            for cam, attention in CELLS
        ],
        "differences": [
            {
                "first": list(first),
                "second": list(second),
                "points": plain_difference(
                    paired_difference(areas[first][None], areas[second][None])
                ),
            }
            for first, second in PAIRS
        ],
    }


def _areas(
    models: Mapping[str, BoxClassifier], data: VocDataset, profile: Profile
) -> dict[tuple[str, str], Tensor]:
    shared = models, data, profile.unary, profile.label_crf, profile.image_scale
    jobs = range(len(data))
    made = dict(spread(_areas_of_image, shared, jobs, profile.label_workers, "crossing"))
    whole = torch.from_numpy(np.stack([made[number] for number in jobs]))  # [N, cells, L + 1, 2]
    return dict(zip(CELLS, whole.unbind(1), strict=True))


# Helpers give arrays back: a tensor would travel as a file descriptor, of which a process has few.
def _areas_of_image(shared: tuple[Any, ...], number: int) -> np.ndarray:
    models, data, *settings = shared
    with computing_with(1):
        item = data[number]
        made, mask = crossed_labels(models, item, *settings), item["mask"].as_subclass(Tensor)
        areas = [class_areas(made[cell], mask, len(data.classes)) for cell in CELLS]
        return torch.stack(areas).numpy()


@torch.no_grad()
def crossed_labels(
    models: Mapping[str, BoxClassifier],
    item: Mapping[str, Any],
    options: UnaryOptions,
    crf: CrfParameters,
    image_scale: float = 1.0,
) -> dict[tuple[str, str], Tensor]:
    """Y_crf of an image for each of `CELLS`, uint8 [H, W].

    Args:
        models: by pooling, in evaluation mode.
        item: as a data set gives it.
        options: how the unary is made; whether it has a u_0 is the cell's affair.
        crf: parameters of the dense CRF.
        image_scale: the constant enlargement that the classifiers were trained with.
    """
    image, boxes = (item[key].as_subclass(Tensor) for key in ("image", "boxes"))
    regions = regions_of(boxes, item["labels"], crowds_of(item), *image.shape[1:])
    maps: dict[str, Maps] = {}
    for pooling, model in models.items():
        f = model.backbone(eval_image(item, image_scale)[None])[0]
        stride = model.backbone.stride / image_scale
        enlarge = bilinear(f.shape[1:], image.shape[1:], stride, like=f)
        weight = model.weight[regions.classes]
        maps[pooling] = enlarged_maps(f, weight, regions.outside, enlarge, options.grid_size)
    unseen = torch.zeros(len(regions.classes), dtype=torch.bool)
    made = {}
    for cam, attention in CELLS:
        has_u_0 = attention != NONE
        own = replace(options, background="attention" if has_u_0 else "none")
        foreground = normalised_cams(maps[cam].cams, boxes, item["labels"], regions.classes)
        unary = unary_of(maps[attention if has_u_0 else cam], foreground, regions, unseen, own)
        made[cam, attention] = as_labels(refined(image, regions, unary, crf), regions)
    return made
