"""The stages of the method, each made once and kept: data, classifier, labels, segmenter, scores.

Every artefact lies in runs/<profile>/ with a key: the hash of the settings, data and source code
it depends on. A stage loads what is there when the key fits and makes it anew otherwise.
"""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from bana import bap, baselines, cam, interpolation, losses
from bana import labels as label_module
from bana.crf import permutohedral
from bana.data import boxes, transforms, voc, voc_files
from bana.data.sample import make
from bana.evaluation import average_precision, boundary, instances, prediction, scoring
from bana.experiment import labelling, trained
from bana.experiment.labelling import (
    VARIANTS,
    Crew,
    LabelJob,
    check_devices,
    image_labels,
    is_labelled,
    label_batches,
    labelled,
    make_label_files,
    manifest_path,
    open_manifest,
    warn_of_failures,
)
from bana.experiment.profiles import Profile
from bana.files.artefacts import (
    content_hash,
    kept_json,
    read_json,
    source_hash,
    write_json,
)
from bana.files.paths import run_dir, runs_root
from bana.networks import backbones, heads
from bana.training import engine, loops
from bana.training.engine import Engine
from bana.training.machine import THIS_MACHINE, Machine

__all__ = [
    "VARIANTS",
    "classifier",
    "data_root",
    "dataset",
    "image_labels",
    "instance_scores",
    "label_scores",
    "labels",
    "record",
    "segmentation_scores",
    "segmenter",
]

DATA_SOURCES = (voc, voc_files, boxes, transforms)
CLASSIFIER_SOURCES = (*DATA_SOURCES, bap, backbones, networks, training, engine)
LABEL_SOURCES = (label_module, labelling, cam, crf, permutohedral, interpolation, baselines)
SEGMENTER_SOURCES = (losses, networks, training, backbones, engine)
SCORE_SOURCES = (evaluation, boundary, scoring)


def data_root(profile: Profile, root: str | Path | None = None) -> Path:
    """Folder of the profile's data; the sample is drawn where it is not there yet.

    Args:
        profile: says which data.
        root: a VOC folder, for profiles of real photographs; BANA_VOC_ROOT stands in for it.

    Raises:
        bana.data.voc.DataError: if the photographs are not to be found.
    """
    if profile.data == "voc":
        return voc.find_voc_root(root or None)
    size = {"train": profile.train_limit or 240, "val": profile.val_limit or 60}
    folder = runs_root() / f"sample-{profile.seed}-{size['train']}-{size['val']}"
    return make.make_sample(folder, seed=profile.seed, **size)


def dataset(profile: Profile, split: str, root: str | Path | None = None) -> voc.VocDataset:
    """The profile's images of a split, "train" or "val".

    "train" is the first of the profile's `train_splits` that the data set has.

    Raises:
        ValueError: if the split is another one.
    """
    limits = {"train": profile.train_limit, "val": profile.val_limit}
    if split not in limits:
        raise ValueError(f"unknown split {split!r}: use train or val")
    folder = data_root(profile, root)
    names = profile.train_splits if split == "train" else (split,)
    lists = folder / "ImageSets" / "Segmentation"
    name = next((name for name in names if (lists / f"{name}.txt").is_file()), names[-1])
    return voc.VocDataset(folder, name, limit=limits[split])


def classifier(
    profile: Profile,
    pooling: str = "bap",
    root: str | Path | None = None,
    machine: Machine = THIS_MACHINE,
) -> heads.BoxClassifier:
    """The trained box classifier of stage 1, in evaluation mode; `history` holds its training.

    An interrupted training goes on from its last checkpoint.

    Args:
        profile: settings.
        pooling: "bap" or "gap".
        root: see `data_root`.
        machine: where and how to train; the result is on the CPU in any case.

    Raises:
        bana.training.runs.RunError: if the run folder or the memory do not suffice.
        bana.training.runs.Interrupted: after a signal that asks to stop, when everything is saved.
    """
    data = dataset(profile, "train", root)
    torch.manual_seed(profile.seed)
    backbone = trained.backbone(profile, profile.backbone)
    model = heads.BoxClassifier(backbone, len(data.classes) - 1, pooling)

    def train(hold: Engine) -> None:
        settings = profile.classifier
        batches = trained.batches(profile, data, settings, hold)
        with hold.guarded(settings.batch):
            loops.train_classifier(model, batches, settings, profile.classifier_drop, hold)

    key = _classifier_key(profile, pooling, root)
    files = run_dir(profile.name) / f"classifier-{pooling}.pt", key
    kept = trained.kept_training(profile, files, machine, model, profile.classifier.batch, train)
    model.load_state_dict(kept["state"])
    model.history = kept["history"]
    return model.eval()


