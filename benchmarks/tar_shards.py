"""Tar shards beside files in a folder: memory against images, images and bytes a second.

Run `python benchmarks/tar_shards.py --out results/tar-shards.json`; `--quick` takes few. Many small
images are packed, then read with their boxes from the shards and from the folder; files of a
photograph's size are read as bytes alone; and some small images are labelled from both. Each step
is a process of its own, which says at every tenth of the images how much memory it has taken at
most. Seconds of the processor are told beside those of the clock, which other work on the machine
makes longer. "cold" means that the files' pages were dropped from the system's memory before; what
the system keeps of names and places of files, it keeps. The classifier is not trained, which its
time does not feel. `--parts` measures some parts anew and keeps the others of the record.
"""

import argparse
import io
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import numpy as np
import psutil
import torch
from measure import environment, write_record
from PIL import Image

from bana.data.packing import pack, unpack
from bana.data.shard_index import read_index
from bana.data.shard_items import item_of
from bana.data.tar_shards import read_shard
from bana.data.voc import VOC_CLASSES, VocDataset
from bana.experiment.labelling import Crew, LabelJob, make_label_files
from bana.experiment.profiles import get_profile
from bana.experiment.shard_labels import label_shards
from bana.experiment.stages import label_settings_of
from bana.files.artefacts import source_commit
from bana.networks.backbones import build_backbone
from bana.networks.classifier import BoxClassifier

FORKED = multiprocessing.get_context("fork")
"""Processes that need not import everything again; none of them computes with torch."""
WIDTH, HEIGHT = 64, 48
PHOTOGRAPH = 90_000
"""Bytes of a photograph of VOC, about."""
PICTURES = 1_000
"""Drawn ones; each is there under many names."""
XML = """\
<annotation><size><width>{}</width><height>{}</height><depth>3</depth></size>
<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
</object></annotation>
"""
LISTS = Path("ImageSets") / "Segmentation"


