"""What tables are made of: records, cards and benches of a profile, with their origins."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bana.data.voc_files import DataError
from bana.experiment import (
    activations,
    agnostic,
    crossing,
    grids,
    prompting,
    recording,
    regime,
    weighings,
)
from bana.experiment.profiles import PROFILES, Profile
from bana.files.artefacts import file_hash, read_json, source_commit
from bana.files.paths import results_dir, run_dir

OF_RUN = "run of "
SHOWN = tuple(dict.fromkeys(("voc-mini", "sample", *PROFILES)))
"""The profiles in the order of the tables' columns."""


class Part(NamedTuple):
    """Something that is measured under a profile, and recorded.

    Attributes:
        file: name of its record in results/, in which {} stands for the profile's.
        held: under which name a record holds it; None where it is the record.
        measure: makes it from a run; takes the profile and the root of its data, and gives None
            where that needs more than a run has. None where no table of a run has it.
    """

    file: str
    held: str | None
    measure: Callable[[Profile, str | Path | None], dict[str, Any] | None] | None


PARTS: dict[str, Part] = {
    "record": Part("{}.json", None, lambda profile, root: recording.record(profile, root)),
    "card": Part("regime-{}.json", "regime", lambda p, root: regime.regime_card(p, "val", root)),
    "bench": Part("bench-{}.json", None, None),
    "bench_classes": Part("bench-{}-classes.json", None, None),
    "card_train": Part(
        "regime-{}-train.json", "regime", lambda p, root: regime.regime_card(p, "train", root)
    ),
    "activations": Part("activations-{}.json", "activations", activations.activation_card),
    "crossing": Part("crossing-{}.json", "crossing", crossing.crossing_card),
    "grids": Part("grids-{}.json", "grids", grids.grid_card),
    "weighings": Part("weighings-{}.json", "weighings", weighings.weighing_card),
    "agnostic": Part("class-agnostic-{}.json", "class_agnostic", agnostic.agnostic_card),
    "sam": Part("sam-{}.json", "sam", prompting.kept_card),  # of a checkpoint of the user's own
}
OF_TABLES = ("activations", "crossing", "grids", "weighings", "agnostic")
"""Parts that no other command records: `bana table --record` does."""


class Measured(NamedTuple):
    """What was measured under one profile.

    Attributes:
        name: of the profile.
        record: of `bana.experiment.recording.record`, or of `about` alone.
        card: of `bana.evaluation.regime.regime`, or None.
        bench: of `bana bench losses`, or None.
        origins: where the parts are from, in words, by name; that of "record" is always there.
        files: the records that were read, by name, with their hashes.
        more: the other `PARTS` that were asked for, by name; None where one is not there.
    """

    name: str
    record: dict[str, Any]
    card: dict[str, Any] | None
    bench: dict[str, Any] | None
    origins: dict[str, str]
    files: dict[str, str]
    more: Mapping[str, dict[str, Any] | None] = {}

    @property
    def of_run(self) -> bool:
        """Whether it is of a run, which has the losses of its profile alone."""
        return self.origins["record"].startswith(OF_RUN)

    @property
    def data(self) -> str:
        """What was scored, in words, such as "sample, 60 val images"."""
        return f"{self.name}, {self.record['data']['images']['val']} val images"

    @property
    def train_data(self) -> str:
        """The same of what is measured on training images."""
        return f"{self.name}, {self.record['data']['images']['train']} train images"


def from_records(names: Sequence[str] = SHOWN) -> list[Measured]:
    """What the records in results/ say of profiles; those without a record are left out.

    Raises:
        DataError: none of them has a record.
    """
    found = []
    for name in names:
        paths = {key: results_dir() / part.file.format(name) for key, part in PARTS.items()}
        read = {key: _read(path) for key, path in paths.items()}
        if read["record"] is None:
            continue
        origins = {key: _told(paths[key], made) for key, made in read.items() if made}
        files = {paths[key].name: file_hash(paths[key]) for key in origins}
        parts = {key: _held(PARTS[key], made) for key, made in read.items()}
        found.append(_measured(name, parts, origins, files))
    if not found:
        told = f"no record of {', '.join(names)}: run `bana evaluate --record`"
        raise DataError(f"{results_dir()}: {told}")
    return found


def from_run(
    profile: Profile,
    root: str | Path | None = None,
    parts: Sequence[str] = ("record", "card"),
) -> list[Measured]:
    """What the run of a profile measured; what is missing is made, which may train networks.

    Args:
        profile: settings.
        root: see `bana.experiment.stages.data_root`.
        parts: of `PARTS`, that are wanted; without "record" it says what was scored alone.
    """
    origin = f"{OF_RUN}{profile.name}, seed {profile.seed}, code {source_commit()}"
    made = {
        name: part.measure(profile, root)
        for name, part in PARTS.items()
        if name in parts and part.measure
    }
    if "record" not in made:
        made["record"] = recording.about(profile, root)
    elif told := _machine_of(profile):
        made["record"] = {**made["record"], "environment": told}
    origins = dict.fromkeys((name for name, held in made.items() if held), origin)
    return [_measured(profile.name, made, origins, {})]


def _machine_of(profile: Profile) -> dict[str, Any] | None:
    """What a run's latest training wrote of its machine."""
    files = run_dir(profile.name).glob("*/environment.json")
    latest = max(files, key=lambda path: path.stat().st_mtime_ns, default=None)
    return read_json(latest) if latest else None


def _measured(
    name: str, parts: Mapping[str, Any], origins: dict[str, str], files: dict[str, str]
) -> Measured:
    more = {key: value for key, value in parts.items() if key not in Measured._fields}
    card, bench = parts.get("card"), parts.get("bench")
    return Measured(name, parts["record"], card, bench, origins, files, more)


def _held(part: Part, record: dict[str, Any] | None) -> dict[str, Any] | None:
    return record[part.held] if record and part.held else record


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _told(path: Path, record: dict[str, Any]) -> str:
    return f"results/{path.name}, commit {record['commit']}"
