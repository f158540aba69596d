"""Conclusions and what they rest on: every kind of fault is told, and what is sound is not."""

import math
import subprocess
import sys

import nbconvert
import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bana.course import claims, notebook_io
from bana.course.claims import MEASURED, OPENING, ClaimError, check_claims, evaluate, note
from bana.evaluation.intervals import Difference

NUMBERS = {"bap": 85.512, "gap": 82.94, "d": -0.64, "d_low": -1.5, "d_high": 0.2, "empty": None}


def measured(**values):
    output = new_output("display_data", {MEASURED: values, "text/html": ""})
    return new_code_cell("note()", outputs=[output])


def concluded(text, rests_on):
    cell = new_markdown_cell(f"{OPENING} {text}")
    cell.metadata.claims = rests_on
    return cell


def faults(text, rests_on, numbers=NUMBERS):
    return check_claims(new_notebook(cells=[measured(**numbers), concluded(text, rests_on)]))


@pytest.mark.parametrize(
    ("text", "rests_on"),
    [
        ("BAP scores 85.5 %.", {"85.5": "bap"}),
        ("BAP scores 86 %.", {"86 %": "bap"}),
        ("A share of .855.", {".855": "bap / 100"}),
        ("BAP scores 85.5 %, GAP 82.9 %.", {"85.5 %, GAP 82.9": "bap, gap"}),
        ("It is 2.6 points.", {"2.6 points": "bap - gap"}),
        ("The difference is -0.6 [-1.5, +0.2].", {"-0.6 [-1.5, +0.2]": "d, d_low, d_high"}),
        ("The difference is −0.6.", {"−0.6": "d"}),
        ("There were 1,280 of them.", {"1,280": "round(bap * 0 + 1280)"}),
        ("BAP is higher than GAP.", {"BAP is higher": "bap > gap"}),
        ("The two are not told apart.", {"not told apart": "d_low <= 0 <= d_high"}),
        ("It is below 90 % and no better.", {"below 90 %": "bap < 90", "no better": "not d > 0"}),
        ("Both are\nmore than 80 %.", {"are more than 80 %": "bap > 80 and gap > 80"}),
        ("See Eq. 7, Eq. 10-14, notebooks 02 to 04, Table 1, seed 0: 86 %.", {"86 %": "bap"}),
        (r"With $N = 4$ and $\gamma = 7$ the map $u_0$ of val_0032 has 86 %.", {"86 %": "bap"}),
        ("The weight $1 - A$ with $\\lambda = 0.1$ has 86 %.", {"86 %": "bap"}),
        ("All of them.", {"All of them": "min(bap, gap) > abs(d)"}),
    ],
)
def test_what_holds_is_not_complained_about(text, rests_on):
    assert faults(text, rests_on) == []


@pytest.mark.parametrize(
    ("text", "rests_on", "complaint"),
    [
        ("BAP scores 85.6 %.", {"85.6": "bap"}, "85.6 is printed, 85.512 was measured"),
        ("BAP scores 85 %.", {"85 %": "bap"}, "85 is printed, 85.51 was measured"),
        ("It is 0.6 points.", {"0.6": "d"}, "0.6 is printed, -0.640 was measured"),
        ("BAP is lower.", {"BAP is lower": "bap < gap"}, "bap < gap is false"),
        ("Not told apart.", {"Not told apart": "d_low > 0"}, "d_low > 0 is false"),
        ("It is below 90 %.", {"below 90 %": "bap < 95"}, "does not compare with 90"),
        ("BAP scores 85.5 %.", {"85.5": "top"}, "'top' was not noted above"),
        ("It is 85.5.", {"85.5": "empty"}, "'empty' was noted as no number"),
        ("It is 85.5 and 3.", {"85.5": "bap"}, "the number 3 rests on no claim"),
        ("85.5 against 82.9", {"85.5 against 82.9": "bap"}, "has 1 values for 2 numbers"),
        ("In $85.5$ of 100.", {"of": "bap > 1"}, "the number 85.5 rests on no claim"),
        ("In $85$ of $B$.", {"of": "bap > 1"}, "the number 85 rests on no claim"),
        ("$A$ is 85.5 of $B$.", {"of": "bap > 1"}, "the number 85.5 rests on no claim"),
        ("Far away, 85.5.", {"85.5": "bap", "near": "bap > 1"}, "'near' is not in the text"),
        ("85.5, 85.5", {"85.5": "bap"}, "'85.5' is 2 times in the text"),
        ("BAP: 86, higher.", {"86": "bap"}, "the word 'higher' rests on no comparison"),
        (
            "2.6 points higher",
            {"2.6 points higher": "bap - gap"},
            "'higher' rests on no comparison",
        ),
        ("Most of it.", {"it": "bap > gap"}, "the word 'Most' rests on no comparison"),
        ("As in the paper.", {"A": "bap > gap"}, "'As in the paper' rests on no comparison"),
        ("It wins.", {"It wins": "2 > 1"}, "names nothing that was measured"),
        ("It wins.", {"It wins": "bap"}, "has 1 values for 0 numbers"),
        ("It wins.", {"It wins": "bap >"}, "cannot be read"),
        ("It wins.", {"It wins": "bap / (gap - gap) > 1"}, "divides by zero"),
        ("It wins.", {"It wins": "bap.real > 1"}, "bap.real is no part of the language"),
        ("It wins.", {"It wins": "bap ** 2 > 1"}, "is no part of the language"),
        ("It wins.", {"It wins": "len('bap') < bap"}, "is no part of the language"),
        ("It wins.", {"It wins": "max(bap, key=gap) > 1"}, "is no part of the language"),
        ("It wins.", {}, "claims nothing"),
    ],
)
def test_every_kind_of_fault_is_told(text, rests_on, complaint):
    told = faults(text, rests_on)
    assert any(complaint in line for line in told), told
    assert all(line.startswith("cell [1]: ") for line in told)


