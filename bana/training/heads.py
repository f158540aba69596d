"""Training a head on frozen features: the same losses as stage 3's, in seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bana.losses import IGNORE, cosine_scores
from bana.networks.heads import PixelHead
from bana.training.segmentation import SegmentationLoss

# Labels lie this many times as densely as cells, in each direction: at stride 16 every 4 pixels.
POSITIONS = 4
IMAGES_A_LOOK = 8


class FrozenImage(NamedTuple):
    """Features of one image and what is known of it, at `POSITIONS` positions a cell.

    Attributes:
        features: float16 [K, h, w].
        mask, y_crf, y_ret: uint8 [POSITIONS (h - 1) + 1, POSITIONS (w - 1) + 1], 0..L and 255;
            cell (i, j) lies at position (POSITIONS i, POSITIONS j).
        inside: bool, of the same size: in a box.
    """

    features: Tensor
    mask: Tensor
    y_crf: Tensor
    y_ret: Tensor
    inside: Tensor


@dataclass(frozen=True)
class HeadSettings:
    """How heads are trained: AdamW, its rate falling as (1 - t / T)^.9.

    Attributes:
        kind: see `bana.networks.heads.PixelHead`.
        epochs, batch: of the training images.
        learning_rate: at the start.
    """

    kind: str
    epochs: int
    batch: int
    learning_rate: float


def train_head(
    images: Sequence[FrozenImage],
    loss: SegmentationLoss,
    n_classes: int,
    settings: HeadSettings,
    seed: int,
) -> PixelHead:
    """A head trained on the Y_crf and Y_ret of images.

    Args:
        images: to learn from; their masks are not looked at.
        loss: such as a value of `bana.training.segmentation.LOSSES`.
        n_classes: C, background included.
        settings: of the training.
        seed: of weights and order; two losses under one seed start and go alike.
    """
    with torch.random.fork_rng(devices=[]):  # as in `bana.data.transforms.Crops`
        torch.default_generator.manual_seed(seed)
        head = PixelHead(settings.kind, images[0].features.shape[0], n_classes).train()
        order = [n for _ in range(settings.epochs) for n in torch.randperm(len(images)).tolist()]
    steps = -(-len(order) // settings.batch)
    optimiser = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, steps, power=0.9)
    for chosen in _cut(order, settings.batch):
        batch = [images[number] for number in chosen]
        labels = [stacked([getattr(i, n) for i in batch], IGNORE) for n in ("y_crf", "y_ret")]
        phi = head(stacked([image.features for image in batch], 0).float())
        value = loss(phi, head.weight, *labels, head.temperature)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        optimiser.step()
        schedule.step()
    return head.eval()


@torch.no_grad()
def predicted(head: PixelHead, images: Sequence[FrozenImage]) -> Iterator[Tensor]:
    """The head's favourite class at every label position of each image, uint8."""
    for chosen in _cut(images, IMAGES_A_LOOK):
        phi = head(stacked([image.features for image in chosen], 0).float())
        size = tuple(POSITIONS * (cells - 1) + 1 for cells in phi.shape[2:])
        favourites = cosine_scores(phi, head.weight, size).argmax(1).byte()
        for image, labels in zip(chosen, favourites, strict=True):
            height, width = image.mask.shape
            yield labels[:height, :width]


def stacked(maps: Sequence[Tensor], fill: int) -> Tensor:
    """Maps [..., H, W] of several sizes as one tensor, filled at the bottom and the right."""
    height, width = (max(each.shape[axis] for each in maps) for axis in (-2, -1))
    result = maps[0].new_full((len(maps), *maps[0].shape[:-2], height, width), fill)
    for place, each in zip(result, maps, strict=True):
        place[..., : each.shape[-2], : each.shape[-1]] = each
    return result


def _cut(values: Sequence, size: int) -> Iterator[Sequence]:
    return (values[start : start + size] for start in range(0, len(values), size))
