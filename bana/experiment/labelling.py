"""Label files of many images: Y_crf/<id>.png and Y_ret/<id>.png, made by several processes.

A process takes a few images of one size through every step: reading, backbone, unaries, CRF,
retrieval, writing. Processes are at different steps at any moment, so that one's CRF runs beside
another's backbone, on a CPU and on a GPU alike, and none holds more than its own few images.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from bana.baselines import MIDDLE, filled_boxes, grabcut, grown_middles, refined_boxes
from bana.crf.dense import CrfParameters
from bana.data.boxes import crowds_of, unknown_in_crowds
from bana.data.names import check_apart
from bana.data.transforms import eval_image
from bana.data.voc import IGNORE, DataError, VocDataset, write_mask
from bana.experiment.processes import begin, computing_with, packed, unpacked
from bana.files.parallel import HELPERS
from bana.files.unfinished import is_filled
from bana.labels import PseudoLabels, UnaryOptions, pseudo_labels
from bana.networks.classifier import BoxClassifier
from bana.training.machine import DEVICES, device_of
from bana.training.runs import RunError

# How each kind of label is made: the pooling of its classifier and the change to the profile's
# unary; None for the baselines that need no classifier.
VARIANTS: dict[str, tuple[str, dict[str, Any]] | None] = {
    "boxes": None,
    "boxes-crf": None,
    "boxes-middle": None,
    "grabcut": None,
    "gap": ("gap", {"background": "none"}),
    "bap-no-u0": ("bap", {"background": "none"}),
    "bap": ("bap", {}),
}

# In the time that a process takes to start, it could label about so many images.
IMAGES_A_PROCESS = 8


@dataclass(frozen=True)
class LabelSettings:
    """All that the labels of an image depend on, but for classifier, data and code.

    Attributes:
        variant: a key of `VARIANTS`.
        unary: see `bana.labels.pseudo_labels`; None for the baselines.
        crf: of the pseudo labels, "boxes-crf" and "boxes-middle"; None for what has no CRF.
        inside: of "boxes-crf" alone, see `bana.baselines.box_unary`.
        middle: of "boxes-middle" alone, see `bana.baselines.middle_unary`.
        image_scale: the constant enlargement that the classifier was trained with.
    """

    variant: str
    unary: UnaryOptions | None = None
    crf: CrfParameters | None = None
    inside: float | None = None
    middle: float | None = None
    image_scale: float = 1.0


def label_settings(
    variant: str, unary: UnaryOptions, crf: CrfParameters, inside: float, image_scale: float
) -> LabelSettings:
    """The settings of one kind of labels: of those given, what it depends on.

    Raises:
        ValueError: if the variant is unknown.
    """
    if variant not in VARIANTS:
        raise ValueError(f"unknown labels {variant!r}: use one of {', '.join(VARIANTS)}")
    recipe = VARIANTS[variant]
    if variant == "boxes-crf":
        return LabelSettings(variant, crf=crf, inside=inside)
    if variant == "boxes-middle":
        return LabelSettings(variant, crf=crf, middle=MIDDLE)
    if recipe is None:
        return LabelSettings(variant)
    return LabelSettings(
        variant, unary=replace(unary, **recipe[1]), crf=crf, image_scale=image_scale
    )


def image_labels(model: BoxClassifier, item: dict, settings: LabelSettings) -> PseudoLabels:
    """Pseudo labels of one image of the data set, with attention and unary.

    Args:
        model: the box classifier that belongs to the variant.
        item: as `VocDataset` gives it.
        settings: of a variant with a classifier.

    Raises:
        ValueError: if the variant has no classifier.
    """
    with torch.no_grad():
        features = model.backbone(eval_image(item, settings.image_scale)[None])[0]
        return labels_from_features(model, item, features, settings)


def labels_from_features(
    model: BoxClassifier, item: dict, features: Tensor, settings: LabelSettings
) -> PseudoLabels:
    """As `image_labels`, for an image whose features [D, h, w] are there already.

    Everything is computed on the device of the features.
    """
    if settings.unary is None or settings.crf is None:
        raise ValueError(f"labels {settings.variant!r} are not made by a classifier")
    image, boxes = (item[key].as_subclass(Tensor).to(features.device) for key in ("image", "boxes"))
    return pseudo_labels(
        features,
        model.weight,
        image,
        boxes,
        item["labels"].to(features.device),
        settings.unary,
        settings.crf,
        model.backbone.stride / settings.image_scale,
        crowds_of(item, features.device),
    )


@dataclass(frozen=True)
class Crew:
    """The processes that make labels.

    Attributes:
        processes: how many; on a CPU as many as there are cores, on a GPU two or three a GPU.
        devices: dealt out to the processes in turn, such as ("cpu",) or ("cuda:0", "cuda:1").
        batch: images of one size that a process puts through the backbone at once. On a CPU one
            alone is fastest.
        threads: of each process. With more than one, sums may round differently, and labels of a
            pixel in a million with them.
    """

    processes: int = 2
    devices: tuple[str, ...] = ("cpu",)
    batch: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse an empty crew."""
        if min(self.processes, self.batch, self.threads, len(self.devices)) < 1:
            raise ValueError(f"processes, devices, batch and threads must be at least 1: {self}")


