import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bana.baselines import (
    INSIDE,
    MIDDLE,
    box_unary,
    filled_boxes,
    grabcut,
    grown_middles,
    middle_unary,
    refined_boxes,
)
from bana.crf.dense import LABEL_CRF, CrfParameters, dense_crf

SIZE = (40, 50)


def boxes_of(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).view(-1, 4)


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy blue ground with a yellow disc, and the disc's mask."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    disc = (y - 20) ** 2 + (x - 24) ** 2 < 81
    colour = np.where(disc[..., None], (220, 200, 40), (30, 60, 160)) + rng.normal(0, 8, (*SIZE, 3))
    image = torch.from_numpy(colour.clip(0, 255).astype(np.uint8)).permute(2, 0, 1)
    return image, torch.from_numpy(disc)


def test_filled_boxes_are_half_open():
    mask = filled_boxes(boxes_of((3, 5, 7, 9)), torch.tensor([4]), *SIZE)
    expected = torch.zeros(SIZE, dtype=torch.uint8)
    expected[5:9, 3:7] = 4
    assert mask.dtype == torch.uint8
    assert torch.equal(mask, expected)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_smaller_box_wins_in_any_order(order):
    boxes, classes = boxes_of((0, 0, 30, 30), (10, 10, 20, 20))[order], torch.tensor([1, 2])[order]
    mask = filled_boxes(boxes, classes, *SIZE)
    assert (mask[10:20, 10:20] == 2).all()
    assert (mask == 1).sum() == 800


def test_a_pixel_belongs_to_a_box_by_its_centre():
    mask = filled_boxes(boxes_of((2.5, 1.6, 4.5, 3.4)), torch.tensor([1]), *SIZE)
    columns, rows = torch.arange(SIZE[1]) + 0.5, torch.arange(SIZE[0]) + 0.5
    inside = ((rows >= 1.6) & (rows < 3.4))[:, None] & (columns >= 2.5) & (columns < 4.5)
    assert torch.equal(mask == 1, inside)


def test_boxes_outside_the_image_are_cut_or_ignored():
    boxes = boxes_of((-5, -5, 2, 2), (45, 35, 90, 90), (60, 60, 70, 70), (8, 8, 8, 12))
    mask = filled_boxes(boxes, torch.tensor([1, 2, 3, 4]), *SIZE)
    assert [(mask == c).sum().item() for c in (1, 2, 3, 4)] == [4, 25, 0, 0]


def test_no_boxes_give_background():
    image, _ = scene()
    none = torch.zeros(0, dtype=torch.int64)
    assert not filled_boxes(boxes_of(), none, *SIZE).any()
    assert not grabcut(image, boxes_of(), none).any()
    assert not refined_boxes(image, boxes_of(), none).any()
    unary, channels = box_unary(boxes_of(), none, *SIZE)
    assert torch.equal(unary, torch.ones(1, *SIZE)) and channels.tolist() == [0]


def unary_by_hand(boxes: torch.Tensor, classes: torch.Tensor, inside: float) -> torch.Tensor:
    """The unary of boxes pixel by pixel, from what is said of it in words."""
    kinds = [0, *sorted(set(classes.tolist()))]
    unary = torch.zeros(len(kinds), *SIZE)
    for i in range(SIZE[0]):
        for j in range(SIZE[1]):
            over = []  # the boxes that cover the pixel: area, the later first, class
            for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
                if x1 <= j + 0.5 < x2 and y1 <= i + 0.5 < y2:
                    over.append(((x2 - x1) * (y2 - y1), -k, int(classes[k])))
            if not over:
                unary[0, i, j] = 1
                continue
            winner = min(over)[2]
            others = {0} | {kind for _, _, kind in over if kind != winner}
            unary[kinds.index(winner), i, j] = inside
            for kind in others:
                unary[kinds.index(kind), i, j] = (1 - inside) / len(others)
    return unary


