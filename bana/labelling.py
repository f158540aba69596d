"""Label files of many images: Y_crf/<id>.png and Y_ret/<id>.png, made by several processes."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from bana.baselines import filled_boxes, grabcut
from bana.labels import PseudoLabels, pseudo_labels
from bana.networks import BoxClassifier
from bana.profiles import Profile
from bana.transforms import eval_image
from bana.voc import VocDataset, write_mask

# How each kind of label is made: the pooling of its classifier and the change to the profile's
# unary; None for the baselines that need no classifier.
VARIANTS: dict[str, tuple[str, dict[str, Any]] | None] = {
    "boxes": None,
    "grabcut": None,
    "gap": ("gap", {"background": "none"}),
    "bap-no-u0": ("bap", {"background": "none"}),
    "bap": ("bap", {}),
}


def image_labels(
    profile: Profile,
    model: BoxClassifier,
    item: dict,
    variant: str = "bap",
) -> PseudoLabels:
    """Pseudo labels of one image of the data set, with attention and unary.

    Args:
        profile: settings.
        model: the box classifier that belongs to the variant.
        item: as `VocDataset` gives it.
        variant: a key of `VARIANTS` with a classifier.

    Raises:
        ValueError: if the variant has no classifier.
    """
    recipe = VARIANTS.get(variant)
    if recipe is None:
        raise ValueError(f"labels {variant!r} are not made by a classifier")
    image = eval_image(item, profile.image_scale)
    with torch.no_grad():
        features = model.backbone(image[None])[0]
        return pseudo_labels(
            features,
            model.weight,
            item["image"].as_subclass(torch.Tensor),
            item["boxes"].as_subclass(torch.Tensor),
            item["labels"],
            replace(profile.unary, **recipe[1]),
            profile.label_crf,
            model.backbone.stride / profile.image_scale,
        )


class LabelJob(NamedTuple):
    """What a labelling process needs to know."""

    profile: Profile
    data: VocDataset
    variant: str
    model: BoxClassifier | None
    folder: Path


def make_label_files(job: LabelJob, names: list[str]) -> None:
    """Label the named images in several processes of one thread each.

    Args:
        job: settings, images and where the files go; the model is None for the baselines.
        names: ids of images in ``job.data``, at least one.
    """
    index = {name: number for number, name in enumerate(job.data.ids)}
    numbers = [index[name] for name in names]
    workers = min(job.profile.label_workers, len(names))
    # Spawned, since a forked process inherits torch's thread pool in a state it cannot use.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_process, (job,)) as pool:
        made = pool.map(_label_image, numbers, chunksize=4)
        description = f"labels {job.variant} {job.data.split}"
        for _ in tqdm(made, desc=description, total=len(numbers)):
            pass


_job: LabelJob | None = None


def _start_process(job: LabelJob) -> None:
    global _job
    torch.set_num_threads(1)
    _job = job


def _label_image(number: int) -> None:
    assert _job is not None, "the process was not started by _start_process"
    item = _job.data[number]
    image = item["image"].as_subclass(torch.Tensor)
    boxes = item["boxes"].as_subclass(torch.Tensor)
    if _job.model is not None:
        made = image_labels(_job.profile, _job.model, item, _job.variant)
        label = made.y_crf
        write_mask(_job.folder / "Y_ret" / f"{item['id']}.png", made.y_ret)
    elif _job.variant == "grabcut":
        label = grabcut(image, boxes, item["labels"])
    else:
        label = filled_boxes(boxes, item["labels"], *image.shape[1:])
    # Y_crf last: its file tells that the image is finished.
    write_mask(_job.folder / "Y_crf" / f"{item['id']}.png", label)
