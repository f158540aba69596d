"""The command `bana bench`: comparisons with many seeds, recorded.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bana.commands.train import add_changes, chosen_profile
from bana.files.paths import results_dir

if TYPE_CHECKING:  # imports torch, which `bana --help` does without
    from bana.experiment.profiles import Profile

TASKS, HEADS = ("object", "classes"), ("linear", "conv")


def add_bench_command(
    command: Callable[..., argparse.ArgumentParser],
    with_profile: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
    losses: tuple[str, ...],
) -> None:
    """Add `bana bench`; arguments as of `bana.commands.train.add_train_command`."""
    bench = command("bench", _run, "compare many trainings that differ in one thing")
    kinds = bench.add_subparsers(dest="bench", metavar="BENCH", required=True)
    text = "every loss, on frozen features of the box classifier, under several seeds"
    made = add_changes(with_profile(kinds.add_parser("losses", help=text)))
    made.add_argument("--losses", nargs="+", choices=losses, default=losses, metavar="LOSS")
    made.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK")
    made.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS, metavar="HEAD")
    _add_common(made, _losses, "bench")
    text = "the noise-aware loss, its lambda and gamma, on labels made worse in steps"
    made = add_changes(with_profile(kinds.add_parser("noise", help=text)))
    made.add_argument("--head", choices=HEADS, default="linear", metavar="HEAD")
    made.add_argument(
        "--reaches",
        type=int,
        nargs="+",
        default=[0, 2, 4, 8],
        metavar="N",
        help="positions of 4 pixels by which labels spill (default: 0 2 4 8)",
    )
    _add_common(made, _noise, "noise")


def _add_common(made: argparse.ArgumentParser, function: Callable, name: str) -> None:
    """Arguments that both benches have."""
    made.set_defaults(bench_function=function)
    made.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="N", help="(default: 0-4)"
    )
    made.add_argument("--epochs", type=int, default=2, metavar="N", help="(default: 2)")
    made.add_argument(
        "--out", type=Path, metavar="FILE", help=f"record (default: results/{name}-PROFILE.json)"
    )


def _run(arguments: argparse.Namespace) -> int:
    seeds = tuple(arguments.seeds)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {' '.join(map(str, seeds))}: every seed counts once")
    return arguments.bench_function(arguments)


def _losses(arguments: argparse.Namespace) -> int:
    from bana.experiment import benching
    from bana.experiment.bench import BenchSettings, head_settings
    from bana.experiment.tables import bench_lines

    profile, seeds = chosen_profile(arguments), tuple(arguments.seeds)
    benches = {}
    for task in arguments.tasks:
        for head in arguments.heads:
            settings = BenchSettings(
                task, head_settings(head, arguments.epochs), tuple(arguments.losses), seeds
            )
            benches[f"{task}, {head}"] = benching.loss_bench(profile, settings, arguments.data)
            print(bench_lines(f"{task}, {head}", benches[f"{task}, {head}"]))
    return _write(arguments, profile, "bench", {"benches": benches})


def _noise(arguments: argparse.Namespace) -> int:
    from bana.experiment import benching
    from bana.experiment.bench import head_settings
    from bana.experiment.noise import NoiseSettings
    from bana.experiment.tables import noise_lines

    head = head_settings(arguments.head, arguments.epochs)
    settings = NoiseSettings(head, tuple(arguments.reaches), tuple(arguments.seeds))
    profile = chosen_profile(arguments)
    entries = benching.loss_noise_map(profile, settings, arguments.data)
    print(noise_lines(entries))
    return _write(arguments, profile, "noise", {"head": arguments.head, "map": entries})


def _write(arguments: argparse.Namespace, profile: "Profile", kind: str, measured: dict) -> int:
    """Write the record: what was measured, on what, by which command."""
    from bana.evaluation.prediction import fastest_device
    from bana.experiment import recording
    from bana.files.artefacts import source_commit, write_json
    from bana.training.runs import environment

    name = {"bench": "losses"}.get(kind, kind)
    out = arguments.out or results_dir() / f"{kind}-{profile.name}.json"
    given = f" --epochs {arguments.epochs} --seeds {' '.join(map(str, arguments.seeds))}"
    write_json(
        out,
        {
            "command": f"bana bench {name} --profile {profile.name}{given}",
            "commit": source_commit(),
            "environment": environment(fastest_device()),
            **recording.about(profile, arguments.data),
            "seeds": arguments.seeds,
            **measured,
        },
    )
    print(f"record: {out}")
    return 0
