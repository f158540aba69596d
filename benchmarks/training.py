"""Crops a second of the loader alone, of the network alone, and of both together.

Run `python benchmarks/training.py --data VOC2012 --precision bf16-mixed --out
results/training.json` on the machine in question; `--quick` tries it on drawn scenes and a CPU.
`--full` trains both stages to their end and records how long that took. Beside speed there are the
operations that take most of a step, after which to look for what can be made faster.

The segmenter is measured on true masks in place of pseudo labels, which cost the same to load, so
that nothing has to be trained first.
"""

import argparse
import itertools
import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bana.data.voc import VocDataset
from bana.experiment import stages
from bana.experiment.profiles import Profile, get_profile
from bana.experiment.trained import batches
from bana.networks.classifier import BoxClassifier
from bana.networks.segmenter import Segmenter, build_neck
from bana.training import runs
from bana.training.classification import train_classifier
from bana.training.engine import Engine
from bana.training.machine import Machine
from bana.training.optimisation import Optimisation
from bana.training.segmentation import train_segmenter

STAGES = ("classifier", "segmentation")


@dataclass
class Watch:
    """Use of the GPU while a block runs, in percent, sampled a few times a second."""

    device: torch.device
    samples: list[int] = field(default_factory=list)

    def __enter__(self) -> "Watch":
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._over.wait(0.2):
            try:
                self.samples.append(utilisation(self.device))
            except (OSError, ValueError, subprocess.CalledProcessError) as error:
                print(f"no GPU utilisation: {error}")
                return

    def __exit__(self, *error: Any) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def report(self) -> dict[str, Any]:
        """Mean utilisation and peak memory; empty on a CPU."""
        if self.device.type != "cuda":
            return {}
        peak = torch.cuda.max_memory_allocated(self.device)
        used = sum(self.samples) / len(self.samples) if self.samples else None
        return {"gpu_utilisation_percent": used, "peak_memory_gb": round(peak / 1e9, 2)}


def utilisation(device: torch.device) -> int:
    """Percent of the last moment in which the GPU was busy, as its driver counts."""
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i"]
    command = ["nvidia-smi", *query, str(device.index or 0)]
    return int(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)


@dataclass(frozen=True)
class Case:
    """One stage of a profile on a machine, for a number of iterations."""

    profile: Profile
    stage: str
    root: Path | None
    machine: Machine
    warmup: int
    iterations: int

    @property
    def settings(self) -> Optimisation:
        """Of the stage, for as many iterations as are measured."""
        chosen = getattr(self.profile, self.stage)
        return replace(chosen, iterations=self.warmup + self.iterations)

    def batches(self, hold: Engine) -> Iterable[dict]:
        """The stage's own loader."""
        data = stages.dataset(self.profile, "train", self.root)
        masks = data.root / "SegmentationClass"
        folders = {"y_crf": masks, "y_ret": masks} if self.stage == "segmentation" else None
        return batches(
            data,
            stages.crop_settings(self.profile),
            self.settings,
            self.profile.seed,
            hold,
            self.profile.loader_workers,
            folders,
        )

    def train(self, hold: Engine, batches: Iterable[dict], data: VocDataset) -> None:
        """The stage's own loop."""
        n_classes = len(data.classes) - 1
        torch.manual_seed(0)
        if self.stage == "classifier":
            body = stages.backbone_settings(self.profile, self.profile.backbone).build()
            model = BoxClassifier(body, n_classes)
            train_classifier(model, batches, self.settings, 1.0, hold)
        else:
            name = self.profile.segmenter_backbone or self.profile.backbone
            body = stages.backbone_settings(self.profile, name).build()
            neck, channels = build_neck(self.profile.neck, body.channels)
            model = Segmenter(body, neck, channels, n_classes)
            train_segmenter(model, batches, self.settings, "nal", None, hold)


def stamped(batches: Iterable[dict], stamps: list[float]) -> Iterator[dict]:
    """The same batches; notes when each was asked for, which is when the step before was done.

    The loop reads the loss after each step, so that nothing is still under way on the device.
    """
    try:
        for batch in batches:
            stamps.append(time.perf_counter())
            yield batch
    finally:  # a training that has its iterations asks for no batch more
        stamps.append(time.perf_counter())


def per_second(case: Case, stamps: list[float]) -> float:
    """Crops a second after the warm-up."""
    first = case.warmup * case.machine.accumulation
    micro_batch = case.settings.batch // case.machine.accumulation
    crops = (len(stamps) - 1 - first) * micro_batch
    return round(crops / (stamps[-1] - stamps[first]), 2)


def loader_alone(case: Case) -> float:
    """Crops a second that the loader gives when nothing else is done with them."""
    stamps: list[float] = []
    for _ in stamped(case.batches(Engine(case.machine)), stamps):
        pass
    return per_second(case, stamps)


