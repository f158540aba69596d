"""The regime card of a profile: of the files that are there, kept, made anew when they change."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from tiny import be_quick, make_profile

from bana.crf.dense import CrfParameters
from bana.data.voc import VocDataset, read_mask, write_mask
from bana.evaluation.regime import RegimeImage, calibration, regime
from bana.experiment import stages
from bana.experiment.labelling import VARIANTS
from bana.experiment.profiles import Profile
from bana.experiment.regime import regime as computed
from bana.experiment.regime import regime_card, sigma_card
from bana.experiment.tables import regime_lines
from bana.files.paths import run_dir
from bana.training.segmentation import confidence_of

PROFILE = make_profile(image_scale=1.5, name="card")


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of this module alone, with labels of random classes for all images."""
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        patch.setenv("BANA_RUNS", str(tmp_path_factory.mktemp("runs")))
        generator = torch.Generator().manual_seed(0)
        for split in ("train", "val"):
            for variant in VARIANTS:
                folder = stages.labels(PROFILE, split, variant)
                for path in sorted(folder.glob("*/*.png")):
                    drawn = torch.randint(3, read_mask(path).shape, generator=generator).byte()
                    write_mask(path, drawn)
        yield


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is computed, by name."""
    done: list[str] = []
    for name in ("regime", "calibration"):
        original = getattr(computed, name)

        def watched(*arguments, name: str = name, original=original):
            done.append(name)
            return original(*arguments)

        watched.__module__ = original.__module__
        monkeypatch.setattr(computed, name, watched)
    return done


def images_of(split: str) -> list[RegimeImage]:
    data = stages.dataset(PROFILE, split)
    result = []
    for name in data.ids:
        labels = {
            variant: read_mask(stages.labels(PROFILE, split, variant) / "Y_crf" / f"{name}.png")
            for variant in VARIANTS
        }
        folder = stages.labels(PROFILE, split, "bap")
        labels["bap-ret"] = read_mask(folder / "Y_ret" / f"{name}.png")
        result.append(RegimeImage(labels, data.mask(name), *data.annotation(name)))
    return result


@pytest.mark.parametrize("split", ["val", "train"])
def test_card_is_of_the_label_files_of_the_split(split: str) -> None:
    expected = regime(images_of(split), len(stages.dataset(PROFILE, split).classes))
    assert regime_card(PROFILE, split) == expected
    agreed = {"agreement-dropped", "agreement-wrong"}
    assert set(expected["miou"]) == {*VARIANTS, "bap-ret", *agreed}
    assert len(expected["differences"]) == 6


def test_card_is_kept_and_made_anew_when_a_mask_changes(made: list[str]) -> None:
    before = regime_card(PROFILE, "val")
    made.clear()
    assert regime_card(PROFILE, "val") == before and made == []
    assert regime_card(replace(PROFILE, label_workers=1), "val") == before and made == []
    data = stages.dataset(PROFILE, "val")
    path, mask = data.mask_path(data.ids[0]), data.mask(data.ids[0])
    write_mask(path, torch.zeros_like(mask))
    try:
        assert regime_card(PROFILE, "val") != before and made == ["regime"]
    finally:
        write_mask(path, mask)


@pytest.mark.parametrize(
    "change", [{"label_crf": CrfParameters(iterations=2)}, {"box_inside": 0.8}], ids=list
)
def test_card_is_made_anew_with_labels(change: dict, made: list[str]) -> None:
    other = make_profile(name="other", image_scale=1.5)
    regime_card(other, "val")
    made.clear()
    regime_card(replace(other, **change), "val")
    assert made == ["regime"]


def sigma_by_hand(profile: Profile, data: VocDataset, image_scale: float) -> list[tuple]:
    """Maps of all images: sigma, Y_crf, Y_ret, mask."""
    model, folder = stages.segmenter(profile, "nal"), stages.labels(profile, "train", "bap")
    judged = []
    for number, name in enumerate(data.ids):
        y_crf, y_ret = (read_mask(folder / kind / f"{name}.png") for kind in ("Y_crf", "Y_ret"))
        image = data[number]["image"].as_subclass(torch.Tensor)
        larger = [round(image_scale * side) for side in image.shape[1:]]
        image = torch.nn.functional.interpolate(
            image[None].float() / 255, size=larger, mode="bilinear", antialias=True
        ).clamp(0, 1)
        sigma = confidence_of(model, image, y_crf[None])[0]
        judged.append((sigma, y_crf, y_ret, data.mask(name)))
    return judged


def test_sigma_is_that_of_the_segmenter_on_its_training_images(made: list[str]) -> None:
    data = stages.dataset(PROFILE, "train")
    card = sigma_card(PROFILE)
    assert made == ["calibration"]
    judged, other = (sigma_by_hand(PROFILE, data, scale) for scale in (1.5, 1.0))
    expected = calibration(judged)
    assert card["images"] == len(data) == 3
    assert card["pixels"] == expected["pixels"] > 0

    def far(one: dict, two: dict) -> float:
        return abs(one["auc"]["value"] - two["auc"]["value"])

    assert far(card, expected) < 0.1 * far(calibration(other), expected)
    made.clear()
    assert sigma_card(PROFILE) == card and made == []
    path = run_dir(PROFILE.name) / "regime-sigma.json"
    assert json.loads(path.read_text())["result"] == card


def test_images_with_true_masks_are_not_asked_for_sigma() -> None:
    profile = make_profile(name="semi", strong_split="strong", losses=("nal",))
    root = stages.data_root(profile)
    names = stages.dataset(profile, "train").ids
    (root / "ImageSets" / "Segmentation" / "strong.txt").write_text(names[0])
    assert sigma_card(profile)["images"] == len(names) - 1


def test_lines_show_every_number_and_nothing_where_there_is_none() -> None:
    card = regime_card(PROFILE, "val")
    record = {"split": "val", "regime": card, "sigma": sigma_card(PROFILE)}
    text = regime_lines(record)
    for made in [*card["miou"].values(), *card["inside"]["object"].values()]:
        if isinstance(made, dict):
            assert f"{made['value']:.1f} [{made['low']:.1f}, {made['high']:.1f}]" in text
    assert all(f"{d['mean']:+.1f} [" in text for d in card["differences"])
    assert "AUC (chance: 50)" in text and "sigma 0.9-1.0" in text
    empty = [image._replace(mask=torch.full_like(image.mask, 255)) for image in images_of("val")]
    text = regime_lines({"split": "val", "regime": regime(empty, 9), "sigma": None})
    assert "filled to" not in text and "sigma" not in text and "nan" not in text
    assert "~S that is an error           -" in text
