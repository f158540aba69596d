"""Exercises of notebook 04: typical wrong answers get their hints."""

import pytest
import torch
from answers import right_number
from torch import Tensor

from bana.course import check


def pairs(ground: Tensor, things: Tensor, tie: float = 0.5) -> Tensor:
    higher, same = ground[:, None] > things, ground[:, None] == things
    return (higher + tie * same).mean()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda g, t: pairs(t, g), "the *background* has the higher attention"),
        (lambda g, t: 100 * pairs(g, t), "Return a share, from 0 to 1."),
        (lambda g, t: float(g.mean() > t.mean()), "how many pairs are these?"),
        (lambda g, t: (g > t).float().mean(), "how many pairs are these?"),
        (lambda g, t: pairs(g, t, tie=0.0), "A tie says nothing"),
        (lambda g, t: pairs(g, t, tie=1.0), "A tie says nothing"),
    ],
)
def test_ordered_pairs(answer, said: str, capsys) -> None:
    assert not check("04-1", answer)
    assert said in capsys.readouterr().out


def test_ordered_pairs_with_ties(capsys) -> None:
    assert check("04-1", pairs)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda r, p: 2 * r * p / max(r + p, 1e-9), "counted twice"),
        (lambda r, p: r * p, "two independent events"),
        (lambda r, p: (r + p) / 2, "never above either of the two"),
        (lambda r, p: 1 / (1 / r + 1 / p - 1), "Something is divided by 0"),
        (lambda r, p: 1 / (1 / r + 1 / p - 1) if r else 1.0, "and so is the IoU"),
    ],
)
def test_overlap_from_scores(answer, said: str, capsys) -> None:
    assert not check("04-2", answer)
    assert said in capsys.readouterr().out


def test_overlap_from_scores_of_nothing(capsys) -> None:
    assert check(
        "04-2", lambda r, p: r * p / (r + p - r * p) if r and p else 0.0, **right_number("04-2")
    )


def overwriting(cam: Tensor, masks: Tensor) -> Tensor:
    scaled = torch.zeros_like(cam)
    for mask in masks:
        scaled[mask] = cam[mask] / cam[mask].max().clamp_min(1e-12)
    return scaled


def keeping(cam: Tensor, masks: Tensor, least: float = 1e-12) -> Tensor:
    scaled = torch.zeros_like(cam)
    for mask in masks:
        scaled = torch.maximum(scaled, cam * mask / (cam * mask).max().clamp_min(least))
    return scaled


def of_class(cam: Tensor, masks: Tensor) -> Tensor:
    inside = cam * masks.any(0)
    return inside / inside.max()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda cam, m: cam / cam.max() * m.any(0), "The strongest place lies outside the box"),
        (of_class, "Each box has a maximum of its own"),
        (overwriting, "the larger value stays"),
        (lambda cam, m: keeping(cam, m, least=0.0), "its maximum is 0"),
        (lambda cam, m: keeping(cam, m)[None], "should have shape [3, 5]; yours has [1, 3, 5].\n"),
    ],
)
def test_scaled_by_box(answer, said: str, capsys) -> None:
    assert not check("04-3", answer)
    assert said in capsys.readouterr().out


def test_scaled_by_box_keeps_the_larger(capsys) -> None:
    assert check("04-3", keeping)
