"""Figures of scenes: the teaser, both labels, attention, failures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from bana.course.colours import label_palette
from bana.course.gallery import layout
from bana.course.gallery.files import Size
from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import stated

ERRORS: dict[str, str] = {
    "error in ~S": "#FFFFFF",
    "error in S": "#FF00C8",
    "right, in ~S": "#00E5FF",
}
"""What disagreement finds, what it misses, and what it doubts in vain: no colours of classes."""

ERROR = ERRORS["error in S"]
DOUBTED = "#BBBBBB"
"""All of ~S, right or wrong: no colour of `ERRORS`."""

QUARTILES = {0.25: "lower quartile", 0.5: "median", 0.75: "upper quartile"}
TITLES = {
    "boxes": "box filled",
    "boxes-crf": "filled, CRF",
    "grabcut": "GrabCut",
    "gap": "GAP",
    "bap": "BAP, $Y_{crf}$",
    "bap-ret": "BAP, $Y_{ret}$",
}
WORDS = {
    "boxes": "box filled",
    "boxes-crf": "box filled with a CRF",
    "grabcut": "GrabCut",
    "gap": "GAP",
    "bap": "BAP's Y_crf",
    "bap-ret": "BAP's Y_ret",
}
"""The same where nothing is typeset."""


class Told(NamedTuple):
    """A figure in words: what it is, and what a reader who cannot see it should know."""

    caption: str
    alt: str


def upper_first(text: str) -> str:
    """A text that begins a sentence."""
    return text[0].upper() + text[1:]


def rule(data: Mapping[str, Any], score: str = "the mIoU of BAP's Y_crf") -> str:
    """How the scenes were chosen, in a sentence."""
    return (
        f"Scenes are chosen by rule: lower quartile, median and upper quartile of {score} among "
        f"the {data['seen']} of {data['images']} validation images whose largest box covers a "
        "tenth of the image or more."
    )


def boxed(ax: Axes, each: Mapping[str, Any], palette: NDArray[np.uint8], title: str = "") -> None:
    """A scene's image with its boxes, each in the colour of its class."""
    layout.photo(ax, each["image"], title)
    layout.frames(ax, each["boxes"], each["labels"], palette)


def ids(data: Mapping[str, Any], unit: str = "{:.0f} %") -> str:
    """The scenes, each with its quantile and its score in a unit, in which {} stands for it."""
    return ", ".join(
        f"{each['id']} ({QUARTILES[each['quantile']]}, {unit.format(each['score'])})"
        for each in data["scenes"]
    )


