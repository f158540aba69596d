"""The stages of the method, each made once and kept: data, classifier, labels, segmenter, scores.

Every artefact lies in runs/<profile>/ with a key: the hash of the settings, data and source code
it depends on, see `bana.experiment.keeping`. A stage loads what is there when the key fits and
makes it anew otherwise. A profile is taken apart here: what a stage uses goes into a record of its
own, and nothing below takes a profile.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bana.data import voc
from bana.data.fingerprint import fingerprint
from bana.data.sample.make import make_sample
from bana.evaluation import average_precision, prediction, scoring
from bana.experiment import labelling
from bana.experiment.classifying import ClassifierSettings, classifier_key, trained_classifier
from bana.experiment.keeping import key_of
from bana.experiment.label_folders import label_folder
from bana.experiment.labelling import (
    VARIANTS,
    Crew,
    LabelJob,
    LabelSettings,
    check_devices,
    label_settings,
    labelled,
)
from bana.experiment.profiles import Profile, check_data_folder
from bana.experiment.segmenting import SegmenterSettings, trained_segmenter
from bana.experiment.trained import BackboneSettings, CropSettings
from bana.files.artefacts import (
    kept_json,
    weights_hash,
)
from bana.files.paths import run_dir, runs_root
from bana.labels import PseudoLabels
from bana.networks.classifier import BoxClassifier
from bana.networks.segmenter import Segmenter
from bana.networks.weights import WEIGHT_FILES, find_weights
from bana.training.engine import Engine
from bana.training.machine import THIS_MACHINE, Machine
from bana.training.segmentation import LOSSES, weights_of


def data_root(profile: Profile, root: str | Path | None = None) -> Path:
    """Folder of the profile's data; the sample is drawn where it is not there yet.

    Args:
        profile: says which data.
        root: a VOC folder, for profiles of real photographs; BANA_VOC_ROOT stands in for it.

    Raises:
        bana.data.voc.DataError: if the photographs are not to be found.
        ValueError: if a folder is given for a profile that draws its own.
    """
    if profile.data == "voc":
        return voc.find_voc_root(root or None)
    check_data_folder(profile, root)
    size = {"train": profile.train_limit or 240, "val": profile.val_limit or 60}
    folder = runs_root() / f"sample-{profile.seed}-{size['train']}-{size['val']}"
    return make_sample(folder, seed=profile.seed, **size)


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
) -> BoxClassifier:
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
    settings, data = classifier_settings(profile, pooling), dataset(profile, "train", root)
    path = classifier_path(profile, pooling)
    return trained_classifier(path, settings, data, machine, profile.loader_workers)


def classifier_path(profile: Profile, pooling: str) -> Path:
    """The file of a box classifier."""
    return run_dir(profile.classifier_home or profile.name) / f"classifier-{pooling}.pt"


def labels_path(profile: Profile, variant: str, split: str) -> Path:
    """The folder of a kind of labels."""
    return run_dir(profile.labels_home or profile.name) / "labels" / variant / split


def image_labels(
    profile: Profile, model: BoxClassifier, item: dict, variant: str = "bap"
) -> PseudoLabels:
    """Pseudo labels of one image under a profile; see `bana.experiment.labelling.image_labels`."""
    return labelling.image_labels(model, item, label_settings_of(profile, variant))


def labels(
    profile: Profile,
    split: str,
    variant: str = "bap",
    root: str | Path | None = None,
    crew: Crew | None = None,
    shard: tuple[int, int] = (1, 1),
) -> Path:
    """Folder with Y_crf/<id>.png and Y_ret/<id>.png of every image of a split.

    Labels are made by several processes; what an interrupted run finished is kept. Labels without
    a classifier have no Y_ret. An image that cannot be read is left out with a warning and named in
    the manifest (see `bana.experiment.label_folders.manifest_path`); the next call tries it again.

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
            `bana.experiment.label_folders.open_manifest`.
    """
    settings, data = label_settings_of(profile, variant), dataset(profile, split, root)
    crew = crew or Crew(profile.label_workers)
    check_devices(crew)
    folder = labels_path(profile, variant, split)
    job = LabelJob(settings, data, None, folder)
    key = labels_key(profile, variant, root)
    label_folder(job, key, crew, shard, lambda: _classifier_of(profile, variant, root))
    return folder


def _classifier_of(profile: Profile, variant: str, root: str | Path | None) -> BoxClassifier | None:
    recipe = VARIANTS[variant]
    return classifier(profile, recipe[0], root) if recipe else None


def segmenter(
    profile: Profile,
    loss: str = "nal",
    root: str | Path | None = None,
    machine: Machine = THIS_MACHINE,
) -> Segmenter:
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
    if loss not in LOSSES:
        raise ValueError(f"unknown loss {loss!r}: use one of {', '.join(LOSSES)}")

    def make_labels(hold: Engine | None) -> Path:
        if hold is None:
            return labels(profile, "train", "bap", root)
        # All processes train the classifier, the first one alone makes labels with it.
        classifier(profile, "bap", root, replace(machine, restart=False))
        return hold.first_alone(lambda: labels(profile, "train", "bap", root))

    return trained_segmenter(
        run_dir(profile.name) / f"segmenter-{loss}.pt",
        segmenter_settings(profile, loss, root),
        dataset(profile, "train", root),
        (labels_key(profile, "bap", root), make_labels),
        lambda: classifier(profile, "bap", root, replace(machine, restart=False)).backbone,
        machine,
        profile.loader_workers,
    )


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


def _all_ids(profile: Profile, root: str | Path | None) -> frozenset[str]:
    """Every training image: with their true masks the ceiling "truth" is trained."""
    return frozenset(dataset(profile, "train", root).ids)


def losses_to_train(profile: Profile, root: str | Path | None = None) -> tuple[str, ...]:
    """The profile's losses; without "truth" where a training image has no mask to learn from."""
    data = dataset(profile, "train", root)
    if all(data.mask_path(name).is_file() for name in data.ids):
        return profile.losses
    return tuple(loss for loss in profile.losses if loss != "truth")


