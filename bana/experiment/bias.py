"""Losses compared with the line between background and objects drawn anew for each network.

A network's background bias (see `bana.evaluation.bias`) is chosen on training images, with the
labels that it learned from: no mask of a validation image is looked at, and for a loss on pseudo
labels no mask at all. What is then compared on validation images is what remains once each line
suits its network's own labels; where labels are too large, so is what suits them.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bana.data.fingerprint import fingerprint
from bana.data.voc import VocDataset, read_mask
from bana.evaluation.bias import BIASES, best_bias, network_areas
from bana.evaluation.intervals import paired_difference
from bana.evaluation.prediction import fastest_device
from bana.evaluation.verdicts import plain_difference
from bana.experiment import beside, stages
from bana.experiment.keeping import key_of
from bana.experiment.labelling import labelled
from bana.experiment.processes import computing_with, spread_and_kept
from bana.experiment.profiles import Profile
from bana.experiment.published import ORDERINGS
from bana.experiment.seeds import by_seed
from bana.files.artefacts import weights_hash
from bana.files.paths import run_dir
from bana.losses import agreement
from bana.networks.segmenter import Segmenter

PAIRS = (("truth", "crf"), *ORDERINGS["Table 3"], *ORDERINGS["Table 4"])


class Scored(NamedTuple):
    """Images, and what gives the labels, uint8 [H, W], that one of them is scored against."""

    images: VocDataset
    label_of: Callable[[str], Tensor]


def bias_card(
    profiles: Sequence[Profile], losses: Sequence[str], root: str | Path | None = None
) -> dict[str, Any]:
    """How networks compare under every background bias, and under the one chosen for each.

    Args:
        profiles: one, or several that differ in the seed alone.
        losses: networks, trained where they are missing.
        root: see `bana.experiment.stages.data_root`.

    Returns:
        "biases": B numbers; "images": {"train", "val"}, how many were looked at; "networks":
        {loss: {"chosen": one bias a seed, "argmax", "at chosen": mIoU in percent, one a seed,
        "by bias": B of such lists}}, all on val at a single scale; "differences": {"truth - crf":
        {"argmax", "at chosen": a difference, "by bias": B of them}}, in points with intervals over
        images and seeds, see `paired_difference`, which take the chosen biases as given. None
        where no pixel counts.
    """
    for profile in profiles:
        beside.segmenters(profile, losses, root)
        stages.labels(profile, "train", "bap", root)
    jobs = [(number, loss) for number in range(len(profiles)) for loss in losses]
    kept = {(n, loss): _kept(profiles[n], loss, root) for n, loss in jobs}
    processes = 1 if torch.cuda.is_available() else profiles[0].label_workers
    shared = tuple(profiles), root
    made = spread_and_kept(_areas_of, shared, kept, processes, "background bias")
    areas = {
        split: {
            loss: torch.stack([made[n, loss][split] for n in range(len(profiles))])
            for loss in losses
        }
        for split in ("train", "val")
    }
    images = {split: each[losses[0]].shape[1] for split, each in areas.items()}
    return {"biases": list(BIASES), "images": images, **compared(**areas)}


def compared(train: Mapping[str, Tensor], val: Mapping[str, Tensor]) -> dict[str, Any]:
    """Networks under every bias of `BIASES`, and under the one that training images choose.

    Args:
        train: by loss, areas against the labels that were learned from, int64 [S, N, B, L + 1, 2].
        val: the same against masks of other images.

    Returns:
        "networks", "differences": see `bias_card`.
    """
    zero = BIASES.index(0)
    chosen = {loss: [best_bias(each, BIASES) for each in areas] for loss, areas in train.items()}
    at_chosen = {
        loss: torch.stack([a[:, BIASES.index(b)] for a, b in zip(val[loss], bs, strict=True)])
        for loss, bs in chosen.items()
    }
    by_bias = {loss: areas.unbind(2) for loss, areas in val.items()}

    def difference(first: Tensor, second: Tensor) -> dict[str, float] | None:
        return plain_difference(paired_difference(first, second))

    return {
        "networks": {
            loss: {
                "chosen": chosen[loss],
                "argmax": by_seed(by_bias[loss][zero]),
                "at chosen": by_seed(at_chosen[loss]),
                "by bias": [by_seed(each) for each in by_bias[loss]],
            }
            for loss in val
        },
        "differences": {
            f"{first} - {second}": {
                "argmax": difference(by_bias[first][zero], by_bias[second][zero]),
                "at chosen": difference(at_chosen[first], at_chosen[second]),
                "by bias": list(map(difference, by_bias[first], by_bias[second])),
            }
            for first, second in PAIRS
            if first in val and second in val
        },
    }


def every_fifth(data: VocDataset) -> VocDataset:
    """Every fifth of the images, the first among them."""
    some = copy.copy(data)
    some.ids = data.ids[::5]
    return some


def learned_from(
    profile: Profile, loss: str, data: VocDataset, root: str | Path | None = None
) -> Scored:
    """Some of a network's training images, and for each the labels that it learned from.

    One number is chosen on them, for which a fifth of the images is enough. Labels are those that
    cross-entropy sees: Y_ret for "ret", Y_crf where it agrees with Y_ret for "ignore" and
    "entropy", the mask of images whose masks are learned, and Y_crf for all others.

    Args:
        profile: whose labels are there already.
        loss: of the network.
        data: the training images; those that could not be labelled are left out.
        root: see `bana.experiment.stages.data_root`.
    """
    folder = stages.labels_path(profile, "bap", "train")
    masked = stages.segmenter_settings(profile, loss, root).strong

    def label_of(name: str) -> Tensor:
        if name in masked:
            return data.mask(name)
        y_crf, y_ret = (read_mask(folder / kind / f"{name}.png") for kind in ("Y_crf", "Y_ret"))
        if loss == "ret":
            return y_ret
        return agreement(y_crf, y_ret) if loss in ("ignore", "entropy") else y_crf

    return Scored(every_fifth(labelled(data, folder)), label_of)


def areas_of(
    model: Segmenter, parts: Mapping[str, Scored], image_scale: float = 1.0
) -> dict[str, Tensor]:
    """Areas of a network's labels on several sets of images, see `network_areas`.

    Args:
        model: in evaluation mode.
        parts: images and what they are scored against, by name.
        image_scale: the constant enlargement that the model was trained with.
    """
    return {name: network_areas(model, *part, image_scale) for name, part in parts.items()}


def areas_key(
    profile: Profile,
    loss: str,
    model: Segmenter,
    parts: Mapping[str, Scored],
    root: str | Path | None = None,
) -> str:
    """Hash of all that `areas_of` depends on; `learned_from` is in the code that counts."""
    seen = [fingerprint(part.images, "photograph", "boxes", "mask") for part in parts.values()]
    labels, network = stages.labels_key(profile, "bap", root), weights_hash(model.state_dict())
    return key_of(areas_of, network, loss, labels, seen, BIASES, profile.image_scale)


def _parts(profile: Profile, loss: str, root: str | Path | None) -> dict[str, Scored]:
    """Images that choose a network's bias, and those on which it is scored."""
    train, val = (stages.dataset(profile, split, root) for split in ("train", "val"))
    return {"train": learned_from(profile, loss, train, root), "val": Scored(val, val.mask)}


def _kept(profile: Profile, loss: str, root: str | Path | None) -> tuple[Path, str]:
    """File and key of one network's areas."""
    model = stages.segmenter(profile, loss, root)
    key = areas_key(profile, loss, model, _parts(profile, loss, root), root)
    return run_dir(profile.name) / f"bias-{loss}.pt", key


def _areas_of(
    shared: tuple[tuple[Profile, ...], str | Path | None], job: tuple[int, str]
) -> dict[str, Tensor]:
    """Areas of one network on both splits."""
    (profiles, root), (number, loss) = shared, job
    profile = profiles[number]
    with computing_with(1):
        model = stages.segmenter(profile, loss, root).to(fastest_device())
        return areas_of(model, _parts(profile, loss, root), profile.image_scale)
