"""Boxes in YOLO's text files: class, centre and size as fractions of the photograph, one a line.

The classes are in data.yaml (names: a list, or numbers with names), classes.txt, obj.names or a
file of one's own. A line of a class and a polygon is taken by the box around the polygon. Where
data.yaml has kpt_shape, lines are poses: after the box come so many key points, which are no box.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from bana.data.checks import listed, noted, read_text, refuse, shown
from bana.data.formats.common import (
    POLYGONS,
    Corners,
    Folder,
    Read,
    around,
    files_below,
    number,
    one_line,
    told,
    whole,
)
from bana.data.layout import Box
from bana.data.voc_files import DataError, check_class_names, image_size

NAMES = ("classes.txt", "obj.names", "coco.names", "voc.names")
# What lies beside labels and is none, but where it holds boxes: lists and notes.
LISTS = {*NAMES, "train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt", "notes.txt"}
LISTS |= {"readme.dataset.txt", "readme.roboflow.txt"}
# A number beyond is of pixels or percent. Guessed boxes reach over the border by less, and how far
# they may is told in pixels, as of every format.
NO_FRACTION = 2.0


class _Names(NamedTuple):
    """Class names, the file that they are from, and kpt_shape: how many key points, of how many
    numbers each; None where it says nothing of them."""

    file: Path
    names: list[str]
    points: tuple[int, int] | None


def read_yolo(path: Path, images: Folder, classes: Path | None = None) -> Read:
    """Read YOLO's labels.

    Args:
        path: a folder of .txt files, as the photographs' folder is laid out; one .txt file; or the
            data.yaml beside a folder of labels.
        images: the photographs; a/b.txt has the boxes of a/b.jpg. Lists, such as train.txt, are
            passed over, unless they hold boxes, or nothing and there is a train.jpg.
        classes: file of class names, one a line in the order of their numbers, or a data.yaml; None
            looks for one in the folder of the labels and in the two above it.

    Boxes stay as they are where they reach over the border or have no area, for
    `bana.data.boxes.check_boxes` to judge, as those of every format.

    Raises:
        DataError: if lines are wrong, all of which are told, or there are no class names, or
            several that differ; if a line may be a triangle or a tracker's box.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        classes, path = classes or path, path.parent
    named = _names(path, classes)
    files, passed_over = _label_files(path, images)
    if not files:
        raise DataError(f"{path}: no .txt file of boxes in it")
    photographs, failed, counts = [], {}, Counter()
    problems: list[str] = []
    for file in files:
        image = _photograph_of(file, path, images)
        lines = _lines(file)
        try:
            height, width = image_size(image)
        except DataError as error:
            if lines:
                name = image.relative_to(images.root).with_suffix("").as_posix()
                failed[name] = f"{file}: {error}"
            continue
        boxes = []
        for line, fields in lines:
            with noted(problems):
                boxes.append(_box(fields, f"{file}:{line}", named, (width, height), counts))
        photographs.append(images.photograph(image, str(file), boxes, (width, height)))
    refuse(problems, path)
    notes = [f"classes from {named.file}", *passed_over, *told(counts, path)]
    return Read(photographs, ("background", *named.names), notes, failed)


def _label_files(path: Path, images: Folder) -> tuple[list[Path], list[str]]:
    """The files of boxes, and notes on text files that are passed over."""
    if not path.is_dir():
        return [path], []
    top = path / "labels" if (path / "labels").is_dir() else path
    files, lists, outside = [], [], []
    for file in files_below(path, (".txt",)):
        if file.name.lower() in LISTS and not _is_of_photograph(file, path, images):
            if file.name.lower() not in NAMES:
                lists.append(file.relative_to(path).as_posix())
        elif top in file.parents:
            files.append(file)
        else:
            outside.append(file.relative_to(path).as_posix())
    kinds = (("lists and notes passed over", lists), ("files outside of labels/ not read", outside))
    return files, [f"{path}: {what} ({len(of)}): {listed(of)}" for what, of in kinds if of]


