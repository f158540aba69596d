"""Figures of a profile: data from where they are kept, drawn where a file is missing or stale."""

import gc
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.pyplot as plt

from bana.course import plotting
from bana.course.gallery.files import PAGE, SIZES, Size, is_current, stem_of, write_figure
from bana.course.gallery.items import FIGURES, FigureItem
from bana.experiment.exhibits.kept import Kept, kept_data
from bana.experiment.exhibits.sources import Sources
from bana.experiment.keeping import key_of
from bana.experiment.profiles import Profile
from bana.files.paths import figures_dir


class Made(NamedTuple):
    """A figure's file, and what was done for it: data computed, picture drawn."""

    path: Path
    computed: bool
    drawn: bool


def figure_item(name: str) -> FigureItem:
    """The figure of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in FIGURES:
        raise ValueError(f"unknown figure {name!r}: use one of {', '.join(FIGURES)}")
    return FIGURES[name]


class Gallery:
    """The figures of one profile's run.

    Args:
        profile: settings.
        root: see `bana.experiment.stages.data_root`.
        folder: where figures are written; None takes the run's own.
    """

    def __init__(
        self, profile: Profile, root: str | Path | None = None, folder: Path | None = None
    ) -> None:
        self.sources = Sources(profile, root)
        self.folder = folder or figures_dir(profile.name)

    def make(self, name: str, size: str = "paper") -> Made:
        """A figure's files, drawn where one is missing, was changed, or its data or look have.

        Raises:
            ValueError: unknown figure or size.
        """
        stem, item = stem_of(name, size), figure_item(name)
        kept = self._data(name)
        key = look_key(item, kept, size)
        if is_current(self.folder, stem, key):
            return Made(self.folder / f"{stem}.png", kept.computed, False)
        told = item.tell(kept.data)
        command = f"bana figure {name} --profile {self.sources.profile.name}"
        note = {
            "name": name,
            "item": item.item,
            "title": item.title,
            "caption": " ".join(told.caption.split()),
            "alt": " ".join(told.alt.split()),
            "size": size,
            "command": command + f" --size {size}" * (size != "paper"),
            "seconds": kept.seconds,
            "key": key,
            **kept.origin,
        }
        with matplotlib.rc_context(look(SIZES[size])):
            fig = item.draw(kept.data, SIZES[size])
            path = write_figure(fig, self.folder, stem, SIZES[size], note)
            plt.close(fig)
        gc.collect()  # a figure is a cycle of hundreds of megabytes
        return Made(path, kept.computed, True)

    def show(self, name: str) -> None:
        """Show a figure in a notebook, as wide as its page, and make its files.

        Raises:
            ValueError: unknown figure.
        """
        self.make(name)
        item, kept = figure_item(name), self._data(name)
        with matplotlib.rc_context(look(PAGE)):
            fig = item.draw(kept.data, PAGE)
            plotting.show(fig, item.tell(kept.data).alt)

    def data(self, name: str) -> dict:
        """What a figure draws: tensors and plain values, by name."""
        return self._data(name).data

    def _data(self, name: str) -> Kept:
        item = figure_item(name)
        return kept_data(name, item.compute, item.needs, self.sources)


def look(size: Size) -> dict[str, object]:
    """Settings of matplotlib for a size of figure."""
    font = size.font
    return plotting.STYLE | {
        "font.size": font,
        "axes.titlesize": font,
        "axes.titlepad": 3.0,
        "lines.markersize": font / 2,
    }


def look_key(item: FigureItem, kept: Kept, size: str) -> str:
    """Hash of all that a picture depends on: data, words, the code that draws, matplotlib."""
    words = item.item, item.title, item.draw.__name__, item.tell.__name__
    telling = key_of(item.tell)
    return key_of(item.draw, telling, words, kept.key, list(SIZES[size]), matplotlib.__version__)
