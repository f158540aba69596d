"""The numbers of README.md and docs/results.md are what tools/readme.py writes from the records."""

import copy
import json
import math

import pytest
from load_tool import load_tool

from bana.evaluation.intervals import Difference
from bana.experiment.seeds import combined_record
from bana.training.segmentation import LOSSES


def _record(bap: float, nal: float) -> dict:
    labels = {"boxes": 50, "grabcut": 55, "gap": 60, "bap-no-u0": 62, "bap-ret": 58}
    labels |= {"agreement-dropped": 75, "agreement-wrong": 57, "bap": bap}
    networks = {"crf": 50, "ret": 45, "ignore": 52, "nal": nal}
    modes = ("single", "single-crf")
    return {
        "labels_val": {row: {"miou": score, "coverage": 100.0} for row, score in labels.items()},
        "segmentation_val": {k: {m: {"miou": v} for m in modes} for k, v in networks.items()},
        "data": {"images": {"train": 8, "val": 2}, "classes": ["background", "cat"]},
        "profile": {
            "backbone": "lite0",
            "seed": 0,
            "classifier": {"iterations": 3},
            "segmentation": {"iterations": 4},
        },
        "seconds": {"classifier-bap": 120.0},
        "environment": {"cores": 2},
        "commit": "abc1234",
    }


def test_both_pages_are_what_the_records_say():
    for path, text in load_tool("readme").pages().items():
        assert path.read_text(encoding="utf-8") == text, "run `python tools/readme.py`"


def test_speed_follows_the_records():
    tool = load_tool("readme")
    records = tool.read_records(("labels", "crf"))
    before = tool.speed(records)
    slow = copy.deepcopy(records)
    slow["labels"]["speed_up_median"] = 3.0
    slow["crf"]["one_thread"][0]["dense"]["ratio_to_pydensecrf"] = 7.25
    after = tool.speed(slow)
    assert ": 3 times faster" in after and ": 3 times faster" not in before
    assert "to 7.25" in after and "7.25" not in before


def _apart(**pairs: tuple[float, float, float]) -> dict:
    """Differences as a record has them, of "bap - gap" as ``bap_gap``."""
    return {
        name.replace("_", " - "): dict(zip(("mean", "low", "high"), made, strict=True))
        for name, made in pairs.items()
    }


def test_orderings_follow_the_intervals():
    tool, record = load_tool("readme"), _record(bap=65.0, nal=53.0)
    assert "orderings" not in tool.section({"sample": record})
    record["differences"] = {
        "labels_val": _apart(
            bap_gap=(5.0, 1.0, 9.0), grabcut_boxes=(-2.0, -3.0, -1.0), gap_grabcut=(1.0, -1.0, 3.0)
        ),
        "segmentation_val": _apart(nal_crf=(0.25, -0.75, 1.25), truth_crf=(3.0, 1.0, 5.0)),
    }
    labels, networks = (
        line for line in tool.section({"sample": record}).splitlines() if "orderings" in line
    )
    assert labels == (
        "The paper's orderings on `sample`. "
        "Came out: BAP, Y_crf over GAP, Y_crf (+5.0 [+1.0, +9.0]). "
        "Came out the other way: GrabCut over boxes filled (-2.0 [-3.0, -1.0]). "
        "Not told apart: GAP, Y_crf over GrabCut (+1.0 [-1.0, +3.0])."
    )
    # The ceiling is no ordering of the paper's.
    assert networks == (
        "The paper's orderings on `sample`. Not told apart: noise-aware loss over cross-entropy on "
        "Y_crf (+0.2 [-0.8, +1.2]). Each of these networks is trained once: the interval covers "
        "the choice of images, not the chance in a training, so that a gap of a point or two is "
        "open."
    )


def test_records_of_several_seeds_are_told_as_such():
    tool, record = load_tool("readme"), _record(bap=65.0, nal=53.0)
    record["differences"] = {
        "labels_val": _apart(bap_gap=(5.0, 1.0, 9.0)),
        "segmentation_val": _apart(nal_crf=(0.25, -0.75, 1.25)),
    }
    card = {
        "miou": {"bap": {"value": 61.0, "low": 60.0, "high": 62.0}},
        "differences": [{"first": "bap", "second": "gap", "mean": 4.0, "low": 3.0, "high": 6.0}],
    }
    alone = tool.extract({"sample": record}, {"sample": {"regime": card}}, {}, {})
    assert _rows(alone)["BAP, Y_crf"] == ["61.0"] and "seeds" not in alone
    other = copy.deepcopy(record)
    other["labels_val"]["bap"]["miou"], other["profile"]["seed"] = 67.0, 1
    several = combined_record([record, other], "sample") | {"differences": record["differences"]}
    text = tool.extract({"sample": several}, {"sample": {"regime": card}}, {}, {})
    assert _rows(text)["BAP, Y_crf"] == ["66.0 ± 1.4"]  # of the record, as all of its rows
    assert "of `sample` over 2 seeds of everything from the classifier on; their" in text
    several["data"] = several["data"] | {"kind": "drawn sample"}
    text = tool.extract({"sample": several}, {"sample": {"regime": card}}, {}, {})
    assert "2 seeds of everything, the drawn scenes included; their" in text
    assert "trained once" not in tool.section({"sample": several})


