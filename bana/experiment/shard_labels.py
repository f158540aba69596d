"""Labels of tar shards, as tar shards: read from end to end, a few images in memory at a time.

A shard is the unit of work. Its labels lie in a shard of the same name, with a record beside it
that tells that they are finished and of which bytes they were made. Shards need nothing of each
other, so that any number of processes and machines may each take whole ones.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bana.data.shard_index import INDEX, Index, Shard, read_index, write_index
from bana.data.shard_items import item_of, mask_file
from bana.data.tar_shards import Sample, check_library, read_shard, write_shard
from bana.data.transforms import eval_image
from bana.data.voc import DataError
from bana.experiment.keeping import key_of
from bana.experiment.labelling import Crew, LabelSettings, labels_from_features
from bana.experiment.processes import computing_with, spread
from bana.files.alone import alone_in
from bana.files.artefacts import read_json, write_json
from bana.files.unfinished import remove_unfinished
from bana.networks.classifier import BoxClassifier

ABOUT = "labels.json"
"""What the labels of a folder are made by; written first."""
BATCHES_AHEAD = 8
"""So many batches' images are in memory where a batch is of several of one size."""


class ShardJob(NamedTuple):
    """What a process needs to know to label a shard.

    Attributes:
        source, out: folders of the shards and of their labels.
        classes: class names, background first.
        settings: of labels that are made by a classifier.
        key: hash of all that every label depends on.
        model: the classifier; None as long as nothing is to be made.
        batch: images of one size that go through the backbone at once.
        devices: dealt out to the shards in turn.
    """

    source: Path
    out: Path
    classes: tuple[str, ...]
    settings: LabelSettings
    key: str
    model: BoxClassifier | None
    batch: int
    devices: tuple[str, ...]


class Labelled(NamedTuple):
    """What came of a run.

    Attributes:
        images: of the finished shards that it was to make.
        failures: {id: reason} of the images of these that could not be read and have no labels.
        damaged: {shard: reason} of shards that could not be read and are still to do.
        whole: the shards of all parts are finished, and have their index.
    """

    images: int
    failures: dict[str, str]
    damaged: dict[str, str]
    whole: bool


def label_shards(
    source: Path,
    out: Path,
    settings: LabelSettings,
    learned: str,
    make_model: Callable[[], BoxClassifier],
    crew: Crew,
    part: tuple[int, int] = (1, 1),
) -> Labelled:
    """Label what tar shards hold; shards that have their labels are passed over.

    A shard's labels appear whole or not at all, and only when all of it has turned out to be what
    the index lists. An image that cannot be read is left out; a shard that cannot is told, and the
    others go on.

    Args:
        source: folder of shards of photographs, whole.
        out: folder of their labels, which may hold some of the same labels.
        settings: of labels that are made by a classifier.
        learned: hash of what the classifier depends on.
        make_model: gives the classifier where there is anything to do.
        crew: the processes, each of which takes whole shards.
        part: (k, n) takes every n-th shard, from the k-th on.

    Raises:
        DataError: when there are no shards, or the folder holds anything else.
        ValueError: when there is no such part, or the library is not installed.
        bana.training.runs.RunError: if a process was ended from outside, as for want of memory.
        bana.files.unfinished.NotWritten: if the disk is full or cannot be written.
    """
    check_library()
    if not 1 <= part[0] <= part[1]:
        raise ValueError(f"no shard {part[0]}/{part[1]}: the first of two is 1/2")
    index = read_index(source, "photographs")
    _check_place(out, source)
    key = key_of(label_shards, settings, learned, index.classes)
    job = ShardJob(source, out, index.classes, settings, key, None, crew.batch, crew.devices)
    with alone_in(out, together=part[1] > 1):
        _open_folder(job, index.split)
        if part[1] == 1:
            remove_unfinished(out)
        return _brought_up_to_date(job, index, make_model, crew, part)


def _check_place(out: Path, source: Path) -> None:
    here, there = out.resolve(), source.resolve()
    if here == there or there in here.parents:
        raise DataError(f"--out {out}: lies in the folder of the shards: name another folder")


def _open_folder(job: ShardJob, split: str) -> None:
    """Make sure that a folder holds these labels or nothing, and say what it holds."""
    path = job.out / ABOUT
    settings = asdict(job.settings)
    about = {"key": job.key, "variant": settings.pop("variant"), "split": split}
    # In this order, as another part may be beginning beside this one: it writes this file first.
    filled = any(not each.name.endswith(".tmp") for each in job.out.iterdir())
    before = read_json(path)
    if not before:
        if filled:
            raise DataError(f"--out {job.out}: holds something else: name another folder")
        write_json(path, {**about, "settings": settings})
    elif any(before.get(name) != value for name, value in about.items()):
        raise DataError(
            f"--out {job.out}: holds labels of another split, classifier, settings or code: name "
            f"another folder, or remove it"
        )


