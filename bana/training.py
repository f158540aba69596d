"""The two training loops: stage 1 (box classifier) and stage 3 (segmenter)."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from bana.losses import (
    agreement,
    bootstrapped_loss,
    confidence_map,
    cross_entropy_loss,
    entropy_regularised_loss,
    noise_aware_loss,
)
from bana.networks import BoxClassifier, Segmenter, box_loss
from bana.profiles import Optimisation

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
) -> list[dict[str, float]]:
    """Stage 1: train the box classifier in place.

    Args:
        model: to be trained, on the device where the training shall run.
        batches: of `bana.transforms.collate`; as many as there are iterations.
        settings: iterations and rates.
        drop: the rate falls to a tenth after this fraction of the iterations.

    Returns:
        One row an iteration: loss and the fraction of box parts classified rightly.
    """
    device = model.weight.device
    sgd = optimiser(model, settings)
    schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, [int(drop * settings.iterations)])
    history = []
    model.train()
    for batch in tqdm(batches, total=settings.iterations, desc=f"classifier ({model.pooling})"):
        labels = batch["labels"].to(device)
        logits = model(
            batch["image"].to(device), batch["background"].to(device), batch["boxes"].to(device)
        )
        loss = box_loss(logits, labels)
        _step(sgd, schedule, loss)
        right = (logits.boxes.argmax(2) == labels[:, None]).float().mean()
        history.append({"loss": loss.item(), "accuracy": right.item()})
    model.eval()
    return history


def train_segmenter(
    model: Segmenter,
    batches: Iterable[dict],
    settings: Optimisation,
    loss: str,
    on_iteration: Callable[[int, Segmenter], None] | None = None,
) -> list[dict[str, float]]:
    """Stage 3: train the segmenter in place on Y_crf and Y_ret.

    Args:
        model: to be trained, on the device where the training shall run.
        batches: of `bana.transforms.collate` with y_crf and y_ret.
        settings: iterations and rates; the rate decays as (1 - t / T)^.9.
        loss: a key of `LOSSES`.
        on_iteration: called after every iteration with its number (from 1) and the model.

    Returns:
        One row an iteration: the loss.

    Raises:
        ValueError: if the loss is unknown.
    """
    if loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}: use one of {', '.join(LOSSES)}")
    device = model.weight.device
    sgd = optimiser(model, settings)
    schedule = torch.optim.lr_scheduler.PolynomialLR(sgd, settings.iterations, power=0.9)
    history = []
    model.train()
    progress = tqdm(batches, total=settings.iterations, desc=f"segmenter ({loss})")
    for number, batch in enumerate(progress, start=1):
        phi = model(batch["image"].to(device))
        y_crf, y_ret = batch["y_crf"].to(device), batch["y_ret"].to(device)
        value = LOSSES[loss](phi, model.weight, y_crf, y_ret, model.temperature)
        _step(sgd, schedule, value)
        history.append({"loss": value.item()})
        if on_iteration is not None:
            on_iteration(number, model)
    model.eval()
    return history


def _step(
    sgd: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler, loss: Tensor
) -> None:
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the loss became {loss.item()}: lower the learning rate")
    sgd.zero_grad(set_to_none=True)
    loss.backward()
    sgd.step()
    schedule.step()


@torch.no_grad()
def confidence_of(model: Segmenter, images: Tensor, y_crf: Tensor, gamma: float = 7.0) -> Tensor:
    """The confidence map sigma of Eq. 12 under the current weights.

    Args:
        model: in any mode; left as it was.
        images: uint8 [N, 3, H, W].
        y_crf: labels [N, H', W'], of the images' size or another.

    Returns:
        float [N, H', W'] in [0, 1].
    """
    training = model.training
    model.eval()
    cosines = F.interpolate(model.scores(images), size=y_crf.shape[1:], mode="bilinear")
    model.train(training)
    return confidence_map(cosines, y_crf, gamma)
