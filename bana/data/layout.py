"""Writing of folders in VOC layout: where every import of another data set ends."""

import filecmp
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import torch

from bana.data.annotations import Annotation, write_annotation
from bana.data.boxes import check_boxes, half_open_to_voc
from bana.data.voc_files import (
    IMAGE_ENDINGS,
    DataError,
    check_class_names,
    image_size,
    read_class_names,
    whole_file,
)
from bana.files.parallel import mapped


class Box(NamedTuple):
    """A box to write.

    Attributes:
        kind: name of the class.
        corners: x1, y1, x2, y2 in pixels, 0-based and half-open.
        where: what the box was read from, file and line, for messages.
    """

    kind: str
    corners: tuple[float, float, float, float]
    where: str


class Photograph(NamedTuple):
    """A photograph to bring into a data set.

    Attributes:
        name: its id there.
        path: the image file.
        where: what names the photograph, file and line, for messages.
        boxes: its objects.
        crowds: regions of uncounted objects, neither box nor background.
        size: (width, height) that the boxes refer to, None where nothing says.
    """

    name: str
    path: Path
    where: str
    boxes: list[Box]
    crowds: list[Box]
    size: tuple[int, int] | None = None


class Written(NamedTuple):
    """What `write_photographs` did: the ids, and numbers of things."""

    names: list[str]
    boxes: int
    crowds: int
    left_out: int