CORNER = st.tuples(st.integers(-4, 44), st.integers(-4, 34), st.integers(1, 60), st.integers(1, 60))


@settings(max_examples=30, deadline=None)
@given(
    corners=st.lists(CORNER, max_size=5),
    classes=st.lists(st.integers(1, 3) | st.just(254), min_size=5, max_size=5),
    inside=st.floats(0.51, 0.99),
)
def test_unary_of_boxes_is_what_is_said_of_it(corners, classes, inside):
    boxes = boxes_of(*((x, y, x + width, y + height) for x, y, width, height in corners))
    classes = torch.tensor(classes[: len(corners)], dtype=torch.int64)
    unary, channels = box_unary(boxes, classes, *SIZE, inside)
    assert channels.tolist() == [0, *sorted(set(classes.tolist()))]
    torch.testing.assert_close(unary, unary_by_hand(boxes, classes, inside))
    torch.testing.assert_close(unary.sum(0), torch.ones(SIZE))
    filled = filled_boxes(boxes, classes, *SIZE)
    assert torch.equal(channels[unary.argmax(0)].byte(), filled), "at first the boxes are filled"


@settings(max_examples=30, deadline=None)
@given(
    corners=st.lists(CORNER, max_size=5),
    classes=st.lists(st.integers(1, 3) | st.just(254), min_size=5, max_size=5),
    middle=st.floats(0.05, 1),
)
def test_unary_of_middles_is_what_is_said_of_it(corners, classes, middle):
    corners = [(x, y, x + width, y + height) for x, y, width, height in corners]
    classes = classes[: len(corners)]
    unary, channels = middle_unary(
        boxes_of(*corners), torch.tensor(classes, dtype=torch.int64), *SIZE, middle
    )
    assert channels.tolist() == [0, *sorted(set(classes))]
    torch.testing.assert_close(unary.sum(0), torch.ones(SIZE))
    for i in range(0, SIZE[0], 3):
        for j in range(0, SIZE[1], 3):
            over = {0}  # classes that may be here
            sure = []  # middles that cover the pixel: area, the later first, class
            for k, (x1, y1, x2, y2) in enumerate(corners):
                inside = x1 <= j + 0.5 < x2 and y1 <= i + 0.5 < y2
                over |= {classes[k]} if inside else set()
                near = [abs(2 * p + 1 - a - b) for p, a, b in ((j, x1, x2), (i, y1, y2))]
                far = [
                    n - middle**0.5 * side for n, side in zip(near, (x2 - x1, y2 - y1), strict=True)
                ]
                if max(map(abs, far)) < 1e-3 or any(abs(f) < 1e-3 for f in far):
                    break  # on its edge, where rounding decides
                if max(far) < 0:
                    sure.append(((x2 - x1) * (y2 - y1), -k, classes[k]))
            else:
                expected = {min(sure)[2]: 1.0} if sure else dict.fromkeys(over, 1 / len(over))
                for kind, value in zip(channels.tolist(), unary[:, i, j].tolist(), strict=True):
                    assert value == pytest.approx(expected.get(kind, 0))


def test_a_middle_has_its_share_of_the_box_and_its_shape():
    unary, _ = middle_unary(boxes_of((5, 10, 45, 30)), torch.tensor([3]), *SIZE, 0.25)
    sure = unary[1] == 1
    assert sure.sum() == 0.25 * 40 * 20 and sure[15:25, 15:35].all()
    assert MIDDLE == 0.2


@pytest.mark.parametrize("crf", [LABEL_CRF, CrfParameters(2, 20, 8, 1, 2, 3)])
def test_grown_middles_are_the_crf_of_their_unary(crf):
    image, _ = scene()
    boxes, classes = boxes_of((14, 10, 35, 31), (2, 2, 30, 34)), torch.tensor([7, 8])
    labels = grown_middles(image, boxes, classes, crf, 0.3)
    scores = dense_crf(image, middle_unary(boxes, classes, *SIZE, 0.3)[0], crf).q
    for channel, box in enumerate(boxes, start=1):
        scores[channel] *= filled_boxes(box[None], torch.tensor([1]), *SIZE)
    assert torch.equal(labels, torch.tensor([0, 7, 8]).byte()[scores.argmax(0)])