def _brought_up_to_date(
    job: ShardJob,
    index: Index,
    make_model: Callable[[], BoxClassifier],
    crew: Crew,
    part: tuple[int, int],
) -> Labelled:
    mine = index.shards[part[0] - 1 :: part[1]]
    todo = [(n, each) for n, each in enumerate(mine) if _finished(job, each) is None]
    damaged: dict[str, str] = {}
    if todo:
        (job.out / INDEX).unlink(missing_ok=True)  # of labels that were made of other bytes
        job = job._replace(model=make_model())
        with computing_with(1):
            for (_, shard), reason in spread(_label_shard, job, todo, crew.processes, "shards"):
                if reason:
                    damaged[shard.name] = reason
    whole = _write_index(job, index)
    made = [record for each in mine if (record := _finished(job, each)) is not None]
    failures = {name: why for record in made for name, why in record["failures"].items()}
    return Labelled(sum(record["images"] for record in made), failures, damaged, whole)


def _record_path(job: ShardJob, shard: Shard) -> Path:
    return (job.out / shard.name).with_suffix(".json")


def _finished(job: ShardJob, shard: Shard) -> dict[str, Any] | None:
    """The record of a shard's labels; None where they are not there, or of other bytes."""
    record = read_json(_record_path(job, shard))
    path = job.out / shard.name
    current = record.get("of") == shard.sha256 and path.is_file()
    return record if current and path.stat().st_size == record.get("bytes") else None


def _write_index(job: ShardJob, index: Index) -> bool:
    """Write the index of all labels, if all are there; whether it is there now."""
    records = []
    for shard in index.shards:
        record = _finished(job, shard)
        if record is None:
            return False
        records.append(Shard(shard.name, record["images"], record["bytes"], record["sha256"]))
    made = Index("labels", index.split, index.classes, tuple(records))
    if not (job.out / INDEX).is_file() or read_index(job.out) != made:
        names = {shard.name for shard in index.shards}
        for path in job.out.glob("*.tar"):
            if path.name not in names:  # of shards that are no more
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink()
        write_index(job.out, made)
    return True


def _label_shard(job: ShardJob, numbered: tuple[int, Shard]) -> str:
    """Label a shard; returns why it cannot be read, empty where it can."""
    number, shard = numbered
    assert job.model is not None
    device = job.devices[number % len(job.devices)]
    model = copy.deepcopy(job.model).to(device) if device != "cpu" else job.model
    failures: dict[str, str] = {}
    _record_path(job, shard).unlink(missing_ok=True)
    samples = read_shard(job.source, shard, "photographs")
    try:
        made = _labels_of(job._replace(model=model), shard, samples, failures)
        written = write_shard(job.out, shard.name, made)
    except DataError as error:
        return str(error)
    about = {"of": shard.sha256, "images": written.images, "bytes": written.size}
    about |= {"sha256": written.sha256, "failures": failures}
    write_json(_record_path(job, shard), about)
    return ""


def _labels_of(
    job: ShardJob,
    shard: Shard,
    samples: Iterator[Sample],
    failures: dict[str, str],
) -> Iterator[Sample]:
    """Label maps of each sample, in the order of the samples; why some have none, in failures."""
    ahead = job.batch * BATCHES_AHEAD if job.batch > 1 else 1
    while window := list(islice(samples, ahead)):
        items = []
        for sample in window:
            try:
                items.append(item_of(sample, job.classes, job.source / shard.name))
            except DataError as error:
                failures[sample.name] = str(error)
        for item, features in zip(items, _features(job, items), strict=True):
            yield Sample(item["id"], _maps(job, item, features))


def _features(job: ShardJob, items: Sequence[dict]) -> list[Tensor]:
    """Features of each image, through the backbone in batches of one size."""
    assert job.model is not None
    alike: dict[tuple[int, ...], list[int]] = {}
    for number, item in enumerate(items):
        alike.setdefault(tuple(item["image"].shape), []).append(number)
    features: dict[int, Tensor] = {}
    for group in alike.values():
        for batch in (group[i : i + job.batch] for i in range(0, len(group), job.batch)):
            scale = job.settings.image_scale
            images = torch.stack([eval_image(items[number], scale) for number in batch])
            with torch.no_grad():
                made = job.model.backbone(images.to(job.model.weight.device))
            features |= zip(batch, made, strict=True)
    return [features[number] for number in range(len(items))]


def _maps(job: ShardJob, item: dict, features: Tensor) -> dict[str, bytes]:
    """The files of an image's labels."""
    assert job.model is not None
    with torch.no_grad():
        made = labels_from_features(job.model, item, features, job.settings)
    labels = {"y_crf.png": made.y_crf.cpu(), "y_ret.png": made.y_ret.cpu()}
    return {kind: mask_file(label) for kind, label in labels.items()}
