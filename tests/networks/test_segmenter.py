"""The segmenter around a backbone small enough to check by hand."""

import pytest
import torch
import torch.nn.functional as F
from looker import STRIDE, looker
from torch import nn

from bana.networks.segmenter import AtrousPyramid, Segmenter, build_neck


@pytest.mark.parametrize("size", [(17, 21), (18, 24), (20, 17)])
def test_scores_at_a_cells_pixel_are_the_cells_own(size: tuple[int, int]) -> None:
    model = Segmenter(looker(), nn.Identity(), 3, 4)
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        scores = model.scores(images)
        phi = model(images)
    assert scores.shape == (2, 5, *size)
    assert scores.min() >= -1 - 1e-6 and scores.max() <= 1 + 1e-6
    seen = scores[:, :, ::STRIDE, ::STRIDE]
    cosines = F.cosine_similarity(phi[:, None], model.weight[None, :, :, None, None], dim=2)
    torch.testing.assert_close(seen, cosines[:, :, : seen.shape[2], : seen.shape[3]])


@pytest.mark.parametrize("size", [(41, 41), (33, 57), (1, 9)])
def test_any_size_and_number_of_classes(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    neck, channels = build_neck("aspp-small", 3)
    model = Segmenter(looker(), neck, channels, 7)
    with torch.no_grad():
        assert model.scores(torch.rand(1, 3, *size)).shape == (1, 8, *size)


def test_pyramid_sums_its_branches_and_rectifies() -> None:
    torch.manual_seed(0)
    pyramid = AtrousPyramid(3, 4, (1, 2))
    features = torch.rand(1, 3, 6, 5)
    with torch.no_grad():
        total = pyramid.branches[0](features) + pyramid.branches[1](features)
        assert torch.equal(pyramid(features), total.clamp_min(0))
    assert [branch.dilation for branch in AtrousPyramid(3).branches] == [
        (6, 6),
        (12, 12),
        (18, 18),
        (24, 24),
    ]


def test_necks() -> None:
    neck, channels = build_neck("none", 7)
    features = torch.rand(1, 7, 2, 2)
    assert channels == 7 and torch.equal(neck(features), features)
    for kind in ("aspp", "aspp-small"):
        neck, channels = build_neck(kind, 7)
        assert channels == 256 and neck(features).shape == (1, 256, 2, 2)
    with pytest.raises(ValueError, match="unknown neck 'unet'"):
        build_neck("unet", 7)
