"""COCO's files of instances, value by value: what is certain is read, all else is named.

Files of this format come from many programs. Ids count from 0 or are texts, crowds are flagged by
null, boxes are corners, run lengths belong to an image of another size. pycocotools takes what it
is given: it draws two points as a box, and reads beyond run lengths that are too short.
"""

from pathlib import Path
from typing import Any

from bana.data.checks import (
    DataError,
    as_class,
    as_flag,
    as_id,
    as_number,
    as_text,
    as_whole,
    check_upright,
    noted,
    read_json,
    refuse,
    shown,
)

Entry = dict[str, Any]
PARTS = ("images", "categories", "annotations")
# Corners and areas that two programs computed agree up to here, in pixels and as a share.
PIXELS, SHARE = 2.0, 0.02


def read_instances(path: Path, need: str = "bbox") -> dict[str, Any]:
    """Read a COCO file of instances.

    Args:
        path: the JSON file.
        need: what every annotation must have, "bbox" or "segmentation".

    Returns:
        "images", "categories" and "annotations" in the file's order. Ids, sizes, names, iscrowd (0
        or 1), and bbox, area and ignore where they are given, are of the types that COCO says;
        everything else in the entries is as in the file, segmentations too, see
        `checked_segmentation`. "head" is what the file has beside the three, such as info and
        licenses.

    Raises:
        DataError: when the file is missing or is no such file; for every entry with a value that is
            not certain, an id that occurs twice, or one that nothing has; when the boxes are two
            corners, and not a corner and two sides as COCO's.
    """
    file = read_json(path)
    for part in PARTS:
        if not isinstance(file, dict) or not isinstance(file.get(part), list):
            raise DataError(f"{path}: no COCO file of instances, it has no {part!r}")
    problems: list[str] = []
    made: dict[str, Any] = {"head": {key: file[key] for key in file if key not in PARTS}}
    for part, read in zip(PARTS, (_image, _category, _annotation), strict=True):
        made[part] = []
        for number, entry in enumerate(file[part], start=1):
            with noted(problems):
                made[part].append(read(entry, f"{path}: {part} {number}", str(path), need))
        # What refers to entries that are wrong would be wrong too.
        refuse(problems, path)
    _check_ids(path, made)
    _check_sides(path, made["annotations"])
    return made


def _entry(entry: object, place: str, keys: tuple[str, ...]) -> Entry:
    if not isinstance(entry, dict):
        raise DataError(f"{place}: {shown(entry)} is no object")
    missing = next((key for key in keys if key not in entry), None)
    if missing:
        raise DataError(f"{place}: no {missing!r}")
    return entry


def _image(entry: object, place: str, path: str, _: str) -> Entry:
    entry = _entry(entry, place, ("id", "file_name", "width", "height"))
    number = as_id(entry["id"], f"{place}: id")
    where = f"{path}: image {number}"
    sides = {side: as_whole(entry[side], f"{where}: {side}") for side in ("width", "height")}
    if min(sides.values()) < 1:
        raise DataError(f"{where}: {sides['width']} x {sides['height']} is no size")
    name = as_text(entry["file_name"], f"{where}: file_name")
    return {**entry, **sides, "id": number, "file_name": name}


def _category(entry: object, place: str, path: str, _: str) -> Entry:
    entry = _entry(entry, place, ("id", "name"))
    number = as_id(entry["id"], f"{place}: id")
    name = as_class(entry["name"], f"{path}: category {number}: name")
    return {**entry, "id": number, "name": name}


def _annotation(entry: object, place: str, path: str, need: str) -> Entry:
    entry = _entry(entry, place, ("id", "image_id", "category_id", need))
    number = as_id(entry["id"], f"{place}: id")
    where = f"{path}: annotation {number}"
    made = {key: as_id(entry[key], f"{where}: {key}") for key in ("image_id", "category_id")}
    made |= {"id": number, "iscrowd": int(as_flag(entry.get("iscrowd", 0), f"{where}: iscrowd"))}
    if "ignore" in entry:
        made["ignore"] = int(as_flag(entry["ignore"], f"{where}: ignore"))
    if "bbox" in entry:
        made["bbox"] = _box(entry["bbox"], f"{where}: bbox")
    attributes = entry.get("attributes")
    if need == "bbox" and isinstance(attributes, dict):
        check_upright(attributes.get("rotation"), where)
    if "area" in entry:
        made["area"] = as_number(entry["area"], f"{where}: area")
    return {**entry, **made}


def is_crowd(annotation: Entry) -> bool:
    """Whether an annotation is of a region to be left out: a crowd, or what others flag "ignore".

    Converters of data sets that have such regions, as of pedestrians, write the latter.
    """
    return bool(annotation.get("iscrowd") or annotation.get("ignore"))


def _box(box: object, where: str) -> list[float]:
    if not isinstance(box, list) or len(box) != 4:
        raise DataError(f"{where} is {shown(box)}, not x, y, width, height")
    sides = zip(("x", "y", "width", "height"), box, strict=True)
    return [as_number(value, f"{where} {shown(box)}: {side}") for side, value in sides]


