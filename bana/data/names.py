"""Names of files that not every system takes: ids become such names, and a disk may refuse them.

Windows takes `a:b` for a hidden part of a file `a`, and `aux.png` for a device. Most disks of
Windows and macOS hold one file of the two names `cow` and `Cow`.
"""

import os
import re
import unicodedata
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from bana.data.checks import DataError, shown

WINDOWS = os.name == "nt"
_DEVICES = r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9¹²³]"
_DEVICE = re.compile(rf"({_DEVICES}) *(\..*)?", re.IGNORECASE)
_LETTERS = re.compile(r'[<>:"|?*]')


def check_name(name: str, where: str) -> None:
    """Check on Windows that an id can be the name of a file there; elsewhere every id can.

    Args:
        name: with "/" between folders.
        where: for the message.

    Raises:
        DataError: if a part of it is a device, has a letter that no name may have, or ends in a
            dot or a space, which Windows leaves out.
    """
    if not WINDOWS:
        return
    for part in name.split("/"):
        if _DEVICE.fullmatch(part) or _LETTERS.search(part) or part.endswith((".", " ")):
            raise DataError(
                f"{where}: {shown(name)} cannot be the name of a file on Windows: rename the "
                f"photograph"
            )


def check_apart(names: Iterable[str], folder: Path) -> None:
    """Check that a folder's disk can hold a file of each name.

    Args:
        names: with "/" between folders; one that occurs twice is one.
        folder: where the files are or will be.

    Raises:
        DataError: if two differ in small and capital letters alone, which the disk does not tell
            apart: one file would overwrite the other.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name and not _tells_capitals(folder):
            raise DataError(
                f"{folder}: {shown(other)} and {shown(name)} would be one file on this disk, which "
                f"does not tell small letters from capitals: rename one"
            )


def _tells_capitals(folder: Path) -> bool:
    """Whether a disk tells small letters from capitals, by a file that is there."""
    inside = islice(folder.iterdir(), 20) if folder.is_dir() else ()
    for path in (*inside, folder, *folder.parents):
        other = path.with_name(path.name.swapcase()) if path.name else path
        if other.name != path.name and path.exists():
            return not (other.exists() and other.samefile(path))
    return True
