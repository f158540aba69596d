"""Inputs that nobody would write: each is read as it is meant, or refused in words.

The corpus holds the most telling ones with what becomes of them. The fuzzing makes others:
`BANA_FUZZ=10000` tries so many, ordinary runs a few.
"""

import json
import os
import sys
import xml.sax.saxutils
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bana.commands.main import main
from bana.data.checks import DataError
from bana.data.coco_file import PARTS, checked_segmentation, read_instances
from bana.data.formats.common import Folder
from bana.data.formats.csv import read_csv
from bana.data.formats.cvat import read_cvat
from bana.data.formats.labelme import read_labelme
from bana.data.formats.labelstudio import read_labelstudio
from bana.data.formats.voc import read_voc
from bana.data.formats.yolo import read_yolo
from bana.data.importing import import_boxes
from bana.data.lists import read_split
from bana.data.verify import verify
from bana.data.voc import VocDataset
from bana.data.voc_files import read_class_names

CORPUS = Path(__file__).parent / "corpus"
TRIES = int(os.environ.get("BANA_FUZZ", "60"))
WIDTH, HEIGHT = 80, 60
# The same few examples in every run of the tests; others where somebody looks for more.
MANY = settings(
    max_examples=TRIES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize="BANA_FUZZ" not in os.environ,
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "im"
    folder.mkdir()
    for name in ("a", "b", "a b"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{name}.jpg")
    return folder


CASES = json.loads((CORPUS / "expected.json").read_text(encoding="utf-8"))


# What a file's name ends in, for its format and what it is called where it is read.
KINDS = {
    ".csv": ("csv", "a.csv"),
    ".json": ("coco", "a.json"),
    ".xml": ("voc", "a.xml"),
    ".labelme.json": ("labelme", "a.json"),
    ".labelstudio.json": ("labelstudio", "a.json"),
    ".cvat.xml": ("cvat", "a.xml"),
    ".yolo.txt": ("yolo", "a.txt"),
    ".data.yaml": ("yolo", "data.yaml"),
    ".names.txt": ("yolo", "classes.txt"),
}
# What lies beside a file of YOLO, which has its numbers and its names in two.
YOLO = {"a.txt": "0 0.4375 0.5 0.375 0.5\n", "classes.txt": "cat\ndog\n"}
LISTS = [name for name in CASES if name.endswith(".list.txt")]


@pytest.mark.parametrize("name", [name for name in CASES if name not in LISTS])
def test_corpus(images, name, capsys):
    """Every file of the corpus, through the command: one line and 2, or the boxes that it means."""
    expected, out = CASES[name], images.parent / "out"
    kind, called = KINDS["".join(Path(name).suffixes)]
    path = images.parent / "in" / called
    path.parent.mkdir()
    path.write_bytes((CORPUS / name).read_bytes())
    if kind == "yolo":
        beside = YOLO if called == "a.txt" else {"a.txt": YOLO["a.txt"]}
        for other in beside.keys() - {called}:
            (path.parent / other).write_text(beside[other])
        path = path.parent
    words = ["data", "import", "--format", kind, "--boxes", str(path), "--images", str(images)]
    code = main([*words, "--out", str(out), *expected.get("options", [])])
    every = capsys.readouterr().err
    told = every.split("\r")[-1]
    if "refused" in expected:
        assert code == 2 and not out.exists()
        assert expected["refused"] in told and told.startswith("bana: ") and "Traceback" not in told
        return
    assert code == 0
    data = VocDataset(out, "train")
    found = {
        name: [[data.classes[kind], *box] for kind, box in zip(kinds, boxes, strict=True)]
        for name in data.ids
        for boxes, kinds in [(part.tolist() for part in data.annotation(name))]
    }
    assert found == expected["boxes"] and expected.get("told", "") in every
    assert verify(out).count("error") == 0


@pytest.mark.parametrize("name", LISTS)
def test_corpus_of_lists(images, name):
    """Every list of the corpus: the ids that it means, or the line that is none."""
    expected, root = CASES[name], images.parent / "voc"
    root.mkdir()
    images.rename(root / "JPEGImages")
    path = root / "ImageSets" / "Segmentation" / "train.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes((CORPUS / name).read_bytes())
    if "refused" not in expected:
        assert read_split(root, "train") == expected["ids"]
        return
    with pytest.raises(DataError) as error:
        read_split(root, "train")
    told = str(error.value)
    assert told.startswith(str(path)) and expected["refused"] in told and "\n" not in told


def test_the_corpus_is_small_and_whole():
    files = {path.name for path in CORPUS.iterdir()} - {"expected.json"}
    assert files == set(CASES) and len(files) == 200
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) < 100_000


# What other programs write where a number, an id or a name belongs.
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 90),
    st.floats(),
    st.floats(0, 1),
    st.text(max_size=6),
    st.sampled_from(["0", "1", "007", "1e3", "nan", "80.0", "a.jpg", "..", "/a.jpg", "a\0", ""]),
    st.lists(st.integers(-3, 90), max_size=8),
    st.dictionaries(st.sampled_from(["size", "counts", "id"]), st.integers(0, 90), max_size=2),
)


