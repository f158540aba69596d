"""The folder of one training, and how it survives being killed.

runs/<profile>/<training>-<key>/ holds

    settings.json                       what is trained and on what machine, as resolved
    environment.json                    versions, device, commit
    metrics.csv                         a row an iteration
    checkpoint-<iteration>-<hash>.pt    the newest two, gone once the training is finished

A checkpoint appears whole or not at all, and the hash in its name tells whether it is still what
was written; a damaged one is passed over for the one before it. Everything is read back with
torch's weights-only loader, which runs no code.
"""

import csv
import errno
import importlib.util
import io
import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bana.files.artefacts import (
    file_hash,
    source_commit,
    write_json,
    write_tensors,
    write_whole,
)
from bana.files.unfinished import NotWritten, explained, remove_unfinished

PACKAGES = ("torchvision", "lightning-fabric", "timm", "opencv-python-headless", "numpy")


class RunError(ValueError):
    """A run cannot start or go on; the message says why and what to do."""


def unwritable(folder: Path, error: OSError) -> RunError:
    """What is to be raised where the folder of a run cannot be made or written."""
    reason = error.reason if isinstance(error, NotWritten) else error.strerror
    return RunError(
        f"{folder} cannot be written ({reason}): make it writable, or set BANA_RUNS to a folder "
        f"that is"
    )


def remedy(error: NotWritten) -> str:
    """What to do about a file that could not be written."""
    closed = error.number in (errno.EACCES, errno.EPERM, errno.EROFS)
    return "make the folder writable" if closed else "free some disk"


class Interrupted(Exception):
    """A training was asked to stop, has saved its state and stopped.

    Attributes:
        exit_code: what a process says that ends for this reason, 128 plus the signal's number:
            143 after SIGTERM, 130 after SIGINT.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[type, tuple[int, str]]:
        """What another process makes it of again."""
        return type(self), (self.exit_code - 128, str(self))


class Run:
    """Folder of one training.

    Args:
        folder: of this training alone.
        key: hash of all that the training depends on; a checkpoint of another key is not used.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key
        self._good: list[Path] = []

    def prepare(
        self, settings: Mapping[str, Any], environment: Mapping[str, Any], checkpoint_bytes: int
    ) -> None:
        """Make the folder and see to it that hours of training will not be lost for want of disk.

        Args:
            settings: for settings.json.
            environment: for environment.json.
            checkpoint_bytes: size of one checkpoint; there must be room for three, as the
                newest two stay while the next one is written.

        Raises:
            RunError: if the folder cannot be written or the disk is too full.
        """
        try:
            remove_unfinished(self.folder)
            write_json(self.folder / "settings.json", dict(settings))
            write_json(self.folder / "environment.json", dict(environment))
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise unwritable(self.folder, error) from error
        needed = 3 * checkpoint_bytes
        if free < needed:
            raise RunError(
                f"{self.folder} has {free / 1e9:.2f} GB of free disk and checkpoints need "
                f"{needed / 1e9:.2f}: free some, or set BANA_RUNS to a folder elsewhere"
            )

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint that is whole and has this run's key; None if there is none."""
        for path in sorted(self.folder.glob("checkpoint-*.pt"), reverse=True):
            kept = _read(path)
            if kept is None:
                print(f"{path} is damaged: going on from the checkpoint before it")
            elif kept["key"] == self.key:
                self._good = [path]
                return kept
        return None

    def save(self, kept: Mapping[str, Any]) -> None:
        """Write a checkpoint and keep, beside it, only the last good one before.

        Args:
            kept: with "iteration"; tensors and plain values.

        Raises:
            RunError: if it cannot be written, such as on a full disk; what was there stays.
        """
        path = self.folder / f"checkpoint-{kept['iteration']:08d}.pt"
        whole = {**kept, "key": self.key}
        try:
            written = write_whole(path, lambda file: write_tensors(file, whole), True)
        except NotWritten as error:
            last = self._good[-1].name if self._good else "none yet"
            free = shutil.disk_usage(self.folder).free / 1e9
            raise RunError(
                f"{path} could not be written ({error.reason}; {free:.2f} GB of disk are free); "
                f"the last good checkpoint is still there ({last}): {remedy(error)} and run the "
                f"same command again"
            ) from error
        self._good = [*self._good[-1:], written]
        for old in self.folder.glob("checkpoint-*"):
            if old not in self._good:
                old.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove the checkpoints: the training is finished, or shall begin anew."""
        self._good = []
        for path in self.folder.glob("checkpoint-*"):
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """What a checkpoint holds, on the CPU; None if it is not what was written."""
    try:
        if not path.stem.endswith(f"-{file_hash(path)}"):
            return None
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        return None


class Metrics:
    """metrics.csv: one row an iteration, each iteration once, however often a run was resumed.

    Args:
        path: of the file.
        done: iterations that are done; rows of later ones, and a row cut short, are removed.
        tensorboard: write the numbers for TensorBoard too, beside the file.

    Raises:
        RunError: if TensorBoard is asked for and not installed.
        bana.files.unfinished.NotWritten: if it cannot be written, here or in a method.
    """

    def __init__(self, path: Path, done: int, tensorboard: bool = False) -> None:
        kept = _rows_until(path, done)
        write_whole(path, lambda file: file.write_bytes(_as_csv(kept)))
        self._path = path
        with explained(path):
            # Unbuffered: what a full disk refused is not tried again when the file is closed.
            self._file = path.open("ab", buffering=0)
        self._empty = not kept
        self._board = _summary_writer(path.parent, done) if tensorboard else None

    def append(self, row: Mapping[str, float]) -> None:
        """Add a row; "iteration" comes first, and every row has the same names."""
        rows = [row, row.values()] if self._empty else [row.values()]
        data = _as_csv(rows)
        with explained(self._path):
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._empty = False
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, int(row["iteration"]))

    def sync(self) -> None:
        """Force the rows to the disk, so that no checkpoint is newer than its rows."""
        with explained(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _as_csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _rows_until(path: Path, done: int) -> list[list[str]]:
    """Header and rows of the first iterations; nothing where there are none."""
    if not done or not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as opened:
        header, *rows = list(csv.reader(opened)) or [[]]
    whole = [row for row in rows if len(row) == len(header) and row[0].isdigit()]
    return [header, *(row for row in whole if int(row[0]) <= done)] if header else []


def check_tensorboard() -> None:
    """Raise `RunError` where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise RunError("TensorBoard is not installed: pip install tensorboard, or go without it")


def _summary_writer(folder: Path, done: int) -> Any:
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)


def environment(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """What a training or an evaluation runs with: versions, device, processes, commit."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,  # of the module: it says which CUDA it was built for
        **{package: version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "device": f"{device.type} {name}".strip(),
        "processes": processes,
        "cores": os.cpu_count(),
        "commit": source_commit(),
    }
