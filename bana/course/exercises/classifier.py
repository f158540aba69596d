"""Exercises of notebook 03: losses, parts of boxes, and what a step asks of the features."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from bana.bap import pool_boxes
from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import (
    compare,
    exercise,
    helped,
    recognise,
    tried_on,
    without_autograd,
)


@exercise("03-1")
def ignorant_loss(answer) -> str:
    """Loss of a classifier whose rows are all zero."""
    found = answer(8)
    mistakes = {
        "The softmax runs over one class more than there are kinds of objects.": math.log(8),
        "Cross-entropy takes the natural logarithm, not that of base 2.": math.log2(9),
        "Cross-entropy takes the natural logarithm, not that of base 10.": math.log10(9),
        "That is the probability of the right class. What is its loss?": 1 / 9,
        "The loss is the negative of that logarithm.": -math.log(9),
        "Equal logits are not certainty: what does the softmax make of nine zeros?": 0.0,
    }
    recognise(found, math.log(9), mistakes)
    for n_objects in (8, 20, 80, 1):
        given = f"{n_objects} kinds of objects"
        compare(answer(n_objects), math.log(n_objects + 1), given)
    return "1, 8, 20 and 80 kinds of objects"


@asks("03-1", n_objects=tuple(n for n in range(3, 100) if n not in (8, 20, 80)))
def first_loss(n_objects: int = 20) -> Question:
    """What the loss of a training should be at first."""
    answer = math.log(n_objects + 1)
    words = (
        f"for {n_objects} classes of objects",
        f"ignorant_loss({n_objects})",
        f"is {short(answer)} at first",
    )
    return Question(answer, words, {"Background is a class, too.": math.log(n_objects)})


@exercise("03-2")
def balanced_loss(answer) -> str:
    """Cross-entropy in which box parts and queries weigh one half each."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.randn(3, 4, 5, generator=generator)
    queries = torch.randn(17, 5, generator=generator)
    labels = torch.tensor([2, 4, 1])
    whole = boxes[:, :1]
    found = answer(whole.clone(), queries.clone(), labels.clone())
    expected = _balanced(whole, queries, labels)
    given = "3 boxes of one part and 17 queries"
    targets = torch.cat([labels, labels.new_zeros(len(queries))])
    plain = F.cross_entropy(torch.cat([whole[:, 0], queries]), targets)
    mistakes = {
        f"For {given}, yours is the plain mean: 17 queries outweigh 3 boxes in it.": plain,
        f"For {given}, yours is the sum of the two means: each weighs one half.": 2 * expected,
    }
    recognise(found, expected, mistakes)
    compare(found, expected, given)
    with helped("Is each part asked for the class of its own box?"):
        expected = _balanced(boxes, queries, labels)
        compare(answer(boxes.clone(), queries.clone(), labels.clone()), expected, "4 parts a box")
    with helped("Without queries the boxes' mean is all there is."):
        expected = _balanced(boxes, queries[:0], labels)
        compare(answer(boxes.clone(), queries[:0], labels.clone()), expected, "no query")
    with helped("Without boxes the queries' mean is all there is."):
        expected = _balanced(boxes[:0], queries, labels[:0])
        compare(answer(boxes[:0], queries.clone(), labels[:0]), expected, "no box")
    return "one and four parts a box, crops without queries and crops without boxes"


def _balanced(boxes: Tensor, queries: Tensor, labels: Tensor) -> Tensor:
    """Mean of the means of the groups that are there."""
    ground = labels.new_zeros(len(queries))
    groups = ((boxes.flatten(0, 1), labels.repeat_interleave(boxes.shape[1])), (queries, ground))
    return torch.stack([F.cross_entropy(x, y) for x, y in groups if len(x)]).mean()


@exercise("03-3")
def cell_weights(answer) -> str:
    """What each cell of a box weighs in the mean of the vectors of its four parts."""
    generator = torch.Generator().manual_seed(0)
    random = torch.rand(4, 6, generator=generator)
    corner, nothing = random.clone(), random.clone()
    corner[:2, :3] = 0.9  # a part that keeps little
    nothing[2:, 3:] = 1  # a part that keeps nothing
    cases = {
        "A = 0 all over": 0 * random,
        "A drawn at random": random,
        "a part that keeps little": corner,
        "a part that keeps nothing": nothing,
        "A = 1 all over": 0 * random + 1,
    }
    for given, a in cases.items():
        with tried_on(given):
            found = answer(a.clone())
        expected, kept = _cell_weights(a, 2), 1 - a
        of_parts = kept.view(2, 2, 2, 3).sum((1, 3))  # m_k
        mistakes = {
            "These are the weights of Eq. 4 for the whole box, where a part counts by what it "
            "keeps. Here each part counts the same.": _cell_weights(a, 1),
            "Yours sum to 4, but the result is a mean of four vectors.": 4 * expected,
            "Cells count by what $1 - A$ keeps; yours count by A.": _cell_weights(1 - a, 2),
            "All cells alike: cells count by what $1 - A$ keeps.": 0 * a + 1 / a.numel(),
            "Parts lie in quarters: two above, two below, each half as high and half as wide.": (
                kept / kept.sum(1, keepdim=True).clamp_min(1e-12) / 4
            ),
        }
        recognise(found, expected, mistakes)
        advice = "For A = 1 all over a part Eq. 4 is 0 / 0. What does the package pool there?"
        with helped(advice if (of_parts == 0).any() else ""):
            compare(found, expected, given)
    return "A of 0, drawn at random and of 1, and parts that keep little and nothing"


def _cell_weights(attention: Tensor, parts: int) -> Tensor:
    """Weights [H, W] of the cells: what pooling makes of features that are 1 in one cell each."""
    height, width = attention.shape
    each = torch.eye(height * width).view(1, -1, height, width)
    box = torch.tensor([[0.0, 0.0, 0.0, width, height]])
    return pool_boxes(each, attention[None, None], box, 1.0, parts)[0].mean(0).view(height, width)


@exercise("03-4")
def feature_gradient(answer) -> str:
    """Gradient of the mean cross-entropy with respect to the vectors."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 6, generator=generator)
    vectors = torch.rand(5, 6, generator=generator)
    targets = torch.tensor([0, 2, 3, 2, 1])
    expected = _gradient(vectors[:1], targets[:1], weight)
    with without_autograd():
        found = answer(vectors[:1].clone(), targets[:1].clone(), weight.clone())
    probability = (vectors[:1] @ weight.T).softmax(1)
    all_ones = weight.sum(0) - weight[targets[:1]]
    mistakes = {
        "This is the direction of the step. The gradient points the other way.": -expected,
        "Every class gets the probability 1: over what does your softmax run?": all_ones,
        "The 1 that the class asked for takes off its probability is missing.": probability
        @ weight,
    }
    recognise(found, expected, mistakes)
    compare(found, expected, "one vector")
    with helped("The loss is a mean of n terms, and each vector is in one of them."):
        found = answer(vectors.clone(), targets.clone(), weight.clone())
        compare(found, _gradient(vectors, targets, weight), "five vectors")
    with helped("The exponential of a large logit overflows unless the largest is taken off."):
        found = answer(200 * vectors, targets.clone(), weight.clone())
        compare(found, _gradient(200 * vectors, targets, weight), "vectors of great length")
    return "one vector, five, and five of great length"


def _gradient(vectors: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """What automatic differentiation says."""
    leaf = vectors.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(leaf @ weight.T, targets), leaf)
    return gradient
