"""Writing of folders in VOC layout: where every import of another data set ends."""

import filecmp
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import torch

from bana.data.annotations import Annotation, is_plain, read_annotation, write_annotation
from bana.data.boxes import half_open_to_voc
from bana.data.checks import DataError, alike, as_text, counted, refuse
from bana.data.lists import read_split, split_names
from bana.data.names import check_apart, check_name
from bana.data.oddities import notes_on_boxes, notes_on_classes, notes_on_photographs
from bana.data.photograph_checks import checked
from bana.data.voc_files import IMAGE_ENDINGS, check_class_names, read_class_names, whole_file
from bana.files.alone import alone_in
from bana.files.parallel import mapped
from bana.files.unfinished import explained, remove_unfinished

FOLDERS = ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation")
"""Where files of a data set are written."""
# Files and folders of a data set, also of those that other programs made.
PARTS = ("JPEGImages", "Annotations", "ImageSets", "SegmentationClass", "SegmentationClassAug")
PARTS += ("SegmentationObject", "classes.txt")


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
        note: what is to be told of it, such as "named otherwise in the file", None for nothing.
    """

    name: str
    path: Path
    where: str
    boxes: list[Box]
    crowds: list[Box]
    size: tuple[int, int] | None = None
    note: str | None = None


class Written(NamedTuple):
    """What `write_photographs` did: the ids, numbers of things, and what is to be told besides."""

    names: list[str]
    boxes: int
    crowds: int
    left_out: int
    notes: tuple[str, ...] = ()


def is_part(root: Path, path: Path) -> bool:
    """Whether a path is a data set's folder itself, or one of its files, or lies among them.

    Args:
        root: the data set.
        path: of a file or a folder, which need not be there.
    """
    top, place = root.resolve(), path.resolve()
    # A folder of a data set may be a link into a store, where its files are the same ones.
    parts = {folder for name in PARTS for folder in (top / name, (top / name).resolve())}
    return place == top or not parts.isdisjoint((place, *place.parents))


def check_own_source(out: Path, *sources: Path) -> None:
    """Refuse to write a data set over the files that it is made from.

    Args:
        out: the data set.
        sources: files and folders that are read.

    Raises:
        DataError: when a source is ``out`` itself, or lies where the data set has its files.
    """
    for source in sources:
        if is_part(out, source):
            raise DataError(
                f"{source}: lies in the data set {out} itself, which would be written over it: "
                f"name another folder with --out"
            )


def located(images: Path, file_name: str) -> Path:
    """The file of a photograph's name, which may have been written by Windows or by a Mac.

    Args:
        images: folder of the photographs.
        file_name: relative to it.

    Returns:
        Its path; the name as it stands where there is no such file.
    """
    name = file_name.strip()
    spellings = [name, name.replace("\\", "/")]
    spellings += [unicodedata.normalize(form, spellings[1]) for form in ("NFC", "NFD")]
    return next((path for each in spellings if (path := images / each).is_file()), images / name)


def leads_out(file_name: str) -> bool:
    """Whether a name is absolute or leads upwards, on any system, and so may be of anywhere."""
    path = PurePosixPath(file_name.strip().replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or bool(PureWindowsPath(path).drive)


def image_id(file_name: str, where: str) -> str:
    """Make the id of a photograph: its path without the ending, as one word.

    Ids are words in a list and names of files, so that spaces and the separators of folders become
    underscores.

    Args:
        file_name: relative to the folder of the photographs.
        where: what the name was read from, for the message.

    Raises:
        DataError: when the path is empty, holds control characters, leaves the folder, or cannot be
            a file's name on this system.
    """
    path = PurePosixPath(as_text(file_name, f"{where}: the name").replace("\\", "/"))
    if not path.name or leads_out(file_name):
        raise DataError(f"{where}: {file_name!r} is no file in the folder of the photographs")
    name = re.sub(r"[\s/]+", "_", str(path.with_suffix("")))
    check_name(name, where)
    return name


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
    with whole_file(path) as begun:
        text = "".join(f"{name}\n" for name in names)
        begun.write_text(text, encoding="utf-8", newline="\n")
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
    workers: int | None = None,
    source: object = "the boxes",
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
        workers: processes that decode photographs; None takes the cores, at most 8.
        source: what photographs and boxes were read from, for messages.

    Returns:
        What was written.

    Raises:
        DataError: when a photograph is missing, damaged, named twice, or may have been turned
            under its boxes; when boxes are wrong or their classes unknown, all of which are told;
            when an annotation that is there is another split's or was not written here; when
            nothing is left. The message names file and line.
    """
    _split_path(root, split)
    kept = _kept(photographs, keep_empty, source)
    check_apart((photograph.name for photograph in kept), root)
    every = [box for photograph in kept for box in photograph.boxes]
    check_kinds(every)
    names = settle_classes(root, classes, (box.kind for box in every))
    looked = list(mapped(checked, kept, "checking", workers))
    problems = [problem for one in looked for problem in one.problems]
    for box in every:
        if box.kind not in names[1:]:
            problems.append(_unknown(box, names))
    sizes = [one.size for one in looked]
    cut = [_cut_off(one, size) for one, size in zip(kept, sizes, strict=True)]
    problems += _overwritten(root, split, cut)
    refuse(problems, root)
    with alone_in(root):
        # Once more, if another command had to be waited for that brought something here.
        settle_classes(root, names, ())
        refuse(list(_overwritten(root, split, cut)), root)
        _write_all(root, split, names, list(zip(cut, sizes, strict=True)), with_list)
    crowds = sum(len(photograph.crowds) for photograph in kept)
    left_out = len(photographs) - len(kept)
    told = [
        one._replace(note=check.note or one.note) for one, check in zip(kept, looked, strict=True)
    ]
    notes = (
        *notes_on_boxes(kept, sizes),
        *notes_on_classes(names, every),
        *notes_on_photographs(told),
    )
    return Written([photograph.name for photograph in kept], len(every), crowds, left_out, notes)


