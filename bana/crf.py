"""Fully connected conditional random field (Kraehenbuehl and Koltun 2011).

Mean field with Potts compatibility, one Gaussian kernel over position and one bilateral kernel
over position and colour, in the conventions of the implementation that published parameters were
chosen for. :func:`dense_crf` is the one to use; :func:`exact_crf` is its slow, exact oracle.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from bana.permutohedral import build_lattice

CLIP = 1e-5
NEGLIGIBLE = 1e-3
TINY = 1e-20
SUM_TOLERANCE = 1e-2
BAND = 64


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
        ValueError: for a deviation that is not positive, or a negative weight or count.
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
            if not (value > 0 if positive else value >= 0):
                bound = "positive" if positive else "at least 0"
                raise ValueError(f"{field.name} must be {bound}, got {value}")


LABEL_CRF = CrfParameters()
DEEPLAB_V1_CRF = CrfParameters(bilateral_xy=121, bilateral_rgb=5)
DEEPLAB_V2_CRF = CrfParameters(bilateral_xy=67, gaussian_xy=1)


def dense_crf(
    image: Tensor, probabilities: Tensor, parameters: CrfParameters = LABEL_CRF
) -> Tensor:
    """Refine label probabilities by mean field in a fully connected CRF.

    The bilateral kernel goes through a permutohedral lattice, built once an image. The Gaussian
    kernel is separable, so it is two small matrix products, cut off only where float32 no longer
    sees it (6 deviations); pydensecrf approximates it with a second lattice. Two exact savings:
    the normalised kernels are linear and probabilities sum to 1, so the last label's message is
    that of a constant minus the other labels'; and labels that matter nowhere (probability below
    1e-3 at every pixel) keep their unary but neither send nor receive messages. The last is the
    only approximation beside the lattice. The lattice's error, the same in pydensecrf, is 1 to 2 %
    of labels on most crops; where the unary is vague, a region can tip to another label over it.

    Args:
        image: uint8 RGB [3, H, W], 0-255, not normalised; H, W >= 1.
        probabilities: float [C, H, W], C >= 1, on the device of ``image``, each pixel's sum 1
            (to within .01).
        parameters: the kernels; the defaults are the authors' for pseudo labels.

    Returns:
        Q, float32 [C, H, W], each pixel's sum 1.

    Raises:
        ValueError: for a wrong dtype, shape or device, for probabilities that are NaN, negative or
            unnormalised, and for a kernel too narrow to build a lattice for.
    """
    _check(image, probabilities)
    _, height, width = image.shape
    filters = []
    if parameters.gaussian_weight > 0:
        like = image.new_empty(0, dtype=torch.float32)
        filters.append(_gaussian_filter(height, width, parameters, like))
    if parameters.bilateral_weight > 0:
        filters.append(_lattice_filter(image, parameters))
    return _mean_field(probabilities, filters, parameters.iterations)


def exact_crf(
    image: Tensor,
    probabilities: Tensor,
    parameters: CrfParameters = LABEL_CRF,
    chunk: int = 2**22,
) -> Tensor:
    """Refine label probabilities as :func:`dense_crf` does, with the bilateral kernel exact.

    The bilateral message is attention without its softmax: exp(-|a - b|² / 2) is
    exp(a·b - |a|² / 2 - |b|² / 2), a matrix product and an exponential. Every pair of pixels is
    visited, so the cost is quadratic: seconds for 100 x 100 pixels on a CPU, whole photographs
    only on a GPU. Computed in float64.

    Args:
        image, probabilities, parameters: as in :func:`dense_crf`; no label is left out.
        chunk: pairs of pixels held at once, 8 bytes each; memory grows with this and not with
            the number of pairs.

    Returns:
        Q, float32 [C, H, W], each pixel's sum 1.

    Raises:
        ValueError: as :func:`dense_crf`.
    """
    _check(image, probabilities)
    _, height, width = image.shape
    scores = probabilities.double().clamp_min(CLIP).log().flatten(1)  # [C, HW], minus the unary
    kernels = []
    if parameters.gaussian_weight > 0:
        kernels.append(_gaussian_filter(height, width, parameters, scores))
    if parameters.bilateral_weight > 0:
        kernels.append(_attention_filter(image, parameters, chunk))
    q = scores.softmax(0)
    for _ in range(parameters.iterations):
        q = (scores + sum(kernel(q) for kernel in kernels)).softmax(0)
    return q.float().view(-1, height, width)


def _mean_field(
    probabilities: Tensor, filters: list[Callable[[Tensor], Tensor]], iterations: int
) -> Tensor:
    """Run mean field with the given kernels, each a linear map of [labels, HW]."""
    c, height, width = probabilities.shape
    scores = probabilities.float().clamp_min(CLIP).log().flatten(1)  # [C, HW], minus the unary
    peak = probabilities.flatten(1).amax(1)  # [C]
    active = peak >= peak.amax().clamp(max=NEGLIGIBLE)
    last = int(active.sum()) - 1
    unary = scores[active]  # [A, HW], the label at ``last`` is the one that is not filtered

    def message(values: Tensor) -> Tensor:
        total = torch.zeros_like(values)
        for kernel in filters if len(values) else []:
            total += kernel(values)
        return total

    total = message(scores.new_ones(1, height * width))[0]  # [HW], of all labels together
    energy = torch.cat([unary, scores[~active].logsumexp(0, keepdim=True)])  # [A + 1, HW]
    for _ in range(iterations):
        received = message(energy.softmax(0)[:last])  # [A - 1, HW]
        torch.add(unary[:last], received, out=energy[:last])
        torch.add(unary[last], total - received.sum(0), out=energy[last])
    scores[active] = energy[:-1]
    return scores.softmax(0).view(c, height, width)


def _lattice_filter(image: Tensor, parameters: CrfParameters) -> Callable[[Tensor], Tensor]:
    """The normalised bilateral kernel times its weight, as a map of [labels, HW]."""
    lattice = build_lattice(_bilateral_points(image, parameters))
    ones = torch.ones(image[0].numel(), 1, device=image.device)
    norm = (lattice.filter(ones)[:, 0] + TINY).rsqrt()  # [HW]
    lattice = lattice.scaled(norm * parameters.bilateral_weight**0.5)

    def kernel(values: Tensor) -> Tensor:
        # A single label transposed counts as contiguous with a stride that bags are slow for.
        by_pixel = values.new_empty(values.shape[::-1]).copy_(values.T)  # [HW, labels]
        return lattice.filter(by_pixel).T

    return kernel


def _attention_filter(
    image: Tensor, parameters: CrfParameters, chunk: int
) -> Callable[[Tensor], Tensor]:
    """As :func:`_lattice_filter`, over every pair of pixels and in float64."""
    points = _bilateral_points(image, parameters).double().T  # [HW, 5]
    points = points - points.mean(0)
    half = points.square().sum(1) / 2  # [HW]
    rows = max(1, chunk // len(points))

    def attend(values: Tensor) -> Tensor:
        parts = [
            torch.exp(a @ points.T - h[:, None] - half) @ values.T
            for a, h in zip(points.split(rows), half.split(rows), strict=True)
        ]
        return torch.cat(parts).T  # [labels, HW]

    norm = (attend(torch.ones_like(half)[None]) + TINY).rsqrt()  # [1, HW]
    return lambda values: parameters.bilateral_weight * norm * attend(norm * values)


def _bilateral_points(image: Tensor, parameters: CrfParameters) -> Tensor:
    """Position and colour of every pixel in units of their deviations, float32 [5, HW]."""
    _, height, width = image.shape
    x = torch.arange(width, device=image.device) / parameters.bilateral_xy
    y = torch.arange(height, device=image.device) / parameters.bilateral_xy
    colour = image.flatten(1) / parameters.bilateral_rgb  # [3, HW]
    place = torch.stack([x.repeat(height), y.repeat_interleave(width)])  # [2, HW]
    return torch.cat([place, colour])


def _gaussian_filter(
    height: int, width: int, parameters: CrfParameters, like: Tensor
) -> Callable[[Tensor], Tensor]:
    """The normalised Gaussian kernel times its weight, as a map of [labels, HW].

    The kernel is the product of one over rows and one over columns, and so is its normalisation.
    """
    scale = parameters.gaussian_weight**0.5
    rows = scale * _gaussian_matrix(height, parameters.gaussian_xy, like)  # [H, H]
    columns = scale * _gaussian_matrix(width, parameters.gaussian_xy, like)  # [W, W]
    reach = math.ceil(6 * parameters.gaussian_xy)

    def kernel(values: Tensor) -> Tensor:
        planes = values.reshape(-1, height, width)
        across = torch.empty_like(planes)
        for i, j in _bands(width, reach):
            across[:, :, i] = planes[:, :, j] @ columns[j, i]
        down = torch.empty_like(planes)
        for i, j in _bands(height, reach):
            down[:, i] = rows[i, j] @ across[:, j]
        return down.flatten(1)

    return kernel


def _gaussian_matrix(length: int, deviation: float, like: Tensor) -> Tensor:
    """D^-1/2 K D^-1/2 along one axis, [length, length] with the dtype and device of ``like``."""
    place = torch.arange(length, device=like.device, dtype=torch.float64) / deviation
    matrix = torch.exp(-(place[:, None] - place).square() / 2)
    norm = (matrix.sum(1) + TINY).rsqrt()
    return (norm[:, None] * matrix * norm).to(like.dtype)


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
    low = probabilities.amin()
    if not probabilities.isfinite().all():
        raise ValueError("probabilities hold NaN or infinite values")
    if low < 0:
        raise ValueError(f"probabilities must not be negative, got {low:.3g}")
    error = (probabilities.float().sum(0) - 1).abs().amax()
    if error > SUM_TOLERANCE:
        raise ValueError(f"probabilities must sum to 1 at every pixel, off by up to {error:.3g}")
