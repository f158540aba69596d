"""Stage 1: the box classifier, trained once and kept."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch.utils.data import Dataset

from bana.data.fingerprint import fingerprint
from bana.data.voc import VocDataset
from bana.experiment.keeping import key_of
from bana.experiment.trained import BackboneSettings, CropSettings, batches, kept_training
from bana.networks.classifier import BoxClassifier
from bana.training.classification import train_classifier
from bana.training.engine import Engine
from bana.training.machine import Machine
from bana.training.optimisation import Optimisation


@dataclass(frozen=True)
class ClassifierSettings:
    """All that a box classifier depends on, but for data and code.

    Attributes:
        pooling: "bap" or "gap".
        drop: fraction of the iterations after which the rate falls to a tenth.
        seed: of weights, crops and their order.
        grid_size, parts: see `bana.networks.classifier.BoxClassifier`.
    """

    backbone: BackboneSettings
    pooling: str
    crops: CropSettings
    optimisation: Optimisation
    drop: float
    seed: int
    grid_size: int
    parts: int


def classifier_key(settings: ClassifierSettings, data: VocDataset) -> str:
    """Hash of all that the classifier depends on; the masks of the images are not in it."""
    return key_of(trained_classifier, settings, fingerprint(data, "photograph", "boxes"))


def trained_classifier(
    path: Path, settings: ClassifierSettings, data: VocDataset, machine: Machine, workers: int = 0
) -> BoxClassifier:
    """The classifier kept in a file, or trained and kept there; on the CPU, to be used.

    A training leaves torch's random generators seeded; one that is kept leaves them alone.

    Args:
        path: the file.
        settings: what to train.
        data: training images.
        machine: where and how to train.
        workers: processes that prepare crops, where the machine does not say.
    """
    pooling = settings.pooling, settings.grid_size, settings.parts
    return kept_classifier(
        (path, classifier_key(settings, data)),
        settings,
        lambda: BoxClassifier(settings.backbone.build(), len(data.classes) - 1, *pooling),
        data,
        machine,
        workers,
    )


class Fitting(Protocol):
    """What says how a classifier is fitted, see `ClassifierSettings`."""

    crops: CropSettings
    optimisation: Optimisation
    drop: float
    seed: int


def kept_classifier(
    files: tuple[Path, str],
    settings: Fitting,
    build: Callable[[], BoxClassifier],
    data: Dataset,
    machine: Machine,
    workers: int = 0,
) -> BoxClassifier:
    """The classifier kept under a key, or trained and kept there, as `trained_classifier`.

    Args:
        files: see `bana.experiment.trained.kept_training`.
        settings: how it is fitted.
        build: makes the classifier that a training starts from, its new weights drawn by the seed.
        data: training images.
        machine: where and how to train.
        workers: processes that prepare crops, where the machine does not say.
    """
    with torch.random.fork_rng(devices=[]):  # as in `bana.data.transforms.Crops`
        torch.default_generator.manual_seed(settings.seed)
        model = build()
        drawn = torch.get_rng_state()

    def train(hold: Engine) -> dict:
        loader = batches(data, settings.crops, settings.optimisation, settings.seed, hold, workers)
        torch.manual_seed(settings.seed)  # for dropout on a GPU
        torch.set_rng_state(drawn)  # on the CPU it goes on where the weights ended
        with hold.guarded(settings.optimisation.batch):
            train_classifier(model, loader, settings.optimisation, settings.drop, hold)
        return {}

    kept = kept_training(files, machine, settings, model, train)
    model.load_state_dict(kept["state"])
    model.history = kept["history"]
    return model.eval()
