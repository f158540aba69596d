"""Boxes from format to format and back, by the real writers and readers."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photos import write_photo
from pycocotools.coco import COCO

from bana.commands import data as commands
from bana.commands.main import main
from bana.data import exporting
from bana.data.annotations import Annotation, write_annotation
from bana.data.exporting import Exported, export_boxes
from bana.data.importing import import_boxes
from bana.data.voc import DataError, VocDataset

KINDS = ("cat", "traffic light", "größe/2", "Cat", "0")
SIDES = (7, 640)
NAMES = ("a", "b c", "größe 1", "x.y")


@st.composite
def boxes_in(draw, size: tuple[int, int]) -> tuple[str, list[float]]:
    """A class and a box of at least a pixel inside a photograph, XYXY, half-open."""
    whole = draw(st.booleans())
    corners = []
    for side in size:
        number = st.integers(0, side) if whole else st.floats(0, side, allow_subnormal=False)
        low, high = sorted(draw(st.tuples(number, number)))
        low = min(low, side - 1)
        corners.append((float(low), float(max(high, low + 1))))
    (x1, x2), (y1, y2) = corners
    if max(x2, y2) <= 1:  # which would be fractions of the photograph
        x2 = 2.0
    return draw(st.sampled_from(KINDS)), [x1, y1, x2, y2]


@st.composite
def photographs(draw) -> dict[str, tuple[tuple[int, int], list]]:
    """{name: (width, height) and boxes}, one to three photographs with boxes."""
    made = {}
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)):
        size = draw(st.tuples(st.integers(*SIDES), st.integers(*SIDES)))
        made[name] = size, draw(st.lists(boxes_in(size), min_size=1, max_size=4))
    return made


def things_of(root: Path) -> dict[str, list[tuple[str, list[float]]]]:
    """Classes and boxes of a data set, XYXY, half-open, by the photograph's id."""
    found = VocDataset(root, "train")
    things = {}
    for name in found.ids:
        boxes, labels = found.annotation(name)
        kinds = [found.classes[number] for number in labels.tolist()]
        things[name] = list(zip(kinds, boxes.tolist(), strict=True))
    return things


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(given_boxes=photographs())
def test_voc_to_coco_to_yolo_to_voc(given_boxes: dict, tmp_path_factory) -> None:
    """VOC's XML, imported; exported as COCO's JSON and imported; as YOLO's text and imported."""
    here = tmp_path_factory.mktemp("round")
    for name, (size, things) in given_boxes.items():
        write_photo(here / "im" / f"{name}.png", size)
        voc = [(kind, [x1 + 1, y1 + 1, x2, y2]) for kind, (x1, y1, x2, y2) in things]
        write_annotation(here / "xml" / f"{name}.xml", Annotation(voc, [], size))
    import_boxes("voc", here / "xml", here / "im", here / "1", convention="voc")
    export_boxes("coco", here / "1", "train", here / "boxes.json")
    import_boxes("coco", here / "boxes.json", here / "1/JPEGImages", here / "2")
    export_boxes("yolo", here / "2", "train", here / "yolo")
    import_boxes("yolo", here / "yolo", here / "2/JPEGImages", here / "3")
    first = {
        name.replace(" ", "_"): [(kind, box) for kind, box in things]
        for name, (_, things) in given_boxes.items()
    }
    for step in ("1", "2", "3"):
        found = things_of(here / step)
        assert found.keys() == first.keys()
        for name, things in first.items():
            assert [kind for kind, _ in found[name]] == [kind for kind, _ in things]
            for (_, box), (_, own) in zip(found[name], things, strict=True):
                assert box == pytest.approx(own, abs=0.5 if step == "3" else 1e-3)
    assert VocDataset(here / "3", "train").classes == VocDataset(here / "1", "train").classes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data set of two photographs, one without a box, and a crowd."""
    for name in ("a", "b"):
        write_photo(tmp_path / f"voc/JPEGImages/{name}.jpg")
    things = Annotation([("cat", [21, 11, 60, 50])], [("dog", [1, 1, 10, 10])], (80, 60))
    write_annotation(tmp_path / "voc/Annotations/a.xml", things)
    write_annotation(tmp_path / "voc/Annotations/b.xml", Annotation([], [], (80, 60)))
    (tmp_path / "voc/ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "voc/ImageSets/Segmentation/train.txt").write_text("a\nb\n")
    (tmp_path / "voc/classes.txt").write_text("background\ncat\ndog\n")
    return tmp_path


def test_coco_as_its_own_library_reads_it(folder: Path, capsys) -> None:
    out = folder / "boxes.json"
    words = ["data", "export", "--format", "coco", "--data", str(folder / "voc")]
    assert main([*words, "--out", str(out)]) == 0
    assert "train: 2 photographs, 1 box, 1 crowd" in capsys.readouterr().out
    coco = COCO(out)
    assert [image["file_name"] for image in coco.imgs.values()] == ["a.jpg", "b.jpg"]
    assert [each["name"] for each in coco.cats.values()] == ["cat", "dog"]
    (one,) = coco.loadAnns(coco.getAnnIds(iscrowd=False))
    assert one["bbox"] == [20, 10, 40, 40] and one["area"] == 1600 and one["category_id"] == 1
    (crowd,) = coco.loadAnns(coco.getAnnIds(iscrowd=True))
    assert crowd["bbox"] == [0, 0, 10, 10] and crowd["category_id"] == 2


def test_yolo_has_no_crowds_and_says_so(folder: Path, capsys) -> None:
    words = ["data", "export", "--format", "yolo", "--data", str(folder / "voc")]
    assert main([*words, "--out", str(folder / "yolo")]) == 0
    told = capsys.readouterr()
    assert "1 crowd left out" in told.err
    text = (folder / "yolo/labels/a.txt").read_text()
    assert text == "0 0.50000000 0.50000000 0.50000000 0.66666667\n"
    assert (folder / "yolo/labels/b.txt").read_text() == ""
    held = yaml.safe_load((folder / "yolo/data.yaml").read_text())
    assert held == {"nc": 2, "names": {0: "cat", 1: "dog"}}


@pytest.mark.parametrize("kind", exporting.FORMATS)
def test_what_an_import_takes_an_export_finds_again(kind: str, folder: Path) -> None:
    """Crowds come back from COCO, and photographs without boxes where they are asked for."""
    out = folder / "out.json" if kind == "coco" else folder / "out"
    made = export_boxes(kind, folder / "voc", "train", out)
    assert made == Exported(2, 1, int(kind == "coco"), int(kind == "yolo"))
    import_boxes(kind, out, folder / "voc/JPEGImages", folder / "again", keep_empty=True)
    again = VocDataset(folder / "again", "train")
    assert again.ids == ["a", "b"] and again.classes == ("background", "cat", "dog")
    assert again[0]["boxes"].tolist() == [[20, 10, 60, 50]] and again[1]["boxes"].shape == (0, 4)
    crowds = again[0].get("crowds")
    assert (crowds.tolist() == [[0, 0, 10, 10]]) if kind == "coco" else crowds is None


def test_nothing_is_written_over(folder: Path) -> None:
    out = folder / "boxes.json"
    out.write_text("mine")
    with pytest.raises(DataError, match="boxes.json: is there already: name another"):
        export_boxes("coco", folder / "voc", "train", out)
    with pytest.raises(DataError, match="lies in the data set"):
        export_boxes("coco", folder / "voc", "train", folder / "voc/Annotations/boxes.json")
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("corners", "kind", "told"),
    [
        ([21, 11, 160, 50], "cat", r"a.xml: box .* sticks out by 80 pixels"),
        ([21, 11, 60, 50], "cow", r"a.xml: unknown class 'cow'"),
    ],
    ids=["outside", "class"],
)
def test_a_wrong_data_set_is_not_exported(
    corners: list[float], kind: str, told: str, folder: Path
) -> None:
    things = Annotation([(kind, corners)], [], (80, 60))
    write_annotation(folder / "voc/Annotations/a.xml", things)
    with pytest.raises(DataError, match=told):
        export_boxes("yolo", folder / "voc", "train", folder / "yolo")
    assert not (folder / "yolo").exists()


def test_choices_are_those_of_the_package() -> None:
    assert exporting.FORMATS == commands.EXPORTS
    with pytest.raises(ValueError, match="no export of boxes as 'csv': use coco or yolo"):
        export_boxes("csv", Path("voc"), "train", Path("out"))


def test_names_that_are_no_ascii_stay_readable(folder: Path) -> None:
    (folder / "voc/classes.txt").write_text("background\ncat\ngröße\n", encoding="utf-8")
    things = Annotation([("größe", [21, 11, 60, 50])], [], (80, 60))
    write_annotation(folder / "voc/Annotations/a.xml", things)
    export_boxes("coco", folder / "voc", "train", folder / "c.json")
    text = (folder / "c.json").read_text(encoding="utf-8")
    assert "größe" in text and json.loads(text)["categories"][1]["name"] == "größe"
