"""A network that is trained once and kept: backbone, crops and run folder around the loops."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from bana.data.transforms import Crops, collate, draw_order, training_transform
from bana.data.voc import VocDataset
from bana.experiment.keeping import described
from bana.files.alone import alone_in
from bana.files.artefacts import load_checkpoint, save_checkpoint
from bana.files.unfinished import NotWritten
from bana.networks import backbones
from bana.networks.backbones import Backbone
from bana.training.engine import Engine, begin_worker
from bana.training.machine import Machine, is_first_process, processes_of
from bana.training.optimisation import Optimisation
from bana.training.runs import Run, RunError, remedy, unwritable


@dataclass(frozen=True)
class BackboneSettings:
    """A backbone and its ImageNet weights, see `bana.networks.backbones.build_backbone`."""

    name: str
    output_stride: int
    frozen_stages: int
    frozen_statistics: bool
    weights: Path | None

    def build(self) -> Backbone:
        """The backbone with its weights, not trained any further."""
        return backbones.build_backbone(
            self.name,
            self.output_stride,
            self.frozen_stages,
            self.weights,
            self.frozen_statistics,
        )


@dataclass(frozen=True)
class CropSettings:
    """Training crops: side in pixels, range of random scales, and the constant enlargement."""

    crop: int
    crop_scale: tuple[float, float]
    image_scale: float


def kept_training(
    files: tuple[Path, str],
    machine: Machine,
    settings: Any,
    model: Any,
    train: Callable[[Engine], Mapping[str, Any]],
    extra: dict[Any, Any] | None = None,
) -> dict[str, Any]:
    """What a training left behind: from its file where it is there, else by training.

    Args:
        files: where the result is kept, and under which key.
        machine: where and how to train; ``restart`` passes over what is there.
        settings: a record with ``crops`` and ``optimisation``, written into the run folder.
        model: a network with a backbone.
        train: trains the model in place; what it returns is kept too.
        extra: see `bana.training.engine.Engine`.

    Returns:
        "state", "history", "seconds", "extra", and what ``train`` returned.

    Raises:
        RunError: if the run folder or the memory do not suffice.
    """
    path, key = files
    # The key is part of the folder's name, so that a training under changed settings neither
    # resumes from nor overwrites what was begun under others.
    run = Run(path.with_name(f"{path.stem}-{key[:8]}"), key)
    kept = _finished(files, machine, run)
    if kept is not None:
        return kept
    with _alone_in(run.folder) if is_first_process() else nullcontext():
        if processes_of(machine) == (1, 1):
            # Another command may have been waited for. Of several processes the others train now.
            kept = _finished(files, machine, run)
        return kept or _trained(files, machine, settings, model, train, extra, run)


def _finished(files: tuple[Path, str], machine: Machine, run: Run) -> dict[str, Any] | None:
    """What is kept of a finished training, None where it is to be done."""
    kept = None if machine.restart else load_checkpoint(*files)
    if kept is not None and any(run.folder.glob("checkpoint-*")):
        # Killed before they were removed. They stay where somebody trains it anew at this moment,
        # and on a disk that cannot be written.
        with suppress(OSError), alone_in(run.folder, wait=False):
            run.clear()
    return kept


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """As `bana.files.alone.alone_in`, with the error of a run."""
    with ExitStack() as stack:
        try:
            stack.enter_context(alone_in(folder))
        except OSError as error:
            raise unwritable(folder, error) from error
        yield


def _trained(
    files: tuple[Path, str],
    machine: Machine,
    settings: Any,
    model: Any,
    train: Callable[[Engine], Mapping[str, Any]],
    extra: dict[Any, Any] | None,
    run: Run,
) -> dict[str, Any]:
    """As `kept_training`, of what is not there yet, alone in the run folder."""
    path, key = files
    hold = Engine(machine, run, extra)
    optimisation, about = settings.optimisation, {"settings": described(settings)}
    hold.prepare(about | {"training": path.stem}, model, optimisation.copies)
    hold.check_memory(model.backbone, settings.crops.crop, optimisation.batch, optimisation.copies)
    learned = train(hold)
    model.cpu()
    kept = {"state": model.state_dict(), "history": hold.history}
    kept |= {"seconds": hold.seconds, "extra": hold.extra, **learned}

    def keep() -> None:
        try:
            save_checkpoint(path, key, kept)
        except NotWritten as error:
            raise RunError(
                f"{path} could not be written ({error.reason}): {remedy(error)} and run the same "
                f"command again, which goes on from the last checkpoint"
            ) from error
        run.clear()

    hold.first_alone(keep)
    return kept


def batches(
    data: VocDataset,
    crops: CropSettings,
    optimisation: Optimisation,
    seed: int,
    hold: Engine,
    workers: int = 0,
    label_folders: Mapping[str, Path] | None = None,
    strong: frozenset[str] = frozenset(),
) -> DataLoader:
    """The micro-batches of a training, from the iteration on where it goes on.

    Args:
        data: photographs.
        crops: how they are cut.
        optimisation: iterations and batch.
        seed: of the order and of the augmentation.
        hold: tells which of the micro-batches are this process's.
        workers: processes that prepare crops, where the machine does not say.
        label_folders, strong: see `bana.data.transforms.Crops`.
    """
    transform = training_transform(crops.crop, crops.crop_scale, image_scale=crops.image_scale)
    order = draw_order(len(data), optimisation.iterations * optimisation.batch, seed)
    if hold.machine.loader_workers is not None:
        workers = hold.machine.loader_workers
    on_gpu = hold.device.type == "cuda"
    return DataLoader(
        Crops(data, transform, seed, label_folders, strong),
        batch_sampler=hold.draws(order, optimisation.batch),
        collate_fn=collate,
        num_workers=workers,
        pin_memory=on_gpu,
        # A GPU works off its batches quickly and an epoch of the loader is the whole training, so
        # that workers stay anyway; a few batches in advance even out slow photographs.
        prefetch_factor=(4 if on_gpu else 2) if workers else None,
        worker_init_fn=begin_worker,
    )
