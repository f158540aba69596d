"""Filling rates of boxes, and the labels' IoU within them, against counts by hand."""

import pytest
import torch

from bana.experiment.exhibits.filling import EDGES, box_scores, class_between


def test_iou_of_a_box_is_that_of_its_class_within_it():
    mask = torch.zeros(4, 10, dtype=torch.uint8)
    mask[:2, :6] = 1  # 12 of the 24 pixels of the first box
    mask[:, 9] = 2
    mask[3, 0] = 255  # counts nowhere
    boxes = torch.tensor([[0.0, 0, 6, 4], [8.0, 0, 10, 4], [6.0, 0, 8, 4]])
    classes = torch.tensor([1, 2, 1])
    filled = torch.zeros(4, 10, dtype=torch.uint8)
    filled[:, :6], filled[:, 8:] = 1, 2
    half = mask.clone()
    half[0] = 0
    made = box_scores(boxes, classes, mask, {"boxes": filled, "bap": half})
    assert len(made) == 2, "the third box has no pixel of its class"
    (rate, ious), (second, second_ious) = made
    assert rate == pytest.approx(100 * 12 / 23)
    assert ious.tolist() == pytest.approx([100 * 12 / 23, 50])
    assert second == 50
    assert second_ious.tolist() == pytest.approx([50, 75])


def test_filled_boxes_have_their_rate_for_their_iou():
    mask = (torch.rand(20, 20, generator=torch.Generator().manual_seed(0)) > 0.4).byte()
    filled = torch.ones_like(mask)
    boxes, classes = torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([1])
    ((rate, ious),) = box_scores(boxes, classes, mask, {"boxes": filled})
    assert ious.item() == pytest.approx(rate)


@pytest.mark.parametrize(
    ("rate", "number"), [(0, 0), (29.9, 0), (30, 1), (79, 5), (80, 6), (100, 6)]
)
def test_an_edge_belongs_to_the_class_above_it(rate, number):
    assert class_between(EDGES, rate) == number < len(EDGES) - 1
