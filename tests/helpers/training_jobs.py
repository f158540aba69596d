"""Trainings in processes of their own, for the tests that kill them and those that use several.

The processes are forked from a server that has imported torch already, so that twenty of them cost
little more than their training.
"""

import multiprocessing
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bana.commands.main import main
from bana.crf.dense import CrfParameters
from bana.experiment import profiles
from bana.experiment.profiles import Profile, get_profile
from bana.files.parallel import HELPERS
from bana.networks import backbones
from bana.networks.backbones import Backbone
from bana.training.optimisation import Optimisation

METHODS = [HELPERS.get_start_method()]  # macOS has a server of forks, which is not used
CONTEXT = multiprocessing.get_context(METHODS[0])
if "forkserver" in METHODS:
    CONTEXT.set_forkserver_preload(["bana.experiment.stages", "lightning_fabric", "pytest"])


def tiny(dropout: float):
    """What builds a backbone of two convolutions and dropout."""

    def build(output_stride: int, frozen_stages: int, weights: Path | None) -> Backbone:
        body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=4, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=4, padding=1),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        return Backbone(body, 8, 16)

    return build


def job_profile(iterations: int, batch: int = 2, backbone: str = "tiny") -> Profile:
    """A profile of a few drawn scenes that trains in a second, the segmenter with a mean."""
    training = Optimisation(iterations=iterations, batch=batch, learning_rate=1e-2)
    return replace(
        get_profile("smoke"),
        name="job",
        backbone=backbone,
        frozen_stages=0,
        crop=97,
        classifier=training,
        segmentation=replace(training, ema=0.75),
        train_limit=4,
        val_limit=2,
        label_crf=CrfParameters(iterations=1),
        snapshots=(0.2, 0.6, 1.0),
    )


def know_jobs(patch: pytest.MonkeyPatch, profile: Profile) -> None:
    """Make the tiny backbones and the profile known under their names."""
    patch.setitem(backbones.BACKBONES, "tiny", tiny(0.5))
    patch.setitem(backbones.BACKBONES, "tiny-plain", tiny(0.0))
    patch.setitem(profiles.PROFILES, profile.name, profile)


def train(profile: Profile, runs: Path, words: list[str], log: Path, variables: Mapping) -> None:
    """Body of a process: `bana train` with these words; ends with its exit code."""
    os.environ.update(variables, BANA_RUNS=str(runs))
    torch.set_num_threads(1)
    with log.open("a") as stream, pytest.MonkeyPatch.context() as patch:
        sys.stdout = sys.stderr = stream
        know_jobs(patch, profile)
        try:
            code = main(["train", *words, "--profile", profile.name])
        except BaseException:
            traceback.print_exc()
            code = 99
    sys.exit(code)


def start(
    profile: Profile, runs: Path, *words: str, variables: Mapping[str, str] | None = None
) -> BaseProcess:
    """Start a training; what it prints goes to runs/log."""
    runs.mkdir(parents=True, exist_ok=True)
    arguments = (profile, runs, list(words), runs / "log", dict(variables or {}))
    process = CONTEXT.Process(target=train, args=arguments)
    process.start()
    return process


def result(runs: Path, name: str) -> dict[str, Any]:
    """What a finished training kept, without the time it took."""
    kept = torch.load(runs / "job" / f"{name}.pt", weights_only=True)
    return {key: value for key, value in kept.items() if key != "seconds"}


def same(one: Any, other: Any) -> bool:
    """Whether nested dictionaries and lists of tensors and numbers are equal bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
