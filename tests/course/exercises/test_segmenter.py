"""Exercises of notebook 07: typical wrong answers get their hints, a right one passes."""

import math

import torch
import torch.nn.functional as F
from answers import cases_of


def least_loss(tau, others):
    return math.log1p(others * math.exp(-2 * tau))


def least_for_positive_cosines(tau, others):
    return math.log1p(others * math.exp(-tau))


def without_temperature(tau, others):
    return math.log1p(others * math.exp(-2))


def one_too_many(tau, others):
    return math.log1p((others + 1) * math.exp(-2 * tau))


def as_probability(tau, others):
    return 1 / (1 + others * math.exp(-2 * tau))


def wasted_share(rate, height, width):
    rows, columns = (1 + 2 * max(0, n - rate) / n for n in (height, width))
    return 1 - rows * columns / 9


def at_the_centre(rate, height, width):
    rows = sum(0 <= height // 2 + step < height for step in (-rate, 0, rate))
    columns = sum(0 <= width // 2 + step < width for step in (-rate, 0, rate))
    return 1 - rows * columns / 9


def below_nothing(rate, height, width):
    rows, columns = (1 + 2 * (n - rate) / n for n in (height, width))
    return 1 - rows * columns / 9


def of_eight_taps(rate, height, width):
    return wasted_share(rate, height, width) * 9 / 8


def along_y_and_along_x(rate, height, width):
    return sum(2 / 3 * min(rate, n) / n for n in (height, width))


def cosine_gradient(phi, w):
    unit, along = F.normalize(w, dim=0), F.normalize(phi, dim=0)
    return (unit - (unit @ along) * along) / phi.norm()


def length_held_constant(phi, w):
    return F.normalize(w, dim=0) / phi.norm()


def by_length_of_w(phi, w):
    return cosine_gradient(phi, w) * w.norm()


def whatever_length(phi, w):
    return cosine_gradient(phi, w) * phi.norm()


def of_half_the_size(phi, w):
    return cosine_gradient(phi, w) / 2 + phi


def of_other_taps(rate, height, width):
    return wasted_share(rate, height, width) / 2


def of_the_dot_product(phi, w):
    return w


def by_autograd(phi, w):
    phi.requires_grad_()
    return torch.autograd.grad(torch.cosine_similarity(phi, w, dim=0), phi)[0]


RIGHT = {"07-1": least_loss, "07-2": wasted_share, "07-3": cosine_gradient}
WRONG = [
    ("07-1", least_for_positive_cosines, "may also be negative"),
    ("07-1", without_temperature, "Where is it?"),
    ("07-1", one_too_many, "counted twice"),
    ("07-1", as_probability, "minus its logarithm"),
    ("07-2", at_the_centre, "the mean over all cells"),
    ("07-2", below_nothing, "not a negative number"),
    ("07-2", of_eight_taps, "one of the nine"),
    ("07-2", along_y_and_along_x, "those that do both twice"),
    ("07-3", length_held_constant, "depends on phi as well"),
    ("07-3", by_length_of_w, "does not feel the length of w"),
    ("07-3", whatever_length, "by a smaller angle"),
    ("07-2", of_other_taps, "leaves the map"),
    ("07-3", of_half_the_size, "A short step along phi"),
    ("07-3", of_the_dot_product, "the dot product"),
    ("07-3", by_autograd, "asks automatic differentiation"),
]


test_a_right_answer_passes, test_a_wrong_answer_gets_its_hint = cases_of(RIGHT, WRONG)
