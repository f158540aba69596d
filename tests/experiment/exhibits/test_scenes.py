"""Scenes are chosen by rule: by quantiles of the score, among images whose objects can be seen."""

from pathlib import Path

import pytest
import torch
from made_data import write_voc

from bana.data.voc import VocDataset, write_mask
from bana.experiment.exhibits import scenes
from bana.experiment.exhibits.sources import Materials
from bana.experiment.profiles import get_profile

SIDE = 20


def made(tmp_path: Path, sides: list[int], missed: list[int]) -> Materials:
    """Images with one square each, whose label misses some of its columns."""
    masks, boxes = [], []
    for side in sides:
        mask = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
        mask[:side, :side] = 1
        masks.append(mask)
        boxes.append([(0, 0, side, side, "cup")])
    data = VocDataset(write_voc(tmp_path / "voc", masks, boxes, ["background", "cup"]), "val")
    folder = tmp_path / "labels" / "Y_crf"
    folder.mkdir(parents=True)
    for name, mask, columns in zip(data.ids, masks, missed, strict=True):
        label = mask.clone()
        label[:, :columns] = 0
        write_mask(folder / f"{name}.png", label)
    folders = {("val", "bap"): folder.parent}
    return Materials(get_profile("smoke"), None, {"val": data}, folders, {}, {}, {})


def test_scenes_stand_at_the_quantiles_of_the_score(tmp_path):
    materials = made(tmp_path, [10] * 5, [4, 0, 8, 2, 6])
    chosen = scenes.chosen_scenes(materials)
    assert [each["id"] for each in chosen["scenes"]] == ["im4", "im0", "im3"]
    assert [each["quantile"] for each in chosen["scenes"]] == [0.25, 0.5, 0.75]
    scores = [each["score"] for each in chosen["scenes"]]
    assert scores == sorted(scores)
    # Four of ten columns missed: 60 of 100 object pixels, 300 of 340 of the background.
    assert scores[1] == pytest.approx(100 * (60 / 100 + 300 / 340) / 2)
    assert (chosen["seen"], chosen["images"], chosen["classes"]) == (5, 5, ["background", "cup"])


def test_small_objects_are_not_shown(tmp_path):
    # A side of 6 of 20 covers 9 % of the image.
    chosen = scenes.chosen_scenes(made(tmp_path, [10, 6, 10, 6, 10, 10], [0, 5, 2, 3, 4, 6]))
    assert {each["id"] for each in chosen["scenes"]} <= {"im0", "im2", "im4", "im5"}
    assert (chosen["seen"], chosen["images"]) == (4, 6)


def test_where_few_are_large_enough_all_are_ranked(tmp_path):
    chosen = scenes.chosen_scenes(made(tmp_path, [10, 5, 5, 5], [0, 1, 2, 3]))
    assert (chosen["seen"], chosen["images"]) == (4, 4)


def test_a_scene_is_plain_tensors_of_its_own(tmp_path):
    shown = scenes.scene(made(tmp_path, [10], [0]), "im0")
    assert shown["image"].shape == (3, SIDE, SIDE) and shown["mask"].shape == (SIDE, SIDE)
    assert shown["boxes"].tolist() == [[0, 0, 10, 10]] and shown["labels"].tolist() == [1]
    assert all(type(shown[key]) is torch.Tensor for key in ("image", "boxes", "labels", "mask"))
