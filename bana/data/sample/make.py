"""A small data set in VOC layout, drawn from a seed, for whoever has no photographs at hand.

Eight classes come in four pairs. Both classes of a pair share their body, its texture and its
colours, and one small part tells them apart: antlers or a curled horn, a bill or a comb, wheels or
a current collector, a lid and spout or a watering rose. A classifier is content with that part
alone, which is why class activation maps of a plain classifier cover little else, and the grounds
continue inside the boxes, where they can be recognised from outside: the two things that
background-aware pooling is about.

Colour alone shall not do, as it does not in photographs: objects take on the colours behind them
to a degree, and light and shade dapple both. A CRF that knows the boxes but no features then finds
little more than the boxes (`bana.data.sample.scene`).
"""

import json
import shutil
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bana.data.annotations import Annotation, write_annotation
from bana.data.boxes import half_open_to_voc
from bana.data.sample.objects import DRAW
from bana.data.sample.paint import NoiseBank
from bana.data.sample.scene import Scene, draw_scene
from bana.data.voc_files import (
    DataError,
    write_mask,
)
from bana.files.parallel import mapped
from bana.files.unfinished import move, remove_abandoned, unfinished

SAMPLE_CLASSES: tuple[str, ...] = ("background", *DRAW)
MANIFEST = "manifest.json"
# Raised whenever the drawing changes, so that an older sample on disk is drawn anew.
VERSION = 3


def make_sample(
    root: str | Path,
    seed: int = 0,
    train: int = 240,
    val: int = 60,
    size: tuple[int, int] = (224, 168),
) -> Path:
    """Draw a data set in VOC layout, or return at once where it is already there.

    The scenes depend on the seed and their number only, so that a longer split begins with the
    scenes of a shorter one. The folder appears whole or not at all. A sample with other settings
    in its place is replaced, if nothing else lies in it.

    Args:
        root: folder to make.
        seed: >= 0.
        train: scenes in the training split, >= 1.
        val: scenes in the validation split, >= 1.
        size: (width, height) of the scenes in pixels, each at least 64.

    Returns:
        `root`, which `bana.data.voc.VocDataset` reads.

    Raises:
        DataError: when something that is no sample, or lies in one, is in the way.
        ValueError: when a number is too small.
    """
    if train < 1 or val < 1 or min(size) < 64 or seed < 0:
        raise ValueError(f"cannot draw {train} + {val} scenes of {size} from seed {seed}")
    root = Path(root)
    settings = {"version": VERSION, "seed": seed, "train": train, "val": val, "size": list(size)}
    there = _settings(root)
    if there == settings:
        return root
    if there is not None:
        _check_replaceable(root, there)
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root}: exists and is no sample; name another folder or remove it")
    remove_abandoned(root)
    begun = unfinished(root)
    try:
        _write_all(begun, seed, {"train": train, "val": val}, size)
        (begun / MANIFEST).write_text(json.dumps(settings) + "\n", encoding="utf-8", newline="\n")
        shutil.rmtree(root, ignore_errors=True)
        move(begun, root)
    except OSError:
        # Another process may have finished the same sample in the meantime.
        if _settings(root) != settings:
            raise
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return root


def _write_all(root: Path, seed: int, counts: dict[str, int], size: tuple[int, int]) -> None:
    lists = root / "ImageSets" / "Segmentation"
    for folder in (lists, root / "JPEGImages", root / "Annotations"):
        folder.mkdir(parents=True)
    every = [(split, number) for split, count in counts.items() for number in range(count)]
    write = partial(_write_scene, root, seed, tuple(counts), size)
    for _ in mapped(write, every, "drawing the sample"):
        pass
    for split in (*counts, "trainval"):
        names = [f"{kind}_{number:04d}\n" for kind, number in every if split in (kind, "trainval")]
        (lists / f"{split}.txt").write_text("".join(names), encoding="utf-8", newline="\n")
    (root / "classes.txt").write_text(
        "\n".join(SAMPLE_CLASSES) + "\n", encoding="utf-8", newline="\n"
    )


def _write_scene(
    root: Path, seed: int, splits: tuple[str, ...], size: tuple[int, int], which: tuple[str, int]
) -> None:
    split, number = which
    rng = np.random.default_rng([seed, splits.index(split), number])
    name = f"{split}_{number:04d}"
    scene = draw_scene(_noise_bank(seed), rng, size)
    quality = int(rng.integers(78, 95))
    Image.fromarray(scene.image).save(root / "JPEGImages" / f"{name}.jpg", quality=quality)
    write_mask(root / "SegmentationClass" / f"{name}.png", scene.mask)
    write_mask(root / "SegmentationObject" / f"{name}.png", scene.objects)
    _write_annotation(root / "Annotations" / f"{name}.xml", scene)


@cache
def _noise_bank(seed: int) -> NoiseBank:
    """The noise that all scenes of a seed take their textures from; made once in a process."""
    return NoiseBank(np.random.default_rng(seed))


def _write_annotation(path: Path, scene: Scene) -> None:
    height, width = scene.mask.shape
    corners = half_open_to_voc(torch.from_numpy(scene.boxes)).tolist()
    kinds = [SAMPLE_CLASSES[label] for label in scene.labels.tolist()]
    objects = list(zip(kinds, corners, strict=True))
    write_annotation(path, Annotation(objects, [], (width, height)), "sample")


def _settings(root: Path) -> dict | None:
    """Return the settings of the finished sample in a folder, None where there is none."""
    try:
        found = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # Many programs have a file of that name, and what is a sample may be replaced.
    numbers = ("version", "seed", "train", "val")
    if not isinstance(found, dict) or found.keys() != {*numbers, "size"}:
        return None
    size = found["size"] if isinstance(found["size"], list) else []
    whole = all(type(value) is int for value in (*(found[name] for name in numbers), *size))
    return found if whole and len(size) == 2 else None


def _check_replaceable(root: Path, settings: dict) -> None:
    """Refuse a sample that holds files that were not written with it.

    Raises:
        DataError: naming one of them.
    """
    lists = [f"ImageSets/Segmentation/{split}.txt" for split in ("train", "val", "trainval")]
    written = {MANIFEST, "classes.txt", *lists}
    for split in ("train", "val"):
        for number in range(settings[split]):
            name = f"{split}_{number:04d}"
            written |= {f"JPEGImages/{name}.jpg", f"Annotations/{name}.xml"}
            written |= {f"Segmentation{kind}/{name}.png" for kind in ("Class", "Object")}
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if name not in written and (path.is_symlink() or not path.is_dir()):
            raise DataError(f"{root}: holds {name}, which is of no sample; name another folder")
