"""A figure as a small file: few colours in a PNG with a palette, photographs in a JPEG."""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

JPEG_QUALITY = 60
MEAN_ERROR, LARGE_ERROR = 1.0, 24.0  # levels of 255 that a palette may change: all pixels, one of
RARE = 0.1  # ... so many percent of them
MANY = 2**16  # colours that only photographs have: 256 could not stand for them


def encoded(fig: Figure) -> tuple[bytes, str]:
    """The file of a figure, at the resolution of the style: the same figure, the same bytes.

    A palette of 256 colours halves the file of a chart and keeps label maps as they are. Where it
    would change the picture visibly, as with photographs, the file is a JPEG.

    Args:
        fig: the figure; it stays open.

    Returns:
        The bytes, and "png" or "jpeg".
    """
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight")
    with Image.open(buffer) as opened:
        picture = opened.convert("RGB")
    if picture.getcolors(MANY) is not None:
        few = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        if _alike(picture, few.convert("RGB")):
            return _written(few, "PNG"), "png"
    return _written(picture, "JPEG", quality=JPEG_QUALITY), "jpeg"


def _alike(one: Image.Image, other: Image.Image) -> bool:
    """Whether two pictures look the same: hardly different anywhere."""
    levels = (np.asarray(picture, dtype=np.int16) for picture in (one, other))
    error = np.abs(np.subtract(*levels)).max(axis=2)
    return error.mean() <= MEAN_ERROR and np.percentile(error, 100 - RARE) <= LARGE_ERROR


def _written(picture: Image.Image, kind: str, **settings: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True, **settings)
    return buffer.getvalue()
