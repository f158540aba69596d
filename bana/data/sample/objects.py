"""The drawn sample: four bodies, each shared by two classes that one small part tells apart.

Every object faces right and stands on y = 1 in its own units. What a function draws of its own
accord (pose, coat, colours) is drawn from the same distributions for both classes of a body, so
that only the part named after the class says which it is.
"""

from collections.abc import Callable

import cv2
import numpy as np

from bana.data.sample.paint import Array, Canvas, NoiseBank, mixed, varied

IVORY = (0.93, 0.88, 0.74)
INK = (0.07, 0.06, 0.07)
RED = (0.80, 0.13, 0.10)


def deer(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a deer: the four-legged body with antlers and a pale muzzle."""
    x, y = _beast(canvas, bank, rng)
    for bend in (0.03, -0.05):
        base = (x - 0.01, y - 0.06)
        top = (x - 0.05 + bend, y - 0.27)
        canvas.paint(canvas.stroke([base, (x - 0.09 + bend, y - 0.16), top], 0.024), IVORY, 0.012)
        for share, reach in ((0.45, 0.09), (0.8, 0.08)):
            start = (
                base[0] + share * (top[0] - base[0]) - 0.03,
                base[1] + share * (top[1] - base[1]),
            )
            tip = (start[0] + reach, start[1] - 0.09)
            canvas.paint(canvas.stroke([start, tip], 0.020), IVORY, 0.010)
    face = [(x - 0.07, y - 0.07), (x + 0.05, y - 0.07), (x + 0.18, y + 0.05), (x + 0.15, y + 0.10)]
    canvas.paint(canvas.polygon([*face, (x - 0.05, y + 0.07)], smooth=True), (0.42, 0.24, 0.12))
    canvas.paint(canvas.ellipse((x + 0.13, y + 0.06), (0.045, 0.035), 40), IVORY, 0.02)
    canvas.paint(canvas.ellipse((x + 0.155, y + 0.055), (0.016, 0.016)), INK, 0.01)
    canvas.paint(canvas.ellipse((x - 0.085, y - 0.04), (0.06, 0.026), 200), (0.50, 0.32, 0.2), 0.02)
    canvas.paint(canvas.ellipse((x + 0.035, y - 0.015), (0.016, 0.018)), INK, 0.01)


def ram(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a ram: the four-legged body with a black face and a curled horn."""
    x, y = _beast(canvas, bank, rng)
    face = [(x - 0.08, y - 0.09), (x + 0.04, y - 0.08), (x + 0.15, y + 0.07), (x + 0.11, y + 0.13)]
    canvas.paint(canvas.polygon([*face, (x - 0.05, y + 0.09)], smooth=True), (0.13, 0.11, 0.12))
    canvas.paint(canvas.ellipse((x + 0.045, y - 0.01), (0.018, 0.018)), (0.95, 0.80, 0.25), 0.01)
    turn = np.linspace(-0.6, 5.0, 24)
    radius = np.linspace(0.125, 0.045, 24)
    curl = [
        (x - 0.05 - r * np.cos(t), y - 0.01 - r * np.sin(t))
        for t, r in zip(turn, radius, strict=True)
    ]
    canvas.paint(canvas.stroke(curl, 0.055), IVORY, 0.03)
    for t, r in zip(turn[2:-4:3], radius[2:-4:3], strict=True):
        inner, outer = 0.8 * r, 1.2 * r
        ridge = [(x - 0.05 - q * np.cos(t), y - 0.01 - q * np.sin(t)) for q in (inner, outer)]
        canvas.paint(canvas.stroke(ridge, 0.008), (0.55, 0.46, 0.33), 0.01)


def stork(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a stork: the wader's body with a long red bill."""
    x, y = _wader(canvas, bank, rng)
    bill = [(x + 0.03, y - 0.035), (x + 0.27, y + 0.055), (x + 0.03, y + 0.04)]
    canvas.paint(canvas.polygon(bill), RED, 0.03)
    canvas.paint(canvas.ellipse((x + 0.02, y - 0.012), (0.038, 0.022)), INK, 0.02)
    canvas.paint(canvas.ellipse((x + 0.022, y - 0.014), (0.010, 0.010)), (0.95, 0.9, 0.8), 0.01)


def rooster(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a rooster: the wader's body with a comb, wattles and a short beak."""
    x, y = _wader(canvas, bank, rng)
    for step, radius in ((-0.05, 0.036), (-0.005, 0.044), (0.04, 0.034)):
        canvas.paint(canvas.ellipse((x + step, y - 0.08), (radius * 0.75, radius * 1.3)), RED, 0.03)
    beak = [(x + 0.045, y - 0.025), (x + 0.135, y + 0.02), (x + 0.045, y + 0.03)]
    canvas.paint(canvas.polygon(beak), (0.95, 0.72, 0.15), 0.02)
    canvas.paint(canvas.ellipse((x + 0.05, y + 0.075), (0.026, 0.048)), RED, 0.03)
    canvas.paint(canvas.ellipse((x + 0.02, y - 0.01), (0.017, 0.017)), (0.95, 0.75, 0.2), 0.01)
    canvas.paint(canvas.ellipse((x + 0.022, y - 0.01), (0.009, 0.009)), INK, 0.01)


def bus(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a bus: the coach with two wheels on tyres and a destination board."""
    length = _coach(canvas, bank, rng)
    for x in (0.22, length - 0.24):
        canvas.paint(canvas.ellipse((x, 0.885), (0.115, 0.115)), INK, 0.04)
        canvas.paint(canvas.ellipse((x, 0.885), (0.060, 0.060)), (0.78, 0.79, 0.80), 0.03, 0.4)
        canvas.paint(canvas.ellipse((x, 0.885), (0.022, 0.022)), (0.25, 0.25, 0.27), 0.02)
    board = [(length - 0.36, 0.345), (length - 0.08, 0.345), (length - 0.08, 0.42)]
    canvas.paint(canvas.polygon([*board, (length - 0.36, 0.42)]), INK, 0.01)
    for x in np.arange(length - 0.33, length - 0.11, 0.05):
        canvas.paint(canvas.stroke([(x, 0.37), (x + 0.02, 0.395)], 0.018), (1.0, 0.78, 0.15), 0.01)


def tram(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a tram: the coach with a current collector on its roof and low bogies."""
    length = _coach(canvas, bank, rng)
    for x in (0.10, length - 0.38):
        frame = [(x, 0.86), (x + 0.28, 0.86), (x + 0.23, 0.94), (x + 0.05, 0.94)]
        canvas.paint(canvas.polygon(frame), (0.16, 0.15, 0.16), 0.03)
        for step in (0.05, 0.23):
            canvas.paint(
                canvas.ellipse((x + step, 0.945), (0.052, 0.055)), (0.5, 0.45, 0.4), 0.03, 0.3
            )
    middle = length * 0.52
    high = rng.uniform(0.10, 0.15)
    arms = [(middle - 0.12, 0.33), (middle - 0.20, 0.24), (middle, high), (middle + 0.20, 0.24)]
    canvas.paint(canvas.stroke([*arms, (middle + 0.12, 0.33)], 0.022), (0.16, 0.15, 0.16), 0.01)
    canvas.paint(canvas.stroke([(middle - 0.14, high), (middle + 0.14, high)], 0.032), RED, 0.015)
    canvas.paint(canvas.ellipse((length - 0.055, 0.70), (0.045, 0.05)), (1, 0.95, 0.65), 0.03, 0.5)


def teapot(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a teapot: the round pot with a curved spout, and a lid with a red knob."""
    glaze = _pot(canvas, bank, rng)
    spout = [(0.66, 0.80), (0.82, 0.68), (0.86, 0.47), (0.97, 0.40), (1.00, 0.45), (0.93, 0.54)]
    canvas.paint(
        canvas.polygon([*spout, (0.90, 0.78), (0.70, 0.90)], smooth=True), glaze, 0.06, 0.5
    )
    canvas.paint(canvas.ellipse((0.47, 0.435), (0.19, 0.075)), glaze, 0.06, 0.5)
    canvas.paint(canvas.ellipse((0.47, 0.335), (0.058, 0.058)), RED, 0.05, 0.8)


def wateringcan(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a watering can: the round pot with a long straight spout that ends in a rose."""
    glaze = _pot(canvas, bank, rng)
    canvas.paint(canvas.stroke([(0.66, 0.84), (1.03, 0.40)], 0.075), glaze, 0.03, 0.4)
    canvas.paint(canvas.stroke([(0.62, 0.50), (0.92, 0.53)], 0.026), (0.35, 0.33, 0.30), 0.012)
    canvas.paint(canvas.ellipse((1.045, 0.38), (0.062, 0.125), 42), (0.88, 0.68, 0.22), 0.05, 0.6)
    for along in (-0.06, 0.0, 0.06):
        for across in (-0.022, 0.022):
            hole = (1.045 + across * 0.74 - along * 0.67, 0.38 + across * 0.67 + along * 0.74)
            canvas.paint(canvas.ellipse(hole, (0.013, 0.013)), INK, 0.01)
    canvas.paint(canvas.ellipse((0.47, 0.445), (0.17, 0.05)), (0.15, 0.14, 0.14), 0.02)


Draw = Callable[[Canvas, NoiseBank, np.random.Generator], None]
DRAW: dict[str, Draw] = {
    "deer": deer,
    "ram": ram,
    "stork": stork,
    "rooster": rooster,
    "bus": bus,
    "tram": tram,
    "teapot": teapot,
    "wateringcan": wateringcan,
}


def rock(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a rock, which belongs to no class."""
    angle = np.linspace(np.pi, 2 * np.pi, 7)
    radius = rng.uniform(0.38, 0.55, 7)
    outline = [
        (0.6 + 1.2 * r * np.cos(t), 1 + 1.3 * r * np.sin(t))
        for t, r in zip(angle, radius, strict=True)
    ]
    height, width = canvas.size
    rough = bank.window(rng, "cloud", height, width) + bank.window(rng, "grain", height, width)
    stone = varied(rng, [(0.50, 0.48, 0.45), (0.42, 0.38, 0.34), (0.56, 0.52, 0.46)])
    canvas.paint(canvas.polygon(outline), stone * (1 + 0.3 * rough)[..., None], 0.2)


def bush(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a bush, which belongs to no class."""
    leaf = varied(rng, [(0.26, 0.40, 0.16), (0.36, 0.42, 0.18), (0.20, 0.36, 0.24)])
    height, width = canvas.size
    speckle = 1 + 0.7 * bank.window(rng, "grain", height, width)
    leaves = leaf * speckle[..., None]
    for _ in range(26):
        turn, out = rng.uniform(0, np.pi), 0.36 * np.sqrt(rng.random())
        centre = (0.6 + 1.2 * out * np.cos(turn), 0.84 - 1.5 * out * np.sin(turn))
        tuft = canvas.ellipse(centre, (0.15, 0.13), float(rng.uniform(0, 180)))
        canvas.paint(tuft, leaves * rng.uniform(0.7, 1.2), 0.09)


def balloon(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> None:
    """Draw a balloon on a string, which belongs to no class."""
    rubber = varied(rng, [(0.85, 0.55, 0.15), (0.45, 0.30, 0.60), (0.20, 0.55, 0.60)])
    sway = rng.uniform(-0.05, 0.05)
    canvas.paint(canvas.stroke([(0.5, 0.5), (0.5 + sway, 0.75), (0.5, 1.0)], 0.015), IVORY, 0.01)
    canvas.paint(canvas.polygon([(0.5, 0.53), (0.46, 0.58), (0.54, 0.58)]), 0.8 * rubber, 0.02)
    canvas.paint(canvas.ellipse((0.5, 0.28), (0.22, 0.27)), rubber, 0.2, 0.8)


CLUTTER: tuple[Draw, ...] = (rock, rock, bush, bush, balloon)


def _beast(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> tuple[float, float]:
    """Draw the body, legs, tail and neck of a four-legged animal; return where its head belongs."""
    coat = _coat(canvas, bank, rng)
    far = 0.62 * coat
    x, y = 0.83 + rng.uniform(-0.03, 0.05), 0.33 + rng.uniform(-0.06, 0.08)
    hips = ((0.20, 0.60), (0.66, 0.60))
    for side, fur in ((0.045, far), (-0.02, coat)):
        for hip in hips:
            stride = rng.uniform(-0.07, 0.07)
            knee = (hip[0] + side + stride * 0.3, 0.82)
            foot = (hip[0] + side + stride, 0.975)
            thigh = canvas.stroke([(hip[0] + side, hip[1]), knee], 0.12)
            canvas.paint(thigh, fur, 0.05)
            canvas.paint(canvas.stroke([knee, foot], 0.06), fur, 0.03)
            hoof = canvas.stroke([foot, (foot[0] + 0.015, 0.985)], 0.05)
            canvas.paint(hoof, (0.14, 0.11, 0.10), 0.03)
    swing = rng.uniform(-0.05, 0.05)
    tail = [(0.10, 0.46), (0.05 + swing, 0.53), (0.04 + swing, 0.66)]
    canvas.paint(canvas.stroke(tail, 0.032), coat, 0.02)
    neck = [(0.50, 0.44), (x - 0.10, y - 0.06), (x + 0.05, y + 0.08), (0.80, 0.64)]
    trunk = [
        *((0.06, 0.44), (0.20, 0.31), (0.45, 0.36), (0.64, 0.32), (0.84, 0.42), (0.84, 0.66)),
        *((0.70, 0.80), (0.45, 0.78), (0.22, 0.78), (0.07, 0.66)),
    ]
    body = canvas.polygon(trunk, smooth=True) | canvas.polygon(neck)
    canvas.paint(body, coat, 0.15)
    return x, y


def _wader(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> tuple[float, float]:
    """Draw the body, legs, tail and neck of a long-legged bird; return its head's centre."""
    plumage = _plumage(canvas, bank, rng)
    skin = varied(rng, [(0.85, 0.45, 0.20), (0.55, 0.50, 0.45), (0.75, 0.30, 0.22)])
    for hip in (0.36, 0.46):
        stride = rng.uniform(-0.07, 0.07)
        foot = (hip + stride, 0.975)
        leg = [(hip, 0.62), (hip + stride * 0.2 - 0.02, 0.80), foot]
        canvas.paint(canvas.stroke(leg, 0.026), skin, 0.012)
        canvas.paint(canvas.stroke([foot, (foot[0] + 0.09, 0.985)], 0.02), skin, 0.01)
    x, y = 0.66 + rng.uniform(-0.05, 0.06), 0.14 + rng.uniform(-0.02, 0.05)
    tail = [(0.22, 0.42), (-0.02, 0.52 + rng.uniform(-0.1, 0.06)), (0.0, 0.66), (0.26, 0.66)]
    canvas.paint(canvas.polygon(tail), 0.45 * plumage, 0.04)
    throat = [(0.44, 0.40), (0.57, 0.24), (x - 0.06, y), (x + 0.06, y + 0.02), (0.74, 0.34)]
    trunk = [(0.06, 0.52), (0.22, 0.36), (0.46, 0.28), (0.70, 0.31), (0.80, 0.48), (0.68, 0.68)]
    body = canvas.polygon([*trunk, (0.42, 0.78), (0.16, 0.70)], smooth=True)
    body |= canvas.polygon([*throat, (0.70, 0.46)]) | canvas.ellipse((x, y), (0.068, 0.06))
    canvas.paint(body, plumage, 0.13)
    wing = [(0.06, 0.62), (0.26, 0.40), (0.56, 0.39), (0.60, 0.54), (0.40, 0.67)]
    canvas.paint(canvas.polygon(wing, smooth=True), 0.72 * plumage, 0.06)
    for step in (0.0, 0.05, 0.10):
        quill = [(0.14 + step, 0.585 + 0.2 * step), (0.44 + step * 0.5, 0.48 + step)]
        canvas.paint(canvas.stroke(quill, 0.010), 0.35 * plumage, 0.01)
    return x, y


def _coach(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> float:
    """Draw a coach without its wheels, windows cut out; return its length."""
    length = float(rng.uniform(1.15, 1.45))
    paint = _enamel(canvas, bank, rng, speckles=0.0)
    body = [(0.04, 0.34), (length - 0.08, 0.34), (length, 0.52), (length, 0.88), (0.04, 0.88)]
    canvas.paint(canvas.polygon(body), paint, 0.09, 0.35)
    roof = canvas.stroke([(0.08, 0.345), (length - 0.10, 0.345)], 0.05)
    canvas.paint(roof, (0.72, 0.70, 0.66), 0.03, 0.2)
    trim = varied(rng, [(0.92, 0.88, 0.76), (0.18, 0.17, 0.18), (0.80, 0.66, 0.30)])
    canvas.paint(canvas.stroke([(0.06, 0.69), (length - 0.02, 0.69)], 0.028), trim, 0.01)
    canvas.paint(canvas.stroke([(0.06, 0.855), (length - 0.02, 0.855)], 0.05), 0.5 * trim, 0.02)
    count = int(rng.integers(3, 6))
    edges = np.linspace(0.11, length - 0.09, count + 1)
    for left, right in zip(edges[:-1] + 0.018, edges[1:] - 0.018, strict=True):
        frame = [(left, 0.455), (right, 0.455), (right, 0.62), (left, 0.62)]
        canvas.paint(canvas.stroke([*frame, frame[0]], 0.03), 0.8 * trim, 0.015)
        canvas.cut(canvas.polygon(frame))
    door = edges[count // 2] - 0.004
    canvas.paint(canvas.stroke([(door, 0.45), (door, 0.85)], 0.012), 0.3 * trim, 0.01)
    return length


def _pot(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> Array:
    """Draw a round enamelled pot with a handle one can see through; return its glaze."""
    glaze = _enamel(canvas, bank, rng, speckles=0.5)
    turn = np.linspace(0.35 * np.pi, 1.72 * np.pi, 20)
    wide, high = rng.uniform(0.17, 0.21), rng.uniform(0.17, 0.22)
    loop = [(0.22 + wide * np.cos(t), 0.66 - high * np.sin(t)) for t in turn]
    canvas.paint(canvas.stroke(loop, 0.052), (0.20, 0.17, 0.16), 0.026, 0.4)
    belly = [(0.30, 0.43), (0.64, 0.43), (0.82, 0.60), (0.80, 0.86), (0.66, 1.0), (0.28, 1.0)]
    canvas.paint(
        canvas.polygon([*belly, (0.14, 0.86), (0.12, 0.60)], smooth=True), glaze, 0.26, 0.6
    )
    band = canvas.stroke([(0.27, 0.985), (0.67, 0.985)], 0.03)
    canvas.paint(band, (0.30, 0.27, 0.25), 0.02)
    canvas.paint(canvas.stroke([(0.32, 0.445), (0.62, 0.445)], 0.04), 0.75 * glaze, 0.02)
    return glaze


def _coat(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> Array:
    """Fur with patches, over the whole canvas: float32 [h, w, 3]."""
    base = varied(rng, [(0.66, 0.46, 0.28), (0.80, 0.66, 0.47), (0.58, 0.54, 0.50)], 0.03)
    patch = varied(rng, [(0.88, 0.82, 0.70), (0.32, 0.20, 0.13)])
    height, width = canvas.size
    spots = bank.window(rng, "cloud", height, width) * 6 - 2.4
    hair = 1 + 0.22 * bank.window(rng, "hair", height, width)
    hair = hair + 0.14 * bank.window(rng, "grain", height, width)
    return mixed(base, patch, 0.85 * spots) * hair[..., None]


def _plumage(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator) -> Array:
    """Rows of overlapping feathers, over the whole canvas: float32 [h, w, 3]."""
    base = varied(rng, [(0.94, 0.91, 0.84), (0.72, 0.61, 0.48), (0.64, 0.68, 0.72)], 0.03)
    height, width = canvas.size
    size = max(6.0, 0.032 * height)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    row = np.floor(y / size)
    tip = (x / size + 0.5 * (row % 2)) % 1 - 0.5
    edge = y / size - row + 1.6 * tip**2
    shade = 1 - 0.26 * np.clip(edge - 0.55, 0, 0.8)
    shade = shade + 0.16 * bank.window(rng, "grain", height, width)
    shade = shade + 0.14 * bank.window(rng, "cloud", height, width)
    return (base * shade[..., None]).astype(np.float32)


def _enamel(canvas: Canvas, bank: NoiseBank, rng: np.random.Generator, speckles: float) -> Array:
    """Worn paint, with speckles on request, over the whole canvas: float32 [h, w, 3]."""
    colours = [(0.26, 0.50, 0.68), (0.82, 0.70, 0.40), (0.36, 0.58, 0.44), (0.74, 0.36, 0.28)]
    base = varied(rng, colours)
    height, width = canvas.size
    worn = bank.window(rng, "cloud", height, width)
    grain = bank.window(rng, "grain", height, width)
    paint = base * (1 + 0.12 * worn + 0.10 * grain)[..., None]
    paint = mixed(paint, (0.40, 0.30, 0.24), 2 * (worn + 0.4 * grain - 0.85))
    dots = cv2.GaussianBlur(bank.window(rng, "grain", height, width).copy(), (0, 0), 1.0)
    return mixed(paint, (0.93, 0.92, 0.88), speckles * 4 * (dots - 0.38))
