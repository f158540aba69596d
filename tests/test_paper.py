"""The paper's profile on photographs, from the command line: VGG-16, two iterations of each stage.

Crops and batches are small, everything else is the profile's; whether the scores are the paper's
is for a GPU and hours to say.
"""

from dataclasses import replace
from pathlib import Path

import in_process
import pytest
import torch

from bana import profiles, stages
from bana.cli import main
from bana.profiles import get_profile
from bana.voc import read_mask


@pytest.mark.photographs
def test_the_papers_stages_run(
    voc_root: Path, vgg_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    monkeypatch.setattr(stages, "make_label_files", in_process.make_label_files)
    paper = get_profile("paper-vgg")
    small = replace(
        paper,
        crop=97,
        crop_scale=(0.25, 0.25),
        classifier=replace(paper.classifier, batch=2),
        segmentation=replace(paper.segmentation, batch=2),
        train_limit=2,
        loader_workers=0,
    )
    monkeypatch.setitem(profiles.PROFILES, "paper-vgg", small)
    words = ["--profile", "paper-vgg", "--data", str(voc_root), "--weights", str(vgg_weights)]
    words += ["--iterations", "2", "--accelerator", "cpu"]
    assert main(["train", "classifier", *words]) == 0
    assert main(["train", "segmentation", *words]) == 0
    run = tmp_path / "paper-vgg-2-iterations"
    kept = {path.stem: torch.load(path, weights_only=True) for path in run.glob("*.pt")}
    assert set(kept) == {"classifier-bap", "segmenter-nal"}
    for training in kept.values():
        assert [0 < row["loss"] < 10 for row in training["history"]] == [True, True]
    # conv1_1 started from ImageNet's and has moved a little.
    first = next(iter(torch.load(vgg_weights, weights_only=True).values()))
    for training in kept.values():
        moved = (training["state"]["backbone.body.0.weight"] - first).abs()
        assert 0 < moved.max() < 0.1
    for label in (run / "labels" / "bap" / "train" / "Y_crf").glob("*.png"):
        assert set(read_mask(label).unique().tolist()) <= set(range(21))
