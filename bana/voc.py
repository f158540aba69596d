"""Data sets in the layout of PASCAL VOC: photographs, boxes, masks.

A folder in VOC layout holds

    JPEGImages/<id>.jpg
    Annotations/<id>.xml
    SegmentationClass/<id>.png          (only needed to evaluate)
    ImageSets/Segmentation/<split>.txt  (one id a line)
    classes.txt                         (ours, optional: one class name a line, background first)
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.datasets import VOCDetection

from bana.boxes import check_boxes, voc_to_half_open

VOC_CLASSES: tuple[str, ...] = (
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
IGNORE = 255


def _make_palette() -> np.ndarray:
    # The bits of an index are dealt to red, green and blue in turn, from their highest bit down,
    # so that neighbouring indices get distant colours.
    index = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = index >> (3 * level + channel) & 1
            colours[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    colours.setflags(write=False)
    return colours


# VOC's colours of the classes, uint8 RGB [256, 3].
PALETTE = _make_palette()
ROOT_VARIABLE = "BANA_VOC_ROOT"


class DataError(ValueError):
    """Something is wrong with a data set; the message names the file and the reason."""


class VocDataset(Dataset[dict[str, Any]]):
    """One split of a folder in VOC layout, as dictionaries of image, boxes, classes and mask.

    torchvision's `VOCDetection` and `VOCSegmentation` insist on the folders VOCdevkit/VOC2012 and
    on VOC's own splits, and each returns half of what is needed; what serves from them is
    `VOCDetection.parse_voc_xml`, and the items are `torchvision.tv_tensors`, so that
    `torchvision.transforms.v2` moves images, boxes and masks together.

    Every annotated object counts, "difficult" ones too: whatever is in no box is taken for
    background, so that leaving an object out would teach that it is background. The size in the XML
    file is not used, the image's own is. Orientation in EXIF is not applied, since VOC's boxes and
    masks refer to the pixels as stored.

    Args:
        root: folder in VOC layout, or a parent of `VOCdevkit/VOC2012` or `VOC2012`.
        split: name of a file in ImageSets/Segmentation, without .txt.
        classes: class names, background first; a file `classes.txt` in the root takes precedence.
        limit: take the first so many ids of the split; None takes them all.

    Raises:
        DataError: when the folder or the split is missing or the split is empty; when an item's
            files are missing, damaged, or disagree.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        classes: Sequence[str] = VOC_CLASSES,
        limit: int | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        self.root = _layout_root(Path(root))
        self.split = split
        self.classes = _read_classes(self.root) or tuple(classes)
        self.ids = _read_split(self.root, split)[:limit]
        self._class_of_name = {name: index for index, name in enumerate(self.classes) if index}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Load one item.

        Args:
            index: position in `ids`.

        Returns:
            "id": str; "image": tv_tensors.Image uint8 [3, H, W], RGB; "boxes":
            tv_tensors.BoundingBoxes float32 [K, 4], XYXY, half-open, pixels; "labels": int64 [K],
            1 to L; and, where SegmentationClass has the file, "mask": tv_tensors.Mask uint8 [H, W],
            0 background, 255 ignore. K is 0 for a photograph without objects.

        Raises:
            DataError: when a file is missing or damaged, or files disagree.
        """
        name = self.ids[index]
        image = read_image(self.image_path(name))
        height, width = image.shape[-2:]
        boxes, labels = self._boxes(name, height, width)
        item: dict[str, Any] = {
            "id": name,
            "image": tv_tensors.Image(image),
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
            "labels": labels,
        }
        if self.mask_path(name).exists():
            item["mask"] = tv_tensors.Mask(self._checked_mask(name, height, width))
        return item

    def image_path(self, name: str) -> Path:
        """Return the path of a photograph: .jpg, or .jpeg or .png where there is no .jpg."""
        folder = self.root / "JPEGImages"
        paths = [folder / f"{name}{ending}" for ending in (".jpg", ".jpeg", ".png")]
        return next((path for path in paths if path.exists()), paths[0])

    def mask_path(self, name: str) -> Path:
        """Return the path where a photograph's class mask is, if it has one."""
        return self.root / "SegmentationClass" / f"{name}.png"

    def mask(self, name: str) -> Tensor:
        """Load a photograph's class mask as uint8 [H, W]; DataError where it has none."""
        height, width = self.image_size(name)
        return self._checked_mask(name, height, width)

    def image_size(self, name: str) -> tuple[int, int]:
        """Return a photograph's (height, width) in pixels without decoding it."""
        path = self.image_path(name)
        try:
            with Image.open(path) as picture:
                return picture.height, picture.width
        except (OSError, SyntaxError) as error:
            raise _unreadable(path, error) from error

    def annotation(self, name: str) -> tuple[Tensor, Tensor]:
        """Load a photograph's boxes without decoding it.

        Args:
            name: an id.

        Returns:
            boxes float32 [K, 4], XYXY, half-open, pixels, and their classes int64 [K].

        Raises:
            DataError: when the file is missing or damaged, a class unknown, or a box wrong.
        """
        return self._boxes(name, *self.image_size(name))

    def _boxes(self, name: str, height: int, width: int) -> tuple[Tensor, Tensor]:
        path = self.root / "Annotations" / f"{name}.xml"
        objects = _read_objects(path)
        unknown = sorted({kind for kind, _ in objects} - set(self._class_of_name))
        if unknown:
            raise DataError(
                f"{path}: unknown class {unknown[0]!r}; the data set has "
                f"{', '.join(self._class_of_name)}"
            )
        corners = torch.tensor([box for _, box in objects], dtype=torch.float32).reshape(-1, 4)
        labels = torch.tensor([self._class_of_name[kind] for kind, _ in objects]).long()
        try:
            return check_boxes(voc_to_half_open(corners), height, width, str(path)), labels
        except ValueError as error:
            raise DataError(str(error)) from error

    def _checked_mask(self, name: str, height: int, width: int) -> Tensor:
        path = self.mask_path(name)
        mask = read_mask(path)
        if mask.shape != (height, width):
            raise DataError(
                f"{path}: mask of {mask.shape[1]} x {mask.shape[0]} for an image of "
                f"{width} x {height}"
            )
        # Adding 1 to a uint8 takes 255 (ignore) to 0, so that the maximum is over classes only.
        highest = int((mask + 1).max()) - 1
        if highest >= len(self.classes):
            raise DataError(
                f"{path}: mask holds class {highest}; the data set has 0 to "
                f"{len(self.classes) - 1} and {IGNORE}"
            )
        return mask


