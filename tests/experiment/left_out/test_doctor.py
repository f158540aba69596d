"""The box doctor: every sign by hand, and what its area under the curve says."""

import pytest
import torch
from torch import Tensor, nn

from bana.data.boxes import check_boxes
from bana.experiment.left_out import doctor
from bana.experiment.left_out.boxes import Defect
from bana.experiment.left_out.doctor import (
    DEFECTS,
    IMAGE_SIGN,
    Practice,
    Signs,
    _examined,
    box_signs,
    examined,
    image_sign,
    told_apart,
)
from bana.experiment.left_out.measuring import Bench
from bana.experiment.left_out.steps import Made
from bana.labels import PseudoLabels

SIZE = (20, 30)
BOX_SIGNS = ("empty", "margin", "contact", "differ", "doubt", "overlap")


def made(boxes: list[list[float]], classes: list[int], y_crf: Tensor, **changes) -> Made:
    labels = PseudoLabels(y_crf, y_crf.clone(), torch.zeros(SIZE), torch.zeros(0), torch.zeros(0))
    cosine = torch.ones(SIZE)
    flags = torch.zeros(len(boxes), dtype=torch.bool)
    result = Made(labels, torch.tensor(boxes), torch.tensor(classes), flags, 0, cosine)
    return result._replace(**changes)


def test_signs_of_a_box_by_hand() -> None:
    label = torch.zeros(SIZE, dtype=torch.uint8)
    label[4:10, 5:20] = 3  # in a box of rows 2-12 and columns 5-25
    case = made([[5.0, 2, 25, 12]], [3], label)
    signs = box_signs(case, torch.full(SIZE, 0.25)).values
    assert set(signs) == set(BOX_SIGNS)
    assert float(signs["empty"]) == pytest.approx(1 - 6 * 15 / 200)
    assert float(signs["margin"]) == pytest.approx(5 / 20)  # right; above and below 2 / 10
    assert float(signs["contact"]) == pytest.approx(6 / 10)  # of the left edge
    assert float(signs["differ"]) == 0 and float(signs["overlap"]) == 0
    assert float(signs["doubt"]) == pytest.approx(0.75)
    assert "doubt" not in box_signs(case).values


def test_two_labels_that_differ_and_a_box_without_a_label() -> None:
    label = torch.zeros(SIZE, dtype=torch.uint8)
    label[2:12, 5:25] = 3
    case = made([[5.0, 2, 25, 12], [0.0, 15, 5, 20]], [3, 1], label)
    case.labels.y_ret[2:12, 15:25] = 0
    signs = box_signs(case).values
    assert signs["differ"].tolist() == [0.5, 1.0]
    assert signs["empty"].tolist() == [0.0, 1.0]
    assert signs["margin"].tolist() == [0.0, 1.0]
    assert signs["contact"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("box", [(5.6, 5, 6.2, 9), (5, 5.6, 9, 6.2), (5.6, 5.6, 6.2, 6.2)])
def test_a_box_without_a_pixel_has_nothing_in_it(box: tuple[float, ...]) -> None:
    label = torch.full(SIZE, 3, dtype=torch.uint8)
    check_boxes(torch.tensor([box]), *SIZE, "boxes")  # accepts it
    signs = box_signs(made([list(box)], [3], label), torch.ones(SIZE)).values
    expected = {"empty": 1, "margin": 1, "contact": 0, "differ": 1, "doubt": 1, "overlap": 0}
    assert {name: float(value) for name, value in signs.items()} == expected


def test_doubt_is_of_the_gamma_that_is_given(bench: Bench, monkeypatch) -> None:
    asked = []

    def confidence_of(judge, images: Tensor, y_crf: Tensor, gamma: float) -> Tensor:
        asked.append(gamma)
        return torch.ones(y_crf.shape)

    monkeypatch.setattr(doctor, "confidence_of", confidence_of)
    _examined(Practice(bench, nn.Identity(), 3.0), (0, ("duplicated",)))
    assert asked == [3.0]


def test_overlap_is_with_boxes_of_the_same_class() -> None:
    boxes = [[0.0, 0, 10, 10], [0.0, 0, 10, 5], [0.0, 0, 10, 10], [20.0, 10, 25, 15]]
    case = made(boxes, [1, 1, 2, 1], torch.zeros(SIZE, dtype=torch.uint8))
    assert box_signs(case).values["overlap"].tolist() == [0.5, 0.5, 0.0, 0.0]


def test_an_image_is_judged_by_what_lies_outside_its_boxes() -> None:
    case = made([[0.0, 0, 15, 20]], [1], torch.zeros(SIZE, dtype=torch.uint8))
    case.cosine[:10, 20:30] = 0.5  # 100 of the 300 pixels outside the box
    case.cosine[:, :10] = 0.1  # inside, of no account
    sign = image_sign(case._replace(forgotten=2), 0.75)
    assert sign.values[IMAGE_SIGN].tolist() == pytest.approx([1 / 3])
    assert sign.defective.tolist() == [True]
    assert image_sign(case, 0.4).values[IMAGE_SIGN].tolist() == [0.0]
    assert image_sign(case, 0.75).defective.tolist() == [False]
    empty = case._replace(boxes=torch.zeros(0, 4), classes=torch.zeros(0).long())
    assert len(image_sign(empty._replace(forgotten=1), 0.75).defective) == 0
    full = made([[0.0, 0, 30, 20]], [1], torch.zeros(SIZE, dtype=torch.uint8))
    assert image_sign(full, 0.75).values[IMAGE_SIGN].tolist() == [0.0]


def signs(values: list[float], defective: list[bool]) -> Signs:
    return Signs({"empty": torch.tensor(values).double()}, torch.tensor(defective))


def test_area_under_the_curve_counts_pairs_and_halves_ties() -> None:
    images = [
        signs([0.1, 0.5], [False, True]),
        signs([0.5, 0.3, 0.2], [False, True, False]),
        signs([], []),
    ]
    result = told_apart(images)
    # Defective .5 and .3, sound .1, .5 and .2: four pairs won, one a tie, one lost.
    assert result["signs"]["empty"]["value"] == pytest.approx(100 * 4.5 / 6)
    assert (result["boxes"], result["defective"]) == (5, 2)
    curve = result["signs"]["empty"]
    assert curve["low"] <= curve["value"] <= curve["high"]


def test_nothing_is_said_where_all_boxes_are_sound() -> None:
    assert told_apart([signs([0.1, 0.2], [False, False])])["signs"]["empty"] is None


def test_every_defect_is_examined_on_half_of_the_boxes(bench: Bench) -> None:
    result = examined(Practice(bench), [0, 1])
    assert set(result) == {*DEFECTS, "missing"}
    boxes = sum(len(bench.data[number]["boxes"]) for number in range(2))
    for name, made in result.items():
        expected = {IMAGE_SIGN} if name == "missing" else set(BOX_SIGNS) - {"doubt"}
        assert set(made["signs"]) == expected
        if name not in ("missing", "duplicated"):
            assert made["boxes"] == boxes
    assert result["duplicated"]["boxes"] > boxes or not result["duplicated"]["defective"]
    assert result == examined(Practice(bench), [0, 1])
    assert all(d.chance == 0.5 or d == Defect("duplicated", 0.5) for d in DEFECTS.values())
