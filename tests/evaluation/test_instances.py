"""Instance masks of boxes, and COCO's run lengths."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from bana.data.boxes import box_masks
from bana.evaluation.instances import (
    Part,
    box_parts,
    decode,
    encode,
    encode_part,
    part_results,
)


def test_instances_are_the_pixels_of_the_class_inside_the_box() -> None:
    labels = torch.zeros(8, 10, dtype=torch.uint8)
    labels[1:7, 1:6] = 2
    labels[3, 3] = 255
    labels[0:3, 8:] = 1
    boxes = torch.tensor([[1.0, 1, 4, 7], [2.0, 1, 6, 7], [0.0, 0, 10, 8], [0.0, 4, 1, 5]])
    classes = torch.tensor([2, 2, 1, 1])
    before = labels.clone(), boxes.clone()
    masks = [part.whole() for part in box_parts(labels, boxes, classes)]
    for mask, box, c in zip(masks, boxes.int().tolist(), classes.tolist(), strict=True):
        for y in range(8):
            for x in range(10):
                inside = box[0] <= x < box[2] and box[1] <= y < box[3]
                assert bool(mask[y, x]) == (inside and int(labels[y, x]) == c)
    # The two boxes of class 2 overlap in columns 2 and 3, which both masks have.
    assert (masks[0] & masks[1]).sum() == 11 and not masks[3].any()
    assert torch.equal(labels, before[0]) and torch.equal(boxes, before[1])


def test_image_without_boxes_has_no_instances() -> None:
    nothing = torch.empty(0, 4), torch.empty(0, dtype=torch.int64)
    made = box_parts(torch.zeros(4, 5, dtype=torch.uint8), *nothing)
    assert part_results(made, 1, []) == []


def test_empty_masks_are_left_out() -> None:
    masks = torch.ones(2, 2, dtype=torch.bool), torch.zeros(2, 2, dtype=torch.bool)
    made = part_results([Part(mask, 1, 1, (4, 5)) for mask in masks], 3, [4, 5])
    assert [(m["image_id"], m["category_id"], m["score"]) for m in made] == [(3, 4, 1.0)]


def test_boxes_without_a_class_are_refused() -> None:
    with pytest.raises(ValueError):
        list(box_parts(torch.zeros(4, 5).byte(), torch.zeros(1, 4), torch.tensor([1, 1])))


def _one_image(height: int, width: int) -> COCO:
    holder = COCO()
    holder.imgs = {1: {"id": 1, "height": height, "width": width}}
    return holder


def test_run_lengths_go_down_the_columns() -> None:
    """A replication's COCO masks were transposed: its run lengths went along the rows."""
    mask = torch.rand(5, 9, generator=torch.Generator().manual_seed(1)) < 0.4
    counts, value = [], False  # of zeros first, then of ones, in turn
    for pixel in (bool(mask[y, x]) for x in range(9) for y in range(5)):
        if not counts or pixel != value:
            counts += [0] if counts or not pixel else [0, 0]
            value = pixel
        counts[-1] += 1
    by_hand = COCO.annToRLE(
        _one_image(5, 9), {"image_id": 1, "segmentation": {"size": [5, 9], "counts": counts}}
    )
    made = encode(mask)
    assert made == {"size": [5, 9], "counts": by_hand["counts"].decode()}
    assert torch.equal(decode(made), mask)
    assert json.loads(json.dumps(made)) == made


@given(
    inner=st.integers(0, 2**12 - 1),
    corner=st.tuples(st.integers(0, 3), st.integers(0, 4)),
    size=st.tuples(st.integers(0, 3), st.integers(0, 4)),
)
@settings(max_examples=200, deadline=None)
def test_run_lengths_of_a_part_are_those_of_the_whole_mask(inner, corner, size) -> None:
    """Also where the part reaches a border, has no pixel, or is the whole image."""
    bits = torch.tensor([inner >> bit & 1 for bit in range(12)], dtype=torch.bool)
    mask = bits.view(3, 4)[: size[0], : size[1]]
    top, left = min(corner[0], 3 - size[0]), min(corner[1], 4 - size[1])
    part = Part(mask, left, top, (3, 4))
    assert encode_part(part) == encode(part.whole())


def test_parts_are_the_masks_of_whole_images() -> None:
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (20, 30), generator=g).byte()
    corners = torch.rand(40, 2, generator=g) * 25
    boxes = torch.cat([corners, corners + torch.rand(40, 2, generator=g) * 8], 1)
    classes = torch.randint(1, 3, (40,), generator=g)
    whole = (labels == classes[:, None, None]) & box_masks(boxes, 20, 30)
    parts = list(box_parts(labels, boxes, classes))
    assert torch.equal(torch.stack([part.whole() for part in parts]), whole)
    assert part_results(parts, 7, classes.tolist()) == [
        {"image_id": 7, "category_id": number, "segmentation": encode(mask), "score": 1.0}
        for mask, number in zip(whole, classes.tolist(), strict=True)
        if mask.any()
    ]
