"""The five photographs of the first page, with what is made of each box."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bana.course.colours import CLASS_COLOURS, OKABE_ITO, cut_out, label_palette
from bana.course.gallery import layout
from bana.course.gallery.files import Size
from bana.course.gallery.scenes import Told, add_scale, add_titles
from bana.course.plotting import draw_boxes

BOXES = 2
"""The palette's number of the boxes' colour, sky blue: orange marks where labels differ."""


def draw_photographs(data: Mapping[str, Any], size: Size) -> Figure:
    """Every photograph in a row: box, control, attention, both labels, where they differ."""
    shots = data["shots"]
    heights = [min(1.0, layout.ratio_of(shot["image"])) for shot in shots]
    fig, axes = layout.tiles(heights, 6, size, lines_below=6)
    for row, shot in zip(axes, shots, strict=True):
        image, y_crf = shot["image"], shot["y_crf"]
        numbers = range(BOXES, BOXES + len(shot["classes"]))
        names = [*[""] * BOXES, *shot["classes"]]
        layout.photo(row[0], image)
        draw_boxes(row[0], shot["boxes"], numbers, names, label_palette(len(CLASS_COLOURS)))
        layout.photo(row[1], cut_out(image, shot["control"]))
        layout.unit_map(row[2], shot["attention"])
        layout.photo(row[3], cut_out(image, y_crf))
        layout.photo(row[4], cut_out(image, shot["y_ret"]))
        layout.photo(row[5], cut_out(image, y_crf, y_crf != shot["y_ret"]))
        for ax in row:
            ax.set_anchor("C")
    titles = ("image, box", "box + CRF", "attention A", "$Y_{crf}$", "$Y_{ret}$", "they differ")
    add_titles(axes[0], titles)
    add_scale(fig, axes, "A: cosine to the mean background")
    differ = Patch(facecolor=OKABE_ITO["orange"], label="$Y_{crf}$ and $Y_{ret}$ differ")
    layout.legend(fig, [differ])
    return fig


def tell_photographs(data: Mapping[str, Any]) -> Told:
    """The photographs in words."""
    names = ", ".join(shot["name"] for shot in data["shots"])
    sources = "; ".join(f"{shot['source']} ({shot['licence']})" for shot in data["shots"])
    unknown = [
        name for shot in data["shots"] for name in shot["classes"] if name not in data["known"]
    ]
    beyond = f" Of no class that they know: {', '.join(unknown)}." if unknown else ""
    return Told(
        "Five photographs with one box each, masked by the weights that come along: none of the "
        f"photographs was in their training.{beyond} Sources: {sources}.",
        f"Five photographs in rows: {names}. Columns: the image with its box; the filled box "
        "after a CRF; the background attention, dark on the object; the label Y_crf cut out of "
        "the photograph; the label Y_ret; and Y_crf with the pixels in orange where both differ.",
    )
