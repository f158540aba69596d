"""Masks of photographs as files, in the formats of the tools that read them.

A writer makes the files of one photograph; what holds several photographs is made of those at the
end. Files appear whole or not at all.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from PIL import Image
from torch import Tensor

from bana.data.formats.common import CocoSource
from bana.data.voc_files import whole_file, write_mask
from bana.evaluation.instances import Part, box_parts, encode_part
from bana.evaluation.polygons import one_polygon, polygons
from bana.files.unfinished import explained, move, unfinished

DIGITS = 2
"""Of coordinates in pixels. Those of polygons are multiples of a half."""
COCO_PARTS = "kept/coco"
"""What COCO's files are put together from."""


CocoEntries = tuple[dict[str, Any], list[dict[str, Any]]]
Finish = Callable[[Path, Sequence[str], Sequence[str], CocoSource | None], None]


class Masked(NamedTuple):
    """A photograph with its masks.

    Attributes:
        name: its path below the photographs' folder, without the ending.
        path: the file.
        file_name: its path below the photographs' folder.
        label: uint8 [H, W]: 0 background, 1..L, 255 not known.
        boxes: float [K, 4], XYXY, half-open, pixels.
        numbers: int64 [K], 1..L.
        classes: names, background first.
    """

    name: str
    path: Path
    file_name: str
    label: Tensor
    boxes: Tensor
    numbers: Tensor
    classes: tuple[str, ...]


class Instance(NamedTuple):
    """A box with its mask, its class, and its place among the boxes, from 1."""

    place: int
    number: int
    box: Tensor
    part: Part

    @property
    def corner(self) -> list[int]:
        """Column and row of the mask's first pixel, to be added to what is found in it."""
        return [self.part.left, self.part.top]


def instances(image: Masked) -> Iterator[Instance]:
    """The mask of every box that has any pixels, one at a time, since all may not fit memory.

    Boxes of one class that overlap share the pixels in both, see
    `bana.evaluation.instances.box_parts`.
    """
    for k, part in enumerate(box_parts(image.label, image.boxes, image.numbers)):
        if part.mask.any():
            yield Instance(k + 1, int(image.numbers[k]), image.boxes[k], part)


def _write_voc(folder: Path, image: Masked) -> None:
    write_mask(folder / f"{image.name}.png", image.label)


def _finish_voc(
    out: Path, names: Sequence[str], classes: Sequence[str], source: CocoSource | None
) -> None:
    _write_text(out / "voc" / "classes.txt", "".join(f"{name}\n" for name in classes))


def _write_yolo(folder: Path, image: Masked) -> None:
    """One line an instance: its class, numbered from 0, and one polygon in fractions."""
    height, width = image.label.shape
    lines = []
    for each in instances(image):
        corners = (one_polygon(each.part.mask.numpy()) + each.corner) / [width, height]
        numbers = " ".join(f"{value:.6g}" for value in corners.reshape(-1).tolist())
        lines.append(f"{each.number - 1} {numbers}\n")
    _write_text(folder / f"{image.name}.txt", "".join(lines))


def _finish_yolo(
    out: Path, names: Sequence[str], classes: Sequence[str], source: CocoSource | None
) -> None:
    held = {"nc": len(classes) - 1, "names": dict(enumerate(classes[1:]))}
    _write_text(out / "yolo-seg" / "data.yaml", yaml.safe_dump(held, allow_unicode=True))


