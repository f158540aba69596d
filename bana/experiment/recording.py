"""The record of a profile: its scores, what they were measured on, and how far apart they are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bana.evaluation import average_precision, scoring
from bana.evaluation.intervals import paired_difference
from bana.evaluation.verdicts import plain_difference
from bana.experiment import beside, stages
from bana.experiment.keeping import described
from bana.experiment.profiles import Profile
from bana.experiment.published import ORDERINGS
from bana.files.artefacts import read_json
from bana.files.paths import run_dir

# Comparisons that the paper does not make: what the CRF does alone, and the ceiling.
CONTROLS = (("boxes-crf", "boxes"), ("bap", "boxes-crf"), ("truth", "crf"))


def about(profile: Profile, root: str | Path | None = None) -> dict[str, Any]:
    """What a record of a profile says of settings and data; plain JSON values.

    Returns:
        "profile": its settings; "data": what was scored, and whether it has instance masks.
    """
    data = {split: stages.dataset(profile, split, root) for split in ("train", "val")}
    # The weights' content says what was measured; where they lay is nobody's business.
    used = {"weights": described(stages.weights_file(profile, profile.backbone))}
    if profile.segmenter_backbone:
        own = stages.weights_file(profile, profile.segmenter_backbone)
        used["segmenter_weights"] = described(own)
    return {
        "profile": asdict(profile) | used,
        "data": {
            "kind": "drawn sample" if profile.data == "sample" else "folder in VOC layout",
            "classes": list(data["val"].classes),
            "images": {split: len(images) for split, images in data.items()},
            "instance_masks": average_precision.object_folder(data["val"]).is_dir(),
        },
    }


def differences(
    profiles: Sequence[Profile], root: str | Path | None = None
) -> dict[str, dict[str, dict[str, float] | None]]:
    """How far apart rows of a record are, where the paper puts one above the other, on val.

    Args:
        profiles: one, or several that differ in the seed alone; images and seeds are drawn
            together where there are several.
        root: see `bana.experiment.stages.data_root`.

    Returns:
        "labels_val", "segmentation_val" (single scale): {"bap - gap": {"mean", "low", "high"}} in
        points of mIoU, see `bana.evaluation.intervals.paired_difference`; pairs are those of
        `bana.experiment.published.ORDERINGS` and of the controls, as far as both rows are there;
        None where no pixel counts.
    """
    scores = [
        {
            "labels_val": stages.label_scores(profile, "val", root),
            "segmentation_val": {
                loss: stages.segmentation_scores(profile, loss, root)["single"]
                for loss in stages.losses_to_train(profile, root)
            },
        }
        for profile in profiles
    ]
    pairs = [*CONTROLS, *(pair for table in ORDERINGS.values() for pair in table)]
    result: dict[str, dict[str, dict[str, float] | None]] = {}
    for part, rows in scores[0].items():
        areas = {
            row: torch.stack([scoring.row_areas(each[part][row]) for each in scores])
            for row in rows
        }
        result[part] = {
            f"{first} - {second}": plain_difference(paired_difference(areas[first], areas[second]))
            for first, second in pairs
            if first in areas and second in areas
        }
    return result


def _without_areas(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Rows as a record holds them: without what each image brought."""
    return {
        name: _without_areas(row) if isinstance(row, Mapping) else row
        for name, row in scores.items()
        if name != "areas"
    }


def record(profile: Profile, root: str | Path | None = None) -> dict[str, Any]:
    """Everything measured under a profile, with what it was measured on; plain JSON values.

    Returns:
        "profile": its settings; "data": what was scored, and whether it has instance masks;
        "labels_val": `label_scores`; "instances_val": `instance_scores`; "segmentation_val":
        `segmentation_scores` by loss; "differences": `differences`; "seconds": of each training
        and labelling. Scores are in percent. Older records lack boundary IoU, average precision or
        differences.
    """
    losses = stages.losses_to_train(profile, root)
    beside.classifiers(profile, root=root)
    beside.segmenters(profile, losses, root)
    networks = {loss: stages.segmentation_scores(profile, loss, root) for loss in losses}
    result = about(profile, root) | {
        "labels_val": _without_areas(stages.label_scores(profile, "val", root)),
        "instances_val": stages.instance_scores(profile, "val", root),
        "segmentation_val": _without_areas(networks),
        "differences": differences([profile], root),
    }
    # Label folders of an interrupted run tell the time of its last part only.
    result["seconds"] = {
        path.stem if path.suffix == ".pt" else "-".join(path.parts[-4:-1]): round(seconds, 1)
        for path in sorted(_timed(profile, losses))
        if path.is_file() and (seconds := seconds_of(path)) is not None
    }
    return result


def _timed(profile: Profile, losses: Sequence[str]) -> set[Path]:
    """What says how long it took to make, in the run's folder and where its stages before lie."""
    return {
        *run_dir(profile.classifier_home or profile.name).glob("classifier-*.pt"),
        *run_dir(profile.labels_home or profile.name).glob("labels/*/*/manifest.json"),
        *(run_dir(profile.name) / f"segmenter-{loss}.pt" for loss in losses),
    }


def seconds_of(path: Path) -> float | None:
    """How long a kept training or a folder's labelling took; None where that is not written down.

    Args:
        path: a network's file, or a manifest.
    """
    kept = read_json(path) if path.suffix == ".json" else torch.load(path, weights_only=True)
    return kept.get("seconds")
