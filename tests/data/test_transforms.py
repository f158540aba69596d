"""Joint augmentation of images, boxes and masks."""

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import tv_tensors

from bana.data import transforms as tr
from bana.data.voc import DataError, write_mask

BOX = (20.0, 10.0, 60.0, 50.0)


def make_item(height: int = 60, width: int = 80, box: tuple = BOX) -> dict:
    """A black image with a white box, and the mask of that box."""
    mask = torch.zeros(height, width, dtype=torch.uint8)
    x1, y1, x2, y2 = (int(value) for value in box)
    mask[y1:y2, x1:x2] = 1
    return {
        "id": "a",
        "image": tv_tensors.Image((mask * 255).expand(3, -1, -1).contiguous()),
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor([box]), format="XYXY", canvas_size=(height, width)
        ),
        "labels": torch.tensor([3]),
        "mask": tv_tensors.Mask(mask),
    }


class Photographs:
    """A data set of equal photographs, named by their index."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict:
        return {**make_item(), "id": str(index)}


def crops(seed: int = 0, **keywords) -> tr.Crops:
    return tr.Crops(Photographs(), tr.training_transform(48), seed, **keywords)


def test_image_mask_region_and_boxes_move_together():
    transform = tr.training_transform(64, jitter=0)
    torch.manual_seed(0)
    kept = 0
    for _ in range(100):
        out = transform(tr.add_region(make_item()))
        assert out["image"].shape == (3, 64, 64)
        assert out["mask"].shape == out["region"].shape == (64, 64)
        known = out["mask"] != 255
        white = out["image"][0] > 127
        # Antialiasing may move the edge by a pixel; only there may image and mask differ.
        assert (white != (out["mask"] == 1))[known].float().mean() < 0.06
        assert torch.equal(out["region"] == 0, out["mask"] == 1)
        assert torch.equal(out["region"] == 255, ~known)
        if len(out["boxes"]):
            kept += 1
            rows, columns = (out["mask"] == 1).nonzero().unbind(1)
            extent = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert (extent - out["boxes"][0]).abs().max() <= 1
    assert kept > 50


def test_padding_is_neither_background_nor_label():
    transform = tr.training_transform(100, scale=(0.5, 0.5), jitter=0)
    out = transform(tr.add_region(make_item()))
    padding = out["region"] == 255
    assert padding.sum() == 100 * 100 - 30 * 40
    assert (out["mask"][padding] == 255).all()
    assert out["image"][:, padding].float().mean(1).tolist() == list(tr.MEAN_COLOUR)
    batch = tr.collate([out])
    assert batch["background"].sum() == 30 * 40 - 20 * 20


def test_a_dropped_box_does_not_become_background():
    # 4 pixels of the box remain in view, fewer than the smallest box that is kept.
    item = tr.add_region(make_item(box=(0.0, 0.0, 4.0, 60.0)))
    out = tr.training_transform(80, scale=(1, 1), jitter=0)(item)
    assert len(out["boxes"]) == len(out["labels"]) == 0
    assert (out["region"] == 0).sum() == 4 * 60


def test_nothing_else_happens_to_an_image_that_fits():
    item = tr.add_region(make_item(64, 64))
    torch.manual_seed(1)
    outs = [tr.training_transform(64, scale=(1, 1), jitter=0)(item) for _ in range(8)]
    flips = [torch.equal(out["image"], item["image"].flip(-1)) for out in outs]
    plain = [torch.equal(out["image"], item["image"]) for out in outs]
    assert any(flips)
    assert all(flipped or same for flipped, same in zip(flips, plain, strict=True))


def test_item_is_not_modified():
    item = make_item()
    before = {key: value.clone() for key, value in item.items() if key != "id"}
    tr.training_transform(32)(tr.add_region(item))
    assert "region" not in item
    assert all(torch.equal(item[key], value) for key, value in before.items())


def test_image_scale_multiplies():
    out = tr.RandomScale((1.0, 1.0), image_scale=0.5)(make_item())
    assert out["image"].shape == (3, 30, 40)
    assert out["boxes"].tolist() == [[value / 2 for value in BOX]]
    assert tr.eval_image(make_item(), 0.5).shape == (3, 30, 40)
    assert torch.equal(tr.eval_image(make_item()), make_item()["image"].as_subclass(torch.Tensor))
    with pytest.raises(ValueError, match="scale"):
        tr.RandomScale((1.5, 0.5))


def test_mask_is_resized_without_a_shift():
    # Plain "nearest" would take columns 0, 3, 6 for the centres of three; they are 1, 4, 7.
    mask = torch.arange(9, dtype=torch.uint8).expand(9, 9).contiguous()
    out = tr.RandomScale((1 / 3, 1 / 3))({"mask": tv_tensors.Mask(mask)})
    assert out["mask"][0].tolist() == [1, 4, 7]


def test_crops_depend_on_seed_and_position_only():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = crops()[(7, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    again = crops()[(7, 2)]
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], crops()[(8, 2)]["image"])
    assert not torch.equal(first["image"], crops(seed=1)[(7, 2)]["image"])


def test_workers_do_not_change_the_stream():
    order = tr.draw_order(5, 6, seed=3)
    streams = [
        list(
            DataLoader(
                crops(), batch_size=3, sampler=order, collate_fn=tr.collate, num_workers=workers
            )
        )
        for workers in (0, 2)
    ]
    for alone, shared in zip(*streams, strict=True):
        assert alone["ids"] == shared["ids"]
        assert torch.equal(alone["image"], shared["image"])
        assert torch.equal(alone["boxes"], shared["boxes"])


def test_order_is_made_of_permutations():
    order = tr.draw_order(5, 12, seed=0)
    assert [position for position, _ in order] == list(range(12))
    images = [index for _, index in order]
    assert sorted(images[:5]) == sorted(images[5:10]) == list(range(5))
    assert order == tr.draw_order(5, 12, seed=0)
    assert order != tr.draw_order(5, 12, seed=1)
    assert order[:7] == tr.draw_order(5, 7, seed=0)
    with pytest.raises(ValueError, match="n_images"):
        tr.draw_order(0, 3, seed=0)


def test_pseudo_labels_come_along(tmp_path: Path):
    for index in range(5):
        write_mask(tmp_path / f"{index}.png", make_item()["mask"].as_subclass(torch.Tensor))
    item = crops(label_folders={"y_crf": tmp_path})[(0, 1)]
    assert torch.equal(item["y_crf"], item["mask"])
    write_mask(tmp_path / "1.png", torch.zeros(3, 3, dtype=torch.uint8))
    with pytest.raises(DataError, match=r"1\.png"):
        crops(label_folders={"y_crf": tmp_path})[(0, 1)]
    with pytest.raises(DataError, match="no such file"):
        crops(label_folders={"y_ret": tmp_path / "nowhere"})[(0, 1)]


def test_collate_numbers_boxes_by_image():
    items = [crops()[(position, 0)] for position in range(6)]
    del items[2]["mask"]
    batch = tr.collate(items)
    counts = [len(item["boxes"]) for item in items]
    assert batch["image"].shape == (6, 3, 48, 48)
    assert batch["image"].dtype == torch.uint8
    assert batch["background"].shape == (6, 1, 48, 48)
    assert batch["background"].dtype == torch.float32
    assert batch["boxes"].shape == (sum(counts), 5)
    expected = [index for index, count in enumerate(counts) for _ in range(count)]
    assert batch["boxes"][:, 0].tolist() == expected
    assert batch["labels"].tolist() == [3] * sum(counts)
    assert "mask" not in batch
    assert tr.collate(items[:2])["mask"].shape == (2, 48, 48)
    assert type(batch["boxes"]) is torch.Tensor


def test_collate_without_any_box():
    item = tr.add_region(make_item())
    item["boxes"], item["labels"] = item["boxes"][:0], item["labels"][:0]
    batch = tr.collate([item])
    assert batch["boxes"].shape == (0, 5)
    assert batch["labels"].dtype == torch.int64


def test_crowds_are_not_background_and_do_not_reach_the_crop():
    item = {**make_item(), "crowds": torch.tensor([[0.0, 0.0, 5.0, 4.0]])}
    without = tr.add_region(make_item())["region"]
    out = tr.add_region(item)
    assert "crowds" in item and "crowds" not in out
    assert (out["region"][:4, :5] == 0).all() and (without[:4, :5] == 1).all()
    out["region"][:4, :5] = 1
    assert torch.equal(out["region"], without)
    assert torch.equal(out["boxes"], item["boxes"])
