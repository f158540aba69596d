"""The chain of stages on five drawn scenes: what is kept, what is made anew, what is recorded."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import wraps
from pathlib import Path

import pytest
import torch
from tiny import STRIDE, make_profile, tiny
from torch import Tensor, nn

from bana.crf.dense import CrfParameters
from bana.data.transforms import eval_image
from bana.data.voc import DataError, read_mask, write_mask
from bana.evaluation import average_precision
from bana.evaluation.intervals import paired_difference
from bana.evaluation.scoring import row_areas
from bana.experiment import (
    classifying,
    keeping,
    label_folders,
    labelling,
    recording,
    segmenting,
    stages,
)
from bana.experiment.labelling import VARIANTS, Crew
from bana.experiment.profiles import Changes, changed, get_profile
from bana.files.paths import run_dir
from bana.labels import UnaryOptions
from bana.losses import confidence_map
from bana.networks import backbones
from bana.training.optimisation import Optimisation

pytestmark = pytest.mark.usefixtures("quick")
ROWS = {"boxes", "boxes-crf", "boxes-middle", "grabcut", "gap", "bap-no-u0", "bap", "bap-ret"}
ROWS |= {"agreement-dropped", "agreement-wrong"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, quick) -> Path:
    """Folder of runs in which every stage of the profile has been made; not to be changed."""
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(root))
        (root / "record.json").write_text(json.dumps(recording.record(make_profile())))
    return root


@pytest.fixture
def runs(tmp_path: Path, finished: Path, monkeypatch) -> Path:
    """Folder of runs of one test: the scenes are drawn, nothing is trained."""
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    for scenes in finished.glob("sample-*"):
        shutil.copytree(scenes, tmp_path / scenes.name)
    return tmp_path


@pytest.fixture
def done(tmp_path: Path, finished: Path, monkeypatch) -> Path:
    """A copy of the finished folder of runs."""
    folder = tmp_path / "done"
    shutil.copytree(finished, folder)
    monkeypatch.setenv("BANA_RUNS", str(folder))
    return folder


@pytest.fixture
def trained(monkeypatch) -> list[str]:
    """Names of the trainings and label files that happen during a test."""
    happened: list[str] = []

    def watch(module, name: str, describe: Callable[..., str]) -> None:
        original = getattr(module, name)

        def watched(*arguments):
            happened.append(describe(*arguments))
            return original(*arguments)

        monkeypatch.setattr(module, name, watched)

    watch(classifying, "train_classifier", lambda model, *_: f"classifier {model.pooling}")
    watch(segmenting, "train_segmenter", lambda *arguments: f"segmenter {arguments[3]}")
    watch(
        label_folders,
        "make_label_files",
        lambda job, batches, crew: f"{job.settings.variant} {len(batches)}",
    )
    return happened


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def test_sample_is_drawn_where_runs_lie(finished: Path, done: Path) -> None:
    profile = make_profile()
    assert stages.data_root(profile) == done / "sample-0-3-2"
    train, val = (stages.dataset(profile, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (3, 2)
    assert len(train.classes) == 9
    assert not set(train.ids) & set(val.ids)
    assert (finished / "sample-0-3-2").is_dir()


def test_photographs_come_from_the_folder_that_is_named(done: Path, monkeypatch) -> None:
    scenes, profile = done / "sample-0-3-2", make_profile(data="voc", train_limit=2)
    monkeypatch.delenv("BANA_VOC_ROOT", raising=False)
    with pytest.raises(DataError, match="BANA_VOC_ROOT"):
        stages.data_root(profile)
    assert stages.data_root(profile, scenes) == scenes
    assert len(stages.dataset(profile, "train", str(scenes))) == 2
    monkeypatch.setenv("BANA_VOC_ROOT", str(scenes))
    assert stages.data_root(profile) == stages.data_root(profile, "") == scenes


def test_classifier_is_trained_once_and_then_loaded(runs: Path, trained: list[str]) -> None:
    profile = make_profile()
    fresh = stages.classifier(profile)
    torch.manual_seed(9)
    before = torch.get_rng_state()
    loaded = stages.classifier(profile)
    assert torch.equal(torch.get_rng_state(), before), "the caller's generator is left alone"
    assert trained == ["classifier bap"]
    assert same_weights(fresh, loaded)
    assert fresh.history == loaded.history and len(loaded.history) == 2
    assert not fresh.training and not loaded.training
    assert loaded.weight.shape == (9, 8)


def test_training_moves_the_weights(runs: Path) -> None:
    profile = make_profile()
    torch.manual_seed(profile.seed)
    untrained = tiny(STRIDE, 0, None)
    assert not same_weights(stages.classifier(profile).backbone, untrained)


@pytest.mark.parametrize(
    "change",
    [
        {"classifier": Optimisation(iterations=3, batch=2, learning_rate=1e-2)},
        {"classifier": Optimisation(iterations=2, batch=2, learning_rate=2e-2)},
        {"seed": 1},
        {"crop": 81},
        {"image_scale": 1.5},
        {"crop_scale": (0.9, 1.1)},
        {"classifier_drop": 0.1},
        {"train_limit": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_setting_trains_anew(change: dict, done: Path, trained: list[str]) -> None:
    stages.classifier(make_profile())
    assert trained == []
    stages.classifier(make_profile(**change))
    stages.classifier(make_profile(**change))
    assert trained == ["classifier bap"]


@pytest.mark.parametrize(
    "change",
    [
        {"segmentation": Optimisation(iterations=3, batch=2, learning_rate=1e-2)},
        {"unary": UnaryOptions(background_threshold=0.5)},
        {"label_crf": CrfParameters(iterations=2)},
        {"losses": ("crf",)},
        {"label_workers": 7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_settings_of_later_stages_leave_the_classifier(
    change: dict, done: Path, trained: list[str]
) -> None:
    stages.classifier(make_profile(**change))
    assert trained == []


def test_each_pooling_has_its_own_classifier(runs: Path, trained: list[str]) -> None:
    profile = make_profile()
    bap, gap = (stages.classifier(profile, pooling) for pooling in ("bap", "gap"))
    assert trained == ["classifier bap", "classifier gap"]
    assert (bap.pooling, gap.pooling) == ("bap", "gap")
    assert not same_weights(bap, gap)
    assert same_weights(stages.classifier(profile, "bap"), bap)


def test_fresh_trainings_of_one_seed_are_identical(tmp_path: Path, runs: Path, monkeypatch) -> None:
    profile = make_profile()
    first = stages.classifier(profile), stages.segmenter(profile)
    shutil.rmtree(run_dir(profile.name))
    torch.rand(17)  # whatever was drawn before must not matter
    second = stages.classifier(profile), stages.segmenter(profile)
    for one, other in zip(first, second, strict=True):
        assert same_weights(one, other)
        assert one.history == other.history


def test_changed_source_trains_anew(done: Path, trained: list[str], monkeypatch) -> None:
    monkeypatch.setattr(keeping, "source_hash", lambda module: "other")
    stages.classifier(make_profile())
    assert trained == ["classifier bap"]


def test_labels_of_a_split(done: Path, trained: list[str]) -> None:
    profile = make_profile()
    data = stages.dataset(profile, "val")
    for variant in VARIANTS:
        folder = stages.labels(profile, "val", variant)
        kinds = ["Y_crf"] if VARIANTS[variant] is None else ["Y_crf", "Y_ret"]
        assert sorted(path.name for path in folder.iterdir()) == [*kinds, "manifest.json"]
        for kind in kinds:
            assert sorted(p.stem for p in (folder / kind).iterdir()) == sorted(data.ids)
            for name in data.ids:
                label = read_mask(folder / kind / f"{name}.png")
                assert label.shape == data.mask(name).shape
    assert trained == []


def test_interrupted_labelling_goes_on_where_it_stopped(done: Path, trained: list[str]) -> None:
    profile = make_profile()
    folder = stages.labels(profile, "train", "bap")
    names = stages.dataset(profile, "train").ids
    finished, lost = (folder / "Y_crf" / f"{name}.png" for name in names[:2])
    before = lost.read_bytes()
    lost.unlink()
    # An hour ago in the file system: whoever writes the file again moves that forward.
    hour = finished.stat().st_mtime_ns - 3600 * 10**9
    os.utime(finished, ns=(hour, hour))
    assert stages.labels(profile, "train", "bap") == folder
    assert trained == ["bap 1"]
    assert finished.stat().st_mtime_ns == hour
    assert lost.read_bytes() == before


def test_unreadable_image_is_named_and_tried_again(runs: Path, trained: list[str]) -> None:
    profile = make_profile()
    data = stages.dataset(profile, "val")
    photograph = data.image_path(data.ids[0])
    whole = photograph.read_bytes()
    photograph.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match=f"1 images have no labels: .*{photograph.name}"):
        folder = stages.labels(profile, "val", "boxes")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert list(manifest["failures"]) == [data.ids[0]]
    assert labelling.labelled(data, folder).ids == data.ids[1:]
    photograph.write_bytes(whole)
    stages.labels(profile, "val", "boxes")
    assert trained == ["boxes 2", "boxes 1"]
    assert json.loads((folder / "manifest.json").read_text())["failures"] == {}
    assert labelling.labelled(data, folder).ids == data.ids


def test_shards_make_the_labels_of_one_process(done: Path, trained: list[str]) -> None:
    profile = make_profile()
    folder = stages.labels(profile, "train", "bap")
    expected = {path.relative_to(folder): path.read_bytes() for path in folder.glob("*/*.png")}
    shutil.rmtree(folder)
    crew = Crew(batch=2)
    for part in (2, 1):
        assert stages.labels(profile, "train", "bap", crew=crew, shard=(part, 2)) == folder
    made = {path.relative_to(folder): path.read_bytes() for path in folder.glob("*/*.png")}
    assert made == expected
    assert sorted(trained) == ["bap 1", "bap 1"]
    assert stages.labels(profile, "train", "bap") == folder
    assert len(trained) == 2, "all of them are there"


def test_shard_does_not_empty_a_folder(done: Path) -> None:
    folder = stages.labels(make_profile(), "val", "bap")
    before = sorted(folder.rglob("*"))
    changed = make_profile(unary=UnaryOptions(background_threshold=0.0))
    with pytest.raises(ValueError, match="labels of other settings: remove it first"):
        stages.labels(changed, "val", "bap", shard=(1, 2))
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 0)])
def test_shard_that_does_not_exist_is_refused(done: Path, shard: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no shard"):
        stages.labels(make_profile(), "val", "boxes", shard=shard)


def test_changed_unary_makes_labels_anew_and_keeps_the_classifier(
    done: Path, trained: list[str]
) -> None:
    folder = stages.labels(make_profile(), "val", "bap")
    (folder / "Y_crf" / "left over.png").touch()
    changed = make_profile(unary=UnaryOptions(background_threshold=0.0))
    assert stages.labels(changed, "val", "bap") == folder
    assert trained == ["bap 2"]
    assert not (folder / "Y_crf" / "left over.png").exists()
    stages.labels(changed, "val", "bap")
    assert trained == ["bap 2"]


def test_changed_classifier_makes_its_labels_anew(done: Path, trained: list[str]) -> None:
    longer = Optimisation(iterations=3, batch=2, learning_rate=1e-2)
    changed = make_profile(classifier=longer)
    stages.labels(changed, "val", "boxes")
    assert trained == []
    stages.labels(changed, "val", "gap")
    assert trained == ["classifier gap", "gap 2"]


def test_a_change_finds_the_stages_before_it_and_leaves_them_alone(
    done: Path, trained: list[str]
) -> None:
    base = make_profile()
    made = changed(base, Changes(threshold=0.25, lam=0.5))
    stages.segmenter(made, "nal")
    assert trained == ["bap 3", "segmenter nal"], "the classifier is the base's own"
    trained.clear()
    stages.segmenter(changed(base, Changes(lam=0.5)), "nal")
    assert trained == ["segmenter nal"], "the labels are the base's own"
    trained.clear()
    for profile in (base, made):
        stages.segmenter(profile, "nal")
    assert trained == [], "nobody's results were written over"
    stages.labels(changed(base, Changes(label_grid=2)), "val")
    stages.labels(changed(base, Changes(grid_size=2)), "val")
    assert trained == ["bap 2", "classifier bap", "bap 2"]


def test_baselines_need_no_classifier(runs: Path, trained: list[str]) -> None:
    for variant in ("boxes", "boxes-crf", "grabcut"):
        stages.labels(make_profile(), "val", variant)
    assert trained == ["boxes 2", "boxes-crf 2", "grabcut 2"]
    assert not list(runs.rglob("*.pt"))


def test_segmenter_is_trained_once_and_then_loaded(done: Path, trained: list[str]) -> None:
    profile = make_profile()
    kept = stages.segmenter(profile, "nal")
    assert trained == []
    (run_dir(profile.name) / "segmenter-nal.pt").unlink()
    fresh = stages.segmenter(profile, "nal")
    assert trained == ["segmenter nal"]
    assert kept.history == fresh.history and len(kept.history) == 2
    assert set(kept.history[0]) == {"loss"}
    assert not kept.training and not fresh.training
    for iteration, maps in fresh.confidence.items():
        assert all(torch.equal(sigma, kept.confidence[iteration][n]) for n, sigma in maps.items())


def test_confidence_is_kept_at_the_snapshots(done: Path) -> None:
    profile = make_profile(
        segmentation=Optimisation(iterations=5, batch=1, learning_rate=1e-2),
        snapshots=(0.2, 0.6, 1.0),
    )
    model = stages.segmenter(profile, "nal")
    data = stages.dataset(profile, "train")
    assert list(model.confidence) == [1, 3, 5]
    assert all(set(maps) == set(data.ids) for maps in model.confidence.values())
    # The last snapshot is of the weights that were kept.
    item = data[0]
    y_crf = read_mask(stages.labels(profile, "train") / "Y_crf" / f"{item['id']}.png")[None]
    with torch.no_grad():
        cosines = model.scores(eval_image(item)[None])
    expected = confidence_map(cosines, y_crf, 7.0)[0]
    torch.testing.assert_close(model.confidence[5][item["id"]], expected)
    assert not torch.equal(model.confidence[1][item["id"]], expected)


@pytest.mark.parametrize("from_classifier", [False, True])
def test_the_segmenter_starts_from_the_classifiers_backbone_where_it_should(
    from_classifier: bool, done: Path
) -> None:
    still = Optimisation(iterations=1, batch=2, learning_rate=0.0)
    profile = make_profile(from_classifier=from_classifier, segmentation=still)
    mine = stages.segmenter(profile, "crf").backbone.state_dict()
    learned = stages.classifier(profile, "bap").backbone.state_dict()
    assert all(torch.equal(mine[name], learned[name]) for name in learned) == from_classifier


def test_another_backbone_cannot_start_from_the_classifiers(done: Path) -> None:
    profile = make_profile(from_classifier=True, segmenter_backbone="other")
    with pytest.raises(ValueError, match="other cannot start from the classifier's tiny"):
        stages.segmenter(profile, "crf")


def test_other_losses_keep_no_confidence(done: Path) -> None:
    assert stages.segmenter(make_profile(), "crf").confidence == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"unary": UnaryOptions(background_threshold=0.0)}, ["bap 3", "segmenter crf"]),
        ({"neck": "aspp"}, ["segmenter crf"]),
        (
            {"segmentation": Optimisation(iterations=1, batch=2, learning_rate=1e-2)},
            ["segmenter crf"],
        ),
    ],
    ids=["unary", "neck", "segmentation"],
)
def test_changed_labels_or_settings_train_the_segmenter_anew(
    change: dict, expected: list[str], done: Path, trained: list[str]
) -> None:
    stages.segmenter(make_profile(**change), "crf")
    assert trained == expected


def test_unknown_names_are_refused(done: Path) -> None:
    profile = make_profile()
    with pytest.raises(ValueError, match="unknown labels 'wssl': use one of boxes, boxes-crf"):
        stages.labels(profile, "val", "wssl")
    with pytest.raises(ValueError, match="pooling must be one of"):
        stages.classifier(profile, "max")
    with pytest.raises(ValueError, match="unknown loss 'focal': use one of crf"):
        stages.segmenter(profile, "focal")
    with pytest.raises(ValueError, match="unknown split 'test': use train or val"):
        stages.dataset(profile, "test")


def test_label_scores_are_those_of_the_files(done: Path) -> None:
    profile = make_profile()
    data = stages.dataset(profile, "val")
    masks = torch.stack([data.mask(name) for name in data.ids])
    # Labels of two classes, random so that no two kinds of label agree by chance.
    generator = torch.Generator().manual_seed(0)
    drawn: dict[str, Tensor] = {}
    for variant in VARIANTS:
        folder = stages.labels(profile, "val", variant)
        for kind in ("Y_crf", "Y_ret") if variant == "bap" else ("Y_crf",):
            row = "bap-ret" if kind == "Y_ret" else variant
            drawn[row] = torch.randint(2, masks.shape, generator=generator).byte()
            for name, label in zip(data.ids, drawn[row], strict=True):
                write_mask(folder / kind / f"{name}.png", label)
    (run_dir(profile.name) / "label-scores-val.json").unlink()
    rows = stages.label_scores(profile, "val")
    assert set(rows) == ROWS
    known = masks != 255
    agreed = drawn["bap"] == drawn["bap-ret"]
    every = torch.ones_like(known)
    cases = {row: (labels, every, every) for row, labels in drawn.items()}
    cases["agreement-dropped"] = (drawn["bap"], agreed, agreed)
    cases["agreement-wrong"] = (drawn["bap"], agreed, every)
    for row, (labels, labelled, counted) in cases.items():
        for c, value in enumerate(rows[row]["per_class"]):
            said, true = (labels == c) & labelled & known, (masks == c) & counted
            either = int((said | true).sum())
            expected = 100 * int((said & true).sum()) / either if either else None
            assert value == (expected if expected is None else pytest.approx(expected)), row
        coverage = 100 * int((labelled & known).sum()) / int(known.sum())
        assert rows[row]["coverage"] == pytest.approx(coverage)


def test_scores_are_read_back(done: Path, monkeypatch) -> None:
    profile = make_profile()
    monkeypatch.setattr(stages.scoring, "RowScorer", None)
    assert set(stages.label_scores(profile, "val")) == ROWS
    assert set(stages.segmentation_scores(profile, "nal")) == {"single", "single-crf"}


def test_average_precision_needs_instance_masks(done: Path) -> None:
    profile = make_profile()
    made = stages.instance_scores(profile)
    data = stages.dataset(profile, "val")
    filled = made["boxes"]
    assert 0 <= filled["ap"] <= filled["ap50"] <= 100
    shutil.rmtree(average_precision.object_folder(data))
    assert stages.instance_scores(profile) == {}
    record = recording.record(profile)
    assert record["instances_val"] == {} and record["data"]["instance_masks"] is False


def test_filled_boxes_of_true_masks_are_perfect_instances(done: Path) -> None:
    profile = make_profile()
    folder = stages.labels(profile, "val", "boxes")
    data = stages.dataset(profile, "val")
    for name in data.ids:
        write_mask(folder / "Y_crf" / f"{name}.png", data.mask(name))
    (run_dir(profile.name) / "instance-scores-val.json").unlink()
    scores = stages.instance_scores(profile)["boxes"]
    assert scores["ap"] == pytest.approx(100)  # no boxes of one class overlap in these scenes


def test_several_scales_are_scored_apart(done: Path) -> None:
    profile = make_profile(test_scales=(0.5, 1.0), name="scales")
    scores = stages.segmentation_scores(profile, "crf")
    assert set(scores) == {"single", "single-crf", "multi", "multi-crf"}
    assert all(row["coverage"] == 100 and 0 <= row["miou"] <= 100 for row in scores.values())


def test_record_has_every_row(finished: Path) -> None:
    record = json.loads((finished / "record.json").read_text())
    profile = make_profile()
    assert record["profile"] == json.loads(json.dumps(asdict(profile)))
    assert record["data"]["images"] == {"train": 3, "val": 2}
    assert record["data"]["instance_masks"] is True
    assert set(record["instances_val"]) == {row for row in ROWS if "agreement" not in row}
    assert set(record["instances_val"]["bap"]) == set(average_precision.MEASURES)
    assert record["data"]["kind"] == "drawn sample" and len(record["data"]["classes"]) == 9
    assert set(record["labels_val"]) == ROWS
    assert set(record["segmentation_val"]) == set(profile.losses)
    for modes in record["segmentation_val"].values():
        assert set(modes) == {"single", "single-crf"}
    assert set(record["seconds"]) == {
        *(f"classifier-{pooling}" for pooling in ("bap", "gap")),
        *(f"segmenter-{loss}" for loss in profile.losses),
        *(f"labels-{variant}-val" for variant in VARIANTS),
        "labels-bap-train",
    }
    assert all(seconds >= 0 for seconds in record["seconds"].values())


def test_a_record_names_the_weights_of_both_backbones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_text(name)
    profile = replace(make_profile(), segmenter_backbone="second")
    monkeypatch.setattr(
        stages,
        "weights_file",
        lambda profile, name: tmp_path / (name if name == "second" else "first"),
    )
    told = recording.about(profile)["profile"]
    assert told["weights"] != told["segmenter_weights"]
    (tmp_path / "second").write_text("another file of weights")
    assert recording.about(profile)["profile"]["segmenter_weights"] != told["segmenter_weights"]
    assert "segmenter_weights" not in recording.about(make_profile())["profile"]


def test_differences_are_those_of_the_rows_that_are_there(done: Path) -> None:
    profile = make_profile()
    made = recording.differences([profile])
    labels = {"boxes-crf - boxes", "bap - boxes-crf", "grabcut - boxes", "gap - grabcut"}
    labels |= {"bap-no-u0 - gap", "bap - bap-no-u0", "bap - gap", "bap - bap-ret"}
    assert set(made["labels_val"]) == labels and set(made["segmentation_val"]) == {"nal - crf"}
    rows = {
        "labels_val": stages.label_scores(profile),
        "segmentation_val": {
            loss: stages.segmentation_scores(profile, loss)["single"] for loss in ("crf", "nal")
        },
    }
    for part, pairs in made.items():
        for pair, difference in pairs.items():
            first, second = (rows[part][row] for row in pair.split(" - "))
            assert difference["mean"] == pytest.approx(first["miou"] - second["miou"], abs=1e-4)
            areas = [row_areas(row)[None] for row in (first, second)]
            assert difference == paired_difference(*areas)._asdict()
    record = json.loads((done / "record.json").read_text())
    assert record["differences"] == made and "areas" not in json.dumps(record)


def test_differences_of_several_seeds_draw_them_together(done: Path) -> None:
    both = [make_profile(), make_profile(name="again", seed=1)]
    made = recording.differences(both)["labels_val"]["bap - gap"]
    rows = [stages.label_scores(profile) for profile in both]
    areas = [torch.stack([row_areas(each[row]) for each in rows]) for row in ("bap", "gap")]
    assert made == paired_difference(*areas)._asdict()


def test_differences_that_no_mask_tells_are_none(monkeypatch) -> None:
    row = {"areas": [{}], "per_class": [None, None]}
    scores = {"boxes": row, "boxes-crf": row}
    monkeypatch.setattr(stages, "label_scores", lambda *_: scores)
    monkeypatch.setattr(stages, "segmentation_scores", lambda *_: {"single": row})
    made = recording.differences([make_profile()])
    assert made["labels_val"] == {"boxes-crf - boxes": None}
    assert set(made["segmentation_val"].values()) == {None}


def test_record_of_a_finished_run_makes_nothing(done: Path, trained: list[str]) -> None:
    record = recording.record(make_profile())
    assert trained == []
    assert json.dumps(record) == (done / "record.json").read_text()


def test_segmenter_does_not_depend_on_what_was_kept_before(runs: Path) -> None:
    profile = make_profile()
    with_labels_to_make = stages.segmenter(profile, "crf")
    (run_dir(profile.name) / "segmenter-crf.pt").unlink()
    assert same_weights(with_labels_to_make, stages.segmenter(profile, "crf"))


@pytest.mark.parametrize(
    "change",
    [{"test_crf": CrfParameters(iterations=3)}, {"test_scales": (0.5, 1.0)}, {"val_limit": 1}],
    ids=lambda change: next(iter(change)),
)
def test_changed_test_settings_score_the_segmenter_anew(
    change: dict, done: Path, monkeypatch
) -> None:
    scenes, profile = done / "sample-0-3-2", make_profile(data="voc")
    stages.segmentation_scores(profile, "crf", scenes)
    scored, score = [], stages.scoring.score_segmenter

    @wraps(score)
    def counted(*arguments):
        scored.append(1)
        return score(*arguments)

    monkeypatch.setattr(stages.scoring, "score_segmenter", counted)
    stages.segmentation_scores(replace(profile, **change), "crf", scenes)
    assert scored


def test_segmenter_may_have_a_backbone_of_its_own(runs: Path, monkeypatch) -> None:
    asked: list[str] = []
    build = backbones.build_backbone
    monkeypatch.setattr(
        backbones, "build_backbone", lambda name, *rest: asked.append(name) or build(name, *rest)
    )
    monkeypatch.setitem(backbones.BACKBONES, "other", tiny)
    stages.segmenter(make_profile(segmenter_backbone="other"), "crf")
    assert asked[0] == "other"  # the labels' classifier comes after it, with the profile's own
    assert set(asked[1:]) == {make_profile().backbone}


def test_deeplab_v1_has_a_dilated_fc6() -> None:
    assert get_profile("paper-vgg").backbone == "vgg16"
    name = get_profile("paper-vgg").segmenter_backbone
    assert backbones.BACKBONES[name].keywords == {"fc6_dilation": 12}


def test_unknown_loss_is_refused_at_once(runs: Path, trained: list[str]) -> None:
    with pytest.raises(ValueError, match="unknown loss 'focal'"):
        stages.segmenter(make_profile(), "focal")
    assert trained == []


def test_record_is_json_by_the_standard(finished: Path) -> None:
    record = json.loads((finished / "record.json").read_text())
    json.dumps(record, allow_nan=False)


def test_made_and_kept_scores_are_of_one_type(done: Path) -> None:
    (run_dir("tiny") / "label-scores-val.json").unlink()
    made, kept = (stages.label_scores(make_profile()) for _ in range(2))
    assert type(made["bap"]["per_class"]) is type(kept["bap"]["per_class"])


def test_checkpoints_of_a_training_that_was_killed_at_its_end_go(done: Path, trained) -> None:
    (folder,) = (done / "tiny").glob("classifier-bap-*")
    left = folder / "checkpoint-00000002-0123456789abcdef.pt"
    left.touch()
    stages.classifier(make_profile())
    assert not left.exists() and trained == []


def test_a_finished_training_is_read_from_a_disk_that_cannot_be_written(
    done: Path, trained, monkeypatch
) -> None:
    (folder,) = (done / "tiny").glob("classifier-bap-*")
    (folder / "checkpoint-00000002-0123456789abcdef.pt").touch()

    def refused(*arguments, **options) -> None:
        raise PermissionError("Read-only file system")

    for module, name in ((os, "replace"), (Path, "unlink"), (Path, "mkdir")):
        monkeypatch.setattr(module, name, refused)
    stages.classifier(make_profile())
    assert trained == []
