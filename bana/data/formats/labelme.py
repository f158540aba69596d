"""Boxes in LabelMe's JSON files, one a photograph."""

import math
import posixpath
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bana.data.checks import as_text, noted, read_json, refuse, shown
from bana.data.formats.common import (
    POLYGONS,
    TURNED,
    Corners,
    Folder,
    Read,
    around,
    cut_off,
    files_below,
    number,
    one_line,
    told,
    trimmed,
    whole,
)
from bana.data.layout import Box, Photograph
from bana.data.voc_files import DataError

# Shapes that have no inside.
OPEN = ("point", "points", "line", "linestrip")
ELSEWHERE = "photographs of the name found in another folder than their file's"
GROUPED = "objects of several shapes that share a label and a group"


def read_labelme(path: Path, images: Folder) -> Read:
    """Read LabelMe's rectangles; other closed shapes are taken by the boxes around them.

    Shapes of one label and one group_id are parts of one object, as LabelMe's own converters have
    it, and so have one box.

    Args:
        path: a JSON file, or a folder of them.
        images: the photographs, named by "imagePath" from the file's own folder, which lies among
            the files as the photograph's does among the photographs.

    Raises:
        DataError: if files or shapes are wrong, all of which are told, or a file is named as one
            photograph and names another, or a name fits several photographs.
    """
    files = files_below(path, (".json",))
    if not files:
        raise DataError(f"{path}: no .json file in the folder")
    counts: Counter[str] = Counter()
    problems: list[str] = []
    photographs = []
    for file in files:
        with noted(problems):
            photographs.append(_photograph(file, path, images, counts, problems))
    refuse(problems, path)
    return Read(photographs, None, told(counts, path), {})


def _photograph(
    file: Path, path: Path, images: Folder, counts: Counter[str], problems: list[str]
) -> Photograph:
    held = read_json(file)
    if not isinstance(held, dict) or not isinstance(held.get("shapes"), list):
        raise DataError(f"{file}: no LabelMe file, it has no list of 'shapes'")
    name = as_text(held.get("imagePath"), f"{file}: imagePath")
    image = _image(name, file, path, images, counts)
    beside = images.of_bare_stem(file.stem)
    if image.stem != file.stem and beside:
        raise DataError(
            f"{file}: imagePath is {name!r}, but {beside[0].name} is there too: which of the two?"
        )
    width = whole(held.get("imageWidth"), str(file), "imageWidth", 1)
    height = whole(held.get("imageHeight"), str(file), "imageHeight", 1)
    objects: dict[object, list[Box]] = {}
    for index, shape in enumerate(held["shapes"], start=1):
        with noted(problems):
            for box in _boxes(shape, f"{file}: shape {index}", (width, height), counts):
                group = shape.get("group_id")
                own = index if group is None else (box.kind, shown(group))
                objects.setdefault(own, []).append(box)
    boxes = [_joined(parts, counts) for parts in objects.values()]
    return images.photograph(image, str(file), boxes, (width, height))


def _image(name: str, file: Path, path: Path, images: Folder, counts: Counter[str]) -> Path:
    """The photograph that a file names from its own folder, or else the only one of that name."""
    plain, root = name.strip().replace("\\", "/"), images.root.resolve()
    beside = file.parent / plain
    beside = beside.parent.resolve() / beside.name
    if root in beside.parents and images.holds(beside.relative_to(root)):
        return images.root / beside.relative_to(root)
    # A file by itself does not say where the tree of files begins.
    if not path.is_dir():
        return images.named(name, str(file), anywhere=True)
    below = file.parent.relative_to(path).as_posix()
    own = posixpath.normpath(posixpath.join(below, plain))
    image = images.named(own, str(file))
    if image.is_file():
        return image
    other = images.named(name, str(file), anywhere=True)
    if not other.is_file():
        return image
    counts[ELSEWHERE] += 1  # labels/a.json of images/a.jpg, or a mistake
    return other


def _joined(parts: Sequence[Box], counts: Counter[str]) -> Box:
    """The box around the boxes of an object's parts, at the place of the first one."""
    if len(parts) == 1:
        return parts[0]
    counts[GROUPED] += 1
    corners = [box.corners for box in parts]
    return parts[0]._replace(corners=around([p for c in corners for p in (c[:2], c[2:])]))


def _boxes(shape: object, where: str, size: tuple[int, int], counts: Counter[str]) -> list[Box]:
    """The box of a shape, none of one without an inside."""
    if not isinstance(shape, dict):
        raise DataError(f"{where}: is no object")
    # Old files have no type.
    form = "polygon" if shape.get("shape_type") is None else shape["shape_type"]
    if not isinstance(form, str):
        raise DataError(f"{where}: a shape of type {shown(form)} is not known")
    if form in OPEN:
        counts[f"shapes {form!r} passed over, as they have no inside"] += 1
        return []
    kind = one_line(shape.get("label"), where, "the label")
    return [Box(kind, _corners(form, _points(shape, where), where, size, counts), where)]


def _points(shape: dict[str, Any], where: str) -> list[tuple[float, float]]:
    points = shape.get("points")
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 2 for point in points
    ):
        raise DataError(f"{where}: points is no list of pairs")
    return [(number(x, where, "a coordinate"), number(y, where, "a coordinate")) for x, y in points]


def _corners(
    form: str,
    points: Sequence[tuple[float, float]],
    where: str,
    size: tuple[int, int],
    counts: Counter[str],
) -> Corners:
    """The upright box of a shape; a rectangle's points may be any two opposite corners."""
    wanted = {"rectangle": (2, 4), "circle": (2,), "mask": (2,)}.get(form)
    if form == "polygon":
        wanted = (len(points),) if len(points) >= 3 else (3,)
    if wanted is None:
        raise DataError(f"{where}: a shape of type {form!r} is not known")
    if len(points) not in wanted:
        raise DataError(f"{where}: a {form} of {len(points)} points")
    if form == "rectangle":
        xs, ys = zip(*points, strict=True)
        if len(points) == 4 and not len(set(xs)) == len(set(ys)) == 2:
            counts[TURNED] += 1
        return around(points)
    counts[POLYGONS if form == "polygon" else f"{form}s taken by the boxes around them"] += 1
    if form == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return cut_off((x - radius, y - radius, x + radius, y + radius), size, counts)
    if form == "mask":
        # The corner pixels of the mask, both of them inside.
        (x1, y1), (x2, y2) = points
        return trimmed(around([(x1, y1), (x2 + 1, y2 + 1)]), size)
    return trimmed(around(points), size)
