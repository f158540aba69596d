"""Files of masks, read again as other programs read them: the same masks, boxes and classes."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photos import write_photo
from PIL import Image
from pycocotools.coco import COCO
from skimage.draw import polygon2mask
from torch import Tensor

from bana.data.boxes import box_masks
from bana.data.formats.common import Folder
from bana.data.formats.detection import read_boxes
from bana.data.voc_files import read_class_names, read_mask
from bana.evaluation.mask_files import WRITERS, Masked, instances

CLASSES = ("background", "cat", "traffic light", "größe/2")
HEIGHT, WIDTH = 30, 40
BOXES = torch.tensor([[2.0, 3, 20, 25], [15.5, 5, 38, 28], [0, 0, 6, 5]])
NUMBERS = torch.tensor([1, 2, 3])


def masked(folder: Path, name: str = "sub dir/große a") -> Masked:
    """Two objects that overlap, one in two parts with a hole; the third box has no pixel."""
    label = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    label[4:15, 3:14] = 1
    label[7:9, 6:9] = 0
    label[20:24, 4:9] = 1
    label[6:27, 17:37] = 2
    label[6:8, 17:19] = 255
    path = write_photo(folder / f"{name}.png", (WIDTH, HEIGHT))
    file = path.relative_to(folder).as_posix()
    return Masked(name, path, file, label, BOXES, NUMBERS, CLASSES)


def own_masks(image: Masked) -> Tensor:
    """The masks of the first two boxes; the third box's is empty."""
    own = image.label == image.numbers[:2, None, None]
    return own & box_masks(image.boxes[:2], HEIGHT, WIDTH)


def filled(corners: np.ndarray) -> Tensor:
    return torch.from_numpy(polygon2mask((HEIGHT, WIDTH), corners[:, ::-1] - 0.5))


def written(form: str, tmp_path: Path, names: tuple[str, ...] = ("sub dir/große a",)) -> Masked:
    writer = WRITERS[form]
    for name in names:
        image = masked(tmp_path / "im", name)
        writer.write(tmp_path / "out" / writer.folder, image)
        assert writer.path(tmp_path / "out", name).exists()
    if writer.finish:
        writer.finish(tmp_path / "out", names, CLASSES, None)
    return image


def test_empty_masks_are_no_instances(tmp_path: Path) -> None:
    image = masked(tmp_path)
    assert [(each.place, each.number) for each in instances(image)] == [(1, 1), (2, 2)]
    masks = torch.stack([each.part.whole() for each in instances(image)])
    assert torch.equal(masks, own_masks(image))


def test_voc(tmp_path: Path) -> None:
    image = written("voc", tmp_path)
    folder = tmp_path / "out/voc"
    assert torch.equal(read_mask(folder / "SegmentationClass/sub dir/große a.png"), image.label)
    assert read_class_names(folder / "classes.txt") == CLASSES
    with Image.open(folder / "SegmentationClass/sub dir/große a.png") as picture:
        assert picture.mode == "P" and picture.getpalette()[3:6] == [128, 0, 0]


@pytest.mark.parametrize("kind", ["rle", "polygons"])
def test_coco(kind: str, tmp_path: Path) -> None:
    image = written("coco", tmp_path, ("b", "sub dir/große a"))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(tmp_path / f"out/coco/instances-{kind}.json")
    assert [coco.cats[number]["name"] for number in (1, 2, 3)] == list(CLASSES[1:])
    assert [each["file_name"] for each in coco.imgs.values()] == ["b.png", "sub dir/große a.png"]
    assert sorted(coco.anns) == [1, 2, 3, 4]
    first, second = coco.imgToAnns[2]
    assert (first["category_id"], second["category_id"]) == (1, 2)
    assert first["bbox"] == [2, 3, 18, 22] and second["bbox"] == [15.5, 5, 22.5, 23]
    for annotation, mask in zip((first, second), own_masks(image), strict=True):
        assert annotation["area"] == int(mask.sum()) and annotation["iscrowd"] == 0
        assert torch.equal(torch.from_numpy(coco.annToMask(annotation)).bool(), mask)
        assert isinstance(annotation["segmentation"], dict if kind == "rle" else list)


