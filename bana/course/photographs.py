"""Photographs that come with installed packages, each with a box drawn by eye for this course.

None of them is a photograph of PASCAL VOC, and none has a mask: what is made of them is to be
looked at, not scored.
"""

from typing import NamedTuple

import numpy as np
import skimage.data
import torch
from matplotlib import cbook
from PIL import Image
from torch import Tensor


class Photograph(NamedTuple):
    """A photograph with its boxes, and what may be done with it."""

    name: str
    image: Tensor  # RGB, uint8 [3, H, W]
    boxes: Tensor  # float [K, 4]: x1, y1, x2, y2 in pixels, half-open
    classes: tuple[str, ...]  # of the boxes
    source: str
    licence: str


def photographs() -> list[Photograph]:
    """The photographs of the course's first page, read from the packages that ship them."""
    motorbike, _, _ = skimage.data.stereo_motorcycle()
    return [
        Photograph(
            "motorbike",
            _tensor(motorbike),
            torch.tensor([[105.0, 75, 681, 453]]),
            ("motorbike",),
            "scikit-image, `stereo_motorcycle`: Middlebury 2014 stereo data, D. Scharstein et al.",
            "CC0",
        ),
        Photograph(
            "astronaut",
            _tensor(skimage.data.astronaut()),
            torch.tensor([[18.0, 14, 365, 512]]),
            ("person",),
            "scikit-image, `astronaut`: Eileen Collins, NASA",
            "public domain",
        ),
        Photograph(
            "admiral",
            _tensor(_sample_of_matplotlib("grace_hopper.jpg")),
            torch.tensor([[12.0, 22, 512, 600]]),
            ("person",),
            "matplotlib, `grace_hopper.jpg`: Grace Hopper, United States Navy",
            "public domain",
        ),
        Photograph(
            "cup",
            _tensor(skimage.data.coffee()),
            torch.tensor([[77.0, 15, 478, 388]]),
            ("cup",),
            "scikit-image, `coffee`: Rachel Michetti",
            "CC0",
        ),
        Photograph(
            "cat",
            _tensor(skimage.data.chelsea()),
            torch.tensor([[24.0, 0, 400, 300]]),
            ("cat",),
            "scikit-image, `chelsea`: Stefan van der Walt",
            "CC0",
        ),
    ]


def _sample_of_matplotlib(name: str) -> np.ndarray:
    return np.asarray(Image.open(cbook.get_sample_data(name, asfileobj=False)).convert("RGB"))


def _tensor(image: np.ndarray) -> Tensor:
    """[H, W, 3] as a tensor of its own, [3, H, W]."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1).contiguous()
