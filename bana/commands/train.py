"""The command `bana train`, and what the command line can change in a profile."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bana.commands.submit import Command, add_job_option, gpus_of, options_of, tell_of_failures
from bana.files.paths import run_dir

if TYPE_CHECKING:  # imports torch, which `bana --help` does without
    from bana.experiment.profiles import Profile
    from bana.training.machine import Machine

POOLINGS = ("bap", "gap")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
# Options of `bana train` that are fields of `bana.training.machine.Machine`.
MACHINE = ("accelerator", "devices", "nodes", "precision", "accumulation", "compile")
MACHINE += ("loader_workers", "checkpoint_minutes", "restart", "tensorboard")


def add_train_command(
    command: Callable[..., argparse.ArgumentParser],
    with_profile: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
    losses: tuple[str, ...],
) -> None:
    """Add `bana train classifier` and `bana train segmentation`.

    Args:
        command: makes a command of its name, action and help.
        with_profile: adds the options of every command that works under a profile.
        losses: names to choose from.
    """
    train = command("train", _train, "train a network, unless it is trained already")
    models = train.add_subparsers(dest="model", metavar="MODEL", required=True)
    classifier = with_profile(models.add_parser("classifier", help="stage 1, learns from boxes"))
    _add_machine(add_changes(classifier))
    classifier.add_argument(
        "--pooling", choices=POOLINGS, default="bap", help="within a box (default: bap)"
    )
    segmentation = with_profile(
        models.add_parser("segmentation", help="stage 3, learns from pseudo labels")
    )
    _add_machine(add_strong(add_changes(segmentation)))
    segmentation.add_argument("--loss", choices=losses, default="nal", help="(default: nal)")


def add_changes(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the options that change a profile; `chosen_profile` reads them."""
    made.add_argument(
        "--weights",
        type=Path,
        metavar="PATH",
        help="ImageNet weights: a file, or a folder of them (default: BANA_WEIGHTS, a folder)",
    )
    made.add_argument(
        "--iterations",
        type=int,
        metavar="N",
        help="a try: N iterations a training, in a run folder of its own",
    )
    return made


def add_strong(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add --strong, to commands in which a segmenter learns."""
    made.add_argument(
        "--strong",
        metavar="SPLIT",
        help="semi-supervised: true masks of this split instead of their pseudo labels",
    )
    return made


def _add_machine(made: argparse.ArgumentParser) -> None:
    """Options that say where and how to train, not what."""
    group = made.add_argument_group(
        "machine", "Where to train; the results are kept under the same name in any case."
    )
    group.add_argument("--accelerator", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--devices", type=int, metavar="N", help="processes a node, a device each")
    group.add_argument(
        "--nodes", type=int, metavar="N", help="(default: as torchrun or SLURM says)"
    )
    group.add_argument("--precision", choices=PRECISIONS, help="(default: 32-true)")
    group.add_argument(
        "--accumulate",
        dest="accumulation",
        type=int,
        metavar="N",
        help="cut each batch into N that are computed one after the other, for small memories",
    )
    group.add_argument("--compile", action="store_true", help="use torch.compile")
    group.add_argument(
        "--workers",
        dest="loader_workers",
        type=int,
        metavar="N",
        help="processes that prepare crops, for each device (default: the profile's)",
    )
    group.add_argument(
        "--checkpoint-minutes", type=float, metavar="M", help="between checkpoints (default: 5)"
    )
    group.add_argument(
        "--restart", action="store_true", help="begin anew; without it a training goes on"
    )
    group.add_argument(
        "--tensorboard", action="store_true", help="write the metrics for TensorBoard too"
    )
    group.add_argument(
        "--submit",
        action="store_true",
        help="as a SLURM job of --nodes with --devices each, requeued after a preemption, or as "
        "a process of its own where there is no SLURM; waits for it",
    )
    add_job_option(group)


def chosen_profile(arguments: argparse.Namespace) -> "Profile":
    """The profile that is named, with what the command line changes in it.

    Args:
        arguments: with "profile" and, of a command that has them, the options of `add_changes`.

    Raises:
        ValueError: if there is no such profile, a change makes no sense, or a folder of photographs
            is given to a profile that draws its own.
        FileNotFoundError: if there are no such weights, needed or not.
    """
    from bana.experiment.profiles import check_data_folder, get_profile, shortened

    given = vars(arguments)
    profile = get_profile(arguments.profile)
    check_data_folder(profile, given.get("data"))
    tell_of_unused_folder(profile)
    if given.get("weights") is not None and not given["weights"].exists():
        raise FileNotFoundError(f"--weights {given['weights']}: no such file or folder")
    if given.get("iterations") is not None:
        profile = shortened(profile, given["iterations"])
    if given.get("weights") is not None:
        profile = replace(profile, weights=str(given["weights"]))
    if given.get("strong") is not None:
        profile = replace(profile, strong_split=given["strong"])
    return profile


def tell_of_unused_folder(profile: "Profile") -> None:
    """Say where BANA_VOC_ROOT is set and the profile draws its own data.

    It is no error: the variable is set once for many commands, and the course's own among them
    need no photographs.
    """
    folder = os.environ.get("BANA_VOC_ROOT", "").strip()
    if folder and profile.data == "sample":
        print(
            f"bana: note: profile {profile.name!r} draws its own data, BANA_VOC_ROOT={folder} is "
            f"not used",
            file=sys.stderr,
        )


def _train(arguments: argparse.Namespace) -> int:
    from bana.experiment import stages
    from bana.training import engine
    from bana.training.machine import Machine
    from bana.training.runs import Interrupted

    profile = chosen_profile(arguments)
    machine = Machine(
        **{name: value for name in MACHINE if (value := getattr(arguments, name)) is not None}
    )
    if arguments.submit:
        return _submit(arguments, profile, machine)
    options_of(arguments)
    try:
        if arguments.model == "classifier":
            stages.classifier(profile, arguments.pooling, arguments.data, machine)
        else:
            stages.segmenter(profile, arguments.loss, arguments.data, machine)
    except Interrupted as stopped:
        if engine.finish():
            print(f"bana: {stopped}", file=sys.stderr)
        return stopped.exit_code
    if engine.finish():
        print(run_dir(profile.name))
    return 0


def _submit(arguments: argparse.Namespace, profile: "Profile", machine: "Machine") -> int:
    from bana.experiment.cluster import run_jobs

    if machine.restart:
        raise ValueError("--restart with --submit would begin anew after every preemption")
    processes = machine.devices or 1
    kind = machine.accelerator
    gpus = processes if kind in ("auto", "cuda") else gpus_of([kind])
    workers = machine.loader_workers
    workers = profile.loader_workers if workers is None else workers
    options = options_of(arguments, cpus=workers + 1, gpus=gpus)
    learned = arguments.pooling if arguments.model == "classifier" else arguments.loss
    name = f"{arguments.model}-{learned}"
    job = {name: Command.of(arguments, submit=False, job=[])}
    folder = run_dir(profile.name) / "jobs" / f"train-{name}"
    ended = run_jobs(job, folder, options, machine.nodes or 1, processes)
    if tell_of_failures(ended):
        code = ended[name].code
        return 1 if code is None else code
    print(run_dir(profile.name))
    return 0
