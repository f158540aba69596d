"""Exercises of notebook 07: training DeepLab."""

import math

import torch
import torch.nn.functional as F

from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import (
    compare,
    exercise,
    helped,
    recognise,
    without_autograd,
)


@exercise("07-1")
def least_loss(answer) -> str:
    """The lowest cross-entropy that a cosine classifier can reach at one pixel."""
    for tau, others in ((1.0, 1), (1.0, 8), (5.0, 20), (2.0, 3)):
        found = answer(tau, others)
        expected = math.log1p(others * math.exp(-2 * tau))
        mistakes = {
            "A cosine may also be negative: how far can the right class lead?": (
                math.log1p(others * math.exp(-tau))
            ),
            "The temperature multiplies every cosine. Where is it?": (
                math.log1p(others * math.exp(-2))
            ),
            "The right class is counted twice in the denominator of the softmax: how many are the "
            "others?": math.log1p((others + 1) * math.exp(-2 * tau)),
            "That is the probability. The loss is minus its logarithm.": (
                1 / (1 + others * math.exp(-2 * tau))
            ),
        }
        recognise(found, expected, mistakes)
        compare(found, expected, f"tau = {tau:g} and {others} other classes")
    return "temperatures of 1, 2 and 5 with 1 to 20 other classes"


@asks("07-1", tau=(0.5, 1, 1.5), others=(5, 10, 15, 30, 40, 50, 60, 80, 100))
def loss_floor(tau: float = 1, others: int = 20) -> Question:
    """The lowest loss at a temperature that is too small."""
    answer = math.log1p(others * math.exp(-2 * tau))
    words = (
        f"$\\tau = {short(tau)}$ and {others} other classes",
        f"least_loss({tau}, {others})",
        f"stays above {short(answer)}",
    )
    positive = "A cosine may also be negative: how far can the right class lead?"
    return Question(answer, words, {positive: math.log1p(others * math.exp(-tau))})


@exercise("07-2")
def wasted_share(answer) -> str:
    """Share of the taps of a dilated 3 x 3 convolution that read padding."""
    for rate, height, width in ((1, 13, 13), (6, 13, 17), (12, 41, 41), (24, 13, 13), (3, 1, 9)):
        found = answer(rate, height, width)
        kernel, cells = torch.ones(1, 1, 3, 3), torch.ones(1, 1, height, width)
        read = F.conv2d(cells, kernel, padding=rate, dilation=rate)
        expected = float(1 - read.mean() / 9)
        rows, columns = (1 + 2 * (height - rate) / height, 1 + 2 * (width - rate) / width)
        mistakes = {
            "That is the share at the central cell. A cell at the border has other taps outside: "
            "take the mean over all cells.": (float(1 - read[0, 0, height // 2, width // 2] / 9)),
            "A rate beyond the size of the map leaves no cell inside, and not a negative number "
            "of them.": 1 - rows * columns / 9,
            "The central tap is one of the nine, and it always reads the map.": expected * 9 / 8,
            "A tap may leave the map along y and along x. Adding the two counts those that do both "
            "twice.": float(2 / 3 * min(rate, height) / height + 2 / 3 * min(rate, width) / width),
        }
        recognise(found, expected, mistakes)
        with helped("A tap is wasted where its cell plus the offset, by the rate, leaves the map."):
            compare(found, expected, f"a rate of {rate} on a map of {height} x {width} cells")
    return "rates of 1 to 24, beyond the map too, and a map of a single row"


@asks("07-2", rate=(6, 12, 18, 24), size=(13, 17, 21, 25, 29, 33, 37, 45, 49, 57, 65))
def wasted_on_a_square(rate: int = 24, size: int = 41) -> Question:
    """What a dilated convolution wastes on a square map."""
    answer = 1 - (1 + 2 * (size - rate) / size) ** 2 / 9
    words = (
        f"rate {rate} on a map of {size} x {size} cells",
        f"wasted_share({rate}, {size}, {size})",
        f"{short(answer)} of the taps",
    )
    one_axis = {"The map has two axes.": 2 * rate / size / 3}
    return Question(answer, words, one_axis, sensible=rate < size)


@exercise("07-3")
def cosine_gradient(answer) -> str:
    """Gradient of cos(phi, w) with respect to phi, by hand."""
    generator = torch.Generator().manual_seed(3)
    phi, w = torch.rand(2, 5, generator=generator, dtype=torch.float64)
    cases = {
        "two random vectors": (2 * phi, 3 * w),
        "a feature of length .1": (0.1 * F.normalize(phi, dim=0), w),
        "a feature that points along w": (2 * w, w),
        "a feature that points away from w": (-w, w),
    }
    for given, (f, v) in cases.items():
        with without_autograd():
            found = answer(f.clone(), v.clone())
        free = f.clone().requires_grad_()
        (expected,) = torch.autograd.grad(torch.cosine_similarity(free, v, dim=0), free)
        unit, along = F.normalize(v, dim=0), F.normalize(f, dim=0)
        mistakes = {
            "The length of phi depends on phi as well. Along phi the cosine does not change, and "
            "your gradient does not know.": unit / f.norm(),
            "A cosine does not feel the length of w, and your gradient does.": (
                (v - (v @ along) * along) / f.norm()
            ),
            "The same step turns a long feature by a smaller angle. How does the length of phi "
            "enter?": unit - (unit @ along) * along,
            "That is the gradient of the dot product.": v,
        }
        recognise(found, expected, mistakes)
        with helped("A short step along phi leaves the cosine as it is. Does your gradient?"):
            compare(found, expected, given)
    return "random vectors, a short one, and those that point along w and away from it"
