"""A promptable model beside the labels that were learned from boxes: same images, same boxes.

Masks are the yardstick and nothing else: no answer of the model is chosen by one. By classes, and
by how loosely the boxes are drawn, of which labels made from the same loose boxes know as well.
"""

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from bana.baselines import filled_boxes
from bana.data.fingerprint import fingerprint
from bana.evaluation.boundary import boundary_areas
from bana.evaluation.intervals import Difference, estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.prediction import fastest_device
from bana.evaluation.verdicts import plain_difference, plain_estimate, stated, verdict
from bana.experiment.keeping import key_of
from bana.experiment.left_out.boxes import drawn
from bana.experiment.left_out.catalogue import EXPERIMENTS
from bana.experiment.left_out.measuring import MEASURES as OF_LABELS
from bana.experiment.left_out.measuring import UNCHANGED, Bench, file_name, kept_areas
from bana.experiment.left_out.running import bench_of, chosen_numbers
from bana.experiment.left_out.steps import Change
from bana.experiment.profiles import Profile
from bana.experiment.promptable import Promptable, filled_masks, load_promptable, prompted
from bana.files.artefacts import (
    load_checkpoint,
    read_json,
    save_checkpoint,
    weights_hash,
    write_json,
)
from bana.files.paths import run_dir
from bana.losses import IGNORE

Root = str | Path | None

LOOSE = {
    name: change
    for name, change in EXPERIMENTS["boxes"].changes.items()
    if change.defect is not None and change.defect.kind == "loosened"
}
DRAWINGS = {UNCHANGED: Change(), **LOOSE}
"""How boxes are drawn, by name; names and seeds are those of the experiment "boxes"."""
LABELS = ("boxes", "y_crf", "sam")
PAIRS = (("sam", "y_crf"), ("sam", "boxes"))
MEASURES = ("miou", "boundary")
IMAGES_A_SAVE = 8
FEW = 5
"""Of a class in fewer images no difference is given: drawn again and again they say too little."""


def sam_card(
    profile: Profile, folder: Path, images: int | None = None, root: Root = None
) -> dict[str, Any]:
    """A promptable model, the profile's Y_crf and boxes filled, on the same val images.

    Args:
        profile: settings; its classifier is trained where it is missing.
        folder: of the model, see `bana.experiment.promptable.load_promptable`.
        images: so many of the val images, evenly spaced; None takes all.
        root: see `bana.experiment.stages.data_root`.

    Returns:
        "checkpoint": the name of its folder; "type", "parameters"; "weights": SHA-256 by file;
        "transformers": its version; "images": how many; "coverage": percent of pixels that the
        model's labels mark; "seconds an image", with "prompts an image": one look, and so many
        boxes. "drawings": {how boxes are drawn: {"miou" or "boundary": scores}}; "classes":
        {class: scores, and "images": in how many it has boxes}, of the boxes as they are. Scores
        are {"boxes", "y_crf", "sam": an estimate in percent; "sam - y_crf", "sam - boxes":
        {"mean", "low", "high", "verdict"}, points}, with 95 % intervals over images. A class that
        occurs nowhere has None, and one in fewer than `FEW` images None for its differences.

    Raises:
        ValueError: if fewer than one image is asked for, and as `load_promptable`.
        bana.data.voc.DataError: if an image has no mask.
    """
    if images is not None and images < 1:
        raise ValueError(f"at least one image, not {images}")
    promptable = load_promptable(folder, fastest_device())
    bench = bench_of(profile, root)
    numbers = chosen_numbers(len(bench.data), images)
    learned = _learned(profile, bench, numbers)
    answers = kept_answers(promptable, bench, run_dir(profile.name) / "sam", numbers)
    areas = torch.stack([answer["areas"] for answer in answers])
    sides = {
        name: {
            "boxes": areas[:, place, 0],
            "y_crf": learned[name],
            "sam": areas[:, place, 1],
        }
        for place, name in enumerate(DRAWINGS)
    }
    labelled, counted = (sum(answer[key] for answer in answers) for key in ("labelled", "counted"))
    card = {
        "checkpoint": promptable.name,
        "type": promptable.kind,
        "weights": promptable.weights,
        "parameters": sum(each.numel() for each in promptable.model.parameters()),
        "transformers": version("transformers"),
        "images": len(numbers),
        "coverage": 100 * labelled / counted,
        "seconds an image": _mean(answers, "seconds"),
        "prompts an image": _mean(answers, "prompts"),
        "drawings": {name: _scores(each) for name, each in sides.items()},
        "classes": {
            name: _class_scores(sides[UNCHANGED], number)
            for number, name in enumerate(bench.data.classes)
        },
    }
    write_json(_card_path(profile), {"key": _card_key(bench), "result": card})
    return card