def test_trainings_that_failed_are_told():
    gap = {"mean": 1.0, "low": 0.5, "high": 1.5}
    made = {"truth - crf": gap, "nal - generalised": gap}
    rows = {
        "generalised": {"mean": 50.0, "spread": 14.1, "by_seed": [40.0, 60.0]},
        "crf": {"mean": 75.0, "spread": 0.1, "by_seed": [75.1, 74.9]},
    }
    bench = {"seeds": [0, 1], "benches": {"object, conv": {"differences": made, "miou": rows}}}
    records, tool = {"voc-mini": _record(bap=65.0, nal=53.0)}, load_tool("readme")
    text = tool.section(records, {}, {"voc-mini": bench})
    assert "generalised cross-entropy, `voc-mini`, object, conv: 40.0, 60.0. The" in text
    assert _rows(text)["noise-aware loss, over generalised cross-entropy"] == ["failed"]
    assert _rows(text)["true masks, over cross-entropy on Y_crf"] == ["**+1.0 [+0.5, +1.5]**"]
    assert "75.1" not in text
    rows["generalised"]["by_seed"] = [40.0, 40.0]
    text = tool.section(records, {}, {"voc-mini": bench})
    assert "generalised cross-entropy, `voc-mini`, object, conv: 40.0, 40.0. The" in text
    rows["generalised"]["by_seed"] = [70.0, 65.0]
    assert "failed" not in tool.section(records, {}, {"voc-mini": bench})


def test_what_was_not_scored_is_told_as_such():
    made = {"truth - crf": None}
    rows = {loss: {"mean": None, "spread": None, "by_seed": [None]} for loss in ("crf", "nal")}
    bench = {"seeds": [0], "benches": {"object, conv": {"differences": made, "miou": rows}}}
    recipe = {"miou": {"truth": None, "crf": None}, "truth - crf": None}
    records, tool = {"voc-mini": _record(bap=65.0, nal=53.0)}, load_tool("readme")
    records["voc-mini"]["differences"] = {"labels_val": {"bap - gap": None}}
    recipes = {"voc-mini": {"recipes": {"plain": recipe}}}
    text = tool.section(records, {}, {"voc-mini": bench}, recipes=recipes)
    assert _rows(text)["plain"] == ["-", "-", "not scored"]
    assert "object, conv: not scored" in text and "nan" not in text and "failed" not in text


def test_benches_are_columns_of_one_table():
    tool, records = load_tool("readme"), {"sample": _record(65.0, 53.0)}
    made = _apart(nal_crf=(0.25, -0.75, 1.25), truth_crf=(3.0, 1.0, 5.0))
    other = _apart(nal_crf=(2.0, 1.0, 3.0)) | _apart(nal_ret=(1.0, 0.5, 2.0))
    bench = {"seeds": [0, 1, 2], "benches": {"object, conv": {"differences": made}}}
    both = {"object, conv": {"differences": other}, "classes, conv": {"differences": made}}
    benches = {"sample": {**bench, "benches": both}, "voc-mini": bench}
    text = tool.section(records, {}, benches)
    rows = _rows(text)
    header = ["`voc-mini`, object, conv", "`sample`, object, conv", "`sample`, classes, conv"]
    assert rows["losses on frozen features, points of mIoU [95 %]"] == header
    untold = "+0.2 [-0.8, +1.2]"
    assert rows["noise-aware loss, over cross-entropy on Y_crf"] == [
        untold,
        "**+2.0 [+1.0, +3.0]**",
        untold,
    ]
    assert rows["true masks, over cross-entropy on Y_crf"][1] == "-"
    assert "[`sample`](../results/bench-sample.json), 3 seeds" in text
    assert "losses on frozen" not in tool.section(records)


def test_cells_are_bold_where_a_difference_is_told_apart():
    cell = load_tool("markdown_tables").difference_cell
    assert cell(Difference(-2.0, -3.0, -1.0)) == "**-2.0 [-3.0, -1.0]**"
    assert cell(Difference(2.0, -0.5, 4.5)) == "+2.0 [-0.5, +4.5]"
    assert cell(Difference(*3 * [math.nan])) == "not scored"


