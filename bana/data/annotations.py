"""VOC's XML files: the boxes of a photograph, as they stand."""

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from bana.data.checks import DataError, as_class, as_number, as_whole, check_upright
from bana.data.voc_files import whole_file
from bana.data.xml_files import read_xml

# All that `write_annotation` writes; VOC's own files say more, such as <pose>.
PLAIN = {"annotation", "folder", "filename", "size", "width", "height", "depth", "segmented"}
PLAIN |= {"object", "crowd", "name", "difficult", "bndbox", "xmin", "ymin", "xmax", "ymax"}
SIDES = ("xmin", "ymin", "xmax", "ymax")


class Annotation(NamedTuple):
    """What an XML file says.

    Attributes:
        objects: class name and VOC's (xmin, ymin, xmax, ymax) of every object.
        crowds: the same of every region of uncounted objects.
        size: (width, height) of the image in pixels, None where the file does not say.
    """

    objects: list[tuple[str, list[float]]]
    crowds: list[tuple[str, list[float]]]
    size: tuple[int, int] | None


def read_annotation(path: Path) -> Annotation:
    """Read a VOC XML file as it stands: boxes 1-based and inclusive, nothing checked.

    Args:
        path: the file.

    Returns:
        Its objects, crowds, and image size.

    Raises:
        DataError: when the file is missing, damaged, or no VOC annotation; the number of the
            object at fault is named.
    """
    return read_named(path)[0]


def read_named(path: Path) -> tuple[Annotation, str | None]:
    """An annotation, and the file name of the photograph that it says it is about.

    Args:
        path: the file.

    Returns:
        As `read_annotation`, and what <filename> says, without folders; None for nothing.

    Raises:
        DataError: as `read_annotation`.
    """
    root = _parsed(path)
    for tag in ("filename", "size", "size/width", "size/height"):
        if len(root.findall(tag)) > 1:
            raise DataError(f"{path}: not a VOC annotation: several <{tag.rpartition('/')[2]}>")
    annotation = Annotation(
        _things(path, root, "object"), _things(path, root, "crowd"), _stated_size(path, root)
    )
    said = (root.findtext("filename") or "").strip().replace("\\", "/")
    return annotation, said.rpartition("/")[2] or None


def is_plain(path: Path) -> bool:
    """Whether an XML file says nothing beyond what `write_annotation` writes, so loses nothing.

    Raises:
        DataError: when it is missing or no XML.
    """
    return {node.tag for node in _parsed(path).iter()} <= PLAIN


def _parsed(path: Path) -> ElementTree.Element:
    root = read_xml(path)
    if root.tag != "annotation":
        raise DataError(f"{path}: not a VOC annotation but <{root.tag}>")
    return root


def _stated_size(path: Path, root: ElementTree.Element) -> tuple[int, int] | None:
    """Width and height, where the file says them; some programs write 0 x 0 for unknown."""
    sides = []
    for tag in ("width", "height"):
        said = (root.findtext(f"size/{tag}") or "").strip()
        sides.append(as_whole(said, f"{path}: not a VOC annotation: <{tag}>") if said else 0)
    width, height = sides
    if width < 0 or height < 0 or (width == 0) != (height == 0):
        raise DataError(f"{path}: not a VOC annotation: <size> is {width} x {height}")
    return (width, height) if width else None


def write_annotation(
    path: Path, annotation: Annotation, folder: str = "", image: str | None = None
) -> None:
    """Write a VOC XML file, whole or not at all.

    Args:
        path: `<id>.xml`; missing folders are created.
        annotation: boxes 1-based and inclusive; whole numbers are written as such.
        folder: name of the data set, for the element <folder>.
        image: file name of the photograph; None takes `<id>.jpg`.
    """
    root = ElementTree.Element("annotation")

    def add(parent: ElementTree.Element, tag: str, text: object) -> None:
        ElementTree.SubElement(parent, tag).text = str(text)

    add(root, "folder", folder)
    add(root, "filename", image or f"{path.stem}.jpg")
    if annotation.size:
        size = ElementTree.SubElement(root, "size")
        for tag, value in zip(("width", "height", "depth"), (*annotation.size, 3), strict=True):
            add(size, tag, value)
    add(root, "segmented", 1)
    for tag, things in (("object", annotation.objects), ("crowd", annotation.crowds)):
        for kind, corners in things:
            thing = ElementTree.SubElement(root, tag)
            add(thing, "name", kind)
            add(thing, "difficult", 0)
            box = ElementTree.SubElement(thing, "bndbox")
            for side, value in zip(SIDES, corners, strict=True):
                # repr gives the shortest text that reads back as the same number.
                add(box, side, int(value) if value == int(value) else repr(float(value)))
    ElementTree.indent(root)
    with whole_file(path) as begun:
        ElementTree.ElementTree(root).write(begun, encoding="unicode")


def _things(path: Path, root: ElementTree.Element, tag: str) -> list[tuple[str, list[float]]]:
    # A tag in a namespace is {address}object.
    alike = (tag, f"{tag}s")
    misspelt = {each.tag for each in root if each.tag.rpartition("}")[2].lower() in alike} - {tag}
    if misspelt:
        raise DataError(f"{path}: not a VOC annotation: <{min(misspelt)}> instead of <{tag}>")
    found = []
    for number, node in enumerate(root.findall(tag), start=1):
        where = f"{path}: not a VOC annotation: {tag} {number}"
        box = _only(node, "bndbox", where)
        corners = [as_number(_text(box, side, where), f"{where}: <{side}>") for side in SIDES]
        for attribute in node.findall("attributes/attribute"):
            if attribute.findtext("name") == "rotation":
                check_upright(attribute.findtext("value"), where)
        kind = as_class(_text(node, "name", where), f"{where}: <name>")
        found.append((kind, corners))
    return found


def _only(node: ElementTree.Element, tag: str, where: str) -> ElementTree.Element:
    """The one child of that name."""
    there = node.findall(tag)
    if len(there) != 1:
        raise DataError(f"{where}: {len(there) or 'no'} <{tag}> in <{node.tag}>")
    return there[0]


def _text(node: ElementTree.Element, tag: str, where: str) -> str | None:
    """The text of the one child of that name, which holds nothing else: 2<b/>0 would read as 2."""
    child = _only(node, tag, where)
    if len(child):
        raise DataError(f"{where}: <{child[0].tag}> in <{tag}>")
    return child.text
