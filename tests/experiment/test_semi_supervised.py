"""True masks of some training images instead of their pseudo labels."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_jobs import job_profile, know_jobs, same

from bana.commands.main import main
from bana.data.voc import DataError, VocDataset, write_mask
from bana.experiment import segmenting, stages
from bana.experiment.profiles import Profile
from bana.experiment.trained import batches as batches_of
from bana.losses import reliable_pixels
from bana.training.engine import Engine
from bana.training.machine import Machine


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """Four scenes with labels of random classes; the first two are the split "strong"."""
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    profile = replace(job_profile(3, batch=4), strong_split="strong")
    know_jobs(monkeypatch, profile)
    root = stages.data_root(profile)
    data = VocDataset(root, "train")
    listed = root / "ImageSets" / "Segmentation" / "strong.txt"
    listed.write_text("\n".join(data.ids[:2]))
    folder = stages.labels(profile, "train", "bap")
    generator = torch.Generator().manual_seed(0)
    for kind in ("Y_crf", "Y_ret"):
        for name in data.ids:
            label = torch.randint(9, data.mask(name).shape, generator=generator).byte()
            write_mask(folder / kind / f"{name}.png", label)
    return profile


def test_every_labelled_pixel_of_a_strong_image_is_reliable(job: Profile) -> None:
    data = stages.dataset(job, "train")
    strong = stages.strong_ids(job)
    assert strong == set(data.ids[:2])
    folder = stages.labels(job, "train", "bap")
    folders = {"y_crf": folder / "Y_crf", "y_ret": folder / "Y_ret"}
    hold = Engine(Machine(accelerator="cpu"))
    batches = batches_of(
        data, stages.crop_settings(job), job.segmentation, job.seed, hold, 0, folders, strong
    )
    seen = 0
    for batch in batches:
        reliable, unreliable = reliable_pixels(batch["y_crf"], batch["y_ret"])
        for n, name in enumerate(batch["ids"]):
            known = batch["mask"][n] != 255
            if name in strong:
                assert torch.equal(batch["y_crf"][n], batch["mask"][n])
                assert torch.equal(reliable[n], known) and not unreliable[n].any()
                seen += int(known.any())
            else:
                assert unreliable[n].float().mean() > 0.3
    assert seen >= 3


def test_labels_do_not_matter_where_all_images_are_strong(job: Profile) -> None:
    full = replace(job, strong_split="train")
    crf, ret = (stages.segmenter(full, loss).state_dict() for loss in ("crf", "ret"))
    assert same(dict(crf), dict(ret))
    crf, ret = (stages.segmenter(job, loss).state_dict() for loss in ("crf", "ret"))
    assert not same(dict(crf), dict(ret))


def test_the_ceiling_learns_from_true_masks_alone(job: Profile) -> None:
    ceiling = stages.segmenter(job, "truth").state_dict()
    full = stages.segmenter(replace(job, strong_split="train"), "crf").state_dict()
    assert same(dict(ceiling), dict(full))


def test_the_ceiling_is_left_out_where_a_mask_is_missing(job: Profile) -> None:
    profile = replace(job, losses=("crf", "truth"))
    assert stages.losses_to_train(profile) == ("crf", "truth")
    data = stages.dataset(job, "train")
    data.mask_path(data.ids[-1]).unlink()
    assert stages.losses_to_train(profile) == ("crf",)
    with pytest.raises(DataError):
        stages.segmenter(profile, "truth")


def test_the_command_line_reaches_it_and_the_key_knows(job: Profile, monkeypatch) -> None:
    happened: list[frozenset[str]] = []
    make = segmenting.batches

    def batches(*arguments):
        happened.append(arguments[-1])
        return make(*arguments)

    stages.classifier(job)
    monkeypatch.setattr(segmenting, "batches", batches)
    data = stages.dataset(job, "train")
    words = ["train", "segmentation", "--profile", "job", "--accelerator", "cpu"]
    for split in ("strong", "strong", "train"):
        assert main([*words, "--strong", split]) == 0
    assert happened == [frozenset(data.ids[:2]), frozenset(data.ids)]


def test_a_strong_split_that_cannot_be_used_is_named(job: Profile) -> None:
    with pytest.raises(ValueError, match="'val' has no image of the training set"):
        stages.segmenter(replace(job, strong_split="val"))
    with pytest.raises(DataError, match="no such split"):
        stages.segmenter(replace(job, strong_split="gold"))
