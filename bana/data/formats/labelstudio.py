"""Boxes in Label Studio's exports, JSON and JSON-MIN, in percent of the photograph."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from bana.data.checks import noted, read_json, refuse, shown
from bana.data.formats.common import (
    ENDINGS,
    POLYGONS,
    TURNED,
    Corners,
    Folder,
    Read,
    around,
    cut_off,
    number,
    one_line,
    path_of_url,
    told,
    trimmed,
    turned,
    whole,
)
from bana.data.layout import Box, Photograph
from bana.data.voc_files import DataError

# An uploaded a.jpg is stored as 1a2b3c4d-a.jpg.
UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
# Lists of names that a region may have, with the figure that it has then.
LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
# A number beyond is of pixels. How far boxes may reach over the border is told in pixels, as of
# every format.
NO_PERCENT = 200.0


def read_labelstudio(path: Path, images: Folder) -> Read:
    """Read Label Studio's rectangles; polygons and ellipses are taken by the boxes around them.

    Args:
        path: the exported file.
        images: the photographs, named by the task's data; the eight digits that an upload, in
            /data/upload or named by file_upload, has before its name may be missing.

    Returns:
        What was read; a task with several annotations has failed, since they may contradict.

    Raises:
        DataError: if the file or regions are wrong, all of which are told.
    """
    held = read_json(path)
    if not isinstance(held, list) or not all(isinstance(task, dict) for task in held):
        raise DataError(f"{path}: no export of Label Studio, it is no list of tasks")
    photographs, failed, counts = [], {}, Counter()
    problems: list[str] = []
    for index, task in enumerate(held, start=1):
        where = f"{path}: task {task.get('id', index)}"
        with noted(problems):
            if "completions" in task and "annotations" not in task:
                raise DataError(
                    f"{where}: has completions, as Label Studio wrote before version 1: export it "
                    f"by a newer one"
                )
            every = _objects(task.get("annotations"), where, "annotations")
            if isinstance(guesses := task.get("predictions"), list) and guesses:
                counts["predictions not used"] += len(guesses)
            done = [each for each in every if not each.get("was_cancelled")]
            image = _image(task, images, where)
            if len(done) > 1:
                name = image.relative_to(images.root).with_suffix("").as_posix()
                failed[name] = f"{where}: {len(done)} annotations: keep one of them"
                continue
            of_done = (region for each in done for region in _results(each, where, counts))
            regions = list(of_done) if "data" in task else _minimal(task)
            photographs.append(_photograph(image, regions, images, where, counts, problems))
    refuse(problems, path)
    return Read(photographs, None, told(counts, path), failed)


def _objects(held: object, where: str, what: str) -> list[dict[str, Any]]:
    """A list of objects; null, as where there is nothing, is an empty one."""
    if held is not None and not (isinstance(held, list) and all(isinstance(e, dict) for e in held)):
        raise DataError(f"{where}: {what} is {shown(held)}, no list of objects")
    return held or []


def _results(annotation: dict[str, Any], where: str, counts: Counter[str]) -> list[Any]:
    """The regions of an annotation, each with its values flat.

    Where labels are given apart from shapes, both have the region's id and belong together.
    """
    found: dict[Any, dict[str, Any]] = {}
    for index, each in enumerate(_objects(annotation.get("result"), where, "result"), start=1):
        if each.get("type") == "relation":
            counts["relations of regions passed over"] += 1
            continue
        value = each.get("value")
        if not isinstance(value, dict):
            raise DataError(f"{where}: value of result {index} is {shown(value)}, no object")
        own = f"result {index}" if each.get("id") is None else str(each["id"])
        region = found.get(own, {})
        differing = next((key for key in value if region.get(key, value[key]) != value[key]), None)
        if differing:
            raise DataError(f"{where}: two regions have the id {own!r}, but another {differing!r}")
        found[own] = {**region, **each, **value}
    return list(found.values())


def _minimal(task: dict[str, Any]) -> list[Any]:
    """The regions of a task of JSON-MIN: lists of objects beside the task's own data."""
    lists = [value for value in task.values() if isinstance(value, list)]
    return [each for value in lists for each in value if isinstance(each, dict)]


