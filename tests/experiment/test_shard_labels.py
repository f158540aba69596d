"""Labels of tar shards are those of the folder, whoever takes which shard and is killed when."""

import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from packed import CLASSES, contents, dying_at, write_folder
from processes import watched
from tiny import random_classifier

from bana.crf.dense import CrfParameters
from bana.data.packing import pack, unpack
from bana.data.shard_index import read_index
from bana.data.tar_shards import read_shard
from bana.data.voc import DataError, VocDataset
from bana.experiment import shard_labels
from bana.experiment.labelling import Crew, LabelJob, label_settings, make_label_files
from bana.experiment.shard_labels import Labelled, label_shards
from bana.files.unfinished import NotWritten
from bana.labels import UnaryOptions
from bana.networks.classifier import BoxClassifier

NAMES = ("a", "b.c", "d/e", "f", "g", "h", "i", "j", "k")
SHARDS = [f"train-00000{number}.tar" for number in range(3)]


@pytest.fixture(autouse=True)
def over_in_time() -> Iterator[None]:
    with watched():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("data") / "voc", NAMES)


@pytest.fixture(scope="module")
def source(root: Path, tmp_path_factory) -> Path:
    """Three shards of three images."""
    out = tmp_path_factory.mktemp("shards")
    pack(root, "train", out, images=3)
    return out


@pytest.fixture(scope="module")
def model() -> BoxClassifier:
    return random_classifier(len(CLASSES) - 1)


def settings_of(variant: str = "bap"):
    return label_settings(variant, UnaryOptions(), CrfParameters(iterations=2), 0.9, 1.0)


