"""Labelling by Ray Data beside the package's own processes: images a second, memory, equal labels.

Run `pip install "ray[data]"`, which the package does without, then `python benchmarks/ray_data.py
--photographs VOC_FOLDER --out results/ray-data.json`; without photographs scenes are drawn, and
`--quick` takes few. Three ways with two processes of one thread each:

- "bana": two of the package's processes, each of which takes an image through all steps;
- "ray, all steps": two Ray actors that do the same, so that only who hands out images differs;
- "ray, apart": one actor with the backbone and tasks for the CRF, features going between them.

The classifier is not trained, which its time does not feel. Memory is what this process and all
below it do not share with others, so that Ray's store is not counted.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import psutil
import ray
import torch
from labelling import rate
from measure import environment, write_record

from bana.data.sample.make import make_sample
from bana.data.transforms import eval_image
from bana.data.voc import VocDataset, write_mask
from bana.experiment.labelling import Crew, LabelJob, label_batches, labels_from_features
from bana.experiment.labelling import make_label_files as make_by_bana
from bana.experiment.profiles import get_profile
from bana.experiment.stages import label_settings_of
from bana.files.artefacts import source_commit
from bana.networks.backbones import build_backbone
from bana.networks.classifier import BoxClassifier

Row = dict[str, Any]


class Labelling:
    """The steps of an image's labels, in an actor; the model comes once, with the actor."""

    def __init__(self, job: LabelJob) -> None:
        torch.set_num_threads(1)
        self.job = job

    def features(self, row: Row) -> Row:
        """The backbone's part."""
        image = eval_image(self.job.data[row["item"]], self.job.settings.image_scale)
        with torch.no_grad():
            return row | {"features": self.job.model.backbone(image[None])[0].numpy()}

    def labels(self, row: Row) -> Row:
        """What follows: unaries, CRF, retrieval and the two files."""
        item = self.job.data[row["item"]]
        features = torch.from_numpy(row["features"].copy())[None]
        # Laid out as the backbone left it, so that sums round alike.
        features = features.contiguous(memory_format=torch.channels_last)[0]
        with torch.no_grad():
            made = labels_from_features(self.job.model, item, features, self.job.settings)
        for kind, label in (("Y_ret", made.y_ret), ("Y_crf", made.y_crf)):
            write_mask(self.job.folder / kind / f"{item['id']}.png", label)
        return {"item": row["item"]}


class Features(Labelling):
    """The backbone alone."""

    __call__ = Labelling.features


class Labels(Labelling):
    """All but the backbone."""

    __call__ = Labelling.labels


class AllSteps(Labelling):
    """Backbone and labels without a store between them."""

    def __call__(self, row: Row) -> Row:
        """An image's two files."""
        return self.labels(self.features(row))


def by_bana(job: LabelJob) -> None:
    """Two processes of the package."""
    if failures := make_by_bana(job, label_batches(job.data, 1), Crew(2)):
        raise ValueError(f"not every image could be read: {failures}")


def by_ray(job: LabelJob, *steps: type, actors: int) -> None:
    """Ray Data, with so many actors a step, of one core each."""
    data = ray.data.range(len(job.data), override_num_blocks=len(job.data))
    data = data.rename_columns({"id": "item"})
    for step in steps:
        data = data.map(
            step, fn_constructor_args=(job,), compute=ray.data.ActorPoolStrategy(size=actors)
        )
    data.materialize()


WAYS: dict[str, Callable[[LabelJob], None]] = {
    "bana": by_bana,
    "ray, all steps": lambda job: by_ray(job, AllSteps, actors=2),
    "ray, apart": lambda job: by_ray(job, Features, Labels, actors=1),
}


def measure(way: Callable[[LabelJob], None], job: LabelJob) -> dict[str, float]:
    """Label all images once."""
    peak, done = [0], Event()

    def watch() -> None:
        me = psutil.Process()
        while not done.wait(0.5):
            held = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    told = process.memory_info()
                    held += told.rss - told.shared
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], held)

    watcher = Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        way(job)
        seconds = time.perf_counter() - start
    finally:
        done.set()
        watcher.join()
    return {
        "images_a_second": rate(job.folder),
        "seconds_with_start": seconds,
        "peak_memory_mb": peak[0] / 1e6,
    }


def equal_files(one: Path, other: Path) -> int:
    """How many label files are the same to the last bit."""
    return sum(
        (other / path.relative_to(one)).read_bytes() == path.read_bytes()
        for path in one.glob("Y_*/*.png")
    )


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, to try the script")
    parser.add_argument("--photographs", type=Path, help="folder in VOC layout")
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    torch.manual_seed(0)
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    with tempfile.TemporaryDirectory() as name:
        work, drawn = Path(name), 16 if options.quick else options.images
        root = options.photographs or make_sample(work / "sample", 0, train=drawn, val=1)
        data = VocDataset(root, "train", limit=drawn)
        model = BoxClassifier(build_backbone("lite0", 16), len(data.classes) - 1).eval()
        settings = label_settings_of(get_profile("voc-mini"), "bap")
        sample = Features(LabelJob(settings, data, model, work))({"item": 0})["features"]
        rows: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        equal = dict.fromkeys(WAYS, 0)
        for repeat in range(options.repeats):
            for number, (title, way) in enumerate(WAYS.items()):
                folder = work / f"{repeat}-{number}"
                for kind in ("Y_crf", "Y_ret"):
                    (folder / kind).mkdir(parents=True)
                rows[title].append(measure(way, LabelJob(settings, data, model, folder)))
                equal[title] = equal_files(work / f"{repeat}-0", folder)
    record: dict[str, Any] = {
        "benchmark": "label files by Ray Data and by the package's processes",
        "photographs": options.photographs is not None,
        "images": len(data),
        "feature_mb_an_image": round(sample.nbytes / 1e6, 2),
        **environment(),
        "ray": ray.__version__,
        "commit": source_commit(),
        "repeats": options.repeats,
    }
    for title, made in rows.items():
        record[title] = {key: round(median(row[key] for row in made), 3) for key in made[0]}
        record[title] |= {"label_files": 2 * len(data), "equal_label_files": equal[title]}
    write_record(record, options.out)


if __name__ == "__main__":
    main()
