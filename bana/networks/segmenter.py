"""The network of stage 3: DeepLab with a cosine classifier."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Real
from torch import Tensor, nn

from bana.losses import cosine_scores
from bana.networks.backbones import Backbone


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
        # Rows of about length 1: cosines do not feel it, but the step a gradient takes does.
        self.weight = nn.Parameter(torch.randn(n_classes + 1, channels) / channels**0.5)
        self.temperature = temperature

    def forward(self, images: Real[Tensor, "N 3 H W"]) -> Float[Tensor, "N channels h w"]:
        """phi of RGB images; see `Backbone`."""
        return self.neck(self.backbone(images))

    def scores(self, images: Real[Tensor, "N 3 H W"]) -> Float[Tensor, "N C H W"]:
        """Cosine of every pixel with every class, in [-1, 1]; C = L + 1."""
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

    def forward(self, features: Float[Tensor, "N D h w"]) -> Float[Tensor, "N width h w"]:
        """Features to phi, at least 0."""
        return F.relu(sum(branch(features) for branch in self.branches))


class SmallPyramid(nn.Module):
    """An ASPP for small images and few iterations: rates 1 and 4, on features made narrow first.

    As in DeepLab-V3 a 1 x 1 convolution takes the channels down to the width, here before the
    dilated ones, which then cost a fifth; they start at the size of their input.
    """

    def __init__(self, channels: int, width: int = 256, rates: tuple[int, ...] = (1, 4)):
        super().__init__()
        self.narrow = nn.Conv2d(channels, width, 1)
        self.pyramid = AtrousPyramid(width, width, rates)
        for layer in (self.narrow, *self.pyramid.branches):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, features: Float[Tensor, "N D h w"]) -> Float[Tensor, "N width h w"]:
        """Features to phi, at least 0."""
        return self.pyramid(F.relu(self.narrow(features)))


def build_neck(kind: str, channels: int) -> tuple[nn.Module, int]:
    """A DeepLab neck and the channels of its phi.

    Args:
        kind: "none" (VGG-16, whose fc6 is the dilated LargeFOV layer already), "aspp" (DeepLab-V2)
            or "aspp-small" (`SmallPyramid`, for stride 16 and small images).
        channels: of the backbone.

    Raises:
        ValueError: if the kind is unknown.
    """
    if kind == "none":
        return nn.Identity(), channels
    if kind == "aspp":
        return AtrousPyramid(channels), 256
    if kind == "aspp-small":
        return SmallPyramid(channels), 256
    raise ValueError(f"unknown neck {kind!r}: use none, aspp or aspp-small")
