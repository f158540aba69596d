"""The index of tar shards, shards.json: what they hold, and each one's images, bytes and SHA-256.

It comes last, so that shards with an index are whole. It holds nothing of single images, of which
there may be a hundred million.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bana.data.checks import DataError, as_class, read_json, shown
from bana.data.voc_files import check_class_names
from bana.files.artefacts import write_json

INDEX = "shards.json"
FORMAT = "bana tar shards 1"
REMEDY = "copy or pack the shard again"


class Shard(NamedTuple):
    """A tar file: its name, how many images it has, its bytes, and their SHA-256."""

    name: str
    images: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """What shards.json says.

    Attributes:
        holds: "photographs" or "labels".
        split: name of the split.
        classes: class names, background first.
        shards: in the order of the split's images.
    """

    holds: str
    split: str
    classes: tuple[str, ...]
    shards: tuple[Shard, ...]

    @property
    def images(self) -> int:
        """Images of all shards together."""
        return sum(shard.images for shard in self.shards)


def shard_name(split: str, number: int) -> str:
    """File name of a split's shard, counted from 0."""
    return f"{split}-{number:06d}.tar"


def write_index(folder: Path, index: Index) -> None:
    """Write shards.json, which tells that the shards are whole."""
    shards = [
        {"name": each.name, "images": each.images, "bytes": each.size, "sha256": each.sha256}
        for each in index.shards
    ]
    about = {"format": FORMAT, "holds": index.holds, "split": index.split}
    about |= {"classes": index.classes, "images": index.images}
    write_json(folder / INDEX, {**about, "shards": shards})


def read_index(folder: Path, holds: str | None = None) -> Index:
    """Read shards.json.

    Args:
        folder: of the shards.
        holds: "photographs" or "labels", where only one of them is wanted.

    Raises:
        DataError: when there is none, or it is damaged or of something else.
    """
    path = folder / INDEX
    if not path.is_file():
        raise DataError(
            f"{folder}: no tar shards with an index ({INDEX}): `bana data pack` makes them, and "
            f"writes the index when they are whole"
        )
    said = read_json(path)
    _must(isinstance(said, dict) and said.get("format") == FORMAT, path, f"no {FORMAT}")
    kind, split, shards = (said.get(key) for key in ("holds", "split", "shards"))
    _must(kind in ("photographs", "labels"), path, f'"holds" is {shown(kind)}')
    _must(isinstance(split, str) and is_word(split), path, f'"split" is {shown(split)}')
    _must(isinstance(shards, list), path, '"shards" is no list')
    listed = [_shard(path, split, number, each) for number, each in enumerate(shards)]
    index = Index(kind, split, _classes(path, said.get("classes")), tuple(listed))
    if holds not in (None, kind):
        raise DataError(f"{path}: the shards hold {kind}, not {holds}: name another folder")
    return index


def is_word(split: str) -> bool:
    """Whether a split's name is one plain word, so that shards can be named by it."""
    return bool(re.fullmatch(r"[\w-][\w.-]*", split))


def _classes(path: Path, said: Any) -> tuple[str, ...]:
    _must(isinstance(said, list), path, '"classes" is no list')
    return check_class_names([as_class(each, f"{path}: a class") for each in said], str(path))


def _shard(path: Path, split: str, number: int, said: Any) -> Shard:
    where = f"shard {number}"
    _must(isinstance(said, dict), path, f"{where} is {shown(said)}")
    # The name is the one that belongs there, so that it cannot lead elsewhere.
    name = shard_name(split, number)
    _must(said.get("name") == name, path, f"{where} is {shown(said.get('name'))}, not {name}")
    for key in ("images", "bytes"):
        value = said.get(key)
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        _must(whole, path, f"{where}: {shown(key)} is {shown(value)}")
    digest = said.get("sha256")
    plain = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
    _must(plain, path, f'{where}: "sha256" is {shown(digest)}')
    return Shard(name, said["images"], said["bytes"], digest)


def _must(held: object, path: Path, reason: str) -> None:
    if not held:
        raise DataError(f"{path}: {reason}: no index of tar shards that can be read: {REMEDY}")
