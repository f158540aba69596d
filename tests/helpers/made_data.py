"""Small data sets in VOC layout, written from masks and boxes, for the tests."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from bana.data.voc import write_mask

# x1, y1, x2, y2 (half-open) and a class name.
Box = tuple[int, int, int, int, str]


def write_voc(
    root: Path,
    masks: Sequence[Tensor],
    boxes: Sequence[Sequence[Box]],
    classes: Sequence[str],
    images: Sequence[Tensor] | None = None,
    splits: Sequence[str] = ("train", "val"),
    names: Sequence[str] = (),
) -> Path:
    """Write images im0, im1, ... with class masks and boxes; every split names all of them."""
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(classes))
    names = names or [f"im{number}" for number in range(len(masks))]
    for split in splits:
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names))
    for number, (name, mask, things) in enumerate(zip(names, masks, boxes, strict=True)):
        picture = torch.zeros(3, *mask.shape, dtype=torch.uint8)
        if images is not None:
            picture = images[number]
        pixels = picture.permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.png")
        write_mask(root / "SegmentationClass" / f"{name}.png", mask)
        objects = "".join(
            f"<object><name>{kind}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for x1, y1, x2, y2, kind in things
        )
        path = root / "Annotations" / f"{name}.xml"
        path.write_text(f"<annotation>{objects}</annotation>")
    return root
