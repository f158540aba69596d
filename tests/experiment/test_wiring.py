"""Every setting of a profile: its change makes the right results anew, and arrives where it says.

One row a field. "Anew" is what the change makes again of a finished run, by the first stage at
which it counts; "arrives" is what the package's functions are handed after the change, watched
where they are called. `EXEMPT` are the fields that change no result, with the reason.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import make_profile, tiny

from bana.crf.dense import CrfParameters
from bana.experiment import classifying, label_folders, labelling, segmenting, stages
from bana.experiment.exhibits.sources import settings_that_count
from bana.experiment.keeping import key_of
from bana.experiment.profiles import PROFILES, Profile
from bana.labels import UnaryOptions
from bana.networks import backbones
from bana.training.optimisation import Optimisation
from bana.training.segmentation import LOSSES, WEIGHTS

# An image scale of 1 would hide a scale that never arrives.
BASE = make_profile(image_scale=1.5, crop_scale=(0.5, 1.5), train_limit=3, val_limit=2)
FEW = Optimisation(iterations=3, batch=1, learning_rate=2e-2, head_factor=3.0, weight_decay=1e-3)

EXEMPT = {
    "name": "where results lie",
    "losses": "which segmenters a record has; each has a key with its own loss",
    "loader_workers": "crops are the same whoever prepares them",
    "label_workers": "labels are the same whoever makes them",
    "train_workers": "networks differ in rounding alone, as between machines",
    "classifier_home": "where results lie",
    "labels_home": "where results lie",
}


@dataclass(frozen=True)
class Row:
    """A changed value, and the first stages whose keys must change with it."""

    value: Any
    changes: frozenset[str]
    data: bool = False  # the change shows in the data set alone


ALL = frozenset({"classifier", "labels", "segmenter", "test"})
STAGE_3 = frozenset({"segmenter"})
ROWS = {
    "data": Row("voc", frozenset(), data=True),
    "train_limit": Row(2, ALL - {"test"}, data=True),
    "val_limit": Row(1, frozenset(), data=True),
    "train_splits": Row(("val",), ALL - {"test"}, data=True),
    "classifier": Row(FEW, frozenset({"classifier", "labels", "segmenter"})),
    "segmentation": Row(FEW, STAGE_3),
    "seed": Row(1, frozenset({"classifier", "labels", "segmenter"})),
    "backbone": Row("other", frozenset({"classifier", "labels", "segmenter"})),
    "output_stride": Row(8, frozenset({"classifier", "labels", "segmenter"})),
    "frozen_stages": Row(1, frozenset({"classifier", "labels", "segmenter"})),
    "frozen_statistics": Row(False, frozenset({"classifier", "labels", "segmenter"})),
    "segmenter_backbone": Row("other", STAGE_3),
    "from_classifier": Row(True, STAGE_3),
    "neck": Row("aspp", STAGE_3),
    "weights": Row("weights.pth", frozenset({"classifier", "labels", "segmenter"})),
    "strong_split": Row("trainval", STAGE_3),
    "image_scale": Row(1.25, ALL),
    "crop": Row(81, frozenset({"classifier", "labels", "segmenter"})),
    "crop_scale": Row((0.9, 1.1), frozenset({"classifier", "labels", "segmenter"})),
    "classifier_drop": Row(0.3, frozenset({"classifier", "labels", "segmenter"})),
    "grid_size": Row(2, frozenset({"classifier", "labels", "segmenter"})),
    "parts": Row(1, frozenset({"classifier", "labels", "segmenter"})),
    "gamma": Row(3.0, STAGE_3),
    "lam": Row(0.5, STAGE_3),
    "unary": Row(UnaryOptions(background_threshold=0.5), frozenset({"labels", "segmenter"})),
    "label_crf": Row(
        CrfParameters(iterations=2), frozenset({"labels", "segmenter", "refined boxes"})
    ),
    "box_inside": Row(0.7, frozenset({"refined boxes"})),
    "test_crf": Row(CrfParameters(iterations=2), frozenset({"test"})),
    "snapshots": Row((0.5,), STAGE_3),
    "test_scales": Row((0.5, 1.0), frozenset({"test"})),
}


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "other"):
        monkeypatch.setitem(backbones.BACKBONES, name, tiny)
    torch.save({}, tmp_path / "weights.pth")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Iterator[Path]:
    """The drawn scenes as a folder, so that a change of the seed changes nothing but the seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(tmp_path_factory.mktemp("scenes")))
        yield stages.data_root(BASE)


