"""The two training loops: stage 1 (box classifier) and stage 3 (segmenter).

Both are the plain loop of every textbook: for each batch a loss, its gradient, a step of the
optimiser and of its schedule. A batch may come in several micro-batches, whose gradients add up to
that of their mean loss; where that happens, and what else a machine asks for, is in `bana.training.engine`.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from bana.experiment.profiles import Optimisation
from bana.losses import (
    agreement,
    bootstrapped_loss,
    confidence_map,
    cross_entropy_loss,
    entropy_regularised_loss,
    noise_aware_loss,
)
from bana.networks.heads import BoxClassifier, Segmenter, box_loss
from bana.training.engine import Engine
from bana.training.machine import Machine

SegmentationLoss = Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]

# What the segmenter can be trained with: (phi, W, Y_crf, Y_ret, tau) -> scalar.
LOSSES: dict[str, SegmentationLoss] = {
    "crf": lambda phi, w, y_crf, y_ret, tau: cross_entropy_loss(phi, w, y_crf, tau),
    "ret": lambda phi, w, y_crf, y_ret, tau: cross_entropy_loss(phi, w, y_ret, tau),
    "ignore": lambda phi, w, y_crf, y_ret, tau: cross_entropy_loss(
        phi, w, agreement(y_crf, y_ret), tau
    ),
    "entropy": entropy_regularised_loss,
    "bootstrap": bootstrapped_loss,
    "nal": lambda phi, w, y_crf, y_ret, tau: noise_aware_loss(phi, w, y_crf, y_ret, tau).total,
}


def optimiser(model: BoxClassifier | Segmenter, settings: Optimisation) -> torch.optim.SGD:
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
        batches: of `bana.data.transforms.collate`; as many as there are iterations, or micro-batches
            from where the engine goes on.
        settings: iterations and rates.
        drop: the rate falls to a tenth after this fraction of the iterations.
        engine: where to train; None trains on the model's device and keeps nothing.

    Returns:
        One row an iteration: loss and the fraction of box parts classified rightly.

    Raises:
        FloatingPointError: if the loss becomes infinite or NaN.
        bana.training.runs.Interrupted: after a signal that asks to stop, when everything is saved.
    """
    engine = engine or _engine_of(model)
    sgd = optimiser(model, settings)
    schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, [int(drop * settings.iterations)])
    network, sgd = engine.start(model, sgd, schedule)
    model.train()
    title = f"classifier ({model.pooling})"
    for _, micro_batches in engine.steps(batches, settings.iterations, title):
        sgd.zero_grad(set_to_none=True)
        for batch in micro_batches:
            labels = batch["labels"]
            logits = network(batch["image"], batch["background"], batch["boxes"])
            loss = box_loss(logits, labels)
            engine.backward(loss)
            right = (logits.boxes.argmax(2) == labels[:, None]).float().mean()
            engine.log(loss=loss, accuracy=right)
        sgd.step()
        schedule.step()
    model.eval()
    return engine.history


def train_segmenter(
    model: Segmenter,
    batches: Iterable[dict],
    settings: Optimisation,
    loss: str,
    on_iteration: Callable[[int, Segmenter], None] | None = None,
    engine: Engine | None = None,
) -> list[dict[str, float]]:
    """Stage 3: train the segmenter in place on Y_crf and Y_ret.

    Args:
        model: to be trained.
        batches: of `bana.data.transforms.collate` with y_crf and y_ret; as in `train_classifier`.
        settings: iterations and rates; the rate decays as (1 - t / T)^.9.
        loss: a key of `LOSSES`.
        on_iteration: called after every iteration with its number (from 1) and the model, in the
            first of several processes.
        engine: where to train; None trains on the model's device and keeps nothing.

    Returns:
        One row an iteration: the loss.

    Raises:
        ValueError: if the loss is unknown.
        FloatingPointError, bana.training.runs.Interrupted: as in `train_classifier`.
    """
    if loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}: use one of {', '.join(LOSSES)}")
    engine = engine or _engine_of(model)
    sgd = optimiser(model, settings)
    schedule = torch.optim.lr_scheduler.PolynomialLR(sgd, settings.iterations, power=0.9)
    network, sgd = engine.start(model, sgd, schedule)
    model.train()
    title = f"segmenter ({loss})"
    for number, micro_batches in engine.steps(batches, settings.iterations, title):
        sgd.zero_grad(set_to_none=True)
        for batch in micro_batches:
            phi = network(batch["image"])
            value = LOSSES[loss](
                phi, model.weight, batch["y_crf"], batch["y_ret"], model.temperature
            )
            engine.backward(value)
            engine.log(loss=value)
        sgd.step()
        schedule.step()
        if on_iteration is not None and engine.rank == 0:
            on_iteration(number, model)
    model.eval()
    return engine.history


def _engine_of(model: BoxClassifier | Segmenter) -> Engine:
    return Engine(Machine(accelerator=str(model.weight.device), devices=1, nodes=1))


@torch.no_grad()
def confidence_of(model: Segmenter, images: Tensor, y_crf: Tensor, gamma: float = 7.0) -> Tensor:
    """The confidence map sigma of Eq. 12 under the current weights.

    Args:
        model: in any mode and on any device; left as it was.
        images: uint8 [N, 3, H, W].
        y_crf: labels [N, H', W'], of the images' size or another.

    Returns:
        float [N, H', W'] in [0, 1], on the device of ``y_crf``.
    """
    training = model.training
    model.eval()
    scores = model.scores(images.to(model.weight.device)).to(y_crf.device)
    cosines = F.interpolate(scores, size=y_crf.shape[1:], mode="bilinear")
    model.train(training)
    return confidence_map(cosines, y_crf, gamma)
