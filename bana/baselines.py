"""Pseudo labels without learning: boxes filled, and GrabCut in every box."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor

from bana.data.boxes import box_masks

MIN_SIDE = 4
MIN_BACKGROUND = 16


def filled_boxes(
    boxes: Float[Tensor, "K 4"], classes: Integer[Tensor, " K"], height: int, width: int
) -> UInt8[Tensor, "{height} {width}"]:
    """Label every pixel of a box with the box's class.

    Where boxes overlap the smaller one wins, since it is more often in front; of equal boxes the
    later one wins.

    Args:
        boxes: XYXY in pixels, 0-based and half-open; K may be 0. Parts outside the image are cut
            off; a box without a pixel in the image labels nothing.
        classes: 1..254.
        height, width: size of the image, in pixels.

    Returns:
        The labels, 0 outside every box, on the device of ``boxes``.

    Raises:
        ValueError: if the shapes do not fit together, a box is not finite or a class is not in
            1..254.
    """
    _check(boxes, classes)
    mask = torch.zeros(height, width, dtype=torch.uint8, device=boxes.device)
    inside = box_masks(boxes, height, width)  # [K, H, W]
    for k in _largest_first(boxes):
        mask[inside[k]] = int(classes[k])
    return mask


def grabcut(
    image: UInt8[Tensor, "3 H W"],
    boxes: Float[Tensor, "K 4"],
    classes: Integer[Tensor, " K"],
    iterations: int = 5,
    seed: int = 0,
) -> UInt8[Tensor, "H W"]:
    """Label in every box what GrabCut takes for its foreground (Rother et al. 2004).

    OpenCV's GrabCut runs once a box, on the whole image, with everything outside the box as
    certain background. It needs background to learn from, so a box that leaves less than 16
    pixels outside, or is narrower than 4 pixels, is filled, as is one in which GrabCut finds no
    foreground. Where foregrounds overlap the smaller box wins.

    Args:
        image: RGB.
        boxes, classes: as for :func:`filled_boxes`.
        iterations: GrabCut's iterations per box, at least 1.
        seed: of OpenCV's random numbers, which start the colour models; set anew for every box,
            so a box's label does not depend on the other boxes.

    Returns:
        The labels, 0 where no box has foreground, on the device of ``boxes``.

    Raises:
        ValueError: if ``image`` is not uint8 [3, H, W] or ``iterations`` is below 1, and as
            :func:`filled_boxes`.
    """
    if image.ndim != 3 or image.shape[0] != 3 or image.dtype != torch.uint8:
        raise ValueError(f"image must be uint8 [3, H, W], got {image.dtype} {tuple(image.shape)}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    _check(boxes, classes)
    _, height, width = image.shape
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy()[:, :, ::-1])  # BGR
    mask = torch.zeros(height, width, dtype=torch.uint8)
    inside = box_masks(boxes, height, width).cpu().numpy()  # [K, H, W]
    for k in _largest_first(boxes):
        foreground = _foreground(pixels, inside[k], iterations, seed)
        mask[torch.from_numpy(foreground)] = int(classes[k])
    return mask.to(boxes.device)


def _foreground(
    pixels: UInt8[np.ndarray, "H W 3"], box: Bool[np.ndarray, "H W"], iterations: int, seed: int
) -> Bool[np.ndarray, "H W"]:
    """GrabCut's foreground within one box."""
    narrow = min(box.any(0).sum(), box.any(1).sum()) < MIN_SIDE
    if narrow or (~box).sum() < MIN_BACKGROUND:
        return box
    cv2.setRNGSeed(seed)
    state = np.where(box, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    state, *_ = cv2.grabCut(pixels, state, None, *models, iterations, cv2.GC_INIT_WITH_MASK)
    foreground = state == cv2.GC_PR_FGD
    return foreground if foreground.any() else box


def _largest_first(boxes: Float[Tensor, "K 4"]) -> list[int]:
    """Order in which boxes are drawn, so that the smallest is on top."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return torch.argsort(area, descending=True, stable=True).tolist()


def _check(boxes: Tensor, classes: Tensor) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or classes.shape != boxes.shape[:1]:
        raise ValueError(
            f"boxes and classes must be [K, 4] and [K], got {tuple(boxes.shape)} and "
            f"{tuple(classes.shape)}"
        )
    if not boxes.isfinite().all():
        raise ValueError("boxes hold NaN or infinite coordinates")
    if len(classes) and not (classes.amin() >= 1 and classes.amax() <= 254):
        raise ValueError(f"classes must lie in 1..254, got {classes.tolist()}")
