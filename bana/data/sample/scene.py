"""Composition of the drawn sample's scenes: objects in front of a background, with masks.

What is drawn in colours of its own is camouflaged, in degrees, and the whole scene is dappled with
light. Both are there to put the scenes where photographs are: were every ground of one colour and
every object of another, a CRF on filled boxes would find the outlines without any feature, and
what it finds would be right most often just where the features disagree.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bana.data.sample.objects import CLUTTER, DRAW, Draw
from bana.data.sample.paint import SETTINGS, Array, Canvas, NoiseBank, Surface, mixed
from bana.data.voc import IGNORE

_FINER = 2  # supersampling
_SMALLEST = 150  # pixels of an object that must show
_SHOWN = 0.35  # share of an object that must show
_CAMOUFLAGE = (0.2, 0.9)  # how far objects take on the colours behind them
_LEAST_SPREAD = 0.1  # deviation of an object's colours that remains on the plainest ground
_DAPPLE = 0.3  # how much light and shade vary across a scene


@dataclass(frozen=True)
class Scene:
    """A drawn scene.

    Attributes:
        image: uint8 [H, W, 3], RGB.
        mask: uint8 [H, W], classes, 255 along the objects' outlines.
        objects: uint8 [H, W], numbers 1 to K in the order of the boxes, 255 as in the mask.
        boxes: float32 [K, 4], XYXY, half-open, tight around what shows of each object.
        labels: int64 [K], 1 to 8, in the order of the boxes.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    objects: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class _Thing:
    """An object (label 1 and up) or clutter (0), drawn, and placed by its left upper corner."""

    label: int
    colour: Array
    shape: NDArray[np.bool_]
    top: int
    left: int


