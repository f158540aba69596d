"""The bench of losses: what it trains on, what it scores on, and what it says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import make_profile
from torch import Tensor

from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.experiment import bench as benches
from bana.experiment import benching, stages
from bana.experiment.bench import (
    BenchSettings,
    bench,
    for_task,
    label_mistakes,
    one_training,
    taught,
)
from bana.experiment.tables import bench_lines
from bana.training.heads import FrozenImage, HeadSettings, predicted, train_head
from bana.training.segmentation import LOSSES as LOSS_OF

HEAD = HeadSettings("linear", epochs=4, batch=2, learning_rate=0.05)
LOSSES = ("truth", "crf", "ret", "ignore", "nal")


def image(seed: int) -> FrozenImage:
    """Three classes that the features show; Y_crf and Y_ret are wrong in places of their own."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(3, (3, 4), generator=generator)
    features = torch.nn.functional.one_hot(cells, 3).movedim(-1, 0).float()
    features += 0.3 * torch.rand(3, 3, 4, generator=generator)
    mask = torch.nn.functional.interpolate(cells[None, None].float(), (9, 13))[0, 0].byte()
    y_crf, y_ret = mask.clone(), mask.clone()
    y_crf[:3] = (y_crf[:3] + 1) % 3
    y_ret[:, :5] = 0
    y_ret[8], mask[7] = 255, 255
    inside = torch.zeros(9, 13, dtype=torch.bool)
    inside[1:8, 1:12] = True
    return FrozenImage(features.half(), mask, y_crf, y_ret, inside)


TRAIN, VAL = [image(n) for n in range(6)], [image(n) for n in range(10, 14)]


def run(tmp_path: Path, task: str = "classes", **changes) -> dict:
    settings = replace(BenchSettings(task, HEAD, LOSSES, (0, 1, 2)), **changes)
    return bench(TRAIN, VAL, 3, settings, (tmp_path, "data"))


@pytest.mark.parametrize("task", ["classes", "object"])
def test_every_number_by_hand(tmp_path: Path, task: str) -> None:
    """Each loss is trained on the training images and scored on the others, seed by seed."""
    result = run(tmp_path, task)
    train, val, count = for_task(TRAIN, task), for_task(VAL, task), 3 if task == "classes" else 2
    areas: dict[str, list[Tensor]] = {}
    for loss in LOSSES:
        learned = taught(train, loss)
        heads = [train_head(learned, LOSS_OF[loss], count, HEAD, seed) for seed in (0, 1, 2)]
        areas[loss] = [
            torch.stack(
                [
                    class_areas(labels, each.mask, count)
                    for labels, each in zip(predicted(head, val), val, strict=True)
                ]
            )
            for head in heads
        ]
        scores = [float(mean_iou(each.sum(0))) for each in areas[loss]]
        row = result["miou"][loss]
        assert row["by_seed"] == pytest.approx(scores)
        assert row["mean"] == pytest.approx(sum(scores) / 3)
        assert row["spread"] == pytest.approx(torch.tensor(scores).std().item())
        mistakes = result["mechanism"][loss]
        counts = sum(
            label_mistakes(labels, each)
            for head in heads
            for labels, each in zip(predicted(head, train), train, strict=True)
        )
        wrong_right = 100 * int(counts[1, 0, 1]) / int(counts[1, 0].sum())
        assert mistakes["~S"]["rescued"] == pytest.approx(wrong_right)
        assert mistakes["S"]["spoiled"] == pytest.approx(
            100 * int(counts[0, 1, 0]) / int(counts[0, 1].sum())
        )
    assert set(result["differences"]) == {
        "truth - crf",
        "crf - ret",
        "nal - ignore",
        "nal - crf",
        "nal - ret",
        "ignore - crf",
    }
    for pair, difference in result["differences"].items():
        first, second = pair.split(" - ")
        expected = paired_difference(torch.stack(areas[first]), torch.stack(areas[second]))
        assert difference == expected._asdict()


def test_true_masks_are_taught_by_truth_alone() -> None:
    for loss in LOSSES:
        for made, given in zip(taught(TRAIN, loss), TRAIN, strict=True):
            names = ("mask", "mask") if loss == "truth" else ("y_crf", "y_ret")
            assert torch.equal(made.y_crf, getattr(given, names[0]))
            assert torch.equal(made.y_ret, getattr(given, names[1]))
            assert torch.equal(made.mask, given.mask)
    with pytest.raises(ValueError, match="unknown loss 'hinge': use one of crf"):
        taught(TRAIN, "hinge")


def test_right_and_wrong_labels_are_counted_one_by_one() -> None:
    labels = torch.randint(3, (9, 13), generator=torch.Generator().manual_seed(5))
    each = image(0)
    counts = torch.zeros(2, 2, 2, dtype=torch.int64)
    for y in range(9):
        for x in range(13):
            crf, ret, mask = (int(m[y, x]) for m in (each.y_crf, each.y_ret, each.mask))
            if each.inside[y, x] and 255 not in (crf, ret, mask):
                counts[int(crf != ret), int(crf == mask), int(labels[y, x] == mask)] += 1
    assert torch.equal(label_mistakes(labels, each), counts)
    assert (counts.sum((1, 2)) > 0).all()


