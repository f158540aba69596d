"""Gamma by lambda: every number by hand, every training kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import mean_iou
from bana.experiment import weighings
from bana.experiment.bench import for_task, head_areas
from bana.experiment.weighings import WeighingSettings, compared
from bana.losses import noise_aware_loss
from bana.training.heads import FrozenImage, HeadSettings, train_head
from bana.training.segmentation import LOSSES

HEAD = HeadSettings("linear", epochs=2, batch=2, learning_rate=0.05)
SETTINGS = WeighingSettings("object", HEAD, (1.0, 7.0), (0.1, 2.0), (0, 1))


def image(seed: int) -> FrozenImage:
    """An object of class 2 that features show; both labels miss another edge of it."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.zeros(4, 5)
    cells[1:3, 1:4] = 1
    features = torch.stack([cells, 1 - cells]) + 0.5 * torch.rand(2, 4, 5, generator=generator)
    mask = torch.nn.functional.interpolate(cells[None, None], (13, 17))[0, 0].byte() * 2
    y_crf, y_ret = mask.clone(), mask.clone()
    y_crf[:5], y_ret[:, :7] = 0, 0
    return FrozenImage(features.half(), mask, y_crf, y_ret, torch.ones(13, 17, dtype=torch.bool))


TRAIN, VAL = [image(n) for n in range(4)], [image(n) for n in range(8, 11)]


@pytest.mark.parametrize("task", ["object", "classes"])
def test_every_number_by_hand(task: str, tmp_path: Path) -> None:
    card = compared(TRAIN, VAL, 3, replace(SETTINGS, task=task), (tmp_path, "data"))
    train, val = for_task(TRAIN, task), for_task(VAL, task)
    count = {"object": 2, "classes": 3}[task]

    def areas(loss) -> torch.Tensor:
        heads = [train_head(train, loss, count, HEAD, seed) for seed in (0, 1)]
        return torch.stack([head_areas(head, val, count) for head in heads])

    plain = areas(LOSSES["crf"])
    assert card["crf"] == mean_iou(plain.sum(1)).tolist()
    pairs = [(1.0, 0.1), (1.0, 2.0), (7.0, 0.1), (7.0, 2.0)]
    assert [(cell["gamma"], cell["lam"]) for cell in card["cells"]] == pairs
    for cell in card["cells"]:
        made = areas(
            lambda *given, cell=cell: (
                noise_aware_loss(*given, gamma=cell["gamma"], lam=cell["lam"]).total
            )
        )
        assert cell["miou"] == mean_iou(made.sum(1)).tolist()
        assert cell["over crf"] == paired_difference(made, plain)._asdict()
    if task == "object":  # of three classes, heads this small all learn the same
        assert len({tuple(cell["miou"]) for cell in card["cells"]}) > 1


def test_trainings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, real = [], weighings.train_head

    def counted(*words):
        trained.append(words)
        return real(*words)

    monkeypatch.setattr(weighings, "train_head", counted)
    first = compared(TRAIN, VAL, 3, SETTINGS, (tmp_path, "data"))
    assert len(trained) == 2 * (1 + 2 * 2)
    assert compared(TRAIN, VAL, 3, SETTINGS, (tmp_path, "data")) == first
    assert len(trained) == 10
    compared(TRAIN, VAL, 3, replace(SETTINGS, lambdas=(0.1, 2.0, 3.0)), (tmp_path, "data"))
    assert len(trained) == 10 + 2 * 2
    compared(TRAIN, VAL, 3, SETTINGS, (tmp_path, "other data"))
    assert len(trained) == 24


def test_what_no_mask_tells_is_none(tmp_path: Path) -> None:
    unknown = [each._replace(mask=torch.full_like(each.mask, 255)) for each in VAL]
    settings = replace(SETTINGS, gammas=(7.0,), lambdas=(0.1,))
    card = compared(TRAIN, unknown, 3, settings, (tmp_path, "unknown"))
    assert card["crf"] == card["cells"][0]["miou"] == [None, None]
    assert card["cells"][0]["over crf"] is None
