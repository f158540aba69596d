"""The box doctor: finds boxes that something is wrong with, by labels alone, without any mask.

Half of the boxes get a defect. Each *sign* is a number of a box that should be higher where the box
is defective; how well it tells defective boxes from sound ones is the area under its ROC curve: how
often a defective box has the higher sign, 50 % by chance. Which way a sign points was laid down
here before anything was measured.

    empty       Share of the box that Y_crf leaves to background or other classes.
    margin      The widest gap between the box's edge and the label, as a share of the side.
    contact     The largest share of one edge that the label touches: an object is cut off there.
    differ      1 - IoU of Y_crf and Y_ret in the box.
    doubt       1 - the mean of sigma (Eq. 12) in the box; where a network judges.
    overlap     The largest IoU with another box of its class.
    unlike      Of an *image*: the share of the pixels outside the boxes that the method's own
                threshold would not call background. An object without a box should be there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.ops import box_iou

from bana.data.boxes import covered, pixels_of
from bana.data.transforms import eval_image
from bana.evaluation.intervals import estimate
from bana.evaluation.regime import ordering_chance
from bana.evaluation.verdicts import plain_estimate
from bana.experiment.left_out.boxes import Defect
from bana.experiment.left_out.measuring import Bench
from bana.experiment.left_out.steps import Change, Made, changed_labels
from bana.experiment.masking import compared
from bana.experiment.processes import computing_with, spread
from bana.networks.segmenter import Segmenter
from bana.training.segmentation import confidence_of

IMAGE_SIGN = "unlike"
HALF = 0.5

DEFECTS = {
    f"{kind} {100 * share:g} %": Defect(kind, share, HALF)
    for kind in ("loosened", "jittered", "shifted")
    for share in (0.1, 0.3)
} | {"duplicated": Defect("duplicated", HALF)}
MISSING = Defect("missing", 0.3)
"""Forgotten boxes leave none to look at: images are told apart, those with a forgotten box."""


class Signs(NamedTuple):
    """Signs of one image's boxes, or of the image: [K] each, and which are defective."""

    values: dict[str, Tensor]
    defective: Tensor


def box_signs(made: Made, sigma: Tensor | None = None) -> Signs:
    """The signs of every box of an image; one that holds no pixel's centre has nothing in it.

    Args:
        made: labels, and the boxes that they were made from.
        sigma: confidence in Y_crf, float [H, W]; None leaves "doubt" out.
    """
    label, boxes, numbers = made.labels.y_crf, made.boxes, made.classes.tolist()
    signs: dict[str, list[float]] = {"empty": [], "margin": [], "contact": []}
    for box, number in zip(boxes, numbers, strict=True):
        mask = label[pixels_of(box)] == number
        signs["empty"].append(1 - _share(mask))
        signs["margin"].append(max(_gaps(mask)))
        signs["contact"].append(max(map(_share, _edges(mask))) if mask.numel() else 0)
    signs["differ"] = compared(label, made.labels.y_ret, boxes, numbers)[1]
    if sigma is not None:
        signs["doubt"] = [1 - _share(sigma[pixels_of(box)]) for box in boxes]
    others = box_iou(boxes, boxes) * (made.classes[:, None] == made.classes)
    others.fill_diagonal_(0)
    values = {name: torch.tensor(each, dtype=torch.float64) for name, each in signs.items()}
    values["overlap"] = others.max(1).values.double() if len(boxes) else torch.zeros(0).double()
    return Signs(values, made.defective)


def _share(values: Tensor) -> float:
    """The mean of values in [0, 1]; 0 of none."""
    return float(values.float().mean()) if values.numel() else 0.0


def _gaps(mask: Tensor) -> list[float]:
    """Between the label and each edge of its box, as shares of the sides; 1 without any label."""
    gaps = []
    for along in (mask.any(1), mask.any(0)):
        places = along.nonzero().flatten()
        length = len(along)
        if not len(places):
            return [1.0]
        gaps += [int(places[0]) / length, (length - 1 - int(places[-1])) / length]
    return gaps