def _error_regions(each: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    wrong, doubted = each["wrong"], each["unreliable"]
    known = each["mask"] != 255
    return {
        "right, in ~S": doubted & ~wrong & known,
        "error in S": wrong & ~doubted,
        "error in ~S": wrong & doubted,
    }


def _error_patches() -> list[Patch]:
    return [Patch(facecolor=c, edgecolor="0.4", label=name) for name, c in ERRORS.items()]


def draw_teaser(data: Mapping[str, Any], size: Size) -> Figure:
    """Each scene in ten tiles: from the box to BAP's labels, what they doubt, and the mask."""
    scenes, names = data["scenes"], data["classes"]
    palette = label_palette(len(names) - 1)
    heights = [layout.ratio_of(each["image"]) for each in scenes for _ in range(2)]
    fig, axes = layout.tiles(heights, 5, size, each_titled=True)
    for number, each in enumerate(scenes):
        row = [*axes[2 * number], *axes[2 * number + 1]]
        boxed(row[0], each, palette, "image, boxes")
        for ax, (kind, title) in zip(row[1:7], TITLES.items(), strict=True):
            layout.label(ax, each["image"], each["kinds"][kind], palette, title, each["mask"])
            layout.inside(ax, f"{each['iou'][kind]:.0f} %")
        layout.regions(row[7], each["image"], {"~S": each["unreliable"]}, {"~S": DOUBTED})
        row[7].set_title("unreliable: ~S")
        layout.inside(row[7], f"{each['shares']['unreliable']:.0f} % of pixels")
        layout.regions(row[8], each["image"], _error_regions(each), ERRORS)
        row[8].set_title("~S and errors")
        layout.inside(row[8], f"found: {each['shares']['recall']:.0f} %")
        layout.label(row[9], each["image"], each["mask"], palette, "true mask", each["mask"])
        layout.beside(axes[2 * number][0], QUARTILES[each["quantile"]])
    shown = layout.class_patches(layout.classes_in(scenes), names, palette)
    layout.legend(fig, [*shown, Patch(facecolor=DOUBTED, label="~S"), *_error_patches()])
    return fig


def tell_teaser(data: Mapping[str, Any]) -> Told:
    """The teaser in words."""
    scores = "; ".join(
        f"{each['id']}: "
        + ", ".join(f"{WORDS[kind]} {each['iou'][kind]:.0f} %" for kind in TITLES)
        + f", {each['shares']['recall']:.0f} % of Y_crf's errors lie in ~S"
        for each in data["scenes"]
    )
    return Told(
        "Labels of every kind on three scenes, with the pixels that are unreliable because Y_crf "
        "and Y_ret differ (~S), and where these lie relative to the errors of Y_crf. The number "
        "on a tile is the mIoU of the label on that image; white outlines are those of the true "
        "mask. Under ~S stands its share of the pixels, under the errors the share of them that "
        "is found, that is, lies in ~S. " + rule(data),
        f"Three scenes, {ids(data)}, in two rows of tiles each: image with boxes, filled box, "
        f"filled box with a CRF, GrabCut, GAP, BAP's Y_crf and Y_ret, unreliable pixels in light "
        f"grey, errors inside and outside of them, and the mask. mIoU of the tiles: {scores}.",
    )


def draw_both_labels(data: Mapping[str, Any], size: Size) -> Figure:
    """Image, both labels, where they differ, where Y_crf is wrong, and the mask."""
    scenes, names = data["scenes"], data["classes"]
    palette = label_palette(len(names) - 1)
    fig, axes = layout.tiles([layout.ratio_of(each["image"]) for each in scenes], 6, size)
    titles = ("image", "$Y_{crf}$", "$Y_{ret}$", "differ: ~S", "$Y_{crf}$ wrong", "true mask")
    for row, each in zip(axes, scenes, strict=True):
        layout.photo(row[0], each["image"])
        for ax, kind in zip(row[1:3], ("bap", "bap-ret"), strict=True):
            layout.plain_label(ax, each["kinds"][kind], palette)
            layout.inside(ax, f"{each['iou'][kind]:.0f} %")
        for ax, key in zip(row[3:5], ("unreliable", "wrong"), strict=True):
            layout.regions(ax, each["image"], {key: each[key]}, {key: "white"})
        layout.inside(row[3], f"errors: {each['shares']['precision']:.0f} %")
        layout.inside(row[4], f"in ~S: {each['shares']['recall']:.0f} %")
        layout.plain_label(row[5], each["mask"], palette)
        layout.beside(row[0], QUARTILES[each["quantile"]])
    add_titles(axes[0], titles)
    layout.legend(fig, layout.class_patches([0, *layout.classes_in(scenes)], names, palette))
    return fig


def tell_both_labels(data: Mapping[str, Any]) -> Told:
    """Both labels in words."""
    shares = "; ".join(
        f"{each['id']}: {each['shares']['precision']:.0f} % of ~S is wrong and "
        f"{each['shares']['recall']:.0f} % of the errors lie in it"
        for each in data["scenes"]
    )
    return Told(
        "Y_crf and Y_ret (Eq. 5 to 9), where they differ, and where Y_crf is wrong: the method "
        "never sees the fifth column and uses the fourth in its place. Under ~S stands what share "
        "of it is an error of Y_crf, under the errors what share of them lies in ~S. " + rule(data),
        f"Scenes {ids(data)} in rows: image, Y_crf, Y_ret, white where they differ, white where "
        f"Y_crf is wrong, and the mask. {shares}.",
    )


def draw_attention(data: Mapping[str, Any], size: Size) -> Figure:
    """Attention and activation maps of the classifiers trained with GAP and with BAP."""
    scenes, names = data["scenes"], data["classes"]
    palette = label_palette(len(names) - 1)
    heights = [layout.ratio_of(each["image"]) for each in scenes]
    fig, axes = layout.tiles(heights, 5, size, lines_below=4)
    for row, each in zip(axes, scenes, strict=True):
        boxed(row[0], each, palette)
        places = [(key, pooling) for key in ("attention", "cam") for pooling in ("gap", "bap")]
        for ax, (key, pooling) in zip(row[1:], places, strict=True):
            layout.unit_map(ax, each["maps"][pooling][key])
            layout.contour(ax, each["mask"])
            if key == "cam":
                layout.inside(
                    ax, "P {precision:.0f}  R {recall:.0f} %".format(**each["found"][pooling])
                )
        layout.beside(row[0], QUARTILES[each["quantile"]])
    add_titles(axes[0], ("image", "A, GAP", "A, BAP", "CAM, GAP", "CAM, BAP"))
    add_scale(fig, axes, "A, or CAM over its maximum")
    return fig


def tell_attention(data: Mapping[str, Any]) -> Told:
    """Attention and activation maps in words."""
    told = "; ".join(
        f"{each['id']}, {pooling.upper()}: "
        + "precision {precision:.0f} %, recall {recall:.0f} %".format(**found)
        for each in data["scenes"]
        for pooling, found in each["found"].items()
    )
    return Told(
        "Background attention A (Eq. 2 and 3) and class activation (Eq. 6) of the classifier "
        "trained with GAP and of the one trained with BAP; outlines are those of the true mask. A "
        "is as the labels see it: of enlarged features, N = 1. On a tile: precision (P) and recall "
        "(R) of the pixels that reach half of the maximum in the image. The table of activation "
        "maps has both by class, for all images, with the maximum of each box and at chosen "
        "thresholds. " + rule(data),
        f"Scenes {ids(data)} in rows: image with boxes; attention of GAP and of BAP, 1 outside "
        "the boxes and meant to be low on the object; class activation of GAP and of BAP, meant "
        f"to be high on it. {told}.",
    )


def draw_failures(data: Mapping[str, Any], size: Size) -> Figure:
    """For each property the image that has most of it: boxes, label, errors, mask."""
    causes, names = data["causes"], data["classes"]
    palette = label_palette(len(names) - 1)
    heights = [layout.ratio_of(each["image"]) for each in causes]
    fig, axes = layout.tiles(heights, 5, size)
    for row, each in zip(axes, causes, strict=True):
        boxed(row[0], each, palette)
        layout.label(row[1], each["image"], each["y_crf"], palette, outline=each["mask"])
        layout.inside(row[1], f"{each['iou']:.0f} %")
        layout.regions(row[2], each["image"], {"wrong": each["wrong"]}, {"wrong": ERROR})
        layout.label(row[3], each["image"], each["mask"], palette)
        row[4].text(0.0, 0.9, _cause_text(each), transform=row[4].transAxes, va="top")
    add_titles(axes[0], ("image, boxes", "BAP, $Y_{crf}$", "errors", "true mask", ""))
    patches = layout.class_patches(layout.classes_in(causes), names, palette)
    layout.legend(fig, [*patches, Patch(facecolor=ERROR, label="error")])
    return fig


def _cause_text(each: Mapping[str, Any]) -> str:
    cost = each["cost"]
    lines = [each["text"], each["told"]]
    if cost:
        lines.append(f"such images, mIoU:\n{_told_cost(cost)}".replace("], ", "],\n"))
    return "\n".join(lines)


def _told_cost(cost: Mapping[str, float]) -> str:
    return stated(Difference(cost["value"], cost["low"], cost["high"]))


def tell_failures(data: Mapping[str, Any]) -> Told:
    """The failure gallery in words."""
    told = "; ".join(
        f"{each['text']} ({each['id']}, {each['told']}): mIoU {each['iou']:.0f} %"
        + (f", such images {_told_cost(each['cost'])}" if each["cost"] else "")
        for each in data["causes"]
    )
    return Told(
        "Where the method struggles. Each row is the validation image that has most of one "
        "property and is not shown above, which boxes, masks and attention (of N = 1) tell; ties "
        "go by name, and no image was picked by its score. Beside "
        f"it: mIoU of the fifth of the {data['images']} images that have most of the property, "
        "less that of the others, in points with a 95 % interval over images. What goes with a low "
        "score need not be its cause.",
        f"Five images in rows with boxes, Y_crf, its errors and the mask. {told}.",
    )


def draw_grid_size(data: Mapping[str, Any], size: Size) -> Figure:
    """Attention on the scenes by the number of rows of the background grid."""
    scenes, grids = data["scenes"], list(data["means"])
    palette = label_palette(len(data["classes"]) - 1)
    heights = [layout.ratio_of(each["image"]) for each in scenes]
    fig, axes = layout.tiles(heights, 1 + len(grids), size, title_lines=2, lines_below=4)
    for row, each in zip(axes, scenes, strict=True):
        boxed(row[0], each, palette)
        for ax, grid in zip(row[1:], grids, strict=True):
            layout.unit_map(ax, each["grids"][grid])
            layout.contour(ax, each["mask"])
            queries = each["queries"][grid]
            layout.inside(ax, "1 query" if queries == 1 else f"{queries} queries")
        layout.beside(row[0], QUARTILES[each["quantile"]])
    titles = [f"N = {grid}\napart: {_apart(data['means'][grid])}" for grid in grids]
    add_titles(axes[0], ("image", *titles))
    add_scale(fig, axes, "attention A")
    return fig


def _apart(means: Mapping[str, Any]) -> str:
    made = means["apart"]
    return "{value:.0f} [{low:.0f}, {high:.0f}]".format(**made) if made else "-"


def tell_grid_size(data: Mapping[str, Any]) -> Told:
    """Attention by grid size in words."""
    told = "; ".join(f"N = {grid}: {_apart(means)}" for grid, means in data["means"].items())
    return Told(
        "Attention A by the number of rows N of the background grid (Eq. 1), of one classifier, "
        f"trained with N = {data['trained']}, as the pooling sees it: at the cells of the feature "
        f'map, then enlarged. "Apart" is 100 times the mean A on the ground within boxes less '
        f"that on objects, over all {data['images']} validation images, with a 95 % interval over "
        "images. It grows with the scale of A, so that it does not rank the grids. " + rule(data),
        f"Scenes {ids(data)} in rows: image, and the attention with grids of "
        f"{', '.join(str(grid) for grid in data['means'])} rows. Ground less objects, hundredths "
        f"of A: {told}.",
    )


def add_titles(row: Sequence[Any], titles: Sequence[str]) -> None:
    """A title above every axes of a row."""
    for ax, title in zip(row, titles, strict=True):
        ax.set_title(title)


def add_scale(fig: Figure, axes: Any, label: str) -> None:
    """One colour bar for maps from 0 to 1."""
    drawn = plt.cm.ScalarMappable(plt.Normalize(0, 1))
    fig.colorbar(drawn, ax=axes, label=label, location="bottom", shrink=0.4, aspect=40, pad=0.02)
