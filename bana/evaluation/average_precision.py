"""COCO's average precision of instance masks, by COCO's own evaluation (pycocotools).

The ground truth is a COCO file of instances, or VOC's SegmentationObject. A data set with class
masks alone cannot be scored: they do not tell objects of one class apart.
"""

import contextlib
import io
import math
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from tqdm import tqdm

from bana.data.checks import listed, noted, refuse
from bana.data.class_names import common_name
from bana.data.coco_file import checked_segmentation, read_instances
from bana.data.layout import image_id
from bana.data.voc import IGNORE, DataError, VocDataset, read_mask
from bana.evaluation.instances import decode, encode

MEASURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


class Truth(NamedTuple):
    """Ground truth of instances.

    Attributes:
        dataset: "images", "categories" and "annotations" in COCO's format.
        void: {image id: pixels that count neither for nor against a mask, as run lengths}.
    """

    dataset: dict[str, Any]
    void: dict[int, dict[str, Any]]


class Ids(NamedTuple):
    """Numbers in the ground truth: of images by name, of classes by index (background: 0)."""

    images: dict[str, int]
    categories: list[int]


def object_folder(data: VocDataset) -> Path:
    """Where a data set in VOC layout has its instance masks, if it has any."""
    return data.root / "SegmentationObject"


def voc_truth(data: VocDataset) -> Truth:
    """Ground truth from VOC's SegmentationObject, of the images in ``data``.

    Each PNG numbers the objects from 1, with 0 for background and 255 for void. An object's class
    is that of most of its pixels in SegmentationClass; COCO's sizes (small is below 32 x 32
    pixels, large above 96 x 96) are those of the masks.

    Raises:
        DataError: if there are no instance masks, or one is damaged or disagrees with the image or
            with its class mask.
    """
    folder = object_folder(data)
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; average precision needs instance masks, as class masks do "
            f"not tell objects of one class apart"
        )
    ids = ids_of(data)
    images, annotations, void = [], [], {}
    for name in tqdm(data.ids, desc="instance masks", unit="image", leave=False):
        path = folder / f"{name}.png"
        kinds, numbers = data.mask(name), read_mask(path)
        if numbers.shape != kinds.shape:
            raise DataError(f"{path}: {list(numbers.shape)}, its class mask {list(kinds.shape)}")
        height, width = kinds.shape
        image = ids.images[name]
        images.append({"id": image, "file_name": name, "height": height, "width": width})
        void[image] = encode(numbers == IGNORE)
        for number in numbers.unique().tolist():
            if number not in (0, IGNORE):
                kind = _class_of(kinds, numbers == number, path, number)
                annotations.append(_annotation(len(annotations) + 1, image, kind, numbers, number))
    categories = [{"id": c, "name": data.classes[c]} for c in range(1, len(data.classes))]
    return Truth({"images": images, "categories": categories, "annotations": annotations}, void)


def _class_of(kinds: Tensor, mask: Tensor, path: Path, number: int) -> int:
    inside = kinds[mask]
    kind = int(torch.bincount(inside[inside != IGNORE].long(), minlength=1).argmax())
    if kind == 0:
        raise DataError(f"{path}: object {number} is background in its class mask")
    return kind


def _annotation(
    number: int, image: int, category: int, numbers: Tensor, value: int
) -> dict[str, Any]:
    mask = numbers == value
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    left, top = int(columns.min()), int(rows.min())
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "area": int(mask.sum()),
        "bbox": [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top],
        "segmentation": encode(mask),
    }


def coco_truth(path: str | Path) -> Truth:
    """Ground truth from a COCO file of instances, such as instances_val2017.json.

    Ids are numbered as in the file. An area that the file does not give is that of the mask.

    Raises:
        DataError: if the file is missing, is no such file, or holds values that are not certain;
            if a segmentation is empty or cannot be drawn.
    """
    path = Path(path)
    dataset = read_instances(path, need="segmentation")
    sizes = {image["id"]: (image["height"], image["width"]) for image in dataset["images"]}
    problems: list[str] = []
    annotations = []
    for entry in dataset["annotations"]:
        with noted(problems):
            annotations.append(_drawable(entry, sizes[entry["image_id"]], path))
    refuse(problems, path)
    return Truth({**dataset, "annotations": annotations}, {})


def _drawable(entry: dict[str, Any], size: tuple[int, int], path: Path) -> dict[str, Any]:
    """An annotation with what the evaluation asks for."""
    where = f"{path}: annotation {entry['id']}"
    made = {**entry, "segmentation": checked_segmentation(entry["segmentation"], *size, where)}
    if "area" not in made:
        made["area"] = int(coco_mask.area(_run_lengths(made["segmentation"], size)))
    return made