def _image(task: dict[str, Any], images: Folder, where: str) -> Path:
    data = task.get("data", task)
    texts = [v for v in data.values() if isinstance(v, str)] if isinstance(data, dict) else []
    named = [path_of_url(text) for text in texts]
    found = sorted({name for name in named if Path(name).suffix.lower() in ENDINGS})
    if len(found) != 1:
        raise DataError(f"{where}: {len(found)} photographs in its data, not one")
    path = images.named(found[0], where)
    *folders, last = Path(found[0].replace("\\", "/")).parts
    if path.is_file() or not UPLOADED.match(last):
        return path
    # The folder of an upload is Label Studio's own and says nothing of where the photograph was.
    named = images.named(UPLOADED.sub("", last), where, anywhere=True)
    if last == task.get("file_upload") or ("data", "upload") in pairwise(folders):
        return named
    if named.is_file():
        # 20240131-a.jpg is a name that people give, and a.jpg would be another photograph.
        raise DataError(
            f"{where}: {last!r} is not in {images.root}, and nothing says that it is an upload of "
            f"{named.name}: give the photograph the name that the export has"
        )
    return path


def _photograph(
    image: Path,
    regions: list[Any],
    images: Folder,
    where: str,
    counts: Counter[str],
    problems: list[str],
) -> Photograph:
    boxes, sizes = [], set()
    for index, region in enumerate(regions, start=1):
        here = f"{where}, region {region.get('id', index)}"
        if not ({"x", "y"} <= region.keys() or "points" in region):
            counts["results without a shape passed over"] += 1
            continue
        shaped = region.keys() & {"width", "points", "radiusX"}
        if not shaped or "keypointlabels" in region:  # whose width is that of the dot
            counts["key points passed over"] += 1
            continue
        with noted(problems):
            size, box = _box(region, here, counts)
            sizes.add(size)
            boxes.append(box)
    if len(sizes) > 1:
        raise DataError(f"{where}: regions of photographs of different sizes {sorted(sizes)}")
    return images.photograph(image, where, boxes, next(iter(sizes), None))


def _box(region: dict[str, Any], where: str, counts: Counter[str]) -> tuple[tuple[int, int], Box]:
    """The (width, height) of the photograph, as the region has it, and the box."""
    labels = next((region[key] for key in LABELS if region.get(key)), None)
    if not isinstance(labels, list) or len(labels) != 1:
        raise DataError(f"{where}: {labels!r} is not one label")
    width, height = (
        whole(region.get(key), where, key, 1) for key in ("original_width", "original_height")
    )
    kind = one_line(labels[0], where, "the label")
    if number(region.get("image_rotation", 0), where, "image_rotation") % 360:
        raise DataError(
            f"{where}: the photograph was turned when it was labelled (image_rotation is "
            f"{shown(region['image_rotation'])}): turn it back there"
        )
    return (width, height), Box(kind, _corners(region, (width, height), where, counts), where)


def _corners(
    region: dict[str, Any], size: tuple[int, int], where: str, counts: Counter[str]
) -> Corners:
    """The upright box of a region in pixels."""
    width, height = size

    def percent(what: str, value: object = ...) -> float:
        made = number(region.get(what) if value is ... else value, where, what)
        if abs(made) > NO_PERCENT:
            raise DataError(f"{where}: {what} is {made:g}, not in percent of the photograph")
        return made / 100

    if "points" in region:
        counts[POLYGONS] += 1
        points = region["points"]
        if not isinstance(points, list) or len(points) < 3:
            raise DataError(f"{where}: a polygon of fewer than 3 points")
        if not all(isinstance(point, list) and len(point) == 2 for point in points):
            raise DataError(f"{where}: points is no list of pairs")
        pairs = [(percent("x", x) * width, percent("y", y) * height) for x, y in points]
        return trimmed(around(pairs), size)
    x, y = percent("x") * width, percent("y") * height
    turn = region.get("rotation")
    angle = 0 if turn is None else number(turn, where, "rotation") % 360
    if "radiusX" in region:
        counts["ellipses taken by the boxes around them"] += 1
        rx, ry = percent("radiusX") * width, percent("radiusY") * height
        seen = around(turned((x - rx, y - ry, x + rx, y + ry), angle, (x, y)))
        return cut_off(seen, size, counts)
    upright = x, y, x + percent("width") * width, y + percent("height") * height
    if angle == 0:
        return upright
    counts[TURNED] += 1
    seen = around(turned(upright, angle, (x, y)))  # about the upper left corner
    return cut_off(seen, size, counts)
