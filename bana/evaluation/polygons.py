"""Masks as polygons, for formats that hold nothing else; filled again they are the same masks.

A polygon runs between the centres of the pixels inside and those outside, in half-open pixels: the
left upper pixel of an image covers [0, 1) x [0, 1). A polygon through the centres of the outermost
pixels, as contour followers give it, would be half a pixel too small all around.
"""

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours, label, regionprops

Polygon = NDArray[np.float64]
"""Corners x, y, float [N, 2], in order, the first one not repeated."""


def polygons(mask: NDArray[np.bool_]) -> list[Polygon]:
    """The outline of every part of a mask, its holes joined to it by slits of no width.

    Args:
        mask: [H, W]. Pixels that touch at a corner alone are two parts.

    Returns:
        One polygon a part, from the largest to the smallest; none for an empty mask.
    """
    parts = regionprops(label(mask, connectivity=1))
    parts.sort(key=lambda part: -part.area)
    return [_outline(part.image) + part.bbox[1::-1] for part in parts]


def one_polygon(mask: NDArray[np.bool_]) -> Polygon:
    """All parts of a mask as one polygon, joined by lines there and back that hold no area.

    Args:
        mask: [H, W].

    Returns:
        The polygon; no corners for an empty mask.
    """
    parts = polygons(mask)
    joined = parts[0] if parts else np.zeros((0, 2))
    for part in parts[1:]:
        joined = _joined(joined, part)
    return joined


def _outline(part: NDArray[np.bool_]) -> Polygon:
    """The outline of one part in its own rectangle, holes joined."""
    found = find_contours(np.pad(part, 1).astype(np.float64), 0.5)
    # Rows and columns of centres, one pixel further on for the padding; x, y of corners.
    rings = [_without_needless(ring[:-1, ::-1] - 0.5) for ring in found]
    rings.sort(key=_area, reverse=True)
    outline, *holes = rings
    for hole in holes:
        outline = _joined(outline, hole)
    return outline


def _area(ring: Polygon) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _without_needless(ring: Polygon) -> Polygon:
    """Without the corners that lie on a straight line."""
    before, after = ring - np.roll(ring, 1, 0), np.roll(ring, -1, 0) - ring
    return ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def _joined(first: Polygon, second: Polygon) -> Polygon:
    """Two rings as one: along the first, over to the second where they are near, and back."""
    squares = ((first[:, None] - second[None]) ** 2).sum(2)
    i, j = np.unravel_index(int(squares.argmin()), squares.shape)
    around = np.concatenate([second[j:], second[: j + 1]])
    return np.concatenate([first[: i + 1], around, first[i:]])
