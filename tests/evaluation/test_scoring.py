"""Rows of scores: every kind of label, every mode of a network, classes that occur nowhere."""

import json
from pathlib import Path

import pytest
import torch
from boundaries import score_boundaries
from made_data import write_voc
from torch import Tensor, nn

from bana.crf.dense import CrfParameters
from bana.data.voc import DataError, VocDataset, write_mask
from bana.evaluation import scoring
from bana.evaluation.average_precision import voc_truth
from bana.evaluation.miou import class_areas, score_labels
from bana.evaluation.prediction import SINGLE, View, label_maps
from bana.networks.backbones import Backbone
from bana.networks.segmenter import Segmenter

CRF = CrfParameters(iterations=2)


@pytest.fixture(scope="module")
def model() -> Segmenter:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU())
    return Segmenter(Backbone(body, 6, 4), nn.Identity(), 6, 2).eval()


N_CLASSES = 3
CLASSES = ("background", "cat", "dog")
SIZE = (40, 60)


def square(top: int, left: int, label: int, side: int = 16) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[top : top + side, left : left + side] = label
    return mask


@pytest.fixture
def data(tmp_path: Path) -> VocDataset:
    """Two images with one object each, in a white outline in the second."""
    masks = [square(5, 10, 1), square(12, 30, 2)]
    numbers = [(mask > 0).byte() for mask in masks]
    for either in (masks, numbers):
        either[1][11, 29:47] = 255
    boxes = [[(10, 5, 26, 21, "cat")], [(30, 12, 46, 28, "dog")]]
    root = write_voc(tmp_path / "voc", masks, boxes, CLASSES)
    for name, number in zip(("im0", "im1"), numbers, strict=True):
        write_mask(root / "SegmentationObject" / f"{name}.png", number)
    return VocDataset(root, "val")


# Labels of the two images, of every kind another one, and each wrong in its own way.
LABELS = {
    ("boxes", "Y_crf"): [square(5, 10, 1, 18), square(12, 30, 2, 18)],
    ("bap", "Y_crf"): [square(5, 10, 1), square(13, 30, 2)],
    ("bap", "Y_ret"): [square(5, 10, 1, 12), square(12, 30, 2, 8)],
    ("gap", "Y_crf"): [square(5, 16, 1, 10), square(12, 30, 1)],
}


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    for (variant, kind), maps in LABELS.items():
        for number, labels in enumerate(maps):
            write_mask(tmp_path / variant / kind / f"im{number}.png", labels)
    return {variant: tmp_path / variant for variant in ("boxes", "bap", "gap")}


def agreed() -> list[Tensor]:
    both = zip(LABELS["bap", "Y_crf"], LABELS["bap", "Y_ret"], strict=True)
    return [torch.where(crf == ret, crf, 255) for crf, ret in both]


