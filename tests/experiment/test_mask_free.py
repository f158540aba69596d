"""Measures of labels without masks: on labels of which one can tell by hand what they get."""

import pytest
import torch
from colours import classifier_of
from torch import Tensor
from torchvision import tv_tensors

from bana.data.boxes import box_masks
from bana.experiment import mask_free
from bana.experiment.mask_free import box_measures, enlarged, found, label_measures, measured, named
from bana.experiment.masking import compared
from bana.experiment.pretrained import label_maps

BOX = torch.tensor([[20.0, 10, 40, 30]])
ONE = torch.tensor([1])
SIZE = (60, 80)


def item_of(boxes: Tensor, labels: Tensor, image: Tensor | None = None) -> dict:
    if image is None:
        image = torch.zeros(3, *SIZE, dtype=torch.uint8)
    size = tuple(image.shape[1:])
    return {
        "id": "a",
        "image": tv_tensors.Image(image),
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
        "labels": labels,
    }


def label_of(box: list[float], number: int = 1) -> Tensor:
    return box_masks(torch.tensor([box]), *SIZE)[0].to(torch.uint8) * number


def test_boxes_grow_by_a_quarter_of_their_sides_within_the_image() -> None:
    boxes = torch.tensor([[20.0, 10, 40, 30], [0, 0, 40, 40], [10, 20, 80, 60]])
    assert enlarged(boxes, *SIZE).tolist() == [[15, 5, 45, 35], [0, 0, 50, 50], [0, 10, 80, 60]]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([20, 10, 40, 30], 1),
        ([15, 5, 45, 35], (20 / 30) ** 2),
        ([20, 10, 30, 30], 1 / 2),
        ([30, 20, 45, 35], (10 / 25) ** 2),
        ([0, 0, 0, 0], 0),
        ([10, 0, 40, 30], (20 / 25) ** 2),
    ],
    ids=["exact", "filled", "half", "beside", "empty", "outside-of-the-larger-box"],
)
def test_rows_and_columns_of_the_true_box(mask: list[float], expected: float) -> None:
    scores = found(label_of(mask), BOX, enlarged(BOX, *SIZE), ONE)
    assert scores.tolist() == pytest.approx([expected])


def test_holes_are_not_seen() -> None:
    ring = label_of([20, 10, 40, 30]) - label_of([21, 11, 39, 29])
    assert found(ring, BOX, enlarged(BOX, *SIZE), ONE).tolist() == [1]


def test_another_class_is_not_the_boxs_own() -> None:
    label = label_of([20, 10, 40, 30], number=2)
    assert found(label, BOX, enlarged(BOX, *SIZE), ONE).tolist() == [0]


def test_a_neighbour_in_its_own_box_is_not_counted() -> None:
    boxes = torch.tensor([[20.0, 10, 40, 30], [42, 10, 62, 30]])
    both = label_of([20, 10, 40, 30]) + label_of([42, 10, 62, 30])
    scores = found(both, boxes, enlarged(boxes, *SIZE), torch.tensor([1, 1]))
    assert scores.tolist() == [1, 1]


def test_a_box_without_room_is_no_question() -> None:
    boxes = torch.tensor([[2.0, 2, 78, 58], [20, 10, 40, 30]])
    scores = found(label_of([0, 0, 80, 60]), boxes, enlarged(boxes, *SIZE), torch.tensor([1, 1]))
    assert scores[0].isnan() and not scores[1].isnan()


