"""Tables in Markdown, for the tools that write pages from records."""


def table_of(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def score_of(value: float | None) -> str:
    """A percentage to the tenth, as a cell; a dash where there is none."""
    return "-" if value is None else f"{value:.1f}"