@pytest.mark.parametrize(
    ("row", "labels", "ignored"),
    [
        ("boxes", LABELS["boxes", "Y_crf"], "dropped"),
        ("gap", LABELS["gap", "Y_crf"], "dropped"),
        ("bap", LABELS["bap", "Y_crf"], "dropped"),
        ("bap-ret", LABELS["bap", "Y_ret"], "dropped"),
        ("agreement-dropped", agreed(), "dropped"),
        ("agreement-wrong", agreed(), "wrong"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_of_label_files_are_scores_of_their_own_labels(
    row: str, labels: list[Tensor], ignored: str, data: VocDataset, folders: dict[str, Path]
) -> None:
    rows = scoring.score_label_files(data, folders)
    kinds = {"boxes", "bap", "gap", "bap-ret", "agreement-dropped", "agreement-wrong"}
    assert set(rows) == kinds
    assert len({json.dumps(made) for made in rows.values()}) == len(kinds)
    pairs = [(one, data.mask(name)) for one, name in zip(labels, data.ids, strict=True)]
    scores = score_labels(pairs, N_CLASSES, ignored)
    boundaries = score_boundaries(pairs, N_CLASSES, ignored)
    assert rows[row]["miou"] == pytest.approx(scores.miou)
    assert rows[row]["per_class"] == pytest.approx(scores.per_class)
    assert rows[row]["coverage"] == pytest.approx(scores.coverage)
    assert (rows[row]["coverage"] < 99) == row.startswith("agreement")
    assert rows[row]["boundary_miou"] == pytest.approx(boundaries.miou)
    assert rows[row]["boundary_per_class"] == pytest.approx(boundaries.per_class)
    areas = scoring.row_areas(json.loads(json.dumps(rows[row])))
    for made, (one, mask) in zip(areas, pairs, strict=True):
        assert torch.equal(made, class_areas(one, mask, N_CLASSES, ignored))


def test_without_bap_there_is_neither_retrieval_nor_agreement(data, folders) -> None:
    del folders["bap"]
    assert set(scoring.score_label_files(data, folders)) == {"boxes", "gap"}
    assert set(scoring.score_instances(data, folders, voc_truth(data))) == {"boxes", "gap"}


def test_black_and_white_masks_are_not_scored(data, folders, model) -> None:
    """255 is not counted, so that only the background would be."""
    for name in data.ids:
        mask = data.mask(name)
        write_mask(data.mask_path(name), torch.where(mask == 0, mask, 255))
    with pytest.raises(DataError, match="SegmentationClass: no mask shows a class but 255"):
        scoring.score_label_files(data, {"boxes": folders["boxes"]})
    with pytest.raises(DataError, match="SegmentationClass: no mask shows a class but 255"):
        scoring.score_segmenter(model, data, {"single": SINGLE}, CrfParameters(iterations=1))


def test_instances_of_every_kind_are_scored_from_their_own_files(data, folders) -> None:
    # IoU by hand, thresholds .5, .55, ... .95 of them reached, and COCO's mean of the two classes.
    rows = scoring.score_instances(data, folders, voc_truth(data))
    by_hand = {
        "boxes": (1.0, 1.0),  # what is outside the box belongs to no instance
        "bap": (1.0, 15 / 16),  # a row too low
        "bap-ret": (144 / 256, 64 / 256),
        "gap": (100 / 256, 0.0),  # the dog is called a cat
    }
    assert set(rows) == set(by_hand)
    for row, overlaps in by_hand.items():
        reached = [sum(iou >= 0.5 + 0.05 * k for k in range(10)) for iou in overlaps]
        assert rows[row]["ap"] == pytest.approx(100 * sum(reached) / 20), row


@pytest.mark.parametrize("image_scale", [1.0, 1.5])
def test_networks_are_scored_in_every_mode(
    image_scale: float, model: Segmenter, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(1)
    sizes = [(20, 30), (21, 29), (22, 28)]
    images = [torch.randint(256, (3, *size), generator=generator).byte() for size in sizes]
    masks = [torch.randint(3, image.shape[1:], generator=generator).byte() for image in images]
    masks[0][:3] = 255
    data = VocDataset(write_voc(tmp_path / "voc", masks, [[]] * 3, CLASSES, images), "val")
    views = {"single": SINGLE, "multi": View((0.5, 1.0), flip=True)}
    rows = scoring.score_segmenter(model, data, views, CRF, image_scale)
    assert list(rows) == ["single", "single-crf", "multi", "multi-crf"]
    named = [(str(number), image) for number, image in enumerate(images)]
    maps = [made for _, made in label_maps(model, named, views, CRF, image_scale)]
    assert len({json.dumps(row) for row in rows.values()}) == 4
    for mode, row in rows.items():
        pairs = [(made[mode], mask) for made, mask in zip(maps, masks, strict=True)]
        scores, boundaries = score_labels(pairs, 3), score_boundaries(pairs, 3)
        assert row["miou"] == pytest.approx(scores.miou) and row["coverage"] == 100
        assert row["per_class"] == pytest.approx(scores.per_class)
        assert row["boundary_miou"] == pytest.approx(boundaries.miou)
        assert row["boundary_per_class"] == pytest.approx(boundaries.per_class)
        expected = torch.stack([class_areas(*pair, 3) for pair in pairs])
        assert torch.equal(scoring.row_areas(row), expected)


def test_absent_classes_are_none() -> None:
    scorer = scoring.RowScorer(3)
    scorer.update(torch.zeros(4, 4, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8))
    row = scorer.row()
    assert row["per_class"] == [100, None, None] and row["boundary_per_class"] == [100, None, None]
