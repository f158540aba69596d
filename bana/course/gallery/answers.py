"""The figure of the course's questions: every difference with its interval, in a forest plot."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from bana.course.colours import OKABE_ITO
from bana.course.gallery.files import Size
from bana.course.gallery.layout import LINE
from bana.course.gallery.scenes import Told, upper_first
from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import NOT_TOLD_APART, difference_of, interval, stated, verdict

LOOKS: dict[str, dict[str, Any]] = {
    "higher": {"color": OKABE_ITO["blue"], "marker": "o", "label": "ahead"},
    "lower": {"color": OKABE_ITO["vermillion"], "marker": "s", "label": "behind"},
    NOT_TOLD_APART: {
        "color": OKABE_ITO["grey"],
        "marker": "o",
        "markerfacecolor": "white",
        "label": NOT_TOLD_APART,
    },
}
TYPESET = {"Y_crf": "$Y_{crf}$", "Y_ret": "$Y_{ret}$", "u_0": "$u_0$", "gamma": r"$\gamma$"}
GAP = 0.35  # between groups, in rows

Line = tuple[float, str, Mapping[str, Any] | None]
"""Its place, its text, and the row that is drawn there; None at a group's title."""


def draw_answers(data: Mapping[str, Any], size: Size) -> Figure:
    """Questions in groups from top to bottom, a panel a data set, numbers beside the intervals."""
    lines = list(_lines(data))
    last = lines[-1][0]
    height = min(size.height, (last + 6) * size.font * LINE * 1.05 / 72)
    panels = data["profiles"]
    fig, axes = plt.subplots(
        1, len(panels), figsize=(size.width, height), sharex=True, sharey=True, squeeze=False
    )
    for ax, (profile, what) in zip(axes[0], panels.items(), strict=True):
        ax.set(title=f"{profile}: {what}", xlabel="points of mIoU", ylim=(last + 0.7, -0.7))
        ax.xaxis.set_major_locator(MultipleLocator(5))
        ax.spines["left"].set_visible(False)
        ax.axvline(0, color="black", linewidth=1)
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        for place, _, row in lines:
            if row is not None:
                _draw(ax, place, row["by"][profile])
    _name_rows(axes[0, 0], lines)
    handles = [Line2D([], [], linewidth=1.8, **look) for look in LOOKS.values()]
    asked = "networks and heads: minus those trained by cross-entropy on $Y_{crf}$"
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles), title=asked)
    return fig


def _lines(data: Mapping[str, Any]) -> Iterator[Line]:
    """Titles of groups and their rows, from top to bottom."""
    place = 0.0
    for group in data["groups"]:
        yield place, group["title"], None
        for row in group["rows"]:
            place += 1
            yield place, row["text"], row
        place += 1 + GAP


def _draw(ax: Axes, place: float, made: Mapping[str, float] | None) -> None:
    """One difference, and its numbers at the right edge; nothing was measured where it is None."""
    right = {"transform": ax.get_yaxis_transform(), "va": "center", "clip_on": False}
    if made is None:
        ax.text(1.02, place, "not measured", color="0.4", **right)
        return
    difference = difference_of(made)
    look = LOOKS[verdict(difference)] | {"label": None}
    ax.plot([difference.low, difference.high], [place, place], color=look["color"])
    ax.plot(difference.mean, place, **look)
    ax.text(1.02, place, interval(difference), **right)


def _name_rows(ax: Axes, lines: Sequence[Line]) -> None:
    """Text beside the y axis, flush left, titles of groups in bold."""
    texts = [_typeset(text if row is None else f"    {text}") for _, text, row in lines]
    ax.set_yticks([place for place, _, _ in lines], texts, ha="left")
    labels = ax.get_yticklabels()
    for label, (_, _, row) in zip(labels, lines, strict=True):
        label.set_fontweight("bold" if row is None else "normal")
    ax.figure.canvas.draw()  # gives labels a width
    widest = max(label.get_window_extent().width for label in labels)
    ax.tick_params(axis="y", pad=widest * 72 / ax.figure.dpi + 4)


def _typeset(text: str) -> str:
    for word, maths in TYPESET.items():
        text = text.replace(word, maths)
    return text


def tell_answers(data: Mapping[str, Any]) -> Told:
    """The same in words: all differences by group."""
    told = []
    for group in data["groups"]:
        rows = [f"{row['text']} {_by_profile(row['by'])}" for row in group["rows"]]
        told.append(f"{upper_first(group['title'])}: {'; '.join(rows)}.")
    return Told(
        "The course's questions and their answers, from the records in results/: differences of "
        "mIoU with 95 % intervals. Networks and heads are compared with the same network or head "
        "trained by cross-entropy on Y_crf. A hollow circle is a difference that is not told apart "
        "from zero. Validation images of the two data sets; heads are small classifiers on frozen "
        "features, a bias moves a network's line between background and objects.",
        "Differences of mIoU in points with their intervals, in groups, for "
        f"{' and '.join(data['profiles'])}, in this order. {' '.join(told)}",
    )


def _by_profile(made: Mapping[str, Mapping[str, float] | None]) -> str:
    return " and ".join(_stated(None if m is None else difference_of(m)) for m in made.values())


def _stated(difference: Difference | None) -> str:
    return "not measured" if difference is None else stated(difference)
