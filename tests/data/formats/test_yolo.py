"""YOLO's text files: the same boxes come out, and what is not certain is refused."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from photos import boxes_of, folder_of, write_photo, write_text

from bana.data.boxes import check_boxes
from bana.data.formats.common import Folder
from bana.data.formats.yolo import read_yolo
from bana.data.voc_files import DataError


@pytest.fixture
def images(tmp_path: Path) -> Folder:
    return folder_of(tmp_path / "im", "a.jpg", "sub dir/a.PNG")


def labels(tmp_path: Path, text: str, names: str = "cat\ntraffic light\n") -> Path:
    write_text(tmp_path / "labels" / "classes.txt", names)
    return write_text(tmp_path / "labels" / "a.txt", text).parent


def test_boxes_classes_and_subfolders(images: Folder, tmp_path: Path) -> None:
    folder = labels(tmp_path, "1 0.5 0.5 0.25 0.5\n\n0 .125 .1 .25 .2\n")
    write_text(folder / "sub dir" / "a.txt", "0 0.5 0.5 1 1\n")
    read = read_yolo(folder, images)
    assert read.classes == ("background", "cat", "traffic light")
    assert boxes_of(read) == {
        "a.jpg": [("traffic light", (30, 15, 50, 45)), ("cat", (0, 0, 20, 12))],
        "a.PNG": [("cat", (0, 0, 80, 60))],
    }
    assert read.photographs[0].size == (80, 60) and not read.failed
    assert read.photographs[0].boxes[1].where == f"{folder / 'a.txt'}:3"
    assert read.notes == [f"classes from {folder / 'classes.txt'}"]


@pytest.mark.parametrize(
    "text",
    ["names: [cat, dog]", "nc: 2\nnames:\n  1: dog\n  0: cat\n", "names:\n- cat\n- dog\n"],
    ids=["list", "numbered", "lines"],
)
def test_names_of_data_yaml(text: str, images: Folder, tmp_path: Path) -> None:
    write_text(tmp_path / "set" / "labels" / "a.txt", "1 0.5 0.5 0.25 0.5\n")
    yaml = write_text(tmp_path / "set" / "data.yaml", text)
    for path in (tmp_path / "set" / "labels", tmp_path / "set", yaml):
        read = read_yolo(path, images)
        assert read.classes == ("background", "cat", "dog")
        assert boxes_of(read) == {"a.jpg": [("dog", (30, 15, 50, 45))]}


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/train/b.jpg", "labels/train/b.txt"),
        ("train/images/b.jpg", "train/labels/b.txt"),
        ("b.jpg", "b.txt"),
    ],
    ids=["ultralytics", "roboflow", "side-by-side"],
)
def test_the_ways_in_which_folders_are_laid(image: str, label: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_photo(root / image)
    write_text(root / label, "0 0.5 0.5 0.25 0.5\n")
    write_text(root / "data.yaml", "names: [cat]")
    read = read_yolo(root, Folder(root))
    assert boxes_of(read) == {"b.jpg": [("cat", (30, 15, 50, 45))]}, read


def test_a_photograph_may_be_called_as_a_list_is(tmp_path: Path) -> None:
    names = ("test", "train", "Val", "valid", "notes", "readme")
    images = folder_of(tmp_path / "im", *(f"{name}.jpg" for name in names))
    folder = tmp_path / "labels"
    for name in names[:3]:
        write_text(folder / f"{name}.txt", "0 0.5 0.5 0.25 0.5\n")
    write_text(folder / "valid.txt", "")
    write_text(folder / "notes.txt", "0 of 5 are drawn by hand\n")
    write_text(folder / "deep/readme.dataset.txt", "0 0.5 0.5 0.25 0.5\n")
    (folder / "readme.txt").write_bytes(b"\xff\xfe\0")
    write_text(folder / "classes.txt", "cat\n")
    read = read_yolo(folder, images)
    box = [("cat", (30, 15, 50, 45))]
    assert boxes_of(read) == {f"{name}.jpg": box for name in names[:3]} | {"valid.jpg": []}
    assert read.notes[1:] == [f"{folder}: lists and notes passed over (2): notes.txt, readme.txt"]
    # Boxes of a photograph that is not there are told as those of any other.
    assert list(read.failed) == ["deep/readme.dataset"]
    assert read.failed["deep/readme.dataset"].endswith("readme.dataset.jpg: no such file")


def test_labels_in_one_folder_are_of_photographs_in_subfolders(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "day 1/a.jpg", "day 2/b.jpg")
    folder = labels(tmp_path, "0 .5 .5 .25 .5\n")
    assert boxes_of(read_yolo(folder, images)) == {"a.jpg": [("cat", (30, 15, 50, 45))]}


def test_files_beside_labels_are_told(images: Folder, tmp_path: Path) -> None:
    labels(tmp_path, "0 0.5 0.5 0.25 0.5\n")
    write_text(tmp_path / "data.yaml", "names: [cat, traffic light]")
    write_text(tmp_path / "sub dir/a.txt", "0 0.5 0.5 0.25 0.5\n")
    write_text(tmp_path / "train.txt", "im/a.jpg\n")
    read = read_yolo(tmp_path, images)
    assert list(boxes_of(read)) == ["a.jpg"] and read.photographs[0].path == images.root / "a.jpg"
    assert read.notes[1:] == [
        f"{tmp_path}: lists and notes passed over (1): train.txt",
        f"{tmp_path}: files outside of labels/ not read (1): sub dir/a.txt",
    ]


def test_polygons_and_scores_are_counted(images: Folder, tmp_path: Path) -> None:
    folder = labels(tmp_path, "0 .25 .5 .5 .25 .75 .5 .5 .75\n0 0.5 0.5 0.25 0.5 0.93\n")
    read = read_yolo(folder, images)
    assert boxes_of(read)["a.jpg"] == [("cat", (20, 15, 60, 45)), ("cat", (30, 15, 50, 45))]
    assert read.notes[1:] == [
        f"{folder}: polygons taken by the boxes around them (1)",
        f"{folder}: scores of boxes not used (1)",
    ]


def test_a_triangle_is_read_where_its_last_number_is_no_id(images: Folder, tmp_path: Path) -> None:
    read = read_yolo(labels(tmp_path, "0 .5 .5 .25 1 .75 1.0\n"), images)
    assert boxes_of(read) == {"a.jpg": [("cat", (20, 30, 60, 60))]}


@pytest.mark.parametrize(
    ("line", "corners", "reason"),
    [
        ("0 .98 .5 .1 .5", (74.4, 15, 82.4, 45), "sticks out by 2.4 pixels"),
        ("0 .98 .5 .08 .5", (75.2, 15, 81.6, 45), None),
        ("0 .9 .2 1.1 .2 1.1 .8", (72, 12, 88, 48), "sticks out by 8 pixels"),
        ("0 .5 .5 0 .5", (40, 15, 40, 45), "is empty"),
        ("0 .5 .5 -.25 .5", (50, 15, 30, 45), "is inverted"),
    ],
    ids=["far", "near", "polygon", "empty", "inverted"],
)
def test_boxes_are_judged_in_pixels_as_those_of_every_format(
    line: str, corners: tuple, reason: str | None, images: Folder, tmp_path: Path
) -> None:
    """One of them is no reason to refuse the others."""
    read = read_yolo(labels(tmp_path, f"0 .5 .5 .25 .5\n{line}\n"), images)
    assert boxes_of(read)["a.jpg"] == [("cat", (30, 15, 50, 45)), ("cat", corners)]
    boxes = torch.tensor([box.corners for box in read.photographs[0].boxes])
    with pytest.raises(ValueError, match=reason) if reason else nullcontext():
        check_boxes(boxes, 60, 80, "a.jpg")


POSE = "0 .5 .5 .25 .5 .45 .45 .95 .95\n"


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside-classes"])
def test_key_points_of_poses_are_no_polygon(beside: bool, images: Folder, tmp_path: Path) -> None:
    folder = labels(tmp_path, POSE)
    if not beside:
        (folder / "classes.txt").unlink()
    file = write_text(folder / "data.yaml", "kpt_shape: [2, 2]\nnames: [cat, traffic light]\n")
    for classes in (None, file):
        read = read_yolo(folder, images, classes)
        assert boxes_of(read)["a.jpg"] == [("cat", (30, 15, 50, 45))]
        assert read.notes == [f"classes from {file}", f"{folder}: key points passed over (2)"]


@pytest.mark.parametrize(
    ("shape", "text", "reason"),
    [
        (
            "[2, 3]",
            POSE,
            "a.txt:1: 9 fields, but kpt_shape in {file} is [2, 3]: a class, a box and",
        ),
        ("[2, 2]", "0 .5 .5 .25 .5\n", "5 fields, but kpt_shape in {file} is [2, 2]"),
        ("[2, 2]", POSE.replace(".95\n", "x\n"), 'a coordinate is "x", not a number'),
        ("[2]", POSE, "{file}: kpt_shape is [2], not [points, 2] or [points, 3]"),
        ("[2, 4]", POSE, "kpt_shape is [2, 4], not"),
        ("17", POSE, "kpt_shape is 17, not"),
    ],
    ids=["fields", "no-points", "no-number", "short", "four", "number"],
)
def test_poses_that_are_wrong(
    shape: str, text: str, reason: str, images: Folder, tmp_path: Path
) -> None:
    folder = labels(tmp_path, text)
    file = write_text(folder / "data.yaml", f"kpt_shape: {shape}\nnames: [cat, traffic light]\n")
    with pytest.raises(DataError) as error:
        read_yolo(folder, images)
    assert reason.format(file=file) in str(error.value)


def test_a_single_class_is_told_as_one(images: Folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="class 1: there is one class, numbered 0$"):
        read_yolo(labels(tmp_path, "1 .5 .5 .25 .5\n", "cat\n"), images)


def test_an_empty_file_is_a_photograph_without_boxes(images: Folder, tmp_path: Path) -> None:
    assert boxes_of(read_yolo(labels(tmp_path, ""), images)) == {"a.jpg": []}


def test_a_photograph_that_is_missing_is_told(images: Folder, tmp_path: Path) -> None:
    folder = labels(tmp_path, "0 0.5 0.5 0.25 0.5\n")
    write_text(folder / "b.txt", "0 0.5 0.5 0.25 0.5\n")
    read = read_yolo(folder, images)
    assert list(boxes_of(read)) == ["a.jpg"]
    assert list(read.failed) == ["b"] and "b.jpg: no such file" in read.failed["b"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 40 30 20 20", "a.txt:1: not in fractions of the photograph"),
        ("0 0.5 0.5 -2.1 0.5", "a.txt:1: not in fractions"),
        ("0 .5 .5 .2 .2 .93 1", "a.txt:1: a triangle, or a box with a score and a track id?"),
        ("0 .5 .5 .2 .2 .93 7", "a.txt:1: a triangle, or a box with a score and a track id?"),
        ("2 0.5 0.5 0.1 0.1", "class 2: there are 2 classes, numbered 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", 'the class is "-1", not a whole number'),
        ("0.5 0.5 0.5 0.1 0.1", 'the class is "0.5"'),
        ("cat 0.5 0.5 0.1 0.1", 'the class is "cat", not a number'),
        ("0 0.5 0.5 0.1", "4 fields"),
        ("0 0.5 0.5 0.1 0.1 0.2 0.2 0.3", "8 fields"),
        ("0 0.5 0.5 nan 0.1", 'a coordinate is "nan"'),
    ],
    ids=lambda value: value.replace(" ", "_") if value[0] in "0123456789-c" else "",
)
def test_what_is_wrong_is_refused(text: str, reason: str, images: Folder, tmp_path: Path) -> None:
    folder = labels(tmp_path, text)
    with pytest.raises(DataError) as error:
        read_yolo(folder, images)
    assert reason in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("data.yaml", "names: {1: cat, 2: dog}", "not numbered from 0"),
        ("data.yaml", "nc: 3\nnames: [cat, dog]", "nc is 3, but there are 2 names"),
        ("data.yaml", "names: cat", "names is no list"),
        ("data.yaml", "names: [cat, 3]", "class 1 is 3, not a text"),
        ("data.yaml", "names: [cat", "cannot be read"),
        ("classes.txt", "cat\ncat\n", "class 'cat' occurs twice"),
        ("classes.txt", "background\ncat\n", "names background as class 0"),
        ("classes.txt", "\n", "no class in it"),
    ],
    ids=lambda value: "".join(c if c.isalnum() else "-" for c in value)[:30],
)
def test_names_that_are_wrong(
    name: str, text: str, reason: str, images: Folder, tmp_path: Path
) -> None:
    write_text(tmp_path / "labels" / "a.txt", "0 0.5 0.5 0.25 0.5\n")
    file = write_text(tmp_path / name, text)
    with pytest.raises(DataError, match=reason):
        read_yolo(tmp_path / "labels", images, file)


@pytest.mark.parametrize(("here", "path"), [("train", "labels"), ("train/labels", ".")])
def test_class_names_above_are_found_from_a_relative_path(
    here: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photo(tmp_path / "train/images/a.jpg")
    write_text(tmp_path / "train/labels/a.txt", "0 .5 .5 .25 .5\n")
    write_text(tmp_path / "data.yaml", "names: [cat]")
    monkeypatch.chdir(tmp_path / here)
    read = read_yolo(Path(path), Folder(tmp_path / "train/images"))
    assert read.classes == ("background", "cat")


def test_no_names_and_names_that_differ(images: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "x" / "y" / "labels"
    write_text(folder / "a.txt", "0 0.5 0.5 0.25 0.5\n")
    with pytest.raises(DataError, match=r"no class names .*: give --classes FILE"):
        read_yolo(folder, images)
    write_text(folder / "classes.txt", "cat\n")
    write_text(folder / "obj.names", "dog\n")
    with pytest.raises(DataError, match=r"obj.names: other classes than .*classes.txt"):
        read_yolo(folder, images)
    mine = write_text(tmp_path / "mine.txt", "bird\n")
    assert boxes_of(read_yolo(folder, images, mine))["a.jpg"][0][0] == "bird"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"names: [dog, cat", "while parsing"),
        (b"names: {0: dog, 0: cat}", "says 0 twice"),
        (b"names: [K\xe4fer]", "no text in UTF-8"),
    ],
    ids=["open", "twice", "latin-1"],
)
def test_a_damaged_yaml_is_not_passed_over(
    content: bytes, reason: str, images: Folder, tmp_path: Path
) -> None:
    """The names beside it may be others."""
    folder = labels(tmp_path, "0 0.5 0.5 0.25 0.5\n")
    (folder / "data.yaml").write_bytes(content)
    with pytest.raises(DataError, match=rf"data\.yaml:.*{reason}"):
        read_yolo(folder, images)


def test_settings_of_others_are_no_names(images: Folder, tmp_path: Path) -> None:
    folder = labels(tmp_path, "0 0.5 0.5 0.25 0.5\n")
    (folder / "other.yaml").write_bytes(b"lr: [K\xe4fer")
    assert boxes_of(read_yolo(folder, images))["a.jpg"][0][0] == "cat"


def test_names_may_be_anchored(images: Folder, tmp_path: Path) -> None:
    folder = labels(tmp_path, "0 0.5 0.5 0.25 0.5\n")
    (folder / "classes.txt").unlink()
    write_text(folder / "data.yaml", "base: &b {nc: 1}\n<<: *b\nnames: {0: cat}\n")
    assert boxes_of(read_yolo(folder, images))["a.jpg"][0][0] == "cat"


def test_no_labels(images: Folder, tmp_path: Path) -> None:
    write_text(tmp_path / "labels" / "classes.txt", "cat\n")
    with pytest.raises(DataError, match="no .txt file of boxes"):
        read_yolo(tmp_path / "labels", images)
