"""VOC's XML files: what is certain is read, what is not is one line that names the object."""

from pathlib import Path

import pytest

from bana.data.annotations import Annotation, read_annotation, read_named, write_annotation
from bana.data.checks import DataError

BOX = "<bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>3.0</xmax><ymax>4</ymax></bndbox>"
OBJECT = f"<object><name> big  cat </name>{BOX}</object>"


def written(folder: Path, inside: str) -> Path:
    path = folder / "a.xml"
    path.write_text(f"<annotation>{inside}</annotation>", encoding="utf-8")
    return path


def test_what_is_read(tmp_path):
    size = "<size><width>80.0</width><height> 60 </height><depth>3</depth></size>"
    path = written(tmp_path, size + OBJECT + OBJECT.replace("object", "crowd"))
    thing = ("big cat", [1, 2.5, 3, 4])
    assert read_annotation(path) == Annotation([thing], [thing], (80, 60))


@pytest.mark.parametrize("size", ["", "<size/>", "<size><width>0</width><height>0</height></size>"])
def test_sizes_that_nobody_says(tmp_path, size):
    assert read_annotation(written(tmp_path, size)).size is None


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("<size><width>80</width></size>", "<size> is 80 x 0"),
        ("<size><width>80.5</width><height>60</height></size>", "not a whole number"),
        ("<size><width>-80</width><height>-60</height></size>", "<size> is -80 x -60"),
        (OBJECT.replace("3.0", ""), "object 1: <xmax> is null, not a number"),
        (OBJECT.replace("3.0", "nan"), 'object 1: <xmax> is "nan", not a number'),
        (OBJECT.replace("3.0", "3,0"), "not a number"),
        (OBJECT.replace("3.0", "1_0"), "not a number"),
        (OBJECT + OBJECT.replace(BOX, ""), "object 2: no <bndbox>"),
        (OBJECT.replace(BOX, BOX + BOX), "object 1: 2 <bndbox>"),
        (OBJECT.replace("<ymin>2.5</ymin>", ""), "object 1: no <ymin> in <bndbox>"),
        (OBJECT.replace(" big  cat ", " "), "object 1: <name> is empty"),
        (OBJECT.replace("<name> big  cat </name>", ""), "object 1: no <name>"),
        (OBJECT.replace("object", "Object"), "<Object> instead of <object>"),
        (OBJECT.replace("object", "objects"), "<objects> instead of <object>"),
        (OBJECT.replace("<object>", '<object xmlns="x">'), "<{x}object> instead of <object>"),
        (OBJECT.replace("3.0", "3<b/>0"), "object 1: <b> in <xmax>"),
        (OBJECT.replace("cat", "cat<i>fish</i>"), "object 1: <i> in <name>"),
        ("<filename>a.jpg</filename><filename>b.jpg</filename>", "several <filename>"),
        ("<size/><size><width>80</width><height>60</height></size>", "several <size>"),
        ("<size><width>80</width><width>8</width></size>", "several <width>"),
    ],
    ids=range(20),
)
def test_what_is_refused(tmp_path, inside, reason):
    path = written(tmp_path, inside)
    with pytest.raises(DataError) as caught:
        read_annotation(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: not a VOC annotation: ") and reason in told
    assert "\n" not in told


@pytest.mark.parametrize(
    "content",
    [b"", b"<annotation>", b"<annotation>\xff</annotation>", b"<?xml encoding='x'?><annotation/>"]
    + [b"<?xml version='1.0' encoding='klingon'?><annotation/>"],
    ids=range(5),
)
def test_no_xml(tmp_path, content):
    path = tmp_path / "a.xml"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.xml: not well-formed XML"):
        read_annotation(path)


@pytest.mark.parametrize(
    ("said", "expected"),
    [("b.jpg", "b.jpg"), ("/home/x/b.jpg", "b.jpg"), ("C:\\x\\b.jpg", "b.jpg"), (" ", None)],
    ids=range(4),
)
def test_the_photograph_that_a_file_names(tmp_path, said, expected):
    assert read_named(written(tmp_path, f"<filename>{said}</filename>"))[1] == expected
    assert read_named(written(tmp_path, ""))[1] is None


def test_what_is_written_names_its_photograph(tmp_path):
    path = tmp_path / "a.b.xml"
    write_annotation(path, Annotation([], [], None))
    assert read_named(path)[1] == "a.b.jpg"
    write_annotation(path, Annotation([], [], None), image="a.b.png")
    assert read_named(path)[1] == "a.b.png"


def test_a_box_that_cvat_turned_is_refused(tmp_path):
    """Its file for VOC has the corners before the turn, and an attribute that says so."""

    def turned(value: str) -> Path:
        more = f"<attribute><name>rotation</name><value>{value}</value></attribute>"
        end = f"<attributes>{more}</attributes></object>"
        return written(tmp_path, OBJECT.replace("</object>", end))

    for value in ("0.0", "360", "to the left"):
        assert len(read_annotation(turned(value)).objects) == 1
    with pytest.raises(
        DataError, match=r"object 1: its attribute rotation .* turned by 33 degrees"
    ):
        read_annotation(turned("33.0"))
