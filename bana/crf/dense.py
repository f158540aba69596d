"""Fully connected conditional random field (Kraehenbuehl and Koltun 2011).

Mean field with Potts compatibility, one Gaussian kernel over position and one bilateral kernel
over position and colour, in the conventions of the implementation that published parameters were
chosen for. :func:`dense_crf` is the one to use; :func:`exact_crf` is its slow, exact oracle.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from bana.crf.permutohedral import build_lattice

CLIP = 1e-5
NEGLIGIBLE = 1e-3
TINY = 1e-20
SUM_TOLERANCE = 1e-2
EXPONENT_ERROR = 2**-6
BAND = 32
FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]

# Labels between rows and columns let both passes of the Gaussian be plain matrix products of what
# lies in memory, and let the lattice, which wants the labels of a pixel side by side, turn one
# short row at a time.
Values = Float[Tensor, "H labels W"]
# A kernel, normalised and times its weight: a linear map of its first argument, added to the
# second; the third is room to work in.
Kernel = Callable[[Values, Values, Values], None]


@dataclass(frozen=True)
class CrfParameters:
    """Weights and deviations of the two kernels.

    Attributes:
        bilateral_weight: weight of the bilateral kernel.
        bilateral_xy: its deviation over position, in pixels.
        bilateral_rgb: its deviation over colour, in units of 0-255.
        gaussian_weight: weight of the Gaussian kernel.
        gaussian_xy: its deviation over position, in pixels.
        iterations: number of mean-field updates; 0 returns the clipped unary as probabilities.

    Raises:
        ValueError: for a deviation that is not positive, a negative weight or count, or infinity.
    """

    bilateral_weight: float = 4
    bilateral_xy: float = 55
    bilateral_rgb: float = 3
    gaussian_weight: float = 3
    gaussian_xy: float = 3
    iterations: int = 10

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        for field in fields(self):
            value = getattr(self, field.name)
            positive = field.name.endswith(("_xy", "_rgb"))
            if not (value > 0 if positive else value >= 0) or value == math.inf:
                bound = "positive and finite" if positive else "at least 0 and finite"
                raise ValueError(f"{field.name} must be {bound}, got {value}")


LABEL_CRF = CrfParameters()
DEEPLAB_V1_CRF = CrfParameters(bilateral_xy=121, bilateral_rgb=5)
DEEPLAB_V2_CRF = CrfParameters(bilateral_xy=67, gaussian_xy=1)


class CrfResult(NamedTuple):
    """What mean field ends with.

    Attributes:
        q: Q, each pixel's sum 1.
        filtered: the labels that sent and received messages; the others were negligible at every
            pixel and kept their unary.
    """

    q: Float32[Tensor, "C H W"]
    filtered: Bool[Tensor, " C"]


@torch.no_grad()
def dense_crf(
    image: UInt8[Tensor, "3 H W"],
    probabilities: Float[Tensor, "C H W"],
    parameters: CrfParameters = LABEL_CRF,
) -> CrfResult:
    """Refine label probabilities by mean field in a fully connected CRF; no gradient flows.

    The bilateral kernel goes through a permutohedral lattice, built once an image. The Gaussian
    kernel is separable, so it is two small matrix products, cut off only where float32 no longer
    sees it (6 deviations); pydensecrf approximates it with a second lattice. Two savings: labels
    that matter nowhere (probability below 1e-3 at every pixel) keep their unary but neither send
    nor receive messages, as ``filtered`` tells, which is the only approximation beside the lattice;
    and where no label is left out, the last one's message is that of a constant minus the other
    labels', since the normalised kernels are linear and probabilities sum to 1. The lattice's
    error, the same in pydensecrf, is 1 to 3 % of labels on photographs with a vague unary, where a
    region can tip to another label over it (`benchmarks/crf.py` measures it).

    Args:
        image: RGB, 0-255, not normalised; H, W >= 1; any strides, so that
            ``pixels.permute(2, 0, 1)`` of an array [H, W, 3] will do.
        probabilities: C >= 1, on the device of ``image``, each pixel's sum 1 (to within .01).
        parameters: the kernels; the defaults are the authors' for pseudo labels.

    Returns:
        Q and the labels that were filtered, on the device of ``image``.

    Raises:
        ValueError: for a wrong dtype, shape or device, for probabilities that are NaN, negative or
            unnormalised, and for a kernel too narrow to build a lattice for.
    """
    _check(image, probabilities)
    kernels: list[Kernel] = []
    if parameters.gaussian_weight > 0:
        like = image.new_empty(0, dtype=torch.float32)
        kernels.append(_gaussian_kernel(*image.shape[1:], parameters, like))
    if parameters.bilateral_weight > 0:
        kernels.append(_lattice_kernel(image, parameters))
    return _mean_field(probabilities, kernels, parameters.iterations)


@torch.no_grad()
def exact_crf(
    image: UInt8[Tensor, "3 H W"],
    probabilities: Float[Tensor, "C H W"],
    parameters: CrfParameters = LABEL_CRF,
    dtype: torch.dtype | None = None,
) -> CrfResult:
    """Refine label probabilities as :func:`dense_crf` does, with the bilateral kernel exact.

    The bilateral message is attention: exp(-|a - b|² / 2) is exp(a·b - |b|² / 2) up to a factor
    of a's own, and dividing by the sum over b, as a softmax does, takes that factor away. So
    torch's fused attention computes it without the matrix of all pairs. Every pair is visited all
    the same and the cost is quadratic: seconds for 100 x 100 pixels on a CPU, many minutes for a
    photograph.

    Args:
        image, probabilities, parameters: as in :func:`dense_crf`.
        dtype: of the computation; None takes float64 on a CPU and float32 elsewhere, where fused
            attention has no other that is precise enough.

    Returns:
        Q and ``filtered``, which is True for every label: none is left out.

    Raises:
        ValueError: as :func:`dense_crf`.
    """
    _check(image, probabilities)
    if dtype is None:
        dtype = torch.float64 if image.device.type == "cpu" else torch.float32
    scores = probabilities.to(dtype).clamp_min(CLIP).log()
    scores = scores.transpose(0, 1).contiguous()  # [H, C, W], minus the unary
    kernels: list[Kernel] = []
    if parameters.gaussian_weight > 0:
        kernels.append(_gaussian_kernel(*image.shape[1:], parameters, scores))
    if parameters.bilateral_weight > 0:
        kernels.append(_attention_kernel(image, parameters, scores))
    q = scores.softmax(1)
    for _ in range(parameters.iterations):
        q = _send(kernels, q, scores.clone(), torch.empty_like(q)).softmax(1)
    every = torch.ones(len(probabilities), dtype=torch.bool, device=image.device)
    return CrfResult(q.transpose(0, 1).float().contiguous(), every)


def _mean_field(
    probabilities: Float[Tensor, "C H W"], kernels: Sequence[Kernel], iterations: int
) -> CrfResult:
    """Mean field over the labels that matter somewhere; where all do, the last needs no filter."""
    scores = probabilities.float().clamp_min(CLIP).log_()  # [C, H, W], minus the unary
    peak = probabilities.amax((1, 2))  # [C]
    filtered = peak >= peak.amax().clamp(max=NEGLIGIBLE)
    rest = scores[~filtered].logsumexp(0)  # [H, W], the other labels as one
    unary = torch.cat([scores.transpose(0, 1)[:, filtered], rest[:, None]], 1)  # [H, A + 1, W]
    # What is left of the constant belongs to the last label alone if no other label is left out.
    derived = bool(filtered.all())
    last = unary.shape[1] - 1 - derived

    constant = torch.ones_like(rest)[:, None]
    together = _send(kernels, constant, torch.zeros_like(constant), torch.empty_like(constant))
    total = together[:, 0]  # [H, W], what all labels send
    energy = unary.clone()
    # Fresh memory in every step would cost a quarter of the time.
    q, values = torch.empty_like(energy), torch.empty_like(energy[:, :last])  # [H, A or A - 1, W]
    received, room = torch.empty_like(values), torch.empty_like(values)
    for _ in range(iterations):
        torch.softmax(energy, 1, out=q)
        _send(kernels, values.copy_(q[:, :last]), received.zero_(), room)
        torch.add(unary[:, :last], received, out=energy[:, :last])
        if derived:
            torch.add(unary[:, last], total - received.sum(1), out=energy[:, last])
    scores[filtered] = energy[:, :-1].transpose(0, 1)
    return CrfResult(scores.softmax(0), filtered)


def _send(kernels: Sequence[Kernel], values: Values, received: Values, room: Values) -> Values:
    """Add the messages of all kernels to ``received``."""
    for kernel in kernels if values.numel() else ():
        kernel(values, received, room)
    return received


def _lattice_kernel(image: UInt8[Tensor, "3 H W"], parameters: CrfParameters) -> Kernel:
    """The bilateral kernel through a permutohedral lattice."""
    lattice = build_lattice(_bilateral_points(image, parameters))
    ones = torch.ones(image[0].numel(), 1, device=image.device)
    norm = (lattice.filter(ones)[:, 0] + TINY).rsqrt()  # [HW]
    lattice = lattice.scaled(norm * parameters.bilateral_weight**0.5)

    def kernel(values: Values, received: Values, room: Values) -> None:
        height, labels, width = values.shape
        # A single label turned round counts as contiguous with a stride that bags are slow for.
        by_pixel = room.view(height, width, labels).copy_(values.transpose(1, 2))
        sent = lattice.filter(by_pixel.view(-1, labels))  # [HW, labels]
        received += sent.view(height, width, labels).transpose(1, 2)

    return kernel


def _attention_kernel(
    image: UInt8[Tensor, "3 H W"], parameters: CrfParameters, like: Tensor
) -> Kernel:
    """The bilateral kernel as attention of every pixel to every pixel, in the dtype of ``like``."""
    points = _bilateral_points(image, parameters).T.to(like)  # [HW, 5]
    points = points - points.mean(0)  # smaller exponents, less rounding
    half = points.square().sum(1, keepdim=True) / 2  # [HW, 1]
    # The exponent -|a - b|² / 2 comes out of numbers of this size, and is off by their rounding.
    error = float(half.amax()) * torch.finfo(half.dtype).eps
    if not error <= EXPONENT_ERROR:  # nan where positions overflow
        precision = "double" if half.dtype == torch.float64 else "single"
        raise ValueError(
            f"the kernel is too narrow for this image: its positions exceed {precision} precision"
        )
    one, none = torch.ones_like(half), torch.zeros_like(half)
    queries = torch.cat([points, one, half], 1)  # a, 1, |a|² / 2
    keys = torch.cat([points, -half, none], 1)  # b, -|b|² / 2, 0

    # Attention divides by D, the sum of the kernel, and does not tell it. One more key with the
    # kernel value 1 for every pixel receives 1 / (D + 1) of the attention, which does.
    stranger = torch.zeros_like(keys[:1])
    stranger[0, -1] = 1
    only = torch.zeros_like(half[:1]) + 1
    share = _attend(queries, torch.cat([keys, stranger]), torch.cat([none, only]))
    degree = 1 / share - 1 + TINY  # D, [HW, 1]

    def kernel(values: Values, received: Values, room: Values) -> None:
        height, labels, width = values.shape
        by_pixel = values.transpose(1, 2).reshape(-1, labels)  # [HW, labels]
        sent = degree.sqrt() * _attend(queries, keys, by_pixel * degree.rsqrt())
        sent = sent.view(height, width, labels).transpose(1, 2)
        received.add_(sent, alpha=parameters.bilateral_weight)

    return kernel


def _attend(
    queries: Float[Tensor, "HW E"], keys: Float[Tensor, "K E"], values: Float[Tensor, "K labels"]
) -> Float[Tensor, "HW labels"]:
    """Fused softmax(queries keys^T) values."""
    labels = values.shape[1]
    # Fused kernels want one width for all three, a multiple of 8.
    width = max(keys.shape[1], labels)
    width += -width % 8
    padded = (F.pad(x, (0, width - x.shape[1]))[None, None] for x in (queries, keys, values))
    with sdpa_kernel(FUSED):
        return F.scaled_dot_product_attention(*padded, scale=1.0)[0, 0, :, :labels]


def _bilateral_points(
    image: UInt8[Tensor, "3 H W"], parameters: CrfParameters
) -> Float32[Tensor, "5 H*W"]:
    """Position and colour of every pixel in units of their deviations."""
    _, height, width = image.shape
    x = torch.arange(width, device=image.device) / parameters.bilateral_xy
    y = torch.arange(height, device=image.device) / parameters.bilateral_xy
    colour = image.flatten(1) / parameters.bilateral_rgb  # [3, HW]
    place = torch.stack([x.repeat(height), y.repeat_interleave(width)])  # [2, HW]
    return torch.cat([place, colour])


def _gaussian_kernel(height: int, width: int, parameters: CrfParameters, like: Tensor) -> Kernel:
    """The Gaussian kernel, exact.

    It is the product of one over rows and one over columns, and so is its normalisation.
    """
    scale = parameters.gaussian_weight**0.5
    rows = scale * _gaussian_matrix(height, parameters.gaussian_xy, like)  # [H, H]
    columns = scale * _gaussian_matrix(width, parameters.gaussian_xy, like)  # [W, W]
    reach = math.ceil(6 * parameters.gaussian_xy)

    def kernel(values: Values, received: Values, room: Values) -> None:
        lines, down = values.view(height, -1), room.view(height, -1)  # [H, labels W]
        for i, j in _bands(height, reach):
            torch.mm(rows[i, j], lines[j], out=down[i])
        lines, across = down.view(-1, width), received.view(-1, width)  # [H labels, W]
        for i, j in _bands(width, reach):
            across[:, i].addmm_(lines[:, j], columns[j, i])

    return kernel


def _gaussian_matrix(
    length: int, deviation: float, like: Tensor
) -> Float[Tensor, "{length} {length}"]:
    """D^-1/2 K D^-1/2 along one axis, with the dtype and device of ``like``."""
    place = torch.arange(length, dtype=torch.float64) / deviation  # on the CPU: MPS has no float64
    matrix = torch.exp(-(place[:, None] - place).square() / 2)
    norm = (matrix.sum(1) + TINY).rsqrt()
    return (norm[:, None] * matrix * norm).to(like)


def _bands(length: int, reach: int) -> list[tuple[slice, slice]]:
    """Runs of outputs, and the inputs within ``reach`` of each, for a banded matrix product."""
    starts = range(0, length, BAND)
    return [
        (slice(s, min(s + BAND, length)), slice(max(0, s - reach), min(s + BAND + reach, length)))
        for s in starts
    ]


def _check(image: Tensor, probabilities: Tensor) -> None:
    """Refuse arguments that would give a meaningless result."""
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise ValueError(f"image must be [3, H, W], got {tuple(image.shape)}")
    if image.dtype != torch.uint8:
        raise ValueError(
            f"image must be uint8 in 0-255 and not normalised (the kernel's deviations are in "
            f"these units), got {image.dtype}"
        )
    if probabilities.ndim != 3 or len(probabilities) == 0:
        raise ValueError(f"probabilities must be [C, H, W], got {tuple(probabilities.shape)}")
    if probabilities.shape[1:] != image.shape[1:]:
        raise ValueError(
            f"probabilities and image must have one size, got {tuple(probabilities.shape[1:])} "
            f"and {tuple(image.shape[1:])}"
        )
    if not probabilities.is_floating_point():
        raise ValueError(f"probabilities must be floating point, got {probabilities.dtype}")
    if probabilities.device != image.device:
        raise ValueError(
            f"probabilities and image must be on one device, got {probabilities.device} "
            f"and {image.device}"
        )
    low, high = torch.aminmax(probabilities)  # NaN if any is
    if not (low.isfinite() and high.isfinite()):
        raise ValueError("probabilities hold NaN or infinite values")
    if low < 0:
        raise ValueError(f"probabilities must not be negative, got {low:.3g}")
    error = (probabilities.float().sum(0) - 1).abs().amax()
    if error > SUM_TOLERANCE:
        raise ValueError(f"probabilities must sum to 1 at every pixel, off by up to {error:.3g}")
