"""Below which share of its maximum u_0 is set to 0, chosen on training photographs.

Run `python benchmarks/threshold.py --profile voc-mini --photographs VOC_FOLDER --out
results/threshold-voc-mini.json`; without photographs scenes are drawn, and `--quick` takes few
photographs of a classifier that hardly trained. The profile's trained classifier is taken from its
runs, or trained. The masks of some training photographs, evenly spaced, score Y_crf under every
threshold, so that no image of the validation set has a part in the choice.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import environment, write_record
from torch import Tensor

from bana.data.transforms import eval_image
from bana.data.voc import VocDataset
from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import verdict
from bana.experiment import stages
from bana.experiment.labelling import LabelSettings, labels_from_features
from bana.experiment.profiles import get_profile
from bana.files.artefacts import source_commit
from bana.files.parallel import mapped
from bana.networks.classifier import BoxClassifier

# 0 keeps all of A, as Eq. 7 has it; .99 is the authors'; "none" is the paper's "without u_0".
THRESHOLDS = ("none", "0", "0.6", "0.7", "0.75", "0.8", "0.85", "0.9", "0.99")


def settings_of(settings: LabelSettings, threshold: str) -> LabelSettings:
    """The settings of the labels under another threshold."""
    unary = settings.unary
    assert unary is not None, "labels of a classifier"
    if threshold == "none":
        return replace(settings, unary=replace(unary, background="none"))
    return replace(settings, unary=replace(unary, background_threshold=float(threshold)))


@torch.no_grad()
def areas_of(
    model: BoxClassifier, data: VocDataset, choices: list[LabelSettings], number: int
) -> Tensor:
    """Areas of Y_crf of one image under every choice, int64 [choices, L + 1, 2]."""
    torch.set_num_threads(1)  # the other cores have images of their own
    item = data[number]
    features = model.backbone(eval_image(item, choices[0].image_scale)[None])[0]
    mask = data.mask(item["id"])
    made = (labels_from_features(model, item, features, choice).y_crf for choice in choices)
    return torch.stack([class_areas(y_crf, mask, len(data.classes)) for y_crf in made])


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few images, to try the script")
    parser.add_argument("--profile", default="sample", help="(default: sample)")
    parser.add_argument("--photographs", type=Path, help="folder in VOC layout")
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1000, help="draws of the intervals")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    profile = get_profile("smoke" if options.quick else options.profile)
    wanted = 3 if options.quick else options.images
    model = stages.classifier(profile, "bap", options.photographs)
    data = stages.dataset(profile, "train", options.photographs)
    numbers = sorted({i * len(data) // wanted for i in range(wanted)})
    own = stages.label_settings_of(profile, "bap")
    choices = [settings_of(own, threshold) for threshold in THRESHOLDS]
    work = partial(areas_of, model, data, choices)
    workers = 1 if options.quick else options.workers
    made = torch.stack(list(mapped(work, numbers, "thresholds", workers)))  # [N, choices, L + 1, 2]
    assert own.unary is not None
    ours = f"{own.unary.background_threshold:g}"
    rows: dict[str, dict[str, Any]] = {}
    for column, threshold in enumerate(THRESHOLDS):
        score = estimate(made[:, column], mean_iou, options.repeats)
        rows[threshold] = {"miou": score._asdict() if score else None}
        if threshold != ours and ours in THRESHOLDS:
            base = made[:, THRESHOLDS.index(ours)]
            pair = made[None, :, column], base[None]
            difference = paired_difference(*pair, resamples=options.repeats)
            rows[threshold]["less_the_profiles"] = difference._asdict()
            rows[threshold]["verdict"] = verdict(difference)
    record = {
        "benchmark": "mIoU % of Y_crf on training photographs by the threshold on u_0",
        "profile": profile.name,
        "commit": source_commit(),
        "images": [data.ids[number] for number in numbers],
        "profiles_threshold": ours,
        **environment(),
        "thresholds": rows,
    }
    write_record(record, options.out)


if __name__ == "__main__":
    main()
