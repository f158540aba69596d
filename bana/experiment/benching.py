"""The benches under a profile: features frozen for heads, and whole networks for recipes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from bana.data.fingerprint import fingerprint
from bana.experiment import bias, recipes, recording, stages
from bana.experiment.bench import BenchSettings, bench
from bana.experiment.beside import trained_beside
from bana.experiment.frozen import frozen_images, leading_directions
from bana.experiment.keeping import key_of
from bana.experiment.labelling import labelled
from bana.experiment.noise import NoiseSettings, noise_map
from bana.experiment.profiles import Profile
from bana.experiment.segmenting import trained_segmenter, untrained_segmenter
from bana.files.artefacts import (
    content_hash,
    file_hash,
    load_checkpoint,
    read_json,
    save_checkpoint,
)
from bana.files.paths import run_dir
from bana.networks.segmenter import Segmenter
from bana.training.heads import FrozenImage
from bana.training.machine import THIS_MACHINE, Machine

DIRECTIONS = 256
"""Of the features that are frozen, the ones in which training images have most."""


def frozen(profile: Profile, root: str | Path | None = None) -> dict[str, Any]:
    """The BAP classifier's features of all images with masks and labels, made once and kept.

    Args:
        profile: settings.
        root: see `bana.experiment.stages.data_root`.

    Returns:
        "train", "val": a list of `FrozenImage` each; "share": of the training features' squared
        length that the `DIRECTIONS` hold, in [0, 1]; "key": hash of all this.

    Raises:
        bana.data.voc.DataError: if an image has no mask.
    """
    splits = {split: stages.dataset(profile, split, root) for split in ("train", "val")}
    folders = {split: stages.labels(profile, split, "bap", root) for split in splits}
    splits = {split: labelled(data, folders[split]) for split, data in splits.items()}
    seen = {s: fingerprint(data, "photograph", "boxes", "mask") for s, data in splits.items()}
    key = key_of(frozen_images, stages.labels_key(profile, "bap", root), seen, DIRECTIONS)
    path = run_dir(profile.name) / "bench" / "frozen.pt"
    kept = load_checkpoint(path, key)
    if kept is None:
        model, scale = stages.classifier(profile, "bap", root), profile.image_scale
        crew = {"image_scale": scale, "processes": profile.label_workers}
        basis, share = leading_directions(model, splits["train"], DIRECTIONS, **crew)
        made = {s: frozen_images(model, splits[s], folders[s], basis, **crew) for s in splits}
        kept = {s: [tuple(image) for image in images] for s, images in made.items()}
        kept |= {"share": share}
        save_checkpoint(path, key, kept)
    images = {split: [FrozenImage(*image) for image in kept[split]] for split in splits}
    return images | {"share": kept["share"], "key": key}


def loss_bench(
    profile: Profile, settings: BenchSettings, root: str | Path | None = None
) -> dict[str, Any]:
    """The losses compared on frozen features.

    Returns:
        As `bana.experiment.bench.bench`, and "share": of the features' squared length that is left.
    """
    images = frozen(profile, root=root)
    n_classes = len(stages.dataset(profile, "val", root).classes)
    keep = run_dir(profile.name) / "bench", images["key"]
    compared = bench(
        images["train"], images["val"], n_classes, settings, keep, profile.label_workers
    )
    return {"share": images["share"], **compared}


def loss_noise_map(
    profile: Profile, settings: NoiseSettings, root: str | Path | None = None
) -> list[dict[str, Any]]:
    """The map of label noise on frozen features; as `bana.experiment.noise.noise_map`."""
    images = frozen(profile, root=root)
    keep = run_dir(profile.name) / "bench", images["key"]
    return noise_map(images["train"], images["val"], settings, keep, profile.label_workers)


def check_recipes(profile: Profile, names: Sequence[str], root: str | Path | None = None) -> None:
    """See that recipes can be trained, before hours go into the first of them.

    Raises:
        ValueError: if a recipe is unknown, its weights are missing, or its neck does not fit its
            backbone.
    """
    settings = stages.segmenter_settings(profile, "crf", root)
    for name in names:
        if name not in recipes.RECIPES:
            known = ", ".join(recipes.RECIPES)
            raise ValueError(f"unknown recipe {name!r}: use one of {known}")
        untrained_segmenter(recipes.RECIPES[name](settings), 1)


def recipe_inputs(profile: Profile, root: str | Path | None = None) -> dict[str, str]:
    """What recipes learn from and are scored on, told by content; labels are made if missing.

    Returns:
        Short hashes: "annotations" of boxes and masks, "Y_crf" of the label files.
    """
    data = stages.dataset(profile, "train", root)
    folder = stages.labels(profile, "train", "bap", root)
    files = [folder / "Y_crf" / f"{name}.png" for name in labelled(data, folder).ids]
    return {
        "annotations": fingerprint(data, "boxes", "mask"),
        "Y_crf": content_hash([[path.stem, file_hash(path)] for path in files]),
    }


def earlier_recipes(record: Path, about: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The recipes in a record to which others are to be added; none where there is no record.

    Args:
        record: a file.
        about: what the others are measured on, such as settings, data and inputs.

    Raises:
        ValueError: if the record's were measured on something else.
    """
    before = read_json(record)
    if not before:
        return {}
    for part, value in json.loads(json.dumps(about)).items():  # tuples are lists in a file
        if before.get(part) != value:
            raise ValueError(
                f"the recipes in {record} were measured on other {part}: name another file with "
                f"--out, or remove this one"
            )
    return before["recipes"]


