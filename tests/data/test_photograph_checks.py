"""Photographs and their boxes before an import: all that is wrong is told, nothing is guessed."""

from pathlib import Path

import pytest
from PIL import Image

from bana.data.layout import Box, Photograph
from bana.data.photograph_checks import checked

SIZE = (80, 60)
BOX = Box("cat", (20.0, 15.0, 50.0, 45.0), "b.csv:2")


def photograph(folder: Path, turned: int = 1, size=None, boxes=(BOX,), shape=SIZE) -> Photograph:
    path = folder / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = turned
    Image.new("RGB", shape).save(path, exif=exif)
    return Photograph("a", path, "b.csv:2", list(boxes), [], size)


def test_nothing_wrong(tmp_path):
    assert checked(photograph(tmp_path, size=SIZE)) == (SIZE, [], None)
    assert checked(photograph(tmp_path)) == (SIZE, [], None)


@pytest.mark.parametrize(
    ("turned", "size", "shape", "problem", "note"),
    [
        (6, None, SIZE, "nothing says whether its boxes are turned too", None),
        (3, None, SIZE, "nothing says whether its boxes are turned too", None),
        (6, (60, 80), SIZE, "has 80 x 60 as stored, and EXIF turns it (orientation 6)", None),
        (6, SIZE, SIZE, None, None),
        (3, SIZE, SIZE, None, "turned by EXIF (orientation 3), which is not applied"),
        (6, (80, 80), (80, 80), None, "turned by EXIF (orientation 6), which is not applied"),
        (1, (60, 80), SIZE, "says 60 x 80, but", None),
        (6, (800, 600), SIZE, "says 800 x 600, but", None),
    ],
    ids=range(8),
)
def test_photographs_that_exif_turns(tmp_path, turned, size, shape, problem, note):
    found = checked(photograph(tmp_path, turned, size, shape=shape))
    assert found.note == note and len(found.problems) == bool(problem)
    assert all(problem in told for told in found.problems)


def test_all_boxes_at_fault_are_told(tmp_path):
    wrong = [(0, 0, 300, 4), (5, 5, 5, 9), (0.25, 0.25, 0.5, 0.75), (90, 1, 95, 4)]
    boxes = [Box("cat", box, f"b.csv:{n}") for n, box in enumerate(wrong, 2)]
    found = checked(photograph(tmp_path, boxes=(BOX, *boxes)))
    assert [told.split(": ")[0] for told in found.problems] == [f"b.csv:{n}" for n in range(2, 6)]


def test_photographs_that_cannot_be_used(tmp_path):
    good = photograph(tmp_path)
    cut = good.path.read_bytes()[:-100]
    good.path.write_bytes(cut)
    assert "cannot be read as an image" in checked(good).problems[0]
    assert "no such file" in checked(good._replace(path=tmp_path / "b.jpg")).problems[0]
    assert "convert it" in checked(good._replace(path=tmp_path / "b.webp")).problems[0]
