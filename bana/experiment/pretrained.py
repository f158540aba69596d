"""Shipped weights: a box classifier that was trained from boxes alone, and labels made with it.

`bana/pretrained/` holds one classifier a name: `<name>.safetensors`, its tensors in 16 bits;
`<name>.json`, how it was trained, how its labels are made and what they score; `<name>.md`, the
model card. `tools/pretrained.py` makes the three.
"""

import json
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from bana.crf.dense import CrfParameters
from bana.data.boxes import class_masks, pixels_of, unknown_in_crowds
from bana.data.class_names import common_name
from bana.experiment.transfer import transfer_weight
from bana.files.artefacts import file_hash, write_json
from bana.labels import PseudoLabels, UnaryOptions, pseudo_labels
from bana.losses import IGNORE
from bana.networks.backbones import build_backbone
from bana.networks.classifier import BoxClassifier

FOLDER = Path(__file__).resolve().parents[1] / "pretrained"
FORMAT = 1
UPRIGHT = ("XYXY", "XYWH", "CXCYWH")
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
SIDE = 500
"""Longer side, in pixels, of the photographs that the classifiers were trained on: VOC's."""
# Of a smaller image the backbone leaves nothing.
LEAST_SIDE = 32


@dataclass(frozen=True)
class Pretrained:
    """A shipped box classifier and how its labels are made.

    Attributes:
        classifier: on the CPU, in evaluation mode, float32.
        classes: names of the rows of its weight, background first.
        unary, crf: of the pseudo labels, see `bana.labels.pseudo_labels`.
        about: all that its JSON file says: training, data, scores.
    """

    classifier: BoxClassifier
    classes: tuple[str, ...]
    unary: UnaryOptions
    crf: CrfParameters
    about: dict[str, Any]