def _check_ids(path: Path, made: dict[str, Any]) -> None:
    known: dict[str, set[int]] = {}
    for part in PARTS:
        known[part] = set()
        for entry in made[part]:
            if entry["id"] in known[part]:
                raise DataError(f"{path}: {part}: id {entry['id']} occurs twice")
            known[part].add(entry["id"])
    problems = []
    for entry in made["annotations"]:
        where = f"{path}: annotation {entry['id']}"
        if entry["image_id"] not in known["images"]:
            problems.append(f"{where}: there is no image {entry['image_id']}")
        if entry["category_id"] not in known["categories"]:
            problems.append(f"{where}: unknown category {entry['category_id']}")
    refuse(problems, path)


def _check_sides(path: Path, annotations: list[Entry]) -> None:
    """Refuse boxes that are x1, y1, x2, y2, where the segmentations or areas show that they are."""
    corners, sides = [], 0
    for entry in annotations:
        if "bbox" in entry:
            as_sides, as_corners = _fits(entry)
            sides += as_sides
            if as_corners and not as_sides:
                corners.append(entry)
    if len(corners) > 10 * sides:
        first = corners[0]
        raise DataError(
            f"{path}: annotation {first['id']}: bbox {shown(first['bbox'])} is two corners, as its "
            f"segmentation and area say; COCO's is x, y, width, height ({len(corners)} such)"
        )


def _fits(entry: Entry) -> tuple[bool, bool]:
    """Whether a box fits the rest of its entry as x, y, width, height, and as two corners."""
    x, y, third, fourth = entry["bbox"]
    extent = _extent(entry.get("segmentation"))
    if extent is not None:
        readings = (x, y, x + third, y + fourth), (x, y, third, fourth)
        fits = [
            all(abs(a - b) <= PIXELS for a, b in zip(extent, reading, strict=True))
            for reading in readings
        ]
    else:
        area = entry.get("area", 0)
        areas = third * fourth, max(third - x, 0) * max(fourth - y, 0)
        fits = [area > 0 and abs(area - each) <= SHARE * area for each in areas]
    return fits[0], fits[1]


def _extent(segmentation: object) -> tuple[float, float, float, float] | None:
    """The box around polygons; None where there are none, or what they hold is no number."""
    if not isinstance(segmentation, list) or not segmentation:
        return None
    values = [value for polygon in segmentation if isinstance(polygon, list) for value in polygon]
    if not values or len(values) % 2 or not all(type(value) in (int, float) for value in values):
        return None
    xs, ys = values[::2], values[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def checked_segmentation(value: object, height: int, width: int, where: str) -> Any:
    """Check a segmentation before pycocotools draws it.

    Args:
        value: polygons, or run lengths, compressed or not.
        height, width: of the image, in pixels.
        where: the annotation, for the message.

    Returns:
        The same in plain numbers.

    Raises:
        DataError: when there is none; when a polygon has fewer than three points, an odd number of
            values, or lies far outside the image; when run lengths are of another image's size or
            do not add up to its pixels.
    """
    where = f"{where}: no segmentation to decode: it"
    if isinstance(value, dict):
        return _checked_run_lengths(value, height, width, where)
    if not isinstance(value, list) or not value:
        raise DataError(f"{where} is {shown(value)}")
    return [_checked_polygon(polygon, height, width, where) for polygon in value]


def _checked_polygon(polygon: object, height: int, width: int, where: str) -> list[float]:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise DataError(f"{where} holds {shown(polygon)}, which is no polygon of three points")
    plain = all(type(number) in (int, float) for number in polygon)
    values = polygon if plain else [as_number(n, f"{where} holds a number that") for n in polygon]
    # Drawing takes time and memory by the length of an outline. NaN is nowhere.
    near = all(-width <= x <= 2 * width for x in values[::2])
    if not (near and all(-height <= y <= 2 * height for y in values[1::2])):
        raise DataError(f"{where} holds {shown(values)}, far outside of {width} x {height}")
    return [float(number) for number in values]


def _checked_run_lengths(value: Entry, height: int, width: int, where: str) -> Entry:
    size, counts = value.get("size"), value.get("counts")
    sides = [as_number(s, f"{where}s size") for s in size] if isinstance(size, list) else size
    if sides != [height, width]:
        raise DataError(
            f"{where} has run lengths of size {shown(size)}, height and width, and the image has "
            f"{[height, width]}"
        )
    if isinstance(counts, str | bytes):
        # pycocotools itself makes bytes, which JSON does not know.
        counts = counts if isinstance(counts, str) else counts.decode("latin-1")
        runs = _runs(counts)
    elif isinstance(counts, list):
        runs = counts = [as_whole(count, f"{where}s run length") for count in counts]
    else:
        raise DataError(f"{where} has no run lengths but {shown(counts)}")
    if runs is None or min(runs, default=0) < 0 or sum(runs) != height * width:
        total = "nothing" if runs is None else sum(runs)
        raise DataError(f"{where} has run lengths that add up to {total}, not {height * width}")
    return {"size": [height, width], "counts": counts}


def _runs(text: str) -> list[int] | None:
    """COCO's compressed run lengths: digits of 5 bits, from the third on as differences."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        digit = ord(letter) - 48
        if not 0 <= digit < 64 or shift > 60:
            return None
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs
