"""Values of files that others wrote: read where their meaning is certain, refused otherwise.

80.0 is 80 and the text "80" is 80. null, NaN, Infinity, true and "abc" are no numbers. Nothing is
guessed and nothing is rounded: every function returns what the file says or raises a `DataError`
that begins with the place it was given.
"""

import codecs
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Up to here every whole number is a float of its own.
LARGEST = 2**53
# A message names so many things at fault, and the number of the others.
TOLD = 20


class DataError(ValueError):
    """Something is wrong with a data set; the message names the file and the reason."""


@contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """Add the message of a `DataError` to a list, so that what follows is looked at too."""
    try:
        yield
    except DataError as error:
        problems.append(str(error))


def refuse(problems: Sequence[str], where: object) -> None:
    """Raise a `DataError` of everything that is wrong; nothing happens where nothing is.

    Args:
        problems: one line each. A single one is the message; of several the first line says how
            many there are, and up to `TOLD` of them follow.
        where: the file or folder that they were found in.
    """
    if len(problems) == 1:
        raise DataError(problems[0])
    if problems:
        lines = [f"{where}: {len(problems)} things are wrong:", *problems[:TOLD]]
        if len(problems) > TOLD:
            lines.append(f"and {len(problems) - TOLD} more")
        raise DataError("\n  ".join(lines))


def listed(things: Sequence[object], most: int = 5) -> str:
    """The first few of many things, in one line."""
    told = ", ".join(str(thing) for thing in things[:most])
    return told + (f" and {len(things) - most} more" if len(things) > most else "")


def counted(number: int, thing: str, things: str | None = None) -> str:
    """A number with its noun: "1 box", "2 boxes"; without ``things`` the plural ends in s."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def shown(value: object) -> str:
    """A value as a message shows it: as in JSON, and short."""
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError, RecursionError):
        text = repr(type(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def as_number(value: object, where: str) -> float:
    """A finite number, of an int, a float, or a text that is plainly one.

    Raises:
        DataError: when it is anything else; true and false are no numbers.
    """
    number = math.nan
    # Python's own strip takes control characters off, too.
    if isinstance(value, str) and NUMBER.fullmatch(value.strip(" \t\r\n")):
        number = float(value)
        if math.isinf(number):
            raise DataError(f"{where} is {shown(value)}, too large for a number")
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > LARGEST:
            raise DataError(f"{where} is {shown(value)}, too large: at most 2^53")
        number = float(value)
    elif isinstance(value, float):
        number = value
    if not math.isfinite(number):
        raise DataError(f"{where} is {shown(value)}, not a number")
    return number


def as_whole(value: object, where: str) -> int:
    """A whole number, of an int, a float without a fraction, or a text that is plainly one.

    Raises:
        DataError: when it is anything else.
    """
    number = as_number(value, where)
    if number != int(number):
        raise DataError(f"{where} is {shown(value)}, not a whole number")
    if abs(number) > LARGEST:
        raise DataError(f"{where} is {shown(value)}, too large: at most 2^53")
    return int(number)


def as_id(value: object, where: str) -> int:
    """A number that things are told apart by; "007" is none, as it could be another than 7.

    Raises:
        DataError: when it is no whole number, or a text that writes one in another way.
    """
    number = as_whole(value, where)
    if isinstance(value, str) and value.strip() != str(number):
        raise DataError(f"{where} is {shown(value)}, not a whole number")
    return number


def check_upright(rotation: object, where: str) -> None:
    """Refuse a box that CVAT has turned: in VOC's and COCO's files it gives the box before that.

    Args:
        rotation: CVAT's attribute of that name, in degrees; what is no number is somebody's own.
        where: the box, for the message.

    Raises:
        DataError: when it is turned.
    """
    try:
        degrees = as_number(rotation, where) % 360
    except DataError:
        return
    if degrees:
        raise DataError(
            f"{where}: its attribute rotation says that the box was turned by {degrees:g} degrees, "
            f"and the corners are those before: export as 'CVAT for images', or turn it back"
        )


def as_flag(value: object, where: str) -> bool:
    """0 or 1, as a number, a truth value or a text.

    Raises:
        DataError: when it is anything else: null and NaN, which a table has where nobody said,
            would count as true in one program and as false in the next.
    """
    number = value if isinstance(value, bool) else as_number(value, where)
    if number not in (0, 1):
        raise DataError(f"{where} is {shown(value)}, not 0 or 1")
    return bool(number)


def as_text(value: object, where: str) -> str:
    """A text of printable characters that is not empty, without space around it.

    Raises:
        DataError: when it is no text, empty, or holds what neither a file's name nor an XML file
            can.
    """
    if not isinstance(value, str):
        raise DataError(f"{where} is {shown(value)}, not a text")
    text = value.strip()
    if not text:
        raise DataError(f"{where} is empty")
    strange = next((letter for letter in text if _is_strange(letter)), None)
    if strange is not None:
        raise DataError(f"{where} holds the character U+{ord(strange):04X}: {shown(value)}")
    return text


def as_class(value: object, where: str) -> str:
    """The name of a class, with single spaces; a whole number may be one.

    Raises:
        DataError: as `as_text`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return " ".join(as_text(value, where).split())


def _is_strange(letter: str) -> bool:
    # Cc: controls; Cs: halves of a character; the last two are no characters.
    kind = unicodedata.category(letter)
    return (kind == "Cc" and not letter.isspace()) or kind == "Cs" or letter in "\ufffe\uffff"


def alike(name: str) -> str:
    """What is left of a class's name without case, spaces, hyphens and invisible characters.

    Names that have this in common are most often one class that somebody wrote in two ways.
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in plain if unicodedata.category(c) not in ("Cf", "Zs", "Pd", "Pc"))


def written_alike(names: Iterable[str]) -> list[list[str]]:
    """Groups of two names or more that are `alike`, each sorted."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(alike(name), set()).add(name)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark, which is taken off.

    Raises:
        DataError: when the file is missing, a folder, or in another encoding; the line is named.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path}: no file that can be read ({error.strerror})") from error
    found = (name for mark, name in BYTE_ORDER_MARKS if content.startswith(mark))
    encoding = next(found, "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        reason = f"no text in {encoding.upper().removesuffix('-SIG')}"
        raise DataError(f"{path}:{line}: {reason}: save the file as UTF-8") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path}:{line}: holds zero bytes: save the file as text in UTF-8")
    return text


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        DataError: when the file is missing or no JSON, or an object says one thing twice, and
            differently.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=_object)
    except DataError as error:
        raise error if str(path) in str(error) else DataError(f"{path}: {error}") from error
    except RecursionError as error:
        raise DataError(f"{path}: no JSON that can be read (it is nested too deeply)") from error
    except ValueError as error:
        raise DataError(f"{path}: no JSON ({error})") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        for key, value in pairs:
            if shown(made[key]) != shown(value):
                raise DataError(
                    f"says {shown(key)} twice: {shown(value)} and then {shown(made[key])}"
                )
    return made
