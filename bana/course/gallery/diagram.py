"""The whole method in one diagram, every panel of which is a tensor of one run."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from bana.course.colours import OKABE_ITO, label_palette
from bana.course.gallery import layout
from bana.course.gallery.files import Size
from bana.course.gallery.scenes import Told
from bana.data.voc_files import IGNORE

COLUMNS = 6


def draw_overview(data: Mapping[str, Any], size: Size) -> Figure:
    """The method in three rows of panels: classify, label, learn."""
    palette = label_palette(len(data["classes"]) - 1)
    ratio = layout.ratio_of(data["image"])
    line = size.font * layout.LINE / 72
    across = (size.width - 3 * line) / (1.12 * COLUMNS)
    height = min(3 * (across * ratio + 2.6 * line) + 4 * line, size.height)
    fig, axes = plt.subplots(3, COLUMNS, figsize=(size.width, height))
    fig.get_layout_engine().set(wspace=0.09)
    for ax in (axes[0, -1], axes[2, -1]):  # only labels have six panels
        ax.set(box_aspect=ratio, anchor="N")
        ax.set_axis_off()
    for ax in axes.flat[: COLUMNS - 2].tolist() + axes[1:].flatten().tolist():
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
    _map(axes[3], data["attention"], f"$A$, $N$ = {data['grid']} (2, 3)")
    widest = data["widest"]
    layout.frames(axes[3], data["boxes"][[widest]], data["labels"][[widest]], palette)
    best = data["likeliest"].flip(0).tolist()
    axes[4].barh(range(len(best)), data["probabilities"].flip(0), color=OKABE_ITO["blue"])
    axes[4].set_yticks([])
    for place, (c, share) in enumerate(zip(best, data["probabilities"].flip(0), strict=True)):
        beyond = float(share) + 0.03
        text = {"x": 0.03, "color": "white"} if beyond > 0.75 else {"x": beyond, "color": "black"}
        words = axes[4].text(y=place, s=f"{names[c]} {share:.2f}", va="center", **text)
        words.set_in_layout(False)  # the place beside it is empty
    axes[4].set(title="class of $r_i$ (4)", xlim=(0, 1), box_aspect=height / width)
    axes[4].set_xticks([])  # where an arrow runs
    axes[4].set_anchor("N")
    axes[4].grid(False)


def _draw_stage_2(axes: Any, data: Mapping[str, Any], palette: Any) -> None:
    """From right to left: CAM, A, unary, Y_crf, similarity to the class's prototype, Y_ret."""
    _map(axes[5], data["cam"], "CAM (6)")
    _map(axes[4], data["label_attention"], f"$A$, $N$ = {data['label_grid']} (7)")
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
    start: Axes,
    end: Axes,
    a: tuple,
    b: tuple,
    colour: str = "0.35",
    head: str = "-|>",
    line: str = "-",
) -> ConnectionPatch:
    """An arrow from one axes to another, both ends in fractions of the axes."""
    patch = ConnectionPatch(a, b, "axes fraction", "axes fraction", axesA=start, axesB=end)
    patch.set(arrowstyle=head, mutation_scale=9, color=colour, linewidth=1.3, linestyle=line)
    patch.set_in_layout(False)
    start.figure.add_artist(patch)
    return patch


def _connect(axes: Any, ratio: float) -> None:
    """Grey arrows along each row, vermillion ones where a stage uses what another made.

    Those from the features to the activation map and to the attention of the labels run between
    the rows, as does the one from the activation map to the unary. A dashed one is no input: what
    is at its start trains what is at its end.
    """
    onward, back = ((1.01, 0.5), (-0.01, 0.5)), ((-0.01, 0.5), (1.01, 0.5))
    turn = (0.5, -0.11 / ratio)
    for k in range(4):
        _arrow(axes[0, k], axes[0, k + 1], *onward)
        _arrow(axes[1, k + 1], axes[1, k], *back)
    for k in range(2):
        _arrow(axes[2, k], axes[2, k + 1], *onward)
    for row, (start, end), line in ((1, (5, 3), "-"), (2, (2, 3), "--")):
        _arrow(axes[row, start], axes[row, start], (0.5, -0.02), turn, head="-", line=line)
        _arrow(axes[row, start], axes[row, end], turn, turn, head="-", line=line)
        _arrow(axes[row, end], axes[row, end], turn, (0.5, -0.01), line=line)
    trains = {"va": "top", "transform": axes[2, 3].transAxes}
    axes[2, 3].text(0.02, turn[1] - 0.03, "trains", **trains)
    down = ((0.5, -0.02), (0.5, 1.0 + 0.16 / ratio), OKABE_ITO["vermillion"])
    _arrow(axes[0, 1], axes[0, 5], turn, turn, down[2], "-")
    for column in (4, 5):
        _arrow(axes[0, column], axes[1, column], turn, *down[1:])
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
        "lead to another; the dashed one is no input: the loss trains the network, which predicts "
        f"from the image alone. Boxes are pooled with the attention of N = {data['grid']}; labels "
        f"take one of N = {data['label_grid']}, of which u_0 keeps what reaches {share}. "
        "Features are shown by their three main directions as red, green and blue; the class is "
        "that of the largest box, and the maps of stage 2 are those of its "
        f"class, {data['classes'][data['largest']]}. The image is the first in the upper quartile "
        "of mIoU whose boxes have several classes.",
        f"The method on image {data['id']} ({boxes}) in three rows. Stage 1: image with boxes, "
        "features, grid of certain background, attention, which is 1 outside the boxes and low on "
        "objects, class probabilities of a pooled box. Stage 2, right to left: activation map, "
        "attention of the labels, unary, label from the CRF, similarity to the class prototype, "
        "label from it; arrows lead from the features to the activation map, to that attention and "
        "to the similarity, and from the first two to the unary. Stage 3: agreement of both "
        "labels, confidence, confidence on unreliable pixels; a dashed arrow to the prediction, "
        "and the true mask.",
    )
