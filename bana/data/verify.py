"""Checking of a data set file by file: what is missing, damaged, or contradicts itself."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from bana.data.boxes import box_masks, check_boxes, voc_to_half_open
from bana.data.voc import VocDataset, find_voc_root
from bana.data.voc_files import (
    IGNORE,
    Annotation,
    DataError,
    read_annotation,
    read_image,
    read_mask,
)
from bana.files.parallel import mapped

EXIF_ORIENTATION = 0x0112


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
        lines.append(f"{self.count('error')} errors, {self.count('warning')} warnings")
        return "\n".join(lines)


class _Checked(NamedTuple):
    findings: list[Finding]
    has_mask: bool
    boxes: int


def verify(
    root: Path | None = None, splits: Sequence[str] = (), workers: int | None = None
) -> Report:
    """Read every file of a data set and report what is wrong.

    Photographs and masks are decoded to the last pixel. An error is: a missing or damaged file; an
    unknown class; a box outside its image, empty, or inverted; a mask of classes or objects that is
    no palette or grey PNG, or of another size than its photograph; a mask of classes with one that
    does not exist; a size in the XML file that is not the photograph's; an id twice in a split; an
    id in two of the splits train*, val* and test* (trainval holds train and val). A warning is: a
    class in the mask without a box and the other way round; a box that holds no pixel's centre; an
    orientation in EXIF, which is not applied; a mask that is missing where others of its split have
    one.

    Args:
        root: folder in VOC layout; None takes BANA_VOC_ROOT.
        splits: which; all that there are when empty.
        workers: processes; None takes as many as there are cores, at most 8.

    Returns:
        The report.

    Raises:
        DataError: when there is no data set, or no such split.
    """
    folder = find_voc_root(root)
    lists = folder / "ImageSets" / "Segmentation"
    wanted = list(splits) or sorted(path.stem for path in lists.glob("*.txt"))
    if not wanted:
        raise DataError(f"{lists}: no split, that is no .txt file with ids")
    sets = {split: VocDataset(folder, split) for split in wanted}
    names = sorted({name for dataset in sets.values() for name in dataset.ids})
    dataset = next(iter(sets.values()))
    results = mapped(partial(_check, dataset), names, "verifying", workers)
    checked = dict(zip(names, results, strict=True))
    findings = [finding for one in checked.values() for finding in one.findings]
    ids = {split: dataset.ids for split, dataset in sets.items()}
    findings += _split_findings(ids)
    has_mask = {name for name, one in checked.items() if one.has_mask}
    findings += _mask_findings(ids, has_mask)
    boxes = sum(one.boxes for one in checked.values())
    counts = {split: len(dataset) for split, dataset in sets.items()}
    return Report(folder, counts, len(names), len(has_mask), boxes, findings)


def _check(dataset: VocDataset, name: str) -> _Checked:
    """Check the files of one photograph."""
    findings: list[Finding] = []

    def say(level: str, path: Path, reason: str) -> None:
        relative = path.relative_to(dataset.root).as_posix()
        findings.append(Finding(level, relative, reason.removeprefix(f"{path}: ")))

    size = None
    path = dataset.image_path(name)
    try:
        size = tuple(read_image(path).shape[1:])
        with Image.open(path) as picture:
            turned = picture.getexif().get(EXIF_ORIENTATION, 1)
        if turned != 1:
            say("warning", path, f"orientation {turned} in EXIF is not applied to the photograph")
    except DataError as error:
        say("error", path, str(error))
    path = dataset.annotation_path(name)
    annotation = None
    try:
        annotation = read_annotation(path)
        for level, reason in _annotation_problems(annotation, dataset.classes, size):
            say(level, path, reason)
    except DataError as error:
        say("error", path, str(error))
    path = dataset.mask_path(name)
    if path.exists():
        try:
            mask = read_mask(path)
            for level, reason in _mask_problems(mask, annotation, dataset.classes, size):
                say(level, path, reason)
        except DataError as error:
            say("error", path, str(error))
    has_mask = path.exists()
    path = dataset.object_path(name)
    if path.exists():
        try:
            for level, reason in _size_problems(read_mask(path), size):
                say(level, path, reason)
        except DataError as error:
            say("error", path, str(error))
    return _Checked(findings, has_mask, len(annotation.objects) if annotation else 0)


def _annotation_problems(
    annotation: Annotation, classes: Sequence[str], size: tuple[int, ...] | None
) -> Iterable[tuple[str, str]]:
    if size and annotation.size not in (None, size[::-1]):
        said = " x ".join(str(side) for side in annotation.size)
        yield "error", f"says {said}, but the photograph has {size[1]} x {size[0]}"
    for kind in sorted({kind for kind, _ in annotation.objects} - set(classes[1:])):
        yield "error", f"unknown class {kind!r}"
    if not size:
        return
    for tag, things in (("object", annotation.objects), ("crowd", annotation.crowds)):
        for number, (_, corners) in enumerate(things, start=1):
            box = voc_to_half_open(torch.tensor([corners], dtype=torch.float64))
            try:
                inside = box_masks(check_boxes(box, *size, f"{tag} {number}"), *size)
            except ValueError as error:
                yield "error", str(error)
            else:
                if not inside.any():
                    yield "warning", f"{tag} {number}: the box holds no pixel's centre"


def _mask_problems(
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
    if annotation is None:
        return
    boxed = {kind for kind, _ in annotation.objects}
    drawn = {classes[index] for index in shown if index < len(classes)}
    for kind in sorted(drawn - boxed):
        yield "warning", f"shows {kind}, which has no box"
    for kind in sorted((boxed & set(classes)) - drawn):
        yield "warning", f"does not show {kind}, which has a box"


def _size_problems(mask: torch.Tensor, size: tuple[int, ...] | None) -> Iterable[tuple[str, str]]:
    if size and tuple(mask.shape) != size:
        height, width = mask.shape
        yield "error", f"mask of {width} x {height} for a photograph of {size[1]} x {size[0]}"


def _split_findings(ids: dict[str, list[str]]) -> Iterable[Finding]:
    for split, names in ids.items():
        for name, times in Counter(names).items():
            if times > 1:
                yield Finding("error", _list(split), f"{name} occurs {times} times")
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
