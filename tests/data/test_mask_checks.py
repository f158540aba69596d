"""Masks whose colours and indices disagree, and masks that do not lie where the boxes are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bana.data.mask_checks import Boxed, other_order, outside_boxes, reordered, strays
from bana.data.voc_files import PALETTE, read_mask, write_mask

CLASSES = ("background", "cat", "dog")
CAT, DOG = (slice(5, 25), slice(4, 24)), (slice(10, 30), slice(40, 60))
BOXED = Boxed(torch.tensor([[4.0, 5, 24, 25], [40, 10, 60, 30]]), torch.tensor([1, 2]))


@pytest.fixture
def mask() -> np.ndarray:
    made = np.zeros((36, 64), np.uint8)
    made[CAT], made[DOG] = 1, 2
    made[CAT[0], 24] = 255
    return made


def saved(folder: Path, mask: np.ndarray, palette: np.ndarray) -> Path:
    picture = Image.fromarray(mask).convert("P")
    picture.putpalette(palette.ravel().tolist())
    picture.save(folder / "a.png")
    return folder / "a.png"


def saved_anew(folder: Path, mask: np.ndarray, order: list[int]) -> Path:
    """As a program saves it that keeps the colours and numbers them in an order of its own."""
    indices = np.zeros(256, np.uint8)
    indices[order] = range(len(order))
    return saved(folder, indices[mask], PALETTE[order])


def told(path: Path, boxed: Boxed | None = BOXED) -> str | None:
    return reordered(path, read_mask(path), lambda: boxed, len(CLASSES))


@pytest.mark.parametrize("boxed", [BOXED, None], ids=["boxes", "no boxes"])
@pytest.mark.parametrize("order", [[1, 2, 0, 255], [2, 0, 1, 255], [255, 1, 2, 0]], ids=str)
def test_another_order_is_noticed(tmp_path, mask, order, boxed):
    path = saved_anew(tmp_path, mask, order)
    assert torch.equal(other_order(path), torch.from_numpy(mask))
    assert "has the colour that VOC gives to" in told(path, boxed)


def test_objects_that_change_places_are_noticed_by_their_boxes(tmp_path, mask):
    path = saved_anew(tmp_path, mask, [0, 2, 1, 255])
    assert "index 2 has the colour that VOC gives to 1" in told(path)


def test_pillows_own_way_to_save_space(tmp_path, mask):
    path = tmp_path / "a.png"
    write_mask(path, mask)
    with Image.open(path) as picture:
        again = picture.convert("RGB").quantize(8)
    again.save(path)
    assert (read_mask(path).numpy() != mask).any()
    assert told(path)


def test_masks_that_are_right(tmp_path, mask):
    path = tmp_path / "a.png"
    write_mask(path, mask)
    assert other_order(path) is None and told(path) is None
    Image.fromarray(mask).save(path)
    assert other_order(path) is None
    own = np.tile(np.arange(256)[:, None], 3).astype(np.uint8)
    assert other_order(saved(tmp_path, mask, own)) is None
    # The indices fit the boxes, whatever the colours say: somebody else's colours, partly VOC's.
    assert told(saved(tmp_path, mask, PALETTE[[0, 2, 1, *range(3, 256)]])) is None
    assert told(saved(tmp_path, mask, PALETTE[[0, 2, 1, *range(3, 256)]]), None) is None


def test_damaged_masks_are_left_to_who_reads_them(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    assert other_order(tmp_path / "a.png") is None


def test_pixels_outside_are_counted_by_class(mask):
    shifted = torch.from_numpy(np.roll(mask, 12, axis=1))
    # Two columns around a box are inside.
    assert outside_boxes(shifted, BOXED) == {1: (20 * 10, 400), 2: (20 * 10, 400)}
    assert outside_boxes(torch.from_numpy(mask), BOXED) == {1: (0, 400), 2: (0, 400)}
    assert outside_boxes(torch.zeros(36, 64, dtype=torch.uint8), BOXED) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda mask: mask[:, ::-1],
        lambda mask: np.roll(mask, 15, axis=1),
        lambda mask: np.roll(mask, 12, axis=0),
        lambda mask: np.choose(np.minimum(mask, 3), [0, 2, 1, 255]),
    ],
    ids=["mirrored", "moved right", "moved down", "exchanged"],
)
def test_masks_that_lie_elsewhere(mask, change):
    found = list(strays(torch.from_numpy(change(mask).astype(np.uint8).copy()), BOXED, CLASSES))
    assert found and all("lies outside of its boxes" in reason for reason in found)


def test_boxes_of_hand_are_not_exact(mask):
    for moved in (1, 2, 5):
        assert not list(strays(torch.from_numpy(np.roll(mask, moved, axis=1)), BOXED, CLASSES))
    few = torch.zeros(36, 64, dtype=torch.uint8)
    few[0, :10] = 1
    assert not list(strays(few, BOXED, CLASSES))
