"""A table refuses a cell without source, and a column that hides what it was measured on."""

import csv
import io

import pytest

from bana.experiment.exhibits.table import EACH_ROW, Cell, Column, Row, Source, Table, _mark

HERE, THERE = Source("sample, 60 images", "results/sample.json"), Source("VOC", "paper, Table 1")
COLUMNS = (Column("mIoU %", HERE.data), Column("paper, mIoU %", THERE.data))


def table(*rows, columns=COLUMNS):
    return Table("Table 1", "labels", "What labels score.", "labels", columns, rows)


def row(name="bap", **cells):
    first = Cell(69.65, HERE, low=66.3, high=72.2)
    return Row(name, (cells.get("first", first), cells.get("second", Cell(79.2, THERE))))


BLANK = Cell(None, THERE, why="the source has no such row")


def test_numbers_intervals_and_reasons_are_printed():
    text = table(
        row(), row("grabcut", first=Cell(64.4, HERE, spread=0.25), second=BLANK)
    ).markdown()
    assert "| labels | mIoU %; sample, 60 images | paper, mIoU %; VOC |" in text
    assert "| bap | 69.7 [66.3, 72.2] | 79.2 |" in text
    assert "| grabcut | 64.4 ± 0.2 | (a) |" in text
    assert "(a) the source has no such row." in text
    assert "sample, 60 images: results/sample.json." in text
    assert "VOC: paper, Table 1." in text


@pytest.mark.parametrize("source", [Source("VOC", " "), Source("", "paper")], ids=["by", "of"])
def test_a_cell_without_source_is_refused(source):
    with pytest.raises(ValueError, match="labels, row 'bap', column 'paper, mIoU %': the cell has"):
        table(row(second=Cell(79.2, source)))


def test_a_blank_cell_says_why():
    with pytest.raises(ValueError, match="the cell is blank, and nothing says why"):
        table(row(second=Cell(None, THERE)))


def test_a_column_of_several_data_sets_is_refused_unless_rows_say_so():
    with pytest.raises(ValueError, match="measured on sample, 60 images, but said to be of 'VOC'"):
        table(row(second=Cell(1.0, HERE)))
    either = (Column("AP %", EACH_ROW),)
    rows = Row("bap", (Cell(1.0, HERE),), HERE.data), Row("paper", (Cell(2.0, THERE),), THERE.data)
    text = table(*rows, columns=either).markdown()
    assert "| bap; sample, 60 images | 1.0 |" in text and "| paper; VOC | 2.0 |" in text
    with pytest.raises(ValueError, match="said to be of ''"):
        table(Row("bap", (Cell(1.0, HERE),)), columns=either)


def test_a_row_has_a_cell_for_every_column():
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        table(Row("bap", (Cell(1.0, HERE),)))


def test_csv_has_a_line_for_every_cell_with_its_source():
    read = list(csv.DictReader(io.StringIO(table(row(), row("x", second=BLANK)).csv())))
    assert [(r["row"], r["data"]) for r in read] == [
        (name, source.data) for name in ("bap", "x") for source in (HERE, THERE)
    ]
    assert float(read[0]["value"]) == 69.65 and float(read[0]["high"]) == 72.2
    assert read[3]["value"] == "" and read[3]["blank"] == BLANK.why
    assert all(r["source"] for r in read)


def test_latex_escapes_and_closes():
    text = table(row("50 % & u_0 ~S"), row("x", second=BLANK)).latex()
    assert r"50 \% \& u\_0 \textasciitilde{}S & 69.7 [66.3, 72.2] & 79.2 \\" in text
    assert r"\begin{tabular}{lrr}" in text and text.count(r"\end{tabular}") == 1
    assert "% (a) the source has no such row." in text


def test_letters_do_not_end():
    assert [_mark(n) for n in (0, 25, 26, 27, 51, 52)] == ["a", "z", "aa", "ab", "az", "ba"]


def test_no_number_is_minus_nought():
    assert Cell(-0.01, HERE).text() == "0.0"
