"""Edited data: what depends on a box, a class, a mask or a photograph is made anew, no more."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import make_profile

from bana.data.voc import VocDataset, read_mask, write_mask
from bana.experiment import classifying, label_folders, recording, segmenting, stages
from bana.experiment.labelling import VARIANTS
from bana.experiment.profiles import Profile
from bana.files.paths import run_dir

pytestmark = pytest.mark.usefixtures("quick")
PROFILE = make_profile(data="voc", losses=("crf",))
ALL = {"label scores", "AP", "network scores"}


def make_everything(profile: Profile, root: Path) -> None:
    recording.record(profile, root)
    stages.labels(profile, "train", "boxes", root)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, quick) -> Path:
    """Folder of data and runs in which everything has been made; not to be changed."""
    root = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(root / "runs"))
        drawn = stages.data_root(make_profile()).rename(root / "voc")
        make_everything(PROFILE, drawn)
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch) -> Path:
    """A copy of the data, and of all that was made from it."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "copy" / "runs"))
    return tmp_path / "copy" / "voc"


@pytest.fixture
def happened(monkeypatch) -> list[str]:
    """What is trained, labelled and scored during a test."""
    done: list[str] = []

    def watch(module, name: str, describe: Callable[..., str]) -> None:
        original = getattr(module, name)

        def watched(*arguments):
            done.append(describe(*arguments))
            return original(*arguments)

        watched.__module__ = original.__module__  # whose code the key looks at
        monkeypatch.setattr(module, name, watched)

    watch(classifying, "train_classifier", lambda model, *_: f"classifier {model.pooling}")
    watch(segmenting, "train_segmenter", lambda *words: f"segmenter {words[3]}")
    watch(stages.scoring, "score_label_files", lambda *_: "label scores")
    watch(stages.scoring, "score_instances", lambda *_: "AP")
    watch(stages.scoring, "score_segmenter", lambda *_: "network scores")
    watch(
        label_folders,
        "make_label_files",
        lambda job, todo, _: (
            f"{job.settings.variant} {job.data.split} "
            f"{' '.join(job.data.ids[i] for batch in todo for i in batch)}"
        ),
    )
    return done


def labelled_anew(split: str, *names: str) -> set[str]:
    return {f"{variant} {split} {' '.join(names)}" for variant in VARIANTS}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_nothing_is_made_where_nothing_was_edited(root: Path, happened: list[str]) -> None:
    make_everything(PROFILE, root)
    assert happened == []


def test_a_box_of_a_val_image(root: Path, happened: list[str]) -> None:
    data = VocDataset(root, "val", limit=2)
    name, other = data.ids
    folder = stages.labels(PROFILE, "val", "boxes", root)
    kept = folder / "Y_crf" / f"{other}.png"
    hour = kept.stat().st_mtime_ns - 3600 * 10**9
    os.utime(kept, ns=(hour, hour))
    xml = root / "Annotations" / f"{name}.xml"
    kind, corners = data.annotation(name)[1][0], data.annotation(name)[0][0]
    edit(xml, f"<xmin>{int(corners[0]) + 1}<", f"<xmin>{int(corners[0]) + 4}<")
    make_everything(PROFILE, root)
    assert set(happened) == labelled_anew("val", name) | {"label scores", "AP"}
    boxes, classes = data.annotation(name)
    assert boxes[0][0] == corners[0] + 3 and classes[0] == kind
    columns = torch.nonzero(read_mask(folder / "Y_crf" / f"{name}.png").any(0))
    assert int(columns.min()) >= int(boxes[:, 0].min())
    assert kept.stat().st_mtime_ns == hour, "the other image's labels were not touched"
    happened.clear()
    make_everything(PROFILE, root)
    assert happened == []


def test_a_box_of_a_training_image(root: Path, happened: list[str]) -> None:
    name = VocDataset(root, "train").ids[0]
    boxes, _ = VocDataset(root, "train").annotation(name)
    left = int(boxes[0][0]) + 1
    edit(root / "Annotations" / f"{name}.xml", f"<xmin>{left}<", f"<xmin>{left + 3}<")
    make_everything(PROFILE, root)
    trained = {"classifier bap", "classifier gap", "segmenter crf"}
    assert trained | {"label scores", "AP"} <= set(happened)
    boxes_alone = [words for words in happened if words.startswith("boxes ")]
    assert boxes_alone == [f"boxes train {name}"], "filled boxes need no classifier"


