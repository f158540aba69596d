"""A data set in VOC layout as tar shards, and back: no file is decoded, none is changed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from bana.data.annotations import read_named
from bana.data.layout import FOLDERS, check_own_source, settle_classes
from bana.data.lists import LISTS, photographs_of
from bana.data.shard_index import INDEX, Index, is_word, read_index, shard_name, write_index
from bana.data.tar_shards import (
    BOXES,
    LABELS,
    MASKS,
    Sample,
    check_library,
    photograph_of,
    read_shard,
    write_shard,
)
from bana.data.voc import VocDataset
from bana.data.voc_files import DataError, whole_file
from bana.files.alone import alone_in
from bana.files.unfinished import remove_unfinished

LARGEST = 1_000_000
"""Shards of a split, which its names have room for."""


def pack(root: Path, split: str, out: Path, images: int = 5000, size: int | None = None) -> Index:
    """Write a split of a data set as tar shards.

    The same files give the same shards, byte for byte. The index comes last; a run that was killed
    is begun anew by the same command.

    Args:
        root: folder in VOC layout.
        split: name of the split, one plain word.
        out: the folder of the shards, which may hold unfinished ones of the same split.
        images: the most of a shard.
        size: the most bytes of a shard's files together, but that it has one image at least; None
            sets no limit.

    Raises:
        DataError: when a photograph or its boxes are missing, or boxes are of another photograph;
            when an id is listed twice, or ``out`` holds something else.
        ValueError: when the library is not installed.
        bana.files.unfinished.NotWritten: if the disk is full or cannot be written.
    """
    check_library()
    if not is_word(split):
        raise DataError(f"split {split!r} is not one plain word, by which shards can be named")
    data = VocDataset(root, split)
    check_own_source(data.root, out)
    with alone_in(out):
        _check_folder(out, split)
        remove_unfinished(out)
        groups = _cut(tqdm(_samples(data), "packing", len(data), leave=False), images, size)
        shards = []
        for number, samples in enumerate(groups):
            if number == LARGEST:
                raise DataError(f"{out}: more than {LARGEST:,} shards: make larger ones")
            shards.append(write_shard(out, shard_name(split, number), samples))
        index = Index("photographs", split, data.classes, tuple(shards))
        for left in {path.name for path in out.glob("*.tar")} - {each.name for each in shards}:
            (out / left).unlink()
        write_index(out, index)
    return index


def _check_folder(out: Path, split: str) -> None:
    """See that a folder holds nothing but unfinished shards of the split."""
    if (out / INDEX).exists():
        raise DataError(f"--out {out}: holds finished shards: name another folder, or remove it")
    for path in sorted(out.iterdir()):
        stem = path.name.removeprefix(f"{split}-").removesuffix(".tar")
        own = stem.isdigit() and path.name == shard_name(split, int(stem))
        if not (own or path.name.endswith(".tmp")):
            raise DataError(f"--out {out}: holds {path.name}: name another folder")


def _samples(data: VocDataset) -> Iterator[Sample]:
    """The files of each image, as they are."""
    for name in data.ids:
        photograph = data.image_path(name)
        _check_stated_name(data, name)
        files = {photograph.suffix[1:]: _read(photograph), BOXES: _read(data.annotation_path(name))}
        for kind, folder in MASKS.items():
            mask = data.root / folder / f"{name}.png"
            if mask.exists():
                files[kind] = _read(mask)
        yield Sample(name, files)


def _check_stated_name(data: VocDataset, name: str) -> None:
    """Refuse boxes of another photograph, which nobody could tell who reads this one's shard.

    All else that is wrong in an XML file is packed with it, and told by who reads it there.
    """
    path = data.annotation_path(name)
    try:
        _, said = read_named(path)
    except DataError:
        return
    if problem := data.other_photograph(name, said):
        raise DataError(f"{path}: {problem}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _cut(samples: Iterable[Sample], images: int, size: int | None) -> Iterator[Iterator[Sample]]:
    """The samples of each shard; none is held but the one that is being written."""
    number = count = held = 0

    def number_of(sample: Sample) -> int:
        nonlocal number, count, held
        own = sum(map(len, sample.files.values()))
        if count == images or (size is not None and count and held + own > size):
            number, count, held = number + 1, 0, 0
        count, held = count + 1, held + own
        return number

    for _, group in groupby(samples, number_of):
        yield group


def unpack(folder: Path, out: Path) -> Index:
    """Write what tar shards hold as files: a data set in VOC layout, or Y_crf and Y_ret.

    Of a data set the list of the split comes last, so that one that is there is complete. Files
    that are there stay: they must be those that the shards hold, so that a run that was killed goes
    on, and several splits come into one folder.

    Args:
        folder: of the shards.
        out: where the files go.

    Raises:
        DataError: when a shard is damaged, or ``out`` holds other files in the places of these.
        ValueError: when the library is not installed.
        bana.files.unfinished.NotWritten: if the disk is full or cannot be written.
    """
    check_library()
    index = read_index(folder)
    with alone_in(out):
        kept = FOLDERS if index.holds == "photographs" else LABELS.values()
        for each in (out, *(out / name for name in (*kept, MASKS["classaug.png"]))):
            remove_unfinished(each)
        if index.holds == "labels":
            for sample in _all_samples(folder, index):
                for kind, content in sample.files.items():
                    _keep(out / LABELS[kind] / f"{sample.name}.png", content)
            return index
        settle_classes(out, index.classes, ())
        _keep(out / "classes.txt", ("\n".join(index.classes) + "\n").encode())
        with _listed(out / LISTS / f"{index.split}.txt") as listed:
            for sample in _all_samples(folder, index):
                _place(sample, out)
                listed.write(f"{sample.name}\n")
    return index


def _all_samples(folder: Path, index: Index) -> Iterator[Sample]:
    with tqdm(total=index.images, desc="unpacking", leave=False) as bar:
        for shard in index.shards:
            for sample in read_shard(folder, shard, index.holds):
                yield sample
                bar.update()


@contextmanager
def _listed(path: Path) -> Iterator[TextIO]:
    """A list that appears when it is whole."""
    with whole_file(path) as begun:
        with begun.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        if path.exists() and path.read_bytes() != begun.read_bytes():
            raise DataError(f"{path}: lists other images: name another folder with --out")


def _place(sample: Sample, out: Path) -> None:
    """Write the files of an image where they belong in VOC layout."""
    ending = photograph_of(sample.files)
    photograph = out / "JPEGImages" / f"{sample.name}.{ending}"
    others = [path for path in photographs_of(photograph.parent, sample.name) if path != photograph]
    if others:
        raise DataError(f"{others[0]}: there, and {photograph.name} would be it too: remove it")
    for kind, content in sample.files.items():
        if kind == ending:
            _keep(photograph, content)
        elif kind == BOXES:
            _keep(out / "Annotations" / f"{sample.name}.xml", content)
        else:
            _keep(out / MASKS[kind] / f"{sample.name}.png", content)


def _keep(path: Path, content: bytes) -> None:
    """Write a file, unless it is there; a different one stays."""
    if path.exists():
        if path.read_bytes() != content:
            raise DataError(f"{path}: there, and not what the shards hold: name another folder")
        return
    with whole_file(path) as begun:
        begun.write_bytes(content)