def _run_lengths(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Polygons and run lengths of both kinds as compressed run lengths."""
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
        return segmentation
    made = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.merge(made) if isinstance(made, list) else made


def find_truth(data: VocDataset, path: str | Path | None = None) -> Truth | None:
    """Ground truth of a data set: a COCO file where one is named, else SegmentationObject.

    Returns:
        None where there is neither.

    Raises:
        DataError: if what there is cannot be read.
    """
    if path is not None:
        return coco_truth(path)
    return voc_truth(data) if object_folder(data).is_dir() else None


def ids_of(data: VocDataset, truth: Truth | None = None) -> Ids:
    """Numbers of a data set's images and classes in the ground truth.

    Images are found by the id that an import gives to their file name, or else by the name without
    folders and ending, where only one image has it. Classes are found by name, in VOC's or COCO's
    spelling. Without ground truth images count from 1 in their order, and classes are numbered as
    in ``data``.

    Raises:
        DataError: if the ground truth lacks an image or a class, has one twice, or says that an
            image has another size.
    """
    if truth is None:
        return Ids({name: i for i, name in enumerate(data.ids, 1)}, list(range(len(data.classes))))
    by_id, by_stem = _images_by_name(truth)
    images = {name: _image_number(data, name, by_id, by_stem) for name in data.ids}
    classes: dict[str, list[dict[str, Any]]] = {}
    for category in truth.dataset["categories"]:
        classes.setdefault(common_name(category["name"]), []).append(category)
    numbers: dict[int, str] = {}
    for name in data.classes[1:]:
        other = numbers.setdefault(_category_number(name, classes), name)
        if other != name:
            raise DataError(
                f"the ground truth has one class for {other!r} and {name!r}, which differ in "
                f"spelling alone: rename one of them"
            )
    return Ids(images, [0, *numbers])


def _images_by_name(truth: Truth) -> tuple[dict[str, list[dict]], dict[str, list[dict]]]:
    """The images by the id that an import gives them, and by their name without folders."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    by_stem: dict[str, list[dict[str, Any]]] = {}
    for image in truth.dataset["images"]:
        name = image_id(image["file_name"], f"the ground truth, image {image['id']}")
        by_id.setdefault(name, []).append(image)
        stem = PurePosixPath(image["file_name"].replace("\\", "/")).stem
        by_stem.setdefault(stem, []).append(image)
    return by_id, by_stem


def _image_number(
    data: VocDataset, name: str, by_id: dict[str, list[dict]], by_stem: dict[str, list[dict]]
) -> int:
    found = by_id.get(name) or by_stem.get(name, [])
    if not found:
        raise DataError(f"the ground truth has no image {name!r}; is it of another split?")
    if len(found) > 1:
        files = listed([image["file_name"] for image in found])
        raise DataError(f"the ground truth has several images {name!r}: {files}")
    height, width = data.image_size(name)
    if (found[0]["height"], found[0]["width"]) != (height, width):
        raise DataError(
            f"the ground truth says that image {name!r} has {found[0]['width']} x "
            f"{found[0]['height']}, but {data.image_path(name)} has {width} x {height}"
        )
    return found[0]["id"]


def _category_number(name: str, classes: dict[str, list[dict[str, Any]]]) -> int:
    found = classes.get(common_name(name), [])
    if not found:
        known = ", ".join(category["name"] for group in classes.values() for category in group)
        raise DataError(f"the ground truth has no class {name!r}; it has {known}")
    exact = [category for category in found if category["name"] == name]
    if len(exact or found) > 1:
        told = listed([category["name"] for category in found])
        raise DataError(f"the ground truth has several classes that could be {name!r}: {told}")
    return (exact or found)[0]["id"]


def average_precision(
    truth: Truth, results: Iterable[dict[str, Any]], image_ids: Iterable[int]
) -> dict[str, float]:
    """COCO's AP of instance masks, in percent.

    The mean over IoU thresholds .5, .55, ... .95 and over the classes that have objects, with at
    most 100 masks an image and class. Masks of equal score rank in the order of the images, so
    that with pseudo labels, whose scores are all 1, AP depends a little on that order.

    Args:
        truth: ground truth.
        results: entries of a COCO results file, see `bana.evaluation.instances.part_results`.
            Pixels that the ground truth marks void are taken out of the masks first.
        image_ids: the images to score; objects in an image without results count as missed.

    Returns:
        {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"}; nan where there is no object
        of that size.

    Raises:
        ValueError: if there is no image to score, or a result belongs to none of the images.
    """
    wanted = sorted(set(image_ids))
    if not wanted:
        raise ValueError("there is no image to score")
    results = [made for entry in results if (made := _without_void(entry, truth))]
    strange = {entry["image_id"] for entry in results} - set(wanted)
    if strange:
        raise ValueError(f"results of image {min(strange)}, which is not among those to score")
    # COCO's classes print their progress and write into what they are given.
    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO()
        # Numbered from 1: the evaluation takes an object 0 for "not found".
        annotations = [
            {**entry, "id": number} for number, entry in enumerate(truth.dataset["annotations"], 1)
        ]
        gold.dataset = {**truth.dataset, "annotations": annotations}
        gold.createIndex()
        # An empty list of results is refused; with none, every object is missed.
        found = gold.loadRes(results) if results else _nothing(truth)
        evaluation = COCOeval(gold, found, "segm")
        evaluation.params.imgIds = wanted
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = [float(value) for value in evaluation.stats[: len(MEASURES)]]
    return {
        name: math.nan if value < 0 else 100 * value
        for name, value in zip(MEASURES, values, strict=True)
    }


def _nothing(truth: Truth) -> COCO:
    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty


def _without_void(entry: dict[str, Any], truth: Truth) -> dict[str, Any] | None:
    """A copy of a result without the void pixels; None where nothing is left."""
    void = truth.void.get(entry["image_id"])
    if void is None:
        return dict(entry)
    left = decode(entry["segmentation"]) & ~decode(void)
    return {**entry, "segmentation": encode(left)} if left.any() else None