def labels(
    profile: Profile,
    split: str,
    variant: str = "bap",
    root: str | Path | None = None,
    crew: Crew | None = None,
    shard: tuple[int, int] = (1, 1),
) -> Path:
    """Folder with Y_crf/<id>.png and Y_ret/<id>.png of every image of a split.

    Labels are made by several processes; what an interrupted run finished is kept. The baselines
    "boxes" and "grabcut" have no Y_ret. An image that cannot be read is left out with a warning and
    named in the manifest (see `bana.experiment.labelling.manifest_path`); the next call tries it again.

    Args:
        profile: settings.
        split: "train" or "val".
        variant: a key of `VARIANTS`.
        root: see `data_root`.
        crew: the processes; None takes as many as the profile says, on the CPU.
        shard: (k, n) makes the k-th of n parts, 1 <= k <= n, so that n machines that share the
            folder make the labels of one, to the last bit.

    Raises:
        ValueError: if the variant is unknown, the crew has a device that is not there, or as
            `bana.experiment.labelling.open_manifest`.
    """
    if variant not in VARIANTS:
        raise ValueError(f"unknown labels {variant!r}: use one of {', '.join(VARIANTS)}")
    crew = crew or Crew(profile.label_workers)
    check_devices(crew)
    folder = run_dir(profile.name) / "labels" / variant / split
    key = _labels_key(profile, split, variant, root)
    settings = _settings(profile, "unary", "label_crf", "image_scale")
    about = {"variant": variant, "split": split, "settings": settings}
    manifest = open_manifest(folder, key, about, shard)
    data = dataset(profile, split, root)
    batches = label_batches(data, crew.batch)[shard[0] - 1 :: shard[1]]
    missing = [b for b in batches if not all(is_labelled(folder, data.ids[i]) for i in b)]
    if missing:
        recipe = VARIANTS[variant]
        model = classifier(profile, recipe[0], root) if recipe else None
        start = time.perf_counter()
        failures = make_label_files(LabelJob(profile, data, variant, model, folder), missing, crew)
        manifest["seconds"] += time.perf_counter() - start
        manifest["failures"] = failures
        path = manifest_path(folder, shard)
        write_json(path, manifest)
        warn_of_failures(failures, path)
    return folder


def segmenter(
    profile: Profile,
    loss: str = "nal",
    root: str | Path | None = None,
    machine: Machine = THIS_MACHINE,
) -> heads.Segmenter:
    """The trained segmenter of stage 3, in evaluation mode.

    `history` holds its training, `confidence` the maps of Eq. 12 on the first training images:
    {iteration: {id: float [H, W]}}. An interrupted training goes on from its last checkpoint.

    Args:
        profile: settings.
        loss: a key of `bana.training.segmentation.LOSSES`.
        root: see `data_root`.
        machine: where and how to train, the classifier too where it is missing; the result is on
            the CPU in any case.

    Raises:
        ValueError: if the loss is unknown.
        bana.training.runs.RunError, bana.training.runs.Interrupted: as in `classifier`.
    """
    if loss not in loops.LOSSES:
        raise ValueError(f"unknown loss {loss!r}: use one of {', '.join(loops.LOSSES)}")
    data = dataset(profile, "train", root)
    strong = strong_ids(profile, root)
    torch.manual_seed(profile.seed)
    backbone = trained.backbone(profile, profile.segmenter_backbone or profile.backbone)
    neck, channels = heads.build_neck(profile.neck, backbone.channels)
    model = heads.Segmenter(backbone, neck, channels, len(data.classes) - 1)
    maps: dict[int, dict[str, torch.Tensor]] = {}

    def train(hold: Engine) -> None:
        # All processes train the classifier, the first one alone makes labels with it.
        classifier(profile, "bap", root, replace(machine, restart=False))
        folder = hold.first_alone(lambda: labels(profile, "train", "bap", root))
        folders = {"y_crf": folder / "Y_crf", "y_ret": folder / "Y_ret"}
        settings = profile.segmentation
        images = labelled(data, folder)
        batches = trained.batches(profile, images, settings, hold, folders, strong)
        watcher = trained.ConfidenceWatcher(profile, images, folder / "Y_crf", maps)
        watching = watcher if loss == "nal" else None
        torch.manual_seed(profile.seed)  # dropout must not depend on what was made just now
        with hold.guarded(settings.batch):
            loops.train_segmenter(model, batches, settings, loss, watching, hold)

    files = run_dir(profile.name) / f"segmenter-{loss}.pt", _segmenter_key(profile, loss, root)
    kept = trained.kept_training(
        profile, files, machine, model, profile.segmentation.batch, train, extra=maps
    )
    model.load_state_dict(kept["state"])
    model.history = kept["history"]
    model.confidence = kept["extra"]
    return model.eval()


