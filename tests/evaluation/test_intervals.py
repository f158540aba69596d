"""Intervals of scores and differences: against loops, and against theory."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import mean_iou
from bana.evaluation.verdicts import stated, verdict

N_CLASSES = 4


def random_areas(seed: int, seeds: int = 3, images: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    union = torch.randint(50, 100, (seeds, images, N_CLASSES), generator=generator)
    inside = (union * torch.rand(union.shape, generator=generator)).long()
    return torch.stack([inside, union], -1)


def test_difference_is_the_mean_over_seeds_of_whole_scores() -> None:
    first, second = random_areas(0), random_areas(1)
    by_hand = []
    for seed in range(3):
        scores = []
        for side in (first, second):
            classes = []
            for c in range(N_CLASSES):
                inside = sum(int(side[seed, n, c, 0]) for n in range(40))
                union = sum(int(side[seed, n, c, 1]) for n in range(40))
                classes.append(100 * inside / union)
            scores.append(sum(classes) / N_CLASSES)
        by_hand.append(scores[0] - scores[1])
    found = paired_difference(first, second)
    assert found.mean == pytest.approx(sum(by_hand) / 3)
    assert found.low < found.mean < found.high


def test_a_side_against_itself_differs_by_nothing() -> None:
    areas = random_areas(0)
    assert paired_difference(areas, areas) == (0, 0, 0)


def test_pairs_are_drawn_together() -> None:
    """A gain that every image shows is told apart, however much the images differ."""
    first = random_areas(0)
    second = first.clone()
    second[..., 0] = (second[..., 0] - 1).clamp_min(0)
    found = paired_difference(first, second)
    assert verdict(found) == "higher"
    apart = paired_difference(first, second.flip(1))
    assert apart.high - apart.low > 5 * (found.high - found.low)


def test_seeds_widen_the_interval() -> None:
    same = random_areas(0, seeds=1).expand(4, -1, -1, -1)
    other = same.clone()
    other[:2, ..., 0] = (other[:2, ..., 0] * 0.5).long()
    other[2:, ..., 0] = other[2:, ..., 1]
    found = paired_difference(same, other)
    one_seed = paired_difference(same[:1], other[:1])
    assert verdict(one_seed) != "not told apart" and verdict(found) == "not told apart"


def test_each_resample_draws_as_many_seeds_as_there_are() -> None:
    first, second = random_areas(0), random_areas(1)
    assert first.shape[:2] == (3, 40)
    generator = torch.Generator().manual_seed(7)
    images = torch.randint(40, (50, 40), generator=generator).tolist()
    seeds = torch.randint(3, (50, 3), generator=generator).tolist()
    differences = []
    for drawn, chosen in zip(images, seeds, strict=True):
        scores = [mean_iou(side[c][drawn].sum(0)) for side in (first, second) for c in chosen]
        differences.append(float(sum(scores[:3]) - sum(scores[3:])) / 3)
    found = paired_difference(first, second, resamples=50, seed=7)
    assert found[1:] == pytest.approx(np.quantile(differences, [0.025, 0.975]).tolist())


def test_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Of differences of two equal methods about 95 % of the intervals hold 0."""
    held = 0
    for trial in range(100):
        found = paired_difference(
            random_areas(2 * trial, seeds=1), random_areas(2 * trial + 1, seeds=1), resamples=200
        )
        held += found.low <= 0 <= found.high
    assert 85 <= held <= 99


def test_a_class_that_occurs_nowhere_does_not_count() -> None:
    areas = random_areas(0)
    areas[:, :, 2] = 0
    found = paired_difference(areas, random_areas(1) * torch.tensor([1, 1, 0, 1])[:, None])
    assert all(map(math.isfinite, found))


def test_draws_of_images_that_have_no_score_are_left_out() -> None:
    first, second = torch.zeros(2, 1, 3, 2, 2, dtype=torch.int64)
    first[0, 0], second[0, 0] = torch.tensor([[9, 10], [7, 10]]), torch.tensor([[5, 10], [5, 10]])
    assert paired_difference(first, second) == pytest.approx((30, 30, 30))
    assert stated(paired_difference(first, first)) == "+0.0 [+0.0, +0.0], not told apart"


def test_sides_without_a_score_are_said_to_have_none() -> None:
    found = paired_difference(random_areas(0), torch.zeros_like(random_areas(0)))
    assert all(map(math.isnan, found))
    assert stated(found) == "not scored" and verdict(found) == "not told apart"


def test_same_seed_same_interval() -> None:
    first, second = random_areas(0), random_areas(1)
    assert paired_difference(first, second) == paired_difference(first, second)
    assert paired_difference(first, second) != paired_difference(first, second, seed=1)


@pytest.mark.parametrize("shape", [(2, 40, 4, 2), (3, 39, 4, 2), (40, 4, 2), (0, 40, 4, 2)])
def test_refuses_what_are_no_pairs(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="areas"):
        paired_difference(random_areas(0), torch.ones(shape, dtype=torch.int64))


def test_refuses_to_draw_nothing() -> None:
    areas = random_areas(0)
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        paired_difference(areas, areas, resamples=0)
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        estimate(areas[0], mean_iou, resamples=0)


def share(sums: Tensor) -> Tensor:
    return 100 * sums[:, 0] / sums.sum(1)


def test_estimate_is_the_score_of_the_sum_and_its_interval_that_of_theory() -> None:
    # Shares of coins: one flip an image, so that the interval is that of a binomial share.
    generator = torch.Generator().manual_seed(0)
    heads = (torch.rand(400, generator=generator) < 0.3).long()
    made = estimate(torch.stack([heads, 1 - heads], 1), share, resamples=4000)
    expected = 100 * float(heads.double().mean())
    assert made.value == pytest.approx(expected)
    half = 1.96 * math.sqrt(expected * (100 - expected) / 400)
    assert made.low == pytest.approx(expected - half, abs=0.4)
    assert made.high == pytest.approx(expected + half, abs=0.4)
    assert estimate(torch.stack([heads, 1 - heads], 1), share, resamples=4000) == made


def test_estimate_of_a_pair_of_areas_is_the_paired_difference() -> None:
    first, second = (random_areas(seed, seeds=1) for seed in (0, 1))
    both = torch.stack([first[0], second[0]], 1)  # [N, 2, L + 1, 2]
    made = estimate(both, lambda sums: mean_iou(sums[:, 0]) - mean_iou(sums[:, 1]), 4000)
    expected = paired_difference(first, second, 4000)
    assert made == pytest.approx(expected, abs=0.15)
    assert made.value == pytest.approx(expected.mean)


def test_estimate_of_nothing_is_none_and_of_too_little_leaves_draws_out() -> None:
    assert estimate(torch.zeros(5, 2), share) is None
    rare = torch.zeros(5, 2)
    rare[0, 0] = 3
    assert estimate(rare, share) == (100, 100, 100)
    with pytest.raises(ValueError, match="no image to score"):
        estimate(torch.zeros(0, 2), share)
