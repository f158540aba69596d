"""Activation maps and answers of classifiers: counts by hand, thresholds from training images."""

from dataclasses import replace

import pytest
import torch
from tiny import make_profile
from torch import Tensor

from bana.data.boxes import box_masks
from bana.data.transforms import eval_image
from bana.evaluation.intervals import estimate
from bana.experiment import activations, stages
from bana.experiment.activations import (
    THRESHOLDS,
    activation_card,
    answer_counts,
    box_activation,
    map_counts,
)
from bana.interpolation import bilinear
from bana.networks.classifier import BoxLogits

PROFILE = make_profile(name="activated", image_scale=1.5, val_limit=3)


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory, quick):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


def test_what_a_map_finds_is_counted_pixel_by_pixel():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 9, 11, generator=generator)
    maps[0, 0, :3] = torch.tensor([0.25, 0.5, 1.0])  # on a threshold: it counts as reached
    mask = torch.randint(4, (9, 11), generator=generator).byte()
    mask[3] = 255
    made = map_counts(maps, torch.tensor([1, 3]), mask, 3, (0.25, 0.5, 0.9))
    for n, threshold in enumerate((0.25, 0.5, 0.9)):
        for label in (1, 2, 3):
            there = [(y, x) for y in range(9) for x in range(11) if mask[y, x] != 255]
            true = [place for place in there if mask[place] == label]
            found = []
            if label != 2:  # which has no map
                values = maps[(1, 3).index(label)]
                found = [place for place in there if values[place] >= threshold]
            right = len(set(true) & set(found))
            assert made[n, label - 1].tolist() == [right, len(found), len(true)]


def test_activation_is_that_of_enlarged_features_over_each_boxs_maximum():
    model, data = stages.classifier(PROFILE, "bap"), stages.dataset(PROFILE, "val")
    item = data[0]
    classes, maps = box_activation(model, item, 1.5)
    assert classes.tolist() == sorted(set(item["labels"].tolist()))
    with torch.no_grad():
        f = model.backbone(eval_image(item, 1.5)[None])[0]
        size = item["image"].shape[1:]
        large = bilinear(f.shape[1:], size, model.backbone.stride / 1.5).enlarge(f)
        expected = torch.zeros_like(maps)
        boxes = item["boxes"].as_subclass(Tensor)
        for inside, label in zip(box_masks(boxes, *size), item["labels"].tolist(), strict=True):
            cam = torch.einsum("dhw,d->hw", large, model.weight[label]).relu() * inside
            place = classes.tolist().index(label)
            expected[place] = torch.maximum(expected[place], cam / cam.max().clamp_min(1e-12))
    torch.testing.assert_close(maps, expected, atol=1e-4, rtol=0)


class Answers:
    """A classifier that answers as it is told, and remembers what it was asked."""

    def __init__(self, boxes: Tensor, queries: Tensor) -> None:
        self.logits = BoxLogits(boxes, queries)

    def __call__(self, *asked: Tensor) -> BoxLogits:
        self.asked = asked
        return self.logits


def test_answers_are_counted_box_by_box():
    item = stages.dataset(PROFILE, "val")[0]
    labels = item["labels"]
    parts = torch.zeros(len(labels), 2, 9)
    for row, label in zip(parts, labels.tolist(), strict=True):
        row[:, label] = 2  # both parts agree a little, one is surer of something else
        row[1, (label + 1) % 9] = 3
    parts[0, :, 0] = 5  # the first box is taken for background
    queries = torch.tensor([[1.0, *[0] * 8], [0, 1, *[0] * 7], [2.0, 1, *[0] * 7]])
    model = Answers(parts, queries)
    made = answer_counts(model, item, 1.5)
    assert made.tolist() == [[len(labels) - 1, len(labels)], [2, 3]]
    image, background, boxes = model.asked
    assert image.shape[2:] == background.shape[2:] == eval_image(item, 1.5).shape[1:]
    assert torch.equal(boxes[:, 1:], 1.5 * item["boxes"].as_subclass(Tensor))
    assert (boxes[:, 0] == 0).all()


def test_the_card_is_at_the_threshold_that_is_best_on_training_images():
    card = activation_card(PROFILE)
    train, val = (stages.dataset(PROFILE, split) for split in ("train", "val"))
    kept = {}
    for pooling in ("gap", "bap"):
        model = stages.classifier(PROFILE, pooling)
        counts = {}
        for data in (train, val):
            counts[data.split] = torch.stack(
                [
                    map_counts(maps, classes, data.mask(item["id"]), len(data.classes) - 1)
                    for item in (data[n] for n in range(len(data)))
                    for classes, maps in [box_activation(model, item, 1.5)]
                ]
            )
        hit, found, there = counts["train"].sum(0).double().unbind(2)
        best = int((hit / (found + there - hit)).nanmean(1).argmax())
        made = card[pooling]
        assert made["threshold"] == THRESHOLDS[best]
        hit, found, there = counts["val"].sum(0)[best].double().unbind(1)
        assert made["precision"]["value"] == pytest.approx(100 * float((hit / found).nanmean()))
        assert made["recall"]["value"] == pytest.approx(100 * float((hit / there).nanmean()))
        iou = hit / (found + there - hit)
        assert made["iou"]["value"] == pytest.approx(100 * float(iou.nanmean()))
        assert made["curve"][best]["iou"] == pytest.approx(made["iou"]["value"])
        answers = torch.stack([answer_counts(model, val[n], 1.5) for n in range(len(val))])
        right, of = answers.sum(0)[0].tolist()
        assert made["boxes"]["value"] == pytest.approx(100 * right / of)
        kept[pooling] = counts["val"][:, best]
    both = torch.stack([kept["bap"], kept["gap"]], 1)

    def difference(sums: Tensor) -> Tensor:
        hit, found, there = sums.double().unbind(-1)
        return torch.diff(100 * (hit / (found + there - hit)).nanmean(-1).flip(1))[:, 0]

    expected = estimate(both, difference)
    assert card["differences"]["iou"]["low"] == pytest.approx(expected.low)
    assert card["differences"]["iou"]["value"] == pytest.approx(expected.value)


def test_the_card_is_kept_until_a_network_or_a_scale_changes(monkeypatch):
    made, real = [], activations._card
    monkeypatch.setattr(activations, "_card", lambda *words: made.append(1) or real(*words))
    before = activation_card(PROFILE)
    assert activation_card(PROFILE) == before and not made
    activation_card(replace(PROFILE, seed=1))
    assert made == [1]
