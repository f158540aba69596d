"""Figure of the background: attention by how much of it there is around the boxes."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bana.course.colours import OKABE_ITO, label_palette
from bana.course.gallery import layout
from bana.course.gallery.files import Size
from bana.course.gallery.scenes import QUARTILES, Told, boxed, ids, rule

PLACES: dict[str, tuple[str, str, str]] = {
    "ground": ("on ground within boxes", OKABE_ITO["orange"], "s"),
    "object": ("on objects", OKABE_ITO["blue"], "o"),
}
"""Where A is averaged: in words, colour and marker."""


def draw_background(data: Mapping[str, Any], size: Size) -> Figure:
    """Scenes by their share of background, and the mean attention of all images by that."""
    scenes = data["scenes"]
    palette = label_palette(len(data["classes"]) - 1)
    line = size.font * layout.LINE / 72
    across = size.width / (2 * len(scenes))
    tallest = max(layout.ratio_of(each["image"]) for each in scenes)
    tall = min(tallest, layout.RATIO_LIMITS[1]) * across
    chart = min(0.42 * size.width, size.height - tall - 5 * line)
    fig = plt.figure(figsize=(size.width, tall + chart + 5 * line))
    grid = fig.add_gridspec(2, 2 * len(scenes), height_ratios=[tall, chart])
    for number, each in enumerate(scenes):
        first, second = (fig.add_subplot(grid[0, 2 * number + k]) for k in (0, 1))
        boxed(first, each, palette, f"{QUARTILES[each['quantile']]}\n{each['score']:.0f} % outside")
        queries = "1 query" if each["queries"] == 1 else f"{each['queries']} queries"
        layout.unit_map(second, each["attention"], f"A\n{queries}")
        layout.contour(second, each["mask"])
        for ax in (first, second):
            ax.set(xticks=[], yticks=[])
            ax.set_axis_off()
            ax.set_anchor("N")
            ax.set_rasterization_zorder(layout.PIXELS_BELOW)
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1))
    fig.colorbar(scale, ax=fig.axes[:], label="A", aspect=12, pad=0.02)
    _draw_means(fig.add_subplot(grid[1, :]), data)
    return fig


def _draw_means(ax: Axes, data: Mapping[str, Any]) -> None:
    """A small mark an image, and a large one with its interval a class of share."""
    ax.set_axisbelow(True)
    for number, (place, (words, colour, marker)) in enumerate(PLACES.items()):
        there = [(p["share"], p[place]) for p in data["points"] if p[place] is not None]
        x, y = zip(*there, strict=True) if there else ((), ())
        ax.plot(x, y, marker, color=colour, ms=2.5, alpha=0.45, ls="none")
        means = [
            (middle + 0.8 * (number - 0.5), made[place])
            for middle, made in zip(_middles(data), data["means"], strict=True)
            if made and made[place]
        ]
        if not means:
            continue
        values = [m["value"] for _, m in means]
        below = [max(0.0, m["value"] - m["low"]) for _, m in means]
        above = [max(0.0, m["high"] - m["value"]) for _, m in means]
        look = {"color": colour, "marker": marker, "label": words, "mec": "black", "mew": 0.6}
        ax.errorbar([p for p, _ in means], values, [below, above], elinewidth=1.2, **look)
    for number, edge in enumerate(data["edges"][1:-1]):
        label = "_" if number else "end of a group"
        ax.axvline(edge, color="0.7", lw=0.8, ls=":", zorder=0, label=label)
    ax.set(xlabel="cells outside of all boxes (%)", ylabel="100 x mean A", ylim=(0, 100))
    ax.set_xlim(0, 100)
    ax.legend(loc="lower right", ncols=3)


def _middles(data: Mapping[str, Any]) -> list[float]:
    """The middle of every class of share."""
    edges = data["edges"]
    return [(low + high) / 2 for low, high in zip(edges, edges[1:], strict=False)]


def tell_background(data: Mapping[str, Any]) -> Told:
    """Attention by background in words."""
    edges = data["edges"]
    classes = zip(edges, edges[1:], data["in_class"], data["means"], strict=False)
    told = [
        f"{low:.0f} to {high:.0f} % outside ({count} images): {_told_apart(made)}"
        for low, high, count, made in classes
        if made
    ]
    return Told(
        f"Attention A (Eq. 1 to 3, N = {data['grid']}) by how much background there is to ask: the "
        "share of an image's cells outside of all boxes. Below, a small mark is one image's mean A "
        "on objects or on the ground within its boxes; a large one is the mean of a group of "
        "images, with a 95 % interval over them, between dotted lines. The method needs the two "
        "apart; how far apart they are grows with the scale of A, so that it does not rank the "
        "groups. " + rule(data, "that share"),
        f"Above, scenes {ids(data, '{:.0f} %')}, each with its boxes and its attention. Below, "
        "mean attention by the share of cells outside of boxes. Ground within boxes less objects, "
        f"in hundredths of A: {'; '.join(told)}.",
    )


def _told_apart(means: Mapping[str, Any]) -> str:
    made = means["apart"]
    return "{value:.0f} [{low:.0f}, {high:.0f}]".format(**made) if made else "none"
