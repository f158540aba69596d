"""Eq. 6: class activation maps."""

import pytest
import reference
import torch

from bana.cam import class_activation


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_equals_the_loop() -> None:
    features, weight = random(2, 5, 4, 3).relu(), random(3, 5, seed=1)
    maps = class_activation(features, weight)
    assert maps.shape == (2, 3, 4, 3)
    for n in range(2):
        expected = torch.from_numpy(reference.cam(features[n], weight))
        torch.testing.assert_close(maps[n], expected)


def test_is_rectified_and_not_normalised() -> None:
    features = torch.ones(1, 2, 1, 1)
    weight = torch.tensor([[3.0, 4.0], [-1.0, -1.0]])
    assert class_activation(features, weight).flatten().tolist() == [7.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keeps_the_type(dtype: torch.dtype) -> None:
    maps = class_activation(random(1, 5, 2, 2).to(dtype), random(3, 5).to(dtype))
    assert maps.dtype == dtype and torch.isfinite(maps).all()


def test_gradient() -> None:
    features, weight = random(1, 3, 2, 2).requires_grad_(), random(2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(class_activation, (features, weight))


def test_inputs_stay_as_they_are() -> None:
    features, weight = random(1, 3, 2, 2), random(2, 3, seed=1)
    kept = features.clone(), weight.clone()
    class_activation(features, weight)
    assert torch.equal(kept[0], features) and torch.equal(kept[1], weight)


@pytest.mark.usefixtures("unchecked")
def test_wrong_channels_are_named() -> None:
    with pytest.raises(ValueError, match="share D"):
        class_activation(random(1, 3, 2, 2), random(2, 4))
    with pytest.raises(ValueError, match="share D"):
        class_activation(random(3, 2, 2), random(2, 3))
    with pytest.raises(ValueError, match="of two types"):
        class_activation(random(1, 3, 2, 2).double(), random(2, 3).float())