def keys(profile: Profile, root: Path) -> dict[str, str]:
    """Keys of the classifier, of labels, of the segmenter's settings, and of what tests it.

    "labels" are those of BAP, "refined boxes" those that no classifier has a part in.
    """
    data = stages.dataset(profile, "train", root)
    made = classifying.classifier_key(stages.classifier_settings(profile, "bap"), data)
    labels = stages.labels_key(profile, "bap", root)
    refined = stages.labels_key(profile, "boxes-crf", root)
    segmenter = key_of(
        segmenting.trained_segmenter, stages.segmenter_settings(profile, "nal", root), labels
    )
    test = key_of(
        stages.scoring.score_segmenter, profile.test_crf, profile.image_scale, profile.test_scales
    )
    labels_of = {"labels": labels, "refined boxes": refined}
    return {"classifier": made, **labels_of, "segmenter": segmenter, "test": test}


def changed(name: str) -> Profile:
    return replace(BASE, **{name: ROWS[name].value})


def test_every_field_has_its_row() -> None:
    names = {field.name for field in fields(Profile)}
    assert names == set(ROWS) | set(EXEMPT)
    assert not set(ROWS) & set(EXEMPT)
    for name, row in ROWS.items():
        assert getattr(BASE, name) != row.value, name


@pytest.mark.parametrize("name", ROWS)
def test_a_changed_field_changes_the_keys_it_should(name: str, scenes: Path) -> None:
    base = replace(BASE, data="voc")
    before = keys(base, scenes)
    profile = changed(name) if name == "data" else replace(base, **{name: ROWS[name].value})
    after = keys(profile, scenes)
    assert {stage for stage in before if before[stage] != after[stage]} == ROWS[name].changes


OTHER = {"name": "other", "losses": ("ret",), "loader_workers": 3, "label_workers": 5}
OTHER |= {"train_workers": 2, "classifier_home": "other", "labels_home": "other"}


@pytest.mark.parametrize("name", EXEMPT)
def test_an_exempt_field_changes_no_key(name: str, scenes: Path) -> None:
    base = replace(BASE, data="voc")
    assert keys(replace(base, **{name: OTHER[name]}), scenes) == keys(base, scenes)


@pytest.mark.parametrize("name", EXEMPT)
def test_an_exempt_field_computes_no_exhibit_anew(name: str) -> None:
    # Under another name exhibits lie elsewhere and say so; which losses there are they may show.
    counts = name in ("name", "losses")
    changed = settings_that_count(replace(BASE, **{name: OTHER[name]}))
    assert (changed != settings_that_count(BASE)) == counts


