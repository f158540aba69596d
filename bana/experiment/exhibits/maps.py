"""Attention and class activation: of GAP and BAP, and by the size of the background grid."""

from typing import Any

import torch
from torch import Tensor

from bana import bap
from bana.cam import class_activation
from bana.data import boxes as corners
from bana.data.transforms import eval_image
from bana.evaluation.regime import plain
from bana.evaluation.verdicts import estimate
from bana.experiment import stages
from bana.experiment.exhibits.scenes import chosen_scenes, scene
from bana.experiment.exhibits.sources import Materials, Needs
from bana.experiment.profiles import Profile
from bana.interpolation import bilinear
from bana.losses import IGNORE
from bana.networks import backbones
from bana.networks.classifier import BoxClassifier

POOLINGS = ("gap", "bap")
GRIDS = (1, 2, 4, 8)
ATTENTION = Needs(labels=("bap",), classifiers=POOLINGS)
GRID_SIZE = Needs(labels=("bap",), classifiers=("bap",))


def attention_and_cam(
    model: BoxClassifier, item: dict[str, Any], profile: Profile
) -> tuple[Tensor, Tensor]:
    """A, 1 outside the boxes, and the largest normalised activation at each pixel, [H, W] each.

    Args:
        model: of the pooling whose maps they are.
        item: as a data set gives it.
        profile: settings.
    """
    image, places = (item[key].as_subclass(Tensor) for key in ("image", "boxes"))
    made = stages.image_labels(profile, model, item, model.pooling)
    size = image.shape[1:]
    with torch.no_grad():
        f = model.backbone(eval_image(item, profile.image_scale)[None])
        maps = class_activation(f, model.weight[made.classes[1:]])[0]
    maps = bilinear(f.shape[2:], size, model.backbone.stride / profile.image_scale).enlarge(maps)
    maps = maps * corners.class_masks(places, item["labels"], made.classes[1:], *size)
    if not len(maps):
        return made.attention, torch.zeros(size)
    highest = maps.amax((1, 2), keepdim=True).clamp_min(1e-12)
    return made.attention, (maps / highest).amax(0)


def attention(materials: Materials) -> dict[str, Any]:
    """The chosen scenes; each with "maps": {pooling: {"attention", "cam"}}, [H, W] in [0, 1]."""
    made = chosen_scenes(materials)
    for each in made["scenes"]:
        each["maps"] = {}
        for pooling, model in materials.classifiers.items():
            maps = attention_and_cam(model, each, materials.profile)
            each["maps"][pooling] = dict(zip(("attention", "cam"), maps, strict=True))
    return made


def grid_attention(
    model: BoxClassifier, item: dict[str, Any], profile: Profile, grids: tuple[int, ...] = GRIDS
) -> dict[int, tuple[Tensor, int]]:
    """A by the number of rows of the background grid, [H, W] at the image's size, and its queries.

    As the pooling sees it: computed at the cells of the feature map, then enlarged, and not cut off
    at a threshold.
    """
    image, places = (item[key].as_subclass(Tensor) for key in ("image", "boxes"))
    seen, stride = eval_image(item, profile.image_scale), model.backbone.stride
    outside = corners.background_mask(places * profile.image_scale, *seen.shape[1:])[None]
    outside = backbones.background_at_cells(outside, stride)
    made = {}
    with torch.no_grad():
        f = model.backbone(seen[None])
        enlarge = bilinear(f.shape[2:], image.shape[1:], stride / profile.image_scale)
        inside = corners.box_masks(places, *image.shape[1:]).any(0)
        for grid in grids:
            queries, valid = bap.background_queries(f, outside, grid)
            a = enlarge.enlarge(bap.background_attention(f, queries, valid))[0, 0]
            made[grid] = torch.where(inside, a, 1.0), int(valid.sum())
    return made


def by_grid_size(materials: Materials) -> dict[str, Any]:
    """Attention by the number of rows N of the grid: on the scenes, and on all images.

    Returns:
        What `chosen_scenes` has, each scene with "grids": {N: A [H, W]} and "queries": {N: how
        many}; "means": {N: {"object", "ground", "apart"}}: 100 times the mean A on the pixels of
        objects, on the ground within boxes, and the second less the first, as estimates with
        intervals over images (None where there is no such pixel); "trained": the N of training.
    """
    made, model = chosen_scenes(materials), materials.classifiers["bap"]
    for each in made["scenes"]:
        grids = grid_attention(model, each, materials.profile)
        each["grids"] = {grid: a for grid, (a, _) in grids.items()}
        each["queries"] = {grid: count for grid, (_, count) in grids.items()}
    data = materials.data["val"]
    sums = {grid: [] for grid in GRIDS}
    for name in data.ids:
        item = scene(materials, name)
        for grid, (a, _) in grid_attention(model, item, materials.profile).items():
            sums[grid].append(_sums(a, item))
    made["means"] = {grid: _means(torch.stack(each)) for grid, each in sums.items()}
    made["trained"] = model.grid_size
    return made


def _sums(a: Tensor, item: dict[str, Any]) -> Tensor:
    """[2, 2]: on objects, on the ground within boxes; sum of A, pixels."""
    mask = item["mask"]
    inside = corners.box_masks(item["boxes"], *mask.shape).any(0)
    places = (inside & (mask > 0) & (mask != IGNORE), inside & (mask == 0))
    rows = [[float(a[place].sum()), float(place.sum())] for place in places]
    return torch.tensor(rows, dtype=torch.float64)


def _means(sums: Tensor) -> dict[str, Any]:
    def mean(place: int, each: Tensor) -> Tensor:
        return 100 * each[:, place, 0] / each[:, place, 1]

    scores = {
        "object": lambda each: mean(0, each),
        "ground": lambda each: mean(1, each),
        "apart": lambda each: mean(1, each) - mean(0, each),
    }
    return {name: plain(estimate(sums, score)) for name, score in scores.items()}