def _is_of_photograph(file: Path, path: Path, images: Folder) -> bool:
    """Whether a file that is called as a list holds the boxes of a photograph called so too."""
    try:
        text = read_text(file)
    except DataError:
        return False
    if text.strip():
        # Where such a photograph is missing, that is told as of any other.
        return is_yolo(text)
    return _photograph_of(file, path, images).is_file()


def is_yolo(text: str) -> bool:
    """Whether the first line that is not empty is a class, a whole number, and numbers."""
    fields = next((line.split() for line in text.splitlines() if line.strip()), [])
    if len(fields) < 5 or not all(_is_number(field) for field in fields):
        return False
    # Some programs write all numbers alike, the class as 0.0.
    return float(fields[0]).is_integer() and float(fields[0]) >= 0


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _photograph_of(file: Path, path: Path, images: Folder) -> Path:
    """The photograph of a label file, which may lie in a tree of its own.

    Roboflow has train/labels/a.txt for train/images/a.jpg, Ultralytics labels/train/a.txt for
    images/train/a.jpg, and either folder may be named with the photographs' or without.
    """
    relative = file.relative_to(path if path.is_dir() else path.parent)
    swapped = Path(*("images" if part == "labels" else part for part in relative.parts))
    below = Path(*relative.parts[1:]) if relative.parts[0] == "labels" else relative
    found = [images.of_stem(each, str(file)) for each in (relative, swapped, below)]
    return next((image for image in found if image.is_file()), found[-1])


def _lines(file: Path) -> list[tuple[int, list[str]]]:
    lines = (
        (line, each.split()) for line, each in enumerate(read_text(file).splitlines(), start=1)
    )
    return [(line, fields) for line, fields in lines if fields]


def _box(
    fields: Sequence[str],
    where: str,
    named: _Names,
    size: tuple[int, int],
    counts: Counter[str],
) -> Box:
    _check_fields(fields, where, named)
    kind, names = whole(fields[0], where, "the class"), named.names
    if kind >= len(names):
        there = f"there are {len(names)} classes, numbered 0 to {len(names) - 1}"
        one = "there is one class, numbered 0"
        raise DataError(f"{where}: class {kind}: {there if len(names) > 1 else one}")
    values = [number(field, where, "a coordinate") for field in fields[1:]]
    if named.points is not None:
        counts["key points passed over"] += named.points[0]
        values = values[:4]
    elif len(fields) == 6:
        counts["scores of boxes not used"] += 1
        values.pop()
    corners = _corners(values, where)
    if len(values) > 4:
        counts[POLYGONS] += 1
    x1, y1, x2, y2 = corners
    width, height = size
    return Box(names[kind], (x1 * width, y1 * height, x2 * width, y2 * height), where)


def _check_fields(fields: Sequence[str], where: str, named: _Names) -> None:
    """Refuse a line of so many fields as no line of these labels has, or that says two things."""
    count = len(fields)
    if named.points is not None:
        points, each = named.points
        wanted = 5 + points * each
        if count != wanted:
            raise DataError(
                f"{where}: {count} fields, but kpt_shape in {named.file} is [{points}, {each}]: a "
                f"class, a box and key points are {wanted}"
            )
    elif count not in (5, 6) and (count < 7 or count % 2 == 0):
        raise DataError(
            f"{where}: {count} fields: not a class with a box (5), a score too (6) or a "
            f"polygon (7, 9, ...)"
        )
    elif count == 7 and fields[6].isdigit():
        # Trackers append a score and an id, which is 0 or 1 at times, as the corner of a triangle.
        last = fields[6]
        raise DataError(
            f"{where}: a triangle, or a box with a score and a track id? Remove the id {last}, or "
            f"write {last}.0 if it is a coordinate"
        )


