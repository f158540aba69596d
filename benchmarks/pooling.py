"""Time and memory of background-aware pooling: bana.bap against loops over images and boxes.

Run `python benchmarks/pooling.py --out results/pooling.json`; `--quick` takes a small problem.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from measure import Worker, environment, seconds_in_turn, serve, write_record
from torch import Tensor

from bana.bap import background_attention, background_queries, grid_cells, pool_boxes

FULL = {"images": 20, "channels": 1024, "side": 41, "boxes": 60, "grid": 4, "parts": 2}
QUICK = {"images": 4, "channels": 64, "side": 21, "boxes": 12, "grid": 4, "parts": 2}
STRIDE = 8


def make_problem(size: dict[str, int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features [N, D, h, w], background [N, 1, h, w] and boxes [K, 5] drawn from a seed."""
    g = torch.Generator().manual_seed(seed)
    n, side = size["images"], size["side"]
    features = torch.rand(n, size["channels"], side, side, generator=g)
    corner = torch.rand(size["boxes"], 2, generator=g) * 0.5
    extent = 0.15 + torch.rand(size["boxes"], 2, generator=g) * 0.35
    image = (torch.arange(size["boxes"]) % n)[:, None]
    boxes = torch.cat([image, corner * side * STRIDE, (corner + extent) * side * STRIDE], 1)
    background = torch.ones(n, 1, side, side)
    for index, x1, y1, x2, y2 in boxes.tolist():
        rows = slice(int(y1 / STRIDE), int(-(-y2 // STRIDE)))
        background[int(index), 0, rows, int(x1 / STRIDE) : int(-(-x2 // STRIDE))] = 0
    return features, background, boxes


def vectorised(
    features: Tensor, background: Tensor, boxes: Tensor, size: dict[str, int]
) -> tuple[Tensor, Tensor]:
    """Queries of the valid cells [J, D] and pooled boxes [K * parts², D], by bana.bap."""
    queries, valid = background_queries(features, background, size["grid"])
    attention = background_attention(features, queries, valid)
    pooled = pool_boxes(features, attention, boxes, 1 / STRIDE, size["parts"])
    return queries[valid], pooled.flatten(0, 1)


def looped(
    features: Tensor, background: Tensor, boxes: Tensor, size: dict[str, int]
) -> tuple[Tensor, Tensor]:
    """The same, image by image, cell by cell and box by box, each box on its own crop."""
    cells = grid_cells(*features.shape[2:], size["grid"])
    all_queries, attentions = [], []
    for f, m in zip(features, background[:, 0], strict=True):
        queries = []
        for cell in range(size["grid"] ** 2):
            inside = (cells == cell) & (m > 0)
            if inside.any():
                queries.append(f[:, inside].mean(1))
        directions = torch.nn.functional.normalize(f, dim=0)
        similar = [
            torch.einsum("dhw,d->hw", directions, torch.nn.functional.normalize(q, dim=0)).relu()
            for q in queries
        ]
        attentions.append(torch.stack(similar).mean(0) if similar else torch.zeros_like(m))
        all_queries += queries
    pooled = []
    for index, x1, y1, x2, y2 in boxes.tolist():
        for rows in pieces(y1 / STRIDE, y2 / STRIDE, size["parts"]):
            for columns in pieces(x1 / STRIDE, x2 / STRIDE, size["parts"]):
                pooled.append(pool_one(features[int(index)], attentions[int(index)], rows, columns))
    return torch.stack(all_queries), torch.stack(pooled)


def pieces(low: float, high: float, parts: int) -> list[tuple[float, float]]:
    """An interval cut into equal parts."""
    step = (high - low) / parts
    return [(low + i * step, low + (i + 1) * step) for i in range(parts)]


def pool_one(
    features: Tensor, attention: Tensor, rows: tuple[float, float], columns: tuple[float, float]
) -> Tensor:
    """Eq. 4 for one piece of one box, on the feature cells that it touches."""

    def touched(low: float, high: float, length: int) -> tuple[slice, Tensor]:
        cells = slice(max(0, int(low)), min(length, int(-(-high // 1))))
        start = torch.arange(cells.start, cells.stop)
        return cells, (start + 1).clamp(max=high) - start.clamp(min=low)

    (y, cover_y), (x, cover_x) = (
        touched(*interval, length)
        for interval, length in zip((rows, columns), attention.shape, strict=True)
    )
    weights = (1 - attention[y, x]) * cover_y[:, None] * cover_x
    return (features[:, y, x] * weights).sum((1, 2)) / weights.sum()


def step(method: Callable, size: dict[str, int]) -> Callable[[], None]:
    """A closure that runs one forward and backward pass."""
    features, background, boxes = make_problem(size)
    features.requires_grad_()

    def run() -> None:
        features.grad = None
        queries, pooled = method(features, background, boxes, size)
        (queries.square().sum() + pooled.square().sum()).backward()

    return run


def check_equal(size: dict[str, int]) -> None:
    """Refuse to compare the times of two methods that compute different things."""
    problem = make_problem(size)
    results = [method(*problem, size) for method in (vectorised, looped)]
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small problem, to try the script")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = QUICK if options.quick else FULL
    steps = {"vectorised": step(vectorised, size), "looped": step(looped, size)}
    if options.serve:
        serve(steps)
        return
    check_equal(size)
    seconds = seconds_in_turn(steps, options.repeats)
    record = {
        "benchmark": "background-aware pooling, forward and backward",
        "size": size,
        **environment(),
        "repeats": options.repeats,
    }
    words = ["--serve", *(["--quick"] if options.quick else [])]
    for name, taken in seconds.items():
        with Worker(__file__, words) as worker:
            record[name] = {
                "seconds_min": min(taken),
                "seconds_median": median(taken),
                "peak_memory_mb": round(worker.peak_memory(name) / 1e6, 1),
            }
    pairs = zip(seconds["looped"], seconds["vectorised"], strict=True)
    record["speed_up_median"] = median(slow / fast for slow, fast in pairs)
    record["speed_up_min"] = min(seconds["looped"]) / min(seconds["vectorised"])
    write_record(record, options.out)


if __name__ == "__main__":
    main()
