"""Tar shards: keys that name one image each, equal bytes of equal samples, and damage in words."""

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed import shard_of, tar_of
from webdataset import WebDataset
from webdataset.tariterators import base_plus_ext

from bana.data.checks import DataError
from bana.data.shard_index import Shard
from bana.data.tar_shards import (
    Sample,
    check_library,
    id_of,
    key_of,
    photograph_of,
    read_shard,
    write_shard,
)

A = Sample("a", {"jpg": b"photograph", "xml": b"boxes"})
B = Sample("b", {"PNG": b"\0" * 2000, "xml": b"", "class.png": b"mask"})
WHOLE = [("a.jpg", b"photograph"), ("a.xml", b"boxes")]

# What a list of a split may name: no control characters, no steps upwards, no space at the ends.
WORDS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:\x7f"),
    min_size=1,
    max_size=12,
).filter(lambda text: text == text.strip() and text not in (".", ".."))
IDS = st.one_of(
    st.lists(WORDS, min_size=1, max_size=3).map("/".join),
    st.sampled_from(
        ["a.b", "__a__", "__a__/b", "50%", "%2E", "a.jpg", "..a", "a/.b", "2007_000032"]
    ),
)


def samples_of(folder: Path, shard: Shard, holds: str = "photographs") -> list[Sample]:
    return list(read_shard(folder, shard, holds))


@given(name=IDS)
@settings(max_examples=60)
def test_a_key_is_read_as_its_id_by_us_and_as_itself_by_webdataset(name: str) -> None:
    key = key_of(name)
    assert id_of(key, "here") == name
    assert base_plus_ext(f"{key}.class.png") == (key, "class.png")
    assert "." not in key and not key.startswith("__")


@pytest.mark.parametrize(
    "key", ["..", "../a", "/a", "a/../b", "%2E%2E/a", "a%2", "%61", "a\\b", ""]
)
def test_what_is_no_key_or_leads_out_is_refused(key: str) -> None:
    with pytest.raises(DataError, match="^here: "):
        id_of(key, "here")


def test_samples_come_back_as_they_were(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, "train-000000.tar", [A, B])
    assert shard.images == 2
    assert shard.size == (tmp_path / shard.name).stat().st_size
    assert samples_of(tmp_path, shard) == [A, B]


def test_equal_samples_are_equal_bytes_whoever_writes_them(tmp_path: Path, monkeypatch) -> None:
    first = write_shard(tmp_path, "train-000000.tar", [A, B])
    monkeypatch.setattr("time.time", lambda: 1e9)
    again = write_shard(
        tmp_path, "train-000001.tar", [A, Sample("b", dict(reversed(B.files.items())))]
    )
    assert again.sha256 == first.sha256
    with tarfile.open(tmp_path / first.name) as tar:
        told = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar}
    assert told == {(0, 0, 0, "", "", 0o644)}


def test_webdataset_reads_them_without_us(tmp_path: Path) -> None:
    c = Sample("c.d/e", {"jpg": b"\1", "xml": b"\2"})
    write_shard(tmp_path, "train-000000.tar", [A, B, c])
    read = list(WebDataset(str(tmp_path / "train-000000.tar"), shardshuffle=False))
    assert [each["__key__"] for each in read] == ["a", "b", "c%2Ed/e"]
    assert read[0]["jpg"] == b"photograph" and read[1]["class.png"] == b"mask"


def test_a_long_name_and_one_of_another_script(tmp_path: Path) -> None:
    many = [Sample(name, A.files) for name in ("x" * 240, "猫/ねこ", "ä" * 90)]
    shard = write_shard(tmp_path, "train-000000.tar", many)
    assert samples_of(tmp_path, shard) == many


def test_a_shard_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken():
        yield A
        assert [path.suffix for path in tmp_path.iterdir()] == [".tmp"], "not under its name yet"
        raise DataError("b.jpg: no such file")

    with pytest.raises(DataError, match="b.jpg"):
        write_shard(tmp_path, "train-000000.tar", broken())
    assert not list(tmp_path.iterdir())


