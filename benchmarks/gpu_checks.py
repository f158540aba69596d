"""Whether a GPU computes what the CPU does: the method's parts, trainings, labels of photographs.

Run `python benchmarks/gpu_checks.py --out FILE` for the parts and the trainings, with `--labels 50
--photographs VOC_FOLDER` for labels; `--device cpu` compares the CPU with itself, as a try. Each
check says how far apart the two are and how far they may be; the script ends with 1 where one is
too far. `benchmarks/gpu.py` runs it before anything that takes longer.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measure import environment, write_record
from torch import Tensor

from bana.bap import background_attention, background_queries, pool_boxes
from bana.crf.dense import LABEL_CRF, dense_crf, exact_crf
from bana.data.voc import VocDataset
from bana.experiment.pretrained import label_maps, load_pretrained
from bana.experiment.profiles import get_profile
from bana.experiment.stages import dataset
from bana.interpolation import bilinear
from bana.labels import pseudo_labels
from bana.losses import noise_aware_loss
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier
from bana.training.classification import train_classifier
from bana.training.engine import Engine
from bana.training.machine import Machine
from bana.training.optimisation import Optimisation

# Of float32, as a share of the largest number: sums in another order. In 16 bits three digits are
# left, and of a loss that has been stepped three times by them a digit less.
FLOAT32, STEPPED, HALF = 1e-4, 1e-3, 5e-2
# In float16 the loss is scaled by 65536 at first, and a step whose gradients overflow is left out
# and the scale halved. Of the small network four would be: of three, none would be left to compare.
LOSS_SCALE = 2.0**10
EQUAL_LABELS = 0.999
Values = dict[str, Tensor]


class Check(NamedTuple):
    """What is computed on a device, and how far the device may be from the CPU.

    Attributes:
        make: the values, on any device.
        apart: share of the largest number for numbers, share of the pixels for labels (integers).
        reference: the values on the CPU; None takes ``make``.
    """

    make: Callable[[torch.device], Values]
    apart: float
    reference: Callable[[torch.device], Values] | None = None


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Numbers in 0..1, the same on every device."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def scene(height: int = 120, width: int = 160) -> tuple[Tensor, Tensor, Tensor]:
    """A smooth image, uint8 [3, H, W], two boxes and their classes."""
    coarse = drawn(1, 3, 6, 8)
    image = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    boxes = torch.tensor([[20.0, 20, 90, 100], [70, 40, 150, 110]])
    return (255 * image).clamp(0, 255).byte(), boxes, torch.tensor([1, 3])


def _bap(device: torch.device) -> Values:
    features, background = drawn(2, 64, 15, 20), (drawn(2, 1, 15, 20, seed=1) > 0.4).float()
    boxes = torch.tensor([[0, 10.0, 10, 90, 100], [1, 30, 5, 155, 80]])
    f, m = features.to(device), background.to(device)
    queries, valid = background_queries(f, m, 4)
    attention = background_attention(f, queries, valid)
    return {"queries": queries, "attention": attention} | {
        "pooled": pool_boxes(f, attention, boxes.to(device), 1 / 8, 2)
    }


def _interpolation(device: torch.device) -> Values:
    features = drawn(16, 15, 20).to(device)
    enlarge = bilinear(features.shape[1:], (120, 160), 8.0, like=features).enlarge
    return {"enlarged": enlarge(features)}


def _labels(device: torch.device) -> Values:
    image, boxes, classes = (each.to(device) for each in scene())
    features, weight = drawn(64, 15, 20).to(device), (drawn(5, 64, seed=2) - 0.5).to(device)
    made = pseudo_labels(features, weight, image, boxes, classes)
    return {"y_crf": made.y_crf, "y_ret": made.y_ret}


def _losses(device: torch.device) -> Values:
    features = drawn(2, 32, 15, 20).to(device).requires_grad_()
    weight = (drawn(5, 32, seed=3) - 0.5).to(device).requires_grad_()
    labels = [(5 * drawn(2, 120, 160, seed=seed)).long().to(device) for seed in (4, 5)]
    total = noise_aware_loss(features, weight, *labels).total
    total.backward()
    return {"total": total, "d features": features.grad, "d weight": weight.grad}


def _probabilities() -> Tensor:
    coarse = 2 * drawn(1, 4, 6, 8, seed=6)
    return torch.nn.functional.interpolate(coarse, (120, 160), mode="bilinear")[0].softmax(0)


def _crf(method: Callable[..., Any], side: int) -> Callable[[torch.device], Values]:
    def make(device: torch.device) -> Values:
        image, q = (each[:, :side, :side].to(device) for each in (scene()[0], _probabilities()))
        return {"labels": method(image, q, LABEL_CRF).q.argmax(0)}

    return make


def small_network() -> BoxClassifier:
    """A classifier of three convolutions, the same each time."""
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 32)):
        layers += [torch.nn.Conv2d(inputs, outputs, 3, 2, 1), torch.nn.ReLU()]
    model = BoxClassifier(Backbone(torch.nn.Sequential(*layers), 32, 8), 4)
    torch.nn.init.normal_(model.weight, std=5.0)  # so that features matter to the loss
    return model


def small_batch() -> dict[str, Any]:
    """A batch of two crops, as `bana.data.transforms.collate` gives it."""
    image, boxes, classes = scene(96, 96)
    boxes = boxes.clamp(max=90)
    background = torch.ones(2, 1, 96, 96)
    for x1, y1, x2, y2 in boxes.int().tolist():
        background[:, :, y1:y2, x1:x2] = 0
    numbered = [torch.cat([torch.full((2, 1), float(n)), boxes], 1) for n in range(2)]
    return {
        "image": torch.stack([image, image.flip(0)]),
        "background": background,
        "boxes": torch.cat(numbered),
        "labels": classes.repeat(2),
        "ids": ["a", "b"],
    }


def trained(machine: Machine, scale: float = LOSS_SCALE) -> Values:
    """Losses of three iterations of stage 1; in float16 they begin with a scale of the loss."""
    settings = Optimisation(iterations=3, batch=2, learning_rate=1e-2)
    engine = Engine(machine)
    precision = engine.fabric.strategy.precision
    if scaler := precision.state_dict():
        precision.load_state_dict(scaler | {"scale": scale})
    rows = train_classifier(small_network(), [small_batch()] * 3, settings, 1.0, engine)
    return {"losses": torch.tensor([row["loss"] for row in rows])}


def _training(
    precision: str = "32-true", compiled: bool = False
) -> Callable[[torch.device], Values]:
    def make(device: torch.device) -> Values:
        where = {"accelerator": str(device), "devices": 1, "nodes": 1, "progress": False}
        return trained(Machine(precision=precision, compile=compiled, **where))

    return make


CHECKS = {
    "bap": Check(_bap, FLOAT32),
    "interpolation": Check(_interpolation, FLOAT32),
    "labels": Check(_labels, 1 - EQUAL_LABELS),
    "losses": Check(_losses, FLOAT32),
    "crf, lattice": Check(_crf(dense_crf, 120), 1 - EQUAL_LABELS),
    "crf, exact": Check(_crf(exact_crf, 60), 1 - EQUAL_LABELS),
    "training, 32-true": Check(_training(), STEPPED),
    "training, bf16-mixed": Check(_training("bf16-mixed"), HALF, _training()),
    "training, 16-mixed": Check(_training("16-mixed"), HALF, _training()),
    "training, torch.compile": Check(_training(compiled=True), STEPPED, _training()),
}


def distance(one: Values, other: Values) -> float:
    """The largest distance: of integers the share that differs, of numbers that of the largest."""
    found = []
    for name, value in one.items():
        a, b = value.detach().cpu(), other[name].detach().cpu()
        if not a.is_floating_point():
            found.append((a != b).double().mean().item())
            continue
        largest = max(b.abs().max().item(), 1e-12)
        away = (a.double() - b.double()).abs().max().item() / largest
        found.append(away if a.isfinite().all() else float("inf"))
    return max(found)


def compared(check: Check, device: torch.device) -> dict[str, Any]:
    """The row of a check; an error of the device is its own row, and the others go on."""
    row: dict[str, Any] = {"may_be_apart": check.apart}
    try:
        here = (check.reference or check.make)(torch.device("cpu"))
        row["apart"] = distance(check.make(device), here)
        row["met"] = row["apart"] <= check.apart
    except Exception as error:
        row |= {"met": False, "error": _in_a_line(error)}
    return row


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def equal_labels(data: VocDataset, count: int, device: torch.device) -> dict[str, Any]:
    """Share of pixels with the same label on both, of photographs spread over a data set."""
    model, there = load_pretrained(), load_pretrained()
    there.classifier.to(device)
    rows = {}
    for number in sorted({len(data) * i // count for i in range(count)}):
        item = data[number]
        image, boxes = (item[key].as_subclass(Tensor) for key in ("image", "boxes"))
        told = image, boxes, item["labels"], data.classes
        pairs = zip(label_maps(*told, model), label_maps(*told, there), strict=True)
        rows[item["id"]] = [(a == b.cpu()).double().mean().item() for a, b in pairs]
    y_crf, y_ret = (sum(shares) / len(rows) for shares in zip(*rows.values(), strict=True))
    return {
        "photographs": len(rows),
        "equal_y_crf": y_crf,
        "equal_y_ret": y_ret,
        "least": min(min(shares) for shares in rows.values()),
        "wanted": EQUAL_LABELS,
        "met": min(y_crf, y_ret) >= EQUAL_LABELS,
    }


def main(words: Sequence[str] | None = None) -> int:
    """Compare, print and, with --out, write the record; 1 where something is too far apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--checks", nargs="+", choices=CHECKS, metavar="CHECK", help="only these")
    parser.add_argument("--labels", type=int, metavar="N", help="labels of N photographs instead")
    parser.add_argument("--photographs", type=Path, help="in VOC layout (default: drawn scenes)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(words)
    device = torch.device(options.device)
    # In TF32 a GPU multiplies by ten bits: that is speed, and no comparison.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    record: dict[str, Any] = {"device": str(device), **environment()}
    if options.labels:
        root = options.photographs
        profile = get_profile("voc-mini" if root else "smoke")
        record["labels"] = equal_labels(dataset(profile, "train", root), options.labels, device)
        well = record["labels"]["met"]
    else:
        names = options.checks or CHECKS
        record["checks"] = {name: compared(CHECKS[name], device) for name in names}
        well = all(row["met"] for row in record["checks"].values())
    write_record(record, options.out)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
