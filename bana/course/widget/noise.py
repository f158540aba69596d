"""The widget of notebook 06: label noise turned up, and what each pixel feels of the loss.

A scene of two objects and of reeds, which are ground and grow beside the duck. Y_crf takes a part
of the reeds for the duck; Y_ret misses parts of duck and barrel; both slip at single pixels.
Features are directions in a plane and a part in a direction that no class has, so that the
network's opinion is two dials: how much it takes reeds for the duck, and how decided it is.
"""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bana.course import plotting
from bana.course.widget.pages import colours, filled, joined, jpeg_of, show_page, write_page
from bana.course.widget.pictures import base64_of
from bana.data.voc import IGNORE
from bana.losses import confidence_map, cosine_scores

TITLE = "Whose label counts? Turn the noise up"
LEAD = (
    "Two labels of one scene differ where at least one of them is wrong. Cross-entropy believes "
    "<i>Y<sub>crf</sub></i> everywhere, ignoring believes nobody there, and the noise-aware loss "
    "asks the network. First move the upper two sliders: when is that a good idea?"
)
NOTE = (
    "The scene is made up, and so are its features: directions in a plane, plus a part that no "
    "class has; <i>τ</i> = 20. Pull is −∂<i>L</i>/∂cos(<i>φ</i>, <i>w<sub>Y</sub></i>) of each "
    "pixel, times the number of pixels over <i>τ</i>: for cross-entropy on all labels, one minus "
    "the probability of the label."
)
ALT = (
    "Four maps of a scene with a duck, a barrel and reeds. Y_crf, which takes half of the reeds "
    "for the duck; the same with the pixels in white where Y_ret differs; sigma, low on reeds and "
    "high on the pieces of duck and barrel that Y_ret misses; and where Y_crf is wrong"
)
HEIGHT, WIDTH, PATCH = 32, 48, 4
NAMES = ("ground", "duck", "barrel")
DIRECTIONS = (90, 210, 330)  # of the classes, in degrees
SPREAD = 35  # deviation of a pixel's direction, in degrees
SLIPS = 0.02  # of the pixels, in each label
TEMPERATURE = 20
START = {"spill": 0.5, "likeness": 0.2, "decided": 0.15}
START |= {"gamma": 7, "lambda": 0.1, "held": False}


def write_noise_page(path: Path | str) -> Path:
    """Write the widget as one HTML file that needs neither kernel nor network.

    Args:
        path: of the file; missing folders are made.

    Returns:
        The path.
    """
    return write_page(path, page())


def show_noise() -> None:
    """Show the widget in a notebook; it stays alive in the saved notebook."""
    show_page(TITLE, page())


def page() -> str:
    """The text of the page."""
    return filled(TITLE, LEAD, NOTE, script(), values(), _still(), ALT)


def script() -> str:
    """The widget's JavaScript."""
    return joined("bap.js", "nal.js", "numbers.js", "noise.js")


def values() -> dict[str, Any]:
    """What the widget's model holds at first, as plain values."""
    return {"scene": described(scene()), "colours": colours(), **START}


