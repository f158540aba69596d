"""Boxes in "CVAT for images" XML files, one file for many photographs."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from bana.data.checks import as_text, noted, refuse
from bana.data.formats.common import (
    POLYGONS,
    TURNED,
    Corners,
    Folder,
    Read,
    around,
    cut_off,
    number,
    one_line,
    told,
    trimmed,
    turned,
    whole,
)
from bana.data.layout import Box, Photograph
from bana.data.voc_files import DataError
from bana.data.xml_files import read_xml

PASSED_OVER = ("polyline", "points", "tag", "skeleton", "cuboid")
GROUPED = "shapes that share a group, each taken as a box of its own"


def read_cvat(path: Path, images: Folder) -> Read:
    """Read CVAT's boxes; polygons, ellipses and masks are taken by the boxes around them.

    Args:
        path: the XML file.
        images: the photographs, named by <image name>.

    Raises:
        DataError: if the file is of a video, or things in it are wrong, all of which are told.
    """
    root = read_xml(path)
    if root.tag != "annotations":
        raise DataError(f"{path}: not of CVAT but <{root.tag}>")
    if root.find("track") is not None:
        raise DataError(f"{path}: tracks of a video: export it as 'CVAT for images'")
    misspelt = {node.tag for node in root if node.tag.lower() in ("image", "images")} - {"image"}
    if misspelt:
        raise DataError(f"{path}: <{min(misspelt)}> instead of <image>")
    counts: Counter[str] = Counter()
    problems: list[str] = []
    photographs = []
    for index, node in enumerate(root.findall("image"), start=1):
        with noted(problems):
            photographs.append(_photograph(node, path, index, images, counts, problems))
    refuse(problems, path)
    return Read(photographs, _classes(root), told(counts, path), {})


def _photograph(
    node: ElementTree.Element,
    path: Path,
    index: int,
    images: Folder,
    counts: Counter[str],
    problems: list[str],
) -> Photograph:
    where = f"{path}: image {index}"
    name = as_text(node.get("name"), f"{where}: name")
    width = whole(node.get("width"), where, "width", 1)
    height = whole(node.get("height"), where, "height", 1)
    boxes = []
    groups: Counter[str] = Counter()
    for place, shape in enumerate(node, start=1):
        here = f"{path}: image {name!r}, {shape.tag} {place}"
        if shape.tag in PASSED_OVER:
            counts[f"<{shape.tag}> passed over"] += 1
            continue
        with noted(problems):
            corners = _corners(shape, here, (width, height), counts)
            boxes.append(Box(one_line(shape.get("label"), here, "label"), corners, here))
            groups[shape.get("group_id") or "0"] += 1
    # A group may be the parts of one object, or objects that belong together, as a pair does: CVAT
    # does not tell. Group 0 is none.
    if grouped := sum(shapes for group, shapes in groups.items() if group != "0" and shapes > 1):
        counts[GROUPED] += grouped
    image = images.named(name, where)
    return images.photograph(image, where, boxes, (width, height))


def _classes(root: ElementTree.Element) -> tuple[str, ...] | None:
    """The labels of the task or project, in its order."""
    names = [" ".join((node.text or "").split()) for node in root.findall(".//labels/label/name")]
    once = [name for name in dict.fromkeys(names) if name]
    return ("background", *once) if once else None


def _corners(
    shape: ElementTree.Element, where: str, size: tuple[int, int], counts: Counter[str]
) -> Corners:
    def value(name: str) -> float:
        return number(shape.get(name), where, name)

    angle = number(shape.get("rotation") or 0, where, "rotation") % 360
    if shape.tag == "box":
        upright = value("xtl"), value("ytl"), value("xbr"), value("ybr")
        if angle == 0:
            return upright
        counts[TURNED] += 1
    elif shape.tag == "polygon":
        counts[POLYGONS] += 1
        return trimmed(around(_points(shape, where)), size)
    elif shape.tag == "ellipse":
        counts["ellipses taken by the boxes around them"] += 1
        x, y, rx, ry = value("cx"), value("cy"), value("rx"), value("ry")
        upright = x - rx, y - ry, x + rx, y + ry
    elif shape.tag == "mask":
        counts["masks taken by the boxes around them"] += 1
        x, y = value("left"), value("top")
        return x, y, x + value("width"), y + value("height")
    else:
        raise DataError(f"{where}: <{shape.tag}> is not known")
    x1, y1, x2, y2 = upright
    seen = around(turned(upright, angle, ((x1 + x2) / 2, (y1 + y2) / 2)))
    return cut_off(seen, size, counts)


def _points(shape: ElementTree.Element, where: str) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";") if pair]
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
        raise DataError(f"{where}: points is not x,y;x,y;x,y")
    return [(number(x, where, "a point"), number(y, where, "a point")) for x, y in pairs]
