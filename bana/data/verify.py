"""Checking of a data set file by file: what is missing, damaged, or contradicts itself."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bana.data.annotation_checks import before_first, names_other, other_size
from bana.data.annotations import Annotation, read_named
from bana.data.boxes import check_boxes, rows_and_columns, voc_to_half_open
from bana.data.checks import DataError, counted, written_alike
from bana.data.lists import LISTS, first_photograph, split_names
from bana.data.mask_checks import Boxed, nothing_shown, reordered, strays
from bana.data.voc import VocDataset, find_voc_root
from bana.data.voc_files import IGNORE, orientation, read_image, read_mask
from bana.files.parallel import mapped

# Corners that were moved by a sum of fractions are no 0-based corners.
ROUNDING = 0.01


class Finding(NamedTuple):
    """Something wrong.

    Attributes:
        level: "error" for what stops a run or falsifies it, "warning" for what deserves a look.
        file: relative to the data set's folder.
        reason: in a few words.
    """

    level: str
    file: str
    reason: str


class Report(NamedTuple):
    """What `verify` found.

    Attributes:
        root: the data set's folder.
        splits: number of ids by split.
        images, masks, boxes: numbers of what was read.
        findings: in the order of the files.
    """

    root: Path
    splits: dict[str, int]
    images: int
    masks: int
    boxes: int
    findings: list[Finding]

    def count(self, level: str) -> int:
        """Number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The report in plain values."""
        plain = {**self._asdict(), "root": str(self.root)}
        plain["findings"] = [finding._asdict() for finding in self.findings]
        return {**plain, "errors": self.count("error"), "warnings": self.count("warning")}

    def as_text(self) -> str:
        """The report as lines, the summary last."""
        lines = [f"{level:<8} {file}: {reason}" for level, file, reason in self.findings]
        splits = ", ".join(f"{split} {count}" for split, count in self.splits.items())
        lines.append(f"{self.root}: {splits}")
        lines.append(f"{self.images} photographs, {self.boxes} boxes, {self.masks} masks read")
        errors, warnings = (counted(self.count(kind), kind) for kind in ("error", "warning"))
        lines.append(f"{errors}, {warnings}")
        return "\n".join(lines)


class _Checked(NamedTuple):
    findings: list[Finding]
    has_mask: bool
    shown: set[int]
    boxes: int


def verify(
    root: Path | None = None, splits: Sequence[str] = (), workers: int | None = None
) -> Report:
    """Read every file of a data set and report what is wrong.

    Photographs and masks are decoded to the last pixel. An error is: a missing or damaged file; two
    photographs of one id; a list that cannot be read or has an id twice, unless it was asked for,
    which stops; an unknown class; a box outside its image, in its first pixel, empty, inverted, or
    counted from 0 where VOC counts from 1; a mask of classes or objects that is no palette or grey
    PNG, or of another size than its photograph; a mask of classes with one that does not exist, or
    whose palette has been put in another order; masks that all show 255 and no class; a size in the
    XML file that is not the photograph's, or the name of another photograph that is there; an id in
    two of the splits train*, val* and test* (trainval holds train and val). A warning is: a class
    in the mask without a box and the other way round, or mostly outside of its boxes; a box that is
    narrower than a pixel, or begins a fraction before the first one; an orientation in EXIF, which
    is not applied; a name in the XML file that is nobody's; a mask that is missing where others of
    its split have one; a list that ends in something else than .txt; classes that differ in case or
    spacing alone.

    Args:
        root: folder in VOC layout; None takes BANA_VOC_ROOT.
        splits: which; all that there are when empty.
        workers: processes; None takes as many as there are cores, at most 8.

    Returns:
        The report.

    Raises:
        DataError: when there is no data set, or a split that was asked for cannot be read.
    """
    folder = find_voc_root(root)
    wanted = list(splits) or split_names(folder)
    if not wanted:
        raise DataError(f"{folder / LISTS}: no split, that is no .txt file with ids")
    sets, findings = {}, []
    for split in wanted:
        try:
            sets[split] = VocDataset(folder, split)
        except DataError as error:
            if splits or not (folder / LISTS / f"{split}.txt").is_file():
                raise
            reason = str(error).removeprefix(f"{folder / _list(split)}:").strip()
            findings.append(Finding("error", _list(split), reason))
    if not sets:
        return Report(folder, {}, 0, 0, 0, findings)
    names = sorted({name for dataset in sets.values() for name in dataset.ids})
    dataset = next(iter(sets.values()))
    results = mapped(partial(_check, dataset), names, "verifying", workers)
    checked = dict(zip(names, results, strict=True))
    findings += [finding for one in checked.values() for finding in one.findings]
    findings += _folder_findings(folder, dataset.classes)
    ids = {split: dataset.ids for split, dataset in sets.items()}
    findings += _split_findings(ids)
    has_mask = {name for name, one in checked.items() if one.has_mask}
    findings += _mask_findings(ids, has_mask)
    if reason := nothing_shown(set().union(*(one.shown for one in checked.values()))):
        findings.append(Finding("error", "SegmentationClass", reason))
    boxes = sum(one.boxes for one in checked.values())
    counts = {split: len(dataset) for split, dataset in sets.items()}
    return Report(folder, counts, len(names), len(has_mask), boxes, findings)


def _check(dataset: VocDataset, name: str) -> _Checked:
    """Check the files of one photograph."""
    findings: list[Finding] = []

    def say(level: str, path: Path, reason: str) -> None:
        relative = path.relative_to(dataset.root).as_posix()
        findings.append(Finding(level, relative, reason.removeprefix(f"{path}: ")))

    @contextmanager
    def told(path: Path) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            say("error", path, str(error))

    size, annotation = None, None
    path = first_photograph(dataset.root / "JPEGImages", name)
    with told(path):
        dataset.image_path(name)
        size = tuple(read_image(path).shape[1:])
        if (turned := orientation(path)) != 1:
            say("warning", path, f"orientation {turned} in EXIF is not applied to the photograph")
    path = dataset.annotation_path(name)
    with told(path):
        annotation, said = read_named(path)
        for level, reason in _annotation_problems(annotation, dataset.classes, size):
            say(level, path, reason)
        if reason := dataset.other_photograph(name, said):
            say("error", path, reason)
        elif names_other(path.stem, said):
            say("warning", path, f"says in <filename> that it is about {said}")
    path = dataset.mask_path(name)
    has_mask, shown = path.exists(), set()
    if has_mask:
        with told(path):
            mask = read_mask(path)
            shown = set(mask.unique().tolist())
            for level, reason in _mask_problems(path, mask, annotation, dataset.classes, size):
                say(level, path, reason)
    path = dataset.object_path(name)
    if path.exists():
        with told(path):
            for level, reason in _size_problems(read_mask(path), size):
                say(level, path, reason)
    return _Checked(findings, has_mask, shown, len(annotation.objects) if annotation else 0)


def _annotation_problems(
    annotation: Annotation, classes: Sequence[str], size: tuple[int, ...] | None
) -> Iterable[tuple[str, str]]:
    if size and (reason := other_size(annotation.size, (size[1], size[0]))):
        yield "error", reason
    for kind in sorted({kind for kind, _ in annotation.objects} - set(classes[1:])):
        yield "error", f"unknown class {kind!r}"
    if not size:
        return
    for tag, things in (("object", annotation.objects), ("crowd", annotation.crowds)):
        for number, (_, corners) in enumerate(things, start=1):
            yield from _box_problems(f"{tag} {number}", corners, size)


def _box_problems(
    which: str, corners: list[float], size: tuple[int, ...]
) -> Iterable[tuple[str, str]]:
    box = voc_to_half_open(torch.tensor([corners], dtype=torch.float64))
    try:
        rows, columns = rows_and_columns(check_boxes(box, *size, which), *size)
    except ValueError as error:
        yield "error", str(error)
        return
    if not (rows.any() and columns.any()):
        yield "warning", f"{which}: the box holds no pixel's centre"
    elif min(box[0, 2] - box[0, 0], box[0, 3] - box[0, 1]) < 1:
        yield "warning", f"{which}: the box is narrower than a pixel"
    if reason := before_first(which, corners):
        yield "error", reason
    elif min(corners) < 1 - ROUNDING:
        yield "warning", f"{which}: {min(corners):g}, but VOC counts pixels from 1: 0-based boxes?"


def _mask_problems(
    path: Path,
    mask: torch.Tensor,
    annotation: Annotation | None,
    classes: Sequence[str],
    size: tuple[int, ...] | None,
) -> Iterable[tuple[str, str]]:
    yield from _size_problems(mask, size)
    shown = set(mask.unique().tolist()) - {0, IGNORE}
    for index in sorted(shown):
        if index >= len(classes):
            yield "error", f"holds class {index}; there is 0 to {len(classes) - 1} and {IGNORE}"
    boxed = _boxed(annotation, classes) if annotation and tuple(mask.shape) == size else None
    if reason := reordered(path, mask, lambda: boxed, len(classes)):
        yield "error", reason
    if annotation is None:
        return
    if boxed is not None:
        yield from (("warning", reason) for reason in strays(mask, boxed, classes))
    with_box = {kind for kind, _ in annotation.objects}
    drawn = {classes[index] for index in shown if index < len(classes)}
    for kind in sorted(drawn - with_box):
        yield "warning", f"shows {kind}, which has no box"
    for kind in sorted((with_box & set(classes)) - drawn):
        yield "warning", f"does not show {kind}, which has a box"


def _boxed(annotation: Annotation, classes: Sequence[str]) -> Boxed:
    things = [
        thing for thing in (*annotation.objects, *annotation.crowds) if thing[0] in classes[1:]
    ]
    corners = torch.tensor([box for _, box in things], dtype=torch.float64).reshape(-1, 4)
    kinds = torch.tensor([classes.index(kind) for kind, _ in things]).long()
    return Boxed(voc_to_half_open(corners), kinds)


def _folder_findings(root: Path, classes: Sequence[str]) -> Iterable[Finding]:
    """Files that nobody reads, and classes that are written in two ways."""
    for path in sorted((root / LISTS).iterdir()):
        if path.suffix != ".txt" and path.name[0] != ".":
            where = (LISTS / path.name).as_posix()
            yield Finding("warning", where, "passed over: a list of a split ends in .txt")
    for names in written_alike(classes):
        yield Finding("warning", "classes.txt", f"are these one class? {', '.join(names)}")


def _size_problems(mask: torch.Tensor, size: tuple[int, ...] | None) -> Iterable[tuple[str, str]]:
    if size and tuple(mask.shape) != size:
        height, width = mask.shape
        yield "error", f"mask of {width} x {height} for a photograph of {size[1]} x {size[0]}"


def _split_findings(ids: dict[str, list[str]]) -> Iterable[Finding]:
    for one, other in combinations(ids, 2):
        roles = {_role(one), _role(other)}
        if len(roles) == 1 or "" in roles or ("trainval" in (one, other) and "test" not in roles):
            continue
        shared = sorted(set(ids[one]) & set(ids[other]))
        if shared:
            reason = f"shares {len(shared)} ids with {_list(other)}, the first is {shared[0]}"
            yield Finding("error", _list(one), reason)


def _role(split: str) -> str:
    """To learn from, to choose on, to test on; nothing for names of the user's own."""
    return next((role for role in ("train", "val", "test") if split.startswith(role)), "")


def _mask_findings(ids: dict[str, list[str]], has_mask: set[str]) -> Iterable[Finding]:
    for split, names in ids.items():
        without = [name for name in dict.fromkeys(names) if name not in has_mask]
        if len(without) < len(set(names)):
            for name in without:
                yield Finding("warning", f"SegmentationClass/{name}.png", f"missing ({split})")


def _list(split: str) -> str:
    return f"ImageSets/Segmentation/{split}.txt"
