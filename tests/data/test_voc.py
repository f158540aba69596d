"""Reading of folders in VOC layout, good and bad."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from bana.data import annotations, voc, voc_files
from bana.data.exporting import export_boxes
from bana.data.verify import verify

SIZE = (12, 10)  # width, height


def write_xml(root: Path, objects: list[tuple[str, tuple]], name: str = "a") -> None:
    things = "".join(
        f"<object><name>{kind}</name><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
        f"<xmax>2</xmax><ymax>2</ymax></bndbox></part><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for kind, (x1, y1, x2, y2) in objects
    )
    (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{things}</annotation>")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "JPEGImages" / "a.jpg", quality=95)
    write_xml(tmp_path, [("cat", (1, 1, 12, 10)), ("person", (3.5, 2, 6, 9))])
    voc.write_mask(tmp_path / "SegmentationClass" / "a.png", np.full(SIZE[::-1], 8, np.uint8))
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n\n")
    return tmp_path


def failure(root: Path) -> str:
    with pytest.raises(voc.DataError) as caught:
        voc.VocDataset(root, "train")[0]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_item(root):
    item = voc.VocDataset(root, "train")[0]
    assert item["id"] == "a"
    assert item["image"].shape == (3, 10, 12)
    assert item["image"].dtype == torch.uint8
    assert item["boxes"].tolist() == [[0, 0, 12, 10], [2.5, 1, 6, 9]]
    assert item["boxes"].canvas_size == (10, 12)
    assert item["labels"].tolist() == [8, 15]
    assert item["labels"].dtype == torch.int64
    assert (item["mask"] == 8).all()


def test_parent_folders_and_classes_file(root, tmp_path_factory):
    parent = tmp_path_factory.mktemp("parent")
    (parent / "VOCdevkit").mkdir()
    root.rename(parent / "VOCdevkit" / "VOC2012")
    dataset = voc.VocDataset(parent, "train")
    assert dataset.root.name == "VOC2012"
    (dataset.root / "classes.txt").write_text("background\nperson\ncat\n")
    (dataset.root / "SegmentationClass" / "a.png").unlink()
    own = voc.VocDataset(parent, "train")
    assert own.classes == ("background", "person", "cat")
    assert own[0]["labels"].tolist() == [2, 1]
    assert "mask" not in own[0]


@pytest.mark.parametrize(
    "text", ["<annotation/>", "<annotation>\n</annotation>", "<annotation><size/></annotation>"]
)
def test_photograph_without_objects(root, text):
    (root / "Annotations" / "a.xml").write_text(text)
    item = voc.VocDataset(root, "train")[0]
    assert item["boxes"].shape == (0, 4)
    assert item["labels"].shape == (0,)
    assert item["labels"].dtype == torch.int64


def test_limit_takes_the_first(root):
    (root / "ImageSets/Segmentation/train.txt").write_text("a\nb\nc\n")
    assert voc.VocDataset(root, "train", limit=2).ids == ["a", "b"]
    with pytest.raises(ValueError, match="limit"):
        voc.VocDataset(root, "train", limit=0)


def test_missing_things_are_named(root):
    with pytest.raises(voc.DataError, match=r"test\.txt: no such split; there is train"):
        voc.VocDataset(root, "test")
    with pytest.raises(voc.DataError, match="no folder in VOC layout"):
        voc.VocDataset(root / "Annotations", "train")
    (root / "Annotations" / "a.xml").rename(root / "a.xml")
    assert "a.xml: no such file" in failure(root)
    (root / "JPEGImages" / "a.jpg").unlink()
    assert "a.jpg: no such file" in failure(root)
    (root / "ImageSets/Segmentation/train.txt").write_text("\n")
    with pytest.raises(voc.DataError, match="empty"):
        voc.VocDataset(root, "train")


def test_missing_mask_is_an_error_only_where_it_is_asked_for(root):
    (root / "SegmentationClass" / "a.png").unlink()
    dataset = voc.VocDataset(root, "train")
    assert "mask" not in dataset[0]
    with pytest.raises(voc.DataError, match=r"a\.png: no such file"):
        dataset.mask("a")


def test_truncated_jpeg(root):
    path = root / "JPEGImages" / "a.jpg"
    path.write_bytes(path.read_bytes()[:-150])
    assert "a.jpg: cannot be read as an image" in failure(root)
    path.write_bytes(b"no image at all")
    assert "a.jpg: not an image" in failure(root)


def test_damaged_header(root):
    """Pillow tells this one by a ValueError, not by an OSError."""
    path = root / "SegmentationClass" / "a.png"
    content = bytearray(path.read_bytes())
    content[11] = 5  # the length of the first chunk
    path.write_bytes(content)
    assert "a.png: cannot be read as an image" in failure(root)


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ([("unicorn", (1, 1, 5, 5))], "unknown class 'unicorn'"),
        ([("background", (1, 1, 5, 5))], "unknown class 'background'"),
        ([("cat", (6, 1, 2, 5))], "inverted"),
        ([("cat", (6, 1, 5, 5))], "empty"),
        ([("cat", (14, 1, 16, 5))], "wholly outside"),
        ([("cat", (1, 1, 300, 5))], "sticks out"),
        ([("cat", ("one", 1, 5, 5))], "not a VOC annotation"),
    ],
)
def test_bad_annotation(root, objects, reason):
    write_xml(root, objects)
    message = failure(root)
    assert "a.xml" in message
    assert reason in message


def write_other(root: Path, name: str = "b") -> None:
    path = root / "JPEGImages" / f"{name}.jpg"
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", SIZE).save(path)


def write_said(root: Path, box: tuple = (2, 2, 6, 6), name: str = "a", **said) -> None:
    path = root / "Annotations" / f"{name}.xml"
    size, crowds = said.get("size", SIZE), [("cat", box)] if said.get("crowd") else []
    objects = [] if crowds else [("cat", box)]
    annotations.write_annotation(
        path, annotations.Annotation(objects, crowds, size), "", said.get("image")
    )


CONTRADICTIONS = {
    "size": ({"size": SIZE[::-1]}, "says 10 x 12, but the photograph has 12 x 10"),
    "photograph": (
        {"image": "b.jpg"},
        "is called as a.jpg is and says in <filename> that it is about b.jpg: rename one of them",
    ),
    "from 0": ({"box": (3, 0, 6, 6)}, "object 1: begins at 0, but VOC counts pixels from 1: if"),
    "crowd": ({"box": (0, 2, 6, 6), "crowd": True}, "crowd 1: begins at 0, but VOC counts"),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_what_contradicts_the_photograph_is_refused_as_a_check_does(root, kind):
    """Reading, verifying and exporting say the same."""
    said, reason = CONTRADICTIONS[kind]
    write_other(root)
    write_said(root, **said)
    path = root / "Annotations" / "a.xml"
    message = failure(root)
    assert message.startswith(f"{path}: {reason}")
    with pytest.raises(voc.DataError) as caught:
        voc.VocDataset(root, "train").annotation("a")
    assert str(caught.value) == message
    with pytest.raises(voc.DataError) as caught:
        export_boxes("coco", root, "train", root / "boxes.json")
    assert str(caught.value) == message
    errors = [finding for finding in verify(root, workers=1).findings if finding.level == "error"]
    assert [f"{root / found.file}: {found.reason}" for found in errors] == [message]


def test_what_contradicts_nothing_is_read(root):
    for said in ({"size": None}, {"size": SIZE}, {"image": "a.png"}, {"image": "IMG_7.jpg"}):
        write_said(root, **said)
        assert len(voc.VocDataset(root, "train")[0]["boxes"]) == 1
    # Sums of fractions begin a little before 1.
    write_said(root, (0.99, 1, 6, 6))
    assert voc.VocDataset(root, "train")[0]["boxes"].tolist() == [[0, 0, 6, 6]]


def test_a_photograph_of_a_subfolder_is_looked_for_there_too(root):
    for name in ("cam/a", "cam/c", "b"):
        write_other(root, name)
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("cam/a\n")
    for other in ("b.jpg", "c.jpg"):
        write_said(root, name="cam/a", image=other)
        assert f"is called as a.jpg is and says in <filename> that it is about {other}" in failure(
            root
        )
    write_said(root, name="cam/a")
    assert len(voc.VocDataset(root, "train")[0]["boxes"]) == 1


@pytest.mark.parametrize(
    "text", ["<annotation><object>", "", "<annotation><object/></annotation>", "<image/>"]
)
def test_damaged_xml(root, text):
    (root / "Annotations" / "a.xml").write_text(text)
    assert "a.xml: not" in failure(root)


def test_class_names_may_hold_spaces(root):
    (root / "classes.txt").write_text("background\n\n traffic  light \ncat\n")
    write_xml(root, [("traffic light", (1, 1, 2, 2))])
    dataset = voc.VocDataset(root, "train")
    assert dataset.classes == ("background", "traffic light", "cat")
    assert dataset.annotation("a")[1].tolist() == [1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cat\n", "first class must be background"),
        ("background\ncat\ncat\n", "class 'cat' occurs twice"),
        ("background\n" + "".join(f"c{i}\n" for i in range(255)), "256 classes"),
    ],
)
def test_bad_class_names(root, text, reason):
    (root / "classes.txt").write_text(text)
    assert reason in failure(root)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["background", *map(str, range(1, 300))], "classes: 300 classes; a mask has room for 255"),
        (["cat"], "classes: the first class must be background"),
        (["background", "cat", "cat"], "classes: class 'cat' occurs twice"),
    ],
)
def test_bad_class_names_that_are_given(root, names, reason):
    with pytest.raises(voc.DataError, match=reason):
        voc.VocDataset(root, "train", names)
    (root / "classes.txt").write_text("background\ncat\nperson\n")
    assert len(voc.VocDataset(root, "train", names).classes) == 3, "the file's count"


def test_a_mask_of_vocs_own_goes_before_one_from_elsewhere(root):
    own, other = (root / f"SegmentationClass{which}" / "a.png" for which in ("", "Aug"))
    voc.write_mask(other, np.full(SIZE[::-1], 15, np.uint8))
    dataset = voc.VocDataset(root, "train")
    assert (dataset[0]["mask"] == 8).all()
    own.unlink()
    assert (dataset[0]["mask"] == 15).all()
    other.unlink()
    assert dataset.mask_path("a") == own


def test_crowds_are_no_boxes_but_there(root):
    write_xml(root, [("cat", (1, 1, 4, 4))])
    assert "crowds" not in voc.VocDataset(root, "train")[0]
    path = root / "Annotations" / "a.xml"
    text = path.read_text()
    crowd = text[text.index("<object>") : text.index("</annotation>")].replace("object>", "crowd>")
    path.write_text(text.replace("</annotation>", crowd + "</annotation>"))
    item = voc.VocDataset(root, "train")[0]
    assert item["boxes"].tolist() == item["crowds"].tolist() == [[0, 0, 4, 4]]
    assert item["labels"].tolist() == [8]


def test_fractions_come_back_exactly(root):
    hundredths = [(k + 0.01 * k, 0.43 + k / 100, 9.31 + k / 100, 9.99) for k in range(8)]
    boxes = [(x1 + 1, y1 + 1, x2, y2) for x1, y1, x2, y2 in hundredths]
    path = root / "Annotations" / "a.xml"
    annotations.write_annotation(
        path, annotations.Annotation([("cat", box) for box in boxes], [], None)
    )
    read = voc.VocDataset(root, "train")[0]["boxes"].as_subclass(torch.Tensor)
    assert torch.equal(read, torch.tensor(hundredths))


def test_annotations_survive_writing(tmp_path):
    path = tmp_path / "new" / "a.xml"
    written = annotations.Annotation(
        [("traffic light", [1.0, 2.5, 3.0, 4.43]), ("Käfer & <Co>", [1.0, 1.0, 2.0, 2.0])],
        [("person", [1.0, 1.0, 6.0, 6.0])],
        (12, 10),
    )
    annotations.write_annotation(path, written)
    assert annotations.read_annotation(path) == written
    assert "<xmin>1</xmin>" in path.read_text(encoding="utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["a.xml"]


def test_bad_masks(root):
    path = root / "SegmentationClass" / "a.png"
    voc.write_mask(path, np.zeros((5, 5), np.uint8))
    assert "a.png: mask of 5 x 5 for an image of 12 x 10" in failure(root)
    voc.write_mask(path, np.full((10, 12), 21, np.uint8))
    assert "a.png: mask holds class 21" in failure(root)
    voc.write_mask(path, np.full((10, 12), 255, np.uint8))
    assert (voc.VocDataset(root, "train")[0]["mask"] == 255).all()
    Image.new("RGB", SIZE).save(path)
    assert "a.png: mask of mode RGB" in failure(root)


def test_a_mask_whose_palette_is_in_another_order_is_refused(root):
    path = root / "SegmentationClass" / "a.png"
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[2:5, 2:5] = 8
    voc.write_mask(path, mask)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(4).save(root / "again.png")
    (root / "again.png").replace(path)
    if (voc.read_mask(path).numpy() == mask).all():
        pytest.skip("this Pillow keeps the order")
    assert "a.png: index " in failure(root)


def test_a_mask_whose_palette_was_compacted_is_refused_by_its_boxes(root):
    """Black is the colour of 0 there too, and only the boxes tell that 1 is not aeroplane."""
    path = root / "SegmentationClass" / "a.png"
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[2:5, 2:5] = 1
    picture = Image.fromarray(mask).convert("P")
    picture.putpalette(voc.PALETTE[[0, 8]].ravel().tolist())
    picture.save(path)
    write_xml(root, [("cat", (3, 3, 5, 5))])
    assert "a.png: index 1 has the colour that VOC gives to 8" in failure(root)
    with pytest.raises(voc.DataError, match="index 1 has the colour that VOC gives to 8"):
        voc.VocDataset(root, "train").mask("a")
    # Colours of somebody's own, partly VOC's by chance: the boxes say that the indices are meant.
    write_xml(root, [("aeroplane", (3, 3, 5, 5))])
    assert voc.VocDataset(root, "train")[0]["mask"].max() == 1
    (root / "Annotations" / "a.xml").unlink()
    assert voc.VocDataset(root, "train").mask("a").max() == 1


def test_photographs_beyond_the_limit(root, monkeypatch):
    monkeypatch.setenv("BANA_MAX_PIXELS", "119")
    assert "a.jpg: more than 119 pixels: set BANA_MAX_PIXELS higher" in failure(root)
    for read in (voc_files.image_size, voc_files.orientation, voc_files.read_mask):
        with pytest.raises(voc.DataError, match="more than 119 pixels"):
            read(root / "JPEGImages" / "a.jpg")
    monkeypatch.setenv("BANA_MAX_PIXELS", "120")
    assert len(voc.VocDataset(root, "train")[0]["boxes"]) == 2
    for said in ("many", "-1", "0", "1e9"):
        monkeypatch.setenv("BANA_MAX_PIXELS", said)
        assert "BANA_MAX_PIXELS=" in failure(root)


def test_the_limit_goes_beyond_pillows_own(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    path = tmp_path / "a.png"
    Image.new("RGB", SIZE).save(path)
    with pytest.raises(voc.DataError, match="more than 178,956,970 pixels"):
        voc.read_image(path)
    monkeypatch.setenv("BANA_MAX_PIXELS", "178956971")
    assert voc.read_image(path).shape == (3, 10, 12)


def test_a_large_photograph_is_read(tmp_path):
    path = tmp_path / "a.png"
    Image.new("L", (8000, 6000)).save(path, compress_level=1)
    assert voc_files.image_size(path) == (6000, 8000)
    assert voc.read_image(path).shape == (3, 6000, 8000)


def test_254_classes_and_5000_boxes(root):
    names = [f"c{number}" for number in range(1, 255)]
    (root / "classes.txt").write_text("\n".join(["background", *names]))
    write_xml(root, [(names[number % 254], (1, 1, 12, 10)) for number in range(5000)])
    voc.write_mask(root / "SegmentationClass" / "a.png", np.full(SIZE[::-1], 254, np.uint8))
    item = voc.VocDataset(root, "train")[0]
    assert item["labels"].max() == 254 and len(item["boxes"]) == 5000


@pytest.mark.parametrize("kind", ["tiff", "gif", "webp"])
def test_several_pictures_in_a_file_are_refused(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    pages = [Image.new("RGB", SIZE, (value, 0, 0)) for value in (0, 90, 200)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(voc.DataError, match="holds 3 pictures, not one"):
        voc.read_image(path)


def test_a_tiff_with_a_second_page_of_nothing_is_refused(tmp_path):
    """Pillow tells this one by a TypeError."""
    path = tmp_path / "a.tif"
    Image.new("RGB", SIZE).save(path)
    content = bytearray(path.read_bytes())
    (page,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, page)
    struct.pack_into("<I", content, page + 2 + 12 * entries, len(content))
    path.write_bytes(content + bytes(6))
    with pytest.raises(voc.DataError, match=r"a\.tif: "):
        voc.read_image(path)


def test_orientation_of_a_photograph(tmp_path):
    path = tmp_path / "a.jpg"
    Image.new("RGB", SIZE).save(path)
    assert voc_files.orientation(path) == 1
    exif = Image.Exif()
    for value in (3, 6, 8):
        exif[0x0112] = value
        Image.new("RGB", SIZE).save(path, exif=exif)
        assert voc_files.orientation(path) == value
        assert voc_files.image_size(path) == SIZE[::-1], "as stored"
    Image.new("RGB", SIZE).save(path, exif=b"Exif\0\0damaged")
    assert voc_files.orientation(path) == 1


@pytest.mark.parametrize("mode", ["L", "CMYK", "1"])
def test_other_colour_spaces_become_rgb(root, mode):
    path = root / "JPEGImages" / "a.jpg"
    colour = Image.new("RGB", SIZE, (200, 40, 90))
    colour.convert(mode).save(path, format="PNG" if mode == "1" else "JPEG", quality=95)
    image = voc.VocDataset(root, "train")[0]["image"]
    assert image.shape == (3, 10, 12)
    expected = np.array(colour.convert(mode).convert("RGB")).mean((0, 1))
    assert np.allclose(image.float().mean((1, 2)).numpy(), expected, atol=4)


def test_transparent_pixels_lie_over_white(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0] = (10, 20, 30, 255)
    pixels[1] = (10, 20, 30, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = voc.read_image(tmp_path / "a.png")
    assert image[:, 0, 0].tolist() == [10, 20, 30]
    assert image[:, 1, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_image_is_refused(tmp_path, kind, channels):
    path = tmp_path / f"a.{kind}"
    for value, kept in ((np.full((4, 4, channels), 200, np.uint8), True), (3000, False)):
        cv2.imwrite(str(path), value if kept else np.full((4, 4, channels), value, np.uint16))
        if kept:
            assert voc.read_image(path).shape == (3, 4, 4)
            continue
        with pytest.raises(voc.DataError, match=rf"a\.{kind}: pixels of .* 8") as caught:
            voc.read_image(path)
        assert "\n" not in str(caught.value)


def write_grey_png(path: Path, bits: int, rows: list[bytes]) -> None:
    """A grey PNG of rows that are packed already; its width fills whole bytes."""
    header = struct.pack(">IIBBBBB", len(rows[0]) * 8 // bits, len(rows), bits, 0, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + kind + body
        content += struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(content)


@pytest.mark.parametrize("bits", [2, 4])
def test_a_grey_mask_of_few_bits_is_refused(tmp_path, bits):
    """Pillow would read class 1 as 17, or as 85."""
    path = tmp_path / "a.png"
    write_grey_png(path, bits, [b"\x01", b"\x23"])
    with pytest.raises(voc.DataError, match=rf"a\.png: grey mask of {bits} bits, not 8"):
        voc.read_mask(path)
    write_grey_png(path, 8, [b"\x01", b"\x23"])
    assert voc.read_mask(path).tolist() == [[1], [0x23]]
    indices = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8)).convert("P")
    indices.putpalette(voc.PALETTE.ravel().tolist())
    indices.save(path, bits=bits)
    assert voc.read_mask(path).tolist() == [[0, 1, 2, 3]], "a palette's indices are not stretched"


def test_masks_survive_writing_and_leave_nothing_else(tmp_path):
    mask = torch.randint(0, 256, (7, 5), dtype=torch.uint8)
    path = tmp_path / "new" / "folder" / "a.png"
    voc.write_mask(path, mask)
    voc.write_mask(path, mask)
    assert torch.equal(voc.read_mask(path), mask)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    with pytest.raises(ValueError, match="uint8"):
        voc.write_mask(path, mask.long())


def test_palette_is_vocs():
    assert voc.PALETTE[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert voc.PALETTE[15].tolist() == [192, 128, 128]
    assert voc.PALETTE[20].tolist() == [0, 64, 128]
    assert voc.PALETTE[255].tolist() == [224, 224, 192]


def test_find_voc_root(root, monkeypatch):
    monkeypatch.delenv("BANA_VOC_ROOT", raising=False)
    with pytest.raises(voc.DataError, match="BANA_VOC_ROOT"):
        voc.find_voc_root()
    assert voc.find_voc_root(root) == root
    monkeypatch.setenv("BANA_VOC_ROOT", str(root))
    assert voc.find_voc_root() == root
    with pytest.raises(voc.DataError, match="nowhere"):
        voc.find_voc_root(root / "nowhere")


@pytest.mark.photographs
def test_real_annotations_agree_with_real_masks(voc_root):
    dataset = voc.VocDataset(voc_root, "val")
    covered, labelled = 0, 0
    for index in range(0, len(dataset), 10):
        item = dataset[index]
        mask = item["mask"].as_subclass(torch.Tensor)
        inside = torch.zeros_like(mask, dtype=torch.bool)
        for x1, y1, x2, y2 in item["boxes"].round().int().tolist():
            inside[y1:y2, x1:x2] = True
        objects = (mask > 0) & (mask < voc.IGNORE)
        covered += int((objects & inside).sum())
        labelled += int(objects.sum())
        assert set(mask.unique().tolist()) - {0, 255} <= set(item["labels"].tolist())
    assert covered / labelled > 0.99
    assert np.array_equal(
        np.array(Image.open(dataset.mask_path(dataset.ids[0])).getpalette()),
        voc.PALETTE.ravel(),
    )
