"""Exercises of notebook 03: typical wrong answers get their hints."""

import math

import pytest
import torch
import torch.nn.functional as F
from answers import right_number

from bana.course import check


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n: math.log(n), "one class more"),
        (lambda n: math.log2(n + 1), "natural logarithm"),
        (lambda n: 1 / (n + 1), "What is its loss?"),
        (lambda n: math.log(1 / (n + 1)), "negative of that logarithm"),
        (lambda n: 0.0, "Equal logits are not certainty"),
    ],
)
def test_ignorant_loss(answer, said: str, capsys) -> None:
    assert not check("03-1", answer)
    assert said in capsys.readouterr().out


def test_ignorant_loss_counts_background(capsys) -> None:
    assert check("03-1", lambda n: math.log(n + 1), **right_number("03-1"))


def halves(boxes, queries, labels):
    """Right as long as there are both."""
    parts = labels.repeat_interleave(boxes.shape[1])
    ground = labels.new_zeros(len(queries))
    objects = F.cross_entropy(boxes.flatten(0, 1), parts)
    return (objects + F.cross_entropy(queries, ground)) / 2


def plain_mean(boxes, queries, labels):
    targets = torch.cat([labels.repeat_interleave(boxes.shape[1]), labels.new_zeros(len(queries))])
    return F.cross_entropy(torch.cat([boxes.flatten(0, 1), queries]), targets)


def repeated(boxes, queries, labels):
    k, p, c = boxes.shape
    crossed = boxes.transpose(0, 1).reshape(k, p, c)
    return halves(crossed, queries, labels)


def half_of_the_boxes(boxes, queries, labels):
    if not len(queries):
        return F.cross_entropy(boxes.flatten(0, 1), labels.repeat_interleave(boxes.shape[1])) / 2
    return halves(boxes, queries, labels)


def queries_may_lack(boxes, queries, labels):
    return (
        halves(boxes, queries, labels)
        if len(queries)
        else 2 * half_of_the_boxes(boxes, queries, labels)
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (plain_mean, "17 queries outweigh 3 boxes"),
        (lambda *given: 2 * halves(*given), "the sum of the two means"),
        (repeated, "the class of its own box?"),
        (halves, "holds nan"),
        (half_of_the_boxes, "Without queries the boxes' mean is all there is"),
        (queries_may_lack, "Without boxes the queries' mean is all there is"),
    ],
)
def test_balanced_loss(answer, said: str, capsys) -> None:
    assert not check("03-2", answer)
    assert said in capsys.readouterr().out


def test_balanced_loss_of_the_groups_that_are_there(capsys) -> None:
    def answer(boxes, queries, labels):
        if not len(labels):
            return F.cross_entropy(queries, labels.new_zeros(len(queries)))
        return queries_may_lack(boxes, queries, labels)

    assert check("03-2", answer)


def by_parts(attention, pooled_plainly=True):
    height, width = attention.shape
    kept = (1 - attention).view(2, height // 2, 2, width // 2)
    sums = kept.sum((1, 3), keepdim=True)
    if pooled_plainly:
        kept = torch.where(sums > 0, kept, 1)
        sums = kept.sum((1, 3), keepdim=True)
    return (kept / sums / 4).view(height, width)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda a: (1 - a) / (1 - a).sum(), "each part counts the same"),
        (lambda a: 4 * by_parts(a), "a mean of four vectors"),
        (lambda a: by_parts(1 - a), "yours count by A"),
        (lambda a: torch.full_like(a, 1 / a.numel()), "All cells alike"),
        (lambda a: (1 - a) / (1 - a).sum(1, keepdim=True) / 4, "Parts lie in quarters"),
        (lambda a: by_parts(a, False), "What does the package pool there?"),
        (lambda a: by_parts(a, False).nan_to_num(), "What does the package pool there?"),
    ],
)
def test_cell_weights(answer, said: str, capsys) -> None:
    assert not check("03-3", answer)
    assert said in capsys.readouterr().out


def test_cell_weights_of_parts(capsys) -> None:
    assert check("03-3", by_parts)
    assert check("03-3", lambda a: by_parts(a).tolist()), "a list of its rows"


def gradient(vectors, targets, weight):
    residual = (vectors @ weight.T).softmax(1) - F.one_hot(targets, len(weight))
    return residual @ weight / len(vectors)


def overflowing(vectors, targets, weight):
    raised = (vectors @ weight.T).exp()
    residual = raised / raised.sum(1, keepdim=True) - F.one_hot(targets, len(weight))
    return residual @ weight / len(vectors)


def over_vectors(vectors, targets, weight):
    residual = (vectors @ weight.T).softmax(0) - F.one_hot(targets, len(weight))
    return residual @ weight / len(vectors)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda v, t, w: -gradient(v, t, w), "the direction of the step"),
        (lambda v, t, w: (v @ w.T).softmax(1) @ w / len(v), "takes off its probability is missing"),
        (over_vectors, "over what does your softmax run?"),
        (lambda v, t, w: gradient(v, t, w) * len(v), "a mean of n terms"),
        (overflowing, "the largest is taken off"),
        (lambda v, t, w: gradient(v, t, w) @ w.T, "should have shape [1, 6]"),
    ],
)
def test_feature_gradient(answer, said: str, capsys) -> None:
    assert not check("03-4", answer)
    assert said in capsys.readouterr().out


def test_feature_gradient_by_autograd_gets_a_hint(capsys) -> None:
    def answer(vectors, targets, weight):
        vectors.requires_grad_()
        return torch.autograd.grad(F.cross_entropy(vectors @ weight.T, targets), vectors)[0]

    assert not check("03-4", answer)
    assert "asks automatic differentiation" in capsys.readouterr().out


def test_feature_gradient_by_the_formula(capsys) -> None:
    assert check("03-4", gradient)
