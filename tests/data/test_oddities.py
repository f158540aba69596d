"""What is seldom meant is counted and named, and what is usual is not."""

from pathlib import Path

import pytest
from links import linked
from PIL import Image

from bana.data.layout import Box, Photograph
from bana.data.oddities import (
    notes_on_boxes,
    notes_on_classes,
    notes_on_folder,
    notes_on_photographs,
    visible_files,
)


def boxes(*corners: tuple, kind: str = "cat") -> list[Box]:
    return [Box(kind, tuple(map(float, c)), f"b.csv:{n}") for n, c in enumerate(corners, 2)]


def named(things: list[Box], note: str | None = None) -> Photograph:
    return Photograph("a", Path("a.jpg"), "b.csv:2", things, [], None, note)


def test_narrow_boxes():
    odd = named(boxes((1, 1, 5, 5), (1, 1, 1.5, 5), (7, 2, 9, 2.9)))
    assert list(notes_on_boxes([odd], [(80, 60)])) == [
        "boxes narrower than a pixel (2): b.csv:3, b.csv:4"
    ]
    assert not list(notes_on_boxes([named(boxes((1, 1, 2, 2)))], [(80, 60)]))


@pytest.mark.parametrize(
    ("count", "largest", "size", "told"),
    [(10, 100, (640, 480), 1), (9, 100, (640, 480), 0), (10, 101, (640, 480), 0)]
    + [(10, 100, (640, 200), 0)],
    ids=range(4),
)
def test_percent(count, largest, size, told):
    many = named(boxes(*[(2, 3, 50, 60 - n) for n in range(count - 1)], (2, 3, largest, 60)))
    assert len(list(notes_on_boxes([many], [size]))) == told


def test_boxes_that_stick_out_a_little():
    """All of them by one pixel: most likely counted from 1 and read as from 0."""
    out = boxes((-1, 1, 9, 9), (1, 1, 81, 9), (1, 1, 9, 62), (0, 0, 80.01, 60))
    things = [named(out[:1]), named(out[1:2] + out[3:]), named(out[2:3])]
    assert list(notes_on_boxes(things, [(80, 60)] * 3)) == [
        "boxes that stick out by up to 2 pixels, cut off there (3): b.csv:2, b.csv:3, b.csv:4"
    ]


def test_the_same_box_twice():
    same = boxes((1, 1, 9, 9), (1, 1, 9, 9), (1, 1, 9, 8), (1, 1, 9, 9))
    other = boxes((1, 1, 9, 8), kind="dog")
    assert list(notes_on_boxes([named(same + other)], [(80, 60)])) == [
        "the same box and class twice (2): b.csv:3, b.csv:5"
    ]
    # In two photographs it is nothing special.
    assert not list(notes_on_boxes([named(same[:1]), named(same[:1])], [(80, 60)] * 2))


def test_classes():
    names = ("background", "cat", "Cat", "c-at", "dog", "pets")
    things = boxes((1, 1, 5, 5)) + boxes((1, 1, 5, 5), kind="Cat")
    notes = list(notes_on_classes(names, things))
    assert notes[0] == "classes without a box here (3): c-at, dog, pets"
    assert notes[1].startswith("are these one class? Cat (1 box), c-at (0 boxes), cat (1 box)")
    assert not list(notes_on_classes(("background", "cat"), boxes((1, 1, 5, 5))))


def test_notes_of_photographs_are_told_once_a_kind():
    odd = [named([], "turned"), named([], "named otherwise"), named([], "turned"), named([])]
    assert list(notes_on_photographs(odd)) == [
        "turned (2): b.csv:2, b.csv:2",
        "named otherwise (1): b.csv:2",
    ]


def test_files_that_nothing_names(tmp_path):
    for name in ("a.jpg", "b.JPG", "more/c.png", ".hidden.jpg", "._a.jpg", "out/a.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6)).save(path, format="PNG")
    for name in ("d.webp", "e.webp", "notes"):
        (tmp_path / name).touch()
    notes = list(notes_on_folder(tmp_path, [tmp_path / "a.jpg"], tmp_path / "out"))
    assert notes[0] == "photographs that nothing names (2): b.JPG, more/c.png"
    assert notes[1].endswith("are no .jpg, .jpeg, .png: 2 .webp, 1 no ending")


def test_every_file_below_a_folder(tmp_path):
    """Links are followed, those that lead back once; what is hidden is left out."""
    top, store = tmp_path / "top", tmp_path / "store"
    for path in (top / "a.xml", top / ".checkpoints/a.xml", top / "._a.xml", store / "b.xml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    linked(top / "day 1", store)
    linked(top / "day 2", store)
    linked(top / "c.xml", tmp_path / "nowhere")
    linked(store / "up", top)
    found = {path.relative_to(top).as_posix() for path in visible_files(top)}
    assert found == {"a.xml", "c.xml", "day 1/b.xml", "day 2/b.xml"}
