"""Lists of a split: ids as they are, files for ids where that is certain, everything else named."""

from pathlib import Path

import pytest
from PIL import Image

from bana.commands.main import main
from bana.data import lists
from bana.data.checks import DataError
from bana.data.verify import verify
from bana.data.voc import VocDataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("dog", "dog 2", "cow", "day/one"):
        path = tmp_path / "JPEGImages" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(path)
        note = tmp_path / "Annotations" / f"{name}.xml"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text("<annotation/>")
    (tmp_path / "JPEGImages" / "cow.jpg").rename(tmp_path / "JPEGImages" / "cow.JPG")
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    return tmp_path


def ids(root: Path, text: str | bytes) -> list[str]:
    path = root / "ImageSets" / "Segmentation" / "train.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return VocDataset(root, "train").ids


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dog 2\n", ["dog 2"]),
        ("dog\r\n\r\n  dog 2  \rcow", ["dog", "dog 2", "cow"]),
        ("dog.jpg\ncow.JPG\n", ["dog", "cow"]),
        ("dog\ncow.jpg\n", ["dog", "cow"]),
        ("JPEGImages/dog 2.jpg\n", ["dog 2"]),
        ("/JPEGImages/dog.jpg /SegmentationClassAug/dog.png\n", ["dog"]),
        ("JPEGImages/dog 2.jpg\tSegmentationClass/dog 2.png\n", ["dog 2"]),
        ("day/one\n", ["day/one"]),
        ("nobody 7\n", ["nobody 7"]),
        ("\ufeffdog\ncow\n", ["dog", "cow"]),
        ("dog\ncow\n".encode("utf-16"), ["dog", "cow"]),
    ],
    ids=range(11),
)
def test_what_a_line_means(root, text, expected):
    assert ids(root, text) == expected


def test_an_id_that_is_listed_twice_is_refused(root):
    """It would count twice in every score; a file's name is the same id."""
    with pytest.raises(DataError, match=r'train\.txt:4: "dog" a second time, after line 1: list'):
        ids(root, "dog\ncow\n\ndog\n")
    with pytest.raises(DataError, match=r'train\.txt:2: "cow" a second time.*\(2 such lines\)'):
        ids(root, "cow.JPG\ncow\ncow.jpg\n")
    assert main(["data", "verify", "--data", str(root), "--split", "train"]) == 2
    with pytest.raises(DataError, match="a second time"):
        VocDataset(root, "train", limit=1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("dog 1", "has several columns"),
        ("dog -1", "has several columns"),
        ("dog.jpg dog.png", "has several columns"),
        ("/home/someone/dog", "is a path, not an id"),
        ("../dog", "is a path, not an id"),
        ("day/../../dog", "is a path, not an id"),
        ("C:/photos/dog", "is a path, not an id"),
        ("day\\\\one", "is a path, not an id"),
        ("./dog", "is a path, not an id"),
        ("day//one", "is a path, not an id"),
        ("/JPEGImages/../../dog.jpg", "is a path, not an id"),
        ("/JPEGImages/dog.jpg /SegmentationClass/cow.png", "the mask of another"),
        ("/data/JPEGImages/dog.jpg /data/SegmentationClass/dog.png", "is a path, not an id"),
        ("do\x07g", "control character"),
    ],
    ids=range(14),
)
def test_lines_that_are_no_ids(root, line, reason, capsys):
    with pytest.raises(DataError, match=r"train\.txt:2: .*" + reason) as caught:
        ids(root, f"cow\n{line}\n")
    assert "\n" not in str(caught.value)
    words = ["label", "--profile", "voc-mini", "--iterations", "1", "--variant", "boxes"]
    assert main([*words, "--data", str(root)]) == 2
    assert "train.txt:2: " in capsys.readouterr().err


def test_an_id_that_ends_like_a_file_is_an_id(root):
    Image.new("RGB", (8, 6)).save(root / "JPEGImages" / "dog.jpg.png")
    assert ids(root, "dog.jpg\n") == ["dog.jpg"]


def test_two_photographs_of_one_id(root):
    Image.new("RGB", (8, 6)).save(root / "JPEGImages" / "dog.png")
    assert ids(root, "dog\n") == ["dog"]
    with pytest.raises(DataError, match=r"dog\.jpg: there is dog\.png too: remove one"):
        VocDataset(root, "train")[0]
    found = verify(root).findings
    assert [(f.level, f.file) for f in found] == [("error", "JPEGImages/dog.jpg")]


def test_capital_endings_are_found(root):
    ids(root, "cow\n")
    assert VocDataset(root, "train")[0]["image"].shape == (3, 6, 8)
    assert [path.name for path in lists.photographs_of(root / "JPEGImages", "cow")] == ["cow.JPG"]


def test_hidden_files_are_no_splits(root):
    ids(root, "cow\n")
    (root / "ImageSets" / "Segmentation" / "._train.txt").write_bytes(b"\0\5\x16\7\xb0")
    assert lists.split_names(root) == ["train"]
    assert verify(root).splits == {"train": 1}
    with pytest.raises(DataError, match="no such split; there is train$"):
        VocDataset(root, "val")


@pytest.mark.parametrize("split", ["../Main/train", "..\\train", "/etc/train", ""])
def test_a_split_is_no_path(root, split):
    ids(root, "dog\n")
    with pytest.raises(DataError, match="not the name of a list"):
        VocDataset(root, split)


def test_a_list_that_is_no_text(root):
    with pytest.raises(DataError, match=r"train\.txt:1: no text in UTF-8"):
        ids(root, b"\xb0\xb0")
    with pytest.raises(DataError, match=r"train\.txt: the split is empty"):
        ids(root, "\n \n")
