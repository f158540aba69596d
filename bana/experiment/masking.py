"""Masks of a folder of photographs from their boxes, by a classifier that comes with the package.

A photograph's record tells what its masks were made from: a changed photograph, changed boxes or
other settings make them anew, and a killed run goes on where it was.
"""

import errno
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bana.data.boxes import check_boxes, pixels_of
from bana.data.checks import listed
from bana.data.class_names import matched
from bana.data.fingerprint import photograph_hash
from bana.data.formats.common import CocoSource, Folder, Read
from bana.data.layout import Box, Photograph
from bana.data.names import check_apart
from bana.data.oddities import notes_on_boxes, notes_on_photographs
from bana.data.photograph_checks import turn_note
from bana.data.voc_files import (
    DataError,
    check_class_names,
    image_size,
    orientation,
    read_image,
)
from bana.evaluation.mask_files import WRITERS, Masked
from bana.experiment.keeping import key_of
from bana.experiment.labelling import IMAGES_A_PROCESS
from bana.experiment.mask_folder import (
    forget,
    has_labels,
    keep_labels,
    keep_record,
    labels_of,
    record_of,
    remove_strangers,
    write_failures,
)
from bana.experiment.pretrained import LEAST_SIDE, SIDE, Pretrained, label_maps
from bana.experiment.processes import computing_with, spread
from bana.files.artefacts import content_hash
from bana.files.unfinished import NotWritten

FEW = 5
"""So many wrong boxes of a photograph are told one by one."""


@dataclass(frozen=True)
class MaskSettings:
    """How masks are made and written.

    Attributes:
        side: longer side, in pixels, at which the classifier sees a photograph.
        writes: formats of the files, keys of `bana.evaluation.mask_files.WRITERS`.
    """

    side: int = SIDE
    writes: tuple[str, ...] = ("voc", "coco")

    def __post_init__(self) -> None:
        """Refuse a format that is not known and a size at which nothing could be seen."""
        unknown = sorted(set(self.writes) - WRITERS.keys())
        if unknown:
            raise ValueError(f"no masks of format {unknown[0]!r}: there are {', '.join(WRITERS)}")
        if self.side < LEAST_SIDE:
            raise ValueError(
                f"a longer side of {self.side} pixels is too small: at least {LEAST_SIDE}"
            )


class MaskJob(NamedTuple):
    """One photograph: its name among the masks, what was read of it, and the numbers of classes."""

    name: str
    file_name: str
    photograph: Photograph
    numbers: tuple[int, ...]


class Made(NamedTuple):
    """What came of a run.

    Attributes:
        names: of the photographs that have masks now, in order.
        new: how many of them were made or written by this run.
        failed: {name: reason} of those that have none.
        empty: boxes whose mask has no pixel.
    """

    names: list[str]
    new: int
    failed: dict[str, str]
    empty: int


class _Shared(NamedTuple):
    """What all photographs have in common."""

    out: Path
    model: Pretrained
    classes: tuple[str, ...]
    settings: MaskSettings
    key: str


def classes_of(read: Read) -> tuple[str, ...]:
    """The classes of the masks, background first: the source's own, or those found, by alphabet.

    Raises:
        DataError: if a box has a class that the source does not list.
    """
    boxes = [box for photograph in read.photographs for box in photograph.boxes]
    found = sorted({box.kind for box in boxes})
    classes = check_class_names(read.classes or ("background", *found), "the boxes")
    for box in boxes:
        if box.kind not in classes[1:]:
            raise DataError(
                f"{box.where}: unknown class {box.kind!r}; there is {', '.join(classes[1:])}"
            )
    return classes


def unknown_classes(classes: Sequence[str], model: Pretrained) -> list[str]:
    """Those of the classes that the classifier never saw, whose masks take u_c = 1 - u_0."""
    found = matched(classes, model.classes)
    return [name for name, row in zip(classes, found, strict=True) if row is None]


