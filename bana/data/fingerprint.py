"""What a data set holds, in a few digits: so that a result knows when its data has changed.

Files are told by their content. Where the data set lies and when it was copied there does not
matter, so that a cluster's job which copies photographs to a disk of its own trains nothing anew.
`benchmarks/fingerprint.py` says what it takes on 10,000 images.
"""

import hashlib
import json
import stat
from collections.abc import Callable, Collection
from pathlib import Path

from bana.data.voc import VocDataset
from bana.files.artefacts import known_hash

MISSING, UNREADABLE = "missing", "unreadable"


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return MISSING


def photograph_hash(path: Path) -> str:
    """A photograph's ending and the hash of its bytes, or that it is missing or unreadable.

    What can be read later is another photograph.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            return UNREADABLE
        return f"{path.suffix} {known_hash(path)}"
    except FileNotFoundError:
        return MISSING
    except OSError:
        return UNREADABLE


# What can be asked about an image, and how it is told.
PARTS: dict[str, Callable[[VocDataset, str], str]] = {
    "photograph": lambda data, name: photograph_hash(data.image_path(name)),
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
