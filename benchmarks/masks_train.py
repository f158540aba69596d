"""What `bana masks --train` brings to classes that the classifier does not know, by true masks.

Run `python benchmarks/masks_train.py --photographs VOC_FOLDER --out results/masks-train.json`. Four
of VOC's classes get names that nobody knows, so that their masks are u_c = 1 - u_0, and are made
again after a training on the boxes of 150 photographs. `--start unseen` begins with a classifier
that never saw a photograph with one of these classes, as it is with a user's own; `--start shipped`
with the one that comes along, which was trained on these photographs under their true names.
"""

import argparse
import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from measure import environment, write_record
from torch import Tensor

from bana.data.fingerprint import fingerprint
from bana.data.layout import Box, Photograph
from bana.data.voc import VocDataset
from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import verdict
from bana.experiment import stages
from bana.experiment.classifying import trained_classifier
from bana.experiment.mask_folder import labels_of, open_folder, record_of
from bana.experiment.masking import MaskJob, MaskSettings, make_masks
from bana.experiment.own_classifier import train_on_boxes
from bana.experiment.pretrained import Pretrained, load_pretrained
from bana.experiment.profiles import Profile, get_profile
from bana.files.artefacts import content_hash, source_commit, weights_hash
from bana.files.paths import run_dir
from bana.training.machine import THIS_MACHINE

RENAMED = ("bird", "cat", "dog", "horse")
REPORTED = ("photographs", "boxes", "iterations", "measures", "named_by_own", "most_frequent")
SETTINGS = MaskSettings(writes=("voc",))


def some_of(data: VocDataset, names: Sequence[str]) -> VocDataset:
    """Some photographs of a data set."""
    some = copy.copy(data)
    some.ids = list(names)
    return some


def evenly(names: Sequence[str], count: int) -> list[str]:
    """So many of some names, evenly spaced."""
    count = min(count, len(names))
    return [names[i * len(names) // count] for i in range(count)]


def with_classes(data: VocDataset, numbers: Sequence[int], have: bool) -> VocDataset:
    """The photographs with, or without, a box of some classes."""
    wanted = set(numbers)
    found = {name: wanted & set(data.annotation(name)[1].tolist()) for name in data.ids}
    return some_of(data, [name for name in data.ids if bool(found[name]) == have])


def jobs_of(data: VocDataset, classes: Sequence[str]) -> list[MaskJob]:
    """The photographs as `bana masks` would read them, under other names of classes."""
    jobs = []
    for name in data.ids:
        path, where = data.image_path(name), str(data.annotation_path(name))
        boxes, labels = (part.tolist() for part in data.annotation(name))
        pairs = zip(labels, boxes, strict=True)
        things = [Box(classes[number], tuple(corners), where) for number, corners in pairs]
        photograph = Photograph(name, path, where, things, [])
        jobs.append(MaskJob(name, path.name, photograph, tuple(labels)))
    return jobs


def unseen(profile: Profile, data: VocDataset) -> Pretrained:
    """A classifier like the one that comes along, trained on the photographs that are given."""
    settings = stages.classifier_settings(profile, "bap")
    key = content_hash(fingerprint(data, "photograph", "boxes"))
    path = run_dir(profile.name) / f"classifier-unseen-{key}.pt"
    model = trained_classifier(path, settings, data, THIS_MACHINE, profile.loader_workers)
    about = {
        "hash": weights_hash(model.state_dict()),
        "backbone": {"name": profile.backbone, "output_stride": profile.output_stride},
    }
    return Pretrained(model, data.classes, profile.unary, profile.label_crf, about)


def areas_of(
    data: VocDataset, classes: tuple[str, ...], model: Pretrained, out: Path, workers: int
) -> Tensor:
    """Areas of the Y_crf that a classifier makes, int64 [N, L + 1, 2]."""
    jobs = jobs_of(data, classes)
    about = {"images": str(data.root), "boxes": str(data.root)}
    open_folder(out, about, out.parent / "no photographs")
    made = make_masks(jobs, {}, classes, out, SETTINGS, model, workers)
    assert not made.failed, made.failed
    rows = [
        class_areas(labels_of(out, name)[0], data.mask(name), len(classes)) for name in data.ids
    ]
    return torch.stack(rows)


def agreement(data: VocDataset, numbers: Sequence[int], out: Path) -> float:
    """Mean agreement of Y_crf and Y_ret, in percent, in the boxes of some classes."""
    agree = []
    for name in data.ids:
        held = record_of(out, name)
        pairs = zip(held["boxes"], held["differ"], strict=True)
        agree += [1 - differ for box, differ in pairs if box[0] in numbers]
    return 100 * sum(agree) / len(agree)


def scored(areas: dict[str, Tensor], numbers: Sequence[int], repeats: int) -> dict[str, Any]:
    """mIoU of some classes by each classifier, and what training changed."""
    own = {kind: each[:, list(numbers)] for kind, each in areas.items()}
    gain = paired_difference(own["trained"][None], own["before"][None], repeats)
    return {
        "photographs": len(own["before"]),
        "miou": {kind: float(mean_iou(each.sum(0))) for kind, each in own.items()},
        "trained_less_before": {**gain._asdict(), "verdict": verdict(gain)},
    }


def main() -> None:
    """Train, make masks, score, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path, required=True, help="folder in VOC layout")
    parser.add_argument("--start", choices=("unseen", "shipped"), default="unseen")
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--scored", type=int, default=60, help="of those trained on")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--iterations", type=int, help="of the training (default: its own)")
    parser.add_argument("--repeats", type=int, default=1000, help="draws of the intervals")
    parser.add_argument("--work", type=Path, help="folder to work in, so that a run can go on")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    profile = get_profile("voc-mini")
    data, val = (stages.dataset(profile, part, options.photographs) for part in ("train", "val"))
    numbers = [data.classes.index(name) for name in RENAMED]
    own = with_classes(data, numbers, True)
    own = some_of(own, evenly(own.ids, options.images))
    names = {number: f"animal-{place}" for place, number in enumerate(numbers, start=1)}
    classes = tuple(names.get(number, name) for number, name in enumerate(data.classes))
    if options.start == "shipped":
        start = load_pretrained()
    else:
        start = unseen(profile, with_classes(data, numbers, False))
    work = options.work or Path(tempfile.mkdtemp())
    trained, report = train_on_boxes(
        work / "own",
        jobs_of(own, classes),
        classes,
        start,
        SETTINGS.side,
        options.iterations,
        processes=options.workers,
    )
    held = report["held_out"]
    others = [name for name in own.ids if name not in held]
    parts = {
        "held_out": some_of(own, held),
        "of_val": with_classes(val, numbers, True),
    }
    if options.scored:
        parts["trained_on"] = some_of(own, evenly(others, options.scored))
    kinds = {"before": start, "trained": trained}
    scores = {}
    for part, some in parts.items():
        areas = {
            kind: areas_of(some, classes, model, work / part / kind, options.workers)
            for kind, model in kinds.items()
        }
        scores[part] = scored(areas, numbers, options.repeats)
        scores[part]["agreement"] = {
            kind: agreement(some, numbers, work / part / kind) for kind in kinds
        }
    record = {
        "benchmark": "mIoU % of Y_crf over classes that the classifier did not know, before and "
        "after `bana masks --train`",
        "start": options.start,
        "commit": source_commit(),
        "seed": profile.seed,
        "classes": list(RENAMED),
        "images": own.ids,
        **environment(),
        "report": {key: report[key] for key in REPORTED},
        "parts": scores,
    }
    write_record(record, options.out)


if __name__ == "__main__":
    main()
