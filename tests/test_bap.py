"""Eq. 1-4: the vectorised pooling against loops, and what must hold whatever the numbers."""

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bana.bap import background_attention, background_queries, grid_cells, pool_boxes

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def scene(seed: int, n: int = 2, d: int = 5, h: int = 7, w: int = 9) -> tuple[Tensor, Tensor]:
    """Non-negative features with some zeros, and a background mask with some holes."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, h, w, generator=generator, dtype=torch.float64).relu()
    background = (torch.rand(n, 1, h, w, generator=generator) < 0.4).double()
    return features, background


def attention_of(features: Tensor, background: Tensor, grid_size: int) -> Tensor:
    return background_attention(features, *background_queries(features, background, grid_size))


BOXES = torch.tensor(
    [
        [0, 3.0, 5.0, 40.0, 30.0],
        [1, 0.0, 0.0, 72.0, 56.0],
        [0, 10.5, 8.25, 11.0, 50.0],
        [1, 64.0, 48.0, 72.0, 56.0],
        [0, 20.0, 20.0, 20.001, 20.001],
    ],
    dtype=torch.float64,
)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 999), st.booleans())
def test_queries_equal_the_loop_that_pads(h: int, w: int, grid: int, seed: int, full: bool) -> None:
    features, background = scene(seed, n=2, d=3, h=h, w=w)
    background = torch.ones_like(background) if full else background
    queries, valid = background_queries(features, background, grid)
    assert queries.shape == (2, grid**2, 3) and valid.shape == (2, grid**2)
    for n in range(2):
        for j, expected in enumerate(reference.queries(features[n], background[n, 0], grid)):
            assert bool(valid[n, j]) == (expected is not None)
            if expected is not None:
                torch.testing.assert_close(queries[n, j], torch.from_numpy(expected))


def test_grid_pads_on_both_sides_only_when_it_can() -> None:
    # 6 + 2 is padded by one on both sides, 7 + 1 at the end alone, 41 + 3 at the end alone.
    assert (grid_cells(6, 1, 4)[:, 0] // 4).tolist() == [0, 1, 1, 2, 2, 3]
    assert (grid_cells(7, 1, 4)[:, 0] // 4).tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert (grid_cells(41, 1, 4)[:, 0] // 4).bincount().tolist() == [11, 11, 11, 8]


def test_fractional_background_weighs() -> None:
    features = torch.tensor([1.0, 5.0]).view(1, 1, 1, 2)
    background = torch.tensor([0.75, 0.25]).view(1, 1, 1, 2)
    assert background_queries(features, background, 1)[0].item() == pytest.approx(2.0)


def test_a_little_background_makes_a_query() -> None:
    background = torch.tensor([0.25, 0.0]).view(1, 1, 1, 2)
    queries, valid = background_queries(torch.tensor([[[[3.0, 5.0]]]]), background, 1)
    assert valid.item() and queries.item() == 3


def test_sums_that_half_precision_cannot_hold_have_a_mean_that_it_can() -> None:
    features = torch.full((1, 2, 4, 4), 3e4, dtype=torch.float16)
    queries, _ = background_queries(features, torch.ones(1, 1, 4, 4), 1)
    assert torch.equal(queries, features[..., 0, 0][:, None])


@pytest.mark.parametrize("seed", range(3))
def test_rounding_lifts_no_attention_above_1(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    lengths = 0.1 + 5 * torch.rand(1, 1, 12, 12, generator=generator)
    features = lengths * torch.rand(1, 64, 1, 1, generator=generator)
    attention = attention_of(features, torch.ones(1, 1, 12, 12), 1)
    assert attention.max() <= 1 and attention.min() > 1 - 1e-5


@pytest.mark.parametrize("grid_size", [1, 2, 4])
def test_attention_equals_the_loop(grid_size: int) -> None:
    features, background = scene(3)
    attention = attention_of(features, background, grid_size)
    for n in range(2):
        cells = reference.queries(features[n], background[n, 0], grid_size)
        inside = background[n, 0] == 0
        expected = reference.attention(features[n], cells, inside)
        # Eq. 3's outer case is the caller's.
        completed = torch.where(inside, attention[n, 0], 1.0)
        torch.testing.assert_close(completed, torch.from_numpy(expected))


@pytest.mark.parametrize("spatial_scale", [1 / 8, 0.1])
def test_pooling_equals_the_loop(spatial_scale: float) -> None:
    features, background = scene(4)
    attention = attention_of(features, background, 2)
    pooled = pool_boxes(features, attention, BOXES, spatial_scale)
    assert pooled.shape == (len(BOXES), 1, 5)
    for row, box in zip(pooled[:, 0], BOXES, strict=True):
        n = int(box[0])
        expected = reference.pooled_box(features[n], attention[n, 0], box[1:], spatial_scale)
        torch.testing.assert_close(row, torch.from_numpy(expected))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), st.integers(1, 5), st.booleans())
def test_attention_lies_between_0_and_1(seed: int, grid_size: int, single: bool) -> None:
    features, background = scene(seed)
    features = features.float() if single else features
    attention = attention_of(features, background, grid_size)
    assert attention.shape == background.shape
    assert attention.min() >= 0 and attention.max() <= 1


def test_attention_of_the_query_itself_is_1_and_of_a_stranger_0() -> None:
    features = torch.zeros(1, 2, 1, 3)
    features[0, 0, 0, :2] = torch.tensor([2.0, 7.0])
    features[0, 1, 0, 2] = 3.0
    background = torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 1, 3)
    torch.testing.assert_close(
        attention_of(features, background, 1).flatten(), torch.tensor([1.0, 1.0, 0.0])
    )


def test_opposite_features_do_not_lower_the_attention() -> None:
    features = torch.tensor([[1.0, -1.0]]).view(1, 1, 1, 2)
    background = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    assert attention_of(features, background, 1).flatten().tolist() == [1.0, 0.0]


def test_no_attention_is_global_average_pooling() -> None:
    features, background = scene(5)
    boxes = torch.tensor([[0, 8.0, 16.0, 40.0, 48.0], [1, 0.0, 0.0, 72.0, 56.0]])
    pooled = pool_boxes(features, torch.zeros_like(background), boxes.double(), 1 / 8)
    torch.testing.assert_close(pooled[0, 0], features[0, :, 2:6, 1:5].mean((1, 2)))
    torch.testing.assert_close(pooled[1, 0], features[1].mean((1, 2)))


def test_full_attention_falls_back_to_global_average_pooling() -> None:
    features, background = scene(6)
    ones, zeros = torch.ones_like(background), torch.zeros_like(background)
    torch.testing.assert_close(
        pool_boxes(features, ones, BOXES, 1 / 8, 2), pool_boxes(features, zeros, BOXES, 1 / 8, 2)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_image_without_background_is_finite_and_has_no_query(dtype: torch.dtype) -> None:
    features, background = scene(7)
    features = features.to(dtype)
    background[0] = 0
    queries, valid = background_queries(features, background, 4)
    attention = background_attention(features, queries, valid)
    pooled = pool_boxes(features, attention, BOXES, 1 / 8)
    assert not valid[0].any() and valid[1].any()
    assert torch.equal(attention[0], torch.zeros_like(attention[0]))
    assert attention[1].max() > 0
    for tensor in (queries, attention, pooled):
        assert tensor.dtype == dtype and torch.isfinite(tensor).all()


def test_cells_inside_boxes_give_no_query_and_do_not_dilute_the_mean() -> None:
    features = torch.ones(1, 1, 4, 4)
    background = torch.zeros(1, 1, 4, 4)
    background[..., 0, 0] = 1
    _, valid = background_queries(features, background, 2)
    assert valid.tolist() == [[True, False, False, False]]
    torch.testing.assert_close(attention_of(features, background, 2), torch.ones(1, 1, 4, 4))


def test_order_of_boxes_does_not_matter() -> None:
    features, background = scene(8)
    attention = attention_of(features, background, 4)
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(
        pool_boxes(features, attention, BOXES[order], 1 / 8, 2),
        pool_boxes(features, attention, BOXES, 1 / 8, 2)[order],
    )


@settings(deadline=None, max_examples=20)
@given(st.floats(1e-3, 1e3), st.integers(0, 99))
def test_scaled_features_keep_the_attention_and_scale_the_pool(scale: float, seed: int) -> None:
    features, background = scene(seed)
    attention = attention_of(features, background, 4)
    torch.testing.assert_close(attention_of(features * scale, background, 4), attention)
    torch.testing.assert_close(
        pool_boxes(features * scale, attention, BOXES, 1 / 8),
        pool_boxes(features, attention, BOXES, 1 / 8) * scale,
    )


@pytest.mark.parametrize("width", [1.0, 0.1, 1e-3])
def test_thin_box_pools_the_cell_it_lies_in(width: float) -> None:
    features, background = scene(9)
    boxes = torch.tensor([[0, 43.0, 17.0, 43.0 + width, 17.0 + width]], dtype=torch.float64)
    pooled = pool_boxes(features, torch.zeros_like(background), boxes, 1 / 8)
    torch.testing.assert_close(pooled[0, 0], features[0, :, 2, 5])


def test_constant_features_pool_to_themselves_for_any_box_and_attention() -> None:
    _, background = scene(10)
    features = torch.full((2, 3, 7, 9), 2.5, dtype=torch.float64)
    attention = torch.rand(background.shape, generator=torch.Generator().manual_seed(0)).double()
    pooled = pool_boxes(features, attention, BOXES, 1 / 8, 2)
    torch.testing.assert_close(pooled, torch.full_like(pooled, 2.5))


def test_background_inside_a_box_is_left_out() -> None:
    features = torch.tensor([1.0, 9.0]).view(1, 1, 1, 2)
    attention = torch.tensor([1.0, 0.25]).view(1, 1, 1, 2)
    boxes = torch.tensor([[0, 0.0, 0.0, 2.0, 1.0]])
    assert pool_boxes(features, attention, boxes, 1.0).item() == pytest.approx(9.0)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_are_the_smaller_boxes_row_by_row(parts: int) -> None:
    features, background = scene(11)
    attention = attention_of(features, background, 4)
    pooled = pool_boxes(features, attention, BOXES[:4], 1 / 8, parts)
    assert pooled.shape == (4, parts**2, 5)
    for box, rows in zip(BOXES, pooled, strict=False):
        image, x1, y1, x2, y2 = box.tolist()
        width, height = (x2 - x1) / parts, (y2 - y1) / parts
        for i in range(parts):
            for j in range(parts):
                left, top = x1 + j * width, y1 + i * height
                piece = torch.tensor([[image, left, top, left + width, top + height]]).double()
                expected = pool_boxes(features, attention, piece, 1 / 8)[0, 0]
                torch.testing.assert_close(rows[i * parts + j], expected)


def test_box_outside_the_map_gives_zeros_and_one_half_outside_its_inner_half() -> None:
    features, background = scene(12)
    boxes = torch.tensor(
        [[0, 100.0, 100.0, 120.0, 120.0], [0, -16.0, 0.0, 16.0, 16.0], [0, 0.0, 0.0, 16.0, 16.0]]
    ).double()
    pooled = pool_boxes(features, torch.zeros_like(background), boxes, 1 / 8)
    assert torch.equal(pooled[0], torch.zeros_like(pooled[0]))
    torch.testing.assert_close(pooled[1], pooled[2])


def test_no_boxes_give_no_rows() -> None:
    features, background = scene(13)
    assert pool_boxes(features, background, torch.zeros(0, 5), 1 / 8, 2).shape == (0, 4, 5)


def test_gradients() -> None:
    features, background = scene(14, n=2, d=3, h=3, w=4)
    features = (features + 0.1).requires_grad_()
    boxes = BOXES.clone()
    boxes[:, 1:] /= 2

    def whole(f: Tensor) -> Tensor:
        queries, valid = background_queries(f, background, 2)
        return pool_boxes(f, background_attention(f, queries, valid), boxes, 1 / 8, 2)

    queries, valid = background_queries(features.detach(), background, 2)
    attention = background_attention(features.detach(), queries, valid) * 0.9
    assert torch.autograd.gradcheck(
        lambda f, a: pool_boxes(f, a, boxes, 1 / 8), (features, attention.requires_grad_())
    )
    assert torch.autograd.gradcheck(
        lambda f, q: background_attention(f, q, valid), (features, queries.requires_grad_())
    )
    assert torch.autograd.gradcheck(whole, (features,))


def test_gradient_of_zero_features_is_finite() -> None:
    features = torch.zeros(1, 3, 4, 4, requires_grad=True)
    background = torch.zeros(1, 1, 4, 4)
    background[..., 0] = 1
    attention = attention_of(features, background, 2)
    pool_boxes(features, attention, torch.tensor([[0, 1.0, 0.0, 4.0, 4.0]]), 1.0).sum().backward()
    assert features.grad is not None and torch.isfinite(features.grad).all()


def test_zero_features_and_queries_have_no_slope() -> None:
    features = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    features[..., 1, 1] = 0
    features[..., 2:, 2:] = 0
    background = torch.zeros(1, 1, 4, 4)
    background[..., 0, :] = background[..., 3, 3] = 1  # of one cell of the grid all is zero
    queries, valid = background_queries(features.requires_grad_(), background, 2)
    assert valid.sum() == 3 and (queries[0, 3] == 0).all()
    queries.retain_grad()
    background_attention(features, queries, valid).sum().backward()
    assert features.grad is not None and queries.grad is not None
    assert torch.equal(features.grad[..., 1, 1], torch.zeros(1, 3))
    assert features.grad.abs().max() < 10 and queries.grad.abs().max() < 10


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_float_type(dtype: torch.dtype) -> None:
    features, background = scene(15)
    exact = attention_of(features, background, 2)
    pooled = pool_boxes(features, exact, BOXES, 1 / 8, 2)
    tolerance = {torch.bfloat16: 0.06, torch.float16: 0.02}.get(dtype, 1e-5)
    attention = attention_of(features.to(dtype), background.to(dtype), 2)
    assert attention.dtype == dtype
    torch.testing.assert_close(attention.double(), exact, atol=tolerance, rtol=tolerance)
    # The tiny last box is narrower than half precision can tell apart.
    rows = pool_boxes(features.to(dtype), attention, BOXES[:4].float(), 1 / 8, 2)
    assert rows.dtype == dtype
    torch.testing.assert_close(rows.double(), pooled[:4], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_keep_narrow_boxes(dtype: torch.dtype) -> None:
    # bfloat16 cannot tell column 256 from 257, nor float16 4096 from 4097.
    start = 256 if dtype == torch.bfloat16 else 4096
    features = torch.ones(1, 1, 1, start // 8 + 1, dtype=dtype)
    boxes = torch.tensor([[0.0, start, 0, start + 1, 8]])
    pooled = pool_boxes(features, torch.zeros_like(features), boxes, 1 / 8)
    assert pooled.item() == 1


def test_pooling_under_autocast_is_that_without_it() -> None:
    features, background = (each.float() for each in scene(18))
    plain = pool_boxes(features, attention_of(features, background, 2), BOXES, 1 / 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = pool_boxes(features, attention_of(features, background, 2), BOXES, 1 / 8)
    assert torch.equal(made, plain)


def test_attention_that_is_no_number_is_not_forgotten() -> None:
    features, background = scene(19)
    attention = torch.zeros_like(background)
    attention[0, 0, 2, 2] = torch.nan
    pooled = pool_boxes(features, attention, BOXES, 1 / 8)
    assert pooled[0].isnan().all() and pooled[1].isfinite().all()


def test_inverted_boxes_give_zeros() -> None:
    features, background = scene(20)
    boxes = BOXES[:2][:, [0, 3, 2, 1, 4]]
    pooled = pool_boxes(features, torch.zeros_like(background), boxes, 1 / 8, 2)
    assert torch.equal(pooled, torch.zeros_like(pooled))


def test_inputs_stay_as_they_are() -> None:
    features, background = scene(16)
    attention = attention_of(features, background, 4)
    kept = [t.clone() for t in (features, background, attention, BOXES)]
    queries, valid = background_queries(features, background, 4)
    kept_queries, kept_valid = queries.clone(), valid.clone()
    background_attention(features, queries, valid)
    pool_boxes(features, attention, BOXES, 1 / 8, 2)
    for before, after in zip(kept, (features, background, attention, BOXES), strict=True):
        assert torch.equal(before, after)
    assert torch.equal(kept_queries, queries) and torch.equal(kept_valid, valid)


@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_named() -> None:
    features, background = scene(17)
    attention = torch.zeros_like(background)
    with pytest.raises(ValueError, match="grid_size"):
        background_queries(features, background, 0)
    with pytest.raises(ValueError, match="background"):
        background_queries(features, background[:, 0], 2)
    with pytest.raises(ValueError, match="features"):
        background_queries(features[0], background, 2)
    with pytest.raises(ValueError, match=r"features must be a float tensor .*, got torch\.int64"):
        background_queries(features.long(), background, 2)
    queries, valid = background_queries(features.float(), background, 2)
    with pytest.raises(ValueError, match=r"queries must be torch\.float64 .* got torch\.float32"):
        background_attention(features, queries, valid)
    with pytest.raises(ValueError, match=r"attention must be torch\.float64 .* torch\.float32"):
        pool_boxes(features, attention.float(), BOXES, 1 / 8)
    with pytest.raises(ValueError, match="queries"):
        background_attention(features, torch.zeros(2, 4, 6), torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="boxes"):
        pool_boxes(features, attention, BOXES[:, 1:], 1 / 8)
    with pytest.raises(ValueError, match="parts"):
        pool_boxes(features, attention, BOXES, 1 / 8, 0)
    with pytest.raises(ValueError, match="attention"):
        pool_boxes(features, attention[..., 1:], BOXES, 1 / 8)
    stray = BOXES.clone()
    stray[0, 0] = 2
    with pytest.raises(ValueError, match="image 2"):
        pool_boxes(features, attention, stray, 1 / 8)
    with pytest.raises(ValueError, match="spatial_scale must be above 0, got 0"):
        pool_boxes(features, attention, BOXES, 0)
    for place, value in ((0, -1), (1, float("nan"))):
        stray = BOXES.clone()
        stray[0, place] = value
        with pytest.raises(ValueError, match="boxes must be finite, and"):
            pool_boxes(features, attention, stray, 1 / 8)
