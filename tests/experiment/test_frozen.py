"""Frozen features and where the labels beside them lie."""

from pathlib import Path

import pytest
import torch
from tiny import make_profile

from bana.data.transforms import eval_image
from bana.data.voc import read_mask
from bana.experiment import stages
from bana.experiment.frozen import at_positions, frozen_images, leading_directions
from bana.training.heads import POSITIONS


@pytest.fixture
def run(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    profile = make_profile()
    return stages.classifier(profile), stages.dataset(profile, "val"), stages.labels(profile, "val")


def test_all_directions_keep_every_cosine(run) -> None:
    model, data, folder = run
    basis, share = leading_directions(model, data, 8)
    assert share == pytest.approx(1) and basis.shape == (8, 8)
    torch.testing.assert_close(basis @ basis.T, torch.eye(8), atol=1e-5, rtol=0)
    for item, made in zip(data, frozen_images(model, data, folder, basis), strict=True):
        with torch.no_grad():
            features = model.backbone(eval_image(item)[None])[0]
        turned = torch.einsum("kd,khw->dhw", basis, made.features.float())
        torch.testing.assert_close(turned, features, atol=2e-3, rtol=5e-3)


def test_few_directions_are_those_of_most_length(run) -> None:
    model, data, _ = run
    _, all_of_it = leading_directions(model, data, 8)
    basis, share = leading_directions(model, data, 3)
    assert basis.shape == (3, 8) and share < all_of_it
    cells = []
    for item in data:
        with torch.no_grad():
            cells.append(model.backbone(eval_image(item)[None])[0].flatten(1))
    cells = torch.cat(cells, 1)
    kept = (basis @ cells).square().sum() / cells.square().sum()
    assert float(kept) == pytest.approx(share, rel=1e-3)
    best = torch.linalg.svdvals(cells)[:3].square().sum() / cells.square().sum()
    assert share == pytest.approx(float(best), rel=1e-3)


def test_helper_processes_change_no_bit(run) -> None:
    model, data, folder = run
    alone, beside = (leading_directions(model, data, 3, processes=n) for n in (1, 2))
    assert torch.equal(alone[0], beside[0]) and alone[1] == beside[1]
    made = [frozen_images(model, data, folder, alone[0], processes=n) for n in (1, 2)]
    assert [image.features.shape for image in made[0]]
    for one, other in zip(*made, strict=True):
        assert all(map(torch.equal, one, other))


def test_labels_lie_at_the_cells_own_pixels(run) -> None:
    model, data, folder = run
    basis, _ = leading_directions(model, data, 2)
    for name, made in zip(data.ids, frozen_images(model, data, folder, basis), strict=True):
        y_crf = read_mask(folder / "Y_crf" / f"{name}.png")
        for labels, given in ((made.y_crf, y_crf), (made.mask, data.mask(name))):
            assert labels.shape == tuple(POSITIONS * (n - 1) + 1 for n in made.features.shape[1:])
            for i in range(labels.shape[0]):
                for j in range(labels.shape[1]):
                    y, x = 4 * i, 4 * j
                    beyond = y >= given.shape[0] or x >= given.shape[1]
                    assert labels[i, j] == (255 if beyond else given[y, x])
        boxes, _ = data.annotation(name)
        x1, y1, x2, y2 = boxes[0].tolist()
        i, j = int(y1 + y2) // 8, int(x1 + x2) // 8
        assert made.inside[i, j] and not made.inside.all()


def test_positions_of_an_enlarged_image() -> None:
    """Enlarged by 1.5, its pixel p shows pixel (p + .5) / 1.5 of the image."""
    labels = torch.arange(30, dtype=torch.uint8)[:, None].expand(30, 4)
    made = at_positions(labels, (4, 1), 16, 1.5)
    rows = [int((4 * i + 0.5) / 1.5) for i in range(13)]
    assert made[:, 0].tolist() == [row if row < 30 else 255 for row in rows]
    assert 255 in made and made.shape == (13, 1)
