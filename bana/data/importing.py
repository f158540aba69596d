"""Boxes from elsewhere brought into VOC layout.

`bana data import --help` describes the formats; `bana.data.formats` reads them.
"""

from collections.abc import Iterator
from pathlib import Path

from bana.data.checks import DataError, listed, refuse
from bana.data.coco import read_coco
from bana.data.formats.common import Folder
from bana.data.formats.detection import read_boxes
from bana.data.formats.known import check_format
from bana.data.formats.voc import ask_for_convention, read_voc
from bana.data.layout import Photograph, Written, check_own_source, write_photographs
from bana.data.oddities import notes_on_folder, visible_files
from bana.data.voc_files import read_class_names


def import_boxes(
    kind: str,
    boxes: Path,
    images: Path,
    out: Path,
    split: str = "train",
    classes: Path | None = None,
    convention: str | None = None,
    keep_empty: bool = False,
) -> Written:
    """Bring photographs with boxes into a folder in VOC layout, as one split.

    Args:
        kind: one of `bana.data.formats.known.FORMATS`.
        boxes: the file, or the folder of files, as the format has it.
        images: folder of the photographs.
        out: the data set; other splits in it stay.
        split: name of the split.
        classes: file of class names, one a line; background may be left out; of YOLO a data.yaml
            too. None takes those of the source, or else the classes that occur, by alphabet.
        convention: of voc and csv alone, see `bana.data.formats.known`; None means "voc" in XML
            and "half-open" in CSV.
        keep_empty: keep photographs that the boxes' file names without a box.

    Returns:
        What was written.

    Raises:
        DataError: when something in the files is wrong; file and line are named. When XML boxes
            begin at 0 and no convention was given; when a source lies in ``out``.
        ValueError: when the format or the convention is unknown.
    """
    check_format(kind, convention)
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of photographs")
    if not boxes.exists():
        raise DataError(f"{boxes}: no such file of boxes")
    check_own_source(out, boxes, images)
    if kind == "voc" and boxes.resolve() in out.resolve().parents:
        raise DataError(f"{out}: lies in {boxes}, where boxes are read: name another folder")
    photographs, names, notes = _read(kind, boxes, images, classes, convention)
    written = write_photographs(out, split, photographs, names, keep_empty, source=boxes)
    notes = [*notes, *written.notes]
    notes += notes_on_folder(images, (photograph.path for photograph in photographs), out)
    if kind == "voc":
        notes += _passed_over(boxes)
    return written._replace(notes=tuple(notes))


def _read(
    kind: str, boxes: Path, images: Path, classes: Path | None, convention: str | None
) -> tuple[list[Photograph], tuple[str, ...] | None, list[str]]:
    """The photographs, the names of classes that are known, and notes."""
    if kind not in ("coco", "voc"):
        read = read_boxes(kind, boxes, Folder(images), classes, convention)
        refuse(list(read.failed.values()), boxes)
        return read.photographs, read.classes, read.notes
    own = read_class_names(classes, background_implied=True) if classes else None
    if kind == "coco":
        found, categories, notes = read_coco(boxes, images)
        return [each.photograph for each in found], own or categories, notes
    photographs = read_voc(boxes, Folder(images), one_based=convention != "half-open")
    if convention is None:
        ask_for_convention(photographs, boxes)
    return photographs, own, []


def _passed_over(path: Path) -> Iterator[str]:
    """A note on files in a folder of XML files that are no such files."""
    if path.is_dir():
        others = [file for file in visible_files(path) if file.suffix.lower() != ".xml"]
        names = sorted(file.relative_to(path).as_posix() for file in others)
        if names:
            yield f"files in {path} that do not end in .xml ({len(names)}): {listed(names)}"
