"""Exercises of notebook 05: pseudo labels."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import compare, exercise, helped, recognise, tried_on


@exercise("05-1")
def fraction_for(answer) -> str:
    """The largest fraction of the threshold with which enough pixels in boxes keep their u_0."""
    generator = torch.Generator().manual_seed(1)
    cosine = 0.4 * torch.rand(5, 6, generator=generator)
    cosine[0, 0] = 0.62  # the largest lies outside the boxes
    cosine[2, 1:4] = torch.tensor([0.55, 0.5, 0.43])
    inside = torch.zeros(5, 6, dtype=torch.bool)
    inside[1:4, 1:5] = True  # 12 pixels
    narrow = inside.clone()
    narrow[3, 3:5] = False  # 10 pixels
    cases = {
        "a quarter of 12 pixels": (cosine, inside, 0.25),
        "a quarter of 10 pixels": (cosine, narrow, 0.25),
        "all pixels in boxes": (cosine, inside, 1.0),
        "a box that fills the image": (cosine, torch.ones_like(inside), 0.5),
        "cosines that are 0 everywhere": (torch.zeros(5, 6), inside, 0.5),
    }
    for given, (values, box, share) in cases.items():
        with tried_on(given):
            found = answer(values.clone(), box.clone(), share)
        within = values[box].sort(descending=True).values
        largest, wanted = float(values.max()), share * len(within)
        expected = _fraction(within, math.ceil(wanted), largest)
        everywhere = values.flatten().sort(descending=True).values
        upside_down = _fraction(within.flip(0), math.ceil(wanted), largest)
        mistakes = {
            "This is a cosine. The threshold is a fraction of the image's largest one (which is "
            "that of A only before A becomes 1 outside the boxes).": expected * largest,
            "The largest cosine is looked for in the whole image, not in the boxes alone: certain "
            "background says what a background cosine can reach.": (
                _fraction(within, math.ceil(wanted), float(within[0]))
            ),
            "Two pixels of ten are fewer than a quarter: round up.": (
                _fraction(within, math.floor(wanted), largest)
            ),
            "The share is one of the pixels inside the boxes: are those outside counted?": (
                _fraction(everywhere, math.ceil(share * len(everywhere)), largest)
            ),
            "The pixels that keep u_0 are those with the largest cosines.": upside_down,
            "Between the cosines of two pixels no fraction is the largest: let it reach the next "
            "pixel.": float(torch.quantile(within, 1 - share)) / max(largest, 1e-12),
        }
        recognise(found, expected, mistakes)
        advice = "Where all cosines are 0, each is at least any fraction of the largest."
        with helped(advice if largest == 0 else ""):
            compare(found, expected, given)
    return "a quarter of 12 pixels and of 10, all, a box that fills the image, cosines of 0"


def _fraction(descending: Tensor, needed: int, largest: float) -> float:
    """What fraction of the largest cosine the last of the needed pixels has."""
    return float(descending[needed - 1]) / largest if largest else 1.0


@exercise("05-2")
def cosine_from_products(answer) -> str:
    """Cosine of an interpolated feature, from products of the two cells alone."""
    generator = torch.Generator().manual_seed(2)
    f, g, q = torch.rand(3, 4, generator=generator, dtype=torch.float64)
    one, other = torch.eye(2, dtype=torch.float64)
    cases = {
        "two features of random direction": (f, 3 * g, q, 0.3),
        "a pixel on the first cell": (f, g, q, 0.0),
        "two features at right angles": (one, 2 * other, one + other, 0.5),
        "two features that are 0": (0 * one, 0 * other, one, 0.5),
    }
    for given, (f, g, q, a) in cases.items():
        q = F.normalize(q, dim=0)
        products = (f @ f, f @ g, g @ g, f @ q, g @ q)
        with tried_on(given):
            found = answer(*products, a)
        between = (1 - a) * f + a * g
        expected = between @ q / between.norm().clamp_min(1e-12)
        if expected > 0:
            _recognise_length(found, expected, products, a)
        compare(found, expected, given)
    return "features of random direction, at right angles and of length 0, and a pixel on a cell"


def _recognise_length(found: Any, expected: Tensor, products: tuple[Tensor, ...], a: float) -> None:
    """Raise the hint of the wrong length that an answer of 05-2 divides by."""
    ff, fg, gg, fq, gq = products
    top = (1 - a) * fq + a * gq
    squares = (1 - a) ** 2 * ff + a**2 * gg
    mistakes = {
        "That is the interpolation of two cosines. The feature is interpolated first, and its "
        "length is taken then.": (1 - a) * fq / ff.sqrt() + a * gq / gg.sqrt(),
        "You interpolate the two lengths. The length of a sum of vectors is not the sum of their "
        "lengths: start from its square.": top / ((1 - a) * ff.sqrt() + a * gg.sqrt()),
        "You interpolate the two squared lengths. Multiply out the square of the interpolated "
        "vector: how do the weights enter?": top / ((1 - a) * ff + a * gg).sqrt(),
        "The square of a sum has a mixed term. Is it there, and as often as it should be?": (
            top / (squares + (1 - a) * a * fg).sqrt()
        ),
        "The square of a sum has a mixed term. Is it there?": top / squares.sqrt(),
    }
    recognise(found, expected, mistakes)


@asks("05-2", length=(2, 3, 4), a=(0.1, 0.15, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7))
def cosine_between(length: int = 2, a: float = 0.25) -> Question:
    """The cosine between a feature along the query and one across it."""
    answer = (1 - a) / math.hypot(1 - a, a * length)
    words = (
        f"has the length {length}",
        f"at $a = {short(a)}$",
        f"{length**2} * one, one, 0 * one, {a})",
        f"is {short(answer)}, and interpolated cosines give {short(1 - a)}",
    )
    mistakes = {
        "That is the interpolation of two cosines.": 1 - a,
        "You interpolate the two lengths.": (1 - a) / (1 - a + a * length),
    }
    return Question(answer, words, mistakes)


@exercise("05-3")
def retrieve(answer) -> str:
    """Y_ret of Eq. 8 and 9, also where a class has vanished from Y_crf."""
    generator = torch.Generator().manual_seed(3)
    features = torch.rand(3, 40, generator=generator) * torch.linspace(0.2, 3, 40)
    weight = torch.rand(3, 3, generator=generator)
    labels = torch.randint(0, 3, (40,), generator=generator)
    features[labels, torch.arange(40)] += 1.0
    features[:, labels == 2] *= 3
    cases = {
        "three classes": (features, labels, weight),
        "a class that has vanished from Y_crf": (features, labels.clamp(max=1), weight),
        "a single pixel": (features[:, :1], labels[:1], weight),
    }
    for given, (f, y, w) in cases.items():
        found = answer(f.clone(), y.clone(), w.clone())
        means = torch.stack([f[:, y == c].mean(1) for c in range(3)])  # nan where none is
        empty = means.isnan().any(1, keepdim=True)
        q = torch.where(empty, w, means)
        unit = F.normalize(f, dim=0)
        of_unit = torch.stack([unit[:, y == c].mean(1) for c in range(3)])
        expected = (F.normalize(q, dim=1) @ unit).argmax(0)
        mistakes = {
            "A class without a pixel in Y_crf has no mean: 0 / 0 wins or loses everywhere. What "
            "stands in for its prototype?": (F.normalize(means, dim=1) @ unit).argmax(0),
            "A class without a pixel in Y_crf keeps a prototype, its row of w: it can come back.": (
                (F.normalize(means.nan_to_num(), dim=1) @ unit).argmax(0)
            ),
            "These are dot products: a long prototype wins everywhere. Eq. 9 compares "
            "directions.": (q @ f).argmax(0),
            "These are distances, which feel the length of a feature. Eq. 9 compares "
            "directions.": torch.cdist(f.T, q).argmin(1),
            "Eq. 8 is a mean of the features as they are: long ones count more. You gave each of "
            "them the length 1 first.": (
                F.normalize(torch.where(empty, w, of_unit), dim=1) @ unit
            ).argmax(0),
            "The prototypes are means of features over Y_crf. The classifier's rows stand in only "
            "where there is nothing to average.": (F.normalize(w, dim=1) @ unit).argmax(0),
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    return "three classes, a class that has vanished from Y_crf, and a single pixel"


@exercise("05-4")
def mean_field(answer) -> str:
    """Mean field of a Potts model over a stored kernel."""
    generator = torch.Generator().manual_seed(4)
    random = torch.rand(6, 3, generator=generator, dtype=torch.float64).softmax(1)
    near = torch.rand(6, 6, generator=generator, dtype=torch.float64)
    alone = torch.tensor([[1.0, 0.0]] + 5 * [[0.1, 0.9]], dtype=torch.float64)
    cases = {
        "one round": (random, near + near.T, 1),
        "three rounds": (random, near + near.T, 3),
        "no round at all": (random, near, 0),
        "a pixel of probability 0 among neighbours that contradict": (
            alone,
            4 * torch.ones(6, 6, dtype=torch.float64),
            5,
        ),
        # Strong neighbours drown the clip: here it is most of what is left of the label.
        "a pixel of probability 0 and hardly any neighbour": (
            alone,
            0.1 * torch.ones(6, 6, dtype=torch.float64),
            1,
        ),
    }
    for given, (p, kernel, rounds) in cases.items():
        found = answer(p.clone(), kernel.clone(), rounds)
        log_p, others = p.clamp_min(1e-5).log(), kernel - kernel.diag().diag()

        def repeat(step, log_p=log_p, rounds=rounds):
            q = log_p.softmax(1)
            for _ in range(rounds):
                q = step(q, log_p)
            return q

        # Default arguments, as the loop's variables would change under the functions.
        expected = repeat(lambda q, u, k=kernel: (u + k @ q).softmax(1))
        mistakes = {
            "Nothing has happened: no message of another pixel has arrived.": p,
            "Pixels that are alike should agree, and yours push each other away: the energy "
            "punishes what differs. Which sign is left of it?": (
                repeat(lambda q, u, k=kernel: (u - k @ q).softmax(1))
            ),
            "The softmax is over the labels of one pixel, not over the pixels.": (
                repeat(lambda q, u, k=kernel: (u + k @ q).softmax(0))
            ),
            "Each round begins with the unary again. You add the messages to the Q of the round "
            "before, so that the unary is forgotten.": (
                repeat(lambda q, u, k=kernel: (q.log() + k @ q).softmax(1))
            ),
            "A probability of 0 has the logarithm minus infinity, and no message brings its label "
            "back. What does the notebook do to the probabilities first?": (
                repeat(lambda q, u, k=kernel: (u + k @ q).softmax(1), p.log())
            ),
            "Your clip is not 1e-5: a label that was excluded has more left than it should.": (
                repeat(lambda q, u, k=kernel: (u + k @ q).softmax(1), p.clamp_min(0.01).log())
            ),
            "The kernel's diagonal counts too: a filter has its own centre.": (
                repeat(lambda q, u, k=others: (u + k @ q).softmax(1))
            ),
        }
        recognise(found, expected, mistakes)
        compare(found, expected, given)
    # Of a label the last case leaves the clip alone, which only its logarithm tells.
    with helped("Is your clip 1e-5?"):
        logs = (torch.as_tensor(q).clamp_min(1e-12).log() for q in (found, expected))
        compare(*logs, f"{given}, in logarithms of Q", 1e-3)
    return "no round, one and three, and a pixel whose neighbours contradict it loudly or hardly"