def check_devices(crew: Crew) -> None:
    """Raise ValueError where a device of the crew is not in this machine."""
    for name in crew.devices:
        if device_of(name) is None:
            raise ValueError(f"no device {name!r} here: use {DEVICES}")


class LabelJob(NamedTuple):
    """What a labelling process needs to know; the model is None for the baselines."""

    settings: LabelSettings
    data: VocDataset
    model: BoxClassifier | None
    folder: Path


def label_batches(data: VocDataset, size: int) -> list[list[int]]:
    """Cut a data set into batches of images of one size.

    Always of the whole data set: what is left of an interrupted run, or a part that another
    machine takes, is put through the backbone in the same company, and so gets the same labels to
    the last bit.

    Args:
        data: the images.
        size: most images of a batch, at least 1.

    Returns:
        Positions in ``data.ids``, each in one batch; an image whose size cannot be read is alone.
    """
    if size == 1:
        return [[number] for number in range(len(data))]
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, name in enumerate(tqdm(data.ids, desc="sizes", leave=False)):
        try:
            shape = data.image_size(name)
        except DataError:
            shape = (-1, number)
        alike.setdefault(shape, []).append(number)
    return [group[i : i + size] for group in alike.values() for i in range(0, len(group), size)]


def is_labelled(folder: Path, name: str) -> bool:
    """Whether the labels of an image are finished."""
    return is_filled(folder / "Y_crf" / f"{name}.png")


def labelled(data: VocDataset, folder: Path) -> VocDataset:
    """The images of a data set that have labels in a folder; some may have been unreadable."""
    rest = copy.copy(data)
    rest.ids = [name for name in data.ids if is_labelled(folder, name)]
    return rest


def make_label_files(job: LabelJob, batches: Sequence[list[int]], crew: Crew) -> dict[str, str]:
    """Label the images of some batches that are not labelled yet.

    A file appears whole or not at all, and an image counts as finished when its last file is
    there, so that a killed run goes on where it was. When this process dies, its helpers do too.
    A few images are labelled by this process, without helpers.

    Args:
        job: settings, images and where the files go.
        batches: of `label_batches`.
        crew: who does it.

    Returns:
        {id: reason} of the images that could not be read, in the order of the data set, whoever
        finishes first; the others have their labels.

    Raises:
        ValueError: whatever is wrong with more than one image, such as classes that the model
            does not know; nothing more is started then.
        bana.training.runs.RunError: if a process was ended from outside, as for want of memory.
    """
    check_apart(job.data.ids, job.folder)
    _remove_unfinished(job, batches)
    few = sum(map(len, batches)) < IMAGES_A_PROCESS * crew.processes
    failures = (_label_here if few else _label_in_processes)(job, batches, crew)
    return {name: failures[name] for name in job.data.ids if name in failures}


def _label_in_processes(job: LabelJob, batches: Sequence[list[int]], crew: Crew) -> dict[str, str]:
    devices: SimpleQueue[str] = HELPERS.SimpleQueue()
    for number in range(crew.processes):
        devices.put(crew.devices[number % len(crew.devices)])
    failures: dict[str, str] = {}
    progress = tqdm(
        total=sum(map(len, batches)),
        desc=f"labels {job.settings.variant} {job.data.split}",
        unit=" images",
    )
    arguments = (packed(job), devices, crew.threads)
    pool = ProcessPoolExecutor(crew.processes, HELPERS, _start_process, arguments)
    try:
        for batch, failed in _few_at_once(pool, _label_batch, batches, 2 * crew.processes):
            failures |= failed
            progress.update(len(batch))
    except BrokenProcessPool as error:
        raise RunError(
            f"a process that made labels was ended from outside, perhaps for want of memory: use "
            f"fewer than {crew.processes} --workers; finished labels are kept in {job.folder}"
        ) from error
    finally:
        progress.close()
        pool.shutdown(cancel_futures=True)
    return failures


