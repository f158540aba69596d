"""What a box classifier knows: its activation maps against masks, and how many boxes it gets right.

A map is taken as the labels take it: CAM_c over its maximum in each box of class c, 0 outside of
them (Eq. 5 and 6). Its pixels from a threshold on are the class's. Each pooling has a threshold of
its own, the one of the highest IoU on training images; their masks have no other part in it.
"""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from bana.data import boxes as corners
from bana.data.fingerprint import fingerprint
from bana.data.transforms import eval_image
from bana.data.voc import VocDataset
from bana.evaluation.intervals import estimate
from bana.evaluation.verdicts import plain_estimate, plain_score
from bana.experiment import stages
from bana.experiment.keeping import key_of
from bana.experiment.profiles import Profile
from bana.files.artefacts import kept_json, weights_hash
from bana.files.paths import run_dir
from bana.interpolation import bilinear
from bana.labels import normalised_cams
from bana.losses import IGNORE
from bana.networks.classifier import BoxClassifier

POOLINGS = ("gap", "bap")
THRESHOLDS = tuple(n / 20 for n in range(1, 20))
LOOKED_AT = 200
"""Training images, at most, by which a threshold is chosen; evenly spaced."""


def activation_card(profile: Profile, root: str | Path | None = None) -> dict[str, Any]:
    """Activation maps and accuracy of the classifiers of both poolings, on the validation images.

    Returns:
        By pooling: "threshold" in [0, 1]; "precision", "recall" and "iou" there, means over
        classes; "boxes" and "queries": how many of them are given their class, of all L + 1;
        "curve": a list of {"threshold", "precision", "recall", "iou"}, None where nothing is
        found or there. Beside it "differences":
        BAP less GAP of these measures, in points. Estimates are {"value", "low", "high"}, in
        percent with a 95 % interval over images, or None.

    Raises:
        bana.data.voc.DataError: if an image has no mask.
    """
    models = {pooling: stages.classifier(profile, pooling, root) for pooling in POOLINGS}
    train, val = (stages.dataset(profile, split, root) for split in ("train", "val"))
    train = copy.copy(train)
    train.ids = train.ids[:: -(-len(train.ids) // LOOKED_AT)]
    parts = "photograph", "boxes", "mask"
    weights = {name: weights_hash(model.state_dict()) for name, model in models.items()}
    seen = [fingerprint(data, *parts) for data in (train, val)]
    return kept_json(
        run_dir(profile.name) / "activations.json",
        key_of(activation_card, weights, seen, profile.image_scale),
        lambda: _card(models, train, val, profile.image_scale),
    )


def _card(
    models: dict[str, BoxClassifier], train: VocDataset, val: VocDataset, image_scale: float
) -> dict[str, Any]:
    card: dict[str, Any] = {}
    compared = []
    for pooling, model in models.items():
        maps, answers = _counted(model, val, image_scale)
        chosen = _best(_counted(model, train, image_scale)[0])
        at_it = maps[:, chosen]  # [N, L, 3]
        card[pooling] = {"threshold": THRESHOLDS[chosen], "images": len(train)}
        card[pooling] |= {k: plain_estimate(estimate(at_it, m)) for k, m in MEASURES.items()}
        card[pooling] |= {k: plain_estimate(estimate(answers, m)) for k, m in ACCURACIES.items()}
        whole = maps.sum(0)  # [thresholds, L, 3]
        card[pooling]["curve"] = [
            {"threshold": each}
            | {k: plain_score(float(m(whole[n : n + 1]))) for k, m in MEASURES.items()}
            for n, each in enumerate(THRESHOLDS)
        ]
        compared.append((at_it, answers))
    card["differences"] = _differences(*compared)
    return card


def _differences(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> dict[str, Any]:
    """The second less the first, by measure; of the same images."""
    made = {}
    for number, measures in enumerate((MEASURES, ACCURACIES)):
        both = torch.stack([second[number], first[number]], 1)  # [N, 2, ...]
        for name, measure in measures.items():
            made[name] = plain_estimate(
                estimate(both, lambda s, m=measure: m(s[:, 0]) - m(s[:, 1]))
            )
    return made


def _best(maps: Tensor) -> int:
    """Number of the threshold of the highest IoU; the lowest of equal ones."""
    return int(_iou(maps.sum(0)).nan_to_num().argmax())


def _counted(model: BoxClassifier, data: VocDataset, image_scale: float) -> tuple[Tensor, Tensor]:
    """`map_counts` and `answer_counts` of all images, [N, ...] each."""
    maps, answers = [], []
    for number in tqdm(range(len(data)), desc=f"activation {data.split}", leave=False):
        item = data[number]
        classes, made = box_activation(model, item, image_scale)
        maps.append(map_counts(made, classes, data.mask(item["id"]), len(data.classes) - 1))
        answers.append(answer_counts(model, item, image_scale))
    return torch.stack(maps), torch.stack(answers)


@torch.no_grad()
def box_activation(
    model: BoxClassifier, item: dict[str, Any], image_scale: float
) -> tuple[Tensor, Tensor]:
    """u_c of Eq. 5 of an image's classes.

    Args:
        model: in evaluation mode.
        item: as a data set gives it.
        image_scale: the constant enlargement that the model was trained with.

    Returns:
        The classes [C], ascending, and their maps, float [C, H, W] in [0, 1].
    """
    boxes, labels = item["boxes"].as_subclass(Tensor), item["labels"]
    size, wanted = item["image"].shape[1:], labels.unique()
    f = model.backbone(eval_image(item, image_scale)[None])[0]
    enlarge = bilinear(f.shape[1:], size, model.backbone.stride / image_scale, like=f)
    cams = enlarge.enlarge(torch.einsum("dhw,cd->chw", f, model.weight[wanted])).relu()
    return wanted, normalised_cams(cams, boxes, labels, wanted)


def map_counts(
    maps: Tensor,
    classes: Tensor,
    mask: Tensor,
    n_classes: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Tensor:
    """What the maps of one image find of its mask, at every threshold.

    Args:
        maps: float [C, H, W].
        classes: of the maps, [C], 1..L.
        mask: uint8 [H, W], 0..L and 255; pixels marked 255 do not count.
        n_classes: L.
        thresholds: ascending; a pixel from it on is the class's.

    Returns:
        int64 [thresholds, L, 3]: pixels that are found and right, found, and to be found.
    """
    known = mask != IGNORE
    counts = torch.zeros(len(thresholds), n_classes, 3, dtype=torch.int64)
    counts[:, :, 2] = mask[known].long().bincount(minlength=n_classes + 1)[1:]
    edges = torch.tensor(thresholds, dtype=maps.dtype)
    for values, label in zip(maps, classes.tolist(), strict=True):
        passed = torch.bucketize(values[known], edges, right=True)  # thresholds that it reaches
        for place, among in ((0, passed[mask[known] == label]), (1, passed)):
            reached = among.bincount(minlength=len(thresholds) + 1)
            counts[:, label - 1, place] = reached.flip(0).cumsum(0).flip(0)[1:]
    return counts


@torch.no_grad()
def answer_counts(model: BoxClassifier, item: dict[str, Any], image_scale: float) -> Tensor:
    """How many boxes and background queries of an image the classifier gives their class.

    A box is pooled as in training, and answers by the mean of its parts' logits.

    Args:
        model, item, image_scale: as of `box_activation`.

    Returns:
        int64 [2, 2]: boxes and queries; right, and all.
    """
    seen = eval_image(item, image_scale)
    boxes = item["boxes"].as_subclass(Tensor) * image_scale
    covered = torch.cat([boxes, corners.crowds_of(item) * image_scale])
    background = corners.background_mask(covered, *seen.shape[1:])[None]
    logits = model(seen[None], background, torch.nn.functional.pad(boxes, (1, 0)))
    named = logits.boxes.mean(1).argmax(1) == item["labels"]
    ground = logits.queries.argmax(1) == 0
    return torch.tensor([[int(right.sum()), len(right)] for right in (named, ground)])


def _precision(sums: Tensor) -> Tensor:
    """Mean over the classes of which something is found, in percent; of [R, L, 3], [R]."""
    return 100 * (sums[..., 0].double() / sums[..., 1]).nanmean(-1)


def _recall(sums: Tensor) -> Tensor:
    return 100 * (sums[..., 0].double() / sums[..., 2]).nanmean(-1)


def _iou(sums: Tensor) -> Tensor:
    hit, found, there = sums.double().unbind(-1)
    return 100 * (hit / (found + there - hit)).nanmean(-1)


def _share(of: int) -> Callable[[Tensor], Tensor]:
    return lambda sums: 100 * sums[:, of, 0].double() / sums[:, of, 1]


MEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "precision": _precision,
    "recall": _recall,
    "iou": _iou,
}
ACCURACIES: dict[str, Callable[[Tensor], Tensor]] = {"boxes": _share(0), "queries": _share(1)}