def test_a_bench_of_all_classes_may_have_a_record_of_its_own(tmp_path, monkeypatch):
    tool, made = load_tool("readme"), _apart(nal_crf=(0.2, -0.8, 1.2))
    bench = {"seeds": [0], "benches": {"object, conv": {"differences": made}}}
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    assert tool.with_classes("sample", bench) is bench
    (tmp_path / "results").mkdir()
    other = {"benches": {"classes, conv": {"differences": made}}}
    (tmp_path / "results" / "bench-sample-classes.json").write_text(json.dumps(other))
    text = tool.section(
        {"sample": _record(65.0, 53.0)}, {}, {"sample": tool.with_classes("sample", bench)}
    )
    assert (
        _rows(text)["losses on frozen features, points of mIoU [95 %]"][-1]
        == "`sample`, classes, conv"
    )
    assert "[by another training of the classifier](../results/bench-sample-classes.json)" in text
    assert list(bench["benches"]) == ["object, conv"]


def test_what_the_paper_left_out_is_told_as_measured():
    tool = load_tool("readme")

    def row(mean: float) -> dict:
        each = {"mean": mean, "low": mean - 1, "high": mean + 1}
        return {"y_crf": each, "y_ret": each | {"low": -5.0, "high": 5.0}}

    unchanged = {kind: each | {"miou": 60.0} for kind, each in row(0).items()}
    changes = {"unchanged": unchanged, "image maximum": row(-2)}
    cams = {"question": "Which maximum?", "shows": "1 lower.", "images": 60, "changes": changes}
    sigma = {"question": "How honest?", "shows": "Not so.", "images": 160}
    profile = {"unary": {"background_threshold": 0.75, "grid_size": 2}}
    experiments = {
        "cams": cams | {"changes": {"unchanged": unchanged, "none": row(3)}},
        "prototypes": cams | {"changes": {"unchanged": unchanged, "quarter": row(1)}},
        "sigma": sigma,
    }
    both = {
        "voc-mini": {"experiments": {"cams": cams | {"images": 100}}, "profile": profile},
        "sample": {"experiments": experiments, "profile": profile},
    }
    text = tool.section({"sample": _record(65.0, 53.0)}, left_out=both)
    assert "100 validation images of [`voc-mini`](../results/left-out-voc-mini.json)" in text
    assert "60 validation images of [`sample`](../results/left-out-sample.json)" in text
    told = "**-2.0 [-3.0, -1.0]** | -2.0 [-5.0, +5.0]"
    assert f"| cams: image maximum | {told} | - | - |" in text
    assert "| cams: none | - | - | **+3.0 [+2.0, +4.0]** |" in text and "unchanged |" not in text
    assert "| unchanged, mIoU % | 60.0 | 60.0 | 60.0 | 60.0 |" in text
    assert "`sample`: threshold 0.75, T 1, 4 background queries where labels are made" in text
    # Prototypes are taken once Y_crf is there.
    assert "| prototypes: quarter | - | - | - | +1.0 [-5.0, +5.0] |" in text
    assert "*How honest?* On 160 training images of `sample`: Not so." in text
    assert "Which maximum?" not in text and "rows `fewer`" not in text
    both["sample"]["experiments"]["fewer"] = cams
    text = tool.section({"sample": _record(65.0, 53.0)}, left_out=both)
    assert "rows `fewer` are of other classifiers, one training each" in text


def test_recipes_are_told_as_measured():
    tool = load_tool("readme")
    apart = {"mean": 0.7, "low": -0.8, "high": 2.2}
    made = {"miou": {"truth": 52.4, "crf": 51.7}, "truth - crf": apart}
    text = tool.section(
        {"sample": _record(65.0, 53.0)}, recipes={"sample": {"recipes": {"plain": made}}}
    )
    assert "| plain | 52.4 | 51.7 | +0.7 [-0.8, +2.2] |" in text
    assert "results/recipes-sample.json" in text
    assert "ahead of Y_crf in 0 of these 1 recipes" in text
    more = made | {"truth - crf": {"mean": 3.5, "low": 0.2, "high": 6.0}}
    text = tool.section(
        {"sample": _record(65.0, 53.0)},
        recipes={"sample": {"recipes": {"plain": made, "skip": more}}},
    )
    assert "ahead of Y_crf in 1 of these 2 recipes" in text and "at once" not in text
    text = tool.section(
        {"sample": _record(65.0, 53.0)},
        recipes={"sample": {"recipes": {"plain": made, "together": more}}},
    )
    assert "`together`: `times-16`, `crop-321`, `all-stages` and `skip` at once)" in text


