"""A data set as tar shards and back: nothing is lost or half there, and nothing else is hit."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packed import change_index, contents, dying_at, shard_of, tar_of, write_folder

from bana.data import packing
from bana.data.checks import DataError
from bana.data.packing import pack, unpack
from bana.data.shard_index import Index, read_index, write_index
from bana.data.tar_shards import Sample, read_shard, write_shard
from bana.data.verify import verify
from bana.data.voc import VOC_CLASSES
from bana.files.unfinished import NotWritten

NAMES = ("a", "b.c", "d/e f", "g", "__h__", "50%", "猫")
SHARDS = ["shards.json", *(f"train-00000{number}.tar" for number in range(3))]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "voc", NAMES)


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ids_of(folder: Path) -> list[list[str]]:
    """Ids of each shard."""
    index = read_index(folder)
    return [[s.name for s in read_shard(folder, each, index.holds)] for each in index.shards]


def test_a_data_set_comes_back_byte_for_byte(root: Path, tmp_path: Path) -> None:
    index = pack(root, "train", tmp_path / "shards", images=3)
    assert listed(tmp_path / "shards") == SHARDS
    assert [shard.images for shard in index.shards] == [3, 3, 1]
    assert ids_of(tmp_path / "shards") == [[*NAMES[:3]], [*NAMES[3:6]], [*NAMES[6:]]]
    assert unpack(tmp_path / "shards", tmp_path / "back") == index
    assert contents(tmp_path / "back") == contents(root)
    assert verify(tmp_path / "back").count("error") == 0


# Any bytes: packing decodes nothing. Names as lists of splits have them.
LETTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:\x7f\ufeff\x85")
WORD = st.text(LETTERS, min_size=1, max_size=6).filter(
    lambda text: text == text.strip() and not text.startswith(".") and len(text.encode()) < 60
)
ODD = st.sampled_from(["a.b", "__a__", "50%", "%2E", "x" * 120, "2007_000032", "a..b"])
NAME = st.lists(st.one_of(WORD, ODD), min_size=1, max_size=2).map("/".join)
FILES = st.fixed_dictionaries(
    {"ending": st.sampled_from(["jpg", "JPG", "jpeg", "png"]), "xml": st.binary(max_size=700)},
    optional={kind: st.binary(max_size=600) for kind in packing.MASKS},
)


@given(
    data=st.dictionaries(NAME, FILES, min_size=1, max_size=6),
    images=st.integers(1, 4),
    size=st.one_of(st.none(), st.integers(1, 2000)),
    odd=st.binary(max_size=1200),
)
@settings(max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_files_come_back(data, images, size, odd, tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("any")
    root = folder / "voc"
    for name, files in data.items():
        places = {f"JPEGImages/{name}.{files['ending']}": odd, f"Annotations/{name}.xml": b""}
        places[f"Annotations/{name}.xml"] = files["xml"]
        for kind, place in packing.MASKS.items():
            if kind in files:
                places[f"{place}/{name}.png"] = files[kind]
        for place, content in places.items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_bytes(content)
    (root / "classes.txt").write_bytes(b"background\ncat\n")
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    text = "".join(f"{name}\n" for name in data)
    (root / "ImageSets/Segmentation/train.txt").write_bytes(text.encode())
    index = pack(root, "train", folder / "shards", images, size)
    assert all(1 <= shard.images <= images for shard in index.shards)
    if size is not None:
        for shard in index.shards:
            read = list(read_shard(folder / "shards", shard, "photographs"))
            held = sum(len(content) for sample in read for content in sample.files.values())
            assert held <= size or len(read) == 1
    unpack(folder / "shards", folder / "back")
    assert contents(folder / "back") == contents(root)


@pytest.mark.parametrize(
    ("images", "size", "shards"),
    [
        (9, 20, "01 23 4"),
        (9, 29, "01 23 4"),
        (9, 9, "0 1 2 3 4"),
        (2, 99, "01 23 4"),
        (9, None, "01234"),
    ],
)
def test_a_shard_ends_before_it_would_be_too_large(images, size, shards) -> None:
    samples = [Sample(str(number), {"jpg": bytes(7), "xml": bytes(3)}) for number in range(5)]
    cut = packing._cut(samples, images, size)
    assert ["".join(sample.name for sample in group) for group in cut] == shards.split()


def test_equal_files_are_equal_shards(root: Path, tmp_path: Path) -> None:
    pack(root, "train", tmp_path / "one", images=3)
    for path in root.rglob("*"):
        os.utime(path, (1, 1))
    pack(root, "train", tmp_path / "two", images=3)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_classes_of_voc_are_written_down(root: Path, tmp_path: Path) -> None:
    (root / "classes.txt").unlink()
    assert pack(root, "train", tmp_path / "shards").classes == VOC_CLASSES
    unpack(tmp_path / "shards", tmp_path / "back")
    assert len((tmp_path / "back/classes.txt").read_text().splitlines()) == 21


def test_two_splits_come_into_one_folder(root: Path, tmp_path: Path) -> None:
    (root / "ImageSets/Segmentation/val.txt").write_text("a\n50%\n")
    for split in ("train", "val"):
        pack(root, split, tmp_path / split)
        unpack(tmp_path / split, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)


def test_labels_are_unpacked_as_maps(tmp_path: Path) -> None:
    files = {"y_crf.png": b"crf", "y_ret.png": b"ret"}
    shard = write_shard(tmp_path / "in", "train-000000.tar", [Sample("a.b", files)])
    write_index(tmp_path / "in", Index("labels", "train", ("background", "cat"), (shard,)))
    unpack(tmp_path / "in", tmp_path / "out")
    assert contents(tmp_path / "out") == {"Y_crf/a.b.png": b"crf", "Y_ret/a.b.png": b"ret"}


def broken_after(monkeypatch, count: int, error: Exception | None = None) -> None:
    """Let the next packing or unpacking end in the middle of its work."""
    write, left = packing.write_shard, itertools.count(1)

    def failing(folder, name, samples):
        if next(left) > count:
            raise error or DataError("the machine goes off")
        return write(folder, name, samples)

    monkeypatch.setattr(packing, "write_shard", failing)


def test_interrupted_packing_is_not_taken_for_whole_and_goes_on(root, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        broken_after(patch, 2)
        with pytest.raises(DataError, match="goes off"):
            pack(root, "train", tmp_path / "shards", images=3)
    assert listed(tmp_path / "shards") == SHARDS[1:3]
    with pytest.raises(DataError, match="no tar shards with an index"):
        unpack(tmp_path / "shards", tmp_path / "back")
    (tmp_path / "shards" / ".train-000002.tar.99.tmp").write_bytes(b"half")
    (tmp_path / "shards" / "train-000007.tar").write_bytes(b"of a smaller cut")
    pack(root, "train", tmp_path / "shards", images=3)
    assert listed(tmp_path / "shards") == SHARDS
    pack(root, "train", tmp_path / "undisturbed", images=3)
    assert contents(tmp_path / "shards") == contents(tmp_path / "undisturbed")


def pack_and_die(root: Path, out: Path, at: int) -> None:
    """Pack in a process that is killed before its step of that number, counted from 0.

    Steps are waits for the disk and moves of files.
    """
    dying = dying_at(at)
    os.fsync, os.replace = dying(os.fsync), dying(os.replace)
    pack(root, "train", out, images=3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a fork is what makes it quick")
def test_killed_before_each_step_and_given_again(root: Path, tmp_path: Path) -> None:
    """At each wait for the disk and each move of a file there is no half shard under its name."""
    pack(root, "train", tmp_path / "whole", images=3)
    whole = contents(tmp_path / "whole")
    for at in range(40):
        out = tmp_path / f"killed-{at}"
        child = os.fork()
        if not child:
            try:
                pack_and_die(root, out, at)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        there = contents(out)
        shards = {name: held for name, held in there.items() if not name.endswith(".tmp")}
        assert all(whole[name] == held for name, held in shards.items())
        if not os.WIFSIGNALED(status):
            assert at > 10 and there == whole
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        if "shards.json" not in there:
            pack(root, "train", out, images=3)
        assert contents(out) == whole
    pytest.fail("packing never ended")


def test_interrupted_unpacking_goes_on(root: Path, tmp_path: Path, monkeypatch) -> None:
    pack(root, "train", tmp_path / "shards", images=3)
    kept, left = packing._keep, itertools.count()

    def failing(path, content):
        if next(left) == 9:
            raise DataError("the machine goes off")
        kept(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_keep", failing)
        with pytest.raises(DataError, match="goes off"):
            unpack(tmp_path / "shards", tmp_path / "back")
    assert not list((tmp_path / "back/ImageSets").rglob("*.*")), "no list, so nothing is whole"
    unpack(tmp_path / "shards", tmp_path / "back")
    unpack(tmp_path / "shards", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(root)


def test_a_damaged_shard_leaves_no_list(root: Path, tmp_path: Path) -> None:
    pack(root, "train", tmp_path / "shards", images=3)
    path = tmp_path / "shards/train-000001.tar"
    content = bytearray(path.read_bytes())
    content[-2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="train-000001.tar: .*: copy or pack the shard again"):
        unpack(tmp_path / "shards", tmp_path / "back")
    assert not (tmp_path / "back/ImageSets/Segmentation/train.txt").exists()


def test_files_that_are_there_stay(root: Path, tmp_path: Path) -> None:
    pack(root, "train", tmp_path / "shards")
    for place in ("Annotations/g.xml", "ImageSets/Segmentation/train.txt", "classes.txt"):
        out = tmp_path / place.replace("/", "-")
        (out / place).parent.mkdir(parents=True)
        (out / place).write_text("background\nmine\n")
        with pytest.raises(DataError, match="name another folder"):
            unpack(tmp_path / "shards", out)
        assert (out / place).read_text() == "background\nmine\n"
    other = tmp_path / "other"
    unpack(tmp_path / "shards", other)
    (other / "JPEGImages/a.jpg").rename(other / "JPEGImages/a.jpeg")
    with pytest.raises(DataError, match="a.jpeg: there, and a.jpg would be it too"):
        unpack(tmp_path / "shards", other)


def test_nothing_outside_the_folder_is_written(tmp_path: Path) -> None:
    """Not by the members of a shard, and not by its index."""
    evil = [("%2E%2E/%2E%2E/a.jpg", b"x"), ("%2E%2E/%2E%2E/a.xml", b"x")]
    shard = shard_of(tmp_path / "in/train-000000.tar", tar_of(evil))
    write_index(tmp_path / "in", Index("photographs", "train", ("background", "cat"), (shard,)))
    with pytest.raises(DataError, match="is a path, not an id"):
        unpack(tmp_path / "in", tmp_path / "deep/out")
    change_index(tmp_path / "in", split="../train")
    with pytest.raises(DataError, match='"split" is'):
        unpack(tmp_path / "in", tmp_path / "deep/out")
    assert listed(tmp_path / "in") == SHARDS[:2]
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and tmp_path / "in" not in p.parents]
    assert [path.name for path in outside] == ["classes.txt"]
    assert outside[0].parent == tmp_path / "deep/out"


def test_what_is_not_a_data_set_is_not_packed(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    (root / "Annotations/g.xml").rename(root / "Annotations/g.txt")
    with pytest.raises(DataError, match="g.xml: cannot be read"):
        pack(root, "train", out)
    assert not list(out.iterdir())
    with pytest.raises(DataError, match="no such split"):
        pack(root, "val", out)
    (root / "ImageSets/Segmentation/val.txt").write_text("a\nb.c\na\n")
    with pytest.raises(DataError, match=r'val\.txt:3: "a" a second time, after line 1'):
        pack(root, "val", out)
    (root / "ImageSets/Segmentation/a b.txt").write_text("a\n")
    with pytest.raises(DataError, match="'a b' is not one plain word"):
        pack(root, "a b", out)
    (root / "JPEGImages/a.jpeg").write_bytes(b"")
    with pytest.raises(DataError, match="there is a.jpeg too"):
        pack(root, "train", out)


def test_boxes_of_another_photograph_are_not_packed(root: Path, tmp_path: Path) -> None:
    """In a shard nobody could tell that the other one is there."""
    path = root / "Annotations/a.xml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("a.jpg", "g.jpg"), encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.xml: is called as a\.jpg is and says .* about g\.jpg"):
        pack(root, "train", tmp_path / "shards")
    path.write_text(text.replace("a.jpg", "IMG_7.jpg"), encoding="utf-8")
    pack(root, "train", tmp_path / "other")


def test_folders_of_others_are_left_alone(root: Path, tmp_path: Path) -> None:
    for place in (root, root / "JPEGImages"):
        with pytest.raises(DataError, match="lies in the data set"):
            pack(root, "train", place)
    out = tmp_path / "shards"
    for name in ("mine.tar", "train-1.tar", "val-000000.tar", "notes.txt"):
        out.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(DataError, match=f"--out .*: holds {name}: name another folder"):
            pack(root, "train", out)
        assert contents(out) == {name: b"mine"}
        (out / name).unlink()
    pack(root, "train", out)
    before = contents(out)
    with pytest.raises(DataError, match="holds finished shards"):
        pack(root, "train", out)
    assert contents(out) == before


def test_a_full_disk_is_told_and_leaves_no_half_shard(root, tmp_path, monkeypatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotWritten, match=r"train-000000.tar cannot be written \(No space left"):
        pack(root, "train", tmp_path / "shards")
    assert not list((tmp_path / "shards").iterdir())


MEMORY = """
import resource, sys
from pathlib import Path
from bana.data.shard_index import read_index
from bana.data.tar_shards import read_shard, write_shard, Sample
folder, count = Path(sys.argv[1]), int(sys.argv[2])
files = {"jpg": b"x" * 20_000, "xml": b"y" * 500}
def peak(images):
    shard = write_shard(folder, "a-000000.tar", (Sample(str(n), files) for n in range(images)))
    assert sum(1 for _ in read_shard(folder, shard, "photographs")) == images
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
peak(50)
before = peak(200)
print(peak(count) - before)
"""


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    words = [sys.executable, "-c", MEMORY, str(tmp_path), "4000"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # 4,000 images are 80 MB of files, and 8,000 headers some 6 MB.
    assert int(done.stdout) < 2_000, "kilobytes"
