"""A figure's file: a palette where it shows no difference, a JPEG where it would."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bana.course import plotting
from bana.course.encoding import encoded

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plotting.use_style()
        yield
    plt.close("all")


def chart() -> Figure:
    fig, ax = plt.subplots(figsize=(5, 3))
    x = np.linspace(0, 1, 50)
    plotting.line_plot(ax, x, {"one": x, "other": x**2, "third": x**3}, "x", "y")
    return fig


def label_map() -> Figure:
    labels = RANDOM.integers(0, 9, (12, 16)).repeat(8, 0).repeat(8, 1)
    return plotting.image_grid([[plotting.colour_mask(labels, plotting.label_palette(8))]])


def photograph() -> Figure:
    waves = np.sin(np.indices((120, 160)).sum(0)[..., None] / (5, 7, 11)) * 90 + 128
    noise = RANDOM.integers(-30, 30, waves.shape)
    return plotting.image_grid([[(waves + noise).clip(0, 255).astype(np.uint8)]])


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("drawn", [chart, label_map])
def test_few_colours_are_a_palette_and_look_the_same(drawn) -> None:
    fig = drawn()
    data, kind = encoded(fig)
    made, plain = opened(data), io.BytesIO()
    fig.savefig(plain, format="png", bbox_inches="tight")
    with Image.open(plain) as picture:
        difference = np.abs(np.int16(picture.convert("RGB")) - np.int16(made.convert("RGB")))
    assert (kind, made.format, made.mode) == ("png", "PNG", "P")
    assert difference.mean() < 1 and np.percentile(difference, 99.9) <= 24
    assert len(data) < 0.7 * len(plain.getvalue())


def test_colours_of_labels_stay_as_they_are() -> None:
    labels = np.arange(9).repeat(20)[None].repeat(30, 0)
    palette = plotting.label_palette(8)
    data, _ = encoded(plotting.image_grid([[plotting.colour_mask(labels, palette)]]))
    found = {colour for _, colour in opened(data).convert("RGB").getcolors()}
    assert {tuple(colour) for colour in palette[:9].tolist()} <= found


def test_photographs_are_jpeg() -> None:
    data, kind = encoded(photograph())
    assert (kind, opened(data).format) == ("jpeg", "JPEG")


def test_the_same_figure_gives_the_same_bytes() -> None:
    assert encoded(chart()) == encoded(chart())


def test_pictures_have_110_pixels_an_inch_at_least() -> None:
    fig, ax = plt.subplots(figsize=(4, 2))
    ax.plot([0, 1])
    assert opened(encoded(fig)[0]).width > 3.8 * 110
