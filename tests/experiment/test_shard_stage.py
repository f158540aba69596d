"""Tar shards through the command, with the classifier of a profile's run."""

from pathlib import Path

import pytest
from packed import contents, write_folder
from tiny import be_quick, make_profile

from bana.commands.main import main
from bana.data.packing import pack, unpack
from bana.experiment import profiles, stages


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    """A run of the profile "tiny", with its training images in two shards."""
    folder = tmp_path_factory.mktemp("stage")
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        patch.setenv("BANA_RUNS", str(folder / "runs"))
        pack(stages.dataset(make_profile(), "train").root, "train", folder / "shards", images=2)
        stages.classifier(make_profile())
    return folder / "shards"


@pytest.fixture(autouse=True)
def known(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    be_quick(monkeypatch)
    monkeypatch.setenv("BANA_RUNS", str(shards.parent / "runs"))
    monkeypatch.setitem(profiles.PROFILES, "tiny", make_profile())


def words(shards: Path, out: Path, *more: str) -> list[str]:
    return ["label", "--profile", "tiny", "--workers", "1", "--from-shards", str(shards), "--out",
            str(out), *more]  # fmt: skip


def test_labels_are_those_of_the_stage(shards: Path, tmp_path: Path, capsys) -> None:
    assert main(words(shards, tmp_path / "out")) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == ["3 images have labels", str(tmp_path / "out")]
    unpack(tmp_path / "out", tmp_path / "unpacked")
    folder = stages.labels(make_profile(), "train")
    made = {name: held for name, held in contents(folder).items() if name.endswith(".png")}
    assert len(made) == 6 and contents(tmp_path / "unpacked") == made


def test_parts_and_a_damaged_shard_are_told(shards: Path, tmp_path: Path, capsys) -> None:
    assert main(words(shards, tmp_path / "out", "--shard", "2/2")) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said == "1 images have labels; not yet all shards"
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, content in contents(shards).items():
        (copy / name).write_bytes(content)
    (copy / "train-000000.tar").write_bytes(b"")
    assert main(words(copy, tmp_path / "out")) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bana: ")]
    assert told[0].startswith(f"bana: {copy}/train-000000.tar: has 0 bytes")
    assert told[1] == "bana: then give the same command again: finished labels are kept"


WRONG = {
    "no folder": (["--from-shards", "s"], "need both --from-shards and --out"),
    "no shards": (["--out", "o"], "need both --from-shards and --out"),
    "submit": (["--from-shards", "s", "--out", "o", "--submit", "2"], "--submit is of folders"),
    "split": (["--from-shards", "s", "--out", "o", "--split", "val"], "leave out --split"),
    "nothing there": (["--from-shards", "s", "--out", "o"], "s: no tar shards with an index"),
    "boxes": (["--from-shards", "s", "--out", "o", "--variant", "boxes"], "of shards use gap, bap"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_words(name: str, capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    more, told = WRONG[name]
    assert main(["label", "--profile", "tiny", *more]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1 and not list(tmp_path.iterdir())


def test_shards_of_other_classes_are_refused(tmp_path: Path, capsys) -> None:
    root = write_folder(tmp_path / "voc", ["a"])
    pack(root, "train", tmp_path / "packed")
    assert main(words(tmp_path / "packed", tmp_path / "out")) == 2
    told = capsys.readouterr().err.split("\r")[-1]
    assert "shards.json: its classes are not the 8 that the classifier of profile tiny" in told


def test_a_part_does_not_train(shards: Path, tmp_path: Path, capsys) -> None:
    more = ["--shard", "1/2", "--variant", "gap"]
    assert main(words(shards, tmp_path / "out", *more)) == 2
    assert "`bana train classifier --pooling gap` first" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
