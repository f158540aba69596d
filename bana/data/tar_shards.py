"""Tar shards: a data set, or its labels, in a few large files that are read from end to end.

The layout is WebDataset's, which its library writes and groups: a tar file holds the files of one
image after those of another, each named by the image's key, a dot, and what it is.

    train-000000.tar
        2007_000032.jpg           the photograph, byte for byte, under its own ending
        2007_000032.xml           its boxes, VOC's XML, byte for byte
        2007_000032.class.png     where it has them, its masks: SegmentationClass,
        2007_000032.classaug.png  SegmentationClassAug,
        2007_000032.object.png    and SegmentationObject
    train-000001.tar
    shards.json                   split, classes, and of every shard images, bytes and SHA-256

Labels lie in shards of the same names, as `<key>.y_crf.png` and `<key>.y_ret.png`.
"""

import hashlib
import importlib.util
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import unquote

from bana.data.checks import DataError, shown
from bana.data.lists import check_id
from bana.data.shard_index import INDEX, REMEDY, Shard
from bana.data.voc_files import IMAGE_ENDINGS
from bana.files.artefacts import write_whole

BOXES = "xml"
MASKS = {
    "class.png": "SegmentationClass",
    "classaug.png": "SegmentationClassAug",
    "object.png": "SegmentationObject",
}
"""Folder of each kind of mask in VOC layout."""
LABELS = {"y_crf.png": "Y_crf", "y_ret.png": "Y_ret"}
"""Folder of each kind of label map."""
# What tarfile stumbles over in a file that is none, or that somebody made to be stumbled over.
DAMAGE = (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, LookupError)
DAMAGE += (RecursionError,)


class Sample(NamedTuple):
    """The files of one image.

    Attributes:
        name: its id.
        files: bytes by what they are, such as "jpg", "xml" or "class.png".
    """

    name: str
    files: dict[str, bytes]


def check_library() -> None:
    """Raise ValueError where the library is not installed."""
    if importlib.util.find_spec("webdataset") is None:
        raise ValueError("tar shards need webdataset: pip install -e .[shards]")


def key_of(name: str) -> str:
    """The key of an id: the id itself, but for dots and percent signs.

    WebDataset takes a key to end at the first dot of a name, and passes over what begins with two
    underscores. Both, and the percent sign itself, are written as in an address: %2E, %5F, %25.
    """
    key = name.replace("%", "%25").replace(".", "%2E")
    return f"%5F{key[1:]}" if key.startswith("__") else key


def id_of(key: str, where: str) -> str:
    """The id of a key.

    Raises:
        DataError: when it is no key that `key_of` makes, or leads out of a folder.
    """
    name = unquote(key)
    check_id(name, where)
    if key_of(name) != key:
        raise DataError(f"{where}: {shown(key)} is no key of an image: {REMEDY}")
    return name


def photograph_of(files: Iterable[str]) -> str:
    """Which of a sample's files is the photograph: its ending, such as "jpg".

    Raises:
        ValueError: when none is, or several are.
    """
    endings = [ending for ending in files if f".{ending.lower()}" in IMAGE_ENDINGS]
    if len(endings) != 1:
        raise ValueError(f"{len(endings) or 'no'} photographs")
    return endings[0]


def write_shard(folder: Path, name: str, samples: Iterable[Sample]) -> Shard:
    """Write a tar file, which appears whole or not at all and stays after a power cut.

    The same samples give the same bytes, whenever and by whomever they are written.

    Raises:
        bana.files.unfinished.NotWritten: if it cannot be written.
    """
    from webdataset import TarWriter

    held = _Hashed()
    images = 0

    def write(begun: Path) -> None:
        nonlocal images
        with begun.open("wb") as held.file:
            # Owner, time and mode are nobody's: they would tell two equal shards apart.
            settings = {"user": "", "group": "", "mode": 0o644, "mtime": 0, "encoder": False}
            with TarWriter(held, **settings) as tar:
                for sample in samples:
                    tar.write({"__key__": key_of(sample.name), **sample.files})
                    tar.tarstream.members.clear()  # all headers, which nobody asks for
                    images += 1

    write_whole(folder / name, write)
    return Shard(name, images, held.size, held.digest())


class _Hashed:
    """A file that is hashed and counted as it is read or written."""

    def __init__(self, file: BinaryIO | None = None) -> None:
        self.file = file
        self.size = 0
        self._hash = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self._take(content)
        return self.file.write(content)

    def read(self, size: int) -> bytes:
        content = self.file.read(size)
        self._take(content)
        return content

    def _take(self, content: bytes) -> None:
        self._hash.update(content)
        self.size += len(content)

    def digest(self) -> str:
        return self._hash.hexdigest()


