"""Exercises of notebook 06: typical wrong answers get their hints, a right one passes."""

import torch
from answers import cases_of


def cosine_at(sigma, best, gamma):
    return (1 + best) * sigma ** (1 / gamma) - 1


def ratio_of_cosines(sigma, best, gamma):
    return best * sigma ** (1 / gamma)


def raised_again(sigma, best, gamma):
    return (1 + best) * sigma**gamma - 1


def similarity(sigma, best, gamma):
    return (1 + best) * sigma ** (1 / gamma)


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


def by_the_first_angle(loss, angles):
    claimed, measured = slopes(loss, angles)
    if len(angles) == 2:
        return is_detached(loss, angles)
    return float((claimed - measured)[0].abs()) > 1e-3 * float(measured.abs().max())


RIGHT = {"06-1": cosine_at, "06-2": weighted_loss, "06-3": is_detached}
WRONG = [
    ("06-1", ratio_of_cosines, "not of cosines"),
    ("06-1", raised_again, "What undoes a power?"),
    ("06-1", similarity, "D of the label"),
    ("06-2", image_by_image, "the whole batch"),
    ("06-2", over_the_count, "the sum of its weights"),
    ("06-2", everywhere, "Only the pixels of ~S"),
    ("06-2", plain, "Where is sigma?"),
    ("06-2", nothing_over_nothing, "divided by 0"),
    ("06-3", no_graph, "only autograd leaves out"),
    ("06-3", always, "nothing detached"),
    ("06-3", by_a_fixed_difference, "fixed difference"),
    ("06-3", by_the_first_angle, "every angle"),
    ("06-3", lambda loss, angles: None, "open"),
]


test_a_right_answer_passes, test_a_wrong_answer_gets_its_hint = cases_of(RIGHT, WRONG)
