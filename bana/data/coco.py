"""COCO's instances, boxes and masks, brought into VOC layout.

Read by pycocotools, COCO's own library. Its boxes x, y, width, height are 0-based, in fractions of
a pixel, and become (x, y, x + width, y + height). Its run lengths go down the columns: decoded by
hand in the order of the rows, as one published implementation does, every mask is transposed.

What is decided here, since COCO does not say it:

- where instances overlap, the smaller one lies on top, as it is most often the one in front;
- crowds, and what is flagged "ignore", are no boxes; in a mask they are 255, under every instance,
  and in the XML file they are <crowd>, which keeps their boxes from counting as background;
- categories that no annotation has keep their number, so that splits agree; only one called
  background, and those of a file with more than a mask can number, are left out, and that is told;
- an annotation whose box has no area (COCO has a few) is left out, and that is told.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools.coco import COCO
from torchvision.datasets.utils import calculate_md5

from bana.data.checks import DataError, listed, noted, refuse
from bana.data.coco_file import checked_segmentation, is_crowd, read_instances
from bana.data.downloads import Archive, install
from bana.data.formats.common import Folder
from bana.data.layout import (
    Box,
    Photograph,
    Written,
    check_own_source,
    write_photographs,
    write_split,
)
from bana.data.voc_files import IGNORE, check_class_names, whole_file, write_mask
from bana.files.alone import alone_in
from bana.files.parallel import mapped
from bana.files.unfinished import is_filled

# COCO publishes no checksums; these are what its archives have had since 2017.
ARCHIVES: dict[str, Archive] = {
    "annotations": Archive(
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
        "annotations_trainval2017.zip",
        "f4bbac642086de4f52a3fdda2de5fa2c",
        253,
    ),
    "val": Archive(
        "http://images.cocodataset.org/zips/val2017.zip",
        "val2017.zip",
        "442b8da7639aecaf257c1dceb8ba8c80",
        816,
    ),
    "train": Archive(
        "http://images.cocodataset.org/zips/train2017.zip",
        "train2017.zip",
        "cced6f7f71b7629ddf16f17bbcfab6b2",
        19_337,
    ),
}


class CocoImage(NamedTuple):
    """One image of a COCO file.

    Attributes:
        photograph: its boxes, ready to write.
        record: COCO's entry of the image.
        annotations: COCO's entries of its instances and crowds, without those left out.
        classes: index of the class of each annotation, 1 to L.
    """

    photograph: Photograph
    record: dict[str, Any]
    annotations: list[dict[str, Any]]
    classes: list[int]


class CocoRead(NamedTuple):
    """What a COCO file says.

    Attributes:
        images: in the file's order.
        classes: background, then the categories by COCO's number of them.
        notes: what was left out, a sentence each.
    """

    images: list[CocoImage]
    classes: tuple[str, ...]
    notes: list[str]


def download_coco(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Fetch COCO 2017 from its own server: 20 GB, and as much again unpacked.

    Args:
        folder: where the archives go and are unpacked.

    Returns:
        For "train" and "val" the file of annotations and the folder of images.

    Raises:
        DataError: when an archive cannot be had; the message says what to fetch by hand.
    """
    for archive in ARCHIVES.values():
        install(archive, folder)
    return {
        split: (folder / "annotations" / f"instances_{split}2017.json", folder / f"{split}2017")
        for split in ("train", "val")
    }


def convert_coco(
    annotations: Path,
    images: Path,
    out: Path,
    split: str,
    keep_empty: bool = False,
    workers: int | None = None,
) -> Written:
    """Bring a COCO file's boxes and masks into a folder in VOC layout, as one split.

    An interrupted conversion goes on with the masks that are not there yet, unless the file of
    annotations has changed since.

    Args:
        annotations: instances_*.json.
        images: folder of its images.
        out: the data set; other splits in it stay.
        split: name of the split.
        keep_empty: keep images without boxes. COCO means them, but 1 % of its images are such.
        workers: processes that draw masks; None takes as many as there are cores, at most 8.

    Returns:
        What was written.

    Raises:
        DataError: when the file or an image is missing, damaged, or wrong, or lies in ``out``.
    """
    check_own_source(out, annotations, images)
    read, classes, notes = read_coco(annotations, images)
    _check_segmentations(annotations, read)
    photographs = [one.photograph for one in read]
    made = photographs, classes, keep_empty, False, workers, annotations
    written = write_photographs(out, split, *made)
    names = set(written.names)
    with alone_in(out):
        wanted = [one for one in read if one.photograph.name in names]
        _write_class_masks(out, split, wanted, calculate_md5(annotations), workers)
        write_split(out, split, written.names)
    return written._replace(notes=(*notes, *written.notes))


def _write_class_masks(
    out: Path, split: str, wanted: Sequence[CocoImage], checksum: str, workers: int | None
) -> None:
    """Write the masks; of a file of annotations with another checksum none is there yet."""
    folder, note = out / "SegmentationClass", out / f".masks-{split}.md5"
    going_on = note.exists() and note.read_text(encoding="utf-8") == checksum
    with whole_file(note) as begun:
        begun.write_text(checksum, encoding="utf-8", newline="\n")
    todo = [
        one for one in wanted if not (going_on and is_filled(folder / f"{one.photograph.name}.png"))
    ]
    for _ in mapped(partial(_write_class_mask, folder), todo, f"masks of {split}", workers):
        pass


