"""`bana masks` on a folder of photographs: images a second, memory over time, and the review order.

Run `python benchmarks/masks.py --data FOLDER --out results/masks.json` on a folder in VOC layout;
`--quick` takes a few photographs. `--parts` measures some parts anew and keeps the others of the
record. Memory is that of the command and all of its helpers, looked at five times a second.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil
from large_inputs import LARGE, label_commands, masks_commands
from measure import environment, write_record

from bana.data.annotations import read_annotation
from bana.data.lists import read_split
from bana.experiment.mask_folder import RECORDS
from bana.experiment.review.order import errors_of, review_curve, review_order
from bana.files.artefacts import read_json, source_commit

SECONDS = 0.2
PART = 60
"""Photographs of the comparison of workers."""
CURVE = 200
"""Photographs of a review curve."""


class Sample(NamedTuple):
    """Memory at a moment: seconds since the start, photographs that are finished, megabytes."""

    seconds: float
    finished: int
    megabytes: float


def run(words: Sequence[str], out: Path | None = None, **variables: str) -> list[Sample]:
    """Give a command and look at its memory until it ends.

    Args:
        words: after `bana`.
        out: folder of masks, where finished photographs are counted.
        variables: of its environment.

    Raises:
        RuntimeError: if it fails.
    """
    began = time.perf_counter()
    command = [sys.executable, "-m", "bana", *words]
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=dict(os.environ, **variables)
        )
        samples = []
        while process.poll() is None:
            finished = _count(out / RECORDS) if out else 0
            samples.append(Sample(time.perf_counter() - began, finished, _memory(process.pid)))
            time.sleep(SECONDS)
        log.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {log.read()}")
    return samples


def _count(folder: Path) -> int:
    return sum(name.endswith(".json") for name in os.listdir(folder)) if folder.is_dir() else 0


def _memory(pid: int) -> float:
    """Megabytes of a process and all below it; what they share counts once for each."""
    total = 0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 1e6


def folder_part(data: Path, names: Sequence[str], workers: int, out: Path) -> dict[str, Any]:
    """`bana masks` on some of the photographs."""
    chosen = out.with_name(f"{out.name}-boxes")
    chosen.mkdir()
    for name in names:
        shutil.copy(data / "Annotations" / f"{name}.xml", chosen)
    words = ["masks", str(data / "JPEGImages"), "--boxes", str(chosen), "--out", str(out)]
    samples = run([*words, "--workers", str(workers), "--review", "0"], out)
    working = [each for each in samples if each.finished and each.finished < len(names)]
    tenths: list[list[float]] = [[] for _ in range(10)]
    for each in working:
        tenths[10 * each.finished // len(names)].append(each.megabytes)
    seconds = working[-1].seconds - working[0].seconds
    return {
        "photographs": len(names),
        "boxes": sum(len(read_annotation(path).objects) for path in chosen.iterdir()),
        "workers": workers,
        "seconds": round(samples[-1].seconds, 1),
        "images_a_second": round((working[-1].finished - working[0].finished) / seconds, 3),
        "peak_memory_mb": round(max(each.megabytes for each in samples)),
        "median_mb_by_tenth": [round(median(held)) for held in tenths if held],
    }


def curve_of(out: Path, names: Sequence[str], truth: Path) -> dict[str, Any]:
    """What the review order is worth on some of the photographs that have masks."""
    classes = read_json(out / "masks.json")["classes"]
    entries = review_order(out, names)
    errors = errors_of(out, entries, classes, truth)
    curve = review_curve([errors[entry.name] for entry in entries])
    return {name: value for name, value in curve.items() if name != "caught"}


def large_part(work: Path, quick: bool) -> list[dict[str, Any]]:
    """Photographs, boxes and classes that are many, through `bana masks` and `bana label`."""
    rows = []
    for case in LARGE[:1] if quick else LARGE:
        makers: dict[str, Callable] = {"masks": masks_commands, "label": label_commands}
        for name in case.commands:
            folder = work / f"{name}-{case.name}"
            for words in makers[name](case, folder):
                samples = run(words, BANA_RUNS=str(folder / "runs"))
            row = {"command": name, **case.about(), "seconds": round(samples[-1].seconds, 1)}
            rows.append(row | {"peak_memory_mb": round(max(each.megabytes for each in samples))})
            shutil.rmtree(folder)
    return rows


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few photographs")
    parser.add_argument("--data", type=Path, help="photographs in VOC layout, with train and val")
    parser.add_argument("--splits", nargs="+", default=("val", "train"), metavar="SPLIT")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, metavar="PART")
    parser.add_argument("--busy", action="store_true", help="note that other work is going on")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    record = read_json(options.out) if options.out else {}
    record = {"benchmark": "bana masks on a folder", **record, **environment()}
    about = {"commit": source_commit(), "machine_was_busy": options.busy}
    with tempfile.TemporaryDirectory(prefix="masks-") as folder:
        work = Path(folder)
        if "large" in options.parts:
            record["large"] = {**about, "rows": large_part(work, options.quick)}
        if options.data:
            splits = {split: read_split(options.data, split) for split in options.splits}
            if "workers" in options.parts:
                some = splits["val"][: 10 if options.quick else PART]
                record["workers"] = about | {
                    str(n): folder_part(options.data, some, n, work / f"of-{n}") for n in (1, 2)
                }
            if "folder" in options.parts:
                names = sorted(name for some in splits.values() for name in some)
                names = splits["val"][:12] if options.quick else names
                out, truth = work / "all", options.data / "SegmentationClass"
                record["folder"] = about | folder_part(options.data, names, 2, out)
                record["review"] = {
                    split: curve_of(out, [name for name in some if name in names], truth)
                    for split, some in ((each, splits[each][:CURVE]) for each in splits)
                    if set(some) & set(names)
                }
    write_record(record, options.out)


PARTS = ("folder", "workers", "large")

if __name__ == "__main__":
    main()
