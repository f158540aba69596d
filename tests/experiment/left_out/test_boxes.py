"""Defects of boxes: how far, how many, and that the seed and the image alone decide."""

import pytest
import torch
from torch import Tensor

from bana.experiment.left_out.boxes import KINDS, SECOND, Defect, drawn

SIZE = (1000, 1400)
FAR = ("loosened", "jittered", "shifted")


def boxes(count: int = 400) -> tuple[Tensor, Tensor]:
    """Boxes in the middle of the image, so that no defect of 20 % meets its border."""
    generator = torch.Generator().manual_seed(0)
    low = 400 + 100 * torch.rand(count, 2, generator=generator)
    sides = 50 + 200 * torch.rand(count, 2, generator=generator)
    return torch.cat([low, low + sides], 1), torch.randint(1, 5, (count,), generator=generator)


BOXES, CLASSES = boxes()
SIDES = BOXES[:, 2:] - BOXES[:, :2]


def moves(defect: Defect, name: str = "a", seed: int = 0) -> Tensor:
    """By how much each edge moved, in sides of its box: [K, 4]."""
    made = drawn(BOXES, CLASSES, SIZE, defect, name, seed)
    return (made.boxes - BOXES) / SIDES.repeat(1, 2)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_loosened_boxes_grow_by_the_share_on_each_side(share: float) -> None:
    expected = share * torch.tensor([-1.0, -1, 1, 1]).expand(len(BOXES), 4)
    assert torch.allclose(moves(Defect("loosened", share)), expected, atol=1e-5)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_shifted_boxes_keep_their_size_and_go_all_ways(share: float) -> None:
    made = moves(Defect("shifted", share))
    assert torch.allclose(made[:, :2], made[:, 2:], atol=1e-4)
    assert torch.allclose(made[:, :2].norm(dim=1), torch.tensor(share), atol=1e-4)
    assert (made[:, :2].mean(0).abs() < share / 5).all()


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_edges_are_jittered_by_a_normal_each(share: float) -> None:
    made = moves(Defect("jittered", share))
    assert (made.std(0) / share - 1).abs().max() < 0.15 and made.mean(0).abs().max() < share / 5
    assert made.T.corrcoef().fill_diagonal_(0).abs().max() < 0.2


@pytest.mark.parametrize("kind", FAR)
def test_a_larger_share_moves_the_same_edges_further(kind: str) -> None:
    near, far = (moves(Defect(kind, share)) for share in (0.05, 0.2))
    assert torch.allclose(4 * near, far, atol=1e-4)


@pytest.mark.parametrize("kind", FAR)
def test_chance_says_which_boxes_and_the_flags_are_theirs(kind: str) -> None:
    made = drawn(BOXES, CLASSES, SIZE, Defect(kind, 0.1, 0.5), "a")
    changed = (made.boxes != BOXES).any(1)
    assert torch.equal(changed, made.defective) and 0.4 < float(changed.float().mean()) < 0.6
    assert torch.equal(made.classes, CLASSES) and made.forgotten == 0


def test_forgotten_boxes_are_nested_and_counted() -> None:
    few, many = (drawn(BOXES, CLASSES, SIZE, Defect("missing", s), "a") for s in (0.1, 0.5))
    for made, share in ((few, 0.1), (many, 0.5)):
        assert made.forgotten == len(BOXES) - len(made.boxes)
        assert abs(made.forgotten / len(BOXES) - share) < 0.07 and not made.defective.any()
        # Which rows are left: in order, and each with its class.
        rows = [int((BOXES == box).all(1).nonzero()) for box in made.boxes]
        assert rows == sorted(rows) and torch.equal(made.classes, CLASSES[rows])
    left = {tuple(box) for box in few.boxes.tolist()}
    assert {tuple(box) for box in many.boxes.tolist()} < left


def test_a_second_drawing_lies_beside_the_first_and_both_are_flagged() -> None:
    made = drawn(BOXES, CLASSES, SIZE, Defect("duplicated", 0.3), "a")
    count, twice = len(BOXES), made.defective[: len(BOXES)]
    assert torch.equal(made.boxes[:count], BOXES) and torch.equal(made.classes[:count], CLASSES)
    assert abs(float(twice.float().mean()) - 0.3) < 0.07 and made.defective[count:].all()
    apart = (made.boxes[count:] - BOXES[twice]) / SIDES[twice].repeat(1, 2)
    assert 0.8 * SECOND < float(apart.std()) < 1.2 * SECOND
    assert torch.equal(made.classes[count:], CLASSES[twice])


@pytest.mark.parametrize("kind", KINDS)
def test_image_and_seed_decide_and_nothing_given_changes(kind: str) -> None:
    before = BOXES.clone()
    defect = Defect(kind, 0.2)
    one, same = (drawn(BOXES, CLASSES, SIZE, defect, "a", 3) for _ in range(2))
    assert torch.equal(one.boxes, same.boxes) and torch.equal(BOXES, before)
    if kind == "loosened":
        return  # nothing is drawn
    for name, seed in (("b", 3), ("a", 4)):
        other = drawn(BOXES, CLASSES, SIZE, defect, name, seed)
        assert other.boxes.shape != one.boxes.shape or not torch.equal(other.boxes, one.boxes)


@pytest.mark.parametrize("kind", FAR)
def test_boxes_stay_boxes_within_the_image(kind: str) -> None:
    generator = torch.Generator().manual_seed(1)
    low = torch.rand(300, 2, generator=generator) * torch.tensor([90.0, 60.0])
    small = torch.cat([low, low + 1 + 9 * torch.rand(300, 2, generator=generator)], 1)
    made = drawn(small, torch.ones(300).long(), (70, 100), Defect(kind, 1.0), "a").boxes
    x1, y1, x2, y2 = made.unbind(1)
    assert (x1 >= 0).all() and (y1 >= 0).all() and (x2 <= 100).all() and (y2 <= 70).all()
    assert (x2 - x1 >= 1).all() and (y2 - y1 >= 1).all()


def test_no_boxes_have_no_defects() -> None:
    for kind in KINDS:
        made = drawn(torch.zeros(0, 4), torch.zeros(0).long(), SIZE, Defect(kind, 0.3), "a")
        assert made.boxes.shape == (0, 4) and len(made.classes) == len(made.defective) == 0


def test_refuses_what_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="unknown defect 'torn': use one of loosened"):
        Defect("torn", 0.1)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], got 1.5"):
        Defect("loosened", 1.5)
