"""Figures of the noise-aware network: its confidence over training, and what it predicts."""

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bana.course.colours import OKABE_ITO, label_palette
from bana.course.gallery import layout
from bana.course.gallery.files import Size
from bana.course.gallery.scenes import QUARTILES, Told, add_scale, add_titles, ids, rule
from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import stated

JUDGED: dict[str, tuple[str, str]] = {
    "saved": ("wrong, down-weighted: saved", "#00E5FF"),
    "believed": ("wrong, believed", "#FFFFFF"),
    "spoiled": ("right, down-weighted: spoiled", "#FF00C8"),
    "kept": ("right, believed", OKABE_ITO["yellow"]),
}
"""What becomes of a label in ~S: in words, and its colour."""

RIGHT: dict[str, tuple[str, str]] = {
    "gained": ("noise-aware alone is right", "#00E5FF"),
    "lost": ("cross-entropy alone is right", "#FF00C8"),
}
"""Which network is right, in words, and its colour: none of a class's."""


def draw_confidence(data: Mapping[str, Any], size: Size) -> Figure:
    """Training images with the confidence in their label; below, what it saves and spoils."""
    scenes, iterations = data["scenes"], data["iterations"]
    palette = label_palette(len(data["classes"]) - 1)
    judged = all("judged" in each for each in scenes)
    lines = 1 + judged
    heights = [layout.ratio_of(each["image"]) for each in scenes for _ in range(lines)]
    columns = 3 - lines + len(iterations)  # the label lies below the image, or beside it
    fig, axes = layout.tiles(heights, columns, size, lines_below=6, each_titled=True)
    for place, each in enumerate(scenes):
        block = axes[lines * place : lines * (place + 1)]
        first = block[:, 0] if judged else block[0, :2]
        layout.photo(first[0], each["image"], "image")
        layout.label(first[1], each["image"], each["y_crf"], palette, "$Y_{crf}$", each.get("mask"))
        for ax, iteration in zip(block[0, -len(iterations) :], iterations, strict=True):
            layout.unit_map(ax, each["sigma"][iteration], f"$\\sigma$, iteration {iteration}")
            layout.contour(ax, each["unreliable"].to(torch.uint8), 0.4)
        for ax, iteration in zip(block[1, 1:] if judged else (), iterations, strict=judged):
            _judged_tile(ax, each, iteration)
    add_scale(fig, axes, "confidence")
    if judged:
        layout.legend(fig, _patches(JUDGED), columns=2)
    return fig


def _judged_tile(ax: Axes, each: Mapping[str, Any], iteration: int) -> None:
    """What became of the labels in ~S: regions, above them the shares saved and spoiled."""
    judged = each["judged"][iteration]
    layout.regions(ax, each["image"], judged, {key: c for key, (_, c) in JUDGED.items()})
    saved, spoiled = map(_percent, shares(judged))
    ax.set_title(f"saved {saved.removesuffix(' %')}, spoiled {spoiled}")  # as wide as its tile


def _patches(names: Mapping[str, tuple[str, str]]) -> list[Patch]:
    return [Patch(facecolor=colour, edgecolor="0.4", label=name) for name, colour in names.values()]


def shares(judged: Mapping[str, torch.Tensor]) -> tuple[float | None, float | None]:
    """Percent of the wrong labels in ~S that are saved, and of the right ones that are spoiled."""
    counts = {key: int(where.sum()) for key, where in judged.items()}

    def share(part: str, rest: str) -> float | None:
        whole = counts[part] + counts[rest]
        return 100 * counts[part] / whole if whole else None

    return share("saved", "believed"), share("spoiled", "kept")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0f} %"


