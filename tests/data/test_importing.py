"""Boxes from VOC XML, COCO JSON and CSV: the same boxes come out, and mistakes name their line."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from links import linked
from PIL import Image

from bana.commands import data
from bana.data import layout
from bana.data.annotations import Annotation, read_annotation, write_annotation
from bana.data.importing import import_boxes
from bana.data.verify import verify
from bana.data.voc import DataError, VocDataset

WIDTH, HEIGHT = 224, 168
HEADER = "image,xmin,ymin,xmax,ymax,class\n"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("zebra 1.jpg", "meadow.jpg", "deep/a.PNG"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((HEIGHT, WIDTH, 3), len(name), np.uint8)
        Image.fromarray(pixels).save(path, format="PNG" if name.endswith("PNG") else "JPEG")
    return folder


def written_csv(images: Path, text: str) -> Path:
    path = images.parent / "boxes.csv"
    path.write_text(HEADER + text, encoding="utf-8")
    return path


def by_csv(images: Path, text: str, **options) -> VocDataset:
    out = images.parent / "out"
    import_boxes("csv", written_csv(images, text), images, out, **options)
    return VocDataset(out, options.get("split", "train"))


def boxes_of(dataset: VocDataset, name: str) -> torch.Tensor:
    return dataset.annotation(name)[0].as_subclass(torch.Tensor)


def test_example_of_the_help(images):
    lines = [line.strip() for line in data.IMPORT.splitlines() if "," in line]
    start = lines.index(HEADER.strip())
    dataset = by_csv(images, "\n".join(lines[start + 1 : start + 4]), keep_empty=True)
    assert dataset.classes == ("background", "bird", "zebra")
    assert dataset.ids == ["zebra_1", "meadow"]
    item = dataset[0]
    assert item["boxes"].tolist() == [[0, 12, 224, 168], [30.5, 40, 61, 90.25]]
    assert item["labels"].tolist() == [2, 1]
    assert len(dataset[1]["boxes"]) == 0


@st.composite
def some_boxes(draw) -> list[tuple[float, float, float, float]]:
    """Boxes inside the image in hundredths of a pixel, as COCO has them."""

    def side(limit: int) -> tuple[float, float]:
        low = draw(st.integers(0, limit * 100 - 1))
        # A box in the first pixel is taken for fractions, and refused.
        return low / 100, draw(st.integers(max(low + 1, 101), limit * 100)) / 100

    boxes = []
    for _ in range(draw(st.integers(1, 4))):
        (x1, x2), (y1, y2) = side(WIDTH), side(HEIGHT)
        boxes.append((x1, y1, x2, y2))
    return boxes


@pytest.mark.parametrize("kind", ["csv", "csv-voc", "coco", "voc"])
@given(boxes=some_boxes())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_boxes_come_back_exactly(images, kind, boxes):
    out = images.parent / f"out-{kind}"
    path = images.parent / "boxes"
    shift = 1 if kind == "csv-voc" else 0
    if kind == "voc":
        path = images.parent / "meadow.xml"
        corners = [[x1 + 1, y1 + 1, x2, y2] for x1, y1, x2, y2 in boxes]
        write_annotation(path, Annotation([("cat", box) for box in corners], [], None))
    elif kind == "coco":
        file = coco_file(boxes)
        path.write_text(json.dumps(file))
        sides = [annotation["bbox"] for annotation in file["annotations"]]
        boxes = [(x, y, x + width, y + height) for x, y, width, height in sides]
    else:
        lines = [f"meadow.jpg,{x1 + shift},{y1 + shift},{x2},{y2},cat" for x1, y1, x2, y2 in boxes]
        path.write_text(HEADER + "\n".join(lines))
    convention = "voc" if kind == "csv-voc" else None
    import_boxes(kind.split("-")[0], path, images, out, convention=convention)
    read = boxes_of(VocDataset(out, "train"), "meadow")
    # COCO's upper corners are sums and may stick out by a rounding, which reading clips.
    limits = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    assert torch.equal(read, torch.tensor(boxes).minimum(limits))


def coco_file(boxes: list, **changes) -> dict:
    annotations = [
        {"id": number, "image_id": 7, "category_id": 3, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for number, (x1, y1, x2, y2) in enumerate(boxes)
    ]
    image = {"id": 7, "file_name": "meadow.jpg", "width": WIDTH, "height": HEIGHT}
    file = {"images": [image], "categories": [{"id": 3, "name": "traffic light"}]}
    return {**file, "annotations": annotations, **changes}


def test_xml_of_other_programs(images):
    folder = images.parent / "xml"
    annotation = Annotation(
        [("cat", [10.0, 20.0, 30.0, 40.0])], [("cat", [1, 1, 5, 5])], (WIDTH, HEIGHT)
    )
    write_annotation(folder / "zebra 1.xml", annotation)
    out = images.parent / "out"
    import_boxes("voc", folder, images, out)
    assert read_annotation(out / "Annotations" / "zebra_1.xml") == annotation
    assert VocDataset(out, "train")[0]["crowds"].tolist() == [[0, 0, 5, 5]]
    import_boxes("voc", folder, images, out, convention="half-open")
    assert boxes_of(VocDataset(out, "train"), "zebra_1").tolist() == [[10, 20, 30, 40]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("meadow.jpg,1,2,3,4,unicorn\n", "boxes.csv:2: unknown class 'unicorn'; there is cat"),
        ("\nmeadow.jpg,1,2,300,4,cat\n", "boxes.csv:3: box (1, 2, 300, 4), 0-based half-open, st"),
        ("meadow.jpg,5,2,3,4,cat\n", "boxes.csv:2: box (5, 2, 3, 4), 0-based half-open, is inv"),
        ("meadow.jpg,3,2,3,4,cat\n", "is empty"),
        ("meadow.jpg,3,nan,5,4,cat\n", 'boxes.csv:2: ymin is "nan", not a number'),
        ("meadow.jpg,1,2,3,4,cat\nforest.jpg,1,2,3,4,cat\n", "boxes.csv:3: "),
        ("forest.jpg,1,2,3,4,cat\n", "forest.jpg: no such file"),
        ("meadow.jpg,1,2,3,four,cat\n", 'boxes.csv:2: ymax is "four", not a number'),
        ("meadow.jpg,1,2,3,4\n", "boxes.csv:2: 5 fields, not 6"),
        ("meadow.jpg,1,2,3,4,\n", "boxes.csv:2: a box without a class"),
        ("../boxes.csv,1,2,3,4,cat\n", "boxes.csv:2: '../boxes.csv' is no file in the folder"),
        ("meadow.gif,1,2,3,4,cat\n", "convert it"),
        (
            "meadow.jpg,1,2,3,4,cat\n./meadow.jpg,1,2,3,4,cat\n",
            "boxes.csv:3: id 'meadow' a second time, after ",
        ),
        ("meadow.jpg,,,,,\n", "boxes.csv: none of 1 photograph has a box: nothing to write"),
    ],
)
def test_mistakes_name_file_and_line(images, text, reason):
    classes = images.parent / "classes.txt"
    classes.write_text("cat\n")
    with pytest.raises(DataError) as caught:
        by_csv(images, text, classes=classes)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert not (images.parent / "out").exists(), "nothing is written before everything is checked"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": []}, "annotation 0: there is no image 7"),
        ({"categories": []}, "annotation 0: unknown category 3"),
        ({"categories": [{"id": 3}]}, "categories 1: no 'name'"),
        ({"categories": [{"id": 3, "name": "a"}] * 2}, "categories: id 3 occurs twice"),
        ({"categories": [{"id": i, "name": "a"} for i in (3, 4)]}, "class 'a' occurs twice"),
        ({"annotations": 3 * [{"id": 1, "image_id": 7}]}, "annotations 1: no 'category_id'"),
    ],
)
def test_mistakes_in_json(images, changes, reason):
    path = images.parent / "boxes.json"
    path.write_text(json.dumps(coco_file([(1, 2, 3, 4)], **changes)))
    with pytest.raises(DataError) as caught:
        import_boxes("coco", path, images, images.parent / "out")
    assert reason in str(caught.value)


@pytest.mark.parametrize("box", [(9, 2, 3, 4), (1, 2, 300, 4)])
def test_bad_boxes_in_json(images, box):
    path = images.parent / "boxes.json"
    path.write_text(json.dumps(coco_file([(1, 2, 3, 4), box])))
    with pytest.raises(DataError, match=r"boxes\.json: annotation 1: box"):
        import_boxes("coco", path, images, images.parent / "out")


def test_a_photograph_with_boxes_and_again_without_is_refused(images):
    """Whichever counts, half of the file was meant otherwise."""
    path, out = images.parent / "boxes.json", images.parent / "out"
    file = coco_file([(1, 2, 3, 4)])
    again = {**file["images"][0], "id": 8}
    for listed in ([*file["images"], again], [again, *file["images"]]):
        path.write_text(json.dumps({**file, "images": listed}))
        with pytest.raises(DataError, match=r"image 8: id 'meadow' a second time, after .*image 7"):
            import_boxes("coco", path, images, out)
    # Another file of the same id, without a box, is left out and takes no name away.
    other = {**again, "file_name": "meadow.png"}
    path.write_text(json.dumps({**file, "images": [*file["images"], other]}))
    assert import_boxes("coco", path, images, out).left_out == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"annotations": 3}'])
def test_no_such_json(images, text):
    path = images.parent / "boxes.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"boxes\.json: "):
        import_boxes("coco", path, images, images.parent / "out")


def test_size_in_xml_must_be_the_photographs(images):
    path = images.parent / "meadow.xml"
    write_annotation(path, Annotation([("cat", [1, 1, 5, 5])], [], (WIDTH * 2, HEIGHT * 2)))
    with pytest.raises(DataError, match=r"meadow\.xml: says 448 x 336, but .* has 224 x 168"):
        import_boxes("voc", path, images, images.parent / "out")


def test_photographs_without_boxes_are_left_out_unless_asked_for(images):
    text = "meadow.jpg,,,,,\nzebra 1.jpg,1,2,3,4,zebra\n"
    assert by_csv(images, text).ids == ["zebra_1"]
    assert by_csv(images, text, keep_empty=True).ids == ["meadow", "zebra_1"]


def test_classes_stay_those_of_the_data_set(images):
    classes = images.parent / "own.txt"
    classes.write_text("zebra\nant\n")
    assert by_csv(images, "meadow.jpg,1,2,3,4,ant\n", classes=classes).classes[1:] == (
        "zebra",
        "ant",
    )
    val = by_csv(images, "zebra 1.jpg,1,2,3,4,zebra\n", split="val")
    assert val.classes[1:] == ("zebra", "ant") and val[0]["labels"].tolist() == [1]
    with pytest.raises(DataError, match="unknown class 'bee'"):
        by_csv(images, "zebra 1.jpg,1,2,3,4,bee\n", split="val")
    classes.write_text("ant\nzebra\n")
    with pytest.raises(DataError, match="other classes"):
        by_csv(images, "zebra 1.jpg,1,2,3,4,zebra\n", split="val", classes=classes)


def test_a_data_set_of_someone_else_is_left_alone(images):
    (images.parent / "out" / "JPEGImages").mkdir(parents=True)
    with pytest.raises(DataError, match="name another folder"):
        by_csv(images, "meadow.jpg,1,2,3,4,cat\n")


def test_interrupted_import_is_simply_repeated(images, monkeypatch):
    text = "deep/a.PNG,1,2,3,4,cat\nmeadow.jpg,1,2,3,4,cat\n"
    out = images.parent / "out"
    written = []

    def killed(path: Path, *rest) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_annotation(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(layout, "write_annotation", killed)
        with pytest.raises(KeyboardInterrupt):
            by_csv(images, text)
    assert not (out / "ImageSets").exists(), "a split that is there is complete"
    dataset = by_csv(images, text)
    assert dataset.ids == ["deep_a", "meadow"]
    assert dataset.image_path("deep_a").name == "deep_a.png"
    assert not list(out.rglob("*.tmp"))
    written.clear()
    with monkeypatch.context() as patch:
        patch.setattr(layout, "write_annotation", killed)
        with pytest.raises(KeyboardInterrupt):
            by_csv(images, text)
    assert not (out / "ImageSets" / "Segmentation" / "train.txt").exists()
    dataset = by_csv(images, text)
    assert len(dataset[0]["boxes"]) == len(dataset[1]["boxes"]) == 1


@pytest.mark.parametrize("links", [True, False])
def test_photographs_are_links_or_copies(images, monkeypatch, links):
    def refused(*_) -> None:
        raise OSError("this disk knows no links")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    dataset = by_csv(images, "meadow.jpg,1,2,3,4,cat\n")
    placed, original = dataset.image_path("meadow"), images / "meadow.jpg"
    assert placed.read_bytes() == original.read_bytes()
    assert placed.samefile(original) == links
    by_csv(images, "meadow.jpg,1,2,3,4,cat\n")
    original.unlink()
    Image.new("RGB", (WIDTH, HEIGHT)).save(original)
    with pytest.raises(DataError, match=r"meadow\.jpg: there, but it is not"):
        by_csv(images, "meadow.jpg,1,2,3,4,cat\n")
    assert placed.exists()


def test_missing_arguments_are_named(images):
    out = images.parent / "out"
    path = written_csv(images, "meadow.jpg,1,2,3,4,cat\n")
    with pytest.raises(DataError, match="no such folder of photographs"):
        import_boxes("csv", path, images / "nowhere", out)
    with pytest.raises(DataError, match="no such file of boxes"):
        import_boxes("csv", images / "nothing.csv", images, out)
    with pytest.raises(DataError, match=r"no \.xml file"):
        import_boxes("voc", images, images, out)
    for convention in ("voc", "half-open"):
        with pytest.raises(DataError, match="format coco have one convention: leave --convention"):
            import_boxes("coco", path, images, out, convention=convention)
    with pytest.raises(ValueError, match="format"):
        import_boxes("xml", path, images, out)
    with pytest.raises(DataError, match="not one plain word"):
        import_boxes("csv", path, images, out, split="a/b")
    assert not out.exists()


def xml(folder: Path, name: str, box=(10, 20, 30, 40), kind: str = "cat", more: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    corners = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    thing = f"<object><name>{kind}</name><bndbox>{corners}</bndbox></object>"
    path.write_text(f"<annotation>{more}{thing}</annotation>")
    return path


@pytest.mark.parametrize(
    "box", [(0, 0, 224, 168), (0.0, 5, 20, 30), (7, 0, 20, 30), (0.5, 0.5, 80, 80)], ids=str
)
def test_boxes_that_begin_at_0_are_asked_about(images, box):
    folder, out = images.parent / "xml", images.parent / "out"
    xml(folder, "meadow.xml", box)
    with pytest.raises(DataError, match=r"object 1: begins at 0, but VOC counts pixels from 1"):
        import_boxes("voc", folder, images, out)
    assert not out.exists()
    import_boxes("voc", folder, images, out, convention="half-open")
    assert boxes_of(VocDataset(out, "train"), "meadow")[0].tolist() == list(box)
    import_boxes("voc", folder, images, out, convention="voc")
    expected = [max(box[0] - 1, 0), max(box[1] - 1, 0), *box[2:]]
    assert boxes_of(VocDataset(out, "train"), "meadow")[0].tolist() == expected
    # What was cut off is not written: it would read as counted from 0.
    assert verify(out, workers=1).findings == []


def test_fractions_of_the_image_are_refused_in_every_format(images):
    out, box = images.parent / "out", (0.25, 0.25, 0.625, 0.75)
    csv_path = written_csv(images, "meadow.jpg," + ",".join(map(str, box)) + ",cat\n")
    json_path = images.parent / "boxes.json"
    json_path.write_text(json.dumps(coco_file([box])))
    folder = images.parent / "xml"
    xml(folder, "meadow.xml", box)
    for kind, path, convention in (
        ("csv", csv_path, None),
        ("csv", csv_path, "voc"),
        ("coco", json_path, None),
        ("voc", folder, None),
        ("voc", folder, "half-open"),
    ):
        with pytest.raises(DataError, match="lies in the first pixel: numbers from 0 to 1"):
            import_boxes(kind, path, images, out, convention=convention)
    assert not out.exists()


def test_a_file_that_names_another_photograph(images):
    folder, out = images.parent / "xml", images.parent / "out"
    xml(folder, "meadow.xml", more="<filename>zebra 1.jpg</filename>")
    with pytest.raises(DataError, match=r"is about zebra 1\.jpg: rename one of them"):
        import_boxes("voc", folder, images, out)
    for said in ("zebra 1", "C:\\\\photos\\\\zebra 1.JPG", "/home/x/zebra 1.png"):
        xml(folder, "meadow.xml", more=f"<filename>{said}</filename>")
        with pytest.raises(DataError, match="rename one of them"):
            import_boxes("voc", folder, images, out)
    xml(folder, "meadow.xml", more="<filename>IMG_0007.jpg</filename>")
    notes = import_boxes("voc", folder, images, out).notes
    assert "says in <filename> that it is about another photograph" in " ".join(notes)
    for said in ("meadow", "meadow.jpg", "photos/meadow.JPG", ""):
        xml(folder, "meadow.xml", more=f"<filename>{said}</filename>")
        assert "<filename>" not in " ".join(import_boxes("voc", folder, images, out).notes)


def test_a_file_in_a_subfolder_that_names_another_photograph_there(images):
    folder, out = images.parent / "xml", images.parent / "out"
    for name in ("cam1/a.jpg", "cam1/b.jpg", "cam2/c.jpg"):
        (images / name).parent.mkdir(exist_ok=True)
        shutil.copy(images / "meadow.jpg", images / name)
    for said in ("b.jpg", "b", "cam1/b.jpg", "meadow.jpg"):
        xml(folder, "cam1/a.xml", more=f"<filename>{said}</filename>")
        with pytest.raises(DataError, match=r"is called as a\.jpg is and says .*: rename one"):
            import_boxes("voc", folder, images, out)
    xml(folder, "cam1/a.xml", more="<filename>c.jpg</filename>")
    notes = import_boxes("voc", folder, images, out).notes
    assert "another photograph, which is not there" in " ".join(notes)


def test_capital_endings_and_folders_are_read_and_other_files_named(images):
    folder, out = images.parent / "xml", images.parent / "out"
    xml(folder, "meadow.XML")
    xml(folder, "deep/a.xml")
    xml(folder, "day 2/zebra 1.Xml", kind="Cat")
    xml(folder, "._meadow.xml").write_bytes(b"\0\5\x16\7")
    (folder / "readme.txt").touch()
    written = import_boxes("voc", folder, images, out)
    assert sorted(written.names) == ["deep_a", "meadow", "zebra_1"]
    told = "\n".join(written.notes)
    assert "do not end in .xml (1): readme.txt" in told
    assert "are these one class? Cat (1 box), cat (2 boxes)" in told


def test_same_names_in_two_folders_are_never_mixed_up(images):
    folder, out = images.parent / "xml", images.parent / "out"
    (images / "day2").mkdir()
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(images / "day2" / "meadow.jpg")
    xml(folder, "meadow.xml", (1, 1, 9, 9))
    xml(folder, "day2/meadow.xml", (2, 2, 7, 7))
    import_boxes("voc", folder, images, out)
    data = VocDataset(out, "train")
    assert boxes_of(data, "day2_meadow").tolist() == [[1, 1, 7, 7]]
    assert boxes_of(data, "meadow").tolist() == [[0, 0, 9, 9]]
    assert data.image_path("day2_meadow").samefile(images / "day2" / "meadow.jpg")
    xml(folder, "day3/meadow.xml", (2, 2, 7, 7))
    with pytest.raises(DataError, match="id 'meadow' a second time"):
        import_boxes("voc", folder, images, images.parent / "other")


@pytest.mark.parametrize("name", ["meadow.jpg", "meadow.JPG", "meadow.jpeg"])
def test_a_link_into_a_store_keeps_its_name(images, name):
    store = images.parent / "store"
    store.mkdir()
    Image.new("RGB", (WIDTH, HEIGHT)).save(store / "3f2a9c", format="JPEG")
    (images / "meadow.jpg").unlink()
    linked(images / name, store / "3f2a9c")
    dataset = by_csv(images, f"{name},1,2,3,4,cat\n")
    assert dataset.image_path("meadow").name == name.lower()
    assert verify(dataset.root).findings == []
    assert dataset[0]["boxes"].tolist() == [[1, 2, 3, 4]]


def test_a_link_to_a_link_and_a_linked_folder_keep_their_names(images):
    store = images.parent / "store"
    (store / "deep").mkdir(parents=True)
    (images / "meadow.jpg").rename(store / "3f2a9c")
    linked(store / "second", store / "3f2a9c")
    linked(images / "meadow.jpg", store / "second")
    Image.new("RGB", (WIDTH, HEIGHT)).save(store / "deep" / "b.jpg")
    linked(images / "day 1", store / "deep")
    linked(images.parent / "all", images)
    lines = "meadow.jpg,1,2,3,4,cat\nday 1/b.jpg,5,6,7,8,cat\n"
    path, out = written_csv(images, lines), images.parent / "out"
    import_boxes("csv", path, images.parent / "all", out)
    data = VocDataset(out, "train")
    assert {name: boxes_of(data, name).tolist() for name in data.ids} == {
        "meadow": [[1, 2, 3, 4]],
        "day_1_b": [[5, 6, 7, 8]],
    }
    assert sorted(path.name for path in (out / "JPEGImages").iterdir()) == [
        "day_1_b.jpg",
        "meadow.jpg",
    ]


@pytest.mark.parametrize("what", ["photograph", "boxes"])
def test_a_link_that_leads_nowhere_is_named(images, what):
    """As before what is in a store was fetched."""
    folder, out = images.parent / "xml", images.parent / "out"
    xml(folder, "meadow.xml")
    xml(folder, "deep/a.xml")
    link = images / "meadow.jpg" if what == "photograph" else folder / "meadow.xml"
    link.unlink()
    linked(link, images.parent / "store" / "3f2a9c")
    with pytest.raises(DataError, match=r"meadow\.(jpg|xml): no such file$"):
        import_boxes("voc", folder, images, out)
    assert not out.exists()


def test_boxes_in_a_linked_folder_are_not_passed_over(images):
    folder, out = images.parent / "xml", images.parent / "out"
    xml(folder, "meadow.xml")
    xml(images.parent / "store", "a.xml")
    linked(folder / "deep", images.parent / "store")
    assert sorted(import_boxes("voc", folder, images, out).names) == ["deep_a", "meadow"]


def test_a_data_set_is_never_made_from_itself(images):
    out = images.parent / "out"
    before = by_csv(images, "meadow.jpg,1,2,3,4,cat\n").annotation_path("meadow").read_bytes()
    own = out / "Annotations", out / "JPEGImages"
    path = written_csv(images, "meadow.jpg,1,2,3,4,cat\n")
    link = images.parent / "link"
    linked(link, out)
    for kind, boxes, photographs, where in (
        ("voc", own[0], own[1], out),
        ("voc", own[0] / "meadow.xml", images, out),
        ("voc", own[0], images, link),
        ("csv", path, own[1], out),
        ("csv", path, link / "JPEGImages", out),
        ("voc", own[0], images, own[0]),
    ):
        with pytest.raises(DataError, match="lies in the data set .* name another folder"):
            import_boxes(kind, boxes, photographs, where)
    folder = images.parent / "xml"
    xml(folder, "meadow.xml")
    with pytest.raises(DataError, match="where boxes are read"):
        import_boxes("voc", folder, images, folder / "voc")
    assert VocDataset(out, "train").annotation_path("meadow").read_bytes() == before
    assert [file.name for file in own[0].iterdir()] == ["meadow.xml"]


def test_an_import_replaces_only_what_an_import_wrote(images):
    out = images.parent / "out"
    data = by_csv(images, "meadow.jpg,1,2,3,4,cat\n")
    with pytest.raises(DataError, match=r"boxes\.csv:2: is in the split train too, with other"):
        by_csv(images, "meadow.jpg,1,2,9,9,cat\n", split="val")
    by_csv(images, "meadow.jpg,1,2,3,4,cat\n", split="val")
    (out / "ImageSets" / "Segmentation" / "val.txt").unlink()
    by_csv(images, "meadow.jpg,1,2,9,9,cat\n")
    assert boxes_of(data, "meadow").tolist() == [[1, 2, 9, 9]]
    xml(out / "Annotations", "meadow.xml", more="<source>mine</source>")
    with pytest.raises(DataError, match=r"meadow\.xml: there, and no import has written it"):
        by_csv(images, "meadow.jpg,1,2,3,4,cat\n")


def test_all_that_is_wrong_is_told_at_once(images):
    text = "meadow.jpg,1,2,300,4,cat\nzebra 1.jpg,5,2,3,4,cat\nzebra 1.jpg,1,2,3,4,cow\n"
    by_csv(images, "meadow.jpg,1,2,3,4,cat\n")
    with pytest.raises(DataError) as caught:
        by_csv(images, text + "gone.jpg,1,2,3,4,cat\n")
    told = str(caught.value)
    assert "4 things are wrong" in told
    assert all(f"boxes.csv:{line}: " in told for line in (2, 3, 4, 5))
    with pytest.raises(DataError) as caught:
        by_csv(images, "meadow.jpg,1,2,x,4,cat\nmeadow.jpg,1,2\nmeadow.jpg,1,2,3,4,\n")
    assert "3 things are wrong" in str(caught.value)
    with pytest.raises(DataError, match="unknown class 'CAT'; there is cat; 'cat' is written"):
        by_csv(images, "meadow.jpg,1,2,3,4,CAT\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('meadow.jpg,1,2,3,4,"cat\nzebra 1.jpg,1,2,3,4,dog"\n', "goes over several lines"),
        ('meadow.jpg,1,2,3,4,"cat\n', "no CSV"),
        ("meadow.jpg,1_0,2,30,40,cat\n", 'xmin is "1_0", not a number'),
        ("meadow.jpg,inf,2,30,40,cat\n", 'xmin is "inf", not a number'),
        ("meadow.jpg,1,2,,,cat\n", 'xmax is "", not a number'),
        ("meadow.jpg,,,,,\nmeadow.jpg,1,2,3,4,cat\n", "csv:2: says that meadow.jpg has no box"),
        ("meadow.jpg,1,2,3,4,cat\nmeadow.jpg,,,,,\n", "csv:3: says that meadow.jpg has no box"),
        ("C:\\..\\meadow.jpg,1,2,3,4,cat\n", "no file in the folder"),
        ("mea\x07dow.jpg,1,2,3,4,cat\n", "holds the character U+0007"),
    ],
    ids=range(9),
)
def test_lines_that_would_be_read_as_something_else(images, text, reason):
    with pytest.raises(DataError) as caught:
        by_csv(images, text)
    assert reason in str(caught.value)


def test_names_from_other_systems_are_found(images):
    Image.new("RGB", (WIDTH, HEIGHT)).save(images / "ka\u0308fer.jpg")
    data = by_csv(images, "deep\\a.PNG,1,2,3,4,cat\nk\u00e4fer.jpg,1,2,3,4,cat\n")
    assert data.ids == ["deep_a", "k\u00e4fer"]
    assert verify(data.root).findings == []


def test_photographs_that_do_not_decode_are_no_data_set(images):
    path = images / "meadow.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"boxes\.csv:2: .*cannot be read as an image"):
        by_csv(images, "meadow.jpg,1,2,3,4,cat\n")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, exif=exif)
    with pytest.raises(DataError, match="nothing says whether its boxes are turned"):
        by_csv(images, "meadow.jpg,1,2,3,4,cat\n")
    assert not (images.parent / "out").exists()


def test_supercategories_and_photographs_without_mention_are_named(images):
    path = images.parent / "boxes.json"
    categories = [{"id": 0, "name": "pets"}, {"id": 3, "name": "cat"}]
    path.write_text(json.dumps(coco_file([(1, 2, 3, 4)], categories=categories)))
    written = import_boxes("coco", path, images, images.parent / "out")
    told = "\n".join(written.notes)
    assert "classes without a box here (1): pets" in told
    assert "photographs that nothing names (2): deep/a.PNG, zebra 1.jpg" in told
    classes = images.parent / "classes.txt"
    classes.write_text("cat\n")
    import_boxes("coco", path, images, images.parent / "other", classes=classes)
    assert VocDataset(images.parent / "other", "train").classes == ("background", "cat")


def test_what_a_killed_import_left_goes_and_nothing_else(images) -> None:
    text = "meadow.jpg,1,2,3,4,cat\n"
    out = images.parent / "out"
    by_csv(images, text)
    folders = ("", "JPEGImages", "Annotations", "ImageSets/Segmentation")
    left = [out / folder / ".meadow.jpg.77.tmp" for folder in folders]
    own = [out / "notes.tmp", out / "JPEGImages" / ".hidden"]
    for path in (*left, *own):
        path.touch()
    by_csv(images, text)
    assert not any(path.exists() for path in left) and all(path.exists() for path in own)


def test_two_imports_with_other_classes_at_once(images, monkeypatch) -> None:
    """The second one was checked before the first had written its classes."""
    out = images.parent / "out"
    write = layout.alone_in

    @contextmanager
    def after_another(folder: Path):
        with write(folder):
            (out / "classes.txt").write_text("background\ncat\ndog\n")
            yield

    monkeypatch.setattr(layout, "alone_in", after_another)
    with pytest.raises(DataError, match="the data set there has other classes"):
        by_csv(images, "meadow.jpg,1,2,3,4,zebra\n")
    assert [path.name for path in out.iterdir()] == ["classes.txt"]
