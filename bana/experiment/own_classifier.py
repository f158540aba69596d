"""A box classifier trained on boxes of one's own, from the backbone of one that comes along.

What `bana masks --train` does before it makes masks: a part of the photographs is held out, stage 1
of the method trains on the rest, and what that brings is measured on the part held out, by boxes
alone (`bana.experiment.mask_free`). All of it lies in the folder of the masks:

    classifier/own.json, own.safetensors   `bana.load_pretrained("own", OUT / "classifier")`
    train.json                             what it was trained on, and what that brought
    kept/train/                            the training, which goes on where it was killed
"""

import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import (
    NOT_TOLD_APART,
    plain_difference,
    plain_estimate,
    stated,
    verdict,
)
from bana.experiment.classifying import kept_classifier
from bana.experiment.keeping import described, key_of
from bana.experiment.labelling import IMAGES_A_PROCESS
from bana.experiment.mask_free import MEASURES, Measured, box_measures, measured
from bana.experiment.masking import MaskJob
from bana.experiment.own_boxes import (
    LEAST_BOXES,
    BoxedPhotographs,
    check_enough,
    described_jobs,
    large_enough,
    looked_at,
    parted,
)
from bana.experiment.pretrained import Pretrained, load_pretrained, pooling_of, save_pretrained
from bana.experiment.processes import computing_with, spread
from bana.experiment.profiles import get_profile
from bana.experiment.trained import CropSettings
from bana.experiment.transfer import transfer_weight
from bana.files.artefacts import kept_json, write_json
from bana.networks.backbones import build_backbone
from bana.networks.classifier import BoxClassifier
from bana.training.machine import THIS_MACHINE, Machine
from bana.training.optimisation import Optimisation

NAME = "own"
REPORT = "train.json"
PROFILE = "voc-mini"
"""The profile by which the classifier that comes along was trained; its settings serve again."""
VISITS = 5
"""How often the training sees each photograph, within `FEWEST` and the profile's iterations."""
FEWEST = 200
TITLES = {
    "found": "boxes found again from larger ones, %",
    "agreement": "agreement of Y_crf and Y_ret in boxes, % (no guide to masks)",
    "named": "boxes named rightly, of classes that both know, %",
}
"""The measures as they are told."""


@dataclass(frozen=True)
class OwnSettings:
    """All that the training depends on, but for photographs, boxes, code and where it starts.

    Attributes:
        side: longer side, in pixels, at which photographs are seen.
        crops, optimisation, drop, frozen_stages: as of `bana.experiment.profiles.Profile`.
        seed: of the part held out, of new weights, crops and their order.
    """

    side: int
    crops: CropSettings
    optimisation: Optimisation
    drop: float
    frozen_stages: int
    seed: int = 0


class _Both(NamedTuple):
    """What every photograph that is held out is measured with."""

    before: Pretrained
    after: Pretrained
    classes: tuple[str, ...]
    side: int


def own_settings(photographs: int, side: int, iterations: int | None = None) -> OwnSettings:
    """Those of the profile of the classifier that comes along, shorter for fewer photographs.

    Args:
        photographs: to train on.
        side: longer side, in pixels, at which photographs are seen.
        iterations: None takes as many as show each photograph `VISITS` times, at least `FEWEST`
            and at most the profile's.

    Raises:
        ValueError: if there is less than one iteration.
    """
    profile = get_profile(PROFILE)
    most = profile.classifier.iterations
    if iterations is None:
        enough = math.ceil(VISITS * photographs / profile.classifier.batch)
        iterations = min(most, max(FEWEST, enough))
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    return OwnSettings(
        side,
        CropSettings(profile.crop, profile.crop_scale, profile.image_scale),
        replace(profile.classifier, iterations=iterations),
        profile.classifier_drop,
        profile.frozen_stages,
        profile.seed,
    )


