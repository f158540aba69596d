"""Time and memory of bana.labels against the same labels from enlarged features.

Run `python benchmarks/labels.py --out results/labels.json`; `--quick` takes a small problem.
Backbone and CRF are left out: features are drawn from a seed and the CRF has no kernels.
"""

import argparse
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
import torch.nn.functional as F
from measure import Worker, environment, seconds_in_turn, serve, write_record
from torch import Tensor

from bana.crf.dense import CrfParameters
from bana.data.boxes import box_masks, class_masks
from bana.labels import AUTHORS_UNARY, UnaryOptions, pseudo_labels

NO_CRF = CrfParameters(bilateral_weight=0, gaussian_weight=0, iterations=0)
FULL = {"image": [375, 500], "cells": [47, 63], "channels": 1024, "boxes": 3, "classes": 2}
QUICK = {"image": [75, 100], "cells": [10, 13], "channels": 64, "boxes": 3, "classes": 2}


class Problem(NamedTuple):
    """Arguments of `pseudo_labels`."""

    features: Tensor
    weight: Tensor
    image: Tensor
    boxes: Tensor
    classes: Tensor


class Labels(NamedTuple):
    """What is compared of the result of each method."""

    unary: Tensor  # [1 + C, H, W]
    y_crf: Tensor  # [H, W]
    y_ret: Tensor  # [H, W]


def make_problem(size: dict, seed: int = 0) -> Problem:
    """Features as a network's, in part the background's and in part an object's, from a seed."""
    g = torch.Generator().manual_seed(seed)
    height, width = size["image"]
    corner = 0.05 + 0.4 * torch.rand(size["boxes"], 2, generator=g)
    extent = 0.25 + 0.25 * torch.rand(size["boxes"], 2, generator=g)
    scale = torch.tensor([width, height] * 2)
    boxes = (torch.cat([corner, corner + extent], 1) * scale).round()
    classes = 1 + torch.arange(size["boxes"]) % size["classes"]
    directions = torch.rand(size["classes"] + 1, size["channels"], generator=g) ** 4
    shares = box_masks(boxes, height, width).float()[:, None]  # [K, 1, H, W]
    shares = F.interpolate(shares, size["cells"], mode="area")[:, 0]  # [K, h, w]
    shares = shares * torch.rand(shares.shape, generator=g)
    outside = (1 - shares.sum(0, keepdim=True)).clamp_min(0)
    mixture = torch.cat([outside, shares])  # [1 + K, h, w]
    kinds = torch.cat([torch.zeros(1, dtype=torch.int64), classes])
    features = torch.einsum("khw,kd->dhw", mixture, directions[kinds])
    features += 0.05 * torch.rand(features.shape, generator=g)
    weight = directions - directions.mean(0)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    return Problem(features, weight, image, boxes, classes)


def small_map(problem: Problem, options: UnaryOptions = AUTHORS_UNARY) -> Labels:
    """By bana.labels."""
    made = pseudo_labels(*problem, options, NO_CRF)
    return Labels(made.unary, made.y_crf, made.y_ret)


def full_resolution(problem: Problem, options: UnaryOptions = AUTHORS_UNARY) -> Labels:
    """Eq. 1-9 as they are written, on features brought to the size of the image first."""
    size = problem.image.shape[1:]
    f = F.interpolate(problem.features[None], size, mode="bilinear", align_corners=True)[0]
    masks = box_masks(problem.boxes, *size)  # [K, H, W]
    outside = ~masks.any(0)
    wanted = problem.classes.unique()
    inside = class_masks(problem.boxes, problem.classes, wanted, *size)  # [C, H, W]

    lengths = torch.linalg.vector_norm(f, dim=0)  # [H, W], of use to every cosine

    def cosine(direction: Tensor) -> Tensor:
        return torch.einsum("dhw,d->hw", f, direction / direction.norm()) / lengths

    attention = cosine(torch.einsum("dhw,hw->d", f, outside.float())).relu()  # Eq. 1 and 3
    u_0 = attention * (attention >= options.background_threshold * attention.max())
    cams = torch.einsum("dhw,cd->chw", f, problem.weight[wanted]).relu()  # Eq. 6
    u_c = torch.zeros_like(cams)
    for mask, label in zip(masks, problem.classes, strict=True):  # Eq. 5
        channel = int((wanted == label).nonzero())
        cam = cams[channel] * mask
        u_c[channel] = torch.maximum(u_c[channel], cam / cam.max())
    unary = torch.cat([u_0[None], u_c]).softmax(0)
    certain = torch.eye(len(unary))[:, 0, None, None]
    unary = torch.where(outside, certain, unary)

    channels = torch.cat([wanted.new_zeros(1), wanted])
    chosen = torch.cat([unary[:1], unary[1:] * inside]).argmax(0)  # no CRF
    scores = []
    for number, channel in enumerate(channels):
        members = (chosen == number).float()
        prototype = torch.einsum("dhw,hw->d", f, members)  # Eq. 8, but for its length
        scores.append(cosine(prototype if members.any() else problem.weight[channel]))  # Eq. 9
    background = scores[0].masked_fill(outside, 1)
    retrieved = torch.cat([background[None], torch.stack(scores[1:]) * inside]).argmax(0)
    return Labels(unary, channels[chosen].byte(), channels[retrieved].byte())


def compare(problem: Problem) -> dict[str, float]:
    """How far the two methods' results are from each other."""
    ours, theirs = small_map(problem), full_resolution(problem)
    return {
        "largest_difference_of_unaries": (ours.unary - theirs.unary).abs().max().item(),
        "equal_y_crf": (ours.y_crf == theirs.y_crf).double().mean().item(),
        "equal_y_ret": (ours.y_ret == theirs.y_ret).double().mean().item(),
    }


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small problem, to try the script")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size = QUICK if options.quick else FULL
    problem = make_problem(size)
    methods = {
        "small_map": partial(small_map, problem),
        "full_resolution": partial(full_resolution, problem),
    }
    if options.serve:
        serve(methods)
        return
    record = {
        "benchmark": "labels of one image without backbone and CRF",
        "size": size,
        **environment(),
        "repeats": options.repeats,
        **compare(problem),
    }
    seconds = seconds_in_turn(methods, options.repeats)
    words = ["--serve", f"--threads={options.threads}", *(["--quick"] if options.quick else [])]
    for name in methods:
        with Worker(__file__, words) as worker:
            record[name] = {
                "seconds_min": min(seconds[name]),
                "seconds_median": median(seconds[name]),
                "peak_memory_mb": round(worker.peak_memory(name) / 1e6, 1),
            }
    ratios = zip(seconds["full_resolution"], seconds["small_map"], strict=True)
    record["speed_up_median"] = median(slow / fast for slow, fast in ratios)
    full, small = (record[n]["peak_memory_mb"] for n in ("full_resolution", "small_map"))
    record["memory_ratio"] = small / full if full else None  # a quick problem may leave no trace
    write_record(record, options.out)


if __name__ == "__main__":
    main()
