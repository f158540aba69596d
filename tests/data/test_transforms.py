"""Joint augmentation of images, boxes and masks."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
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


def test_half_of_the_crops_are_mirrored():
    item = tr.add_region(make_item(64, 64))
    transform = tr.training_transform(64, scale=(1, 1), jitter=0)
    torch.manual_seed(0)
    mirrored = [not torch.equal(transform(item)["image"], item["image"]) for _ in range(200)]
    assert 70 < sum(mirrored) < 130


def colour_factors(jitter: float | None, draws: int = 300) -> Tensor:
    """Factors of brightness, contrast and saturation that crops got, [draws, 3].

    The image has two greys and a colour. All three changes are linear and none is cut off here:
    brightness alone changes the mean luminance; contrast the distance between the greys besides;
    and saturation nothing but how far the colour is from grey.
    """
    pixels = torch.tensor([[110, 110, 110], [60, 60, 60], [120, 80, 60]], dtype=torch.uint8)
    image = pixels.T[:, None].repeat(1, 48, 1).repeat_interleave(16, 2)  # three stripes
    mask = torch.zeros(image.shape[1:], dtype=torch.uint8)
    item = make_item(*mask.shape, box=(0.0, 0.0, 16.0, 16.0))
    item |= {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask)}
    item["mask"][:, 16:32], item["mask"][:, 32:] = 1, 2
    settings = {} if jitter is None else {"jitter": jitter}
    transform = tr.training_transform(48, scale=(1, 1), **settings)

    def measured(out: dict) -> Tensor:
        seen = out["image"].as_subclass(Tensor).float()
        light, dark, colour = (seen[:, out["mask"] == kind].mean(1) for kind in range(3))
        luminance = torch.stack([light, dark, colour]).mean(0) @ torch.tensor([0.299, 0.587, 0.114])
        gap = (light - dark).mean()
        return torch.stack([luminance, gap, colour[0] - colour[2]])

    torch.manual_seed(0)
    ratios = torch.stack([measured(transform(item)) for _ in range(draws)]) / measured(item)
    return torch.stack([ratios[:, 0], ratios[:, 1] / ratios[:, 0], ratios[:, 2] / ratios[:, 1]], 1)


@pytest.mark.parametrize("jitter", [None, 0.2])
def test_brightness_contrast_and_saturation_each_vary_by_the_jitter(jitter: float | None):
    strength = 0.5 if jitter is None else jitter  # the authors' .5 where nothing is said
    factors = colour_factors(jitter)
    brightness, contrast, saturation = factors.T
    # Bytes are whole numbers, and dark images have few of them: wider bounds for what they blur.
    bright = brightness > 0.7
    for values, blur in ((brightness, 0.02), (contrast[bright], 0.08), (saturation[bright], 0.15)):
        low, high = 1 - strength, 1 + strength
        assert low - blur <= values.min() < low + 0.1 * strength
        assert high - 0.1 * strength < values.max() <= high + blur
    together = torch.corrcoef(factors.T) - torch.eye(3)
    assert together.abs().max() < 0.35, "each has a factor of its own"


def extents(draws: int = 150, crop: int = 130, **settings) -> Tensor:
    """Top, left, height and width of a photograph of 60 x 80 pixels in crops, [draws, 4]."""
    transform = tr.training_transform(crop, jitter=0, **settings)
    item = tr.add_region(make_item())
    torch.manual_seed(0)
    places = []
    for _ in range(draws):
        rows, columns = (transform(item)["region"] != 255).nonzero().unbind(1)
        top, left = int(rows.min()), int(columns.min())
        places.append([top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left])
    return torch.tensor(places).double()


@pytest.mark.parametrize(
    ("settings", "low", "high"),
    [
        ({}, 0.5, 1.5),  # the authors'
        ({"scale": (0.8, 1.2)}, 0.8, 1.2),
        ({"scale": (1.0, 2.0), "image_scale": 0.5}, 0.5, 1.0),
        ({"scale": (1.0, 1.0), "image_scale": 1.4}, 1.4, 1.4),
    ],
    ids=str,
)
def test_photographs_are_scaled_by_all_of_the_range(settings: dict, low: float, high: float):
    *_, heights, widths = extents(**settings).T
    assert ((heights / 60 - widths / 80).abs() < 0.02).all()
    factors = widths / 80
    assert low - 0.01 <= factors.min() < low + 0.05 * (high - low) + 0.01
    assert high - 0.05 * (high - low) - 0.01 < factors.max() <= high + 0.01
    quarters = torch.histc(factors, 4, low, high) if low < high else torch.ones(4)
    assert (quarters > 0.15 * quarters.sum()).all()


def assert_anywhere(starts: Tensor, last: int) -> None:
    """Starts 0 .. last occur from one end to the other, and in every quarter alike."""
    assert starts.min() >= 0 and starts.max() <= last
    quarters = torch.histc(starts.double(), 4, 0, last)
    assert (quarters > 0.1 * len(starts)).all()


def test_small_photographs_lie_anywhere_in_the_crop():
    tops, lefts, _, _ = extents(scale=(1, 1), crop=120).T
    assert_anywhere(tops, 120 - 60)
    assert_anywhere(lefts, 120 - 80)
    assert torch.corrcoef(torch.stack([tops, lefts]))[0, 1].abs() < 0.35


def test_crops_come_from_anywhere_in_large_photographs():
    rows, columns = torch.meshgrid(torch.arange(60), torch.arange(80), indexing="ij")
    item = make_item()
    item["image"] = tv_tensors.Image(torch.stack([rows, columns, columns]).to(torch.uint8))
    transform = tr.training_transform(32, scale=(1, 1), jitter=0)
    torch.manual_seed(0)
    crops = [transform(tr.add_region(item))["image"].amin((1, 2)) for _ in range(150)]
    tops, lefts, _ = torch.stack(crops).double().T
    assert_anywhere(tops, 60 - 32)
    assert_anywhere(lefts, 80 - 32)
    assert torch.corrcoef(torch.stack([tops, lefts]))[0, 1].abs() < 0.35


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


def test_neighbouring_seeds_and_positions_share_no_augmentation():
    drawn = [crops(seed)[(position, 0)]["image"] for seed in range(4) for position in range(4)]
    assert len({image.numpy().tobytes() for image in drawn}) == len(drawn)


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


def test_every_epoch_and_seed_has_an_order_of_its_own():
    epochs = []
    for seed in (0, 1):
        images = [index for _, index in tr.draw_order(20, 80, seed)]
        epochs += [tuple(images[start : start + 20]) for start in range(0, 80, 20)]
    assert len({*epochs, tuple(range(20))}) == 2 * 4 + 1


def test_pseudo_labels_come_along(tmp_path: Path):
    for index in range(5):
        write_mask(tmp_path / f"{index}.png", make_item()["mask"].as_subclass(torch.Tensor))
    item = crops(label_folders={"y_crf": tmp_path})[(0, 1)]
    assert torch.equal(item["y_crf"], item["mask"])
    assert torch.equal(item["y_crf"] == 255, item["region"] == 255)
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
