"""Changed labels against masks, image by image: kept, resumed, and compared with the method's.

Masks are the yardstick and nothing else: no label and no choice depends on one.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bana.data.fingerprint import fingerprint
from bana.data.transforms import eval_image
from bana.data.voc import VocDataset
from bana.evaluation.boundary import boundary_areas
from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import verdict
from bana.experiment.keeping import key_of
from bana.experiment.labelling import LabelSettings
from bana.experiment.left_out.steps import Change, changed_labels
from bana.experiment.processes import computing_with, spread
from bana.files.artefacts import load_checkpoint, save_checkpoint, weights_hash
from bana.networks.classifier import BoxClassifier

MEASURES = ("y_crf", "y_ret", "y_crf boundary", "y_ret boundary")
"""What is counted of an image: mIoU and boundary IoU of both kinds of labels."""
UNCHANGED = "unchanged"
IMAGES_A_SAVE = 32


class Bench(NamedTuple):
    """What all changes of one data set and one classifier have in common.

    Attributes:
        model: the box classifier.
        data: images with masks.
        settings: of the unchanged labels.
        seed: of what is drawn.
    """

    model: BoxClassifier
    data: VocDataset
    settings: LabelSettings
    seed: int = 0


def areas_of_change(
    bench: Bench, change: Change, item: Mapping[str, Any], features: Tensor
) -> Tensor:
    """Areas of one image's labels under a change, int64 [len(MEASURES), L + 1, 2]."""
    made = changed_labels(bench.model, item, features, bench.settings, change, bench.seed).labels
    mask, count = item["mask"].as_subclass(Tensor), len(bench.data.classes)
    both = made.y_crf, made.y_ret
    regions = [class_areas(labels, mask, count) for labels in both]
    return torch.stack(regions + [boundary_areas(labels, mask, count) for labels in both])


def _areas_of_image(
    shared: tuple[Bench, Mapping[str, Change]], job: tuple[int, tuple[str, ...]]
) -> dict[str, Tensor]:
    """Areas of one image under several changes, with one look of the backbone at it."""
    (bench, changes), (number, names) = shared, job
    with computing_with(1), torch.no_grad():
        item = bench.data[number]
        image = eval_image(item, bench.settings.image_scale)
        features = bench.model.backbone(image[None])[0]
        return {name: areas_of_change(bench, changes[name], item, features) for name in names}


def kept_areas(
    bench: Bench,
    changes: Mapping[str, Change],
    folder: Path,
    numbers: Sequence[int],
    processes: int = 1,
) -> dict[str, Tensor]:
    """Areas of every change, those that are missing made and kept.

    What an interrupted run finished is kept, some images at a time.

    Args:
        bench: data, classifier and settings.
        changes: by name.
        folder: of the kept results, a file a change.
        numbers: the images that are looked at, positions in the data set.
        processes: that make labels, one thread each; results do not depend on it.

    Returns:
        {name: int64 [N, len(MEASURES), L + 1, 2]}.

    Raises:
        bana.data.voc.DataError: if an image has no mask.
        bana.training.runs.RunError: if a process was ended from outside.
    """
    for number in numbers:
        bench.data.mask(bench.data.ids[number])  # or tells that there is none
    seen = fingerprint(bench.data, "photograph", "boxes", "mask")
    weights = weights_hash(bench.model.state_dict())
    files = {
        name: (
            folder / f"{file_name(name)}.pt",
            key_of(areas_of_change, change, bench.settings, weights, seen, bench.seed),
        )
        for name, change in changes.items()
    }
    there = {
        name: (load_checkpoint(*file) or {"images": {}})["images"] for name, file in files.items()
    }
    ids = bench.data.ids
    jobs = [(n, tuple(c for c in changes if ids[n] not in there[c])) for n in numbers]
    jobs = [job for job in jobs if job[1]]
    if jobs:
        _make_missing(bench, changes, jobs, (files, there), processes)
    return {name: torch.stack([there[name][ids[n]] for n in numbers]) for name in changes}


def _make_missing(
    bench: Bench,
    changes: Mapping[str, Change],
    jobs: Sequence[tuple[int, tuple[str, ...]]],
    kept: tuple[Mapping[str, tuple[Path, str]], Mapping[str, dict[str, Tensor]]],
    processes: int,
) -> None:
    """Make the areas that are missing, of an image and the names of its changes, and keep them."""
    files, there = kept
    title = f"left out, {next(iter(files.values()))[0].parent.name}"
    try:
        made_jobs = spread(_areas_of_image, (bench, dict(changes)), jobs, processes, title)
        for done, ((number, _), made) in enumerate(made_jobs, 1):
            for name, areas in made.items():
                there[name][bench.data.ids[number]] = areas
            if done % IMAGES_A_SAVE == 0:
                _keep(files, there)
    finally:
        _keep(files, there)


def _keep(files: Mapping[str, tuple[Path, str]], there: Mapping[str, Mapping[str, Tensor]]) -> None:
    for name, (path, key) in files.items():
        save_checkpoint(path, key, {"images": dict(there[name])})


def file_name(name: str) -> str:
    """A change's name as that of a file: "loosened 20 %" is loosened-20."""
    return re.sub(r"[^\w.]+", "-", name).strip("-")


def compared(areas: Tensor, base: Tensor) -> dict[str, Any]:
    """Scores of changed labels, and how far they are from the unchanged method's.

    Args:
        areas, base: int64 [N, len(MEASURES), L + 1, 2], of the same images.

    Returns:
        {measure: {"miou": percent, "mean", "low", "high": the difference in points, see
        `bana.evaluation.intervals.paired_difference`, "verdict"}}; None for what no image has.
    """
    result = {}
    for column, measure in enumerate(MEASURES):
        difference = paired_difference(areas[None, :, column], base[None, :, column])
        score = float(mean_iou(areas[:, column].sum(0)))
        values = {"miou": score} | difference._asdict()
        result[measure] = {k: None if math.isnan(v) else v for k, v in values.items()}
        result[measure]["verdict"] = verdict(difference)
    return result
