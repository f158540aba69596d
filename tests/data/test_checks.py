"""Values of files: certain ones are read, all others are refused in one line that names them."""

import math
import re

import pytest

from bana.data import checks
from bana.data.checks import DataError


@pytest.mark.parametrize(
    ("value", "expected"),
    [(80, 80), (80.0, 80), ("80", 80), (" 80.5 ", 80.5), ("-.5", -0.5), ("1e2", 100), (-0.0, 0)],
    ids=str,
)
def test_numbers_that_are_certain(value, expected):
    assert checks.as_number(value, "here") == expected


NO_NUMBERS = [
    "0\x1f",
    None,
    math.nan,
    math.inf,
    -math.inf,
    True,
    False,
    "",
    "abc",
    "nan",
    "inf",
    "Infinity",
]
# float() takes these four for 10, 12, 16 and a number of Arabic digits.
NO_NUMBERS += ["1_0", "1 2", "0x10", "\u0661\u0662", "1,5", "1e400", 10**400, [], {}, [80]]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:12])
def test_everything_else_is_no_number(value):
    for read in (checks.as_number, checks.as_whole, checks.as_id):
        with pytest.raises(DataError, match="^here is ") as caught:
            read(value, "here")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (2**53 + 1, "too large: at most 2^53"),
        (-(10**400), "too large: at most 2^53"),
        ("1e999", "too large for a number"),
    ],
    ids=("int", "long", "text"),
)
def test_numbers_that_are_too_large_are_told_as_such(value, told):
    with pytest.raises(DataError, match=f"^here is .*, {re.escape(told)}$"):
        checks.as_number(value, "here")
    with pytest.raises(DataError, match=r"^here is 1\.15\S+, too large: at most 2\^53$"):
        checks.as_whole(2.0**60, "here")


def test_counts_have_their_nouns():
    made = [checks.counted(number, "box", "boxes") for number in (0, 1, 2)]
    assert made == ["0 boxes", "1 box", "2 boxes"] and checks.counted(2, "crowd") == "2 crowds"


def test_whole_numbers_are_never_rounded():
    assert checks.as_whole(7.0, "here") == checks.as_whole("7", "here") == 7
    assert type(checks.as_whole(7.0, "here")) is int
    for value in (7.5, "7.5", 0.1, 2.0**60):
        with pytest.raises(DataError):
            checks.as_whole(value, "here")


def test_an_id_in_another_spelling_could_be_another_id():
    assert checks.as_id("7", "here") == checks.as_id(7.0, "here") == 7
    for value in ("007", "7.0", "+7"):
        with pytest.raises(DataError, match="not a whole number"):
            checks.as_id(value, "here")


def test_flags():
    for value in (0, 0.0, "0", False):
        assert checks.as_flag(value, "here") is False
    for value in (1, 1.0, "1", True):
        assert checks.as_flag(value, "here") is True
    for value in (2, -1, 0.5, "false", "true", "no", "", None, math.nan):
        with pytest.raises(DataError, match="^here is "):
            checks.as_flag(value, "here")


def test_texts():
    assert checks.as_text(" K\u00e4fer 1.jpg ", "here") == "K\u00e4fer 1.jpg"
    for value in (None, 12, 1.5, True, [], "", "  ", "a\0b", "a\x07", "\ud800", "\uffff"):
        with pytest.raises(DataError, match="^here "):
            checks.as_text(value, "here")
    assert checks.as_class("traffic \n light", "here") == "traffic light"
    assert checks.as_class(5, "here") == "5"
    for value in (5.0, True, None, math.nan, ""):
        with pytest.raises(DataError):
            checks.as_class(value, "here")


@pytest.mark.parametrize(
    "other", ["CAT  walk", "Cat-Walk", "cat_walk", "cat\u200bwalk", "ｃat walk"]
)
def test_names_that_are_alike(other):
    assert checks.alike(other) == checks.alike("cat walk")
    assert checks.alike("cat walks") != checks.alike("cat walk")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_texts_with_and_without_a_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "list.txt"
    path.write_bytes("K\u00e4fer\nb\n".encode(encoding))
    assert checks.read_text(path) == "K\u00e4fer\nb\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a\nb\n\xe4\n", r"list\.txt:3: no text in UTF-8: save"),
        ("a\nb".encode("utf-16-le"), r"list\.txt:1: holds zero bytes"),
        (b"\xff\xfea", r"list\.txt:1: no text in UTF-16"),
        (b"a\n\x00\x05\x16\x07", r"list\.txt:2: holds zero bytes"),
    ],
    ids=["latin-1", "utf-16 without mark", "half a character", "macos"],
)
def test_no_texts(tmp_path, content, reason):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        checks.read_text(path)


def test_missing_texts(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        checks.read_text(tmp_path / "list.txt")
    with pytest.raises(DataError, match="no file that can be read"):
        checks.read_text(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("{'a': 1}", "no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("1" * 5000, "no JSON"),
        ('[{"bbox": [1, 2], "bbox": [1, 3]}]', r'says "bbox" twice: \[1, 2\] and then \[1, 3\]'),
        ('{"a": 1, "a": true}', 'says "a" twice: 1 and then true'),
    ],
    ids=["empty", "quotes", "deep", "long", "twice", "types"],
)
def test_no_json(tmp_path, text, reason):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"^{path}: .*{reason}"):
        checks.read_json(path)


def test_json_that_says_the_same_twice(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('{"a": [1], "a": [1]}'.encode("utf-16"))
    assert checks.read_json(path) == {"a": [1]}


def test_all_problems_are_told_and_many_are_counted():
    checks.refuse([], "boxes.csv")
    with pytest.raises(DataError, match=r"^boxes\.csv:2: wrong$"):
        checks.refuse(["boxes.csv:2: wrong"], "boxes.csv")
    problems: list[str] = []
    for number in range(30):
        with checks.noted(problems):
            raise DataError(f"line {number}")
    with pytest.raises(DataError) as caught:
        checks.refuse(problems, "boxes.csv")
    lines = str(caught.value).splitlines()
    assert lines[0] == "boxes.csv: 30 things are wrong:" and lines[-1] == "  and 10 more"
    assert len(lines) == 22 and lines[1] == "  line 0"


def test_lists_in_messages():
    assert checks.listed(["a", "b"]) == "a, b"
    assert checks.listed(range(7)) == "0, 1, 2, 3, 4 and 2 more"
    assert len(checks.shown("x" * 1000)) == 60 and checks.shown({1j}) == "<class 'set'>"
