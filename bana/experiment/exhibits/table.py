"""A table in which every cell knows its source, and every column its data set."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

EACH_ROW = "each row's own"
"""The data set of a column whose rows differ in it; they then say so in their names."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Source(NamedTuple):
    """Where a number is from: the data set it was measured on, and who or what says so."""

    data: str
    origin: str


class Cell(NamedTuple):
    """A number with its source; where there is none, the reason, or the command that makes it.

    Attributes:
        value: in the column's unit; None where it is blank.
        source: of the number, or of the statement that there is none.
        low, high: ends of a 95 % interval.
        spread: standard deviation over seeds.
        why: it is blank.
        places: digits after the point.
    """

    value: float | None
    source: Source
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    why: str = ""
    places: int = 1

    def text(self) -> str:
        """As it is printed; empty where it is blank."""
        if self.value is None:
            return ""
        text = f"{round(self.value, self.places) + 0:.{self.places}f}"  # + 0: no -0.0
        if self.low is not None and self.high is not None:
            text += f" [{self.low:.1f}, {self.high:.1f}]"
        return text if self.spread is None else f"{text} ± {self.spread:.1f}"


class Column(NamedTuple):
    """What is measured, with its unit, and on which data set, or `EACH_ROW`."""

    title: str
    data: str

    def heading(self) -> str:
        """As it is printed: no column leaves open what it was measured on."""
        return self.title if self.data == EACH_ROW else f"{self.title}; {self.data}"


class Row(NamedTuple):
    """A row's name, its cells, and its data set where columns have `EACH_ROW`."""

    name: str
    cells: tuple[Cell, ...]
    data: str = ""

    def heading(self) -> str:
        """As it is printed."""
        return f"{self.name}; {self.data}" if self.data else self.name


@dataclass(frozen=True)
class Table:
    """A table of the paper, or one that it has not.

    Attributes:
        item: of the paper, such as "Table 1".
        title: a few words.
        caption: what is in it, in sentences.
        corner: what the rows are.
        columns: of numbers.
        rows: with a cell for each.
        notes: what a reader should know besides, such as which column is left out as it would
            be empty; sentences without their full stop.

    Raises:
        ValueError: a row has not as many cells as there are columns, a cell has no source, a blank
            one no reason, or a column holds a number of another data set than it says.
    """

    item: str
    title: str
    caption: str
    corner: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a cell without source, and a column of several data sets that does not say so."""
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(
                    f"{self.title}, row {row.name!r}: {len(row.cells)} cells for "
                    f"{len(self.columns)} columns"
                )
            for column, cell in zip(self.columns, row.cells, strict=True):
                self._check(row, column, cell)

    def _check(self, row: Row, column: Column, cell: Cell) -> None:
        place = f"{self.title}, row {row.name!r}, column {column.title!r}"
        if not cell.source.data.strip() or not cell.source.origin.strip():
            raise ValueError(f"{place}: the cell has no source")
        if cell.value is None and not cell.why.strip():
            raise ValueError(f"{place}: the cell is blank, and nothing says why")
        told = row.data if column.data == EACH_ROW else column.data
        if cell.source.data != told:
            raise ValueError(f"{place}: measured on {cell.source.data}, but said to be of {told!r}")

    def reasons(self) -> list[str]:
        """Why cells are blank, each once, in order."""
        cells = [cell for row in self.rows for cell in row.cells if cell.value is None]
        return list(dict.fromkeys(cell.why for cell in cells))

    def origins(self) -> dict[str, list[str]]:
        """Where the numbers are from, by data set, each once."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            for cell in row.cells:
                origins = found.setdefault(cell.source.data, [])
                if cell.value is not None and cell.source.origin not in origins:
                    origins.append(cell.source.origin)
        return {data: origins for data, origins in found.items() if origins}

    def markdown(self) -> str:
        """The table, why cells are blank, and where the numbers are from."""
        reasons = self.reasons()
        lines = [[self.corner, *(column.heading() for column in self.columns)]]
        lines.append(["---", *["---:"] * len(self.columns)])
        lines += [[row.heading(), *_marked(row.cells, reasons)] for row in self.rows]
        parts = ["\n".join("| " + " | ".join(line) + " |" for line in lines)]
        return "\n\n".join([*parts, " ".join(self._below())]).rstrip() + "\n"

    def _below(self) -> list[str]:
        """What stands below the table: reasons, notes, and where the numbers are from."""
        below = [f"({_mark(number)}) {why}." for number, why in enumerate(self.reasons())]
        below += [f"{note}." for note in self.notes]
        return below + [f"{data}: {'; '.join(o)}." for data, o in self.origins().items()]

    def csv(self) -> str:
        """One line a cell: row, column, data set, number, interval, spread, source, reason."""
        made = io.StringIO()
        writer = csv.writer(made, lineterminator="\n")
        names = ("row", "column", "data", "value", "low", "high", "spread", "source", "blank")
        writer.writerow(names)
        for row in self.rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                numbers = (cell.value, cell.low, cell.high, cell.spread)
                about = (cell.source.origin, cell.why)
                place = (row.name, column.title, cell.source.data)
                writer.writerow([*place, *("" if n is None else n for n in numbers), *about])
        return made.getvalue()

    def latex(self) -> str:
        """The table for a paper, with booktabs; reasons and sources are its note."""
        reasons = self.reasons()
        lines = [" & ".join(_escaped([self.corner, *(c.heading() for c in self.columns)]))]
        body = [
            " & ".join(_escaped([row.heading(), *_marked(row.cells, reasons)])) for row in self.rows
        ]
        rule = f"\\begin{{tabular}}{{l{'r' * len(self.columns)}}}\n\\toprule\n"
        text = f"% {self.item}. {self.title}\n{rule}{lines[0]} \\\\\n\\midrule\n"
        text += " \\\\\n".join(body) + " \\\\\n\\bottomrule\n\\end{tabular}\n"
        return text + "".join(f"% {note}\n" for note in self._below())


def _mark(number: int) -> str:
    """A letter, or several: a to z, then aa, ab, ..."""
    first, last = divmod(number, len(LETTERS))
    return (_mark(first - 1) if first else "") + LETTERS[last]


def _marked(cells: Sequence[Cell], reasons: Sequence[str]) -> list[str]:
    return [cell.text() or f"({_mark(reasons.index(cell.why))})" for cell in cells]


def _escaped(texts: Sequence[str]) -> list[str]:
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {"~": r"\textasciitilde{}", "±": r"$\pm$"}
    return ["".join(special.get(letter, letter) for letter in text) for text in texts]
