"""Scores against unions counted pixel by pixel."""

import math
from collections.abc import Callable

import pytest
import torch
from boundaries import score_boundaries
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bana.evaluation.miou import Scores, class_areas, score_labels

N_CLASSES = 4


def byte(rows: list[list[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.uint8)


def areas_of(pairs: list[tuple[Tensor, Tensor]], n_classes: int) -> list[Tensor]:
    return [class_areas(*pair, n_classes) for pair in pairs]


def counted(pairs: list[tuple[Tensor, Tensor]], ignored: str) -> Scores:
    """What `score_labels` promises, with loops and Python integers."""
    pixels = [
        (int(label), int(mask))
        for labels, masks in pairs
        for label, mask in zip(labels.flatten(), masks.flatten(), strict=True)
        if int(mask) != 255
    ]
    used = [p for p in pixels if ignored == "wrong" or p[0] != 255]
    per_class = []
    for c in range(N_CLASSES):
        both = sum(label == c and mask == c for label, mask in used)
        either = sum(label == c or mask == c for label, mask in used)
        per_class.append(100 * both / either if either else math.nan)
    seen = [value for value in per_class if not math.isnan(value)]
    miou = sum(seen) / len(seen) if seen else math.nan
    return Scores(
        miou, tuple(per_class), 100 * sum(label != 255 for label, _ in pixels) / len(pixels)
    )


@st.composite
def small_pairs(draw) -> list[tuple[Tensor, Tensor]]:
    values = st.sampled_from([*range(N_CLASSES), 255])
    pairs = []
    for _ in range(draw(st.integers(1, 3))):
        height, width = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        count = height * width
        maps = draw(st.lists(values, min_size=2 * count, max_size=2 * count))
        pairs.append(tuple(torch.tensor(maps, dtype=torch.uint8).view(2, height, width)))
    return pairs


@pytest.mark.parametrize("ignored", ["dropped", "wrong"])
@settings(max_examples=40, deadline=None)
@given(pairs=small_pairs())
def test_scores_are_those_counted_pixel_by_pixel(pairs, ignored) -> None:
    if all((mask == 255).all() for _, mask in pairs):
        with pytest.raises(ValueError, match="no pixel"):
            score_labels(pairs, N_CLASSES, ignored)
        return
    scores, expected = score_labels(pairs, N_CLASSES, ignored), counted(pairs, ignored)
    assert scores.per_class == pytest.approx(expected.per_class, abs=1e-3, nan_ok=True)
    assert scores.miou == pytest.approx(expected.miou, abs=1e-3, nan_ok=True)
    assert scores.coverage == pytest.approx(expected.coverage)


@settings(max_examples=30, deadline=None)
@given(pairs=small_pairs())
def test_counting_unlabelled_pixels_wrong_never_scores_higher(pairs) -> None:
    if all((mask == 255).all() for _, mask in pairs):
        return
    dropped, wrong = (score_labels(pairs, N_CLASSES, kind) for kind in ("dropped", "wrong"))
    for lenient, severe in zip(dropped.per_class, wrong.per_class, strict=True):
        if math.isnan(lenient):  # absent, or unlabelled wherever it occurs
            assert math.isnan(severe) or severe == 0
        else:
            assert severe <= lenient
    assert dropped.coverage == wrong.coverage


def test_both_conventions_by_hand() -> None:
    labels = byte([[0, 0, 1, 255], [255, 2, 1, 0]])
    mask = byte([[0, 0, 1, 1], [0, 2, 2, 255]])
    # Dropped, of the five pixels labelled and evaluated: class 0 2/2, 1 1/2, 2 1/2.
    dropped = score_labels([(labels, mask)], 3)
    assert dropped.per_class == pytest.approx((100, 50, 50))
    assert dropped.miou == pytest.approx(200 / 3)
    # Wrong adds one miss to class 0 and one to class 1: 2/3, 1/3, 1/2.
    wrong = score_labels([(labels, mask)], 3, "wrong")
    assert wrong.per_class == pytest.approx((200 / 3, 100 / 3, 50))
    assert wrong.miou == pytest.approx(50)
    assert dropped.coverage == wrong.coverage == pytest.approx(500 / 7)


def test_one_matrix_for_the_whole_data_set() -> None:
    # Class 1 would get 75, the mean of 1 and 1 / 2, were images scored one by one.
    pairs = [(byte([[1, 1]]), byte([[1, 1]])), (byte([[1, 1, 1, 1]]), byte([[1, 1, 0, 0]]))]
    scores = score_labels(iter(pairs), 2)
    assert scores.per_class == pytest.approx((0, 200 / 3))
    assert scores.miou == pytest.approx(100 / 3)


@pytest.mark.parametrize("ignored", ["dropped", "wrong"])
def test_pixels_ignored_by_the_mask_never_count(ignored: str) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(N_CLASSES, (6, 7), generator=generator).byte()
    mask = torch.randint(N_CLASSES, (6, 7), generator=generator).byte()
    mask[:, 3:] = 255
    expected = score_labels([(labels[:, :3], mask[:, :3])], N_CLASSES, ignored)
    for value in (0, 1, 255):
        labels[:, 3:] = value
        assert score_labels([(labels, mask)], N_CLASSES, ignored) == expected


def test_absent_classes_are_nan_and_left_out_of_the_mean() -> None:
    labels = byte([[0, 0, 2, 2]])
    scores = score_labels([(labels, labels)], 4)
    assert scores.per_class == pytest.approx((100, math.nan, 100, math.nan), nan_ok=True)
    assert scores.miou == 100
    # A class that only the labels have does occur: it is wrong, not absent.
    invented = score_labels([(byte([[0, 0, 2, 3]]), labels)], 4)
    assert invented.per_class == pytest.approx((100, math.nan, 50, 0), nan_ok=True)
    assert invented.miou == pytest.approx(50)


def test_labels_that_say_nothing() -> None:
    mask, nothing = byte([[0, 1]]), byte([[255, 255]])
    dropped = score_labels([(nothing, mask)], 2)
    assert dropped.coverage == 0 and math.isnan(dropped.miou)
    assert score_labels([(nothing, mask)], 2, "wrong") == (0, (0, 0), 0)


def test_scoring_leaves_its_inputs_alone() -> None:
    labels, mask = byte([[0, 255, 1]]), byte([[255, 1, 1]])
    before = labels.clone(), mask.clone()
    score_labels([(labels, mask)], 2)
    assert torch.equal(labels, before[0]) and torch.equal(mask, before[1])


def test_what_cannot_be_scored_is_refused() -> None:
    labels = byte([[0, 1]])
    with pytest.raises(ValueError, match="dropped or wrong, got 'kept'"):
        score_labels([(labels, labels)], 2, "kept")
    with pytest.raises(ValueError, match="dropped or wrong, got 'kept'"):
        class_areas(labels, labels, 2, "kept")
    with pytest.raises(ValueError, match=r"\(1, 2\) and mask \(2, 1\) differ"):
        score_labels([(labels, labels.T)], 2)
    with pytest.raises(ValueError, match="no pixel to score"):
        score_labels([], 2)
    with pytest.raises(ValueError, match="no pixel to score"):
        score_labels([(labels, byte([[255, 255]]))], 2)


@pytest.mark.parametrize("found", [3, 7, 254])
@pytest.mark.parametrize("score", [score_labels, score_boundaries, areas_of])
def test_a_value_that_is_no_class_is_refused(score: Callable, found: int) -> None:
    good, bad = byte([[0, 2, 255]]), byte([[0, found, 255]])
    score([(good, good)], 3)
    with pytest.raises(ValueError, match=rf"^class {found} in labels: use 0\.\.2 and 255$"):
        score([(bad, good)], 3)
    with pytest.raises(ValueError, match=rf"^class {found} in mask: use 0\.\.2 and 255$"):
        score([(good, bad)], 3)
    with pytest.raises(ValueError, match="class -1 in labels"):
        score([(good.long() - 1, good)], 3)
    with pytest.raises(ValueError, match=r"mask must be whole numbers, got torch\.float32"):
        score([(good, good.float())], 3)
