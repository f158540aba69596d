"""A widget as a page of its own, and in a notebook: nothing is fetched, no kernel is needed."""

import html
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import matplotlib
import numpy as np
from IPython.display import HTML, display
from matplotlib.figure import Figure

from bana.course.widget.pictures import JPEG_QUALITY, base64_of
from bana.files.artefacts import write_whole

FOLDER = Path(__file__).resolve().parent


def write_page(path: Path | str, text: str) -> Path:
    """Write a page; missing folders are made.

    Returns:
        The path.
    """
    return write_whole(Path(path), lambda file: file.write_text(text, "utf-8", newline="\n"))


def show_page(title: str, text: str) -> None:
    """Show a page in a frame of a notebook; it stays alive in the saved notebook."""
    source = html.escape(text)
    frame = f'<iframe srcdoc="{source}" title="{html.escape(title)}" '
    frame += 'style="border: 0; height: 900px; width: 100%">'
    display(HTML(f"<div>{frame}</iframe></div>"))


def filled(
    title: str,
    lead: str,
    note: str,
    script: str,
    values: Mapping[str, Any],
    still: bytes,
    alt: str,
) -> str:
    """The text of a page.

    Args:
        title: plain text.
        lead, note: HTML above and below the widget.
        script: of `joined`.
        values: what the widget's model holds at first.
        still: bytes of the JPEG that stands in where scripts do not run.
        alt: its description.
    """
    return Template(_text("page.html")).substitute(
        title=html.escape(title),
        lead=lead,
        note=note,
        style=style(),
        script=script,
        # A "<" could end the element.
        values=json.dumps(values, separators=(",", ":")).replace("<", "\\u003c"),
        still=base64_of(still),
        alt=html.escape(alt),
    )


def joined(*names: str) -> str:
    """Modules of JavaScript as one, which imports nothing; the last one holds `render`."""
    texts = [re.sub(r"^import [^;]*;\n", "", _text(name), flags=re.M) for name in names]
    return "".join(texts)


def style() -> str:
    """What the widgets look like, as CSS."""
    return _text("playground.css")


def colours() -> str:
    """The course's colours of maps, 256 times RGB, in base64."""
    return base64_of(matplotlib.colormaps["cividis"](np.arange(256), bytes=True)[:, :3].tobytes())


def jpeg_of(fig: Figure) -> bytes:
    """A figure as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="jpeg", pil_kwargs={"quality": JPEG_QUALITY})
    return buffer.getvalue()


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
