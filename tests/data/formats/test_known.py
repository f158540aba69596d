"""The formats by name: the commands offer what is read, and no convention is passed over."""

import subprocess
import sys

import pytest

from bana.commands import data, masks
from bana.data.formats import common
from bana.data.formats.known import CONVENTIONS, ENDINGS, FORMATS, check_format
from bana.data.voc_files import DataError


def test_one_list_is_everybodys() -> None:
    assert masks.FORMATS is data.FORMATS is FORMATS
    assert masks.CONVENTIONS is data.CONVENTIONS is CONVENTIONS
    assert common.ENDINGS is ENDINGS


@pytest.mark.parametrize("kind", FORMATS)
def test_a_convention_is_of_formats_that_leave_it_open(kind: str) -> None:
    check_format(kind, None)
    for convention in CONVENTIONS:
        if kind in ("voc", "csv"):
            check_format(kind, convention)
        else:
            with pytest.raises(DataError, match=f"{kind} have one convention: leave --conv"):
                check_format(kind, convention)


def test_what_is_not_known_is_refused() -> None:
    for kind, convention in (("xml", None), ("csv", "coco")):
        with pytest.raises(ValueError, match=f"no boxes of format '{kind}' and convention "):
            check_format(kind, convention)


def test_it_is_light() -> None:
    code = "import sys, bana.data.formats.known; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
