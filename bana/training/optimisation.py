"""The optimiser of both trainings and its settings."""

from dataclasses import dataclass

import torch
from torch import nn

RULES = ("sgd", "adamw")


@dataclass(frozen=True)
class Optimisation:
    """Settings of one training, see `optimiser`.

    Attributes:
        iterations, batch: steps, and crops in each.
        learning_rate: of the backbone's weights at the start.
        head_factor: new layers learn so many times as fast.
        weight_decay: of weights, not of biases.
        rule: "sgd", with momentum .9, or "adamw", whose decay is apart from the gradient.
        ema: decay a step, in ]0, 1[, of the exponential mean of the weights that the training ends
            with, see `bana.training.engine.Engine.start`; None ends with the last weights.

    Raises:
        ValueError: if the rule is unknown or the decay of the mean out of range.
    """

    iterations: int
    batch: int
    learning_rate: float
    head_factor: float = 10.0
    weight_decay: float = 5e-4
    rule: str = "sgd"
    ema: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no training could use."""
        if self.rule not in RULES:
            raise ValueError(f"unknown rule {self.rule!r}: use {' or '.join(RULES)}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema must be between 0 and 1, got {self.ema}")

    @property
    def copies(self) -> int:
        """Tensors of the weights' size that a checkpoint holds: weights, moments, their mean."""
        moments = {"sgd": 1, "adamw": 2}[self.rule]
        return 1 + moments + (self.ema is not None)


def optimiser(model: nn.Module, settings: Optimisation) -> torch.optim.Optimizer:
    """The rule with the authors' groups: biases at twice the rate without decay, new layers faster.

    New layers are all that the backbone does not hold: the classifier and the segmenter's neck.
    """
    groups = []
    for is_backbone in (True, False):
        for is_bias in (False, True):
            parameters = [
                p
                for name, p in model.named_parameters()
                if p.requires_grad
                and name.startswith("backbone.") == is_backbone
                and name.endswith(".bias") == is_bias
            ]
            rate = settings.learning_rate * (1 if is_backbone else settings.head_factor)
            groups.append(
                {
                    "params": parameters,
                    "lr": rate * (2 if is_bias else 1),
                    "weight_decay": 0.0 if is_bias else settings.weight_decay,
                }
            )
    if settings.rule == "adamw":
        return torch.optim.AdamW(groups)
    return torch.optim.SGD(groups, momentum=0.9)