def read_coco(path: Path, images: Path) -> CocoRead:
    """Read a COCO file of instances.

    Args:
        path: the JSON file.
        images: folder of its images.

    Returns:
        What was read.

    Raises:
        DataError: when the file or the folder is missing, damaged, or wrong.
    """
    return images_of(path, read_instances(path), Folder(images))


def images_of(path: Path, file: dict[str, Any], images: Folder) -> CocoRead:
    """The images and classes of a COCO file, as `read_coco`, which has been read already.

    Args:
        path: the file, for messages.
        file: of `bana.data.coco_file.read_instances`.
        images: its images.

    Raises:
        DataError: when annotations have a category called background, or more categories than a
            mask can number, or an image's name leads upwards or fits several.
    """
    categories, notes = _categories(path, file)
    index = {category["id"]: number for number, category in enumerate(categories, start=1)}
    names = ("background", *(category["name"] for category in categories))
    check_class_names(names, str(path))
    annotations: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in file["images"]}
    for annotation in file["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    read = []
    flat: list[int] = []
    problems: list[str] = []
    for record in file["images"]:
        every = annotations[record["id"]]
        kept = [annotation for annotation in every if 0 not in annotation["bbox"][2:]]
        flat += [annotation["id"] for annotation in every if 0 in annotation["bbox"][2:]]
        classes = [index[annotation["category_id"]] for annotation in kept]
        boxes: tuple[list[Box], list[Box]] = ([], [])
        for annotation, number in zip(kept, classes, strict=True):
            boxes[is_crowd(annotation)].append(_box(path, annotation, names[number]))
        where = f"{path}: image {record['id']}"
        with noted(problems):
            size = record["width"], record["height"]
            image = images.listed(record["file_name"], where)
            image = image._replace(boxes=boxes[0], crowds=boxes[1], size=size)
            read.append(CocoImage(image, record, kept, classes))
    refuse(problems, path)
    ignored = [each["id"] for each in file["annotations"] if each.get("ignore")]
    if ignored:
        what = "annotations flagged ignore, read as crowds"
        notes.append(f"{path}: {what} ({len(ignored)}): {listed(ignored)}")
    if flat:
        what = "annotations left out, as their boxes have no area"
        notes.append(f"{path}: {what} ({len(flat)}): {listed(flat)}")
    return CocoRead(read, names, notes)


def _categories(path: Path, file: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The categories by COCO's number of them, and a note on those that are left out."""
    every = sorted(file["categories"], key=lambda category: category["id"])
    used = {annotation["category_id"] for annotation in file["annotations"]}
    too_many = len(every) >= IGNORE
    kept, left_out = [], []
    for category in every:
        background = category["name"] == "background"
        if category["id"] not in used and (background or too_many):
            left_out.append(category["name"])
        elif background:
            raise DataError(
                f"{path}: annotations have a category called background, which is what lies in no "
                f"box: remove them"
            )
        else:
            kept.append(category)
    if not left_out:
        return kept, []
    what = "categories that no annotation has, left out"
    return kept, [f"{path}: {what} ({len(left_out)}): {listed(left_out)}"]


def _check_segmentations(path: Path, images: Sequence[CocoImage]) -> None:
    """Check all segmentations before the first file is written."""
    problems: list[str] = []
    for one in images:
        size = one.record["height"], one.record["width"]
        for annotation in one.annotations:
            with noted(problems):
                where = f"{path}: annotation {annotation['id']}"
                checked_segmentation(annotation.get("segmentation"), *size, where)
    refuse(problems, path)


def class_mask(
    record: dict[str, Any], annotations: Sequence[dict[str, Any]], classes: Sequence[int]
) -> np.ndarray:
    """Draw the instances of one image as a mask of classes.

    Args:
        record: COCO's entry of the image.
        annotations: COCO's entries of its instances and crowds.
        classes: class of each annotation, 1 to L.

    Returns:
        uint8 [H, W], 0 background, 255 crowds.

    Raises:
        DataError: when an annotation has no segmentation, or none that pycocotools can decode.
    """
    coco = COCO()
    coco.imgs = {record["id"]: record}
    size = record["height"], record["width"]
    mask = np.zeros(size, dtype=np.uint8)
    drawn = []
    for annotation, number in zip(annotations, classes, strict=True):
        where = f"annotation {annotation['id']}"
        runs = checked_segmentation(annotation.get("segmentation"), *size, where)
        inside = coco.annToMask({**annotation, "segmentation": runs}).astype(bool)  # [H, W]
        crowd = is_crowd(annotation)
        drawn.append((not crowd, -int(inside.sum()), IGNORE if crowd else number, inside))
    # Crowds first, then from the largest to the smallest: the later lies on top.
    for *_, value, inside in sorted(drawn, key=lambda one: one[:3]):
        mask[inside] = value
    return mask


def _write_class_mask(folder: Path, one: CocoImage) -> None:
    path = folder / f"{one.photograph.name}.png"
    try:
        mask = class_mask(one.record, one.annotations, one.classes)
    except DataError as error:
        raise DataError(f"{one.photograph.where}: {error}") from error
    write_mask(path, mask)


def _box(path: Path, annotation: dict[str, Any], kind: str) -> Box:
    x, y, width, height = annotation["bbox"]
    return Box(kind, (x, y, x + width, y + height), f"{path}: annotation {annotation['id']}")
