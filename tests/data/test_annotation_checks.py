"""What an XML file says against its photograph; test_voc.py tries who reads one."""

from pathlib import Path

import pytest
from PIL import Image

from bana.data.annotation_checks import before_first, names_other, other_photograph, other_size


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.v2.PNG", "cam/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 3)).save(tmp_path / name)
    return tmp_path


def test_a_size_that_is_said_must_be_the_photographs():
    assert other_size(None, (4, 3)) is None and other_size((4, 3), (4, 3)) is None
    assert other_size((3, 4), (4, 3)) == "says 3 x 4, but the photograph has 4 x 3"
    assert other_size((3, 4), (4, 3), "a.jpg") == "says 3 x 4, but a.jpg has 4 x 3"


@pytest.mark.parametrize("said", [None, "a", "a.jpg", "a.PNG", "a.bmp"])
def test_another_ending_is_no_other_photograph(said, images):
    assert not names_other("a", said)
    assert other_photograph(images / "a.jpg", "a", said, (images,)) is None


def test_another_photograph_counts_where_it_is_there(images):
    image = images / "a.jpg"
    for said in ("b.v2.PNG", "b.v2", "b.v2.jpg"):
        told = other_photograph(image, "a", said, (images,))
        assert names_other("a", said) and told is not None
        assert told.startswith("is called as a.jpg is and says in <filename> that it is about b.v2")
    assert names_other("a", "IMG_7.jpg")
    assert other_photograph(image, "a", "IMG_7.jpg", (images,)) is None
    assert other_photograph(image, "a", "c.jpg", (images,)) is None
    assert other_photograph(image, "a", "c.jpg", (images / "cam", images)) is not None


@pytest.mark.parametrize(
    ("corner", "refused"), [(1, False), (0.99, False), (0.51, False), (0.5, True), (0, True)]
)
def test_boxes_that_were_counted_from_0(corner, refused):
    told = before_first("object 2", [3, corner, 9, 8])
    assert bool(told) == refused
    if told:
        assert told.startswith(f"object 2: begins at {corner:g}, but VOC counts pixels from 1")
