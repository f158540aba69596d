"""The whole method in one diagram, every panel of which is a tensor of one run."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from matplotlib.patheffects import Normal, Stroke

from bana.course.colours import OKABE_ITO, label_palette
from bana.course.gallery import layout
from bana.course.gallery.files import Size
from bana.course.gallery.scenes import Told
from bana.data.voc_files import IGNORE

COLUMNS = 5


def draw_overview(data: Mapping[str, Any], size: Size) -> Figure:
    """The method in three rows of five panels: classify, label, learn."""
    palette = label_palette(len(data["classes"]) - 1)
    ratio = layout.ratio_of(data["image"])
    line = size.font * layout.LINE / 72
    across = (size.width - 3 * line) / (1.12 * COLUMNS)
    height = min(3 * (across * ratio + 2.6 * line) + 4 * line, size.height)
    fig, axes = plt.subplots(3, COLUMNS, figsize=(size.width, height))
    fig.get_layout_engine().set(wspace=0.09)
    for ax in axes.flat[: COLUMNS - 1].tolist() + axes[1:].flatten().tolist():
        ax.set_rasterization_zorder(layout.PIXELS_BELOW)
    _draw_stage_1(axes[0], data)
    _draw_stage_2(axes[1], data, palette)
    _draw_stage_3(axes[2], data, palette)
    for row, name in zip(axes, ("1  classify", "2  label", "3  learn"), strict=True):
        place = {"transform": row[0].transAxes, "va": "center", "ha": "right"}
        row[0].text(-0.06, 0.5, name, rotation=90, weight="bold", **place)
    _connect(axes, ratio)
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1))
    fig.colorbar(scale, ax=axes, label="value of a map", shrink=0.6, aspect=30, pad=0.01)
    maps = [data[name] for name in ("labels", "y_crf", "y_ret", "prediction", "mask")]
    classes = sorted({int(c) for each in maps for c in each.unique()} - {0, IGNORE})
    layout.legend(fig, layout.class_patches([0, *classes], data["classes"], palette))
    return fig


def _map(ax: Axes, values: torch.Tensor, title: str) -> None:
    layout.unit_map(ax, values, title)
    ax.set_anchor("N")
    ax.set_axis_off()


def _picture(ax: Axes, image: torch.Tensor, title: str) -> None:
    layout.photo(ax, image, title)
    ax.set_anchor("N")
    ax.set_axis_off()


def _label(ax: Axes, mask: torch.Tensor, palette: Any, title: str) -> None:
    layout.plain_label(ax, mask, palette, title)
    ax.set_anchor("N")
    ax.set_axis_off()


def _draw_stage_1(axes: Any, data: Mapping[str, Any]) -> None:
    """Image and boxes, features, certain background, attention, class of a pooled box."""
    image, names = data["image"], data["classes"]
    palette = label_palette(len(names) - 1)
    _picture(axes[0], image, "image, boxes")
    layout.frames(axes[0], data["boxes"], data["labels"], palette)
    _picture(axes[1], data["colours"], "features $f$")
    _picture(axes[2], torch.where(data["outside"], image, image // 5), "background (1)")
    height, width = image.shape[1:]
    for k in range(1, data["grid"]):
        axes[2].axvline(width * k / data["grid"] - 0.5, color="w", lw=0.6)
        axes[2].axhline(height * k / data["grid"] - 0.5, color="w", lw=0.6)
    _map(axes[3], data["attention"], "$A$ (2, 3)")
    widest = data["widest"]
    layout.frames(axes[3], data["boxes"][[widest]], data["labels"][[widest]], palette)
    best = data["likeliest"].flip(0).tolist()
    axes[4].barh(range(len(best)), data["probabilities"].flip(0), color=OKABE_ITO["blue"])
    axes[4].set_yticks([])
    for place, (c, share) in enumerate(zip(best, data["probabilities"].flip(0), strict=True)):
        beyond = float(share) + 0.03
        text = {"x": 0.03, "color": "white"} if beyond > 0.5 else {"x": beyond, "color": "black"}
        axes[4].text(y=place, s=names[c], va="center", **text)
    axes[4].set(title="class of $r_i$ (4)", xlim=(0, 1), box_aspect=height / width)
    # Not below the axes, where an arrow runs.
    axes[4].text(0.97, 0.04, "probability", ha="right", transform=axes[4].transAxes)
    axes[4].set_xticks((0, 1), ("", "1"))  # an arrow runs where the 0 would be
    axes[4].set_anchor("N")
    axes[4].grid(False)


def _draw_stage_2(axes: Any, data: Mapping[str, Any], palette: Any) -> None:
    """From right to left: CAM, unary, Y_crf, similarity to the class's prototype, Y_ret."""
    name = data["classes"][data["largest"]]
    _map(axes[4], data["cam"], f"CAM, {name} (6)")
    _map(axes[3], data["unary"], "unary $u_c$ (5, 7)")
    _label(axes[2], data["y_crf"], palette, "CRF: $Y_{crf}$")
    _map(axes[1], data["similarity"], "$C_c$ (8, 9)")
    _label(axes[0], data["y_ret"], palette, "argmax: $Y_{ret}$")


