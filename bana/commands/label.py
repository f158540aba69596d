"""The command `bana label`: labels made here, or as shards that are handed out."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bana.commands.data import count
from bana.commands.submit import (
    Command,
    add_job_option,
    gpus_of,
    options_of,
    tell_of_failures,
)
from bana.commands.train import (
    OF_LABELS,
    add_changes,
    add_settings,
    chosen_profile,
    refuse_unused_by_labels,
)

if TYPE_CHECKING:  # imports torch, which `bana --help` does without
    from bana.experiment.labelling import Crew
    from bana.experiment.profiles import Profile

SPLITS = ("train", "val")


def add_label_command(
    command: Callable[..., argparse.ArgumentParser],
    with_profile: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
    variants: tuple[str, ...],
) -> None:
    """Add `bana label`.

    Args:
        command, with_profile: as of `bana.commands.train.add_train_command`.
        variants: names to choose from.
    """
    label = add_changes(with_profile(command("label", _label, "make the pseudo labels of a split")))
    add_settings(label, OF_LABELS)
    label.add_argument("--split", choices=SPLITS, default="train", help="(default: train)")
    label.add_argument(
        "--variant", choices=variants, default="bap", help="how they are made (default: bap)"
    )
    label.add_argument(
        "--workers", type=count, metavar="N", help="processes (default: what the profile says)"
    )
    label.add_argument(
        "--devices",
        default="cpu",
        metavar="LIST",
        help="dealt out to the processes, such as cuda:0,cuda:1 (default: cpu)",
    )
    label.add_argument(
        "--batch",
        type=count,
        default=1,
        metavar="N",
        help="images of one size in a process at once (default: 1; on a GPU try 8)",
    )
    parts = label.add_mutually_exclusive_group()
    parts.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="K/N",
        help="only the K-th of N parts, for N machines that share the folder of runs",
    )
    parts.add_argument(
        "--submit",
        type=count,
        metavar="N",
        help="N parts as an array of SLURM jobs, or of processes where there is no SLURM; waits "
        "for them and hands out again what is missing when it is given again",
    )
    add_job_option(label)
    streams = label.add_argument_group(
        "tar shards", "label what `bana data pack` has packed, with the profile's classifier"
    )
    streams.add_argument(
        "--from-shards",
        type=Path,
        metavar="FOLDER",
        help="the photographs; --shard K/N and --workers take whole shards of them",
    )
    streams.add_argument(
        "--out", type=Path, metavar="FOLDER", help="shards of the labels, of the same names"
    )


def _shard(text: str) -> tuple[int, int]:
    """K/N as two numbers."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N, such as 1/4")
    if not 1 <= int(part) <= int(parts):
        raise argparse.ArgumentTypeError(f"{text}: K goes from 1 to N, such as 1/4")
    return int(part), int(parts)


def _label(arguments: argparse.Namespace) -> int:
    from bana.experiment import stages
    from bana.experiment.label_folders import manifest_path
    from bana.files.artefacts import read_json

    refuse_unused_by_labels(arguments, arguments.variant)
    profile = chosen_profile(arguments)
    options = options_of(arguments)
    crew = _crew(arguments, profile, options.cpus)
    if arguments.from_shards or arguments.out:
        return _label_shards(arguments, profile, crew)
    if arguments.submit:
        return _submit(arguments, profile, crew)
    folder = stages.labels(
        profile, arguments.split, arguments.variant, arguments.data, crew, arguments.shard
    )
    print(folder)
    return _told(read_json(manifest_path(folder, arguments.shard))["failures"])


def _crew(arguments: argparse.Namespace, profile: "Profile", cpus: int | None) -> "Crew":
    from bana.experiment.labelling import Crew

    return Crew(
        arguments.workers or cpus or profile.label_workers,
        tuple(arguments.devices.split(",")),
        arguments.batch,
    )


def _told(failures: Mapping[str, str]) -> int:
    """Say why images have no labels; the exit code."""
    for reason in failures.values():
        print(f"bana: {reason}", file=sys.stderr)
    return 1 if failures else 0


def _label_shards(arguments: argparse.Namespace, profile: "Profile", crew: "Crew") -> int:
    from bana.experiment.shard_stage import label_photographs

    if not (arguments.from_shards and arguments.out):
        raise ValueError("tar shards need both --from-shards and --out")
    if arguments.submit:
        raise ValueError("--submit is of folders: of tar shards give --shard K/N to each machine")
    if arguments.split != SPLITS[0]:
        raise ValueError("tar shards are of the split that was packed: leave out --split")
    folders = arguments.from_shards, arguments.out
    made = label_photographs(
        profile, arguments.variant, arguments.data, *folders, crew, arguments.shard
    )
    print(f"{made.images:,} images have labels" + ("" if made.whole else "; not yet all shards"))
    print(arguments.out)
    code = _told(made.failures | made.damaged)
    if made.damaged:
        print("bana: then give the same command again: finished labels are kept", file=sys.stderr)
    return code


def _submit(arguments: argparse.Namespace, profile: "Profile", crew: "Crew") -> int:
    from bana.experiment import shards
    from bana.experiment.cluster import run_jobs
    from bana.files.paths import run_dir

    options = options_of(arguments, cpus=crew.processes, gpus=gpus_of(crew.devices))
    parts, made_of = arguments.submit, (profile, arguments.split, arguments.variant)
    plan = shards.shards_of(*made_of, arguments.data, crew.batch, parts)
    left = shards.to_do(plan)
    print(f"{parts} shards: {parts - len(left)} are finished", flush=True)
    failed = False
    if left:
        shards.check_classifier(profile, arguments.variant, arguments.data)
        names = {part: f"shard-{part}-of-{parts}" for part in left}
        changes = {"workers": crew.processes, "submit": None, "job": []}
        jobs = {
            name: Command.of(arguments, shard=(part, parts), **changes)
            for part, name in names.items()
        }
        folder = run_dir(profile.name) / "jobs" / f"label-{arguments.variant}-{arguments.split}"
        ended = run_jobs(jobs, folder, options)
        # A shard of which images could not be read has done what it could.
        failed = tell_of_failures(ended, well=(0, 1))
        missing = shards.unfinished_parts(plan)
        for part, images in missing.items():
            print(f"bana: shard-{part}-of-{parts}: {len(images)} images to do", file=sys.stderr)
        failed = failed or bool(missing)
    if failed:
        print("bana: give the same command again: finished labels are kept", file=sys.stderr)
        return 1
    failures = shards.merge(plan)
    print(plan.folder)
    return _told(failures)
