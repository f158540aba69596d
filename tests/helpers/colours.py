"""A classifier whose features are an image's three colours: what it gives can be told by hand."""

from pathlib import Path

import torch
from torch import Tensor, nn

from bana.crf.dense import CrfParameters
from bana.experiment.pretrained import Pretrained
from bana.labels import UnaryOptions
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier

STRIDE = 16
ROWS = {
    "background": [-1.0, -1.0, -1.0],
    "red": [1.0, 0.0, 0.0],
    "green": [0.0, 1.0, 0.0],
    "blue": [0.0, 0.0, 1.0],
}


def colours(output_stride: int, frozen_stages: int, weights: Path | None) -> Backbone:
    """A backbone that gives the colour at every sixteenth pixel, by a convolution of 1 x 1."""
    body = nn.Sequential(nn.Conv2d(3, 3, 1, stride=STRIDE), nn.ReLU())
    with torch.no_grad():
        body[0].weight.copy_(torch.eye(3)[:, :, None, None])
        body[0].bias.zero_()
    return Backbone(body, 3, STRIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def classifier_of(*names: str, rows: Tensor | None = None) -> Pretrained:
    """A classifier of some of the colours; the backbone must be known as "colours"."""
    classes = ("background", *names)
    model = BoxClassifier(colours(STRIDE, 0, None), len(names))
    rows = torch.tensor([ROWS[name] for name in classes]) if rows is None else rows
    model.weight = nn.Parameter(rows)
    about = {"hash": "colours", "backbone": {"name": "colours", "output_stride": STRIDE}}
    crf = CrfParameters(iterations=1)
    return Pretrained(model.eval(), classes, UnaryOptions(background_threshold=0.75), crf, about)