def odd_now_and_then(right: st.SearchStrategy) -> st.SearchStrategy:
    # As a choice of strategies ODD would count once for each of its own.
    return st.sampled_from([False] * 19 + [True]).flatmap(lambda odd: ODD if odd else right)


def entry(draw, **values) -> object:
    """An object with a few values of another kind, now and then without a key, or none at all."""
    made = {key: draw(odd_now_and_then(value)) for key, value in values.items()}
    if draw(st.integers(0, 15)) == 0:
        made.pop(draw(st.sampled_from(sorted(made))))
    return draw(ODD) if draw(st.integers(0, 40)) == 0 else made


@st.composite
def instances(draw) -> object:
    """COCO files with a few values of another kind, and a few keys missing."""

    ids, number = st.integers(0, 2), st.integers(0, 79)
    polygon = st.lists(st.lists(number, min_size=4, max_size=9), max_size=2)
    runs = st.fixed_dictionaries(
        {
            "size": st.sampled_from([[HEIGHT, WIDTH], [WIDTH, HEIGHT], None]),
            "counts": st.one_of(st.lists(st.integers(-1, 4800), max_size=4), st.text(max_size=9)),
        }
    )
    names = st.sampled_from(["a.jpg", "b.jpg", "a b.jpg", "c.jpg", "./a.jpg"])
    image = {"id": ids, "file_name": names, "width": st.just(WIDTH), "height": st.just(HEIGHT)}
    thing = {"id": st.integers(0, 9), "image_id": ids, "category_id": ids}
    thing |= {"bbox": st.lists(number, min_size=4, max_size=4), "iscrowd": st.integers(0, 1)}
    thing |= {"segmentation": st.one_of(polygon, runs), "area": st.integers(0, 900)}
    category = {"id": ids, "name": st.sampled_from(["cat", "Cat", "dog", "background"])}
    several = [draw(st.integers(0, most)) for most in (2, 3, 3)]
    made = {
        part: [entry(draw, **values) for _ in range(count)]
        for part, values, count in zip(
            ("images", "annotations", "categories"), (image, thing, category), several, strict=True
        )
    }
    return draw(ODD) if draw(st.integers(0, 60)) == 0 else made


@given(file=instances())
@MANY
def test_fuzzed_json_is_read_as_it_stands_or_refused(tmp_path, file):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(file))
    try:
        made = read_instances(path)
    except DataError as error:
        assert str(path) in str(error)
        return
    assert made["head"] == {key: value for key, value in file.items() if key not in PARTS}
    for part in PARTS:
        assert len(made[part]) == len(file[part])
        for entry, raw in zip(made[part], file[part], strict=True):
            for key, value in entry.items():
                if key == "bbox":
                    assert value == [float(number) for number in raw[key]]
                elif key in ("name", "file_name"):
                    assert value == " ".join(str(raw[key]).split())
                elif key in raw and key != "segmentation":
                    assert value == float(raw[key])
    for entry in made["annotations"]:
        if "segmentation" in entry:
            try:
                checked_segmentation(entry["segmentation"], HEIGHT, WIDTH, "here")
            except DataError as error:
                assert str(error).startswith("here: no segmentation to decode")


