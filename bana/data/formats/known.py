"""The formats of boxes by name, and what all of them share; light enough for `bana --help`."""

from bana.data.checks import DataError

FORMATS = ("voc", "coco", "yolo", "csv", "labelme", "labelstudio", "cvat")
"""What boxes may be read from."""
CONVENTIONS = ("half-open", "voc")
"""How corners may be counted, in the formats that leave it open."""
CONVENTION_HELP = (
    "of voc and csv, whether pixels are counted from 1, the last one included (voc, the default "
    "of voc), or from 0, the last one left out (half-open, the default of csv)"
)
"""What to say of them to a user."""
LEFT_OPEN = ("voc", "csv")
"""The formats that do."""
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""What the file of a photograph may end in, in small letters or capitals."""


def check_format(kind: str, convention: str | None) -> None:
    """Check that there is such a format, and that it has such a convention.

    Args:
        kind: one of `FORMATS`.
        convention: one of `CONVENTIONS`; None where nothing was said.

    Raises:
        DataError: if the format has one convention alone, and one is named.
        ValueError: if the format or the convention is unknown.
    """
    if kind not in FORMATS or convention not in (None, *CONVENTIONS):
        raise ValueError(f"no boxes of format {kind!r} and convention {convention!r}")
    if convention and kind not in LEFT_OPEN:
        raise DataError(f"boxes of format {kind} have one convention: leave --convention out")
