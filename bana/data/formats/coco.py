"""COCO's files of instances as a source of boxes, with all that the file says besides.

Ids, licenses and fields that nobody here knows go into the COCO files of the masks, so that who
wrote the file finds its own entries there again.
"""

from pathlib import Path
from typing import Any

from bana.data.checks import counted
from bana.data.coco_file import checked_segmentation, is_crowd, read_instances
from bana.data.formats.common import CocoEntry, CocoSource, Folder, Read
from bana.data.voc_files import DataError


def read_coco_boxes(path: Path, images: Folder) -> Read:
    """Read the boxes of a COCO file; crowds are no boxes.

    Args:
        path: the JSON file.
        images: the photographs, found by file_name.

    Raises:
        DataError: if something in the file is wrong, or a file_name fits several photographs.
    """
    # pycocotools takes a moment to import.
    from bana.data.coco import images_of

    file = read_instances(path)
    read, classes, notes = images_of(path, file, images)
    photographs, entries, lost = [], [], 0
    for one in read:
        photographs.append(one.photograph)
        name = one.photograph.path.relative_to(images.root).with_suffix("").as_posix()
        boxes = [
            {key: value for key, value in each.items() if key != "segmentation"}
            for each in one.annotations
            if not is_crowd(each)
        ]
        crowds = [each for each in one.annotations if is_crowd(each)]
        whole = [each for each in crowds if _has_segmentation(each, one.record)]
        lost += len(crowds) - len(whole)
        entries.append(CocoEntry(name, one.record, boxes, whole))
    if lost:
        crowds = counted(lost, "crowd")
        notes.append(f"{path}: {crowds} without a segmentation, left out of COCO's files of masks")
    source = CocoSource(file["head"], file["categories"], entries)
    return Read(photographs, classes, notes, {}, source)


def _has_segmentation(crowd: dict[str, Any], image: dict[str, Any]) -> bool:
    try:
        checked_segmentation(crowd.get("segmentation"), image["height"], image["width"], "")
    except DataError:
        return False
    return True
