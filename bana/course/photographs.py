"""Photographs that come with installed packages, each with a box drawn by eye for this course.

None of them is a photograph of PASCAL VOC, and none has a mask: what is made of them is to be
looked at, not scored.
"""

from typing import Any, NamedTuple

import numpy as np
import skimage.data
import torch
from matplotlib import cbook
from PIL import Image
from torch import Tensor

from bana.baselines import refined_boxes
from bana.experiment.exhibits.sources import Materials, Needs
from bana.experiment.pretrained import FOLDER, load_pretrained, masks

WEIGHTS = "voc-mini"
MASKED = Needs(images=False, files=(FOLDER / f"{WEIGHTS}.safetensors",))


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
            torch.tensor([[88.0, 75, 681, 453]]),
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


def masked_photographs(_: Materials) -> dict[str, Any]:
    """The photographs with what is made of them by the weights that come along.

    Returns:
        "shots": a list of {"name", "image", "boxes", "classes", "source", "licence"} as of
        `Photograph`, with "control" uint8 [H, W], the filled box after a CRF, "attention" [H, W],
        "y_crf" and "y_ret" uint8 [H, W]. "known": the classes of the weights.
    """
    model = load_pretrained(WEIGHTS)
    one = torch.ones(1, dtype=torch.long)  # each has a single box; any class will do
    made = []
    for shot in photographs():
        labels = masks(shot.image, shot.boxes, shot.classes, model)
        control = refined_boxes(shot.image, shot.boxes, one, model.crf)
        made.append(
            shot._asdict()
            | {"classes": list(shot.classes), "control": control, "attention": labels.attention}
            | {"y_crf": labels.y_crf, "y_ret": labels.y_ret}
        )
    return {"shots": made, "known": list(model.classes)}


def _sample_of_matplotlib(name: str) -> np.ndarray:
    return np.asarray(Image.open(cbook.get_sample_data(name, asfileobj=False)).convert("RGB"))


def _tensor(image: np.ndarray) -> Tensor:
    """[H, W, 3] as a tensor of its own, [3, H, W]."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1).contiguous()
