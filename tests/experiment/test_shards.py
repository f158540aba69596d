"""Parts of a folder of labels: which are finished, and the manifest that is put together."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bana.data.sample.make import make_sample
from bana.data.voc import VocDataset
from bana.experiment import stages
from bana.experiment.label_folders import label_folder, manifest_path
from bana.experiment.labelling import Crew, LabelJob, LabelSettings
from bana.experiment.profiles import get_profile
from bana.experiment.shards import Shards, merge, shards_of, to_do, unfinished_parts
from bana.files.paths import runs_root

SETTINGS = LabelSettings("boxes")


@pytest.fixture
def data(tmp_path: Path) -> VocDataset:
    return VocDataset(make_sample(tmp_path / "voc", 0, train=5, val=1), "train")


@pytest.fixture
def shards(data: VocDataset, tmp_path: Path) -> Shards:
    """Two parts, of three images and of two."""
    names = (tuple(data.ids[::2]), tuple(data.ids[1::2]))
    return Shards(data, tmp_path / "labels", "key", names, tuple(data.ids))


@pytest.fixture
def label(shards: Shards) -> Callable[..., dict[str, str]]:
    """Makes the k-th of two parts, or all with one process."""

    def make(*shard: int) -> dict[str, str]:
        job = LabelJob(SETTINGS, shards.data, None, shards.folder)
        return label_folder(job, "key", Crew(1), shard or (1, 1))

    return make


def manifests(shards: Shards) -> list[str]:
    return sorted(path.name for path in shards.folder.glob("manifest*"))


def test_all_is_to_do_where_nothing_is(shards: Shards) -> None:
    assert to_do(shards) == dict(enumerate(shards.names, start=1))


def test_what_a_part_has_done_is_not_to_do(shards: Shards, label) -> None:
    label(2, 2)
    assert to_do(shards) == {1: shards.names[0]}
    (shards.folder / "Y_crf" / f"{shards.names[1][0]}.png").unlink()
    assert to_do(shards)[2] == shards.names[1][:1]


def edit(photograph: Path) -> None:
    photograph.write_bytes(photograph.read_bytes() + b" ")


def test_an_image_that_is_not_what_it_was_is_to_do(shards: Shards, label) -> None:
    label()
    assert to_do(shards) == {}
    edit(shards.data.image_path(shards.names[1][1]))
    assert to_do(shards) == {2: shards.names[1][1:]}


def test_the_last_who_looked_is_believed(shards: Shards, label) -> None:
    label()
    edit(shards.data.image_path(shards.names[0][0]))
    label(1, 2)
    assert to_do(shards) == {}, "the part knows the image, though the whole says otherwise"


def test_parts_are_merged_into_what_one_process_writes(shards: Shards, label) -> None:
    for part in (2, 1):
        label(part, 2)
    seconds = [json.loads((shards.folder / n).read_text())["seconds"] for n in manifests(shards)]
    assert merge(shards) == {}
    assert manifests(shards) == ["manifest.json"]
    merged = json.loads(manifest_path(shards.folder).read_text())
    assert merged["seconds"] == pytest.approx(sum(seconds))
    manifest_path(shards.folder).unlink()
    for path in shards.folder.glob("*/*.png"):
        path.unlink()
    label()
    alone = json.loads(manifest_path(shards.folder).read_text())
    # As text: the order counts, too.
    assert json.dumps(merged | {"seconds": 0}) == json.dumps(alone | {"seconds": 0})


def test_a_merged_folder_is_finished_for_one_process(shards: Shards, label) -> None:
    for part in (1, 2):
        label(part, 2)
    merge(shards)
    before = manifest_path(shards.folder).read_bytes()
    assert label() == {} and manifest_path(shards.folder).read_bytes() == before


def test_what_is_not_finished_is_not_merged(shards: Shards, label) -> None:
    label(1, 2)
    label(2, 2)
    (shards.folder / "Y_crf" / f"{shards.names[1][0]}.png").unlink()
    before = manifests(shards)
    with pytest.raises(ValueError, match="shard 2 is not finished"):
        merge(shards)
    assert manifests(shards) == before


def test_an_unreadable_image_is_finished_and_still_to_do(shards: Shards, label) -> None:
    name = shards.names[0][0]
    photograph = shards.data.image_path(name)
    whole = photograph.read_bytes()
    photograph.write_bytes(whole[:500])
    with pytest.warns(UserWarning, match="1 images have no labels"):
        label(1, 2)
    label(2, 2)
    assert to_do(shards) == {1: (name,)} and unfinished_parts(shards) == {}
    assert list(merge(shards)) == [name]
    photograph.write_bytes(whole)
    label(1, 2)
    assert merge(shards) == {} and to_do(shards) == {}


@pytest.mark.parametrize("left", ["manifest", "labels"])
def test_labels_of_another_kind_are_refused(shards: Shards, label, left: str) -> None:
    label()
    if left == "labels":
        manifest_path(shards.folder).unlink()
        other = shards
    else:
        other = replace(shards, key="another")
    with pytest.raises(ValueError, match="labels of other settings: remove it first"):
        to_do(other)


def test_parts_are_those_that_labelling_makes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    profile = get_profile("smoke")
    shards = shards_of(profile, "train", "boxes", None, batch=2, parts=2)
    for part in (1, 2):
        assert to_do(shards)[part] == shards.names[part - 1]
        crew = Crew(1, batch=2)
        folder = stages.labels(profile, "train", "boxes", crew=crew, shard=(part, 2))
        assert folder == shards.folder and runs_root() in folder.parents
        assert part not in to_do(shards)
