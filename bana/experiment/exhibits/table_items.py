"""The list of tables, by name."""

from collections.abc import Callable, Sequence

from bana.experiment.exhibits.label_tables import labels_table, precision_table, regime_table
from bana.experiment.exhibits.measured import Measured
from bana.experiment.exhibits.network_tables import losses_table, networks_table, per_class_table
from bana.experiment.exhibits.table import Table

TABLES: dict[str, Callable[[Sequence[Measured]], Table]] = {
    "labels": labels_table,
    "precision": precision_table,
    "losses": losses_table,
    "networks": networks_table,
    "per_class": per_class_table,
    "regime": regime_table,
}


def about_tables() -> dict[str, str]:
    """What each table is, in a line: the first of its function's docstring."""
    return {name: (make.__doc__ or "").splitlines()[0] for name, make in TABLES.items()}
