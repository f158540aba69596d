"""Paint for the drawn sample: noise, shaded shapes on a canvas of their own, backgrounds.

Everything here is float32 RGB in 0 to 1, at the sample's supersampled resolution.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
Points = Sequence[tuple[float, float]]

_TILE = 1024
# Coordinates are handed to OpenCV in 1/16 pixel.
_SHIFT = 4


class NoiseBank:
    """Tiles of noise, made once, of which random windows serve as texture.

    Args:
        generator: draws the tiles.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._tiles = {
            "cloud": _fractal(generator, (4, 8, 16, 32, 64), (1, 1)),
            "grain": _fractal(generator, (64, 128, 256, 512), (1, 1)),
            "streak": _fractal(generator, (16, 32, 64, 128), (1, 5)),
            "ripple": _fractal(generator, (24, 48, 96), (1, 7)),
            "hair": _fractal(generator, (64, 128, 256), (1, 4)),
        }

    def window(self, generator: np.random.Generator, kind: str, height: int, width: int) -> Array:
        """Return a random window of noise.

        Args:
            generator: draws the place, and whether the window is mirrored.
            kind: "cloud", "grain" or, stretched horizontally, "streak", "ripple" and "hair".
            height: in pixels, up to 1,024.
            width: in pixels, up to 1,024.

        Returns:
            float32 [height, width], mean about 0, mostly in -1 to 1.
        """
        top = int(generator.integers(0, _TILE - height + 1))
        left = int(generator.integers(0, _TILE - width + 1))
        window = self._tiles[kind][top : top + height, left : left + width]
        return window[:, ::-1] if generator.random() < 0.5 else window


