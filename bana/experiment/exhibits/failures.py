"""Where the method struggles: images picked by a cause that boxes and masks tell, not by score."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from bana.data.boxes import box_masks
from bana.evaluation.intervals import estimate
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import plain_estimate
from bana.experiment.exhibits.maps import grid_attention
from bana.experiment.exhibits.scenes import image_iou, scene
from bana.experiment.exhibits.sources import Materials, Needs
from bana.losses import IGNORE

FAILURES = Needs(labels=("bap",), classifiers=("bap",))
SHARE = 0.2
"""Share of the images that count as having a cause: those that have most of it."""


class Cause(NamedTuple):
    """Why labels may be bad.

    Attributes:
        text: what the image has much of.
        measure: how much of it; takes an item with boxes, labels and mask, and A, 1 outside boxes.
        unit: of the measure, in which {} stands for the number.
    """

    text: str
    measure: Callable[[dict[str, Any], Tensor], float]
    unit: str


def _largest_box(item: dict[str, Any], attention: Tensor) -> float:
    boxes = item["boxes"]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return 100 * float(areas.max()) / attention.numel()


def _like_ground(item: dict[str, Any], attention: Tensor) -> float:
    on_objects = attention[(item["mask"] > 0) & (item["mask"] != IGNORE)]
    return float(on_objects.mean()) if len(on_objects) else 0.0


def _crowd(item: dict[str, Any], attention: Tensor) -> float:
    return float(len(item["boxes"]))


def _empty(item: dict[str, Any], attention: Tensor) -> float:
    """Share of the emptiest box that is not its class, in percent."""
    mask = item["mask"]
    shares = []
    for inside, label in zip(
        box_masks(item["boxes"], *mask.shape), item["labels"].tolist(), strict=True
    ):
        counted = inside & (mask != IGNORE)
        shares.append(float((mask[counted] != label).float().mean()) if counted.any() else 0.0)
    return 100 * max(shares)


def _overlap(item: dict[str, Any], attention: Tensor) -> float:
    """Largest IoU of two boxes, in percent."""
    return 100 * float(box_iou(item["boxes"], item["boxes"]).fill_diagonal_(0).max())


CAUSES: dict[str, Cause] = {
    "full": Cause("box fills the image", _largest_box, "largest box: {:.0f} % of the image"),
    "ground": Cause("object like the ground", _like_ground, "mean A on objects: {:.2f}"),
    "crowd": Cause("many objects", _crowd, "{:.0f} boxes"),
    "empty": Cause("nearly empty box", _empty, "emptiest box: {:.0f} %\nis not its class"),
    "overlap": Cause("boxes overlap", _overlap, "boxes' IoU: {:.0f} %"),
}


def failures(materials: Materials) -> dict[str, Any]:
    """For each cause the image that has most of it, and what the cause costs on the whole split.

    An image is shown once: a cause whose first image is taken shows the next.

    Returns:
        "causes": a list of what `scene` has, with "cause", "text", "told" (how much of it),
        "y_crf", "wrong" bool [H, W], "iou" in percent; and "cost": mIoU of the images that have
        most of the cause (`SHARE` of all) less that of the others, {"value", "low", "high"} in
        points with a 95 % interval over images, or None; "classes"; "images".
    """
    data, model = materials.data["val"], materials.classifiers["bap"]
    n_classes = len(data.classes)
    much: dict[str, dict[str, float]] = {key: {} for key in CAUSES}
    areas = []
    for name in data.ids:
        item = scene(materials, name)
        if not len(item["boxes"]):
            continue
        attention, _ = grid_attention(model, item, materials.profile, (1,))[1]
        for key, cause in CAUSES.items():
            much[key][name] = cause.measure(item, attention)
        areas.append(class_areas(materials.label(name), item["mask"], n_classes))
    shown: set[str] = set()
    made = []
    for key, measured in much.items():
        order = sorted(measured, key=lambda name: (-measured[name], name))
        first = next((name for name in order if name not in shown), order[0])
        shown.add(first)
        having = set(order[: max(1, round(SHARE * len(order)))])
        has_it = torch.tensor([name in having for name in measured])
        told = {"cause": key, "text": CAUSES[key].text}
        told["told"] = CAUSES[key].unit.format(measured[first])
        told["cost"] = _cost(torch.stack(areas), has_it)
        made.append(told | _with_errors(materials, first, n_classes))
    return {"causes": made, "classes": list(data.classes), "images": len(areas)}


def _with_errors(materials: Materials, name: str, n_classes: int) -> dict[str, Any]:
    item, y_crf = scene(materials, name), materials.label(name)
    wrong = (y_crf != item["mask"]) & (item["mask"] != IGNORE)
    return item | {"y_crf": y_crf, "wrong": wrong, "iou": image_iou(y_crf, item["mask"], n_classes)}


def _cost(areas: Tensor, has_it: Tensor) -> dict[str, float] | None:
    """mIoU of some images less that of the others, with its interval.

    Args:
        areas: int64 [N, L + 1, 2].
        has_it: bool [N].
    """
    apart = torch.stack([areas * has_it[:, None, None], areas * ~has_it[:, None, None]], 1)
    return plain_estimate(
        estimate(apart.double(), lambda sums: mean_iou(sums[:, 0]) - mean_iou(sums[:, 1]))
    )
