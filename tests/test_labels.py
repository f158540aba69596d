"""Eq. 5-9: labels made on the small map against the same on enlarged features, pixel by pixel."""

from dataclasses import dataclass

import pytest
import reference
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bana import labels
from bana.crf.dense import LABEL_CRF, CrfParameters, CrfResult
from bana.labels import PseudoLabels, UnaryOptions, pseudo_labels

D, L = 6, 4
HEIGHT, WIDTH = 26, 33
ALL_OF_A = UnaryOptions(background_threshold=0)


@dataclass
class Scene:
    """Everything `pseudo_labels` needs, in float64."""

    features: Tensor
    weight: Tensor
    image: Tensor
    boxes: Tensor
    classes: Tensor
    crowds: Tensor

    def label(self, options: UnaryOptions = ALL_OF_A, **more) -> PseudoLabels:
        given = self.features, self.weight, self.image, self.boxes, self.classes, options
        return pseudo_labels(*given, crowds=self.crowds, **more)

    def inside(self) -> Tensor:
        """B_c of the classes in ascending order, bool [C, H, W]."""
        masks = torch.stack(
            [torch.from_numpy(reference.box_mask(box, HEIGHT, WIDTH)) for box in self.boxes]
        )
        return torch.stack([masks[self.classes == c].any(0) for c in self.classes.unique()])

    def unknown(self) -> Tensor:
        """The crowds beside the boxes, bool [H, W]."""
        crowds = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
        for box in self.crowds:
            crowds |= torch.from_numpy(reference.box_mask(box, HEIGHT, WIDTH))
        return crowds & ~self.inside().any(0)