def test_a_mask_of_a_val_image(root: Path, happened: list[str]) -> None:
    data = VocDataset(root, "val", limit=2)
    before = stages.label_scores(PROFILE, "val", root)["boxes"]["miou"]
    folder = stages.labels(PROFILE, "val", "boxes", root)
    for name in data.ids:
        write_mask(data.mask_path(name), read_mask(folder / "Y_crf" / f"{name}.png"))
    assert stages.label_scores(PROFILE, "val", root)["boxes"]["miou"] == pytest.approx(100)
    assert before < 90
    make_everything(PROFILE, root)
    assert set(happened) == ALL


def test_a_mask_of_a_training_image_is_nobodys_business(root: Path, happened: list[str]) -> None:
    data = VocDataset(root, "train")
    write_mask(data.mask_path(data.ids[0]), torch.zeros_like(data.mask(data.ids[0])))
    make_everything(PROFILE, root)
    assert happened == []


def test_a_mask_of_an_object(root: Path, happened: list[str]) -> None:
    data = VocDataset(root, "val")
    path = data.object_path(data.ids[0])
    numbers = read_mask(path)
    numbers[numbers == 1] = 200
    write_mask(path, numbers)
    make_everything(PROFILE, root)
    assert happened == ["AP"]


def test_a_photograph(root: Path, happened: list[str]) -> None:
    data = VocDataset(root, "val")
    path = data.image_path(data.ids[1])
    path.write_bytes(data.image_path(data.ids[0]).read_bytes())
    make_everything(PROFILE, root)
    assert set(happened) == labelled_anew("val", data.ids[1]) | ALL


def test_the_list_of_classes(root: Path, happened: list[str]) -> None:
    path = root / "classes.txt"
    names = path.read_text(encoding="utf-8").split("\n")
    names[1], names[2] = names[2], names[1]
    path.write_text("\n".join(names), encoding="utf-8")
    make_everything(PROFILE, root)
    assert {"classifier bap", "classifier gap", "segmenter crf"} | ALL <= set(happened)
    assert labelled_anew("val", *VocDataset(root, "val").ids[:2]) <= set(happened)


def test_a_list_of_images(root: Path, happened: list[str]) -> None:
    listed = root / "ImageSets" / "Segmentation" / "val.txt"
    listed.write_text("\n".join(listed.read_text().split()[1:]), encoding="utf-8")
    make_everything(PROFILE, root)
    assert set(happened) == ALL, "fewer images to score, no label to make"


def test_the_same_relative_folder_from_elsewhere(
    root: Path, tmp_path: Path, monkeypatch, happened: list[str]
) -> None:
    monkeypatch.chdir(root.parent)
    make_everything(PROFILE, Path("voc"))
    assert happened == [], "the same data by another name"
    other = shutil.copytree(root, tmp_path / "other" / "voc")
    data = VocDataset(other, "val")
    mask = data.mask(data.ids[0])
    write_mask(data.mask_path(data.ids[0]), mask.masked_fill(mask == 0, 255))
    monkeypatch.chdir(other.parent)
    make_everything(PROFILE, Path("voc"))
    assert set(happened) == ALL


def test_copied_data_is_the_same_data(root: Path, happened: list[str]) -> None:
    other = shutil.copytree(root, root.with_name("copied"), copy_function=shutil.copyfile)
    shutil.rmtree(root)
    make_everything(PROFILE, other)
    assert happened == []


def test_a_repaired_photograph_is_scored_and_learned_from(root: Path, happened) -> None:
    profile = make_profile(data="voc", losses=("crf",), name="repaired")
    stages.classifier(profile, "bap", root)
    stages.classifier(profile, "gap", root)
    photographs = [
        VocDataset(root, s).image_path(VocDataset(root, s).ids[0]) for s in ("train", "val")
    ]
    # The file is what it was, to the nanosecond: only the ids that were used tell the difference.
    about = [path.stat() for path in photographs]
    whole = [path.read_bytes() for path in photographs]
    for path, content, when in zip(photographs, whole, about, strict=True):
        path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
        os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    with pytest.warns(UserWarning, match="1 images have no labels"):
        stages.label_scores(profile, "val", root)
        stages.segmenter(profile, "crf", root)
    kept = torch.load(run_dir(profile.name) / "segmenter-crf.pt", weights_only=True)
    assert kept["images"] == VocDataset(root, "train").ids[1:3]
    for path, content, when in zip(photographs, whole, about, strict=True):
        path.write_bytes(content)
        os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    happened.clear()
    stages.label_scores(profile, "val", root)
    stages.segmenter(profile, "crf", root)
    assert happened.count("label scores") == 1 and happened.count("segmenter crf") == 1
    happened.clear()
    stages.segmenter(profile, "crf", root)
    stages.label_scores(profile, "val", root)
    assert happened == []
