"""After a run, numbers of sentences are written anew; what they compare is left to their author."""

import pytest
from load_tool import load_tool
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bana.course.claims import MEASURED, check_claims

TEXT = """**What happened here.** BAP has 81.5 % and GAP
79.25 %: a gain of +2.2
points [+1.0, +3.0], .41 of it on 1,280 images, and BAP is higher."""
CLAIMS = {
    "81.5 % and GAP 79.25 %": "bap, gap",
    "+2.2 points [+1.0, +3.0]": "bap - gap, low, high",
    ".41": "share",
    "1,280": "images",
    "BAP is higher": "bap > gap",
}


def notebook(**measured: float):
    output = new_output("display_data", data={MEASURED: measured})
    text = new_markdown_cell(TEXT, metadata={"claims": dict(CLAIMS)})
    return new_notebook(cells=[new_code_cell("", outputs=[output]), text])


def test_numbers_are_those_of_the_run_in_the_manner_of_the_text() -> None:
    tool = load_tool("claims")
    made = notebook(bap=70.04, gap=64.996, low=-0.34, high=9.96, share=0.5, images=2000)
    assert tool.restate(made)
    assert made.cells[1].source == (
        "**What happened here.** BAP has 70.0 % and GAP\n65.00 %: a gain of +5.0\n"
        "points [-0.3, +10.0], .50 of it on 2,000 images, and BAP is higher."
    )
    assert list(made.cells[1].metadata["claims"].values()) == list(CLAIMS.values())
    assert check_claims(made) == []
    assert not tool.restate(made)


def test_numbers_that_change_places_are_not_mixed_up() -> None:
    output = new_output("display_data", data={MEASURED: {"a": 81.0, "b": 79.0}})
    text = "**What happened here.** Here 79 %, there 81 %."
    cell = new_markdown_cell(text, metadata={"claims": {"Here 79 %": "a", "81 %": "b"}})
    made = new_notebook(cells=[new_code_cell("", outputs=[output]), cell])
    load_tool("claims").restate(made)
    assert cell.source == "**What happened here.** Here 81 %, there 79 %."
    assert check_claims(made) == []


def test_a_comparison_that_is_false_now_stays_and_is_a_fault() -> None:
    made = notebook(bap=60.0, gap=65.0, low=-7.0, high=-3.0, share=0.5, images=2000)
    load_tool("claims").restate(made)
    assert "BAP is higher" in made.cells[1].source
    (fault,) = check_claims(made)
    assert "bap > gap is false" in fault


def test_what_cannot_be_judged_is_left_alone() -> None:
    made = notebook(bap=60.0)
    assert not load_tool("claims").restate(made)
    assert made.cells[1].source == TEXT


@pytest.mark.parametrize(
    ("printed", "value", "expected"),
    [
        ("+1.20", 2.345, "+2.35"),
        (".41", 0.5, ".50"),
        ("−.3", -0.26, "−.3"),
        ("-.3", 0.26, "+.3"),
        (".9", 1.04, "1.0"),
        ("1,280", 3000.4, "3,000"),
        ("12", 7.6, "8"),
    ],
)
def test_numbers_keep_their_manner(printed: str, value: float, expected: str) -> None:
    assert load_tool("claims").alike(printed, value) == expected
