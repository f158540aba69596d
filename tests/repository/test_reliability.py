"""What docs/reliability.md promises is held by tests that exist and records that say so."""

import ast
import json
import re

import pytest

from bana.files.paths import repo_root

REPO = repo_root()
TEXT = (REPO / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith(("| promise", "| ---"))
]
RECORD = json.loads((REPO / "results" / "faults.json").read_text(encoding="utf-8"))
TABLES = ("moments", "steps", "disks", "writes", "two", "network")


def functions_in(path: str) -> set[str]:
    tree = ast.parse((REPO / path).read_bytes())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_every_promise_is_held(row: list[str]) -> None:
    promise, held_by = row
    named = re.findall(r"`([^`]+)`", held_by)
    assert promise.endswith(".") and named, "a promise names what holds it"
    for name in named:
        path, _, test = name.partition("::")
        assert (REPO / path).is_file(), path
        assert not test or test in functions_in(path), name


def test_there_are_promises_and_what_is_none() -> None:
    assert len(ROWS) > 15
    assert "## What is not promised" in TEXT


@pytest.mark.parametrize("job", RECORD["jobs"])
def test_the_record_has_no_loss(job: str) -> None:
    row = RECORD["jobs"][job]
    assert set(row) == set(TABLES)
    assert {table: row[table]["losses"] for table in TABLES} == {table: [] for table in TABLES}
    assert row["moments"]["kills"] >= 50 and row["steps"]["kills"] >= 20
    assert row["writes"]["steps"] == row["steps"]["steps"], "every thing that it does to files"
    assert min(row["writes"]["full"], row["writes"]["closed"]) > 0.5 * row["writes"]["steps"]
    assert sum(row["moments"]["kills_by_fifths_of_the_files"]) == row["moments"]["kills"]


def test_the_page_says_which_commands_the_record_is_of() -> None:
    told = re.search(r"It holds: (.+?)\. They were", TEXT, re.S)
    assert told and " ".join(told[1].split()).split("; ") == list(RECORD["jobs"])


def test_numbers_of_the_page_are_the_records() -> None:
    jobs = RECORD["jobs"].values()
    kills = sum(row["moments"]["kills"] + row["steps"]["kills"] for row in jobs)
    disks = sum(row["disks"]["pages"] + row["disks"]["files"] for row in jobs)
    twice = sum(row["two"]["times"] for row in jobs)
    writes = [sum(row["writes"][kind] for row in jobs) for kind in ("steps", "full", "closed")]
    told = re.search(
        r"killed ([\d,]+) times.*?full ([\d,]+) times.*?each of the ([\d,]+) things.*?"
        r"in ([\d,]+) cases and in ([\d,]+) the.*?twice at once ([\d,]+) times",
        TEXT,
        re.S,
    )
    assert told, "the page says how many"
    numbers = [int(number.replace(",", "")) for number in told.groups()]
    assert numbers == [kills, disks, *writes, twice]
