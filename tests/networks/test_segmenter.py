"""The segmenter around a backbone small enough to check by hand."""

import pytest
import torch
import torch.nn.functional as F
from looker import STRIDE, looker
from torch import nn

from bana.networks.backbones import build_backbone
from bana.networks.segmenter import AtrousPyramid, Segmenter, SkipPyramid, build_neck


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


def skipping(stride: int = 16) -> Segmenter:
    """A segmenter whose backbone copies pixels, with early features every 4, as if trained."""
    torch.manual_seed(0)
    neck, channels = build_neck("skip", 3, 3)
    return Segmenter(looker(stride), as_if_trained(neck), channels, 2)


def as_if_trained(neck: SkipPyramid) -> SkipPyramid:
    """The neck with weights in which early features count."""
    with torch.no_grad():
        for layer in (neck.around, neck.join):
            layer.weight += torch.randn_like(layer.weight) / layer.weight[0].numel() ** 0.5
    return neck


def test_the_skip_starts_with_the_pyramids_output() -> None:
    torch.manual_seed(0)
    neck, _ = build_neck("skip", 6, 24)
    with torch.no_grad():
        features = torch.rand(1, 6, 3, 4)
        phi = neck(features, torch.rand(1, 24, 9, 13))
        torch.testing.assert_close(phi[:, :, ::4, ::4], neck.pyramid(features))


def between(maps: torch.Tensor, stride: int, y: int, x: int) -> torch.Tensor:
    """Maps [..., h, w], whose cell (i, j) lies at pixel (i stride, j stride), at a pixel."""
    total = torch.zeros(maps.shape[:-2])
    for i in range(maps.shape[-2]):
        for j in range(maps.shape[-1]):
            near = (
                max(0, 1 - abs(y - i * stride) / stride),
                max(0, 1 - abs(x - j * stride) / stride),
            )
            total = total + near[0] * near[1] * maps[..., i, j]
    return total


def test_phi_and_scores_of_the_skip_are_those_of_plain_loops() -> None:
    model, size = skipping(), (30, 37)
    images = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    padded = torch.zeros(1, 3, 33, 49)
    padded[:, :, :30, :37] = images
    neck = model.neck
    with torch.no_grad():
        phi, scores = model(images)[0], model.scores(images)[0]
        coarse = neck.pyramid(padded[:, :, ::16, ::16])[0]
        expected = torch.zeros(256 + 48, 9 + 2, 13 + 2)
        for i in range(9):
            for j in range(13):
                pixel = padded[0, :, 4 * i, 4 * j]
                scaled = (pixel - pixel.mean()) / (pixel.var(unbiased=False) + 1e-6).sqrt()
                narrow = neck.narrow.weight[:, :, 0, 0] @ scaled + neck.narrow.bias
                both = torch.cat([between(coarse, 16, 4 * i, 4 * j), narrow.clamp_min(0)])
                expected[:, i + 1, j + 1] = both
        for i in range(9):
            for j in range(13):
                around = (neck.around.weight[:, 0] * expected[:, i : i + 3, j : j + 3]).sum((1, 2))
                cell = (neck.join.weight[:, :, 0, 0] @ around + neck.join.bias).clamp_min(0)
                torch.testing.assert_close(phi[:, i, j], cell, atol=1e-4, rtol=1e-4)
        cosines = F.cosine_similarity(phi[None], model.weight[:, :, None, None], dim=1)
        for y in range(0, 30, 3):
            for x in range(0, 37, 5):
                torch.testing.assert_close(
                    scores[:, y, x], between(cosines, 4, y, x), atol=1e-5, rtol=1e-4
                )
    assert phi.shape == (256, 9, 13) and scores.shape == (3, *size) and model.stride == 4


@pytest.mark.parametrize(("pixel", "reach"), [((84, 100), 1), ((80, 96), None)])
def test_one_bright_pixel_is_seen_around_its_own_place(
    pixel: tuple[int, int], reach: int | None
) -> None:
    # The second is also a pixel of the pyramid's cells, which see it from afar, on all sides alike.
    model = skipping().double()
    images = torch.full((2, 3, 161, 193), 0.5, dtype=torch.float64)
    images[1, 0, pixel[0], pixel[1]] = 1
    with torch.no_grad():
        for maps, stride in ((model(images), 4), (model.scores(images), 1)):
            changed = ((maps[0] - maps[1]).abs() > 1e-9).any(0)
            ends = [where.aminmax() for where in changed.nonzero().T]
            middle = tuple(float(low + high) / 2 * stride for low, high in ends)
            assert middle == pixel
            if reach is not None and stride == 4:
                assert [int(high - low) for low, high in ends] == [2 * reach] * 2


def test_skip_on_the_light_backbone_is_centred() -> None:
    # As in test_backbones: a mirrored image has the mirrored phi and scores, at k s + 1 pixels.
    torch.manual_seed(0)
    backbone = build_backbone("lite0", 16)
    neck, channels = build_neck("skip", backbone.channels, backbone.early_channels)
    model = Segmenter(backbone, as_if_trained(neck), channels, 2).double().eval()
    images = torch.rand(1, 3, 65, 97, dtype=torch.float64)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                for axis in (2, 3):
                    layer.weight.copy_((layer.weight + layer.weight.flip(axis)) / 2)
        phi, scores = model(images), model.scores(images)
        assert phi.shape == (1, 256, 17, 25) and scores.shape == (1, 3, 65, 97)
        assert phi.min() >= 0 and phi.std() > 0
        for axis in (2, 3):
            torch.testing.assert_close(model(images.flip(axis)).flip(axis), phi)
            torch.testing.assert_close(model.scores(images.flip(axis)).flip(axis), scores)


def test_early_features_do_not_drown_the_pyramids() -> None:
    torch.manual_seed(0)
    neck = as_if_trained(build_neck("skip", 6, 24)[0])
    features, early = torch.rand(1, 6, 3, 3), torch.rand(1, 24, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(
            neck(features, 100 * early), neck(features, early), rtol=1e-3, atol=1e-3
        )
        assert not torch.allclose(neck(2 * features, early), neck(features, early), rtol=0.05)


def test_necks() -> None:
    neck, channels = build_neck("none", 7)
    features = torch.rand(1, 7, 2, 2)
    assert channels == 7 and torch.equal(neck(features), features)
    for kind in ("aspp", "aspp-small"):
        neck, channels = build_neck(kind, 7)
        assert channels == 256 and neck(features).shape == (1, 256, 2, 2)
    with pytest.raises(ValueError, match="unknown neck 'unet'"):
        build_neck("unet", 7)
    with pytest.raises(ValueError, match="neck 'skip' needs early features: use lite0"):
        build_neck("skip", 7)