def kept_card(profile: Profile, root: Root = None) -> dict[str, Any] | None:
    """The card that `sam_card` made last, where data, boxes and labels are still the same.

    The checkpoint is not looked for: the card says which it was.
    """
    kept = read_json(_card_path(profile))
    return kept["result"] if kept and kept["key"] == _card_key(bench_of(profile, root)) else None


def _card_path(profile: Profile) -> Path:
    return run_dir(profile.name) / "sam" / "card.json"


def _card_key(bench: Bench) -> str:
    seen = fingerprint(bench.data, "photograph", "boxes", "mask")
    weights = weights_hash(bench.model.state_dict())
    return key_of(sam_card, bench.settings, weights, seen, bench.seed, DRAWINGS)


def _mean(answers: Sequence[Mapping[str, Any]], key: str) -> float:
    return sum(answer[key] for answer in answers) / len(answers)


def _learned(profile: Profile, bench: Bench, numbers: Sequence[int]) -> dict[str, Tensor]:
    """Areas of Y_crf under every drawing, int64 [N, len(MEASURES), L + 1, 2].

    They are kept where `bana bench left-out` keeps them: none is made twice.
    """
    where, processes = run_dir(profile.name) / "left-out", profile.label_workers
    made = kept_areas(bench, {UNCHANGED: Change()}, where / UNCHANGED, numbers, processes)
    made |= kept_areas(bench, LOOSE, where / "boxes", numbers, processes)
    columns = [OF_LABELS.index(name) for name in ("y_crf", "y_crf boundary")]
    return {name: areas[:, columns] for name, areas in made.items()}


def kept_answers(
    promptable: Promptable, bench: Bench, folder: Path, numbers: Sequence[int]
) -> list[dict[str, Any]]:
    """What the model answers on every image, see `image_answer`; only what is missing is asked.

    Args:
        promptable: the model. Its files count, wherever they lie.
        bench: data and seed.
        folder: of the kept answers, a file a checkpoint.
        numbers: of the images, positions in the data set.
    """
    seen = fingerprint(bench.data, "photograph", "boxes", "mask")
    library = version("transformers")
    key = key_of(image_answer, promptable.files, library, seen, bench.seed, DRAWINGS)
    path = folder / f"{file_name(promptable.name)}.pt"
    there = (load_checkpoint(path, key) or {"images": {}})["images"]
    names = [bench.data.ids[number] for number in numbers]
    missing = [(n, name) for n, name in zip(numbers, names, strict=True) if name not in there]
    if missing:
        try:
            for done, (number, name) in enumerate(tqdm(missing, desc="promptable model"), 1):
                there[name] = image_answer(promptable, bench, number)
                if done % IMAGES_A_SAVE == 0:
                    save_checkpoint(path, key, {"images": there})
        finally:
            save_checkpoint(path, key, {"images": there})
    return [there[name] for name in names]