def read_shard(folder: Path, shard: Shard, holds: str) -> Iterator[Sample]:
    """The samples of a shard, in their order, one in memory at a time.

    The file is read once. Whether it is the one that the index lists is known at its end only: what
    was made of the samples counts when the last one is followed by no error.

    Args:
        folder: of the shards.
        shard: as the index lists it.
        holds: "photographs" or "labels".

    Raises:
        DataError: when the file is missing, cut off, changed or no tar file, or holds what no shard
            holds; the message names the shard, and the member where there is one. Nothing in it is
            decoded.
    """
    path = folder / shard.name
    try:
        opened = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): {REMEDY}") from error
    with opened:
        size = os.fstat(opened.fileno()).st_size
        if size != shard.size:
            raise DataError(
                f"{path}: has {size:,} bytes, and {INDEX} says {shard.size:,}: {REMEDY}"
            )
        held, images = _Hashed(opened), 0
        for sample in _samples(held, path, holds):
            images += 1
            yield sample
        while held.read(1 << 20):
            pass
        if images != shard.images:
            raise DataError(
                f"{path}: has {images} images, and {INDEX} says {shard.images}: {REMEDY}"
            )
        if held.digest() != shard.sha256:
            raise DataError(f"{path}: is not the file that {INDEX} lists: {REMEDY}")


def _samples(stream: _Hashed, path: Path, holds: str) -> Iterator[Sample]:
    """Samples of a tar file that may be anything."""
    from webdataset.tariterators import group_by_keys

    check = {"photographs": _check_photograph, "labels": _check_labels}[holds]
    for found in group_by_keys(_members(stream, path), lcase=False):
        key = found["__key__"]
        files = {name: value for name, value in found.items() if not name.startswith("__")}
        check(f"{path}: {key}", files)
        yield Sample(id_of(key, f"{path}: {key}"), files)


def _members(stream: _Hashed, path: Path) -> Iterator[dict[str, Any]]:
    """Names and bytes of a tar file's members, as `group_by_keys` takes them.

    Read here, since the library would follow compressed files and holes of any size, and pass
    over what it does not know.
    """
    last, before = "its beginning", set[str]()

    def damaged(reason: object) -> DataError:
        said = " ".join(str(reason).split())
        return DataError(f"{path}: no tar file after {last} ({said}): {REMEDY}")

    try:
        tar = tarfile.TarFile.open(fileobj=stream, mode="r|")
    except DAMAGE as error:
        raise damaged(error) from error
    with tar:
        while True:
            try:
                member = tar.next()
                content = _content(tar, member) if member else None
            except DAMAGE as error:
                raise damaged(error) from error
            if member is None:
                return
            tar.members = []  # tarfile would keep them all
            _check_member(member, content, before, path)
            yield {"fname": member.name, "data": content, "__url__": str(path)}
            last = member.name


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | None:
    """Bytes of a plain file; nothing of anything else, such as a link."""
    # A file with holes says how large it is and need not be.
    opened = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    return opened.read() if opened else None


def _check_member(
    member: tarfile.TarInfo, content: bytes | None, before: set[str], path: Path
) -> None:
    """See that a member is a file with a key and an ending, and not there a second time.

    Args:
        before: name of the last members, of one key; changed in place.
    """
    where = f"{path}: {shown(member.name)}"
    if content is None:
        raise DataError(f"{where}: no plain file, of which alone shards are made: {REMEDY}")
    key, dot, ending = member.name.partition(".")
    if not (key and dot and ending) or "/" in ending:
        raise DataError(f"{where}: no name of a key, a dot and an ending: {REMEDY}")
    if member.name in before:
        raise DataError(f"{where}: there a second time: {REMEDY}")
    if not any(name.startswith(f"{key}.") for name in before):
        before.clear()
    before.add(member.name)


def _check_photograph(where: str, files: Mapping[str, bytes]) -> None:
    try:
        known = {photograph_of(files), BOXES, *MASKS}
    except ValueError as error:
        raise DataError(f"{where}: {error} with an ending of {_endings()}: {REMEDY}") from error
    _refuse_others(where, files, known, {BOXES})


def _check_labels(where: str, files: Mapping[str, bytes]) -> None:
    _refuse_others(where, files, set(LABELS), set(LABELS))


def _refuse_others(
    where: str, files: Mapping[str, bytes], known: set[str], wanted: set[str]
) -> None:
    if missing := wanted - set(files):
        raise DataError(f"{where}.{min(missing)}: is missing: {REMEDY}")
    if others := set(files) - known:
        raise DataError(f"{where}.{min(others)}: is not read here: leave it out of the shard")


def _endings() -> str:
    return ", ".join(ending[1:] for ending in IMAGE_ENDINGS)
