"""The optimiser's groups: which parameters learn how fast."""

import pytest
import torch
from squares import batch, classifier, segmenter, settings

from bana.training.classification import train_classifier
from bana.training.optimisation import Optimisation, optimiser


@pytest.mark.parametrize("rule", ["sgd", "adamw"])
def test_groups_of_the_optimiser(rule: str) -> None:
    model = segmenter()
    chosen = Optimisation(1, 1, learning_rate=0.5, weight_decay=0.25, rule=rule)
    descent = optimiser(model, chosen)
    groups = descent.param_groups
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        new, bias = not name.startswith("backbone."), name.endswith(".bias")
        expected = 0.5 * (10 if new else 1) * (2 if bias else 1), 0.0 if bias else 0.25
        assert rates.pop(id(parameter)) == expected, name
    assert not rates
    if rule == "sgd":
        assert type(descent) is torch.optim.SGD and all(g["momentum"] == 0.9 for g in groups)
    else:
        assert type(descent) is torch.optim.AdamW


def test_unknown_settings_are_named() -> None:
    with pytest.raises(ValueError, match="unknown rule 'lion': use sgd or adamw"):
        Optimisation(1, 1, 0.5, rule="lion")
    for ema in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match=f"ema must be between 0 and 1, got {ema}"):
            Optimisation(1, 1, 0.5, ema=ema)


@pytest.mark.parametrize("rule", ["sgd", "adamw"])
@pytest.mark.parametrize("ema", [None, 0.5])
def test_copies_are_the_tensors_of_the_weights_size_that_a_checkpoint_holds(
    rule: str, ema: float | None
) -> None:
    model, chosen = segmenter(), Optimisation(1, 1, 0.5, rule=rule, ema=ema)
    descent = optimiser(model, chosen)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    descent.step()
    moments = {n for s in descent.state.values() for n, v in s.items() if v.ndim > 0}
    assert chosen.copies == 1 + len(moments) + (ema is not None)


def test_frozen_parameters_are_left_out() -> None:
    model = classifier()
    model.backbone.body[0].requires_grad_(False)
    held = {id(p) for g in optimiser(model, settings(1)).param_groups for p in g["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    frozen = model.backbone.body[0].weight.clone()
    train_classifier(model, [batch()], settings(1))
    assert torch.equal(model.backbone.body[0].weight, frozen)
