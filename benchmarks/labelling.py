"""How many images a second label files are made of, by processes and threads.

Run `python benchmarks/labelling.py --photographs VOC_FOLDER --out results/labelling.json`; without
photographs scenes are drawn, and `--quick` takes few of them. The classifier is not trained, which
its time does not feel.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import psutil
import torch
from measure import environment, write_record

from bana.data.sample.make import make_sample
from bana.data.voc import VocDataset
from bana.experiment.labelling import Crew, LabelJob, label_batches, make_label_files
from bana.experiment.profiles import get_profile
from bana.experiment.stages import label_settings_of
from bana.networks.backbones import build_backbone
from bana.networks.classifier import BoxClassifier

CREWS = {
    "1 process of 1 thread": Crew(1),
    "1 process of 2 threads": Crew(1, threads=2),
    "2 processes of 1 thread": Crew(2),
    "2 processes of 1 thread, batches of 4": Crew(2, batch=4),
    "2 processes of 2 threads": Crew(2, threads=2),
}


def rate(folder: Path) -> float:
    """Images a second while the middle half was finished, clear of starting and of the last few."""
    finished = sorted(path.stat().st_mtime_ns for path in (folder / "Y_crf").iterdir())
    begin, end = len(finished) // 4, len(finished) * 3 // 4
    return (end - begin) / (finished[end] - finished[begin]) * 1e9


def measure(data: VocDataset, model: BoxClassifier, crew: Crew) -> dict[str, float]:
    """Label all images once: rate, seconds with starting, peak memory of all, size of the files."""
    peak, done = [0], Event()

    def watch() -> None:
        me = psutil.Process()
        while not done.wait(0.05):
            held = 0
            for process in me.children(recursive=True):
                try:
                    held += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], held)

    with tempfile.TemporaryDirectory() as name:
        job = LabelJob(label_settings_of(get_profile("voc-mini"), "bap"), data, model, Path(name))
        watcher = Thread(target=watch)
        watcher.start()
        start = time.perf_counter()
        failures = make_label_files(job, label_batches(data, crew.batch), crew)
        seconds = time.perf_counter() - start
        done.set()
        watcher.join()
        if failures:
            raise ValueError(f"not every image could be read: {failures}")
        images_a_second = rate(Path(name))
        size = sum(path.stat().st_size for path in Path(name).glob("Y_*/*.png"))
    return {
        "images_a_second": images_a_second,
        "seconds_with_start": seconds,
        "peak_memory_mb": peak[0] / 1e6,
        "label_kb_an_image": size / 1e3 / len(data),
    }


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, to try the script")
    parser.add_argument("--photographs", type=Path, help="folder in VOC layout")
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        drawn = 6 if options.quick else options.images
        root = options.photographs or make_sample(Path(name) / "sample", 0, train=drawn, val=1)
        data = VocDataset(root, "train", limit=drawn)
        photographs = sum(data.image_path(name).stat().st_size for name in data.ids)
        torch.manual_seed(0)
        model = BoxClassifier(build_backbone("lite0", 16), len(data.classes) - 1).eval()
        crews = dict(list(CREWS.items())[2:3]) if options.quick else CREWS
        rows: dict[str, list[dict[str, float]]] = {crew: [] for crew in crews}
        for _ in range(options.repeats):
            for title, crew in crews.items():
                rows[title].append(measure(data, model, crew))
    record: dict[str, Any] = {
        "benchmark": "label files with backbone lite0, dense CRF and writing",
        "photographs": options.photographs is not None,
        "images": len(data),
        "image_kb": round(photographs / 1e3 / len(data), 1),
        **environment(),
        "repeats": options.repeats,
    }
    for title, made in rows.items():
        record[title] = {key: round(median(row[key] for row in made), 3) for key in made[0]}
    del record["threads"]
    write_record(record, options.out)


if __name__ == "__main__":
    main()
