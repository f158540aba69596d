"""The experiments under a profile: what each needs is made, kept, and compared."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bana.data.fingerprint import fingerprint
from bana.experiment import stages
from bana.experiment.keeping import key_of
from bana.experiment.left_out import doctor, sigma, trainings
from bana.experiment.left_out.catalogue import EXPERIMENTS
from bana.experiment.left_out.measuring import UNCHANGED, Bench, compared, kept_areas
from bana.experiment.left_out.saying import shown_by
from bana.experiment.left_out.steps import Change
from bana.experiment.profiles import Profile
from bana.experiment.regime import kept_judgement
from bana.files.artefacts import kept_json, weights_hash
from bana.files.paths import run_dir

Root = str | Path | None


def left_out(
    profile: Profile, names: Sequence[str], images: int | None = None, root: Root = None
) -> dict[str, dict[str, Any]]:
    """Several experiments on a profile's val images, with the classifier that it trains.

    Args:
        profile: settings.
        names: keys of `bana.experiment.left_out.catalogue.EXPERIMENTS`.
        images: so many of them, evenly spaced; None takes all. Sigma judges training images.
        root: see `bana.experiment.stages.data_root`.

    Returns:
        {name: {"question", "shows": the answer in a sentence or two, and what the experiment
        measured}}. An experiment that changes a step has "images" and "changes": {change: as of
        `bana.experiment.left_out.measuring.compared`}, "unchanged" first.

    Raises:
        ValueError: if a name is unknown, or fewer than one image is asked for.
    """
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        known = ", ".join(EXPERIMENTS)
        raise ValueError(f"unknown experiment {unknown[0]!r}: use one of {known}")
    if images is not None and images < 1:
        raise ValueError(f"at least one image, not {images}")
    others: dict[str, Callable[..., dict[str, Any]]] = {
        "doctor": _doctor,
        "sigma": _sigma,
        "fewer": _fewer,
        "backbone": _backbone,
    }
    result = {}
    for name in names:
        run = others.get(name, lambda *given, name=name: _steps(name, *given))
        made = run(profile, images, root)
        question = EXPERIMENTS[name].question
        result[name] = {"question": question, "shows": shown_by(made), **made}
    return result


def bench_of(profile: Profile, root: Root = None) -> Bench:
    """The val images, the BAP classifier, and the settings of its labels."""
    return Bench(
        stages.classifier(profile, "bap", root),
        stages.dataset(profile, "val", root),
        stages.label_settings_of(profile, "bap"),
        profile.seed,
    )


def chosen_numbers(count: int, images: int | None) -> list[int]:
    """Positions of so many of ``count`` images, evenly spaced; all for None."""
    wanted = count if images is None else min(images, count)
    return [i * count // wanted for i in range(wanted)]


def _folder(profile: Profile) -> Path:
    return run_dir(profile.name) / "left-out"


def _unchanged(bench: Bench, where: Path, numbers: Sequence[int], processes: int) -> Tensor:
    """Areas of the method as it is, see `kept_areas`."""
    change = {UNCHANGED: Change()}
    return kept_areas(bench, change, where / UNCHANGED, numbers, processes)[UNCHANGED]


def _steps(name: str, profile: Profile, images: int | None, root: Root) -> dict[str, Any]:
    bench = bench_of(profile, root)
    numbers = chosen_numbers(len(bench.data), images)
    where, processes = _folder(profile), profile.label_workers
    base = _unchanged(bench, where, numbers, processes)
    changes = EXPERIMENTS[name].changes
    made = kept_areas(bench, changes, where / name, numbers, processes)
    rows = {change: compared(areas, base) for change, areas in made.items()}
    return {"images": len(numbers), "changes": {UNCHANGED: compared(base, base)} | rows}


def _doctor(profile: Profile, images: int | None, root: Root) -> dict[str, Any]:
    bench, judge = bench_of(profile, root), stages.segmenter(profile, "nal", root)
    numbers = chosen_numbers(len(bench.data), images)
    key = key_of(
        doctor.examined,
        bench.settings,
        [weights_hash(network.state_dict()) for network in (bench.model, judge)],
        fingerprint(bench.data, "photograph", "boxes"),
        [bench.seed, profile.gamma, *numbers],
    )
    return kept_json(
        _folder(profile) / "doctor.json",
        key,
        lambda: {
            "images": len(numbers),
            "defects": doctor.examined(
                doctor.Practice(bench, judge, profile.gamma), numbers, profile.label_workers
            ),
        },
    )


def _sigma(profile: Profile, images: int | None, root: Root) -> dict[str, Any]:
    return kept_judgement(
        profile,
        _folder(profile) / "sigma.json",
        sigma.honesty,
        1.0,  # of which every other gamma is a power
        root,
        lambda count: chosen_numbers(count, images),
    )


def _fewer(profile: Profile, images: int | None, root: Root) -> dict[str, Any]:
    return _trained("fewer", trainings.FEWER, profile, images, root)


def _backbone(profile: Profile, images: int | None, root: Root) -> dict[str, Any]:
    return _trained("backbone", trainings.BACKBONES, profile, images, root)


def _trained(
    name: str,
    chosen: Mapping[str, trainings.Training],
    profile: Profile,
    images: int | None,
    root: Root,
) -> dict[str, Any]:
    """Labels of classifiers of other trainings, beside those of the profile's."""
    trainings.check_trainings(profile, chosen)
    bench = bench_of(profile, root)
    numbers = chosen_numbers(len(bench.data), images)
    where, processes = _folder(profile), profile.label_workers
    base = _unchanged(bench, where, numbers, processes)
    trainings.train_missing(profile, chosen, root)
    rows = {UNCHANGED: compared(base, base)}
    for each, training in chosen.items():
        other = bench._replace(model=trainings.classifier_of(profile, each, training, root))
        change = {each: Change(class_agnostic=training.untrained)}
        areas = kept_areas(other, change, where / name, numbers, processes)[each]
        rows[each] = compared(areas, base)
    seconds = trainings.seconds_of_trainings(profile, list(chosen))
    return {"images": len(numbers), "changes": rows, "seconds of training": seconds}
