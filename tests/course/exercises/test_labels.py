"""Exercises of notebook 05: typical wrong answers get their hints, a right one passes."""

import math

import pytest
import torch
import torch.nn.functional as F
from answers import cases_of

from bana.course.exercises.judging import Hint
from bana.course.exercises.labels import recognise


def fraction_for(cosine, inside, share):
    values = cosine[inside].sort(descending=True).values
    needed = math.ceil(share * len(values))
    return float(values[needed - 1] / cosine.max()) if cosine.max() > 0 else 1.0


def of_the_ones(cosine, inside, share):
    return fraction_for(torch.where(inside, cosine, 1.0), inside, share)


def in_the_boxes_alone(cosine, inside, share):
    return fraction_for(cosine * inside, inside, share)


def rounded_down(cosine, inside, share):
    values = cosine[inside].sort(descending=True).values
    return values[math.floor(share * len(values)) - 1] / cosine.max()


def of_the_whole_image(cosine, inside, share):
    return fraction_for(cosine, torch.ones_like(inside), share)


def the_smallest(cosine, inside, share):
    values = cosine[inside].sort().values
    return values[math.ceil(share * len(values)) - 1] / cosine.max()


def by_the_quantile(cosine, inside, share):
    return torch.quantile(cosine[inside], 1 - share) / cosine.max()


def of_nothing(cosine, inside, share):
    values = cosine[inside].sort(descending=True).values
    return values[math.ceil(share * len(values)) - 1] / cosine.max()


def cosine_from_products(ff, fg, gg, fq, gq, a):
    square = (1 - a) ** 2 * ff + 2 * a * (1 - a) * fg + a**2 * gg
    return ((1 - a) * fq + a * gq) / square.sqrt().clamp_min(1e-12)


def of_two_cosines(ff, fg, gg, fq, gq, a):
    return (1 - a) * fq / ff.sqrt() + a * gq / gg.sqrt()


def over_two_lengths(ff, fg, gg, fq, gq, a):
    return ((1 - a) * fq + a * gq) / ((1 - a) * ff.sqrt() + a * gg.sqrt())


def over_two_squares(ff, fg, gg, fq, gq, a):
    return ((1 - a) * fq + a * gq) / ((1 - a) * ff + a * gg).sqrt()


def mixed_once(ff, fg, gg, fq, gq, a):
    return ((1 - a) * fq + a * gq) / ((1 - a) ** 2 * ff + a * (1 - a) * fg + a**2 * gg).sqrt()


def without_mixed(ff, fg, gg, fq, gq, a):
    return ((1 - a) * fq + a * gq) / ((1 - a) ** 2 * ff + a**2 * gg).sqrt()


def divided_by_nothing(ff, fg, gg, fq, gq, a):
    square = (1 - a) ** 2 * ff + 2 * a * (1 - a) * fg + a**2 * gg
    return ((1 - a) * fq + a * gq) / square.sqrt()


def in_python_numbers(ff, fg, gg, fq, gq, a):
    ff, fg, gg, fq, gq = map(float, (ff, fg, gg, fq, gq))
    return ((1 - a) * fq + a * gq) / ((1 - a) ** 2 * ff + 2 * a * (1 - a) * fg + a**2 * gg) ** 0.5


def prototypes(features, labels, weight):
    rows = [
        features[:, labels == c].mean(1) if (labels == c).any() else weight[c]
        for c in range(len(weight))
    ]
    return torch.stack(rows)


def retrieve(features, labels, weight):
    q = F.normalize(prototypes(features, labels, weight), dim=1)
    return (q @ F.normalize(features, dim=0)).argmax(0)


def mean_of_nothing(features, labels, weight):
    q = torch.stack([features[:, labels == c].mean(1) for c in range(len(weight))])
    return (F.normalize(q, dim=1) @ F.normalize(features, dim=0)).argmax(0)


def vanished_for_good(features, labels, weight):
    q = torch.stack([features[:, labels == c].sum(1) for c in range(len(weight))])
    return (F.normalize(q, dim=1) @ F.normalize(features, dim=0)).argmax(0)


def by_dot_product(features, labels, weight):
    return (prototypes(features, labels, weight) @ features).argmax(0)


def by_distance(features, labels, weight):
    return torch.cdist(features.T, prototypes(features, labels, weight)).argmin(1)


def of_unit_features(features, labels, weight):
    return retrieve(F.normalize(features, dim=0), labels, weight)


