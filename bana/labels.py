"""Pseudo labels from boxes: Eq. 5-9 of the paper.

The authors enlarge a thousand feature channels to the size of the image before taking one cosine.
Here attention, CAMs and prototypes of those enlarged features are worked out on the small map
(see `bana.interpolation`), which gives the same labels in a small part of the memory.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from bana.bap import grid_cells
from bana.crf.dense import LABEL_CRF, CrfParameters, dense_crf
from bana.data.boxes import class_masks, pixels_of, unknown_in_crowds
from bana.data.voc_files import IGNORE
from bana.interpolation import Bilinear, bilinear

EPSILON = 1e-12
NO_CHANNEL = -1
"""Of a pixel that is a member of no class's prototype."""


class PseudoLabels(NamedTuple):
    """Labels of one image and what they were made from; `classes` names the unary's channels."""

    y_crf: UInt8[Tensor, "H W"]
    y_ret: UInt8[Tensor, "H W"]
    attention: Float[Tensor, "H W"]  # A, 1 outside boxes and crowds
    unary: Float[Tensor, "1+C H W"]  # probabilities
    classes: Int64[Tensor, " 1+C"]  # background first


@dataclass(frozen=True)
class UnaryOptions:
    """How the unary of the CRF is made.

    Attributes:
        background: "attention" takes u_0 = A (Eq. 7); "none" is the paper's "without u_0", read as
            u_0 = 0 inside the boxes and 1 outside, so that only the CRF carves background out.
        background_threshold: A below this fraction of its maximum is set to 0 (the authors: .99;
            0 keeps all of A, as Eq. 7 does). The maximum is that of the cosine over the whole
            image, taken before A becomes 1 outside the boxes.
        class_agnostic: u_c = 1 - u_0 inside the boxes, for classes the classifier never saw.
        grid_size: N of Eq. 1 when labels are made (the authors: 1, one query an image).

    Raises:
        ValueError: if an attribute has no such value, or ``class_agnostic`` has no attention.
    """

    background: str = "attention"
    background_threshold: float = 0.99
    class_agnostic: bool = False
    grid_size: int = 1

    def __post_init__(self) -> None:
        if self.background not in ("attention", "none"):
            raise ValueError(f"background must be attention or none, got {self.background}")
        if not 0 <= self.background_threshold <= 1:
            raise ValueError(f"background_threshold must be in [0, 1]: {self.background_threshold}")
        if self.grid_size < 1:
            raise ValueError(f"grid_size must be at least 1, got {self.grid_size}")
        if self.class_agnostic and self.background == "none":
            raise ValueError("class_agnostic takes u_c from the attention: background='attention'")


AUTHORS_UNARY = UnaryOptions()


class Regions(NamedTuple):
    """Where the boxes of an image let each class be; `classes` are those of the boxes, sorted."""

    classes: Int64[Tensor, " C"]
    inside: Bool[Tensor, "C H W"]  # B_c
    unknown: Bool[Tensor, "H W"]  # in a crowd and in no box
    outside: Bool[Tensor, "H W"]  # M


class Maps(NamedTuple):
    """Cosines, CAMs and lengths at the size of the image."""

    cosine: Float[Tensor, "H W"]  # to the background queries, their mean, everywhere
    attention: Float[Tensor, "H W"]  # A: the cosine, and 1 where M is
    cams: Float[Tensor, "C H W"]
    lengths: Float[Tensor, "H W"]  # |f|