def test_objects_are_all_classes_but_background() -> None:
    for made, given in zip(for_task(TRAIN, "object"), TRAIN, strict=True):
        for name in ("mask", "y_crf", "y_ret"):
            before, after = getattr(given, name), getattr(made, name)
            assert torch.equal(after == 255, before == 255)
            assert torch.equal(after == 0, before == 0)
            assert set(after.unique().tolist()) <= {0, 1, 255} and after.dtype == torch.uint8
    assert for_task(TRAIN, "classes") == TRAIN


def test_trainings_are_kept_and_made_anew_when_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    real = one_training

    def watched(*arguments) -> dict[str, Tensor]:
        trained.append((arguments[2], arguments[5]))
        return real(*arguments)

    # The key holds the function's module, which stays that of the real one.
    watched.__module__, watched.__qualname__ = real.__module__, real.__qualname__
    monkeypatch.setattr(benches, "one_training", watched)
    first = run(tmp_path, seeds=(0, 1))
    assert trained == [(loss, seed) for seed in (0, 1) for loss in LOSSES]
    trained.clear()
    assert run(tmp_path, seeds=(0, 1)) == first and not trained
    run(tmp_path)
    assert trained == [(loss, 2) for loss in LOSSES]
    for change in (
        {"head": replace(HEAD, learning_rate=0.01)},
        {"head": replace(HEAD, epochs=3)},
        {"task": "object"},
    ):
        trained.clear()
        run(tmp_path, **change, seeds=(0,), losses=("crf",))
        assert trained == [("crf", 0)], change
    trained.clear()
    settings = BenchSettings("classes", HEAD, ("crf",), (0,))
    bench(TRAIN, VAL, 3, settings, (tmp_path, "other data"))
    assert trained == [("crf", 0)]


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    row = run(tmp_path, seeds=(0,), losses=("crf",))["miou"]["crf"]
    assert row["spread"] is None and row["by_seed"] == [row["mean"]]


def test_shares_of_nothing_are_not_known(tmp_path: Path) -> None:
    agreed = [each._replace(y_ret=each.y_crf) for each in TRAIN]
    settings = BenchSettings("classes", HEAD, ("crf",), (0,))
    result = bench(agreed, VAL, 3, settings, (tmp_path, "agreed"))
    assert result["mechanism"]["crf"]["~S"] == {"rescued": None, "spoiled": None}
    assert result["mechanism"]["crf"]["S"]["rescued"] is not None


def test_what_no_mask_tells_is_none(tmp_path: Path) -> None:
    unknown = [each._replace(mask=torch.full_like(each.mask, 255)) for each in VAL]
    settings = BenchSettings("classes", HEAD, ("crf", "nal"), (0, 1))
    result = bench(TRAIN, unknown, 3, settings, (tmp_path, "unknown"))
    assert result["differences"] == {"nal - crf": None}
    assert result["miou"]["nal"] == {"mean": None, "spread": None, "by_seed": [None, None]}
    told = bench_lines("classes, linear", result)
    assert "not scored" in told and "nan" not in told


def test_refuses_an_unknown_task_and_what_would_count_twice() -> None:
    with pytest.raises(ValueError, match="object or classes"):
        BenchSettings("instances", HEAD, ("crf",), (0,))
    for twice in ({"losses": ("crf", "nal", "crf")}, {"seeds": (0, 0)}):
        with pytest.raises(ValueError, match="each counts once"):
            replace(BenchSettings("classes", HEAD, ("crf",), (0,)), **twice)


def test_losses_weigh_as_the_settings_say(tmp_path: Path) -> None:
    settings = BenchSettings("classes", HEAD, ("crf", "nal"), (0,))
    keep = (tmp_path, "weights")
    as_the_paper, heavier = (
        bench(TRAIN, VAL, 3, each, keep)["mechanism"]
        for each in (settings, replace(settings, gamma=1.0, lam=5.0))
    )
    assert as_the_paper["crf"] == heavier["crf"] and as_the_paper["nal"] != heavier["nal"]


def test_a_new_loss_is_compared_with_cross_entropy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(benches.LOSSES, "mine", benches.LOSSES["ret"])
    settings = BenchSettings("classes", HEAD, ("crf", "ret", "mine"), (0,))
    made = bench(TRAIN, VAL, 3, settings, (tmp_path, "new"))["differences"]
    assert set(made) == {"crf - ret", "mine - crf"}
    assert made["mine - crf"]["mean"] == pytest.approx(-made["crf - ret"]["mean"])


def test_the_stage_learns_from_train_and_scores_val(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    profile, seen = make_profile(), []
    settings = BenchSettings("classes", HEAD, ("crf", "nal"), (0,))
    monkeypatch.setattr(benching, "bench", lambda *given: seen.append(given) or {"miou": {}})
    result = benching.loss_bench(profile, settings)
    train, val, n_classes, given, (folder, key), processes = seen[0]
    assert 0 < result["share"] <= 1 and n_classes == 9 and given is settings
    assert processes == profile.label_workers
    assert folder == tmp_path / "tiny" / "bench" and key == benching.frozen(profile)["key"]
    for split, images in (("train", train), ("val", val)):
        data = stages.dataset(profile, split)
        assert len(images) == len(data)
        for name, each in zip(data.ids, images, strict=True):
            mask = data.mask(name)
            height, width = mask.shape
            # Stride 16 at the images' own size: every fourth pixel, from the first on.
            assert torch.equal(each.mask[: -(-height // 4), : -(-width // 4)], mask[::4, ::4])