def draw(root: Path, images: int) -> None:
    """A folder in VOC layout: noise with one bright box, each picture under many names."""
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(min(images, PICTURES)):
        x, y = (int(random.integers(1, side // 2)) for side in (WIDTH, HEIGHT))
        pixels = random.integers(0, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        pixels[y : y + HEIGHT // 2, x : x + WIDTH // 2] += 130
        held = io.BytesIO()
        Image.fromarray(pixels).save(held, "JPEG", quality=75)
        pictures.append((held.getvalue(), (x + 1, y + 1, x + WIDTH // 2, y + HEIGHT // 2)))
    for folder in ("JPEGImages", "Annotations", LISTS):
        (root / folder).mkdir(parents=True)
    names = [f"{number:09d}" for number in range(images)]
    for number, name in enumerate(names):
        picture, box = pictures[number % len(pictures)]
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(picture)
        text = XML.format(WIDTH, HEIGHT, VOC_CLASSES[1 + number % 20], *box)
        (root / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8", newline="\n")
    listed = "\n".join(names) + "\n"
    (root / LISTS / "train.txt").write_text(listed, encoding="utf-8", newline="\n")


def evict(folder: Path) -> None:
    """Drop the pages of all files below a folder from the system's memory."""
    os.sync()
    for place, _, names in os.walk(folder):
        for name in names:
            opened = os.open(os.path.join(place, name), os.O_RDONLY)
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(opened)


def size_of(folder: Path, ending: str = "") -> tuple[int, int]:
    """Files below a folder and their bytes."""
    found = [path.stat().st_size for path in folder.rglob(f"*{ending}") if path.is_file()]
    return len(found), sum(found)


Step = Callable[[Path], Iterator[None]]
"""Yields once an image."""


def shard_items(folder: Path) -> Iterator[None]:
    """Every image of the shards, decoded, with its boxes."""
    index = read_index(folder)
    for shard in index.shards:
        for sample in read_shard(folder, shard, index.holds):
            item_of(sample, index.classes, folder / shard.name)
            yield


def folder_items(folder: Path) -> Iterator[None]:
    """Every image of the folder, decoded, with its boxes."""
    data = VocDataset(folder, "train")
    for number in range(len(data)):
        data[number]
        yield


def shard_bytes(folder: Path) -> Iterator[None]:
    """Every image's files out of the shards, hashed on the way, not decoded."""
    index = read_index(folder)
    for shard in index.shards:
        for _ in read_shard(folder, shard, index.holds):
            yield


def folder_bytes(folder: Path) -> Iterator[None]:
    """Every image's files out of the folder."""
    for name in VocDataset(folder, "train").ids:
        (folder / "JPEGImages" / f"{name}.jpg").read_bytes()
        (folder / "Annotations" / f"{name}.xml").read_bytes()
        yield


STEPS = {each.__name__: each for each in (shard_items, folder_items, shard_bytes, folder_bytes)}


def told(step: Step, folder: Path, count: int, pipe: Connection) -> None:
    """A step in its process: tell at every tenth the seconds and the most memory so far."""
    start, used = time.perf_counter(), time.process_time()
    every = max(1, count // 10)
    for number, _ in enumerate(step(folder), start=1):
        if number % every == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
            row = {"images": number, "peak_memory_mb": round(peak, 1)}
            row |= {"seconds": time.perf_counter() - start}
            pipe.send(row | {"cpu_seconds": time.process_time() - used})
    pipe.send(None)


def run_step(name: str, folder: Path, count: int, cold: bool) -> list[dict[str, float]]:
    """A step in a process of its own; rows as `told` tells them."""
    if cold:
        evict(folder)
    mine, its = FORKED.Pipe()
    process = FORKED.Process(target=told, args=(STEPS[name], folder, count, its))
    process.start()
    its.close()
    rows = list(iter(mine.recv, None))
    process.join()
    say(f"{name}, {rows[-1]}")
    return rows


def say(text: str) -> None:
    """How far it is, for who waits."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def rates(rows: list[dict[str, float]], size: int) -> dict[str, Any]:
    """Images and megabytes a second of a step that has read so many bytes."""
    last = rows[-1]
    return {
        "images_a_second": round(last["images"] / last["seconds"], 1),
        "megabytes_a_second": round(size / 1e6 / last["seconds"], 1),
        "images_a_cpu_second": round(last["images"] / last["cpu_seconds"], 1),
        "megabytes_a_cpu_second": round(size / 1e6 / last["cpu_seconds"], 1),
    }


def both(
    name: str, folder: Path, shards: Path, count: int, repeats: int, cold: bool
) -> dict[str, Any]:
    """A step on the shards and on the folder in turn, medians of the repeats."""
    sizes = {"shard": size_of(shards)[1], "folder": size_of(folder)[1]}
    places = {"shard": shards, "folder": folder}
    rows: dict[str, list[list[dict[str, float]]]] = {"shard": [], "folder": []}
    for _ in range(repeats):
        for kind, place in places.items():
            rows[kind].append(run_step(f"{kind}_{name}", place, count, cold))
    made: dict[str, Any] = {}
    for kind, repeated in rows.items():
        measured = [rates(each, sizes[kind]) for each in repeated]
        made[kind] = {key: median(row[key] for row in measured) for key in measured[0]}
    for clock in ("seconds", "cpu_seconds"):
        ratio = [
            one[-1][clock] / other[-1][clock]
            for one, other in zip(rows["folder"], rows["shard"], strict=True)
        ]
        made[f"folder_takes_{clock}"] = round(median(ratio), 2)
    made["memory_of_the_shards"] = [
        {key: row[key] for key in ("images", "peak_memory_mb")} for row in rows["shard"][-1]
    ]
    return made


class Watch:
    """This process's helpers: their memory together, against shards that are finished, and time."""

    def __init__(self, out: Path, images: int) -> None:
        self._out, self._images, self._done = out, images, Event()
        self._thread = Thread(target=self._look)
        self._used: dict[int, float] = {}
        self.most: dict[int, float] = {}

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def cpu_seconds(self) -> float:
        """Of all helpers together."""
        return sum(self._used.values())

    def _look(self) -> None:
        me, peak = psutil.Process(), 0.0
        while not self._done.wait(0.1):
            held = 0
            for process in me.children(recursive=True):
                try:
                    held += process.memory_info().rss
                    times = process.cpu_times()
                    self._used[process.pid] = times.user + times.system
                except psutil.NoSuchProcess:
                    continue
            peak = max(peak, held / 1e6)
            finished = len(list(self._out.glob("*-*.json"))) * self._images
            self.most[finished] = round(peak, 1)


def labelled(root: Path, work: Path, images: int, shard_images: int) -> dict[str, Any]:
    """Labels of some images from the shards and from the folder, two processes each."""
    torch.manual_seed(0)
    model = BoxClassifier(build_backbone("lite0", 16), len(VOC_CLASSES) - 1).eval()
    settings, crew = label_settings_of(get_profile("voc-mini"), "bap"), Crew(2)
    source, out, folder = work / "shards", work / "stream", work / "files"
    pack(root, "train", source, shard_images)
    job = LabelJob(settings, VocDataset(root, "train"), model, folder)
    ways = {
        "shard": lambda: label_shards(source, out, settings, "", lambda: model, crew),
        "folder": lambda: make_label_files(job, [[number] for number in range(images)], crew),
    }
    made: dict[str, Any] = {}
    for kind, run in ways.items():
        with Watch(out, shard_images) as watch:
            start = time.perf_counter()
            run()
        made[kind] = {
            "images_a_second": round(images / (time.perf_counter() - start), 2),
            "images_a_cpu_second": round(images / watch.cpu_seconds, 2),
            "memory": [{"images": n, "peak_memory_mb": mb} for n, mb in watch.most.items()],
        }
        say(f"labels, {kind}")
    del made["folder"]["memory"][:-1]
    unpack(out, work / "unpacked")
    equal = [
        (work / "unpacked" / kind / path.name).read_bytes() == path.read_bytes()
        for kind in ("Y_crf", "Y_ret")
        for path in (folder / kind).iterdir()
    ]
    counts = {"label_files": len(equal), "equal_label_files": sum(equal)}
    return {"images": images, "shard_images": shard_images, **counts, **made}


def packed(root: Path, out: Path, shard_images: int) -> dict[str, Any]:
    """Pack the folder in a process of its own, its memory looked at from here."""
    start, most = time.perf_counter(), {}
    process = FORKED.Process(target=pack, args=(root, "train", out, shard_images))
    process.start()
    seen = psutil.Process(process.pid)
    peak = 0.0
    while process.is_alive():
        try:
            peak = max(peak, seen.memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            break
        most[len(list(out.glob("*.tar"))) * shard_images] = round(peak, 1)
        time.sleep(0.1)
    process.join()
    seconds = time.perf_counter() - start
    files, size = size_of(root)
    shards, shard_size = size_of(out)
    return {
        "files": files,
        "file_bytes": size,
        "shards": shards - 1,
        "shard_bytes": shard_size,
        "seconds": round(seconds, 1),
        "images_a_second": round(read_index(out).images / seconds, 1),
        "memory": [{"images": images, "peak_memory_mb": mb} for images, mb in most.items()],
    }


def small(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Many small images: packed, and read out of shards and folder."""
    root, shards, images = work / "voc", work / "shards", options.images
    draw(root, images)
    say("drawn")
    shard_images = max(1, images // 20)
    return {
        "images": images,
        "size": [WIDTH, HEIGHT],
        "shard_images": shard_images,
        "pack": packed(root, shards, shard_images),
        "read": both("items", root, shards, images, 1, False),
    }


def photographs(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Files of a photograph's size, read as bytes: out of shards and folder, cold and warm."""
    root, shards, count = work / "large", work / "large-shards", options.photographs
    draw(root, count)
    random = np.random.default_rng(0)
    for path in (root / "JPEGImages").iterdir():
        path.write_bytes(random.bytes(PHOTOGRAPH))
    pack(root, "train", shards, 1000)
    made: dict[str, Any] = {"images": count, "image_bytes": PHOTOGRAPH, "repeats": options.repeats}
    for cold in (True, False):
        read = both("bytes", root, shards, count, options.repeats, cold)
        made["cold" if cold else "warm"] = read
    return {"photographs": made}


def labelling(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Labels of small images."""
    draw(work / "voc", options.labelled)
    return {"label": labelled(work / "voc", work, options.labelled, max(1, options.labelled // 20))}


PARTS = {"small": small, "photographs": photographs, "label": labelling}


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, to try the script")
    parser.add_argument("--images", type=int, default=100_000, help="small ones")
    parser.add_argument("--photographs", type=int, default=2_000, help="files of such a size")
    parser.add_argument("--labelled", type=int, default=2_000, help="of small images")
    parser.add_argument("--repeats", type=int, default=3, help="of reading photographs")
    parser.add_argument("--note", default="", help="of the machine, a sentence for the record")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    if options.quick:
        options.images, options.photographs, options.labelled = 60, 20, 20
    before = options.out and options.out.is_file() and set(options.parts) != set(PARTS)
    record = json.loads(options.out.read_text(encoding="utf-8")) if before else {}
    record |= {"benchmark": "tar shards beside files in a folder", **environment()}
    record |= {"commit": source_commit(), "note": options.note}
    for part in options.parts:
        with tempfile.TemporaryDirectory() as name:
            record |= PARTS[part](options, Path(name))
    write_record(record, options.out)


if __name__ == "__main__":
    main()
