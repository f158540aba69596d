"""Polygons filled again are the masks they were made of, by the field's own filling too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from skimage.draw import polygon2mask

from bana.evaluation.polygons import one_polygon, polygons

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)))


def filled(shapes: list[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Pixels whose centres lie in any of the polygons."""
    made = np.zeros(size, bool)
    for shape in shapes:
        made |= polygon2mask(size, shape[:, ::-1] - 0.5)
    return made


@given(mask=MASKS)
def test_filled_again_they_are_the_mask(mask: np.ndarray) -> None:
    assert np.array_equal(filled(polygons(mask), mask.shape), mask)
    if mask.any():
        assert np.array_equal(filled([one_polygon(mask)], mask.shape), mask)


@given(mask=MASKS)
def test_coco_fills_them_to_the_mask(mask: np.ndarray) -> None:
    # One pixel is a lozenge of four corners, which COCO's own filling keeps too.
    shapes = [shape.reshape(-1).tolist() for shape in polygons(mask)]
    if shapes:
        drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(shapes, *mask.shape)))
        assert np.array_equal(drawn.astype(bool), mask)


def test_a_rectangle_reaches_to_the_borders_of_its_pixels() -> None:
    mask = np.zeros((6, 9), bool)
    mask[1:4, 2:7] = True
    (shape,) = polygons(mask)
    assert shape.min(0).tolist() == [2, 1] and shape.max(0).tolist() == [7, 4]
    assert len(shape) == 8  # the four corners are cut off by half a pixel each
    assert np.array_equal(one_polygon(mask), shape)


def test_parts_and_holes() -> None:
    mask = np.zeros((20, 20), bool)
    mask[1:11, 1:11] = True
    mask[3:6, 3:6] = mask[8:9, 8:9] = False
    mask[15:18, 2:4] = True
    first, second = polygons(mask)
    assert first.min(0).tolist() == [1, 1] and second.min(0).tolist() == [2, 15]
    assert np.array_equal(filled([first], mask.shape)[:12], mask[:12])
    joined = one_polygon(mask)
    assert len(joined) == len(first) + len(second) + 2  # there and back


def test_pixels_that_touch_at_a_corner_are_two_parts() -> None:
    assert len(polygons(np.eye(2, dtype=bool))) == 2


def test_no_pixel_is_no_polygon() -> None:
    empty = np.zeros((3, 4), bool)
    assert polygons(empty) == [] and one_polygon(empty).shape == (0, 2)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (5, 5)], ids=str)
def test_a_full_mask_stays_in_the_image(size: tuple[int, int]) -> None:
    (shape,) = polygons(np.ones(size, bool))
    assert shape.min() == 0 and shape.max(0).tolist() == [size[1], size[0]]
