"""What an exhibit is made of: images, labels and networks of a profile, with a hash of each."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from bana.data.fingerprint import fingerprint
from bana.data.voc import VocDataset, read_mask
from bana.experiment import stages
from bana.experiment.labelling import labelled
from bana.experiment.profiles import Profile
from bana.files.artefacts import file_hash, weights_hash
from bana.files.paths import results_dir
from bana.networks.classifier import BoxClassifier
from bana.networks.segmenter import Segmenter


class Needs(NamedTuple):
    """What an exhibit asks for.

    Attributes:
        images: whether it looks at the profile's validation images.
        labels: kinds of labels of the validation images, keys of `stages.VARIANTS`.
        train_labels: the same of the training images.
        classifiers: by pooling, "bap" or "gap".
        segmenters: by loss.
        files: that come along with the package, and that it reads.
        records: names of records in results/, without ending, that it reads.
    """

    images: bool = True
    labels: tuple[str, ...] = ()
    train_labels: tuple[str, ...] = ()
    classifiers: tuple[str, ...] = ()
    segmenters: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    records: tuple[str, ...] = ()


@dataclass(frozen=True)
class Materials:
    """What an exhibit asked for, and nothing else: what is not declared is not in its key.

    Attributes:
        profile: settings.
        root: see `bana.experiment.stages.data_root`.
        data: images by split, those that have all the labels.
        folders: of labels, by split and kind.
        classifiers: by pooling.
        segmenters: by loss.
        origin: what all this is, in plain JSON values: "profile", "seed", "data" by split,
            "labels", "weights" and "inputs" by name. Data are told by their lists, boxes and masks,
            so that the same data have the same fingerprint on every machine.
        records: of results/, by name.
    """

    profile: Profile
    root: str | Path | None
    data: dict[str, VocDataset]
    folders: dict[tuple[str, str], Path]
    classifiers: dict[str, BoxClassifier]
    segmenters: dict[str, Segmenter]
    origin: dict[str, Any]
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def label(self, name: str, kind: str = "bap", split: str = "val") -> Tensor:
        """A label of one image, uint8 [H, W]: Y_crf of a kind, or Y_ret of BAP for "bap-ret"."""
        retrieved = kind == "bap-ret"
        folder = self.folders[split, "bap" if retrieved else kind]
        return read_mask(folder / ("Y_ret" if retrieved else "Y_crf") / f"{name}.png")


class Sources:
    """A profile's images, labels and networks; each is made where it is missing, and opened once.

    Args:
        profile: settings.
        root: see `bana.experiment.stages.data_root`.
    """

    def __init__(self, profile: Profile, root: str | Path | None = None) -> None:
        self.profile, self.root = profile, root
        self._opened: dict[tuple[str, ...], Any] = {}
        self._hashes: dict[tuple[str, ...], str] = {}

    def gather(self, needs: Needs) -> Materials:
        """What an exhibit needs, with its origin.

        Raises:
            FileNotFoundError: a record is missing, or there is no clone that would have it.
        """
        splits = ("train",) * bool(needs.train_labels) + ("val",) * needs.images
        wanted = [("val", kind) for kind in needs.labels]
        wanted += [("train", kind) for kind in needs.train_labels]
        data = {split: self._open("data", split) for split in splits}
        folders = {place: self._open("labels", *place) for place in wanted}
        for (split, _), folder in folders.items():
            data[split] = labelled(data[split], folder)
        classifiers = {pooling: self._open("classifier", pooling) for pooling in needs.classifiers}
        segmenters = {loss: self._open("segmenter", loss) for loss in needs.segmenters}
        records = {name: results_dir() / f"{name}.json" for name in needs.records}
        weights = [("classifier", name) for name in classifiers]
        weights += [("segmenter", name) for name in segmenters]
        origin = {
            "profile": self.profile.name,
            "seed": self.profile.seed,
            "data": {
                split: {"images": len(each), "fingerprint": self._hash("data", split)}
                for split, each in data.items()
            },
            "labels": {"-".join(place): self._hash("labels", *place) for place in wanted},
            "weights": {"-".join(place): self._hash(*place) for place in weights},
            "inputs": {path.name: file_hash(path) for path in (*needs.files, *records.values())},
        }
        read = {name: json.loads(path.read_text("utf-8")) for name, path in records.items()}
        return Materials(
            self.profile, self.root, data, folders, classifiers, segmenters, origin, read
        )

    def _open(self, *what: str) -> Any:
        if what not in self._opened:
            open_it = {
                "data": lambda split: stages.dataset(self.profile, split, self.root),
                "labels": lambda split, kind: stages.labels(self.profile, split, kind, self.root),
                "classifier": lambda pooling: stages.classifier(self.profile, pooling, self.root),
                "segmenter": lambda loss: stages.segmenter(self.profile, loss, self.root),
            }[what[0]]
            self._opened[what] = open_it(*what[1:])
        return self._opened[what]

    def _hash(self, *what: str) -> str:
        if what not in self._hashes:
            opened = self._open(*what)
            if isinstance(opened, Path):
                made = folder_hash(opened)
            elif isinstance(opened, VocDataset):
                made = fingerprint(opened, "boxes", "mask")
            else:
                made = weights_hash(opened.state_dict())
            self._hashes[what] = made
        return self._hashes[what]


def folder_hash(folder: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a label folder's PNGs, names and contents."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.png")):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def settings_that_count(profile: Profile) -> Profile:
    """A profile without what changes no result: where files lie, and how many processes work.

    What networks and labels hold is in an exhibit's origin, wherever they lie.
    """
    workers = {"loader_workers": 0, "label_workers": 0, "train_workers": 1}
    return replace(profile, weights=None, classifier_home=None, labels_home=None, **workers)
