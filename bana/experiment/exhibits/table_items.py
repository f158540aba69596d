"""The list of tables, by name."""

from collections.abc import Callable, Sequence

from bana.experiment.exhibits.label_tables import labels_table, precision_table, regime_table
from bana.experiment.exhibits.measured import Measured
from bana.experiment.exhibits.network_tables import losses_table, networks_table, per_class_table
from bana.experiment.exhibits.sam_tables import sam_table
from bana.experiment.exhibits.supplement_tables import (
    cam_table,
    class_agnostic_table,
    crossing_table,
    gamma_lambda_table,
    grid_table,
    time_table,
)
from bana.experiment.exhibits.table import Table

TABLES: dict[str, Callable[[Sequence[Measured]], Table]] = {
    "labels": labels_table,
    "precision": precision_table,
    "losses": losses_table,
    "networks": networks_table,
    "per_class": per_class_table,
    "cam": cam_table,
    "crossing": crossing_table,
    "grid": grid_table,
    "gamma_lambda": gamma_lambda_table,
    "class_agnostic": class_agnostic_table,
    "time": time_table,
    "regime": regime_table,
    "sam": sam_table,
}

NEEDS: dict[str, tuple[str, ...]] = {
    "labels": ("record", "card", "card_train", "sam"),
    "cam": ("activations",),
    "crossing": ("crossing",),
    "grid": ("grids",),
    "gamma_lambda": ("weighings",),
    "class_agnostic": ("agnostic",),
    "regime": ("card",),
    "sam": ("sam",),
}
"""The parts that a table is made of, see `bana.experiment.exhibits.measured`; else the record."""


def needs_of(names: Sequence[str]) -> tuple[str, ...]:
    """The parts that some tables are made of, each once."""
    return tuple(dict.fromkeys(p for name in names for p in NEEDS.get(name, ("record",))))


def about_tables() -> dict[str, str]:
    """What each table is, in a line: the first of its function's docstring."""
    return {name: (make.__doc__ or "").splitlines()[0] for name, make in TABLES.items()}
