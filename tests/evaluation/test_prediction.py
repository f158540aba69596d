"""Label maps of many images: the same from one process and several, and few at a time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from made_data import write_voc
from torch import Tensor, nn

from bana.crf.dense import CrfParameters, dense_crf
from bana.data.voc import VocDataset
from bana.evaluation import prediction, scoring
from bana.evaluation.boundary import score_boundaries
from bana.evaluation.miou import score_labels
from bana.evaluation.prediction import SINGLE, View, crf_workers, label_maps, predict
from bana.networks.backbones import Backbone
from bana.networks.segmenter import Segmenter

CRF = CrfParameters(iterations=2)
MULTI = View((0.5, 1.0), flip=True)


@pytest.fixture(scope="module")
def model() -> Segmenter:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU())
    return Segmenter(Backbone(body, 6, 4), nn.Identity(), 6, 2).eval()


def pictures(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = [(20 + number, 30 - number) for number in range(count)]
    return [torch.randint(256, (3, *size), generator=generator).byte() for size in sizes]


def named(images: list[Tensor]) -> list[tuple[str, Tensor]]:
    return [(f"im{number}", image) for number, image in enumerate(images)]


def test_maps_are_those_of_predict_and_of_the_crf(model: Segmenter) -> None:
    images = pictures(2)
    views = {"single": SINGLE, "multi": MULTI}
    made = list(label_maps(model, named(images), views, CRF, 1.5))
    assert [name for name, _ in made] == ["im0", "im1"]
    for image, (_, maps) in zip(images, made, strict=True):
        assert set(maps) == {"single", "single-crf", "multi", "multi-crf"}
        for view, (scales, flip) in views.items():
            probabilities = predict(model, image, 1.5, scales, flip)
            refined = dense_crf(image, probabilities, CRF).q
            assert torch.equal(maps[view], probabilities.argmax(0).byte())
            assert torch.equal(maps[f"{view}-crf"], refined.argmax(0).byte())
    assert not torch.equal(made[0][1]["single"], made[0][1]["multi"])
    assert not torch.equal(made[0][1]["single"], made[0][1]["single-crf"])


def test_without_crf_there_is_no_crf(model: Segmenter) -> None:
    ((_, maps),) = label_maps(model, named(pictures(1)), {"single": SINGLE}, workers=3)
    assert set(maps) == {"single"}


def test_processes_give_what_one_process_gives(model: Segmenter) -> None:
    images = named(pictures(4))
    alone = list(label_maps(model, images, {"single": SINGLE}, CRF))
    beside = list(label_maps(model, images, {"single": SINGLE}, CRF, workers=1))
    for (name, one), (other_name, other) in zip(alone, beside, strict=True):
        assert name == other_name
        assert all(torch.equal(one[mode], other[mode]) for mode in one)


@pytest.mark.parametrize("workers", [0, 2])
def test_few_images_are_in_memory_at_a_time(workers: int, model: Segmenter, monkeypatch) -> None:
    if workers:
        monkeypatch.setattr(prediction, "_pool", ThreadPoolExecutor)
    read, written = 0, 0
    most = 0

    def images() -> Iterator[tuple[str, Tensor]]:
        nonlocal read, most
        for name, image in named(pictures(12)):
            read += 1
            most = max(most, read - written)
            yield name, image

    for _ in label_maps(model, images(), {"single": SINGLE}, CRF, workers=workers):
        written += 1
    assert read == written == 12
    assert most <= 2 * workers + 2


def test_processes_are_started_for_many_images_only() -> None:
    assert [crf_workers(4, n) for n in (0, 7, 8, 31, 32, 9999)] == [0, 0, 1, 3, 4, 4]
    assert crf_workers(0, 9999) == 0


def test_networks_are_scored_in_every_mode(model: Segmenter, tmp_path: Path) -> None:
    images = pictures(3)
    generator = torch.Generator().manual_seed(2)
    masks = [torch.randint(3, image.shape[1:], generator=generator).byte() for image in images]
    masks[0][:3] = 255
    classes = ("background", "cat", "dog")
    data = VocDataset(write_voc(tmp_path / "voc", masks, [[]] * 3, classes, images), "val")
    views = {"single": SINGLE, "multi": MULTI}
    rows = scoring.score_segmenter(model, data, views, CRF)
    assert list(rows) == ["single", "single-crf", "multi", "multi-crf"]
    maps = [made for _, made in label_maps(model, named(images), views, CRF)]
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
