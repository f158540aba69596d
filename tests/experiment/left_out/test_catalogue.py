"""The experiments: each changes one thing, and no two the same."""

from dataclasses import fields

import pytest

from bana.experiment.left_out.catalogue import EXPERIMENTS, SHARES, THRESHOLDS
from bana.experiment.left_out.steps import Change

WITH_CHANGES = [name for name, each in EXPERIMENTS.items() if each.changes]


def changed_fields(change: Change) -> set[str]:
    return {f.name for f in fields(Change) if getattr(change, f.name) != getattr(Change(), f.name)}


@pytest.mark.parametrize("name", WITH_CHANGES)
def test_changes_of_an_experiment_are_of_one_step(name: str) -> None:
    allowed = {
        "boxes": {"defect"},
        "threshold": {"threshold"},
        "temperature": {"temperature"},
        "queries": {"grid", "by_pixels"},
        "prototypes": {"prototypes"},
        "cams": {"maximum"},
    }
    changes = EXPERIMENTS[name].changes
    for change in changes.values():
        assert changed_fields(change) and changed_fields(change) <= allowed[name]
    assert len({str(change) for change in changes.values()}) == len(changes)


def test_every_share_kind_and_threshold_is_there() -> None:
    boxes = EXPERIMENTS["boxes"].changes
    for kind in ("loosened", "jittered", "shifted"):
        shares = [c.defect.share for n, c in boxes.items() if c.defect and n.startswith(kind)]
        assert shares == list(SHARES)
    assert {"missing 10 %", "missing 50 %", "duplicated 30 %"} <= set(boxes)
    thresholds = [change.threshold for change in EXPERIMENTS["threshold"].changes.values()]
    assert thresholds == [0.0, *THRESHOLDS]


def test_questions_are_questions_and_the_backbone_is_asked_for_by_name() -> None:
    assert all(each.question.endswith("?") for each in EXPERIMENTS.values())
    assert list(EXPERIMENTS)[-1] == "backbone"  # the last, which commands do not run unasked
