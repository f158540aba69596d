"""A folder of labels, made once and kept: what is in it, and what of it still holds."""

import copy
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bana.data.fingerprint import image_fingerprints
from bana.data.voc import VocDataset
from bana.experiment.labelling import (
    Crew,
    LabelJob,
    is_labelled,
    label_batches,
    make_label_files,
)
from bana.files.alone import alone_in
from bana.files.artefacts import read_json, write_json
from bana.files.unfinished import remove_unfinished
from bana.networks.classifier import BoxClassifier


def manifest_path(folder: Path, shard: tuple[int, int] = (1, 1)) -> Path:
    """The JSON file beside the labels that says how they were made.

    It holds the hash of all that every label depends on ("key"), the settings, the seconds that it
    took, {id: hash} of the photograph and boxes of each image ("images"), {id: reason} of the
    images that could not be read ("failures"), and a number that is higher the later a part looked
    at its images ("turn").

    Args:
        folder: of the labels.
        shard: (k, n) for the k-th of n parts, each of which has a file of its own.
    """
    part, parts = shard
    return folder / ("manifest.json" if parts == 1 else f"manifest-{part}-of-{parts}.json")


def open_manifest(
    folder: Path, key: str, about: dict[str, Any], shard: tuple[int, int] = (1, 1)
) -> dict[str, Any]:
    """The manifest of a folder of labels, which is emptied if it holds labels of another key.

    Args:
        folder: of the labels.
        key: hash of all that they depend on.
        about: settings, for the reader of the manifest.
        shard: (k, n), 1 <= k <= n.

    Raises:
        ValueError: if there is no such shard, or if a shard finds labels of another key: emptying
            the folder could take what another machine has just made.
    """
    part, parts = shard
    if not 1 <= part <= parts:
        raise ValueError(f"no shard {part}/{parts}: the first of two is 1/2, the second 2/2")
    keys = {read_json(path).get("key") for path in folder.glob("manifest*.json")}
    if keys - {key} or (not keys and any(folder.glob("*/*.png"))):
        if parts > 1:
            raise ValueError(f"{folder} holds labels of other settings: remove it first")
        _empty(folder)
    path = manifest_path(folder, shard)
    if not path.is_file():
        write_json(path, {"key": key, **about, "seconds": 0.0, "images": {}, "failures": {}})
    return read_json(path)


def _empty(folder: Path) -> None:
    """Remove what is in a folder; it stays itself, since this process alone may be in it."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _drop_stale(
    path: Path, manifest: dict[str, Any], data: VocDataset, batches: Sequence[list[int]]
) -> None:
    """Remove the labels of images that are not what they were, and note what they are now.

    Args:
        path: of the manifest.
        manifest: what it holds; changed in place.
        data, batches: the images.
    """
    folder = path.parent
    names = [data.ids[number] for batch in batches for number in batch]
    others = [read_json(other) for other in folder.glob("manifest*.json") if other != path]
    # Parts of several sizes may know the same image: the one that looked last is right. Which that
    # is they count, since a clock can be turned back.
    before: dict[str, str] = {}
    for each in sorted([*others, manifest], key=_turn):
        before |= each.get("images", {})
    manifest["turn"] = max(_turn(manifest), *(1 + _turn(other) for other in others), 0)
    now = image_fingerprints(data, "photograph", "boxes", names=names)
    for name in names:
        if before.get(name) != now[name]:
            # Y_crf first: its file tells that the image is finished.
            for kind in ("Y_crf", "Y_ret"):
                (folder / kind / f"{name}.png").unlink(missing_ok=True)
    manifest["images"] = now
    manifest["failures"] = {name: why for name, why in manifest["failures"].items() if name in now}


def _turn(manifest: dict[str, Any]) -> int:
    return manifest.get("turn", 0)


def label_folder(
    job: LabelJob,
    key: str,
    crew: Crew,
    shard: tuple[int, int] = (1, 1),
    make_model: Callable[[], BoxClassifier | None] = lambda: None,
) -> dict[str, str]:
    """Bring a folder of labels up to date: labels that are missing, or of changed images, are made.

    Args:
        job: settings, images and where the files go.
        key: hash of what every label depends on: settings, classifier, classes and code; a folder
            of another key is emptied. The photograph and the boxes of an image are watched apart,
            so that a corrected box makes the labels of one image anew.
        crew: who does it.
        shard: (k, n) for the k-th of n parts.
        make_model: gives the job's classifier where there is anything to do.

    Returns:
        {id: reason} of the images that could not be read, and have no labels.

    Raises:
        ValueError, bana.training.runs.RunError: as `open_manifest` and `make_label_files`.
        bana.files.unfinished.NotWritten: if the disk is full or cannot be written.
    """
    parts = shard[1] > 1
    with alone_in(job.folder, together=parts):
        if not parts:
            remove_unfinished(job.folder, below=True)
        return _brought_up_to_date(job, key, crew, shard, make_model)


def _brought_up_to_date(
    job: LabelJob,
    key: str,
    crew: Crew,
    shard: tuple[int, int],
    make_model: Callable[[], BoxClassifier | None],
) -> dict[str, str]:
    """As `label_folder`, alone in the folder or beside the makers of other parts."""
    settings = asdict(job.settings)
    about = {"variant": settings.pop("variant"), "split": job.data.split, "settings": settings}
    manifest = open_manifest(job.folder, key, about, shard)
    before = copy.deepcopy(manifest)
    batches = label_batches(job.data, crew.batch)[shard[0] - 1 :: shard[1]]
    path = manifest_path(job.folder, shard)
    _drop_stale(path, manifest, job.data, batches)
    if manifest != before:  # finished labels can be read from a disk that cannot be written
        write_json(path, manifest)
    ids = job.data.ids
    missing = [b for b in batches if not all(is_labelled(job.folder, ids[i]) for i in b)]
    if missing:
        job = job._replace(model=make_model())
        start = time.perf_counter()
        manifest["failures"] = make_label_files(job, missing, crew)
        manifest["seconds"] += time.perf_counter() - start
        write_json(path, manifest)
        _warn_of_failures(manifest["failures"], path)
    return manifest["failures"]


def _warn_of_failures(failures: dict[str, str], manifest: Path) -> None:
    """Say how many images have no labels, and why the first has none."""
    if failures:
        warnings.warn(
            f"{len(failures)} images have no labels: {next(iter(failures.values()))}; all of them "
            f"are named in {manifest}",
            stacklevel=5,
        )
