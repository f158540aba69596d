"""Conventions of boxes and masks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bana.data import boxes as bx

HEIGHT, WIDTH = 7, 9

coordinates = st.floats(-3, 12, width=32)
some_boxes = st.lists(st.tuples(coordinates, coordinates, coordinates, coordinates), max_size=5)


def naive_masks(boxes: torch.Tensor) -> torch.Tensor:
    masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        for row in range(HEIGHT):
            for column in range(WIDTH):
                masks[k, row, column] = x1 <= column + 0.5 < x2 and y1 <= row + 0.5 < y2
    return masks


@given(some_boxes)
def test_box_masks_equal_a_loop_over_pixels(corners):
    boxes = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)
    masks = bx.box_masks(boxes, HEIGHT, WIDTH)
    assert torch.equal(masks, naive_masks(boxes))
    expected = (~naive_masks(boxes).any(0))[None].float()
    assert torch.equal(bx.background_mask(boxes, HEIGHT, WIDTH), expected)


def test_voc_box_of_one_pixel_covers_that_pixel():
    # VOC's (1, 1, 1, 1) is the left upper pixel; read as 0-based half-open it would be empty.
    box = bx.voc_to_half_open(torch.tensor([[1.0, 1.0, 1.0, 1.0]]))
    mask = bx.box_masks(box, HEIGHT, WIDTH)[0]
    assert mask.sum() == 1
    assert mask[0, 0]


def test_voc_box_of_the_whole_image_leaves_no_background():
    box = bx.voc_to_half_open(torch.tensor([[1.0, 1.0, WIDTH, HEIGHT]]))
    assert bx.background_mask(box, HEIGHT, WIDTH).sum() == 0


def test_conversion_is_undone_and_leaves_its_argument_alone():
    boxes = torch.tensor([[3.5, 2.0, 8.25, 6.0]])
    before = boxes.clone()
    assert torch.equal(bx.half_open_to_voc(bx.voc_to_half_open(boxes)), boxes)
    assert torch.equal(boxes, before)


def test_without_boxes_everything_is_background():
    assert bx.background_mask(torch.zeros(0, 4), HEIGHT, WIDTH).mean() == 1


def test_class_masks_are_unions_of_each_class():
    boxes = torch.tensor([[0, 0, 2, 2], [5, 3, 9, 7], [1, 1, 4, 3]], dtype=torch.float32)
    classes, wanted = torch.tensor([4, 2, 4]), torch.tensor([2, 9, 4])
    drawn = bx.class_masks(boxes, classes, wanted, HEIGHT, WIDTH)
    single = naive_masks(boxes)
    assert torch.equal(
        drawn, torch.stack([single[1], torch.zeros_like(single[0]), single[0] | single[2]])
    )


def test_class_masks_need_a_class_for_every_box():
    with pytest.raises(ValueError, match="1 classes for 2 boxes"):
        bx.class_masks(torch.zeros(2, 4), torch.tensor([1]), torch.tensor([1]), HEIGHT, WIDTH)


def test_boxes_that_stick_out_a_little_are_clipped():
    boxes = torch.tensor([[-1.0, 0.0, 9.5, 7.0]])
    checked = bx.check_boxes(boxes, HEIGHT, WIDTH, "here")
    assert checked.tolist() == [[0, 0, WIDTH, HEIGHT]]
    assert boxes[0, 0] == -1


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([5, 1, 3, 4], "inverted"),
        ([3, 1, 3, 4], "empty"),
        ([9, 1, 11, 4], "wholly outside"),
        ([-4, 1, -1, 4], "wholly outside"),
        ([1, 1, 30, 4], "sticks out by 21 pixels"),
        ([1, 1, float("nan"), 4], "not finite"),
        ([0.25, 0.25, 0.625, 0.75], "lies in the first pixel: numbers from 0 to 1"),
        ([0, 0, 1, 1], "lies in the first pixel"),
        ([-0.75, -0.75, 0.625, 0.75], "lies in the first pixel"),
    ],
)
def test_bad_box_is_named_with_its_place_and_reason(box, reason):
    with pytest.raises(ValueError, match=rf"^some\.xml: .*{reason}.*9 x 7") as caught:
        bx.check_boxes(torch.tensor([box], dtype=torch.float32), HEIGHT, WIDTH, "some.xml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("box", [[0, 0, 1, 2], [0.5, 0, 1.5, 0.5], [0, 0, 9, 7]])
def test_small_boxes_elsewhere_are_boxes(box):
    bx.check_boxes(torch.tensor([box], dtype=torch.float32), HEIGHT, WIDTH, "some.xml")


def test_the_only_pixel_of_an_image_can_be_a_box():
    bx.check_boxes(torch.tensor([[0.0, 0, 1, 1]]), 1, 1, "some.xml")


@given(corners=st.lists(st.floats(-3, 13, width=32), min_size=4, max_size=4))
def test_pixels_of_a_box_are_those_of_its_mask(corners):
    box = torch.tensor(corners)
    drawn = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    drawn[bx.pixels_of(box)] = True
    assert torch.equal(drawn, bx.box_masks(box[None], HEIGHT, WIDTH)[0])


def test_five_thousand_boxes_need_no_mask_each():
    boxes = torch.rand(5000, 4) * 20
    boxes[:, 2:] += boxes[:, :2]
    size = (600, 800)
    classes, wanted = torch.arange(5000) % 3, torch.arange(4)
    few = bx.class_masks(boxes[:60], classes[:60], wanted, *size)
    assert torch.equal(few[1], bx.box_masks(boxes[:60][classes[:60] == 1], *size).any(0))
    assert not few[3].any()
    union = bx.class_masks(boxes, classes, wanted, *size).any(0)
    assert torch.equal(bx.background_mask(boxes, *size)[0] == 0, union)


def test_boxes_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\[K, 4\], not \[1, 5\]"):
        bx.check_boxes(torch.zeros(1, 5), HEIGHT, WIDTH, "here")