@given(file=instances())
@settings(MANY, max_examples=max(TRIES // 4, 5))
def test_fuzzed_json_imports_whole_or_not_at_all(tmp_path_factory, file):
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("a", "b", "a b"):
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{name}.jpg")
    path = folder / "a.json"
    path.write_text(json.dumps(file))
    code = main(
        [
            "data",
            "import",
            "--format",
            "coco",
            "--boxes",
            str(path),
            "--images",
            str(folder),
            "--out",
            str(folder / "out"),
        ]
    )
    assert code in (0, 2)
    if code == 0:
        assert verify(folder / "out").count("error") == 0
    else:
        assert not (folder / "out").exists()


FIELDS = st.one_of(
    st.integers(-5, 90).map(str),
    st.floats().map(str),
    st.text(max_size=5),
    st.sampled_from(["", " ", '"', "1_0", "nan", "1,5", "0x1", "\u0661", "1e2", " 5 ", "\ufeff3"]),
)


@given(rows=st.lists(st.lists(FIELDS, min_size=4, max_size=7), max_size=4))
@MANY
def test_fuzzed_csv(tmp_path, rows):
    path = tmp_path / "b.csv"
    lines = ["image,xmin,ymin,xmax,ymax,class", *(",".join(["a.jpg", *row]) for row in rows)]
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    try:
        photographs = read_csv(path, Folder(tmp_path))
    except DataError as error:
        assert str(path) in str(error)
        return
    assert sum(len(photograph.boxes) for photograph in photographs) <= len(rows)
    # A comma within a field of ours makes two of it.
    plain = {part.strip() for row in rows for field in row for part in (field, *field.split(","))}
    for box in (box for photograph in photographs for box in photograph.boxes):
        assert all(any(_is(field, corner) for field in plain) for corner in box.corners)


def _is(field: str, number: float) -> bool:
    # What a spreadsheet would take for a number: no 1_0, no digits of other scripts, no words.
    return field.isascii() and "_" not in field and _number(field) == number


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None


@given(
    values=st.lists(FIELDS, min_size=4, max_size=4),
    kind=st.text(max_size=4),
    name=st.text(max_size=5),
    size=FIELDS,
)
@MANY
def test_fuzzed_xml(images, values, kind, name, size):
    tags = ("xmin", "ymin", "xmax", "ymax")
    escape = xml.sax.saxutils.escape
    box = "".join(f"<{tag}>{escape(v)}</{tag}>" for tag, v in zip(tags, values, strict=True))
    text = (
        f"<annotation><filename>{escape(name)}</filename><size><width>{escape(size)}</width>"
        f"<height>60</height></size><object><name>{escape(kind)}</name><bndbox>{box}</bndbox>"
        f"</object></annotation>"
    )
    path = images.parent / "a.xml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        ((photograph),) = read_voc(path, Folder(images), one_based=False)
    except DataError as error:
        assert str(path) in str(error)
        return
    assert list(photograph.boxes[0].corners) == [float(value) for value in values]


PART = st.sampled_from([False] * 9 + [True]).flatmap(
    lambda odd: FIELDS if odd else st.floats(0.25, 0.5).map("{:.4f}".format)
)
NUMBER = st.integers(0, 59)
LABEL = st.sampled_from(["cat", "traffic light"])


@st.composite
def labelme_files(draw) -> object:
    points = st.lists(st.lists(NUMBER, min_size=2, max_size=2), min_size=2, max_size=2)
    form = st.sampled_from([*["rectangle"] * 5, "polygon", "circle", "point"])
    shapes = [
        entry(draw, label=LABEL, points=points, shape_type=form) for _ in range(draw(NUMBER) % 3)
    ]
    image = {"imagePath": st.just("a.jpg"), "shapes": st.just(shapes)}
    return entry(draw, **image, imageWidth=st.just(WIDTH), imageHeight=st.just(HEIGHT))


def read_or_refused(reader, file: object, images: Path):
    """What a reader makes of a JSON file; None where it refuses it in a line that names it."""
    path = images.parent / "a.json"
    path.write_text(json.dumps(file))
    try:
        return reader(path, Folder(images))
    except DataError as error:
        assert str(path) in str(error)
        return None


@given(file=labelme_files())
@MANY
def test_fuzzed_labelme(images, file):
    read = read_or_refused(read_labelme, file, images)
    if read is None:
        return
    ((photograph),) = read.photographs
    # Shapes without an inside are counted, and give no box.
    kept = [shape for shape in file["shapes"] if shape.get("shape_type") != "point"]
    for shape, box in zip(kept, photograph.boxes, strict=True):
        assert box.kind == " ".join(shape["label"].split())
        if shape.get("shape_type") == "rectangle":
            xs, ys = zip(*((float(x), float(y)) for x, y in shape["points"]), strict=True)
            assert box.corners == (min(xs), min(ys), max(xs), max(ys))


@st.composite
def label_studio_files(draw) -> object:
    def region() -> object:
        sides = dict.fromkeys(("x", "y", "width", "height"), NUMBER)
        value = {**sides, "rectanglelabels": LABEL.map(lambda name: [name])}
        made = {"id": st.integers(0, 5), "value": st.just(entry(draw, **value))}
        size = {"original_width": st.just(WIDTH), "original_height": st.just(HEIGHT)}
        return entry(draw, **made, **size, image_rotation=st.just(0))

    result = [region() for _ in range(draw(NUMBER) % 3)]
    done = entry(draw, result=st.just(result))
    data = st.just({"image": "a.jpg"})
    return [entry(draw, id=NUMBER, data=data, annotations=st.just([done]))]


@given(file=label_studio_files())
@MANY
def test_fuzzed_label_studio(images, file):
    read = read_or_refused(read_labelstudio, file, images)
    if read is None:
        return
    (task,), ((photograph),) = file, read.photographs
    results = [each for done in task.get("annotations") or [] for each in done.get("result") or []]
    told = sum(int(note.rpartition("(")[2].removesuffix(")")) for note in read.notes)
    same = len(results) - len({str(each.get("id", n)) for n, each in enumerate(results)})
    assert len(photograph.boxes) >= len(results) - told - same
    plain = [each for each in results if not read.notes and not same]
    for raw, box in zip(plain, photograph.boxes, strict=bool(plain)):
        x, y, width, height = (float(raw["value"][key]) for key in ("x", "y", "width", "height"))
        # In percent of the size that is stated, which import holds against the photograph's.
        size = tuple(int(float(raw[key])) for key in ("original_width", "original_height"))
        across, down = (side / 100 for side in size)
        corners = (x * across, y * down, (x + width) * across, (y + height) * down)
        assert photograph.size == size
        assert box.corners == pytest.approx(corners) and [box.kind] == [
            " ".join(name.split()) for name in raw["value"]["rectanglelabels"]
        ]


@given(
    values=st.lists(st.one_of(FIELDS, NUMBER.map(str), PART), min_size=4, max_size=4),
    label=st.one_of(LABEL, st.text(max_size=4)),
    turn=st.one_of(st.just("0"), FIELDS),
)
@MANY
def test_fuzzed_cvat(images, values, label, turn):
    sides = dict(zip(("xtl", "ytl", "xbr", "ybr"), values, strict=True), label=label, rotation=turn)
    quoted = (f"{key}={xml.sax.saxutils.quoteattr(value)}" for key, value in sides.items())
    text = (
        f'<annotations><image name="a.jpg" width="{WIDTH}" height="{HEIGHT}">'
        f"<box {' '.join(quoted)}/></image></annotations>"
    )
    path = images.parent / "a.xml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        read = read_cvat(path, Folder(images))
    except DataError as error:
        assert str(path) in str(error)
        return
    ((photograph),) = read.photographs
    assert all(_is(value.strip(), float(value)) for value in values)
    if not read.notes:
        assert list(photograph.boxes[0].corners) == [float(value) for value in values]


@given(rows=st.lists(st.lists(PART, min_size=4, max_size=5), min_size=1, max_size=3), names=PART)
@MANY
def test_fuzzed_yolo(images, rows, names):
    path = images.parent / "a.txt"
    lines = [" ".join(["0", *row]) for row in rows]
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    classes = images.parent / "names.txt"
    classes.write_bytes(f"cat\n{names}".encode("utf-8", "surrogatepass"))
    try:
        read = read_yolo(path, Folder(images), classes)
    except DataError as error:
        assert str(path) in str(error) or str(classes) in str(error)
        return
    for box in (box for photograph in read.photographs for box in photograph.boxes):
        # A centre and a side of two photographs at most; the rest is judged in pixels.
        assert max(map(abs, box.corners)) <= 3 * max(WIDTH, HEIGHT) and box.kind == "cat"
    if all(len(" ".join(row).split()) == len(row) == 4 for row in rows):
        assert [len(photograph.boxes) for photograph in read.photographs] == [len(rows)]
        for box, row in zip(read.photographs[0].boxes, rows, strict=True):
            x, y, width, height = (float(field) for field in row)
            corners = ((x - width / 2) * WIDTH, (y - height / 2) * HEIGHT)
            assert box.corners[:2] == pytest.approx(corners, abs=0.01 * WIDTH)
            assert all(field.isascii() and "_" not in field for field in row)


@given(
    content=st.one_of(
        st.binary(max_size=40),
        st.text(max_size=30).map(lambda t: t.encode("utf-8", "surrogatepass")),
        st.text(max_size=20).map(lambda t: t.encode("utf-16", "ignore")),
    )
)
@MANY
def test_fuzzed_lists(images, content):
    root = images.parent
    (root / "JPEGImages").mkdir(exist_ok=True)
    path = root / "ImageSets" / "Segmentation" / "train.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (root / "c.txt").write_bytes(content)
    try:
        for name in read_split(root, "train"):
            inside = (root / "JPEGImages" / f"{name}.jpg").resolve()
            assert (root / "JPEGImages").resolve() in inside.parents
    except DataError as error:
        assert str(path) in str(error)
    try:
        read_class_names(root / "c.txt", background_implied=True)
    except DataError as error:
        assert str(root / "c.txt") in str(error)


@st.composite
def boxes_of_two_photographs(draw) -> dict[str, list[tuple]]:
    def side(limit: int) -> tuple[float, float]:
        low = draw(st.integers(0, limit * 10 - 20))
        return low / 10, draw(st.integers(low + 20, limit * 10)) / 10

    kinds = st.sampled_from(["cat", "traffic light", "K\u00e4fer & <Co>"])
    return {
        name: [(draw(kinds), side(WIDTH), side(HEIGHT)) for _ in range(draw(st.integers(1, 3)))]
        for name in ("a.jpg", "a b.jpg")
    }


@given(wanted=boxes_of_two_photographs())
@settings(MANY, max_examples=max(TRIES // 4, 5))
def test_voc_to_coco_and_back(tmp_path_factory, wanted):
    """Every box comes back to half a pixel, and every class, through both formats."""
    folder = tmp_path_factory.mktemp("round")
    for name in wanted:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / name)
    lines = [
        f'{name},{x1},{y1},{x2},{y2},"{kind}"'
        for name, things in wanted.items()
        for kind, (x1, x2), (y1, y2) in things
    ]
    table = folder / "b.csv"
    table.write_text("\n".join(["image,xmin,ymin,xmax,ymax,class", *lines]), encoding="utf-8")
    import_boxes("csv", table, folder, folder / "voc")
    data = VocDataset(folder / "voc", "train")
    file = as_coco(data, {"a": "a.jpg", "a_b": "a b.jpg"})
    (folder / "c.json").write_text(json.dumps(file))
    import_boxes("coco", folder / "c.json", folder, folder / "again")
    again = VocDataset(folder / "again", "train")
    assert again.classes == data.classes and again.ids == data.ids
    for name in data.ids:
        (boxes, kinds), (others, same) = data.annotation(name), again.annotation(name)
        assert kinds.tolist() == same.tolist()
        assert (boxes - others).abs().max() < 0.5
        things = wanted[{"a": "a.jpg", "a_b": "a b.jpg"}[name]]
        for box, kind, (wanted_kind, (x1, x2), (y1, y2)) in zip(
            others.tolist(), same.tolist(), things, strict=True
        ):
            assert again.classes[kind] == wanted_kind
            assert box == pytest.approx([x1, y1, x2, y2], abs=0.5)


def as_coco(data: VocDataset, files: dict[str, str]) -> dict:
    images, annotations = [], []
    for number, name in enumerate(data.ids):
        image = {"id": number, "file_name": files[name], "width": WIDTH, "height": HEIGHT}
        images.append(image)
        boxes, kinds = data.annotation(name)
        for (x1, y1, x2, y2), kind in zip(boxes.tolist(), kinds.tolist(), strict=True):
            thing = {"id": len(annotations), "image_id": number, "category_id": kind}
            annotations.append({**thing, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    categories = [{"id": n, "name": name} for n, name in enumerate(data.classes)][1:]
    return {"images": images, "annotations": annotations, "categories": categories}


def test_ordinary_runs_try_a_few(request):
    assert "BANA_FUZZ" in os.environ or TRIES < 200, "the suite stays quick"
    assert sys.getrecursionlimit() < 100_000
