"""Boxes from elsewhere: VOC XML, COCO JSON or CSV, brought into VOC layout.

`bana data import --help` describes the formats.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from bana.data.annotations import read_annotation
from bana.data.boxes import voc_to_half_open
from bana.data.layout import Box, Photograph, Written, image_id, write_photographs
from bana.data.voc_files import (
    IMAGE_ENDINGS,
    DataError,
    read_class_names,
)

FORMATS = ("voc", "coco", "csv")
CONVENTIONS = ("half-open", "voc")
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
        kind: one of `FORMATS`.
        boxes: the CSV or JSON file; one XML file or a folder of them.
        images: folder of the photographs.
        out: the data set; other splits in it stay.
        split: name of the split.
        classes: file of class names, one a line; background may be left out. None takes COCO's
            categories, or else the classes that occur, by alphabet.
        convention: one of `CONVENTIONS`; None means "voc" in XML and "half-open" in CSV.
        keep_empty: keep photographs that the boxes' file names without a box.

    Returns:
        What was written.

    Raises:
        DataError: when something in the files is wrong; file and line are named.
        ValueError: when the format or the convention is unknown.
    """
    if kind not in FORMATS or convention not in (None, *CONVENTIONS):
        raise ValueError(f"no boxes of format {kind!r} and convention {convention!r}")
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of photographs")
    if not boxes.exists():
        raise DataError(f"{boxes}: no such file of boxes")
    names = read_class_names(classes, background_implied=True) if classes else None
    if kind == "coco":
        from bana.data.coco import read_coco

        if convention == "voc":
            raise DataError("COCO's boxes are x, y, width, height: leave the convention out")
        read, categories = read_coco(boxes, images)
        photographs = [one.photograph for one in read]
        names = names or categories
    elif kind == "csv":
        photographs = read_csv(boxes, images, one_based=convention == "voc")
    else:
        photographs = read_voc(boxes, images, one_based=convention != "half-open")
    return write_photographs(out, split, photographs, names, keep_empty)


def read_csv(path: Path, images: Path, one_based: bool = False) -> list[Photograph]:
    """Read a CSV file with the columns of `HEADER` and one box a line.

    Args:
        path: the file, UTF-8; a line of an image alone names a photograph without objects.
        images: folder of the photographs.
        one_based: the boxes are VOC's, 1-based and inclusive.

    Returns:
        The photographs in the order of their first line.

    Raises:
        DataError: when the header or a line is wrong.
    """
    found: dict[str, Photograph] = {}
    for where, fields in _csv_lines(path):
        photograph = found.get(fields[0])
        if photograph is None:
            name = image_id(fields[0], where)
            photograph = Photograph(name, images / fields[0], where, [], [])
            found[fields[0]] = photograph
        if any(fields[1:]):
            photograph.boxes.append(_csv_box(fields[1:], where, one_based))
    return list(found.values())


def read_voc(path: Path, images: Path, one_based: bool = True) -> list[Photograph]:
    """Read VOC XML files; the photograph of a.xml is a.jpg, a.jpeg or a.png.

    Args:
        path: one file, or a folder of .xml files.
        images: folder of the photographs.
        one_based: the boxes are VOC's, 1-based and inclusive; some programs write 0-based ones.

    Returns:
        The photographs, by name.

    Raises:
        DataError: when a file is damaged, or there is none.
    """
    files = sorted(path.glob("*.xml")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: no .xml file in the folder")
    photographs = []
    for file in files:
        annotation = read_annotation(file)
        boxes = list(_xml_boxes(annotation.objects, f"{file}: object", one_based))
        crowds = list(_xml_boxes(annotation.crowds, f"{file}: crowd", one_based))
        image = _image_of(file.stem, images)
        name = image_id(image.name, str(file))
        photographs.append(Photograph(name, image, str(file), boxes, crowds, annotation.size))
    return photographs


def _csv_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the fields of every line after the header."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, skipinitialspace=True)
            if [field.strip() for field in next(lines, [])] != HEADER:
                raise DataError(f"{path}:1: the header must be {','.join(HEADER)}")
            for row in lines:
                fields = [field.strip() for field in row]
                if any(fields) and len(fields) != len(HEADER):
                    where = f"{path}:{lines.line_num}"
                    raise DataError(f"{where}: {len(fields)} fields, not {len(HEADER)}")
                if any(fields):
                    yield f"{path}:{lines.line_num}", fields
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: no CSV file in UTF-8 ({error})") from error


def _csv_box(fields: list[str], where: str, one_based: bool) -> Box:
    *numbers, kind = fields
    try:
        corners = [float(number) for number in numbers]
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if not kind:
        raise DataError(f"{where}: a box without a class")
    return _box(kind, corners, where, one_based)


def _xml_boxes(
    things: Sequence[tuple[str, list[float]]], where: str, one_based: bool
) -> Iterator[Box]:
    for number, (kind, corners) in enumerate(things, start=1):
        yield _box(kind, corners, f"{where} {number}", one_based)


def _box(kind: str, corners: list[float], where: str, one_based: bool) -> Box:
    numbers = torch.tensor(corners, dtype=torch.float64)
    x1, y1, x2, y2 = (voc_to_half_open(numbers) if one_based else numbers).tolist()
    return Box(" ".join(kind.split()), (x1, y1, x2, y2), where)


def _image_of(stem: str, images: Path) -> Path:
    endings = (*IMAGE_ENDINGS, *(ending.upper() for ending in IMAGE_ENDINGS))
    paths = [images / f"{stem}{ending}" for ending in endings]
    return next((path for path in paths if path.exists()), paths[0])
