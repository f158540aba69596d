"""What recipes of stage 3 bring, as Markdown, from the records in results/; see tools/readme.py."""

from collections.abc import Mapping
from typing import Any

from markdown_tables import difference_cell, score_of, table_of

from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import difference_of, verdict


def recipes_tried(name: str, record: dict[str, Any]) -> str:
    """What each recipe of stage 3 makes of true masks and of Y_crf, in each training of all."""
    trainings = [each["recipes"] for each in (record, *record.get("again", []))]
    names = list(dict.fromkeys(recipe for made in trainings for recipe in made))

    rows = [[each, *(c for made in trainings for c in _cells(made, each))] for each in names]
    verdicts = [verdict(difference) for _, difference in recipe_gaps(record)]
    ahead, behind = verdicts.count("higher"), verdicts.count("lower")
    first, *others = map(_columns, trainings)
    header = ["recipe", *first, *(f"again: {each}" for other in others for each in other)]
    # So that "one choice" stays true of the recipe that changes several.
    several = "; `together`: `times-16`, `crop-321`, `all-stages` and `skip` at once"
    more = several if "together" in names else ""
    told = f"of these {len(verdicts)} {'comparisons' if trainings[1:] else 'recipes'}"
    told += f", behind in {behind}" if behind else ""
    told += ". Blank: not tried with that classifier" if trainings[1:] else ""
    return (
        f"**Looking for room**: recipes of stage 3 on `{name}`, each with one choice changed in "
        f"`plain`, the profile's own with SGD (`adamw` has a rate of its own, too{more}); mIoU % "
        f"on every fifth *training* image, held out of the training ([record](../results/recipes-"
        f"{name}.json){_again_recipes(name, record)}; one training each, so that intervals cover "
        f"the choice of images alone).\n\n"
        f"{table_of(header, rows)}\n\n"
        f"True masks are ahead of Y_crf in {ahead} {told}.{_moved(record)}"
    )


def _columns(made: Mapping[str, Any]) -> list[str]:
    """The columns of one training of all: with own biases where these were asked for."""
    columns = ["true masks", "Y_crf", "true masks over Y_crf, points"]
    biased = any("at bias" in each for each in made.values())
    return columns + ([f"{columns[-1]}, own biases"] if biased else [])


def _cells(made: Mapping[str, Any], recipe: str) -> list[str]:
    columns = _columns(made)
    if recipe not in made:
        return [""] * len(columns)
    row = made[recipe]
    cells = [score_of(row["miou"][loss]) for loss in ("truth", "crf")]
    cells.append(difference_cell(difference_of(row["truth - crf"])))
    if len(columns) > len(cells):
        biased = row.get("at bias")
        cells.append(difference_cell(difference_of(biased["truth - crf"])) if biased else "")
    return cells


def _moved(record: Mapping[str, Any]) -> str:
    """In how many comparisons true masks are ahead with own biases, in a sentence."""
    verdicts = [verdict(difference) for _, difference in recipe_gaps(record, "at bias")]
    if not verdicts:
        return ""
    return (
        f" With a background bias of its own for each network, chosen on images that it learned "
        f"from, they are ahead in {verdicts.count('higher')} of {len(verdicts)}."
    )


def recipe_gaps(record: Mapping[str, Any], way: str = "argmax") -> list[tuple[str, Difference]]:
    """Recipes and what true masks bring over Y_crf by them, in a record and its like.

    Args:
        record: of `bana bench recipes`.
        way: by "argmax", or with each network "at bias", which older records lack.
    """
    found = [
        (recipe, made if way == "argmax" else made.get(way))
        for each in (record, *record.get("again", []))
        for recipe, made in each["recipes"].items()
    ]
    return [(recipe, difference_of(row["truth - crf"])) for recipe, row in found if row]


def _again_recipes(name: str, record: Mapping[str, Any]) -> str:
    """Where the trainings of classifier, labels and networks that the columns show took place."""
    if not record.get("again"):
        return ""
    links = ", ".join(
        f"[record](../results/recipes-{name}-again-{number}.json), on {_devices(each)}"
        for number, each in enumerate(record["again"], 1)
    )
    return f", on {_devices(record)}; again with other classifier, labels and networks: {links}"


def _devices(record: Mapping[str, Any]) -> str:
    found = dict.fromkeys(made["environment"]["device"] for made in record["recipes"].values())
    return " and ".join("a CPU" if each == "cpu" else each for each in found)