def test_a_paragraph_without_metadata_claims_nothing():
    notebook = new_notebook(cells=[measured(a=1), new_markdown_cell(f"{OPENING} It wins.")])
    (told,) = check_claims(notebook)
    assert "claims nothing" in told


def test_claims_elsewhere_numbers_from_below_and_names_used_twice_are_faults():
    stray = concluded("A 1.", {"1": "a"})
    stray.source = "A 1."
    (told,) = check_claims(new_notebook(cells=[measured(a=1), stray]))
    assert "does not begin with" in told
    (told,) = check_claims(new_notebook(cells=[concluded("A 1.", {"1": "a"}), measured(a=1)]))
    assert "'a' was not noted above" in told
    (told,) = check_claims(new_notebook(cells=[measured(a=1), measured(a=2)]))
    assert told == "cell [1]: 'a' is noted for the second time"


def test_every_word_of_the_list_is_found():
    for word in claims.COMPARING:
        told = faults(f"It is {word} here: 86.", {"86": "bap"})
        assert any("rests on no comparison" in line for line in told), word


@pytest.mark.parametrize("expression", ["__import__('os')", "[bap]", "bap if gap else d", "'a'"])
def test_no_other_python_is_evaluated(expression):
    with pytest.raises(ClaimError):
        evaluate(expression, NUMBERS)


def kept(monkeypatch, **values):
    shown = []
    monkeypatch.setattr(claims, "display", lambda data, raw: shown.append((data, raw)))
    note(**values)
    ((data, raw),) = shown
    assert raw and data["text/html"] == ""
    return data[MEASURED]


def test_note_keeps_plain_numbers_in_full(monkeypatch):
    third = kept(monkeypatch, a=1 / 3, b=np.float32(0.5), c=torch.tensor(2), d=np.int64(7), e=True)
    assert third == {"a": 1 / 3, "b": 0.5, "c": 2, "d": 7, "e": 1}
    assert [type(value) for value in third.values()] == [float, float, int, int, int]
    spread = kept(monkeypatch, bap=Difference(1.0, -2.0, 3.0), none=math.nan)
    assert spread == {"bap": 1.0, "bap_low": -2.0, "bap_high": 3.0, "none": None}
    with pytest.raises(TypeError, match="word: a number is wanted, not str"):
        note(word="85.5")


@pytest.fixture(scope="module")
def executed():
    """A notebook with a note, run; the one test here that starts a kernel."""
    source = "from bana.course.claims import note\nnote(bap=85.512, gap=82.94)\nprint('seen')"
    cells = [new_code_cell(source), concluded("BAP scores 85.5 %.", {"85.5": "bap"})]
    notebook = new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="python3").execute()
    return notebook


def test_a_note_is_valid_tiny_and_survives_the_file(executed, tmp_path):
    nbformat.validate(executed)
    path = tmp_path / "00_claims.ipynb"
    notebook_io.write_notebook(notebook_io.with_outputs(executed, executed, path.name), path)
    again = notebook_io.read_notebook(path)
    assert check_claims(again) == []
    (output,) = (o for o in again.cells[0].outputs if o.output_type == "display_data")
    assert output.data[MEASURED] == {"bap": 85.512, "gap": 82.94}
    assert len(nbformat.from_dict(output).__repr__()) < 250
    again.cells[1].source = again.cells[1].source.replace("85.5", "85.7")
    assert check_claims(again) != []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [nbconvert.HTMLExporter, nbconvert.MarkdownExporter])
def test_readers_see_nothing_of_a_note(executed, kind):
    page, _ = kind().from_notebook_node(executed)
    for hidden in ("85.512", MEASURED, "IPython.core.display"):
        assert page.count(hidden) == executed.cells[0].source.count(hidden)
    assert "seen" in page


def test_publication_keeps_the_claims_of_edited_text(executed):
    source = nbformat.from_dict(executed)
    source.cells[1].metadata.claims = {"86 %": "bap"}
    source.cells[1].source = f"{OPENING} About 86 %."
    published = notebook_io.with_outputs(source, executed, "00")
    assert published.cells[1].metadata.claims == {"86 %": "bap"}
    assert check_claims(published) == []


def test_notebooks_do_not_pay_for_nbformat():
    """It takes seconds to import, and every notebook imports this module."""
    code = "import sys, bana.course.claims; sys.exit('nbformat' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