@torch.no_grad()
def pseudo_labels(
    features: Float[Tensor, "D h w"],
    weight: Float[Tensor, "L_plus_1 D"],
    image: UInt8[Tensor, "3 H W"],
    boxes: Float[Tensor, "K 4"],
    classes: Int64[Tensor, " K"],
    options: UnaryOptions = AUTHORS_UNARY,
    crf: CrfParameters = LABEL_CRF,
    stride: float | None = None,
    crowds: Float[Tensor, "Q 4"] | None = None,
) -> PseudoLabels:
    """Labels Y_crf and Y_ret of one image from its boxes: Eq. 5-9; no gradient flows.

    All of it is worked out in float32 or better, under autocast too. In a crowd nobody counted the
    objects, so that it is no background to Eq. 1 and 8, as in training (see
    `bana.data.transforms.add_region`), says nothing to the CRF, and is 255 in both labels. The
    paper does not say what it does about crowds.

    Args:
        features: f, non-negative.
        weight: w, background in row 0. A row of nan marks a class that the classifier never saw
            (see `bana.experiment.transfer`): u_c = 1 - u_0 inside its boxes.
        image: RGB, as stored (not normalised).
        boxes: x1, y1, x2, y2 in pixels of ``image``, half-open.
        classes: 1..L, and 254 at most: labels are bytes, of which 255 is no class.
        options: how the unary is made.
        crf: parameters of the dense CRF.
        stride: pixels of ``image`` per feature cell; None aligns the corners (the authors').
        crowds: regions of uncounted objects, as ``boxes``; a pixel of a box and a crowd is the
            box's.

    Returns:
        PseudoLabels; on an image without boxes both labels are background everywhere, and so they
        are where a box holds no pixel's centre (`bana.data.boxes.check_boxes` refuses such boxes).

    Raises:
        ValueError: if shapes do not fit together, a box or a crowd is not finite, classes are not
            int64 or outside 1..L or above 254, or ``stride`` is not above 0.
    """
    features, weight = checked(features, weight, image, boxes, classes)
    if crowds is not None and (crowds.shape[1:] != (4,) or not crowds.isfinite().all()):
        raise ValueError(f"crowds must be finite and [Q, 4], got {tuple(crowds.shape)}")
    boxes, classes = boxes.to(features.device), classes.to(features.device)
    enlarge = bilinear(features.shape[1:], image.shape[1:], stride, like=features)
    regions = regions_of(boxes, classes, crowds, *image.shape[1:])
    own = weight[regions.classes]
    with torch.autocast(features.device.type, enabled=False):
        maps = enlarged_maps(features, own, regions.outside, enlarge, options.grid_size)
        unseen = own.isnan().any(1) | options.class_agnostic  # [C]
        foreground = normalised_cams(maps.cams, boxes, classes, regions.classes)  # u_c
        unary = unary_of(maps, foreground, regions, unseen, options)
        chosen = refined(image, regions, unary, crf)
        weights = torch.cat([weight[:1], own])
        retrieved = retrieve(features, chosen, regions.inside, weights, enlarge, maps.lengths)
    y_crf, y_ret = (as_labels(made, regions) for made in (chosen, retrieved))
    return PseudoLabels(y_crf, y_ret, maps.attention, unary, channels_of(regions))


def regions_of(
    boxes: Float[Tensor, "K 4"],
    classes: Int64[Tensor, " K"],
    crowds: Float[Tensor, "Q 4"] | None,
    height: int,
    width: int,
) -> Regions:
    """Where the classes, the background and neither can be, on the device of ``boxes``.

    Args:
        boxes, classes, crowds: as of `pseudo_labels`.
        height, width: of the image, in pixels.
    """
    wanted = torch.unique(classes)  # sorted
    # No mask of every box: those of thousands would fill the memory.
    inside = class_masks(boxes, classes, wanted, height, width)
    crowds = boxes[:0] if crowds is None else crowds.to(boxes.device)
    unknown = unknown_in_crowds(crowds, boxes, height, width)
    return Regions(wanted, inside, unknown, ~(inside.any(0) | unknown))


def channels_of(regions: Regions) -> Int64[Tensor, " channels"]:
    """The class of each channel of the unary, background first."""
    return torch.cat([regions.classes.new_zeros(1), regions.classes])


def as_labels(chosen: Int64[Tensor, "H W"], regions: Regions) -> UInt8[Tensor, "H W"]:
    """Labels of chosen channels: their classes, and 255 in crowds."""
    return channels_of(regions)[chosen].masked_fill(regions.unknown, IGNORE).to(torch.uint8)


