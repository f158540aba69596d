"""`bana masks` as a user calls it: photographs and boxes in, masks and a page to check them out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from colours import classifier_of, colours
from photos import csv_of, write_discs, write_photo, write_text
from PIL import Image
from pycocotools.coco import COCO

from bana.commands import masks
from bana.commands.main import main
from bana.course.photographs import photographs
from bana.data.annotations import Annotation, write_annotation
from bana.data.voc_files import read_mask, write_mask
from bana.evaluation.mask_files import WRITERS
from bana.experiment import pretrained
from bana.labels import UnaryOptions
from bana.networks import backbones


def words(folder: Path, *more: str) -> list[str]:
    """A command on the photographs in im/ with the boxes in boxes.csv."""
    given = ["masks", str(folder / "im"), "--boxes", str(folder / "boxes.csv")]
    return [*given, "--out", str(folder / "out"), "--workers", "1", *more]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder of one small photograph with a box."""
    write_photo(tmp_path / "im/a.jpg")
    csv_of(tmp_path / "boxes.csv", [["a.jpg", 20, 10, 60, 50, "cat"]])
    return tmp_path


def test_choices_are_those_of_the_package() -> None:
    assert tuple(WRITERS) == masks.WRITES
    assert pretrained.SIDE == masks.SIDE


def test_photographs_that_come_with_packages(tmp_path: Path, capsys) -> None:
    """What is promised of a fresh clone: masks, JSON and the page, and no mistake on the way."""
    rows = []
    for one in photographs()[1:]:
        path = tmp_path / "im" / f"{one.name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(one.image.permute(1, 2, 0).numpy()).save(path)
        for box, kind in zip(one.boxes.tolist(), one.classes, strict=True):
            rows.append([path.name, *box, kind])
    csv_of(tmp_path / "boxes.csv", rows)
    assert main(words(tmp_path, "--write", *masks.WRITES)) == 0
    told = capsys.readouterr()
    out = tmp_path / "out"
    assert told.out.splitlines()[-1] == str(out)
    assert "boxes of format csv: 4 in 4 photographs" in told.err
    assert "classes that the classifier knows: cat, person" in told.err
    assert "classes that it does not know: cup" in told.err
    assert "masks of 4 photographs (0 were there), 0 failed" in told.err
    coco = COCO(out / "coco/instances-polygons.json")
    assert len(coco.imgs) == 4
    for annotation in coco.anns.values():
        x, y, width, height = annotation["bbox"]
        assert 0.1 * width * height < annotation["area"] < width * height
        assert coco.annToMask(annotation).sum() == annotation["area"]
    assert set(read_mask(out / "voc/SegmentationClass/cat.png").unique().tolist()) == {0, 1}
    assert len((out / "review.csv").read_text().splitlines()) == 5
    page = (out / "review.html").read_text(encoding="utf-8")
    assert page.count('"photograph":"') == 4
    assert len(list((out / "instances").rglob("*.png"))) == 4
    assert len(list((out / "labelme").glob("*.json"))) == 4
    assert len(list((out / "yolo-seg/labels").glob("*.txt"))) == 4
    assert main(words(tmp_path)) == 0
    assert "masks of 4 photographs (4 were there), 0 failed" in capsys.readouterr().err


def test_some_that_fail_are_told_and_make_the_code_1(small: Path, capsys) -> None:
    rows = [["a.jpg", 20, 10, 60, 50, "cat"], ["b.jpg", 20, 10, 60, 50, "cat"]]
    csv_of(small / "boxes.csv", rows)
    assert main(words(small, "--longest", "64", "--review", "0")) == 1
    told = capsys.readouterr().err
    assert "bana: no mask of b: " in told and "b.jpg: no such file" in told
    assert "masks of 1 photograph (0 were there), 1 failed" in told
    assert "b.jpg" in (small / "out/failures.csv").read_text()
    assert (small / "out/review.csv").is_file() and not (small / "out/review.html").exists()


