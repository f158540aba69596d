"""The data of an exhibit: computed once, and kept in the run's folder until a source changes."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from bana.data.fingerprint import fingerprint
from bana.experiment.exhibits.sources import Materials, Needs, Sources, settings_that_count
from bana.experiment.keeping import key_of
from bana.files.artefacts import load_checkpoint, save_checkpoint
from bana.files.paths import run_dir


class Kept(NamedTuple):
    """What a figure draws.

    Attributes:
        data: tensors and plain values.
        key: hash of all that they depend on.
        seconds: that they took to compute, without the stages before them.
        origin: what they were computed from, see `Materials`.
        computed: whether they were computed now.
    """

    data: dict[str, Any]
    key: str
    seconds: float
    origin: dict[str, Any]
    computed: bool


def kept_data(
    name: str, compute: Callable[[Materials], dict[str, Any]], needs: Needs, sources: Sources
) -> Kept:
    """The data of an exhibit, computed where they are not kept under their key.

    Args:
        name: of the exhibit, and of its file.
        compute: makes tensors and plain values of the materials. Its module, with what that
            imports, is the code that counts: how the data are drawn is in no key.
        needs: all that it takes.
        sources: where that is found.
    """
    materials = sources.gather(needs)
    photographs = [fingerprint(data, "photograph") for data in materials.data.values()]
    settings = settings_that_count(sources.profile)
    key = key_of(compute, compute.__name__, settings, materials.origin, photographs)
    path = run_dir(sources.profile.name) / "exhibits" / f"{name}.pt"
    kept = load_checkpoint(path, key)
    computed = kept is None
    if kept is None:
        start = time.monotonic()
        data = compute(materials)
        kept = {"data": data, "seconds": round(time.monotonic() - start, 1)}
        save_checkpoint(path, key, kept)
    return Kept(kept["data"], key, kept["seconds"], materials.origin, computed)
