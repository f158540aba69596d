"""The training benchmark measures what it says, at the smallest size."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from bana.files.paths import repo_root

SCRIPT = repo_root() / "benchmarks" / "training.py"


def test_quick_run_writes_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    out = tmp_path / "training.json"
    words = ["--quick", "--stage", "segmentation", "--accumulate", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    record = json.loads(out.read_text(encoding="utf-8"))
    assert "classifier" not in record
    measured = record["segmentation"]
    rates = measured["loader_crops_per_second_by_workers"]
    assert set(rates) == {"0"}
    for rate in (*rates.values(), measured["network_alone"]["crops_per_second"]):
        assert rate > 0
    assert measured["together"]["workers"] == 0
    assert "minutes_in_full" not in record
    shares = [row["percent"] for row in measured["costliest_operations"]]
    assert shares == sorted(shares, reverse=True) and 50 < sum(shares) <= 100.5
    assert any("conv" in row["operation"] for row in measured["costliest_operations"][:3])


def test_rate_leaves_the_warm_up_out() -> None:
    script = runpy.run_path(str(SCRIPT))
    case = script["Case"](
        script["get_profile"]("smoke"), "classifier", Path(), script["Machine"](), 2, 3
    )
    # Two slow steps, then three of half a second with two crops each.
    assert script["per_second"](case, [0.0, 10.0, 20.0, 20.5, 21.0, 21.5]) == 4
