"""Kept results: a file, and the hash of everything it depends on.

A file whose key differs from the one asked for counts as missing. Files appear whole or not at
all: they are written beside their place and moved there.
"""

import hashlib
import inspect
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


@cache
def source_hash(*modules: ModuleType) -> str:
    """Hash of the source code of modules."""
    return content_hash([inspect.getsource(module) for module in modules])


def content_hash(*parts: Any) -> str:
    """Short hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def load_checkpoint(path: Path, key: str) -> dict | None:
    """What `save_checkpoint` kept under that key, on the CPU; None if there is no such thing."""
    if not path.is_file():
        return None
    kept = torch.load(path, map_location="cpu", weights_only=True)
    return kept if kept.get("key") == key else None


def weights_hash(state: dict[str, torch.Tensor]) -> str:
    """Short hash of the weights in a network's `state_dict`."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_checkpoint(path: Path, key: str, kept: dict[str, Any]) -> None:
    """Keep tensors and plain values under a key."""
    _whole(path, lambda unfinished: torch.save({**kept, "key": key}, unfinished))


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object as JSON."""
    text = json.dumps(value, indent=1) + "\n"
    _whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def kept_json(path: Path, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result kept in a JSON file under that key, made and kept where it is not there."""
    kept = read_json(path)
    if kept.get("key") != key:
        kept = {"key": key, "result": make()}
        write_json(path, kept)
    return kept["result"]


def _whole(path: Path, write: Callable[[Path], Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