def test_recipes_of_another_training_stand_beside_and_count():
    tool = load_tool("readme")
    made = {
        "miou": {"truth": 52.4, "crf": 51.7},
        "truth - crf": {"mean": 0.7, "low": -0.8, "high": 2.2},
        "optimisation": {"iterations": 400},
        "environment": {"device": "cuda CARD"},
    }
    worse = made | {"truth - crf": {"mean": -2.7, "low": -4.6, "high": -0.1}}
    other = made | {"environment": {"device": "cpu"}, "optimisation": {"iterations": 1600}}
    again = [{"recipes": {"plain": other, "times-4": other}}]
    recipes = {"sample": {"recipes": {"plain": made, "skip": worse}, "again": again}}
    text = tool.section({"sample": _record(65.0, 53.0)}, recipes=recipes)
    gap = "+0.7 [-0.8, +2.2]"
    assert f"| plain | 52.4 | 51.7 | {gap} | 52.4 | 51.7 | {gap} |" in text
    assert f"| times-4 |  |  |  | 52.4 | 51.7 | {gap} |" in text
    assert "recipes-sample.json), on cuda CARD; again with other" in text
    assert "[record](../results/recipes-sample-again-1.json), on a CPU; one" in text
    assert "ahead of Y_crf in 0 of these 4 comparisons, behind in 1." in text
    records = {"sample": _record(65.0, 53.0)}
    told = tool.extract(records, {}, {}, {}, {}, recipes)
    assert "Of 3 recipes for the network of `sample`, the longest with 1,600 iterations" in told


@pytest.mark.parametrize(("low", "told"), [(-0.8, "none puts"), (0.2, "1 puts")])
def test_the_readme_says_how_many_recipes_give_true_masks_a_lead(low: float, told: str):
    tool, apart = load_tool("readme"), {"mean": 0.7, "low": low, "high": 2.2}
    longer = {"truth - crf": apart, "optimisation": {"iterations": 1600}}
    plain = {"truth - crf": apart | {"low": -1.0}, "optimisation": {"iterations": 400}}
    recipes = {"sample": {"recipes": {"plain": plain, "times-4": longer}}}
    text = tool.extract({"sample": _record(65.0, 53.0)}, {}, {}, {}, None, recipes)
    about = "Of 2 recipes for the network of `sample`, the longest with 1,600 iterations, "
    assert text.endswith(f"{about}{told} true masks ahead on held-out training images.")


def test_head_room_is_what_true_masks_bring():
    tool, record = load_tool("readme"), _record(65.0, 53.0)
    assert "could not be shown" not in tool.section({"sample": record})
    record["differences"] = {"segmentation_val": _apart(truth_crf=(3.0, 1.0, 5.0))}
    text = tool.section({"sample": record})
    assert "`sample`, networks: +3.0 [+1.0, +5.0]." in text and "refuted" not in text
    made = _apart(truth_crf=(-1.0, -2.0, -0.5))
    bench = {"seeds": [0, 1], "benches": {"object, conv": {"differences": made}}}
    text = tool.section({"sample": record}, {}, {"voc-mini": bench})
    assert "`voc-mini`, bench of object, conv: -1.0 [-2.0, -0.5]." in text
    assert "not ahead (`voc-mini`, bench of object, conv)" in text


def test_the_readme_answers_each_question_from_the_records():
    tool, record = load_tool("readme"), _record(65.0, 53.0)
    card = _card("bap", 4.5)
    card["regime"]["miou"] = {"bap": {"value": 66.0, "low": 60.0, "high": 70.0}}
    made = _apart(nal_crf=(-0.25, -0.75, 1.25), truth_crf=(3.0, 1.0, 5.0))
    bench = {"seeds": [0, 1, 2], "benches": {"object, linear": {"differences": made}}}
    text = tool.extract({"sample": record}, {"sample": card}, {"sample": bench}, {})
    assert _rows(text)["BAP, Y_crf"] == ["66.0"]  # the card's
    assert _rows(text)["GAP, Y_crf"] == ["60.0"]  # the record's
    assert _rows(text)["network, cross-entropy on Y_crf, single scale"] == ["50.0"]
    assert _rows(text)["boxes filled, CRF"] == ["-"]
    assert text.startswith("![Differences of mIoU in points") and "](figures/answers.png)" in text
    assert "Heads: NAL -0.2 [-0.8, +1.2], not told apart; true masks +3.0 [+1.0, +5.0]." in text
    assert "by the argmax: NAL not measured" in text


