"""The classifier's training loop, on a problem of a few seconds."""

import pytest
import torch
from squares import batch, classifier, rates_of, settings

from bana.training import classification
from bana.training.classification import train_classifier


@pytest.mark.parametrize("pooling", ["bap", "gap"])
def test_classifier_learns_a_tiny_problem(pooling: str) -> None:
    model = classifier(pooling)
    history = train_classifier(model, [batch()] * 40, settings(40))
    assert len(history) == 40 and set(history[0]) == {"loss", "accuracy"}
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["accuracy"] == 1
    assert not model.training


def test_classifiers_rate_falls_to_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(8, 1e-3)
    rates = rates_of(
        monkeypatch, classification, 8, lambda b: train_classifier(classifier(), b, chosen)
    )
    # Read after each step: the sixth iteration, 5 of 8 done, is the first with the lower rate.
    assert rates == pytest.approx([1e-3] * 4 + [1e-4] * 4)


def test_diverged_training_stops_with_a_reason() -> None:
    model = classifier()
    with torch.no_grad():
        model.weight.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="learning rate"):
        train_classifier(model, [batch()], settings(1))
