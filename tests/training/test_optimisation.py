"""The optimiser's groups: which parameters learn how fast."""

import torch
from squares import batch, classifier, segmenter, settings

from bana.training.classification import train_classifier
from bana.training.optimisation import Optimisation, optimiser


def test_groups_of_the_optimiser() -> None:
    model = segmenter()
    groups = optimiser(model, Optimisation(1, 1, learning_rate=0.5, weight_decay=0.25)).param_groups
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        new, bias = not name.startswith("backbone."), name.endswith(".bias")
        expected = 0.5 * (10 if new else 1) * (2 if bias else 1), 0.0 if bias else 0.25
        assert rates.pop(id(parameter)) == expected, name
    assert not rates
    assert all(g["momentum"] == 0.9 for g in groups)


def test_frozen_parameters_are_left_out() -> None:
    model = classifier()
    model.backbone.body[0].requires_grad_(False)
    held = {id(p) for g in optimiser(model, settings(1)).param_groups for p in g["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    frozen = model.backbone.body[0].weight.clone()
    train_classifier(model, [batch()], settings(1))
    assert torch.equal(model.backbone.body[0].weight, frozen)