def by_the_classifier(features, labels, weight):
    return (F.normalize(weight, dim=1) @ F.normalize(features, dim=0)).argmax(0)


def mean_field(probabilities, kernel, rounds, least=1e-5):
    log_p = probabilities.clamp_min(least).log()
    q = log_p.softmax(1)
    for _ in range(rounds):
        q = (log_p + kernel @ q).softmax(1)
    return q


def repelled(probabilities, kernel, rounds):
    return mean_field(probabilities, -kernel, rounds)


def as_it_came(probabilities, kernel, rounds):
    return probabilities


def over_the_pixels(probabilities, kernel, rounds):
    log_p = probabilities.clamp_min(1e-5).log()
    q = log_p.softmax(1)
    for _ in range(rounds):
        q = (log_p + kernel @ q).softmax(0)
    return q


def accumulated(probabilities, kernel, rounds):
    q = probabilities.clamp_min(1e-5).log().softmax(1)
    for _ in range(rounds):
        q = (q.log() + kernel @ q).softmax(1)
    return q


def not_clipped(probabilities, kernel, rounds):
    log_p, q = probabilities.log(), probabilities
    for _ in range(rounds):
        q = (log_p + kernel @ q).softmax(1)
    return q


def clipped_too_high(probabilities, kernel, rounds):
    return mean_field(probabilities, kernel, rounds, least=0.01)


def clipped_high(probabilities, kernel, rounds):
    return mean_field(probabilities, kernel, rounds, least=1e-3)


def clipped_low(probabilities, kernel, rounds):
    return mean_field(probabilities, kernel, rounds, least=1e-6)


def clipped_a_little_high(probabilities, kernel, rounds):
    return mean_field(probabilities, kernel, rounds, least=3e-5)


def without_its_own(probabilities, kernel, rounds):
    return mean_field(probabilities, kernel - kernel.diag().diag(), rounds)


RIGHT = {
    "05-1": fraction_for,
    "05-2": cosine_from_products,
    "05-3": retrieve,
    "05-4": mean_field,
}
WRONG = [
    ("05-1", of_the_ones, "before A becomes 1 outside the boxes"),
    ("05-1", in_the_boxes_alone, "not in the boxes alone"),
    ("05-1", rounded_down, "round up"),
    ("05-1", of_the_whole_image, "are those outside counted?"),
    ("05-1", the_smallest, "those with the largest cosines"),
    ("05-1", by_the_quantile, "let it reach the next pixel"),
    ("05-1", of_nothing, "each is at least any fraction"),
    ("05-2", of_two_cosines, "interpolation of two cosines"),
    ("05-2", over_two_lengths, "interpolate the two lengths"),
    ("05-2", over_two_squares, "Multiply out"),
    ("05-2", mixed_once, "as often as it should be"),
    ("05-2", without_mixed, "mixed term. Is it there?"),
    ("05-2", divided_by_nothing, "divided by 0"),
    ("05-2", in_python_numbers, "in line 3 of in_python_numbers, for two features that are 0"),
    ("05-3", mean_of_nothing, "What stands in for its prototype"),
    ("05-3", vanished_for_good, "it can come back"),
    ("05-3", by_dot_product, "dot products"),
    ("05-3", by_distance, "distances"),
    ("05-3", of_unit_features, "the length 1 first"),
    ("05-3", by_the_classifier, "means of features over Y_crf"),
    ("05-4", repelled, "push each other away"),
    ("05-4", as_it_came, "no message of another pixel"),
    ("05-4", over_the_pixels, "over the labels of one pixel"),
    ("05-4", accumulated, "begins with the unary again"),
    ("05-4", not_clipped, "minus infinity"),
    ("05-4", clipped_too_high, "Your clip is not 1e-5"),
    ("05-4", clipped_high, "hardly any neighbour, 2 of 12 values differ"),
    ("05-4", clipped_low, "Is your clip 1e-5?"),
    ("05-4", clipped_a_little_high, "Is your clip 1e-5?"),
    ("05-4", without_its_own, "a filter has its own centre"),
]


test_a_right_answer_passes, test_a_wrong_answer_gets_its_hint = cases_of(RIGHT, WRONG)


def test_a_mistake_that_does_no_harm_is_not_told() -> None:
    recognise(1.0, 1.0, {"too large": 1.0})
    recognise(None, 1.0, {"too large": 2.0})
    with pytest.raises(Hint, match="too large"):
        recognise(2.0, 1.0, {"too small": 0.5, "too large": 2.0})