class Watch:
    """Remembers how functions of the package are called, by name; they do their work as before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: dict[str, list[tuple[tuple, dict]]] = {}
        self._patch = monkeypatch

    def of(self, module: Any, name: str, instead: Callable[..., Any] | None = None) -> None:
        """Watch a function where a module has it; ``instead`` does its work in its place."""
        original = getattr(module, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            self.calls.setdefault(name, []).append((arguments, named))
            return (instead or original)(*arguments, **named)

        watched.__module__ = original.__module__
        self._patch.setattr(module, name, watched)

    def first(self, name: str) -> tuple:
        return self.calls[name][0][0]


@pytest.fixture
def seen(monkeypatch) -> Watch:
    """Everything that a setting can reach, watched; labels are made in this process."""
    from bana.data import transforms
    from bana.evaluation import prediction, scoring
    from bana.experiment import trained
    from bana.networks import segmenter as networks

    watch = Watch(monkeypatch)
    watch.of(classifying, "train_classifier")
    watch.of(segmenting, "train_segmenter")
    watch.of(label_folders, "make_label_files", labelling.make_label_files)
    watch.of(labelling, "pseudo_labels")
    watch.of(labelling, "refined_boxes")
    watch.of(labelling, "eval_image")
    watch.of(segmenting, "eval_image")
    watch.of(segmenting, "build_neck")
    watch.of(trained, "training_transform")
    watch.of(trained, "draw_order")
    watch.of(trained, "Crops")
    watch.of(backbones, "build_backbone")
    watch.of(prediction, "predict")
    watch.of(prediction, "dense_crf")
    watch.of(scoring, "label_maps")
    assert transforms and networks
    return watch


def test_training_settings_arrive(seen: Watch) -> None:
    profile = replace(
        BASE,
        classifier=FEW,
        segmentation=replace(FEW, iterations=4),
        classifier_drop=0.3,
        grid_size=3,
        parts=1,
        crop=81,
        crop_scale=(0.9, 1.1),
        image_scale=1.25,
        seed=3,
        neck="aspp",
        segmenter_backbone="other",
        output_stride=8,
        frozen_stages=1,
        frozen_statistics=False,
        loader_workers=0,
        train_limit=2,
        strong_split="train",
    )
    stages.segmenter(profile, "crf")
    model, _, optimisation, drop, _ = seen.first("train_classifier")
    assert (optimisation, drop, model.pooling) == (FEW, 0.3, "bap")
    assert (model.grid_size, model.parts) == (3, 1)
    assert seen.first("train_segmenter")[2:4] == (replace(FEW, iterations=4), "crf")
    assert seen.first("build_neck")[0] == "aspp"
    for arguments, named in seen.calls["training_transform"]:
        assert (arguments, named) == ((81, (0.9, 1.1)), {"image_scale": 1.25})
    # The segmenter's loader is made after the classifier's: 2 images, iterations x batch, seed.
    assert [words for words, _ in seen.calls["draw_order"]] == [(2, 3, 3), (2, 4, 3)]
    seeds = [words[2] for words, _ in seen.calls["Crops"]]
    assert seeds == [3, 3]
    assert seen.calls["Crops"][-1][0][4] == frozenset(stages.dataset(profile, "train").ids)
    built = [words for words, _ in seen.calls["build_backbone"]]
    assert {words[0] for words in built} == {"other", "tiny"}
    assert built[0] == ("other", 8, 1, None, False)


def test_label_settings_arrive(seen: Watch) -> None:
    unary, crf = UnaryOptions(background_threshold=0.5), CrfParameters(iterations=2)
    profile = replace(BASE, unary=unary, label_crf=crf, image_scale=1.25, val_limit=1)
    for variant in ("gap", "bap-no-u0", "bap"):
        stages.labels(profile, "val", variant)
    poolings = [words[0].pooling for words, _ in seen.calls["train_classifier"]]
    assert poolings == ["gap", "bap"], "labels without u_0 are BAP's"
    for (words, _), background in zip(
        seen.calls["pseudo_labels"], ("none", "none", "attention"), strict=True
    ):
        assert words[5:8] == (replace(unary, background=background), crf, 16 / 1.25)
    assert {words[1] for words, _ in seen.calls["eval_image"]} == {1.25}


def test_settings_of_refined_boxes_arrive(seen: Watch) -> None:
    crf = CrfParameters(iterations=2)
    stages.labels(replace(BASE, label_crf=crf, box_inside=0.7, val_limit=1), "val", "boxes-crf")
    assert seen.first("refined_boxes")[3:] == (crf, 0.7)
    assert "train_classifier" not in seen.calls


def test_labels_are_made_by_their_own_classifier(seen: Watch) -> None:
    profile = replace(BASE, val_limit=1)
    networks = {pooling: stages.classifier(profile, pooling) for pooling in ("gap", "bap")}
    for variant, pooling in (("gap", "gap"), ("bap-no-u0", "bap"), ("bap", "bap")):
        seen.calls.pop("pseudo_labels", None)
        stages.labels(profile, "val", variant)
        assert torch.equal(seen.first("pseudo_labels")[1], networks[pooling].weight)


@pytest.mark.parametrize("loss", sorted(WEIGHTS))
def test_gamma_and_lambda_arrive_at_the_losses_that_have_them(loss: str, monkeypatch) -> None:
    given, real = [], LOSSES[loss]

    def watched(*arguments: Any, **named: float) -> torch.Tensor:
        given.append(named)
        return real(*arguments, **named)

    monkeypatch.setitem(LOSSES, loss, watched)
    stages.segmenter(replace(BASE, gamma=3.0, lam=0.5), loss)
    expected = {"gamma": 3.0, "lam": 0.5} if "gamma" in WEIGHTS[loss] else {"lam": 0.5}
    assert given and all(named == expected for named in given)


def test_gamma_changes_nothing_of_losses_without_it(scenes: Path) -> None:
    base = replace(BASE, data="voc")
    for loss in LOSSES.keys() - WEIGHTS.keys():
        other = stages.segmenter_settings(replace(base, gamma=3.0, lam=0.5), loss, scenes)
        assert other == stages.segmenter_settings(base, loss, scenes)


def test_sigma_is_watched_under_the_profiles_gamma(seen: Watch) -> None:
    seen.of(segmenting, "confidence_of")
    stages.segmenter(replace(BASE, gamma=3.0, snapshots=(1.0,)), "nal")
    assert {words[3] for words, _ in seen.calls["confidence_of"]} == {3.0}


def test_confidence_is_watched_at_the_right_scale_and_times(seen: Watch) -> None:
    profile = replace(BASE, image_scale=1.25, snapshots=(0.5,), segmentation=FEW)
    stages.labels(profile, "train")
    seen.calls.pop("eval_image")
    model = stages.segmenter(profile, "nal")
    assert list(model.confidence) == [round(0.5 * FEW.iterations)]
    assert {words[1] for words, _ in seen.calls["eval_image"]} == {1.25}


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0)])
def test_test_settings_arrive(scales: tuple[float, ...], seen: Watch) -> None:
    crf = CrfParameters(iterations=2)
    profile = replace(BASE, test_crf=crf, test_scales=scales, image_scale=1.25, val_limit=1)
    rows = stages.segmentation_scores(profile, "crf")
    views = [words[2:] for words, _ in seen.calls["predict"]]
    single, multi = (1.25, (1.0,), False), (1.25, scales, True)
    assert views == ([single] if len(scales) == 1 else [single, multi])
    assert {words[2] for words, _ in seen.calls["dense_crf"]} == {crf}
    assert set(rows) == {"single", "single-crf"} | (
        set() if len(scales) == 1 else {"multi", "multi-crf"}
    )
    assert len(seen.first("label_maps")) >= 5


def test_the_sample_is_drawn_from_the_profiles_seed_and_limits() -> None:
    pictures = []
    for profile in (BASE, replace(BASE, seed=1), replace(BASE, train_limit=2, val_limit=1)):
        sizes = {split: len(stages.dataset(profile, split)) for split in ("train", "val")}
        assert sizes == {"train": profile.train_limit, "val": profile.val_limit}
        pictures.append(stages.dataset(profile, "train")[0]["image"])
    assert not torch.equal(pictures[0], pictures[1])
    assert torch.equal(pictures[0], pictures[2])


def test_restart_trains_the_segmenter_alone(seen: Watch) -> None:
    from bana.training.machine import Machine

    machine = Machine(accelerator="cpu", restart=True)
    stages.segmenter(BASE, "crf")
    stages.segmenter(BASE, "crf", machine=machine)
    assert len(seen.calls["train_segmenter"]) == 2
    assert len(seen.calls["train_classifier"]) == 1
    stages.classifier(BASE, machine=machine)
    assert len(seen.calls["train_classifier"]) == 2


def test_labels_are_of_the_split_that_is_named(seen: Watch) -> None:
    folders = {split: stages.labels(BASE, split, "boxes") for split in ("train", "val")}
    for split, folder in folders.items():
        made = {path.stem for path in (folder / "Y_crf").iterdir()}
        assert made == set(stages.dataset(BASE, split).ids)


def test_the_segmenter_learns_from_labels_of_bap(seen: Watch) -> None:
    stages.segmenter(BASE, "nal")
    folder = stages.labels(BASE, "train", "bap")
    given = seen.calls["Crops"][-1][0][3]
    assert given == {"y_crf": folder / "Y_crf", "y_ret": folder / "Y_ret"}


def test_profiles_of_the_package_differ_where_their_names_say() -> None:
    for name, profile in PROFILES.items():
        assert profile.name == name
    assert PROFILES["smoke"].image_scale == 1.0 != PROFILES["sample"].image_scale
