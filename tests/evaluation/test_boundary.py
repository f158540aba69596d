"""Boundary IoU against loops over pixels, and against squares counted by hand."""

import math

import pytest
import torch
from boundaries import score_boundaries
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bana.evaluation.boundary import (
    boundary_areas,
    boundary_region,
    boundary_width,
)

N_CLASSES = 3
IGNORE = 255


def naive_region(label: list[list[int]], c: int, ignored: set, d: int) -> set[tuple[int, int]]:
    """Pixels of class c with a pixel of something else, or the border, at most d steps away."""
    height, width = len(label), len(label[0])
    region = set()
    for y in range(height):
        for x in range(width):
            if (y, x) in ignored or label[y][x] != c:
                continue
            for v in range(y - d, y + d + 1):
                for u in range(x - d, x + d + 1):
                    beyond = not (0 <= v < height and 0 <= u < width)
                    if beyond or ((v, u) not in ignored and label[v][u] != c):
                        region.add((y, x))
    return region


def naive(pairs: list[tuple[Tensor, Tensor]], ignored: str) -> tuple[float, ...]:
    """Boundary IoU a class, with sets of pixels."""
    both, either = [0] * N_CLASSES, [0] * N_CLASSES
    for labels, mask in pairs:
        said, true = labels.tolist(), mask.tolist()
        places = [(y, x) for y in range(len(true)) for x in range(len(true[0]))]
        out = {(y, x) for y, x in places if true[y][x] == IGNORE}
        if ignored == "dropped":
            out |= {(y, x) for y, x in places if said[y][x] == IGNORE}
        d = max(1, round(0.02 * math.sqrt(len(true) ** 2 + len(true[0]) ** 2)))
        for c in range(N_CLASSES):
            one, other = (naive_region(m, c, out, d) for m in (said, true))
            both[c] += len(one & other)
            either[c] += len(one | other)
    return tuple(100 * b / e if e else math.nan for b, e in zip(both, either, strict=True))


