"""What a data set holds, in a few digits: so that a result knows when its data has changed.

Boxes, masks and lists are told by their content; photographs, which hold nearly all the bytes, by
size and time of change. Where the data set lies does not matter. `benchmarks/fingerprint.py` says
what it takes on 10,000 images.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from pathlib import Path

from bana.data.voc import VocDataset

MISSING = "missing"


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return MISSING


def version_of(path: Path) -> str:
    """A file's ending, size and time of change, or that it is missing."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return MISSING
    return f"{path.suffix} {about.st_size} {about.st_mtime_ns}"


# What can be asked about an image, and how it is told.
PARTS: dict[str, Callable[[VocDataset, str], str]] = {
    "photograph": lambda data, name: version_of(data.image_path(name)),
    "boxes": lambda data, name: _content(data.annotation_path(name)),
    "mask": lambda data, name: _content(data.mask_path(name)),
    "objects": lambda data, name: _content(data.object_path(name)),
}


def image_fingerprints(
    data: VocDataset, *parts: str, names: Collection[str] | None = None
) -> dict[str, str]:
    """A short hash of each image's files; files that are missing count as such.

    Args:
        data: the images.
        parts: which files count, keys of `PARTS`.
        names: ids; None takes all of the data set.

    Returns:
        {id: 16 digits}.

    Raises:
        ValueError: if a part is unknown.
    """
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ValueError(f"unknown part {min(unknown)!r}: use {', '.join(PARTS)}")
    return {
        name: _short([PARTS[part](data, name) for part in parts])
        for name in (data.ids if names is None else names)
    }


def fingerprint(data: VocDataset, *parts: str, names: Collection[str] | None = None) -> str:
    """A short hash of a data set: its classes, its ids in order, and these parts of each image.

    Arguments and errors as of `image_fingerprints`.
    """
    return _short([data.classes, list(image_fingerprints(data, *parts, names=names).items())])


def _short(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
