"""COCO in VOC layout: boxes, masks that are not transposed, crowds, and conversions that go on."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from servers import flaky_server

from bana.data import coco, transforms
from bana.data.coco import class_mask, convert_coco, read_coco
from bana.data.voc import DataError, VocDataset, read_mask

WIDTH, HEIGHT = 7, 4
RECORD = {"id": 1, "file_name": "000000000139.jpg", "width": WIDTH, "height": HEIGHT}


def run_lengths(mask: np.ndarray) -> dict:
    """COCO's uncompressed run lengths, written as loops: down the columns, zeros first."""
    counts, value = [0], 0
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if mask[row, column] != value:
                counts.append(0)
                value = 1 - value
            counts[-1] += 1
    return {"counts": counts, "size": list(mask.shape)}


def instance(number: int, mask: np.ndarray, category: int = 18, crowd: bool = False) -> dict:
    rows, columns = np.nonzero(mask)
    x, y = int(columns.min()), int(rows.min())
    box = [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y]
    found = {"id": number, "image_id": 1, "category_id": category, "iscrowd": int(crowd)}
    return {**found, "bbox": box, "area": int(mask.sum()), "segmentation": run_lengths(mask)}


def rectangle(x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def test_masks_are_not_transposed():
    """The trap: run lengths go down the columns, and in a square image nobody would notice."""
    corner = np.zeros((HEIGHT, WIDTH), np.uint8)
    corner[0] = 1
    corner[:, 0] = 1
    corner[1, 5] = 1
    expected = corner * 3
    for segmentation in (
        run_lengths(corner),
        {**coco_mask.encode(np.asfortranarray(corner)), "size": [HEIGHT, WIDTH]},
    ):
        annotation = {**instance(1, corner), "segmentation": segmentation}
        assert np.array_equal(class_mask(RECORD, [annotation], [3]), expected)
    # A polygon: x and y in turn, two columns wide and all of the height.
    polygon = [[4.0, 0.0, 6.0, 0.0, 6.0, float(HEIGHT), 4.0, float(HEIGHT)]]
    annotation = {**instance(1, corner), "segmentation": polygon}
    assert np.array_equal(class_mask(RECORD, [annotation], [3]), 3 * rectangle(4, 0, 6, HEIGHT))


@given(
    masks=st.lists(st.integers(1, 2 ** (WIDTH * HEIGHT) - 1), min_size=1, max_size=5),
    crowds=st.lists(st.booleans(), min_size=5, max_size=5),
)
@settings(max_examples=50, deadline=None)
def test_overlaps_against_loops(masks, crowds):
    drawn = [
        np.array([bits >> i & 1 for i in range(WIDTH * HEIGHT)], np.uint8).reshape(HEIGHT, WIDTH)
        for bits in masks
    ]
    annotations = [instance(i, mask, crowd=crowds[i]) for i, mask in enumerate(drawn) if mask.any()]
    classes = list(range(1, len(annotations) + 1))
    made = class_mask(RECORD, annotations, classes)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            here = [i for i, mask in enumerate(drawn) if mask[row, column]]
            objects = [i for i in here if not crowds[i]]
            if objects:
                smallest = min(int(drawn[i].sum()) for i in objects)
                possible = {i + 1 for i in objects if drawn[i].sum() == smallest}
            else:
                possible = {255} if here else {0}
            assert made[row, column] in possible


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, Path]:
    """A COCO file of three images, and their folder."""
    images = tmp_path / "photos"
    images.mkdir()
    records = [RECORD, {**RECORD, "id": 2, "file_name": "b.jpg"}]
    records.append({**RECORD, "id": 3, "file_name": "empty.jpg"})
    for record in records:
        Image.new("RGB", (WIDTH, HEIGHT)).save(images / record["file_name"])
    annotations = [
        {**instance(1, rectangle(0, 0, 3, 3), 10), "bbox": [0.43, 0.57, 2.11, 2.3]},
        instance(2, rectangle(2, 2, 4, 4), 1),
        instance(3, rectangle(3, 0, 7, 4), 1, crowd=True),
        {**instance(4, rectangle(6, 0, 7, 1), 1), "bbox": [6, 0, 0, 1]},
        {**instance(5, rectangle(1, 1, 3, 3), 1), "image_id": 2},
    ]
    categories = [{"id": 10, "name": "traffic light"}, {"id": 1, "name": "person"}]
    path = tmp_path / "instances.json"
    file = {"images": records, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(file))
    return path, images


