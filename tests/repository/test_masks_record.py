"""Numbers of docs/masks.md are those of results/masks.json."""

import json
import re

from bana.files.paths import repo_root

REPO = repo_root()
TEXT = " ".join((REPO / "docs" / "masks.md").read_text(encoding="utf-8").split())
RECORD = json.loads((REPO / "results" / "masks.json").read_text(encoding="utf-8"))


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
    pattern = r"Over (\d+) photographs of VOC, (\d+) processes .*? ([\d,]+) MB .*? ([\d,]+) MB at"
    assert told(pattern) == [row["photographs"], row["workers"], first, last]