def load_pretrained(name: str = "voc-mini", folder: Path = FOLDER) -> Pretrained:
    """A classifier that comes with the package; nothing is downloaded.

    Args:
        name: "voc-mini" knows VOC's 20 classes; it was trained on 800 photographs with their boxes.
        folder: where the files lie.

    Raises:
        ValueError: if there is no classifier of that name, or its files are damaged or of another
            version of the package.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        there = ", ".join(sorted(each.stem for each in folder.glob("*.json"))) or "none"
        raise ValueError(f"no pretrained classifier {name!r}: there is {there}")
    remedy = "install the package again" if folder == FOLDER else "train or copy it again"
    damaged = f"{path} is damaged: {remedy}"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        found = about["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(damaged) from error
    if found != FORMAT:
        raise ValueError(f"{path} has format {found}, this version of the package reads {FORMAT}")
    try:
        model = _classifier(about)
        model.load_state_dict(_tensors(folder / f"{name}.safetensors", about["hash"]))
        unary, crf = UnaryOptions(**about["unary"]), CrfParameters(**about["crf"])
        return Pretrained(model.eval(), tuple(about["classes"]), unary, crf, about)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(damaged) from error


def _classifier(about: Mapping[str, Any]) -> BoxClassifier:
    """A classifier as it is described, its weights not loaded yet."""
    # Its first weights are drawn, and thrown away: the caller's generator is to know nothing of it.
    with torch.random.fork_rng(devices=[]):
        return BoxClassifier(
            build_backbone(about["backbone"]["name"], about["backbone"]["output_stride"]),
            len(about["classes"]) - 1,
            about["pooling"],
            # voc-mini was written before these were.
            about.get("grid_size", 4),
            about.get("parts", 2),
            about.get("min_background", 0.125),
        )


def _tensors(path: Path, expected: str) -> dict[str, Tensor]:
    """A state dict, its 16-bit numbers as float32; refuses a file that is not the one described."""
    try:
        damaged = file_hash(path) != expected
        state = {} if damaged else load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"weights {path} cannot be read ({error}): install again") from error
    if damaged:
        raise ValueError(f"weights {path} are not those of their description: install again")
    return {name: v.float() if v.is_floating_point() else v for name, v in state.items()}


def pooling_of(model: BoxClassifier) -> dict[str, Any]:
    """How a classifier pools: arguments of `BoxClassifier`, plain JSON values."""
    names = ("pooling", "grid_size", "parts", "min_background")
    return {name: getattr(model, name) for name in names}


def save_pretrained(
    name: str,
    model: BoxClassifier,
    classes: Sequence[str],
    unary: UnaryOptions,
    crf: CrfParameters,
    about: Mapping[str, Any],
    folder: Path = FOLDER,
) -> None:
    """Write a classifier as `load_pretrained` reads it, its floating-point numbers in 16 bits.

    Args:
        name: what it will be called.
        model: on the CPU, its images not enlarged in training.
        classes: names of the rows of its weight, background first.
        unary, crf: what its labels are to be made with.
        about: "backbone", with "name" and "output_stride", and whatever else is worth telling;
            plain JSON values.
        folder: where to; made where it is missing.

    Raises:
        ValueError: if a number does not fit 16 bits.
    """
    state = {}
    for key, value in model.state_dict().items():
        state[key] = value.half() if value.is_floating_point() else value
        if not state[key].isfinite().all():
            raise ValueError(f"{key} holds numbers that 16 bits cannot hold")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    path.write_bytes(save({key: value.contiguous() for key, value in state.items()}))
    described = {
        "format": FORMAT,
        "hash": file_hash(path),
        **pooling_of(model),
        "classes": list(classes),
        "unary": asdict(unary),
        "crf": asdict(crf),
    }
    write_json(folder / f"{name}.json", described | dict(about))


def masks(
    image: Tensor,
    boxes: Tensor | Sequence[Sequence[float]],
    classes: Sequence[str] | Sequence[int] | np.ndarray | Tensor,
    model: Pretrained | None = None,
    side: int = SIDE,
) -> PseudoLabels:
    """Masks of an image from its boxes, by a classifier that comes with the package: Eq. 5-9.

    The image is brought to the size of the photographs that the classifier was trained on, and
    what is made of it is brought back: labels as they are, attention and unary bilinearly.
    `bana masks` does this for a folder of photographs.

    Args:
        image: RGB as stored, uint8 [3, H, W].
        boxes: [K, 4]: x1, y1, x2, y2 in pixels, half-open (x2 - x1 is the width), or torchvision's
            `BoundingBoxes` of any upright format; parts outside the image are cut off. One narrower
            than a pixel at the size at which labels are made, max(H, W) / side pixels of the
            image, may get no pixel.
        classes: K names, or numbers [K] of the classifier's classes, 1..L: of "voc-mini" 1..20 in
            VOC's order, from aeroplane to tvmonitor. A name that it does not know takes
            u_c = 1 - u_0 and is numbered L + 1, L + 2, ... in order of appearance. Spelling counts
            little: "motorcycle" is VOC's "motorbike".
        model: of `load_pretrained`; None loads "voc-mini", every time anew.
        side: longer side, in pixels, at which the labels are made.

    Returns:
        PseudoLabels of the size of the image, on the classifier's device.

    Raises:
        ValueError: if shapes or types do not fit, the image is empty, ``side`` is too small, a
            class has no name or no row, or a box is not finite, has no whole pixel in the image or
            lies within its first pixel.
    """
    if isinstance(side, bool) or not isinstance(side, int) or side < LEAST_SIDE:
        raise ValueError(f"side must be a whole number of at least {LEAST_SIDE} pixels, got {side}")
    model = load_pretrained() if model is None else model
    if not isinstance(model, Pretrained):
        raise ValueError(f"model must be of load_pretrained, got {model!r}")
    height, width = _size_of(image)
    boxes = _boxes_inside(_corners(boxes, height, width), height, width)
    numbers, names = _numbered(classes, model.classes)
    if len(numbers) != len(boxes):
        raise ValueError(f"{len(boxes)} boxes and {len(numbers)} classes: one class a box")
    made = _at_side(image, boxes, numbers, names, model, side, boxes[:0])
    device = made.y_crf.device
    return _brought_back(made, boxes.to(device), numbers.to(device), height, width)


def label_maps(
    image: Tensor,
    boxes: Tensor,
    numbers: Tensor,
    names: Sequence[str],
    model: Pretrained,
    side: int = SIDE,
    crowds: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Y_crf and Y_ret as `masks` makes them, without what would not fit memory for a large image.

    Args:
        image: RGB as stored, uint8 [3, H, W].
        boxes: float32 [K, 4], XYXY, half-open, pixels, inside the image.
        numbers: int64 [K], 1..len(names) - 1.
        names: of the classes, background first; those that the classifier does not know take
            u_c = 1 - u_0.
        model: of `load_pretrained`.
        side: longer side, in pixels, at which the labels are made.
        crowds: as ``boxes``, see `bana.labels.pseudo_labels`.

    Returns:
        Y_crf and Y_ret, uint8 [H, W], numbered as ``names``; 255 in crowds.
    """
    height, width = _size_of(image)
    crowds = boxes[:0] if crowds is None else crowds
    made = _at_side(image, boxes, numbers, names, model, side, crowds)
    unknown = unknown_in_crowds(crowds, boxes, height, width).to(made.y_crf.device)
    y_crf, y_ret = (
        _labels_brought_back(label, boxes, numbers, height, width).masked_fill(unknown, IGNORE)
        for label in (made.y_crf, made.y_ret)
    )
    return y_crf, y_ret


