"""What the experiments show, in words: every verdict, and nothing that no interval says."""

from bana.evaluation.intervals import Difference
from bana.evaluation.verdicts import verdict
from bana.experiment.left_out.measuring import MEASURES, UNCHANGED
from bana.experiment.left_out.saying import left_out_lines, shown_by


def row(mean: float, low: float, high: float) -> dict:
    difference = Difference(mean, low, high)
    return {"miou": 60 + mean, **difference._asdict(), "verdict": verdict(difference)}


def changes() -> dict:
    crf = {
        UNCHANGED: row(0, 0, 0),
        "worse": row(-3.0, -4.0, -2.0),
        "better": row(2.0, 1.0, 3.0),
        "either": row(0.5, -1.0, 2.0),
    }
    ret = dict.fromkeys(crf, row(0.1, -0.2, 0.3))
    none = {"miou": None, "mean": None, "low": None, "high": None, "verdict": "not told apart"}
    return {
        name: dict.fromkeys(MEASURES, none) | {"y_crf": crf[name], "y_ret": ret[name]}
        for name in crf
    }


def curve(value: float, far: float) -> dict[str, float]:
    return {"value": value, "low": value - far, "high": value + far}


DEFECTS = {
    "loosened 30 %": {
        "boxes": 20,
        "defective": 9,
        "signs": {"empty": curve(90, 5), "contact": curve(30, 5), "differ": curve(55, 10)},
    },
    "missing": {"boxes": 5, "defective": 0, "signs": {"unlike": None}},
}
GAMMAS = {
    "1": {"sigma": curve(90, 1), "over": curve(40, 2), "error": curve(41, 2)},
    "7": {"sigma": curve(70, 1), "over": curve(20, 2), "error": curve(22, 2)},
    "30": {"sigma": curve(45, 1), "over": curve(-5, 2), "error": curve(6, 2)},
}
MADE = {
    "steps": {"question": "Which?", "changes": changes()},
    "doctor": {"question": "Which box?", "defects": DEFECTS},
    "sigma": {"question": "How sure?", "right": curve(50, 3), "gammas": GAMMAS},
}


def test_changes_are_named_by_verdict_and_unchanged_is_none() -> None:
    assert shown_by(MADE["steps"]) == (
        "mIoU of Y_crf, of 3 changes: 1 higher: better +2.0 [+1.0, +3.0], "
        "1 lower: worse -3.0 [-4.0, -2.0]; 1 not told apart. "
        "mIoU of Y_ret, of 3 changes: 0 lower; 3 not told apart."
    )


def test_signs_are_named_where_their_interval_leaves_chance() -> None:
    assert shown_by(MADE["doctor"]) == (
        "Signs told from chance, 50, by AUC. loosened 30 %: empty 90.0 [85.0, 95.0] "
        "(the wrong way: contact). missing: no sign is told from chance."
    )


def test_sigma_is_said_at_the_papers_gamma_and_at_the_best() -> None:
    assert shown_by(MADE["sigma"]) == (
        "Of the labels in ~S 50.0 [47.0, 53.0] % are right. Sigma is above that by "
        "20.0 [18.0, 22.0] points at the paper's gamma 7, with an error of 22.0 [20.0, 24.0]; of "
        "the gammas tried, 30 has the least, 6.0 [4.0, 8.0]."
    )
    empty = {"right": None, "gammas": {"7": dict.fromkeys(("sigma", "over", "error"))}}
    assert shown_by(empty) == "Both labels agree everywhere: sigma is asked for no pixel."


def test_lines_show_every_number() -> None:
    made = {name: {"shows": shown_by(each), **each} for name, each in MADE.items()}
    made["steps"]["seconds of training"] = {"half": 41.2}
    text = left_out_lines(made)
    for each in made.values():
        assert each["question"] in text and each["shows"] in text
    for said in ("worse", "57.0", "+0.5 [-1.0, +2.0], not told apart", "loosened 30 %: 9 of 20"):
        assert said in text
    assert "AUC 90.0 [85.0, 95.0] (chance: 50)" in text and "AUC - (chance: 50)" in text
    assert "gamma 30" in text and "error 6.0 [4.0, 8.0]" in text and "41 s: half" in text