def network(case: Case, alone: bool) -> dict[str, Any]:
    """Crops a second of the training loop, on one batch again and again or on the loader's."""
    hold, stamps = Engine(case.machine), []
    data = stages.dataset(case.profile, "train", case.root)
    batches = case.batches(hold)
    if alone:
        first = next(iter(batches))
        first = {k: v.to(hold.device) if torch.is_tensor(v) else v for k, v in first.items()}
        steps = case.settings.iterations * case.machine.accumulation
        batches = itertools.repeat(first, steps)
    with Watch(hold.device) as watch:
        case.train(hold, stamped(batches, stamps), data)
    return {"crops_per_second": per_second(case, stamps), **watch.report()}


def costliest(case: Case, operations: int = 10) -> list[dict[str, Any]]:
    """The operations that take most of the device's time in the training loop, itself alone.

    The loader is left out; what happens in the warm-up is not counted.
    """
    hold, data = Engine(case.machine), stages.dataset(case.profile, "train", case.root)
    first = next(iter(case.batches(hold)))
    first = {k: v.to(hold.device) if torch.is_tensor(v) else v for k, v in first.items()}
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if hold.device.type == "cuda" else []
    pieces = case.machine.accumulation
    before, counted = case.warmup * pieces, case.iterations * pieces
    plan = torch.profiler.schedule(wait=0, warmup=before, active=counted, repeat=1)
    with torch.profiler.profile(activities=kinds, schedule=plan) as profiler:

        def stepped() -> Iterator[dict]:
            for _ in range(case.settings.iterations * pieces):
                yield first
                profiler.step()

        case.train(hold, stepped(), data)
    kind = "device" if hold.device.type == "cuda" else "cpu"
    rows = {row.key: getattr(row, f"self_{kind}_time_total") for row in profiler.key_averages()}
    rows = {name: taken for name, taken in rows.items() if not name.startswith("ProfilerStep")}
    most = sorted(rows, key=lambda name: rows[name], reverse=True)[:operations]
    whole = sum(rows.values())
    return [{"operation": name, "percent": round(100 * rows[name] / whole, 1)} for name in most]


def measure(case: Case, workers: list[int]) -> dict[str, Any]:
    """Everything about one stage."""
    loader = {}
    for count in workers:
        rate = loader_alone(replace(case, machine=replace(case.machine, loader_workers=count)))
        loader[str(count)] = rate
        print(f"{case.stage}: loader with {count} workers {rate} crops/s")
    best = max(workers, key=lambda count: loader[str(count)])
    case = replace(case, machine=replace(case.machine, loader_workers=best))
    alone, both = network(case, alone=True), network(case, alone=False)
    whole = getattr(case.profile, case.stage)
    minutes = whole.iterations * whole.batch / both["crops_per_second"] / 60
    return {
        "batch": whole.batch,
        "loader_crops_per_second_by_workers": loader,
        "network_alone": alone,
        "together": {"workers": best, **both},
        "minutes_projected": {"iterations": whole.iterations, "minutes": round(minutes, 1)},
        "costliest_operations": costliest(replace(case, iterations=min(10, case.iterations))),
    }


def train_in_full(profile: Profile, root: Path | None, machine: Machine) -> dict[str, Any]:
    """Both stages to their end, labels between them; minutes of each, as a user would wait."""
    machine = replace(machine, restart=True)
    made = {}
    for name, make in (
        ("classifier", lambda: stages.classifier(profile, "bap", root, machine)),
        ("labels", lambda: stages.labels(profile, "train", "bap", root)),
        ("segmentation", lambda: stages.segmenter(profile, "nal", root, machine)),
    ):
        start = time.perf_counter()
        make()
        made[name] = round((time.perf_counter() - start) / 60, 2)
        print(f"{name}: {made[name]} minutes")
    return made


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="paper-vgg")
    parser.add_argument("--data", type=Path, help="photographs in VOC layout")
    parser.add_argument("--weights", type=Path, help="see docs/training.md")
    parser.add_argument("--stage", choices=STAGES, nargs="+", default=list(STAGES))
    parser.add_argument("--workers", type=int, nargs="+", default=[4, 8, os.cpu_count() or 1])
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--full", action="store_true", help="train both stages to their end too")
    parser.add_argument("--quick", action="store_true", help="a few drawn scenes, on a CPU")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    if options.quick:
        options.profile, options.accelerator, options.workers = "smoke", "cpu", [0]
        options.iterations, options.warmup = 2, 1
    weights = options.weights and str(options.weights)
    profile = replace(get_profile(options.profile), weights=weights)
    machine = Machine(
        accelerator=options.accelerator,
        precision=options.precision,
        accumulation=options.accumulate,
        compile=options.compile,
        devices=1,
        nodes=1,
    )
    root = options.data
    record: dict[str, Any] = {
        "benchmark": "training: loader and network apart and together",
        "profile": profile.name,
        "crop": profile.crop,
        "images": len(stages.dataset(profile, "train", root)),
        "machine": asdict(machine),
        "processor": platform.machine(),
        "environment": runs.environment(Engine(machine).device),
        "iterations_measured": options.iterations,
    }
    workers = sorted(set(options.workers))
    for stage in options.stage:
        case = Case(profile, stage, root, machine, options.warmup, options.iterations)
        record[stage] = measure(case, workers)
    if options.full:
        record["minutes_in_full"] = train_in_full(profile, root, machine)
    text = json.dumps(record, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
