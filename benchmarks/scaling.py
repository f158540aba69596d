"""What one step of each stage costs against crop, batch and boxes: time, memory, operations.

Run `python benchmarks/scaling.py --weights vgg16_imagenet_features.pth --out results/scaling.json`;
without weights VGG-16 is left out, and `--quick` takes one small case. Every case takes one factor
away from a middle case. `tools/scaling.py` makes `docs/scaling.md` of the record.
"""

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from measure import Worker, environment, seconds_in_turn, serve, write_record
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bana.experiment.profiles import get_profile
from bana.labels import pseudo_labels
from bana.networks.backbones import build_backbone
from bana.networks.classifier import BoxClassifier, box_loss
from bana.networks.segmenter import Segmenter, build_neck
from bana.training.optimisation import optimiser
from bana.training.segmentation import LOSSES

CLASSES = 20


class Case(NamedTuple):
    """One step of a stage; for labels "side" is that of the image, else that of a crop."""

    stage: str
    backbone: str
    side: int
    batch: int
    boxes: int  # an image


MIDDLE = [
    Case("classifier", "lite0", 225, 8, 3),
    Case("labels", "lite0", 400, 1, 3),
    Case("segmenter", "lite0", 225, 8, 3),
]
PAPER = [Case("classifier", "vgg16", 321, 1, 3), Case("segmenter", "vgg16-largefov", 321, 1, 3)]


def all_cases(weights: Path | None) -> list[Case]:
    """The middle cases, and each with one factor changed."""
    cases = []
    for case in MIDDLE:
        sides = (200, 800) if case.stage == "labels" else (129, 321)
        cases += [case, *(case._replace(side=side) for side in sides)]
        if case.stage != "labels":
            cases += [case._replace(batch=n) for n in (2, 16)]
        if case.stage != "segmenter":
            cases += [case._replace(boxes=n) for n in (1, 12)]
    return cases + (PAPER if weights else [])


def random_boxes(case: Case, g: torch.Generator) -> Tensor:
    """Boxes [batch boxes, 5] of a quarter of the crop's area: image index, x1, y1, x2, y2."""
    count = case.batch * case.boxes
    corner = torch.rand(count, 2, generator=g) * case.side / 2
    index = torch.arange(count)[:, None] // case.boxes
    return torch.cat([index, corner, corner + case.side / 2], 1)


def make_step(case: Case, weights: Path | None) -> Callable[[], object]:
    """A closure that does one step: of training, or the labels of one image from its pixels."""
    g = torch.Generator().manual_seed(0)
    size = (case.batch, 3, case.side, case.side)
    images = torch.randint(0, 256, size, generator=g, dtype=torch.uint8)
    path = weights if case.backbone.startswith("vgg16") else None
    backbone = build_backbone(case.backbone, 8 if path else 16, 0 if path else 3, path)
    settings = get_profile("voc-mini")
    boxes = random_boxes(case, g)
    if case.stage == "segmenter":
        neck, channels = build_neck("none" if path else settings.neck, backbone.channels)
        model = Segmenter(backbone, neck, channels, CLASSES).train()
        labels = torch.randint(0, CLASSES + 1, (case.batch, *size[2:]), generator=g)

        def loss() -> Tensor:
            phi = model(images)
            return LOSSES["nal"](phi, model.weight, labels, labels.flip(2), model.temperature)

        return training_step(model, loss)
    model = BoxClassifier(backbone, CLASSES).train()
    classes = torch.randint(1, CLASSES + 1, (len(boxes),), generator=g)
    if case.stage == "classifier":
        background = torch.ones(case.batch, 1, *size[2:])
        for index, x1, y1, x2, y2 in boxes.long().tolist():
            background[index, 0, y1:y2, x1:x2] = 0
        return training_step(model, lambda: box_loss(model(images, background, boxes), classes))

    def label() -> object:
        with torch.no_grad():
            features = model.backbone(images)[0]
            return pseudo_labels(features, model.weight, images[0], boxes[:, 1:].round(), classes)

    model.eval()
    return label


def training_step(model: BoxClassifier | Segmenter, loss: Callable[[], Tensor]) -> Callable:
    """Forward, backward and update."""
    sgd = optimiser(model, get_profile("voc-mini").classifier)

    def step() -> None:
        sgd.zero_grad(set_to_none=True)
        loss().backward()
        sgd.step()

    return step


def operations(step: Callable[[], object], case: Case) -> float | None:
    """Billions of floating point operations of convolutions and products in a step.

    None for networks with depthwise convolutions, of which torch's counter takes the backward
    passes for dense ones.
    """
    if case.backbone == "lite0":
        return None
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small case, to try the script")
    parser.add_argument("--weights", type=Path, help="VGG-16's convolutions")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    quick = [case._replace(side=65, batch=1) for case in MIDDLE]
    cases = quick if options.quick else all_cases(options.weights)
    step_of = cache(lambda case: make_step(case, options.weights))
    if options.serve:
        serve({str(case): lambda case=case: step_of(case)() for case in cases})
        return
    words = ["--serve", *(["--quick"] if options.quick else [])]
    words += ["--weights", str(options.weights)] if options.weights else []
    rows: list[dict[str, Any]] = []
    for case in cases:
        step = make_step(case, options.weights)
        seconds = seconds_in_turn({"step": step}, options.repeats)["step"]
        row = {**case._asdict(), "seconds_median": median(seconds), "gflop": operations(step, case)}
        with Worker(__file__, words) as worker:
            row["peak_memory_mb"] = round(worker.peak_memory(str(case)) / 1e6)
        rows.append(row)
    record = {"benchmark": "one step of each stage", **environment(), "repeats": options.repeats}
    write_record(record | {"rows": rows}, options.out)


if __name__ == "__main__":
    main()
