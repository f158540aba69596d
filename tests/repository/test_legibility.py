"""The committed notebooks can be read: letters in pictures, and colours by every colour vision."""

import base64
import io
import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from bana.course import colours
from bana.course.gallery import background, charts, networks, scenes
from bana.course.notebook_io import find_notebooks, read_notebook
from bana.course.plotting import STYLE

COLUMN = 740  # CSS pixels that a page leaves for a picture, on GitHub and on the site
LETTER = 7.0  # the least height of a letter's body on the page, in CSS pixels

# Linear RGB as it is seen without one kind of cone: Machado, Oliveira and Fernandes (2009), at
# their severity of 1.
VISIONS = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
# Differences by CIEDE2000, in which 1 is about what is just seen side by side. Colours of a legend
# are not side by side: 10 is wanted.
WANTED = 10.0


def as_seen(colour: NDArray[np.float64], vision: str) -> NDArray[np.float64]:
    """A colour, sRGB 0 to 1, as a kind of vision sees it."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    seen = np.clip(VISIONS[vision] @ linear, 0, 1)
    return np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


def difference(one: NDArray, other: NDArray, vision: str) -> float:
    return float(deltaE_ciede2000(*(rgb2lab(as_seen(c, vision)) for c in (one, other))))


def named(used: list[str]) -> dict[str, NDArray[np.float64]]:
    """Colours by the names that Okabe and Ito gave them."""
    names = {value: name for name, value in colours.OKABE_ITO.items()}
    return {names.get(colour, colour): np.array(to_rgb(colour)) for colour in used}


PALETTE = colours.label_palette(8) / 255
PALETTES = {
    "labels": named(list(colours.CLASS_COLOURS))
    | {"background": PALETTE[0], "ignore": PALETTE[255]},
    "lines": named(list(colours.LINES)),
    "losses": named(list(colours.LOSS_COLOURS.values())),
    "errors": named(list(scenes.ERRORS.values())),
    "labels that sigma judges": named([colour for _, colour in networks.JUDGED.values()]),
    "which network is right": named([colour for _, colour in networks.RIGHT.values()]),
    "attention by place": named([colour for _, colour, _ in background.PLACES.values()]),
    "kinds of labels": named(list(charts.LABEL_COLOURS.values())),
}


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("palette", PALETTES)
def test_colours_are_told_apart_by_every_vision(palette: str, vision: str) -> None:
    for (name, one), (other_name, other) in itertools.combinations(PALETTES[palette].items(), 2):
        apart = difference(one, other, vision)
        assert apart >= WANTED, f"{name}, {other_name}: {apart:.1f}"


def test_the_simulation_takes_red_from_green_and_leaves_grey() -> None:
    grey, red, green = (np.array(c) for c in ((0.5, 0.5, 0.5), (0.8, 0.2, 0.2), (0.42, 0.42, 0.1)))
    for vision in VISIONS:
        np.testing.assert_allclose(as_seen(grey, vision), grey, atol=2e-3)
    assert difference(red, green, "deuteranopia") < difference(red, green, "usual") / 3


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.name[:2])
def test_letters_in_pictures_are_large_enough_on_the_page(path) -> None:
    height = STYLE["font.size"] * STYLE["savefig.dpi"] / 72  # of a picture shown as it is
    widths = []
    for cell in read_notebook(path).cells:
        for output in cell.get("outputs", []):
            for kind, data in output.get("data", {}).items():
                if kind.startswith("image/"):
                    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
                        widths.append(picture.width)
    assert widths
    assert height * min(1, COLUMN / max(widths)) >= LETTER, f"{max(widths)} pixels are too wide"
