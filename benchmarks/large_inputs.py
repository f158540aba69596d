"""Photographs, boxes and classes that are many, made for `benchmarks/masks.py`."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bana.data.importing import import_boxes


class Large(NamedTuple):
    """A photograph with boxes.

    Attributes:
        name: for folders.
        width, height: in pixels.
        boxes, classes: how many.
        commands: that are measured on it.
    """

    name: str
    width: int
    height: int
    boxes: int
    classes: int
    commands: tuple[str, ...] = ("masks", "label")

    def about(self) -> dict[str, Any]:
        """The numbers, for a record."""
        return {
            "width": self.width,
            "height": self.height,
            "boxes": self.boxes,
            "classes": self.classes,
        }


LARGE = (
    Large("few", 500, 375, 3, 2),
    Large("boxes", 500, 375, 5000, 2),
    Large("classes", 500, 375, 254, 254),
    Large("pixels", 8000, 6000, 3, 2, ("masks",)),
    Large("pixels-and-boxes", 8000, 6000, 5000, 2, ("masks",)),
    Large("twice-the-side", 1000, 750, 3, 2, ("label",)),
)


def write_large(case: Large, folder: Path) -> None:
    """Write the photograph and its boxes."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    (folder / "im").mkdir(parents=True)
    picture = Image.fromarray(small).resize((case.width, case.height), Image.Resampling.BICUBIC)
    picture.save(folder / "im" / "a.jpg", quality=85)
    side = 0.03 if case.boxes > 100 else 0.2
    lines = ["image,xmin,ymin,xmax,ymax,class"]
    for number in range(case.boxes):
        x, y = rng.random(2) * (1 - side) * (case.width, case.height)
        corners = f"{x:.0f},{y:.0f},{x + side * case.width:.0f},{y + side * case.height:.0f}"
        lines.append(f"a.jpg,{corners},class {number % case.classes:03}")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def masks_commands(case: Large, folder: Path) -> list[list[str]]:
    """Words of `bana masks` on the photograph."""
    write_large(case, folder)
    words = ["masks", str(folder / "im"), "--boxes", str(folder / "boxes.csv")]
    return [[*words, "--out", str(folder / "out"), "--workers", "1"]]


def label_commands(case: Large, folder: Path) -> list[list[str]]:
    """Words of `bana label` on the photograph, after a training of its classifier, of one step."""
    write_large(case, folder)
    import_boxes("csv", folder / "boxes.csv", folder / "im", folder / "voc")
    words = ["--profile", "voc-mini", "--iterations", "1", "--data", str(folder / "voc")]
    train = ["train", "classifier", *words, "--workers", "0"]
    return [train, ["label", *words, "--workers", "1"]]
