"""What the noise-aware network learned: confidence over training, predictions, scores by class."""

from typing import Any

import torch
from torch import Tensor

from bana.data.voc import read_image
from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.prediction import SINGLE, label_maps
from bana.evaluation.verdicts import plain_estimate
from bana.experiment import published, stages
from bana.experiment.exhibits.scenes import at_quantiles, scene
from bana.experiment.exhibits.sources import Materials, Needs
from bana.losses import IGNORE, reliable_pixels
from bana.networks.segmenter import Segmenter

CONFIDENCE = Needs(train_labels=("bap",), segmenters=("nal",))
PER_CLASS = Needs(segmenters=("nal",))
NAL = Needs(segmenters=("crf", "nal"))
HALF = 0.5
"""Confidence below which a pixel of ~S counts as one that the loss hardly listens to."""


def confidence(materials: Materials) -> dict[str, Any]:
    """Maps of Eq. 12 that were kept in training, on the training images that they are of.

    Returns:
        "classes"; "iterations"; "half"; "scenes": as `scene` has them, with "y_crf" uint8 [H, W],
        "unreliable" bool [H, W] and "sigma": {iteration: float [H, W]}; where an image has a mask,
        also "judged": {iteration: of `judged_pixels`}.
    """
    history = materials.segmenters["nal"].confidence
    iterations = sorted(history)
    scenes = []
    for name in history[iterations[-1]] if iterations else ():
        shown = scene(materials, name, "train")
        y_crf = materials.label(name, "bap", "train")
        _, unreliable = reliable_pixels(y_crf, materials.label(name, "bap-ret", "train"))
        sigma = {iteration: history[iteration][name] for iteration in iterations}
        shown |= {"y_crf": y_crf, "unreliable": unreliable, "sigma": sigma}
        if "mask" in shown:
            shown["judged"] = {
                iteration: judged_pixels(each, y_crf, unreliable, shown["mask"])
                for iteration, each in sigma.items()
            }
        scenes.append(shown)
    classes = list(materials.data["train"].classes)
    return {"classes": classes, "iterations": iterations, "half": HALF, "scenes": scenes}


def judged_pixels(
    sigma: Tensor, y_crf: Tensor, unreliable: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    """What confidence makes of the labels in ~S; masks have no part in the training.

    Args:
        sigma: float [H, W] in [0, 1].
        y_crf, mask: uint8 [H, W]; pixels that the mask marks 255 do not count.
        unreliable: bool [H, W], ~S.

    Returns:
        bool [H, W] each: "saved" and "believed", wrong labels whose sigma is below `HALF` and
        not; "spoiled" and "kept", right ones.
    """
    counted = unreliable & (mask != IGNORE)
    wrong, low = counted & (y_crf != mask), sigma < HALF
    right = counted & ~wrong
    return {
        "saved": wrong & low,
        "believed": wrong & ~low,
        "spoiled": right & low,
        "kept": right & ~low,
    }


def with_and_without(materials: Materials) -> dict[str, Any]:
    """Predictions of the networks of cross-entropy and of the noise-aware loss, on Y_crf both.

    Returns:
        What `at_quantiles` has of mIoU by "nal" less mIoU by "crf", image by image, in points; each
        scene with "predictions": uint8 [H, W] and "iou": percent, by loss, and with "gained" and
        "lost": bool [H, W], where "nal" alone is right, and "crf" alone. Beside it "miou": an
        estimate by loss, and "difference": {"mean", "low", "high"} in points, see
        `bana.evaluation.intervals.paired_difference`.
    """
    data = materials.data["val"]
    made = {loss: _predictions(materials, model) for loss, model in materials.segmenters.items()}
    n_classes = len(data.classes)
    areas = {
        loss: torch.stack([class_areas(maps[n], data.mask(n), n_classes) for n in data.ids])
        for loss, maps in made.items()
    }
    ious = {loss: mean_iou(each) for loss, each in areas.items()}
    apart = dict(zip(data.ids, (ious["nal"] - ious["crf"]).tolist(), strict=True))
    result = at_quantiles(materials, apart)
    for each in result["scenes"]:
        place = data.ids.index(each["id"])
        each["predictions"] = {loss: maps[each["id"]] for loss, maps in made.items()}
        each["iou"] = {loss: float(values[place]) for loss, values in ious.items()}
        right = {loss: maps[each["id"]] == each["mask"] for loss, maps in made.items()}
        counted = each["mask"] != IGNORE
        each["gained"] = right["nal"] & ~right["crf"] & counted
        each["lost"] = right["crf"] & ~right["nal"] & counted
    result["miou"] = {
        loss: plain_estimate(estimate(each, mean_iou)) for loss, each in areas.items()
    }
    difference = paired_difference(areas["nal"][None], areas["crf"][None])
    return result | {"difference": difference._asdict()}


def _predictions(materials: Materials, model: Segmenter) -> dict[str, Tensor]:
    """Label maps of the validation images, at a single scale and without CRF."""
    data = materials.data["val"]
    images = ((name, read_image(data.image_path(name))) for name in data.ids)
    views = {"single": SINGLE}
    maps = label_maps(model, images, views, None, materials.profile.image_scale)
    return {name: made["single"] for name, made in maps}


def per_class(materials: Materials) -> dict[str, Any]:
    """IoU of every class in percent: this run's noise-aware network, and the published one.

    Returns:
        "here" and "published": {class: IoU}, classes that occur nowhere left out; "mode": how
        the network was tested; "images": how many; "profile" and "seed": of the run.
    """
    data = materials.data["val"]
    scores = stages.segmentation_scores(materials.profile, "nal", materials.root)
    mode = list(scores)[-1]
    named = zip(data.classes, scores[mode]["per_class"], strict=True)
    return {
        "here": {name: value for name, value in named if value is not None},
        "published": dict(published.PER_CLASS_V1),
        "mode": mode,
        "images": len(data),
        "profile": materials.profile.name,
        "seed": materials.profile.seed,
    }
