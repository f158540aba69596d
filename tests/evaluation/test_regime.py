"""The regime card: counts against loops, chance against chance, and images that lack something."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.regime import (
    BINS,
    DIFFERENCES,
    FINE,
    JudgedImage,
    RegimeImage,
    agreement_shares,
    calibration,
    filling_rates,
    inside_counts,
    ordering_chance,
    regime,
    sigma_counts,
    within_boxes,
)

N_CLASSES = 3
KINDS = ("boxes", "boxes-crf", "boxes-middle", "grabcut", "gap", "bap-no-u0", "bap", "bap-ret")
VALUES = torch.tensor([0, 1, 2, 255], dtype=torch.uint8)


def drawn(seed: int, size: tuple[int, int] = (6, 7)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return VALUES[torch.randint(len(VALUES), size, generator=generator)]


def boxes_of(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).view(-1, 4)


def in_box(box: list[float], row: int, column: int) -> bool:
    x1, y1, x2, y2 = box
    return x1 <= column + 0.5 < x2 and y1 <= row + 0.5 < y2


CORNER = st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(1, 7), st.integers(1, 6))
BOXES = st.lists(CORNER, max_size=3).map(
    lambda rows: boxes_of(*((x, y, x + width, y + height) for x, y, width, height in rows))
)


@settings(max_examples=40, deadline=None)
@given(boxes=BOXES, seed=st.integers(0, 999))
def test_filling_is_counted_pixel_by_pixel(boxes: Tensor, seed: int) -> None:
    mask, classes = drawn(seed), torch.tensor([1, 2, 1])[: len(boxes)]
    expected = []
    for box, kind in zip(boxes.tolist(), classes.tolist(), strict=True):
        inside = [int(mask[i, j]) for i in range(6) for j in range(7) if in_box(box, i, j)]
        known = [value for value in inside if value != 255]
        if known:
            expected.append(100 * known.count(kind) / len(known))
    assert filling_rates(boxes, classes, mask) == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(boxes=BOXES, seed=st.integers(0, 999))
def test_pixels_within_boxes_are_counted_one_by_one(boxes: Tensor, seed: int) -> None:
    y_crf, y_ret, mask = (drawn(3 * seed + k) for k in range(3))
    expected = torch.zeros(2, 2, 2, dtype=torch.int64)
    for i in range(6):
        for j in range(7):
            crf, ret, true = (int(each[i, j]) for each in (y_crf, y_ret, mask))
            covered = any(in_box(box, i, j) for box in boxes.tolist())
            if covered and 255 not in (crf, ret, true):
                expected[int(crf != ret), int(true > 0), int(crf == true)] += 1
    assert torch.equal(inside_counts(y_crf, y_ret, mask, boxes), expected)


def test_shares_are_those_of_a_table_by_hand() -> None:
    # S: 10 wrong, 70 right; ~S: 15 wrong, 5 right.
    sums = torch.tensor([[[10.0, 70.0], [15.0, 5.0]]], dtype=torch.float64)
    shares = {key: float(value) for key, value in agreement_shares(sums).items()}
    assert shares == pytest.approx(
        {
            "accuracy_reliable": 87.5,
            "accuracy_unreliable": 25.0,
            "precision": 75.0,
            "error_rate": 25.0,
            "precision_gain": 50.0,
            "recall": 60.0,
            "unreliable_share": 20.0,
            "recall_gain": 40.0,
        }
    )


def test_disagreement_at_random_finds_errors_as_chance_does() -> None:
    generator = torch.Generator().manual_seed(0)
    boxes, counts = boxes_of((0, 0, 80, 60)), []
    for _ in range(40):
        mask = torch.randint(2, (60, 80), generator=generator).byte()
        wrong, unlike = (torch.rand(60, 80, generator=generator) < p for p in (0.3, 0.1))
        y_crf = torch.where(wrong, 1 - mask, mask)
        counts.append(inside_counts(y_crf, torch.where(unlike, 2, y_crf).byte(), mask, boxes))
    for shares in within_boxes(torch.stack(counts)).values():
        for finding, chance in (("precision", "error_rate"), ("recall", "unreliable_share")):
            gain = shares[f"{finding}_gain"]
            assert gain["low"] < 0 < gain["high"] and abs(gain["value"]) < 1
            expected = shares[finding]["value"] - shares[chance]["value"]
            assert gain["value"] == pytest.approx(expected)
        assert shares["error_rate"]["value"] == pytest.approx(30, abs=1)
        assert shares["unreliable_share"]["value"] == pytest.approx(10, abs=1)


def test_background_and_objects_are_apart_and_together_all() -> None:
    counts = torch.arange(16).view(2, 2, 2, 2) + 1
    card = within_boxes(counts)
    assert card["all"]["pixels"] == int(counts.sum())
    for truth, name in enumerate(("background", "object")):
        table = counts[:, :, truth].sum(0)
        assert card[name]["pixels"] == int(table.sum())
        precision = 100 * int(table[1, 0]) / int(table[1].sum())
        assert card[name]["precision"]["value"] == pytest.approx(precision)


def image(seed: int, **changes) -> RegimeImage:
    labels = {kind: drawn(100 * seed + k).clamp_max(2) for k, kind in enumerate(KINDS)}
    whole = {
        "labels": labels,
        "mask": drawn(100 * seed + 50),
        "boxes": boxes_of((0, 0, 4, 5), (2, 1, 7, 6)),
        "classes": torch.tensor([1, 2]),
    }
    return RegimeImage(**(whole | changes))


def test_card_holds_the_scores_of_its_labels() -> None:
    images = [image(seed) for seed in range(5)]
    card = regime(iter(images), N_CLASSES)
    assert (card["images"], card["boxes"], card["filling"]["boxes"]) == (5, 10, 10)
    rates = [rate for each in images for rate in filling_rates(each.boxes, each.classes, each.mask)]
    assert card["filling"]["mean"] == pytest.approx(sum(rates) / 10)
    low, middle, high = card["filling"]["quartiles"]
    assert sum(rate <= middle for rate in rates) == 5 and low < middle < high
    areas = {
        kind: torch.stack([class_areas(each.labels[kind], each.mask, N_CLASSES) for each in images])
        for kind in KINDS
    }
    for ignored in ("dropped", "wrong"):
        agreed = [
            torch.where(each.labels["bap"] == each.labels["bap-ret"], each.labels["bap"], 255)
            for each in images
        ]
        areas[f"agreement-{ignored}"] = torch.stack(
            [
                class_areas(label, each.mask, N_CLASSES, ignored)
                for label, each in zip(agreed, images, strict=True)
            ]
        )
    assert set(card["miou"]) == {*KINDS, "agreement-dropped", "agreement-wrong"}
    for kind, made in card["miou"].items():
        assert made == estimate(areas[kind], mean_iou)._asdict()
    assert [(made["first"], made["second"]) for made in card["differences"]] == list(DIFFERENCES)
    for made in card["differences"]:
        pair = areas[made["first"]][None], areas[made["second"]][None]
        assert tuple(made.values())[2:] == paired_difference(*pair)
    counts = [
        inside_counts(each.labels["bap"], each.labels["bap-ret"], each.mask, each.boxes)
        for each in images
    ]
    assert card["inside"] == within_boxes(torch.stack(counts))


def test_labels_that_are_not_there_are_not_compared() -> None:
    some = {kind: drawn(k).clamp_max(2) for k, kind in enumerate(("bap", "bap-ret", "gap"))}
    card = regime([image(0, labels=some)], N_CLASSES)
    pairs = [(made["first"], made["second"]) for made in card["differences"]]
    assert pairs == [("bap", "gap"), ("bap", "bap-ret")]


NO_BOXES = {"boxes": boxes_of(), "classes": torch.zeros(0, dtype=torch.int64)}


def alike(seed: int) -> RegimeImage:
    """An image without ~S."""
    one = image(seed)
    return one._replace(labels=one.labels | {"bap-ret": one.labels["bap"]})


def test_images_that_lack_something_count_for_the_rest() -> None:
    whole = [image(seed) for seed in range(3)]
    void = image(3, mask=torch.full((6, 7), 255, dtype=torch.uint8))
    card = regime([*whole, image(4, **NO_BOXES), void], N_CLASSES)
    expected = regime(whole, N_CLASSES)
    assert (card["images"], card["boxes"], card["filling"]["boxes"]) == (5, 8, 6)
    assert card["filling"]["mean"] == pytest.approx(expected["filling"]["mean"])
    for name, shares in card["inside"].items():
        assert shares["pixels"] == expected["inside"][name]["pixels"]
        assert shares["recall"]["value"] == pytest.approx(
            expected["inside"][name]["recall"]["value"]
        )


@pytest.mark.parametrize(
    ("images", "known"),
    [
        ([image(0, **NO_BOXES)], set()),
        ([image(0, mask=torch.full((6, 7), 255, dtype=torch.uint8))], set()),
        (
            [alike(0), alike(1)],
            {"accuracy_reliable", "error_rate", "unreliable_share", "recall", "recall_gain"},
        ),
    ],
    ids=["no box", "all void", "no ~S"],
)
def test_shares_of_no_pixels_are_none(images: list[RegimeImage], known: set[str]) -> None:
    card = regime(images, N_CLASSES)
    json.dumps(card, allow_nan=False)
    shares = card["inside"]["all"]
    assert {key for key, made in shares.items() if made is not None} == known | {"pixels"}
    assert (shares["pixels"] > 0) == bool(known)
    if not known:
        assert card["filling"] == {"boxes": 0, "mean": None, "quartiles": None}


def test_nothing_to_score_is_refused() -> None:
    for card in (lambda: regime([], N_CLASSES), lambda: calibration([])):
        with pytest.raises(ValueError, match="there is no image to score"):
            card()


def auc_by_hand(pairs: list[tuple[float, bool]]) -> float:
    right, wrong = ([value for value, kind in pairs if kind is k] for k in (True, False))
    wins = sum((a > b) + (a == b) / 2 for a in right for b in wrong)
    return 100 * wins / (len(right) * len(wrong)) if right and wrong else math.nan


@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    sums = torch.zeros(1, 10, 2, dtype=torch.float64)
    for step, right in pairs:
        sums[0, step, int(right)] += 1
    expected = auc_by_hand([(float(step), right) for step, right in pairs])
    assert float(ordering_chance(sums)) == pytest.approx(expected, nan_ok=True)


def judged(seed: int, knows: float = 0.0) -> JudgedImage:
    """Labels of which sigma knows nothing, or everything (1)."""
    generator = torch.Generator().manual_seed(seed)
    maps = [drawn(7 * seed + k, (30, 40)) for k in range(3)]
    noise = torch.rand(30, 40, generator=generator)
    right = (maps[0] == maps[2]).float()
    return JudgedImage(knows * right + (1 - knows) * noise, *maps)


def test_sigma_is_counted_pixel_by_pixel() -> None:
    one = judged(3)
    one.confidence[0, :9] = torch.tensor([0, 1, 0.5, 0.0015, 0.9995, 1, 0, 1, 0.1])
    expected = torch.zeros(FINE, 2, dtype=torch.int64)
    for sigma, crf, ret, true in zip(*(each.flatten().tolist() for each in one), strict=True):
        if crf != ret and 255 not in (crf, ret, true):
            expected[min(int(torch.tensor(sigma) * FINE), FINE - 1), int(crf == true)] += 1
    assert torch.equal(sigma_counts(*one), expected)
    assert expected.sum() > 300


def test_sigma_that_knows_nothing_is_at_chance_and_one_that_knows_is_not() -> None:
    blind = calibration(judged(seed) for seed in range(20))
    assert blind["auc"]["low"] < 50 < blind["auc"]["high"]
    assert blind["auc"]["high"] - blind["auc"]["low"] < 5
    assert all(part["right"]["low"] < blind["right"]["value"] + 5 for part in blind["bins"])
    seeing = calibration(judged(seed, 0.9) for seed in range(20))
    assert seeing["auc"]["low"] == 100
    assert seeing["bins"][0]["right"]["value"] == 0 and seeing["bins"][-1]["right"]["value"] == 100


def test_bins_cover_all_of_the_unreliable_pixels() -> None:
    images = [judged(seed) for seed in range(4)]
    card = calibration(images)
    counts = torch.stack([sigma_counts(*each) for each in images]).sum(0)
    assert card["pixels"] == int(counts.sum()) and card["images"] == 4
    assert card["right"]["value"] == pytest.approx(100 * int(counts[:, 1].sum()) / card["pixels"])
    assert len(card["bins"]) == BINS and sum(part["share"] for part in card["bins"]) == (
        pytest.approx(100)
    )
    step = FINE // BINS
    for number, part in enumerate(card["bins"]):
        own = counts[number * step : (number + 1) * step].sum(0).tolist()
        assert (part["low"], part["high"]) == (number / BINS, (number + 1) / BINS)
        assert part["share"] == pytest.approx(100 * sum(own) / card["pixels"])
        assert part["right"]["value"] == pytest.approx(100 * own[1] / sum(own))


def test_sigma_without_unreliable_pixels_is_none() -> None:
    y_crf = drawn(0)
    card = calibration([JudgedImage(torch.rand(6, 7), y_crf, y_crf, drawn(1))])
    json.dumps(card, allow_nan=False)
    assert card["pixels"] == 0 and card["auc"] is None and card["right"] is None
    assert all(part["share"] is None and part["right"] is None for part in card["bins"])