def find_voc_root(explicit: str | Path | None = None) -> Path:
    """Find the folder of VOC photographs.

    Args:
        explicit: the folder; None takes the environment variable BANA_VOC_ROOT.

    Returns:
        The folder that holds JPEGImages.

    Raises:
        DataError: when neither is given, or the folder is not in VOC layout.
    """
    given = explicit or os.environ.get(ROOT_VARIABLE)
    if not given:
        raise DataError(
            f"no folder of VOC photographs: pass one, or set the environment variable "
            f"{ROOT_VARIABLE} to the folder that holds JPEGImages"
        )
    return _layout_root(Path(given))


def read_image(path: str | Path) -> Tensor:
    """Load a photograph as RGB.

    Grey, palette and CMYK images are converted; transparent pixels are laid over white, as on
    paper, where plain conversion would reveal whatever colour hides beneath them.

    Args:
        path: file in any format that Pillow reads, 8 bits a channel.

    Returns:
        uint8 [3, H, W], 0 to 255.

    Raises:
        DataError: when the file is missing, no image, truncated, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            if picture.mode.startswith(("I", "F")):
                raise DataError(f"{path}: pixels of mode {picture.mode}, not 8 bits a channel")
            if picture.has_transparency_data:
                above = picture.convert("RGBA")
                paper = Image.new("RGBA", above.size, "white")
                picture = Image.alpha_composite(paper, above)
            pixels = np.array(picture.convert("RGB"))  # [H, W, 3]
    except (OSError, SyntaxError) as error:
        raise _unreadable(path, error) from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def read_mask(path: str | Path) -> Tensor:
    """Load the class indices of a palette or grey PNG.

    Args:
        path: file with one channel of 8 bits.

    Returns:
        uint8 [H, W], the indices, not the palette's colours.

    Raises:
        DataError: when the file is missing, damaged, or an RGB image of the colours.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L"):
                raise DataError(
                    f"{path}: mask of mode {picture.mode}, not a palette or grey PNG of indices"
                )
            return torch.from_numpy(np.array(picture, dtype=np.uint8))
    except (OSError, SyntaxError) as error:
        raise _unreadable(path, error) from error


def write_mask(path: str | Path, mask: Tensor | np.ndarray) -> None:
    """Write class indices as a PNG with VOC's palette.

    The file appears whole or not at all, so that an interrupted run leaves nothing half-written
    to be taken for a result. Missing folders are created.

    Args:
        path: file to write.
        mask: uint8 [H, W].

    Raises:
        ValueError: when `mask` is not uint8 [H, W].
    """
    indices = mask.cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if indices.dtype != np.uint8 or indices.ndim != 2:
        raise ValueError(f"mask must be uint8 [H, W], not {indices.dtype} {list(indices.shape)}")
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette(PALETTE.ravel().tolist())
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        picture.save(unfinished, format="PNG")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _layout_root(given: Path) -> Path:
    candidates = (given, given / "VOCdevkit" / "VOC2012", given / "VOC2012")
    for root in candidates:
        if (root / "JPEGImages").is_dir():
            return root
    raise DataError(f"{given}: no folder in VOC layout (it has no JPEGImages)")


def _read_classes(root: Path) -> tuple[str, ...] | None:
    path = root / "classes.txt"
    if not path.exists():
        return None
    names = tuple(path.read_text(encoding="utf-8").split())
    if not names or names[0] != "background":
        raise DataError(f"{path}: the first class must be background")
    return names


def _read_split(root: Path, split: str) -> list[str]:
    folder = root / "ImageSets" / "Segmentation"
    path = folder / f"{split}.txt"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.txt"))) or "none"
        raise DataError(f"{path}: no such split; there is {known}")
    ids = [
        line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.split()
    ]
    if not ids:
        raise DataError(f"{path}: the split is empty")
    return ids


def _read_objects(path: Path) -> list[tuple[str, list[float]]]:
    """Return the class name and VOC's (xmin, ymin, xmax, ymax) of every object of an XML file."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: not well-formed XML ({error})") from error
    if root.tag != "annotation":
        raise DataError(f"{path}: not a VOC annotation but <{root.tag}>")
    objects = []
    # Object by object: of a whole file, parse_voc_xml would pass over an empty one in silence.
    for node in root.findall("object"):
        try:
            thing = VOCDetection.parse_voc_xml(node)["object"]
            corners = [float(thing["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax")]
            objects.append((str(thing["name"]), corners))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a VOC annotation ({error!r})") from error
    return objects


def _unreadable(path: str | Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file")
    if isinstance(error, UnidentifiedImageError):
        return DataError(f"{path}: not an image")
    return DataError(f"{path}: cannot be read as an image ({error})")