def strong_ids(profile: Profile, root: str | Path | None = None) -> frozenset[str]:
    """Training images whose true masks the segmenter learns from; none without a strong split.

    Raises:
        bana.data.voc.DataError: if the split is missing.
        ValueError: if it has no training image.
    """
    if profile.strong_split is None:
        return frozenset()
    split = voc.VocDataset(data_root(profile, root), profile.strong_split)
    shared = frozenset(split.ids) & frozenset(dataset(profile, "train", root).ids)
    if not shared:
        raise ValueError(f"strong split {profile.strong_split!r} has no image of the training set")
    return shared


def label_scores(
    profile: Profile, split: str = "val", root: str | Path | None = None
) -> dict[str, dict]:
    """mIoU and boundary IoU of every kind of label on a split: the rows of the paper's Table 1.

    Returns:
        {row: scores}, see `bana.evaluation.scoring`. "agreement-dropped" and "agreement-wrong" are the pixels
        where Y_crf and Y_ret agree, under both conventions for the others.
    """
    folders = {variant: labels(profile, split, variant, root) for variant in VARIANTS}
    keys = [_labels_key(profile, split, variant, root) for variant in VARIANTS]
    return kept_json(
        run_dir(profile.name) / f"label-scores-{split}.json",
        content_hash(keys, source_hash(*SCORE_SOURCES, losses)),
        lambda: scoring.score_label_files(_labelled(profile, split, root, folders), folders),
    )


def instance_scores(
    profile: Profile, split: str = "val", root: str | Path | None = None
) -> dict[str, dict]:
    """COCO's average precision of every box's mask, for every kind of label: Table 2.

    Returns:
        {row: {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"}} in percent, None where
        there is no object of that size; empty where the data set has no instance masks, for which
        class masks are no substitute.
    """
    if not average_precision.object_folder(dataset(profile, split, root)).is_dir():
        return {}
    folders = {variant: labels(profile, split, variant, root) for variant in VARIANTS}
    data = _labelled(profile, split, root, folders)
    keys = [_labels_key(profile, split, variant, root) for variant in VARIANTS]
    return kept_json(
        run_dir(profile.name) / f"instance-scores-{split}.json",
        content_hash(keys, source_hash(scoring, instances, average_precision)),
        lambda: scoring.score_instances(data, folders, average_precision.voc_truth(data)),
    )


def _labelled(
    profile: Profile, split: str, root: str | Path | None, folders: dict[str, Path]
) -> voc.VocDataset:
    """The images of a split without those that could not be read when they were labelled."""
    data = dataset(profile, split, root)
    for folder in folders.values():
        data = labelled(data, folder)
    return data


def segmentation_scores(
    profile: Profile, loss: str = "nal", root: str | Path | None = None
) -> dict[str, dict]:
    """Scores of a trained segmenter on val: single scale, multi-scale, each with and without CRF.

    Returns:
        {"single", "single-crf", and "multi", "multi-crf" where the profile tests several scales};
        each as in `bana.evaluation.scoring`.
    """
    model = segmenter(profile, loss, root)
    views = {"single": prediction.SINGLE}
    if profile.test_scales != (1.0,):
        views["multi"] = prediction.multi_view(profile.test_scales)

    def make() -> dict[str, dict]:
        settings = profile.test_crf, profile.image_scale, profile.label_workers
        fast = model.to(prediction.fastest_device())
        return scoring.score_segmenter(fast, dataset(profile, "val", root), views, *settings)

    key = content_hash(
        _segmenter_key(profile, loss, root),
        _settings(profile, "test_crf", "test_scales"),
        _data_key(profile, "val", root),
        source_hash(*SCORE_SOURCES, prediction, crf, permutohedral),
    )
    return kept_json(run_dir(profile.name) / f"segmentation-scores-{loss}.json", key, make)


