"""Labels of classes that no classifier knows: u_c = 1 - u_0, by features of several origins.

All that this needs of a network are features in which background is like background. They can be
ImageNet's, frozen; those of the classifier that comes with the package; or those of the profile's
own. What they bring is measured against the boxes filled.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from bana.baselines import filled_boxes
from bana.data.boxes import crowds_of
from bana.data.fingerprint import fingerprint
from bana.data.transforms import eval_image
from bana.data.voc import VocDataset
from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import plain_difference, plain_estimate
from bana.experiment import pretrained, stages
from bana.experiment.keeping import key_of
from bana.experiment.profiles import Profile
from bana.files.artefacts import kept_json, weights_hash
from bana.files.paths import run_dir
from bana.labels import pseudo_labels
from bana.networks.backbones import Backbone

FEATURES = ("imagenet", "shipped", "trained")
KINDS = ("Y_crf", "Y_ret")


def backbones_of(profile: Profile, root: str | Path | None = None) -> dict[str, Backbone]:
    """The networks whose features are compared, in evaluation mode; the last may be trained."""
    settings = stages.backbone_settings(profile, profile.backbone)
    return {
        "imagenet": settings.build().eval(),
        "shipped": pretrained.load_pretrained().classifier.backbone.eval(),
        "trained": stages.classifier(profile, "bap", root).backbone,
    }


def agnostic_card(profile: Profile, root: str | Path | None = None) -> dict[str, Any]:
    """mIoU of class-agnostic labels on the validation images, by the origin of the features.

    Threshold and CRF are the profile's, and the same for all; a label takes its class from its
    box.

    Returns:
        "boxes": an estimate for the boxes filled; by origin and kind of label {"miou": an estimate
        in percent, "over boxes": {"mean", "low", "high"} in points, or None}; intervals are over
        images.

    Raises:
        bana.data.voc.DataError: if an image has no mask.
    """
    data, models = stages.dataset(profile, "val", root), backbones_of(profile, root)
    weights = {name: weights_hash(model.state_dict()) for name, model in models.items()}
    settings = profile.unary, profile.label_crf, profile.image_scale
    seen = fingerprint(data, "photograph", "boxes", "mask")
    return kept_json(
        run_dir(profile.name) / "class-agnostic.json",
        key_of(agnostic_card, weights, seen, settings),
        lambda: card_of(agnostic_areas(profile, data, models)),
    )


@torch.no_grad()
def agnostic_areas(
    profile: Profile, data: VocDataset, models: Mapping[str, Backbone]
) -> dict[tuple[str, ...], Tensor]:
    """Areas of the labels of every origin and kind, and of ("boxes",); int64 [N, L + 1, 2] each."""
    options = replace(profile.unary, class_agnostic=True)
    areas: dict[tuple[str, ...], list[Tensor]] = {}
    for number in tqdm(range(len(data)), desc="class-agnostic", unit="image", leave=False):
        item = data[number]
        mask, image = data.mask(item["id"]), item["image"].as_subclass(Tensor)
        given = item["boxes"].as_subclass(Tensor), item["labels"]
        made = {("boxes",): filled_boxes(*given, *mask.shape)}
        for name, model in models.items():
            f = model(eval_image(item, profile.image_scale)[None])[0]
            unknown = f.new_full((len(data.classes), len(f)), float("nan"))
            stride = model.stride / profile.image_scale
            labels = pseudo_labels(
                f, unknown, image, *given, options, profile.label_crf, stride, crowds_of(item)
            )
            made |= {(name, "Y_crf"): labels.y_crf, (name, "Y_ret"): labels.y_ret}
        for place, label in made.items():
            areas.setdefault(place, []).append(class_areas(label, mask, len(data.classes)))
    return {place: torch.stack(each) for place, each in areas.items()}


def card_of(areas: Mapping[tuple[str, ...], Tensor]) -> dict[str, Any]:
    """What `agnostic_card` returns, of `agnostic_areas`."""
    boxes = areas["boxes",]
    card: dict[str, Any] = {"boxes": plain_estimate(estimate(boxes, mean_iou))}
    for name, kind in (place for place in areas if len(place) == 2):
        own = areas[name, kind]
        card.setdefault(name, {})[kind] = {
            "miou": plain_estimate(estimate(own, mean_iou)),
            "over boxes": plain_difference(paired_difference(own[None], boxes[None])),
        }
    return card