def test_a_shard_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch) -> None:
    steps = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: steps.append("sync") or sync(number))
    monkeypatch.setattr(os, "replace", lambda *names: steps.append("move") or move(*names))
    write_shard(tmp_path, "train-000000.tar", [A])
    assert steps[:2] == ["sync", "move"]


def test_one_sample_at_a_time_is_held(tmp_path: Path) -> None:
    asked = []

    def counted():
        for number in range(5):
            asked.append(number)
            yield Sample(str(number), A.files)

    shard = write_shard(tmp_path, "train-000000.tar", counted())
    reading = read_shard(tmp_path, shard, "photographs")
    assert next(reading).name == "0" and asked == [0, 1, 2, 3, 4]
    reading.close()


CUTS = ["in a header", "in a file", "between files", "before its end", "all"]


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_shard_is_refused_before_it_is_read(cut: str, tmp_path: Path) -> None:
    shard = write_shard(tmp_path, "train-000000.tar", [A, B])
    place = dict(zip(CUTS, (600, 520, 1024, shard.size - 512, 0), strict=True))[cut]
    path = tmp_path / shard.name
    path.write_bytes(path.read_bytes()[:place])
    with pytest.raises(DataError, match=r"train-000000.tar: has [\d,]+ bytes, and shards.json"):
        next(read_shard(tmp_path, shard, "photographs"))


@pytest.mark.parametrize("place", [600, 520, 1024, 1536, 4000])
def test_a_cut_shard_that_the_index_knows_as_such_is_refused_too(place, tmp_path) -> None:
    """As where the index was made of what was already cut."""
    whole = write_shard(tmp_path, "train-000000.tar", [A, B])
    content = (tmp_path / whole.name).read_bytes()[:place]
    shard = shard_of(tmp_path / whole.name, content, images=2)
    with pytest.raises(DataError, match="train-000000.tar: ") as told:
        samples_of(tmp_path, shard)
    assert "\n" not in str(told.value) and "copy or pack the shard again" in str(told.value)


@pytest.mark.parametrize("place", [3, 150, 600, 1030, 3000, -600])
def test_a_changed_byte_is_noticed(place: int, tmp_path: Path) -> None:
    shard = write_shard(tmp_path, "train-000000.tar", [A, B])
    path = tmp_path / shard.name
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="train-000000.tar: "):
        samples_of(tmp_path, shard)


def test_another_shard_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, "train-000000.tar", [A])
    write_shard(tmp_path, "train-000000.tar", [Sample("a", {**A.files, "jpg": b"PHOTOGRAPH"})])
    with pytest.raises(DataError, match="is not the file that shards.json lists"):
        samples_of(tmp_path, shard)


def test_what_follows_the_end_of_the_tar_counts_too(tmp_path: Path) -> None:
    content = tar_of(WHOLE) + bytes(30_000)
    shard = shard_of(tmp_path / "train-000000.tar", content)
    assert samples_of(tmp_path, shard) == [A]
    (tmp_path / shard.name).write_bytes(content[:-1] + b"\1")
    with pytest.raises(DataError, match="is not the file that shards.json lists"):
        samples_of(tmp_path, shard)


def test_a_count_that_is_another_is_noticed(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, "train-000000.tar", [A, B])
    with pytest.raises(DataError, match="has 2 images, and shards.json says 3"):
        samples_of(tmp_path, shard._replace(images=3))


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return info