def record(profile: Profile, root: str | Path | None = None) -> dict[str, Any]:
    """Everything measured under a profile, with what it was measured on; plain JSON values.

    Returns:
        "profile": its settings; "data": what was scored, and whether it has instance masks;
        "labels_val": `label_scores`; "instances_val": `instance_scores`; "segmentation_val":
        `segmentation_scores` by loss; "seconds": of each training and labelling. Scores are in
        percent. Records from before boundary IoU and average precision lack those.
    """
    data = {split: dataset(profile, split, root) for split in ("train", "val")}
    has_objects = average_precision.object_folder(data["val"]).is_dir()
    run = run_dir(profile.name)
    # The weights' content says what was measured; where they lay is nobody's business.
    used = {"weights": trained.weights_key(profile, profile.backbone)}
    result = {
        "profile": asdict(profile) | used,
        "data": {
            "kind": "drawn sample" if profile.data == "sample" else "folder in VOC layout",
            "classes": list(data["val"].classes),
            "images": {split: len(images) for split, images in data.items()},
            "instance_masks": has_objects,
        },
        "labels_val": label_scores(profile, "val", root),
        "instances_val": instance_scores(profile, "val", root),
        "segmentation_val": {
            loss: segmentation_scores(profile, loss, root) for loss in profile.losses
        },
    }
    # Label folders of an interrupted run tell the time of its last part only.
    result["seconds"] = {
        path.stem if path.suffix == ".pt" else "-".join(path.parts[-4:-1]): round(seconds, 1)
        for path in sorted([*run.glob("*.pt"), *run.glob("labels/*/*/manifest.json")])
        if (seconds := _seconds(path)) is not None
    }
    return result


def _classifier_key(profile: Profile, pooling: str, root: str | Path | None = None) -> str:
    """Hash of all that the classifier depends on."""
    return content_hash(
        _settings(profile, "backbone", "output_stride", "frozen_stages", "image_scale", "crop"),
        _settings(profile, "crop_scale", "classifier", "classifier_drop", "seed", "train_limit"),
        _settings(profile, "frozen_statistics"),
        trained.weights_key(profile, profile.backbone),
        pooling,
        _data_key(profile, "train", root),
        source_hash(*CLASSIFIER_SOURCES),
    )


def _labels_key(profile: Profile, split: str, variant: str, root: str | Path | None) -> str:
    recipe = VARIANTS[variant]
    return content_hash(
        _settings(profile, "unary", "label_crf", "image_scale", f"{split}_limit"),
        recipe,
        _classifier_key(profile, recipe[0], root) if recipe else "",
        _data_key(profile, split, root),
        source_hash(*DATA_SOURCES, *LABEL_SOURCES),
    )


def _segmenter_key(profile: Profile, loss: str, root: str | Path | None) -> str:
    return content_hash(
        _settings(profile, "segmentation", "segmenter_backbone", "neck", "snapshots"),
        trained.weights_key(profile, profile.segmenter_backbone or profile.backbone),
        sorted(strong_ids(profile, root)),
        loss,
        _labels_key(profile, "train", "bap", root),
        source_hash(*SEGMENTER_SOURCES),
    )


def _settings(profile: Profile, *names: str) -> dict[str, Any]:
    everything = asdict(profile)
    return {name: everything[name] for name in names}


def _data_key(profile: Profile, split: str, root: str | Path | None) -> list[Any]:
    if profile.data == "sample":
        return [profile.seed, profile.train_limit, profile.val_limit, source_hash(sample)]
    images = dataset(profile, split, root)
    return [str(images.root), split, len(images), content_hash(images.ids)]


def _seconds(path: Path) -> float | None:
    kept = read_json(path) if path.suffix == ".json" else torch.load(path, weights_only=True)
    return kept.get("seconds")
