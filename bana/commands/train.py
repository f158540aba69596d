"""The command `bana train`, and what the command line can change in a profile."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
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
# Settings of the paper that a command can change: fields of `bana.experiment.profiles.Changes`, by
# option, each with its type and help.
SETTINGS: dict[str, tuple[str, type, str]] = {
    "--grid": ("grid_size", int, "N of Eq. 1 in training"),
    "--parts": ("parts", int, "a box is pooled in N x N pieces in training"),
    "--label-grid": ("label_grid", int, "N of Eq. 1 when labels are made"),
    "--threshold": ("threshold", float, "u_0 below this fraction of its maximum becomes 0"),
    "--gamma": ("gamma", float, "of the confidence, Eq. 12"),
    "--lambda": ("lam", float, "weight of ~S, Eq. 14"),
}
OF_CLASSIFIER = ("--grid", "--parts")
OF_LABELS = (*OF_CLASSIFIER, "--label-grid", "--threshold")
ALL_SETTINGS = tuple(SETTINGS)


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
    _add_machine(add_settings(add_changes(classifier), OF_CLASSIFIER))
    classifier.add_argument(
        "--pooling", choices=POOLINGS, default="bap", help="within a box (default: bap)"
    )
    segmentation = with_profile(
        models.add_parser("segmentation", help="stage 3, learns from pseudo labels")
    )
    _add_machine(add_strong(add_settings(add_changes(segmentation), ALL_SETTINGS)))
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


def add_settings(
    made: argparse.ArgumentParser, options: tuple[str, ...]
) -> argparse.ArgumentParser:
    """Add options of `SETTINGS`, those that what the command makes depends on."""
    group = made.add_argument_group(
        "settings of the paper",
        "A changed one has folders of its own from the stage on that it changes, and finds the "
        "stages before it where they are.",
    )
    for option in options:
        field, kind, text = SETTINGS[option]
        mark = "N" if kind is int else "X"
        group.add_argument(option, dest=field, type=kind, metavar=mark, help=text)
    return made


def settings_given(arguments: argparse.Namespace) -> dict[str, float]:
    """The fields of `SETTINGS` that the command line names, with their values."""
    given = vars(arguments)
    fields = (field for field, _, _ in SETTINGS.values())
    return {field: given[field] for field in fields if given.get(field) is not None}


def told(arguments: argparse.Namespace) -> str:
    """The words of the command line that choose a profile and change it, for records."""
    words = [f"--profile {arguments.profile}"]
    if vars(arguments).get("iterations") is not None:
        words.append(f"--iterations {arguments.iterations}")
    given = settings_given(arguments)
    words += [f"{o} {given[field]:g}" for o, (field, _, _) in SETTINGS.items() if field in given]
    if vars(arguments).get("strong") is not None:
        words.append(f"--strong {arguments.strong}")
    return " ".join(words)


def refuse_unused(arguments: argparse.Namespace, fields: Sequence[str], why: str) -> None:
    """Refuse settings that would change nothing.

    Args:
        arguments: of a command with `add_settings`.
        fields: of `SETTINGS`, that the command would not use now.
        why: it would not.

    Raises:
        ValueError: one of them is given.
    """
    given = settings_given(arguments)
    for option, (field, _, _) in SETTINGS.items():
        if field in fields and field in given:
            raise ValueError(f"{option} {given[field]:g}: {why}: leave it out")


def refuse_unused_by_labels(arguments: argparse.Namespace, variant: str) -> None:
    """Refuse settings that a kind of labels does not depend on.

    Raises:
        ValueError: one of them is given.
    """
    from bana.experiment.labelling import VARIANTS

    recipe = VARIANTS[variant]
    if recipe is None:
        fields = [SETTINGS[option][0] for option in OF_LABELS]
        refuse_unused(arguments, fields, f"labels {variant!r} are made without a classifier")
    elif recipe[1].get("background") == "none":
        unused = ("label_grid", "threshold")
        refuse_unused(arguments, unused, f"labels {variant!r} have no u_0")


def refuse_unused_by_loss(arguments: argparse.Namespace, *losses: str) -> None:
    """Refuse gamma or lambda for losses that have none.

    Raises:
        ValueError: one of them is given.
    """
    from bana.training.segmentation import WEIGHTS

    unused = {"gamma", "lam"}.difference(*(WEIGHTS.get(loss, ()) for loss in losses))
    why = f"loss {losses[0]!r} has none" if len(losses) == 1 else "none of these losses has it"
    refuse_unused(arguments, sorted(unused), why)


def add_strong(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add --strong, to commands in which a segmenter learns."""
    made.add_argument(
        "--strong",
        metavar="SPLIT",
        help="semi-supervised: true masks of this split instead of their pseudo labels, in a run "
        "folder of its own",
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
        arguments: with "profile" and, of a command that has them, the options of `add_changes` and
            `add_settings`.

    Raises:
        ValueError: if there is no such profile, a change makes no sense, or a folder of photographs
            is given to a profile that draws its own.
        FileNotFoundError: if there are no such weights, needed or not.
    """
    from bana.experiment.profiles import (
        Changes,
        changed,
        check_data_folder,
        get_profile,
        semi_supervised,
        shortened,
    )

    given = vars(arguments)
    profile = get_profile(arguments.profile)
    check_data_folder(profile, given.get("data"))
    tell_of_unused_folder(profile)
    if given.get("weights") is not None and not given["weights"].exists():
        raise FileNotFoundError(f"--weights {given['weights']}: no such file or folder")
    if given.get("iterations") is not None:
        profile = shortened(profile, given["iterations"])
    if settings := settings_given(arguments):
        profile = changed(profile, Changes(**settings))
    if given.get("weights") is not None:
        profile = replace(profile, weights=str(given["weights"]))
    if given.get("strong") is not None:
        profile = semi_supervised(profile, given["strong"])
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

    if arguments.model == "segmentation":
        refuse_unused_by_loss(arguments, arguments.loss)
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
