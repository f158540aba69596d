"""Exercises of notebook 04: ordered pairs, IoU from two scores, and maps scaled box by box."""

import torch
from torch import Tensor

from bana.course.exercises.banks import Question, asks, short
from bana.course.exercises.judging import Hint, compare, exercise, helped, recognise


@exercise("04-1")
def ordered_pairs(answer) -> str:
    """Share of pairs in which a background cell has more attention than an object cell."""

    def tried(ground: list[float], things: list[float], expected: float, given: str) -> None:
        found = answer(torch.tensor(ground), torch.tensor(things))
        recognise(found, expected, {"Return a share, from 0 to 1.": 100 * expected})
        compare(found, expected, given)

    with helped("The pair is in order when the *background* has the higher attention."):
        tried([0.9], [0.1, 0.2], 1.0, "background above every object cell")
    with helped("Every cell of background meets every cell of object: how many pairs are these?"):
        tried([0.5, 0.9], [0.1, 0.7], 0.75, "two cells of each")
        tried([0.6, 0.2, 0.4], [0.3, 0.5], 0.5, "three cells against two")
    with helped("A tie says nothing: it counts like a coin."):
        tried([0.3, 0.3], [0.3, 0.3, 0.3], 0.5, "cells that are all alike")
        tried([0.5, 0.2], [0.5, 0.1], 0.625, "one tie among four pairs")
    return "separate, mixed and tied cells, unequal in number"


@exercise("04-2")
def overlap_from_scores(answer) -> str:
    """IoU of a painted region from its recall and precision."""
    found = answer(0.5, 0.75)
    expected = 3 / 7
    mistakes = {
        "That is the harmonic mean (the F score): what both have in common is counted twice.": 0.6,
        "Multiplying would treat them as chances of two independent events.": 0.375,
        "The IoU is never above either of the two, and the mean of them is.": 0.625,
    }
    recognise(found, expected, mistakes)
    compare(found, expected, "recall 0.5 and precision 0.75")
    compare(answer(1.0, 0.3), 0.3, "recall 1 and precision 0.3")
    compare(answer(1.0, 1.0), 1.0, "a perfect map")
    advice = "Where nothing is painted rightly both are 0, and so is the IoU."
    try:
        found = answer(0.0, 0.0)
    except ZeroDivisionError:
        raise Hint(f"Something is divided by 0. {advice}") from None
    with helped(advice):
        compare(found, 0.0, "recall 0 and precision 0")
    return "a perfect map, one that paints too much, one of both faults and one all wrong"


@asks(
    "04-2",
    recall=(0.5, 0.55, 0.65, 0.7, 0.8, 0.9),
    iou=(0.3, 0.35, 0.4, 0.45, 0.55, 0.65),
)
def needed_precision(recall: float = 0.6, iou: float = 0.5) -> Question:
    """How precise a map of some recall must be to have some IoU."""
    answer = 1 / (1 / iou - 1 / recall + 1)
    words = (
        f"a map of recall {short(recall)}",
        f"an IoU of {short(iou)}",
        f"above {short(recall)}",
        f"1 / (1 / {iou} - 1 / {recall} + 1)",
        f"a precision of {short(answer)}",
    )
    product = "Recall times precision is no IoU: turn your formula around."
    return Question(answer, words, {product: iou / recall}, sensible=iou < recall and answer < 0.95)


@exercise("04-3")
def scaled_by_box(answer) -> str:
    """u_c of one class: its map divided by the maximum of each box, the larger value staying."""
    cam = torch.tensor(
        [
            [8.0, 1.0, 2.0, 0.0, 6.0],
            [0.0, 2.0, 4.0, 0.0, 3.0],
            [0.0, 1.0, 1.0, 0.0, 0.0],
        ]
    )
    left, right, wide, empty = (torch.zeros(3, 5, dtype=torch.bool) for _ in range(4))
    left[:, 1:3] = True
    right[:, 3:] = True
    wide[:2, 1:] = True
    empty[2, 3:] = True

    def tried(masks: list[Tensor], given: str, advice: str) -> None:
        stacked = torch.stack(masks)
        with helped(advice):
            compare(answer(cam.clone(), stacked), _scaled(cam, stacked), given)

    advice = "The strongest place lies outside the box, and only what is in the box has a say."
    tried([left], "one box", advice)
    advice = "Each box has a maximum of its own and reaches 1 somewhere."
    tried([left, right], "two boxes apart", advice)
    advice = "Where boxes overlap the larger value stays, in whichever order they come."
    tried([left, wide], "two boxes that overlap", advice)
    tried([wide, left], "the same two in the other order", advice)
    advice = "A box in which the class responds nowhere stays 0: its maximum is 0."
    tried([left, empty], "a box without any response", advice)
    return "boxes apart, overlapping in both orders, and one without any response"


def _scaled(cam: Tensor, masks: Tensor) -> Tensor:
    """The definition, box by box; [H, W]."""
    boxes = cam * masks  # [K, H, W]
    return (boxes / boxes.amax((1, 2), keepdim=True).clamp_min(1e-12)).amax(0)