def _edges(mask: Tensor) -> tuple[Tensor, ...]:
    return mask[0], mask[-1], mask[:, 0], mask[:, -1]


def image_sign(made: Made, threshold: float) -> Signs:
    """The sign of an image in which boxes may be forgotten; none where no box is left.

    Args:
        made: labels, and the boxes that are left.
        threshold: the method's, of the cosine's maximum.
    """
    if not len(made.boxes):
        return Signs({IMAGE_SIGN: torch.zeros(0).double()}, torch.zeros(0, dtype=torch.bool))
    outside = ~covered(made.boxes, *made.cosine.shape)
    unlike = made.cosine < threshold * made.cosine.max()
    share = float((unlike & outside).sum()) / max(1, int(outside.sum()))
    value = torch.tensor([share], dtype=torch.float64)
    return Signs({IMAGE_SIGN: value}, torch.tensor([made.forgotten > 0]))


def told_apart(images: Sequence[Signs]) -> dict[str, Any]:
    """How well each sign tells defective boxes from sound ones.

    Args:
        images: the signs of all images.

    Returns:
        "boxes", "defective": how many; "signs": {sign: {"value", "low", "high"}}, the area under
        the ROC curve in percent with its 95 % interval over images, ties counted half; None where
        all boxes are sound, or all defective.
    """
    defective = torch.cat([image.defective for image in images])
    names = images[0].values if images else {}
    return {
        "boxes": len(defective),
        "defective": int(defective.sum()),
        "signs": {name: _curve(images, name) for name in names},
    }


def _curve(images: Sequence[Signs], name: str) -> dict[str, float] | None:
    every = torch.cat([image.values[name] for image in images])
    steps = every.unique()  # boxes of one value are ties
    counts = torch.zeros(len(images), max(1, len(steps)), 2, dtype=torch.int64)
    for row, image in zip(counts, images, strict=True):
        places = torch.searchsorted(steps, image.values[name])
        row.index_put_((places, image.defective.long()), torch.tensor(1), accumulate=True)
    return plain_estimate(estimate(counts, ordering_chance))


class Practice(NamedTuple):
    """What the doctor works with.

    Attributes:
        bench: data, classifier and settings.
        judge: a network that judges labels, if there is one.
        gamma: exponent of its confidence, Eq. 12; the profile's.
    """

    bench: Bench
    judge: Segmenter | None = None
    gamma: float = 7.0


def _examined(practice: Practice, job: tuple[int, tuple[str, ...]]) -> dict[str, Signs]:
    """Signs of one image under several defects."""
    bench, (number, names) = practice.bench, job
    with computing_with(1), torch.no_grad():
        item = bench.data[number]
        image = eval_image(item, bench.settings.image_scale)
        features = bench.model.backbone(image[None])[0]
        result = {}
        for name in names:
            defect = MISSING if name == "missing" else DEFECTS[name]
            made = _labels(bench, item, features, defect)
            if name == "missing":
                unary = bench.settings.unary
                result[name] = image_sign(made, unary.background_threshold if unary else 0.0)
                continue
            sigma = None
            if practice.judge is not None:
                y_crf = made.labels.y_crf[None]
                sigma = confidence_of(practice.judge, image[None], y_crf, practice.gamma)[0]
            result[name] = box_signs(made, sigma)
        return result


def _labels(bench: Bench, item: Mapping[str, Any], features: Tensor, defect: Defect) -> Made:
    return changed_labels(
        bench.model, item, features, bench.settings, Change(defect), seed=bench.seed
    )


def examined(
    practice: Practice, numbers: Sequence[int], processes: int = 1
) -> dict[str, dict[str, Any]]:
    """Every defect, and how well each sign finds it.

    Args:
        practice: what labels are made and judged with.
        numbers: the images that are looked at.
        processes: that make labels; results do not depend on it.

    Returns:
        {defect: as of `told_apart`}; "missing" is of images.
    """
    names = (*DEFECTS, "missing")
    jobs = [(number, names) for number in numbers]
    made = dict(spread(_examined, practice, jobs, processes, "left out, doctor"))
    return {name: told_apart([made[job][name] for job in jobs]) for name in names}
