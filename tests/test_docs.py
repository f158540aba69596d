"""The ledger of divergences names things that exist, and every row says whether it was measured."""

import importlib
import re

import pytest

from bana.paths import repo_root

LEDGER = (repo_root() / "docs" / "divergences.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in LEDGER.splitlines()
    if line.startswith("|") and not line.startswith(("| what", "| ---"))
]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(bana\.[\w.]+)`", LEDGER))))
def test_what_the_ledger_names_exists(name: str) -> None:
    parts = name.split(".")
    module = importlib.import_module(".".join(parts[:2]))
    for attribute in parts[2:]:
        module = getattr(module, attribute)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|results)/[\w./]*)`", LEDGER))))
def test_files_of_the_ledger_exist(path: str) -> None:
    assert (repo_root() / path).exists()


def test_every_row_is_whole() -> None:
    assert len(ROWS) > 40
    for row in ROWS:
        assert len(row) == 6 and all(row), row
