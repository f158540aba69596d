"""Training a head on frozen features, and what it predicts."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bana.losses import cosine_scores
from bana.training.heads import FrozenImage, HeadSettings, predicted, stacked, train_head
from bana.training.segmentation import LOSSES

SETTINGS = HeadSettings("linear", epochs=12, batch=2, learning_rate=0.05)


def image(seed: int, cells: tuple[int, int] = (4, 5)) -> FrozenImage:
    """Features that show the class of each cell: half 0, half 1; the labels say other things."""
    generator = torch.Generator().manual_seed(seed)
    fine = [4 * (n - 1) + 1 for n in cells]
    mask = torch.zeros(fine, dtype=torch.uint8)
    mask[:, fine[1] // 2 :] = 1
    features = torch.stack([mask[::4, ::4] == c for c in (0, 1)]).float()
    features = torch.cat([features, 0.1 * torch.rand(1, *cells, generator=generator)])
    y_crf, y_ret = mask.clone(), 1 - mask
    y_crf[: fine[0] // 2] = 1
    return FrozenImage(features.half(), mask, y_crf, y_ret, torch.ones(fine, dtype=torch.bool))


IMAGES = [image(0), image(1), image(2, (3, 6))]


def right(loss: str, name: str) -> float:
    """Share of positions at which a head trained with a loss agrees with labels of a name."""
    head = train_head(IMAGES, LOSSES[loss], 2, SETTINGS, seed=0)
    pairs = zip(predicted(head, IMAGES), IMAGES, strict=True)
    equal = [(labels == getattr(image, name)).flatten() for labels, image in pairs]
    return float(torch.cat(equal).float().mean())


def test_each_label_goes_where_the_loss_says() -> None:
    assert right("ret", "y_ret") > 0.9 and right("ret", "mask") < 0.1
    # Above the middle Y_crf calls everything 1, which the features do not tell apart from below.
    assert 0.6 < right("crf", "y_crf") < 0.9


def test_a_step_sees_phi_w_both_labels_and_tau() -> None:
    seen = []

    def watched(*arguments: Tensor) -> Tensor:
        seen.append(arguments)
        return LOSSES["crf"](*arguments)

    train_head(IMAGES[:1], watched, 2, replace(SETTINGS, epochs=1), seed=3)
    (phi, weight, y_crf, y_ret, temperature) = seen[0]
    assert torch.equal(phi[0], IMAGES[0].features.float()) and weight.shape == (2, 3)
    assert torch.equal(y_crf[0], IMAGES[0].y_crf) and torch.equal(y_ret[0], IMAGES[0].y_ret)
    assert temperature == 20


def test_the_callers_generators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("seeds a GPU's too"))
    before = torch.get_rng_state()
    train_head(IMAGES, LOSSES["crf"], 2, replace(SETTINGS, epochs=1), seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_losses_of_one_seed_start_and_go_alike() -> None:
    def order(factor: float, seed: int) -> list[Tensor]:
        seen = []
        loss = lambda phi, w, *_: seen.append(phi) or factor * w.sum()  # noqa: E731
        train_head(IMAGES, loss, 2, SETTINGS, seed)
        return seen

    first, second, other = order(1, 0), order(2, 0), order(1, 1)
    assert len(first) == 18  # 12 epochs of 3 images, two at a time
    assert all(map(torch.equal, first, second))
    assert not all(
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(first, other, strict=True)
    )
    weights = [train_head(IMAGES, LOSSES["crf"], 2, SETTINGS, seed).weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_the_global_generator_stays_as_it_was() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    train_head(IMAGES, LOSSES["crf"], 2, replace(SETTINGS, epochs=1), seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_padding_has_no_say() -> None:
    """An image beside a larger one gets the prediction that it gets alone."""
    head = train_head(IMAGES, LOSSES["ret"], 2, replace(SETTINGS, epochs=1), seed=0)
    together = list(predicted(head, IMAGES))
    for image, labels in zip(IMAGES, together, strict=True):
        assert labels.shape == image.mask.shape
        alone = cosine_scores(image.features[None].float(), head.weight, tuple(image.mask.shape))
        assert torch.equal(labels, alone[0].argmax(0).byte())


def test_stacked_fills_below_and_to_the_right() -> None:
    one, other = torch.ones(1, 2, 3), torch.full((1, 1, 4), 2.0)
    both = stacked([one, other], 9)
    assert both.shape == (2, 1, 2, 4)
    assert both[0, 0].tolist() == [[1, 1, 1, 9], [1, 1, 1, 9]]
    assert both[1, 0].tolist() == [[2, 2, 2, 2], [9, 9, 9, 9]]
