"""Rows of scores of networks: every mode, and classes that occur nowhere."""

from pathlib import Path

import pytest
import torch
from made_data import write_voc
from torch import nn

from bana.crf.dense import CrfParameters
from bana.data.voc import VocDataset
from bana.evaluation import scoring
from bana.evaluation.boundary import score_boundaries
from bana.evaluation.miou import score_labels
from bana.evaluation.prediction import SINGLE, View, label_maps
from bana.networks.backbones import Backbone
from bana.networks.segmenter import Segmenter

CRF = CrfParameters(iterations=2)


@pytest.fixture(scope="module")
def model() -> Segmenter:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU())
    return Segmenter(Backbone(body, 6, 4), nn.Identity(), 6, 2).eval()


def test_networks_are_scored_in_every_mode(model: Segmenter, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    sizes = [(20, 30), (21, 29), (22, 28)]
    images = [torch.randint(256, (3, *size), generator=generator).byte() for size in sizes]
    masks = [torch.randint(3, image.shape[1:], generator=generator).byte() for image in images]
    masks[0][:3] = 255
    classes = ("background", "cat", "dog")
    data = VocDataset(write_voc(tmp_path / "voc", masks, [[]] * 3, classes, images), "val")
    views = {"single": SINGLE, "multi": View((0.5, 1.0), flip=True)}
    rows = scoring.score_segmenter(model, data, views, CRF)
    assert list(rows) == ["single", "single-crf", "multi", "multi-crf"]
    named = [(str(number), image) for number, image in enumerate(images)]
    maps = [made for _, made in label_maps(model, named, views, CRF)]
    for mode, row in rows.items():
        pairs = [(made[mode], mask) for made, mask in zip(maps, masks, strict=True)]
        scores, boundaries = score_labels(pairs, 3), score_boundaries(pairs, 3)
        assert row["miou"] == pytest.approx(scores.miou) and row["coverage"] == 100
        assert row["per_class"] == pytest.approx(scores.per_class)
        assert row["boundary_miou"] == pytest.approx(boundaries.miou)
        assert row["boundary_per_class"] == pytest.approx(boundaries.per_class)


def test_absent_classes_are_none() -> None:
    scorer = scoring.RowScorer(3)
    scorer.update(torch.zeros(4, 4, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8))
    row = scorer.row()
    assert row["per_class"] == [100, None, None] and row["boundary_per_class"] == [100, None, None]
