"""One look for every figure: what is drawn is handed in, nothing is computed here.

Coordinates: `imshow` puts the centre of pixel i at i, the package's boxes have pixel i span
[i, i+1), so boxes are drawn half a pixel up and left.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from bana.course.box_names import SIZE, name_places
from bana.course.colours import (
    LINES,
    LOSS_COLOURS,
    OKABE_ITO,
    ArrayLike,
    as_plane,
    colour_mask,
    cut_out,
    label_palette,
    mark_unreliable,
    overlay,
    to_rgb,
)
from bana.course.encoding import encoded
from bana.data.voc import IGNORE

__all__ = [
    "LOSS_COLOURS",
    "OKABE_ITO",
    "class_legend",
    "colour_mask",
    "cut_out",
    "draw_boxes",
    "forest_plot",
    "heatmap",
    "image_grid",
    "label_palette",
    "line_plot",
    "mark_unreliable",
    "overlay",
    "show",
    "show_image",
    "to_rgb",
    "use_style",
]

MARKERS = "osD^vP*X"

STYLE: dict[str, object] = {
    "axes.grid": True,
    "axes.prop_cycle": matplotlib.cycler(color=LINES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 10,
    "grid.alpha": 0.3,
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.dpi": 110,
    "svg.hashsalt": "bana",
}


def use_style() -> None:
    """Give every later figure of this Python process the project's look."""
    matplotlib.rcParams.update(STYLE)


def show_image(ax: Axes, image: ArrayLike, title: str = "") -> None:
    """Draw an RGB image without axes.

    Args:
        ax: where to draw.
        image: uint8 [3, H, W] tensor or [H, W, 3] array.
        title: text above it.
    """
    ax.imshow(to_rgb(image))
    ax.set_title(title)
    ax.set_anchor("N")
    ax.set_axis_off()


def draw_boxes(
    ax: Axes,
    boxes: ArrayLike,
    classes: ArrayLike | Sequence[int],
    names: Sequence[str],
    palette: NDArray[np.uint8] | None = None,
) -> None:
    """Draw boxes with their class names onto an image that is already there.

    A name stands above its box, off the object, where there is room for it.

    Args:
        ax: an axes that shows the image.
        boxes: [K, 4] XYXY, 0-based, half-open, pixels of the image.
        classes: integers [K], indices into `names`.
        names: class names, background first.
        palette: uint8 [256, 3] RGB; `label_palette` of the names where not given.
    """
    palette = label_palette(len(names) - 1) if palette is None else palette
    corners = [tuple(value - 0.5 for value in box) for box in torch.as_tensor(boxes).tolist()]
    labels = [int(c) for c in classes]
    places = name_places(ax, corners, [names[label] for label in labels])
    for (x1, y1, x2, y2), label, place in zip(corners, labels, places, strict=True):
        colour = tuple(palette[label] / 255)
        for width, edge in ((3.6, "white"), (2.0, colour)):
            ax.add_patch(
                Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=edge, linewidth=width)
            )
        dark = float(np.dot(palette[label], (0.299, 0.587, 0.114))) < 140
        ax.text(
            place.x,
            place.y,
            names[label],
            color="white" if dark else "black",
            fontsize=SIZE,
            ha=place.ha,
            va=place.va,
            clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "white", "linewidth": 0.8, "pad": 1.5},
        )


def heatmap(
    ax: Axes,
    values: ArrayLike,
    label: str,
    image: ArrayLike | None = None,
    stride: float | None = None,
    limits: tuple[float, float] | None = (0.0, 1.0),
    title: str = "",
) -> None:
    """Draw a map of values with its colour bar, over the photograph where one is given.

    Args:
        ax: where to draw.
        values: real numbers [H, W]; leading axes of length 1 are dropped.
        label: text at the colour bar, quantity and unit.
        image: uint8 [3, H, W] tensor or [H, W, 3] array, drawn in grey underneath.
        stride: pixels of the image per cell of a feature map, whose cell i is centred on pixel
            i * stride as the backbones have it; None stretches the map over the whole image.
        limits: values of the two ends of the colours; None for the map's own smallest and largest.
        title: text above it.

    Raises:
        ValueError: no label, or `values` is not a map.
    """
    if not label:
        raise ValueError("heatmap needs a label: the quantity and its unit")
    plane = as_plane(values, "values")
    low, high = limits if limits is not None else (None, None)
    height, width = plane.shape if image is None else to_rgb(image).shape[:2]
    whole = (-0.5, width - 0.5, height - 0.5, -0.5)
    extent = whole
    if image is not None:
        ax.imshow(to_rgb(image).mean(axis=2), cmap="gray", vmin=0, vmax=255, extent=whole)
        if stride is not None:
            rows, columns = plane.shape
            extent = tuple(stride * edge for edge in (-0.5, columns - 0.5, rows - 0.5, -0.5))
    drawn = ax.imshow(
        plane, vmin=low, vmax=high, extent=extent, alpha=1.0 if image is None else 0.7
    )
    ax.set(xlim=whole[:2], ylim=whole[2:])
    ax.set_title(title)
    ax.set_anchor("N")
    ax.set_axis_off()
    # Beside the map, not out of it: panels of one row are of one size, with a bar or without.
    bar = ax.figure.colorbar(drawn, cax=ax.inset_axes((1.03, 0, 0.05, 1)))
    bar.set_label(label)
    bar.outline.set_visible(False)


