"""The review page: one HTML file with the photographs and labels in it, which asks nobody."""

import base64
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from bana.data.voc_files import read_image
from bana.experiment.mask_folder import labels_of, record_of
from bana.experiment.review.order import Entry
from bana.files.artefacts import content_hash, write_whole

FOLDER = Path(__file__).resolve().parent
SIDE = 512
"""Longer side of the pictures on the page, in pixels."""
JPEG_QUALITY = 80
TITLE = "Which masks to check"


def write_page(
    path: Path, out: Path, images: Path, entries: Sequence[Entry], classes: Sequence[str], most: int
) -> None:
    """Write the page.

    It holds pictures of the first photographs alone, about 60 kB each, and says so.

    Args:
        path: of the file.
        out: folder of the masks.
        images: folder of the photographs.
        entries: of `bana.experiment.review.order.review_order`.
        classes: background first.
        most: photographs on the page.
    """
    shown = entries[:most]
    first, last = (
        Template(_text("page.html"))
        .substitute(
            title=TITLE,
            style=_text("page.css"),
            script=_text("page.js"),
            count=_count(len(shown), len(entries)),
            values="\0",
        )
        .split("\0")
    )
    about = {"key": content_hash(str(out.resolve())), "classes": list(classes)}

    def write(unfinished: Path) -> None:
        # A photograph at a time: together they may be larger than the memory that is there.
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.write(first + _json(about)[:-1] + ',"pictures":[')
            for number, picture in enumerate(_pictures(out, images, shown)):
                file.write(("," if number else "") + _json(picture))
            file.write("]}" + last)

    write_whole(path, write)


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    # A "<" could end the element that holds it.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _count(shown: int, all_: int) -> str:
    if shown == all_:
        return f"All {all_:,} photographs with boxes are here."
    return f"The first {shown:,} of {all_:,} photographs are here; review.csv has the order of all."


def _pictures(out: Path, images: Path, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    for entry in tqdm(entries, desc="review page"):
        held = record_of(out, entry.name)
        image = read_image(images / entry.file_name)
        height, width = image.shape[1:]
        scale = min(1.0, SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        photograph = Image.fromarray(image.permute(1, 2, 0).numpy())
        y_crf, y_ret = labels_of(out, entry.name)
        yield {
            "id": held["key"],  # a verdict is of these masks, and not of others made later
            "name": entry.file_name,
            "differ": round(entry.differ, 4),
            "empty": entry.empty,
            "width": size[0],
            "height": size[1],
            "boxes": [[n, *(round(v * scale, 1) for v in box)] for n, *box in held["boxes"]],
            "photograph": _encoded(
                photograph.resize(size, Image.Resampling.LANCZOS), "JPEG", quality=JPEG_QUALITY
            ),
            "crf": _label(y_crf, size),
            "ret": _label(y_ret, size),
        }


def _label(label: Tensor, size: tuple[int, int]) -> str:
    """A label map as a grey PNG, whose values a page reads as they are."""
    small = Image.fromarray(label.numpy()).resize(size, Image.Resampling.NEAREST)
    return _encoded(small, "PNG", optimize=True)


def _encoded(picture: Image.Image, form: str, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