def recipe_bench(
    profile: Profile,
    names: Sequence[str],
    root: str | Path | None = None,
    machine: Machine = THIS_MACHINE,
) -> dict[str, dict[str, Any]]:
    """Networks of several recipes, each trained on true masks and on Y_crf, see `recipes`.

    Args:
        profile: whose labels and segmenter the recipes change.
        names: keys of `bana.experiment.recipes.RECIPES`.
        root: see `bana.experiment.stages.data_root`.
        machine: where and how to train.

    Returns:
        {recipe: {"optimisation": iterations, batch and rate; "seconds": of each training; and what
        `bana.experiment.recipes.compared` returns}}.

    Raises:
        ValueError: as `check_recipes`, or if there are too few training images.
    """
    check_recipes(profile, names, root)
    stages.labels(profile, "train", "bap", root)  # of all networks, and made once
    trainings = [(name, loss) for name in names for loss in recipes.LOSSES]
    shared = profile, root, replace(machine, progress=False)
    trained_beside(_train_recipe, shared, trainings, profile.train_workers, "networks")
    result = {}
    for name in names:
        areas, seconds = {}, {}
        for loss in recipes.LOSSES:
            areas[loss], seconds[loss] = _recipe_areas(profile, name, loss, root, machine)
        training = recipes.RECIPES[name](stages.segmenter_settings(profile, "crf", root))
        result[name] = {"optimisation": asdict(training.optimisation), "seconds": seconds}
        parts = ({loss: made[part] for loss, made in areas.items()} for part in recipes.PARTS)
        result[name] |= recipes.compared(*parts)
    return result


def _train_recipe(
    shared: tuple[Profile, str | Path | None, Machine], training: tuple[str, str]
) -> None:
    profile, root, machine = shared
    _recipe_network(profile, *training, root, machine)


def _recipe_path(profile: Profile, recipe: str, loss: str) -> Path:
    return run_dir(profile.name) / "recipes" / f"{recipe}-{loss}.pt"


def _recipe_network(
    profile: Profile,
    recipe: str,
    loss: str,
    root: str | Path | None,
    machine: Machine,
) -> Segmenter:
    """A recipe's network, trained on the images that are not held out."""
    settings = recipes.RECIPES[recipe](stages.segmenter_settings(profile, loss, root))
    learned, _ = recipes.held_out(stages.dataset(profile, "train", root))
    settings = replace(settings, strong=settings.strong & frozenset(learned.ids))
    return trained_segmenter(
        _recipe_path(profile, recipe, loss),
        settings,
        learned,
        (
            stages.labels_key(profile, "bap", root),
            lambda _: stages.labels(profile, "train", "bap", root),
        ),
        lambda: stages.classifier(profile, "bap", root).backbone,
        machine,
        profile.loader_workers,
    )


def _recipe_areas(
    profile: Profile, recipe: str, loss: str, root: str | Path | None, machine: Machine
) -> tuple[dict[str, Tensor], float | None]:
    """Areas of a recipe's network by `recipes.PARTS`, and how long it was trained."""
    model = _recipe_network(profile, recipe, loss, root, machine)
    path = _recipe_path(profile, recipe, loss)
    learned, scored = recipes.held_out(stages.dataset(profile, "train", root))
    images = bias.learned_from(profile, loss, learned, root), bias.Scored(scored, scored.mask)
    parts = dict(zip(recipes.PARTS, images, strict=True))
    kept = path.with_suffix(".areas"), bias.areas_key(profile, loss, model, parts, root)
    made = load_checkpoint(*kept)
    if made is None:
        made = bias.areas_of(model, parts, profile.image_scale)
        save_checkpoint(*kept, made)
    return {part: made[part] for part in parts}, recording.seconds_of(path)