def tell_confidence(data: Mapping[str, Any]) -> Told:
    """Confidence over training in words."""
    names = ", ".join(each["id"] for each in data["scenes"])
    when = ", ".join(map(str, data["iterations"]))
    caption = (
        "Confidence sigma (Eq. 12) in the label while the noise-aware network is trained, on the "
        "first training images, at several iterations; outlines are those of ~S, on the label "
        "those of the mask."
    )
    alt = (
        f"Training images {names} in rows: image, label, and the confidence in it at iterations "
        f"{when}, with the outline of the unreliable pixels."
    )
    if told := [_told_of(each) for each in data["scenes"] if "judged" in each]:
        caption += (
            f" Below: the labels in ~S, believed where sigma is {data['half']:g} or more. A wrong "
            "label that is down-weighted is saved, a right one spoiled. Above a tile: percent of "
            "the wrong labels in ~S that are saved, and of the right ones that are spoiled. The "
            "masks say which are wrong and are not used in training."
        )
        alt += f" Wrong labels saved and right ones spoiled, in ~S: {'; '.join(told)}."
    return Told(caption, alt)


def _told_of(each: Mapping[str, Any]) -> str:
    steps = []
    for iteration, judged in each["judged"].items():
        saved, spoiled = shares(judged)
        wrong = int((judged["saved"] | judged["believed"]).sum())
        right = int((judged["spoiled"] | judged["kept"]).sum())
        steps.append(
            f"at iteration {iteration}: {_percent(saved)} of {wrong:,} pixels saved and "
            f"{_percent(spoiled)} of {right:,} spoiled"
        )
    return f"{each['id']}, {', '.join(steps)}"


def draw_nal(data: Mapping[str, Any], size: Size) -> Figure:
    """Predictions without and with the noise-aware loss, and which of the two is right."""
    scenes, names = data["scenes"], data["classes"]
    palette = label_palette(len(names) - 1)
    heights = [layout.ratio_of(each["image"]) for each in scenes]
    fig, axes = layout.tiles(heights, 5, size)
    for row, each in zip(axes, scenes, strict=True):
        layout.photo(row[0], each["image"])
        for ax, loss in zip(row[1:3], ("crf", "nal"), strict=True):
            layout.label(ax, each["image"], each["predictions"][loss], palette, "", each["mask"])
            layout.inside(ax, f"{each['iou'][loss]:.0f} %")
        regions = {key: each[key] for key in RIGHT}
        layout.regions(row[3], each["image"], regions, {k: c for k, (_, c) in RIGHT.items()})
        layout.inside(row[3], f"{each['score']:+.1f} points")
        layout.label(row[4], each["image"], each["mask"], palette, "", each["mask"])
        layout.beside(row[0], QUARTILES[each["quantile"]])
    add_titles(
        axes[0], ("image", "cross-entropy", "noise-aware", "one alone is right", "true mask")
    )
    labels = [label for each in scenes for label in each["predictions"].values()]
    drawn = {int(c) for label in labels for c in label.unique()} - {0}
    there = sorted(drawn | set(layout.classes_in(scenes)))
    layout.legend(fig, [*layout.class_patches(there, names, palette), *_patches(RIGHT)])
    return fig


def tell_nal(data: Mapping[str, Any]) -> Told:
    """Predictions without and with the noise-aware loss in words."""
    less = stated(Difference(**data["difference"]))
    scores = "; ".join(
        f"{each['id']}: cross-entropy {each['iou']['crf']:.0f} %, noise-aware "
        f"{each['iou']['nal']:.0f} %"
        for each in data["scenes"]
    )
    return Told(
        "Predictions of two networks that learned from the same labels: by cross-entropy on Y_crf "
        "and by the noise-aware loss, at a single scale and without CRF. The number on a tile is "
        "mIoU on that image; outlines are those of the mask. Over all images the noise-aware "
        f"network less the other, in points of mIoU: {less}; the 95 % interval is over images and "
        "does not cover the chance of the trainings. "
        + rule(data, "the difference of both networks' mIoU on an image"),
        f"Scenes {ids(data, '{:+.1f} points')} in rows: image; prediction of the network "
        "of cross-entropy; that of the noise-aware network; where one of the two alone is right; "
        f"mask. mIoU of the tiles: {scores}.",
    )