def mask_jobs(read: Read, images: Folder, classes: Sequence[str]) -> list[MaskJob]:
    """The photographs with boxes, in order of their names.

    Raises:
        DataError: if one photograph, or two that differ in their ending alone, occur twice, or one
            occurs with boxes and without.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    jobs: dict[str, MaskJob] = {}
    for photograph in read.photographs:
        if not photograph.boxes:
            continue
        relative = photograph.path.relative_to(images.root)
        name = relative.with_suffix("").as_posix()
        kinds = tuple(numbers[box.kind] for box in photograph.boxes)
        job = MaskJob(name, relative.as_posix(), photograph, kinds)
        other = jobs.setdefault(name, job)
        if other is not job:
            both = f"{other.file_name} and {job.file_name}"
            same = "the same photograph" if other.file_name == job.file_name else both
            raise DataError(
                f"{photograph.where}: {same} a second time, after {other.photograph.where}: masks "
                f"of one name would overwrite each other"
            )
    _check_without_boxes(read, jobs.values())
    return [jobs[name] for name in sorted(jobs)]


def _check_without_boxes(read: Read, jobs: Iterable[MaskJob]) -> None:
    files = {job.photograph.path: job.photograph for job in jobs}
    for photograph in read.photographs:
        other = files.get(photograph.path, photograph)
        if other is not photograph and not photograph.boxes:
            raise DataError(
                f"{photograph.where}: says that {photograph.path.name} has no box, and "
                f"{other.where} has one: remove one of them"
            )


def notes_on_jobs(jobs: Sequence[MaskJob], side: int, cell: int) -> list[str]:
    """What is allowed and seldom meant, of boxes for which their photograph does not fail.

    Args:
        jobs: the photographs.
        side: longer side at which labels are made, in pixels.
        cell: pixels of a cell of the features there.
    """
    sound, sizes, told = [], [], [job.photograph for job in jobs]
    for job in jobs:
        photograph = job.photograph
        try:
            height, width = image_size(photograph.path)
            note = turn_note(photograph, (width, height), orientation(photograph.path))
            _inside(photograph.boxes, height, width)
        except (ValueError, OSError):
            continue
        sound.append(photograph)
        sizes.append((width, height))
        if note is not None:
            told.append(photograph._replace(note=note))
    small = [
        box.where
        for photograph, size in zip(sound, sizes, strict=True)
        for box in photograph.boxes
        if shorter_side(box) * side < cell * max(size)
    ]
    notes = [*notes_on_boxes(sound, sizes), *notes_on_photographs(told)]
    return [*notes, *_note_on_small(small, side, cell)]


def _note_on_small(places: Sequence[str], side: int, cell: int) -> Iterator[str]:
    if places:
        yield (
            f"boxes that are less than {cell} pixels wide or high at --longest {side}, a cell of "
            f"the features, so that their masks have hardly a shape ({len(places)}): "
            f"{listed(places, 3)}: raise --longest"
        )


def shorter_side(box: Box) -> float:
    """In pixels of the photograph."""
    x1, y1, x2, y2 = box.corners
    return min(x2 - x1, y2 - y1)


def make_masks(
    jobs: Sequence[MaskJob],
    failed: dict[str, str],
    classes: tuple[str, ...],
    out: Path,
    settings: MaskSettings,
    model: Pretrained,
    processes: int = 1,
    source: CocoSource | None = None,
) -> Made:
    """Make and write the masks that are not there yet.

    Memory holds one photograph a process. Photographs that fail are listed in failures.csv, and
    the others go on.

    Args:
        jobs: of `mask_jobs`.
        failed: {name: reason} of photographs that failed before.
        classes: background first.
        out: folder of the masks, made by `open_folder`.
        settings: how they are made and written.
        model: makes them.
        processes: that work beside each other, each with one thread; few photographs are done by
            this one.
        source: what a COCO file of the boxes says besides, which its masks' files say too.

    Raises:
        DataError: if the masks of two photographs would be one file on this disk.
        bana.training.runs.RunError: if a process was ended from outside, as for want of memory.
        bana.files.unfinished.NotWritten: if the disk is full or cannot be written.
    """
    check_apart((job.name for job in jobs), out)
    settings = replace(settings, writes=_formats(out, settings.writes))
    key = key_of(make_masks, settings.side, model.about["hash"], model.unary, model.crf, classes)
    shared = _Shared(out, model, classes, settings, key)
    remove_strangers(out, {job.name for job in jobs})
    todo = [job for job in jobs if not _is_finished(shared, job)]
    if len(todo) < IMAGES_A_PROCESS * processes:
        processes = 1
    failed = dict(failed)
    with computing_with(1):
        for job, reason in spread(_mask_one, shared, todo, processes, "images") if todo else ():
            if reason:
                failed[job.name] = reason
    names = [job.name for job in jobs if job.name not in failed]
    for form in settings.writes:
        writer = WRITERS[form]
        if writer.finish:
            writer.finish(out, names, classes, source)
    write_failures(out, failed)
    made = sum(job.name not in failed for job in todo)
    empty = sum(record_of(out, name)["areas"].count(0) for name in names)
    return Made(names, made, failed, empty)


def _formats(out: Path, asked: Collection[str]) -> tuple[str, ...]:
    """The formats to bring up to date: those asked for, and those of earlier runs.

    What the latter share would go on naming photographs and classes that are gone.
    """
    return tuple(f for f, writer in WRITERS.items() if f in asked or (out / writer.folder).is_dir())


def _key_of_job(shared: _Shared, job: MaskJob) -> str:
    photograph = job.photograph
    things = [
        [[box.kind, *box.corners] for box in some] for some in (photograph.boxes, photograph.crowds)
    ]
    return content_hash(shared.key, photograph_hash(photograph.path), things, photograph.size)


def _is_made(shared: _Shared, job: MaskJob) -> bool:
    """Whether the labels of a photograph are there and still hold."""
    held = record_of(shared.out, job.name)
    if not held or not has_labels(shared.out, job.name):
        return False  # before the photograph is read for its hash
    return held.get("key") == _key_of_job(shared, job)


def _unwritten(shared: _Shared, job: MaskJob) -> list[str]:
    """The formats in which the masks of a photograph are not there yet."""
    written = record_of(shared.out, job.name).get("written", [])
    return [
        form
        for form in shared.settings.writes
        if form not in written or not WRITERS[form].path(shared.out, job.name).exists()
    ]


def _is_finished(shared: _Shared, job: MaskJob) -> bool:
    return _is_made(shared, job) and not _unwritten(shared, job)


def _mask_one(shared: _Shared, job: MaskJob) -> str:
    """Bring a photograph's masks up to date; returns why that cannot be, empty if it can."""
    try:
        if not _is_made(shared, job):
            forget(shared.out, job.name)
            _make(shared, job)
        _write(shared, job)
    except NotWritten as error:
        # A full disk is no fault of the photograph: nothing is forgotten, and the run ends.
        if error.number != errno.ENAMETOOLONG:
            raise
        return str(error)
    except (ValueError, OSError) as error:
        forget(shared.out, job.name)
        return str(error)
    except (MemoryError, RuntimeError) as error:  # torch's own, such as of memory
        forget(shared.out, job.name)
        return f"{job.photograph.path}: {type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _make(shared: _Shared, job: MaskJob) -> None:
    """Make and keep Y_crf and Y_ret, and the record last, which tells that they are there."""
    key = _key_of_job(shared, job)  # of the photograph as it is before it is read
    image, boxes, crowds = checked_photograph(job.photograph)
    numbers = torch.tensor(job.numbers)
    y_crf, y_ret = label_maps(
        image, boxes, numbers, shared.classes, shared.model, shared.settings.side, crowds
    )
    areas, differ = compared(y_crf, y_ret, boxes, job.numbers)
    keep_labels(shared.out, job.name, y_crf, y_ret)
    record = {
        "key": key,
        "file_name": job.file_name,
        "boxes": [[n, *box] for n, box in zip(job.numbers, boxes.tolist(), strict=True)],
        "areas": areas,
        "differ": differ,
        "written": [],
    }
    keep_record(shared.out, job.name, record)