def sparse(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    info.pax_headers |= {"GNU.sparse.name": name, "GNU.sparse.realsize": str(10**15)}
    return info


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return os._exit, (3,)


FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "no tar": (lambda: b"not a tar file" * 100, "no tar file after its beginning"),
    "empty": (lambda: b"", "no tar file after its beginning"),
    "compressed": (lambda: gzip.compress(tar_of(WHOLE)), "no tar file after its beginning"),
    "link": (lambda: tar_of([*WHOLE, (link("b.jpg", "/etc/passwd"), b"")]), '"b.jpg": no plain'),
    "folder": (lambda: tar_of([(folder("a"), b""), *WHOLE]), '"a": no plain file'),
    "holes": (
        lambda: tar_of([(sparse("a.jpg"), b"1\n0\n1000000000000000\n".ljust(512, b"\0"))]),
        "plain file|no tar file",
    ),
    "no ending": (lambda: tar_of([("README", b""), *WHOLE]), '"README": no name of a key'),
    "upwards": (lambda: tar_of([("../a.jpg", b""), ("../a.xml", b"")]), "no name of a key"),
    "upwards, encoded": (
        lambda: tar_of([("%2E%2E/a.jpg", b""), ("%2E%2E/a.xml", b"")]),
        "is a path, not an id",
    ),
    "absolute": (lambda: tar_of([("/a.jpg", b""), ("/a.xml", b"")]), "is a path, not an id"),
    "without boxes": (lambda: tar_of(WHOLE[:1]), r"a\.xml: is missing"),
    "without a photograph": (lambda: tar_of(WHOLE[1:]), "a: no photographs with an ending of"),
    "two photographs": (lambda: tar_of([*WHOLE, ("a.png", b"")]), "a: 2 photographs"),
    "twice": (lambda: tar_of([WHOLE[0], *WHOLE]), r'"a\.jpg": there a second time'),
    "mixed up": (
        lambda: tar_of([("a.jpg", b""), ("b.jpg", b""), ("a.xml", b""), ("b.xml", b"")]),
        r"a\.xml: is missing",
    ),
    "pickled": (
        lambda: tar_of([*WHOLE, ("a.pyd", pickle.dumps(Bomb()))]),
        r"a\.pyd: is not read here: leave it out",
    ),
    "labels": (lambda: tar_of([("a.y_crf.png", b""), ("a.y_ret.png", b"")]), "no photographs"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_tar_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    make, told = FOREIGN[name]
    shard = shard_of(tmp_path / "train-000000.tar", make())
    with pytest.raises(DataError, match=f"train-000000.tar: .*({told})") as error:
        samples_of(tmp_path, shard)
    assert "\n" not in str(error.value)


def test_labels_are_two_maps(tmp_path: Path) -> None:
    labels = Sample("a", {"y_crf.png": b"1", "y_ret.png": b"2"})
    shard = write_shard(tmp_path, "train-000000.tar", [labels])
    assert samples_of(tmp_path, shard, "labels") == [labels]
    shard = write_shard(tmp_path, "train-000000.tar", [Sample("a", {"y_crf.png": b"1"})])
    with pytest.raises(DataError, match=r"a\.y_ret\.png: is missing"):
        samples_of(tmp_path, shard, "labels")
    with pytest.raises(DataError, match="is missing"):
        samples_of(tmp_path, write_shard(tmp_path, "train-000000.tar", [A]), "labels")


@given(content=st.binary(max_size=3000), at=st.integers(0, 3))
@settings(max_examples=40, derandomize=True)
def test_bytes_that_nobody_would_write(content, at, tmp_path_factory) -> None:
    """Random bytes, and random bytes in the place of a block: refused, or samples as they are."""
    folder = tmp_path_factory.mktemp("odd")
    blocks = tar_of(WHOLE)
    odd = blocks[: 512 * at] + content + blocks[512 * at + len(content) :]
    try:
        assert samples_of(folder, shard_of(folder / "train-000000.tar", odd))
    except DataError as error:
        assert "\n" not in str(error) and "train-000000.tar" in str(error)


def test_a_missing_shard(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train-000000.tar: cannot be read"):
        samples_of(tmp_path, Shard("train-000000.tar", 1, 1, "0" * 64))


def test_a_disk_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch) -> None:
    shard = write_shard(tmp_path, "train-000000.tar", [A])

    class Broken(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

        def fileno(self) -> int:
            return os.open(tmp_path / shard.name, os.O_RDONLY)

    monkeypatch.setattr(Path, "open", lambda path, mode: Broken())
    with pytest.raises(DataError, match="Input/output error"):
        samples_of(tmp_path, shard)


def test_the_photograph_is_the_one_image_of_that_ending() -> None:
    assert photograph_of(["class.png", "JPEG", "xml"]) == "JPEG"
    with pytest.raises(ValueError, match="no photographs"):
        photograph_of(["class.png", "xml", "gif"])


def test_without_the_library_it_is_named(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -e .\[shards\]"):
        check_library()
