"""Small data sets in VOC layout that are to be packed, and tar files that nobody would write."""

import hashlib
import io
import itertools
import json
import os
import signal
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from photos import HEIGHT, WIDTH, write_photo

from bana.data.annotations import Annotation, write_annotation
from bana.data.shard_index import Shard
from bana.data.voc import write_mask

CLASSES = ("background", "cat", "traffic light")


def write_folder(root: Path, names: Sequence[str], masks: bool = True) -> Path:
    """Photographs with a box or two each, a crowd in every third, and a mask in every second."""
    for number, name in enumerate(names):
        ending = ("jpg", "PNG")[number % 4 == 3]
        large = 16 if number % 5 in (2, 4) else 0
        width, height = size = WIDTH + large, HEIGHT + large
        write_photo(root / "JPEGImages" / f"{name}.{ending}", size, seed=number)
        objects = [(CLASSES[1 + number % 2], [11.0, 6.0, 40.5 + number, 50.0])]
        objects += [(CLASSES[1], [30.0, 20.0, 70.0, 55.0])] if number % 2 else []
        crowds = [(CLASSES[2], [50.0, 1.0, 80.0, 30.0])] if number % 3 == 0 else []
        path = root / "Annotations" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_annotation(path, Annotation(objects, crowds, size), root.name)
        if masks and number % 2 == 0:
            mask = torch.full((height, width), number % 3, dtype=torch.uint8)
            write_mask(root / "SegmentationClass" / f"{name}.png", mask)
            write_mask(root / "SegmentationObject" / f"{name}.png", mask)
        elif masks and number % 4 == 1:
            mask = torch.ones(height, width, dtype=torch.uint8)
            write_mask(root / "SegmentationClassAug" / f"{name}.png", mask)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    listed = root / "ImageSets" / "Segmentation" / "train.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def tar_of(members: Sequence[tuple[str | tarfile.TarInfo, bytes]]) -> bytes:
    """A tar file of such members, in that order."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for member, content in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


def shard_of(path: Path, content: bytes, images: int = 1) -> Shard:
    """Write a tar file, and say what an index would say of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Shard(path.name, images, len(content), hashlib.sha256(content).hexdigest())


def change_index(folder: Path, **changes: object) -> None:
    """Change what the index of a folder of shards says."""
    path = folder / "shards.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def dying_at(at: int) -> Callable[[Callable], Callable]:
    """Wraps functions, each call of any of which is a step; before that of number ``at`` it dies.

    The process is killed as by `kill -9`; steps are counted from 0.
    """
    step = itertools.count()

    def dying(real: Callable) -> Callable:
        def call(*words, **more):
            if next(step) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*words, **more)

        return call

    return dying