def _at_side(
    image: Tensor,
    boxes: Tensor,
    numbers: Tensor,
    names: Sequence[str],
    model: Pretrained,
    side: int,
    crowds: Tensor,
) -> PseudoLabels:
    """Labels of the image brought to the size at which the classifier sees it."""
    height, width = image.shape[1:]
    weight = transfer_weight(model.classifier.weight, model.classes, names)
    size = seen_size(height, width, side)
    factors = boxes.new_tensor([size[1] / width, size[0] / height] * 2)
    device = weight.device
    with torch.no_grad():
        seen = F.resize(image.as_subclass(Tensor), size, antialias=True).to(device)
        backbone = model.classifier.backbone
        return pseudo_labels(
            backbone(seen[None])[0],
            weight,
            seen,
            (boxes * factors).to(device),
            numbers.to(device),
            model.unary,
            model.crf,
            backbone.stride,
            (crowds * factors).to(device),
        )


def seen_size(height: int, width: int, side: int) -> list[int]:
    """Height and width, in pixels, at which a classifier sees an image, of its longer side."""
    scale = side / max(height, width)
    return [max(1, round(length * scale)) for length in (height, width)]


def _size_of(image: Tensor) -> tuple[int, int]:
    if not isinstance(image, Tensor):
        raise ValueError(
            f"image must be a torch tensor, uint8 [3, H, W], got {type(image).__name__}"
        )
    if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image must be uint8 [3, H, W], got {image.dtype} {tuple(image.shape)}")
    if 0 in image.shape:
        raise ValueError(f"image must have pixels, got {tuple(image.shape)}")
    return image.shape[1], image.shape[2]


def _corners(boxes: Tensor | Sequence[Sequence[float]], height: int, width: int) -> Tensor:
    """Boxes as float32 XYXY; refuses those that say that they are of an image of another size."""
    if isinstance(boxes, tv_tensors.BoundingBoxes):
        if tuple(boxes.canvas_size) != (height, width):
            of = "{1} x {0}".format(*boxes.canvas_size)
            raise ValueError(f"boxes are of an image of {of}, and this one is {width} x {height}")
        if boxes.format.name not in UPRIGHT:
            raise ValueError(f"boxes of format {boxes.format.name}: use {' or '.join(UPRIGHT)}")
        plain = boxes.as_subclass(Tensor).float()
        boxes = F.convert_bounding_box_format(plain, boxes.format, "XYXY")
    try:
        return torch.as_tensor(boxes, dtype=torch.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"boxes must be numbers [K, 4], one box a row ({error})") from error