def test_yolo(tmp_path: Path) -> None:
    image = written("yolo-seg", tmp_path)
    held = yaml.safe_load((tmp_path / "out/yolo-seg/data.yaml").read_text(encoding="utf-8"))
    assert [held["names"][number] for number in range(held["nc"])] == list(CLASSES[1:])
    text = (tmp_path / "out/yolo-seg/labels/sub dir/große a.txt").read_text()
    lines = [line.split() for line in text.splitlines()]
    assert [line[0] for line in lines] == ["0", "1"]
    for line, mask in zip(lines, own_masks(image), strict=True):
        corners = np.array(line[1:], float).reshape(-1, 2)
        assert 0 <= corners.min() and corners.max() <= 1
        assert torch.equal(filled(corners * [WIDTH, HEIGHT]), mask)


def test_yolo_is_exact_to_the_pixel_in_large_photographs(tmp_path: Path) -> None:
    height, width = 3001, 4003
    label = torch.zeros(height, width, dtype=torch.uint8)
    label[1235:1247, 3455:3471] = 1
    boxes = torch.tensor([[3450.0, 1230, 3480, 1250]])
    image = Masked("a", tmp_path, "a", label, boxes, torch.tensor([1]), CLASSES)
    WRITERS["yolo-seg"].write(tmp_path, image)
    numbers = np.array((tmp_path / "a.txt").read_text().split()[1:], float)
    corners = numbers.reshape(-1, 2) * [width, height]
    halves = (2 * corners).round() / 2  # outlines turn on edges and centres of pixels
    np.testing.assert_allclose(corners, halves, atol=0.01)
    assert halves.min(0).tolist() == [3455, 1235] and halves.max(0).tolist() == [3471, 1247]


def test_labelme(tmp_path: Path) -> None:
    image = written("labelme", tmp_path)
    path = tmp_path / "out/labelme/sub dir/große a.json"
    held = json.loads(path.read_text(encoding="utf-8"))
    assert (path.parent / held["imagePath"]).resolve() == image.path.resolve()
    assert (held["imageWidth"], held["imageHeight"]) == (WIDTH, HEIGHT)
    drawn = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    for shape in held["shapes"]:
        assert shape["label"] == CLASSES[shape["group_id"]]
        drawn[shape["group_id"] - 1] |= filled(np.array(shape["points"]))
    assert torch.equal(drawn, own_masks(image))


def test_instances(tmp_path: Path) -> None:
    image = written("instances", tmp_path)
    folder = tmp_path / "out/instances/sub dir/große a"
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["001-cat.png", "002-traffic_light.png"]
    for name, mask in zip(names, own_masks(image), strict=True):
        assert torch.equal(read_mask(folder / name), 255 * mask.byte())
    # A box that has gone takes its file along.
    fewer = image._replace(boxes=BOXES[1:], numbers=NUMBERS[1:])
    WRITERS["instances"].write(tmp_path / "out/instances", fewer)
    assert [path.name for path in folder.iterdir()] == ["001-traffic_light.png"]


def test_names_of_classes_cannot_leave_the_folder(tmp_path: Path) -> None:
    image = masked(tmp_path / "im")
    label = image.label.clone()
    label[1:3, 1:3] = 3
    WRITERS["instances"].write(tmp_path / "out", image._replace(label=label))
    assert sorted(path.name for path in (tmp_path / "out/sub dir/große a").iterdir()) == [
        "001-cat.png",
        "002-traffic_light.png",
        "003-größe_2.png",
    ]


@given(
    sides=st.tuples(st.integers(0, 15), st.integers(0, 10), st.integers(3, 20), st.integers(3, 15)),
    number=st.integers(1, 3),
)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_boxes_come_back(sides: tuple[int, ...], number: int, tmp_path: Path) -> None:
    """A mask that fills its box: what is written is read as the same box of the same class."""
    x, y, width, height = sides
    box = torch.tensor([[x, y, x + width, y + height]], dtype=torch.float32)
    label = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    label[y : y + height, x : x + width] = number
    path = write_photo(tmp_path / "im/a.png", (WIDTH, HEIGHT))
    image = Masked("a", path, "a.png", label, box, torch.tensor([number]), CLASSES)
    for form, kind, source in (
        ("coco", "coco", "coco/instances-polygons.json"),
        ("yolo-seg", "yolo", "yolo-seg"),
        ("labelme", "labelme", "labelme"),
    ):
        writer, out = WRITERS[form], tmp_path / "out"
        writer.write(out / writer.folder, image)
        if writer.finish:
            writer.finish(out, ["a"], CLASSES, None)
        (read,) = read_boxes(kind, out / source, Folder(tmp_path / "im")).photographs
        assert [each.kind for each in read.boxes] == [CLASSES[number]], form
        assert read.boxes[0].corners == pytest.approx(box[0].tolist(), abs=1e-4 * WIDTH), form