def test_the_readme_says_what_could_not_be_shown_and_why():
    tool, record = load_tool("readme"), _record(65.0, 53.0)
    made = _apart(nal_crf=(-0.25, -0.75, 1.25), truth_crf=(3.0, 1.0, 5.0))
    bench = {"sample": {"seeds": [0], "benches": {"object, linear": {"differences": made}}}}
    text = tool.extract({"sample": record}, {}, bench, {})
    told = "of 1 comparisons (1 of heads, object against background and all classes) it is ahead in"
    assert f"{told} none. In one" in text
    assert "In one, true masks gain 3.0 points" in text and "not even" not in text
    made = _apart(nal_crf=(0.5, -0.5, 1.5), truth_crf=(4.0, -1.0, 9.0))
    record["differences"] = {"segmentation_val": made}
    text = tool.extract({"sample": record}, {}, bench, {})
    assert "of 2 comparisons" in text and "it is ahead in none. In 1 of them not even true" in text
    assert "not even true masks are ahead of Y_crf. In the other" in text
    assert "In the other one, true masks gain 3.0 points" in text
    record["differences"]["segmentation_val"] |= _apart(nal_crf=(-0.5, -1.5, -0.1))
    text = tool.extract({"sample": record}, {}, bench, {})
    assert "of 2 comparisons (1 of networks by the argmax, 1 of heads, object" in text
    assert "it is ahead in none and behind in 1." in text
    ahead = _apart(nal_crf=(0.5, 0.25, 1.5), truth_crf=(4.0, 1.0, 9.0))
    record["differences"] = {"segmentation_val": ahead}
    assert "could not be shown" not in tool.extract({"sample": record}, {}, {}, {})


def test_the_readme_says_what_pooling_alone_and_activation_maps_do_not_show():
    tool, record = load_tool("readme"), _record(65.0, 53.0)
    gap = {"mean": 0.25, "low": -0.75, "high": 1.25}
    record["differences"] = {"labels_val": {"bap-no-u0 - gap": gap}}
    points = {"mean": 2.0, "low": 1.0, "high": 3.0}
    apart = {"first": ["bap", "bap"], "second": ["gap", "gap"], "points": points}
    crossings = {"sample": {"crossing": {"differences": [apart]}}}
    precision = {"value": -0.25, "low": -1.25, "high": 0.75}
    recall, iou = ({"value": sign * 2.0, "low": sign * 2.5, "high": sign * 1.5} for sign in (-1, 1))
    card = {"differences": {"precision": precision, "recall": recall, "iou": iou}}
    card |= {"gap": {"threshold": 0.2}, "bap": {"threshold": 0.15}}
    maps = {"sample": {"activations": card}}

    def extract(crossings=crossings, maps=maps) -> str:
        return tool.extract({"sample": record}, {}, {}, {}, crossings=crossings, activations=maps)

    assert (
        "**What could not be shown:**\n\n- That pooling alone makes better labels everywhere. BAP "
        "over GAP: both without u_0 +0.2 [-0.8, +1.2], not told apart on `sample`; both with u_0 "
        "+2.0 [+1.0, +3.0] on `sample`.\n- That BAP's activation maps are better than GAP's. At "
        "the thresholds that training images chose (GAP 0.20, BAP 0.15 on `sample`): precision "
        "-0.2 [-1.2, +0.8], not told apart on `sample`; recall -2.0 [-2.5, -1.5] on `sample`; IoU "
        "+2.0 [+2.5, +1.5] on `sample`."
    ) in extract()
    assert "activation maps" not in extract(maps={}) and "Which half" not in extract()
    half = {"first": ["gap", "bap"], "second": ["gap", "gap"], "points": points}
    halves = {"sample": {"crossing": {"differences": [apart, half]}}}
    told = (
        "gains by BAP** (one training each). A of BAP over A of GAP, CAM of GAP: +2.0 [+1.0, +3.0]"
    )
    assert f"{told} on `sample`." in extract(halves)
    precision |= {"low": 0.25, "value": 0.5}
    assert "activation maps" in extract()
    recall |= {"value": 2.0, "low": 1.5, "high": 2.5}
    assert "activation maps" not in extract()
    gap |= {"low": 0.1}
    assert "could not be shown" not in extract()


def test_verdicts_that_a_second_training_moves_are_named():
    tool, records = load_tool("readme"), {"sample": _record(65.0, 53.0)}
    one = _apart(nal_crf=(0.5, 0.25, 0.75), crf_ret=(0.5, 0.25, 1.0), nal_ret=(1.0, -1.0, 3.0))
    two = _apart(nal_crf=(0.5, -0.25, 0.75), crf_ret=(0.25, 0.25, 0.5), nal_ret=(2.0, -1.0, 3.0))
    first, second = (
        {"commit": commit, "seeds": [0], "benches": {"object, linear": {"differences": made}}}
        for commit, made in (("abc", one), ("def", two))
    )
    benches = {"sample": first}
    text = tool.section(records, {}, benches, {}, {"sample": [second, first]})
    told = "disagree about 1 of 3 verdicts of object (nal - crf +0.5 [+0.2, +0.8], +0.5 [-0."
    trainings = "3 trainings of it with the same settings and seed (code of commits abc, def, abc;"
    assert f"On `sample`, {trainings} records of the others: [1](" in text and told in text
    assert "[2](../results/bench-sample-again-2.json)" in text
    assert "How far to trust" not in tool.section(records, {}, benches)
    text = tool.extract(records, {}, benches, {}, {"sample": [second, first]})
    assert "Trained again on `sample` (2 times), it changed 1 of 3 verdicts about losses." in text
    same = {"sample": [first]}
    once = tool.extract(records, {}, benches, {}, same)
    assert "Trained again on `sample` (once), it changed 0 of 3 verdicts" in once
    assert "about 0 of 3 verdicts of object. " in tool.section(records, {}, benches, {}, same)