def _write_labelme(folder: Path, image: Masked) -> None:
    """One polygon a part; the parts of an object share a group."""
    target = folder / f"{image.name}.json"
    height, width = image.label.shape
    shapes = [
        {
            "label": image.classes[each.number],
            "points": (polygon + each.corner).tolist(),
            "group_id": each.place,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for each in instances(image)
        for polygon in polygons(each.part.mask.numpy())
    ]
    held = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": _way(target.parent, image.path),
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    _write_text(target, json.dumps(held, ensure_ascii=False) + "\n")


def _way(folder: Path, file: Path) -> str:
    """The way from a folder to a file, with "/"; the whole path where there is none."""
    try:
        return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return file.resolve().as_posix()


def _write_instances(folder: Path, image: Masked) -> None:
    """One PNG a box, 255 in its mask and 0 elsewhere: <place>-<class>.png."""
    own = folder / image.name
    begun = unfinished(own)
    with explained(own):
        begun.mkdir(parents=True, exist_ok=True)
        try:
            for each in instances(image):
                kind = re.sub(r"[^\w-]+", "_", image.classes[each.number])
                picture = Image.fromarray(each.part.whole().numpy().astype(np.uint8) * 255)
                picture.save(begun / f"{each.place:03}-{kind}.png", format="PNG")
            _remove_instances(own)  # a box may have gone
            if own.exists():  # it holds those of photographs in a subfolder of this name
                for file in begun.iterdir():
                    move(file, own / file.name)
            else:
                move(begun, own)
        finally:
            shutil.rmtree(begun, ignore_errors=True)


def _remove_instances(own: Path) -> None:
    """Remove a photograph's masks, and its folder unless other photographs have theirs below."""
    for file in own.glob("*.png"):
        file.unlink(missing_ok=True)
    with suppress(OSError):
        own.rmdir()


def _write_coco(folder: Path, image: Masked) -> None:
    """What COCO's files will hold of the photograph, but for the numbers of its entries."""
    height, width = image.label.shape
    annotations = []
    for each in instances(image):
        x1, y1, x2, y2 = (round(value, DIGITS) for value in each.box.tolist())
        outlines = [one + each.corner for one in polygons(each.part.mask.numpy())]
        annotations.append(
            {
                "place": each.place,
                "category_id": each.number,
                "bbox": [x1, y1, round(x2 - x1, DIGITS), round(y2 - y1, DIGITS)],
                "area": int(each.part.mask.sum()),
                "iscrowd": 0,
                "rle": encode_part(each.part),
                "polygons": [one.reshape(-1).tolist() for one in outlines],
            }
        )
    record = {"file_name": image.file_name, "width": width, "height": height}
    held = {"image": record, "annotations": annotations}
    _write_text(folder / f"{image.name}.json", json.dumps(held, ensure_ascii=False))


def _finish_coco(
    out: Path, names: Sequence[str], classes: Sequence[str], source: CocoSource | None
) -> None:
    """COCO's files, with run lengths and with polygons, a photograph at a time.

    Where the boxes are COCO's, ids and all that the masks do not change are the source's.
    """
    folder = out / COCO_PARTS
    if source is None:
        head: dict[str, Any] = {}
        categories = [{"id": number, "name": classes[number]} for number in range(1, len(classes))]
        images = partial(_new_entries, folder, names)
    else:
        head, categories = source.head, source.categories
        images = partial(_source_entries, folder, names, source)
    for kind in ("rle", "polygons"):
        with (
            whole_file(out / "coco" / f"instances-{kind}.json") as begun,
            begun.open("w", encoding="utf-8", newline="\n") as file,
        ):
            opening = json.dumps({**head, "categories": categories}, ensure_ascii=False)
            file.write(opening[:-1])
            annotations = (each for _, many in images() for each in _of_kind(many, kind))
            for part, entries in (
                ("images", (image for image, _ in images())),
                ("annotations", annotations),
            ):
                file.write(f', "{part}": [')
                for number, entry in enumerate(entries):
                    comma = ",\n" if number else "\n"
                    file.write(comma + json.dumps(entry, ensure_ascii=False))
                file.write("]")
            file.write("}\n")


def _new_entries(folder: Path, names: Sequence[str]) -> Iterator[CocoEntries]:
    """An image and its annotations, numbered from 1."""
    count = 0
    for number, name in enumerate(names, start=1):
        held = _held(folder, name)
        annotations = []
        for made in held["annotations"]:
            count += 1
            annotations.append({"id": count, "image_id": number, **made})
            del annotations[-1]["place"]
        yield {"id": number, **held["image"]}, annotations


def _source_entries(
    folder: Path, names: Sequence[str], source: CocoSource
) -> Iterator[CocoEntries]:
    """An image and its annotations as the source has them, with the masks that were made.

    Images without boxes are there as in the source; of those with boxes the ones with masks.
    """
    there = set(names)
    for entry in source.images:
        annotations = []
        if entry.boxes:
            if entry.name not in there:
                continue
            for made in _held(folder, entry.name)["annotations"]:
                own = entry.boxes[made["place"] - 1]
                masks = {key: made[key] for key in ("area", "iscrowd", "rle", "polygons")}
                annotations.append({**own, **masks})
        yield entry.image, [*annotations, *entry.crowds]


def _of_kind(annotations: Sequence[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    """Annotations with their masks in one of the two forms; crowds have their own already."""
    for entry in annotations:
        shapes = {"segmentation": entry[kind]} if kind in entry else {}
        yield {key: entry[key] for key in entry if key not in ("rle", "polygons")} | shapes


def _held(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as begun:
        begun.write_text(text, encoding="utf-8", newline="\n")


class Writer(NamedTuple):
    """How masks are written in one format.

    Attributes:
        folder: of the photographs' own files, below the folder of the masks.
        ending: of a photograph's own file, empty where it is a folder.
        write: makes it, called with the folder.
        finish: makes what all photographs share, called with the folder of the masks, the names of
            the photographs, the classes, and what a COCO file of boxes says besides, where that is
            the source.
    """

    folder: str
    ending: str
    write: Callable[[Path, Masked], None]
    finish: Finish | None = None

    def path(self, out: Path, name: str) -> Path:
        """A photograph's own file, or folder."""
        return out / self.folder / f"{name}{self.ending}"

    def remove(self, out: Path, name: str) -> None:
        """Remove a photograph's own file, or folder."""
        path = self.path(out, name)
        if self.ending:
            path.unlink(missing_ok=True)
        else:
            _remove_instances(path)


WRITERS: dict[str, Writer] = {
    "voc": Writer("voc/SegmentationClass", ".png", _write_voc, _finish_voc),
    "coco": Writer(COCO_PARTS, ".json", _write_coco, _finish_coco),
    "yolo-seg": Writer("yolo-seg/labels", ".txt", _write_yolo, _finish_yolo),
    "labelme": Writer("labelme", ".json", _write_labelme),
    "instances": Writer("instances", "", _write_instances),
}