@pytest.mark.parametrize(
    ("text", "more", "told"),
    [
        ("image,xmin,ymin,xmax,ymax,class\na.jpg,,,,,\n", (), "no box of any photograph in"),
        ("a,b\n", (), "boxes.csv:1: the header must be"),
        (
            "image,xmin,ymin,xmax,ymax,class\na.jpg,1,2,x,4,cat\n",
            (),
            'boxes.csv:2: xmax is "x", not a number',
        ),
        ("{}", ("--format", "coco"), "it has no 'images'"),
        ("a", ("--workers", "0"), "--workers 0: at least 1"),
        ("a", ("--review", "-1"), "--review -1: at least 0"),
        ("a", ("--longest", "5"), "a longer side of 5 pixels is too small"),
        ("a", ("--train", "--iterations", "0"), "--iterations 0: at least 1"),
        ("a", ("--iterations", "5"), "--iterations 5: of --train alone, which is missing"),
    ],
    ids=["no-box", "unknown", "text", "other-format", "workers", "review", "longest"]
    + ["iterations", "no-train"],
)
def test_wrong_input_is_one_line_and_the_code_2(
    text: str, more: tuple[str, ...], told: str, small: Path, capsys
) -> None:
    write_text(small / "boxes.csv", text)
    assert main(words(small, *more)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("bana: ") and told in lines[0]
    assert not (small / "out").exists()


def test_photographs_without_boxes_are_counted(small: Path, capsys) -> None:
    write_photo(small / "im/x/b.jpg")
    assert main(words(small, "--longest", "64", "--review", "0", "--write", "voc")) == 0
    assert "1 photograph of the folder without boxes: no masks" in capsys.readouterr().err
    assert not (small / "out/coco").exists()


def test_what_was_passed_over_is_named(small: Path, capsys) -> None:
    write_photo(small / "im/sub/B.JPEG")
    for name in ("film.mp4", "c.gif", "sub/d.gif", "notes.txt", "Thumbs", ".hidden.gif"):
        write_text(small / "im" / name, "")
    rows = [["a.jpg", 20, 10, 60, 50, "cat"], ["sub/B.JPEG", 20, 10, 60, 50, "Cat"]]
    csv_of(small / "boxes.csv", rows)
    classes = write_text(small / "classes.txt", "Cat\ncat\ndog\n")
    assert main(words(small, *QUICK, "--classes", str(classes))) == 0
    told = capsys.readouterr().err
    assert "that are no photographs and no boxes: 2 .gif, 1 .mp4, 1 no ending" in told
    assert "classes without a box here (1): dog" in told
    assert "are these one class? Cat (1 box), cat (1 box)" in told
    assert (small / "out/voc/SegmentationClass/sub/B.png").is_file()


def test_boxes_that_are_changed_or_odd_are_told_as_on_import(small: Path, capsys) -> None:
    write_photo(small / "im/b.jpg")
    # What sticks out by more, and a photograph that is not there, are failures and no more.
    rows = [
        ["a.jpg", 20, 10, 60, 50, "cat"],
        ["a.jpg", 20, 10, 60, 50, "cat"],
        ["a.jpg", 40, 20, 81, 60, "cat"],
        ["b.jpg", 40, 20, 99, 60, "cat"],
        ["c.jpg", 40, 20, 81, 60, "cat"],
    ]
    path = csv_of(small / "boxes.csv", rows)
    assert main(words(small, *QUICK)) == 1
    told = capsys.readouterr().err
    assert f"bana: the same box and class twice (1): {path}:3\n" in told
    assert f"bana: boxes that stick out by up to 2 pixels, cut off there (1): {path}:4\n" in told
    csv_of(path, rows[:3])
    given = ["data", "import", "--format", "csv", "--boxes", str(path), "--out", str(small / "voc")]
    assert main([*given, "--images", str(small / "im")]) == 0
    imported = capsys.readouterr().err
    assert "the same box and class twice (1)" in imported and "cut off there (1)" in imported


def test_a_file_of_another_name_is_told(small: Path, capsys) -> None:
    path = small / "xml/a.xml"
    write_annotation(path, Annotation([("cat", [21, 11, 60, 50])], [], (80, 60)), "f", "other.jpg")
    given = ["masks", str(small / "im"), "--boxes", str(path), "--out", str(small / "out")]
    assert main([*given, *QUICK]) == 0
    told = f"says in <filename> that it is about another photograph, which is not there (1): {path}"
    assert told in capsys.readouterr().err


QUICK = ("--longest", "64", "--review", "0", "--write", "voc")


def test_true_masks_say_what_the_order_is_worth(small: Path, capsys) -> None:
    truth = read_mask(_mask_of(small))
    truth[10:50, 20:60] = 8  # VOC's cat
    write_mask(small / "truth/a.png", truth)
    assert main(words(small, "--longest", "64", "--truth", str(small / "truth"))) == 0
    curve = json.loads((small / "out/review.json").read_text())
    assert curve["photographs"] == 1 and len(curve["caught"]) == 2
    assert "looking at 0 %" not in capsys.readouterr().err  # which is all of one photograph


@pytest.mark.parametrize(
    ("name", "told"),
    [("nope", "no such folder of masks"), ("im", "no mask of any of 1 photograph (<name>.png)")],
    ids=["no-folder", "no-mask"],
)
def test_true_masks_are_looked_for_before_any_mask_is_made(
    name: str, told: str, small: Path, capsys
) -> None:
    assert main(words(small, *QUICK, "--truth", str(small / name))) == 2
    assert capsys.readouterr().err.startswith(f"bana: --truth {small / name}: {told}")
    assert not (small / "out").exists()


def _mask_of(folder: Path) -> Path:
    assert main(words(folder, "--longest", "64", "--review", "0")) == 0
    return folder / "out/voc/SegmentationClass/a.png"


def coco_source(folder: Path) -> dict:
    """A COCO file with ids of its own and fields that nobody here knows; c.jpg has no box."""
    for number, name in enumerate(("a", "x/b", "c", "gone")):
        if name != "gone":
            write_photo(folder / f"im/{name}.jpg", seed=number)
    images = [
        {
            "id": number,
            "file_name": f"photos\\{name}.jpg" if name == "a" else f"{name}.jpg",
            "width": 80,
            "height": 60,
            "license": 4,
            "coco_url": f"http://example.org/{name}",
        }
        for number, name in ((139, "a"), (0, "x/b"), (7, "c"), (8, "gone"))
    ]
    entries = [
        {"id": 900, "image_id": 139, "category_id": 18, "bbox": [20.25, 10, 40, 40]},
        {
            "id": 0,
            "image_id": 0,
            "category_id": 3,
            "bbox": [20, 10, 40, 40],
            "attributes": {"o": 1},
        },
        {"id": 5, "image_id": 139, "category_id": 18, "bbox": [60, 40, 20, 20], "iscrowd": 1},
        {"id": 901, "image_id": 139, "category_id": 3, "bbox": [21, 11, 1, 1], "score": 0.5},
        {"id": 902, "image_id": 8, "category_id": 3, "bbox": [20, 10, 40, 40]},
    ]
    entries[2]["segmentation"] = {"size": [60, 80], "counts": [60 * 70, 60 * 10]}
    entries[1]["segmentation"] = [[20, 10, 60, 10, 60, 50]]
    held = {
        "info": {"description": "ours", "version": "3"},
        "licenses": [{"id": 4, "name": "CC BY"}],
        "categories": [
            {"id": 18, "name": "cat", "supercategory": "animal"},
            {"id": 3, "name": "zebra", "supercategory": "animal"},
        ],
        "images": images,
        "annotations": entries,
        "our-own": [1, 2],
    }
    (folder / "boxes.json").write_text(json.dumps(held))
    return held


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks nearly all of a box, which the classifier would not see in these photographs."""
    full = replace(pretrained.load_pretrained(), unary=UnaryOptions(background="none"))
    monkeypatch.setattr(pretrained, "load_pretrained", lambda: full)


@pytest.mark.parametrize("kind", ["rle", "polygons"])
def test_cocos_own_entries_come_back(kind: str, tmp_path: Path, eager: None) -> None:
    held = coco_source(tmp_path)
    given = ["masks", str(tmp_path / "im"), "--boxes", str(tmp_path / "boxes.json")]
    given += ["--out", str(tmp_path / "out"), "--longest", "64", "--review", "0"]
    assert main([*given, "--workers", "1"]) == 1, "gone.jpg has no mask"
    path = tmp_path / f"out/coco/instances-{kind}.json"
    made = json.loads(path.read_text(encoding="utf-8"))
    for part in ("info", "licenses", "categories", "our-own"):
        assert made[part] == held[part]
    assert made["images"] == held["images"][:3], "but those that failed"
    entries = {entry["id"]: entry for entry in made["annotations"]}
    assert {900, 0, 5} <= entries.keys() <= {900, 0, 5, 901}, "901 may have an empty mask"
    assert entries[5] == held["annotations"][2]
    own = ("area", "iscrowd", "segmentation")
    for source in (held["annotations"][0], held["annotations"][1]):
        entry = entries[source["id"]]
        assert {k: v for k, v in entry.items() if k not in own} == {
            k: v for k, v in source.items() if k not in own
        }
    coco = COCO(path)
    assert coco.annToMask(entries[0]).sum() == entries[0]["area"] > 0
    (one,) = coco.loadAnns(coco.getAnnIds(imgIds=[0], catIds=[3]))
    assert one["attributes"] == {"o": 1}


def test_crowds_that_cannot_be_drawn_are_counted(tmp_path: Path, capsys) -> None:
    held = coco_source(tmp_path)
    del held["annotations"][2]["segmentation"]
    (tmp_path / "boxes.json").write_text(json.dumps(held))
    given = ["masks", str(tmp_path / "im"), "--boxes", str(tmp_path / "boxes.json")]
    given += ["--out", str(tmp_path / "out"), "--longest", "64", "--review", "0"]
    assert main([*given, "--workers", "1"]) == 1
    assert "1 crowd without a segmentation, left out of COCO's" in capsys.readouterr().err
    made = json.loads((tmp_path / "out/coco/instances-rle.json").read_text())
    assert 5 not in {entry["id"] for entry in made["annotations"]}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photographs of red and green discs, and a classifier of colours in place of the shipped."""
    monkeypatch.setitem(backbones.BACKBONES, "colours", colours)
    torch.manual_seed(0)
    start = classifier_of("red", "blue", rows=torch.randn(3, 3) / 10)
    load = pretrained.load_pretrained

    def shipped(name: str = "voc-mini", folder: Path = pretrained.FOLDER) -> pretrained.Pretrained:
        return start if name == "voc-mini" else load(name, folder)

    monkeypatch.setattr(pretrained, "load_pretrained", shipped)
    write_discs(tmp_path / "im", 20)
    return tmp_path


def test_trained_on_the_users_own_boxes(own: Path, capsys) -> None:
    assert main(words(own, *QUICK, "--train", "--iterations", "1")) == 0
    told = capsys.readouterr().err
    assert "trained on 16 boxes in 16 photographs, 1 iterations; 4 photographs held out" in told
    assert "agreement of Y_crf and Y_ret in boxes, %" in told
    assert "the masks are those of the trained classifier" in told
    assert "classes that it does not know" not in told
    assert "masks of 20 photographs (0 were there), 0 failed" in told
    assert classifier_in(own) == "trained on these boxes"
    before = times_of(own / "out/kept/train")
    # Again: nothing is trained, measured or made.
    assert main(words(own, *QUICK, "--train", "--iterations", "1")) == 0
    assert "masks of 20 photographs (20 were there)" in capsys.readouterr().err
    assert times_of(own / "out/kept/train") == before
    # Without --train: masks of the shipped classifier, and what was trained stays.
    assert main(words(own, *QUICK)) == 0
    told = capsys.readouterr().err
    assert "masks of 20 photographs (0 were there)" in told
    assert "classes that it does not know: green" in told
    assert classifier_in(own) == "as it comes along"
    assert times_of(own / "out/kept/train") == before


def classifier_in(folder: Path) -> str:
    return json.loads((folder / "out/masks.json").read_text())["classifier"]


def times_of(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("few", "--train: 19 photographs with boxes are too few to learn from, it takes 20"),
        ("one-class", "needs two with 5 boxes; there is red (20)"),
        ("filled", "the boxes fill all but 0 of 20 photographs"),
        ("damaged", "--train: 18 photographs with boxes are too few to learn from"),
    ],
    ids=lambda value: value if " " not in value else "",
)
def test_boxes_that_nothing_is_learned_from(change: str, told: str, own: Path, capsys) -> None:
    header, *lines = (own / "boxes.csv").read_text().splitlines()
    if change == "few":
        lines = lines[:19]
    elif change == "one-class":
        lines = [line.replace("green", "red") for line in lines]
    elif change == "filled":
        lines = [f"{n}.jpg,0,0,80,60,{('red', 'green')[n % 2]}" for n in range(20)]
    else:
        for number in range(2):
            (own / f"im/{number}.jpg").write_bytes(b"no photograph")
    write_text(own / "boxes.csv", "\n".join([header, *lines]))
    assert main(words(own, *QUICK, "--train")) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("bana: ") and told in last
    assert last.endswith("leave --train out, which trains nothing")
