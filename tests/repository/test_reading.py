"""The reading order in two languages: in step with one another and with the notebooks."""

import difflib
import re
from collections import Counter

import pytest

from bana.course.notebook_io import find_notebooks, read_notebook
from bana.files.paths import repo_root

DOCS = repo_root() / "docs"
ENGLISH, CHINESE = (
    (DOCS / name).read_text(encoding="utf-8") for name in ("reading.md", "reading.zh.md")
)
NOTEBOOKS = {
    path.name[:2]: "\n".join(
        cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown"
    )
    for path in find_notebooks()
}
DISPLAYED = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$]+\$", re.DOTALL)
CODE = re.compile(r"`[^`]+`")
LINK = re.compile(r"\]\(([^)]+)\)")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d*\.?\d+")
MEASURED = re.compile(r"(?<![\w.])([-+]?\d+(?:\.\d+)?)(?= %| points| 个百分点)|[-+]?\d+\.\d+")


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ .+$", text, re.MULTILINE)


def sections(text: str) -> list[str]:
    """What stands between the headings of the second level, with their lines."""
    return re.split(r"^(?=## )", text, flags=re.MULTILINE)


def bare(text: str) -> str:
    """Without blanks, and without the comma or full stop that ends a formula in a sentence."""
    return re.sub(r"\s+", "", text).rstrip(".,")


def formulas(text: str) -> set[str]:
    return {bare(found) for found in FORMULA.findall(text)}


def numbers(text: str) -> Counter[str]:
    """Numbers of the text alone; lists number themselves."""
    for other in (FORMULA, CODE, LINK):
        text = other.sub(" ", text)
    return Counter(NUMBER.findall(re.sub(r"^\d+\. ", "", text, flags=re.MULTILINE)))


def listed(text: str) -> list[str]:
    """The items of numbered lists, each on one line."""
    joined = re.sub(r"\n {3}(?=\S)", " ", text)
    return re.findall(r"^\d\. (.+)$", joined, re.MULTILINE)


def table_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def by_notebook(text: str) -> dict[str, str]:
    return {part[3:5]: part for part in sections(text) if re.match(r"## \d\d ", part)}


PAIRS = list(zip(sections(ENGLISH), sections(CHINESE), strict=False))
NAMES = ["start", *(headings(english)[0][3:] for english, _ in PAIRS[1:])]


def test_both_have_the_same_headings() -> None:
    levels = [[heading.split()[0] for heading in headings(text)] for text in (ENGLISH, CHINESE)]
    assert levels[0] == levels[1]
    assert len(sections(ENGLISH)) == len(sections(CHINESE))
    for one, other in zip(headings(ENGLISH), headings(CHINESE), strict=True):
        assert re.findall(r"\d\d", one) == re.findall(r"\d\d", other)


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=NAMES)
def test_both_say_the_same_in_formulas_numbers_and_links(english: str, chinese: str) -> None:
    assert [bare(f) for f in DISPLAYED.findall(english)] == [
        bare(f) for f in DISPLAYED.findall(chinese)
    ]
    assert formulas(english) == formulas(chinese)
    assert numbers(english) == numbers(chinese)
    other_language = ("reading.md", "reading.zh.md")
    links = [
        [link for link in LINK.findall(text) if link not in other_language]
        for text in (english, chinese)
    ]
    assert links[0] == links[1]


def test_each_leads_to_the_other() -> None:
    assert "](reading.zh.md)" in ENGLISH and "](reading.md)" in CHINESE


@pytest.mark.parametrize("text", [ENGLISH, CHINESE], ids=["english", "chinese"])
def test_every_notebook_has_its_section_formula_and_questions(text: str) -> None:
    assert by_notebook(text).keys() == NOTEBOOKS.keys()
    for path in find_notebooks():
        section = by_notebook(text)[path.name[:2]]
        assert f"](../notebooks/{path.name})" in section
        assert DISPLAYED.search(section)
        questions, answers = section.split("<details>")
        assert len(listed(questions)) == len(listed(answers)) == 5
        told = re.sub(r"\$\$.+?\$\$", "", questions.split("###")[0], flags=re.DOTALL)
        assert 4 <= len(re.findall(r"[.?:。？：](?=\s|[^\x00-\x7f]|$)", told)) <= 14, path.name


@pytest.mark.parametrize("number", sorted(NOTEBOOKS))
def test_numbers_and_formulas_are_the_notebook_s(number: str) -> None:
    section, notebook = by_notebook(ENGLISH)[number], NOTEBOOKS[number]
    text = FORMULA.sub(" ", LINK.sub(" ", section))
    for value in {found[0] for found in MEASURED.finditer(text)}:
        assert re.search(rf"(?<![\d.+-]){re.escape(value)}(?!\d)", notebook), value
    for formula in DISPLAYED.findall(section):
        assert bare(formula) in bare(notebook), formula


@pytest.mark.parametrize("number", sorted(NOTEBOOKS))
def test_questions_are_the_notebook_s(number: str) -> None:
    theirs = re.findall(
        r"^\*\*\d\.\*\* (.+?)\n\n<details>",
        NOTEBOOKS[number].split("## Five questions")[1],
        re.MULTILINE | re.DOTALL,
    )
    ours = listed(by_notebook(ENGLISH)[number].split("<details>")[0])
    for one, other in zip(ours, theirs, strict=True):
        alike = difflib.SequenceMatcher(None, one, " ".join(other.split())).ratio()
        assert alike > 0.6, f"{one} / {other}"


def test_symbols_and_words_are_those_of_the_glossary() -> None:
    glossary = (DOCS / "symbols.md").read_text(encoding="utf-8").split("## Symbols")[1]
    assert ENGLISH.split("## Symbols")[1] == glossary
    theirs, ours = table_rows(glossary), table_rows(CHINESE)
    assert len(ours) == len(theirs)
    for mine, row in zip(ours, theirs, strict=True):
        assert len(mine) == len(row) and all(mine)
        if len(row) == 4 and row[0] != "symbol":
            assert formulas(mine[0]) == formulas(row[0]) and mine[3] == row[3]
            assert CODE.findall(mine[2]) == CODE.findall(row[2])
        elif row[0] != "symbol" and row[0] != "word" and row[0] not in ("BAP, GAP", "mIoU"):
            assert f"（{row[0]}）" in mine[0]


def test_chinese_is_set_in_chinese_punctuation() -> None:
    text = FORMULA.sub("", LINK.sub("", CODE.sub("", CHINESE)))
    assert re.findall(r"[\u4e00-\u9fff] ?[,:;?!()]", text) == []
