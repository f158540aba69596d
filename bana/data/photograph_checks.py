"""A photograph that is to be brought into a data set: does it fit what is said about it?"""

from typing import TYPE_CHECKING, NamedTuple

import torch

from bana.data.annotation_checks import other_size
from bana.data.boxes import check_boxes
from bana.data.checks import DataError, noted
from bana.data.voc_files import IMAGE_ENDINGS, orientation, read_image

if TYPE_CHECKING:  # which imports this module
    from bana.data.layout import Photograph


class Checked(NamedTuple):
    """What was found.

    Attributes:
        size: (width, height) in pixels, (0, 0) of what cannot be read.
        problems: what is wrong, one line each.
        note: what is to be told besides, None for nothing.
    """

    size: tuple[int, int]
    problems: list[str]
    note: str | None


def checked(photograph: "Photograph") -> Checked:
    """Decode a photograph to its last pixel, and check its size and boxes; nothing is raised."""
    problems: list[str] = []
    where, path = photograph.where, photograph.path
    if path.suffix.lower() not in IMAGE_ENDINGS:
        reason = f"{where}: {path} is no {', '.join(IMAGE_ENDINGS)}: convert it"
        return Checked((0, 0), [reason], None)
    try:
        height, width = read_image(path).shape[1:]
        turned = orientation(path)
    except DataError as error:
        return Checked((0, 0), [f"{where}: {error}"], None)
    note = None
    with noted(problems):
        note = turn_note(photograph, (width, height), turned)
    for box in (*photograph.boxes, *photograph.crowds):
        try:
            check_boxes(torch.tensor([box.corners], dtype=torch.float64), height, width, box.where)
        except ValueError as error:
            problems.append(str(error))
    return Checked((width, height), problems, note)


def turn_note(photograph: "Photograph", size: tuple[int, int], turned: int) -> str | None:
    """Whether boxes belong to the pixels as stored, where EXIF has the photograph turned.

    Args:
        photograph: with the size that its boxes refer to, if that is known.
        size: (width, height) as it is stored.
        turned: of `bana.data.voc_files.orientation`.

    Returns:
        What is to be told, None for nothing.

    Raises:
        DataError: when the boxes' size is another, or they may lie in the turned photograph.
    """
    said, where, path = photograph.size, photograph.where, photograph.path
    remedy = "turn the pixels themselves, and leave no orientation in EXIF"
    if problem := other_size(said, size, path):
        reason = f"{where}: {problem}"
        if turned > 4 and said == size[::-1]:
            reason += f" as stored, and EXIF turns it (orientation {turned}): {remedy}"
        raise DataError(reason)
    if turned == 1 or (said and turned > 4 and size[0] != size[1]):
        return None
    if said is None:
        raise DataError(
            f"{where}: EXIF turns {path} (orientation {turned}), and nothing says whether its "
            f"boxes are turned too: {remedy}"
        )
    return f"turned by EXIF (orientation {turned}), which is not applied"
