"""Exercises of notebook 02: background-aware pooling."""

import torch

from bana.course.exercises.judging import Hint, compare, exercise


@exercise("02-1")
def pooled_share(answer) -> str:
    """Share of object in a pooled feature, from the share in the box and the two attentions."""
    if answer(1.0, 0.2, 0.2) is not None and answer(0.3, 0.0, 1.0) < 0.99:
        raise Hint("With A = 1 on all background, nothing but object should be pooled.")
    for alpha, on_object, on_ground in ((0.4, 0.5, 0.5), (0.25, 0.2, 0.8), (0.9, 0.1, 0.3)):
        kept = torch.tensor([alpha * (1 - on_object), (1 - alpha) * (1 - on_ground)])
        given = f"alpha = {alpha}, A_o = {on_object}, A_b = {on_ground}"
        compare(answer(alpha, on_object, on_ground), float(kept[0] / kept.sum()), given)
    return "a box of equal attention, one of GAP and three others"
