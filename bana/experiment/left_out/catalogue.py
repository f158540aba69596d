"""The experiments by name: the question of each, and the changes that answer it."""

from dataclasses import dataclass, field

from bana.experiment.left_out.boxes import Defect
from bana.experiment.left_out.steps import Change

SHARES = (0.05, 0.1, 0.2, 0.3)
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
TEMPERATURES = (0.1, 0.25, 0.5, 2.0, 4.0)


@dataclass(frozen=True)
class Experiment:
    """One question that the paper leaves open.

    Attributes:
        question: in one sentence.
        changes: of the making of labels, by name; empty where the experiment is of another kind.
    """

    question: str
    changes: dict[str, Change] = field(default_factory=dict)


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _box_changes() -> dict[str, Change]:
    far = {
        f"{kind} {_percent(share)}": Change(Defect(kind, share))
        for kind in ("loosened", "jittered", "shifted")
        for share in SHARES
    }
    many = {
        f"{kind} {_percent(share)}": Change(Defect(kind, share))
        for kind in ("missing", "duplicated")
        for share in (0.1, 0.3, 0.5)
    }
    return far | many


def _query_changes() -> dict[str, Change]:
    return {
        f"{grid} x {grid}{' by pixels' * by_pixels}": Change(grid=grid, by_pixels=by_pixels)
        for grid in (2, 4)
        for by_pixels in (False, True)
    }


EXPERIMENTS: dict[str, Experiment] = {
    "boxes": Experiment(
        "How many points does each defect of the boxes cost, where labels are made of them?",
        _box_changes(),
    ),
    "threshold": Experiment(
        "From which share of its maximum on is the attention background?",
        {"none": Change(threshold=0.0)}
        | {f"{threshold:g}": Change(threshold=threshold) for threshold in THRESHOLDS},
    ),
    "temperature": Experiment(
        "How sure should the unary be, before the CRF sees it?",
        {f"T {value:g}": Change(temperature=value) for value in TEMPERATURES},
    ),
    "queries": Experiment(
        "One background query an image, one a grid cell, or one a cell weighed by its pixels?",
        _query_changes(),
    ),
    "prototypes": Experiment(
        "Does Y_ret know more with one prototype a box, or one a quarter of each box?",
        {name: Change(prototypes=name) for name in ("box", "quarter")},
    ),
    "cams": Experiment(
        "Is a CAM divided by its maximum in each box, or in all boxes of its class?",
        {"image maximum": Change(maximum="image")},
    ),
    "doctor": Experiment("Can defective boxes be found without masks?"),
    "sigma": Experiment("Is the confidence sigma as high as labels are right?"),
    "fewer": Experiment(
        "What do fewer images, or boxes forgotten in training, cost the classifier's labels?"
    ),
    "backbone": Experiment("What do the labels of another backbone gain or lose?"),
}
"""All experiments, those of one step of label making first."""