def enlarged_maps(
    features: Float[Tensor, "D h w"],
    weight: Float[Tensor, "C D"],
    outside: Bool[Tensor, "H W"],
    enlarge: Bilinear,
    grid_size: int = 1,
) -> Maps:
    """A (Eq. 1-3) and CAMs (Eq. 6) of the enlarged features; M outside."""
    lengths = enlarge.enlarged_norm(features).clamp_min(EPSILON)  # [H, W]
    cosine = torch.zeros_like(lengths)
    cells = _background_cells(outside, grid_size)
    for cell in cells:  # one at a time: a map of every query would fill the memory
        query = torch.einsum("dhw,hw->d", features, enlarge.gather(cell.to(features)))  # q_j, [D]
        query = torch.nn.functional.normalize(query, dim=0, eps=EPSILON)
        response = enlarge.enlarge(torch.einsum("dhw,d->hw", features, query))  # [H, W]
        cosine += (response / lengths).clamp(0, 1)
    cosine = cosine / max(1, len(cells))
    # The dot product of Eq. 6 is enlarged before its ReLU, which is what Eq. 6 says of the
    # enlarged features; enlarging the rectified small map would not be the same.
    cams = enlarge.enlarge(torch.einsum("dhw,cd->chw", features, weight)).relu()
    return Maps(cosine, torch.where(outside, torch.ones_like(cosine), cosine), cams, lengths)


def _background_cells(outside: Bool[Tensor, "H W"], grid_size: int) -> list[Bool[Tensor, "H W"]]:
    """The background of each cell of the grid that has any, at the size of the image."""
    number = grid_cells(*outside.shape, grid_size, outside.device)
    cells = (outside & (number == j) for j in range(grid_size**2))
    return [cell for cell in cells if cell.any()]


def unary_of(
    maps: Maps,
    foreground: Float[Tensor, "C H W"],
    regions: Regions,
    unseen: Bool[Tensor, " C"],
    options: UnaryOptions,
) -> Float[Tensor, "1+C H W"]:
    """[u_0, u_c] as probabilities: softmax in boxes, any channel in crowds, else background.

    Args:
        maps: of `enlarged_maps`.
        foreground: u_c in [0, 1], 0 outside the boxes of the class.
        regions: of the boxes.
        unseen: the classes whose u_c is 1 - u_0.
        options: how u_0 is made.
    """
    background = torch.zeros_like(maps.attention)
    if options.background == "attention":
        background = _background(maps, options)
    agnostic = regions.inside * (1 - background)
    foreground = torch.where(unseen[:, None, None], agnostic, foreground)
    scores = torch.cat([background[None], foreground]).softmax(0)
    certain = torch.zeros_like(scores)
    certain[0] = 1
    scores = torch.where(regions.outside, certain, scores)
    return torch.where(regions.unknown, 1 / len(scores), scores)


def _background(maps: Maps, options: UnaryOptions) -> Float[Tensor, "H W"]:
    """u_0 inside the boxes: the cosine, set to 0 below a fraction of its maximum."""
    return maps.cosine * (maps.cosine >= options.background_threshold * maps.cosine.max())


def normalised_cams(
    cams: Float[Tensor, "C H W"],
    boxes: Float[Tensor, "K 4"],
    classes: Int64[Tensor, " K"],
    wanted: Int64[Tensor, " C"],
) -> Float[Tensor, "C H W"]:
    """u_c of Eq. 5: each box's CAM over its maximum there, 0 outside the boxes.

    Where boxes of one class overlap the larger value stays, so that the order of the boxes does
    not matter; in the authors' code the later box overwrites.
    """
    unaries = torch.zeros_like(cams)
    channels = torch.searchsorted(wanted, classes).tolist()
    for box, channel in zip(boxes, channels, strict=True):
        cam, unary = (maps[channel][pixels_of(box)] for maps in (cams, unaries))
        if cam.numel():
            unary[:] = torch.maximum(unary, cam / cam.max().clamp_min(EPSILON))
    return unaries


