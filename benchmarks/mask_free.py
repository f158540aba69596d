"""Whether measures without masks rank labels as mIoU does, where masks are known.

Run `python benchmarks/mask_free.py --photographs VOC_FOLDER --out results/mask-free-voc-mini.json`.
The classifier that comes along, and one with ImageNet's backbone instead, make several kinds of
labels of validation photographs; of each kind there are mIoU and the measures of
`bana.experiment.mask_free`. Of every two kinds that mIoU tells apart, the record counts whether a
measure puts them in the same order.
"""

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import torch
from measure import environment, write_record
from torch import Tensor

from bana.data.transforms import eval_image
from bana.data.voc import VocDataset
from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import NOT_TOLD_APART, verdict
from bana.experiment.labelling import LabelSettings, labels_from_features
from bana.experiment.mask_free import label_measures, measured
from bana.experiment.pretrained import load_pretrained
from bana.files.artefacts import source_commit
from bana.files.parallel import mapped
from bana.networks.backbones import build_backbone
from bana.networks.classifier import BoxClassifier

LABEL_MEASURES = ("agreement", "found")


class Kind(NamedTuple):
    """A kind of labels: the number of its classifier and its settings."""

    model: int
    settings: LabelSettings


def kinds_of() -> tuple[list[BoxClassifier], dict[str, Kind]]:
    """The classifiers, and the kinds of labels that they make."""
    shipped = load_pretrained()
    about = shipped.about["backbone"]
    untrained = copy.deepcopy(shipped.classifier)
    untrained.backbone = build_backbone(about["name"], about["output_stride"])
    own = LabelSettings("bap", shipped.unary, shipped.crf)
    changes: dict[str, dict[str, Any]] = {
        "all of u_0": {"background_threshold": 0.0},
        "u_0 above .99 of its maximum": {"background_threshold": 0.99},
        "no u_0": {"background": "none"},
        "u_c = 1 - u_0": {"class_agnostic": True},
    }
    kinds = {"as it comes along": Kind(0, own)}
    for name, change in changes.items():
        kinds[name] = Kind(0, replace(own, unary=replace(shipped.unary, **change)))
    kinds["ImageNet, u_c = 1 - u_0"] = Kind(1, kinds["u_c = 1 - u_0"].settings)
    return [shipped.classifier, untrained.eval()], kinds


@torch.no_grad()
def measures_of(
    models: Sequence[BoxClassifier], kinds: Sequence[Kind], data: VocDataset, number: int
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Areas of Y_crf of one image under every kind, [kinds, L + 1, 2], and its measures."""
    torch.set_num_threads(1)  # the other cores have images of their own
    item = data[number]
    features = [model.backbone(eval_image(item)[None])[0] for model in models]
    mask = data.mask(item["id"])
    areas, measures = [], []
    for kind in kinds:
        made: list[Tensor] = []
        labels = partial(_labels, models[kind.model], features[kind.model], kind.settings, made)
        measures.append(label_measures(item, labels))
        areas.append(class_areas(made[0], mask, len(data.classes)))
    return torch.stack(areas), measures


def _labels(
    model: BoxClassifier,
    features: Tensor,
    settings: LabelSettings,
    made: list[Tensor],
    image: Tensor,
    boxes: Tensor,
    numbers: Tensor,
) -> tuple[Tensor, Tensor]:
    """Y_crf and Y_ret; ``made`` collects Y_crf, that of the given boxes first."""
    item = {"image": image, "boxes": boxes, "labels": numbers}
    labels = labels_from_features(model, item, features, settings)
    made.append(labels.y_crf)
    return labels.y_crf, labels.y_ret


def pairs_of(
    names: Sequence[str],
    areas: Tensor,
    measures: Sequence[Sequence[dict[str, Tensor]]],
    repeats: int,
) -> list[dict[str, Any]]:
    """Every two kinds: the difference in mIoU and in each measure, with verdicts."""
    pairs = []
    for i, j in combinations(range(len(names)), 2):
        miou = paired_difference(areas[None, :, j], areas[None, :, i], repeats)
        pair: dict[str, Any] = {"first": names[i], "second": names[j]}
        pair["miou"] = {**miou._asdict(), "verdict": verdict(miou)}
        for name in LABEL_MEASURES:
            gain = measured([row[i] for row in measures], [row[j] for row in measures], name).gain
            if gain is not None:
                pair[name] = {**gain._asdict(), "verdict": verdict(gain)}
        pairs.append(pair)
    return pairs


def ranked(pairs: Sequence[dict[str, Any]], name: str) -> dict[str, int]:
    """Of the pairs that mIoU tells apart: how many a measure orders likewise, otherwise, or not."""
    told = [p for p in pairs if p["miou"]["verdict"] != NOT_TOLD_APART and name in p]
    said = [(p[name]["verdict"], p["miou"]["verdict"]) for p in told]
    return {
        "told_apart_by_miou": len(told),
        "same_order": sum(own == true for own, true in said),
        "other_order": sum(own not in (true, NOT_TOLD_APART) for own, true in said),
        "not_told_apart": sum(own == NOT_TOLD_APART for own, _ in said),
    }


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, required=True, help="folder in VOC layout")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1000, help="draws of mIoU's intervals")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    models, kinds = kinds_of()
    data = VocDataset(options.photographs, "val")
    count = min(options.images, len(data))
    numbers = [i * len(data) // count for i in range(count)]
    work: Callable[[int], Any] = partial(measures_of, models, list(kinds.values()), data)
    made = list(mapped(work, numbers, "measures", options.workers))
    areas = torch.stack([each for each, _ in made])  # [N, kinds, L + 1, 2]
    measures = [each for _, each in made]
    rows = {}
    for column, name in enumerate(kinds):
        own = [row[column] for row in measures]
        rows[name] = {"miou": float(mean_iou(areas[:, column].sum(0)))}
        for measure in LABEL_MEASURES:
            value = measured(own, own, measure).after
            rows[name][measure] = value.value if value else None
    pairs = pairs_of(list(kinds), areas, measures, options.repeats)
    record = {
        "benchmark": "measures without masks beside mIoU, in percent, of kinds of labels",
        "split": "val",
        "commit": source_commit(),
        "images": len(numbers),
        **environment(),
        "kinds": rows,
        "order": {name: ranked(pairs, name) for name in LABEL_MEASURES},
        "pairs": pairs,
    }
    write_record(record, options.out)


if __name__ == "__main__":
    main()