def test_a_middle_grows_to_the_edges_of_a_disc():
    image, disc = scene()
    image = torch.where(disc, image[:, 20, 24, None, None], image[:, 0, 0, None, None])
    labels = grown_middles(image, boxes_of((10, 6, 39, 35)), torch.tensor([7]))
    assert torch.equal(labels == 7, disc)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("middle", [0.0, 1.5])
def test_a_middle_that_is_none_is_refused(middle):
    with pytest.raises(ValueError, match="middle must be above 0 and at most 1"):
        middle_unary(boxes_of((1, 1, 9, 9)), torch.tensor([1]), *SIZE, middle)


def test_a_box_over_the_whole_image_leaves_a_share_to_background():
    image, _ = scene()
    unary, _ = box_unary(boxes_of((0, 0, 50, 40)), torch.tensor([3]), *SIZE)
    assert torch.equal(unary[1], torch.full(SIZE, INSIDE)) and INSIDE == 0.6
    torch.testing.assert_close(unary[0], torch.full(SIZE, 0.4))
    # Nothing tells its pixels apart, so that the CRF leaves it whole.
    labels = refined_boxes(image, boxes_of((0, 0, 50, 40)), torch.tensor([3]))
    assert (labels == 3).all()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize("crf", [LABEL_CRF, CrfParameters(2, 20, 8, 1, 2, 3)])
def test_refined_boxes_are_the_crf_of_their_unary(order, crf):
    image, disc = scene()
    boxes = boxes_of((14, 10, 35, 31), (2, 2, 30, 34), (20, 15, 48, 38))[order]
    classes = torch.tensor([7, 8, 7])[order]
    before = image.clone(), boxes.clone(), classes.clone()
    labels = refined_boxes(image, boxes, classes, crf, 0.7)
    scores = dense_crf(image, unary_by_hand(boxes, classes, 0.7), crf).q
    for channel, kind in ((1, 7), (2, 8)):
        mine = [box for box, c in zip(boxes, classes, strict=True) if c == kind]
        inside = sum(filled_boxes(box[None], torch.tensor([1]), *SIZE) for box in mine) > 0
        scores[channel] *= inside
        assert not (labels == kind)[~inside].any(), "a label may only lie in boxes of its class"
    assert labels.dtype == torch.uint8
    assert torch.equal(labels, torch.tensor([0, 7, 8]).byte()[scores.argmax(0)])
    assert all(torch.equal(*pair) for pair in zip(before, (image, boxes, classes), strict=True))


def test_a_class_stays_in_its_own_boxes_however_strong_the_crf():
    image = torch.full((3, *SIZE), 90, dtype=torch.uint8)
    boxes, classes = boxes_of((0, 0, 47, 40), (48, 10, 50, 14)), torch.tensor([7, 8])
    crf = CrfParameters(bilateral_weight=60, bilateral_xy=40)
    q = dense_crf(image, box_unary(boxes, classes, *SIZE)[0], crf).q
    assert (q[:, 10:14, 48:].argmax(0) == 1).any(), "the large box must have flowed over"
    labels = refined_boxes(image, boxes, classes, crf)
    assert (labels == 7).any()
    assert not (labels == 7)[:, 47:].any()


def test_the_crf_brings_a_box_to_the_edges_of_a_disc():
    image, disc = scene()
    image = torch.where(disc, image[:, 20, 24, None, None], image[:, 0, 0, None, None])
    box, classes = boxes_of((10, 6, 39, 35)), torch.tensor([7])
    filled, refined = filled_boxes(box, classes, *SIZE), refined_boxes(image, box, classes)
    assert torch.equal(refined == 7, disc), "its ground is joined to the certain background"
    assert (filled == 7).sum() > 2 * disc.sum()


