"""Documents follow the code and the records: architecture, ledger of divergences, what it costs."""

import copy
import json
import re
from collections.abc import Iterator
from pkgutil import resolve_name
from types import ModuleType

import pytest
from load_tool import load_tool
from PIL import Image

from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import interval
from bana.files.artefacts import read_json
from bana.files.paths import repo_root

REPO = repo_root()
PAGES = ("docs/architecture.md", "docs/divergences.md", "CONTRIBUTING.md")
LEDGER = (REPO / "docs" / "divergences.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in LEDGER.split("## Data and augmentation")[1].splitlines()
    if line.startswith("|") and not line.startswith(("| what", "| ---"))
]


def quoted(pattern: str, *pages: str) -> list[str]:
    """What stands in backticks and fits a pattern, once each."""
    texts = [(REPO / page).read_text(encoding="utf-8") for page in pages]
    return sorted({found for text in texts for found in re.findall(f"`({pattern})`", text)})


@pytest.mark.parametrize("name", quoted(r"bana\.[\w.]+", *PAGES))
def test_what_the_pages_name_exists(name: str) -> None:
    resolve_name(name)


@pytest.mark.parametrize("path", quoted(r"(?:\w+/)+[\w.]*|\w+\.(?:md|toml)", *PAGES))
def test_files_of_the_pages_exist(path: str) -> None:
    assert (REPO / path).exists()


def test_modules_of_the_traps_exist() -> None:
    rows = LEDGER.split("| the authors' code |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(rows) > 15
    for row in rows:
        names = re.findall(r"`([\w.]+)`", row.split("|")[-2])
        assert names, row
        for name in names:
            assert isinstance(resolve_name(f"bana.{name}"), ModuleType)


def test_every_row_is_whole() -> None:
    assert len(ROWS) > 40
    for row in ROWS:
        assert len(row) == 6 and all(row), row


TRIPLE = re.compile(r"[+-]\d+\.\d \[[+-]\d+\.\d, [+-]\d+\.\d\]")


def differences(node: object) -> Iterator[Difference]:
    """All differences in a record, and each the other way round."""
    held = list(node.values()) if isinstance(node, dict) else node
    if isinstance(node, dict) and {*Difference._fields} <= node.keys() and node["low"] is not None:
        mean, low, high = (node[key] for key in Difference._fields)
        yield Difference(mean, low, high)
        yield Difference(-mean, -high, -low)
    for child in held if isinstance(held, list) else ():
        yield from differences(child)


@pytest.mark.parametrize("row", [row for row in ROWS if TRIPLE.search(row[-1])], ids=lambda r: r[0])
def test_differences_of_the_ledger_are_in_the_records_that_it_names(row: list[str]) -> None:
    named = re.findall(r"`(results/[\w*-]+\.json)`", row[-1])
    records = [read_json(path) for pattern in named for path in REPO.glob(pattern)]
    known = {interval(made) for record in records for made in differences(record)}
    told = TRIPLE.findall(row[-1])
    assert told and set(told) <= known, set(told) - known


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


def test_architecture_is_what_the_imports_are() -> None:
    tool = load_tool("architecture")
    found = tool.imports()
    text = tool.DOCUMENT.read_text(encoding="utf-8")
    assert text == tool.written(text, found), "run `python tools/architecture.py`"
    with Image.open(tool.FIGURE) as picture:
        assert picture.text[tool.SHOWN] == tool.table(found), "run `python tools/architecture.py`"
    assert tool.FIGURE.stat().st_size < 150_000


def test_arrows_of_the_picture_are_the_imports_and_point_down() -> None:
    tool = load_tool("architecture")
    found = tool.imports()
    arrows = tool.arrows(found)
    assert {(a.source, a.target) for a in arrows} == {(a, b) for a in found for b in found[a]}
    for arrow in arrows:
        assert arrow.top > arrow.bottom and len(arrow.xs) == arrow.top - arrow.bottom + 1
        for number in range(arrow.bottom + 1, arrow.top):
            x = arrow.xs[arrow.top - number]
            boxes = [tool.BOXES[name] for name in tool.floors()[number]]
            assert not any(left <= x <= right for left, right, _ in boxes), "through a box"


def test_an_import_is_needless_where_another_brings_it() -> None:
    tool = load_tool("architecture")
    found = {"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert tool.needless(found) == {("a", "d")}


def test_what_training_on_ones_own_boxes_brought_is_what_the_record_says() -> None:
    text = (REPO / "docs" / "masks.md").read_text(encoding="utf-8")
    starts = {"classes never seen": "-unseen", "classes seen, other names": ""}
    for start, name in starts.items():
        record = read_json(REPO / "results" / f"masks-train{name}.json")
        for some, part in (("held out", "held_out"), ("of validation", "of_val")):
            scored = record["parts"][part]
            gained = [scored["trained_less_before"][k] for k in Difference._fields]
            before, after = (scored["miou"][kind] for kind in ("before", "trained"))
            row = f"| {start} | {scored['photographs']} {some} | {before:.1f} | {after:.1f} | "
            assert f"{row}{interval(Difference(*gained))} |" in text, row
    unseen = read_json(REPO / "results" / "masks-train-unseen.json")
    report, agree = unseen["report"], unseen["parts"]["held_out"]["agreement"]
    own, found = report["named_by_own"]["after"], report["measures"]["found"]["gain"]
    named = report["measures"]["named"]
    boxes = named["boxes"]
    after, before = (round(named[when]["value"] * boxes / 100) for when in ("after", "before"))
    for told in (
        f"names {own['value']:.0f} % [{own['low']:.0f}, {own['high']:.0f}] of the boxes held out",
        f"*found* rose by {found['mean']:.0f} points [{found['low']:.0f}, {found['high']:.0f}]",
        f"fell from {agree['before']:.1f} to {agree['trained']:.1f}",
        f"of {boxes} such boxes it named {after} rightly, the one that it began with {before}.",
    ):
        assert told in " ".join(text.split()), told
    orders = json.loads((REPO / "results" / "mask-free-voc-mini.json").read_text("utf-8"))["order"]
    found, agreement = orders["found"], orders["agreement"]
    told = "mIoU tells {told_apart_by_miou} apart; *found* puts {same_order} of them"
    assert told.format(**found) in " ".join(text.split())
    counts = [agreement[key] for key in ("same_order", "other_order", "not_told_apart")]
    assert "*agreement* {}, {} and {}".format(*counts) in text


def test_other_trainings_that_notebook_00_quotes_are_in_the_record() -> None:
    seeds = read_json(REPO / "results" / "voc-mini.json")["by_seed"].values()
    scores = [seed["labels_val"]["bap"] for seed in seeds]
    notebook = read_json(REPO / "notebooks" / "00_idea_and_setup.ipynb")
    text = " ".join(" ".join("".join(cell["source"]) for cell in notebook["cells"]).split())
    assert len(scores) == 3
    assert f"three others of the same profile scored {min(scores):.1f} to {max(scores):.1f}" in text
