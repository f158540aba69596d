"""Which format boxes have, told by what is in the files, and the reader of each format."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from bana.data.checks import listed, noted, read_json, read_text, refuse
from bana.data.formats.coco import read_coco_boxes
from bana.data.formats.common import ANNOTATIONS, Folder, Read, files_below
from bana.data.formats.csv import HEADER, check_csv, read_csv
from bana.data.formats.cvat import read_cvat
from bana.data.formats.known import FORMATS, check_format
from bana.data.formats.labelme import read_labelme
from bana.data.formats.labelstudio import read_labelstudio
from bana.data.formats.voc import ask_for_convention, read_voc_file
from bana.data.formats.yolo import is_yolo, read_yolo
from bana.data.layout import Photograph, check_kinds
from bana.data.voc_files import DataError, read_class_names
from bana.data.xml_files import first_tag, read_xml

# Formats of one file for many photographs.
SINGLE = {"coco": ".json", "labelstudio": ".json", "csv": ".csv", "cvat": ".xml"}
# Endings of the files of the others; of YOLO also of those that name classes.
MANY = {"voc": (".xml",), "labelme": (".json",), "yolo": (".txt", ".yaml", ".yml", ".names")}
# So many files of a folder are looked into, of each ending.
LOOKED_INTO = 20


def detect(path: Path) -> str:
    """The format of a file of boxes or of a folder of them.

    Returns:
        One of `bana.data.formats.known.FORMATS`.

    Raises:
        DataError: if there is nothing there, if it is none of them, or if there are several.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder of boxes")
    found: dict[str, Path] = {}
    for file in _some_of(path):
        kind = _kind_of(file)
        if kind:
            found.setdefault(kind, file)
    if not found:
        _say_what_is_damaged(path)
        raise DataError(
            f"{path}: no boxes that are known ({', '.join(FORMATS)}): name the format by --format"
        )
    if len(found) > 1:
        told = " and ".join(f"{kind} ({file.name})" for kind, file in sorted(found.items()))
        raise DataError(f"{path}: boxes of several formats, {told}: choose one by --format")
    return next(iter(found))


def read_boxes(
    kind: str,
    path: Path,
    images: Folder,
    classes: Path | None = None,
    convention: str | None = None,
) -> Read:
    """Read boxes of any format.

    Args:
        kind: one of `bana.data.formats.known.FORMATS`.
        path: the file, or a folder of files.
        images: the photographs.
        classes: file of class names, one a line; of YOLO a data.yaml too. None takes those of the
            source.
        convention: of the boxes, of voc and csv alone, see `bana.data.formats.known`; None means
            "voc" in XML and "half-open" in CSV.

    Raises:
        DataError: if something in the files is wrong, or a box has the class background.
        ValueError: if the format or the convention is unknown, or the format has no other.
    """
    check_format(kind, convention)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder of boxes")
    top = path
    if kind in SINGLE:
        path = _only_file(kind, path)
    readers: dict[str, Callable[[], Read]] = {
        "yolo": lambda: read_yolo(path, images, classes),
        "voc": lambda: _read_voc(path, images, convention != "half-open"),
        "coco": lambda: read_coco_boxes(path, images),
        "csv": lambda: Read(read_csv(path, images, convention == "voc"), None, [], {}),
        "labelme": lambda: read_labelme(path, images),
        "labelstudio": lambda: read_labelstudio(path, images),
        "cvat": lambda: read_cvat(path, images),
    }
    read = readers[kind]()
    if top.is_dir():
        given = (path,) if classes is None else (path, classes)
        read = read._replace(notes=[*read.notes, *_not_read(kind, top, *given)])
    check_kinds(box for photograph in read.photographs for box in photograph.boxes)
    if kind == "voc" and convention is None:
        ask_for_convention(read.photographs, path)
    if classes is not None and kind != "yolo":
        read = read._replace(classes=read_class_names(classes, background_implied=True))
    return read


def _read_voc(path: Path, images: Folder, one_based: bool) -> Read:
    """VOC's files, but those of CVAT that lie among them."""
    top = path if path.is_dir() else path.parent
    every = files_below(path, (".xml",))
    others = [file for file in every if _kind_of(file) == "cvat"]
    files = [file for file in every if file not in others]
    if not files:
        raise DataError(f"{path}: no VOC .xml file there")
    photographs: list[Photograph] = []
    problems: list[str] = []
    for file in files:
        with noted(problems):
            photographs.append(read_voc_file(file, top, images, one_based))
    refuse(problems, path)
    names = [file.relative_to(top).as_posix() for file in others]
    notes = [f"{path}: files of CVAT not read ({len(names)}): {listed(names)}"] if names else []
    return Read(photographs, None, notes, {})


def _not_read(kind: str, path: Path, *read: Path) -> Iterator[str]:
    """A note on files in a folder that may be of boxes, by their endings, and not of this format.

    Args:
        kind: the format.
        path: the folder.
        read: files in it that were read.
    """
    others = [
        file.relative_to(path).as_posix()
        for file in files_below(path, ANNOTATIONS)
        if file not in read and file.suffix.lower() not in MANY.get(kind, ())
    ]
    if others:
        yield f"{path}: files not read as {kind} ({len(others)}): {listed(others)}"


def _only_file(kind: str, path: Path) -> Path:
    """The one file of a format in a folder."""
    if not path.is_dir():
        return path
    found = [file for file in files_below(path, (SINGLE[kind],)) if _kind_of(file) == kind]
    if len(found) != 1:
        several = f": {found[0].name}, {found[1].name}, ...: name one" if found else ""
        raise DataError(f"{path}: {len(found)} files of format {kind}, not one{several}")
    return found[0]


def _say_what_is_damaged(path: Path) -> None:
    """Raise DataError for a single file that is no JSON, XML or CSV, as its ending says it is."""
    if path.suffix.lower() == ".json" and path.is_file():
        read_json(path)
    elif path.suffix.lower() == ".xml" and path.is_file():
        read_xml(path)
    elif path.suffix.lower() == ".csv" and path.is_file():
        check_csv(path)


def _some_of(path: Path) -> Iterator[Path]:
    for ending in (".xml", ".json", ".csv", ".txt", ".yaml", ".yml"):
        of_one = [file for file in files_below(path, (ending,)) if file.suffix.lower() == ending]
        yield from of_one[:LOOKED_INTO]


def _kind_of(file: Path) -> str | None:
    """The format of one file; None where it is no file of boxes."""
    ending = file.suffix.lower()
    try:
        if ending == ".xml":
            return {"annotation": "voc", "annotations": "cvat"}.get(first_tag(file))
        text = read_text(file)
        if ending == ".json":
            return _kind_of_json(text)
        if ending == ".csv":
            header = next(csv.reader(text.splitlines()[:1], skipinitialspace=True), [])
            return "csv" if [field.strip() for field in header] == HEADER else None
        if ending in (".yaml", ".yml"):
            return "yolo" if any(line.startswith("names:") for line in text.splitlines()) else None
        return "yolo" if is_yolo(text) else None
    except (OSError, ValueError, RecursionError):
        return None


def _kind_of_json(text: str) -> str | None:
    held = json.loads(text)
    if isinstance(held, dict):
        if isinstance(held.get("shapes"), list):
            return "labelme"
        return "coco" if {"images", "annotations"} <= held.keys() else None
    if not isinstance(held, list) or not held or not isinstance(held[0], dict):
        return None
    is_task = "data" in held[0] or "annotation_id" in held[0] or "lead_time" in held[0]
    return "labelstudio" if is_task else None
