"""The optimiser of both trainings and its settings."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Optimisation:
    """Settings of one training: SGD with momentum .9, see `optimiser`."""

    iterations: int
    batch: int
    learning_rate: float
    head_factor: float = 10.0
    weight_decay: float = 5e-4


def optimiser(model: nn.Module, settings: Optimisation) -> torch.optim.SGD:
    """SGD with the authors' groups: biases at twice the rate without decay, new layers faster.

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
    return torch.optim.SGD(groups, momentum=0.9)
