"""Pseudo labels without learning: boxes filled, refined by a CRF in two ways, GrabCut."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor

from bana.crf.dense import LABEL_CRF, CrfParameters, dense_crf
from bana.data.boxes import class_masks, pixels_of

INSIDE = 0.6
MIDDLE = 0.2
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
    for k in largest_first(boxes):
        mask[pixels_of(boxes[k])] = int(classes[k])
    return mask


def largest_first(boxes: Float[Tensor, "K 4"]) -> list[int]:
    """Order in which boxes are drawn, so that the smallest is on top, of equal ones the later.

    Args:
        boxes: XYXY.

    Returns:
        Their positions 0..K - 1.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return torch.argsort(area, descending=True, stable=True).tolist()


def refined_boxes(
    image: UInt8[Tensor, "3 H W"],
    boxes: Float[Tensor, "K 4"],
    classes: Integer[Tensor, " K"],
    crf: CrfParameters = LABEL_CRF,
    inside: float = INSIDE,
) -> UInt8[Tensor, "H W"]:
    """Label the boxes filled, then move the labels to the edges of the image by the dense CRF.

    The control of the pseudo labels: the same CRF, and a unary that no network had a part in.
    What labels score above this one is what was learned; what this one scores above
    :func:`filled_boxes` is the CRF's. As in `bana.labels.pseudo_labels` background is certain
    outside the boxes, and a class keeps no pixel outside its own.

    Args:
        image: RGB, as stored (not normalised).
        boxes, classes: as for :func:`filled_boxes`.
        crf: parameters of the dense CRF.
        inside: see :func:`box_unary`.

    Returns:
        The labels, 0 outside every box, on the device of ``image``.

    Raises:
        ValueError: as :func:`box_unary` and `bana.crf.dense.dense_crf`.
    """
    unary = box_unary(boxes, classes, *image.shape[-2:], inside)
    return _to_the_edges(image, boxes, classes, *unary, crf)


def grown_middles(
    image: UInt8[Tensor, "3 H W"],
    boxes: Float[Tensor, "K 4"],
    classes: Integer[Tensor, " K"],
    crf: CrfParameters = LABEL_CRF,
    middle: float = MIDDLE,
) -> UInt8[Tensor, "H W"]:
    """Label the middle of every box, and let the dense CRF find how far its object reaches.

    The idea of WSSL's labels from boxes (Papandreou et al. 2015), which the paper's Table 1
    compares with: the middle of a box is surely its object, outside of all boxes is surely
    background, and in between nothing is said. The CRF and its parameters are those of the other
    labels here, not WSSL's.

    Args:
        image, boxes, classes, crf: as for :func:`refined_boxes`.
        middle: see :func:`middle_unary`.

    Returns:
        The labels, 0 outside every box, on the device of ``image``.

    Raises:
        ValueError: as :func:`middle_unary` and `bana.crf.dense.dense_crf`.
    """
    unary = middle_unary(boxes, classes, *image.shape[-2:], middle)
    return _to_the_edges(image, boxes, classes, *unary, crf)


def _to_the_edges(
    image: UInt8[Tensor, "3 H W"],
    boxes: Float[Tensor, "K 4"],
    classes: Integer[Tensor, " K"],
    probabilities: Float[Tensor, "channels H W"],
    channels: Integer[Tensor, " channels"],
    crf: CrfParameters,
) -> UInt8[Tensor, "H W"]:
    """The most probable class after the CRF, of those that have a box at the pixel.

    Args:
        image, boxes, classes, crf: as for :func:`refined_boxes`.
        probabilities, channels: of :func:`box_unary` or :func:`middle_unary`.
    """
    scores = dense_crf(image, probabilities.to(image.device), crf).q
    covered = class_masks(boxes, classes, channels[1:], *image.shape[1:]).to(image.device)
    scores = torch.cat([scores[:1], scores[1:] * covered])
    return channels.to(image.device)[scores.max(0).indices].to(torch.uint8)


