"""Exercises of notebook 06: typical wrong answers get their hints, a right one passes."""

import math

import pytest
import torch
from answers import cases_of

from bana.course import check


def cosine_at(sigma, best, gamma):
    return (1 + best) * sigma ** (1 / gamma) - 1


def ratio_of_cosines(sigma, best, gamma):
    return best * sigma ** (1 / gamma)


def raised_again(sigma, best, gamma):
    return (1 + best) * sigma**gamma - 1


def similarity(sigma, best, gamma):
    return (1 + best) * sigma ** (1 / gamma)


def by_logarithms(sigma, best, gamma):
    return (1 + best) * math.exp(math.log(sigma) / gamma) - 1


def weighted_loss(loss, sigma, unreliable):
    weight = sigma * unreliable
    return (loss * weight).sum() / weight.sum().clamp_min(1e-12)


def image_by_image(loss, sigma, unreliable):
    pairs = zip(loss, sigma, unreliable, strict=True)
    return torch.stack([weighted_loss(*image) for image in pairs]).mean()


def over_the_count(loss, sigma, unreliable):
    return (loss * sigma * unreliable).sum() / unreliable.sum().clamp_min(1)


def everywhere(loss, sigma, unreliable):
    return weighted_loss(loss, sigma, torch.ones_like(unreliable))


def below_the_line_everywhere(loss, sigma, unreliable):
    return (loss * sigma * unreliable).sum() / sigma.sum().clamp_min(1e-12)


def in_python_numbers(loss, sigma, unreliable):
    return float((loss * sigma)[unreliable].sum()) / float(sigma[unreliable].sum())


def plain(loss, sigma, unreliable):
    return (loss * unreliable).sum() / unreliable.sum().clamp_min(1)


def nothing_over_nothing(loss, sigma, unreliable):
    return (loss * sigma)[unreliable].sum() / sigma[unreliable].sum()


def slopes(loss, angles):
    free = angles.clone().requires_grad_()
    (claimed,) = torch.autograd.grad(loss(free), free)
    steps = 1e-5 * torch.eye(len(angles), dtype=angles.dtype)
    measured = torch.stack([(loss(angles + s) - loss(angles - s)) / 2e-5 for s in steps])
    return claimed, measured


def is_detached(loss, angles):
    claimed, measured = slopes(loss, angles)
    return float((claimed - measured).abs().max()) > 1e-3 * float(measured.abs().max())


def no_graph(loss, angles):
    return not loss(angles.clone().requires_grad_()).requires_grad


def always(loss, angles):
    return True


def by_a_fixed_difference(loss, angles):
    claimed, measured = slopes(loss, angles)
    return not torch.allclose(claimed, measured, rtol=0, atol=1e-3)


def at_one_angle(i):
    def answer(loss, angles):
        claimed, measured = (slope[i] for slope in slopes(loss, angles))
        return float((claimed - measured).abs()) > 1e-3 * float(measured.abs())

    return answer


def by_the_first_two(loss, angles):
    claimed, measured = (slope[:2] for slope in slopes(loss, angles))
    return float((claimed - measured).abs().max()) > 1e-3 * float(measured.abs().max())


def slope_by_slope(loss, angles):
    return not torch.allclose(*slopes(loss, angles), rtol=1e-3, atol=0)


RIGHT = {"06-1": cosine_at, "06-2": weighted_loss, "06-3": is_detached}
WRONG = [
    ("06-1", ratio_of_cosines, "not of cosines"),
    ("06-1", raised_again, "What undoes a power?"),
    ("06-1", similarity, "D of the label"),
    ("06-1", by_logarithms, "in line 2 of by_logarithms, for sigma = 0, best = 0.8"),
    ("06-2", image_by_image, "the whole batch"),
    ("06-2", over_the_count, "the sum of its weights"),
    ("06-2", everywhere, "Only the pixels of ~S"),
    ("06-2", below_the_line_everywhere, "above and below the line"),
    ("06-2", in_python_numbers, "for a batch with nothing in ~S"),
    ("06-2", plain, "Where is sigma?"),
    ("06-2", nothing_over_nothing, "divided by 0"),
    ("06-3", no_graph, "only autograd leaves out"),
    ("06-3", always, "nothing detached"),
    ("06-3", by_a_fixed_difference, "fixed difference"),
    ("06-3", by_the_first_two, "every angle"),
    ("06-3", slope_by_slope, "Where a slope is 0 only rounding is left"),
    ("06-3", lambda loss, angles: None, "open"),
]


test_a_right_answer_passes, test_a_wrong_answer_gets_its_hint = cases_of(RIGHT, WRONG)


@pytest.mark.parametrize("i", [0, 1, -1])
def test_a_detached_part_is_looked_for_at_every_angle(i: int, capsys) -> None:
    assert not check("06-3", at_one_angle(i))
    assert "Look at every angle" in capsys.readouterr().out
