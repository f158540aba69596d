"""Attention and class activation: of GAP and BAP, by the background grid and by the background."""

from typing import Any

import torch
from torch import Tensor

from bana import bap
from bana.data import boxes as corners
from bana.data.transforms import eval_image
from bana.evaluation.intervals import estimate
from bana.evaluation.verdicts import plain_estimate
from bana.experiment.exhibits.filling import class_between
from bana.experiment.exhibits.scenes import at_quantiles, chosen_scenes, scene
from bana.experiment.exhibits.sources import Materials, Needs
from bana.experiment.profiles import Profile
from bana.interpolation import bilinear
from bana.labels import enlarged_maps
from bana.losses import IGNORE
from bana.networks import backbones
from bana.networks.classifier import BoxClassifier

POOLINGS = ("gap", "bap")
GRIDS = (1, 2, 4, 8)
ATTENTION = Needs(labels=("bap",), classifiers=POOLINGS)
GRID_SIZE = Needs(labels=("bap",), classifiers=("bap",))
BACKGROUND = Needs(classifiers=("bap",))
HALF = 0.5
"""Share of the maximum from which on a pixel of an activation map counts as found."""
SHARES = (0.0, 40.0, 55.0, 70.0, 85.0, 100.0)
"""Ends of the classes of background, in percent of an image's cells."""


def attention_and_cam(
    model: BoxClassifier, item: dict[str, Any], profile: Profile
) -> tuple[Tensor, Tensor]:
    """A, 1 outside the boxes, and the largest normalised activation at each pixel, [H, W] each.

    Args:
        model: of the pooling whose maps they are.
        item: as a data set gives it.
        profile: settings.
    """
    size = item["image"].shape[1:]
    wanted = item["labels"].unique()
    inside = corners.class_masks(item["boxes"].as_subclass(Tensor), item["labels"], wanted, *size)
    with torch.no_grad():
        features = model.backbone(eval_image(item, profile.image_scale)[None])[0]
        enlarge = bilinear(features.shape[1:], size, model.backbone.stride / profile.image_scale)
        weight, grid_size = model.weight[wanted], profile.unary.grid_size
        maps = enlarged_maps(features, weight, ~inside.any(0), enlarge, grid_size)
    cams = maps.cams * inside
    if not len(cams):
        return maps.attention, torch.zeros(size)
    highest = cams.amax((1, 2), keepdim=True).clamp_min(1e-12)
    return maps.attention, (cams / highest).amax(0)


def attention(materials: Materials) -> dict[str, Any]:
    """Attention and activation on the chosen scenes.

    Returns:
        What `chosen_scenes` has; each scene with "maps": {pooling: {"attention", "cam"}}, [H, W] in
        [0, 1], and "found": {pooling: of `found`}.
    """
    made = chosen_scenes(materials)
    for each in made["scenes"]:
        each["maps"], each["found"] = {}, {}
        for pooling, model in materials.classifiers.items():
            maps = attention_and_cam(model, each, materials.profile)
            each["maps"][pooling] = dict(zip(("attention", "cam"), maps, strict=True))
            each["found"][pooling] = found(each["maps"][pooling]["cam"], each["mask"])
    return made


def found(cam: Tensor, mask: Tensor) -> dict[str, float]:
    """How an activation map finds the objects of a mask, from `HALF` of its maximum on.

    Args:
        cam: float [H, W], in [0, 1].
        mask: uint8 [H, W]; pixels marked 255 do not count.

    Returns:
        "precision" and "recall" in percent; 0 where nothing is found, or to be found.
    """
    counted = mask != IGNORE
    reached, objects = counted & (cam >= HALF), counted & (mask > 0)
    both = int((reached & objects).sum())
    return {
        "precision": 100 * both / max(1, int(reached.sum())),
        "recall": 100 * both / max(1, int(objects.sum())),
    }


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
    return {name: plain_estimate(estimate(sums, score)) for name, score in scores.items()}


def by_background(materials: Materials) -> dict[str, Any]:
    """Attention by how much background there is around the boxes to ask.

    Returns:
        What `at_quantiles` has of the share of an image's cells that lie outside all boxes, in
        percent; each scene with "attention" [H, W] and "queries", how many. Beside it "points": of
        each image {"share", "object", "ground"}, the last two 100 times the mean A on objects and
        on the ground within boxes (None without such a pixel); "edges": of the classes of share;
        "in_class": how many images each has; "means": of each class what `_means` gives; "grid":
        N of the grid.
    """
    data, model = materials.data["val"], materials.classifiers["bap"]
    grid = model.grid_size
    shares, points, sums = {}, [], []
    for name in data.ids:
        item = scene(materials, name)
        a, _ = grid_attention(model, item, materials.profile, (grid,))[grid]
        shares[name] = background_share(model, item, materials.profile.image_scale)
        sums.append(_sums(a, item))
        means = (100 * sums[-1][:, 0] / sums[-1][:, 1]).tolist()
        named = zip(("object", "ground"), means, strict=True)
        points.append({"share": shares[name]} | {k: v if v == v else None for k, v in named})
    made = at_quantiles(materials, shares)
    for each in made["scenes"]:
        maps = grid_attention(model, each, materials.profile, (grid,))
        each["attention"], each["queries"] = maps[grid]
    stacked = torch.stack(sums)
    of_class = torch.tensor([class_between(SHARES, share) for share in shares.values()])
    places = [of_class == number for number in range(len(SHARES) - 1)]
    return made | {
        "points": points,
        "edges": list(SHARES),
        "in_class": [int(place.sum()) for place in places],
        "means": [_means(stacked[place]) if place.any() else None for place in places],
        "grid": grid,
    }


def background_share(model: BoxClassifier, item: dict[str, Any], image_scale: float) -> float:
    """Share of an image's cells that lie outside all boxes, in percent.

    A cell is where Eq. 1 sees it, at its own pixel; cells beyond the image do not count.
    """
    seen, stride = eval_image(item, image_scale), model.backbone.stride
    outside = corners.background_mask(item["boxes"] * image_scale, *seen.shape[1:])
    return 100 * float(outside[:, ::stride, ::stride].mean())
