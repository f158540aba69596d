"""The enlargement as matrices against loops and against torch's own."""

import pytest
import reference
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bana.interpolation import bilinear

SIDES = st.integers(1, 7)


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_reference_enlargement_is_torchs() -> None:
    maps = random(1, 2, 4, 3)
    expected = F.interpolate(maps, size=(9, 11), mode="bilinear", align_corners=True)
    torch.testing.assert_close(torch.from_numpy(reference.enlarged(maps, 9, 11)), expected)


@settings(deadline=None, max_examples=50)
@given(SIDES, SIDES, st.integers(1, 23), st.integers(1, 23))
def test_aligned_corners_are_torchs(h: int, w: int, height: int, width: int) -> None:
    maps = random(2, h, w)
    enlarge = bilinear((h, w), (height, width), like=maps)
    expected = F.interpolate(maps[None], (height, width), mode="bilinear", align_corners=True)[0]
    torch.testing.assert_close(enlarge.enlarge(maps), expected)
    torch.testing.assert_close(enlarge.rows.sum(1), torch.ones(height, dtype=torch.float64))
    torch.testing.assert_close(enlarge.columns.sum(1), torch.ones(width, dtype=torch.float64))


@pytest.mark.parametrize("size", [(33, 49), (30, 41), (1, 1)])
def test_stride_puts_cell_i_at_pixel_i_times_stride(size: tuple[int, int]) -> None:
    maps = random(2, 5, 7)
    whole = F.interpolate(maps[None], (33, 49), mode="bilinear", align_corners=True)[0]
    enlarged = bilinear((5, 7), size, stride=8, like=maps).enlarge(maps)
    torch.testing.assert_close(enlarged, whole[:, : size[0], : size[1]])
    torch.testing.assert_close(
        enlarged[:, ::8, ::8], maps[:, : -(-size[0] // 8), : -(-size[1] // 8)]
    )


def test_beyond_the_last_cell_its_value_continues() -> None:
    maps = torch.tensor([[1.0, 3.0]])
    enlarged = bilinear((1, 2), (1, 5), stride=2, like=maps).enlarge(maps)
    assert enlarged.tolist() == [[1.0, 2.0, 3.0, 3.0, 3.0]]


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES, st.integers(1, 15), st.integers(1, 15))
def test_gather_is_the_transpose(h: int, w: int, height: int, width: int) -> None:
    enlarge = bilinear((h, w), (height, width), like=random(1))
    small, large = random(h, w), random(height, width, seed=1)
    torch.testing.assert_close(
        (enlarge.enlarge(small) * large).sum(), (small * enlarge.gather(large)).sum()
    )


@settings(deadline=None, max_examples=30)
@given(SIDES, SIDES, st.integers(1, 15), st.integers(1, 15), st.booleans())
def test_length_of_enlarged_vectors(h: int, w: int, height: int, width: int, rgb: bool) -> None:
    features = random(3, h, w).relu() if rgb else random(3, h, w)
    enlarge = bilinear((h, w), (height, width), like=features)
    expected = enlarge.enlarge(features).square().sum(0).sqrt()
    # Rounding of |f|² near zero grows under the root.
    torch.testing.assert_close(enlarge.enlarged_norm(features), expected, atol=1e-7, rtol=1e-7)


def test_type_follows_like() -> None:
    assert bilinear((2, 2), (4, 4)).rows.dtype == torch.float32
    assert bilinear((2, 2), (4, 4), like=random(1)).columns.dtype == torch.float64


@pytest.mark.parametrize(
    ("cells", "pixels", "stride"),
    [((0, 2), (4, 4), None), ((2, 2), (4, 0), 8), ((2, 2), (4, 4), 0)],
)
def test_wrong_sizes_are_named(
    cells: tuple[int, int], pixels: tuple[int, int], stride: float | None
) -> None:
    with pytest.raises(ValueError, match="positive"):
        bilinear(cells, pixels, stride)
