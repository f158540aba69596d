"""The list of figures: for each what the paper has, what is computed, and how it is drawn."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from bana.course import photographs
from bana.course.gallery import answers as drawn_answers
from bana.course.gallery import background, charts, diagram, networks, scenes, shots
from bana.course.gallery.files import Size
from bana.course.gallery.scenes import Told
from bana.experiment.exhibits import (
    answers,
    compared,
    failures,
    filling,
    learned,
    maps,
    method,
)
from bana.experiment.exhibits.sources import Materials, Needs

Data = Mapping[str, Any]


class FigureItem(NamedTuple):
    """A figure of the gallery.

    Attributes:
        item: of the paper, such as "Figure 1"; what it is instead where the paper has none.
        title: a few words.
        needs: what its data are computed from.
        compute: its data; keeps to what `needs` has.
        draw: the figure, from the data alone.
        tell: caption and text for readers who cannot see it, from the data alone.
    """

    item: str
    title: str
    needs: Needs
    compute: Callable[[Materials], dict[str, Any]]
    draw: Callable[[Data, Size], Figure]
    tell: Callable[[Data], Told]


FIGURES: dict[str, FigureItem] = {
    "teaser": FigureItem(
        "Figure 1",
        "Labels of every kind, and unreliable pixels",
        compared.TEASER,
        compared.teaser,
        scenes.draw_teaser,
        scenes.tell_teaser,
    ),
    "overview": FigureItem(
        "Figure 2, with the labels and the loss that follow it",
        "The whole method",
        method.OVERVIEW,
        method.overview,
        diagram.draw_overview,
        diagram.tell_overview,
    ),
    "attention_and_cam": FigureItem(
        "attention and class activation maps",
        "Attention and activation maps of GAP and BAP",
        maps.ATTENTION,
        maps.attention,
        scenes.draw_attention,
        scenes.tell_attention,
    ),
    "grid_size": FigureItem(
        "supplement: size of the grid",
        "Attention by the size of the background grid",
        maps.GRID_SIZE,
        maps.by_grid_size,
        scenes.draw_grid_size,
        scenes.tell_grid_size,
    ),
    "background": FigureItem(
        "attention by the amount of background",
        "Attention by the background around the boxes",
        maps.BACKGROUND,
        maps.by_background,
        background.draw_background,
        background.tell_background,
    ),
    "y_crf_and_y_ret": FigureItem(
        "both labels, and where they differ",
        "Y_crf and Y_ret",
        compared.BOTH_LABELS,
        compared.both_labels,
        scenes.draw_both_labels,
        scenes.tell_both_labels,
    ),
    "confidence": FigureItem(
        "confidence maps",
        "Confidence over training",
        learned.CONFIDENCE,
        learned.confidence,
        networks.draw_confidence,
        networks.tell_confidence,
    ),
    "nal": FigureItem(
        "segmentation with and without the noise-aware loss",
        "With and without the noise-aware loss",
        learned.NAL,
        learned.with_and_without,
        networks.draw_nal,
        networks.tell_nal,
    ),
    "per_class": FigureItem(
        "supplement: class by class",
        "Class by class",
        learned.PER_CLASS,
        learned.per_class,
        charts.draw_per_class,
        charts.tell_per_class,
    ),
    "filling": FigureItem(
        "not in the paper",
        "Filling rate of boxes, and labels by filling rate",
        filling.FILLING,
        filling.filling,
        charts.draw_filling,
        charts.tell_filling,
    ),
    "failures": FigureItem(
        "not in the paper",
        "Where the method struggles",
        failures.FAILURES,
        failures.failures,
        scenes.draw_failures,
        scenes.tell_failures,
    ),
    "photographs": FigureItem(
        "not in the paper",
        "Five photographs",
        photographs.MASKED,
        photographs.masked_photographs,
        shots.draw_photographs,
        shots.tell_photographs,
    ),
    "answers": FigureItem(
        "not in the paper",
        "Questions and answers",
        answers.ANSWERS,
        answers.answers,
        drawn_answers.draw_answers,
        drawn_answers.tell_answers,
    ),
}
