"""What tables are made of: the record, the regime card and the bench of a profile, with origins."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from bana.data.voc_files import DataError
from bana.experiment import recording, regime
from bana.experiment.profiles import Profile
from bana.files.artefacts import file_hash, source_commit
from bana.files.paths import results_dir


class Measured(NamedTuple):
    """What was measured under one profile.

    Attributes:
        name: of the profile.
        record: of `bana.experiment.recording.record`.
        card: of `bana.evaluation.regime.regime`, or None.
        bench: of `bana bench losses`, or None.
        origins: where "record", "card" and "bench" are from, in words.
        files: the records that were read, by name, with their hashes.
    """

    name: str
    record: dict[str, Any]
    card: dict[str, Any] | None
    bench: dict[str, Any] | None
    origins: dict[str, str]
    files: dict[str, str]

    @property
    def data(self) -> str:
        """The data set in words, such as "sample (drawn)"."""
        return f"{self.name}, {self.record['data']['images']['val']} val images"


def from_records(names: tuple[str, ...] = ("voc-mini", "sample")) -> list[Measured]:
    """What the records in results/ say of some profiles; those without a record are left out.

    Raises:
        DataError: none of them has a record.
    """
    found = []
    for name in names:
        paths = {
            "record": results_dir() / f"{name}.json",
            "card": results_dir() / f"regime-{name}.json",
            "bench": results_dir() / f"bench-{name}.json",
        }
        read = {key: _read(path) for key, path in paths.items()}
        if read["record"] is None:
            continue
        origins = {key: _told(paths[key], made) for key, made in read.items() if made}
        files = {paths[key].name: file_hash(paths[key]) for key in origins}
        card = read["card"]["regime"] if read["card"] else None
        found.append(Measured(name, read["record"], card, read["bench"], origins, files))
    if not found:
        raise DataError(f"{results_dir()}: no record of {', '.join(names)}: run `bana evaluate`")
    return found


def from_run(profile: Profile, root: str | Path | None = None) -> list[Measured]:
    """What the run of a profile measured; what is missing is made, which may train networks."""
    origin = f"run of {profile.name}, seed {profile.seed}, code {source_commit()}"
    record = recording.record(profile, root)
    card = regime.regime_card(profile, "val", root)
    return [Measured(profile.name, record, card, None, {"record": origin, "card": origin}, {})]


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _told(path: Path, record: dict[str, Any]) -> str:
    return f"results/{path.name}, commit {record['commit']}"