def test_agreement_is_the_iou_of_both_labels_in_the_box() -> None:
    asked = []

    def labels(image: Tensor, boxes: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(boxes.tolist())
        return label_of([20, 10, 40, 30]), label_of([20, 10, 30, 40])

    made = label_measures(item_of(BOX, ONE), labels)
    assert made["agreement"].tolist() == pytest.approx([1 / 2])
    assert made["found"].tolist() == [1]
    assert asked == [BOX.tolist(), enlarged(BOX, *SIZE).tolist()]


def painted() -> dict:
    """A red and a green field on grey."""
    image = torch.full((3, 97, 129), 30, dtype=torch.uint8)
    image[0, 16:48, 16:48] = 250
    image[1, 16:48, 80:112] = 250
    boxes = torch.tensor([[12.0, 12, 52, 52], [76, 12, 116, 52]])
    return item_of(boxes, torch.tensor([1, 2]), image)


def test_names_of_those_that_the_classifier_knows() -> None:
    item, classes = painted(), ("background", "red", "green")
    assert named(classifier_of("red", "green"), item, classes).tolist() == [1, 1]
    assert named(classifier_of("green", "red"), item, classes).tolist() == [1, 1]
    swapped = item | {"labels": torch.tensor([2, 1])}
    assert named(classifier_of("red", "green"), swapped, classes).tolist() == [0, 0]
    right = named(classifier_of("green", "blue"), item, classes)
    assert right[0].isnan() and right[1] == 1


def test_a_class_that_is_not_asked_about_is_not_named() -> None:
    item = painted() | {"labels": torch.tensor([1, 1])}
    assert named(classifier_of("red", "green"), item, ("background", "red")).tolist() == [1, 1]


@pytest.mark.parametrize("setting", ["grid_size", "parts", "min_background"])
def test_naming_pools_as_the_classifier_does(setting: str) -> None:
    model, item = classifier_of("red", "green"), painted()
    value = {"grid_size": 2, "parts": 3, "min_background": 0.9}[setting]
    setattr(model.classifier, setting, value)
    asked, before = [], model.classifier.weight
    model.classifier.register_forward_hook(
        lambda module, _, made: asked.append((getattr(module, setting), made.boxes.shape))
    )
    named(model, item, ("background", "red", "blue", "green"))
    assert asked == [(value, (2, model.classifier.parts**2, 4))]
    assert model.classifier.weight is before and len(before) == 3


def test_measuring_leaves_the_callers_generator_alone() -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    model, item = classifier_of("red", "green"), painted()
    torch.set_rng_state(before)
    box_measures(model, item, ("background", "red", "green"))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_measure_of_every_box() -> None:
    item, classes = painted(), ("background", "red", "green")
    made = box_measures(classifier_of("red", "green"), item, classes)
    assert tuple(made) == mask_free.MEASURES
    assert all(value.shape == (2,) for value in made.values())
    boxes, numbers = item["boxes"].as_subclass(Tensor), item["labels"]
    larger = enlarged(boxes, 97, 129)
    image = item["image"].as_subclass(Tensor)
    model = classifier_of("red", "green")
    y_crf, _ = label_maps(image, larger, numbers, classes, model, 129)
    assert torch.equal(made["found"], found(y_crf, boxes, larger, numbers))
    y_crf, y_ret = label_maps(image, boxes, numbers, classes, model, 129)
    _, differ = compared(y_crf, y_ret, boxes, [1, 2])
    assert made["agreement"].tolist() == pytest.approx([1 - value for value in differ])
    assert item["boxes"].tolist() == painted()["boxes"].tolist(), "inputs are not modified"


def test_two_classifiers_are_compared_on_boxes_that_have_the_measure() -> None:
    nan = float("nan")
    before = [{"named": torch.tensor([0.5, nan])}, {"named": torch.tensor([0.25, 0.25, nan])}]
    after = [{"named": torch.tensor([1.0, 1.0])}, {"named": torch.tensor([0.5, nan, nan])}]
    made = measured(before, after, "named")
    assert made.boxes == 2
    assert made.before.value == pytest.approx(37.5) and made.after.value == pytest.approx(75)
    assert made.gain.mean == pytest.approx(37.5)
    assert made.gain.low == pytest.approx(25) and made.gain.high == pytest.approx(50)


def test_without_a_single_box_there_is_no_number() -> None:
    none = [{"found": torch.tensor([float("nan")])}]
    assert measured(none, none, "found") == (None, None, None, 0)


def test_boxes_of_one_photograph_stay_together() -> None:
    """The interval is over photographs: many boxes of one do not make it narrow."""
    before = [{"found": torch.zeros(50)}, {"found": torch.zeros(50)}]
    after = [{"found": torch.ones(50)}, {"found": torch.zeros(50)}]
    gain = measured(before, after, "found").gain
    assert gain.mean == 50 and gain.low == 0 and gain.high == 100
