"""What the experiments show, in sentences and in lines; all numbers in percent and points.

A sentence says no more than the intervals do. Where several things are tried, some are told apart
by chance: one in twenty where nothing is changed, which is why all are named and none is picked.
"""

from collections.abc import Mapping
from typing import Any

from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import NOT_TOLD_APART, estimated, interval, stated
from bana.experiment.left_out.measuring import MEASURES, UNCHANGED

CHANCE = 50


def shown_by(made: Mapping[str, Any]) -> str:
    """The answer that an experiment gives, in a sentence or two.

    Args:
        made: what it measured, see `bana.experiment.left_out.running.left_out`.
    """
    if "changes" in made:
        return _of_changes(made["changes"])
    if "defects" in made:
        return _of_defects(made["defects"])
    return _of_gammas(made["right"], made["gammas"])


def _of_changes(changes: Mapping[str, Mapping[str, Any]]) -> str:
    """Which changes raise or lower mIoU and boundary IoU of Y_crf."""
    sentences = []
    for measure, name in (("y_crf", "mIoU of Y_crf"), ("y_ret", "mIoU of Y_ret")):
        rows = {change: row[measure] for change, row in changes.items() if change != UNCHANGED}
        parts = [
            f"{len(told)} {word}{': ' if told else ''}{'; '.join(told)}"
            for word in ("higher", "lower")
            if (told := _named(rows, word)) or word == "lower"
        ]
        rest = len(_named(rows, NOT_TOLD_APART))
        sentences.append(
            f"{name}, of {_counted(len(rows), 'change')}: {', '.join(parts)}; {rest} not told apart"
        )
    return ". ".join(sentences) + "."


def _named(rows: Mapping[str, Mapping[str, Any]], word: str) -> list[str]:
    """The changes of a verdict, each with its difference."""
    return [
        f"{change} {interval(Difference(row['mean'], row['low'], row['high']))}"
        for change, row in rows.items()
        if row["verdict"] == word and None not in (row["mean"], row["low"], row["high"])
    ]


def _of_defects(defects: Mapping[str, Mapping[str, Any]]) -> str:
    """Which signs tell defective boxes from sound ones, for each defect."""
    sentences = []
    for defect, made in defects.items():
        curves = {sign: curve for sign, curve in made["signs"].items() if curve}
        right = [
            f"{sign} {estimated(curve)}" for sign, curve in curves.items() if curve["low"] > CHANCE
        ]
        wrong = [sign for sign, curve in curves.items() if curve["high"] < CHANCE]
        text = f"{defect}: " + (", ".join(right) or "no sign is told from chance")
        sentences.append(text + (f" (the wrong way: {', '.join(wrong)})" if wrong else ""))
    return f"Signs told from chance, {CHANCE}, by AUC. {'. '.join(sentences)}."


def _of_gammas(right: Mapping[str, float] | None, gammas: Mapping[str, Mapping[str, Any]]) -> str:
    """At which gamma sigma is nearest to the share of right labels."""
    errors = {gamma: row["error"]["value"] for gamma, row in gammas.items() if row["error"]}
    if not errors:
        return "Both labels agree everywhere: sigma is asked for no pixel."
    best = min(errors, key=errors.__getitem__)
    papers = gammas.get("7", gammas[best])
    return (
        f"Of the labels in ~S {estimated(right)} % are right. Sigma is above that by "
        f"{estimated(papers['over'])} points at the paper's gamma 7, with an error of "
        f"{estimated(papers['error'])}; of the gammas tried, {best} has the least, "
        f"{estimated(gammas[best]['error'])}."
    )


def left_out_lines(experiments: Mapping[str, Mapping[str, Any]]) -> str:
    """What the experiments measured, as plain text.

    Args:
        experiments: of `bana.experiment.left_out.running.left_out`.
    """
    lines: list[str] = []
    for name, made in experiments.items():
        lines.append(f"{name}: {made['question']}")
        lines += _change_lines(made.get("changes", {}))
        lines += _defect_lines(made.get("defects", {}))
        lines += [
            f"  gamma {gamma:<5}sigma {estimated(row['sigma'])}, above the right labels by "
            f"{estimated(row['over'])}, error {estimated(row['error'])}"
            for gamma, row in made.get("gammas", {}).items()
        ]
        lines += [
            f"  trained for {seconds:.0f} s: {training}"
            for training, seconds in made.get("seconds of training", {}).items()
        ]
        lines.append(f"  {made['shows']}")
    return "\n".join(lines)


def _change_lines(changes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for change, measures in changes.items():
        lines.append(f"  {change}")
        for measure in MEASURES:
            row = measures[measure]
            values = [row[field] for field in Difference._fields]
            told = "-" if None in values else stated(Difference(*values))
            score = "-" if row["miou"] is None else f"{row['miou']:.1f}"
            lines.append(f"    {measure:<18}{score:>6}  {'' if change == UNCHANGED else told}")
    return lines


def _defect_lines(defects: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for defect, made in defects.items():
        lines.append(f"  {defect}: {made['defective']} of {made['boxes']}")
        lines += [
            f"    {sign:<12}AUC {estimated(curve)} (chance: {CHANCE})"
            for sign, curve in made["signs"].items()
        ]
    return lines


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
