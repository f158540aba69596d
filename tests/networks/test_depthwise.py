"""Dilated depthwise convolutions: the same values and gradients as torch's own."""

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from bana.networks.depthwise import DilatedDepthwise, is_dilated_depthwise, quicken


def layer(side: int = 3, dilation: int = 2, channels: int = 6, bias: bool = False) -> nn.Conv2d:
    padding = dilation * (side // 2)
    return nn.Conv2d(
        channels, channels, side, padding=padding, dilation=dilation, groups=channels, bias=bias
    )


def gradients(convolution: nn.Module, maps: Tensor, weights: Tensor) -> list[Tensor]:
    """Output, and the gradients of its weighted sum: to the input and to every parameter."""
    maps = maps.clone().requires_grad_()
    output = convolution(maps)
    wanted = [maps, *convolution.parameters()]
    return [output, *torch.autograd.grad((output * weights).sum(), wanted)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("side", "dilation", "size", "bias"),
    [(3, 2, (7, 5), False), (5, 2, (13, 13), True), (3, 3, (4, 9), False), (5, 4, (3, 2), True)],
)
def test_values_and_gradients_are_those_of_torch(
    side: int, dilation: int, size: tuple[int, int], bias: bool, layout: torch.memory_format
) -> None:
    torch.manual_seed(side + dilation)
    plain = layer(side, dilation, bias=bias).double()
    maps = torch.randn(3, 6, *size, dtype=torch.float64).contiguous(memory_format=layout)
    weights = torch.randn(3, 6, *size, dtype=torch.float64)
    expected = gradients(plain, maps, weights)
    found = gradients(DilatedDepthwise(copy.deepcopy(plain)), maps, weights)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_frozen_weight_and_an_input_without_gradient() -> None:
    torch.manual_seed(0)
    plain = layer()
    maps = torch.randn(2, 6, 5, 5, requires_grad=True)
    expected = torch.autograd.grad(plain(maps).square().sum(), maps)
    plain.weight.requires_grad_(False)
    found = torch.autograd.grad(DilatedDepthwise(plain)(maps).square().sum(), maps)
    torch.testing.assert_close(found, expected)
    trained = DilatedDepthwise(layer())
    trained(maps.detach()).sum().backward()
    assert trained.weight.grad.abs().sum() > 0


def test_under_mixed_precision_weights_get_gradients_of_their_own_precision() -> None:
    torch.manual_seed(0)
    convolution = DilatedDepthwise(layer())
    maps = torch.randn(2, 6, 5, 5, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = convolution(maps)
        assert output.dtype == torch.bfloat16
    output.float().sum().backward()
    assert maps.grad.dtype == convolution.weight.grad.dtype == torch.float32
    exact = torch.autograd.grad(layer_like(convolution)(maps).sum(), maps)[0]
    torch.testing.assert_close(maps.grad, exact, atol=2e-2, rtol=2e-2)


def layer_like(convolution: nn.Conv2d) -> nn.Conv2d:
    plain = layer()
    plain.load_state_dict(convolution.state_dict())
    return plain


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(6, 6, 3, padding=2, dilation=2),
        nn.Conv2d(6, 12, 3, padding=2, dilation=2, groups=6),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, stride=2),
        nn.Conv2d(6, 6, 3, padding=0, dilation=2, groups=6),
        nn.Conv2d(6, 6, (3, 5), padding=(2, 4), dilation=2, groups=6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, padding_mode="reflect"),
        nn.ReLU(),
    ],
)
def test_other_layers_are_refused(other: nn.Module) -> None:
    assert not is_dilated_depthwise(other)
    with pytest.raises(ValueError, match="not a dilated depthwise convolution"):
        DilatedDepthwise(other)


def test_a_network_keeps_its_tensors_under_their_names() -> None:
    network = timm.create_model("tf_efficientnet_lite0", output_stride=16)
    before = dict(network.state_dict(keep_vars=True))
    quicken(network)
    after = network.state_dict(keep_vars=True)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert sum(isinstance(module, DilatedDepthwise) for module in network.modules()) == 4
