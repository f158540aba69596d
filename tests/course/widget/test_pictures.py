"""What the page brings along is the package's features, but for a little that is measured here."""

import base64
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bana.course.widget.pictures import Picture, packed, pictures


def unpacked(features: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Directions [cells, K] and lengths [cells]."""
    whole = np.frombuffer(base64.b64decode(features["directions"]), np.int8)
    scales = np.array(features["scales"])
    lengths = np.frombuffer(base64.b64decode(features["lengths"]), "<f4")
    return whole.reshape(-1, len(scales)) * scales, lengths


def attention(features: dict[str, Any], known: Tensor, grid: int) -> Tensor:
    """A of packed features, in plain loops over the grid."""
    directions, lengths = unpacked(features)
    height, width = features["cells"]
    cells = np.array(
        [cell(i, height, grid) * grid + cell(j, width, grid) for i, j in np.ndindex(height, width)]
    )
    maps = []
    for number in range(grid**2):
        members = (cells == number) & (known.numpy().ravel() > 0)
        if members.any():
            query = (lengths[members, None] * directions[members]).sum(0)
            maps.append(np.maximum(directions @ query / np.linalg.norm(query), 0))
    mean = np.mean(maps, 0).clip(max=1) if maps else np.zeros(height * width)
    return torch.from_numpy(mean).view(height, width)


def cell(position: int, length: int, grid: int) -> int:
    padding = -length % grid
    before = padding // 2 if padding % 2 == 0 else 0
    return (position + before) // ((length + padding) // grid)


def test_attention_changes_by_less_than_a_hundredth(cases, values) -> None:
    changes = []
    for case in cases:
        features = values["pictures"][case.number]["features"]
        changes.append((attention(features, case.known, case.grid) - case.attention).abs())
    assert len(changes) == 56
    assert max(float(change.max()) for change in changes) < 0.01
    assert np.mean([float(change.mean()) for change in changes]) < 0.002


def test_directions_of_few_dimensions_come_back() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.einsum(
        "chw,cd->dhw", torch.rand(3, 5, 7, generator=random), torch.rand(3, 40, generator=random)
    )
    directions, lengths = unpacked(packed(features[None], components=3))
    flat = features.flatten(1).T
    np.testing.assert_allclose(lengths, flat.norm(dim=1), rtol=1e-6)
    cosines = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=2)
    np.testing.assert_allclose(directions @ directions.T, cosines, atol=0.015)


def test_a_cell_without_features_and_too_few_cells() -> None:
    features = torch.rand(1, 10, 4, 4)
    features[..., 0, 0] = 0
    directions, lengths = unpacked(packed(features, components=10))
    assert lengths[0] == 0 and not directions[0].any() and np.isfinite(directions).all()
    with pytest.raises(ValueError, match="16 cells have no 17 components"):
        packed(features, components=17)


def test_pictures_and_their_boxes_fit(shown: list[Picture]) -> None:
    assert [picture.name for picture in shown] == ["motorbike", "astronaut", "cat", "teapot"]
    for picture in shown:
        height, width = picture.image.shape[1:]
        assert max(height, width) == 500 and picture.image.dtype == torch.uint8
        x1, y1, x2, y2 = picture.box.tolist()
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        assert picture.box.equal(picture.box.round()) and picture.alt and picture.source


def test_the_teapot_has_a_mask_that_fills_its_box(shown: list[Picture]) -> None:
    assert [picture.object is None for picture in shown] == [True, True, True, False]
    rows, columns = shown[-1].object.nonzero().T
    tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(shown[-1].box, tight, atol=5)


def test_scene_is_the_same_every_time(shown: list[Picture]) -> None:
    assert pictures()[-1].image.equal(shown[-1].image)
