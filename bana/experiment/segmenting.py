"""Stage 3: the segmenter, trained once on the pseudo labels and kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bana.data.fingerprint import fingerprint
from bana.data.transforms import eval_image
from bana.data.voc import VocDataset, read_mask
from bana.experiment.keeping import key_of
from bana.experiment.labelling import labelled
from bana.experiment.trained import BackboneSettings, CropSettings, batches, kept_training
from bana.networks.backbones import Backbone
from bana.networks.segmenter import Segmenter, build_neck
from bana.training.engine import Engine
from bana.training.machine import Machine, processes_of
from bana.training.optimisation import Optimisation
from bana.training.segmentation import confidence_of, train_segmenter


@dataclass(frozen=True)
class SegmenterSettings:
    """All that a segmenter depends on, but for labels, data and code.

    Attributes:
        from_classifier: whether the backbone starts from the trained box classifier's.
        neck: see `bana.networks.segmenter.build_neck`.
        loss: a key of `bana.training.segmentation.LOSSES`.
        strong: images whose true masks stand in for their pseudo labels.
        snapshots: when confidence maps are kept, as fractions of the training.
        seed: of weights, crops and their order.
        weights: of the loss, see `bana.training.segmentation.weights_of`.
    """

    backbone: BackboneSettings
    from_classifier: bool
    neck: str
    loss: str
    crops: CropSettings
    optimisation: Optimisation
    strong: frozenset[str]
    snapshots: tuple[float, ...]
    seed: int
    weights: Mapping[str, float]


def segmenter_key(settings: SegmenterSettings, labels_key: str, data: VocDataset) -> str:
    """Hash of all that a segmenter depends on: of masks, those that it learns from alone."""
    return key_of(
        trained_segmenter,
        settings,
        labels_key,
        fingerprint(data, "photograph", "boxes"),
        fingerprint(data, "mask", names=sorted(settings.strong)),
    )


def untrained_segmenter(settings: SegmenterSettings, n_classes: int) -> Segmenter:
    """The segmenter that a training starts from, but for what it has of the classifier.

    Args:
        settings: what is to be trained.
        n_classes: L, without background.

    Raises:
        ValueError: if there is no such backbone or neck, or the two do not go together.
        FileNotFoundError: if the weights file does not exist.
    """
    with torch.random.fork_rng(devices=[]):  # as in `bana.data.transforms.Crops`
        torch.default_generator.manual_seed(settings.seed)
        backbone = settings.backbone.build()
        neck, channels = build_neck(settings.neck, backbone.channels, backbone.early_channels)
        return Segmenter(backbone, neck, channels, n_classes)


def trained_segmenter(
    path: Path,
    settings: SegmenterSettings,
    data: VocDataset,
    labels: tuple[str, Callable[[Engine | None], Path]],
    make_start: Callable[[], Backbone],
    machine: Machine,
    workers: int = 0,
) -> Segmenter:
    """The segmenter kept in a file, or trained and kept there; on the CPU, to be used.

    One that was trained while labels of some images could not be made is trained anew when they
    can be. A training leaves torch's random generators seeded; one that is kept leaves them alone.

    Args:
        path: the file.
        settings: what to train.
        data: training images.
        labels: key of the pseudo labels, and what makes them where they are missing and returns
            their folder; it takes the training's engine, None outside of a training.
        make_start: gives the trained classifier's backbone, which labels and so their key are of,
            once labels are there.
        machine: where and how to train.
        workers: processes that prepare crops, where the machine does not say.
    """
    labels_key, make_labels = labels
    model = untrained_segmenter(settings, len(data.classes) - 1)
    maps: dict[int, dict[str, Tensor]] = {}

    def train(hold: Engine) -> dict[str, Any]:
        folder = make_labels(hold)
        if settings.from_classifier:
            model.backbone.load_state_dict(make_start().state_dict())
        folders = {"y_crf": folder / "Y_crf", "y_ret": folder / "Y_ret"}
        images = labelled(data, folder)
        optimisation, loss, seed = settings.optimisation, settings.loss, settings.seed
        loader = batches(
            images, settings.crops, optimisation, seed, hold, workers, folders, settings.strong
        )
        watching = None
        if loss == "nal":
            watching = ConfidenceWatcher(settings, images, folder / "Y_crf", maps)
        torch.manual_seed(seed)  # dropout must not depend on what was made just now
        with hold.guarded(optimisation.batch):
            train_segmenter(model, loader, optimisation, loss, watching, hold, settings.weights)
        return {"images": list(images.ids)}

    key = segmenter_key(settings, labels_key, data)
    kept = kept_training((path, key), machine, settings, model, train, extra=maps)
    alone = processes_of(machine) == (1, 1)  # several would make the labels at the same time
    some_missed = alone and kept["images"] != data.ids
    if some_missed and labelled(data, make_labels(None)).ids != kept["images"]:
        anew = replace(machine, restart=True)
        kept = kept_training((path, key), anew, settings, model, train, extra=maps)
    model.load_state_dict(kept["state"])
    model.history = kept["history"]
    model.confidence = kept["extra"]
    return model.eval()


class ConfidenceWatcher:
    """Keeps the confidence map of a few training images at the snapshots of a training.

    Args:
        settings: of the training.
        data: the training images, the first three of which are watched.
        folder: of their Y_crf.
        maps: {iteration: {id: sigma, float [H, W]}}, filled while the training runs.
    """

    def __init__(
        self,
        settings: SegmenterSettings,
        data: VocDataset,
        folder: Path,
        maps: dict[int, dict[str, Tensor]],
    ) -> None:
        total = settings.optimisation.iterations
        self.iterations = {max(1, round(share * total)) for share in settings.snapshots}
        self.image_scale, self.data, self.folder = settings.crops.image_scale, data, folder
        self.images = range(min(3, len(data)))
        self.maps = maps
        self.gamma = settings.weights["gamma"]

    def __call__(self, iteration: int, model: Segmenter) -> None:
        """Keep the maps under the current weights if it is time to."""
        if iteration in self.iterations:
            self.maps[iteration] = {self.data.ids[i]: self._map(i, model) for i in self.images}

    def _map(self, index: int, model: Segmenter) -> Tensor:
        item = self.data[index]
        y_crf = read_mask(self.folder / f"{item['id']}.png")
        image = eval_image(item, self.image_scale)
        return confidence_of(model, image[None], y_crf[None], self.gamma)[0]
