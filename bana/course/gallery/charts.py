"""Figures of numbers: scores by class, and labels by how full their boxes are."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bana.course.colours import OKABE_ITO
from bana.course.gallery.files import Size
from bana.course.gallery.scenes import TITLES, WORDS, Told
from bana.experiment.exhibits.network_tables import MODES

LABEL_COLOURS: dict[str, str] = {
    "boxes": OKABE_ITO["grey"],
    "boxes-crf": OKABE_ITO["sky blue"],
    "gap": OKABE_ITO["orange"],
    "bap": OKABE_ITO["blue"],
}
"""One colour a kind of label."""

FEW = 5
"""Fewer boxes than this make a group of which a figure draws no line."""

MARKERS = dict(zip(LABEL_COLOURS, "sD^o", strict=True))


def draw_per_class(data: Mapping[str, Any], size: Size) -> Figure:
    """IoU of every class: this run's noise-aware network above, the published one below."""
    sources = (
        (
            f"{data['profile']}, seed {data['seed']}, {data['images']} validation images, "
            f"{MODES[data['mode']]}",
            data["here"],
            "blue",
        ),
        ("paper: VOC 2012 val, DeepLab-V1, multi-scale and CRF", data["published"], "orange"),
    )
    height = min(size.height, 0.62 * size.width)
    fig, axes = plt.subplots(2, 1, figsize=(size.width, height), sharey=True)
    for ax, (title, values, colour) in zip(axes, sources, strict=True):
        ax.bar(range(len(values)), list(values.values()), color=OKABE_ITO[colour])
        mean = sum(values.values()) / len(values)
        ax.axhline(mean, color="0.3", ls="--", label=f"mean {mean:.1f} %")
        ax.set_xticks(range(len(values)), list(values), rotation=45, ha="right")
        ax.set(title=title, ylim=(0, 100), xlim=(-0.7, len(values) - 0.3), ylabel="IoU (%)")
        ax.grid(axis="x", visible=False)
        ax.set_axisbelow(True)
        ax.legend(loc="upper right")
    return fig


def tell_per_class(data: Mapping[str, Any]) -> Told:
    """Scores by class in words."""
    here = data["here"]
    worst = sorted(here, key=here.get)[:3]
    lowest = ", ".join(f"{name} {here[name]:.0f} %" for name in worst)
    return Told(
        "IoU of every class of the noise-aware network: above that of this run's one training, "
        f"seed {data['seed']} (the table class by class has the mean over several), below the "
        "published one. The data sets differ, so bars are compared within a panel, not across. "
        "Classes that occur neither in masks nor in predictions have no bar.",
        "Bars of the IoU of each class with their mean as a dashed line; above this run's "
        f"network on {data['images']} validation images (lowest: {lowest}), below the published "
        "one on VOC 2012 val.",
    )


def draw_filling(data: Mapping[str, Any], size: Size) -> Figure:
    """How full boxes are, and what labels are worth by that."""
    fig, axes = plt.subplots(1, 2, figsize=(size.width, min(size.height, 0.42 * size.width)))
    edges = data["edges"]
    for ax in axes:
        ax.set_axisbelow(True)
    axes[0].hist(data["rates"].numpy(), bins=range(0, 101, 10), color=OKABE_ITO["blue"])
    mean = float(data["rates"].mean())
    axes[0].axvline(mean, color="0.3", ls="--", label=f"mean {mean:.0f} %")
    axes[0].set(xlabel="pixels of its class in a box (%)", ylabel="boxes", xlim=(0, 100))
    axes[0].legend()
    filled = [place for place, count in enumerate(data["boxes"]) if count]
    for number, (kind, estimates) in enumerate(data["iou"].items()):
        look = {"color": LABEL_COLOURS[kind], "marker": MARKERS[kind], "elinewidth": 1}
        looks = {False: {"label": TITLES[kind]}, True: {"ls": "none", "mfc": "white"}}
        for few, more in looks.items():
            there = [(p, m) for p, m in enumerate(estimates) if m and _few(data, p) == few]
            x = [filled.index(place) + 0.09 * (number - 1.5) for place, _ in there]
            y = [made["value"] for _, made in there]
            below = [max(0.0, made["value"] - made["low"]) for _, made in there]
            above = [max(0.0, made["high"] - made["value"]) for _, made in there]
            axes[1].errorbar(x, y, [below, above], **look, **more)
    names = [
        f"{edges[place]:.0f}-{edges[place + 1]:.0f}\n({data['boxes'][place]})" for place in filled
    ]
    axes[1].set_xticks(range(len(names)), names)
    axes[1].set(xlabel="filling rate (%) (boxes)", ylabel="mean IoU of boxes (%)", ylim=(0, 100))
    axes[1].legend(loc="lower right", ncols=2)
    return fig


def _few(data: Mapping[str, Any], place: int) -> bool:
    return data["boxes"][place] < FEW


def tell_filling(data: Mapping[str, Any]) -> Told:
    """Filling rates in words."""
    edges = data["edges"]
    groups = ", ".join(
        f"{low:.0f} to {high:.0f} % ({count})"
        for low, high, count in zip(edges, edges[1:], data["boxes"], strict=False)
        if count
    )
    told = [
        f"{WORDS[kind]} " + ", ".join("{value:.0f}".format(**made) for made in estimates if made)
        for kind, estimates in data["iou"].items()
    ]
    return Told(
        "How full boxes are, and what labels made from them are worth. Left: filling rates of "
        f"the boxes of {data['images']} validation images. Right: mean over boxes of the IoU "
        "within the box of its class, by filling rate, with 95 % intervals over images; hollow "
        f"marks, which no line joins, are of fewer than {FEW} boxes and say nothing. Filled boxes "
        "gain with the rate by construction.",
        f"Left, a histogram of the filling rates of {len(data['rates'])} boxes, mean "
        f"{float(data['rates'].mean()):.0f} %. Right, mean IoU of boxes by filling rate, one "
        f"line a kind of label. Groups (of so many boxes): {groups}. IoU in them, in %: "
        f"{'; '.join(told)}.",
    )
