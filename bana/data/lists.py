"""Lists of a split: one id a line, and what others write there instead.

An id is the whole line, spaces included. Labels and predictions are files of that name, so that a
line which leads out of the folder is refused.
"""

import re
from pathlib import Path, PurePosixPath, PureWindowsPath

from bana.data.checks import DataError, read_text, shown
from bana.data.names import check_apart, check_name
from bana.data.voc_files import IMAGE_ENDINGS

LISTS = Path("ImageSets") / "Segmentation"
_PHOTOGRAPH = r"/?JPEGImages/(?P<id>[^/].*)\.(?:jpe?g|png)"
_PHOTOGRAPH_LINE = re.compile(_PHOTOGRAPH, re.IGNORECASE)
# The lists of DeepLab and its followers: /JPEGImages/a.jpg /SegmentationClassAug/a.png
_PAIR_LINE = re.compile(
    _PHOTOGRAPH + r"\s+/?SegmentationClass\w*/(?P<mask>[^/].*)\.png", re.IGNORECASE
)


def photographs_of(folder: Path, name: str) -> list[Path]:
    """The photographs of an id: none, one, or several that contradict each other.

    Args:
        folder: JPEGImages.
        name: the id.

    Returns:
        Files with an ending of `IMAGE_ENDINGS`, in small letters or in capitals, in that order;
        each once on a disk that does not tell the two apart.
    """
    endings = (*IMAGE_ENDINGS, *(ending.upper() for ending in IMAGE_ENDINGS))
    there = [path for ending in endings if (path := folder / f"{name}{ending}").exists()]
    return [
        path
        for number, path in enumerate(there)
        if not any(_same_file(path, other) for other in there[:number])
    ]


def first_photograph(folder: Path, name: str) -> Path:
    """The first photograph of an id; where there is none, what it would most often be called."""
    return next(iter(photographs_of(folder, name)), folder / f"{name}{IMAGE_ENDINGS[0]}")


def _same_file(path: Path, other: Path) -> bool:
    return path.name.lower() == other.name.lower() and path.samefile(other)


def split_names(root: Path) -> list[str]:
    """Names of the splits of a folder in VOC layout, sorted; macOS's ._ files are none."""
    return sorted(path.stem for path in (root / LISTS).glob("*.txt") if path.name[0] != ".")


def read_split(root: Path, split: str) -> list[str]:
    """The ids of a split, in their order.

    Besides ids, a line may name the photograph's file (a.jpg, JPEGImages/a.jpg), or the photograph
    and its mask as DeepLab's lists do.

    Args:
        root: folder in VOC layout.
        split: name of the list, without .txt.

    Returns:
        The ids, each once.

    Raises:
        DataError: when there is no such list, it is empty, a line is no id, or an id is listed
            twice, which would count twice; file and line are named. When two ids would be one file
            on this disk.
    """
    if not split or set("/\\") & set(split):
        raise DataError(f"split {split!r}: not the name of a list in {root / LISTS}")
    path = root / LISTS / f"{split}.txt"
    if not path.is_file():
        known = ", ".join(split_names(root)) or "none"
        raise DataError(f"{path}: no such split; there is {known}")
    first: dict[str, int] = {}
    twice = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", read_text(path)), start=1):
        if line.strip():
            name = _id_of(line.strip(), root / "JPEGImages", f"{path}:{number}")
            if first.setdefault(name, number) != number:
                said = f"{shown(name)} a second time, after line {first[name]}"
                twice.append(f"{path}:{number}: {said}")
    if not first:
        raise DataError(f"{path}: the split is empty")
    if twice:
        more = f" ({len(twice)} such lines)" if len(twice) > 1 else ""
        raise DataError(f"{twice[0]}: list it once{more}")
    ids = list(first)
    check_apart(ids, root / "JPEGImages")
    return ids


def _id_of(line: str, folder: Path, where: str) -> str:
    if pair := _PAIR_LINE.fullmatch(line):
        if pair["id"] != pair["mask"]:
            raise DataError(f"{where}: {shown(line)} is a photograph and the mask of another")
        line = pair["id"]
    elif file := _PHOTOGRAPH_LINE.fullmatch(line):
        line = file["id"]
    check_id(line, where)
    words, file = line.split(), PurePosixPath(line)
    is_file = file.suffix.lower() in IMAGE_ENDINGS
    # Most lines are plain words, and the disk is not asked about them.
    if not (is_file or len(words) > 1) or photographs_of(folder, line):
        return line
    if is_file and (stem := _stem_of(folder, file)):
        return stem
    if len(words) > 1 and (
        photographs_of(folder, words[0]) or _stem_of(folder, PurePosixPath(words[0]))
    ):
        raise DataError(
            f"{where}: {shown(line)} has several columns; a list of a split has one id a line"
        )
    return line


def _stem_of(folder: Path, file: PurePosixPath) -> str | None:
    """The id of a photograph by its file's name, where there is that file."""
    stem = str(file.with_suffix("")) if file.suffix else ""
    there = photographs_of(folder, stem) if stem else []
    return stem if any(path.name.lower() == file.name.lower() for path in there) else None


def check_id(name: str, where: str) -> None:
    """Check that an id is the name of a file within a folder.

    Raises:
        DataError: when it is an absolute path, one of Windows, or leads out of the folder, or
            cannot be a file's name on this system; the message begins with ``where``.
    """
    parts = name.split("/")
    windows = PureWindowsPath(name)
    if "\\" in name or windows.drive or windows.root or {"", ".", ".."} & set(parts):
        raise DataError(
            f"{where}: {shown(name)} is a path, not an id: an id is the name of a photograph in "
            f"JPEGImages without its ending"
        )
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise DataError(f"{where}: {shown(name)} holds a control character, so is no id")
    check_name(name, where)
