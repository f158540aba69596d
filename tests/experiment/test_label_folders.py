"""Folders of labels: each image's labels are those of its files as they are now."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bana.data.sample.make import make_sample
from bana.data.voc import VocDataset, read_mask
from bana.experiment import label_folders
from bana.experiment.label_folders import label_folder, manifest_path
from bana.experiment.labelling import Crew, LabelJob, LabelSettings

pytestmark = pytest.mark.usefixtures("quick")
NAME = "train_0000"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    return make_sample(tmp_path_factory.mktemp("data") / "sample", 0, train=4, val=1)


@pytest.fixture
def root(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / "voc")


@pytest.fixture
def label(root: Path, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Bring the folder of filled boxes up to date, as a part of so many; returns the failures."""

    def bring(*shard: int) -> dict[str, str]:
        data = VocDataset(root, "train")
        job = LabelJob(LabelSettings("boxes"), data, None, tmp_path / "labels")
        return label_folder(job, "key", Crew(1), shard or (1, 1))

    return bring


def wider(root: Path) -> None:
    """Move the left side of the first image's first box by three pixels."""
    left = int(VocDataset(root, "train").annotation(NAME)[0][0][0]) + 1
    path = root / "Annotations" / f"{NAME}.xml"
    path.write_text(path.read_text().replace(f"<xmin>{left}<", f"<xmin>{left + 3}<", 1))


def test_the_part_that_looked_last_knows_an_image(root: Path, tmp_path: Path, label) -> None:
    xml = root / "Annotations" / f"{NAME}.xml"
    original = xml.read_text()
    label()
    made = tmp_path / "labels" / "Y_crf" / f"{NAME}.png"
    before = read_mask(made)
    wider(root)
    label(1, 2)
    assert not read_mask(made).equal(before)
    # As it was at first, which the manifest of the whole folder still says: yet not what is made.
    xml.write_text(original)
    label()
    assert read_mask(made).equal(before)


def test_a_part_watches_its_own_images_alone(root: Path, tmp_path: Path, label) -> None:
    label()
    before = (tmp_path / "labels" / "Y_crf" / f"{NAME}.png").read_bytes()
    wider(root)
    label(2, 2)
    assert (tmp_path / "labels" / "Y_crf" / f"{NAME}.png").read_bytes() == before
    label(1, 2)
    assert (tmp_path / "labels" / "Y_crf" / f"{NAME}.png").read_bytes() != before


def test_a_failure_is_forgotten_with_its_image(root: Path, tmp_path: Path, label) -> None:
    photograph = root / "JPEGImages" / f"{NAME}.jpg"
    photograph.write_bytes(photograph.read_bytes()[:500])
    with pytest.warns(UserWarning, match="1 images have no labels"):
        assert list(label()) == [NAME]
    listed = root / "ImageSets" / "Segmentation" / "train.txt"
    listed.write_text(listed.read_text().replace(NAME, ""))
    assert label() == {}
    assert json.loads(manifest_path(tmp_path / "labels").read_text())["failures"] == {}


def test_labels_without_a_record_are_made_anew(root: Path, tmp_path: Path, label) -> None:
    label()
    path = manifest_path(tmp_path / "labels")
    manifest = json.loads(path.read_text())
    del manifest["images"][NAME]
    path.write_text(json.dumps(manifest))
    made = tmp_path / "labels" / "Y_crf" / f"{NAME}.png"
    shutil.copy(made.with_stem("train_0001"), made)
    label()
    data = VocDataset(root, "train")
    boxes, classes = data.annotation(NAME)
    assert set(read_mask(made).unique().tolist()) == {0, *classes.tolist()}


def test_finished_labels_are_read_from_a_disk_that_cannot_be_written(
    tmp_path: Path, label, monkeypatch
) -> None:
    label()

    def refused(*arguments, **options) -> None:
        raise PermissionError("Read-only file system")

    monkeypatch.setattr(label_folders, "write_json", refused)
    assert label() == {}


def test_parts_are_in_order_whatever_the_clock_says(root: Path, tmp_path: Path, label) -> None:
    xml = root / "Annotations" / f"{NAME}.xml"
    original, about = xml.read_text(), xml.stat()
    label()
    made = tmp_path / "labels" / "Y_crf" / f"{NAME}.png"
    before = read_mask(made)
    wider(root)
    label(1, 2)
    # As if the part had been written before the whole.
    os.utime(manifest_path(tmp_path / "labels", (1, 2)), (0, 0))
    xml.write_text(original)
    os.utime(xml, ns=(about.st_atime_ns, about.st_mtime_ns))
    label()
    assert read_mask(made).equal(before)


def test_what_a_killed_run_left_goes(root: Path, tmp_path: Path, label) -> None:
    label()
    left = [tmp_path / "labels" / f".manifest.json.{2**22 + 1}.tmp"]
    left.append(tmp_path / "labels" / "Y_crf" / f".{NAME}.png.77.tmp")
    for path in left:
        path.touch()
    label(1, 2)
    assert left[1].exists(), "another part may be writing it"
    label()
    assert not any(path.exists() for path in left)


def test_other_settings_empty_the_folder_and_leave_it_itself(tmp_path: Path, label) -> None:
    label()
    folder = tmp_path / "labels"
    number = folder.stat().st_ino
    label_folders.open_manifest(folder, "another key", {})
    assert folder.stat().st_ino == number, "who waits for it waits for this one"
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]


def test_a_label_that_a_power_cut_emptied_is_made_anew(tmp_path: Path, label) -> None:
    label()
    made = tmp_path / "labels" / "Y_crf" / f"{NAME}.png"
    before = made.read_bytes()
    made.write_bytes(b"")
    label()
    assert made.read_bytes() == before