class Canvas:
    """A transparent canvas for one object, in the object's own units.

    Args:
        size: sides (height, width) in pixels.
        matrix: float [2, 3], takes the object's coordinates (x right, y down, the object about
            1 high) to pixels.
        light: direction (x, y) towards the light, length 1.
    """

    def __init__(self, size: tuple[int, int], matrix: Array, light: tuple[float, float]) -> None:
        self.colour: Array = np.zeros((*size, 3), np.float32)
        self.cover: Array = np.zeros(size, np.float32)
        self._matrix = matrix
        self._light = light
        self._unit = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))

    @property
    def size(self) -> tuple[int, int]:
        """Sides (height, width) in pixels."""
        return self.cover.shape[0], self.cover.shape[1]

    def polygon(self, points: Points, smooth: bool = False) -> Array:
        """Return the mask uint8 [h, w] (0 or 255) of a polygon, its corners rounded on request."""
        outline = np.asarray(points, np.float32)
        if smooth:
            outline = _rounded(outline)
        mask = np.zeros(self.size, np.uint8)
        cv2.fillPoly(mask, [self._pixels(outline)], 255, cv2.LINE_8, _SHIFT)
        return mask  # type: ignore[return-value]

    def ellipse(
        self, centre: tuple[float, float], radii: tuple[float, float], degrees: float = 0
    ) -> Array:
        """Return the mask uint8 [h, w] (0 or 255) of an ellipse, turned clockwise."""
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        turn = np.deg2rad(degrees)
        along, across = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
        x = centre[0] + along * np.cos(turn) - across * np.sin(turn)
        y = centre[1] + along * np.sin(turn) + across * np.cos(turn)
        return self.polygon(list(zip(x, y, strict=True)))

    def stroke(self, points: Points, thickness: float) -> Array:
        """Return the mask uint8 [h, w] (0 or 255) of a line with round ends."""
        mask = np.zeros(self.size, np.uint8)
        width = max(2, round(thickness * self._unit))
        line = self._pixels(np.asarray(points, np.float32))
        cv2.polylines(mask, [line], False, 255, width, cv2.LINE_8, _SHIFT)
        return mask  # type: ignore[return-value]

    def paint(
        self, mask: Array, colour: ArrayLike, depth: float = 0.08, gloss: float = 0.0
    ) -> None:
        """Lay a rounded, shaded shape over the canvas.

        Args:
            mask: uint8 [h, w], 0 or 255, of the shape.
            colour: float [3], or [h, w, 3] for a texture.
            depth: how far from its edge the shape rounds off, in the object's units.
            gloss: strength of the highlight.
        """
        x, y, width, height = cv2.boundingRect(mask)
        if not width or not height:
            return
        window = np.s_[y : y + height, x : x + width]
        inside = cv2.copyMakeBorder(mask[window], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        bright = _facing(inside, max(1.5, depth * self._unit), self._light)[1:-1, 1:-1]
        paint = np.asarray(colour, np.float32)
        paint = paint[window] if paint.ndim == 3 else paint
        shaded = paint * (0.86 + 0.5 * bright)[..., None]
        if gloss:
            shaded = shaded + (gloss * np.clip(bright, 0, 1) ** 4)[..., None]
        chosen = mask[window] > 0
        self.colour[window][chosen] = shaded[chosen]
        self.cover[window][chosen] = 1

    def cut(self, mask: Array) -> None:
        """Cut a hole through everything painted so far: mask uint8 [h, w], 0 or 255."""
        self.cover[mask > 0] = 0

    def _pixels(self, points: Array) -> NDArray[np.int32]:
        placed = points @ self._matrix[:, :2].T + self._matrix[:, 2]
        return np.round(placed * 2**_SHIFT).astype(np.int32)


def mixed(first: ArrayLike, second: ArrayLike, share: Array) -> Array:
    """Blend two colours, or images, [..., 3] by the share [h, w] of the second."""
    weight = np.clip(share, 0, 1)[..., None]
    blend = np.asarray(first, np.float32) * (1 - weight) + np.asarray(second, np.float32) * weight
    return np.ascontiguousarray(blend)


def varied(generator: np.random.Generator, colours: Sequence[ArrayLike], by: float = 0.03) -> Array:
    """Choose one of several colours and shift it a little: float32 [3]."""
    chosen = np.asarray(colours[int(generator.integers(len(colours)))], np.float32)
    return np.clip(chosen + generator.normal(0, by, 3), 0.02, 1).astype(np.float32)


def sky(bank: NoiseBank, rng: np.random.Generator, height: int, width: int) -> Array:
    """Paint a sky with clouds: float32 [height, width, 3]."""
    above = varied(rng, [(0.36, 0.60, 0.86), (0.50, 0.66, 0.80), (0.62, 0.60, 0.74)])
    below = varied(rng, [(0.86, 0.93, 0.97), (0.98, 0.87, 0.74), (0.93, 0.92, 0.90)])
    fall = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    clear = mixed(above, below, fall)
    clouds = bank.window(rng, "streak", height, width) + bank.window(rng, "cloud", height, width)
    return mixed(clear, (0.97, 0.96, 0.95), 0.75 * (clouds - rng.uniform(-0.1, 0.5)))


def wall(bank: NoiseBank, rng: np.random.Generator, height: int, width: int) -> Array:
    """Paint plaster or bricks: float32 [height, width, 3]."""
    base = varied(rng, [(0.86, 0.80, 0.68), (0.64, 0.72, 0.71), (0.76, 0.58, 0.49)])
    shade = 0.10 * bank.window(rng, "cloud", height, width)
    shade = shade + 0.10 * bank.window(rng, "grain", height, width)
    if rng.random() < 0.5:
        tall, wide = int(rng.integers(20, 32)), int(rng.integers(50, 80))
        row = np.arange(height) // tall
        y, x = np.arange(height) % tall, (np.arange(width) + (row[:, None] % 2) * wide // 2)
        brick = rng.normal(0, 0.07, (height // tall + 2, width // wide + 3))
        shade = shade + brick[row[:, None], x // wide]
        shade[(y[:, None] < 3) | (x % wide < 3)] -= 0.14
    return np.clip(base * (1 + 1.4 * shade[..., None]), 0, 1).astype(np.float32)


def trees(bank: NoiseBank, rng: np.random.Generator, height: int, width: int) -> Array:
    """Paint a wood out of focus: float32 [height, width, 3]."""
    leaves = varied(rng, [(0.26, 0.40, 0.20), (0.44, 0.42, 0.20), (0.24, 0.38, 0.31)])
    light = varied(rng, [(0.82, 0.88, 0.62), (0.92, 0.82, 0.55)])
    noise = bank.window(rng, "cloud", height, width) + 0.6 * bank.window(
        rng, "grain", height, width
    )
    image = mixed(leaves, light, 0.35 + 0.4 * noise)
    trunks = np.zeros((height, width), np.float32)
    for x in rng.uniform(0, width, int(rng.integers(3, 8))):
        lean, thick = rng.normal(0, 12), int(rng.integers(6, 22))
        cv2.line(trunks, (int(x), -5), (int(x + lean), height + 5), 1.0, thick)
    trunks = cv2.GaussianBlur(trunks, (0, 0), 2.5)
    bark = 0.18 + 0.08 * bank.window(rng, "hair", width, height).T
    return mixed(image, bark[..., None] * np.float32([1.1, 0.9, 0.75]), 0.9 * trunks)


def meadow(bank: NoiseBank, rng: np.random.Generator, height: int, width: int) -> Array:
    """Paint grass, denser with distance, with flowers: float32 [height, width, 3]."""
    dark = varied(rng, [(0.26, 0.43, 0.16), (0.38, 0.46, 0.18), (0.22, 0.41, 0.24)])
    pale = varied(rng, [(0.65, 0.76, 0.36), (0.79, 0.76, 0.42), (0.56, 0.73, 0.45)])
    blades = bank.window(rng, "hair", width, height).T
    image = mixed(dark, pale, 0.45 + 0.3 * blades + 0.3 * bank.window(rng, "cloud", height, width))
    petals = varied(rng, [(0.95, 0.85, 0.30), (0.95, 0.93, 0.90), (0.80, 0.45, 0.70)])
    for _ in range(int(rng.integers(0, 45))):
        y = int(height * np.sqrt(rng.random()))
        centre = (int(rng.integers(width)), y)
        cv2.circle(image, centre, 1 + 3 * y // height, petals.tolist(), -1)
    return image


def water(bank: NoiseBank, rng: np.random.Generator, height: int, width: int) -> Array:
    """Paint rippled water: float32 [height, width, 3]."""
    deep = varied(rng, [(0.16, 0.42, 0.54), (0.22, 0.47, 0.46), (0.27, 0.40, 0.56)])
    pale = varied(rng, [(0.68, 0.86, 0.92), (0.86, 0.88, 0.82)])
    ripple = bank.window(rng, "ripple", height, width) + bank.window(rng, "streak", height, width)
    near = np.linspace(0.45, 0.2, height, dtype=np.float32)[:, None]
    return mixed(deep, pale, near + 0.3 * ripple)


def sand(bank: NoiseBank, rng: np.random.Generator, height: int, width: int) -> Array:
    """Paint sand, earth or snow: float32 [height, width, 3]."""
    base = varied(rng, [(0.88, 0.77, 0.58), (0.70, 0.56, 0.41), (0.90, 0.92, 0.95)], 0.02)
    waves = 0.13 * bank.window(rng, "ripple", height, width)
    grain = 0.16 * bank.window(rng, "grain", height, width)
    broad = 0.10 * bank.window(rng, "cloud", height, width)
    return np.clip(base * (1 + (waves + grain + broad)[..., None]), 0, 1)


def planks(bank: NoiseBank, rng: np.random.Generator, height: int, width: int) -> Array:
    """Paint a wooden table or floor: float32 [height, width, 3]."""
    base = varied(rng, [(0.64, 0.46, 0.30), (0.77, 0.61, 0.43), (0.50, 0.37, 0.27)])
    grain = 0.30 * bank.window(rng, "streak", height, width)
    grain = grain + 0.14 * bank.window(rng, "hair", height, width)
    # Boards come nearer, and so grow wider, towards the bottom.
    board = (6 * (np.arange(height) / height) ** 0.7).astype(int)
    grain = grain + rng.normal(0, 0.08, 8)[board][:, None]
    grain[np.flatnonzero(np.diff(board))] -= 0.4
    return np.clip(base * (1 + grain[..., None]), 0, 1).astype(np.float32)


Surface = Callable[[NoiseBank, np.random.Generator, int, int], Array]
# What may stand behind which ground.
SETTINGS: tuple[tuple[Surface, Surface], ...] = (
    (sky, meadow),
    (sky, water),
    (sky, sand),
    (trees, meadow),
    (trees, sand),
    (trees, water),
    (wall, planks),
    (wall, sand),
)


def _fractal(
    generator: np.random.Generator, cells: Sequence[int], stretch: tuple[int, int]
) -> Array:
    """Sum octaves of smooth noise, each finer and half as strong: [1024, 1024], variance .2."""
    tile = np.zeros((_TILE, _TILE), np.float32)
    for octave, count in enumerate(cells):
        shape = (max(2, count // stretch[0]), max(2, count // stretch[1]))
        coarse = generator.normal(0, 1, shape).astype(np.float32)
        tile += cv2.resize(coarse, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC) * 0.65**octave
    return ((tile - tile.mean()) * (0.45 / tile.std())).astype(np.float32)


def _facing(mask: Array, depth: float, light: tuple[float, float]) -> Array:
    """Return how far each pixel of a shape, rounded at its edges, faces the light, -1 to 1."""
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    rise = np.minimum(distance / depth, 1)
    height = depth * np.sqrt(rise * (2 - rise))
    height = cv2.GaussianBlur(height, (0, 0), max(0.8, 0.25 * depth))
    across = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    down = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    steep = np.sqrt(1 + across**2 + down**2)
    return -(light[0] * across + light[1] * down) / steep + 0.35 / steep


def _rounded(points: Array) -> Array:
    """Round a polygon's corners by cutting them three times (Chaikin)."""
    for _ in range(3):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], 1)
        points = points.reshape(-1, 2)
    return points
