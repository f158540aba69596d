"""Cells of the paper's tables: a number of ours, or one that was published, with its source."""

from collections.abc import Mapping
from typing import Any

from bana.experiment.exhibits.measured import Measured
from bana.experiment.exhibits.table import Cell, Source

VOC = "PASCAL VOC 2012"
COCO = "COCO"
PAPER = "CVPR 2021 paper"
REPLICATION = "ReScience C replication"


def quoted(value: float | None, data: str, table: str, source: str = PAPER) -> Cell:
    """A published number, with the digits that it was published with."""
    places = 1 if value is None else max(1, len(f"{value}".partition(".")[2]))
    return Cell(
        value,
        Source(data, f"{source}, {table}"),
        why="" if value is not None else "the source gives no such number",
        places=places,
    )


def ours(
    made: Measured, part: str, value: float | None, why: str, data: str = "", **more: Any
) -> Cell:
    """A number of ours, of the validation images or other data; blank for a reason."""
    origin = made.origins.get(part, made.origins["record"])
    source = Source(data or made.data, origin)
    return Cell(value, source, why="" if value is not None else why, **more)


def estimated(
    made: Measured, part: str, estimate: Mapping[str, float] | None, why: str, data: str = ""
) -> Cell:
    """A number of ours with its interval, {"value", "low", "high"}; blank for a reason.

    A difference has "mean" in the place of "value".
    """
    if estimate is None:
        return ours(made, part, None, why, data)
    value = estimate["mean"] if "mean" in estimate else estimate["value"]
    ends = {"low": estimate["low"], "high": estimate["high"]}
    return ours(made, part, value, why, data, **ends)
