"""The folder in which `bana masks` works: what is in it, and of what it was made.

A photograph is finished when its record, `kept/records/<name>.json`, is there. Beside the records
lie the label maps; what people came for lies in a folder a format.
"""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from bana.data.voc_files import DataError, read_mask, whole_file, write_mask
from bana.evaluation.mask_files import WRITERS
from bana.files.alone import alone_in
from bana.files.artefacts import read_json, write_json
from bana.files.unfinished import explained, is_filled, remove_unfinished

RECORDS = "kept/records"
MANIFEST = "masks.json"
FAILURES = "failures.csv"
KINDS = ("Y_crf", "Y_ret")


@contextmanager
def opened_folder(out: Path, about: dict[str, Any], images: Path) -> Iterator[None]:
    """`open_folder`, with no other process in the folder and nothing left of one that was killed.

    Arguments and errors as of `open_folder`.
    """
    _check_place(out, images)
    with alone_in(out):
        open_folder(out, about, images)
        remove_unfinished(out, below=True)
        yield


def open_folder(out: Path, about: dict[str, Any], images: Path) -> None:
    """Make the folder of the masks, or make sure that it is of the same photographs and boxes.

    Args:
        out: the folder.
        about: "images" and "boxes", where they lie, and what else is worth telling.
        images: folder of the photographs.

    Raises:
        DataError: if there is something else in the folder, or it lies among the photographs, where
            masks would be taken for such.
    """
    _check_place(out, images)
    before = read_json(out / MANIFEST)
    # A run that was killed may have left the folder's first file unfinished.
    there = out.iterdir() if out.exists() and not before else ()
    if any(not path.name.startswith(f".{MANIFEST}.") for path in there):
        raise DataError(f"--out {out}: holds something else than masks: name another folder")
    for part in ("images", "boxes"):
        if before and before.get(part) != about[part]:
            raise DataError(
                f"--out {out}: holds masks of other {part}, {before.get(part)}: name another folder"
            )
    write_json(out / MANIFEST, about)


def _check_place(out: Path, images: Path) -> None:
    here, there = out.resolve(), images.resolve()
    if here == there or there in here.parents:
        raise DataError(f"--out {out}: lies in the folder of the photographs: name another folder")
    if out.exists() and not out.is_dir():
        raise DataError(f"--out {out}: is no folder: name another one")


def record_of(out: Path, name: str) -> dict[str, Any]:
    """What is known of a finished photograph.

    Returns:
        "file_name"; "boxes", [class number, x1, y1, x2, y2] of each; "areas", pixels of each box's
        mask; "differ", of each box 1 - IoU of its masks in Y_crf and in Y_ret; "written", formats.
        Nothing of a photograph that is not finished, or whose record a power cut took.
    """
    try:
        return read_json(_record_path(out, name))
    except ValueError:
        return {}


def labels_of(out: Path, name: str) -> tuple[Tensor, Tensor]:
    """Y_crf and Y_ret of a finished photograph, uint8 [H, W]."""
    y_crf, y_ret = (read_mask(_label_path(out, kind, name)) for kind in KINDS)
    return y_crf, y_ret


def keep_labels(out: Path, name: str, y_crf: Tensor, y_ret: Tensor) -> None:
    """Write Y_crf and Y_ret of a photograph, uint8 [H, W]."""
    for kind, label in zip(KINDS, (y_crf, y_ret), strict=True):
        write_mask(_label_path(out, kind, name), label)


def has_labels(out: Path, name: str) -> bool:
    """Whether Y_crf and Y_ret of a photograph are there."""
    return all(is_filled(_label_path(out, kind, name)) for kind in KINDS)


def _record_path(out: Path, name: str) -> Path:
    return out / RECORDS / f"{name}.json"


def _label_path(out: Path, kind: str, name: str) -> Path:
    return out / "kept" / kind / f"{name}.png"


def keep_record(out: Path, name: str, record: dict[str, Any]) -> None:
    """Write the record of a photograph, which tells that it is finished."""
    with whole_file(_record_path(out, name)) as begun:
        begun.write_text(json.dumps(record), encoding="utf-8", newline="\n")


def forget(out: Path, name: str) -> None:
    """Remove all that was made of a photograph, the record first and last what was made first.

    Where something is left, because this was killed, `remove_strangers` finds it by that.

    Raises:
        bana.files.unfinished.NotWritten: if the folder cannot be written.
    """
    record = _record_path(out, name)
    with explained(record):
        record.unlink(missing_ok=True)
        for writer in WRITERS.values():
            writer.remove(out, name)
        for kind in reversed(KINDS):
            _label_path(out, kind, name).unlink(missing_ok=True)


def remove_strangers(out: Path, names: set[str]) -> None:
    """Remove what was made of photographs that have no boxes any more.

    Raises:
        bana.files.unfinished.NotWritten: if the folder cannot be written.
    """
    found = set()
    for folder, ending in ((out / RECORDS, ".json"), (out / "kept" / KINDS[0], ".png")):
        if folder.is_dir():
            paths = folder.rglob(f"*{ending}")
            found |= {path.relative_to(folder).with_suffix("").as_posix() for path in paths}
    for name in sorted(found - names):
        forget(out, name)


def write_failures(out: Path, failed: dict[str, str]) -> None:
    """Write failures.csv: the name and the reason of each photograph without masks."""
    with (
        whole_file(out / FAILURES) as begun,
        begun.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file)
        rows.writerow(["image", "reason"])
        rows.writerows(sorted(failed.items()))
