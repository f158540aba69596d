"""Numbers of docs/masks.md are those of results/masks.json."""

import json
import re

import pytest

from bana.files.paths import repo_root

REPO = repo_root()
PATH = REPO / "results" / "masks.json"
if not PATH.is_file():
    pytest.skip("results/masks.json: not measured yet", allow_module_level=True)
TEXT = " ".join((REPO / "docs" / "masks.md").read_text(encoding="utf-8").split())
RECORD = json.loads(PATH.read_text(encoding="utf-8"))


def told(pattern: str) -> list[float]:
    """The numbers that a sentence of the page holds."""
    found = re.search(pattern, TEXT)
    assert found, f"the page has no sentence like {pattern!r}"
    return [float(number.replace(",", "")) for number in found.groups()]


def test_what_the_order_is_worth() -> None:
    curve = RECORD["review"]["val"]
    (point,) = (each for each in curve["points"] if each["looked_at"] == 20)
    caught = point["caught"]
    pattern = (
        r"On the (\d+) photographs .*? catches (\d+) % \[(\d+), (\d+)\] .*? best possible (\d+)"
    )
    expected = [curve["photographs"], caught["value"], caught["low"], caught["high"], point["best"]]
    assert told(pattern) == [round(number) for number in expected]


def test_memory_is_flat_and_as_the_page_says() -> None:
    row = RECORD["folder"]
    first, last = (row[f"{tenth}_tenth_mb"]["median"] for tenth in ("first", "last"))
    assert abs(last / first - 1) < 0.1, "the last tenth takes what the first one takes"
    pattern = (
        r"Over (\d+) photographs, (\d+) processes .*? ([\d,]+) MB .*? first tenth .*? ([\d,]+) MB"
    )
    assert told(pattern) == [row["photographs"], row["workers"], first, last]


def test_large_inputs_are_bounded() -> None:
    rows = {(row["command"], *list(row.values())[1:5]): row for row in RECORD["large"]["rows"]}
    for (command, width, height, boxes, _), row in rows.items():
        if boxes == 5000:
            few = min(
                (each for key, each in rows.items() if key[:3] == (command, width, height)),
                key=lambda each: each["boxes"],
            )
            assert row["peak_memory_mb"] < 1.5 * few["peak_memory_mb"], "boxes take no masks each"
