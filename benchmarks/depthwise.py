"""Time of a training step of the light backbone, with fast gradients of its dilated layers and not.

Run `python benchmarks/depthwise.py --out results/depthwise.json`; `--quick` takes a small problem.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from measure import environment, seconds_in_turn, write_record

from bana.networks import backbones
from bana.networks.backbones import Backbone

FULL = {"batch": 8, "crop": 193, "output_stride": 16, "frozen_stages": 3}
QUICK = FULL | {"batch": 1, "crop": 65}


def step(backbone: Backbone, size: dict[str, int]) -> Callable[[], None]:
    """A closure that runs one forward and backward pass."""
    shape = size["batch"], 3, size["crop"], size["crop"]
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))

    def run() -> None:
        backbone.zero_grad()
        backbone(images).square().mean().backward()

    return run


def largest_difference(one: Backbone, other: Backbone) -> float:
    """Of the parameters' gradients, the largest relative difference, each in its own norm."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(
        float((a.grad - b.grad).norm() / a.grad.norm()) for a, b in pairs if a.grad is not None
    )


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small problem, to try the script")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    built = size["output_stride"], size["frozen_stages"]
    fast = backbones.build_backbone("lite0", *built).train()
    with patch.object(backbones, "quicken"):
        plain = backbones.build_backbone("lite0", *built).train()
    seconds = seconds_in_turn(
        {"plain": step(plain, size), "fast": step(fast, size)}, options.repeats
    )
    pairs = zip(seconds["plain"], seconds["fast"], strict=True)
    record = {
        "benchmark": "light backbone, forward and backward",
        "size": size,
        **environment(),
        "repeats": options.repeats,
        **{f"{name}_seconds_median": median(taken) for name, taken in seconds.items()},
        "speed_up_median": median(slow / quick for slow, quick in pairs),
        "largest_difference_of_gradients": largest_difference(plain, fast),
    }
    write_record(record, options.out)


if __name__ == "__main__":
    main()
