"""Heads on frozen features."""

import pytest
import torch

from bana.networks.heads import PixelHead


def test_a_linear_head_learns_directions_alone() -> None:
    head = PixelHead("linear", 6, 3)
    features = torch.randn(2, 6, 4, 5)
    assert torch.equal(head(features), features)
    assert [name for name, _ in head.named_parameters()] == ["weight"]
    assert head.weight.shape == (3, 6) and head.temperature == 20


def test_a_convolutional_head_sees_two_cells_in_each_direction() -> None:
    head = PixelHead("conv", 6, 3, width=8)
    features = torch.randn(1, 6, 9, 9, requires_grad=True)
    phi = head(features)
    assert phi.shape == (1, 8, 9, 9) and head.weight.shape == (3, 8)
    phi[0, :, 4, 4].sum().backward()
    rows, columns = (features.grad[0].abs().sum(0) > 0).nonzero().T
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 4, 6}


def test_refuses_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match="linear or conv"):
        PixelHead("deep", 6, 3)
