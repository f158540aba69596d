"""N in training by N in generation: classifiers of several background grids, and labels of several.

A classifier that is missing is trained, in a run folder of its own (see
`bana.experiment.profiles.changed`), and an interrupted training goes on. Labels under another N
need no training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bana.data.fingerprint import fingerprint
from bana.data.voc import VocDataset, read_mask
from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import plain_difference, plain_estimate
from bana.experiment import beside, recording, stages
from bana.experiment.classifying import classifier_key
from bana.experiment.keeping import key_of
from bana.experiment.labelling import labelled
from bana.experiment.profiles import Changes, Profile, changed
from bana.files.artefacts import kept_json, load_checkpoint
from bana.files.paths import run_dir

TRAINED = (1, 2, 3, 4, 5)
GENERATED = (1, 2, 3, 4)
"""The replication's rows and columns, and N = 4 in generation besides."""


def grid_card(
    profile: Profile,
    root: str | Path | None = None,
    trained: Sequence[int] = TRAINED,
    generated: Sequence[int] = GENERATED,
) -> dict[str, Any]:
    """mIoU of BAP's Y_crf on the validation images by both N.

    Args:
        profile: settings.
        root: see `bana.experiment.stages.data_root`.
        trained, generated: the N of the rows and of the columns.

    Returns:
        "own": the profile's two N; "cells": a list of {"trained", "generated", "miou", "over own"}:
        an estimate in percent, and {"mean", "low", "high"} in points less the labels of the
        profile's own N, or None; intervals are over images and know of one training each.

    Raises:
        bana.data.voc.DataError: if an image has no mask.
    """
    missing = to_train(profile, root, trained)
    beside.trained_beside(_train, (profile, root), missing, profile.train_workers, "grids")
    own = profile.grid_size, profile.unary.grid_size
    places = [(n, m) for n in trained for m in generated]
    profiles = {place: at(profile, *place) for place in dict.fromkeys([own, *places])}
    folders = {p: stages.labels(each, "val", "bap", root) for p, each in profiles.items()}
    data = stages.dataset(profile, "val", root)
    for folder in folders.values():
        data = labelled(data, folder)
    keys = [stages.labels_key(each, "bap", root) for each in profiles.values()]
    return kept_json(
        run_dir(profile.name) / "grids.json",
        key_of(grid_card, keys, fingerprint(data, "photograph", "boxes", "mask"), places),
        lambda: _card(data, folders, own, places),
    )


def at(profile: Profile, trained: int, generated: int) -> Profile:
    """The profile under both N."""
    return changed(profile, Changes(grid_size=trained, label_grid=generated))


def to_train(
    profile: Profile, root: str | Path | None = None, trained: Sequence[int] = TRAINED
) -> list[int]:
    """The N whose classifier is not trained yet."""
    data = stages.dataset(profile, "train", root)

    def is_there(n: int) -> bool:
        made = at(profile, n, profile.unary.grid_size)
        key = classifier_key(stages.classifier_settings(made, "bap"), data)
        return load_checkpoint(stages.classifier_path(made, "bap"), key) is not None

    return [n for n in trained if not is_there(n)]


def seconds_each(profile: Profile) -> float | None:
    """How long the profile's own classifier took to train; None where there is none."""
    path = stages.classifier_path(profile, "bap")
    return recording.seconds_of(path) if path.is_file() else None


def _train(shared: tuple[Profile, str | Path | None], trained: int) -> None:
    profile, root = shared
    made = at(profile, trained, profile.unary.grid_size)
    stages.classifier(made, "bap", root, beside.QUIET)


def _card(
    data: VocDataset,
    folders: dict[tuple[int, int], Path],
    own: tuple[int, int],
    places: Sequence[tuple[int, int]],
) -> dict[str, Any]:
    areas = {place: _areas(data, folder) for place, folder in folders.items()}
    return {
        "own": list(own),
        "cells": [
            {
                "trained": place[0],
                "generated": place[1],
                "miou": plain_estimate(estimate(areas[place], mean_iou)),
                "over own": plain_difference(
                    paired_difference(areas[place][None], areas[own][None])
                ),
            }
            for place in places
        ],
    }


def _areas(data: VocDataset, folder: Path) -> Tensor:
    """Areas of a folder's Y_crf, int64 [N, L + 1, 2], see `class_areas`."""
    labels = ((read_mask(folder / "Y_crf" / f"{name}.png"), data.mask(name)) for name in data.ids)
    return torch.stack([class_areas(label, mask, len(data.classes)) for label, mask in labels])