def _boxes_inside(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes cut off at the image's border; refuses those of which nothing is left."""
    if boxes.shape == (0,):  # of an empty list
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be [K, 4], got {tuple(boxes.shape)}")
    cut = boxes.clamp_min(0).minimum(boxes.new_tensor([width, height, width, height]))
    for box, rest in zip(boxes, cut, strict=True):
        if not box.isfinite().all() or (rest[2:] - rest[:2] < 1).any():
            raise ValueError(
                f"box {_short(box)} has no whole pixel in an image of {width} x {height}: boxes "
                f"are x1, y1, x2, y2 in pixels, not widths and heights"
            )
        if box.max() <= 1:
            raise ValueError(f"box {_short(box)} is in fractions of the image: pixels are wanted")
    return cut


def _short(box: Tensor) -> str:
    return f"[{', '.join(f'{value:g}' for value in box.tolist())}]"


def _numbered(
    classes: Sequence[str] | Sequence[int] | np.ndarray | Tensor, known: Sequence[str]
) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers int64 [K] of the boxes' classes, and names by number, background first."""
    if isinstance(classes, str):
        raise ValueError(f"classes must be a list, one for each box, got {classes!r}")
    # A set has no order, so that nobody knows which box has which class.
    if not isinstance(classes, Iterable) or isinstance(classes, Iterator | Set | Mapping):
        kind = type(classes).__name__
        raise ValueError(f"classes must be a list, one for each box, got something of type {kind}")
    if getattr(classes, "ndim", 1) != 1:
        raise ValueError(f"classes must be [K], one for each box, got {tuple(classes.shape)}")
    if isinstance(classes, Tensor) and len(classes) and classes.dtype not in INTEGERS:
        raise ValueError(f"classes must be whole numbers, got {classes.dtype}")
    if not isinstance(classes, Tensor) and not all(isinstance(each, str) for each in classes):
        classes = _whole(classes)
    if isinstance(classes, Tensor):
        rows = classes.long()
        if len(rows) and not 1 <= int(rows.min()) <= int(rows.max()) < len(known):
            raise ValueError(f"classes must be 1..{len(known) - 1}, got {rows.tolist()}")
        return rows, tuple(known)
    names = {common_name(name): number for number, name in enumerate(known)}
    wanted = [common_name(name) for name in classes]
    if "" in wanted or "background" in wanted:
        raise ValueError(f"a box's class must have a name, other than background: {list(classes)}")
    for name in wanted:
        names.setdefault(name, len(names))
    new = [name for name, number in names.items() if number >= len(known)]
    return torch.tensor([names[name] for name in wanted], dtype=torch.int64), (*known, *new)


def _whole(classes: Sequence[int] | np.ndarray) -> Tensor:
    """Numbers of classes as int64 [K]; refuses what is no whole number."""
    wrong = f"classes must be names or whole numbers, got {list(classes)}"
    if any(isinstance(each, bool) for each in classes):
        raise ValueError(wrong)
    try:
        return torch.tensor([operator.index(each) for each in classes], dtype=torch.int64)
    except TypeError as error:
        raise ValueError(wrong) from error


def _brought_back(
    made: PseudoLabels, boxes: Tensor, numbers: Tensor, height: int, width: int
) -> PseudoLabels:
    """Labels at the size of the image; on the way no class leaves its boxes by a rounded pixel."""
    size = [height, width]
    covered = class_masks(boxes, numbers, made.classes[1:], height, width).any(0)  # B, [H, W]
    attention = F.resize(made.attention[None], size, antialias=True)[0]
    unary = F.resize(made.unary, size, antialias=True)
    certain = torch.zeros_like(unary)
    certain[0] = 1
    return PseudoLabels(
        _labels_brought_back(made.y_crf, boxes, numbers, height, width),
        _labels_brought_back(made.y_ret, boxes, numbers, height, width),
        torch.where(covered, attention, torch.ones_like(attention)),
        torch.where(covered, unary, certain),
        made.classes,
    )


def _labels_brought_back(
    label: Tensor, boxes: Tensor, numbers: Tensor, height: int, width: int
) -> Tensor:
    """A label map at the size of the image, a box at a time, since boxes may be many."""
    large = F.resize(label[None], [height, width], InterpolationMode.NEAREST_EXACT)[0]
    kept = torch.zeros_like(large)
    for box, number in zip(boxes, numbers.tolist(), strict=True):
        inside = pixels_of(box)
        kept[inside] = torch.where(large[inside] == number, large[inside], kept[inside])
    return kept
