"""The box classifier around backbones small enough to check by hand."""

import pytest
import torch
import torch.nn.functional as F
from looker import STRIDE, looker
from torch import Tensor, nn

from bana.bap import pool_boxes
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier, BoxLogits, box_loss


def batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Two images, their background and three boxes; the first box is exactly 2 x 2 cells."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, 3, 17, 21, generator=generator)
    boxes = torch.tensor([[0, 2.5, 2.5, 10.5, 10.5], [1, 0, 0, 12, 17], [1, 6, 2, 20, 9]])
    background = torch.ones(2, 1, 17, 21)
    background[0, :, 3:11, 3:11] = 0
    background[1, :, :, :12] = background[1, :, 2:9, 6:20] = 0
    return images, background, boxes


def classifier(**settings) -> BoxClassifier:
    torch.manual_seed(0)
    model = BoxClassifier(looker(), 4, **settings)
    with torch.no_grad():
        model.weight.normal_()
    return model


@pytest.mark.parametrize("parts", [1, 2])
def test_logits_have_a_row_for_every_part_and_valid_query(parts: int) -> None:
    logits = classifier(parts=parts, grid_size=2)(*batch())
    assert logits.boxes.shape == (3, parts**2, 5)
    assert logits.queries.shape[1] == 5 and 2 <= len(logits.queries) <= 8


def test_gap_pools_the_cells_whose_pixels_the_box_surrounds() -> None:
    images, background, boxes = batch()
    logits = classifier(pooling="gap", parts=1)(images, background, boxes)
    pixels = images[0, :, [4, 4, 8, 8], [4, 8, 4, 8]].mean(1)
    torch.testing.assert_close(logits.boxes[0, 0], classifier().weight @ pixels)


def test_gap_differs_from_bap_in_the_boxes_alone() -> None:
    bap, gap = classifier()(*batch()), classifier(pooling="gap")(*batch())
    assert torch.equal(bap.queries, gap.queries)
    assert not torch.allclose(bap.boxes, gap.boxes)


def test_bap_gives_more_weight_to_what_is_unlike_the_background() -> None:
    images = torch.zeros(1, 3, 17, 17)
    images[:, 0] = 1
    images[:, :2, 4:9, 4:9] = torch.tensor([0.0, 1.0]).view(2, 1, 1)
    background = torch.ones(1, 1, 17, 17)
    background[:, :, 3:15, 3:15] = 0
    boxes = torch.tensor([[0, 3.0, 3.0, 15.0, 15.0]])
    with torch.no_grad():
        model, plain = classifier(parts=1), classifier(parts=1, pooling="gap")
        for network in (model, plain):
            network.weight.zero_()[1, :2] = torch.tensor([0.0, 1.0])
        weighted = model(images, background, boxes).boxes[0, 0, 1].item()
        average = plain(images, background, boxes).boxes[0, 0, 1].item()
    assert weighted == pytest.approx(1.0) and average < 0.6


@pytest.mark.parametrize(("rows", "falls_back"), [(2, True), (3, False)])
def test_little_background_falls_back_to_gap(rows: int, falls_back: bool) -> None:
    # An eighth of 16 rows is 2; the authors fall back at and below an eighth.
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    background = torch.zeros(1, 1, 16, 16)
    background[:, :, :rows] = 1
    boxes = torch.tensor([[0, 0.0, rows, 16.0, 16.0]])
    bap = classifier()(images, background, boxes)
    gap = classifier(pooling="gap")(images, background, boxes)
    assert torch.allclose(bap.boxes, gap.boxes) == falls_back
    assert len(bap.queries) > 0


def test_crop_padding_is_not_background() -> None:
    images, background, boxes = batch()
    expected = classifier(grid_size=1)(images, background, boxes)
    padded = F.pad(images, (0, 8, 0, 8), value=1.0), F.pad(background, (0, 8, 0, 8)), boxes
    logits = classifier(grid_size=1)(*padded)
    torch.testing.assert_close(logits.queries, expected.queries)
    torch.testing.assert_close(logits.boxes, expected.boxes)


def test_bytes_are_taken_as_they_are_stored() -> None:
    images, background, boxes = batch()
    stored = (images * 255).round().to(torch.uint8)
    a, b = classifier()(stored, background, boxes), classifier()(stored / 255, background, boxes)
    torch.testing.assert_close(a.boxes, b.boxes)


def test_box_loss_is_the_mean_over_parts_and_queries() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = BoxLogits(
        torch.randn(3, 4, 5, generator=generator), torch.randn(6, 5, generator=generator)
    )
    labels = torch.tensor([2, 4, 1])
    total = sum(
        -row.log_softmax(0)[label]
        for rows, label in zip(logits.boxes, labels, strict=True)
        for row in rows
    )
    total = total - logits.queries.log_softmax(1)[:, 0].sum()
    torch.testing.assert_close(box_loss(logits, labels), total / 18)


def test_image_filled_by_its_box_trains() -> None:
    model = classifier()
    logits = model(
        torch.rand(1, 3, 17, 17), torch.zeros(1, 1, 17, 17), torch.tensor([[0.0] * 3 + [17, 17]])
    )
    loss = box_loss(logits, torch.tensor([3]))
    loss.backward()
    assert logits.queries.shape == (0, 5)
    assert torch.isfinite(loss) and torch.isfinite(model.weight.grad).all()


def test_crop_without_boxes_trains_on_background_alone() -> None:
    images, background, _ = batch()
    logits = classifier()(images, background, torch.zeros(0, 5))
    loss = box_loss(logits, torch.zeros(0, dtype=torch.int64))
    torch.testing.assert_close(loss, -logits.queries.log_softmax(1)[:, 0].mean())


def test_unknown_pooling_is_named() -> None:
    with pytest.raises(ValueError, match="pooling"):
        classifier(pooling="max")


def test_pooling_reaches_the_backbone() -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, STRIDE, padding=1), nn.ReLU())
    model = BoxClassifier(Backbone(body, 6, STRIDE), 4)
    images, background, boxes = batch()
    box_loss(model(images, background, boxes), torch.tensor([1, 2, 3])).backward()
    assert body[0].weight.grad.abs().max() > 0
    # The attention carries a gradient of its own beside that of the pooled features.
    features = body(images).detach().requires_grad_()
    attention = torch.rand(2, 1, *features.shape[2:], requires_grad=True)
    pool_boxes(features, attention, boxes, 1 / STRIDE).sum().backward()
    assert attention.grad.abs().max() > 0
