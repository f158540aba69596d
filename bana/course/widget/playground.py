"""The widget of notebook 02: a box to drag, and background-aware pooling that follows it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure

from bana.bap import background_attention, background_queries
from bana.course import plotting
from bana.course.widget.pages import colours, filled, joined, jpeg_of, show_page, write_page
from bana.course.widget.pictures import COMPONENTS, Picture, described, features_of, pictures
from bana.data.boxes import background_mask
from bana.experiment.pretrained import Pretrained, load_pretrained
from bana.interpolation import bilinear
from bana.networks.backbones import background_at_cells

TITLE = "What is background? Draw a box"
STILL = (
    "{picture}, with a box. Beside it four maps: M, bright outside the box; the attention A, "
    "bright in the box on what looks like the background outside; the weight 1 - A, its opposite; "
    "and a mask of what has a low A"
)
LEAD = (
    "All that lies outside the box is background. Each place in the box is compared with it: where "
    "it looks alike, <i>A</i> is high and the place counts little in the average of the box."
)
NOTE = (
    "The features are of the classifier that comes with the package: {components} principal "
    "components of {channels}, in 8 bits. <i>A</i> differs from the package's by less than .01. "
    "The mask is the plainest there is; the course makes better ones with a CRF."
)
GRID, THRESHOLD = 4, 0.4


def write_playground(path: Path | str) -> Path:
    """Write the widget as one HTML file that needs neither kernel nor network.

    Args:
        path: of the file; missing folders are made.

    Returns:
        The path.
    """
    return write_page(path, page())


def show(name: str = "motorbike") -> None:
    """Show the widget in a notebook, one picture of it; it stays alive in the saved notebook.

    Args:
        name: of the picture.

    Raises:
        ValueError: if there is no picture of that name.
    """
    show_page(TITLE, page([name]))


def page(names: Sequence[str] = ()) -> str:
    """The text of the page.

    Args:
        names: of the pictures; none means all.

    Raises:
        ValueError: if there is no picture of such a name.
    """
    shown = chosen(names)
    model = load_pretrained()
    channels = f"{model.classifier.backbone.channels:,}"
    return filled(
        title=TITLE,
        lead=LEAD,
        note=NOTE.format(components=COMPONENTS, channels=channels),
        script=script(),
        values=values(model, shown),
        still=_still(shown[0], model),
        alt=STILL.format(picture=shown[0].alt),
    )


def values(model: Pretrained, some: Sequence[Picture]) -> dict[str, Any]:
    """What the widget's model holds at first, as plain values."""
    shown = [described(picture, model) for picture in some]
    return {
        "pictures": shown,
        "colours": colours(),
        "picture": 0,
        "box": shown[0]["box"],
        "grid": GRID,
        "threshold": THRESHOLD,
    }


def script() -> str:
    """The widget's JavaScript."""
    return joined("bap.js", "numbers.js", "playground.js")


def chosen(names: Sequence[str]) -> list[Picture]:
    """Pictures by name; all for no names. Raises ValueError for a name that none has."""
    every = {picture.name: picture for picture in pictures()}
    unknown = sorted(set(names) - every.keys())
    if unknown:
        raise ValueError(f"no picture {unknown[0]!r}: there are {', '.join(every)}")
    return [every[name] for name in names or every]


def _still(picture: Picture, model: Pretrained) -> bytes:
    """What the widget shows at first, by the package, as the bytes of a JPEG file."""
    size, stride = picture.image.shape[1:], model.classifier.backbone.stride
    features = features_of(picture, model)
    outside = background_mask(picture.box[None], *size)  # M, [1, H, W]
    known = background_at_cells(outside[None], stride)
    queries, valid = background_queries(features, known, GRID)
    inner = background_attention(features, queries, valid)[0, 0]  # [h, w]
    enlarged = bilinear(inner.shape, size, stride).enlarge(inner)
    attention = torch.where(outside[0] > 0, torch.ones_like(enlarged), enlarged)  # A, [H, W]
    with matplotlib.rc_context(plotting.STYLE):
        fig = Figure(figsize=(9, 9 * size[0] / size[1]), dpi=90)
        axes = fig.subplots(2, 2).flat
        plotting.heatmap(axes[0], outside, "M (0 or 1)", picture.image, title="M and the box")
        plotting.draw_boxes(axes[0], picture.box[None], [1], ["", picture.name, *[""] * 7])
        plotting.heatmap(axes[1], attention, "A (0 to 1)", picture.image, title="like the outside")
        plotting.heatmap(axes[2], 1 - attention, "1 - A (0 to 1)", picture.image, title="weight")
        kept = plotting.cut_out(picture.image, attention < THRESHOLD)
        plotting.show_image(axes[3], kept, f"mask: A below {THRESHOLD}")
        return jpeg_of(fig)