def image_id(file_name: str, where: str) -> str:
    """Make the id of a photograph: its path without the ending, as one word.

    Ids are words in a list and names of files, so that spaces and the separators of folders become
    underscores.

    Args:
        file_name: relative to the folder of the photographs.
        where: what the name was read from, for the message.

    Raises:
        DataError: when the path is empty or leaves the folder.
    """
    path = PurePosixPath(file_name.strip().replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: {file_name!r} is no file in the folder of the photographs")
    return re.sub(r"[\s/]+", "_", str(path.with_suffix("")))


def settle_classes(
    root: Path, wanted: Sequence[str] | None, found: Iterable[str]
) -> tuple[str, ...]:
    """Decide on a data set's classes.

    Args:
        root: the data set; where it has classes already, those stay.
        wanted: classes, background first; None takes those that occur, by alphabet.
        found: the classes that occur.

    Returns:
        The names, background first.

    Raises:
        DataError: when the data set has other classes, or photographs but no classes.txt.
    """
    path = root / "classes.txt"
    if path.exists():
        names = read_class_names(path)
        if wanted is not None and tuple(wanted) != names:
            raise DataError(f"{path}: the data set there has other classes; name another folder")
        return names
    if (root / "JPEGImages").exists():
        raise DataError(f"{root}: holds a data set that is not ours; name another folder")
    given = wanted if wanted is not None else ("background", *sorted(set(found)))
    return check_class_names(given, str(path))


def write_split(root: Path, split: str, names: Iterable[str]) -> Path:
    """Write ImageSets/Segmentation/<split>.txt, whole or not at all; returns its path."""
    path = _split_path(root, split)
    with whole_file(path) as unfinished:
        text = "".join(f"{name}\n" for name in names)
        unfinished.write_text(text, encoding="utf-8", newline="\n")
    return path


def _split_path(root: Path, split: str) -> Path:
    if not re.fullmatch(r"[\w.-]+", split):
        raise DataError(f"split {split!r} is not one plain word")
    return root / "ImageSets" / "Segmentation" / f"{split}.txt"


def write_photographs(
    root: Path,
    split: str,
    photographs: Sequence[Photograph],
    classes: Sequence[str] | None = None,
    keep_empty: bool = False,
    with_list: bool = True,
) -> Written:
    """Bring photographs and their boxes into a folder in VOC layout, as one split.

    Everything is checked before the first file is written. An older list of the split goes first
    and the new one comes last, so that a split that is there is complete. Photographs are hard
    links to the originals, which take no room, or copies where the disk is another one or knows no
    links.

    Args:
        root: the data set; other splits in it stay.
        split: name of the split.
        photographs: what to bring.
        classes: class names, background first; None takes those that occur, by alphabet.
        keep_empty: keep photographs without boxes, as background through and through. Otherwise
            they are left out, since most often nobody has looked at them yet.
        with_list: write the list of the split too; False leaves it to a caller who has more to do.

    Returns:
        What was written.

    Raises:
        DataError: when a photograph is missing, damaged, or named twice; when a box is wrong or
            its class unknown; when nothing is left; the message names file and line.
    """
    path = _split_path(root, split)
    kept = [photograph for photograph in photographs if photograph.boxes or keep_empty]
    if not kept:
        raise DataError(f"{len(photographs)} photographs and none with a box: nothing to write")
    _check_names(kept)
    sizes = list(mapped(_checked_size, kept, "checking", workers=1))
    every = [box for photograph in kept for box in photograph.boxes]
    names = settle_classes(root, classes, (box.kind for box in every))
    unknown = next((box for box in every if box.kind not in names[1:]), None)
    if unknown is not None:
        raise DataError(
            f"{unknown.where}: unknown class {unknown.kind!r}; there is {', '.join(names[1:])}"
        )
    path.unlink(missing_ok=True)
    with whole_file(root / "classes.txt") as unfinished:
        unfinished.write_text("\n".join(names) + "\n", encoding="utf-8", newline="\n")
    sized = list(zip(kept, sizes, strict=True))
    for _ in mapped(partial(_write_photograph, root), sized, "writing", workers=1):
        pass
    if with_list:
        write_split(root, split, (photograph.name for photograph in kept))
    crowds = sum(len(photograph.crowds) for photograph in kept)
    left_out = len(photographs) - len(kept)
    return Written([photograph.name for photograph in kept], len(every), crowds, left_out)


def _check_names(photographs: Sequence[Photograph]) -> None:
    seen: dict[str, Photograph] = {}
    for photograph in photographs:
        other = seen.setdefault(photograph.name, photograph)
        if other is not photograph:
            raise DataError(
                f"{photograph.where}: id {photograph.name!r} a second time, after {other.where}"
            )


def _checked_size(photograph: Photograph) -> tuple[int, int]:
    """Return (width, height) after checking the image file and the boxes."""
    if photograph.path.suffix.lower() not in IMAGE_ENDINGS:
        raise DataError(
            f"{photograph.where}: {photograph.path} is no {', '.join(IMAGE_ENDINGS)}: convert it"
        )
    try:
        height, width = image_size(photograph.path)
    except DataError as error:
        raise DataError(f"{photograph.where}: {error}") from error
    if photograph.size not in (None, (width, height)):
        raise DataError(
            f"{photograph.where}: says {photograph.size[0]} x {photograph.size[1]}, but "
            f"{photograph.path} has {width} x {height}"
        )
    for box in (*photograph.boxes, *photograph.crowds):
        try:
            check_boxes(torch.tensor([box.corners], dtype=torch.float64), height, width, box.where)
        except ValueError as error:
            raise DataError(str(error)) from error
    return width, height


def _to_voc(boxes: Sequence[Box]) -> list[tuple[str, list[float]]]:
    corners = torch.tensor([box.corners for box in boxes], dtype=torch.float64).reshape(-1, 4)
    kinds = [box.kind for box in boxes]
    return list(zip(kinds, half_open_to_voc(corners).tolist(), strict=True))


def _write_photograph(root: Path, sized: tuple[Photograph, tuple[int, int]]) -> None:
    photograph, size = sized
    _place_image(photograph, root / "JPEGImages")
    path = root / "Annotations" / f"{photograph.name}.xml"
    objects, crowds = (_to_voc(boxes) for boxes in (photograph.boxes, photograph.crowds))
    write_annotation(path, Annotation(objects, crowds, size), root.name)


def _place_image(photograph: Photograph, folder: Path) -> None:
    source = photograph.path.resolve()
    target = folder / f"{photograph.name}{source.suffix.lower()}"
    there = [path for e in IMAGE_ENDINGS if (path := target.with_suffix(e)).exists()]
    if there:
        if there != [target] or not filecmp.cmp(source, target):
            raise DataError(f"{there[0]}: there, but it is not {source}: name another folder")
        return
    with whole_file(target) as unfinished:
        try:
            os.link(source, unfinished)
        except OSError:
            shutil.copy2(source, unfinished)
