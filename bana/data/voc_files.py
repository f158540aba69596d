"""The files of a folder in VOC layout one by one: photographs, masks, boxes, class names."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets import VOCDetection

IGNORE = 255
# What a photograph's name may end in, the first that is there being taken.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")

# What Pillow raises for files that are damaged (or absurdly large, as a damaged header says).
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


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


class DataError(ValueError):
    """Something is wrong with a data set; the message names the file and the reason."""


class Annotation(NamedTuple):
    """What an XML file says.

    Attributes:
        objects: class name and VOC's (xmin, ymin, xmax, ymax) of every object.
        crowds: the same of every region of uncounted objects.
        size: (width, height) of the image in pixels, None where the file does not say.
    """

    objects: list[tuple[str, list[float]]]
    crowds: list[tuple[str, list[float]]]
    size: tuple[int, int] | None


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
    except DataError:
        raise
    except DAMAGE as error:
        raise _unreadable(path, error) from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def image_size(path: str | Path) -> tuple[int, int]:
    """Return a photograph's (height, width) in pixels without decoding it.

    Raises:
        DataError: when the file is missing or no image.
    """
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except DAMAGE as error:
        raise _unreadable(path, error) from error


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
    except DataError:
        raise
    except DAMAGE as error:
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
    with whole_file(path) as unfinished:
        picture.save(unfinished, format="PNG")


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file of a data set so that it appears whole or not at all.

    Unlike `bana.files.artefacts`, this does not wait for the disk: a data set has many thousand
    files, and what a power cut takes is made again.

    Args:
        path: the file to write; missing folders are created.

    Yields:
        Where to write it; it is moved to `path` when the block ends well, and removed otherwise.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_class_names(path: Path, background_implied: bool = False) -> tuple[str, ...]:
    """Read class names, one a line, which may hold spaces ("traffic light").

    Args:
        path: text file, UTF-8; empty lines do not count.
        background_implied: background may be left out of the file.

    Returns:
        The names, background first.

    Raises:
        DataError: when the file is missing, does not begin with background, names a class twice,
            or names more than a mask has room for.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no text in UTF-8 ({error})") from error
    names = [" ".join(line.split()) for line in lines if line.split()]
    if background_implied and names[:1] != ["background"]:
        names.insert(0, "background")
    return check_class_names(names, str(path))


def check_class_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Return class names as they are, or say what is wrong with them.

    Args:
        names: background first.
        where: the file that they come from, for the message.

    Raises:
        DataError: as `read_class_names` says.
    """
    if not names or names[0] != "background":
        raise DataError(f"{where}: the first class must be background")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: class {twice!r} occurs twice")
    if len(names) > IGNORE:
        raise DataError(f"{where}: {len(names)} classes; a mask has room for {IGNORE}")
    return tuple(names)


def read_annotation(path: Path) -> Annotation:
    """Read a VOC XML file as it stands: boxes 1-based and inclusive, nothing checked.

    Args:
        path: the file.

    Returns:
        Its objects, crowds, and image size.

    Raises:
        DataError: when the file is missing, damaged, or no VOC annotation; the number of the
            object at fault is named.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: not well-formed XML ({error})") from error
    if root.tag != "annotation":
        raise DataError(f"{path}: not a VOC annotation but <{root.tag}>")
    try:
        size = int(root.findtext("size/width", "0")), int(root.findtext("size/height", "0"))
    except ValueError as error:
        raise DataError(f"{path}: not a VOC annotation ({error!r} in <size>)") from error
    return Annotation(
        _things(path, root, "object"), _things(path, root, "crowd"), size if all(size) else None
    )


def write_annotation(path: Path, annotation: Annotation, folder: str = "") -> None:
    """Write a VOC XML file, whole or not at all.

    Args:
        path: `<id>.xml`; missing folders are created.
        annotation: boxes 1-based and inclusive; whole numbers are written as such.
        folder: name of the data set, for the element <folder>.
    """
    root = ElementTree.Element("annotation")

    def add(parent: ElementTree.Element, tag: str, text: object) -> None:
        ElementTree.SubElement(parent, tag).text = str(text)

    add(root, "folder", folder)
    add(root, "filename", f"{path.stem}.jpg")
    if annotation.size:
        size = ElementTree.SubElement(root, "size")
        for tag, value in zip(("width", "height", "depth"), (*annotation.size, 3), strict=True):
            add(size, tag, value)
    add(root, "segmented", 1)
    for tag, things in (("object", annotation.objects), ("crowd", annotation.crowds)):
        for kind, corners in things:
            thing = ElementTree.SubElement(root, tag)
            add(thing, "name", kind)
            add(thing, "difficult", 0)
            box = ElementTree.SubElement(thing, "bndbox")
            for side, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
                # repr gives the shortest text that reads back as the same number.
                add(box, side, int(value) if value == int(value) else repr(float(value)))
    ElementTree.indent(root)
    with whole_file(path) as unfinished:
        ElementTree.ElementTree(root).write(unfinished, encoding="unicode")


def _things(path: Path, root: ElementTree.Element, tag: str) -> list[tuple[str, list[float]]]:
    found = []
    # Object by object: of a whole file, parse_voc_xml would pass over an empty one in silence.
    for number, node in enumerate(root.findall(tag), start=1):
        try:
            thing = VOCDetection.parse_voc_xml(node)[tag]
            corners = [float(thing["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax")]
            found.append((str(thing["name"]), corners))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a VOC annotation ({tag} {number}: {error!r})") from error
    return found


def _unreadable(path: str | Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file")
    if isinstance(error, UnidentifiedImageError):
        return DataError(f"{path}: not an image")
    return DataError(f"{path}: cannot be read as an image ({error})")
