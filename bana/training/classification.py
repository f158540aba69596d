"""The training loop of stage 1, the box classifier.

The plain loop of every textbook: for each batch a loss, its gradient, a step of the optimiser and
of its schedule. A batch may come in several micro-batches, whose gradients add up to that of their
mean loss; where that happens, and what else a machine asks for, is in `bana.training.engine`.
"""

from collections.abc import Iterable

import torch

from bana.networks.classifier import BoxClassifier, box_loss
from bana.training.engine import Engine, engine_of
from bana.training.optimisation import Optimisation, optimiser


def train_classifier(
    model: BoxClassifier,
    batches: Iterable[dict],
    settings: Optimisation,
    drop: float = 0.625,
    engine: Engine | None = None,
) -> list[dict[str, float]]:
    """Stage 1: train the box classifier in place.

    Args:
        model: to be trained.
        batches: of `bana.data.transforms.collate`; as many as there are iterations, or
            micro-batches from where the engine goes on.
        settings: iterations and rates.
        drop: the rate falls to a tenth after this fraction of the iterations.
        engine: where to train; None trains on the model's device and keeps nothing.

    Returns:
        One row an iteration: loss and the fraction of box parts classified rightly.

    Raises:
        FloatingPointError: if the loss becomes infinite or NaN.
        bana.training.runs.Interrupted: after a signal that asks to stop, when everything is saved.
    """
    engine = engine or engine_of(model)
    descent = optimiser(model, settings)
    schedule = torch.optim.lr_scheduler.MultiStepLR(descent, [int(drop * settings.iterations)])
    network, descent = engine.start(model, descent, schedule, settings.ema)
    model.train()
    title = f"classifier ({model.pooling})"
    for _, micro_batches in engine.steps(batches, settings.iterations, title):
        descent.zero_grad(set_to_none=True)
        for batch in micro_batches:
            labels = batch["labels"]
            logits = network(batch["image"], batch["background"], batch["boxes"])
            loss = box_loss(logits, labels)
            engine.backward(loss)
            right = (logits.boxes.argmax(2) == labels[:, None]).float().mean()
            engine.log(loss=loss, accuracy=right)
        descent.step()
        schedule.step()
    model.eval()
    return engine.history