def _kept(photographs: Sequence[Photograph], keep_empty: bool, source: object) -> list[Photograph]:
    """The photographs to bring, each named once.

    Args:
        photographs, keep_empty, source: as for `write_photographs`.

    Raises:
        DataError: if there are none, or one is named twice.
    """
    kept = [photograph for photograph in photographs if photograph.boxes or keep_empty]
    if not kept:
        none = f"none of {counted(len(photographs), 'photograph')} has a box"
        raise DataError(
            f"{source}: {none}: nothing to write (--keep-empty keeps photographs without boxes)"
        )
    _check_names(kept, [] if keep_empty else [one for one in photographs if not one.boxes])
    return kept


def _cut_off(photograph: Photograph, size: tuple[int, int]) -> Photograph:
    """A photograph whose boxes end at its border: what begins before it reads as counted from 0."""

    def inside(box: Box) -> Box:
        (x1, y1, x2, y2), (width, height) = box.corners, size
        return box._replace(corners=(max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)))

    boxes, crowds = (list(map(inside, things)) for things in (photograph.boxes, photograph.crowds))
    return photograph._replace(boxes=boxes, crowds=crowds)


def check_kinds(boxes: Iterable[Box]) -> None:
    """Check that no box has the class background. Raises DataError, which names the box."""
    for box in boxes:
        if box.kind == "background":
            raise DataError(f"{box.where}: a box of the class background, which lies in no box")


def _write_all(
    root: Path,
    split: str,
    names: Sequence[str],
    sized: Sequence[tuple[Photograph, tuple[int, int]]],
    with_list: bool,
) -> None:
    """Write what was checked, when no other process does."""
    for folder in (root, *(root / name for name in FOLDERS)):
        remove_unfinished(folder)
    listed = _split_path(root, split)
    with explained(listed):
        listed.unlink(missing_ok=True)
    with whole_file(root / "classes.txt") as begun:
        begun.write_text("\n".join(names) + "\n", encoding="utf-8", newline="\n")
    for _ in mapped(partial(_write_photograph, root), sized, "writing", workers=1):
        pass
    if with_list:
        write_split(root, split, (photograph.name for photograph, _ in sized))


def _unknown(box: Box, names: Sequence[str]) -> str:
    meant = [name for name in names[1:] if alike(name) == alike(box.kind)]
    hint = f"; {meant[0]!r} is written otherwise" if meant else ""
    return f"{box.where}: unknown class {box.kind!r}; there is {', '.join(names[1:])}{hint}"


def _overwritten(root: Path, split: str, photographs: Sequence[Photograph]) -> Iterator[str]:
    """Annotations that are there and may not be replaced: another split's, or another program's."""
    others = {
        name: other
        for other in split_names(root)
        if other != split
        for name in read_split(root, other)
    }
    for photograph in photographs:
        path = root / "Annotations" / f"{photograph.name}.xml"
        if not path.exists():
            continue
        if not is_plain(path):
            yield f"{path}: there, and no import has written it: name another folder"
        elif photograph.name in others:
            there = read_annotation(path)
            if (there.objects, there.crowds) != _things(photograph):
                other = others[photograph.name]
                yield f"{photograph.where}: is in the split {other} too, with other boxes there"


def _check_names(kept: Sequence[Photograph], left_out: Sequence[Photograph]) -> None:
    """No id twice, and no photograph with boxes that is named without them too."""
    names: dict[str, Photograph] = {}
    for photograph in kept:
        _check_same(photograph, names.setdefault(photograph.name, photograph))
    files = {photograph.path: photograph for photograph in kept}
    for photograph in left_out:
        _check_same(photograph, files.get(photograph.path, photograph))


def _check_same(photograph: Photograph, other: Photograph) -> None:
    if other is not photograph:
        raise DataError(
            f"{photograph.where}: id {photograph.name!r} a second time, after {other.where}"
        )


def _things(photograph: Photograph) -> tuple[list, list]:
    """Objects and crowds as they stand in an XML file."""
    return _to_voc(photograph.boxes), _to_voc(photograph.crowds)


def _to_voc(boxes: Sequence[Box]) -> list[tuple[str, list[float]]]:
    corners = torch.tensor([box.corners for box in boxes], dtype=torch.float64).reshape(-1, 4)
    kinds = [box.kind for box in boxes]
    return list(zip(kinds, half_open_to_voc(corners).tolist(), strict=True))


def _write_photograph(root: Path, sized: tuple[Photograph, tuple[int, int]]) -> None:
    photograph, size = sized
    image = _place_image(photograph, root / "JPEGImages")
    path = root / "Annotations" / f"{photograph.name}.xml"
    write_annotation(path, Annotation(*_things(photograph), size), root.name, image.name)


def _place_image(photograph: Photograph, folder: Path) -> Path:
    # A link may lead into a store that knows contents and no names.
    source = photograph.path.resolve()
    target = folder / f"{photograph.name}{photograph.path.suffix.lower()}"
    there = [path for e in IMAGE_ENDINGS if (path := target.with_suffix(e)).exists()]
    if there:
        if there != [target] or not filecmp.cmp(source, target):
            raise DataError(f"{there[0]}: there, but it is not {source}: name another folder")
        return target
    with whole_file(target) as begun:
        try:
            os.link(source, begun)
        except OSError:
            shutil.copy2(source, begun)
    return target
