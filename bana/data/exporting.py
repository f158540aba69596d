"""Boxes of a data set in VOC layout as other programs read them: the way back of an import."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bana.data.layout import Box, check_own_source
from bana.data.voc import VocDataset
from bana.data.voc_files import DataError, whole_file

FORMATS = ("coco", "yolo")


class Exported(NamedTuple):
    """What was written: numbers of photographs, boxes and crowds, and of crowds left out."""

    photographs: int
    boxes: int
    crowds: int
    left_out: int


class _Boxed(NamedTuple):
    """A photograph: its id, its file's name, (width, height) in pixels, and its boxes."""

    name: str
    file_name: str
    size: tuple[int, int]
    boxes: list[Box]
    crowds: list[Box]


def export_boxes(kind: str, root: Path, split: str, out: Path) -> Exported:
    """Write the boxes of a split in another format; no photograph is copied.

    Args:
        kind: "coco" writes one JSON file, whose file names are those in JPEGImages; "yolo" a folder
            with labels/<id>.txt and data.yaml, which knows no crowds.
        root: the data set.
        split: name of the split.
        out: the file or the folder, which must not be there yet.

    Returns:
        What was written.

    Raises:
        DataError: when something in the data set is wrong, or there is something at ``out``.
        ValueError: when the format is unknown.
    """
    if kind not in FORMATS:
        raise ValueError(f"no export of boxes as {kind!r}: use {' or '.join(FORMATS)}")
    data = VocDataset(root, split)
    check_own_source(data.root, out)
    if out.exists():
        raise DataError(f"--out {out}: is there already: name another")
    # Everything is read before the first file is written.
    photographs = [_read(data, name) for name in data.ids]
    write = _write_coco if kind == "coco" else _write_yolo
    write(out, photographs, data.classes)
    boxes = sum(len(photograph.boxes) for photograph in photographs)
    crowds = sum(len(photograph.crowds) for photograph in photographs)
    left_out = crowds if kind == "yolo" else 0
    return Exported(len(photographs), boxes, crowds - left_out, left_out)


def _read(data: VocDataset, name: str) -> _Boxed:
    height, width = data.image_size(name)
    path = data.annotation_path(name)
    parts = []
    for kinds, boxes in data.things(name, height, width):
        if unknown := sorted(set(kinds) - set(data.classes[1:])):
            raise DataError(f"{path}: unknown class {unknown[0]!r}; see the data set's classes")
        corners = [(x1, y1, x2, y2) for x1, y1, x2, y2 in boxes.tolist()]
        parts.append([Box(kind, box, str(path)) for kind, box in zip(kinds, corners, strict=True)])
    return _Boxed(name, data.image_path(name).name, (width, height), *parts)


def _write_coco(out: Path, photographs: Sequence[_Boxed], classes: Sequence[str]) -> None:
    """One file; areas are those of the boxes, since there are no masks."""
    numbers = {kind: number for number, kind in enumerate(classes)}
    images, annotations = [], []
    for number, photograph in enumerate(photographs, start=1):
        width, height = photograph.size
        about = {"file_name": photograph.file_name, "width": width, "height": height}
        images.append({"id": number, **about})
        for crowd, boxes in enumerate((photograph.boxes, photograph.crowds)):
            for box in boxes:
                x1, y1, x2, y2 = box.corners
                entry = {"id": len(annotations) + 1, "image_id": number}
                entry |= {"category_id": numbers[box.kind], "iscrowd": crowd}
                sides = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
                annotations.append({**entry, **sides, "segmentation": []})
    held: dict[str, Any] = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": numbers[kind], "name": kind} for kind in classes[1:]],
    }
    with whole_file(out) as unfinished:
        unfinished.write_text(
            json.dumps(held, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n"
        )


def _write_yolo(out: Path, photographs: Sequence[_Boxed], classes: Sequence[str]) -> None:
    """A file a photograph, empty where it has no box: class, centre and sides in fractions."""
    numbers = {kind: number for number, kind in enumerate(classes[1:])}
    names = {"nc": len(numbers), "names": {number: kind for kind, number in numbers.items()}}
    with whole_file(out / "data.yaml") as unfinished:
        unfinished.write_text(
            yaml.safe_dump(names, allow_unicode=True), encoding="utf-8", newline="\n"
        )
    for photograph in photographs:
        width, height = photograph.size
        lines = []
        for box in photograph.boxes:
            x1, y1, x2, y2 = box.corners
            centre = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height
            values = (*centre, (x2 - x1) / width, (y2 - y1) / height)
            lines.append(f"{numbers[box.kind]} {' '.join(f'{value:.8f}' for value in values)}\n")
        with whole_file(out / "labels" / f"{photograph.name}.txt") as unfinished:
            unfinished.write_text("".join(lines), encoding="utf-8", newline="\n")
