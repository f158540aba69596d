"""A profile of five drawn scenes and a backbone of two convolutions: every stage in seconds."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from bana.crf.dense import CrfParameters
from bana.experiment.profiles import Profile, get_profile
from bana.networks import backbones
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier
from bana.training.optimisation import Optimisation

STRIDE = 16


def tiny(output_stride: int, frozen_stages: int, weights: Path | None) -> Backbone:
    """A backbone of two convolutions and, as in VGG-16, dropout."""
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=4, padding=1),
        nn.ReLU(),
        nn.Dropout(0.5),
    )
    return Backbone(body, 8, STRIDE)


def random_classifier(n_classes: int) -> BoxClassifier:
    """An untrained classifier of two convolutions, of stride 8, the same every time."""
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=4, padding=1),
        nn.ReLU(),
    )
    classifier = BoxClassifier(Backbone(body, 8, 8), n_classes)
    nn.init.normal_(classifier.weight)
    return classifier.eval()


def make_profile(**changes) -> Profile:
    """The tiny profile, with changes."""
    few = Optimisation(iterations=2, batch=2, learning_rate=1e-2)
    settings = {
        "name": "tiny",
        "backbone": "tiny",
        "crop": 97,
        "image_scale": 1.0,
        "frozen_stages": 0,
        "from_classifier": False,
        "classifier": few,
        "segmentation": few,
        "train_limit": 3,
        "val_limit": 2,
        "losses": ("crf", "nal"),
        "label_crf": CrfParameters(iterations=1),
        "test_crf": CrfParameters(iterations=1),
    }
    return replace(get_profile("smoke"), **{**settings, **changes})


def be_quick(patch: pytest.MonkeyPatch) -> None:
    """Make the tiny backbone known."""
    patch.setitem(backbones.BACKBONES, "tiny", tiny)
