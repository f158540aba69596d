"""Networks that are trained beside one another, on a CPU, by processes of one thread each.

The layers of the light backbone are too small to be shared well between threads; what is won is
measured by `benchmarks/beside.py`. On a GPU networks are trained one after the other.
"""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from bana.experiment import stages
from bana.experiment.classifying import classifier_key
from bana.experiment.processes import spread
from bana.experiment.profiles import Profile
from bana.experiment.segmenting import segmenter_key
from bana.files.artefacts import load_checkpoint
from bana.files.paths import run_dir
from bana.networks.classifier import BoxClassifier
from bana.networks.segmenter import Segmenter
from bana.training.machine import Machine

QUIET = Machine(progress=False)
"""The machine of a helper process, whose bar would be written over the others'."""

Job = TypeVar("Job", bound=Hashable)


def trained_beside(
    train: Callable[[Any, Job], None], shared: Any, jobs: Sequence[Job], processes: int, title: str
) -> None:
    """Make trainings that each keep what they make: several at a time, unless there is a GPU.

    Args:
        train: of a module, called with ``shared`` and a job, see
            `bana.experiment.processes.spread`.
        shared: what all trainings need.
        jobs: the trainings.
        processes: at most so many at a time.
        title: of the progress bar.

    Raises:
        bana.training.runs.RunError: if a process was ended from outside.
    """
    if processes > 1 and len(jobs) > 1 and not torch.cuda.is_available():
        for _ in spread(train, shared, jobs, processes, title):
            pass


def classifiers(
    profile: Profile, poolings: Sequence[str] = ("gap", "bap"), root: str | Path | None = None
) -> dict[str, BoxClassifier]:
    """Box classifiers of several poolings; arguments and errors as in `stages.classifier`."""
    data = stages.dataset(profile, "train", root)

    def is_missing(pooling: str) -> bool:
        key = classifier_key(stages.classifier_settings(profile, pooling), data)
        return load_checkpoint(stages.classifier_path(profile, pooling), key) is None

    missing = [pooling for pooling in poolings if is_missing(pooling)]
    shared = profile, root
    trained_beside(_train_classifier, shared, missing, profile.train_workers, "classifiers")
    return {pooling: stages.classifier(profile, pooling, root) for pooling in poolings}


def segmenters(
    profile: Profile, losses: Sequence[str], root: str | Path | None = None
) -> dict[str, Segmenter]:
    """Segmenters of several losses; arguments and errors as in `stages.segmenter`."""
    data = stages.dataset(profile, "train", root)
    labels_key = stages.labels_key(profile, "bap", root)

    def is_missing(loss: str) -> bool:
        key = segmenter_key(stages.segmenter_settings(profile, loss, root), labels_key, data)
        return load_checkpoint(run_dir(profile.name) / f"segmenter-{loss}.pt", key) is None

    missing = [loss for loss in losses if is_missing(loss)]
    if missing:
        stages.labels(profile, "train", "bap", root)  # of all of them, and made once
    shared = profile, root
    trained_beside(_train_segmenter, shared, missing, profile.train_workers, "segmenters")
    return {loss: stages.segmenter(profile, loss, root) for loss in losses}


def _train_classifier(shared: tuple[Profile, str | Path | None], pooling: str) -> None:
    profile, root = shared
    stages.classifier(profile, pooling, root, QUIET)


def _train_segmenter(shared: tuple[Profile, str | Path | None], loss: str) -> None:
    profile, root = shared
    stages.segmenter(profile, loss, root, QUIET)
