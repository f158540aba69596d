"""Features of the trained classifier, frozen, with labels beside them: what heads learn from."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bana.data.boxes import box_masks
from bana.data.transforms import eval_image
from bana.data.voc import VocDataset, read_mask
from bana.experiment.processes import computing_with, spread
from bana.losses import IGNORE
from bana.networks.classifier import BoxClassifier
from bana.training.heads import POSITIONS, FrozenImage


def leading_directions(
    model: BoxClassifier,
    data: VocDataset,
    count: int,
    image_scale: float = 1.0,
    images: int = 200,
    processes: int = 1,
) -> tuple[Tensor, float]:
    """The directions in which the features of a data set are longest.

    Args:
        model: the trained box classifier.
        data: images to look at, at most ``images`` of them, evenly spaced.
        count: K, directions at most.
        image_scale: the constant enlargement that the classifier was trained with.
        images: to look at, at most.
        processes: that compute, one thread each; the result does not depend on it.

    Returns:
        float32 [K, D] with rows of length 1, and the share of the features' squared length that
        lies in them, in [0, 1].
    """
    chosen = range(0, len(data), -(-len(data) // images))
    square = torch.zeros(model.weight.shape[1], model.weight.shape[1], dtype=torch.float64)
    shared = model, data, image_scale
    for own in _in_order(_square, shared, chosen, processes, "directions"):
        square += torch.from_numpy(own).double()
    values, vectors = torch.linalg.eigh(square)  # smallest first
    share = values[-count:].sum() / values.sum()
    return vectors[:, -count:].T.flip(0).float().contiguous(), float(share)


def frozen_images(
    model: BoxClassifier,
    data: VocDataset,
    folder: Path,
    basis: Tensor,
    image_scale: float = 1.0,
    processes: int = 1,
) -> list[FrozenImage]:
    """Every image's features in a basis, with its mask and labels at several positions a cell.

    Args:
        model: the trained box classifier.
        data: images with masks.
        folder: with Y_crf/<id>.png and Y_ret/<id>.png.
        basis: of `leading_directions`.
        image_scale: the constant enlargement that the classifier was trained with.
        processes: that compute, one thread each; the result does not depend on it.
    """
    shared = model, data, image_scale, folder, basis
    title = f"features {data.split}"
    made = _in_order(_frozen_image, shared, range(len(data)), processes, title)
    return [FrozenImage(*map(torch.from_numpy, arrays)) for arrays in made]


def at_positions(labels: Tensor, cells: Sequence[int], stride: int, image_scale: float) -> Tensor:
    """Labels of an image at `POSITIONS` positions a cell, the first at the first cell's own pixel.

    Args:
        labels: [H, W], of the image at its own size.
        cells: h and w of the feature map.
        stride: pixels a cell of the enlarged image.
        image_scale: by how much it is enlarged.

    Returns:
        [POSITIONS (h - 1) + 1, POSITIONS (w - 1) + 1], 255 where a position is beyond the image.
    """
    size = labels.shape
    rows, columns = (
        # The pixel of the image in which the centre of the enlarged one lies.
        ((torch.arange(POSITIONS * (n - 1) + 1) * stride / POSITIONS + 0.5) / image_scale).long()
        for n in cells
    )
    picked = labels[rows.clamp_max(size[0] - 1)][:, columns.clamp_max(size[1] - 1)]
    beyond = (rows >= size[0])[:, None] | (columns >= size[1])[None]
    return picked.masked_fill(beyond, IGNORE)


def _in_order(
    function: Callable[[Any, int], Any],
    shared: tuple[Any, ...],
    numbers: Sequence[int],
    processes: int,
    title: str,
) -> Iterator[Any]:
    """What a function makes of numbered images, in their order, see `spread`."""
    waiting: dict[int, Any] = {}
    order = iter(numbers)
    expected = next(order, None)
    for number, made in spread(function, shared, numbers, processes, title):
        waiting[number] = made
        while expected in waiting:
            yield waiting.pop(expected)
            expected = next(order, None)


# Helpers give arrays back: a tensor would travel as a file descriptor, of which a process has few.
def _square(shared: tuple[BoxClassifier, VocDataset, float], number: int) -> np.ndarray:
    """f f^T of an image's features f [D, h w], float32 [D, D]."""
    model, data, image_scale = shared
    cells = _features(model, data[number], image_scale).flatten(1)
    return (cells @ cells.T).numpy()


def _frozen_image(
    shared: tuple[BoxClassifier, VocDataset, float, Path, Tensor], number: int
) -> tuple[np.ndarray, ...]:
    """The parts of an image's `FrozenImage`."""
    model, data, image_scale, folder, basis = shared
    item = data[number]
    features = torch.einsum("kd,dhw->khw", basis, _features(model, item, image_scale))
    boxes = item["boxes"].as_subclass(Tensor)
    inside = box_masks(boxes, *item["image"].shape[-2:]).any(0).byte()
    maps = [data.mask(item["id"])]
    maps += [read_mask(folder / kind / f"{item['id']}.png") for kind in ("Y_crf", "Y_ret")]
    stride, cells = model.backbone.stride, features.shape[1:]
    mask, y_crf, y_ret, inside = (
        at_positions(each, cells, stride, image_scale) for each in (*maps, inside)
    )
    frozen = FrozenImage(features.half(), mask, y_crf, y_ret, inside == 1)
    return tuple(part.numpy() for part in frozen)


def _features(model: BoxClassifier, item: dict, image_scale: float) -> Tensor:
    with torch.no_grad(), computing_with(1):
        return model.backbone(eval_image(item, image_scale)[None])[0]
