"""A network that is trained once and kept: weights, batches and run folder around the loops."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from bana.data.transforms import Crops, collate, draw_order, eval_image, training_transform
from bana.data.voc import VocDataset, read_mask
from bana.experiment.profiles import Profile
from bana.files.artefacts import file_hash, load_checkpoint, remove_unfinished, save_checkpoint
from bana.files.paths import training_dir
from bana.networks import backbones
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier
from bana.networks.segmenter import Segmenter
from bana.networks.weights import WEIGHT_FILES, find_weights
from bana.training.engine import Engine, leave_signals_to_the_main_process
from bana.training.machine import Machine
from bana.training.optimisation import Optimisation
from bana.training.runs import Run, RunError
from bana.training.segmentation import confidence_of


def kept_training(
    profile: Profile,
    files: tuple[Path, str],
    machine: Machine,
    model: BoxClassifier | Segmenter,
    batch: int,
    train: Callable[[Engine], None],
    extra: dict[Any, Any] | None = None,
) -> dict[str, Any]:
    """What a training left behind: from its file where it is there, else by training.

    Args:
        files: where the result is kept, and under which key.
        train: trains the model in place.
        extra: see `bana.training.engine.Engine`.

    Returns:
        "state", "history", "seconds" and "extra".

    Raises:
        RunError: if the run folder or the memory do not suffice.
    """
    path, key = files
    kept = None if machine.restart else load_checkpoint(path, key)
    if kept is not None:
        return kept
    run = Run(training_dir(profile.name, path.stem, key), key)
    hold = Engine(machine, run, extra)
    hold.prepare({"profile": asdict(profile), "training": path.stem}, model)
    hold.check_memory(model.backbone, profile.crop, batch)
    train(hold)
    model.cpu()
    kept = {"state": model.state_dict(), "history": hold.history}
    kept |= {"seconds": hold.seconds, "extra": hold.extra}

    def keep() -> None:
        remove_unfinished(path.parent, path.name)
        try:
            save_checkpoint(path, key, kept)
        except (OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(
                f"{path} could not be written ({reason}): free some disk and run the same command "
                f"again, which goes on from the last checkpoint"
            ) from error
        run.clear()

    hold.first_alone(keep)
    return kept


def backbone(profile: Profile, name: str) -> Backbone:
    """One of the profile's backbones, with its ImageNet weights."""
    return backbones.build_backbone(
        name,
        profile.output_stride,
        profile.frozen_stages,
        _weights(profile, name),
        profile.frozen_statistics,
    )


def _weights(profile: Profile, name: str) -> Path | None:
    """The weights file of one of the profile's backbones.

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


def batches(
    profile: Profile,
    data: VocDataset,
    settings: Optimisation,
    hold: Engine,
    label_folders: dict[str, Path] | None = None,
    strong: frozenset[str] = frozenset(),
) -> DataLoader:
    """The micro-batches of a training, from the iteration on where it goes on.

    Args:
        profile: settings of the crops.
        data: photographs.
        settings: of the training.
        hold: tells which of the micro-batches are this process's.
        label_folders, strong: see `bana.data.transforms.Crops`.
    """
    transform = training_transform(
        profile.crop, profile.crop_scale, image_scale=profile.image_scale
    )
    order = draw_order(len(data), settings.iterations * settings.batch, profile.seed)
    workers = hold.machine.loader_workers
    workers = profile.loader_workers if workers is None else workers
    on_gpu = hold.device.type == "cuda"
    return DataLoader(
        Crops(data, transform, profile.seed, label_folders, strong),
        batch_sampler=hold.draws(order, settings.batch),
        collate_fn=collate,
        num_workers=workers,
        pin_memory=on_gpu,
        # A GPU works off its batches quickly and an epoch of the loader is the whole training, so
        # that workers stay anyway; a few batches in advance even out slow photographs.
        prefetch_factor=(4 if on_gpu else 2) if workers else None,
        worker_init_fn=leave_signals_to_the_main_process,
    )


class ConfidenceWatcher:
    """Keeps the confidence map of a few training images at the profile's snapshots.

    Args:
        profile: says when, as fractions of the training.
        data: the training images, the first of which are watched.
        folder: of their Y_crf.
        maps: {iteration: {id: sigma, float [H, W]}}, filled while the training runs.
        images: how many to watch.
    """

    def __init__(
        self,
        profile: Profile,
        data: VocDataset,
        folder: Path,
        maps: dict[int, dict[str, Tensor]],
        images: int = 3,
    ) -> None:
        total = profile.segmentation.iterations
        self.iterations = {max(1, round(share * total)) for share in profile.snapshots}
        self.profile, self.data, self.folder = profile, data, folder
        self.images = range(min(images, len(data)))
        self.maps = maps

    def __call__(self, iteration: int, model: Segmenter) -> None:
        """Keep the maps under the current weights if it is time to."""
        if iteration in self.iterations:
            self.maps[iteration] = {self.data.ids[i]: self._map(i, model) for i in self.images}

    def _map(self, index: int, model: Segmenter) -> Tensor:
        item = self.data[index]
        y_crf = read_mask(self.folder / f"{item['id']}.png")
        image = eval_image(item, self.profile.image_scale)
        return confidence_of(model, image[None], y_crf[None])[0]


def weights_key(profile: Profile, name: str) -> str | None:
    """Hash of what the weights file holds; None for the publisher's weights."""
    path = _weights(profile, name)
    if path is None:
        return None
    about = path.stat()
    return _hash_of_version(path, about.st_size, about.st_mtime_ns)


@cache
def _hash_of_version(path: Path, size: int, changed: int) -> str:
    return file_hash(path)
