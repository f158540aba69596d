"""Tiles in rows and columns for one size of figure, and how a label lies over its photograph."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray
from torch import Tensor

from bana.course.colours import ArrayLike, as_plane, colour_mask, overlay, to_rgb
from bana.course.gallery.files import Size
from bana.data.voc import IGNORE

RATIO_LIMITS = (0.4, 1.6)
# Images with outlines and boxes are pixels in SVG and PDF too: an outline has a corner at every
# pixel of its mask. Letters, which lie above, stay letters.
PIXELS_BELOW = 2.9
LINE = 1.45  # height of a line of text over the height of its letters


def tiles(
    heights: Sequence[float],
    columns: int,
    size: Size,
    title_lines: int = 1,
    lines_below: int = 2,
    each_titled: bool = False,
) -> tuple[Figure, NDArray[Any]]:
    """Axes for images in rows, as large as the size allows.

    Args:
        heights: of each row's images, height over width.
        columns: how many.
        size: of the figure.
        title_lines: lines of text above the first row.
        lines_below: lines for a legend below all rows.
        each_titled: whether that text is above every row.

    Returns:
        The figure and its axes [rows, columns], without axis lines.
    """
    line = size.font * LINE / 72
    heights = [min(max(height, RATIO_LIMITS[0]), RATIO_LIMITS[1]) for height in heights]
    titled = len(heights) if each_titled else 1
    text = 0.06 * len(heights) + (titled * title_lines + lines_below) * line
    width = min(size.width / columns, (size.height - text) / sum(heights))
    fig, axes = plt.subplots(
        len(heights),
        columns,
        figsize=(width * columns, width * sum(heights) + text),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])  # which would be laid out, though nobody sees them
        ax.set_axis_off()
        ax.set_anchor("N")
        ax.set_rasterization_zorder(PIXELS_BELOW)
    return fig, axes


def ratio_of(image: ArrayLike) -> float:
    """Height of an image over its width."""
    height, width = to_rgb(image).shape[:2]
    return height / width


def photo(ax: Axes, image: ArrayLike, title: str = "") -> None:
    """A photograph."""
    ax.imshow(to_rgb(image))
    ax.set_title(title)


def label(
    ax: Axes,
    image: ArrayLike,
    mask: ArrayLike,
    palette: NDArray[np.uint8],
    title: str = "",
    outline: ArrayLike | None = None,
) -> None:
    """The colours of a label over its photograph, with the outline of the objects of a mask."""
    ax.imshow(overlay(image, mask, palette, 0.65))
    if outline is not None:
        contour(ax, outline)
    ax.set_title(title)


def contour(ax: Axes, mask: ArrayLike, width: float = 0.7) -> None:
    """The outline of what a mask calls object, white in a dark rim; width in points."""
    plane = as_plane(mask, "mask")
    objects = ((plane > 0) & (plane != IGNORE)).astype(float)
    if 0 < objects.mean() < 1:
        for points, colour in ((2 * width, "black"), (width, "white")):
            ax.contour(objects, levels=[0.5], colors=colour, linewidths=points)


def frames(ax: Axes, boxes: Tensor, classes: Tensor, palette: NDArray[np.uint8]) -> None:
    """Boxes in the colours of their classes, without names; pixels, half-open."""
    for box, c in zip(boxes.tolist(), classes.tolist(), strict=True):
        x1, y1, x2, y2 = (value - 0.5 for value in box)
        for width, colour in ((2.2, "white"), (1.2, tuple(palette[c] / 255))):
            frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False)
            frame.set(edgecolor=colour, linewidth=width)
            ax.add_patch(frame)


def unit_map(ax: Axes, values: ArrayLike, title: str = "") -> None:
    """A map of values from 0 to 1."""
    ax.imshow(as_plane(values, "values"), vmin=0, vmax=1)
    ax.set_title(title)


def regions(
    ax: Axes, image: ArrayLike, where: Mapping[str, ArrayLike], colours: Mapping[str, str]
) -> None:
    """Regions in colours of their own over the photograph, which is dimmed and grey.

    Args:
        ax: where to draw.
        image: uint8 [3, H, W] or [H, W, 3].
        where: {name: bool [H, W]}, later ones over earlier ones.
        colours: of every name.
    """
    grey = 0.45 * to_rgb(image).mean(axis=2, keepdims=True).repeat(3, 2)
    for name, region in where.items():
        grey[as_plane(region, name) != 0] = [
            round(255 * part) for part in plt.matplotlib.colors.to_rgb(colours[name])
        ]
    ax.imshow(grey.astype(np.uint8))


def plain_label(ax: Axes, mask: ArrayLike, palette: NDArray[np.uint8], title: str = "") -> None:
    """A label in the colours of its classes."""
    ax.imshow(colour_mask(mask, palette))
    ax.set_title(title)


def beside(ax: Axes, text: str) -> None:
    """Text at the left of a row, upright."""
    ax.text(-0.05, 0.5, text, rotation=90, va="center", ha="right", transform=ax.transAxes)


def inside(ax: Axes, text: str) -> None:
    """Text at the lower left of a tile, on white."""
    place = {"transform": ax.transAxes, "va": "bottom", "ha": "left"}
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85}
    ax.text(0.02, 0.03, text, color="black", bbox=box, **place)


def class_patches(
    classes: Sequence[int], names: Sequence[str], palette: NDArray[np.uint8]
) -> list[Patch]:
    """Entries of a legend, one a class."""
    return [
        Patch(facecolor=tuple(palette[c] / 255), edgecolor="0.4", label=names[c]) for c in classes
    ]


def legend(fig: Figure, patches: Sequence[Patch], columns: int = 6) -> None:
    """A legend below all tiles."""
    fig.legend(
        handles=list(patches),
        loc="outside lower center",
        ncols=min(columns, len(patches)),
        handlelength=1.2,
        columnspacing=1.2,
    )


def classes_in(scenes: Sequence[Mapping[str, Any]]) -> list[int]:
    """Classes of the boxes of some scenes, ascending."""
    return sorted({int(c) for each in scenes for c in each["labels"]})
