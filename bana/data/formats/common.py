"""What the readers share: what they give, where a photograph lies, and values that must be right.

No reader guesses: what is certain is read, what is left out is counted and told, and the rest is
refused in one line that names the file and the place in it.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import torch

from bana.data.boxes import MAX_OVERHANG, voc_to_half_open
from bana.data.checks import as_number, as_text, shown
from bana.data.formats.known import ENDINGS
from bana.data.layout import Box, Photograph, image_id, leads_out, located
from bana.data.oddities import visible_files
from bana.data.voc_files import DataError

ANNOTATIONS = (".xml", ".json", ".txt", ".csv", ".yaml", ".yml", ".names")
"""What files of boxes end in, which may lie beside photographs."""

Corners = tuple[float, float, float, float]


class CocoEntry(NamedTuple):
    """What a COCO file says of one image: its own entries, without the segmentations of boxes.

    Attributes:
        name: path of the photograph below the photographs' folder, without the ending.
        image: the image's entry.
        boxes: the entries of its boxes, in the order of the photograph's boxes.
        crowds: the entries of its crowds that have a segmentation, as they stand.
    """

    name: str
    image: dict[str, Any]
    boxes: list[dict[str, Any]]
    crowds: list[dict[str, Any]]


class CocoSource(NamedTuple):
    """What a COCO file says beside boxes, to be given back with the masks.

    Attributes:
        head: all of the file but images, annotations and categories, such as info and licenses.
        categories: their entries.
        images: in the file's order.
    """

    head: dict[str, Any]
    categories: list[dict[str, Any]]
    images: list[CocoEntry]


class Read(NamedTuple):
    """What a reader found.

    Attributes:
        photographs: with their boxes, also those without any.
        classes: background first, in the source's own order; None where it has none.
        notes: what was read in another way than it stands, or passed over, a sentence each.
        failed: {name: reason} of photographs whose boxes cannot be told.
        coco: what a COCO file says besides, None for other formats.
    """

    photographs: list[Photograph]
    classes: tuple[str, ...] | None
    notes: list[str]
    failed: dict[str, str]
    coco: CocoSource | None = None


class Folder:
    """The photographs of a folder and its subfolders, found by what annotation files call them.

    Args:
        root: the folder; what is hidden, such as macOS's ``._a.jpg``, does not count.

    Attributes:
        paths: of the photographs.
        strange: endings of the files that are neither photographs nor boxes, counted.

    Raises:
        DataError: if there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"{root}: no such folder of photographs")
        self.root = root
        self.paths: list[Path] = []
        self.strange: Counter[str] = Counter()
        for path in in_order(visible_files(root)):
            ending = path.suffix.lower()
            if ending in ENDINGS:
                self.paths.append(path)
            elif ending not in ANNOTATIONS:
                self.strange[ending or "no ending"] += 1
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        for path in self.paths:
            relative = path.relative_to(root)
            self._by_name.setdefault(_plain(path.name), []).append(relative)
            self._by_stem.setdefault(_plain(path.stem), []).append(relative)

    def named(self, name: str, where: str, anywhere: bool = False) -> Path:
        """The photograph of that name; a path that is not there where none has it.

        A name may have more folders before it than there are here, or fewer, but not others.

        Args:
            name: a file's name or path, relative or absolute, of any system.
            where: what the name was read from, for the message.
            anywhere: the name does not begin in the folder itself, so that a photograph there is
                not preferred to one in a subfolder.

        Raises:
            DataError: if the name is empty or several photographs have it.
        """
        parts = _parts(name)
        if not parts:
            raise DataError(f"{where}: {name!r} names no photograph")
        found = self._by_name.get(parts[-1], [])
        best = _alike(parts, [(_parts(each.as_posix()), each) for each in found], anywhere)
        if len(best) > 1:
            # Where it says nothing of folders, one more of them would not tell.
            remedy = "rename one of them" if anywhere else "name it with its folder"
            raise DataError(
                f"{where}: {name!r} may be {best[0].as_posix()} or {best[1].as_posix()} in "
                f"{self.root}: {remedy}"
            )
        return self.root / (best[0] if best else Path(*parts))

    def holds(self, relative: Path) -> bool:
        """Whether a photograph lies at just that path below the folder."""
        return relative in self._by_name.get(_plain(relative.name), [])

    def listed(self, name: str, where: str) -> Photograph:
        """A record of a photograph in a list: of the file there, or else of the one `named` so.

        Args:
            name: a file's name or path, relative or absolute, but not upwards.
            where: what the name was read from.

        Raises:
            DataError: if the name is empty, leads upwards, or several photographs have it.
        """
        text = as_text(name, f"{where}: the name")
        if not leads_out(text) and (path := located(self.root, text)).is_file():
            return Photograph(image_id(text, where), path, where, [], [])
        if ".." in PurePosixPath(text.replace("\\", "/")).parts:
            raise DataError(f"{where}: {name!r} is no file in the folder of the photographs")
        return self.photograph(self.named(text, where), where, [])

    def of_stem(self, relative: Path, where: str, said: str | None = None) -> Path:
        """The photograph of a file beside it or in another tree: a/b.txt is of a/b.jpg.

        Either may lie in more folders than the other, as of `named`.

        Args:
            relative: of the file, to the top of its tree.
            where: the file, for the message.
            said: name of the photograph's file, where it is known, which tells a.jpg from a.png.

        Raises:
            DataError: if several photographs may be meant.
        """
        parts = _stem_parts(relative)
        found = self._by_stem.get(parts[-1], [])
        best = _alike(parts, [(_stem_parts(each), each) for each in found])
        best = [each for each in best if said and _plain(each.name) == _plain(said)] or best
        if len(best) > 1:
            raise DataError(f"{where}: may be of {best[0]} or of {best[1]}: rename one")
        return self.root / (best[0] if best else relative.with_suffix(".jpg"))

    def of_bare_stem(self, stem: str) -> list[Path]:
        """The photographs of that name, in whatever folder and with whatever ending."""
        return [self.root / relative for relative in self._by_stem.get(_plain(stem), [])]

    def photograph(
        self, path: Path, where: str, boxes: list[Box], size: tuple[int, int] | None = None
    ) -> Photograph:
        """A record of one of the photographs, or of one that is missing."""
        relative = path.relative_to(self.root).as_posix()
        return Photograph(image_id(relative, where), path, where, boxes, [], size)


