"""Commands on small made data, for `benchmarks/faults.py`: what they start from, what they leave.

A job lies in one folder, always the same, since paths are part of some results: `in` holds what is
read, `out` and `runs` what is written, `home` and `temporary` what should stay empty.
"""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from bana.files.artefacts import content_hash, weights_hash

TIMES = ("seconds", "samples_per_second")
"""What differs from run to run by nature: how long it took."""
UNFINISHED = ".tmp"
PHOTOGRAPHS = 4
CHANGED = ("1", "2", "3")
"""Photographs that `change_inputs` touches: those without boxes among them."""


class Job(NamedTuple):
    """A command.

    Attributes:
        name: for the record.
        words: of the command, with ``{root}`` for the job's folder.
        start: jobs whose commands have been given before, in order.
        change: of what is read, after that.
        stale: photographs whose old results may go before there are new ones.
    """

    name: str
    words: tuple[str, ...]
    start: tuple["Job", ...] = ()
    change: Callable[[Path], None] | None = None
    stale: tuple[str, ...] = ()


def words_of(job: Job, root: Path) -> list[str]:
    """The words of the command."""
    return [word.replace("{root}", str(root)) for word in job.words]


def write_inputs(root: Path) -> None:
    """Photographs of bright discs on noise, and a CSV file of the boxes around them."""
    for name in ("out", "runs", "home", "temporary"):
        (root / name).mkdir(parents=True)
    folder = root / "in" / "photographs"
    folder.mkdir(parents=True)
    rows = ["image,xmin,ymin,xmax,ymax,class"]
    for number in range(PHOTOGRAPHS):
        _photograph(folder / f"{number}.jpg", number)
        rows.append(f"{number}.jpg,10,5,50,45,{('cat', 'zebra')[number % 2]}")
        rows.append(f"{number}.jpg,25,20,60,55,cat")
    (root / "in" / "boxes.csv").write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")


def change_inputs(root: Path) -> None:
    """Another photograph under one name, one box moved, and one photograph without boxes."""
    _photograph(root / "in" / "photographs" / "1.jpg", 99)
    path = root / "in" / "boxes.csv"
    rows = path.read_text(encoding="utf-8").splitlines()
    last = f"{PHOTOGRAPHS - 1}.jpg"
    rows = [row.replace("2.jpg,10,5", "2.jpg,15,5") for row in rows if not row.startswith(last)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8", newline="\n")


def _photograph(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 60, (60, 80, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:60, :80]
    pixels[(columns - 30) ** 2 + (rows - 25) ** 2 < 225] = (220, 60 + seed, 40)
    Image.fromarray(pixels).save(path, quality=95)


MASKS = ("masks", "{root}/in/photographs", "--boxes", "{root}/in/boxes.csv", "--out", "{root}/out")
MASKS += ("--longest", "48", "--workers", "1", "--review", "4")
IMPORT = ("data", "import", "--format", "csv", "--boxes", "{root}/in/boxes.csv")
IMPORT += ("--images", "{root}/in/photographs", "--out", "{root}/out")
SMOKE = ("--profile", "smoke", "--iterations", "3")
OFTEN = ("--checkpoint-minutes", "0")
ALL_FORMATS = ("--write", "voc", "coco", "yolo-seg", "labelme", "instances")
IN_TWO_FORMATS = Job("masks in two formats", (*MASKS, "--write", "voc", "coco"))
# Which draws the scenes, once: trainings look at the times of their photographs.
DRAWN = Job("label boxes", ("label", *SMOKE, "--variant", "boxes", "--workers", "1"))
CLASSIFIER = Job("train classifier", ("train", "classifier", *SMOKE, *OFTEN), (DRAWN,))
LABEL = Job("label", ("label", *SMOKE, "--workers", "1"), (DRAWN, CLASSIFIER))
IMPORTED = Job("data import", IMPORT)
JOBS = (
    Job("masks", (*MASKS, *ALL_FORMATS)),
    Job("masks, changed inputs", (*MASKS, *ALL_FORMATS), (IN_TWO_FORMATS,), change_inputs, CHANGED),
    IMPORTED,
    Job("data import, changed boxes", IMPORT, (IMPORTED,), change_inputs),
    CLASSIFIER,
    LABEL,
    Job(
        "train segmentation",
        ("train", "segmentation", *SMOKE, *OFTEN),
        (DRAWN, CLASSIFIER, LABEL),
    ),
    Job("export", ("export", *SMOKE, "--out", "{root}/out/results.json"), (DRAWN, CLASSIFIER)),
)


def files_below(root: Path) -> dict[str, Path]:
    """All files of a folder, hidden ones too, by their path in it; empty folders end in "/"."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                found[f"{name}/"] = path
        else:
            found[name] = path
    return found


def contents(
    root: Path, of: Callable[[str, Path], bool] = lambda name, path: True
) -> dict[str, str]:
    """A hash of what each file holds, but for how long it took to make.

    Args:
        root: the folder.
        of: which files, by their path in it and as such.
    """
    return {
        name: "" if name.endswith("/") else content(path)
        for name, path in files_below(root).items()
        if of(name, path)
    }


def content(path: Path) -> str:
    """A hash of what a file holds: of its bytes, unless it tells how long something took.

    Raises:
        ValueError, RuntimeError, OSError: of a file that is not whole.
    """
    if path.suffix == ".pt":
        kept = torch.load(path, map_location="cpu", weights_only=True)
        return content_hash(_plain(kept))
    if path.name.startswith("manifest") and path.suffix == ".json":
        return content_hash(_plain(json.loads(path.read_text(encoding="utf-8"))))
    if path.name == "metrics.csv":
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        return content_hash([_plain(dict(row)) for row in rows])
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """A value in terms of JSON, without times."""
    if isinstance(value, torch.Tensor):
        return weights_hash({"": value})
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items() if name not in TIMES}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def not_whole(path: Path) -> str:
    """Why a file that a command may read cannot be read; empty if it can."""
    try:
        if path.suffix in (".png", ".jpg"):
            with Image.open(path) as picture:
                picture.load()
        elif path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".pt":
            torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever it is, the file is not whole
        return f"{type(error).__name__}: {error}"
    return ""


def begin(root: Path, base: Path) -> None:
    """Put a job's folder back to where it starts from; times of change are those of the base.

    What is there is emptied and not removed, since a part of it may be a mounted disk.
    """
    empty(root)
    shutil.copytree(base, root, dirs_exist_ok=True)


def empty(folder: Path) -> None:
    """Remove what is in a folder, but for the places of disks; make the folder where it is not."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_mount():
            empty(path)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
