"""What a VOC XML file says against its photograph: one judgement, and one wording, for all readers.

An import, a check of a data set, and whoever reads one to work with it ask here, so that what one
of them refuses the others do not read.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from bana.data.lists import photographs_of

# VOC's first pixel is 1. What begins here or before was counted from 0, or sticks out; sums of
# fractions stay nearer to 1.
BEFORE_FIRST = 0.5


def other_size(
    said: tuple[int, int] | None, size: tuple[int, int], photograph: object = "the photograph"
) -> str | None:
    """What is wrong where boxes were drawn in a photograph of another size, or None.

    Args:
        said: (width, height) that the boxes refer to, None where nothing says.
        size: (width, height) of the photograph as it is stored.
        photograph: its name, for the message.
    """
    if said in (None, size):
        return None
    return f"says {said[0]} x {said[1]}, but {photograph} has {size[0]} x {size[1]}"


def names_other(stem: str, said: str | None) -> bool:
    """Whether a file says in <filename> that it is about another photograph than its own.

    Args:
        stem: name of the file, and of its photograph, without folder and ending.
        said: what <filename> says, without folders; None for nothing. Another ending is no other
            photograph.
    """
    return said is not None and stem not in (said, PurePosixPath(said).stem)


def other_photograph(
    image: Path, stem: str, said: str | None, folders: Sequence[Path]
) -> str | None:
    """What is wrong where the other photograph that a file names is there, or None.

    Args:
        image: its own photograph, for the message.
        stem, said: as of `names_other`.
        folders: where the other one would be.
    """
    if said is None or not names_other(stem, said):
        return None
    # "b.v2" is b.v2.jpg without its ending, or b with another one.
    others = (said, PurePosixPath(said).stem)
    if not any(
        (folder / said).is_file() or any(photographs_of(folder, other) for other in others)
        for folder in folders
    ):
        return None
    return (
        f"is called as {image.name} is and says in <filename> that it is about {said}: rename one "
        f"of them"
    )


def before_first(which: str, corners: Sequence[float]) -> str | None:
    """What is wrong with a box that begins before VOC's first pixel, or None.

    Args:
        which: the box, for the message.
        corners: VOC's xmin, ymin, xmax, ymax, counted from 1.
    """
    if min(corners) > BEFORE_FIRST:
        return None
    return (
        f"{which}: begins at {min(corners):g}, but VOC counts pixels from 1: if the program that "
        f"wrote the file counts from 0, add 1 to xmin and ymin of all boxes, else begin this at 1"
    )
