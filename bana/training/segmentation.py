"""The training loop of stage 3, the segmenter, and the losses it can have.

As plain as the loop of `bana.training.classification`.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from bana.losses import (
    agreement,
    bootstrapped_loss,
    confidence_map,
    cross_entropy_loss,
    entropy_regularised_loss,
    generalised_cross_entropy_loss,
    noise_aware_loss,
    per_class_noise_aware_loss,
    symmetric_cross_entropy_loss,
)
from bana.networks.segmenter import Segmenter
from bana.training.engine import Engine, engine_of
from bana.training.optimisation import Optimisation, optimiser

SegmentationLoss = Callable[..., Tensor]

# What the segmenter can be trained with: (phi, W, Y_crf, Y_ret, tau, and its `WEIGHTS` by name) ->
# scalar. "nal" is the loss as the authors have it, with sigma's gradient; "nal-per-class" has ~S as
# a replication had it; "truth" gets true masks in the place of both labels: the ceiling of what
# labels can bring.
LOSSES: dict[str, SegmentationLoss] = {
    "crf": lambda phi, w, y_crf, y_ret, tau: cross_entropy_loss(phi, w, y_crf, tau),
    "ret": lambda phi, w, y_crf, y_ret, tau: cross_entropy_loss(phi, w, y_ret, tau),
    "ignore": lambda phi, w, y_crf, y_ret, tau: cross_entropy_loss(
        phi, w, agreement(y_crf, y_ret), tau
    ),
    "entropy": entropy_regularised_loss,
    "bootstrap": bootstrapped_loss,
    "generalised": lambda phi, w, y_crf, y_ret, tau: generalised_cross_entropy_loss(
        phi, w, y_crf, tau
    ),
    "symmetric": lambda phi, w, y_crf, y_ret, tau: symmetric_cross_entropy_loss(phi, w, y_crf, tau),
    "nal": lambda *given, **weights: noise_aware_loss(*given, **weights).total,
    "nal-detached": lambda *given, **weights: (
        noise_aware_loss(*given, **weights, detach_confidence=True).total
    ),
    "nal-per-class": per_class_noise_aware_loss,
    "truth": lambda phi, w, y_crf, y_ret, tau: cross_entropy_loss(phi, w, y_crf, tau),
}

WEIGHTS: dict[str, tuple[str, ...]] = {
    "nal": ("gamma", "lam"),
    "nal-detached": ("gamma", "lam"),
    "nal-per-class": ("gamma", "lam"),
    "entropy": ("lam",),
    "bootstrap": ("lam",),
}
"""What a loss weighs ~S with: gamma of Eq. 12, lambda of Eq. 14; the other losses have neither."""


def weights_of(loss: str, gamma: float, lam: float) -> dict[str, float]:
    """Gamma and lambda, of which a loss has them; keys of `WEIGHTS`."""
    given = {"gamma": gamma, "lam": lam}
    return {name: given[name] for name in WEIGHTS.get(loss, ())}


def train_segmenter(
    model: Segmenter,
    batches: Iterable[dict],
    settings: Optimisation,
    loss: str,
    on_iteration: Callable[[int, Segmenter], None] | None = None,
    engine: Engine | None = None,
    weights: Mapping[str, float] = MappingProxyType({}),
) -> list[dict[str, float]]:
    """Stage 3: train the segmenter in place on Y_crf and Y_ret.

    Args:
        model: to be trained.
        batches: of `bana.data.transforms.collate` with y_crf and y_ret; as in
            `bana.training.classification.train_classifier`.
        settings: iterations and rates; the rate decays as (1 - t / T)^.9.
        loss: a key of `LOSSES`.
        on_iteration: called after every iteration with its number (from 1) and the model, in the
            first of several processes; the model has its weights of that iteration, of which a
            mean may be kept apart.
        engine: where to train; None trains on the model's device and keeps nothing.
        weights: of `weights_of`; the paper's where a loss is given none.

    Returns:
        One row an iteration: the loss.

    Raises:
        ValueError: if the loss is unknown, or there are fewer batches than iterations.
        FloatingPointError, bana.training.runs.Interrupted: as in `train_classifier`.
    """
    if loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}: use one of {', '.join(LOSSES)}")
    engine = engine or engine_of(model)
    descent = optimiser(model, settings)
    schedule = torch.optim.lr_scheduler.PolynomialLR(descent, settings.iterations, power=0.9)
    network, descent = engine.start(model, descent, schedule, settings.ema)
    model.train()
    title = f"segmenter ({loss})"
    for number, micro_batches in engine.steps(batches, settings.iterations, title):
        descent.zero_grad(set_to_none=True)
        for batch in micro_batches:
            phi = network(batch["image"])
            value = LOSSES[loss](
                phi, model.weight, batch["y_crf"], batch["y_ret"], model.temperature, **weights
            )
            engine.backward(value)
            engine.log(loss=value)
        descent.step()
        schedule.step()
        if on_iteration is not None and engine.rank == 0:
            on_iteration(number, model)
    model.eval()
    return engine.history


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
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        scores = model.scores(images.to(model.weight.device)).to(y_crf.device)
    finally:
        for module, mode in modes:  # each its own: parts may be in another mode than the whole
            module.training = mode
    cosines = F.interpolate(scores, size=y_crf.shape[1:], mode="bilinear")
    return confidence_map(cosines, y_crf, gamma)
