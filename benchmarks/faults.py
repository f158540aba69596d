"""What kills, full disks and other mishaps cost: nothing is lost, and what went wrong is told.

Run `python benchmarks/faults.py --out results/faults.json`. It needs Linux, and root for the rows
that mount small disks. `--only NAME` takes the jobs and rows whose names begin so, `--quick` a few
kills of each. What is in the record already and is not taken stays in it.
"""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from commands_apart import warm_up
from fault_jobs import JOBS, Job
from full_disks import fill_at_steps, fill_disks, two_at_once, without_network
from kills import kill_at_moments, kill_at_steps, make_base
from measure import environment, write_record

from bana.files.artefacts import read_json, source_commit

KILLS, STEPS, DISKS, WRITES, TWICE = 50, 20, 5, 10_000, 2
TABLES = ("moments", "steps", "disks", "writes", "two", "network")


def main() -> None:
    """Measure, print and, with --out, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few of each, to try the script")
    parser.add_argument("--only", default="", metavar="NAME", help="jobs whose names begin so")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, metavar="TABLE")
    parser.add_argument("--disks", type=int, default=DISKS, help="sizes of disks that get full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warm_up()
    rows: dict[str, Any] = read_json(options.out).get("jobs", {}) if options.out else {}
    usual = (KILLS, STEPS, options.disks, WRITES, TWICE)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        work = Path(folder).resolve()
        for job in JOBS:
            if job.name.startswith(options.only):
                counts = (3, 5, 4, 5, 2) if options.quick else usual
                row = row_of(job, work, options.tables, counts, options.seed)
                lost = {table: each["losses"] for table, each in row.items() if each["losses"]}
                print(f"{job.name}: {lost or 'no losses'}", flush=True)
                rows[job.name] = rows.get(job.name, {}) | row
    record = {
        "benchmark": "commands killed, on full disks, two at once, without a network",
        **environment(),
        "seed": options.seed,
        "jobs": rows,
    }
    write_record(record, options.out)


def row_of(
    job: Job, work: Path, tables: Sequence[str], counts: tuple[int, ...], seed: int
) -> dict[str, dict[str, Any]]:
    """All tables of one job."""
    base, root = make_base(job, work), work / "job"
    kills, steps, disks, writes, twice = counts
    make = {
        "moments": partial(kill_at_moments, job, root, base, kills, seed),
        "steps": partial(kill_at_steps, job, root, base, steps),
        "disks": partial(fill_disks, job, root, base, disks, seed),
        "writes": partial(fill_at_steps, job, root, base, writes),
        "two": partial(two_at_once, job, root, base, twice, seed),
        "network": partial(without_network, job, root, base),
    }
    return {table: {"commit": source_commit(), **make[table]()} for table in tables}


if __name__ == "__main__":
    main()
