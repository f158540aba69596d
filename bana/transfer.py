"""A classifier on the boxes of another data set, which may name classes it never saw."""

from collections.abc import Sequence

from torch import Tensor

# VOC's names of classes that COCO spells otherwise.
COCO_NAMES = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
}


def common_name(name: str) -> str:
    """A class's name in one spelling: "diningtable" and "dining table" are one class."""
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return COCO_NAMES.get(plain, plain)


def transfer_weight(weight: Tensor, known: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """The classifier's rows in the order of another data set's classes.

    Args:
        weight: w, float [L + 1, D].
        known: names of its rows, background first.
        wanted: names of the other data set's classes, background first.

    Returns:
        float [len(wanted), D]. The row of a class that the classifier never saw is nan, for which
        `bana.labels.pseudo_labels` takes u_c = 1 - u_0.

    Raises:
        ValueError: if there are not as many names as rows, or neither list begins with background.
    """
    if len(known) != len(weight):
        raise ValueError(f"{len(known)} class names for a classifier of {len(weight)} rows")
    if not known[0] == wanted[0] == "background":
        raise ValueError(f"the first class must be background, got {known[0]!r}, {wanted[0]!r}")
    rows = {common_name(name): row for row, name in enumerate(known)}
    moved = weight.new_full((len(wanted), weight.shape[1]), float("nan"))
    for number, name in enumerate(wanted):
        row = rows.get(common_name(name))
        if row is not None:
            moved[number] = weight.detach()[row]
    return moved
