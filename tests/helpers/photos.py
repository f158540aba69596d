"""Small photographs and files of boxes, written for the tests of formats and masks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bana.data.formats.common import Folder, Read

WIDTH, HEIGHT = 80, 60


def write_photo(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), seed: int = 0, **save) -> Path:
    """A bright disc on dark noise, (width, height); the same seed gives the same photograph."""
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    y, x = np.mgrid[:height, :width]
    disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(size) / 4) ** 2
    pixels = np.where(disc[..., None], [220, 60 + seed % 100, 40], noise).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **save)
    return path


def folder_of(root: Path, *names: str) -> Folder:
    """A folder of photographs of those names."""
    for number, name in enumerate(names):
        write_photo(root / name, seed=number)
    return Folder(root)


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def boxes_of(read: Read) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    """Classes and corners, to a thousandth of a pixel, by the photograph's file."""
    return {
        photograph.path.name: [
            (box.kind, tuple(round(value, 3) for value in box.corners)) for box in photograph.boxes
        ]
        for photograph in read.photographs
    }


def csv_of(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    """A CSV file of boxes."""
    lines = ["image,xmin,ymin,xmax,ymax,class", *(",".join(map(str, row)) for row in rows)]
    return write_text(path, "\n".join(lines) + "\n")


def write_discs(folder: Path, count: int) -> Path:
    """Photographs 0.jpg, 1.jpg, ... of a red or a green disc, in turn, and their boxes in
    boxes.csv beside the folder."""
    rows = []
    for number in range(count):
        x, y, radius = 24 + 3 * (number % 10), 28 + number % 4, 14
        grey = np.random.default_rng(number).integers(0, 60, (HEIGHT, WIDTH, 3))
        down, right = np.mgrid[:HEIGHT, :WIDTH]
        disc = (right - x) ** 2 + (down - y) ** 2 < radius**2
        colour = [220, 30, 30] if number % 2 else [30, 220, 30]
        pixels = np.where(disc[..., None], colour, grey).astype(np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=95)
        kind = "red" if number % 2 else "green"
        rows.append([f"{number}.jpg", x - radius, y - radius, x + radius, y + radius, kind])
    return csv_of(folder.parent / "boxes.csv", rows)
