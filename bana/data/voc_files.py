"""The files of a folder in VOC layout one by one: photographs, masks, class names."""

import os
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from bana.data.checks import DataError, as_class, read_text
from bana.files.unfinished import explained, move, unfinished

IGNORE = 255
# What a photograph's name may end in.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
# Pixels of a photograph, unless BANA_MAX_PIXELS says otherwise: a small file can unpack to more
# than any memory. 8,000 x 6,000 are 48 million.
MAX_PIXELS = 178_956_970
LIMIT_VARIABLE = "BANA_MAX_PIXELS"
EXIF_ORIENTATION = 0x0112
TIFF_BITS_PER_SAMPLE = 258

# What Pillow raises for files that are damaged (or absurdly large, as a damaged header says). The
# last four are a TIFF's.
DAMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
DAMAGE += (EOFError, TypeError, KeyError, struct.error)


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


def read_image(path: str | Path) -> Tensor:
    """Load a photograph as RGB.

    Grey, palette and CMYK images are converted; transparent pixels are laid over white, as on
    paper, where plain conversion would reveal whatever colour hides beneath them.

    Args:
        path: file in any format that Pillow reads, 8 bits a channel.

    Returns:
        uint8 [3, H, W], 0 to 255.

    Raises:
        DataError: when the file is missing, no image, truncated, larger than the limit, has more
            than 8 bits a channel, or holds several pictures.
    """
    try:
        with _opened(path) as picture:
            # A telephone's JPEG may hold a second view of the same scene (MPO); the first counts.
            if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
                raise DataError(f"{path}: holds {picture.n_frames} pictures, not one")
            picture.load()
            if picture.mode.startswith(("I", "F")):
                raise DataError(f"{path}: pixels of mode {picture.mode}, not 8 bits a channel")
            if (bits := _bits(picture, path)) > 8:
                # Pillow keeps the upper 8: 12 bits in 16 would become nearly black.
                raise DataError(f"{path}: pixels of {bits} bits a channel, not 8")
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
    """Return a photograph's (height, width) in pixels, as stored, without decoding it.

    Raises:
        DataError: when the file is missing, no image, or larger than the limit.
    """
    try:
        with _opened(path) as picture:
            return picture.height, picture.width
    except DataError:
        raise
    except DAMAGE as error:
        raise _unreadable(path, error) from error


def orientation(path: str | Path) -> int:
    """Return how EXIF says that a photograph is to be turned, which nothing here does.

    Returns:
        1 as it is stored, 2 to 4 mirrored or upside down, 5 to 8 with width and height exchanged.

    Raises:
        DataError: as `image_size`.
    """
    turned = 1
    try:
        with _opened(path) as picture, suppress(*DAMAGE):
            # EXIF can be damaged in a photograph that is not.
            turned = picture.getexif().get(EXIF_ORIENTATION, 1)
    except DataError:
        raise
    except DAMAGE as error:
        raise _unreadable(path, error) from error
    return turned if turned in range(2, 9) else 1


def max_pixels() -> int:
    """The most pixels that a photograph may have: BANA_MAX_PIXELS, or else `MAX_PIXELS`.

    Raises:
        DataError: when the variable holds no whole number from 1 up.
    """
    said = os.environ.get(LIMIT_VARIABLE, "").strip()
    if said and not (said.isascii() and said.isdigit() and int(said) > 0):
        raise DataError(f"{LIMIT_VARIABLE}={said}: not a number of pixels")
    return int(said) if said else MAX_PIXELS


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Open an image that has no more pixels than the limit; nothing is decoded yet."""
    limit = max_pixels()
    if limit > MAX_PIXELS and Image.MAX_IMAGE_PIXELS is not None:
        # Pillow has a limit of its own, and it too is raised by who raises ours.
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, limit)
    try:
        picture = Image.open(path)
    except Image.DecompressionBombError as error:
        raise _too_large(path, limit) from error
    with picture:
        if picture.width * picture.height > limit:
            raise _too_large(path, limit)
        yield picture


def _bits(picture: Image.Image, path: str | Path) -> int:
    """Bits a channel that a PNG or a TIFF has in its file, which Pillow's mode does not tell."""
    if picture.format == "PNG":
        with (Path(path) if isinstance(path, str) else path).open("rb") as file:
            return file.read(25)[24]
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(TIFF_BITS_PER_SAMPLE, (1,)))
    return 8


def _too_large(path: str | Path, limit: int) -> DataError:
    return DataError(
        f"{path}: more than {limit:,} pixels: set {LIMIT_VARIABLE} higher if that is meant"
    )


def read_mask(path: str | Path) -> Tensor:
    """Load the class indices of a palette or grey PNG.

    Args:
        path: file with one channel of 8 bits.

    Returns:
        uint8 [H, W], the indices, not the palette's colours.

    Raises:
        DataError: when the file is missing, damaged, larger than the limit, an RGB image of the
            colours, or grey of other than 8 bits.
    """
    try:
        with _opened(path) as picture:
            if picture.mode not in ("P", "L"):
                raise DataError(
                    f"{path}: mask of mode {picture.mode}, not a palette or grey PNG of indices"
                )
            if picture.mode == "L" and (bits := _bits(picture, path)) != 8:
                # Pillow stretches grey to 0..255: of 4 bits, class 1 would become 17.
                raise DataError(
                    f"{path}: grey mask of {bits} bits, not 8: its classes would change"
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
    picture = mask_picture(mask)
    with whole_file(path) as begun:
        picture.save(begun, format="PNG")


def mask_picture(mask: Tensor | np.ndarray) -> Image.Image:
    """Class indices, uint8 [H, W], as a picture with VOC's palette.

    Raises:
        ValueError: when `mask` is not uint8 [H, W].
    """
    indices = mask.cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if indices.dtype != np.uint8 or indices.ndim != 2:
        raise ValueError(f"mask must be uint8 [H, W], not {indices.dtype} {list(indices.shape)}")
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette(PALETTE.ravel().tolist())
    return picture


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file of a data set so that it appears whole or not at all.

    Unlike `bana.files.artefacts`, this does not wait for the disk: a data set has many thousand
    files, and what a power cut takes is made again.

    Args:
        path: the file to write; missing folders are created.

    Yields:
        Where to write it; it is moved to `path` when the block ends well, and removed otherwise.

    Raises:
        bana.files.unfinished.NotWritten: if it cannot be written; what was there is as it was.
    """
    path = Path(path)
    begun = unfinished(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield begun
            move(begun, path)
        finally:
            begun.unlink(missing_ok=True)


def read_class_names(path: Path, background_implied: bool = False) -> tuple[str, ...]:
    """Read class names, one a line, which may hold spaces ("traffic light").

    Args:
        path: text file, UTF-8 or UTF-16; empty lines do not count.
        background_implied: background may be left out of the file.

    Returns:
        The names, background first.

    Raises:
        DataError: when the file is missing, does not begin with background, names a class twice,
            or names more than a mask has room for.
    """
    lines = enumerate(re.split(r"\r\n|\r|\n", read_text(path)), start=1)
    names = [as_class(line, f"{path}:{number}: the name") for number, line in lines if line.strip()]
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


def _unreadable(path: str | Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: no such file")
    if isinstance(error, UnidentifiedImageError):
        return DataError(f"{path}: not an image")
    return DataError(f"{path}: cannot be read as an image ({error})")
