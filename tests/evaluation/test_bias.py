"""The background bias: what it labels, how that is counted, and which one is chosen."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bana.evaluation.bias import BIASES, best_bias, bias_areas, biased_labels
from bana.evaluation.verdicts import class_areas


def drawn(classes: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(classes, 7, 9, generator=generator)).softmax(0)


def naive(probabilities: Tensor, bias: float) -> Tensor:
    """Pixel by pixel: the likeliest class, once background's odds are multiplied by e^b."""
    classes, height, width = probabilities.shape
    labels = torch.zeros(height, width, dtype=torch.uint8)
    for i in range(height):
        for j in range(width):
            scores = [float(probabilities[c, i, j]) for c in range(classes)]
            scores[0] *= math.exp(bias)
            labels[i, j] = scores.index(max(scores))
    return labels


@given(st.integers(2, 6), st.integers(0, 999), st.sampled_from(BIASES))
def test_it_multiplies_the_odds_of_background(classes: int, seed: int, bias: float) -> None:
    probabilities = drawn(classes, seed).double()
    before = probabilities.clone()
    labels = biased_labels(probabilities, bias)
    assert labels.dtype == torch.uint8 and torch.equal(probabilities, before)
    torch.testing.assert_close(labels, naive(probabilities, bias))


@given(st.integers(2, 6), st.integers(0, 999))
def test_none_is_the_argmax(classes: int, seed: int) -> None:
    probabilities = drawn(classes, seed)
    assert torch.equal(biased_labels(probabilities, 0.0), probabilities.argmax(0).byte())


def test_equals_go_to_background_and_certainty_stays() -> None:
    equal = torch.full((3, 1, 2), 1 / 3)
    assert biased_labels(equal, 0.0).tolist() == [[0, 0]]
    sure = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
    assert biased_labels(sure, -3.0).tolist() == [[1, 0]]
    assert biased_labels(sure, 1.0).tolist() == [[1, 0]]


def test_background_grows_with_it_and_objects_keep_their_class() -> None:
    probabilities = drawn(4, 1)
    maps = [biased_labels(probabilities, bias) for bias in BIASES]
    for fewer, more in zip(maps, maps[1:], strict=False):
        became = fewer != more
        assert (more[became] == 0).all()
    assert (maps[0] == 0).sum() < (maps[-1] == 0).sum()


def test_each_bias_is_counted_as_its_labels_are() -> None:
    probabilities, mask = drawn(4, 2), drawn(4, 3).argmax(0).byte()
    mask[0] = 255
    expected = [class_areas(biased_labels(probabilities, b), mask, 4) for b in (-1.0, 0.5)]
    assert torch.equal(bias_areas(probabilities, mask, (-1.0, 0.5)), torch.stack(expected))


@pytest.mark.parametrize(
    ("inside", "chosen"),
    [
        ([[5, 9, 7], [5, 0, 7]], 1.0),  # over both images: 10, 9, 14 of 20
        ([[8, 2, 8], [2, 2, 2]], 1.0),  # of equals the nearest to none
        ([[1, 1, 1], [1, 1, 1]], 0.0),
    ],
)
def test_the_best_is_that_of_all_images(inside: list[list[int]], chosen: float) -> None:
    areas = torch.tensor([[[[n, 10]] for n in image] for image in inside])
    assert best_bias(areas, (-2.0, 0.0, 1.0)) == chosen
