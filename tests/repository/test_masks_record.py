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
    other = RECORD["review"]["train"]
    (point,) = (each for each in other["points"] if each["looked_at"] == 20)
    pattern = r"on (\d+) photographs that had no part .*? catches (\d+) % \[(\d+), (\d+)\]"
    caught = [point["caught"][key] for key in ("value", "low", "high")]
    assert told(pattern) == [other["photographs"], *map(round, caught)]


def test_memory_levels_off_and_is_as_the_page_says() -> None:
    row = RECORD["folder"]
    tenths = row["median_mb_by_tenth"]
    first, sixth, last = tenths[0], tenths[5], tenths[-1]
    assert len(tenths) == 10 and last - sixth < (sixth - first) / 2
    pattern = (
        r"Over ([\d,]+) photographs of VOC, (\d+) processes .*? ([\d,]+) MB in the first tenth, "
        r"([\d,]+) MB in the sixth and ([\d,]+) MB .*? made ([\d.]+) photographs a second"
    )
    rate = round(row["images_a_second"], 1)
    assert told(pattern) == [row["photographs"], row["workers"], first, sixth, last, rate]


def test_large_inputs_cost_what_the_page_says() -> None:
    for row in RECORD["large"]["rows"]:
        size = f"{row['width']:,} x {row['height']:,}"
        cells = f"| {size} | {row['boxes']:,} | {row['classes']} |"
        found = re.search(rf"{re.escape(cells)} ([^|]*) \| ([^|]*) \|", TEXT)
        assert found, f"the page has no row {cells}"
        cost = f"{row['seconds']:.0f}, {row['peak_memory_mb']:,}"
        assert found[1 + (row["command"] == "label")] == cost
