"""The network of stage 1: a box classifier with background-aware pooling."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Real
from torch import Tensor, nn

from bana.bap import background_attention, background_queries, pool_boxes
from bana.networks.backbones import Backbone, background_at_cells, boxes_at_cells

POOLINGS = ("bap", "gap")


class BoxLogits(NamedTuple):
    """Logits of every box K in its parts P = parts², and of every valid query Q; C = L + 1."""

    boxes: Float[Tensor, "K P C"]
    queries: Float[Tensor, "Q C"]


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

    Raises:
        ValueError: if the pooling is unknown.
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

    def forward(
        self,
        images: Real[Tensor, "N 3 H W"],
        background: Float[Tensor, "N 1 H W"],
        boxes: Float[Tensor, "K 5"],
    ) -> BoxLogits:
        """Classify the boxes and the background cells of a batch of images.

        Args:
            images: RGB, uint8 or float in [0, 1].
            background: M, 1 outside every box, 0 inside and in padding.
            boxes: image index, x1, y1, x2, y2 in pixels, half-open.
        """
        features = self.backbone(images)  # [N, D, h, w]
        # Under mixed precision the backbone alone runs in 16 bits: bfloat16 has no number between
        # .996 and 1, so that 1 - A of Eq. 4 would be rounding error where it matters most.
        with torch.autocast(features.device.type, enabled=False):
            precise = torch.promote_types(features.dtype, torch.float32)
            return self._pool(features.to(precise), background, boxes)

    def _pool(
        self,
        features: Float[Tensor, "N D h w"],
        background: Float[Tensor, "N 1 H W"],
        boxes: Float[Tensor, "K 5"],
    ) -> BoxLogits:
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


def box_loss(logits: BoxLogits, labels: Int64[Tensor, " K"]) -> Float[Tensor, ""]:
    """Mean cross-entropy over every box part (its class) and every query (background); scalar.

    0 for crops with neither, which a small micro-batch can be.

    Args:
        logits, labels: of `BoxClassifier`, and the classes of its boxes, 1..L.
    """
    parts = logits.boxes.shape[1]
    both = torch.cat([logits.boxes.flatten(0, 1), logits.queries])
    target = torch.cat([labels.repeat_interleave(parts), labels.new_zeros(len(logits.queries))])
    if len(both) == 0:
        return both.sum()  # of nothing, and yet with a gradient, which other processes wait for
    return F.cross_entropy(both, target)