def scene(
    seed: int = 0, boxes: list | None = None, classes: list | None = None, crowds: tuple = ()
) -> Scene:
    generator = torch.Generator().manual_seed(seed)
    if boxes is None:
        boxes = [[2, 3, 14.5, 20], [10, 8, 27, 24.25], [20, 1, 30, 9]]
        classes = [3, 1, 3]
    return Scene(
        torch.rand(D, 5, 6, generator=generator, dtype=torch.float64) ** 8,
        torch.randn(L + 1, D, generator=generator, dtype=torch.float64),
        torch.randint(256, (3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8),
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
    )


def unfiltered(q: Tensor) -> CrfResult:
    return CrfResult(q, torch.ones(len(q), dtype=torch.bool))


@pytest.fixture
def no_crf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The unary itself in place of the CRF's answer."""
    monkeypatch.setattr(labels, "dense_crf", lambda image, unary, parameters: unfiltered(unary))


def enlarged(s: Scene) -> Tensor:
    """The features at the size of the image, [D, H, W]."""
    size = (HEIGHT, WIDTH)
    return F.interpolate(s.features[None], size, mode="bilinear", align_corners=True)[0]


def background_scores(s: Scene, options: UnaryOptions) -> tuple[Tensor, Tensor]:
    """A of Eq. 2 and 3, and u_0 of Eq. 7 without its 1 outside the boxes; [H, W] each.

    The threshold is a fraction of the largest cosine in the whole image.
    """
    large, covered = enlarged(s), s.inside().any(0)
    inner = covered | s.unknown()  # where M is 0
    cells = reference.queries(large, ~inner, options.grid_size)
    cosines = reference.attention(large, cells, torch.ones_like(covered))
    attention = reference.attention(large, cells, inner)
    u_0 = reference.background_unary(cosines, options.background_threshold)
    return torch.from_numpy(attention), torch.from_numpy(u_0)


def whole(s: Scene, options: UnaryOptions) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Eq. 1-9 on features enlarged first, as the authors do: A, unary, Y_crf and Y_ret."""
    large, inside = enlarged(s), s.inside()
    covered = inside.any(0)
    attention, background = background_scores(s, options)
    if options.background == "none":
        background = torch.zeros_like(background)
    wanted = s.classes.unique()
    channels = [int((wanted == c).nonzero()) for c in s.classes]
    cams = reference.cam(large, s.weight[wanted])
    foreground = torch.from_numpy(reference.foreground_unary(cams, s.boxes, channels))
    if options.class_agnostic:
        foreground = inside * (1 - background)
    unary = torch.cat([background[None], foreground]).softmax(0)
    unary[:, ~covered] = 0
    unary[0, ~covered] = 1
    unknown = s.unknown()
    unary[:, unknown] = 1 / len(unary)
    chosen = torch.cat([unary[:1], unary[1:] * inside]).argmax(0)
    chosen[unknown] = -1  # of no class
    names = torch.cat([torch.zeros(1, dtype=torch.int64), wanted])
    means = reference.prototypes(large, chosen, s.weight[names])
    y_ret = torch.from_numpy(reference.retrieved(large, means, inside))
    y_crf, y_ret = (names[made].masked_fill(unknown, 255) for made in (chosen, y_ret))
    return attention, unary, y_crf, y_ret


OPTIONS = [
    ALL_OF_A,
    UnaryOptions(),
    UnaryOptions(background="none"),
    UnaryOptions(class_agnostic=True),
    UnaryOptions(class_agnostic=True, background_threshold=0),
    UnaryOptions(background_threshold=0.5, grid_size=2),
    UnaryOptions(class_agnostic=True, background_threshold=0, grid_size=3),
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("filled", [False, True])
@pytest.mark.parametrize("crowds", [(), ([0, 12, 6, 26], [22, 6, 33, 20])])
def test_equals_the_authors_enlarged_features(
    no_crf, options: UnaryOptions, filled: bool, crowds: tuple
) -> None:
    s = scene(0, crowds=crowds)
    if filled:
        s.boxes[0] = torch.tensor([0, 0, WIDTH, HEIGHT])
    attention, unary, y_crf, y_ret = whole(s, options)
    result = s.label(options)
    assert result.classes.tolist() == [0, 1, 3]
    torch.testing.assert_close(result.attention, attention, atol=1e-9, rtol=0)
    torch.testing.assert_close(result.unary, unary, atol=1e-9, rtol=0)
    assert torch.equal(result.y_crf, y_crf.to(torch.uint8))
    assert torch.equal(result.y_ret, y_ret.to(torch.uint8))
    assert len(y_crf.unique()) > 1 and len(y_ret.unique()) > 1


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 999))
def test_single_precision_unaries_are_within_1e_4(seed: int) -> None:
    s = scene(seed)
    _, unary, _, _ = whole(s, ALL_OF_A)
    s.features, s.weight = s.features.float(), s.weight.float()
    # The unary is made before the CRF, so a CRF that does not iterate is enough.
    result = s.label(crf=CrfParameters(iterations=1))
    assert result.unary.dtype == torch.float32
    torch.testing.assert_close(result.unary.double(), unary, atol=1e-4, rtol=0)


def test_shapes_types_and_sums() -> None:
    result = scene().label()
    assert result.y_crf.shape == result.y_ret.shape == result.attention.shape == (HEIGHT, WIDTH)
    assert result.y_crf.dtype == result.y_ret.dtype == torch.uint8
    assert result.unary.shape == (3, HEIGHT, WIDTH) and result.classes.dtype == torch.int64
    torch.testing.assert_close(result.unary.sum(0), torch.ones(HEIGHT, WIDTH).double())
    assert result.attention.min() >= 0 and result.attention.max() <= 1


BOX = st.tuples(
    st.floats(0, WIDTH - 1, width=32),
    st.floats(0, HEIGHT - 1, width=32),
    st.floats(0.25, WIDTH, width=32),
    st.floats(0.25, HEIGHT, width=32),
).map(lambda b: [b[0], b[1], min(b[0] + b[2], WIDTH), min(b[1] + b[3], HEIGHT)])


@settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 999),
    st.lists(st.tuples(BOX, st.integers(1, L)), min_size=1, max_size=4),
    st.sampled_from(OPTIONS),
)
def test_labels_lie_in_their_own_boxes_alone(seed: int, objects: list, options) -> None:
    s = scene(seed, [box for box, _ in objects], [c for _, c in objects])
    result = s.label(options, crf=CrfParameters(iterations=2))
    inside = s.inside()
    for y in (result.y_crf, result.y_ret):
        for mask, c in zip(inside, s.classes.unique(), strict=True):
            assert mask[y == c].all()
        assert set(y.unique().tolist()) <= {0, *s.classes.tolist()}
    covered = inside.any(0)
    assert (result.attention[~covered] == 1).all() and (result.unary[0][~covered] == 1).all()
    assert torch.isfinite(result.unary).all() and torch.isfinite(result.attention).all()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_order_of_boxes_does_not_matter(options: UnaryOptions) -> None:
    # The first and the last box are of one class and overlap.
    objects = [([2, 3, 18, 20], 3), ([10, 8, 27, 24], 1), ([9, 1, 30, 12], 3)]
    forward = scene(2, *map(list, zip(*objects, strict=True))).label(options)
    backward = scene(2, *map(list, zip(*objects[::-1], strict=True))).label(options)
    for a, b in zip(forward, backward, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_box_that_fills_the_image_is_finite(options: UnaryOptions) -> None:
    result = scene(3, [[0, 0, WIDTH, HEIGHT]], [2]).label(options)
    assert torch.isfinite(result.unary).all()
    assert torch.equal(result.attention, torch.zeros_like(result.attention))
    assert (result.y_crf == 2).any() and (result.y_ret == 2).any()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_image_without_boxes_is_background(options: UnaryOptions) -> None:
    result = scene(4, [], []).label(options)
    assert not result.y_crf.any() and not result.y_ret.any()
    assert result.classes.tolist() == [0]
    assert (result.unary == 1).all() and (result.attention == 1).all()


def test_what_a_crowd_shows_is_no_background() -> None:
    """An object beside a crowd of its kind: were the crowd background, the object would be, too."""
    features = torch.zeros(2, 17, 17)
    features[0, :, :5] = features[0, :, 9:] = 1  # object, and crowd from column 36 on
    features[1, :, 5:9] = 1  # ground
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    box, crowd = torch.tensor([[0.0, 0, 24, 64]]), torch.tensor([[32.0, 0, 64, 64]])
    weight = torch.tensor([[0, 1], [torch.nan, torch.nan]])
    options = UnaryOptions(background_threshold=0.75)
    given = features, weight, image, box, torch.tensor([1]), options
    alone = {"crf": CrfParameters(iterations=0), "stride": 4.0}
    made = pseudo_labels(*given, crowds=crowd, **alone)
    for label in (made.y_crf, made.y_ret):
        assert label[:, :14].eq(1).all() and label[:, 21:24].eq(0).all()
        assert label[:, 32:].eq(255).all() and label[:, 24:32].eq(0).all()
    assert pseudo_labels(*given, **alone).y_ret[:, :14].eq(0).all()  # nobody told of the crowd


def test_class_agnostic_does_not_ask_the_classifier(no_crf) -> None:
    s = scene(5)
    options = UnaryOptions(class_agnostic=True)
    before = s.label(options)
    s.weight = torch.zeros_like(s.weight)
    torch.testing.assert_close(s.label(options).unary, before.unary)
    _, background = background_scores(s, UnaryOptions())
    scores = torch.stack([background, *(s.inside() * (1 - background))])
    covered = s.inside().any(0)
    torch.testing.assert_close(before.unary[:, covered], scores.softmax(0)[:, covered])


def test_class_the_classifier_never_saw_takes_1_minus_u_0(no_crf) -> None:
    """VOC to COCO: a row of nan in the classifier, beside a class that it knows."""
    s = scene(7, [[4, 4, 20, 20], [10, 10, 30, 26]], [1, 2])
    expected = s.label(ALL_OF_A)
    s.weight[2] = float("nan")
    made = s.label(ALL_OF_A)
    assert made.unary.isfinite().all()
    first, second = s.inside()
    # u_c - u_0 is the log of the ratio of channels, whatever the softmax's denominator.
    margin = (made.unary[2] / made.unary[0]).log()[second]
    u_0 = made.attention[second]
    torch.testing.assert_close(margin, 1 - 2 * u_0, atol=1e-5, rtol=1e-5)
    known = (made.unary[1] / made.unary[0]).log()[first]
    torch.testing.assert_close(
        known, (expected.unary[1] / expected.unary[0]).log()[first], atol=1e-5, rtol=1e-5
    )
    assert torch.equal(made.attention, expected.attention)


def test_unseen_class_without_a_prototype_is_retrieved_nowhere(monkeypatch) -> None:
    s = scene(7, [[4, 4, 20, 20]], [2])
    s.weight[2] = float("nan")
    monkeypatch.setattr(
        labels, "dense_crf", lambda image, unary, _: unfiltered((unary > 2).to(unary))
    )
    made = s.label(ALL_OF_A)
    assert not made.y_crf.any() and not made.y_ret.any()


def test_without_u0_the_attention_does_not_matter(no_crf) -> None:
    s = scene(6, [[4, 4, 20, 20]], [2])
    result = s.label(UnaryOptions(background="none"))
    u = torch.logit(result.unary[1][s.inside()[0]])  # softmax over [0, u_c]
    assert u.min() >= -1e-9 and u.max() == pytest.approx(1)


def test_threshold_removes_background_below_it(no_crf) -> None:
    s = scene(7, [[4, 4, 20, 20]], [2])
    s.weight = torch.zeros_like(s.weight)
    kept, cut = s.label(ALL_OF_A), s.label(UnaryOptions(background_threshold=0.9))
    inside = s.inside()[0]
    low = inside & (background_scores(s, UnaryOptions(background_threshold=0.9))[1] == 0)
    assert low.any() and (inside & ~low).any() and (kept.attention[low] > 0).any()
    torch.testing.assert_close(cut.unary[0][low], torch.full_like(cut.unary[0][low], 0.5))
    assert torch.equal(cut.unary[0][~low], kept.unary[0][~low])
    assert torch.equal(cut.attention, kept.attention)


def test_each_box_is_normalised_by_its_own_maximum(no_crf) -> None:
    # One class, two boxes apart, the second with responses a hundred times weaker.
    s = scene(8, [[0, 0, 8, 8], [24, 18, 33, 26]], [2, 2])
    s.features[:, 2:, 3:] /= 100
    u = torch.logit(s.label(UnaryOptions(background="none")).unary[1])
    for x1, y1, x2, y2 in s.boxes.int().tolist():
        assert u[y1:y2, x1:x2].max() == pytest.approx(1)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]], ids=["strong last", "strong first"])
def test_where_boxes_of_one_class_overlap_the_larger_value_stays(order: list[int], no_crf) -> None:
    # All CAMs are positive, and the responses differ so much that the boxes' maxima do, too.
    boxes = [[1, 1, 20, 18], [8, 4, 26, 22], [14, 8, 33, 26]]
    s = scene(17, [boxes[number] for number in order], [2, 2, 2])
    s.features = (s.features + 0.1) * torch.linspace(0.1, 2, 6)
    s.weight = torch.ones_like(s.weight)
    cam = enlarged(s).sum(0)
    values = [
        (cam * mask / cam[mask].max(), mask)
        for mask in (torch.from_numpy(reference.box_mask(b, HEIGHT, WIDTH)) for b in s.boxes)
    ]
    first, last = values[0][0], values[-1][0]
    overlap = values[0][1] & values[-1][1]
    assert overlap.any() and ((first - last).abs()[overlap] > 0.1).all()
    expected = torch.stack([value for value, _ in values]).amax(0)
    u = torch.logit(s.label(UnaryOptions(background="none")).unary[1])
    inside = s.inside()[0]
    torch.testing.assert_close(u[inside], expected[inside])


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 999), st.sets(st.integers(0, 2), max_size=2), st.sampled_from([True, False]))
def test_whatever_vanished_from_y_crf_is_retrieved_by_its_weight(
    seed: int, vanished: set[int], filled: bool
) -> None:
    s = scene(seed)
    if filled:
        s.boxes[0] = torch.tensor([0, 0, WIDTH, HEIGHT])
    generator = torch.Generator().manual_seed(seed)
    q = torch.rand(3, HEIGHT, WIDTH, generator=generator, dtype=torch.float64)
    q = q * torch.nn.functional.pad(s.inside(), (0, 0, 0, 0, 1, 0), value=True) + 1e-3
    q[list(vanished)] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "dense_crf", lambda image, unary, parameters: unfiltered(q))
        result = s.label()
    inside = s.inside()
    chosen = torch.cat([q[:1], q[1:] * inside]).argmax(0)
    assert torch.equal(result.y_crf.long(), result.classes[chosen])
    means = reference.prototypes(enlarged(s), chosen, s.weight[result.classes])
    expected = torch.from_numpy(reference.retrieved(enlarged(s), means, inside))
    assert torch.equal(result.y_ret.long(), result.classes[expected])


def test_crf_that_spreads_a_class_is_cut_at_its_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    def spread(image: Tensor, unary: Tensor, parameters: CrfParameters) -> CrfResult:
        return unfiltered(torch.tensor([0.1, 0.0, 0.9]).view(3, 1, 1).expand_as(unary))

    monkeypatch.setattr(labels, "dense_crf", spread)
    s = scene(16)
    assert torch.equal(s.label().y_crf == 3, s.inside()[1])
    assert not (s.label().y_crf == 1).any()


def test_vanished_class_is_retrieved_by_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    def never_foreground(image: Tensor, unary: Tensor, parameters: CrfParameters) -> CrfResult:
        return unfiltered(torch.cat([torch.ones_like(unary[:1]), torch.zeros_like(unary[1:])]))

    monkeypatch.setattr(labels, "dense_crf", never_foreground)
    s = scene(9, [[4, 4, 24, 20]], [2])
    s.features[:, 2, 3] = s.weight[2] = torch.tensor([0.0, 0, 0, 0, 0, 5.0])
    result = s.label()
    assert not result.y_crf.any()
    large = enlarged(s)
    means = reference.prototypes(large, result.y_crf.long(), s.weight[[0, 2]])
    expected = torch.from_numpy(reference.retrieved(large, means, s.inside())) * 2
    assert torch.equal(result.y_ret.long(), expected) and (result.y_ret == 2).any()


def test_crf_gets_the_stored_image_the_unary_and_the_parameters(monkeypatch) -> None:
    calls = []

    def record(image: Tensor, unary: Tensor, parameters: CrfParameters) -> CrfResult:
        calls.append((image, unary, parameters))
        return unfiltered(unary.float())

    monkeypatch.setattr(labels, "dense_crf", record)
    s = scene(10)
    result = s.label()
    own = CrfParameters(iterations=3)
    s.label(crf=own)
    assert calls[0][0].dtype == torch.uint8 and torch.equal(calls[0][0], s.image)
    assert torch.equal(calls[0][1], result.unary)
    assert calls[0][2] == LABEL_CRF and calls[1][2] == own
    assert LABEL_CRF == CrfParameters(4, 55, 3, 3, 3, 10)


def test_stride_places_cells_where_the_backbone_looked(no_crf) -> None:
    # An image one stride short of the padded size sees the same field, cut.
    s = scene(11, [[4, 4, 20, 18]], [2])
    cut = s.label(UnaryOptions(background="none"), stride=8)
    s.image = torch.nn.functional.pad(s.image, (0, 41 - WIDTH, 0, 33 - HEIGHT))
    padded = s.label(UnaryOptions(background="none"))
    torch.testing.assert_close(cut.unary, padded.unary[:, :HEIGHT, :WIDTH])


@settings(deadline=None, max_examples=10)
@given(st.floats(1e-3, 1e3))
def test_scale_of_the_features_does_not_matter(scale: float) -> None:
    s = scene(12)
    plain = s.label(crf=CrfParameters(iterations=1))
    s.features = s.features * scale
    scaled = s.label(crf=CrfParameters(iterations=1))
    torch.testing.assert_close(scaled.unary, plain.unary)
    assert (scaled.y_ret == plain.y_ret).double().mean() > 0.99


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_features_of_16_bits_give_the_labels_of_the_same_numbers(dtype: torch.dtype) -> None:
    """Sums over an image's pixels are beyond what they can hold."""
    s = scene(16)
    s.features, s.weight = (60 * s.features).to(dtype), s.weight.to(dtype)
    half = s.label(crf=CrfParameters(iterations=1))
    s.features, s.weight = s.features.float(), s.weight.float()
    whole = s.label(crf=CrfParameters(iterations=1))
    for one, other in zip(half, whole, strict=True):
        assert torch.equal(one, other)


def test_no_gradient_flows() -> None:
    s = scene(17)
    s.weight = torch.nn.Parameter(s.weight)
    assert not s.label(crf=CrfParameters(iterations=1)).unary.requires_grad


def test_zero_features_are_finite() -> None:
    s = scene(13)
    s.features = torch.zeros_like(s.features)
    result = s.label()
    assert torch.isfinite(result.unary).all()
    assert not result.y_ret.any()


def test_a_threshold_of_1_keeps_the_maximum_itself() -> None:
    cosine = torch.tensor([[0.5, 0.9], [0.25, 0.9]])
    maps = labels.Maps(cosine, cosine, cosine[None], cosine)
    boxes, classes = torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([1])
    regions = labels.regions_of(boxes, classes, None, 2, 2)
    options = UnaryOptions(background_threshold=1)
    unary = labels.unary_of(maps, torch.zeros(1, 2, 2), regions, torch.tensor([False]), options)
    expected = torch.tensor([[0, 0.9], [0, 0.9]])
    torch.testing.assert_close(unary.log()[0] - unary.log()[1], expected)


def test_labels_under_autocast_are_those_without_it() -> None:
    s = scene(18)
    s.features, s.weight = s.features.float(), s.weight.float()
    expected = s.label()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = s.label()
    for one, other in zip(made, expected, strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)


def test_inputs_stay_as_they_are() -> None:
    s = scene(14)
    inputs = (s.features, s.weight, s.image, s.boxes, s.classes)
    kept = [t.clone() for t in inputs]
    s.label()
    assert all(torch.equal(before, after) for before, after in zip(kept, inputs, strict=True))


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_named() -> None:
    s = scene(15)
    arguments = {
        "features": s.features,
        "weight": s.weight,
        "image": s.image,
        "boxes": s.boxes,
        "classes": s.classes,
    }
    for name, wrong, message in [
        ("weight", s.weight[:, 1:], "share D"),
        ("image", s.image.float() / 255, "uint8"),
        ("boxes", s.boxes[:2], "boxes"),
        ("classes", s.classes + 2, "classes must be in 1..4"),
        ("classes", s.classes - 1, "classes must be in 1..4"),
        ("boxes", s.boxes / 0, "boxes must be finite"),
        ("crowds", s.boxes / 0, "crowds must be finite"),
        ("crowds", torch.zeros(1, 5), r"crowds must be finite and \[Q, 4\]"),
        ("classes", s.classes.byte(), "classes must be int64"),
        ("classes", s.classes.float(), "classes must be int64"),
    ]:
        with pytest.raises(ValueError, match=message):
            pseudo_labels(**{**arguments, name: wrong})
    many = {**arguments, "weight": torch.zeros(300, D, dtype=torch.float64)}
    with pytest.raises(ValueError, match=r"classes must be in 1\.\.254, got \[3, 1, 255\]"):
        pseudo_labels(**{**many, "classes": torch.tensor([3, 1, 255])})  # 255 is no class
    with pytest.raises(ValueError, match="background"):
        UnaryOptions(background="all")
    with pytest.raises(ValueError, match="background_threshold"):
        UnaryOptions(background_threshold=2)
    with pytest.raises(ValueError, match="grid_size must be at least 1, got 0"):
        UnaryOptions(grid_size=0)
    for stride in (0, -8, float("nan")):
        with pytest.raises(ValueError, match="stride must be positive"):
            s.label(stride=stride)
    with pytest.raises(ValueError, match="class_agnostic"):
        UnaryOptions(background="none", class_agnostic=True)


def test_many_boxes_need_no_mask_each() -> None:
    """5,000 boxes on 375 x 500 pixels would be 940 MB of masks; they take what five boxes take."""
    g = torch.Generator().manual_seed(0)
    size, crf = (375, 500), CrfParameters(bilateral_weight=0, gaussian_weight=0, iterations=0)
    features = torch.rand(4, 24, 32, generator=g)
    image = torch.zeros(3, *size, dtype=torch.uint8)
    weight = torch.randn(3, 4, generator=g)

    def peak(count: int) -> int:
        corners = torch.rand(count, 2, generator=g) * torch.tensor([480.0, 350.0])
        boxes = torch.cat([corners, corners + 15], 1)
        classes = 1 + torch.arange(count) % 2
        with torch.profiler.profile(profile_memory=True) as watched:
            pseudo_labels(features, weight, image, boxes, classes, crf=crf)
        events = watched.profiler.kineto_results.events()
        held = most = 0
        for event in events:
            if event.name() == "[memory]":
                held += event.nbytes()
                most = max(most, held)
        return most

    few, many = peak(5), peak(5000)
    assert many < 1.5 * few
