"""Boxes from elsewhere brought into VOC layout, and the readers of VOC XML and CSV.

`bana data import --help` describes the formats; `bana.data.formats` has the other readers.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from bana.data.annotation_checks import BEFORE_FIRST, names_other, other_photograph
from bana.data.annotations import read_named
from bana.data.boxes import voc_to_half_open
from bana.data.checks import (
    DataError,
    as_class,
    as_number,
    listed,
    noted,
    read_text,
    refuse,
)
from bana.data.formats.common import Folder
from bana.data.formats.known import check_format
from bana.data.layout import (
    Box,
    Photograph,
    Written,
    check_own_source,
    write_photographs,
)
from bana.data.oddities import notes_on_folder, visible_files
from bana.data.voc_files import read_class_names

HEADER = ["image", "xmin", "ymin", "xmax", "ymax", "class"]


def import_boxes(
    kind: str,
    boxes: Path,
    images: Path,
    out: Path,
    split: str = "train",
    classes: Path | None = None,
    convention: str | None = None,
    keep_empty: bool = False,
) -> Written:
    """Bring photographs with boxes into a folder in VOC layout, as one split.

    Args:
        kind: one of `bana.data.formats.known.FORMATS`.
        boxes: the file, or the folder of files, as the format has it.
        images: folder of the photographs.
        out: the data set; other splits in it stay.
        split: name of the split.
        classes: file of class names, one a line; background may be left out; of YOLO a data.yaml
            too. None takes those of the source, or else the classes that occur, by alphabet.
        convention: of voc and csv alone, see `bana.data.formats.known`; None means "voc" in XML
            and "half-open" in CSV.
        keep_empty: keep photographs that the boxes' file names without a box.

    Returns:
        What was written.

    Raises:
        DataError: when something in the files is wrong; file and line are named. When XML boxes
            begin at 0 and no convention was given; when a source lies in ``out``.
        ValueError: when the format or the convention is unknown.
    """
    check_format(kind, convention)
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of photographs")
    if not boxes.exists():
        raise DataError(f"{boxes}: no such file of boxes")
    check_own_source(out, boxes, images)
    notes: list[str] = []
    if kind == "coco":
        from bana.data.coco import read_coco

        read, categories, notes = read_coco(boxes, images)
        photographs = [one.photograph for one in read]
        names = _own_names(classes) or categories
    elif kind != "voc":
        from bana.data.formats.detection import photographs_and_classes  # which reads these too

        photographs, names = photographs_and_classes(kind, boxes, images, classes, convention)
    else:
        names = _own_names(classes)
        if boxes.resolve() in out.resolve().parents:
            raise DataError(f"{out}: lies in {boxes}, where boxes are read: name another folder")
        photographs = read_voc(boxes, Folder(images), one_based=convention != "half-open")
        if convention is None:
            ask_for_convention(photographs, boxes)
    written = write_photographs(out, split, photographs, names, keep_empty, source=boxes)
    notes = [*notes, *written.notes]
    notes += notes_on_folder(images, (photograph.path for photograph in photographs), out)
    if kind == "voc":
        notes += _passed_over(boxes)
    return written._replace(notes=tuple(notes))


def _own_names(classes: Path | None) -> tuple[str, ...] | None:
    return read_class_names(classes, background_implied=True) if classes else None


def read_csv(path: Path, images: Folder, one_based: bool = False) -> list[Photograph]:
    """Read a CSV file with the columns of `HEADER` and one box a line.

    Args:
        path: the file, UTF-8; a line of an image alone names a photograph without objects.
        images: the photographs.
        one_based: the boxes are VOC's, 1-based and inclusive.

    Returns:
        The photographs in the order of their first line.

    Raises:
        DataError: when the header is wrong, or lines are, all of which are told.
    """
    found: dict[str, Photograph] = {}
    empty: dict[str, str] = {}
    problems: list[str] = []
    for where, fields in _csv_lines(path, problems):
        with noted(problems):
            photograph = found.get(fields[0])
            if photograph is None:
                photograph = found[fields[0]] = images.listed(fields[0], where)
            if any(fields[1:]):
                photograph.boxes.append(_csv_box(fields[1:], where, one_based))
            else:
                empty.setdefault(fields[0], where)
    for name, where in empty.items():
        if found[name].boxes:
            problems.append(
                f"{where}: says that {name} has no box, and {found[name].boxes[0].where} has one"
            )
    refuse(problems, path)
    return list(found.values())


def check_csv(path: Path) -> None:
    """Check that a file begins as `read_csv` wants. Raises DataError as that."""
    next(_csv_lines(path, []), None)


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


def _passed_over(path: Path) -> Iterator[str]:
    """A note on files in a folder of XML files that are no such files."""
    if path.is_dir():
        others = [file for file in visible_files(path) if file.suffix.lower() != ".xml"]
        names = sorted(file.relative_to(path).as_posix() for file in others)
        if names:
            yield f"files in {path} that do not end in .xml ({len(names)}): {listed(names)}"


def _csv_lines(path: Path, problems: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the fields of every line after the header; note what is no line."""
    lines = csv.reader(io.StringIO(read_text(path), newline=""), skipinitialspace=True, strict=True)
    try:
        if [field.strip() for field in next(lines, [])] != HEADER:
            raise DataError(f"{path}:1: the header must be {','.join(HEADER)}")
        for row in lines:
            where = f"{path}:{lines.line_num}"
            fields = [field.strip() for field in row]
            if any("\n" in field or "\r" in field for field in fields):
                problems.append(f"{where}: a field goes over several lines: is a quote missing?")
            elif any(fields) and len(fields) != len(HEADER):
                problems.append(f"{where}: {len(fields)} fields, not {len(HEADER)}")
            elif any(fields):
                yield where, fields
    except csv.Error as error:
        raise DataError(f"{path}:{lines.line_num}: no CSV ({error})") from error


def _csv_box(fields: list[str], where: str, one_based: bool) -> Box:
    *numbers, kind = fields
    sides = zip(HEADER[1:5], numbers, strict=True)
    corners = [as_number(number, f"{where}: {side}") for side, number in sides]
    if not kind:
        raise DataError(f"{where}: a box without a class")
    return _box(as_class(kind, f"{where}: the class"), corners, where, one_based)


def _xml_boxes(
    things: Sequence[tuple[str, list[float]]], where: str, one_based: bool
) -> Iterator[Box]:
    for number, (kind, corners) in enumerate(things, start=1):
        yield _box(kind, corners, f"{where} {number}", one_based)


def _box(kind: str, corners: list[float], where: str, one_based: bool) -> Box:
    numbers = torch.tensor(corners, dtype=torch.float64)
    x1, y1, x2, y2 = (voc_to_half_open(numbers) if one_based else numbers).tolist()
    return Box(kind, (x1, y1, x2, y2), where)


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
