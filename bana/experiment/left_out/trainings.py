"""Classifiers trained on less, or on another backbone: what needs a training of its own."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bana.data.annotations import read_annotation, write_annotation
from bana.data.voc import VocDataset
from bana.experiment import stages
from bana.experiment.beside import QUIET, trained_beside
from bana.experiment.classifying import ClassifierSettings, classifier_key, trained_classifier
from bana.experiment.left_out.measuring import file_name
from bana.experiment.profiles import Profile
from bana.experiment.recording import seconds_of
from bana.files.artefacts import content_hash, load_checkpoint
from bana.files.paths import run_dir
from bana.networks.classifier import BoxClassifier
from bana.training.machine import THIS_MACHINE, Machine


@dataclass(frozen=True)
class Training:
    """What a classifier is trained on, where it is not what the profile says.

    Attributes:
        images: share of the training images, evenly spaced.
        boxes: share of the boxes that are there; the others' objects count as background.
        backbone, output_stride, frozen_stages: in the place of the profile's, see
            `bana.networks.backbones.build_backbone`; None leaves the profile's.
        reseed: added to the seed of the weights, of the crops and of their order.
        untrained: the backbone is ImageNet's, and nothing is known of any class.
    """

    images: float = 1.0
    boxes: float = 1.0
    backbone: str | None = None
    output_stride: int | None = None
    frozen_stages: int | None = None
    reseed: int = 0
    untrained: bool = False


FEWER = {
    "another seed": Training(reseed=1),
    "half of the images": Training(images=0.5),
    "a quarter of the images": Training(images=0.25),
    "30 % of boxes forgotten": Training(boxes=0.7),
    "half of boxes forgotten": Training(boxes=0.5),
    "three quarters of boxes forgotten": Training(boxes=0.25),
    "no training": Training(untrained=True),
}
"""The first is the training's own chance; no difference below it says anything."""
BACKBONES = {"vgg16": Training(backbone="vgg16", output_stride=8, frozen_stages=0)}


class Reannotated(VocDataset):
    """A data set whose boxes are read from another folder of XML files."""

    annotations: Path

    def annotation_path(self, name: str) -> Path:
        """Return the path of a photograph's XML file."""
        return self.annotations / f"{name}.xml"


def with_forgotten(data: VocDataset, share: float, folder: Path, seed: int = 0) -> VocDataset:
    """The data set with some of its boxes forgotten, drawn from the seed and each image's name.

    Args:
        data: photographs and boxes, which stay as they are.
        share: of the boxes that are kept, in [0, 1]. A smaller share forgets the same and more.
        folder: where the XML files of what is left are written.
        seed: of the drawing.
    """
    rest = Reannotated(data.root, data.split, data.classes)
    rest.ids, rest.annotations = list(data.ids), folder
    for name in data.ids:
        digits = content_hash(seed, name, "forgotten")
        generator = torch.Generator().manual_seed(int(digits[:12], 16))
        whole = read_annotation(data.annotation_path(name))
        kept = torch.rand(len(whole.objects), generator=generator) < share
        objects = [o for o, keep in zip(whole.objects, kept.tolist(), strict=True) if keep]
        write_annotation(folder / f"{name}.xml", whole._replace(objects=objects))
    return rest


