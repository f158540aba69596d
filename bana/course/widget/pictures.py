"""The pictures of the widget, and the classifier's features of them, small enough for a page.

A cosine needs directions and no more. The directions of a picture's features lie close to a space
of a few dozen dimensions, so their principal coordinates there, in 8 bits, give nearly the same A;
the lengths, which weigh the features in the mean of Eq. 1, are kept exactly. There are as many
coordinates as keep A within .01 of the package's, also where a box leaves a strip of the picture;
a test holds it to that.
"""

import base64
import io
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from bana.course.photographs import photographs
from bana.data.sample.paint import NoiseBank
from bana.data.sample.scene import draw_scene
from bana.experiment.pretrained import SIDE, Pretrained
from bana.networks.backbones import background_at_cells

COMPONENTS = 112
JPEG_QUALITY = 75
ALT = {
    "motorbike": "A red motorbike in a workshop, shelves and a bench behind it",
    "astronaut": "An astronaut in an orange suit, a flag and a model of the shuttle behind her",
    "cat": "The face of a cat, close up",
}
# The scene of the drawn validation split whose only object, a teapot, stands free on its ground.
SCENE = (0, 1, 39)
SCENE_SIZE = (224, 168)


class Picture(NamedTuple):
    """A picture at the size at which the classifier sees it, with its first box."""

    name: str
    alt: str
    source: str
    image: Tensor  # RGB, uint8 [3, H, W]
    box: Tensor  # float [4]: x1, y1, x2, y2 in whole pixels, half-open
    object: Tensor | None  # float [H, W], 1 on the object; None where nobody drew a mask


def pictures() -> list[Picture]:
    """Three photographs without masks and a drawn scene with one."""
    shots = [shot for shot in photographs() if shot.name in ALT]
    shown = [
        _picture(
            shot.name,
            ALT[shot.name],
            f"{shot.source.replace('`', '')} ({shot.licence})",
            shot.image,
            shot.boxes[0],
        )
        for shot in shots
    ]
    return [*shown, _teapot()]


def _teapot() -> Picture:
    seed, split, number = SCENE
    bank = NoiseBank(np.random.default_rng(seed))
    scene = draw_scene(bank, np.random.default_rng([seed, split, number]), SCENE_SIZE)
    image = torch.from_numpy(scene.image).permute(2, 0, 1)
    box = torch.from_numpy(scene.boxes[0])
    alt = "A drawn teapot on a table of planks, a stone beside it"
    drawn = torch.from_numpy(scene.objects == 1).float()
    return _picture("teapot", alt, "drawn by this course", image, box, drawn)


def _picture(
    name: str, alt: str, source: str, image: Tensor, box: Tensor, thing: Tensor | None = None
) -> Picture:
    height, width = image.shape[1:]
    scale = SIDE / max(height, width)
    size = [round(length * scale) for length in (height, width)]
    factors = torch.tensor([size[1] / width, size[0] / height] * 2)
    seen = F.resize(image, size, antialias=True)
    if thing is not None:
        thing = F.resize(thing[None], size, InterpolationMode.NEAREST_EXACT)[0]
    return Picture(name, alt, source, seen, (box * factors).round(), thing)


def features_of(picture: Picture, model: Pretrained) -> Tensor:
    """The classifier's features of a picture, float [1, D, h, w]."""
    with torch.no_grad():
        return model.classifier.backbone(picture.image[None])


def packed(features: Tensor, components: int = COMPONENTS) -> dict[str, Any]:
    """Features as the page reads them: what `unpack` of `bap.js` takes.

    Args:
        features: float [1, D, h, w].
        components: K, principal components of the directions that are kept; not centred, so that
            inner products stay what they are.

    Returns:
        cells, [h, w]; scales, K numbers; directions, int8 [h * w, K] in base64, each to be
        multiplied by its component's scale; lengths, float32 [h * w] in base64.

    Raises:
        ValueError: if there are fewer cells than components.
    """
    flat = features[0].flatten(1).T.double()  # [hw, D]
    if len(flat) < components:
        raise ValueError(f"{len(flat)} cells have no {components} components")
    lengths = flat.norm(dim=1)
    directions = flat / lengths.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    # The principal coordinates, by way of the inner products: fewer cells than channels.
    values, vectors = torch.linalg.eigh(directions @ directions.T)
    coordinates = vectors[:, -components:] * values[-components:].clamp_min(0).sqrt()  # [hw, K]
    scales = coordinates.abs().amax(0).clamp_min(1e-12) / 127
    return {
        "cells": list(features.shape[2:]),
        "scales": [float(f"{scale:.6g}") for scale in scales],
        "directions": base64_of((coordinates / scales).round().numpy().astype("<i1").tobytes()),
        "lengths": base64_of(lengths.numpy().astype("<f4").tobytes()),
    }


def described(picture: Picture, model: Pretrained) -> dict[str, Any]:
    """A picture with its packed features, as plain values for the page."""
    stride = model.classifier.backbone.stride
    thing = picture.object
    if thing is not None:
        cells = background_at_cells(thing[None, None], stride)  # nearest, as M is; 0 in padding
        thing = base64_of(cells.numpy().astype("u1").tobytes())
    return {
        "name": picture.name,
        "alt": picture.alt,
        "source": picture.source,
        "height": picture.image.shape[1],
        "width": picture.image.shape[2],
        "stride": stride,
        "box": [int(corner) for corner in picture.box],
        "jpeg": base64_of(jpeg(picture.image.permute(1, 2, 0).numpy())),
        "object": thing,
        "features": packed(features_of(picture, model)),
    }


def jpeg(image: np.ndarray) -> bytes:
    """An image, uint8 [H, W, 3], as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    """Bytes as letters."""
    return base64.b64encode(data).decode("ascii")
