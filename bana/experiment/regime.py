"""The regime card of a profile: kept, and made anew when data, labels or code have changed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from bana.data.fingerprint import fingerprint
from bana.data.transforms import eval_image
from bana.data.voc import VocDataset, read_mask
from bana.evaluation import regime, scoring
from bana.evaluation.regime import JudgedImage, RegimeImage
from bana.experiment import stages
from bana.experiment.keeping import key_of
from bana.experiment.label_folders import manifest_path
from bana.experiment.labelling import labelled
from bana.experiment.profiles import Profile
from bana.files.artefacts import kept_json, read_json, weights_hash
from bana.files.paths import run_dir
from bana.networks.segmenter import Segmenter
from bana.training.segmentation import confidence_of


def regime_card(
    profile: Profile, split: str = "val", root: str | Path | None = None
) -> dict[str, Any]:
    """The card of a split, see `bana.evaluation.regime.regime`; missing labels are made.

    Raises:
        ValueError: if the split is neither "train" nor "val".
        bana.data.voc.DataError: if an image has no mask.
    """
    folders, data, inputs = stages.all_labels(profile, split, root, "mask")
    return kept_json(
        run_dir(profile.name) / f"regime-{split}.json",
        key_of(regime.regime, inputs),
        lambda: regime.regime(_images(data, folders), len(data.classes)),
    )


def _images(data: VocDataset, folders: dict[str, Path]) -> Iterator[RegimeImage]:
    for name in tqdm(data.ids, desc="regime", unit="image", leave=False):
        boxes, classes = data.annotation(name)
        labels = scoring.read_label_files(folders, name)
        yield RegimeImage(labels, data.mask(name), boxes.as_subclass(Tensor), classes)


def sigma_card(profile: Profile, root: str | Path | None = None) -> dict[str, Any]:
    """How well sigma knows the wrong labels, see `bana.evaluation.regime.calibration`.

    Of the segmenter that was trained with the noise-aware loss, which is trained where it is
    missing, on the training images: there the loss asks sigma. Their masks have no part in the
    training, and are read here to measure alone. Where a strong split replaced the labels of some
    images by their masks, these images are left out.

    Raises:
        bana.data.voc.DataError: if an image has no mask.
    """
    path = run_dir(profile.name) / "regime-sigma.json"
    return kept_judgement(profile, path, regime.calibration, profile.gamma, root)


def kept_judgement(
    profile: Profile,
    path: Path,
    measure: Callable[[Iterable[JudgedImage]], dict[str, Any]],
    gamma: float,
    root: str | Path | None = None,
    choose: Callable[[int], Sequence[int]] = range,
) -> dict[str, Any]:
    """What a measure makes of sigma on the training images, kept as JSON.

    Args:
        profile: its "nal" segmenter judges its BAP labels; both are made where they are missing.
        path: of the kept result.
        measure: takes the images that have no true mask in the place of their labels.
        gamma: exponent of Eq. 12.
        root: see `bana.experiment.stages.data_root`.
        choose: gives the positions to look at, of so many images; all unless said otherwise.

    Raises:
        bana.data.voc.DataError: if an image has no mask.
    """
    model = stages.segmenter(profile, "nal", root)
    folder = stages.labels(profile, "train", "bap", root)
    data = labelled(stages.dataset(profile, "train", root), folder)
    strong = stages.strong_ids(profile, root)
    weak = [name for name in data.ids if name not in strong]
    data.ids = [weak[number] for number in choose(len(weak))]
    key = key_of(
        measure,
        weights_hash(model.state_dict()),
        read_json(manifest_path(folder))["key"],
        fingerprint(data, "photograph", "boxes", "mask"),
        profile.image_scale,
        gamma,
    )
    return kept_json(
        path, key, lambda: measure(judged_images(model, data, folder, profile.image_scale, gamma))
    )


def judged_images(
    model: Segmenter, data: VocDataset, folder: Path, image_scale: float, gamma: float = 7.0
) -> Iterator[JudgedImage]:
    """Images whose labels a segmenter judges by sigma of Eq. 12.

    Args:
        model: in evaluation mode.
        data: images with masks and labels.
        folder: of the labels.
        image_scale: the constant enlargement that the model was trained with.
        gamma: exponent of Eq. 12.
    """
    for number, name in enumerate(tqdm(data.ids, desc="sigma", unit="image", leave=False)):
        y_crf, y_ret = (read_mask(folder / kind / f"{name}.png") for kind in ("Y_crf", "Y_ret"))
        image = eval_image(data[number], image_scale)
        confidence = confidence_of(model, image[None], y_crf[None], gamma)[0]
        yield JudgedImage(confidence, y_crf, y_ret, data.mask(name))
