"""Steps of label making with one thing changed, against plain loops and the package's labels."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bana.crf.dense import CrfParameters
from bana.experiment.labelling import LabelSettings, labels_from_features
from bana.experiment.left_out.boxes import Defect
from bana.experiment.left_out.steps import (
    Change,
    box_cosines,
    changed_labels,
    cosine_by_pixels,
    tempered,
)
from bana.interpolation import bilinear
from bana.labels import Maps, UnaryOptions, enlarged_maps
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier

CHANNELS, SIZE = 6, (40, 56)


def problem(seed: int = 0) -> tuple[BoxClassifier, dict, Tensor, LabelSettings]:
    """Random features of a picture with three boxes, two of them of one class."""
    generator = torch.Generator().manual_seed(seed)
    model = BoxClassifier(Backbone(torch.nn.Identity(), CHANNELS, 8), 3)
    model.weight.data = torch.randn(4, CHANNELS, generator=generator)
    coarse = torch.randint(256, (3, 5, 7), generator=generator, dtype=torch.uint8)
    image = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)
    item = {
        "id": f"picture-{seed}",
        "image": image,
        "boxes": torch.tensor([[4.0, 5, 25, 30], [20.0, 8, 50, 36], [30.0, 2, 47, 19]]),
        "labels": torch.tensor([2, 1, 2]),
    }
    features = torch.rand(CHANNELS, 5, 7, generator=generator)
    weak = CrfParameters(bilateral_weight=0.3, gaussian_weight=0.3, iterations=2)
    settings = LabelSettings("bap", UnaryOptions(background_threshold=0.95), weak)
    return model, item, features, settings


def same(one: tuple, other: tuple) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


OPTIONS = {
    "authors": UnaryOptions(),
    "no u_0": UnaryOptions(background="none"),
    "all of u_0": UnaryOptions(background_threshold=0),
    "class agnostic": UnaryOptions(class_agnostic=True),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_unchanged_labels_follow_every_option_of_the_profile(name: str) -> None:
    model, item, features, settings = problem()
    settings = replace(settings, unary=OPTIONS[name])
    with torch.no_grad():
        made = changed_labels(model, item, features, settings, Change())
        expected = labels_from_features(model, item, features, settings)
    assert same(made.labels, expected)


@pytest.mark.parametrize("crowds", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 3])
def test_unchanged_labels_are_the_packages_to_the_last_bit(seed: int, crowds: bool) -> None:
    model, item, features, settings = problem(seed)
    if crowds:
        height, width = item["image"].shape[1:]
        item["crowds"] = torch.tensor([[width / 2, 0.0, width, height]])
    with torch.no_grad():
        made = changed_labels(model, item, features, settings, Change())
        expected = labels_from_features(model, item, features, settings)
    assert same(made.labels, expected)
    assert made.labels.y_crf.unique().numel() > 1
    assert torch.equal(made.boxes, item["boxes"]) and not made.defective.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_unchanged_labels_are_as_precise_as_the_packages(dtype: torch.dtype) -> None:
    model, item, features, settings = problem()
    model, features = model.to(dtype), features.to(dtype)
    with torch.no_grad():
        made = changed_labels(model, item, features, settings, Change())
        expected = labels_from_features(model, item, features, settings)
    assert same(made.labels, expected)


@pytest.mark.parametrize(
    "wrong", [{"labels": torch.tensor([2, 1, 4])}, {"boxes": torch.full((3, 4), torch.nan)}]
)
def test_what_the_package_refuses_is_refused(wrong: dict) -> None:
    model, item, features, settings = problem()
    with pytest.raises(ValueError, match="classes must be in 1..3|boxes must be finite"):
        changed_labels(model, item | wrong, features, settings, Change())


CHANGES = {
    "defect": Change(Defect("loosened", 0.3)),
    "threshold": Change(threshold=0.3),
    "class agnostic": Change(class_agnostic=True),
    "temperature": Change(temperature=0.2),
    "grid": Change(grid=2),
    "by pixels": Change(grid=2, by_pixels=True),
    "maximum": Change(maximum="image"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_changes_the_unary_and_nothing_of_what_is_given(name: str) -> None:
    model, item, features, settings = problem()
    before = [item["boxes"].clone(), item["labels"].clone(), features.clone()]
    with torch.no_grad():
        base = changed_labels(model, item, features, settings, Change()).labels
        made = changed_labels(model, item, features, settings, CHANGES[name]).labels
    assert not torch.equal(made.unary, base.unary)
    assert torch.allclose(made.unary.sum(0), torch.ones(SIZE), atol=1e-5)
    assert same(before, [item["boxes"], item["labels"], features])


@pytest.mark.parametrize("kind", ["box", "quarter"])
def test_prototypes_change_y_ret_alone(kind: str) -> None:
    model, item, features, settings = problem()
    with torch.no_grad():
        base = changed_labels(model, item, features, settings, Change()).labels
        made = changed_labels(model, item, features, settings, Change(prototypes=kind)).labels
    assert torch.equal(made.y_crf, base.y_crf) and torch.equal(made.unary, base.unary)
    assert not torch.equal(made.y_ret, base.y_ret)


@pytest.mark.parametrize(
    ("change", "option"),
    [
        (Change(threshold=0.55), {"background_threshold": 0.55}),
        (Change(grid=3), {"grid_size": 3}),
    ],
    ids=["threshold", "grid"],
)
def test_threshold_and_grid_are_those_of_the_options(change: Change, option: dict) -> None:
    model, item, features, settings = problem()
    other = replace(settings, unary=replace(settings.unary, **option))
    with torch.no_grad():
        made = changed_labels(model, item, features, settings, change).labels
        expected = labels_from_features(model, item, features, other)
    assert same(made, expected)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_temperature_is_that_of_the_softmax(temperature: float) -> None:
    scores = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(1))
    made = tempered(scores.softmax(0), temperature)
    assert torch.allclose(made, (scores / temperature).softmax(0), atol=1e-6)
    certain = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    assert torch.equal(tempered(certain, temperature), certain)


def enlarged(features: Tensor) -> tuple[Tensor, Tensor]:
    """Features [D, H, W] of the whole picture, and their lengths."""
    whole = bilinear(features.shape[1:], SIZE, 8.0).enlarge(features)
    return whole, torch.linalg.vector_norm(whole, dim=0)


@pytest.mark.parametrize("by_pixels", [False, True])
@pytest.mark.parametrize("grid", [1, 2, 3])
def test_queries_of_grid_cells_by_loops(grid: int, by_pixels: bool) -> None:
    _, _, features, _ = problem()
    outside = torch.ones(SIZE, dtype=torch.bool)
    outside[:21, 5:50] = False
    outside[:14, :19] = False  # the first cell of three has no background
    whole, lengths = enlarged(features)
    rows, columns = -(-SIZE[0] // grid), -(-SIZE[1] // grid)
    even = [(length % 2 == 0) * length // 2 for length in (-SIZE[0] % grid, -SIZE[1] % grid)]
    total, weights = torch.zeros(SIZE), 0.0
    for y in range(grid):
        for x in range(grid):
            member = torch.zeros(SIZE, dtype=torch.bool)
            top, left = y * rows - even[0], x * columns - even[1]
            member[max(0, top) : top + rows, max(0, left) : left + columns] = True
            member &= outside
            if not member.any():
                continue
            query = whole[:, member].mean(1)
            cosine = torch.einsum("dhw,d->hw", whole, query) / lengths / query.norm()
            weight = float(member.sum()) if by_pixels else 1.0
            total, weights = total + weight * cosine.clamp_min(0), weights + weight
    enlarge = bilinear(features.shape[1:], SIZE, 8.0)
    if by_pixels:
        made = cosine_by_pixels(features, outside, enlarge, lengths, grid)
    else:
        made = enlarged_maps(features, torch.rand(1, CHANNELS), outside, enlarge, grid).cosine
    assert torch.allclose(made, total / weights, atol=1e-5)


def test_no_background_gives_no_attention() -> None:
    _, _, features, _ = problem()
    enlarge, inside = bilinear(features.shape[1:], SIZE, 8.0), torch.zeros(SIZE, dtype=torch.bool)
    assert not cosine_by_pixels(features, inside, enlarge, torch.ones(SIZE), 2).any()


@pytest.mark.parametrize("parts", [1, 2])
def test_prototypes_of_boxes_by_loops(parts: int) -> None:
    model, item, features, _ = problem()
    whole, lengths = enlarged(features)
    chosen = torch.randint(3, SIZE, generator=torch.Generator().manual_seed(2))
    chosen[:, 30:48][:19] = 0  # nothing of the third box, nor of the class's stand-in there
    numbers = torch.tensor([2, 1, 2])
    maps = Maps(torch.zeros(SIZE), torch.zeros(SIZE), torch.zeros(0, *SIZE), lengths)
    enlarge = bilinear(features.shape[1:], SIZE, 8.0)
    weight = model.weight[:3].detach()
    made = box_cosines(features, chosen, item["boxes"], numbers, weight, enlarge, maps, parts)

    def cosine(prototype: Tensor) -> Tensor:
        return torch.einsum("dhw,d->hw", whole, prototype) / lengths / prototype.norm()

    expected = torch.zeros(3, *SIZE)
    expected[0] = 1
    for box, number in zip(item["boxes"].long().tolist(), numbers.tolist(), strict=True):
        x1, y1, x2, y2 = box
        expected[0][y1:y2, x1:x2] = cosine(whole[:, chosen == 0].mean(1))[y1:y2, x1:x2]
        for i in range(parts):
            for j in range(parts):
                width, height = (x2 - x1) / parts, (y2 - y1) / parts
                member = torch.zeros(SIZE, dtype=torch.bool)
                for y in range(*SIZE[:1]):
                    for x in range(SIZE[1]):
                        down, right = (y + 0.5 - y1) / height, (x + 0.5 - x1) / width
                        member[y, x] = i <= down < i + 1 and j <= right < j + 1
                member &= chosen == number
                if not member.any() and parts > 1:
                    continue
                prototype = whole[:, member].mean(1) if member.any() else weight[number]
                best = torch.maximum(expected[number], cosine(prototype))
                expected[number][y1:y2, x1:x2] = best[y1:y2, x1:x2]
    assert torch.allclose(made, expected, atol=1e-5)


def test_an_images_maximum_is_that_of_all_boxes_of_the_class() -> None:
    model, item, features, settings = problem(3)
    model.weight.data.clamp_min_(0.01)  # every CAM is positive somewhere
    with torch.no_grad():
        by_box, by_image = (
            changed_labels(model, item, features, settings, Change(maximum=m)).labels
            for m in ("box", "image")
        )
    # Of class 2, in the box whose maximum is the smaller one, u_c falls; nowhere does it rise.
    channel = by_box.classes.tolist().index(2)
    odds = [labels.unary[channel] / labels.unary.sum(0) for labels in (by_box, by_image)]
    assert (odds[1] <= odds[0] + 1e-6).float().mean() > 0.9
    x1, y1, x2, y2 = 5, 6, 19, 29  # of the first box alone
    other = slice(2, 8), slice(30, 47)
    changed = [
        not torch.allclose(odds[0][where], odds[1][where])
        for where in ((slice(y1, y2), slice(x1, x2)), other)
    ]
    assert sum(changed) == 1


@pytest.mark.parametrize("name", [*CHANGES, "box", "quarter"])
def test_an_image_without_boxes_is_background(name: str) -> None:
    model, item, features, settings = problem()
    change = CHANGES.get(name) or Change(prototypes=name)
    bare = {**item, "boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    with torch.no_grad():
        made = changed_labels(model, bare, features, settings, change).labels
    assert not made.y_crf.any() and not made.y_ret.any() and made.unary.shape == (1, *SIZE)


def test_a_defect_is_the_images_own_and_the_seeds() -> None:
    model, item, features, settings = problem()
    change = Change(Defect("jittered", 0.2))
    with torch.no_grad():
        first, second, other = (
            changed_labels(model, {**item, "id": name}, features, settings, change, seed)
            for name, seed in (("a", 0), ("a", 0), ("a", 1))
        )
    assert torch.equal(first.boxes, second.boxes)
    assert not torch.equal(first.boxes, other.boxes)


@pytest.mark.parametrize(
    "wrong",
    [{"maximum": "class"}, {"prototypes": "image"}, {"temperature": 0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_refuses_what_has_no_meaning(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Change(**wrong)


def test_refuses_labels_without_a_classifier() -> None:
    model, item, features, _ = problem()
    with pytest.raises(ValueError, match="'boxes' are not made by a classifier"):
        changed_labels(model, item, features, LabelSettings("boxes"), Change())
