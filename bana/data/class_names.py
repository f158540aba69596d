"""Names of classes across data sets, which spell some of them differently."""

import re
from collections import Counter
from collections.abc import Sequence

from bana.data.checks import alike

# VOC's names of classes that COCO calls otherwise.
COCO_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
}
# "1-1" is not "11"; what stands for the hyphen is in no name.
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s_-]+(?=\d)")


def common_name(name: str) -> str:
    """A class's name in one spelling: "diningtable" and "Dining-table" are one class.

    Args:
        name: VOC's, COCO's or anybody's.

    Returns:
        The name without case, spaces and hyphens, but where they part digits; COCO's word where
        VOC has another. Other signs stay: "C++" and "C#" are two classes.
    """
    plain = alike(_BETWEEN_DIGITS.sub("\x1f", name))
    return COCO_NAMES.get(plain, plain)


def matched(names: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Which class of another data set each class is: of the very name, or of the common one.

    Where several names of one data set have a common name, somebody tells them apart, and none of
    them is taken for a class that is not called just so.

    Args:
        names: of classes, each once.
        known: names of the other data set's.

    Returns:
        The place in ``known`` of each, None where it is not there.
    """
    exact = {name: place for place, name in enumerate(known)}
    common = {common_name(name): place for place, name in enumerate(known)}
    own, other = (Counter(map(common_name, each)) for each in (names, known))
    found: list[int | None] = []
    for name in names:
        key = common_name(name)
        once = own[key] == other[key] == 1
        found.append(exact.get(name, common[key] if once else None))
    return found
