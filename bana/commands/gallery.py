"""The commands `bana figure` and `bana table`: what the paper shows, from a run or from records.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bana.commands.records import published_path, write_record
from bana.commands.train import chosen_profile
from bana.files.paths import figures_dir, runs_root

if TYPE_CHECKING:  # imports torch, which `bana --help` does without
    from bana.experiment.exhibits.measured import Measured
    from bana.experiment.profiles import Profile

SIZES = ("paper", "slide")


def add_gallery_commands(
    command: Callable[..., argparse.ArgumentParser],
    with_profile: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
) -> None:
    """Add `bana figure` and `bana table`; arguments as of `add_train_command`."""
    text = "draw figures of the paper from a profile's run, with a note of their origin"
    figure = _with_names(with_profile(command("figure", _figure, text)))
    figure.add_argument("--size", choices=SIZES, default="paper", help="(default: paper)")
    text = "write tables of the paper, from records in results/ or from a profile's run"
    table = _with_names(command("table", _table, text))
    table.add_argument(
        "--profile", help="of this profile's run (default: of the records in results/)"
    )
    table.add_argument("--data", type=Path, metavar="FOLDER", help="photographs, with --profile")
    table.add_argument(
        "--record",
        action="store_true",
        help="with --profile: also record in results/ what no other command records",
    )


def _with_names(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    made.add_argument("names", nargs="*", metavar="NAME", help="see --list")
    made.add_argument("--all", action="store_true", help="every one")
    made.add_argument("--list", action="store_true", help="say which there are, and make none")
    made.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to (default: in the folder of runs)"
    )
    return made


def _names(arguments: argparse.Namespace, there: Sequence[str]) -> list[str]:
    """The names that are asked for.

    Raises:
        ValueError: none, or both names and --all.
    """
    if arguments.all == bool(arguments.names):
        what = "not names and --all" if arguments.all else "name some, or give --all"
        raise ValueError(f"{arguments.command}: {what}; there are {', '.join(there)}")
    return list(there) if arguments.all else arguments.names


def _listing(arguments: argparse.Namespace) -> bool:
    """Whether names are only to be listed.

    Raises:
        ValueError: --list and what is of making figures or tables.
    """
    if not arguments.list:
        return False
    options = ("all", "data", "out", "record")
    given = [f"--{option}" for option in options if vars(arguments).get(option)]
    if unused := [*arguments.names, *given]:
        raise ValueError(f"--list makes nothing: leave out {' '.join(unused)}")
    return True


def _figure(arguments: argparse.Namespace) -> int:
    import matplotlib

    matplotlib.use("agg")
    from bana.course.gallery.items import FIGURES
    from bana.course.gallery.making import Gallery, figure_item

    if _listing(arguments):
        _tell({name: (item.item, item.title) for name, item in FIGURES.items()})
        return 0
    names = _names(arguments, list(FIGURES))
    for name in names:
        figure_item(name)
    gallery = Gallery(chosen_profile(arguments), arguments.data, arguments.out)
    for name in names:
        made = gallery.make(name, arguments.size)
        done = ("computed and drawn" if made.computed else "drawn") if made.drawn else "up to date"
        print(f"{name}: {done}: {made.path}", flush=True)
    return 0


def _tell(items: dict[str, tuple[str, str]]) -> None:
    width = max(map(len, items))
    for name, (item, title) in items.items():
        print(f"{name:<{width}}  {title} ({item})")


def _table(arguments: argparse.Namespace) -> int:
    from bana.course.gallery.table_files import write_table
    from bana.experiment.exhibits.measured import from_records, from_run
    from bana.experiment.exhibits.table_items import TABLES, about_tables, needs_of

    if _listing(arguments):
        width = max(map(len, TABLES))
        print("\n".join(f"{name:<{width}}  {line}" for name, line in about_tables().items()))
        return 0
    names = _names(arguments, list(TABLES))
    if unknown := sorted(set(names) - TABLES.keys()):
        raise ValueError(f"unknown table {unknown[0]!r}: use one of {', '.join(TABLES)}")
    for option in ("data", "record"):
        if arguments.profile is None and getattr(arguments, option):
            raise ValueError(f"--{option} is of a profile's run: name its --profile too")
    if arguments.profile is None:
        measured, folder = from_records(), runs_root() / "tables"
    else:
        profile, parts = chosen_profile(arguments), needs_of(names)
        to_record = _recorded(names) if arguments.record else {}
        _tell_of_trainings(profile, arguments.data, parts)
        measured = from_run(profile, arguments.data, parts)
        folder = figures_dir(profile.name)
        _record(profile, arguments.data, to_record, measured[0])
    given = f" --profile {arguments.profile}" if arguments.profile else ""
    for name in names:
        table = TABLES[name](measured)
        command = f"bana table {name}{given}"
        path = write_table(table, arguments.out or folder, name, measured, command)
        print(f"{table.item}. {table.title}\n\n{table.markdown()}\n{name}: {path}\n")
    return 0


def _tell_of_trainings(profile: "Profile", root: Path | None, parts: Sequence[str]) -> None:
    """Say how many classifiers a table of grids is about to train, and how long one takes."""
    from bana.experiment import grids

    missing = grids.to_train(profile, root) if "grids" in parts else []
    if not missing:
        return
    seconds, numbers = grids.seconds_each(profile), ", ".join(map(str, missing))
    told = f", about {seconds:.0f} s each, as the profile's own took" if seconds else ""
    print(f"bana: classifiers to train: N = {numbers}{told}", file=sys.stderr)


def _recorded(names: Sequence[str]) -> dict[str, str]:
    """The parts that are measured for tables alone, by table.

    Raises:
        ValueError: there is nothing that no other command records.
    """
    from bana.experiment.exhibits.measured import OF_TABLES
    from bana.experiment.exhibits.table_items import needs_of

    made = {name: part for name in names for part in needs_of([name]) if part in OF_TABLES}
    if not made:
        raise ValueError(
            "--record: `bana evaluate`, `bana bench sam` and `bana regime` record what these show"
        )
    return made


def _record(
    profile: "Profile", root: Path | None, parts: Mapping[str, str], measured: "Measured"
) -> None:
    """Write the parts of some tables into results/, one file a table."""
    from bana.experiment import recording
    from bana.experiment.exhibits.measured import PARTS

    for name, part in parts.items():
        path = published_path(PARTS[part].file.format(profile.name))
        held = {"seed": profile.seed, PARTS[part].held: measured.more[part]}
        command = f"bana table {name} --profile {profile.name} --record"
        write_record(path, command, recording.about(profile, root) | held)