@pytest.fixture
def label(source: Path, model: BoxClassifier, tmp_path: Path) -> Callable[..., Labelled]:
    """Labels the shards in a folder, as the k-th of n parts or all."""

    def make(out: str = "labels", *part: int, **more) -> Labelled:
        given = {"source": source, "settings": settings_of(), "learned": "key", "crew": Crew(1)}
        given |= {"make_model": lambda: model, **more}
        return label_shards(out=tmp_path / out, part=part or (1, 1), **given)

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of labels that are no maps, where it matters only whose they are."""

    def maps(job, item, features) -> dict[str, bytes]:
        held = f"{item['id']} {item['boxes'].tolist()} {features.sum():.3f}"
        return {kind: f"{kind} {held}".encode() for kind in ("y_crf.png", "y_ret.png")}

    monkeypatch.setattr(shard_labels, "_maps", maps)


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def folder_labels(root: Path, model: BoxClassifier, variant: str, folder: Path) -> dict[str, bytes]:
    """The label files that `bana label` makes of the folder."""
    job = LabelJob(settings_of(variant), VocDataset(root, "train"), model, folder)
    assert make_label_files(job, [[number] for number in range(len(NAMES))], Crew(1)) == {}
    return contents(folder)


@pytest.mark.parametrize("variant", ["bap", "gap"])
def test_labels_are_those_of_the_folder_to_the_last_bit(
    variant: str, root, model, label, tmp_path
) -> None:
    made = label(settings=settings_of(variant))
    assert made == Labelled(len(NAMES), {}, {}, True)
    unpack(tmp_path / "labels", tmp_path / "unpacked")
    expected = folder_labels(root, model, variant, tmp_path / "folder")
    assert len(expected) == 2 * len(NAMES)
    assert contents(tmp_path / "unpacked") == expected


@pytest.mark.usefixtures("quick")
def test_label_shards_go_with_the_shards_of_the_photographs(source, label, tmp_path) -> None:
    label()
    made, of = read_index(tmp_path / "labels", "labels"), read_index(source)
    assert (made.split, made.classes) == (of.split, of.classes)
    for one, other in zip(made.shards, of.shards, strict=True):
        assert (one.name, one.images) == (other.name, other.images)
        names = [s.name for s in read_shard(source, other, "photographs")]
        assert [s.name for s in read_shard(tmp_path / "labels", one, "labels")] == names


def test_parts_and_processes_make_the_same_files(label, tmp_path) -> None:
    label("one")
    assert label("parts", 2, 2) == Labelled(3, {}, {}, False)
    assert not (tmp_path / "parts" / "shards.json").exists()
    assert label("parts", 1, 2) == Labelled(6, {}, {}, True)
    assert contents(tmp_path / "parts") == contents(tmp_path / "one")
    assert label("crew", crew=Crew(2)).whole
    assert contents(tmp_path / "crew") == contents(tmp_path / "one")


@pytest.mark.usefixtures("quick")
def test_more_parts_than_shards(label) -> None:
    assert label("labels", 9, 9) == Labelled(0, {}, {}, False)
    for part in ((0, 2), (3, 2)):
        with pytest.raises(ValueError, match="no shard"):
            label("labels", *part)


def test_batches_are_of_one_shard_and_labels_in_their_order(label, tmp_path) -> None:
    label("one")
    label("batch", crew=Crew(1, batch=2))
    one, batch = (read_index(tmp_path / name, "labels") for name in ("one", "batch"))
    for shard, other in zip(one.shards, batch.shards, strict=True):
        pairs = zip(
            read_shard(tmp_path / "one", shard, "labels"),
            read_shard(tmp_path / "batch", other, "labels"),
            strict=True,
        )
        # Convolutions of this size are summed alike in any company.
        assert all(first == second for first, second in pairs)


def never() -> BoxClassifier:
    raise AssertionError("there is nothing to do")


@pytest.mark.usefixtures("quick")
def test_a_second_call_finds_everything_done(label, tmp_path) -> None:
    first = label()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "labels").iterdir()}
    assert label(make_model=never) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "labels").iterdir()} == before


@pytest.mark.usefixtures("quick")
def test_labels_that_are_not_there_any_more_are_made(label, tmp_path) -> None:
    label()
    whole = contents(tmp_path / "labels")
    for name in ("train-000001.tar", "train-000002.json", "shards.json"):
        (tmp_path / "labels" / name).unlink()
        label()
        assert contents(tmp_path / "labels") == whole
    (tmp_path / "labels/train-000000.tar").write_bytes(b"cut")
    label()
    assert contents(tmp_path / "labels") == whole


def test_a_shard_that_was_packed_anew_is_labelled_anew_and_no_other(
    root, label, model, tmp_path
) -> None:
    copy = tmp_path / "copy"
    write_folder(copy, NAMES)
    pack(copy, "train", tmp_path / "packed", images=3)
    label(source=tmp_path / "packed")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "labels").glob("*.tar")}
    xml = copy / "Annotations/f.xml"
    xml.write_text(xml.read_text().replace("<xmin>11", "<xmin>20"))
    (tmp_path / "packed/shards.json").unlink()
    pack(copy, "train", tmp_path / "packed", images=3)
    assert label(source=tmp_path / "packed").whole
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "labels").glob("*.tar")}
    assert [name for name in sorted(after) if after[name] != before[name]] == [SHARDS[1]]
    unpack(tmp_path / "labels", tmp_path / "unpacked")
    expected = folder_labels(copy, model, "bap", tmp_path / "folder")
    assert contents(tmp_path / "unpacked") == expected


@pytest.mark.usefixtures("quick")
def test_labels_of_shards_that_are_no_more_go(label, root, tmp_path) -> None:
    pack(root, "train", tmp_path / "packed", images=2)
    label(source=tmp_path / "packed")
    assert len(list((tmp_path / "labels").glob("*.tar"))) == 5
    (tmp_path / "packed/shards.json").unlink()
    pack(root, "train", tmp_path / "packed", images=6)
    label(source=tmp_path / "packed")
    left = ["labels.json", "shards.json", "train-000000.json", "train-000000.tar"]
    assert listed(tmp_path / "labels") == [*left, "train-000001.json", "train-000001.tar"]


@pytest.mark.usefixtures("quick")
def test_an_image_that_cannot_be_read_is_told_and_left_out(root, label, tmp_path) -> None:
    copy = write_folder(tmp_path / "copy", NAMES)
    (copy / "JPEGImages/g.jpg").write_bytes(b"\xff\xd8 no photograph")
    pack(copy, "train", tmp_path / "packed", images=3)
    for _ in range(2):
        made = label(source=tmp_path / "packed")
        place = tmp_path / "packed" / SHARDS[1]
        assert made == Labelled(8, {"g": f"{place}: g.jpg: not an image"}, {}, True)
    shard = read_index(tmp_path / "labels").shards[1]
    there = [s.name for s in read_shard(tmp_path / "labels", shard, "labels")]
    assert there == ["f", "h"]


def damaged(source: Path, out: Path, how: str) -> Path:
    """A copy of the shards, the second of which is damaged."""
    out.mkdir()
    for name, content in contents(source).items():
        (out / name).write_bytes(content)
    path = out / SHARDS[1]
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "changed":
        content[-11_000] ^= 1
    path.write_bytes(content)
    if how == "gone":
        path.unlink()
    return out


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_a_damaged_shard_has_no_labels_and_the_others_go_on(how, source, label, tmp_path) -> None:
    copy = damaged(source, tmp_path / "copy", how)
    made = label(source=copy)
    assert (made.images, made.failures, made.whole) == (6, {}, False)
    assert list(made.damaged) == SHARDS[1:2] and "\n" not in made.damaged[SHARDS[1]]
    assert str(copy / SHARDS[1]) in made.damaged[SHARDS[1]]
    names = [name for name in listed(tmp_path / "labels") if name.endswith(".tar")]
    assert names == [SHARDS[0], SHARDS[2]]
    (copy / SHARDS[1]).write_bytes((source / SHARDS[1]).read_bytes())
    assert label(source=copy).whole
    label("undisturbed")
    assert contents(tmp_path / "labels") == contents(tmp_path / "undisturbed")


@pytest.mark.usefixtures("quick")
def test_folders_of_others_are_left_alone(source, label, tmp_path) -> None:
    for out in (source, source / "labels"):
        with pytest.raises(DataError, match="lies in the folder of the shards"):
            label(out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / SHARDS[0]).write_bytes(b"mine")
    with pytest.raises(DataError, match="holds something else: name another folder"):
        label("mine")
    label()
    before = contents(tmp_path / "labels")
    for other in ({"settings": settings_of("gap")}, {"learned": "another"}):
        with pytest.raises(DataError, match="holds labels of another split, classifier"):
            label(**other)
    with pytest.raises(DataError, match="hold labels, not photographs"):
        label("more", source=tmp_path / "labels")
    assert contents(tmp_path / "labels") == before


def label_and_die(label: Callable[..., Labelled], at: int) -> None:
    """Label in a process that is killed before its step of that number, counted from 0.

    Steps are waits for the disk, moves of files, and images.
    """
    torch.set_num_threads(1)
    dying = dying_at(at)
    os.fsync, os.replace = dying(os.fsync), dying(os.replace)
    shard_labels._maps = dying(shard_labels._maps)
    label("killed")


@pytest.mark.usefixtures("quick")
@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch")
def test_killed_at_every_step_and_given_again(label, source, tmp_path) -> None:
    """Each time after it was killed, one step later: what is finished is never made again."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    label("whole")
    whole = contents(tmp_path / "whole")
    kills, made = 0, 0
    for at in itertools.count():
        process = context.Process(target=label_and_die, args=(label, at % 11))
        process.start()
        process.join()
        held = contents(tmp_path / "killed")
        there = {name: content for name, content in held.items() if not name.endswith(".tmp")}
        assert all(whole[name] == there[name] for name in there), "nothing is half there"
        finished = sum(name.endswith(".json") and name[0] == "t" for name in there)
        assert finished >= made, "a finished shard is not lost"
        made = finished
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
    torch.set_num_threads(threads)
    assert kills >= 11 and contents(tmp_path / "killed") == whole


@pytest.mark.usefixtures("quick")
def test_a_full_disk_is_no_fault_of_the_shard(label, tmp_path, monkeypatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "labels").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(shard_labels, "write_json", lambda *words: None)
        patch.setattr(os, "fsync", full)
        with pytest.raises(NotWritten, match="train-000000.tar cannot be written"):
            label()
    assert not list((tmp_path / "labels").iterdir())
    assert label().whole


@pytest.mark.usefixtures("quick")
def test_few_images_are_in_memory(label, monkeypatch) -> None:
    """An image is read when the one before has its labels; of batches, some batches."""
    order: list[str] = []
    read, make = shard_labels.item_of, shard_labels._maps
    monkeypatch.setattr(
        shard_labels, "item_of", lambda *words: order.append("read") or read(*words)
    )
    monkeypatch.setattr(shard_labels, "_maps", lambda *words: order.append("made") or make(*words))
    label()
    assert order == ["read", "made"] * len(NAMES)
    order.clear()
    monkeypatch.setattr(shard_labels, "BATCHES_AHEAD", 1)
    label("batches", crew=Crew(1, batch=2))
    assert order == ["read", "read", "made", "made", "read", "made"] * 3
