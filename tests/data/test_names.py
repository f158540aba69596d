"""Names of files that not every system takes: refused in one line where they cannot be."""

from pathlib import Path

import pytest
import torch
from made_data import write_voc
from photos import write_photo

from bana.data import names
from bana.data.checks import DataError
from bana.data.layout import Box, Photograph, image_id, write_photographs
from bana.data.lists import check_id
from bana.data.names import check_apart, check_name
from bana.data.voc import VocDataset

BAD = ["aux", "CON", "nul.2", "com1", "LPT9.tar", "lpt¹", "conin$", "con .a", "ab:c", "day?", 'a"b']
BAD += ["a<b", "x/prn/1", "a.", "a ", "day./1", "a|b", "a*b"]


@pytest.fixture
def on_windows(monkeypatch) -> None:
    monkeypatch.setattr(names, "WINDOWS", True)


@pytest.mark.parametrize("name", BAD)
def test_windows_cannot_have_it(name: str, on_windows) -> None:
    with pytest.raises(DataError, match="list.txt:3: .* on Windows: rename") as caught:
        check_id(name, "list.txt:3")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["auxiliary", "con-1", "console", "com", "com10", "a.b", "löwe 1", "null"]
)
def test_windows_can_have_it(name: str, on_windows) -> None:
    check_name(name, "here")


@pytest.mark.parametrize("file", ["aux.jpg", "nul.2.png", "day/what?.jpg", "a..jpg"])
def test_no_photograph_of_windows_gets_such_an_id(file: str, on_windows) -> None:
    with pytest.raises(DataError, match="boxes.csv:2: .* on Windows"):
        image_id(file, "boxes.csv:2")


@pytest.mark.parametrize("name", BAD)
def test_elsewhere_every_name_is_one(name: str, monkeypatch) -> None:
    monkeypatch.setattr(names, "WINDOWS", False)
    check_id(name, "here")


@pytest.fixture
def without_capitals(monkeypatch) -> None:
    """A disk that holds one file of two names that differ in capitals alone, as far as is asked."""
    exists, samefile = Path.exists, Path.samefile

    def found(path: Path) -> Path:
        there = path.parent.iterdir() if exists(path.parent) else ()
        return next((each for each in there if each.name.lower() == path.name.lower()), path)

    monkeypatch.setattr(Path, "exists", lambda path: exists(found(path)))
    monkeypatch.setattr(Path, "samefile", lambda path, other: samefile(found(path), found(other)))


def test_two_names_that_would_be_one_file(tmp_path: Path, without_capitals) -> None:
    folder = tmp_path / "1" / "2"  # names without letters tell nothing
    folder.mkdir(parents=True)
    check_apart(["cow", "dog", "cow"], folder)
    for other in ("Cow", "COW"):
        with pytest.raises(DataError, match=f'"cow" and "{other}" would be one file') as caught:
            check_apart(["cow", "dog", other], folder)
        assert "\n" not in str(caught.value)
    (folder / "7").touch()
    with pytest.raises(DataError, match="one file"):
        check_apart(["é", "e\u0301"], folder / "new")


def test_they_are_two_on_a_disk_that_tells_capitals(tmp_path: Path) -> None:
    (tmp_path / "probe").touch()
    if (tmp_path / "PROBE").exists():
        pytest.skip("this disk does not tell small letters from capitals")
    check_apart(["cow", "Cow"], tmp_path)
    (tmp_path / "PROBE").touch()
    check_apart(["cow", "Cow"], tmp_path)
    check_apart(["cow", "Cow"], tmp_path / "new" / "folder")


def test_lists_and_imports_ask(tmp_path: Path, without_capitals) -> None:
    masks = [torch.ones(60, 80, dtype=torch.uint8)]
    root = write_voc(tmp_path / "voc", masks, [[(5, 5, 40, 40, "cat")]], ["background", "cat"])
    (root / "ImageSets/Segmentation/train.txt").write_text("im0\nIM0\n")
    with pytest.raises(DataError, match='"im0" and "IM0" would be one file'):
        VocDataset(root, "train")
    path = write_photo(tmp_path / "a.jpg")
    both = [
        Photograph(name, path, name, [Box("cat", (5, 5, 40, 40), name)], []) for name in ("b", "B")
    ]
    with pytest.raises(DataError, match='"b" and "B" would be one file'):
        write_photographs(tmp_path / "out", "train", both, workers=1)
    assert not (tmp_path / "out").exists()
