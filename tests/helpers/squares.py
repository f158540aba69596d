"""A problem that networks of two convolutions learn in seconds: red and blue squares."""

from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier
from bana.networks.segmenter import Segmenter, build_neck
from bana.training.optimisation import Optimisation

SIDE = 33


def backbone(channels: int = 16) -> Backbone:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, channels, 3, stride=2, padding=1),
        nn.ReLU(),
    )
    return Backbone(body, channels, 4)


def batch(n: int = 4) -> dict[str, Tensor]:
    """Noisy grey images, each with one square of red (class 1) or blue (class 2)."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(90, 150, (n, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    labels, boxes = torch.arange(n) % 2 + 1, []
    masks = torch.zeros(n, SIDE, SIDE, dtype=torch.uint8)
    for i, label in enumerate(labels.tolist()):
        x, y = (5 + 3 * i) % 15, (4 + 5 * i) % 15
        colour = torch.tensor([220, 30, 30] if label == 1 else [30, 30, 220])
        images[i, :, y : y + 14, x : x + 14] = colour.view(3, 1, 1)
        masks[i, y : y + 14, x : x + 14] = label
        boxes.append([i, x, y, x + 14, y + 14])
    wrong = masks.clone()
    wrong[:, :8] = 0
    return {
        "image": images,
        "background": (masks == 0)[:, None].float(),
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "labels": labels,
        "y_crf": masks,
        "y_ret": wrong,
    }


def classifier(pooling: str = "bap") -> BoxClassifier:
    return BoxClassifier(backbone(), 2, pooling)


def segmenter() -> Segmenter:
    body = backbone()  # first, since it seeds what the neck is drawn from
    neck, channels = build_neck("aspp-small", 16)
    return Segmenter(body, neck, channels, 2)


def settings(iterations: int, rate: float = 0.02) -> Optimisation:
    return Optimisation(iterations=iterations, batch=4, learning_rate=rate)


def rates_of(
    monkeypatch: pytest.MonkeyPatch, loop: ModuleType, iterations: int, train: Callable
) -> list[float]:
    """The rate of the first group after each iteration of a training by a loop."""
    held, rates = [], []
    make = loop.optimiser
    monkeypatch.setattr(
        loop, "optimiser", lambda *arguments: held.append(make(*arguments)) or held[-1]
    )

    def batches() -> Iterator[dict[str, Tensor]]:
        for _ in range(iterations):
            yield batch(2)
            rates.append(held[0].param_groups[0]["lr"])

    train(batches())
    rates.append(held[0].param_groups[0]["lr"])  # the last batch is not asked for the next
    return rates
