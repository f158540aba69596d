"""The making of labels with one step changed: what the paper decides without saying why.

Each step here stands in for one of `bana.labels`; all others are those of the package, so that the
unchanged method gives the package's labels to the last bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bana.bap import grid_cells
from bana.data.boxes import crowds_of, pixels_of
from bana.experiment.labelling import LabelSettings
from bana.experiment.left_out.boxes import Defect, Drawn, drawn
from bana.interpolation import Bilinear, bilinear
from bana.labels import (
    EPSILON,
    Maps,
    PseudoLabels,
    Regions,
    UnaryOptions,
    as_labels,
    channels_of,
    checked,
    enlarged_maps,
    first_maximum,
    normalised_cams,
    refined,
    regions_of,
    retrieve,
    unary_of,
)
from bana.networks.classifier import BoxClassifier

MAXIMA, PROTOTYPES = ("box", "image"), ("class", "box", "quarter")


@dataclass(frozen=True)
class Change:
    """What is done otherwise; the defaults change nothing.

    Attributes:
        defect: of the boxes as the method gets them.
        threshold: in the place of the profile's, see `bana.labels.UnaryOptions`.
        class_agnostic: u_c = 1 - u_0, likewise.
        temperature: of the softmax inside the boxes: below 1 the unary is surer, above less sure.
        grid: N of the background queries, in the place of the profile's, likewise.
        by_pixels: queries count by their background pixels, where Eq. 2 counts each alike.
        maximum: u_c is the CAM over its maximum in the "box", or in all boxes of the class in the
            "image".
        prototypes: of Y_ret: one a "class" (Eq. 8), one a "box", or one a "quarter" of each box.

    Raises:
        ValueError: if a value has no meaning.
    """

    defect: Defect | None = None
    threshold: float | None = None
    class_agnostic: bool = False
    temperature: float = 1.0
    grid: int | None = None
    by_pixels: bool = False
    maximum: str = "box"
    prototypes: str = "class"

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.maximum not in MAXIMA or self.prototypes not in PROTOTYPES:
            raise ValueError(
                f"maximum must be of {MAXIMA} and prototypes of {PROTOTYPES}, got "
                f"{self.maximum!r} and {self.prototypes!r}"
            )
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")


class Made(NamedTuple):
    """Labels of one image, and the boxes and the background cosine that they were made from.

    Attributes:
        labels: see `bana.labels.PseudoLabels`.
        boxes, classes, defective, forgotten: see `bana.experiment.left_out.boxes.Drawn`.
        cosine: to the background, float [H, W], outside the boxes too.
    """

    labels: PseudoLabels
    boxes: Tensor
    classes: Tensor
    defective: Tensor
    forgotten: int
    cosine: Tensor


def changed_labels(
    model: BoxClassifier,
    item: Mapping[str, Any],
    features: Tensor,
    settings: LabelSettings,
    change: Change,
    seed: int = 0,
) -> Made:
    """Labels of an image with one step changed.

    Args:
        model: the box classifier.
        item: as `bana.data.voc.VocDataset` gives it.
        features: float [D, h, w], its backbone's.
        settings: of the unchanged labels.
        change: the step.
        seed: of defects.

    Raises:
        ValueError: if the labels are not made by a classifier; as `bana.labels.pseudo_labels`.
    """
    if settings.unary is None or settings.crf is None:
        raise ValueError(f"labels {settings.variant!r} are not made by a classifier")
    image, boxes = (item[key].as_subclass(Tensor) for key in ("image", "boxes"))
    given = Drawn(boxes, item["labels"], torch.zeros(len(boxes), dtype=torch.bool), 0)
    size = tuple(image.shape[1:])
    if change.defect is not None:
        given = drawn(boxes, item["labels"], size, change.defect, item["id"], seed)
    boxes, classes = given.boxes, given.classes
    features, weight = checked(features, model.weight, image, boxes, classes)
    stride = model.backbone.stride / settings.image_scale
    enlarge = bilinear(features.shape[1:], size, stride, like=features)
    options = _options(settings.unary, change)
    regions = regions_of(boxes, classes, crowds_of(item), *size)
    own = weight[regions.classes]
    maps = _maps(features, own, regions.outside, enlarge, options.grid_size, change)
    foreground = _foreground(maps, boxes, classes, regions, change.maximum)
    unseen = own.isnan().any(1) | options.class_agnostic
    unary = tempered(unary_of(maps, foreground, regions, unseen, options), change.temperature)
    chosen = refined(image, regions, unary, settings.crf)
    rows = torch.cat([weight[:1], own])
    if change.prototypes == "class":
        retrieved = retrieve(features, chosen, regions.inside, rows, enlarge, maps.lengths)
    else:
        numbers = torch.searchsorted(regions.classes, classes) + 1
        parts = 2 if change.prototypes == "quarter" else 1
        cosines = box_cosines(features, chosen, boxes, numbers, rows, enlarge, maps, parts)
        retrieved = first_maximum(cosines)
    both = (as_labels(each, regions) for each in (chosen, retrieved))
    labels = PseudoLabels(*both, maps.attention, unary, channels_of(regions))
    return Made(labels, *given, maps.cosine)


def _options(unary: UnaryOptions, change: Change) -> UnaryOptions:
    """The profile's options, those that the change names in the place of its own."""
    given = {"background_threshold": change.threshold, "grid_size": change.grid}
    asked = {name: value for name, value in given.items() if value is not None}
    return replace(unary, **asked, class_agnostic=unary.class_agnostic or change.class_agnostic)