def _map(noise: str, reach: int, nal: float) -> dict:
    gap = {"mean": nal, "low": nal - 1.0, "high": nal + 1.0}
    other = {"mean": 8.0, "low": 7.0, "high": 9.0}
    wide = {"mean": 6.0, "low": 5.0, "high": 7.0}
    room = {"mean": 9.0, "low": 9.0 - 1.5 * reach, "high": 12.0}
    about = {"noise": noise, "reach": reach, "wrong": 20.5, "recall": 61.0}
    return about | {
        "miou": {"crf": [70.0, 71.0]},
        "over crf": {"lambda .1": gap, "ignore": other, "gamma 30": wide, "truth": room},
        "over ignore": {"lambda .1": gap},
    }


def test_maps_of_noise_are_rows_by_spill():
    tool, records = load_tool("readme"), {"sample": _record(65.0, 53.0)}
    sample = {"map": [_map("Y_crf", 0, 0.25), _map("Y_crf", 2, 4.5), _map("both", 2, -3.0)]}
    other = {"map": [_map("Y_crf", 0, 2.0), _map("Y_crf", 2, 2.5), _map("both", 2, 1.5)]}
    rows = _rows(tool.section(records, {}, {}, {"sample": sample, "voc-mini": other}))
    assert rows["`voc-mini`, Y_crf alone, 8 pixels"] == [
        *("20 / 61", "**+9.0 [+6.0, +12.0]**", "**+2.5 [+1.5, +3.5]**", "**+6.0 [+5.0, +7.0]**"),
        *("**+8.0 [+7.0, +9.0]**", "**+2.5 [+1.5, +3.5]**"),
    ]
    assert rows["`sample`, both labels, 8 pixels"][2] == "**-3.0 [-4.0, -2.0]**"
    assert rows["`sample`, Y_crf alone, 0 pixels"][2] == "+0.2 [-0.8, +1.2]"
    assert "labels that spill" not in _rows(tool.section(records))
    for crf, told in (([70.0, 71.0], False), ([70.0, 72.0], True)):
        heads = {
            "object, linear": {"differences": {}, "miou": {"crf": {"by_seed": crf, "mean": crf[0]}}}
        }
        benches = {"sample": {"seeds": [0, 1], "benches": heads}}
        text = tool.section(records, {}, benches, {"sample": sample})
        assert ("The map of `sample` is of another training" in text) == told


def test_the_readme_says_what_helps_on_labels_made_worse():
    tool, records = load_tool("readme"), {"sample": _record(65.0, 53.0)}
    sample = {"map": [_map("Y_crf", 0, -9), _map("Y_crf", 2, 4.5), _map("both", 2, -3.0)]}
    text = tool.extract(records, {}, {}, {"sample": sample})
    assert text.endswith(
        "**On labels made worse** there is room: over cross-entropy, true masks bring +9.0 [+6.0, "
        "+12.0] on `sample`. Heads, Y_crf 8 pixels too wide: NAL (gamma 7), NAL (gamma 30) and "
        "doubtful pixels ignored ahead on `sample`. Heads, both labels 8 pixels too wide: NAL "
        "(gamma 7) behind on `sample`; NAL (gamma 30) and doubtful "
        "pixels ignored ahead on `sample`."
    )
    records["voc-mini"] = records["sample"]
    other = {"map": [_map("Y_crf", 2, 0.5), _map("both", 2, -2.0)]}
    text = tool.extract(records, {}, {}, {"sample": sample, "voc-mini": other})
    assert ": NAL (gamma 7) not told apart on `voc-mini` and ahead on `sample`; NAL (gam" in text
    assert "too wide: NAL (gamma 7) behind on both; NAL (gamma 30) and doubtful" in text
    wider = {"map": [_map("Y_crf", 8, 0.5), _map("both", 8, -2.0)]}
    text = tool.extract(records, {}, {}, {"sample": sample, "voc-mini": wider})
    assert "made worse** room was not found everywhere: over cross-entropy, true masks" in text
    assert "+9.0 [-3.0, +12.0], not told apart on `voc-mini` and +9.0 [+6.0, +12.0] on" in text
    assert "labels made worse" not in tool.extract(records, {}, {}, {})


