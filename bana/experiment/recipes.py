"""Recipes of stage 3: what a training must be given before true masks lead pseudo labels.

Where true masks teach a network no more than pseudo labels do, no loss on pseudo labels can show
anything. Each recipe changes one thing in the training of the segmenter (the last, four), for true
masks and for Y_crf alike. Both are scored on training images that are held out, so that a recipe
can be chosen here without a look at the images on which it is reported.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from bana.data.voc import VocDataset
from bana.experiment import bias
from bana.experiment.segmenting import SegmenterSettings
from bana.networks.weights import find_weights

LOSSES = ("truth", "crf")
PARTS = ("learned", "scored")
"""Training images of a recipe's network: some that it learned from, and those held out."""


def _longer(settings: SegmenterSettings, times: int) -> SegmenterSettings:
    iterations = times * settings.optimisation.iterations
    return replace(settings, optimisation=replace(settings.optimisation, iterations=iterations))


def _rate(settings: SegmenterSettings, times: float) -> SegmenterSettings:
    rate = times * settings.optimisation.learning_rate
    return replace(settings, optimisation=replace(settings.optimisation, learning_rate=rate))


def _adamw(settings: SegmenterSettings) -> SegmenterSettings:
    """AdamW at 1e-4, and the new layers' 1e-3: usual rates, of which neither was tuned here."""
    rule = replace(settings.optimisation, rule="adamw", learning_rate=1e-4)
    return replace(settings, optimisation=rule)


def _mean_of_weights(settings: SegmenterSettings) -> SegmenterSettings:
    """The mean of about the last hundred steps, a quarter of voc-mini's 400.

    That is long beside the noise of a batch, and short enough that of the first weights, of which
    .99^399 is left, the mean has 2 %.
    """
    return replace(settings, optimisation=replace(settings.optimisation, ema=0.99))


def _lite2(settings: SegmenterSettings) -> SegmenterSettings:
    """Lite2 with ImageNet's weights, since the classifier's backbone is another: see "imagenet"."""
    backbone = replace(settings.backbone, name="lite2", weights=find_weights("lite2"))
    return replace(settings, backbone=backbone, from_classifier=False)


def _together(settings: SegmenterSettings) -> SegmenterSettings:
    """What is to give a network most room at once: long, large crops, every stage, a fine skip."""
    backbone, crops = replace(settings.backbone, frozen_stages=0), replace(settings.crops, crop=321)
    return replace(_longer(settings, 16), backbone=backbone, crops=crops, neck="skip")


RECIPES: dict[str, Callable[[SegmenterSettings], SegmenterSettings]] = {
    "plain": lambda settings: settings,
    "imagenet": lambda settings: replace(settings, from_classifier=False),
    "crop-321": lambda settings: replace(settings, crops=replace(settings.crops, crop=321)),
    "all-stages": lambda settings: replace(
        settings, backbone=replace(settings.backbone, frozen_stages=0)
    ),
    "wide-aspp": lambda settings: replace(settings, neck="aspp"),
    "rate-3": lambda settings: _rate(settings, 3),
    "adamw": _adamw,
    "ema": _mean_of_weights,
    "skip": lambda settings: replace(settings, neck="skip"),
    "times-4": lambda settings: _longer(settings, 4),
    "lite2": _lite2,
    "times-16": lambda settings: _longer(settings, 16),
    "together": _together,
}


def held_out(data: VocDataset) -> tuple[VocDataset, VocDataset]:
    """Training images to learn from, and every fifth, to be scored.

    Raises:
        ValueError: if there are fewer than five.
    """
    if len(data) < 5:
        raise ValueError(f"{len(data)} training images: of fewer than five none can be held out")
    learned, scored = copy.copy(data), bias.every_fifth(data)
    learned.ids = [name for number, name in enumerate(data.ids) if number % 5]
    return learned, scored


def compared(learned: Mapping[str, Tensor], scored: Mapping[str, Tensor]) -> dict[str, object]:
    """mIoU of true masks and of Y_crf, and by how much the first lead.

    Args:
        learned: by loss, areas of `bana.evaluation.bias.network_areas` on images that were learned
            from, against the labels that were.
        scored: the same on images that were held out, against masks.

    Returns:
        "miou": {loss: percent}; "truth - crf": {"mean", "low", "high"} in points, see
        `paired_difference`; the interval knows of the images, not of the training's chance. "at
        bias": both once more with the background bias that ``learned`` chooses for each network,
        which is "bias": {loss: number}. None where no pixel counts.
    """
    made = bias.compared(*({n: a[None] for n, a in each.items()} for each in (learned, scored)))
    networks, ahead = made["networks"], made["differences"]["truth - crf"]

    def by(column: str) -> dict[str, object]:
        return {loss: row[column][0] for loss, row in networks.items()}

    line = {"bias": by("chosen"), "miou": by("at chosen"), "truth - crf": ahead["at chosen"]}
    return {"miou": by("argmax"), "truth - crf": ahead["argmax"], "at bias": line}
