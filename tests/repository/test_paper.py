"""The paper's profile on photographs, from the command line: VGG-16, two iterations of each stage.

Crops, batches and numbers of images are small, everything else is the profile's; whether the
scores are the paper's is for a GPU and hours to say.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bana.commands.main import main
from bana.data.voc import read_mask
from bana.experiment import profiles
from bana.experiment.profiles import get_profile


@pytest.fixture
def words(
    voc_root: Path, vgg_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Options for a try of the paper's profile, made small."""
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    paper = get_profile("paper-vgg")
    small = replace(
        paper,
        crop=97,
        crop_scale=(0.25, 0.25),
        classifier=replace(paper.classifier, batch=2),
        segmentation=replace(paper.segmentation, batch=2),
        train_limit=2,
        val_limit=1,
        losses=("crf", "nal"),
        test_scales=(0.25, 0.5),
        loader_workers=0,
    )
    monkeypatch.setitem(profiles.PROFILES, "paper-vgg", small)
    words = ["--profile", "paper-vgg", "--data", str(voc_root), "--weights", str(vgg_weights)]
    return [*words, "--iterations", "2"]


@pytest.mark.photographs
def test_the_papers_stages_run(words: list[str], vgg_weights: Path, tmp_path: Path) -> None:
    words = [*words, "--accelerator", "cpu"]
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


@pytest.mark.slow  # VGG-16 sees whole photographs, at several sizes
@pytest.mark.photographs
def test_the_papers_table_of_several_seeds_is_made(words: list[str], tmp_path: Path) -> None:
    out = tmp_path / "table.json"
    assert main(["evaluate", *words, "--seeds", "0", "1", "--out", str(out)]) == 0
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["seeds"] == [0, 1]
    for loss in ("crf", "nal"):
        rows = record["segmentation_val"][loss]
        assert set(rows) == {"single", "single-crf", "multi", "multi-crf"}
        for mode, row in rows.items():
            scores = [record["by_seed"][seed]["segmentation_val"][loss][mode] for seed in "01"]
            assert row["miou"] == pytest.approx(sum(scores) / 2)
    assert {"gap", "bap-no-u0", "bap", "bap-ret"} <= set(record["labels_val"])
    assert str(tmp_path) not in out.read_text(encoding="utf-8"), "no path of one machine"