def _maps(
    features: Tensor, weight: Tensor, outside: Tensor, enlarge: Bilinear, grid: int, change: Change
) -> Maps:
    """Maps as of `bana.labels.enlarged_maps`, their queries counted as the change says."""
    maps = enlarged_maps(features, weight, outside, enlarge, grid)
    if not change.by_pixels:
        return maps
    cosine = cosine_by_pixels(features, outside, enlarge, maps.lengths, grid)
    attention = torch.where(outside, torch.ones_like(cosine), cosine)
    return maps._replace(cosine=cosine, attention=attention)


def tempered(unary: Tensor, temperature: float) -> Tensor:
    """The probabilities [C, H, W] of a softmax, at another temperature.

    softmax(x / T) is softmax(x) to the power 1 / T, over its sum.
    """
    return unary if temperature == 1 else (unary.log() / temperature).softmax(0)


def cosine_by_pixels(
    features: Tensor, outside: Tensor, enlarge: Bilinear, lengths: Tensor, grid_size: int
) -> Tensor:
    """Mean of the rectified cosine over the queries, each by its background pixels; [H, W].

    Args:
        features: float [D, h, w].
        outside: M, bool [H, W].
        enlarge: of the features to the image.
        lengths: of the enlarged features, float [H, W].
        grid_size: N of the queries.
    """
    cells = grid_cells(*outside.shape, grid_size)
    member = torch.stack([outside & (cells == cell) for cell in range(grid_size**2)])
    pixels = member.flatten(1).sum(1).to(features)  # [J]
    queries = torch.einsum("dhw,jhw->jd", features, enlarge.gather(member.to(features)))
    queries = torch.nn.functional.normalize(queries, dim=1, eps=EPSILON)
    responses = enlarge.enlarge(torch.einsum("dhw,jd->jhw", features, queries))
    cosines = (responses / lengths).clamp(0, 1)
    return torch.einsum("j,jhw->hw", pixels / pixels.sum().clamp_min(1), cosines)


def _foreground(
    maps: Maps, boxes: Tensor, classes: Tensor, regions: Regions, maximum: str
) -> Tensor:
    """u_c of Eq. 5, [C, H, W]."""
    if maximum == "box":
        return normalised_cams(maps.cams, boxes, classes, regions.classes)
    cams = maps.cams * regions.inside
    return cams / cams.flatten(1).amax(1).clamp_min(EPSILON)[:, None, None]


def box_cosines(
    features: Tensor,
    chosen: Tensor,
    boxes: Tensor,
    numbers: Tensor,
    weight: Tensor,
    enlarge: Bilinear,
    maps: Maps,
    parts: int,
) -> Tensor:
    """Cosines to prototypes of single boxes, or of the parts of each: Eq. 9 with more of Eq. 8.

    Args:
        features: float [D, h, w].
        chosen: channel of Y_crf, int64 [H, W].
        boxes, numbers: float [K, 4], and the channel of each, int64 [K].
        weight: stand-ins for channels without a pixel, float [1 + C, D].
        enlarge, maps: of the features to the image.
        parts: each box has parts x parts prototypes; a pixel of the box takes the nearest.

    Returns:
        float [1 + C, H, W]: of background to its one prototype, 1 outside the boxes; of a class to
        the prototypes of the boxes that a pixel lies in, 0 outside of them.
    """
    cosines = torch.zeros(len(weight), *chosen.shape).to(features)
    background = _cosine(features, (chosen == 0), weight[0], enlarge, maps.lengths)
    covered = torch.zeros_like(chosen, dtype=torch.bool)
    for box, channel in zip(boxes, numbers.tolist(), strict=True):
        covered[pixels_of(box)] = True
        for part in _parts(box, parts):
            member = torch.zeros_like(covered)
            member[pixels_of(part)] = chosen[pixels_of(part)] == channel
            if parts > 1 and not member.any():
                continue  # a part without the object has no prototype, the box's others have
            made = _cosine(features, member, weight[channel], enlarge, maps.lengths)
            best = cosines[channel][pixels_of(box)]
            best[:] = torch.maximum(best, made[pixels_of(box)])
    cosines[0] = torch.where(covered, background, torch.ones_like(background))
    return cosines


def _cosine(
    features: Tensor, member: Tensor, weight: Tensor, enlarge: Bilinear, lengths: Tensor
) -> Tensor:
    """Cosine [H, W] to the mean feature of some pixels; to the weight where there is none."""
    prototype = torch.einsum("dhw,hw->d", features, enlarge.gather(member.to(features)))
    prototype = prototype if member.any() else weight.nan_to_num()
    prototype = torch.nn.functional.normalize(prototype, dim=0, eps=EPSILON)
    return enlarge.enlarge(torch.einsum("dhw,d->hw", features, prototype)) / lengths


def _parts(box: Tensor, parts: int) -> list[Tensor]:
    """A box cut into parts x parts pieces of one size."""
    low, step = box[:2], (box[2:] - box[:2]) / parts
    corners = [low + step * box.new_tensor([x, y]) for y in range(parts) for x in range(parts)]
    return [torch.cat([corner, corner + step]) for corner in corners]
