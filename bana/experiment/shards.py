"""Labels of a split in so many parts: which parts have something to do, and one manifest of all.

A part is finished when every image of it is known, in the manifests beside the labels, by the
photograph and boxes that it has now, and has its label file or a reason for having none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bana.data.fingerprint import image_fingerprints
from bana.data.voc import VocDataset
from bana.experiment import stages
from bana.experiment.classifying import classifier_key
from bana.experiment.label_folders import manifest_path
from bana.experiment.labelling import VARIANTS, is_labelled, label_batches
from bana.experiment.profiles import Profile
from bana.files.alone import alone_in
from bana.files.artefacts import load_checkpoint, read_json, write_json
from bana.files.unfinished import remove_unfinished


@dataclass(frozen=True)
class Shards:
    """The parts of a folder of labels.

    Attributes:
        data: the images.
        folder: of their labels.
        key: of these, see `bana.experiment.stages.labels_key`.
        names: ids of each part, in the order in which it makes their labels.
        order: all ids, in the order in which one process makes their labels.
    """

    data: VocDataset
    folder: Path
    key: str
    names: tuple[tuple[str, ...], ...]
    order: tuple[str, ...]


def shards_of(
    profile: Profile, split: str, variant: str, root: str | Path | None, batch: int, parts: int
) -> Shards:
    """The parts that `bana.experiment.stages.labels` makes of a split.

    Args:
        profile, split, variant, root: see there.
        batch: of the processes that make them.
        parts: how many, at least 1.

    Raises:
        ValueError: if the folder holds labels of other settings, which no part may remove.
    """
    data = stages.dataset(profile, split, root)
    batches = label_batches(data, batch)
    names = [[data.ids[i] for each in batches[part::parts] for i in each] for part in range(parts)]
    shards = Shards(
        data,
        stages.labels_path(profile, variant, split),
        stages.labels_key(profile, variant, root),
        tuple(map(tuple, names)),
        tuple(data.ids[i] for each in batches for i in each),
    )
    _manifests(shards)
    return shards


def check_classifier(profile: Profile, variant: str, root: str | Path | None) -> None:
    """See that the classifier of these labels is trained: every part would train it.

    Raises:
        ValueError: if it is not.
    """
    recipe = VARIANTS[variant]
    if recipe is None:
        return
    pooling = recipe[0]
    settings = stages.classifier_settings(profile, pooling)
    key = classifier_key(settings, stages.dataset(profile, "train", root))
    if load_checkpoint(stages.classifier_path(profile, pooling), key) is None:
        raise ValueError(
            f"labels {variant!r} need a classifier, which every shard would train: give "
            f"`bana train classifier --pooling {pooling}` first, with the same profile"
        )


def to_do(shards: Shards) -> dict[int, tuple[str, ...]]:
    """The images without labels, of each part that has any; parts count from 1.

    An image that could not be read is among them: it is tried again.
    """
    known, _ = _known(_manifests(shards))
    now = image_fingerprints(shards.data, "photograph", "boxes")
    left = {
        part: tuple(
            name
            for name in names
            if known.get(name) != now[name] or not is_labelled(shards.folder, name)
        )
        for part, names in enumerate(shards.names, start=1)
    }
    return {part: names for part, names in left.items() if names}


def unfinished_parts(shards: Shards) -> dict[int, tuple[str, ...]]:
    """As `to_do`, without the images that could not be read."""
    _, failures = _known(_manifests(shards))
    left = {
        part: tuple(name for name in names if name not in failures)
        for part, names in to_do(shards).items()
    }
    return {part: names for part, names in left.items() if names}


def merge(shards: Shards) -> dict[str, str]:
    """Put the manifest that one process writes in the place of those of the parts.

    Returns:
        {id: reason} of the images that could not be read.

    Raises:
        ValueError: if a part is not finished.
    """
    with alone_in(shards.folder):
        left = unfinished_parts(shards)
        if left:
            raise ValueError(f"{shards.folder}: shard {min(left)} is not finished")
        remove_unfinished(shards.folder, below=True)
        manifests = _manifests(shards)
        images, failures = _known(manifests)
        about = {k: v for k, v in manifests[0].items() if k not in ("images", "failures", "turn")}
        whole = about | {
            "seconds": sum(each["seconds"] for each in manifests),
            "images": {name: images[name] for name in shards.order},
            "failures": {name: failures[name] for name in shards.order if name in failures},
            "turn": 0,
        }
        path = manifest_path(shards.folder)
        if read_json(path) != whole:
            write_json(path, whole)
        for part in shards.folder.glob("manifest-*.json"):
            part.unlink()
    return whole["failures"]


def _manifests(shards: Shards) -> list[dict[str, Any]]:
    """All manifests of the folder, in the order in which their makers looked at the images."""
    found = [read_json(path) for path in sorted(shards.folder.glob("manifest*.json"))]
    unknown = not found and any(shards.folder.glob("*/*.png"))
    if unknown or any(each.get("key") != shards.key for each in found):
        raise ValueError(f"{shards.folder} holds labels of other settings: remove it first")
    return sorted(found, key=lambda each: each.get("turn", 0))


def _known(manifests: list[dict[str, Any]]) -> tuple[dict[str, str], Mapping[str, str]]:
    """{id: hash} of the images and {id: reason} of those that could not be read, as last seen."""
    images: dict[str, str] = {}
    failures: dict[str, str] = {}
    for each in manifests:
        images |= each["images"]
        failures = {name: why for name, why in failures.items() if name not in each["images"]}
        failures |= each["failures"]
    return images, failures