def train_on_boxes(
    out: Path,
    jobs: Sequence[MaskJob],
    classes: tuple[str, ...],
    start: Pretrained,
    side: int,
    iterations: int | None = None,
    machine: Machine = THIS_MACHINE,
    processes: int = 1,
) -> tuple[Pretrained, dict[str, Any]]:
    """A classifier of one's own classes, and what it brings where it was not trained.

    What is there is kept: a killed training goes on from its last checkpoint, and other
    photographs, boxes, classes or settings train anew.

    Args:
        out: folder of the masks.
        jobs: photographs with their boxes.
        classes: background first.
        start: whose backbone the training begins with, and the rows of the classes that it knows;
            how labels are made is taken over from it.
        side: longer side, in pixels, at which photographs are seen.
        iterations: see `own_settings`.
        machine: where and how to train.
        processes: that look at photographs and measure; crops are prepared by one besides, where
            there are several.

    Returns:
        The classifier as `load_pretrained` reads it, and the report: "photographs" and "boxes" it
        was trained on, "held_out" and "left_out" names, "few" {class: boxes to train on} of classes
        with too few, "iterations", "measures" {measure: `bana.experiment.mask_free.Measured`},
        "named_by_own", the same of all boxes held out, and "most_frequent", the percent of them
        that one class has.

    Raises:
        DataError: if photographs, classes or background are too few to train on.
        bana.training.runs.RunError: if disk or memory do not suffice.
        bana.training.runs.Interrupted: after a signal that asks to stop, when everything is saved.
    """
    folder = out / "kept" / "train"
    seen = looked_at(folder, jobs, processes)
    usable = [job for job in jobs if not seen[job.name].reason]
    background = [seen[job.name].background for job in usable]
    learned = {job.name: large_enough(job, side) for job in usable}
    least = start.classifier.min_background
    check_enough(usable, classes, list(learned.values()), background, least)
    train, held = parted(usable, get_profile(PROFILE).seed)
    settings = own_settings(len(train), side, iterations)
    model = _trained(folder, train, classes, start, settings, machine, int(processes > 1))
    report = {
        **_learned_from(train, held, classes, learned),
        "iterations": settings.optimisation.iterations,
        "started_from": start.about["hash"],
        "left_out": {name: one.reason for name, one in seen.items() if one.reason},
    }
    about = {"backbone": start.about["backbone"], "training": report | described(settings)}
    save_pretrained(NAME, model, classes, start.unary, start.crf, about, out / "classifier")
    own = load_pretrained(NAME, out / "classifier")
    key = key_of(_compared, start.about["hash"], own.about["hash"], described_jobs(held), side)
    report |= kept_json(
        folder / "measures.json",
        key,
        lambda: _compared(_Both(start, own, classes, side), held, processes),
    )
    write_json(out / REPORT, report)
    return own, report


def _learned_from(
    train: Sequence[MaskJob],
    held: Sequence[MaskJob],
    classes: Sequence[str],
    learned: Mapping[str, Sequence[int]],
) -> dict[str, Any]:
    """The report's account of photographs and boxes, of which too small ones teach nothing."""
    counts = Counter(number for job in train for number in learned[job.name])
    boxed = {number for job in (*train, *held) for number in job.numbers}
    few = {
        name: counts[number]
        for number, name in enumerate(classes)
        if number in boxed and counts[number] < LEAST_BOXES
    }
    return {
        "photographs": len(train),
        "boxes": counts.total(),
        "held_out": [job.name for job in held],
        "few": few,
    }


def _trained(
    folder: Path,
    jobs: Sequence[MaskJob],
    classes: tuple[str, ...],
    start: Pretrained,
    settings: OwnSettings,
    machine: Machine,
    workers: int,
) -> BoxClassifier:
    """The classifier that is kept in the folder, or trained and kept there; on the CPU."""
    begins = start.about["hash"], pooling_of(start.classifier)
    key = key_of(_trained, settings, begins, classes, described_jobs(jobs))
    path = folder / "classifier.pt"
    for other in folder.glob("classifier-*"):  # begun with other boxes or settings
        if other.name != f"{path.stem}-{key[:8]}":
            shutil.rmtree(other)
    return kept_classifier(
        (path, key),
        settings,
        lambda: begun(start, classes, settings.frozen_stages),
        BoxedPhotographs(jobs, settings.side),
        machine,
        workers,
    )