def image_grid(
    rows: Sequence[Sequence[ArrayLike]],
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
    width: float = 2.2,
) -> Figure:
    """Lay out images in rows and columns, one title above each column and beside each row.

    Args:
        rows: RGB images, uint8 [3, H, W] tensors or [H, W, 3] arrays; rows of equal length.
        column_titles: one a column, or none.
        row_titles: one a row, or none.
        width: width of a column in inches.

    Returns:
        The figure; its axes, `fig.axes`, run row by row.

    Raises:
        ValueError: no images, rows of unequal length, or titles of another number.
    """
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"rows must be equally long and not empty, got lengths {sorted(lengths)}")
    columns = lengths.pop()
    for name, titles, number in (
        ("column_titles", column_titles, columns),
        ("row_titles", row_titles, len(rows)),
    ):
        if titles and len(titles) != number:
            raise ValueError(f"{name} has {len(titles)} entries for {number}")
    arrays = [[to_rgb(image) for image in row] for row in rows]
    heights = [max(a.shape[0] / a.shape[1] for a in row) * width for row in arrays]
    fig, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(columns * width, sum(heights) + 0.3),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )
    for i, row in enumerate(arrays):
        for j, array in enumerate(row):
            title = column_titles[j] if column_titles and i == 0 else ""
            show_image(axes[i, j], array, title)
        if row_titles:
            axes[i, 0].text(
                -0.04,
                0.5,
                row_titles[i],
                rotation=90,
                va="center",
                ha="right",
                transform=axes[i, 0].transAxes,
            )
    return fig


def class_legend(
    fig: Figure,
    classes: Sequence[int],
    names: Sequence[str],
    palette: NDArray[np.uint8],
    white: str = "ignored",
) -> None:
    """Name the colours of the classes below the pictures.

    Args:
        fig: the figure the legend is added to.
        classes: indices into `names`, and 255.
        names: class names, background first.
        palette: uint8 [256, 3] RGB.
        white: what 255 stands for here, such as "unreliable" beside `mark_unreliable`.
    """
    patches = [
        Patch(
            facecolor=tuple(palette[c] / 255),
            edgecolor="0.4",
            label=white if c == IGNORE else names[c],
        )
        for c in classes
    ]
    fig.legend(handles=patches, loc="outside lower center", ncols=min(7, len(patches)))


def line_plot(
    ax: Axes,
    x: ArrayLike | Sequence[float],
    series: Mapping[str, ArrayLike | Sequence[float]],
    x_label: str,
    y_label: str,
    title: str = "",
) -> None:
    """Draw lines that differ in colour and in marker, with a legend where there are several.

    Args:
        ax: where to draw.
        x: real numbers [n].
        series: name -> real numbers [n]. Where all are losses, each has its own colour.
        x_label: quantity and unit of x, such as "iteration" or "time (s)".
        y_label: quantity and unit of the lines.
        title: text above the plot.

    Raises:
        ValueError: an axis without a label, or a series unlike x in length.
    """
    if not x_label or not y_label:
        raise ValueError("line_plot needs x_label and y_label: quantity and unit")
    losses = LOSS_COLOURS if series.keys() <= LOSS_COLOURS.keys() else {}
    for (name, y), marker in zip(series.items(), MARKERS * len(series), strict=False):
        if len(y) != len(x):
            raise ValueError(f"series {name!r} has {len(y)} values for {len(x)} of x")
        step = max(1, len(x) // 12)
        colour = {"color": losses[name]} if losses else {}
        ax.plot(x, y, label=name, marker=marker, markevery=step, markersize=5, **colour)
    ax.set(xlabel=x_label, ylabel=y_label, title=title)
    if len(series) > 1:
        ax.legend()


def forest_plot(
    ax: Axes, differences: Mapping[str, tuple[float, float, float]], x_label: str
) -> None:
    """Draw differences with their intervals, one below the other, beside a line at zero.

    Args:
        ax: where to draw.
        differences: name -> (mean, low, high), such as `bana.evaluation.intervals.Difference`; an
            interval that holds zero is drawn hollow.
        x_label: quantity and unit.

    Raises:
        ValueError: an axis without a label, or nothing to draw.
    """
    if not x_label or not differences:
        raise ValueError("forest_plot needs differences and x_label: quantity and unit")
    ax.axvline(0, color="black", linewidth=1)
    colour = OKABE_ITO["blue"]
    for row, (mean, low, high) in enumerate(differences.values()):
        face = "white" if low <= 0 <= high else colour
        ax.plot([low, high], [row, row], color=colour)
        ax.plot(mean, row, "o", color=colour, markerfacecolor=face)
    ax.set_yticks(range(len(differences)), list(differences))
    ax.invert_yaxis()
    ax.set_xlabel(f"{x_label}\nhollow: the interval holds zero")


def show(fig: Figure, alt: str) -> None:
    """Show a figure in the notebook, with its description, and close it.

    Its file is small by itself: a chart or label map is a PNG with a palette, a figure with
    photographs a JPEG (`bana.course.encoding`). The bytes depend on the figure alone.

    Args:
        fig: the figure; it is closed and cannot be shown again.
        alt: what a reader who cannot see it should know; never empty.

    Raises:
        ValueError: `alt` is empty.
    """
    if not alt.strip():
        raise ValueError("show needs alt: a sentence that describes the figure")
    data, kind = encoded(fig)
    plt.close(fig)
    display(Image(data=data, format=kind, alt=" ".join(alt.split())))
