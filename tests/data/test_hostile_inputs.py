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
from bana.data.importing import import_boxes, read_csv, read_voc
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


@pytest.mark.parametrize("name", CASES)
def test_corpus(images, name, capsys):
    """Every file of the corpus, through the command: one line and 2, or the boxes that it means."""
    expected, out = CASES[name], images.parent / "out"
    kind = {".csv": "csv", ".json": "coco", ".xml": "voc"}[Path(name).suffix]
    path = images.parent / ("a.xml" if kind == "voc" else name)
    path.write_bytes((CORPUS / name).read_bytes())
    words = ["data", "import", "--format", kind, "--boxes", str(path), "--images", str(images)]
    code = main([*words, "--out", str(out), *expected.get("options", [])])
    told = capsys.readouterr().err.split("\r")[-1]
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
    assert found == expected["boxes"]
    assert verify(out).count("error") == 0


def test_the_corpus_is_small_and_whole():
    files = {path.name for path in CORPUS.iterdir()} - {"expected.json"}
    assert files == set(CASES)
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) < 64_000


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
    return st.one_of(right, right, right, right, ODD)


@st.composite
def instances(draw) -> object:
    """COCO files with a few values of another kind, and a few keys missing."""

    def entry(**values) -> object:
        made = {key: draw(odd_now_and_then(value)) for key, value in values.items()}
        if draw(st.integers(0, 15)) == 0:
            made.pop(draw(st.sampled_from(sorted(made))))
        return draw(ODD) if draw(st.integers(0, 40)) == 0 else made

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
        part: [entry(**values) for _ in range(count)]
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
        photographs = read_csv(path, tmp_path)
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
        ((photograph),) = read_voc(path, images, one_based=False)
    except DataError as error:
        assert str(path) in str(error)
        return
    assert list(photograph.boxes[0].corners) == [float(value) for value in values]


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
