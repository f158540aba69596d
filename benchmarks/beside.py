"""Time of two trainings of the light backbone beside each other, and of one after the other.

Beside each other each has one thread, as in `bana.experiment.beside`; one after the other each has
as many as there are cores. Both are timed in processes that have started already.

Run `python benchmarks/beside.py --out results/beside.json`; `--quick` takes a small problem.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from measure import Worker, environment, seconds_in_turn, serve, write_record

from bana.networks.backbones import build_backbone

FULL = {"batch": 8, "crop": 193, "output_stride": 16, "frozen_stages": 3, "steps": 6}
QUICK = FULL | {"batch": 1, "crop": 65, "steps": 1}


def training(size: dict[str, int], threads: int) -> Callable[[], None]:
    """A closure that runs a few forward and backward passes with so many threads."""
    backbone = build_backbone("lite0", size["output_stride"], size["frozen_stages"]).train()
    shape = size["batch"], 3, size["crop"], size["crop"]
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))

    def run() -> None:
        torch.set_num_threads(threads)
        for _ in range(size["steps"]):
            backbone.zero_grad()
            backbone(images).square().mean().backward()

    return run


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small problem, to try the script")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    cores = torch.get_num_threads()
    if options.serve:
        serve({"one": training(size, 1), "all": training(size, cores)})
        return
    words = ["--serve", *(["--quick"] if options.quick else [])]
    with Worker(__file__, words) as first, Worker(__file__, words) as second:

        def beside() -> None:
            first.start("one")
            second.start("one")
            for worker in (first, second):
                worker.seconds()

        def in_turn() -> None:
            for worker in (first, second):
                worker.start("all")
                worker.seconds()

        seconds = seconds_in_turn({"in_turn": in_turn, "beside": beside}, options.repeats)
    pairs = zip(seconds["in_turn"], seconds["beside"], strict=True)
    record = {
        "benchmark": "two trainings of the light backbone, forward and backward",
        "size": size,
        **environment(),
        "repeats": options.repeats,
        **{f"{name}_seconds_median": median(taken) for name, taken in seconds.items()},
        "speed_up_median": median(slow / quick for slow, quick in pairs),
    }
    write_record(record, options.out)


if __name__ == "__main__":
    main()
