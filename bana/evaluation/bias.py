"""A bias on the background: where a network draws the line between background and objects.

The argmax gives every pixel its likeliest class, which makes the fewest wrong pixels if the
probabilities are right. mIoU is a mean over classes. A doubtful pixel that is given to class c adds
to the class's intersection where that is right and to its union where it is not; beside all
background it is next to nothing. So it pays as soon as c is IoU_c times as likely as background:
with a bias b = log IoU_c < 0 on the background's log-probability. No network is trained anew for
it. Two networks that differ in how readily they say "background" differ in mIoU, too, and one
number undoes that part of the difference. The paper takes the argmax, which is b = 0.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from bana.data.voc import VocDataset, read_image
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.prediction import predict
from bana.networks.segmenter import Segmenter

BIASES = tuple(step / 4 for step in range(-12, 5))
"""From -3, which divides the odds of background against each class by 20, to 1."""


def biased_labels(probabilities: Tensor, bias: float) -> Tensor:
    """The label of each pixel, argmax of log H_c + bias [c = 0].

    Args:
        probabilities: H, float [L + 1, H, W], at least one class beside the background.
        bias: b; below 0 more pixels become objects, 0 is the plain argmax.

    Returns:
        uint8 [H, W], 0..L. Of equals the class that comes first, as in an argmax.
    """
    return next(_biased_maps(probabilities, [bias]))


def bias_areas(probabilities: Tensor, mask: Tensor, biases: Sequence[float]) -> Tensor:
    """Intersections and unions of one image's labels under each bias.

    Args:
        probabilities: see `biased_labels`.
        mask: uint8 [H, W], 0..L and 255.
        biases: B numbers.

    Returns:
        int64 [B, L + 1, 2], see `bana.evaluation.miou.class_areas`.
    """
    maps = _biased_maps(probabilities, biases)
    return torch.stack([class_areas(labels, mask, len(probabilities)) for labels in maps])


def _biased_maps(probabilities: Tensor, biases: Sequence[float]) -> Iterator[Tensor]:
    highest, best = probabilities[1:].max(0)
    best = (best + 1).to(torch.uint8)
    for bias in biases:
        yield torch.where(probabilities[0] * math.exp(bias) >= highest, 0, best)


def best_bias(areas: Tensor, biases: Sequence[float]) -> float:
    """The bias under which mIoU is highest; of equals the nearest to 0, of two as near the lower.

    Args:
        areas: of `bias_areas`, int64 [N, B, L + 1, 2]; where no pixel counts all are equals.
        biases: B numbers in ascending order.
    """
    scores = mean_iou(areas.sum(0)).nan_to_num(-1.0).tolist()
    return max(zip(scores, biases, strict=True), key=lambda pair: (pair[0], -abs(pair[1])))[1]


def network_areas(
    model: Segmenter,
    images: VocDataset,
    label_of: Callable[[str], Tensor],
    image_scale: float = 1.0,
) -> Tensor:
    """Areas of a network's labels under every bias of `BIASES`, at a single scale.

    Args:
        model: in evaluation mode.
        images: to predict.
        label_of: gives what an image, told by its id, is scored against, uint8 [H, W].
        image_scale: the constant enlargement that the model was trained with.

    Returns:
        int64 [N, B, L + 1, 2], see `bias_areas`.
    """
    device = next(model.parameters()).device
    areas = []
    for name in images.ids:
        image = read_image(images.image_path(name)).to(device)
        probabilities = predict(model, image, image_scale).cpu()
        areas.append(bias_areas(probabilities, label_of(name), BIASES))
    return torch.stack(areas)