def test_every_loss_has_a_name_in_the_readme():
    assert load_tool("head_tables").BENCH.keys() == LOSSES.keys()


def test_writing_twice_changes_nothing():
    tool = load_tool("readme")
    records = {"sample": _record(65.0, 53.0)}
    begin, end = tool.BEGIN.format("results"), tool.END.format("results")
    once = tool.with_section(f"a\n{begin}\nold\n{end}\nb\n", "results", tool.section(records))
    assert tool.with_section(once, "results", tool.section(copy.deepcopy(records))) == once
    assert once.startswith("a\n") and once.endswith("\nb\n")


def _newer(bap: float, nal: float, seed: int = 0) -> dict:
    """A record with everything that is measured today."""
    record = _record(bap, nal)
    record["profile"]["seed"] = seed
    for scores in record["labels_val"].values():
        scores["boundary_miou"] = scores["miou"] / 2
    for modes in record["segmentation_val"].values():
        for scores in modes.values():
            scores["boundary_miou"] = scores["miou"] / 4
        modes |= {f"multi{kind}": {"miou": modes["single"]["miou"] + 9} for kind in ("", "-crf")}
    rows = ("boxes", "grabcut", "gap", "bap-no-u0", "bap", "bap-ret")
    record["instances_val"] = {row: {"ap": 11.0, "ap50": 30.5, "ap75": None} for row in rows}
    return record


