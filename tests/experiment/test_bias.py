"""The bench of background biases: what chooses a bias, what is scored, and what is kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import be_quick, make_profile
from torch import Tensor

from bana.data.voc import VocDataset, read_image, read_mask, write_mask
from bana.evaluation.bias import BIASES, best_bias, bias_areas, biased_labels
from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.prediction import predict
from bana.experiment import bias, stages
from bana.experiment.profiles import Profile, with_seed
from bana.experiment.tables import bias_lines

ZERO = BIASES.index(0)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    be_quick(monkeypatch)
    return make_profile(train_limit=7, label_workers=1, image_scale=1.25)


def made(best: dict[float, int], images: int = 2) -> Tensor:
    """Areas of one seed with so many of 10 pixels right under each bias, 0 under the others."""
    inside = torch.tensor([best.get(b, 0) for b in BIASES])
    areas = torch.stack([inside, torch.full_like(inside, 10)], 1)[:, None]  # [B, 1, 2]
    return areas.expand(1, images, -1, -1, -1)


def test_training_images_choose_and_others_are_scored() -> None:
    train = {"truth": made({-1.0: 9, 0.0: 5}), "crf": made({0.5: 9})}
    val = {"truth": made({-1.0: 6, 0.0: 2, -2.0: 10}), "crf": made({0.5: 5, 0.0: 4, 1.0: 10})}
    card = bias.compared(train, val)
    truth, crf = card["networks"]["truth"], card["networks"]["crf"]
    assert (truth["chosen"], truth["argmax"], truth["at chosen"]) == ([-1.0], [20.0], [60.0])
    assert (crf["chosen"], crf["argmax"], crf["at chosen"]) == ([0.5], [40.0], [50.0])
    assert truth["by bias"][BIASES.index(-2.0)] == [100.0]
    difference = card["differences"]["truth - crf"]
    assert difference["argmax"]["mean"] == -20.0 and difference["at chosen"]["mean"] == 10.0
    assert difference["by bias"][BIASES.index(1.0)]["mean"] == -100.0
    assert set(card["differences"]) == {"truth - crf"}


def test_every_seed_has_a_bias_of_its_own() -> None:
    train = {"crf": torch.cat([made({-1.0: 9}), made({1.0: 9})])}
    val = {"crf": torch.cat([made({-1.0: 3, 1.0: 8}), made({-1.0: 8, 1.0: 4})])}
    network = bias.compared(train, val)["networks"]["crf"]
    assert network["chosen"] == [-1.0, 1.0] and network["at chosen"] == [30.0, 40.0]


def test_what_a_loss_learned_from_is_what_its_cross_entropy_sees(profile: Profile) -> None:
    folder, data = stages.labels(profile, "train", "bap"), stages.dataset(profile, "train")
    name = data.ids[5]
    y_crf, y_ret = torch.zeros(2, 4, 6, dtype=torch.uint8)
    y_crf[:2], y_ret[1:] = 1, 1
    for kind, labels in (("Y_crf", y_crf), ("Y_ret", y_ret)):
        write_mask(folder / kind / f"{name}.png", labels)
    both = torch.where(y_crf == y_ret, y_crf, 255)
    expected = {"crf": y_crf, "nal": y_crf, "bootstrap": y_crf, "ret": y_ret, "ignore": both}
    expected |= {"entropy": both, "truth": data.mask(name)}
    for loss, labels in expected.items():
        images, label_of = bias.learned_from(profile, loss, data)
        assert images.ids == [data.ids[0], name] and len(data.ids) == 7
        assert torch.equal(label_of(name), labels), loss


def test_masks_that_are_learned_choose_too(profile: Profile) -> None:
    strong = replace(profile, strong_split="train")
    stages.labels(strong, "train", "bap")
    data = stages.dataset(strong, "train")
    _, label_of = bias.learned_from(strong, "nal", data)
    assert torch.equal(label_of(data.ids[0]), data.mask(data.ids[0]))


def test_an_image_without_labels_chooses_nothing(profile: Profile) -> None:
    folder, data = stages.labels(profile, "train", "bap"), stages.dataset(profile, "train")
    for kind in ("Y_crf", "Y_ret"):
        (folder / kind / f"{data.ids[0]}.png").unlink()
    for loss in ("crf", "truth"):
        assert bias.learned_from(profile, loss, data).images.ids == [data.ids[1], data.ids[6]]


@pytest.mark.parametrize("loss", ["truth", "crf"])
def test_training_images_choose_what_val_is_scored_with(profile: Profile, loss: str) -> None:
    card = bias.bias_card([profile], [loss])
    model, val = stages.segmenter(profile, loss), stages.dataset(profile, "val")
    images, label_of = bias.learned_from(profile, loss, stages.dataset(profile, "train"))

    def seen(data: VocDataset, name: str) -> Tensor:
        return predict(model, read_image(data.image_path(name)), 1.25)

    areas = [bias_areas(seen(images, name), label_of(name), BIASES) for name in images.ids]
    chosen = best_bias(torch.stack(areas), BIASES)
    network = card["networks"][loss]
    assert card["images"] == {"train": 2, "val": len(val)} and network["chosen"] == [chosen]
    for column, each in (("argmax", 0.0), ("at chosen", chosen)):
        maps = {name: biased_labels(seen(val, name), each) for name in val.ids}
        pairs = [class_areas(maps[name], val.mask(name), len(val.classes)) for name in val.ids]
        assert network[column] == [pytest.approx(float(mean_iou(torch.stack(pairs).sum(0))))]


def test_argmax_is_the_networks_score_and_intervals_span_seeds(profile: Profile) -> None:
    seeds = [profile, with_seed(profile, 1)]
    card = bias.bias_card(seeds, ["truth", "crf"])
    for loss, network in card["networks"].items():
        single = [stages.segmentation_scores(each, loss)["single"]["miou"] for each in seeds]
        assert network["argmax"] == pytest.approx(single)
        assert network["by bias"][ZERO] == network["argmax"]
    said = bias_lines(card)
    assert "truth - crf: argmax" in said and "own bias" in said and "±" in said


def test_a_second_run_predicts_nothing_and_what_changed_is_predicted(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bias.bias_card([profile], ["crf"])
    seen, real = [], bias._areas_of

    def counted(shared, job):
        seen.append(job)
        return real(shared, job)

    monkeypatch.setattr(bias, "_areas_of", counted)
    assert bias.bias_card([profile], ["crf"]) == first and not seen
    bias.bias_card([profile], ["crf", "truth"])
    assert seen == [(0, "truth")]
    val = stages.dataset(profile, "val")
    mask = val.mask_path(val.ids[0])
    write_mask(mask, (read_mask(mask) == 0).byte())
    bias.bias_card([profile], ["crf"])
    assert seen == [(0, "truth"), (0, "crf")]


def test_differences_are_paired_over_seeds_and_images() -> None:
    generator = torch.Generator().manual_seed(0)
    inside = torch.randint(1, 50, (2, 2, 5, len(BIASES), 3), generator=generator)
    areas = torch.stack([inside, inside + 20], -1)  # [losses, S, N, B, C, 2]
    val = {"nal": areas[0], "crf": areas[1]}
    card = bias.compared(val, val)
    expected = paired_difference(areas[0][:, :, ZERO], areas[1][:, :, ZERO])
    assert card["differences"]["nal - crf"]["argmax"] == pytest.approx(expected._asdict())