def _corners(values: Sequence[float], where: str) -> Corners:
    """Corners of a box, or of the box around a polygon, in fractions."""
    if len(values) == 4:
        x, y, width, height = values
        corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    else:
        corners = around(zip(values[::2], values[1::2], strict=True))
    if any(abs(value) > NO_FRACTION for value in values):
        raise DataError(f"{where}: not in fractions of the photograph, 0 to 1")
    return corners


def _names(path: Path, given: Path | None) -> _Names:
    """The class names of a file, or of those that lie beside the labels."""
    if given is not None:
        return _names_of(given)
    folder = path if path.is_dir() else path.parent
    found: list[_Names] = []
    # The parent of "labels" would be ".", and so its parent.
    for place in (folder, *Path(os.path.abspath(folder)).parents[:2]):
        for file in sorted(place.iterdir()):
            if file.name.lower() in NAMES or _is_yaml_of_names(file):
                found.append(_names_of(file))
        if found:
            break
    if not found:
        raise DataError(
            f"{path}: no class names (data.yaml, classes.txt, obj.names) there or above: "
            f"give --classes FILE"
        )
    # A classes.txt beside data.yaml says nothing of key points.
    first = next((each for each in found if each.points), found[0])
    for other in found:
        if other.names != first.names:
            raise DataError(f"{other.file}: other classes than {first.file}: give --classes FILE")
        if other.points not in (None, first.points):
            raise DataError(f"{other.file}: another kpt_shape than {first.file}: remove one")
    return first


def _is_yaml_of_names(file: Path) -> bool:
    if file.suffix.lower() not in (".yaml", ".yml") or not file.is_file():
        return False
    try:
        held = yaml.safe_load(read_text(file))
    except (ValueError, RecursionError, yaml.YAMLError):
        # A damaged one is not to be passed over.
        return b"names:" in file.read_bytes()
    return isinstance(held, dict) and "names" in held


def _names_of(file: Path) -> _Names:
    text, points = read_text(file), None
    try:
        if file.suffix.lower() in (".yaml", ".yml"):
            held = _Once(text).get_single_data()
            names, points = _yaml_names(held, file), _yaml_points(held, file)
        else:
            names = re.split(r"\r\n|\r|\n", text.rstrip())
    except DataError:
        raise
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{file}: cannot be read ({reason})") from error
    if not any(names):
        raise DataError(f"{file}: no class in it")
    made = [one_line(name, str(file), f"class {n}") for n, name in enumerate(names)]
    if "background" in made:
        raise DataError(
            f"{file}: names background as class {made.index('background')}, but background is in "
            f"no box: remove it, if the numbers in the boxes allow"
        )
    return _Names(file, list(check_class_names(["background", *made], str(file))[1:]), points)


class _Once(yaml.SafeLoader):
    """YAML without an object that says one thing twice, of which the last would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        plain = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        keys = [self.construct_object(key) for key in plain if not key.tag.endswith(":merge")]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"says {shown(twice)} twice")
        return super().construct_mapping(node, deep)


def _yaml_points(held: object, file: Path) -> tuple[int, int] | None:
    shape = held.get("kpt_shape") if isinstance(held, dict) else None
    if shape is None:
        return None
    plain = isinstance(shape, list) and all(type(each) is int for each in shape)
    if not plain or len(shape) != 2 or shape[0] < 1 or shape[1] not in (2, 3):
        raise DataError(f"{file}: kpt_shape is {shown(shape)}, not [points, 2] or [points, 3]")
    return shape[0], shape[1]


def _yaml_names(held: object, file: Path) -> list[object]:
    names = held.get("names") if isinstance(held, dict) else None
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[key] for key in range(len(names))]
    if not isinstance(names, list):
        raise DataError(f"{file}: names is no list, and not numbered from 0")
    count = held.get("nc", len(names)) if isinstance(held, dict) else len(names)
    if count != len(names):
        raise DataError(f"{file}: nc is {shown(count)}, but there are {len(names)} names")
    return names