def refined(
    image: UInt8[Tensor, "3 H W"],
    regions: Regions,
    unary: Float[Tensor, "channels H W"],
    crf: CrfParameters,
) -> Int64[Tensor, "H W"]:
    """Channel of Y_crf at every pixel: the CRF's most probable, no class outside its boxes.

    Where nothing is known it is `NO_CHANNEL`.
    """
    scores = dense_crf(image, unary, crf).q.to(unary)
    best = first_maximum(torch.cat([scores[:1], scores[1:] * regions.inside]))
    return best.masked_fill(regions.unknown, NO_CHANNEL)


def retrieve(
    features: Float[Tensor, "D h w"],
    chosen: Int64[Tensor, "H W"],
    inside: Bool[Tensor, "C H W"],
    weight: Float[Tensor, "1+C D"],
    enlarge: Bilinear,
    lengths: Float[Tensor, "H W"],
) -> Int64[Tensor, "H W"]:
    """Channel of the most similar class prototype at every pixel: Eq. 8 and 9.

    Pixels of `NO_CHANNEL` in ``chosen`` have no part in the prototypes.

    A channel that vanished from Y_crf has no mean; its classifier weight stands in; for
    a class that the classifier never saw nothing does, so that it is retrieved nowhere.
    """
    members = torch.stack([chosen == c for c in range(len(weight))]).to(features)  # [1 + C, H, W]
    prototypes = torch.einsum("dhw,chw->cd", features, enlarge.gather(members))
    empty = members.flatten(1).sum(1) == 0
    # A sum does for a mean: cosines need no division.
    prototypes = torch.where(empty[:, None], weight.nan_to_num(), prototypes)
    prototypes = torch.nn.functional.normalize(prototypes, dim=1, eps=EPSILON)
    cosines = enlarge.enlarge(torch.einsum("dhw,cd->chw", features, prototypes)) / lengths
    covered = inside.any(0)
    background = torch.where(covered, cosines[0], torch.ones_like(lengths))
    # Outside its boxes a class scores 0; where background scores 0 too, the first channel
    # wins, which is background.
    return first_maximum(torch.cat([background[None], cosines[1:] * inside]))


def first_maximum(scores: Float[Tensor, "channels H W"]) -> Int64[Tensor, "H W"]:
    """Channel of the largest score, the first of equal ones."""
    return scores.max(0).indices  # as argmax, in a tenth of the time on a CPU


def checked(
    features: Float[Tensor, "D h w"],
    weight: Float[Tensor, "L_plus_1 D"],
    image: UInt8[Tensor, "3 H W"],
    boxes: Float[Tensor, "K 4"],
    classes: Int64[Tensor, " K"],
) -> tuple[Float[Tensor, "D h w"], Float[Tensor, "L_plus_1 D"]]:
    """Features and weight as labels are made of them: in float32 or better.

    Args:
        features, weight, image, boxes, classes: as of `pseudo_labels`.

    Raises:
        ValueError: as `pseudo_labels`.
    """
    _check(features, weight, image, boxes, classes)
    # Queries and prototypes are sums over all pixels, which 16 bits cannot hold.
    precise = torch.promote_types(features.dtype, torch.float32)
    return features.to(precise), weight.to(precise)


def _check(features: Tensor, weight: Tensor, image: Tensor, boxes: Tensor, classes: Tensor) -> None:
    if features.ndim != 3 or weight.ndim != 2 or features.shape[0] != weight.shape[1]:
        raise ValueError(
            f"features [D, h, w] and weight [L + 1, D] must share D, got "
            f"{tuple(features.shape)} and {tuple(weight.shape)}"
        )
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image must be uint8 [3, H, W], got {image.dtype} {tuple(image.shape)}")
    if boxes.shape != (len(classes), 4):
        raise ValueError(f"boxes must be [{len(classes)}, 4], got {tuple(boxes.shape)}")
    if not boxes.isfinite().all():
        raise ValueError("boxes must be finite")
    if classes.dtype != torch.int64 or classes.ndim != 1:
        raise ValueError(f"classes must be int64 [K], got {classes.dtype} {tuple(classes.shape)}")
    most = min(len(weight) - 1, 254)
    if len(classes) and not (1 <= int(classes.min()) and int(classes.max()) <= most):
        raise ValueError(f"classes must be in 1..{most}, got {classes.tolist()}")