def begun(start: Pretrained, classes: Sequence[str], frozen_stages: int) -> BoxClassifier:
    """A classifier of other classes, with the backbone and the rows that another one has of them.

    It pools as the other one does.

    Args:
        start: the other one; it is not modified.
        classes: background first.
        frozen_stages: of the backbone, that are not to be trained.
    """
    about = start.about["backbone"]
    backbone = build_backbone(about["name"], about["output_stride"], frozen_stages)
    model = BoxClassifier(backbone, len(classes) - 1, **pooling_of(start.classifier))
    model.backbone.load_state_dict(start.classifier.backbone.state_dict())
    rows = transfer_weight(start.classifier.weight, start.classes, classes)
    with torch.no_grad():
        model.weight.copy_(torch.where(rows.isnan(), model.weight, rows))
    return model


def _compared(both: _Both, held: Sequence[MaskJob], processes: int) -> dict[str, Any]:
    """The measures on photographs held out, as plain JSON values."""
    with computing_with(1):
        processes = 1 if len(held) < IMAGES_A_PROCESS * processes else processes
        done = dict(
            (job.name, made) for job, made in spread(_measure, both, held, processes, "held out")
        )
    before, after = zip(*(done[job.name] for job in held), strict=True)
    counts = Counter(number for job in held for number in job.numbers)
    return {
        "measures": {name: _plain(measured(before, after, name)) for name in MEASURES},
        "named_by_own": _plain(measured(after, after, "named")),
        "most_frequent": 100 * max(counts.values()) / counts.total(),
    }


def _measure(both: _Both, job: MaskJob) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    item = BoxedPhotographs([job], both.side)[0]
    return tuple(box_measures(model, item, both.classes) for model in (both.before, both.after))


def told(report: Mapping[str, Any]) -> list[str]:
    """The report of `train_on_boxes` in sentences, one a line."""
    held = len(report["held_out"])
    lines = [
        f"trained on {report['boxes']} boxes in {report['photographs']} photographs, "
        f"{report['iterations']} iterations; {held} photographs held out"
    ]
    if report["left_out"]:
        lines.append(f"{len(report['left_out'])} photographs that cannot be read had no part in it")
    if report["few"]:
        few = ", ".join(f"{name} ({count})" for name, count in report["few"].items())
        lines.append(f"classes with fewer than {LEAST_BOXES} boxes to train on: {few}")
    own = report["named_by_own"]["after"]
    lines.append(
        f"of the boxes held out it names {own['value']:.0f} % [{own['low']:.0f}, {own['high']:.0f}]"
        f" rightly; the most frequent class is {report['most_frequent']:.0f} %"
    )
    for name, title in TITLES.items():
        row = report["measures"][name]
        if row["gain"]:
            before, after = row["before"]["value"], row["after"]["value"]
            lines.append(
                f"{title} ({row['boxes']} boxes): {before:.1f} as it comes along, {after:.1f} "
                f"trained: {stated(Difference(**row['gain']))}"
            )
    lines.append(_conclusion(report["measures"]["found"]["gain"]))
    return lines


def _conclusion(found: Mapping[str, float] | None) -> str:
    """What the better of the measures says, and whose masks there are."""
    said = "no box can be enlarged, so that nothing here says whether the training helps masks"
    if found:
        said = {
            "higher": "boxes are found better after the training, a sign and no proof",
            "lower": "boxes are found worse after the training: it may have made masks worse",
            NOT_TOLD_APART: "the training is not told apart from none by the boxes found again",
        }[verdict(Difference(**found))]
    return (
        f"{said} (docs/masks.md); the masks are those of the trained classifier: without --train "
        f"the same command makes them with the one that comes along"
    )


def _plain(of: Measured) -> dict[str, Any]:
    return {
        "before": plain_estimate(of.before),
        "after": plain_estimate(of.after),
        "gain": of.gain and plain_difference(of.gain),
        "boxes": of.boxes,
    }
