"""Small classifiers of cells on top of frozen features, trained in seconds."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

KINDS = ("linear", "conv")


class PixelHead(nn.Module):
    """Frozen features to phi, and the cosine classifier W that `bana.losses` works on.

    Args:
        kind: "linear" leaves the features as they are, so that W is all there is to learn; "conv"
            puts 1 x 1, depthwise 3 x 3 of dilation 2, and 1 x 1 convolutions in between.
        channels: D of the features.
        n_classes: C, background included.
        width: channels of the convolutions.

    Attributes:
        temperature: tau of H = softmax(tau cos(phi, W)).

    Raises:
        ValueError: if the kind is unknown.
    """

    def __init__(self, kind: str, channels: int, n_classes: int, width: int = 256) -> None:
        if kind not in KINDS:
            raise ValueError(f"unknown head {kind!r}: use {' or '.join(KINDS)}")
        super().__init__()
        self.layers: nn.Module = nn.Identity()
        if kind == "conv":
            self.layers = nn.Sequential(
                nn.Conv2d(channels, width, 1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=2, dilation=2, groups=width),
                nn.ReLU(),
                nn.Conv2d(width, width, 1),
            )
            channels = width
        self.weight = nn.Parameter(torch.randn(n_classes, channels) / channels**0.5)
        self.temperature = 20.0

    def forward(self, features: Float[Tensor, "N D h w"]) -> Float[Tensor, "N channels h w"]:
        """phi of features."""
        return self.layers(features)
