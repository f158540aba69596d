"""The network of stage 3: DeepLab with a cosine classifier."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Real
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from bana.losses import cosine_scores
from bana.networks.backbones import EARLY_STRIDE, Backbone


class Segmenter(nn.Module):
    """Backbone, DeepLab neck and a cosine classifier.

    Args:
        backbone: gives the features.
        neck: maps them to phi.
        channels: of phi.
        n_classes: L, without background.
        temperature: tau of H = softmax(tau cos(phi, W)).

    Attributes:
        stride: pixels per cell of phi: the backbone's, or a finer one of the neck.
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
        self.stride = EARLY_STRIDE if isinstance(neck, SkipPyramid) else backbone.stride
        # Rows of about length 1: cosines do not feel it, but the step a gradient takes does.
        self.weight = nn.Parameter(torch.randn(n_classes + 1, channels) / channels**0.5)
        self.temperature = temperature

    def forward(self, images: Real[Tensor, "N 3 H W"]) -> Float[Tensor, "N channels h w"]:
        """phi of RGB images; see `Backbone`."""
        if isinstance(self.neck, SkipPyramid):
            return self.neck(*self.backbone.with_early(images))
        return self.neck(self.backbone(images))

    def scores(self, images: Real[Tensor, "N 3 H W"]) -> Float[Tensor, "N C H W"]:
        """Cosine of every pixel with every class, in [-1, 1]; C = L + 1."""
        phi = self(images)
        height, width = images.shape[2:]
        padded = tuple((cells - 1) * self.stride + 1 for cells in phi.shape[2:])
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

    def __init__(self, channels: int, width: int = 256):
        super().__init__()
        self.narrow = nn.Conv2d(channels, width, 1)
        self.pyramid = AtrousPyramid(width, width, (1, 4))
        for layer in (self.narrow, *self.pyramid.branches):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, features: Float[Tensor, "N D h w"]) -> Float[Tensor, "N width h w"]:
        """Features to phi, at least 0."""
        return self.pyramid(F.relu(self.narrow(features)))


class SkipPyramid(nn.Module):
    """`SmallPyramid` with a skip from early features, whose cells phi then has.

    As in DeepLab-V3+ a 1 x 1 convolution narrows the early features and a 3 x 3 convolution joins
    both, here a separable one. It starts as if there were no skip, with the pyramid's output, so
    that few iterations suffice. Early features of lite0 are ten times as large as that; brought
    to length sqrt(E) in each cell, they do not drown it.
    """

    def __init__(self, channels: int, early: int, width: int = 256, narrow: int = 48):
        super().__init__()
        self.pyramid = SmallPyramid(channels, width)
        self.scale = LayerNorm2d(early)
        self.narrow = nn.Conv2d(early, narrow, 1)
        both = width + narrow
        self.around = nn.Conv2d(both, both, 3, padding=1, groups=both, bias=False)
        self.join = nn.Conv2d(both, width, 1)
        nn.init.kaiming_normal_(self.narrow.weight, nonlinearity="relu")
        nn.init.dirac_(self.around.weight, groups=both)
        nn.init.dirac_(self.join.weight)
        for layer in (self.narrow, self.join):
            nn.init.zeros_(layer.bias)

    def forward(
        self, features: Float[Tensor, "N D h w"], early: Float[Tensor, "N E H W"]
    ) -> Float[Tensor, "N width H W"]:
        """Features and early ones, whose corners align, to phi, at least 0."""
        size = early.shape[2:]
        coarse = F.interpolate(self.pyramid(features), size, mode="bilinear", align_corners=True)
        both = torch.cat([coarse, F.relu(self.narrow(self.scale(early)))], dim=1)
        return F.relu(self.join(self.around(both)))


def build_neck(kind: str, channels: int, early: int | None = None) -> tuple[nn.Module, int]:
    """A DeepLab neck and the channels of its phi.

    Args:
        kind: "none" (VGG-16, whose fc6 is the dilated LargeFOV layer already), "aspp" (DeepLab-V2),
            "aspp-small" (`SmallPyramid`, for stride 16 and small images) or "skip" (`SkipPyramid`,
            the same with early features).
        channels: of the backbone.
        early: channels of its early features, see `bana.networks.backbones.Backbone`.

    Raises:
        ValueError: if the kind is unknown, or needs early features and there are none.
    """
    if kind == "none":
        return nn.Identity(), channels
    if kind == "aspp":
        return AtrousPyramid(channels), 256
    if kind == "aspp-small":
        return SmallPyramid(channels), 256
    if kind == "skip":
        if early is None:
            raise ValueError("neck 'skip' needs early features: use lite0, lite2 or timm:<model>")
        return SkipPyramid(channels, early), 256
    raise ValueError(f"unknown neck {kind!r}: use none, aspp, aspp-small or skip")