def image_answer(promptable: Promptable, bench: Bench, number: int) -> dict[str, Any]:
    """The model's answer on one image under every drawing of its boxes, asked at once.

    Returns:
        "areas": int64 [len(DRAWINGS), 2, len(MEASURES), L + 1, 2], of boxes filled and of the
        model's masks; "labelled", "counted": pixels that the model's labels mark, of those that the
        mask does, for boxes as they are; "prompts": how many boxes were asked for; "seconds".
    """
    item = bench.data[number]
    image, boxes, mask = (item[key].as_subclass(Tensor) for key in ("image", "boxes", "mask"))
    size = tuple(image.shape[1:])
    asked = [
        drawn(boxes, item["labels"], size, change.defect, item["id"], bench.seed)[:2]
        if change.defect
        else (boxes, item["labels"])
        for change in DRAWINGS.values()
    ]
    every = torch.cat([corners for corners, _ in asked])
    start = time.monotonic()
    masks = prompted(promptable, image, every).masks
    seconds = time.monotonic() - start
    answers = masks.split([len(corners) for corners, _ in asked])
    labels = [
        (filled_boxes(corners, classes, *size), filled_masks(answer, corners, classes))
        for answer, (corners, classes) in zip(answers, asked, strict=True)
    ]
    marked = mask != IGNORE
    return {
        "areas": torch.stack(
            [torch.stack([_areas(label, mask, bench) for label in both]) for both in labels]
        ),
        "labelled": int((marked & (labels[0][1] != IGNORE)).sum()),
        "counted": int(marked.sum()),
        "prompts": len(every),
        "seconds": seconds,
    }


def _areas(label: Tensor, mask: Tensor, bench: Bench) -> Tensor:
    count = len(bench.data.classes)
    return torch.stack([class_areas(label, mask, count), boundary_areas(label, mask, count)])


def _scores(sides: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """By measure: scores of all labels and their differences, of areas [N, measures, L + 1, 2]."""
    result: dict[str, dict[str, Any]] = {}
    for column, measure in enumerate(MEASURES):
        areas = {name: side[:, column] for name, side in sides.items()}
        result[measure] = {
            name: plain_estimate(estimate(each, mean_iou)) for name, each in areas.items()
        }
        for first, second in PAIRS:
            difference = paired_difference(areas[first][None], areas[second][None])
            result[measure][f"{first} - {second}"] = _told(difference)
    return result


def _class_scores(sides: Mapping[str, Tensor], number: int) -> dict[str, Any]:
    """The same of the IoU of one class."""
    areas = {name: side[:, 0, number] for name, side in sides.items()}  # [N, 2]
    result: dict[str, Any] = {
        name: plain_estimate(estimate(each, _iou)) for name, each in areas.items()
    }
    result["images"] = int((areas["boxes"][:, 1] > 0).sum())
    for first, second in PAIRS:
        made = estimate(torch.stack([areas[first], areas[second]], 1), _ahead)
        enough = made is not None and result["images"] >= FEW
        result[f"{first} - {second}"] = _told(Difference(*made)) if enough else None
    return result


def _iou(sums: Tensor) -> Tensor:
    return 100 * sums[:, 0] / sums[:, 1]


def _ahead(sums: Tensor) -> Tensor:
    return _iou(sums[:, 0]) - _iou(sums[:, 1])


def _told(difference: Difference) -> dict[str, Any] | None:
    made = plain_difference(difference)
    return made and made | {"verdict": verdict(difference)}


def sam_lines(card: Mapping[str, Any]) -> str:
    """A card as plain text.

    Args:
        card: of `sam_card`.
    """
    head = (
        f"{card['checkpoint']} ({card['type']}, {card['parameters'] / 1e6:.1f} M parameters), "
        f"{card['images']} images, {card['seconds an image']:.1f} s each with "
        f"{card['prompts an image']:.0f} boxes asked for"
    )
    rows = {f"boxes {name}": each["miou"] for name, each in card["drawings"].items()}
    rows |= {f"  {name}": each for name, each in card["classes"].items()}
    width = max(map(len, rows))
    lines = [head, f"{'':<{width}}  filled  Y_crf    SAM  SAM - Y_crf"]
    for name, row in rows.items():
        scores = " ".join(_score(row[label]) for label in LABELS)
        made = row["sam - y_crf"]
        ahead = stated(Difference(made["mean"], made["low"], made["high"])) if made else "-"
        lines.append(f"{name:<{width}}  {scores}  {ahead}")
    return "\n".join(lines)


def _score(made: Mapping[str, float] | None) -> str:
    return f"{made['value']:6.1f}" if made else f"{'-':>6}"
