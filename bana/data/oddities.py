"""What is allowed in a data set and seldom meant: counted, named, and left to who knows better."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bana.data.boxes import MAX_OVERHANG
from bana.data.checks import counted, listed, written_alike
from bana.data.voc_files import IMAGE_ENDINGS

if TYPE_CHECKING:  # which imports this module
    from bana.data.layout import Box, Photograph

# So many boxes without any number above 100, on photographs several times as large, are percent.
PERCENT, ENOUGH = 100, 10
# Pixels that a box may stick out by because numbers were rounded.
ROUNDED = 0.05


def notes_on_boxes(
    photographs: Sequence["Photograph"], sizes: Sequence[tuple[int, int]]
) -> Iterator[str]:
    """Notes on boxes in numbers that somebody may have meant otherwise.

    Args:
        photographs: with their boxes in pixels.
        sizes: (width, height) of each.
    """
    every = [box for photograph in photographs for box in photograph.boxes]
    narrow = [box.where for box in every if _side(box) < 1]
    if narrow:
        yield f"boxes narrower than a pixel ({len(narrow)}): {listed(narrow, 3)}"
    yield from _notes_on_overhang(photographs, sizes)
    twice = [box.where for photograph in photographs for box in _repeated(photograph.boxes)]
    if twice:
        yield f"the same box and class twice ({len(twice)}): {listed(twice, 3)}"
    largest = max((max(box.corners) for box in every), default=0)
    if len(every) >= ENOUGH and largest <= PERCENT and min(map(min, sizes)) > 2 * PERCENT:
        yield (
            f"no box reaches beyond {PERCENT} x {PERCENT}, and the photographs are larger: are "
            f"these percent? Boxes are read in pixels"
        )


def _notes_on_overhang(
    photographs: Sequence["Photograph"], sizes: Sequence[tuple[int, int]]
) -> Iterator[str]:
    """A note on boxes beyond the border: by one pixel is what the wrong convention looks like."""
    out = [
        box.where
        for photograph, (width, height) in zip(photographs, sizes, strict=True)
        for box in photograph.boxes
        for x1, y1, x2, y2 in [box.corners]
        if max(-x1, -y1, x2 - width, y2 - height) > ROUNDED
    ]
    if out:
        most = f"{MAX_OVERHANG:g} pixels"
        yield f"boxes that stick out by up to {most}, cut off there ({len(out)}): {listed(out, 3)}"


def _repeated(boxes: Sequence["Box"]) -> list["Box"]:
    """The boxes that have class and corners of an earlier one."""
    first: dict[tuple, Box] = {}
    return [box for box in boxes if first.setdefault((box.kind, box.corners), box) is not box]


def _side(box: "Box") -> float:
    x1, y1, x2, y2 = box.corners
    return min(x2 - x1, y2 - y1)


def notes_on_classes(names: Sequence[str], boxes: Iterable["Box"]) -> Iterator[str]:
    """Notes on classes that nobody boxed, and on classes that may be one.

    Args:
        names: of the classes, background first.
        boxes: of all photographs.
    """
    counts = Counter(box.kind for box in boxes)
    without = [name for name in names[1:] if not counts[name]]
    if without:
        yield f"classes without a box here ({len(without)}): {listed(without)}"
    for group in written_alike(names):
        told = ", ".join(f"{name} ({counted(counts[name], 'box', 'boxes')})" for name in group)
        yield f"are these one class? {told}: if so, give them one name where the boxes are"


def notes_on_photographs(photographs: Iterable["Photograph"]) -> Iterator[str]:
    """The notes that photographs brought along, each kind once."""
    kinds: dict[str, list[str]] = {}
    for photograph in photographs:
        if photograph.note:
            kinds.setdefault(photograph.note, []).append(photograph.where)
    for note, places in kinds.items():
        yield f"{note} ({len(places)}): {listed(places, 3)}"


def notes_on_folder(folder: Path, read: Iterable[Path], but_not: Path) -> Iterator[str]:
    """Notes on images in a folder that nothing names.

    Args:
        folder: of the photographs.
        read: the photographs that something names.
        but_not: a folder that may lie within, and is not looked at.
    """
    named, other = {path.resolve() for path in read}, but_not.resolve()
    unnamed, strange = [], Counter()
    for path in sorted(visible_files(folder)):
        if other in path.resolve().parents:
            continue
        if path.suffix.lower() not in IMAGE_ENDINGS:
            strange[path.suffix.lower() or "no ending"] += 1
        elif path.resolve() not in named:
            unnamed.append(path.relative_to(folder).as_posix())
    if unnamed:
        yield f"photographs that nothing names ({len(unnamed)}): {listed(unnamed)}"
    if strange:
        told = listed([f"{count} {ending}" for ending, count in sorted(strange.items())])
        yield f"files in {folder} that are no {', '.join(IMAGE_ENDINGS)}: {told}"


def visible_files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every file below a folder, through links too, but hidden ones, as .DS_Store is.

    Args:
        folder: where to look.
        above: the folders that lead here, which a link may lead back to.
    """
    place = folder.resolve()
    if place in above:
        return
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from visible_files(path, (*above, place))
        # A link that leads nowhere, as before a store was fetched, is not passed over.
        elif path.is_file() or path.is_symlink():
            yield path