def middle_unary(
    boxes: Float[Tensor, "K 4"],
    classes: Integer[Tensor, " K"],
    height: int,
    width: int,
    middle: float = MIDDLE,
) -> tuple[Float[Tensor, "channels {height} {width}"], Integer[Tensor, " channels"]]:
    """Probabilities that are sure of the middle of a box and of the outside of all, and no more.

    The middle has the shape of the box and ``middle`` of its area. Its class has 1 there; where
    middles overlap the one of the smaller box wins, as in :func:`filled_boxes`. Outside every box
    background has 1. In between, background and the classes that have a box at the pixel have the
    same.

    Args:
        boxes, classes, height, width: as for :func:`filled_boxes`.
        middle: share of a box's area, above 0 and at most 1.

    Returns:
        As :func:`box_unary`.

    Raises:
        ValueError: as :func:`filled_boxes`, and if ``middle`` is out of its range.
    """
    if not 0 < middle <= 1:
        raise ValueError(f"middle must be above 0 and at most 1, got {middle}")
    _check(boxes, classes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]) / 2 * middle**0.5
    middles = torch.cat([centres - halves, centres + halves], 1)
    certain = filled_boxes(middles, classes, height, width)
    possible, channels = _possible(boxes, classes, height, width)
    undecided = possible / possible.sum(0)
    sure = channels[:, None, None] == certain
    return torch.where(certain > 0, sure.to(undecided), undecided), channels


def _possible(
    boxes: Float[Tensor, "K 4"], classes: Integer[Tensor, " K"], height: int, width: int
) -> tuple[Bool[Tensor, "channels {height} {width}"], Integer[Tensor, " channels"]]:
    """Where background, which may be anywhere, and the classes of the boxes may be."""
    wanted = torch.unique(classes).to(boxes.device)  # [C], sorted
    covered = class_masks(boxes, classes.to(boxes.device), wanted, height, width)  # [C, H, W]
    everywhere = covered.new_ones(1, height, width)
    return torch.cat([everywhere, covered]), torch.cat([wanted.new_zeros(1), wanted])


def box_unary(
    boxes: Float[Tensor, "K 4"],
    classes: Integer[Tensor, " K"],
    height: int,
    width: int,
    inside: float = INSIDE,
) -> tuple[Float[Tensor, "channels {height} {width}"], Integer[Tensor, " channels"]]:
    """Probabilities that say of a pixel in which boxes it lies, and nothing more.

    Inside a box the class that :func:`filled_boxes` gives the pixel has ``inside``. The rest is
    shared equally by background and the other classes that have a box there. Outside every box
    background has 1. So the most probable classes are the boxes filled, and nowhere is a pixel
    of a box more probable than another.

    Args:
        boxes, classes, height, width: as for :func:`filled_boxes`.
        inside: above .5 and below 1.

    Returns:
        The probabilities, each pixel's sum 1, and the classes of their channels, background
        first, the others ascending; on the device of ``boxes``.

    Raises:
        ValueError: as :func:`filled_boxes`, and if ``inside`` is out of its range.
    """
    if not 0.5 < inside < 1:
        raise ValueError(f"inside must be above .5 and below 1, got {inside}")
    filled = filled_boxes(boxes, classes, height, width)
    possible, channels = _possible(boxes, classes, height, width)
    chosen = channels[:, None, None] == filled  # one channel at every pixel
    others = possible & ~chosen
    rest = (1 - inside) / others.sum(0).clamp_min(1)  # [H, W]
    probabilities = torch.where(chosen, inside, others * rest)
    return torch.where(filled > 0, probabilities, chosen.to(probabilities)), channels


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
    for k in largest_first(boxes):
        inside = np.zeros((height, width), dtype=bool)
        inside[pixels_of(boxes[k])] = True
        foreground = _foreground(pixels, inside, iterations, seed)
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
