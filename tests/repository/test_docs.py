"""Documents follow the code and the records: the ledger of divergences, and what things cost."""

import copy
import re
from pkgutil import resolve_name

import pytest
from load_tool import load_tool

from bana.files.paths import repo_root

LEDGER = (repo_root() / "docs" / "divergences.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in LEDGER.splitlines()
    if line.startswith("|") and not line.startswith(("| what", "| ---"))
]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(bana\.[\w.]+)`", LEDGER))))
def test_what_the_ledger_names_exists(name: str) -> None:
    resolve_name(name)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|results)/[\w./]*)`", LEDGER))))
def test_files_of_the_ledger_exist(path: str) -> None:
    assert (repo_root() / path).exists()


def test_every_row_is_whole() -> None:
    assert len(ROWS) > 40
    for row in ROWS:
        assert len(row) == 6 and all(row), row


def test_costs_are_what_the_records_say() -> None:
    tool = load_tool("scaling")
    text = tool.DOCUMENT.read_text(encoding="utf-8")
    assert text == tool.written(text, tool.read_records()), "run `python tools/scaling.py`"


def test_plan_follows_the_records() -> None:
    tool = load_tool("scaling")
    records = tool.read_records()
    slower = copy.deepcopy(records)
    slower["labelling"]["2 processes of 1 thread"]["images_a_second"] /= 2
    (before, after) = (
        [line.split("|")[4].strip() for line in tool.plan(r).splitlines()[2:5]]
        for r in (records, slower)
    )
    for one, other in zip(before, after, strict=True):
        hours, twice = (float(text.replace(",", "")) for text in (one, other))
        assert twice == pytest.approx(2 * hours, abs=0.11)