def fewer_images(data: VocDataset, share: float) -> VocDataset:
    """Every so many of the images, at least one."""
    count = max(1, round(share * len(data)))
    rest = copy.copy(data)
    rest.ids = [data.ids[i * len(data) // count] for i in range(count)]
    return rest


def check_trainings(profile: Profile, trainings: Mapping[str, Training]) -> None:
    """Refuse a training on another backbone that is the profile's own, before anything is made.

    Raises:
        ValueError: if there is one: the network would be compared with itself.
    """
    for name, training in trainings.items():
        if training.backbone == profile.backbone:
            raise ValueError(
                f"training {name!r}: the classifier of profile {profile.name!r} has backbone "
                f"{profile.backbone} already: take a profile with another one"
            )


def settings_of(profile: Profile, training: Training) -> ClassifierSettings:
    """The settings of a training's classifier: the profile's, with what the training changes."""
    changes: dict[str, Any] = {"seed": profile.seed + training.reseed}
    if training.backbone is not None:
        changes |= {"backbone": training.backbone, "segmenter_backbone": None}
    for field in ("output_stride", "frozen_stages"):
        if (value := getattr(training, field)) is not None:
            changes[field] = value
    return stages.classifier_settings(replace(profile, **changes), "bap")


def classifier_of(
    profile: Profile,
    name: str,
    training: Training,
    root: str | Path | None = None,
    machine: Machine = THIS_MACHINE,
) -> BoxClassifier:
    """The classifier of a training, in evaluation mode; trained once and kept.

    Args:
        profile: what the training changes.
        name: of the training, and of its file.
        training: what is changed.
        root: see `bana.experiment.stages.data_root`.
        machine: where to train.

    Raises:
        ValueError: as `check_trainings`.
    """
    check_trainings(profile, {name: training})
    settings = settings_of(profile, training)
    if training.untrained:
        classes = stages.dataset(profile, "train", root).classes
        return _untrained(settings, len(classes) - 1)
    path, data = training_path(profile, name), _data_of(profile, name, training, root)
    return trained_classifier(path, settings, data, machine, profile.loader_workers)


def _data_of(
    profile: Profile, name: str, training: Training, root: str | Path | None
) -> VocDataset:
    """The images and boxes of a training; what is left of the boxes lies beside its file."""
    data = stages.dataset(profile, "train", root)
    if training.images < 1:
        data = fewer_images(data, training.images)
    if training.boxes < 1:
        path = training_path(profile, name)
        folder = path.with_name(f"{path.stem}-boxes")
        data = with_forgotten(data, training.boxes, folder, profile.seed)
    return data


def _untrained(settings: ClassifierSettings, n_classes: int) -> BoxClassifier:
    """A backbone that has seen no box, and a head that knows no class."""
    with torch.random.fork_rng(devices=[]):  # as in `bana.data.transforms.Crops`
        torch.default_generator.manual_seed(settings.seed)
        model = BoxClassifier(settings.backbone.build(), n_classes)
    model.weight.data[1:] = torch.nan  # as of classes that a classifier never saw
    return model.eval()


def training_path(profile: Profile, name: str) -> Path:
    """Where the classifier of a training is kept."""
    return run_dir(profile.name) / "left-out" / f"classifier-{file_name(name)}.pt"


def train_missing(
    profile: Profile, trainings: Mapping[str, Training], root: str | Path | None = None
) -> None:
    """Train what is not there yet, several networks beside one another where there is no GPU.

    Raises:
        ValueError: as `check_trainings`.
    """
    check_trainings(profile, trainings)
    jobs = [(name, training) for name, training in trainings.items() if not training.untrained]
    missing = [job for job in jobs if not _is_trained(profile, *job, root)]
    trained_beside(_train, (profile, root), missing, profile.train_workers, "classifiers")


def _is_trained(profile: Profile, name: str, training: Training, root: str | Path | None) -> bool:
    """Whether a training's classifier is kept, under the settings, data and code of now."""
    path = training_path(profile, name)
    if not path.is_file():  # first: what is left of the boxes has to be written for the key
        return False
    data = _data_of(profile, name, training, root)
    return load_checkpoint(path, classifier_key(settings_of(profile, training), data)) is not None


def _train(shared: tuple[Profile, str | Path | None], job: tuple[str, Training]) -> None:
    profile, root = shared
    classifier_of(profile, *job, root, QUIET)


def seconds_of_trainings(profile: Profile, names: Sequence[str]) -> dict[str, Any]:
    """How long each classifier's training took; those that were trained."""
    paths = {name: training_path(profile, name) for name in names}
    return {name: seconds_of(path) for name, path in paths.items() if path.is_file()}