def _plain(name: str) -> str:
    # macOS takes letters and their accents apart.
    return unicodedata.normalize("NFC", name)


def _parts(name: str) -> list[str]:
    plain = _plain(name.strip().replace("\\", "/"))
    return [part for part in PurePosixPath(plain).parts if part not in ("/", ".", "..")]


def _stem_parts(relative: Path) -> list[str]:
    return _parts(relative.with_suffix("").as_posix())


def _alike(
    parts: list[str], photographs: Sequence[tuple[list[str], Path]], anywhere: bool = False
) -> list[Path]:
    """The photographs that share most of a path, and of the rest nothing that differs.

    Args:
        parts: of the path.
        photographs: with the parts of their own paths.
        anywhere: as of `Folder.named`.
    """
    found = []
    for own, relative in photographs:
        common = min(len(own), len(parts))
        if own[-common:] == parts[-common:]:
            found.append((common, own, relative))
    # "a.jpg" in the folder itself and in a subfolder: the name as it stands is the first.
    exact = [relative for _, own, relative in found if not anywhere and own == parts]
    longest = max((common for common, *_ in found), default=0)
    return exact or [relative for common, _, relative in found if common == longest]


def path_of_url(name: str) -> str:
    """The path in a URL, or a path as it is; Label Studio's "?d=" is a path too."""
    split = urlsplit(name)
    if split.query.startswith("d="):
        return unquote(split.query[2:])
    return unquote(split.path) if split.scheme or "%" in name else name


def one_line(value: object, where: str, what: str) -> str:
    """A name as one line, single spaces in it. Raises DataError as `bana.data.checks.as_text`."""
    return " ".join(as_text(value, f"{where}: {what}").split())


def number(value: object, where: str, what: str) -> float:
    """A finite number. Raises DataError as `bana.data.checks.as_number`."""
    return as_number(value, f"{where}: {what}")


def whole(value: object, where: str, what: str, least: int = 0) -> int:
    """A whole number from ``least`` up: 80 and 80.0. Raises DataError for anything else."""
    made = number(value, where, what)
    if made != int(made) or made < least:
        raise DataError(f"{where}: {what} is {shown(value)}, not a whole number from {least} up")
    return int(made)


def around(points: Iterable[tuple[float, float]]) -> Corners:
    """The upright box around some points."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def trimmed(corners: Corners, size: tuple[int, int]) -> Corners:
    """A box without what sticks out of an image of (width, height) by a rounding error.

    One that sticks out further stays as it is, and is refused as every such box is, see
    `bana.data.boxes.check_boxes`.
    """
    inside = _inside(corners, size)
    return inside if _overhang(corners, inside) <= MAX_OVERHANG else corners


def cut_off(corners: Corners, size: tuple[int, int], counts: Counter[str]) -> Corners:
    """The part of a box in an image of (width, height), counted where that is not all of it.

    Only of what lies in a larger box by itself, as a circle or a turned box does: its corners may
    be outside where nothing of the object is.
    """
    inside = _inside(corners, size)
    if round(_overhang(corners, inside), 6) > 0:
        counts[CUT_OFF] += 1
    return inside


def _inside(corners: Corners, size: tuple[int, int]) -> Corners:
    x1, y1, x2, y2 = corners
    return max(x1, 0.0), max(y1, 0.0), min(x2, size[0]), min(y2, size[1])


def _overhang(corners: Corners, inside: Corners) -> float:
    return max(abs(a - b) for a, b in zip(corners, inside, strict=True))


def turned(corners: Corners, degrees: float, pivot: tuple[float, float]) -> list[tuple]:
    """The four corners of a box turned clockwise, as it is seen, about a point."""
    x1, y1, x2, y2 = corners
    (px, py), angle = pivot, math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return [
        (px + (x - px) * cos - (y - py) * sin, py + (x - px) * sin + (y - py) * cos)
        for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    ]


def files_below(path: Path, endings: Sequence[str]) -> list[Path]:
    """The file itself, or the files of some endings in a folder and below, but what is hidden."""
    if not path.is_dir():
        return [path]
    return [each for each in in_order(visible_files(path)) if each.suffix.lower() in endings]


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Paths in the same order on every system; Windows alone would sort without capitals."""
    return sorted(paths, key=lambda path: path.parts)


def told(counts: Counter[str], where: Path) -> list[str]:
    """Counted things as notes, "boxes.json: polygons taken by the boxes around them (3)"."""
    return [f"{where}: {what} ({count})" for what, count in sorted(counts.items())]


POLYGONS = "polygons taken by the boxes around them"
TURNED = "turned boxes taken by the upright boxes around them"
CUT_OFF = "boxes around circles, ellipses or turned boxes cut off at the border of the photograph"


def box_of(kind: str, corners: list[float], where: str, one_based: bool) -> Box:
    """A box from its corners x1, y1, x2, y2, of VOC's convention or half-open."""
    numbers = torch.tensor(corners, dtype=torch.float64)
    x1, y1, x2, y2 = (voc_to_half_open(numbers) if one_based else numbers).tolist()
    return Box(kind, (x1, y1, x2, y2), where)