def test_conversion(source, tmp_path, capsys):
    out = tmp_path / "out"
    written = convert_coco(*source, out, "train")
    assert (written.boxes, written.crowds, written.left_out) == (3, 1, 1)
    told = f"{source[0]}: annotations left out, as their boxes have no area (1): 4"
    assert told in written.notes and capsys.readouterr().out == ""
    dataset = VocDataset(out, "train")
    assert dataset.classes == ("background", "person", "traffic light")
    assert dataset.ids == ["000000000139", "b"]
    item = dataset[0]
    expected = torch.tensor([[0.43, 0.57, 0.43 + 2.11, 0.57 + 2.3], [2, 2, 4, 4]])
    assert torch.equal(item["boxes"].as_subclass(torch.Tensor), expected)
    assert item["labels"].tolist() == [2, 1]
    assert item["crowds"].tolist() == [[3, 0, 7, 4]]
    assert item["mask"].tolist() == [
        [2, 2, 2, 255, 255, 255, 255],
        [2, 2, 2, 255, 255, 255, 255],
        [2, 2, 1, 1, 255, 255, 255],
        [0, 0, 1, 1, 255, 255, 255],
    ]
    # What is in a crowd is not background to the classifier, nor an object.
    assert transforms.add_region(item)["region"].tolist() == [
        [1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
    ]


def test_two_splits_share_a_folder(source, tmp_path):
    out = tmp_path / "out"
    convert_coco(*source, out, "train")
    convert_coco(*source, out, "val", keep_empty=True)
    assert VocDataset(out, "val").ids == ["000000000139", "b", "empty"]
    assert not VocDataset(out, "val")[2]["mask"].any()


def test_interrupted_conversion_goes_on(source, tmp_path, monkeypatch):
    out = tmp_path / "out"
    drawn = []

    def killed_at_the_second(folder, one):
        if drawn:
            raise KeyboardInterrupt
        drawn.append(one)
        write(folder, one)

    write = coco._write_class_mask
    with monkeypatch.context() as patch:
        patch.setattr(coco, "_write_class_mask", killed_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            convert_coco(*source, out, "train")
    assert not (out / "ImageSets").exists(), "a split that is there is complete"
    first = out / "SegmentationClass" / "000000000139.png"
    before = first.stat().st_mtime_ns
    convert_coco(*source, out, "train")
    assert first.stat().st_mtime_ns == before
    assert len(VocDataset(out, "train")) == 2
    # Another file of annotations: no mask of the old one stays.
    text = source[0].read_text()
    source[0].write_text(text.replace('"id": 10, "name": "traffic', '"id": 0, "name": "traffic'))
    with pytest.raises(DataError, match="unknown category 10"):
        convert_coco(*source, out, "train")
    file = json.loads(text)
    file["annotations"][0]["category_id"] = 1
    source[0].write_text(json.dumps(file))
    convert_coco(*source, out, "train")
    assert read_mask(first)[0, 0] == 1


def test_segmentation_that_cannot_be_decoded(source, tmp_path):
    file = json.loads(source[0].read_text())
    for broken in ([], [{}], {"counts": "x"}, None):
        file["annotations"][0]["segmentation"] = broken
        source[0].write_text(json.dumps(file))
        with pytest.raises(DataError, match="annotation 1: no segmentation to decode"):
            convert_coco(*source, tmp_path / "out", "train")


def test_same_masks_from_two_processes(source, tmp_path):
    convert_coco(*source, tmp_path / "one", "train", workers=1)
    convert_coco(*source, tmp_path / "two", "train", workers=2)
    masks = [sorted((tmp_path / out / "SegmentationClass").iterdir()) for out in ("one", "two")]
    assert len(masks[0]) == 2
    for one, two in zip(*masks, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_download(source, tmp_path, monkeypatch):
    path, images = source

    def zipped(files: dict[str, Path]) -> bytes:
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w") as made:
            for name, file in files.items():
                made.write(file, name)
        return memory.getvalue()

    content = {
        "annotations": {f"annotations/instances_{s}2017.json": path for s in ("train", "val")},
        **{s: {f"{s}2017/{f.name}": f for f in images.iterdir()} for s in ("train", "val")},
    }
    with flaky_server() as server:
        for part, archive in coco.ARCHIVES.items():
            offered = server.offer(archive.filename, zipped(content[part]))
            monkeypatch.setitem(coco.ARCHIVES, part, offered)
        sources = coco.download_coco(tmp_path / "download")
        for split, (annotations, folder) in sources.items():
            convert_coco(annotations, folder, tmp_path / "out", split)
        assert coco.download_coco(tmp_path / "download") == sources
        assert len(server.requests) == 3
    assert VocDataset(tmp_path / "out", "train").ids == VocDataset(tmp_path / "out", "val").ids


def test_read_coco_keeps_the_order_of_the_file(source):
    read, classes, _ = read_coco(*source)
    assert [one.photograph.name for one in read] == ["000000000139", "b", "empty"]
    assert read[0].classes == [2, 1, 1] and classes[2] == "traffic light"
