"""Colours of label images, and label images as colours: arrays in, arrays out."""

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray

from bana.data.voc import IGNORE, PALETTE

OKABE_ITO: dict[str, str] = {
    "orange": "#E69F00",
    "sky blue": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#6C6C6C",
}
"""Okabe and Ito's colours, told apart by readers of every colour vision; grey for their black.

A grey of the brightness of the others, such as #999999, is the purple without the middle cones.
"""

CLASS_COLOURS: tuple[str, ...] = (
    *(colour for name, colour in OKABE_ITO.items() if name != "grey"),
    "#B4F0B4",
)
"""Colours of classes; pale green for the grey, which cannot be seen over a grey ground."""

LINES: tuple[str, ...] = tuple(
    OKABE_ITO[name]
    for name in ("blue", "vermillion", "green", "orange", "purple", "sky blue", "grey")
)
"""Colours of lines and points on white, where yellow would not be seen."""

LOSS_COLOURS: dict[str, str] = {
    "cross-entropy": OKABE_ITO["blue"],
    "crf": OKABE_ITO["blue"],
    "ret": OKABE_ITO["sky blue"],
    "ignore": OKABE_ITO["grey"],
    "nal": OKABE_ITO["vermillion"],
    "nal-detached": OKABE_ITO["orange"],
    "truth": OKABE_ITO["green"],
    "entropy": OKABE_ITO["purple"],
    "bootstrap": "black",
}
LOSS_COLOURS |= {
    "generalised": LOSS_COLOURS["crf"],
    "symmetric": LOSS_COLOURS["crf"],
    "nal-per-class": LOSS_COLOURS["nal"],
}
"""One colour a loss, the same in every figure; variants of a loss have its colour and a marker of
their own."""

BACKGROUND_COLOUR = (28, 32, 38)

ArrayLike = torch.Tensor | NDArray


def _rgb(colour: str) -> list[int]:
    return [round(255 * part) for part in matplotlib.colors.to_rgb(colour)]


def label_palette(classes: int) -> NDArray[np.uint8]:
    """Colours of a label image: `CLASS_COLOURS` for up to eight object classes, else VOC's own.

    Args:
        classes: number of object classes L, without background.

    Returns:
        uint8 [256, 3] RGB; row 0 is nearly black (VOC: black), row 255 white, "ignore".

    Raises:
        ValueError: fewer than one class or more than 254.
    """
    if not 1 <= classes <= 254:
        raise ValueError(f"classes must be in 1..254, got {classes}")
    if classes <= len(CLASS_COLOURS):
        colours = [BACKGROUND_COLOUR, *map(_rgb, CLASS_COLOURS)]
        palette = np.full((256, 3), 128, dtype=np.uint8)
        palette[: len(colours)] = colours
    else:
        palette = PALETTE.copy()
    palette[IGNORE] = 255
    return palette


def to_rgb(image: ArrayLike) -> NDArray[np.uint8]:
    """Bring an image into matplotlib's order of axes.

    Args:
        image: uint8 [3, H, W] tensor (any device) or uint8 [H, W, 3] array, RGB.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: another dtype or shape.
    """
    if isinstance(image, torch.Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"image must be [3, H, W], got {list(image.shape)}")
        image = image.detach().cpu().permute(1, 2, 0).numpy()
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    return image


def as_plane(values: ArrayLike, name: str) -> NDArray:
    """One [H, W] array on the CPU.

    Args:
        values: numbers [H, W], or with leading axes of length 1, which are dropped.
        name: name used in the error.

    Returns:
        [H, W], of the dtype it had.

    Raises:
        ValueError: there are more axes, or fewer.
    """
    array = (
        values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    )
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise ValueError(f"{name} must be [H, W], got {list(array.shape)}")
    return array


def colour_mask(mask: ArrayLike, palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn class indices into colours.

    Args:
        mask: integers 0..255 [H, W].
        palette: uint8 [256, 3] RGB, of `label_palette`.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: the mask is not [H, W].
    """
    return palette[as_plane(mask, "mask").astype(np.int64)]


def _of_one_size(image: ArrayLike, mask: ArrayLike, name: str) -> tuple[NDArray[np.uint8], NDArray]:
    """An image [H, W, 3] and a mask [H, W] that belong together."""
    rgb, plane = to_rgb(image), as_plane(mask, name)
    if rgb.shape[:2] != plane.shape:
        raise ValueError(f"image is {rgb.shape[:2]}, {name} {plane.shape} (height, width)")
    return rgb, plane


def overlay(
    image: ArrayLike, mask: ArrayLike, palette: NDArray[np.uint8], alpha: float = 0.6
) -> NDArray[np.uint8]:
    """Lay the colours of a label image over the photograph; background stays the photograph.

    Args:
        image: uint8 [3, H, W] tensor or [H, W, 3] array, RGB.
        mask: integers 0..255 [H, W]; 255 is laid over in white.
        palette: uint8 [256, 3] RGB.
        alpha: weight of the colour, 0..1.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: image and mask differ in size.
    """
    rgb, labels = _of_one_size(image, mask, "mask")
    mixed = (1 - alpha) * rgb + alpha * colour_mask(labels, palette)
    return np.where(labels[..., None] == 0, rgb, np.rint(mixed)).astype(np.uint8)


def cut_out(
    image: ArrayLike, kept: ArrayLike, marked: ArrayLike | None = None
) -> NDArray[np.uint8]:
    """The photograph where a mask holds, dark and grey elsewhere.

    Args:
        image: uint8 [3, H, W] tensor or [H, W, 3] array, RGB.
        kept: [H, W]; what is not 0 stays as it is.
        marked: [H, W]; what is not 0 is painted orange.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: image and mask differ in size.
    """
    rgb, mask = _of_one_size(image, kept, "kept")
    dark = np.rint(0.25 * rgb.mean(axis=2, keepdims=True))
    result = np.where(mask[..., None] != 0, rgb, dark).astype(np.uint8)
    if marked is not None:
        result[as_plane(marked, "marked") != 0] = _rgb(OKABE_ITO["orange"])
    return result


def mark_unreliable(
    y_crf: ArrayLike, y_ret: ArrayLike, palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Show `y_crf` with the pixels where `y_ret` says otherwise, the paper's ~S, in white.

    Args:
        y_crf: integers 0..255 [H, W].
        y_ret: integers 0..255 [H, W].
        palette: uint8 [256, 3] RGB.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: the two differ in size.
    """
    first, second = as_plane(y_crf, "y_crf"), as_plane(y_ret, "y_ret")
    if first.shape != second.shape:
        raise ValueError(f"y_crf is {first.shape}, y_ret {second.shape} (height, width)")
    return colour_mask(np.where(first == second, first, IGNORE), palette)
