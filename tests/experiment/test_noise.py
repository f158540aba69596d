"""Label noise turned up: what spills, how lambda and gamma weigh, and what the map says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import mean_iou
from bana.experiment import noise
from bana.experiment.bench import for_task, head_areas
from bana.experiment.noise import (
    WEIGHINGS,
    NoiseSettings,
    Weighing,
    label_noise,
    noise_map,
    spilled,
    weighed_loss,
)
from bana.experiment.tables import noise_lines
from bana.losses import noise_aware_loss
from bana.training.heads import FrozenImage, HeadSettings, train_head
from bana.training.segmentation import LOSSES

HEAD = HeadSettings("linear", epochs=3, batch=2, learning_rate=0.05)
SETTINGS = NoiseSettings(HEAD, (0, 2), (0, 1))


def image(seed: int) -> FrozenImage:
    """An object that features show, with labels that miss an edge each, in a box around it."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.zeros(5, 6)
    cells[1:4, 2:4] = 1
    features = torch.stack([cells, 1 - cells]) + 0.4 * torch.rand(2, 5, 6, generator=generator)
    mask = torch.nn.functional.interpolate(cells[None, None], (17, 21))[0, 0].byte() * 3
    y_crf, y_ret = mask.clone(), mask.clone()
    y_crf[:5], y_ret[:, :8] = 0, 0
    y_ret[16], mask[0] = 255, 255
    inside = torch.zeros(17, 21, dtype=torch.bool)
    inside[2:14, 4:18] = True
    return FrozenImage(features.half(), mask, y_crf, y_ret, inside)


TRAIN, VAL = [image(n) for n in range(4)], [image(n) for n in range(8, 11)]


