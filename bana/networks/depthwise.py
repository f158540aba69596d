"""Dilated depthwise convolutions with a backward pass that is fast on a CPU.

Libraries have fast kernels for depthwise convolutions and for dilated ones, but train those that
are both with a reference loop. The light backbone at stride 16 has four layers of them. Both
gradients are convolutions of kinds that are fast; what that brings a training step is measured by
`benchmarks/depthwise.py` (results/depthwise.json).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class DilatedDepthwise(nn.Conv2d):
    """A dilated depthwise convolution of stride 1 that keeps the size of the map.

    Values and gradients are those of `torch.nn.Conv2d` up to rounding; there is no second
    derivative.

    Args:
        convolution: an odd, square kernel for each channel, padded to keep the size; its parameters
            are taken over, not copied.

    Raises:
        ValueError: if the convolution is of another kind.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        if not is_dilated_depthwise(convolution):
            raise ValueError(f"not a dilated depthwise convolution that keeps sizes: {convolution}")
        super().__init__(
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,
            padding=convolution.padding,
            dilation=convolution.dilation,
            groups=convolution.groups,
            bias=convolution.bias is not None,
            device="meta",
        )
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, input: Float[Tensor, "N D h w"]) -> Float[Tensor, "N D h w"]:
        """The convolution."""
        if input.device.type != "cpu":
            return super().forward(input)  # other devices have kernels for it
        output = _Depthwise.apply(input, self.weight, self.dilation[0])
        return output if self.bias is None else output + self.bias[:, None, None]


def is_dilated_depthwise(module: nn.Module) -> bool:
    """Whether `DilatedDepthwise` can take a layer's place."""
    if not isinstance(module, nn.Conv2d) or isinstance(module, DilatedDepthwise):
        return False
    side, dilation = module.kernel_size[0], module.dilation[0]
    return (
        module.in_channels == module.out_channels == module.groups
        and side % 2 == 1
        and module.kernel_size == (side, side)
        and dilation > 1
        and module.dilation == (dilation, dilation)
        and module.stride == (1, 1)
        and module.padding == (dilation * (side // 2),) * 2
        and module.padding_mode == "zeros"
    )


def quicken(network: nn.Module) -> None:
    """Put `DilatedDepthwise` in the place of every layer in a network that it can stand for."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if is_dilated_depthwise(child):
                setattr(parent, name, DilatedDepthwise(child))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.dilation = dilation
        return _convolved(input, weight, dilation)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        # Under mixed precision the map was computed in fewer bits than the weights are kept in.
        input, weight = (saved.to(gradient.dtype) for saved in ctx.saved_tensors)
        to_input = to_weight = None
        if ctx.needs_input_grad[0]:
            # Where a tap read from, its share of the gradient goes: the mirrored kernel.
            layout = torch.channels_last if _is_channels_last(input) else torch.contiguous_format
            gradient = gradient.contiguous(memory_format=layout)
            to_input = _convolved(gradient, weight.flip(2, 3), ctx.dilation)
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(input, gradient, weight.shape[2], ctx.dilation)
        return to_input, to_weight, None


def _is_channels_last(maps: Tensor) -> bool:
    return maps.is_contiguous(memory_format=torch.channels_last)


def _convolved(maps: Tensor, weight: Tensor, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[2] // 2)
    return F.conv2d(maps, weight, padding=padding, dilation=dilation, groups=len(weight))


def _weight_gradient(
    input: Float[Tensor, "N D h w"], gradient: Float[Tensor, "N D h w"], side: int, dilation: int
) -> Float[Tensor, "D 1 side side"]:
    """Correlation of a channel's input with its gradient, at the kernel's offsets.

    Offsets lie ``dilation`` apart, so that a convolution of that stride, with the gradient as its
    kernel, computes no other.
    """
    images, channels, height, width = input.shape
    maps = input.transpose(0, 1).reshape(1, channels * images, height, width)
    kernels = gradient.transpose(0, 1).reshape(channels * images, 1, height, width)
    padding = dilation * (side // 2)
    each = F.conv2d(maps, kernels, padding=padding, stride=dilation, groups=channels * images)
    return each.view(channels, images, side, side).sum(1)[:, None]
