"""COCO's instances, boxes and masks, brought into VOC layout.

Read by pycocotools, COCO's own library. Its boxes x, y, width, height are 0-based, in fractions of
a pixel, and become (x, y, x + width, y + height). Its run lengths go down the columns: decoded by
hand in the order of the rows, as one published implementation does, every mask is transposed.

What is decided here, since COCO does not say it:

- where instances overlap, the smaller one lies on top, as it is most often the one in front;
- crowds are no boxes; in a mask they are 255, under every instance, and in the XML file they are
  <crowd>, which keeps their boxes from counting as background;
- an annotation whose box has no area (COCO has a few) is left out, and that is told.
"""

import contextlib
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools.coco import COCO
from torchvision.datasets.utils import calculate_md5

from bana.data.downloads import Archive, install
from bana.data.layout import Box, Photograph, Written, image_id, write_photographs, write_split
from bana.data.voc_files import IGNORE, DataError, whole_file, write_mask
from bana.files.parallel import mapped

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
        DataError: when the file or an image is missing, damaged, or wrong.
    """
    read, classes = read_coco(annotations, images)
    written = write_photographs(
        out, split, [one.photograph for one in read], classes, keep_empty, with_list=False
    )
    folder = out / "SegmentationClass"
    begun = out / f".masks-{split}.md5"
    checksum = calculate_md5(annotations)
    going_on = begun.exists() and begun.read_text() == checksum
    with whole_file(begun) as unfinished:
        unfinished.write_text(checksum)
    names = set(written.names)
    wanted = [
        one
        for one in read
        if one.photograph.name in names
        and not (going_on and (folder / f"{one.photograph.name}.png").exists())
    ]
    for _ in mapped(partial(_write_class_mask, folder), wanted, f"masks of {split}", workers):
        pass
    write_split(out, split, written.names)
    return written


def read_coco(path: Path, images: Path) -> tuple[list[CocoImage], tuple[str, ...]]:
    """Read a COCO file of instances.

    Args:
        path: the JSON file.
        images: folder of its images.

    Returns:
        The images in the file's order, and the classes: background, then the categories by
        COCO's number of them.

    Raises:
        DataError: when the file is missing, damaged, or wrong.
    """
    coco = _load(path)
    categories = sorted(coco.dataset["categories"], key=lambda category: category["id"])
    index = {category["id"]: number for number, category in enumerate(categories, start=1)}
    names = ("background", *(" ".join(str(category["name"]).split()) for category in categories))
    _check_ids(path, coco.dataset)
    read = []
    flat = 0
    for record in coco.dataset["images"]:
        every = coco.imgToAnns.get(record["id"], [])
        for annotation in every:
            _check_annotation(path, annotation, index)
        kept = [annotation for annotation in every if min(annotation["bbox"][2:]) > 0]
        flat += len(every) - len(kept)
        classes = [index[annotation["category_id"]] for annotation in kept]
        boxes: tuple[list[Box], list[Box]] = ([], [])
        for annotation, number in zip(kept, classes, strict=True):
            boxes[bool(annotation.get("iscrowd"))].append(_box(path, annotation, names[number]))
        where = f"{path}: image {record['id']}"
        name = image_id(record["file_name"], where)
        size = int(record["width"]), int(record["height"])
        image = Photograph(name, images / record["file_name"], where, *boxes, size)
        read.append(CocoImage(image, record, kept, classes))
    if flat:
        print(f"{path.name}: {flat} annotations left out, as their boxes have no area")
    return read, names


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
    mask = np.zeros((record["height"], record["width"]), dtype=np.uint8)
    drawn = []
    for annotation, number in zip(annotations, classes, strict=True):
        try:
            inside = coco.annToMask(annotation).astype(bool)  # [H, W]
        # pycocotools raises bare Exceptions among others.
        except Exception as error:
            reason = f"annotation {annotation['id']}: no segmentation to decode ({error!r})"
            raise DataError(reason) from error
        crowd = bool(annotation.get("iscrowd"))
        drawn.append((not crowd, -int(inside.sum()), IGNORE if crowd else number, inside))
    # Crowds first, then from the largest to the smallest: the later lies on top.
    for *_, value, inside in sorted(drawn, key=lambda one: one[:3]):
        mask[inside] = value
    return mask


def _write_class_mask(folder: Path, one: CocoImage) -> None:
    path = folder / f"{one.photograph.name}.png"
    write_mask(path, class_mask(one.record, one.annotations, one.classes))


def _load(path: Path) -> COCO:
    try:
        dataset = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except ValueError as error:
        raise DataError(f"{path}: no JSON ({error})") from error
    wanted = {"images": ("id", "file_name", "width", "height"), "categories": ("id", "name")}
    wanted["annotations"] = ("id", "image_id", "category_id", "bbox")
    for part, keys in wanted.items():
        if not isinstance(dataset, dict) or not isinstance(dataset.get(part), list):
            raise DataError(f"{path}: no COCO file of instances, it has no {part!r}")
        for number, entry in enumerate(dataset[part], start=1):
            missing = [key for key in keys if key not in entry]
            if missing:
                raise DataError(f"{path}: {part} {number}: no {missing[0]!r}")
    coco = COCO()
    coco.dataset = dataset
    # pycocotools reports its progress on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _check_ids(path: Path, dataset: dict[str, Any]) -> None:
    for part in ("images", "categories", "annotations"):
        seen = set()
        for entry in dataset[part]:
            if entry["id"] in seen:
                raise DataError(f"{path}: {part}: id {entry['id']} occurs twice")
            seen.add(entry["id"])
    images = {image["id"] for image in dataset["images"]}
    for annotation in dataset["annotations"]:
        if annotation["image_id"] not in images:
            number, image = annotation["id"], annotation["image_id"]
            raise DataError(f"{path}: annotation {number}: there is no image {image}")


def _check_annotation(path: Path, annotation: dict[str, Any], index: dict[int, int]) -> None:
    where = f"{path}: annotation {annotation['id']}"
    if annotation["category_id"] not in index:
        raise DataError(f"{where}: unknown category {annotation['category_id']}")
    box = annotation["bbox"]
    if len(box) != 4 or not all(isinstance(value, int | float) for value in box):
        raise DataError(f"{where}: bbox {box} is not x, y, width, height")
    if min(box[2:]) < 0:
        raise DataError(f"{where}: box {box} is inverted")


def _box(path: Path, annotation: dict[str, Any], kind: str) -> Box:
    x, y, width, height = annotation["bbox"]
    corners = (float(x), float(y), float(x + width), float(y + height))
    return Box(kind, corners, f"{path}: annotation {annotation['id']}")
