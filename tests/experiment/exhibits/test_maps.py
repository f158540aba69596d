"""Numbers on maps: what an activation finds, and attention by the background there is."""

import pytest
import torch
from tiny import STRIDE, make_profile

from bana.data.boxes import box_masks
from bana.experiment import stages
from bana.experiment.exhibits.filling import class_between
from bana.experiment.exhibits.maps import (
    BACKGROUND,
    SHARES,
    background_share,
    by_background,
    found,
    grid_attention,
)
from bana.experiment.exhibits.scenes import scene
from bana.experiment.exhibits.sources import Sources


def test_what_a_map_finds_by_hand():
    cam = torch.tensor([[0.5, 0.9, 0.49, 1.0, 0.6, 0.1]])
    mask = torch.tensor([[1, 0, 2, 255, 3, 0]], dtype=torch.uint8)
    # Reached and known: 0, 1, 4; objects: 0, 2, 4.
    assert found(cam, mask) == pytest.approx({"precision": 200 / 3, "recall": 200 / 3})
    nothing = found(torch.zeros(1, 6), mask)
    assert nothing == {"precision": 0, "recall": 0}


@pytest.mark.parametrize(("share", "number"), [(0, 0), (39.9, 0), (40, 1), (84.9, 3), (100, 4)])
def test_an_edge_belongs_to_the_class_above_it(share, number):
    assert class_between(SHARES, share) == number < len(SHARES) - 1


@pytest.fixture(scope="module")
def shown(tmp_path_factory, quick):
    profile = make_profile(name="mapped", image_scale=1.5, val_limit=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(tmp_path_factory.mktemp("runs")))
        materials = Sources(profile).gather(BACKGROUND)
        yield materials, by_background(materials)


def test_the_share_is_of_cells_outside_all_boxes(shown):
    materials, made = shown
    model = materials.classifiers["bap"]
    for name, point in zip(materials.data["val"].ids, made["points"], strict=True):
        item = scene(materials, name)
        height, width = (round(1.5 * side) for side in item["image"].shape[1:])
        covered = box_masks(1.5 * item["boxes"], height, width).any(0)
        cells = covered[::STRIDE, ::STRIDE]  # nearest neighbour, cell 0 at pixel 0
        assert point["share"] == pytest.approx(100 * float((~cells).float().mean()))
        assert point["share"] == background_share(model, item, 1.5)


def test_points_and_means_are_of_attention_on_objects_and_on_ground(shown):
    materials, made = shown
    model, profile = materials.classifiers["bap"], materials.profile
    sums = torch.zeros(len(SHARES) - 1, 2, 2, dtype=torch.float64)
    for name, point in zip(materials.data["val"].ids, made["points"], strict=True):
        item = scene(materials, name)
        a, _ = grid_attention(model, item, profile, (4,))[4]
        inside = box_masks(item["boxes"], *item["mask"].shape).any(0)
        objects = inside & (item["mask"] > 0) & (item["mask"] != 255)
        ground = inside & (item["mask"] == 0)
        for row, (key, place) in enumerate((("object", objects), ("ground", ground))):
            if place.any():
                assert point[key] == pytest.approx(100 * float(a[place].mean()), rel=1e-4)
                sums[class_between(SHARES, point["share"]), row] += torch.tensor(
                    [float(a[place].sum()), float(place.sum())], dtype=torch.float64
                )
    assert sum(made["in_class"]) == 5 and made["grid"] == 4
    for means, count, each in zip(made["means"], made["in_class"], sums, strict=True):
        assert (means is None) == (count == 0)
        if means:
            ratios = 100 * each[:, 0] / each[:, 1]
            assert means["object"]["value"] == pytest.approx(float(ratios[0]))
            assert means["apart"]["value"] == pytest.approx(float(ratios[1] - ratios[0]))


def test_scenes_are_ordered_by_their_share(shown):
    materials, made = shown
    scores = [each["score"] for each in made["scenes"]]
    assert scores == sorted(scores)
    for each in made["scenes"]:
        assert each["attention"].shape == each["mask"].shape and each["queries"] >= 1
    assert stages.classifier(materials.profile).grid_size == made["grid"]
