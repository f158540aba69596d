"""Boxes of a CSV file, one a line."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from bana.data.checks import DataError, as_class, as_number, noted, read_text, refuse
from bana.data.formats.common import Folder, box_of
from bana.data.layout import Box, Photograph

HEADER = ["image", "xmin", "ymin", "xmax", "ymax", "class"]


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
    return box_of(as_class(kind, f"{where}: the class"), corners, where, one_based)
