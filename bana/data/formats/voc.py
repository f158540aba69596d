"""Boxes of VOC's XML files, one file a photograph."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bana.data.annotation_checks import BEFORE_FIRST, names_other, other_photograph
from bana.data.annotations import read_named
from bana.data.checks import DataError, noted, refuse
from bana.data.formats.common import Folder, box_of
from bana.data.layout import Box, Photograph
from bana.data.oddities import visible_files


def read_voc(path: Path, images: Folder, one_based: bool = True) -> list[Photograph]:
    """Read VOC XML files, see `read_voc_file`.

    Args:
        path: one file, or a folder with .xml files in it or below, in capitals too; hidden files
            are passed over.
        images: the photographs.
        one_based: the boxes are VOC's, 1-based and inclusive; some programs write 0-based ones.

    Returns:
        The photographs, by name.

    Raises:
        DataError: when files are damaged, or name another photograph, which is there; all of them
            are told; when there is no file.
    """
    files = [path]
    if path.is_dir():
        files = sorted(file for file in visible_files(path) if file.suffix.lower() == ".xml")
    if not files:
        raise DataError(f"{path}: no .xml file in the folder")
    photographs, problems = [], []
    for file in files:
        with noted(problems):
            top = path if path.is_dir() else path.parent
            photographs.append(read_voc_file(file, top, images, one_based))
    refuse(problems, path)
    return photographs


def read_voc_file(file: Path, top: Path, images: Folder, one_based: bool) -> Photograph:
    """Read one VOC XML file.

    The photograph of b/a.xml is b/a.jpg, or with another ending; either may lie in more folders
    than the other. Where there is none, it is the one that <filename> names, since many programs
    number their files.

    Args:
        file: the file.
        top: folder where the tree of such files begins.
        images: the photographs.
        one_based: as of `read_voc`.

    Returns:
        The photograph, with a note where the file names another one, which is not there.

    Raises:
        DataError: when the file is damaged, names another photograph, which is there too, or may
            be of several photographs.
    """
    annotation, said = read_named(file)
    boxes = list(_xml_boxes(annotation.objects, f"{file}: object", one_based))
    crowds = list(_xml_boxes(annotation.crowds, f"{file}: crowd", one_based))
    image, note = _image_of(file, file.relative_to(top), said, images)
    photograph = images.photograph(image, str(file), boxes, annotation.size)
    return photograph._replace(crowds=crowds, note=note)


def ask_for_convention(photographs: Sequence[Photograph], path: Path) -> None:
    """Ask where boxes counted from 1 begin at 0, so were counted from 0 by another program."""
    before = [
        box.where
        for photograph in photographs
        for box in photograph.boxes
        # What lies in the first pixel are fractions, and is told as such.
        if min(box.corners) <= BEFORE_FIRST - 1 and max(box.corners[2:]) > 1
    ]
    if before:
        raise DataError(
            f"{before[0]}: begins at 0, but VOC counts pixels from 1. If the program that wrote "
            f"{path} counts from 0, add --convention half-open, else --convention voc "
            f"({len(before)} such boxes)"
        )


def _xml_boxes(
    things: Sequence[tuple[str, list[float]]], where: str, one_based: bool
) -> Iterator[Box]:
    for number, (kind, corners) in enumerate(things, start=1):
        yield box_of(kind, corners, f"{where} {number}", one_based)


def _image_of(
    file: Path, relative: Path, said: str | None, images: Folder
) -> tuple[Path, str | None]:
    """The photograph of an XML file, and a note where it names one that is not there."""
    image = images.of_stem(relative, str(file), said)
    if said is None or not names_other(file.stem, said):
        return image, None
    if image.is_file():
        if problem := other_photograph(image, file.stem, said, (image.parent, images.root)):
            raise DataError(f"{file}: {problem}")
    elif (other := images.named((relative.parent / said).as_posix(), str(file))).is_file():
        return other, None
    return image, "says in <filename> that it is about another photograph, which is not there"
