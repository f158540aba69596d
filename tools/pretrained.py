"""Makes the classifier that comes with the package: `python tools/pretrained.py --data FOLDER`.

Trains the box classifier of a profile (what `bana train classifier` kept is taken), writes it in 16
bits to `bana/pretrained/`, reads it back, makes labels of the validation images with what was read,
and writes their scores and the model card beside it.
"""

import argparse
from dataclasses import asdict
from typing import Any

import torch
from tqdm import tqdm

from bana.baselines import filled_boxes, refined_boxes
from bana.data.fingerprint import fingerprint
from bana.data.voc import VocDataset
from bana.evaluation.intervals import Difference, estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.verdicts import interval
from bana.experiment import stages
from bana.experiment.classifying import classifier_key
from bana.experiment.pretrained import FOLDER, Pretrained, load_pretrained, masks, save_pretrained
from bana.experiment.profiles import Profile, get_profile
from bana.files.artefacts import content_hash, read_json, weights_hash, write_json
from bana.files.paths import run_dir

LABELS = {
    "boxes": "boxes filled",
    "boxes-crf": "boxes filled, CRF",
    "bap": "Y_crf",
    "bap-ret": "Y_ret",
}


def scores(model: Pretrained, data: VocDataset) -> dict[str, Any]:
    """mIoU of the labels that the shipped weights make of a split, beside the controls'.

    Returns:
        {kind: {"value", "low", "high"}} in percent, {"bap - boxes-crf": {"mean", ...}} in points.
    """
    rows: dict[str, list[torch.Tensor]] = {kind: [] for kind in LABELS}
    for item in tqdm(data, desc="labels"):
        image, boxes, mask = (
            item[key].as_subclass(torch.Tensor) for key in ("image", "boxes", "mask")
        )
        made = masks(image, boxes, item["labels"], model, side=max(image.shape[1:]))
        given = boxes, item["labels"]
        kinds = {
            "boxes": filled_boxes(*given, *mask.shape),
            "boxes-crf": refined_boxes(image, *given, model.crf),
            "bap": made.y_crf,
            "bap-ret": made.y_ret,
        }
        for kind, label in kinds.items():
            rows[kind].append(class_areas(label, mask, len(model.classes)))
    areas = {kind: torch.stack(each) for kind, each in rows.items()}
    found: dict[str, Any] = {
        kind: estimate(each, mean_iou)._asdict() for kind, each in areas.items()
    }
    gain = paired_difference(areas["bap"][None], areas["boxes-crf"][None])
    return found | {"bap - boxes-crf": gain._asdict()}


def training(profile: Profile, root: str) -> dict[str, Any]:
    """How a profile trains its classifier, as plain JSON values."""
    data = stages.dataset(profile, "train", root)
    return {
        "profile": profile.name,
        "seed": profile.seed,
        "photographs": len(data),
        "boxes": sum(len(item["labels"]) for item in data),
        "boxes_off_masks": boxes_off_masks(data),
        "data": content_hash(fingerprint(data, "photograph", "boxes")),
        "crop": profile.crop,
        "drop": profile.classifier_drop,
        "frozen_stages": profile.frozen_stages,
    } | asdict(profile.classifier)


def boxes_off_masks(data: VocDataset) -> int:
    """Boxes of which the XML file says that they were read off a mask, as `<boxsource>`."""
    files = (data.root / "Annotations" / f"{name}.xml" for name in data.ids)
    return sum(path.read_text("utf-8").count("<boxsource>mask</boxsource>") for path in files)


def trained_in(profile: Profile, root: str) -> dict[str, Any]:
    """Commit, versions and machine of the training that was found or has just been made."""
    seen = stages.dataset(profile, "train", root)
    key = classifier_key(stages.classifier_settings(profile, "bap"), seen)
    return read_json(run_dir(profile.name) / f"classifier-bap-{key[:8]}" / "environment.json")