def draw_scene(bank: NoiseBank, rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Draw one scene with its mask and boxes.

    Args:
        bank: noise to make textures of.
        rng: draws the scene.
        size: (width, height) in pixels.

    Returns:
        A scene with 1 to 4 objects.
    """
    width, height = size[0] * _FINER, size[1] * _FINER
    behind, ground = SETTINGS[int(rng.integers(len(SETTINGS)))]
    horizon = int(height * rng.uniform(0.15, 0.45))
    picture = _scenery(bank, rng, (behind, ground), horizon, (height, width))
    slant = float(rng.uniform(-0.7, 0.7))
    light = (slant, -float(np.sqrt(1 - slant**2)))
    things: list[_Thing] = []
    while not any(thing.label for thing in things):
        things = _visible(_place(bank, rng, light, horizon, (height, width)), (height, width))
    picture *= _shadow(things, (height, width))[..., None]
    owner = np.zeros((height, width), np.uint8)  # 0, or 1 + the number of the object
    labels: list[int] = []
    for thing in things:
        if thing.label:
            labels.append(thing.label)
        window, shape, colour = _in_frame(thing, (height, width))
        degree = float(rng.uniform(*_CAMOUFLAGE))
        picture[window][shape] = _camouflaged(colour, shape, picture[window], degree)[shape]
        owner[window][shape] = len(labels) if thing.label else 0
    picture *= _dapples(bank, rng, (height, width))
    annotation = _annotate(owner, np.array(labels))
    return Scene(_photograph(rng, picture, size), *annotation, np.array(labels, dtype=np.int64))


def _scenery(
    bank: NoiseBank,
    rng: np.random.Generator,
    surfaces: tuple[Surface, Surface],
    horizon: int,
    size: tuple[int, int],
) -> Array:
    """Paint what is behind and the ground, meeting in an uneven line: float32 [h, w, 3]."""
    height, width = size
    behind, ground = surfaces
    back = behind(bank, rng, height, width)
    front = np.zeros((height, width, 3), np.float32)
    front[horizon - 24 :] = ground(bank, rng, height - horizon + 24, width)
    ragged = {"meadow": 9.0, "sand": 7.0}.get(ground.__name__, 0.0)
    line = horizon + ragged * bank.window(rng, "cloud", 1, width)[0]
    if ragged:
        line = line + 0.4 * ragged * bank.window(rng, "grain", 1, width)[0]
    rows = np.arange(height, dtype=np.float32)[:, None]
    return mixed(back, front, np.clip(rows - line[None, :], 0, 1))


def _place(
    bank: NoiseBank,
    rng: np.random.Generator,
    light: tuple[float, float],
    horizon: int,
    size: tuple[int, int],
) -> list[_Thing]:
    """Draw objects and clutter at random places, those farther away first."""
    height, width = size
    names = list(DRAW)
    if rng.random() < 0.09:
        label = int(rng.integers(len(names)))
        tall = height * float(rng.uniform(1.05, 1.3))
        foot = (width * float(rng.uniform(0.46, 0.54)), 0.4 * height + 0.55 * tall)
        return [_draw(bank, rng, DRAW[names[label]], label + 1, tall, foot, light)]
    count = int(rng.choice([1, 2, 3, 4], p=[0.4, 0.36, 0.16, 0.08]))
    drawings: list[tuple[Draw, int]] = []
    for label in rng.integers(len(names), size=count).tolist():
        drawings.append((DRAW[names[label]], label + 1))
    for _ in range(int(rng.integers(0, 4))):
        drawings.append((CLUTTER[int(rng.integers(len(CLUTTER)))], 0))
    things = []
    taken: list[float] = []
    for drawing, label in drawings:
        near = float(rng.random()) if label else 0.6 * float(rng.random())
        foot_y = horizon + 10 + (height * 1.02 - horizon - 10) * near
        tall = height * (0.5 + 0.4 * near) * float(rng.uniform(0.8, 1.2))
        if not label:
            tall *= 0.55
        # What tells an object's class is mostly at its top, which shall be in the frame.
        foot_y = max(foot_y, tall)
        if drawing.__name__ == "balloon":
            foot_y = float(rng.uniform(0.35, 0.8)) * height
        foot_x = _apart(rng.uniform(-0.02, 1.02, 3), taken)
        if label:
            taken.append(foot_x)
        foot = (foot_x * width, foot_y)
        # At the frame's edge things face inwards: it shall cut off their back, not their head.
        facing = 1 if foot_x < 0.2 else -1 if foot_x > 0.8 else None
        thing = _draw(bank, rng, drawing, label, tall, foot, light, facing)
        things.append((foot_y, thing))
    return [thing for _, thing in sorted(things, key=lambda pair: pair[0])]


def _apart(places: NDArray[np.float64], taken: list[float]) -> float:
    """Return the place farthest from those taken: overlaps shall occur, but not rule."""
    gaps = [min((abs(place - other) for other in taken), default=0.0) for place in places]
    return float(places[int(np.argmax(gaps))])


def _draw(
    bank: NoiseBank,
    rng: np.random.Generator,
    drawing: Draw,
    label: int,
    tall: float,
    foot: tuple[float, float],
    light: tuple[float, float],
    facing: int | None = None,
) -> _Thing:
    """Draw one thing `tall` pixels high, in a random pose, with its feet at `foot` (x, y).

    It faces right (1), left (-1), or either way (None).
    """
    turn = np.deg2rad(rng.normal(0, 2.5))
    facing = facing or int(rng.choice([-1, 1]))
    stretch = np.array([[facing * rng.uniform(0.92, 1.12), 0], [0, 1]])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = tall * rotation @ stretch
    # The units reach from -0.25 to 1.65 along x and from -0.15 to 1.1 along y.
    corners = np.array([[-0.25, -0.15], [1.65, -0.15], [-0.25, 1.1], [1.65, 1.1]]) @ linear.T
    low, high = corners.min(0), corners.max(0)
    extent = (int(high[1] - low[1]) + 2, int(high[0] - low[0]) + 2)
    canvas = Canvas(extent, np.column_stack([linear, -low]).astype(np.float32), light)
    drawing(canvas, bank, rng)
    x, y, width, height = cv2.boundingRect((canvas.cover > 0).astype(np.uint8))
    window = np.s_[y : y + height, x : x + width]
    top, left = int(foot[1] - height), int(foot[0] - width / 2)
    return _Thing(label, canvas.colour[window], canvas.cover[window] > 0, top, left)


def _visible(things: list[_Thing], size: tuple[int, int]) -> list[_Thing]:
    """Leave out objects of which too little shows behind nearer ones or in the frame."""
    taken = np.zeros(size, bool)
    kept: list[_Thing] = []
    for thing in reversed(things):
        window, shape, _ = _in_frame(thing, size)
        shown = int((shape & ~taken[window]).sum())
        enough = max(_SHOWN * int(thing.shape.sum()), _SMALLEST * _FINER**2)
        if thing.label == 0 or shown >= enough:
            taken[window] |= shape
            kept.append(thing)
    return kept[::-1]


def _in_frame(
    thing: _Thing, size: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.bool_], Array]:
    """Return the window of the frame that a thing covers, and its shape and colours there."""
    height, width = thing.shape.shape
    top, bottom = np.clip([thing.top, thing.top + height], 0, size[0]).tolist()
    left, right = np.clip([thing.left, thing.left + width], 0, size[1]).tolist()
    inner = np.s_[top - thing.top : bottom - thing.top, left - thing.left : right - thing.left]
    return np.s_[top:bottom, left:right], thing.shape[inner], thing.colour[inner]


def _shadow(things: list[_Thing], size: tuple[int, int]) -> Array:
    """Return the factor by which things darken the ground at their feet: float32 [h, w]."""
    shadow = np.zeros(size, np.float32)
    for thing in things:
        height, width = thing.shape.shape
        centre = (thing.left + width // 2, thing.top + height - height // 50)
        axes = (int(width * 0.46), max(3, int(width * 0.07)))
        cv2.ellipse(shadow, centre, axes, 0, 0, 360, 1.0, -1)
    return 1 - 0.5 * cv2.GaussianBlur(shadow, (0, 0), 5)


def _camouflaged(colour: Array, shape: NDArray[np.bool_], behind: Array, degree: float) -> Array:
    """Move the mean and the spread of an object's colours towards those behind it: [h, w, 3].

    Shading, pattern and parts stay, but colour alone no longer tells the object from its ground.
    """
    if not shape.any():
        return colour
    # float64 [3, 1]; `meanStdDev` is several times as fast as NumPy.
    mean, spread = cv2.meanStdDev(colour, mask=shape.astype(np.uint8))
    ground, ground_spread = cv2.meanStdDev(behind)
    gain = 1 - degree + degree * np.maximum(ground_spread, _LEAST_SPREAD) / (spread + 1e-3)
    offset = mean + degree * (ground - mean) - gain * mean
    return np.clip(colour * np.float32(gain[:, 0]) + np.float32(offset[:, 0]), 0, 1)


def _dapples(bank: NoiseBank, rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Return the factor of light and shade as under leaves, warm and cool: float32 [h, w, 3]."""
    bright, warm = (bank.window(rng, "cloud", *size)[..., None] for _ in range(2))
    return 1 + _DAPPLE * (2 * bright + warm * np.float32([1, 0, -1]))


def _annotate(
    owner: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """Bring the supersampled owners to the image's size: mask, objects [H, W], boxes [K, 4].

    A pixel belongs to what covers most of it. Pixels that an outline runs through or touches
    become 255, which makes a ring of one to two pixels, as VOC has in proportion.
    """
    height, width = owner.shape[0] // _FINER, owner.shape[1] // _FINER
    shares = [
        cv2.resize(
            (owner == number).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
        )
        for number in range(len(labels) + 1)
    ]
    owned = np.argmax(shares, axis=0).astype(np.uint8)  # [H, W]
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    outline = cv2.dilate(owner, cross) != cv2.erode(owner, cross)
    outline = outline.reshape(height, _FINER, width, _FINER).any(axis=(1, 3))
    mask = np.concatenate([[0], labels])[owned].astype(np.uint8)
    mask, objects = (np.where(outline, np.uint8(IGNORE), which) for which in (mask, owned))
    boxes = []
    for number in range(1, len(labels) + 1):
        x, y, wide, tall = cv2.boundingRect((owned == number).astype(np.uint8))
        boxes.append((x, y, x + wide, y + tall))
    return mask, objects, np.array(boxes, dtype=np.float32)


def _photograph(
    rng: np.random.Generator, picture: Array, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Light the scene, blur and shrink it, add the sensor's noise: uint8 [H, W, 3]."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    slope = rng.normal(0, 0.10, 2)
    lighting = rng.uniform(0.75, 1.0) * (1 + slope[0] * x + slope[1] * y - 0.10 * (x**2 + y**2))
    tint = 1 + np.float32([1, 0, -1]) * rng.normal(0, 0.04)
    lit = picture * lighting.astype(np.float32)[..., None] * tint.astype(np.float32)
    lit = cv2.GaussianBlur(lit, (0, 0), float(rng.uniform(0.4, 0.9)))
    small = cv2.resize(lit, size, interpolation=cv2.INTER_AREA)
    noise = rng.standard_normal(small.shape, dtype=np.float32) * rng.uniform(0.006, 0.022)
    return np.clip((small + noise) * 255, 0, 255).astype(np.uint8)
