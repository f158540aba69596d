"""Causes of bad labels are measured on boxes and masks; what they cost has an interval."""

import pytest
import torch

from bana.evaluation.miou import class_areas, mean_iou
from bana.experiment.exhibits.failures import CAUSES, _cost


def item(boxes, labels, mask):
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "labels": torch.tensor(labels),
        "mask": torch.tensor(mask, dtype=torch.uint8),
    }


ONE = item([[0, 0, 4, 2]], [1], [[1, 1, 255, 0, 0, 0], [1, 0, 0, 0, 0, 0]])
TWO = item([[0, 0, 4, 2], [2, 0, 6, 2]], [1, 2], [[1, 1, 2, 2, 2, 2], [1, 1, 2, 2, 2, 2]])
A = torch.tensor([[0.5, 0.1, 0.9, 0.0, 1, 1], [0.3, 0.0, 0.0, 0.0, 1, 1]])


@pytest.mark.parametrize(
    ("cause", "one", "two"),
    [
        ("full", 100 * 8 / 12, 100 * 8 / 12),
        ("ground", 0.3, float(A.mean())),
        ("crowd", 1, 2),
        ("empty", 100 * 4 / 7, 50),
        ("overlap", 0, 100 * 4 / 12),
    ],
)
def test_how_much_of_a_cause_an_image_has(cause, one, two):
    assert CAUSES[cause].measure(ONE, A) == pytest.approx(one, abs=1e-5)
    assert CAUSES[cause].measure(TWO, A) == pytest.approx(two, abs=1e-5)
    assert "{" not in CAUSES[cause].unit.format(one)


def test_the_cost_is_the_difference_of_the_two_groups_mious():
    drawn = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 3, (6, 8, 8), generator=drawn)
    labels = torch.where(torch.rand(6, 8, 8, generator=drawn) < 0.3, 0, masks)
    labels[:2] = 0  # what has the cause is labelled badly
    areas = torch.stack(
        [class_areas(label, mask, 3) for label, mask in zip(labels, masks, strict=True)]
    )
    has_it = torch.tensor([True, True, False, False, False, False])
    made = _cost(areas, has_it)
    expected = mean_iou(areas[:2].sum(0)) - mean_iou(areas[2:].sum(0))
    assert made["value"] == pytest.approx(float(expected))
    assert made["low"] <= made["value"] <= made["high"] < 0


def test_where_all_images_have_it_there_is_no_cost():
    areas = torch.ones(3, 2, 2, dtype=torch.int64)
    assert _cost(areas, torch.tensor([True, True, True])) is None
