"""The background bias: what it labels, how that is counted, and which one is chosen."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bana.evaluation.bias import BIASES, best_bias, bias_areas, biased_labels
from bana.evaluation.miou import class_areas


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
    close = probabilities[:1].expand(classes, -1, -1).clone()
    close[1] = torch.nextafter(close[1], torch.tensor(1.0))  # a lead that a logarithm would lose
    assert (biased_labels(close, 0.0) == 1).all()


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


def test_the_best_is_that_of_the_classes_over_all_images() -> None:
    """Neither the mean over images nor the share of right pixels chooses as mIoU does."""
    biases = (-2.0, 0.0, 1.0)
    areas = torch.tensor(
        [  # images, biases, classes, and of each class intersection and union
            [[[1, 10], [9, 10]], [[9, 10], [1, 10]], [[9, 10], [0, 10]]],
            [[[300, 1000], [5, 10]], [[300, 1000], [9, 10]], [[900, 1000], [0, 10]]],
        ]
    )
    iou = areas.sum(0).double()
    assert (iou[..., 0] / iou[..., 1]).mean(1).argmax() == 0
    assert best_bias(areas, biases) == -2.0
    by_image = (areas[..., 0] / areas[..., 1]).mean((0, 2))
    assert biases[by_image.argmax()] == 0.0
    assert biases[areas[..., 0].sum((0, 2)).argmax()] == 1.0


@pytest.mark.parametrize(
    ("inside", "chosen"), [([8, 2, 8], 1.0), ([1, 1, 1], 0.0), ([0, 0, 0], 0.0)]
)
def test_of_equals_the_nearest_to_none(inside: list[int], chosen: float) -> None:
    areas = torch.tensor([[[[n, 10]] for n in inside]])
    assert best_bias(areas, (-2.0, 0.0, 1.0)) == chosen
    assert best_bias(torch.zeros_like(areas), (-2.0, 0.0, 1.0)) == 0.0


def test_a_doubtful_pixel_pays_from_the_iou_on() -> None:
    """At an IoU of J a pixel pays if its class is more than J times as likely as background."""
    inside, union, iou = 400_000.0, 1_000_000.0, 0.4
    background = torch.tensor([9e8, 1e9], dtype=torch.float64)  # beside which it is nothing

    def gain(p_class: float, p_background: float) -> float:
        """Expected gain in mIoU of calling the pixel by the class and not background."""
        called = (inside + p_class) / (union + p_background)
        other = (background[0] - p_background) / (background[1] - p_class)
        return float(called + other - inside / union - background[0] / background[1])

    assert gain(1.05 * iou * 0.5, 0.5) > 0 > gain(0.95 * iou * 0.5, 0.5)
    pixel = torch.tensor([0.5, 1.05 * iou * 0.5, 0.1])[:, None, None]
    assert biased_labels(pixel, math.log(iou)).item() == 1
    pixel[1] = 0.95 * iou * 0.5
    assert biased_labels(pixel, math.log(iou)).item() == 0
