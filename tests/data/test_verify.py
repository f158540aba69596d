"""Every kind of fault in a data set is found, in the file where it is, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_data import write_voc
from PIL import Image

from bana.commands.main import main
from bana.data.annotations import Annotation, write_annotation
from bana.data.verify import Finding, verify
from bana.data.voc import VOC_CLASSES, DataError
from bana.data.voc_files import (
    write_mask,
)

WIDTH, HEIGHT = 12, 10
SPLITS = {"train": ("a", "b"), "val": ("c",), "trainval": ("a", "b", "c")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for folder in ("JPEGImages", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    for name in "abc":
        pixels = generator.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "JPEGImages" / f"{name}.jpg", quality=95)
        write_xml(tmp_path, ("cat", (2, 2, 6, 6)), name=name)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[1:6, 1:6] = 8
        write_mask(tmp_path / "SegmentationClass" / f"{name}.png", mask)
    for split, names in SPLITS.items():
        write_list(tmp_path, split, *names)
    return tmp_path


def write_xml(root: Path, *objects: tuple, name: str = "a", **other) -> None:
    annotation = Annotation(list(objects), other.get("crowds", []), other.get("size"))
    write_annotation(root / "Annotations" / f"{name}.xml", annotation, image=other.get("image"))


def write_list(root: Path, split: str, *names: str) -> None:
    path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    path.write_text("".join(f"{name}\n" for name in names))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-150])


def write_class(root: Path, value: int, shape: tuple = (HEIGHT, WIDTH)) -> None:
    write_mask(root / "SegmentationClass" / "a.png", np.full(shape, value, np.uint8))


def as_rgb(root: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "SegmentationClass" / "a.png")


def turn(root: Path) -> None:
    path = root / "JPEGImages" / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, exif=exif)


CAT = ("cat", (2, 2, 6, 6))
IMAGE, XML, MASK = "JPEGImages/a.jpg", "Annotations/a.xml", "SegmentationClass/a.png"
OBJECTS = "SegmentationObject/a.png"
TRAIN = "ImageSets/Segmentation/train.txt"
FAULTS: list[tuple[Callable[[Path], object], list[tuple[str, str, str]]]] = [
    (lambda root: (root / IMAGE).unlink(), [("error", IMAGE, "no such file")]),
    (lambda root: truncate(root / IMAGE), [("error", IMAGE, "cannot be read as an image")]),
    (lambda root: (root / IMAGE).write_bytes(b""), [("error", IMAGE, "not an image")]),
    (turn, [("warning", IMAGE, "orientation 6 in EXIF is not applied")]),
    (lambda root: (root / XML).unlink(), [("error", XML, "no such file")]),
    (lambda root: (root / XML).write_text("<annotation>"), [("error", XML, "not well-formed")]),
    (
        lambda root: write_xml(root, CAT, ("unicorn", (1, 1, 5, 5))),
        [("error", XML, "unknown class 'unicorn'")],
    ),
    (
        # All the boxes at fault are told, not the first alone.
        lambda root: write_xml(root, CAT, ("cat", (6, 1, 2, 5)), ("cat", (1, 1, 300, 5))),
        [("error", XML, "object 2: box (5, 0, 2, 5)"), ("error", XML, "object 3: box")],
    ),
    (
        lambda root: write_xml(root, CAT, crowds=[("cat", (20, 1, 22, 5))]),
        [("error", XML, "crowd 1: box (19, 0, 22, 5), 0-based half-open, lies wholly outside")],
    ),
    (
        lambda root: write_xml(root, CAT, size=(HEIGHT, WIDTH)),
        [("error", XML, "says 10 x 12, but the photograph has 12 x 10")],
    ),
    (
        lambda root: write_xml(root, CAT, ("cat", (2.6, 2, 2.2, 6))),
        [("warning", XML, "object 2: the box holds no pixel's centre")],
    ),
    (lambda root: (root / MASK).unlink(), [("warning", MASK, "missing (t")] * 2),
    (lambda root: truncate(root / MASK), [("error", MASK, "cannot be read as an image")]),
    (as_rgb, [("error", MASK, "mask of mode RGB, not a palette")]),
    (
        lambda root: write_class(root, 8, (WIDTH, HEIGHT)),
        [("error", MASK, "mask of 10 x 12 for a photograph of 12 x 10")],
    ),
    (
        lambda root: write_class(root, 21),
        [("error", MASK, "holds class 21"), ("warning", MASK, "does not show cat")],
    ),
    (
        lambda root: write_class(root, 15),
        [("warning", MASK, "shows person, which"), ("warning", MASK, "does not show cat, which")],
    ),
    (
        lambda root: write_xml(root, CAT, ("cat", (2.4, 3, 2, 6))),
        [("warning", XML, "object 2: the box is narrower than a pixel")],
    ),
    (
        lambda root: write_xml(root, CAT, ("cat", (0, 3, 6, 6))),
        [("error", XML, "object 2: begins at 0, but VOC counts pixels from 1")],
    ),
    (
        lambda root: write_xml(root, CAT, ("cat", (0.75, 3, 6, 6))),
        [("warning", XML, "object 2: 0.75, but VOC counts pixels from 1")],
    ),
    (
        lambda root: write_xml(root, CAT, ("cat", (0.25, 0.25, 0.75, 0.5))),
        [("error", XML, "object 2: box (-0.75, -0.75, 0.75, 0.5), 0-based half-open, lies in the")],
    ),
    (
        lambda root: write_xml(root, CAT, image="b.jpg"),
        [("error", XML, "is called as a.jpg is and says in <filename> that it is about b.jpg: ")],
    ),
    (
        lambda root: write_xml(root, CAT, image="IMG_0001.jpg"),
        [("warning", XML, "says in <filename> that it is about IMG_0001.jpg")],
    ),
    (lambda root: write_xml(root, CAT, image="a.png"), []),
    (
        lambda root: (root / TRAIN).with_name("val.lst").write_text("a"),
        [("warning", "ImageSets/Segmentation/val.lst", "passed over: a list of a split ends in")],
    ),
    (
        lambda root: (root / TRAIN).write_bytes(b"a\nb\n\xb0"),
        [("error", TRAIN, "3: no text in UTF-8")],
    ),
    (
        lambda root: (root / TRAIN).write_text("/etc/passwd"),
        [("error", TRAIN, '1: "/etc/passwd" is a path')],
    ),
    (lambda root: (root / TRAIN).write_text(""), [("error", TRAIN, "the split is empty")]),
    (
        lambda root: (root / "classes.txt").write_text(
            "\n".join((*VOC_CLASSES[:9], "Cat", "c at"))
        ),
        [("warning", "classes.txt", "are these one class? Cat, c at, cat")],
    ),
    (
        lambda root: Image.new("RGB", (WIDTH, HEIGHT)).save(root / "JPEGImages" / "a.PNG"),
        [("error", IMAGE, "there is a.PNG too")],
    ),
    (
        lambda root: write_mask(root / OBJECTS, np.zeros((4, 5), np.uint8)),
        [("error", OBJECTS, "mask of 5 x 4 for a photograph of 12 x 10")],
    ),
    (
        lambda root: write_mask(root / OBJECTS, np.full((HEIGHT, WIDTH), 200, np.uint8)),
        [],
    ),
    (
        lambda root: write_list(root, "train", "a", "b", "a"),
        [("error", TRAIN, '3: "a" a second time, after line 1: list it once')],
    ),
    (
        lambda root: write_list(root, "train_aug", "b", "c"),
        [("error", "ImageSets/Segmentation/train_aug.txt", "shares 1 ids with ImageSets/")],
    ),
    (lambda root: write_list(root, "train", "a"), []),
    (lambda root: write_list(root, "mine", "a", "c"), []),
    (
        lambda root: write_list(root, "test", "c"),
        [("error", "ImageSets/Segmentation/test.txt", "shares 1 ids with")] * 2,
    ),
]


@pytest.mark.parametrize(("break_it", "expected"), FAULTS)
def test_each_fault_is_found(root, break_it, expected):
    break_it(root)
    found = verify(root).findings
    assert len(found) == len(expected), found
    for finding, (level, file, reason) in zip(found, expected, strict=True):
        assert (finding.level, finding.file) == (level, file)
        assert finding.reason.startswith(reason)
        assert "\n" not in finding.reason and str(root) not in finding.reason


def test_nothing_wrong(root):
    report = verify(root)
    assert report.findings == []
    assert report.splits == {"train": 2, "trainval": 3, "val": 1}
    assert (report.images, report.masks, report.boxes) == (3, 3, 3)


def test_only_the_splits_asked_for(root):
    (root / IMAGE).unlink()
    assert verify(root, ["val"]).findings == []
    with pytest.raises(DataError, match="no such split"):
        verify(root, ["nothing"])


def test_without_any_mask_none_is_missing(root):
    for path in (root / "SegmentationClass").iterdir():
        path.unlink()
    assert verify(root).findings == []


def test_several_processes_find_the_same(root):
    truncate(root / IMAGE)
    write_xml(root, ("dog", (1, 1, 2, 2)), name="c")
    assert verify(root, workers=2) == verify(root, workers=1)
    assert len(verify(root).findings) == 3


def test_command(root, tmp_path, capsys):
    out = tmp_path / "new" / "report.json"
    assert main(["data", "verify", "--data", str(root), "--json", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 errors, 0 warnings"
    assert json.loads(out.read_text())["errors"] == 0
    turn(root)
    assert main(["data", "verify", "--data", str(root)]) == 0
    (root / IMAGE).unlink()
    words = ["data", "verify", "--data", str(root), "--split", "train", "val", "--json", str(out)]
    assert main(words) == 1
    assert "error    JPEGImages/a.jpg: no such file" in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert report["splits"] == {"train": 2, "val": 1}
    assert report["findings"] == [Finding("error", IMAGE, "no such file")._asdict()]


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_file_cut_anywhere_is_found(root, ending):
    path = root / (IMAGE if ending == "jpg" else MASK)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 20, 7):
        path.write_bytes(whole[:length])
        findings = verify(root, ["train"]).findings
        assert [finding.level for finding in findings] == ["error"], length


def test_a_class_outside_its_boxes_and_a_palette_in_another_order(tmp_path):
    mask = torch.zeros(40, 40, dtype=torch.uint8)
    mask[4:16, 4:16], mask[20:36, 20:36] = 1, 2
    boxes = [(4, 4, 16, 16, "cat"), (20, 20, 36, 36, "dog")]
    root = write_voc(
        tmp_path / "voc", [mask], [boxes], ("background", "cat", "dog"), splits=["val"]
    )
    path = root / "SegmentationClass" / "im0.png"
    assert verify(root).findings == []
    write_mask(path, mask.flip(1))
    found = verify(root).findings
    assert [(f.level, f.reason) for f in found] == [
        ("warning", "100 % of cat lies outside of its boxes"),
        ("warning", "88 % of dog lies outside of its boxes"),
    ]
    write_mask(path, mask)
    with Image.open(path) as picture:
        again = picture.convert("RGB").quantize(8)
    again.save(path)
    found = verify(root).findings
    assert found[0].level == "error" and "another order" in found[0].reason


def test_black_and_white_masks_are_found(root):
    for name in "abc":
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        mask[1:6, 1:6] = 255
        Image.fromarray(mask).save(root / "SegmentationClass" / f"{name}.png")
    errors = [finding for finding in verify(root).findings if finding.level == "error"]
    assert [finding.file for finding in errors] == ["SegmentationClass"]
    assert errors[0].reason.startswith("no mask shows a class but 255, which is not counted")
    # One photograph of an object that nobody could outline is as it should be.
    write_mask(root / "SegmentationClass" / "b.png", np.full((HEIGHT, WIDTH), 8, np.uint8))
    assert verify(root).count("error") == 0


@pytest.mark.photographs
def test_real_photographs(voc_root):
    report = verify(voc_root, ["val"], workers=1)
    assert report.count("error") == 0
    assert report.images == report.masks > 0
