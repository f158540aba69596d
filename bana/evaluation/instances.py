"""Instance masks from label maps and boxes, in the form that COCO's evaluation reads."""

from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from bana.data.boxes import box_masks


class Instances(NamedTuple):
    """One mask a box, bool [K, H, W], and its score, float [K] in [0, 1]."""

    masks: Tensor
    scores: Tensor


def box_instances(
    labels: Tensor, boxes: Tensor, classes: Tensor, probabilities: Tensor | None = None
) -> Instances:
    """The instance of every box: the pixels inside it that carry its class.

    Boxes of one class that overlap share the pixels in both: a label map does not say whose they
    are, and giving them to one would be a rule of our own.

    Args:
        labels: uint8 [H, W], 0..L and 255.
        boxes: float [K, 4], XYXY, half-open, pixels of ``labels``.
        classes: int64 [K], 1..L.
        probabilities: of the classes, float [L + 1, H, W], where the labels come with any. A score
            is the mean probability of the box's class over the mask, 0 for an empty mask; without
            probabilities, as with pseudo labels, it is 1.

    Raises:
        ValueError: if there are not as many boxes as classes or the sizes differ.
    """
    if boxes.shape != (len(classes), 4):
        raise ValueError(f"boxes must be [{len(classes)}, 4], got {tuple(boxes.shape)}")
    own = labels[None] == classes.to(labels.device)[:, None, None]  # [K, H, W]
    masks = own & box_masks(boxes.to(labels.device), *labels.shape)
    if probabilities is None:
        return Instances(masks, torch.ones(len(classes), device=labels.device))
    if probabilities.shape[1:] != labels.shape:
        raise ValueError(
            f"probabilities {tuple(probabilities.shape)} and labels {tuple(labels.shape)} differ"
        )
    total = (probabilities[classes] * masks).flatten(1).sum(1)
    return Instances(masks, total / masks.flatten(1).sum(1).clamp_min(1))


def encode(mask: Tensor) -> dict[str, Any]:
    """A mask, bool [H, W], as COCO's compressed run lengths {"size": [H, W], "counts": str}.

    Run lengths go down the columns, where tensors lie along the rows: a mask handed over in the
    wrong order comes out transposed, which a public replication's COCO masks did.
    """
    by_column = np.asfortranarray(mask.cpu().numpy().astype(np.uint8))
    made = coco_mask.encode(by_column)
    return {"size": list(mask.shape), "counts": made["counts"].decode("ascii")}


def decode(run_lengths: dict[str, Any]) -> Tensor:
    """The mask of `encode`, bool [H, W]."""
    (mask,) = coco_mask.decode([run_lengths]).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(mask)).bool()


def coco_results(
    instances: Instances, image_id: int, category_ids: list[int]
) -> list[dict[str, Any]]:
    """The instances of one image as entries of a COCO results file.

    An empty mask detects nothing and is left out.

    Args:
        instances: of K boxes.
        image_id: the image's number in the ground truth.
        category_ids: of the K boxes' classes, in the ground truth's numbering.
    """
    return [
        {
            "image_id": image_id,
            "category_id": category,
            "segmentation": encode(mask),
            "score": float(score),
        }
        for mask, score, category in zip(*instances, category_ids, strict=True)
        if mask.any()
    ]
