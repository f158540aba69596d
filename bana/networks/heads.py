"""The two networks of the method: the box classifier of stage 1, the segmenter of stage 3."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bana.bap import background_attention, background_queries, pool_boxes
from bana.losses import cosine_scores
from bana.networks.backbones import Backbone, background_at_cells, boxes_at_cells

POOLINGS = ("bap", "gap")


class BoxLogits(NamedTuple):
    """Logits of every part of every box [K, parts², L + 1] and of every valid query [J', L + 1]."""

    boxes: Tensor
    queries: Tensor


class BoxClassifier(nn.Module):
    """Backbone, background-aware pooling and one linear softmax classifier without bias.

    Args:
        backbone: gives the features f.
        n_classes: L, without background.
        pooling: "bap" pools by Eq. 4; "gap" is the baseline that differs in A = 0 alone. Both
            train the background class on the same queries.
        grid_size: N of Eq. 1.
        parts: each box is pooled in parts x parts pieces.
        min_background: images where background covers at most this fraction fall back to GAP.
    """

    def __init__(
        self,
        backbone: Backbone,
        n_classes: int,
        pooling: str = "bap",
        grid_size: int = 4,
        parts: int = 2,
        min_background: float = 0.125,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {POOLINGS}, got {pooling!r}")
        super().__init__()
        self.backbone = backbone
        self.weight = nn.Parameter(torch.empty(n_classes + 1, backbone.channels))
        nn.init.normal_(self.weight, std=0.01)
        self.pooling = pooling
        self.grid_size = grid_size
        self.parts = parts
        self.min_background = min_background

    def forward(self, images: Tensor, background: Tensor, boxes: Tensor) -> BoxLogits:
        """Classify the boxes and the background cells of a batch of images.

        Args:
            images: RGB [N, 3, H, W], uint8 or float in [0, 1].
            background: M, float [N, 1, H, W], 1 outside every box, 0 inside and in padding.
            boxes: [K, 5] image index, x1, y1, x2, y2 in pixels, half-open.
        """
        features = self.backbone(images)  # [N, D, h, w]
        # Under mixed precision the backbone alone runs in 16 bits: bfloat16 has no number between
        # .996 and 1, so that 1 - A of Eq. 4 would be rounding error where it matters most.
        with torch.autocast(features.device.type, enabled=False):
            precise = torch.promote_types(features.dtype, torch.float32)
            return self._pool(features.to(precise), background, boxes)

    def _pool(self, features: Tensor, background: Tensor, boxes: Tensor) -> BoxLogits:
        stride = self.backbone.stride
        cells = background_at_cells(background, stride)  # [N, 1, h, w]
        queries, valid = background_queries(features, cells, self.grid_size)
        attention = background_attention(features, queries, valid)
        if self.pooling == "gap":
            attention = torch.zeros_like(attention)
        enough = background.flatten(1).mean(1) > self.min_background  # [N]
        attention = attention * enough[:, None, None, None]
        pooled = pool_boxes(
            features, attention, boxes_at_cells(boxes, stride), 1 / stride, self.parts
        )
        return BoxLogits(pooled @ self.weight.T, queries[valid] @ self.weight.T)


def box_loss(logits: BoxLogits, labels: Tensor) -> Tensor:
    """Mean cross-entropy over every box part (its class) and every query (background); scalar.

    0 for crops with neither, which a small micro-batch can be.

    Args:
        logits: of `BoxClassifier`.
        labels: int64 [K], 1..L.
    """
    parts = logits.boxes.shape[1]
    both = torch.cat([logits.boxes.flatten(0, 1), logits.queries])
    target = torch.cat([labels.repeat_interleave(parts), labels.new_zeros(len(logits.queries))])
    if len(both) == 0:
        return both.sum()  # of nothing, and yet with a gradient, which other processes wait for
    return F.cross_entropy(both, target)


class Segmenter(nn.Module):
    """Backbone, DeepLab neck and a cosine classifier.

    Args:
        backbone: gives the features.
        neck: maps them to phi.
        channels: of phi.
        n_classes: L, without background.
        temperature: tau of H = softmax(tau cos(phi, W)).
    """

    def __init__(
        self,
        backbone: Backbone,
        neck: nn.Module,
        channels: int,
        n_classes: int,
        temperature: float = 20.0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        # Rows of length 1: cosines do not feel it, but the step a gradient takes does.
        self.weight = nn.Parameter(torch.randn(n_classes + 1, channels) / channels**0.5)
        self.temperature = temperature

    def forward(self, images: Tensor) -> Tensor:
        """phi, float [N, channels, h, w], of RGB images [N, 3, H, W]; see `Backbone`."""
        return self.neck(self.backbone(images))

    def scores(self, images: Tensor) -> Tensor:
        """Cosine of every pixel with every class, [N, L + 1, H, W] in [-1, 1]."""
        phi = self(images)
        stride = self.backbone.stride
        height, width = images.shape[2:]
        padded = tuple((cells - 1) * stride + 1 for cells in phi.shape[2:])
        return cosine_scores(phi, self.weight, padded)[:, :, :height, :width]


class AtrousPyramid(nn.Module):
    """DeepLab-V2's ASPP: one dilated 3 x 3 convolution a rate, summed and rectified."""

    def __init__(self, channels: int, width: int = 256, rates: tuple[int, ...] = (6, 12, 18, 24)):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, width, 3, padding=rate, dilation=rate) for rate in rates
        )
        for branch in self.branches:
            nn.init.normal_(branch.weight, std=0.01)
            nn.init.zeros_(branch.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features [N, D, h, w] to phi [N, width, h, w], at least 0."""
        return F.relu(sum(branch(features) for branch in self.branches))


def build_neck(kind: str, channels: int) -> tuple[nn.Module, int]:
    """A DeepLab neck and the channels of its phi.

    Args:
        kind: "none" (VGG-16, whose fc6 is the dilated LargeFOV layer already), "aspp" (DeepLab-V2)
            or "aspp-small" (two small rates, for stride 16 and small images).
        channels: of the backbone.

    Raises:
        ValueError: if the kind is unknown.
    """
    if kind == "none":
        return nn.Identity(), channels
    if kind == "aspp":
        return AtrousPyramid(channels), 256
    if kind == "aspp-small":
        return AtrousPyramid(channels, rates=(1, 4)), 256
    raise ValueError(f"unknown neck {kind!r}: use none, aspp or aspp-small")
