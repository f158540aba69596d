"""Exercises of notebook 02: what pooling keeps, the attention, and what a grid is worth."""

import math

import torch
from torch import Tensor

from bana.bap import background_attention
from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import Hint, compare, exercise, helped, recognise

PARTS = {3: "third", 4: "quarter", 5: "fifth"}


@exercise("02-1")
def pooled_share(answer) -> str:
    """Share of object in a pooled feature, from the share in the box and the two attentions."""
    with helped("Equal attention weighs all cells alike: what does Eq. 4 divide by?"):
        compare(answer(0.4, 0.5, 0.5), 0.4, "a box of equal attention, alpha = 0.4")
    with helped("No background is left, only object: is the weight A or 1 - A?"):
        compare(answer(0.25, 0.2, 1.0), 1.0, "A = 1 on all of the background")
    for alpha, on_object, on_ground in ((0.4, 0.0, 0.0), (0.25, 0.2, 0.8), (0.9, 0.1, 0.3)):
        kept, rest = alpha * (1 - on_object), (1 - alpha) * (1 - on_ground)
        given = f"alpha = {alpha}, A_o = {on_object}, A_b = {on_ground}"
        compare(answer(alpha, on_object, on_ground), kept / (kept + rest), given)
    advice = "For A = 1 all over the box Eq. 4 is 0 / 0. What does the package pool there?"
    try:
        found = answer(0.3, 1.0, 1.0)
    except ZeroDivisionError:
        raise Hint(advice) from None
    with helped(advice):
        compare(found, 0.3, "A = 1 on everything")
    return "equal attention, GAP, A = 1 on the background, A = 1 on everything and two others"


@asks("02-1", part=(3, 4, 5), on_object=(0.1, 0.2, 0.25, 0.3, 0.35, 0.45, 0.5, 0.55, 0.6))
def even_attention(part: int = 3, on_object: float = 0.4) -> Question:
    """How high A_b must be for object and background to come out even."""
    factor, high = part - 1, short(on_object)
    answer = 1 - (1 - on_object) / factor
    words = (
        f"fills a {PARTS[part]} of a box and $A_o = {high}$",
        f"1 - (1 - {on_object}) / {factor}",
        f"must be {factor}, as the odds of object are $1 : {factor}$",
        f"With $A_o = {high}$ that is $A_b = {short(answer)}$",
    )
    rest = "The odds of object compare it with the rest of the box, not with the whole."
    mistakes = {
        "It is 1 - A that is so many times as large, not A.": on_object * factor,
        rest: 1 - (1 - on_object) / part,
    }
    return Question(answer, words, mistakes)


@exercise("02-2")
def attention_map(answer) -> str:
    """A of Eq. 2 and 3 on the inside of a box, from queries of which some are no queries."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(4, 3, 5, generator=generator) + 0.1
    queries = torch.rand(3, 4, generator=generator) + 0.1
    all_valid = torch.ones(3, dtype=torch.bool)

    def attend(f: Tensor, q: Tensor, valid: Tensor) -> Tensor:
        return background_attention(f[None], q[None], valid[None])[0, 0]

    def tried(f: Tensor, q: Tensor, valid: Tensor, given: str, advice: str) -> None:
        found = answer(f.clone(), q.clone(), valid.clone())
        with helped(advice):
            compare(found, attend(f, q, valid), given)

    advice = "A cosine compares directions: both vectors are divided by their lengths."
    tried(features, queries[:1], all_valid[:1], "one query", advice)
    turned = features * torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None]
    advice = "Each A_j is rectified by itself, before the mean over j."
    opposed = queries * torch.tensor([[1.0], [-1.0], [1.0]])
    tried(turned, opposed, all_valid, "features of both signs", advice)
    some = torch.tensor([True, False, True])
    advice = "The mean runs over the valid queries alone: J is their number."
    tried(features, queries * some[:, None], some, "two valid queries of three", advice)
    dead = features.clone()
    dead[:, 1, 2] = 0
    advice = "A feature of length 0 has no direction: its A is 0, and all others stay as they are."
    tried(dead, queries, all_valid, "a map with a dead feature", advice)
    advice = "Without any query A is 0, and Eq. 4 becomes the plain mean."
    tried(features, 0 * queries, ~all_valid, "a box that fills the image", advice)
    return "one, two and no valid queries, negative features and a dead one"


@asks("02-3", degrees=(50, 55, 65, 70, 75, 80, 85, 90), rare=(0.05, 0.1, 0.15, 0.25))
def grid_ahead(degrees: int = 60, rare: float = 0.2) -> Question:
    """By how much a grid's attention is above that of one query, on the rarer kind."""
    theta = math.radians(degrees)
    along, across = rare + (1 - rare) * math.cos(theta), (1 - rare) * math.sin(theta)
    answer = (1 + math.cos(theta)) / 2 - along / math.hypot(along, across)
    words = (
        f"at $\\theta = {degrees}°$ and $s = {short(rare)}$",
        f"two_grounds(np.radians({degrees}), {rare})",
        f"the grid is ahead by {short(answer)}",
    )
    turned = "How much is the grid ahead: its attention less the other."
    return Question(answer, words, {turned: -answer}, sensible=answer > 0.03)


@exercise("02-3")
def grid_against_single(answer) -> str:
    """A on a cell of the first of two kinds of background, with two queries and with one."""
    compare(answer(0.0, 0.5), (1.0, 1.0), "two kinds that are the same, theta = 0")
    for theta, share in ((math.pi / 2, 0.5), (math.pi / 3, 0.8), (math.pi / 2, 0.1), (1.2, 0.35)):
        given = f"theta = {math.degrees(theta):.0f} degrees, s = {share}"
        grid, single = answer(theta, share)
        with helped("In Eq. 2 a query has one vote, of however many cells it is the mean."):
            compare(grid, (1 + math.cos(theta)) / 2, f"{given}, two queries")
        along = share + (1 - share) * math.cos(theta)
        expected = along / math.hypot(along, (1 - share) * math.sin(theta))
        shorter = "The mean of two unit vectors is shorter than 1, and a cosine divides by lengths."
        recognise(single, expected, {shorter: along})
        with helped("Eq. 1 is a mean over cells: which kind does it lean to?"):
            compare(single, expected, f"{given}, one query")
    return "equal kinds, kinds at right angles, and shares from 10 to 80 %"
