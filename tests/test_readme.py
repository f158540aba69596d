"""The README's results are what tools/readme.py writes from the records."""

import copy
import importlib.util

from bana.paths import repo_root


def _tool():
    path = repo_root() / "tools" / "readme.py"
    spec = importlib.util.spec_from_file_location("readme_tool", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _record(bap: float, nal: float) -> dict:
    labels = {"boxes": 50, "grabcut": 55, "gap": 60, "bap-no-u0": 62, "bap-ret": 58}
    labels |= {"agreement-dropped": 75, "agreement-wrong": 57, "bap": bap}
    networks = {"crf": 50, "ret": 45, "ignore": 52, "nal": nal}
    modes = ("single", "single-crf")
    return {
        "labels_val": {row: {"miou": score, "coverage": 100.0} for row, score in labels.items()},
        "segmentation_val": {k: {m: {"miou": v} for m in modes} for k, v in networks.items()},
        "data": {"images": {"train": 8, "val": 2}, "classes": ["background", "cat"]},
        "profile": {
            "backbone": "lite0",
            "seed": 0,
            "classifier": {"iterations": 3},
            "segmentation": {"iterations": 4},
        },
        "seconds": {"classifier-bap": 120.0},
        "environment": {"cores": 2},
        "commit": "abc1234",
    }


def test_readme_is_what_the_records_say():
    tool = _tool()
    readme = tool.README.read_text(encoding="utf-8")
    assert readme == tool.with_section(readme, tool.section(tool.read_records())), (
        "run `python tools/readme.py`"
    )


def test_orderings_follow_the_scores():
    tool = _tool()
    good = tool.section({"sample": _record(bap=65.0, nal=53.0)})
    assert "Did not" not in good
    assert "BAP, Y_crf over GAP, Y_crf (+5.0)" in good
    bad = tool.section({"sample": _record(bap=59.0, nal=51.5)})
    failed = bad.split("Did not: ")[1]
    assert "BAP, Y_crf over GAP, Y_crf (-1.0)" in failed
    assert "noise-aware loss over cross-entropy where both agree, the rest ignored (-0.5)" in failed
    assert "noise-aware loss over cross-entropy on Y_crf (+1.5)" not in failed


def test_writing_twice_changes_nothing():
    tool = _tool()
    records = {"sample": _record(65.0, 53.0)}
    once = tool.with_section(f"a\n{tool.BEGIN}\nold\n{tool.END}\nb\n", tool.section(records))
    assert tool.with_section(once, tool.section(copy.deepcopy(records))) == once
    assert once.startswith("a\n") and once.endswith("\nb\n")
