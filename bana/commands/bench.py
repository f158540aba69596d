"""The command `bana bench`: comparisons with many seeds, recorded.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from bana.commands.train import add_changes, chosen_profile
from bana.files.paths import results_dir

TASKS, HEADS = ("object", "classes"), ("linear", "conv")


def add_bench_command(
    command: Callable[..., argparse.ArgumentParser],
    with_profile: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
    losses: tuple[str, ...],
) -> None:
    """Add `bana bench losses`; arguments as of `bana.commands.train.add_train_command`."""
    bench = command("bench", _losses, "compare many trainings that differ in one thing")
    kinds = bench.add_subparsers(dest="bench", metavar="BENCH", required=True)
    text = "every loss, on frozen features of the box classifier, under several seeds"
    made = add_changes(with_profile(kinds.add_parser("losses", help=text)))
    made.add_argument("--losses", nargs="+", choices=losses, default=losses, metavar="LOSS")
    made.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK")
    made.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS, metavar="HEAD")
    made.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N", help="(default: 0-4)"
    )
    made.add_argument("--epochs", type=int, default=2, metavar="N", help="(default: 2)")
    made.add_argument(
        "--out", type=Path, metavar="FILE", help="the record (default: results/bench-PROFILE.json)"
    )


def _losses(arguments: argparse.Namespace) -> int:
    from bana.evaluation.prediction import fastest_device
    from bana.experiment import benching, recording
    from bana.experiment.bench import BenchSettings, head_settings
    from bana.experiment.tables import bench_lines
    from bana.files.artefacts import source_commit, write_json
    from bana.training.runs import environment

    profile, seeds = chosen_profile(arguments), tuple(arguments.seeds)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {' '.join(map(str, seeds))}: every seed counts once")
    benches = {}
    for task in arguments.tasks:
        for head in arguments.heads:
            settings = BenchSettings(
                task, head_settings(head, arguments.epochs), tuple(arguments.losses), seeds
            )
            benches[f"{task}, {head}"] = benching.loss_bench(profile, settings, arguments.data)
            print(bench_lines(f"{task}, {head}", benches[f"{task}, {head}"]))
    out = arguments.out or results_dir() / f"bench-{profile.name}.json"
    given = f" --epochs {arguments.epochs} --seeds {' '.join(map(str, seeds))}"
    write_json(
        out,
        {
            "command": f"bana bench losses --profile {profile.name}{given}",
            "commit": source_commit(),
            "environment": environment(fastest_device()),
            **recording.about(profile, arguments.data),
            "seeds": list(seeds),
            "benches": benches,
        },
    )
    print(f"record: {out}")
    return 0
