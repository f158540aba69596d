"""Rows of scores: label files and networks against masks, one image at a time.

A row holds, in percent, "miou", "per_class" and "coverage" as `bana.evaluation.miou.Scores` has
them, and "boundary_miou" and "boundary_per_class" as `bana.evaluation.boundary.BoundaryScores` has
them; and "areas", an image at a time, of which intervals are made (see `row_areas`). It is what
JSON can hold: None where a class occurs nowhere.

Images are scored at their own size, never as training crops, and pixels that a mask marks 255 never
count.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from bana.crf.dense import CrfParameters
from bana.data.mask_checks import nothing_shown
from bana.data.voc import DataError, VocDataset, read_image, read_mask
from bana.evaluation.average_precision import Ids, Truth, average_precision, ids_of
from bana.evaluation.boundary import BoundaryScorer
from bana.evaluation.instances import box_parts, part_results
from bana.evaluation.miou import Scorer
from bana.evaluation.prediction import View, crf_workers, label_maps
from bana.evaluation.verdicts import plain_score
from bana.losses import agreement
from bana.networks.segmenter import Segmenter


class RowScorer:
    """mIoU and boundary IoU of one kind of labels; arguments as those of `Scorer`."""

    def __init__(self, n_classes: int, ignored: str = "dropped") -> None:
        self._regions = Scorer(n_classes, ignored)
        self._boundaries = BoundaryScorer(n_classes, ignored)

    def update(self, labels: Tensor, mask: Tensor) -> None:
        """Count one image: labels and mask, uint8 [H, W], 0..L and 255."""
        self._regions.update(labels, mask)
        self._boundaries.update(labels, mask)

    def row(self) -> dict[str, Any]:
        """The scores of all images so far."""
        regions, boundaries = self._regions.scores(), self._boundaries.scores()
        areas = [image.tolist() for image in self._regions.areas]
        return {
            "miou": plain_score(regions.miou),
            "per_class": [plain_score(value) for value in regions.per_class],
            "coverage": regions.coverage,
            "boundary_miou": plain_score(boundaries.miou),
            "boundary_per_class": [plain_score(value) for value in boundaries.per_class],
            "areas": [{str(c): a for c, a in enumerate(image) if a[1]} for image in areas],
        }


def row_areas(row: Mapping[str, Any]) -> Tensor:
    """A row's intersections and unions, int64 [N, L + 1, 2], as `class_areas` gives them."""
    result = torch.zeros(len(row["areas"]), len(row["per_class"]), 2, dtype=torch.int64)
    for image, areas in zip(result, row["areas"], strict=True):
        for c, pair in areas.items():
            image[int(c)] = torch.tensor(pair)
    return result


def read_label_files(folders: Mapping[str, Path], name: str) -> dict[str, Tensor]:
    """One image's labels of every kind: Y_crf by variant, and "bap-ret", Y_ret of "bap".

    Args:
        folders: of the label files, by variant.
        name: id of the image.
    """
    rows = {row: read_mask(folder / "Y_crf" / f"{name}.png") for row, folder in folders.items()}
    if "bap" in folders:
        rows["bap-ret"] = read_mask(folders["bap"] / "Y_ret" / f"{name}.png")
    return rows


def score_label_files(data: VocDataset, folders: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Rows of every kind of label, and of the pixels where Y_crf and Y_ret of "bap" agree.

    Args:
        data: images with class masks.
        folders: of the label files, by variant.

    Returns:
        {row: scores}. "agreement-dropped" and "agreement-wrong" differ in how they count the
        pixels left unlabelled; every other kind of label labels all pixels.

    Raises:
        DataError: when a mask is missing or wrong, or all of them show no class but 255.
    """
    n_classes = len(data.classes)
    scorers: dict[str, RowScorer] = {}
    shown: set[int] = set()
    for name in tqdm(data.ids, desc="score labels", unit="image", leave=False):
        mask, rows = data.mask(name), read_label_files(folders, name)
        shown.update(mask.unique().tolist())
        for row, labels in rows.items():
            scorers.setdefault(row, RowScorer(n_classes)).update(labels, mask)
        if "bap" in rows:
            agreed = agreement(rows["bap"], rows["bap-ret"])
            for ignored in ("dropped", "wrong"):
                row = f"agreement-{ignored}"
                scorers.setdefault(row, RowScorer(n_classes, ignored)).update(agreed, mask)
    _check_shown(data, shown)
    return {row: scorer.row() for row, scorer in scorers.items()}


def _check_shown(data: VocDataset, shown: set[int]) -> None:
    if reason := nothing_shown(shown):
        raise DataError(f"{data.root / 'SegmentationClass'}: {reason}")


def score_segmenter(
    model: Segmenter,
    data: VocDataset,
    views: Mapping[str, View],
    crf: CrfParameters,
    image_scale: float = 1.0,
    workers: int = 0,
) -> dict[str, dict[str, Any]]:
    """Rows of a network's prediction in every view, each without and with CRF.

    Args:
        model, views, crf, image_scale: see `bana.evaluation.prediction.label_maps`.
        data: images with class masks.
        workers: processes for the CRF, at most; a few images are refined in this one.

    Raises:
        DataError: as `score_label_files`.
    """
    images = ((name, read_image(data.image_path(name))) for name in data.ids)
    maps = label_maps(model, images, views, crf, image_scale, crf_workers(workers, len(data)))
    modes = [mode for view in views for mode in (view, f"{view}-crf")]
    scorers = {mode: RowScorer(len(data.classes)) for mode in modes}
    shown: set[int] = set()
    for name, made in tqdm(maps, desc="score network", total=len(data), unit="image"):
        mask = data.mask(name)
        shown.update(mask.unique().tolist())
        for mode, scorer in scorers.items():
            scorer.update(made[mode], mask)
    _check_shown(data, shown)
    return {mode: scorer.row() for mode, scorer in scorers.items()}


def label_file_instances(data: VocDataset, folder: Path, ids: Ids) -> list[dict[str, Any]]:
    """The instance of every box of a data set, from label files, as COCO results.

    Args:
        data: images with boxes.
        folder: of the label files, <id>.png each.
        ids: the ground truth's numbers of images and classes.
    """
    results = []
    for name in tqdm(data.ids, desc="masks of boxes", unit="image", leave=False):
        boxes, classes = data.annotation(name)
        parts = box_parts(read_mask(folder / f"{name}.png"), boxes, classes)
        categories = [ids.categories[c] for c in classes.tolist()]
        results += part_results(parts, ids.images[name], categories)
    return results


def score_instances(
    data: VocDataset, folders: Mapping[str, Path], truth: Truth
) -> dict[str, dict[str, Any]]:
    """Average precision of the boxes' masks for every kind of label: the paper's Table 2.

    Args:
        data: images with boxes.
        folders: of the label files, by variant.
        truth: instances of these images.

    Returns:
        {row: AP in percent}, see `bana.evaluation.average_precision.average_precision`.
    """
    kinds = {variant: folder / "Y_crf" for variant, folder in folders.items()}
    if "bap" in folders:
        kinds["bap-ret"] = folders["bap"] / "Y_ret"
    ids = ids_of(data, truth)
    rows = {}
    for row, folder in kinds.items():
        results = label_file_instances(data, folder, ids)
        precision = average_precision(truth, results, ids.images.values())
        rows[row] = {name: plain_score(value) for name, value in precision.items()}
    return rows
