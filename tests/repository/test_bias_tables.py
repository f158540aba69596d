"""How README and docs/results.md tell networks with a background bias of their own."""

from typing import Any

from load_tool import load_tool

from bana.evaluation.bias import BIASES

CRF, TRUTH = "cross-entropy on Y_crf", "cross-entropy on true masks"


def difference(mean: float, half: float = 1.0) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


def card(**at_chosen: float) -> dict[str, Any]:
    """A record of two seeds; true masks gain with every step of b towards objects."""
    networks = {
        "crf": {"chosen": [-0.5, -0.5], "argmax": [50.0, 52.0], "at chosen": [51.0, 51.0]},
        "truth": {"chosen": [-1.25, -1.0], "argmax": [49.0, 49.0], "at chosen": [54.0, 56.0]},
    }
    rows = {
        pair.replace("_", " - "): {
            "argmax": difference(-2.0),
            "at chosen": difference(mean),
            "by bias": [difference(-4 * (bias + 1)) for bias in BIASES],
        }
        for pair, mean in at_chosen.items()
    }
    made = {"biases": list(BIASES), "networks": networks, "differences": rows}
    return {"seeds": [0, 1], "bias": made}


def test_the_table_has_both_ways_and_the_biases() -> None:
    tool = load_tool("readme")
    text = tool.section({}, biases={"sample": card(truth_crf=4.0)})
    assert f"| {CRF} | 51.0 ± 1.4 / 51.0 ± 0.0 |" in text
    assert f"| {TRUTH} | 49.0 ± 0.0 / 55.0 ± 1.4 |" in text
    assert f"| {TRUTH}, over {CRF} | **-2.0 [-3.0, -1.0]** / **+4.0 [+3.0, +5.0]** |" in text
    assert "`sample`, 2 seeds: crf -0.5, truth -1.25 to -1)" in text
    assert "(../results/bias-sample.json)" in text


def test_a_network_that_one_profile_lacks_is_a_dash() -> None:
    tool, other = load_tool("readme"), card(truth_crf=4.0)
    del other["bias"]["networks"]["truth"]
    other["bias"]["differences"] = {}
    text = tool.section({}, biases={"voc-mini": card(truth_crf=4.0), "sample": other})
    assert f"| {TRUTH} | 49.0 ± 0.0 / 55.0 ± 1.4 | - / - |" in text
    assert f"| {TRUTH}, over {CRF} | **-2.0 [-3.0, -1.0]** / **+4.0 [+3.0, +5.0]** | - |" in text


def test_where_true_masks_lead_and_trail_is_read_off_the_curve() -> None:
    text = load_tool("readme").section({}, biases={"sample": card(truth_crf=4.0)})
    told = "true masks on `sample` are ahead at -3 to -1.5 and behind at -0.5 to +1 "
    assert f"{told}(at -3: +8.0 [+7.0, +9.0]; at +1: -8.0 [-9.0, -7.0])." in text


def test_a_curve_within_its_intervals_is_told_apart_nowhere() -> None:
    record = card(truth_crf=4.0)
    row = record["bias"]["differences"]["truth - crf"]
    row["by bias"] = [difference(0.2) for _ in BIASES]
    text = load_tool("readme").section({}, biases={"sample": record})
    assert "are nowhere told apart from Y_crf (at -3: +0.2" in text
    row["by bias"][0] = row["by bias"][4] = difference(3.0)
    text = load_tool("readme").section({}, biases={"sample": record})
    assert "are ahead at -3 and ahead at -2 (" in text


def test_one_seed_and_no_bias_are_said_plainly() -> None:
    record = card(truth_crf=4.0)
    record["seeds"] = [0]
    for network in record["bias"]["networks"].values():
        network |= {way: network[way][:1] for way in ("argmax", "at chosen")} | {"chosen": [0.0]}
    text = load_tool("readme").section({}, biases={"sample": record})
    assert "(`sample`, 1 seed: crf 0, truth 0)" in text and f"| {CRF} | 50.0 / 51.0 |" in text


def test_what_no_pixel_scores_has_no_number() -> None:
    record = card(truth_crf=4.0)
    record["bias"]["networks"]["crf"]["argmax"] = [None, 50.0]
    record["bias"]["differences"]["truth - crf"]["argmax"] = None
    text = load_tool("readme").section({}, biases={"sample": record})
    assert f"| {CRF} | - / 51.0 ± 0.0 |" in text and "not scored / **+4.0" in text


def test_the_readme_answers_by_own_biases_and_counts_them_as_places() -> None:
    tool = load_tool("readme")
    records = {"sample": {"labels_val": {}, "segmentation_val": {}}}
    biases = {"sample": card(truth_crf=4.0, nal_crf=0.3)}
    text = tool.extract(records, {}, {}, {}, None, None, biases)
    assert "own bias: NAL +0.3 [-0.7, +1.3], not told apart; true masks +4.0 [+3.0, +5.0]." in text
    assert (
        "of 1 comparisons (1 of networks with own biases) it is ahead in none. In one, true" in text
    )
    told = "true masks on `sample` are ahead at -3 to -1.5 and behind at -0.5 to +1: the order"
    assert told in text
    row = biases["sample"]["bias"]["differences"]["truth - crf"]
    row["by bias"] = [difference(0.2) for _ in BIASES]
    text = tool.extract(records, {}, {}, {}, None, None, biases)
    assert "true masks on `sample` are nowhere told apart from Y_crf. " in f"{text} "
    assert "bias: NAL not measured" in tool.extract(records, {}, {}, {})
    room = tool.section({}, biases=biases)
    assert "`sample`, networks at their biases: +4.0 [+3.0, +5.0]." in room


def test_recipes_tell_both_ways() -> None:
    tool = load_tool("readme")
    made = {
        "miou": {"truth": 52.4, "crf": 51.7},
        "truth - crf": difference(0.7),
        "optimisation": {"iterations": 400},
        "environment": {"device": "cpu"},
    }
    moved = made | {"at bias": {"truth - crf": difference(3.0)}}
    recipes = {"sample": {"recipes": {"plain": made}, "again": [{"recipes": {"plain": moved}}]}}
    text = tool.section({}, recipes=recipes)
    gap = "+0.7 [-0.3, +1.7]"
    assert f"| plain | 52.4 | 51.7 | {gap} | 52.4 | 51.7 | {gap} | **+3.0 [+2.0, +4.0]** |" in text
    assert "chosen on images that it learned from, they are ahead in 1 of 1." in text
    told = tool.extract({}, {}, {}, {}, None, recipes)
    assert "none puts true masks ahead on held-out training images; with own" in told
    assert "with own biases they are ahead in 1 of 1 comparisons." in told