CARD = """\
# {name}

This is a box classifier with background-aware pooling. `bana.load_pretrained("{name}")` reads it,
and `bana.masks(image, boxes, classes)` makes masks with it. `tools/pretrained.py` wrote this
card and [{name}.json]({name}.json), which holds the same facts and all settings.

- **What it is.** EfficientNet-Lite0, started from ImageNet weights (output stride {stride}), and a
  linear softmax classifier without bias; 16-bit numbers, {size:.1f} MB. Classes: {classes}.
- **What it was trained on.** {photographs} photographs with {boxes} boxes: a stratified part of
  the segmentation *val* set of PASCAL VOC 2012. It was shown no mask. But {boxes_off_masks} of the
  boxes, of objects that VOC lists as difficult, were read off masks, since VOC's own were not to be
  had. **Do not report scores on VOC's val set for labels or networks made with it**: it has seen
  the boxes of many of those photographs.
- **How.** Profile `{profile}`, seed {seed}, {iterations} iterations with {batch} crops of {crop}
  pixels each, on a CPU; commit {commit}, torch {torch}.

## What it scores

The table gives the mIoU in percent on the {validated} validation photographs of the profile, whose
boxes it did not see, with 95 % intervals over images:

| labels | mIoU |
| --- | ---: |
{rows}

Y_crf minus boxes filled with a CRF: {gain} points. This is one training; nothing here tells how far
another seed would differ.

## What it is not for

- It is not a detector: it needs boxes, and it labels what a box holds with the class of the box.
- It knows no class but these {n}: boxes of other classes take u_c = 1 - u_0, the attention alone.
- It is not for scores that are set beside published ones: see above.
- It is weak where a box fills the image (there is no background to compare with), where an object
  looks like its background, on parts thinner than {stride} pixels, and where boxes of one class
  overlap.
- The photographs of PASCAL VOC come from Flickr, under Flickr's terms, for research use. The
  weights contain no photograph. You decide whether weights learned from such photographs suit
  your use.
"""


def card(name: str, about: dict[str, Any], size: float) -> str:
    """The model card, from what the JSON file says."""
    found, how = about["scores"], about["training"]
    rows = [
        "| {} | {value:.1f} [{low:.1f}, {high:.1f}] |".format(text, **found[kind])
        for kind, text in LABELS.items()
    ]
    gain = interval(Difference(**found["bap - boxes-crf"]))
    return CARD.format(
        name=name,
        stride=about["backbone"]["output_stride"],
        size=size,
        classes=", ".join(about["classes"][1:]),
        n=len(about["classes"]) - 1,
        rows="\n".join(rows),
        gain=gain,
        commit=about["environment"]["commit"],
        torch=about["environment"]["torch"],
        validated=about["validated"],
        **how,
    )


def main() -> None:
    """Train or find the classifier, write it, score what was written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder in VOC layout; BANA_VOC_ROOT where it is left out")
    parser.add_argument("--profile", default="voc-mini")
    options = parser.parse_args()
    profile = get_profile(options.profile)
    model = stages.classifier(profile, "bap", options.data)
    data = stages.dataset(profile, "val", options.data)
    about = {
        "backbone": {"name": profile.backbone, "output_stride": profile.output_stride},
        "trained_weights": weights_hash(model.state_dict()),
        "training": training(profile, options.data),
        "environment": trained_in(profile, options.data),
    }
    kind = profile.unary, profile.label_crf
    save_pretrained(profile.name, model, data.classes, *kind, about)
    shipped = load_pretrained(profile.name)
    about = shipped.about | {"validated": len(data), "scores": scores(shipped, data)}
    write_json(FOLDER / f"{profile.name}.json", about)
    size = (FOLDER / f"{profile.name}.safetensors").stat().st_size / 1e6
    text = card(profile.name, about, size)
    (FOLDER / f"{profile.name}.md").write_text(text, encoding="utf-8", newline="\n")
    print(text)


if __name__ == "__main__":
    main()
