"""The format is told by what is in the files; every format gives the same boxes."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photos import HEIGHT, WIDTH, boxes_of, csv_of, folder_of, write_json, write_text

from bana.data.annotations import Annotation, write_annotation
from bana.data.formats.common import Folder
from bana.data.formats.detection import LOOKED_INTO, detect, read_boxes
from bana.data.formats.known import FORMATS
from bana.data.formats.voc import read_voc
from bana.data.importing import import_boxes
from bana.data.voc import VocDataset
from bana.data.voc_files import DataError

Boxes = list[tuple[str, tuple[float, float, float, float]]]
CLASSES = ("cat", "traffic light", "größe")


def write_boxes(kind: str, folder: Path, name: str, boxes: Boxes) -> Path:
    """Boxes of one photograph in any format; returns what `--boxes` would name."""
    stem, size = Path(name).with_suffix(""), {"width": WIDTH, "height": HEIGHT}
    wh = [(k, (x1, y1, x2 - x1, y2 - y1)) for k, (x1, y1, x2, y2) in boxes]
    if kind == "voc":
        objects = [(k, [x1 + 1, y1 + 1, x2, y2]) for k, (x1, y1, x2, y2) in boxes]
        write_annotation(folder / f"{stem}.xml", Annotation(objects, [], (WIDTH, HEIGHT)))
        return folder
    if kind == "coco":
        entries = [
            {"id": n, "image_id": 5, "category_id": CLASSES.index(k) + 1, "bbox": list(box)}
            for n, (k, box) in enumerate(wh)
        ]
        held = {
            "images": [{"id": 5, "file_name": name, **size}],
            "categories": [{"id": n, "name": k} for n, k in enumerate(CLASSES, 1)],
            "annotations": entries,
        }
        return write_json(folder / "boxes.json", held)
    if kind == "yolo":
        lines = [
            f"{CLASSES.index(k)} {(x + w / 2) / WIDTH:.6f} {(y + h / 2) / HEIGHT:.6f} "
            f"{w / WIDTH:.6f} {h / HEIGHT:.6f}\n"
            for k, (x, y, w, h) in wh
        ]
        write_text(folder / "data.yaml", f"names: {json.dumps(CLASSES)}")
        return write_text(folder / f"{stem}.txt", "".join(lines)) and folder
    if kind == "csv":
        return csv_of(folder / "boxes.csv", [[name, *box, k] for k, box in boxes])
    if kind == "labelme":
        shapes = [
            {"label": k, "points": [[x1, y1], [x2, y2]], "shape_type": "rectangle"}
            for k, (x1, y1, x2, y2) in boxes
        ]
        held = {"shapes": shapes, "imagePath": name, "imageWidth": WIDTH, "imageHeight": HEIGHT}
        return write_json(folder / f"{stem}.json", held) and folder
    if kind == "labelstudio":
        results = [
            {
                "id": str(n),
                "original_width": WIDTH,
                "original_height": HEIGHT,
                "value": {
                    "x": 100 * x / WIDTH,
                    "y": 100 * y / HEIGHT,
                    "width": 100 * w / WIDTH,
                    "height": 100 * h / HEIGHT,
                    "rectanglelabels": [k],
                },
            }
            for n, (k, (x, y, w, h)) in enumerate(wh)
        ]
        held = [{"id": 1, "data": {"image": name}, "annotations": [{"result": results}]}]
        return write_json(folder / "export.json", held)
    nodes = "".join(
        f'<box label="{k}" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"/>'
        for k, (x1, y1, x2, y2) in boxes
    )
    image = f'<image name="{name}" width="{WIDTH}" height="{HEIGHT}">{nodes}</image>'
    return write_text(folder / "cvat.xml", f"<annotations>{image}</annotations>")


@st.composite
def some_boxes(draw: st.DrawFn) -> Boxes:
    def side(limit: int) -> tuple[float, float]:
        low = draw(st.integers(0, 100 * (limit - 2)))
        return low / 100, draw(st.integers(low + 150, 100 * limit)) / 100

    made = []
    for _ in range(draw(st.integers(1, 4))):
        (x1, x2), (y1, y2) = side(WIDTH), side(HEIGHT)
        made.append((draw(st.sampled_from(CLASSES)), (x1, y1, x2, y2)))
    return made


@pytest.fixture
def images(tmp_path: Path) -> Folder:
    return folder_of(tmp_path / "im", "sub dir/große a.jpg")


@pytest.mark.parametrize("kind", FORMATS)
@given(boxes=some_boxes())
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_format_gives_the_same_boxes(kind: str, boxes: Boxes, images: Folder) -> None:
    folder = images.root.parent / kind
    path = write_boxes(kind, folder, "sub dir/große a.jpg", boxes)
    assert detect(path) == detect(folder) == kind
    read = read_boxes(kind, path, images)
    (photograph,) = read.photographs
    assert photograph.path == images.root / "sub dir/große a.jpg"
    assert photograph.name == "sub_dir_große_a"
    assert [box.kind for box in photograph.boxes] == [name for name, _ in boxes]
    for box, (_, corners) in zip(photograph.boxes, boxes, strict=True):
        assert box.corners == pytest.approx(corners, abs=1e-3)


def test_boxes_of_two_formats_are_refused(images: Folder, tmp_path: Path) -> None:
    box = [("cat", (1.0, 2.0, 30.0, 40.0))]
    folder = write_boxes("voc", tmp_path / "both", "a.jpg", box)
    write_boxes("labelme", folder, "b.jpg", box)
    with pytest.raises(DataError, match=r"several formats, labelme \(b.json\) and voc \(a.xml\)"):
        detect(folder)


def test_two_files_of_one_format_are_refused(images: Folder, tmp_path: Path) -> None:
    path = write_boxes("coco", tmp_path / "c", "a.jpg", [("cat", (1.0, 2.0, 30.0, 40.0))])
    (path.parent / "other.json").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=r"2 files of format coco, not one: boxes.json, other.json"):
        read_boxes("coco", path.parent, images)


def test_files_that_the_format_does_not_read_are_told(tmp_path: Path) -> None:
    """Also those behind the first ones, which are not looked into to tell the format."""
    images = folder_of(tmp_path / "im", "a.jpg", "z.jpg")
    box: Boxes = [("cat", (1.0, 2.0, 30.0, 40.0))]
    folder = tmp_path / "b"
    write_boxes("voc", folder, "a.jpg", box)
    for number in range(LOOKED_INTO):
        write_boxes("voc", folder, f"a{number}.jpg", box)
        write_text(folder / f"a{number}.json", "{}")
    write_boxes("cvat", folder, "z.jpg", box).rename(folder / "z.xml")
    write_boxes("labelme", folder, "z.jpg", box)
    assert detect(folder) == "voc"
    assert read_boxes("voc", folder, images).notes == [
        f"{folder}: files of CVAT not read (1): z.xml",
        f"{folder}: files not read as voc (21): a0.json, a1.json, a10.json, a11.json, a12.json "
        f"and 16 more",
    ]
    notes = read_boxes("cvat", folder, images).notes
    assert [note.partition(" (")[0] for note in notes] == [f"{folder}: files not read as cvat"]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.txt", "some words", "no boxes that are known"),
        ("a.json", "{", "no JSON"),
        ("a.xml", "<a>", "not well-formed XML"),
        ("a.json", "[1]", "no boxes that are known"),
        ("a.csv", "x,y\n1,2\n", "a.csv:1: the header must be image,xmin,ymin,xmax,ymax,class"),
        ("a.xml", "<gpx/>", "no boxes that are known"),
    ],
    ids=["words", "json", "xml", "list", "csv", "gpx"],
)
def test_what_is_no_boxes(name: str, text: str, reason: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "in" / name, text)
    with pytest.raises(DataError, match=reason):
        detect(path)
    with pytest.raises(DataError, match="no boxes that are known"):
        detect(path.parent)
    with pytest.raises(DataError, match="no such file or folder of boxes"):
        detect(tmp_path / "none")


def test_a_class_may_be_written_as_the_other_numbers(tmp_path: Path) -> None:
    assert detect(write_text(tmp_path / "a.txt", "0.0 .5 .5 .2 .2\n")) == "yolo"
    with pytest.raises(DataError, match="no boxes that are known"):
        detect(write_text(tmp_path / "b.txt", "0.5 .5 .5 .2 .2\n"))


def test_a_csv_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("image,xmin,ymin,xmax,ymax,class\na.jpg,1,2,3,4,Käfer\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"a\.csv:2: no text in UTF-8"):
        detect(path)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("coco", "yolo")])
def test_a_box_of_background_is_named(kind: str, images: Folder, tmp_path: Path) -> None:
    """COCO's files and YOLO's list their classes, and are refused by these."""
    path = write_boxes(kind, tmp_path / "in", "a.jpg", [("background", (1.0, 2.0, 30.0, 40.0))])
    with pytest.raises(DataError, match=r"in/.+: a box of the class background"):
        read_boxes(kind, path, images)


def test_damaged_xml_is_not_passed_over(images: Folder, tmp_path: Path) -> None:
    folder = write_boxes("voc", tmp_path / "v", "a.jpg", [("cat", (1.0, 2.0, 30.0, 40.0))])
    write_text(folder / "b.xml", "<annot")
    with pytest.raises(DataError, match=r"b\.xml: not well-formed XML"):
        read_boxes(detect(folder), folder, images)


def test_conventions(images: Folder, tmp_path: Path) -> None:
    box: Boxes = [("cat", (1.0, 2.0, 30.0, 40.0))]
    path = write_boxes("voc", tmp_path / "v", "sub dir/große a.jpg", box)
    (read,) = read_boxes("voc", path, images, convention="half-open").photographs
    assert read.boxes[0].corners == (2, 3, 30, 40)
    path = write_boxes("csv", tmp_path / "c", "sub dir/große a.jpg", box)
    (read,) = read_boxes("csv", path, images, convention="voc").photographs
    assert read.boxes[0].corners == (0, 1, 30, 40)
    with pytest.raises(DataError, match="boxes of format yolo have one convention"):
        read_boxes("yolo", path, images, convention="voc")
    with pytest.raises(ValueError, match="no boxes of format 'xml'"):
        read_boxes("xml", path, images)


def test_classes_of_ones_own(images: Folder, tmp_path: Path) -> None:
    box: Boxes = [("cat", (1.0, 2.0, 30.0, 40.0))]
    path = write_boxes("csv", tmp_path / "c", "sub dir/große a.jpg", box)
    assert read_boxes("csv", path, images).classes is None
    file = write_text(tmp_path / "names.txt", "dog\ncat\n")
    assert read_boxes("csv", path, images, file).classes == ("background", "dog", "cat")


def test_boxes_are_read_where_photographs_lie_beside_them(images: Folder) -> None:
    for kind in ("voc", "yolo", "labelme"):
        path = write_boxes(kind, images.root, "sub dir/große a.jpg", [("cat", (1.0, 2, 30, 40))])
        read = read_boxes(kind, path, Folder(images.root))
        assert boxes_of(read) == {"große a.jpg": [("cat", (1, 2, 30, 40))]}, kind


@pytest.mark.parametrize("kind", ["yolo", "labelme", "labelstudio", "cvat"])
def test_import_takes_them_too(kind: str, images: Folder, tmp_path: Path) -> None:
    box: Boxes = [("traffic light", (1.0, 2.0, 30.0, 40.0))]
    path = write_boxes(kind, tmp_path / "in", "sub dir/große a.jpg", box)
    notes = import_boxes(kind, path, images.root, tmp_path / "out").notes
    (item,) = VocDataset(tmp_path / "out", "train")
    assert item["id"] == "sub_dir_große_a"
    assert item["boxes"][0].tolist() == pytest.approx([1, 2, 30, 40], abs=1e-3)
    classes = VocDataset(tmp_path / "out", "train").classes
    assert classes[item["labels"][0]] == "traffic light"
    assert ("classes from" in " ".join(notes)) == (kind == "yolo")


def test_import_finds_photographs_as_masks_does(tmp_path: Path) -> None:
    """By as much of the path as both sides share, with ids of where they are."""
    images = folder_of(tmp_path / "im", "sub dir/große a.jpg", "b.jpg")
    box: Boxes = [("cat", (1.0, 2.0, 30.0, 40.0))]
    for kind in ("csv", "coco"):
        for number, (name, found) in enumerate(
            [
                ("im/sub dir/große a.jpg", "sub dir/große a.jpg"),
                ("/x/y/im/b.jpg", "b.jpg"),
                ("große a.jpg", "sub dir/große a.jpg"),
                ("C:\\im\\b.jpg", "b.jpg"),
            ]
        ):
            path = write_boxes(kind, tmp_path / f"{kind}{number}", name, box)
            (read,) = read_boxes(kind, path, images).photographs
            assert read.path == images.root / found
            out = tmp_path / f"out-{kind}{number}"
            assert import_boxes(kind, path, images.root, out).names == [read.name]
            assert read.name == found.removesuffix(".jpg").replace(" ", "_").replace("/", "_")


def test_a_data_yaml_may_be_named_as_classes(images: Folder, tmp_path: Path) -> None:
    folder = write_boxes("yolo", tmp_path / "in", "sub dir/große a.jpg", [("cat", (1, 2, 30, 40))])
    names = "# ours\n#\nnames:\n  0: cat\n  1: traffic light\n"
    classes = write_text(tmp_path / "own.yaml", names)
    import_boxes("yolo", folder, images.root, tmp_path / "out", classes=classes)
    assert VocDataset(tmp_path / "out", "train").classes[1:] == ("cat", "traffic light")


def test_import_refuses_what_it_could_not_read_whole(images: Folder, tmp_path: Path) -> None:
    path = write_boxes("yolo", tmp_path / "in", "missing.jpg", [("cat", (1.0, 2.0, 30.0, 40.0))])
    with pytest.raises(DataError, match=r"missing\.jpg: no such file"):
        import_boxes("yolo", path, images.root, tmp_path / "out")


def bad_boxes(kind: str, folder: Path) -> tuple[Path, list[str]]:
    """Boxes of two photographs with three mistakes, and the places of these."""
    shape = {"label": "cat", "shape_type": "rectangle", "points": [[1, 2], [30, 40]]}
    size = {"imageWidth": WIDTH, "imageHeight": HEIGHT}
    region = {"original_width": WIDTH, "original_height": HEIGHT, "rectanglelabels": ["cat"]}
    region |= {"x": 10, "y": 10, "width": 20, "height": 20}
    if kind == "yolo":
        write_text(folder / "classes.txt", "cat\n")
        write_text(folder / "a.txt", "0 0.5 0.5 x 0.1\n0 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n")
        write_text(folder / "b.txt", "0 9 0.5 0.1 0.1\n")
        return folder, ["a.txt:1", "a.txt:3", "b.txt:1"]
    if kind == "labelme":
        shapes = [shape | {"label": 3}, shape, shape | {"points": [[1, "x"], [2, 3]]}]
        write_json(folder / "a.json", {"shapes": shapes, "imagePath": "a.jpg", **size})
        write_json(folder / "b.json", {"shapes": [shape], "imagePath": None, **size})
        return folder, ["a.json: shape 1", "a.json: shape 3", "b.json: imagePath"]
    if kind == "labelstudio":
        first = [region | {"x": 320}, region, region | {"rectanglelabels": []}]
        tasks = [{"id": 1, "image": "a.jpg", "label": first}, {"id": 2, "image": "b", "label": []}]
        return write_json(folder / "e.json", tasks), ["region 1", "region 3", "task 2"]
    if kind == "cvat":
        box = '<box label="cat" xtl="1" ytl="2" xbr="30" ybr="{}"/>'
        text = f'<image name="a.jpg" width="80" height="60">{box.format("x")}{box.format("9")}'
        text += '<star label="cat"/></image><image name="b.jpg" width="80"/>'
        path = write_text(folder / "e.xml", f"<annotations>{text}</annotations>")
        return path, ["'a.jpg', box 1", "'a.jpg', star 3", "image 2"]
    for name in ("a", "b", "c"):
        write_text(folder / f"{name}.xml", "<annotation><object/></annotation>")
    return folder, ["a.xml", "b.xml", "c.xml"]


@pytest.mark.parametrize("kind", ["voc", "yolo", "labelme", "labelstudio", "cvat"])
def test_all_that_is_wrong_is_told(kind: str, tmp_path: Path) -> None:
    images = folder_of(tmp_path / "im", "a.jpg", "b.jpg")
    path, places = bad_boxes(kind, tmp_path / "in")
    with pytest.raises(DataError, match="3 things are wrong") as error:
        read_boxes(kind, path, images)
    assert all(place in str(error.value) for place in places), str(error.value)


def test_import_tells_of_all_that_failed(images: Folder, tmp_path: Path) -> None:
    for name in ("x.jpg", "y.jpg"):
        write_boxes("yolo", tmp_path / "in", name, [("cat", (1.0, 2.0, 30.0, 40.0))])
    with pytest.raises(DataError, match="2 things are wrong") as error:
        import_boxes("yolo", tmp_path / "in", images.root, tmp_path / "out")
    assert "x.jpg: no such file" in str(error.value) and "y.jpg: no such" in str(error.value)


def test_boxes_of_a_photograph_called_as_a_list_are_yolos(tmp_path: Path) -> None:
    write_text(tmp_path / "test.txt", "0 0.5 0.5 0.25 0.5\n")
    assert detect(tmp_path) == "yolo"
    write_text(tmp_path / "test.txt", "im/a.jpg\nim/b.jpg\n")
    with pytest.raises(DataError, match="no boxes that are known"):
        detect(tmp_path)


XML = (
    "<annotation><filename>{}</filename><object><name>cat</name><bndbox><xmin>5</xmin>"
    "<ymin>5</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></object></annotation>"
)


def photograph_by_both(root: Path, file: str, said: str, *photos: str) -> str:
    """What `bana masks` and `bana data import` find for an XML file, or why they refuse it."""
    images = folder_of(root / "im", *photos)
    write_text(root / "xml" / file, XML.format(said))
    told = []
    for read in (
        lambda: read_boxes("voc", root / "xml", images).photographs,
        lambda: read_voc(root / "xml", images),
    ):
        try:
            (one,) = read()
            told.append(f"{one.path.relative_to(images.root).as_posix()} {one.note or ''}".strip())
        except DataError as error:
            told.append(str(error))
    assert told[0] == told[1], "one judgement"
    return told[0]


@pytest.mark.parametrize(
    ("file", "said", "photos", "found"),
    [
        ("Annotations/a.xml", "a.jpg", ["a.jpg"], "a.jpg"),
        ("a.xml", "a.jpg", ["day1/a.jpg"], "day1/a.jpg"),
        ("day1/a.xml", "a.jpg", ["day1/a.jpg", "a.jpg", "a.png"], "day1/a.jpg"),
        ("a.xml", "a.png", ["a.jpg", "a.png"], "a.png"),
        ("0001.xml", "photo_12.jpg", ["photo_12.jpg"], "photo_12.jpg"),
        ("day1/0001.xml", "b.jpg", ["day1/b.jpg", "day2/b.jpg"], "day1/b.jpg"),
    ],
    ids=["above", "flat", "beside", "ending", "numbered", "numbered-beside"],
)
def test_the_photograph_of_an_xml_file(
    file: str, said: str, photos: list[str], found: str, tmp_path: Path
) -> None:
    assert photograph_by_both(tmp_path, file, said, *photos) == found


def test_an_xml_file_of_two_photographs_is_refused_and_of_one_that_is_gone_noted(
    tmp_path: Path,
) -> None:
    both = ["day1/x.jpg", "day1/b.jpg"]
    told = photograph_by_both(tmp_path / "1", "day1/x.xml", "b.jpg", *both)
    assert "is called as x.jpg is and says in <filename> that it is about b.jpg: rename" in told
    told = photograph_by_both(tmp_path / "2", "day1/x.xml", "c.jpg", *both)
    assert told.startswith("day1/x.jpg says in <filename>") and told.endswith("which is not there")
    told = photograph_by_both(tmp_path / "3", "x.xml", "x.bmp", "x.jpg", "x.png")
    assert "may be of x.jpg or of x.png: rename one" in told