def _rows(text: str) -> dict[str, list[str]]:
    """Cells of all tables, by first cell; a row of several tables has all its cells."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found.setdefault(first, []).extend(cells)
    return found


def test_what_a_record_lacks_is_not_shown():
    text = load_tool("readme").section({"sample": _record(65.0, 53.0)})
    assert "multi-scale" not in text and "±" not in text


def test_an_older_record_beside_a_newer_one():
    rows = _rows(
        load_tool("readme").section({"voc-mini": _newer(60.0, 53.0), "sample": _record(65.0, 50.0)})
    )
    assert rows["BAP, Y_crf"] == ["60.0 (100)", "65.0 (100)"]
    assert rows["noise-aware loss"] == ["53.0 / 53.0", "50.0 / 50.0", "62.0 / 62.0"]


def test_a_network_is_a_row_from_the_first_record_that_has_it():
    old, new = _record(65.0, 50.0), _newer(60.0, 53.0)
    new["segmentation_val"]["truth"] = {m: {"miou": 57.0} for m in ("single", "single-crf")}
    rows = _rows(load_tool("readme").section({"voc-mini": new, "sample": old}))
    assert rows["cross-entropy on true masks"] == ["57.0 / 57.0", "- / -"]
    assert "noise-aware loss, sigma held constant" not in rows


def test_a_kind_of_labels_is_a_row_from_the_first_record_that_has_it():
    old, new = _record(65.0, 50.0), _newer(60.0, 53.0)
    assert "boxes filled, CRF" not in _rows(load_tool("readme").section({"sample": old}))
    new["labels_val"]["boxes-crf"] = {"miou": 57.0, "boundary_miou": 20.0, "coverage": 100.0}
    new["instances_val"]["boxes-crf"] = {"ap": 9.0, "ap50": 8.0, "ap75": 7.0}
    rows = _rows(load_tool("readme").section({"voc-mini": new, "sample": old}))
    assert rows["boxes filled, CRF"] == ["57.0 (100)", "-"]


def _card(first: str, mean: float, sigma: dict | None = None) -> dict:
    shares = ("accuracy_reliable", "accuracy_unreliable", "unreliable_share")
    shares += ("recall", "error_rate", "precision")
    inside = {key: {"value": 10.0 + n, "low": 9.0, "high": 30.0} for n, key in enumerate(shares)}
    difference = {"first": first, "second": "gap", "mean": mean, "low": -0.25, "high": 9.0}
    card = {
        "images": 3,
        "boxes": 4,
        "filling": {"mean": 61.5, "quartiles": [40.0, 60.0, 80.0]},
        "differences": [difference],
        "inside": {"all": inside},
    }
    return {"regime": card, "sigma": sigma}


def test_regime_cards_are_columns_of_one_table():
    tool, records = load_tool("readme"), {"sample": _record(65.0, 53.0)}
    without = tool.section(records)
    assert "regime" not in without and tool.section(records, {}) == without
    cards = {"sample": _card("bap", 4.0), "voc-mini": _card("bap-no-u0", 5.5)}
    rows = _rows(tool.section(records, cards))
    assert rows["regime card, % and points, 95 % intervals over images"] == [
        "`voc-mini`",
        "`sample`",
    ]
    assert rows["images, boxes"] == ["3, 4", "3, 4"]
    assert rows["BAP, Y_crf, over GAP, Y_crf"] == ["-", "+4.0 [-0.2, +9.0]"]
    assert rows["BAP, Y_crf without u_0, over GAP, Y_crf"][0].startswith("+5.5 [")
    assert rows["within boxes: errors that lie in ~S, recall"][0] == "13.0 [9.0, 30.0]"
    inside = load_tool("result_tables").INSIDE
    assert len(set(map(tuple, (rows[name] for name in inside)))) == len(inside) == 6
    assert not any("sigma" in name for name in rows)


def test_cards_of_training_images_are_columns_of_their_own():
    tool, records = load_tool("readme"), {"sample": _record(65.0, 53.0)}
    cards = {"sample": _card("bap", 4.0), "voc-mini": _card("bap", 4.0)}
    text = tool.section(records, cards, training={"sample": _card("bap-no-u0", 5.5)})
    rows = _rows(text)
    assert rows["regime card, % and points, 95 % intervals over images"] == [
        *("`voc-mini`", "`sample`", "`sample`, training images"),
    ]
    assert rows["BAP, Y_crf without u_0, over GAP, Y_crf"] == ["-", "-", "+5.5 [-0.2, +9.0]"]
    assert "[`sample`, training images](../results/regime-sample-train.json)" in text


def test_the_readme_tells_of_pooling_alone_on_training_images():
    tool, record = load_tool("readme"), _record(65.0, 53.0)
    gap = {"mean": 0.25, "low": -0.75, "high": 1.25}
    record["differences"] = {"labels_val": {"bap-no-u0 - gap": gap}}

    def extract(training: dict) -> str:
        return tool.extract({"sample": record}, {}, {}, {}, training=training)

    card = _card("bap-no-u0", 5.5)
    card["regime"]["differences"][0]["low"] = 1.5
    told = "on `sample`. On training images, without u_0 (one training each): +5.5 [+1.5, +9.0] on "
    assert f"{told}the 3 of `sample`." in extract({"sample": card})
    assert "On training images" not in extract({"sample": _card("bap", 5.5)})


def test_a_card_of_another_training_says_so():
    tool, card = load_tool("readme"), _card("bap", 4.0)
    card["regime"]["miou"] = {"bap": {"value": 65.00001}}
    told = "The card of `sample` is of another training than the labels above."
    seeds = combined_record([_newer(60.0, 53.0), _newer(65.0, 53.0, 1)], "sample")
    for record in (_record(65.0, 53.0), seeds):
        assert told not in tool.section({"sample": record}, {"sample": card})
    assert told in tool.section({"sample": _record(66.0, 53.0)}, {"sample": card})
    card["regime"]["miou"]["bap"]["value"] = 62.5  # the mean of both seeds
    assert told in tool.section({"sample": seeds}, {"sample": card})


def test_what_a_regime_card_lacks_is_a_dash():
    tool = load_tool("readme")
    cards = {"sample": _card("bap", 4.0, {"auc": {"value": 57.0, "low": 50.5, "high": 63.5}})}
    cards["voc-mini"] = _card("bap", 5.0)
    cards["voc-mini"]["regime"]["inside"]["all"]["precision"] = None
    cards["voc-mini"]["regime"]["filling"] = {"mean": None, "quartiles": None}
    cards["voc-mini"]["regime"]["differences"][0] |= {"mean": None, "low": None, "high": None}
    rows = _rows(tool.section({"sample": _record(65.0, 53.0)}, cards))
    for name, full in (
        (
            "a right label of ~S has a higher sigma than a wrong one (chance: 50)",
            "57.0 [50.5, 63.5]",
        ),
        ("within boxes: ~S that is an error, precision", "15.0 [9.0, 30.0]"),
        ("a box's pixels that its class covers, mean (quartiles)", "62 (40, 60, 80)"),
        ("BAP, Y_crf, over GAP, Y_crf", "+4.0 [-0.2, +9.0]"),
    ):
        assert rows[name] == ["-", full]


def test_several_seeds_are_mean_and_spread():
    record = combined_record([_newer(60.0, 53.0), _newer(64.0, 53.0, 1)], "voc-mini")
    text = load_tool("readme").section({"voc-mini": record})
    assert "mean ± standard deviation of 2 seeds" in text and "seed 0" not in text
    assert "training and labelling a seed on 2 cores" in text
    rows = _rows(text)
    assert rows["BAP, Y_crf"][0] == "62.0 ± 2.8 (100)"
    assert rows["noise-aware loss"][0] == "53.0 ± 0.0 / 53.0 ± 0.0"
