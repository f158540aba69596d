"""COCO's average precision of instance masks, by COCO's own evaluation (pycocotools).

The ground truth is a COCO file of instances, or VOC's SegmentationObject. A data set with class
masks alone cannot be scored: they do not tell objects of one class apart.
"""

import contextlib
import io
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from tqdm import tqdm

from bana.data.class_names import common_name
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
                # Numbered from 1: the evaluation takes an object 0 for "not found".
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

    Raises:
        DataError: if the file is missing or is no such file.
    """
    try:
        dataset = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except ValueError as error:
        raise DataError(f"{path}: not a JSON file ({error})") from error
    wanted = ("images", "categories", "annotations")
    missing = [key for key in wanted if key not in dataset] if isinstance(dataset, dict) else wanted
    if missing:
        raise DataError(f"{path}: not a COCO file of instances, it has no {missing[0]}")
    if dataset["annotations"] and "segmentation" not in dataset["annotations"][0]:
        raise DataError(f"{path}: annotations without segmentation; use the file of instances")
    return Truth({key: dataset[key] for key in wanted}, {})


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

    Images are found by file name without its ending, classes by name in VOC's or COCO's spelling.
    Without ground truth images count from 1 in their order, and classes are numbered as in
    ``data``.

    Raises:
        DataError: if the ground truth lacks an image or a class.
    """
    if truth is None:
        return Ids({name: i for i, name in enumerate(data.ids, 1)}, list(range(len(data.classes))))
    images = {Path(str(i["file_name"])).stem: int(i["id"]) for i in truth.dataset["images"]}
    classes = {common_name(c["name"]): int(c["id"]) for c in truth.dataset["categories"]}
    for name in data.ids:
        if name not in images:
            raise DataError(f"the ground truth has no image {name!r}; is it of another split?")
    for name in data.classes[1:]:
        if common_name(name) not in classes:
            known = ", ".join(c["name"] for c in truth.dataset["categories"])
            raise DataError(f"the ground truth has no class {name!r}; it has {known}")
    categories = [0, *(classes[common_name(name)] for name in data.classes[1:])]
    return Ids({name: images[name] for name in data.ids}, categories)


def average_precision(
    truth: Truth, results: Iterable[dict[str, Any]], image_ids: Iterable[int]
) -> dict[str, float]:
    """COCO's AP of instance masks, in percent.

    The mean over IoU thresholds .5, .55, ... .95 and over the classes that have objects, with at
    most 100 masks an image and class. Masks of equal score rank in the order of the images, so
    that with pseudo labels, whose scores are all 1, AP depends a little on that order.

    Args:
        truth: ground truth.
        results: entries of a COCO results file, see `bana.evaluation.instances.coco_results`.
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
        annotations = [dict(entry) for entry in truth.dataset["annotations"]]
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