def _draw_stage_3(axes: Any, data: Mapping[str, Any], palette: Any) -> None:
    """Reliable and unreliable pixels, confidence, its use, prediction, truth."""
    marked = torch.where(data["unreliable"], 255, data["y_crf"].int()).to(torch.uint8)
    _label(axes[0], marked, palette, "~$S$ in white (10)")
    _map(axes[1], data["sigma"], "$\\sigma$ (11, 12)")
    _map(axes[2], data["sigma"] * data["unreliable"], "$\\sigma$ on ~$S$ (13, 14)")
    _label(axes[3], data["prediction"], palette, "prediction")
    _label(axes[4], data["mask"], palette, "mask (not used)")


def _arrow(
    start: Axes, end: Axes, a: tuple, b: tuple, colour: str = "0.35", head: str = "-|>"
) -> ConnectionPatch:
    """An arrow from one axes to another, both ends in fractions of the axes."""
    patch = ConnectionPatch(a, b, "axes fraction", "axes fraction", axesA=start, axesB=end)
    patch.set(arrowstyle=head, mutation_scale=9, color=colour, linewidth=1.3)
    patch.set_in_layout(False)
    start.figure.add_artist(patch)
    return patch


def _connect(axes: Any, ratio: float) -> None:
    """Grey arrows along each row, vermillion ones where a stage uses what another made.

    The one from the features to the activation map runs between the rows, and leaves a gap where
    the attention's crosses it.
    """
    onward, back = ((1.01, 0.5), (-0.01, 0.5)), ((-0.01, 0.5), (1.01, 0.5))
    for k in range(COLUMNS - 1):
        _arrow(axes[0, k], axes[0, k + 1], *onward)
        _arrow(axes[1, k + 1], axes[1, k], *back)
        if k < 3:
            _arrow(axes[2, k], axes[2, k + 1], *onward)
    down = ((0.5, -0.02), (0.5, 1.0 + 0.16 / ratio), OKABE_ITO["vermillion"])
    turn = (0.5, -0.11 / ratio)
    _arrow(axes[0, 1], axes[0, 4], turn, turn, down[2], "-")
    _arrow(axes[0, 4], axes[1, 4], turn, *down[1:])
    crossing = _arrow(axes[0, 3], axes[1, 3], (0.5, -0.05), *down[1:])
    crossing.set_path_effects([Stroke(linewidth=6, foreground="white"), Normal()])
    for row, column in ((0, 1), (1, 0)):
        _arrow(axes[row, column], axes[row + 1, column], *down)
    _arrow(axes[1, 2], axes[2, 0], (0.0, -0.02), (0.95, 1.0 + 0.16 / ratio), down[2])


def tell_overview(data: Mapping[str, Any]) -> Told:
    """The diagram in words."""
    boxes = ", ".join(data["classes"][int(c)] for c in data["labels"])
    share = f"{100 * data['label_threshold']:.0f} % of its maximum"
    return Told(
        "The whole method on one image; every panel is a tensor of this run, and numbers in "
        "brackets are equations of the paper. Grey arrows stay within a stage, vermillion ones "
        "lead to another. The attention shown is the one of training, with "
        f"N = {data['grid']}; labels take one with N = {data['label_grid']}, of which u_0 keeps "
        f"what reaches {share}. Features are shown by their three main directions as red, green "
        "and blue; the class is that of the largest box, and the maps of stage 2 are those of its "
        f"class, {data['classes'][data['largest']]}. The image is the first in the upper quartile "
        "of mIoU whose boxes have several classes.",
        f"The method on image {data['id']} ({boxes}) in three rows. Stage 1: image with boxes, "
        "features, grid of certain background, attention, which is 1 outside the boxes and low on "
        "objects, class probabilities of a pooled box. Stage 2, right to left: activation map, "
        "unary, label from the CRF, similarity to the class prototype, label from it; arrows lead "
        "from the features to the activation map and to the similarity, and from the attention to "
        "the unary. Stage 3: agreement of both labels, confidence, confidence on unreliable "
        "pixels, prediction, and the true mask.",
    )
