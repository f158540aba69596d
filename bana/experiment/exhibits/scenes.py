"""Which images a figure shows: chosen by a rule that is written down, never by eye."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bana.evaluation.miou import class_areas, mean_iou
from bana.experiment.exhibits.sources import Materials

QUANTILES = (0.25, 0.5, 0.75)
LARGE = 0.1
"""Share of an image that its largest box must cover for the image to be shown."""


def image_iou(label: Tensor, mask: Tensor, n_classes: int) -> float:
    """mIoU of one image in percent, over the classes that occur in it."""
    return float(mean_iou(class_areas(label, mask, n_classes)))


def scored_images(materials: Materials) -> dict[str, float]:
    """mIoU of BAP's Y_crf, image by image, of the validation images; in percent."""
    data = materials.data["val"]
    n_classes = len(data.classes)
    return {name: image_iou(materials.label(name), data.mask(name), n_classes) for name in data.ids}


def largest_share(materials: Materials, name: str) -> float:
    """Share of an image that its largest box covers; 0 where it has none."""
    boxes, _ = materials.data["val"].annotation(name)
    if not len(boxes):
        return 0.0
    height, width = materials.data["val"].image_size(name)
    corners = boxes.as_subclass(Tensor)
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    return float(areas.max()) / (height * width)


def ranked(materials: Materials) -> tuple[list[str], dict[str, float]]:
    """Images large enough to see by ascending score of BAP's Y_crf, and the scores of all."""
    scores = scored_images(materials)
    return in_order(materials, scores), scores


def in_order(materials: Materials, scores: Mapping[str, float]) -> list[str]:
    """Images large enough to see by ascending score.

    Where fewer are large enough than there are quantiles, all are ranked.
    """
    seen = [name for name in scores if largest_share(materials, name) >= LARGE]
    if len(seen) < len(QUANTILES):
        seen = list(scores)
    return sorted(seen, key=lambda name: (scores[name], name))


def chosen_scenes(materials: Materials) -> dict[str, Any]:
    """The images at the quantiles of the score of BAP's Y_crf; see `at_quantiles`."""
    return at_quantiles(materials, scored_images(materials))


def at_quantiles(materials: Materials, scores: Mapping[str, float]) -> dict[str, Any]:
    """The images at the quantiles of a score.

    Args:
        materials: what they are of.
        scores: of all validation images.

    Returns:
        "scenes": one of `scene` each, with its "quantile" and "score"; "seen": how many
        images are large enough; "images": how many there are; "classes": names.
    """
    order = in_order(materials, scores)
    places = [order[round(quantile * (len(order) - 1))] for quantile in QUANTILES]
    return {
        "scenes": [
            scene(materials, name) | {"quantile": quantile, "score": scores[name]}
            for quantile, name in zip(QUANTILES, places, strict=True)
        ],
        "seen": len(order),
        "images": len(scores),
        "classes": list(materials.data["val"].classes),
    }


def scene(materials: Materials, name: str, split: str = "val") -> dict[str, Any]:
    """One image: "id", "image" uint8 [3, H, W], "boxes" [K, 4], "labels" [K]; "mask" if it has one.

    Coordinates are pixels, half-open; labels 1..L; the mask uint8 [H, W].
    """
    data = materials.data[split]
    item = data[data.ids.index(name)]
    there = [key for key in ("image", "boxes", "labels", "mask") if key in item]
    return {"id": name, **{key: item[key].as_subclass(Tensor).clone() for key in there}}