def test_spill_by_hand() -> None:
    given = for_task(TRAIN, "object")[0]
    made = spilled(given, ["y_crf"], 2)
    for y in range(17):
        for x in range(21):
            window = given.y_crf[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            grown = bool((window == 1).any()) and bool(given.inside[y, x])
            expected = 1 if grown else int(given.y_crf[y, x])
            assert made.y_crf[y, x] == expected
    assert made.y_crf.dtype == torch.uint8 and made.y_crf.sum() > given.y_crf.sum()
    assert torch.equal(made.y_ret, given.y_ret) and torch.equal(made.mask, given.mask)


def test_spill_keeps_ignored_pixels_and_reach_0_changes_nothing() -> None:
    given = for_task(TRAIN, "object")[0]
    given = given._replace(y_crf=given.y_crf.masked_fill(given.inside & (given.y_ret == 1), 255))
    assert torch.equal(spilled(given, ["y_crf"], 3).y_crf == 255, given.y_crf == 255)
    made = spilled(given, ["y_crf", "y_ret"], 0)
    assert torch.equal(made.y_crf, given.y_crf) and torch.equal(made.y_ret, given.y_ret)


def test_noise_is_counted_one_by_one() -> None:
    images = [spilled(each, ["y_crf"], 1) for each in for_task(TRAIN, "object")]
    counts = dict.fromkeys(("all", "wrong", "unreliable", "both"), 0)
    for each in images:
        for y, x in each.inside.nonzero().tolist():
            mask, crf, ret = (int(m[y, x]) for m in (each.mask, each.y_crf, each.y_ret))
            if 255 in (mask, crf):
                continue
            unlike = crf != ret and ret != 255
            counts["all"] += 1
            counts["wrong"] += crf != mask
            counts["unreliable"] += unlike
            counts["both"] += unlike and crf != mask
    found = label_noise(images)
    assert found["wrong"] == pytest.approx(100 * counts["wrong"] / counts["all"])
    assert found["unreliable"] == pytest.approx(100 * counts["unreliable"] / counts["all"])
    assert found["recall"] == pytest.approx(100 * counts["both"] / counts["wrong"])
    assert found["precision"] == pytest.approx(100 * counts["both"] / counts["unreliable"])
    clean = [each._replace(y_crf=each.mask, y_ret=each.mask) for each in images]
    assert set(label_noise(clean).values()) == {0}


def step() -> tuple:
    generator = torch.Generator().manual_seed(1)
    phi, weight = torch.rand(1, 3, 5, 6, generator=generator), torch.rand(2, 3, generator=generator)
    labels = [i[None] for i in for_task(TRAIN, "object")[0][2:4]]
    return phi, weight, *labels, 20.0


def test_the_papers_weighing_is_the_papers_loss() -> None:
    assert torch.equal(weighed_loss(WEIGHINGS["lambda .1"])(*step()), LOSSES["nal"](*step()))


def test_lambda_and_gamma_go_where_they_belong() -> None:
    phi, weight, y_crf, y_ret, tau = step()
    made = noise_aware_loss(phi, weight, y_crf, y_ret, tau, gamma=3.0, lam=0.7)
    assert torch.equal(weighed_loss(Weighing(0.7, 3.0))(*step()), made.total)
    known = (y_crf != 255) & (y_ret != 255)
    areas = ((y_crf != y_ret) & known).sum() / ((y_crf == y_ret) & known).sum()
    expected = made.cross_entropy + 2 * areas * made.weighted
    torch.testing.assert_close(weighed_loss(Weighing(2.0, 3.0, by_area=True))(*step()), expected)


def test_every_number_of_the_map_by_hand(tmp_path: Path) -> None:
    entries = noise_map(TRAIN, VAL, SETTINGS, (tmp_path, "data"))
    assert [(e["noise"], e["reach"]) for e in entries] == [
        ("Y_crf", 0),
        ("Y_crf", 2),
        ("both", 0),
        ("both", 2),
    ]
    train, val = for_task(TRAIN, "object"), for_task(VAL, "object")
    losses = {name: LOSSES[name] for name in ("truth", "crf", "ret", "ignore")}
    losses |= {name: weighed_loss(weighing) for name, weighing in WEIGHINGS.items()}
    for entry in entries:
        labels = ["y_crf"] if entry["noise"] == "Y_crf" else ["y_crf", "y_ret"]
        noisy = [spilled(each, labels, entry["reach"]) for each in train]
        clean = [each._replace(y_crf=each.mask, y_ret=each.mask) for each in train]
        areas = {}
        for name, loss in losses.items():
            seen = clean if name == "truth" else noisy
            heads = [train_head(seen, loss, 2, HEAD, seed) for seed in (0, 1)]
            areas[name] = torch.stack([head_areas(head, val, 2) for head in heads])
        assert entry["wrong"] == label_noise(noisy)["wrong"]
        for name, each in areas.items():
            assert entry["miou"][name] == pytest.approx(mean_iou(each.sum(1)).tolist())
        for other in ("crf", "ignore"):
            for name in losses.keys() - {other}:
                expected = paired_difference(areas[name], areas[other])
                assert entry[f"over {other}"][name] == expected._asdict()


def test_trainings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, real = [], noise.train_head

    def counted(*arguments):
        trained.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(noise, "train_head", counted)
    first = noise_map(TRAIN, VAL, SETTINGS, (tmp_path, "data"))
    made = len(trained)
    places = 3  # without spill, Y_crf alone, both: without it both noises are one
    masks = 2  # the seeds; they spill nowhere
    assert made == places * 2 * (3 + len(WEIGHINGS)) + masks
    assert noise_map(TRAIN, VAL, SETTINGS, (tmp_path, "data")) == first
    assert len(trained) == made
    more = replace(SETTINGS, reaches=(0, 2, 3))
    noise_map(TRAIN, VAL, more, (tmp_path, "data"))
    assert len(trained) == (made - masks) * 5 / 3 + masks
    noise_map(TRAIN, VAL, SETTINGS, (tmp_path, "other data"))
    assert len(trained) == (made - masks) * 8 / 3 + 2 * masks


def test_what_no_mask_tells_is_none(tmp_path: Path) -> None:
    unknown = [each._replace(mask=torch.full_like(each.mask, 255)) for each in VAL]
    settings = replace(SETTINGS, head=replace(HEAD, epochs=1), reaches=(2,), seeds=(0,))
    entries = noise_map(TRAIN, unknown, settings, (tmp_path, "unknown"))
    for entry in entries:
        assert set(map(tuple, entry["miou"].values())) == {(None,)}
        assert set(entry["over crf"].values()) == set(entry["over ignore"].values()) == {None}
    told = noise_lines(entries)
    assert "not scored" in told and "nan" not in told