def label_scores(
    profile: Profile, split: str = "val", root: str | Path | None = None
) -> dict[str, dict]:
    """mIoU and boundary IoU of every kind of label on a split: the rows of the paper's Table 1.

    Returns:
        {row: scores}, see `bana.evaluation.scoring`. "agreement-dropped" and "agreement-wrong" are
        the pixels where Y_crf and Y_ret agree, under both conventions for the others.
    """
    folders, data, inputs = all_labels(profile, split, root, "mask")
    return kept_json(
        run_dir(profile.name) / f"label-scores-{split}.json",
        key_of(scoring.score_label_files, inputs),
        lambda: scoring.score_label_files(data, folders),
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
    folders, data, inputs = all_labels(profile, split, root, "mask", "objects")
    return kept_json(
        run_dir(profile.name) / f"instance-scores-{split}.json",
        key_of(scoring.score_instances, inputs),
        lambda: scoring.score_instances(data, folders, average_precision.voc_truth(data)),
    )


def all_labels(
    profile: Profile, split: str, root: str | Path | None, *parts: str
) -> tuple[dict[str, Path], voc.VocDataset, dict[str, Any]]:
    """Folders of all labels, the images that have them all, and what these depend on.

    An image that could not be read when it was labelled is not scored. ``parts`` are the files of
    each image that the scores look at besides.
    """
    folders = {variant: labels(profile, split, variant, root) for variant in VARIANTS}
    data = dataset(profile, split, root)
    for folder in folders.values():
        data = labelled(data, folder)
    inputs = {variant: labels_key(profile, variant, root) for variant in VARIANTS}
    return folders, data, inputs | {"data": fingerprint(data, "photograph", "boxes", *parts)}


def segmentation_scores(
    profile: Profile, loss: str = "nal", root: str | Path | None = None
) -> dict[str, dict]:
    """Scores of a trained segmenter on val: single scale, multi-scale, each with and without CRF.

    Returns:
        {"single", "single-crf", and "multi", "multi-crf" where the profile tests several scales};
        each as in `bana.evaluation.scoring`.
    """
    model, data = segmenter(profile, loss, root), dataset(profile, "val", root)
    views = {"single": prediction.SINGLE}
    if profile.test_scales != (1.0,):
        views["multi"] = prediction.multi_view(profile.test_scales)
    # The weights themselves: a training begun anew on another machine gives others.
    network, seen = weights_hash(model.state_dict()), fingerprint(data, "photograph", "mask")
    settings = views, profile.test_crf, profile.image_scale

    def make() -> dict[str, dict]:
        fast = model.to(prediction.fastest_device())
        return scoring.score_segmenter(fast, data, *settings, profile.label_workers)

    key = key_of(scoring.score_segmenter, network, seen, settings)
    return kept_json(run_dir(profile.name) / f"segmentation-scores-{loss}.json", key, make)


def label_settings_of(profile: Profile, variant: str) -> LabelSettings:
    """How a profile makes one kind of labels.

    Raises:
        ValueError: if the variant is unknown.
    """
    settings = profile.unary, profile.label_crf, profile.box_inside, profile.image_scale
    return label_settings(variant, *settings)


def classifier_settings(profile: Profile, pooling: str) -> ClassifierSettings:
    """All of a profile that a box classifier depends on."""
    return ClassifierSettings(
        backbone=backbone_settings(profile, profile.backbone),
        pooling=pooling,
        crops=crop_settings(profile),
        optimisation=profile.classifier,
        drop=profile.classifier_drop,
        seed=profile.seed,
        grid_size=profile.grid_size,
        parts=profile.parts,
    )


def segmenter_settings(profile: Profile, loss: str, root: str | Path | None) -> SegmenterSettings:
    """All of a profile that a segmenter depends on, but for its labels.

    Raises:
        ValueError: if it is to start from a backbone of another kind.
    """
    if profile.from_classifier and profile.segmenter_backbone not in (None, profile.backbone):
        raise ValueError(
            f"profile {profile.name}: {profile.segmenter_backbone} cannot start from the "
            f"classifier's {profile.backbone}: set from_classifier to False"
        )
    return SegmenterSettings(
        backbone=backbone_settings(profile, profile.segmenter_backbone or profile.backbone),
        from_classifier=profile.from_classifier,
        neck=profile.neck,
        loss=loss,
        crops=crop_settings(profile),
        optimisation=profile.segmentation,
        strong=_all_ids(profile, root) if loss == "truth" else strong_ids(profile, root),
        snapshots=profile.snapshots,
        seed=profile.seed,
        weights=weights_of(loss, profile.gamma, profile.lam),
    )


def crop_settings(profile: Profile) -> CropSettings:
    """How a profile cuts training crops."""
    return CropSettings(profile.crop, profile.crop_scale, profile.image_scale)


def backbone_settings(profile: Profile, name: str) -> BackboneSettings:
    """One of a profile's backbones, with the weights file that its settings lead to.

    Raises:
        FileNotFoundError: if what they name does not exist.
        ValueError: if one file is given for two kinds of backbone.
    """
    return BackboneSettings(
        name,
        profile.output_stride,
        profile.frozen_stages,
        profile.frozen_statistics,
        weights_file(profile, name),
    )


def weights_file(profile: Profile, name: str) -> Path | None:
    """The weights file of one of the profile's backbones; None for the publisher's weights.

    Raises:
        ValueError: if one file is given for two kinds of backbone.
    """
    path = find_weights(name, profile.weights)
    names = {profile.backbone, profile.segmenter_backbone or profile.backbone}
    kinds = {WEIGHT_FILES.get(n, n) for n in names}
    if profile.weights is not None and Path(profile.weights).is_file() and len(kinds) > 1:
        raise ValueError(
            f"profile {profile.name} has two backbones ({', '.join(sorted(names))}): pass the "
            f"folder that holds the weights of both, not {profile.weights}"
        )
    return path


def labels_key(profile: Profile, variant: str, root: str | Path | None) -> str:
    """Hash of what every label of a kind depends on; each image's files are watched apart."""
    data, recipe = dataset(profile, "train", root), VARIANTS[variant]
    learned = classifier_key(classifier_settings(profile, recipe[0]), data) if recipe else ""
    return key_of(label_folder, label_settings_of(profile, variant), learned, data.classes)
