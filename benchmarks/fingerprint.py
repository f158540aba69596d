"""Time of the fingerprint by which results know that their data has changed.

Run `python benchmarks/fingerprint.py --out results/fingerprint.json`; --quick tries it. A made data
set of many images of VOC's size lies in a temporary folder and is warm in the system's cache. The
fingerprint reads every file once a process. Beside it stands the decoding of the photographs, which
is the least that an epoch of training takes; a tenth of them is decoded.
"""

import argparse
import shutil
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measure import environment, seconds_in_turn, write_record
from PIL import Image

from bana.data.annotations import Annotation, write_annotation
from bana.data.fingerprint import fingerprint
from bana.data.voc import VocDataset, read_image, write_mask
from bana.files import artefacts

HEIGHT, WIDTH = 375, 500


def make_data(root: Path, images: int) -> VocDataset:
    """A folder in VOC layout of equal images, each in files of its own."""
    names = [f"{number:06d}" for number in range(images)]
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    listed = root / "ImageSets" / "Segmentation" / "train.txt"
    listed.write_text("\n".join(names), encoding="utf-8", newline="\n")
    pixels = np.random.default_rng(0).normal(128, 25, (HEIGHT, WIDTH, 3)).clip(0, 255)
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    mask[100:250, 100:300] = 12
    first = names[0]
    image = root / "JPEGImages" / f"{first}.jpg"
    Image.fromarray(pixels.astype(np.uint8)).save(image, quality=75)
    write_mask(root / "SegmentationClass" / f"{first}.png", mask)
    objects = [("dog", [101.0, 101.0, 300.0, 250.0])]
    write_annotation(root / "Annotations" / f"{first}.xml", Annotation(objects, [], None))
    for path in (*root.glob("*/*.jpg"), *root.glob("*/*.png"), *root.glob("*/*.xml")):
        for name in names[1:]:
            shutil.copyfile(path, path.with_stem(name))
    return VocDataset(root, "train")


def first_time(data: VocDataset, *parts: str) -> str:
    """The fingerprint in a process that has not seen the photographs yet."""
    artefacts._hash_of_version.cache_clear()
    return fingerprint(data, *parts)


def decode_some(data: VocDataset) -> None:
    """Read one photograph of ten, as a training does."""
    for name in data.ids[::10]:
        read_image(data.image_path(name))


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, to try the script")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        data = make_data(Path(name) / "voc", 50 if options.quick else 10_000)
        methods = {
            "boxes": partial(first_time, data, "photograph", "boxes"),
            "boxes_and_masks": partial(first_time, data, "photograph", "boxes", "mask"),
            "boxes_again": partial(fingerprint, data, "photograph", "boxes"),
            "decoding_a_tenth": partial(decode_some, data),
        }
        photograph = data.image_path(data.ids[0]).stat().st_size
        seconds = seconds_in_turn(methods, options.repeats)
    tenth = seconds["decoding_a_tenth"]
    record = {
        "benchmark": "fingerprint of a data set",
        "images": len(data),
        "kilobytes_a_photograph": round(photograph / 1e3, 1),
        **environment(),
        "repeats": options.repeats,
        "seconds_median": {name: median(taken) for name, taken in seconds.items()},
        "share_of_decoding": {
            name: median(one / (10 * some) for one, some in zip(taken, tenth, strict=True))
            for name, taken in seconds.items()
            if name != "decoding_a_tenth"
        },
    }
    write_record(record, options.out)


if __name__ == "__main__":
    main()
