"""A classifier on the boxes of another data set, which may have classes it never saw.

VOC to COCO, in the paper's Table 2: the sixty classes that a classifier of VOC never saw take
u_c = 1 - u_0, and the twenty others their CAM.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from bana.data.class_names import matched
from bana.data.voc import DataError, VocDataset
from bana.experiment import stages
from bana.experiment.keeping import key_of
from bana.experiment.label_folders import label_folder
from bana.experiment.labelling import VARIANTS, Crew, LabelJob
from bana.experiment.profiles import Profile
from bana.files.artefacts import content_hash, weights_hash
from bana.files.paths import run_dir
from bana.networks.classifier import BoxClassifier


def transfer_weight(weight: Tensor, known: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """The classifier's rows in the order of another data set's classes.

    Args:
        weight: w, float [L + 1, D].
        known: names of its rows, background first.
        wanted: names of the other data set's classes, background first.

    Returns:
        float [len(wanted), D]. The row of a class that the classifier never saw is nan, for which
        `bana.labels.pseudo_labels` takes u_c = 1 - u_0.

    Raises:
        ValueError: if there are not as many names as rows, or a list does not begin with
            background.
    """
    if len(known) != len(weight):
        raise ValueError(f"{len(known)} class names for a classifier of {len(weight)} rows")
    if not known[0] == wanted[0] == "background":
        raise ValueError(f"the first class must be background, got {known[0]!r}, {wanted[0]!r}")
    moved = weight.new_full((len(wanted), weight.shape[1]), float("nan"))
    for number, row in enumerate(matched(wanted, known)):
        if row is not None:
            moved[number] = weight.detach()[row]
    return moved


def transferred_labels(
    profile: Profile, data: VocDataset, variant: str = "bap", root: str | Path | None = None
) -> Path:
    """Folder with Y_crf and Y_ret of another data set's images, by the profile's classifier.

    What an interrupted run finished is kept; changed settings, weights or images have a folder of
    their own. Labels without a classifier have no Y_ret.

    Args:
        profile: settings.
        data: the other images, with boxes and classes of their own.
        variant: a key of `VARIANTS`.
        root: of the data that the classifier learns from, see `bana.experiment.stages.data_root`.

    Raises:
        ValueError: if the variant is unknown.
        DataError: if an image cannot be read; the labels of the others are kept.
    """
    settings = stages.label_settings_of(profile, variant)
    recipe = VARIANTS[variant]
    model = _moved_classifier(profile, recipe[0], data, root) if recipe else None
    weights = weights_hash(model.state_dict()) if model else ""
    key = key_of(label_folder, settings, weights, data.classes)
    # Several data sets may be labelled under one profile, each in a folder of its own.
    where = content_hash(key, str(data.root.resolve()), data.split)
    folder = run_dir(profile.name) / "transferred" / f"{variant}-{where}"
    job = LabelJob(settings, data, None, folder)
    failures = label_folder(job, key, Crew(profile.label_workers), make_model=lambda: model)
    if failures:
        raise DataError(next(iter(failures.values())))
    return folder


def _moved_classifier(
    profile: Profile, pooling: str, data: VocDataset, root: str | Path | None
) -> BoxClassifier:
    model = stages.classifier(profile, pooling, root)
    known = stages.dataset(profile, "train", root).classes
    weight = transfer_weight(model.weight, known, data.classes)
    model.weight = nn.Parameter(weight, requires_grad=False)
    return model
