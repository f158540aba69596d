"""Kept results: a file, and the hash of everything it depends on.

A file whose key differs from the one asked for counts as missing. Files appear whole or not at
all: they are written beside their place, forced to the disk and moved there.
"""

import errno
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from bana.files.paths import repo_root
from bana.files.unfinished import explained, move, remove_abandoned, unfinished

_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)
COMMITTED = ("bana", "notebooks")


def source_commit() -> str:
    """Short hash of the last commit that touched the package or the notebooks.

    Returns:
        Such as `1a2b3c4`; `1a2b3c4-dirty` where uncommitted changes are on top of it;
        `unknown` outside a git repository.
    """
    commit = _git("log", "-1", "--format=%h", "--", *COMMITTED)
    if not commit:
        return "unknown"
    return commit + ("-dirty" if _git("status", "--porcelain", "--", *COMMITTED) else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=repo_root(),
            capture_output=True,
            encoding="utf-8",
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def content_hash(*parts: Any) -> str:
    """Short hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file's bytes."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def known_hash(path: Path) -> str:
    """As `file_hash`; a process reads a file once, as long as its size and time of change stay."""
    about = path.stat()
    return _hash_of_version(path.absolute(), about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=2**18)
def _hash_of_version(path: Path, size: int, changed: int) -> str:
    return file_hash(path)


def load_checkpoint(path: Path, key: str) -> dict | None:
    """What `save_checkpoint` kept under that key, on the CPU; None if there is no such thing.

    Raises:
        ValueError: if the file is damaged, or holds anything but tensors and plain values.
    """
    if not path.is_file():
        return None
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    # Of files that are no checkpoints, or would run code, torch raises whatever it stumbles over.
    except Exception as error:
        raise ValueError(f"{path} is damaged: remove it, and it is made anew") from error
    return kept if isinstance(kept, dict) and kept.get("key") == key else None


def weights_hash(state: dict[str, torch.Tensor]) -> str:
    """Short hash of the weights in a network's `state_dict`."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_checkpoint(path: Path, key: str, kept: dict[str, Any]) -> None:
    """Keep tensors and plain values under a key."""
    write_whole(path, lambda file: write_tensors(file, {**kept, "key": key}))


def write_tensors(path: Path, kept: dict[str, Any]) -> None:
    """Write tensors and plain values.

    Raises:
        OSError: if the disk is full or closed, which torch tells in a way of its own.
    """
    try:
        torch.save(kept, path)
    except RuntimeError as error:
        told = str(error).splitlines()[0]
        for number in _OF_DISKS:
            if os.strerror(number) in told:
                raise OSError(number, os.strerror(number)) from error
        raise OSError(told) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file.

    Raises:
        ValueError: if the file holds something else.
    """
    if not path.is_file():
        return {}
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise ValueError(f"{path} is damaged: remove it, and it is made anew")
    return held


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object as JSON.

    Raises:
        ValueError: if a number in it is NaN or infinite.
    """
    try:
        text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise ValueError(
            f"{path}: a number is NaN or infinite, which JSON does not know: use None"
        ) from error
    write_whole(path, lambda file: file.write_text(text, encoding="utf-8", newline="\n"))


def kept_json(path: Path, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result kept in a JSON file under that key, made and kept where it is not there."""
    kept = read_json(path)
    if kept.get("key") != key:
        kept = {"key": key, "result": make()}
        write_json(path, kept)
    return kept["result"]


def write_whole(path: Path, write: Callable[[Path], Any], hash_in_name: bool = False) -> Path:
    """Write a file that appears whole or not at all, and stays after a power cut.

    What killed processes left of the same file goes.

    Args:
        path: where it goes; missing folders are made.
        write: called with the path of the unfinished file.
        hash_in_name: add the first 16 digits of the content's SHA-256 to the name, as
            `model-<digits>.pt`, so that a file damaged later on can be told by its name alone.

    Returns:
        The path of the file.

    Raises:
        bana.files.unfinished.NotWritten: if it cannot be written; what was there is as it was.
    """
    begun = unfinished(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path)
        try:
            write(begun)
            with begun.open("rb+") as written:
                os.fsync(written.fileno())
            if hash_in_name:
                path = path.with_name(f"{path.stem}-{file_hash(begun)}{path.suffix}")
            move(begun, path)
        finally:
            begun.unlink(missing_ok=True)
        _sync_folder(path.parent)
    return path


def _sync_folder(folder: Path) -> None:
    # The move itself is an entry of the folder. Windows cannot open folders and needs no such call.
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
