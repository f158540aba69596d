"""XML files that others wrote: read without anything that is not in the file itself.

A file that declares entities is refused before it is read: a few of them, each made of ten of the
one before, fill any memory, and others name files and addresses elsewhere. No tool writes boxes
with them.
"""

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from bana.data.checks import DataError

CHUNK = 1 << 16


class _Begun(Exception):
    """The first element was reached: nothing can be declared any more."""


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file.

    Raises:
        DataError: if the file is missing, no XML, or declares entities.
    """
    first_tag(path)
    try:
        return ElementTree.parse(path).getroot()
    # An encoding that the parser does not know is a LookupError or a ValueError.
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{path}: not well-formed XML ({error})") from error


def first_tag(path: Path) -> str:
    """The name of the first element of an XML file, which is read up to there.

    Raises:
        DataError: as `read_xml`.
    """

    def entity(name: str, *about: object) -> None:
        raise DataError(
            f"{path}: declares the entity {name!r}, which can stand for anything and which boxes "
            f"need not: remove the declaration"
        )

    def element(name: str, attributes: object) -> None:
        raise _Begun(name)

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = entity
    parser.StartElementHandler = element
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                parser.Parse(chunk)
        parser.Parse(b"", True)
    except _Begun as begun:
        return str(begun)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except DataError:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise DataError(f"{path}: not well-formed XML ({error})") from error
    raise DataError(f"{path}: not well-formed XML (no element)")