def blobs(seed: int, height: int, width: int, ignored: float) -> Tensor:
    """Random label map of coarse pieces, with a share of pixels 255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(N_CLASSES, (1, 1, 3, 4), generator=generator).float()
    label = torch.nn.functional.interpolate(coarse, size=(height, width))[0, 0].byte()
    return label.masked_fill(torch.rand(height, width, generator=generator) < ignored, IGNORE)


@pytest.mark.parametrize("ignored", ["dropped", "wrong"])
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    share=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_scores_are_those_of_sets_of_pixels(ignored, seed, size, share) -> None:
    pairs = [
        (blobs(seed + 2 * i, *size, share), blobs(seed + 2 * i + 1, *size, share / 2))
        for i in range(2)
    ]
    made = score_boundaries(pairs, N_CLASSES, ignored)
    expected = naive(pairs, ignored)
    assert made.per_class == pytest.approx(expected, nan_ok=True)
    seen = [value for value in expected if not math.isnan(value)]
    mean = sum(seen) / len(seen) if seen else math.nan
    assert made.miou == pytest.approx(mean, nan_ok=True)


@pytest.mark.parametrize("ignored", ["dropped", "wrong"])
def test_areas_of_images_add_up_to_the_score(ignored: str) -> None:
    pairs = [(blobs(2 * i, 30, 40, 0.05), blobs(2 * i + 1, 30, 40, 0.05)) for i in range(3)]
    areas = torch.stack([boundary_areas(*pair, N_CLASSES, ignored) for pair in pairs])
    assert areas.shape == (3, N_CLASSES, 2) and (areas[..., 0] <= areas[..., 1]).all()
    inside, union = areas.sum(0).double().unbind(1)
    assert (100 * inside / union).tolist() == pytest.approx(naive(pairs, ignored))
    with pytest.raises(ValueError, match="differ"):
        boundary_areas(pairs[0][0], pairs[0][1][1:], N_CLASSES)
    with pytest.raises(ValueError, match="dropped or wrong, got 'dropp'"):
        boundary_areas(*pairs[0], N_CLASSES, "dropp")


def test_wider_regions_against_sets_of_pixels() -> None:
    pairs = [(blobs(0, 60, 90, 0.02), blobs(1, 60, 90, 0.05))]
    assert boundary_width(60, 90) == 2
    for ignored in ("dropped", "wrong"):
        made = score_boundaries(pairs, N_CLASSES, ignored)
        assert made.per_class == pytest.approx(naive(pairs, ignored))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.tuples(st.integers(1, 80), st.integers(1, 80)))
def test_identical_maps_score_100_and_order_does_not_matter(seed, size) -> None:
    one, other = blobs(seed, *size, 0.1), blobs(seed + 1, *size, 0.1)
    # Even where the labels say something inside the pixels that the mask ignores.
    filled = one.masked_fill(one == IGNORE, 1)
    for labels in (one, filled):
        same = score_boundaries([(labels, one)], N_CLASSES)
        assert all(value == 100 or math.isnan(value) for value in same.per_class)
    forth = score_boundaries([(one, other)], N_CLASSES)
    back = score_boundaries([(other, one)], N_CLASSES)
    assert forth.per_class == pytest.approx(back.per_class, nan_ok=True)


def square(top: int, left: int, side: int = 10, size: int = 40) -> Tensor:
    label = torch.zeros(size, size, dtype=torch.uint8)
    label[top : top + side, left : left + side] = 1
    return label


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (300, 400, 10),
        (400, 300, 10),
        (480, 640, 16),
        (375, 500, 12),
        (9, 1999, 40),
        (168, 224, 6),
        (25, 25, 1),
        (1, 1, 1),
    ],
)
def test_width_is_2_percent_of_the_diagonal(height: int, width: int, expected: int) -> None:
    assert boundary_width(height, width) == expected


def test_shifted_square_by_hand() -> None:
    """d is 1: the region of a 10 x 10 square is its ring of 36 pixels.

    Shifted by one column, top and bottom rows share 9 pixels each, and the left and right columns
    meet nothing new: 18 of 36 + 36 - 18.
    """
    assert boundary_width(40, 40) == 1
    scores = score_boundaries([(square(10, 11), square(10, 10))], 2)
    assert scores.per_class[1] == pytest.approx(100 * 18 / 54)
    # Around the square the background's ring has 44 pixels, and the image's border 156.
    shared = 2 * 11  # the rows above and below
    assert scores.per_class[0] == pytest.approx(100 * (156 + shared) / (156 + 2 * 44 - shared))
    assert scores.miou == pytest.approx(sum(scores.per_class) / 2)


def test_ignored_pixels_make_no_boundary() -> None:
    mask = square(5, 5, 30)
    mask[18:22, 18:22] = IGNORE  # a hole that nobody evaluates
    whole = score_boundaries([(square(5, 5, 30), square(5, 5, 30))], 2)
    holed = score_boundaries([(square(6, 5, 30), mask)], 2)
    plain = score_boundaries([(square(6, 5, 30), square(5, 5, 30))], 2)
    assert whole.miou == 100 and holed == plain


@pytest.mark.parametrize(("first", "last", "seen"), [(45, 46, True), (43, 47, False)])
def test_outline_hides_no_more_than_its_own_width(first: int, last: int, seen: bool) -> None:
    """A white outline narrower than d leaves a boundary on its two sides; a wider one does not."""
    mask = torch.zeros(60, 90, dtype=torch.uint8)
    mask[:, 45:] = 1
    mask[:, first:last] = IGNORE
    ignored = (mask == IGNORE).numpy()
    for c, beside in ((0, slice(30, 45)), (1, slice(45, 60))):
        region = boundary_region((mask == c).numpy(), ignored, 2)
        assert region[2:58, beside].any() == seen  # the border's own boundary left aside


def test_classes_without_a_boundary_are_nan() -> None:
    scores = score_boundaries([(square(5, 5), square(5, 5))], 4)
    assert scores.per_class == pytest.approx((100, 100, math.nan, math.nan), nan_ok=True)
    assert scores.miou == 100
    nothing = torch.full((4, 4), IGNORE, dtype=torch.uint8)
    assert math.isnan(score_boundaries([(nothing, nothing)], 2).miou)


def test_sums_are_over_the_data_set() -> None:
    pairs = [(square(10, 11), square(10, 10)), (square(3, 3), square(3, 3))]
    assert score_boundaries(iter(pairs), 2).per_class[1] == pytest.approx(100 * 54 / 90)


def test_what_cannot_be_scored_is_refused_and_inputs_stay() -> None:
    one = square(1, 1)
    before = one.clone()
    with pytest.raises(ValueError, match="dropped or wrong, got 'kept'"):
        score_boundaries([(one, one)], 2, "kept")
    with pytest.raises(ValueError, match=r"\(40, 40\) and mask \(40, 39\) differ"):
        score_boundaries([(one, one[:, 1:])], 2)
    score_boundaries([(one, one)], 2)
    assert torch.equal(one, before)