def _label_here(job: LabelJob, batches: Sequence[list[int]], crew: Crew) -> dict[str, str]:
    global _job
    failures: dict[str, str] = {}
    try:
        with computing_with(crew.threads):
            _take_up(job, crew.devices[0])
            for batch in batches:
                failures |= _label_batch(batch)
    finally:
        _job = None  # the classifier would stay in memory
    return failures


def _remove_unfinished(job: LabelJob, batches: Sequence[list[int]]) -> None:
    """Remove what killed processes left half-written, of these images alone.

    Other machines may be writing the labels of other images into the same folder now.
    """
    names = {f".{job.data.ids[number]}.png" for batch in batches for number in batch}
    for path in job.folder.glob("Y_*/.*.tmp"):
        if path.name.rsplit(".", 2)[0] in names:
            path.unlink(missing_ok=True)


def _few_at_once(
    pool: ProcessPoolExecutor,
    function: Callable[[list[int]], dict[str, str]],
    batches: Iterable[list[int]],
    limit: int,
) -> Iterator[tuple[list[int], dict[str, str]]]:
    """Batches with their results as they come, no more than ``limit`` of them handed out."""
    out: dict[Future[dict[str, str]], list[int]] = {}
    todo = iter(batches)
    while True:
        while len(out) < limit and (batch := next(todo, None)) is not None:
            out[pool.submit(function, batch)] = batch
        if not out:
            return
        for future in wait(out, return_when=FIRST_COMPLETED).done:
            yield out.pop(future), future.result()


_job: LabelJob | None = None


def _start_process(job: bytes, devices: SimpleQueue[str], threads: int) -> None:
    begin(threads)
    _take_up(unpacked(job), devices.get())


def _take_up(job: LabelJob, device: str) -> None:
    global _job
    model = copy.deepcopy(job.model)
    _job = job if model is None else job._replace(model=model.to(device))


def _label_batch(batch: list[int]) -> dict[str, str]:
    """Label the images of a batch that need it; returns why some could not be read."""
    job = _job
    assert job is not None, "the process was not started by _start_process"
    items, failed = [], {}
    for number in batch:
        try:
            items.append(job.data[number])
        except DataError as error:
            failed[job.data.ids[number]] = str(error)
    if not items:
        return failed
    features: Sequence[Tensor | None] = [None] * len(items)
    if job.model is not None:
        images = torch.stack([eval_image(item, job.settings.image_scale) for item in items])
        with torch.no_grad():
            features = job.model.backbone(images.to(job.model.weight.device))
    for item, f in zip(items, features, strict=True):
        if not is_labelled(job.folder, item["id"]):
            _write_labels(job, item, f)
    return failed


def _write_labels(job: LabelJob, item: dict, features: Tensor | None) -> None:
    image, boxes = (item[key].as_subclass(Tensor) for key in ("image", "boxes"))
    kinds = {}
    if job.model is not None and features is not None:
        with torch.no_grad():
            made = labels_from_features(job.model, item, features, job.settings)
        kinds["Y_ret"], kinds["Y_crf"] = made.y_ret.cpu(), made.y_crf.cpu()
    else:
        label = _baseline(job.settings, image, boxes, item["labels"])
        unknown = unknown_in_crowds(crowds_of(item), boxes, *image.shape[1:])
        kinds["Y_crf"] = label.masked_fill(unknown, IGNORE)
    # Y_crf last: its file tells that the image is finished.
    for kind, label in kinds.items():
        write_mask(job.folder / kind / f"{item['id']}.png", label)


def _baseline(settings: LabelSettings, image: Tensor, boxes: Tensor, classes: Tensor) -> Tensor:
    """The labels of one image that no classifier has a part in, uint8 [H, W]."""
    if settings.variant == "grabcut":
        return grabcut(image, boxes, classes)
    if settings.crf is not None and settings.inside is not None:
        return refined_boxes(image, boxes, classes, settings.crf, settings.inside)
    if settings.crf is not None and settings.middle is not None:
        return grown_middles(image, boxes, classes, settings.crf, settings.middle)
    if settings.variant != "boxes":
        raise ValueError(f"labels {settings.variant!r}: `_baseline` does not say how to make them")
    return filled_boxes(boxes, classes, *image.shape[1:])
