"""Photographs are found by what annotation files call them, and never another one."""

import math
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from photos import folder_of, write_photo, write_text

from bana.data.formats.common import (
    Folder,
    around,
    cut_off,
    in_order,
    number,
    one_line,
    path_of_url,
    trimmed,
    turned,
    whole,
)
from bana.data.voc_files import DataError


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", "a.jpg"),
        ("x/a.jpg", "x/a.jpg"),
        ("b c.jpg", "y/b c.jpg"),
        ("/data/photos/y/b c.jpg", "y/b c.jpg"),
        ("..\\photos\\x\\a.jpg", "x/a.jpg"),
        ("./x/a.jpg", "x/a.jpg"),
        ("gro\u0308\u00dfe.PNG", "gr\u00f6\u00dfe.PNG"),
    ],
    ids=["name", "path", "in-a-subfolder", "absolute", "windows", "dot", "accents-apart"],
)
def test_a_photograph_is_found_by_its_name(name: str, found: str, tmp_path: Path) -> None:
    names = ("a.jpg", "x/a.jpg", "y/b c.jpg", "gr\u00f6\u00dfe.PNG")
    images = folder_of(tmp_path, *names)
    assert images.named(name, "here") == tmp_path / found


def test_a_photograph_of_another_folder_is_another(tmp_path: Path) -> None:
    images = folder_of(tmp_path, "val/a.jpg")
    assert not images.named("train/a.jpg", "here").exists()
    assert not images.named("b.jpg", "here").exists()


def test_a_list_names_what_lies_there_before_what_is_called_alike(tmp_path: Path) -> None:
    images = folder_of(tmp_path, ".kept/a.jpg", "a.jpg", "x/b.jpg")
    for name, found, own in (
        (".kept/a.jpg", ".kept/a.jpg", ".kept_a"),
        ("/data/a.jpg", "a.jpg", "a"),
        ("b.jpg", "x/b.jpg", "x_b"),
        ("y/c.jpg", "y/c.jpg", "y_c"),
    ):
        photograph = images.listed(name, "here")
        assert (photograph.path, photograph.name) == (tmp_path / found, own)
    for name in ("../a.jpg", "x/../a.jpg", "/data/../a.jpg", "..\\a.jpg"):
        with pytest.raises(DataError, match="here: .* is no file in the folder of the photographs"):
            images.listed(name, "here")


def test_a_name_of_two_photographs_is_refused(tmp_path: Path) -> None:
    images = folder_of(tmp_path, "x/a.jpg", "y/a.jpg")
    with pytest.raises(DataError, match=r"^here: 'a.jpg' may be x/a.jpg or y/a.jpg in .*: name it"):
        images.named("a.jpg", "here")
    assert images.named("y/a.jpg", "here") == tmp_path / "y/a.jpg"
    with pytest.raises(DataError, match="names no photograph"):
        images.named(" ", "here")


def test_a_file_has_the_boxes_of_the_photograph_of_its_stem(tmp_path: Path) -> None:
    images = folder_of(tmp_path, "x/a.JPG", "b.png")
    assert images.of_stem(Path("x/a.txt"), "here") == tmp_path / "x/a.JPG"
    for other in ("a.txt", "labels/x/a.txt", "b.txt", "labels/b.txt"):
        assert images.of_stem(Path(other), "here").is_file(), "more folders, or fewer"
    for other in ("y/a.txt", "c.txt"):
        assert not images.of_stem(Path(other), "here").exists()
    write_photo(tmp_path / "b.jpg")
    with pytest.raises(DataError, match=r"here: may be of b.jpg or of b.png: rename one"):
        Folder(tmp_path).of_stem(Path("b.txt"), "here")
    assert Folder(tmp_path).of_stem(Path("b.txt"), "here", "b.png") == tmp_path / "b.png"


def test_a_stem_of_photographs_in_two_folders_is_the_nearest_one_or_none(tmp_path: Path) -> None:
    images = folder_of(tmp_path, "a.jpg", "x/a.jpg", "x/b.jpg", "y/b.jpg")
    assert images.of_stem(Path("a.txt"), "here") == tmp_path / "a.jpg"
    assert images.of_stem(Path("labels/x/a.txt"), "here") == tmp_path / "x/a.jpg"
    with pytest.raises(DataError, match="may be of x/b.jpg or of y/b.jpg"):
        images.of_stem(Path("b.txt"), "here")
    assert [each.name for each in images.of_bare_stem("b")] == ["b.jpg", "b.jpg"]


def test_hidden_files_and_other_files_are_no_photographs(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.jpg", "._a.jpg", "deep/er/b.webp")
    write_text(tmp_path / "a.txt", "")
    assert [path.name for path in Folder(tmp_path).paths] == ["a.jpg", "b.webp"]
    with pytest.raises(DataError, match="no such folder of photographs"):
        Folder(tmp_path / "none")


def test_urls_are_paths() -> None:
    assert path_of_url("/data/local-files/?d=x/a%20b.jpg") == "x/a b.jpg"
    assert path_of_url("s3://bucket/x/a%20b.jpg?sign=1") == "/x/a b.jpg"
    assert path_of_url("https://host/x/a.jpg") == "/x/a.jpg"
    assert path_of_url("x/a b.jpg") == "x/a b.jpg"


@pytest.mark.parametrize(
    "value", [None, "x", True, math.nan, "nan", [], {}, "2_0", "\u0661"], ids=range(9)
)
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="^here: width is .*, not a number$"):
        number(value, "here", "width")


def test_numbers_that_are_certain_are_read() -> None:
    assert number("80.5", "here", "width") == 80.5
    assert whole(80.0, "here", "width") == whole("80", "here", "width") == 80
    for value in (80.5, -1):
        with pytest.raises(DataError, match="not a whole number from 0 up"):
            whole(value, "here", "width")


def test_names_are_one_line() -> None:
    assert one_line(" traffic \n light ", "here", "the label") == "traffic light"
    for value in ("", " ", 3, None, "a\x00b", "\ud800"):
        with pytest.raises(DataError, match="^here: the label (is|holds) "):
            one_line(value, "here", "the label")


def test_turned_boxes() -> None:
    quarter = turned((10, 20, 30, 26), 90, (20, 23))
    assert around(quarter) == pytest.approx((17, 13, 23, 33))
    # Clockwise as it is seen, y pointing down: the right end of a flat box goes down.
    (_, left), (_, right), *_ = turned((10, 20, 30, 20), 30, (20, 20))
    assert right > 20 > left
    assert around([(-5, 70), (100, 50)]) == (-5, 50, 100, 70)


def test_what_sticks_out_far_is_trimmed_nowhere_and_cut_off_in_words() -> None:
    assert trimmed((-2, 0.5, 81.5, 60), (80, 60)) == (0, 0.5, 80, 60)
    assert trimmed((-300, 0, 20, 20), (80, 60)) == (-300, 0, 20, 20)
    counts = Counter()
    assert cut_off((1, 2, 80 + 1e-9, 60), (80, 60), counts) == (1, 2, 80, 60) and not counts
    assert cut_off((-5, 50, 100, 70), (80, 60), counts) == (0, 50, 80, 60)
    assert list(counts.values()) == [1]


def test_photographs_are_in_the_same_order_on_windows() -> None:
    names = ["b.jpg", "A/c.jpg", "a.jpg", "C.jpg", "a/b.jpg", "A-1/b.jpg"]
    orders = [
        [path.as_posix() for path in in_order(map(kind, names))]
        for kind in (PurePosixPath, PureWindowsPath)
    ]
    assert orders[0] == orders[1] == [str(path) for path in sorted(map(PurePosixPath, names))]