def test_grabcut_finds_a_disc_that_a_box_does_not():
    image, disc = scene()
    box, classes = boxes_of((14, 10, 35, 31)), torch.tensor([7])

    def iou(mask):
        return ((mask == 7) & disc).sum() / ((mask == 7) | disc).sum()

    mask = grabcut(image, box, classes)
    assert mask.dtype == torch.uint8
    assert set(mask.unique().tolist()) == {0, 7}
    assert iou(mask) > 0.95 > iou(filled_boxes(box, classes, *SIZE))


def test_grabcut_repeats_itself_and_leaves_its_input_alone():
    image, _ = scene()
    before = image.clone()
    boxes, classes = boxes_of((14, 10, 35, 31), (2, 2, 30, 34)), torch.tensor([7, 8])
    first = grabcut(image, boxes, classes)
    assert torch.equal(first, grabcut(image, boxes, classes))
    assert torch.equal(image, before)
    assert not first[:, 35:].any(), "a label may only lie in its own box"


@pytest.mark.parametrize("box", [(0, 0, 50, 40), (5, 5, 7, 30), (5, 5, 30, 8)])
def test_grabcut_fills_boxes_it_cannot_work_on(box):
    image, _ = scene()
    boxes, classes = boxes_of(box), torch.tensor([3])
    assert torch.equal(grabcut(image, boxes, classes), filled_boxes(boxes, classes, *SIZE))


def test_grabcut_survives_an_image_of_one_colour():
    image = torch.full((3, *SIZE), 90, dtype=torch.uint8)
    mask = grabcut(image, boxes_of((10, 10, 30, 30)), torch.tensor([3]))
    assert (mask[10:30, 10:30] == 3).any()
    assert (mask == 3).sum() <= 400


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"boxes": torch.zeros(2, 5)}, "boxes and classes"),
        ({"classes": torch.tensor([255])}, "1..254"),
        ({"boxes": boxes_of((0, 0, float("nan"), 5))}, "NaN"),
        ({"image": torch.zeros(3, *SIZE)}, "uint8"),
        ({"inside": 0.5}, "inside must be above .5"),
        ({"inside": 1.0}, "inside must be above .5"),
    ],
)
def test_wrong_arguments_of_refined_boxes_are_named(change, reason):
    arguments = {"image": scene()[0], "boxes": boxes_of((1, 1, 9, 9)), "classes": torch.tensor([1])}
    with pytest.raises(ValueError, match=reason):
        refined_boxes(**(arguments | change))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"boxes": torch.zeros(2, 5)}, "boxes and classes"),
        ({"classes": torch.tensor([1, 2])}, "boxes and classes"),
        ({"classes": torch.tensor([0])}, "1..254"),
        ({"classes": torch.tensor([255])}, "1..254"),
        ({"boxes": boxes_of((0, 0, float("nan"), 5))}, "NaN"),
        ({"image": torch.zeros(3, *SIZE)}, "uint8"),
        ({"iterations": 0}, "iterations"),
    ],
)
def test_wrong_arguments_are_named(change, reason):
    arguments = {"image": scene()[0], "boxes": boxes_of((1, 1, 9, 9)), "classes": torch.tensor([1])}
    with pytest.raises(ValueError, match=reason):
        grabcut(**(arguments | change))


def test_grabcut_on_photographs_stays_in_its_boxes(voc_root):
    from PIL import Image

    path = sorted((voc_root / "JPEGImages").glob("*.jpg"))[0]
    image = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)
    _, height, width = image.shape
    boxes = boxes_of((width // 4, height // 4, width // 2, height // 2))
    mask = grabcut(image, boxes, torch.tensor([5]), iterations=2)
    inside = filled_boxes(boxes, torch.tensor([5]), height, width) > 0
    assert (mask == 5).any()
    assert not mask[~inside].any()