def _write(shared: _Shared, job: MaskJob) -> None:
    """Write the masks in the formats that are not there yet."""
    missing = _unwritten(shared, job)
    if not missing:
        return
    held = record_of(shared.out, job.name)
    y_crf, _ = labels_of(shared.out, job.name)
    boxes = torch.tensor([box[1:] for box in held["boxes"]])
    masked = Masked(
        job.name,
        job.photograph.path,
        job.file_name,
        y_crf,
        boxes,
        torch.tensor(job.numbers),
        shared.classes,
    )
    for form in missing:
        WRITERS[form].write(shared.out / WRITERS[form].folder, masked)
    # After the files: what was not noted is written again.
    held["written"] = sorted({*held["written"], *missing})
    keep_record(shared.out, job.name, held)


def checked_photograph(photograph: Photograph) -> tuple[Tensor, Tensor, Tensor]:
    """The image, uint8 [3, H, W], its boxes and its crowds, float32 [K, 4], inside it.

    Raises:
        DataError: if the file cannot be read, or the boxes cannot be of what is stored in it.
    """
    path = photograph.path
    try:
        height, width = image_size(path)
        turned = orientation(path)
    except DataError as error:
        raise DataError(f"{photograph.where}: {error}") from error
    turn_note(photograph, (width, height), turned)  # or tells that boxes may be of it turned
    boxes, crowds = (_inside(some, height, width) for some in (photograph.boxes, photograph.crowds))
    return read_image(path), boxes, crowds


def _inside(boxes: Sequence[Box], height: int, width: int) -> Tensor:
    made, problems = [torch.zeros(0, 4)], []
    for box in boxes:
        try:
            made.append(_box_inside(box, height, width))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        more = f" and {len(problems) - FEW} more such boxes" if len(problems) > FEW else ""
        raise DataError("; ".join(problems[:FEW]) + more)
    return torch.cat(made)


def _box_inside(box: Box, height: int, width: int) -> Tensor:
    given = torch.tensor([box.corners], dtype=torch.float32)
    made = check_boxes(given, height, width, box.where)
    ((x1, y1, x2, y2),) = made.tolist()
    if min(x2 - x1, y2 - y1) < 1:
        raise DataError(
            f"{box.where}: box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is narrower than a pixel in an "
            f"image of {width} x {height}: are these fractions of it?"
        )
    return made


def compared(
    y_crf: Tensor, y_ret: Tensor, boxes: Tensor, numbers: Iterable[int]
) -> tuple[list[int], list[float]]:
    """Of each box the pixels of its mask in Y_crf, and 1 - IoU of that and its mask in Y_ret.

    Two empty masks differ wholly: a box has an object.
    """
    areas, differ = [], []
    for box, number in zip(boxes, numbers, strict=True):
        first, second = (label[pixels_of(box)] == number for label in (y_crf, y_ret))
        areas.append(int(first.sum()))
        common, either = int((first & second).sum()), int((first | second).sum())
        differ.append(round(1 - common / max(1, either), 4))
    return areas, differ
