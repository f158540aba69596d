"""The whole method on one image: every tensor from features to prediction, equation by equation."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bana import bap, losses
from bana.cam import class_activation
from bana.data import boxes as corners
from bana.data.transforms import eval_image
from bana.experiment import stages
from bana.experiment.exhibits.scenes import ranked, scene
from bana.experiment.exhibits.sources import Materials, Needs
from bana.interpolation import Bilinear, bilinear
from bana.labels import PseudoLabels
from bana.networks import backbones

OVERVIEW = Needs(labels=("bap",), classifiers=("bap",), segmenters=("nal",))
LIKELIEST = 4


def overview(materials: Materials) -> dict[str, Any]:
    """Every panel of the diagram: a good label of an image with two classes.

    The first image in the upper quartile of mIoU whose boxes have several classes; the lowest of
    that quartile where there is none.

    Returns:
        What `scene` has, "classes", and the panels by name; "grid": N in training; "label_grid"
        and "label_threshold": N where labels are made, and the share of its maximum below which
        the attention is no u_0; "shapes": of the tensors that the panels show, by name.
    """
    data = materials.data["val"]
    order, _ = ranked(materials)
    better = order[round(0.75 * (len(order) - 1)) :]
    several = (name for name in better if len(data.annotation(name)[1].unique()) > 1)
    shown = scene(materials, next(several, better[0]))
    made = dict(shown) | {"classes": list(data.classes)}
    made |= _classified(materials, shown)
    made |= _labelled(materials, shown, made)
    made |= _learned(materials, shown, made["y_crf"], made["y_ret"])
    features = made.pop("features")
    made["shapes"] |= {"f": list(features.shape), "prediction": list(made["prediction"].shape)}
    return made


def _seen(materials: Materials, shown: dict[str, Any]) -> Tensor:
    """The image as the networks see it, [3, H', W']."""
    return eval_image({"image": shown["image"]}, materials.profile.image_scale)


def _enlarger(materials: Materials, shown: dict[str, Any], features: Tensor) -> Bilinear:
    stride = materials.classifiers["bap"].backbone.stride / materials.profile.image_scale
    return bilinear(features.shape[2:], shown["image"].shape[1:], stride)


def _classified(materials: Materials, shown: dict[str, Any]) -> dict[str, Any]:
    """Stage 1: features, certain background, attention, and the largest box's class (Eq. 1-4).

    The attention is the one of training, with its grid, and 1 outside the boxes (Eq. 3).
    """
    model, scale = materials.classifiers["bap"], materials.profile.image_scale
    seen, places = _seen(materials, shown), shown["boxes"] * scale
    stride = model.backbone.stride
    with torch.no_grad():
        f = model.backbone(seen[None])  # [1, D, h, w]
        outside = corners.background_mask(places, *seen.shape[1:])[None]
        outside = backbones.background_at_cells(outside, stride)
        queries, valid = bap.background_queries(f, outside, model.grid_size)
        attention = bap.background_attention(f, queries, valid)
        rois = functional.pad(places, (1, 0))  # image 0 for all
        pooled = bap.pool_boxes(f, attention, backbones.boxes_at_cells(rois, stride), 1 / stride)
        probabilities = (pooled[:, 0] @ model.weight.T).softmax(1)
    size = shown["boxes"][:, 2:] - shown["boxes"][:, :2]
    widest = int(size.prod(1).argmax())
    best = probabilities[widest].argsort(descending=True)[:LIKELIEST]
    enlarged = _enlarger(materials, shown, f).enlarge(attention)[0, 0]
    certain = corners.background_mask(shown["boxes"], *shown["image"].shape[1:])[0] == 1
    unary = materials.profile.unary
    return {
        "features": f,
        "grid": model.grid_size,
        "label_grid": unary.grid_size,
        "label_threshold": unary.background_threshold,
        "outside": certain,
        "attention": torch.where(certain, 1.0, enlarged),
        "widest": widest,
        "likeliest": best,
        "probabilities": probabilities[widest][best],
        "shapes": {"q": list(queries[0][valid[0]].shape), "r": list(pooled[:, 0].shape)},
    }


def _labelled(materials: Materials, shown: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """Stage 2: activation, unary, both labels, and the similarity to a prototype (Eq. 5-9)."""
    model, f = materials.classifiers["bap"], made["features"]
    labels: PseudoLabels = stages.image_labels(materials.profile, model, shown, "bap")
    largest = int(shown["labels"][made["widest"]])
    enlarge = _enlarger(materials, shown, f)
    with torch.no_grad():
        cam = enlarge.enlarge(class_activation(f, model.weight[[largest]])[0, 0])
        own = shown["boxes"][shown["labels"] == largest]
        cam = cam * corners.box_masks(own, *shown["image"].shape[1:]).any(0)
        fields = enlarge.enlarge(f[0])  # [D, H, W]
        members = fields[:, labels.y_crf == largest]
        prototype = members.mean(1) if members.shape[1] else model.weight[largest]
        similarity = torch.cosine_similarity(fields, prototype[:, None, None], dim=0)
        colours = torch.einsum("dhw,kd->khw", fields, _main_directions(f[0].flatten(1).T))
    ends = [torch.quantile(colours.flatten(1), q, dim=1)[:, None, None] for q in (0.02, 0.98)]
    colours = (255 * ((colours - ends[0]) / (ends[1] - ends[0])).clamp(0, 1)).byte()
    return {
        "largest": largest,
        "colours": colours,
        "cam": cam / cam.max().clamp_min(1e-12),
        "label_attention": labels.attention,
        "unary": labels.unary[labels.classes.tolist().index(largest)],
        "similarity": similarity,
        "y_crf": labels.y_crf,
        "y_ret": labels.y_ret,
        "shapes": made["shapes"] | {"unary": list(labels.unary.shape)},
    }


def _main_directions(features: Tensor) -> Tensor:
    """The three directions in which features [n, D] differ most, [3, D]; to be colours."""
    directions = torch.linalg.svd(features - features.mean(0), full_matrices=False)[2][:3]
    # Their signs are the algorithm's; the largest entry is made positive, for one picture.
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return directions * largest.sign()


def _learned(
    materials: Materials, shown: dict[str, Any], y_crf: Tensor, y_ret: Tensor
) -> dict[str, Any]:
    """Stage 3: what is reliable, the trained network's confidence, its prediction (Eq. 10-14)."""
    segmenter = materials.segmenters["nal"]
    with torch.no_grad():
        cosines = functional.interpolate(
            segmenter.scores(_seen(materials, shown)[None]),
            size=shown["image"].shape[1:],
            mode="bilinear",
        )
    _, unreliable = losses.reliable_pixels(y_crf[None], y_ret[None])
    return {
        "sigma": losses.confidence_map(cosines, y_crf[None], gamma=materials.profile.gamma)[0],
        "unreliable": unreliable[0],
        "prediction": cosines.argmax(1)[0].to(torch.uint8),
    }