def scene(seed: int = 0) -> dict[str, NDArray]:
    """The scene, row by row.

    Args:
        seed: of patches, slips and directions.

    Returns:
        truth, uint8 [H, W], 0 to 2; reeds, bool [H, W]; draws, float32 [H, W] in [0, 1), equal in
        every patch: Y_crf takes reeds for the duck where they are below the spill; slips, uint8
        [H, W], what else Y_crf says, 255 where it is right; missed, uint8 [H, W], Y_ret; angles,
        float32 [H, W], direction of the features in degrees while reeds look like ground.
    """
    random = np.random.default_rng(seed)
    y, x = np.indices((HEIGHT, WIDTH))

    def ellipse(row: float, column: float, high: float, wide: float) -> NDArray:
        return ((y - row) / high) ** 2 + ((x - column) / wide) ** 2 <= 1

    duck = ellipse(18, 13, 7, 9) | ellipse(9, 19, 5, 5)
    barrel = ellipse(20, 39, 9, 6)
    reeds = ellipse(19, 25, 11, 5) & ~duck & ~barrel
    truth = np.where(duck, 1, np.where(barrel, 2, 0)).astype(np.uint8)
    missed = np.where((truth > 0) & (_patches(random) < 0.4), 0, truth).astype(np.uint8)
    missed = np.where(random.random(truth.shape) < SLIPS, _others(random, truth), missed)
    slipped = random.random(truth.shape) < SLIPS
    angles = np.asarray(DIRECTIONS)[truth] + SPREAD * random.normal(size=truth.shape)
    return {
        "truth": truth,
        "reeds": reeds,
        "draws": _patches(random).astype(np.float32),
        "slips": np.where(slipped, _others(random, truth), IGNORE).astype(np.uint8),
        "missed": missed.astype(np.uint8),
        "angles": angles.astype(np.float32),
    }


def _patches(random: np.random.Generator) -> NDArray:
    """Numbers in [0, 1), one a patch, [H, W]."""
    coarse = random.random((HEIGHT // PATCH, WIDTH // PATCH))
    return np.kron(coarse, np.ones((PATCH, PATCH)))


def _others(random: np.random.Generator, truth: NDArray) -> NDArray:
    """A wrong class for each pixel."""
    return (truth + random.integers(1, len(NAMES), truth.shape)) % len(NAMES)


def described(made: dict[str, NDArray]) -> dict[str, Any]:
    """The scene as plain values for the page."""
    kinds = {name: "<f4" if name in ("draws", "angles") else "u1" for name in made}
    packed = {name: base64_of(each.astype(kinds[name]).tobytes()) for name, each in made.items()}
    palette = plotting.label_palette(len(NAMES) - 1)[: len(NAMES)].tolist()
    return packed | {
        "height": HEIGHT,
        "width": WIDTH,
        "names": list(NAMES),
        "palette": palette,
        "directions": list(DIRECTIONS),
        "temperature": TEMPERATURE,
    }


def _still() -> bytes:
    """What the widget shows at first, by the package, as the bytes of a JPEG file."""
    made = scene()
    turned = START["likeness"] * (DIRECTIONS[1] - DIRECTIONS[0]) * made["reeds"]
    phi, weight = (_vectors(each) for each in (made["angles"] + turned, np.asarray(DIRECTIONS)))
    taken = made["reeds"] & (made["draws"] < START["spill"])
    slips = made["slips"]
    y_crf = np.where(taken, 1, np.where(slips == IGNORE, made["truth"], slips))
    labels = torch.from_numpy(y_crf.astype(np.uint8))[None]
    cosines = START["decided"] * cosine_scores(phi.movedim(-1, 0)[None], weight, labels.shape[1:])
    sigma = confidence_map(cosines, labels, START["gamma"])[0].numpy()
    palette = plotting.label_palette(len(NAMES) - 1)
    with matplotlib.rc_context(plotting.STYLE):
        fig = Figure(figsize=(9, 6.4), dpi=90)
        axes = fig.subplots(2, 2).flat
        plotting.show_image(axes[0], plotting.colour_mask(labels[0], palette), "Y_crf")
        both = labels[0], torch.from_numpy(made["missed"])
        plotting.show_image(axes[1], plotting.mark_unreliable(*both, palette), "~S in white")
        doubted = y_crf != made["missed"]
        plotting.heatmap(axes[2], np.where(doubted, sigma, 1), "sigma on ~S, 1 elsewhere")
        plotting.heatmap(axes[3], y_crf != made["truth"], "1 = Y_crf is wrong")
        return jpeg_of(fig)


def _vectors(angles: NDArray) -> torch.Tensor:
    """Unit vectors, float32 [..., 2], of directions in degrees."""
    radians = torch.from_numpy(np.deg2rad(angles)).float()
    return torch.stack([radians.cos(), radians.sin()], -1)
