"""Augmented crops of images, boxes and masks, moved together by torchvision's transforms."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from bana.data.boxes import background_mask, crowds_of
from bana.data.voc import IGNORE, DataError, VocDataset, read_mask

MEAN_COLOUR = (124, 116, 104)
MIN_BOX_SIZE = 8.0
"""Smallest side of a box that a crop keeps, in pixels of the crop."""


class RandomScale(v2.Transform):
    """Resize by a random factor, keeping the aspect ratio up to rounding.

    torchvision's ScaleJitter scales relative to a target size, so that all photographs come out
    alike in size; the paper scales each relative to its own. Masks are resized by "nearest-exact":
    torchvision's "nearest" takes the pixel at the cell's corner and moves them by up to half a
    pixel against the image and the boxes.

    Args:
        scale: smallest and largest factor, drawn uniformly between.
        image_scale: constant factor on top, for networks on small images.

    Raises:
        ValueError: when a factor is not positive or the range is inverted.
    """

    def __init__(self, scale: tuple[float, float], image_scale: float = 1.0) -> None:
        super().__init__()
        if not (0 < scale[0] <= scale[1] and image_scale > 0):
            raise ValueError(f"scale must be 0 < low <= high, not {scale} times {image_scale}")
        self.scale = scale
        self.image_scale = image_scale

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the factor and return the new size (height, width) in pixels."""
        height, width = v2.query_size(flat_inputs)
        factor = self.image_scale * float(torch.empty(()).uniform_(*self.scale))
        return {"size": _scaled_size(height, width, factor)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Resize an image (bilinear, antialiased), mask (nearest) or boxes to the drawn size."""
        if isinstance(inpt, tv_tensors.Mask):
            return _resize_mask(inpt, params["size"])
        return self._call_kernel(F.resize, inpt, size=list(params["size"]), antialias=True)


class Crops(Dataset[dict[str, Any]]):
    """Augmented training crops, the same ones for a seed whatever the number of workers.

    Indexed by (position, index): the position in the order of drawing, which determines the
    augmentation together with the seed, and the index of the photograph. `draw_order` makes a list
    of such pairs to pass as a DataLoader's `sampler`.

    Args:
        dataset: photographs.
        transform: joint transform, as from `training_transform`.
        seed: of the augmentation, >= 0.
        label_folders: pseudo labels to carry along, such as {"y_crf": folder with <id>.png}.
        strong: ids of photographs whose true mask stands in for each of their pseudo labels.
    """

    def __init__(
        self,
        dataset: VocDataset,
        transform: v2.Transform,
        seed: int,
        label_folders: Mapping[str, Path] | None = None,
        strong: Collection[str] = (),
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.seed = seed
        self.label_folders = dict(label_folders or {})
        self.strong = frozenset(strong)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: tuple[int, int]) -> dict[str, Any]:
        """Load and augment one photograph.

        Args:
            draw: (position in the order of drawing, index into the data set).

        Returns:
            The data set's item, transformed, with "region" and the pseudo labels as
            tv_tensors.Mask uint8 [c, c].

        Raises:
            DataError: when a pseudo label is missing or not of its image's size, or the mask of a
                photograph in ``strong`` is missing.
        """
        position, index = draw
        item = add_region(self.dataset[index])
        for key, folder in self.label_folders.items():
            if item["id"] in self.strong:
                item[key] = tv_tensors.Mask(self.dataset.mask(item["id"]))
                continue
            path = Path(folder) / f"{item['id']}.png"
            label = read_mask(path)
            if label.shape != item["image"].shape[-2:]:
                raise DataError(f"{path}: label of {list(label.shape)}, unlike its image")
            item[key] = tv_tensors.Mask(label)
        # Seeding through the generator leaves those of other devices alone, which
        # torch.manual_seed would not, and fork_rng gives back the global one as it was.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(_mix(self.seed, position))
            return self.transform(item)


def training_transform(
    crop: int,
    scale: tuple[float, float] = (0.5, 1.5),
    jitter: float = 0.5,
    image_scale: float = 1.0,
) -> v2.Compose:
    """Make the authors' augmentation: random scale, crop, flip, and colour jitter.

    Where the scaled image is smaller than the crop it lies at a random place in it; the rest is the
    mean colour in the image and 255 in every mask, so that padding is neither background ("region"
    is not 1 there) nor a label. The order differs from the authors' (colour and flip come
    after the crop), which changes nothing but the time and, where there is padding, its colour and
    the mean that contrast is measured from.

    Boxes are clipped to the crop, and dropped where less than `MIN_BOX_SIZE` is left in either
    direction: such a sliver rarely shows enough to name the object. The pixels of a dropped box
    remain "not background", see `add_region`.

    Args:
        crop: side of the square crop, in pixels.
        scale: smallest and largest factor of the random scale.
        jitter: strength of brightness, contrast and saturation; factors are in 1 -+ jitter.
        image_scale: constant factor on top of the random scale.

    Returns:
        A transform of items (dictionaries) as `VocDataset` gives them.
    """
    fill = {tv_tensors.Image: MEAN_COLOUR, tv_tensors.Mask: IGNORE}
    return v2.Compose(
        [
            RandomScale(scale, image_scale),
            v2.RandomCrop(crop, pad_if_needed=True, fill=fill),  # type: ignore[arg-type]
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=jitter, contrast=jitter, saturation=jitter),
            v2.ClampBoundingBoxes(),
            v2.SanitizeBoundingBoxes(min_size=MIN_BOX_SIZE),
        ]
    )


def add_region(item: dict[str, Any]) -> dict[str, Any]:
    """Add the mask of what is background for sure, drawn from the boxes.

    This comes before any geometric transform: drawn afterwards, from the boxes that survive it,
    the mask would call the remains of dropped boxes background, and the padding too.

    Nor are crowds background, regions whose many objects were not boxed one by one. The paper does
    not say what it does about COCO's; their boxes count here as boxes without a class.

    Args:
        item: with "image", "boxes" and perhaps "crowds"; not modified.

    Returns:
        A copy of the dictionary without "crowds" and with "region": tv_tensors.Mask uint8 [H, W],
        1 outside every box and crowd, 0 inside.
    """
    height, width = item["image"].shape[-2:]
    boxes = item["boxes"].as_subclass(Tensor)
    covered = torch.cat([boxes, crowds_of(item)])
    outside = background_mask(covered, height, width)[0].to(torch.uint8)
    kept = {key: value for key, value in item.items() if key != "crowds"}
    return {**kept, "region": tv_tensors.Mask(outside)}


def eval_image(item: dict[str, Any], image_scale: float = 1.0) -> Tensor:
    """Return an item's image at the size a network sees when it is not trained.

    Args:
        item: with "image" uint8 [3, H, W].
        image_scale: factor, > 0.

    Returns:
        uint8 [3, round(H * image_scale), round(W * image_scale)], antialiased.
    """
    image = item["image"].as_subclass(Tensor)
    size = _scaled_size(*image.shape[-2:], image_scale)
    return F.resize(image, list(size), antialias=True)


def draw_order(n_images: int, count: int, seed: int) -> list[tuple[int, int]]:
    """Draw photographs in random order, each once before any comes again.

    Args:
        n_images: number of photographs, >= 1.
        count: number of draws.
        seed: of the order, >= 0.

    Returns:
        `count` pairs (position, index): 0, 1, 2, ... and concatenated permutations of
        0 .. n_images - 1.

    Raises:
        ValueError: when there are no photographs.
    """
    if n_images < 1:
        raise ValueError(f"n_images must be at least 1, not {n_images}")
    generator = np.random.default_rng(seed)
    rounds = -(-count // n_images)
    order = [index for _ in range(rounds) for index in generator.permutation(n_images).tolist()]
    return list(enumerate(order[:count]))


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stack crops into a batch.

    Args:
        items: N crops of c x c pixels, as from `Crops`.

    Returns:
        "ids": N names; "image": uint8 [N, 3, c, c]; "background": float32 [N, 1, c, c], 1 where
        "region" is 1; "boxes": float32 [K, 5], image index, x1, y1, x2, y2 as torchvision's RoI
        operators take them; "labels": int64 [K]; and, stacked, every other mask that all the items
        have ("mask", "y_crf", "y_ret"): uint8 [N, c, c].
    """
    boxes = [
        torch.nn.functional.pad(item["boxes"].as_subclass(Tensor), (1, 0), value=float(index))
        for index, item in enumerate(items)
    ]
    region = _stacked(items, "region")
    shared = set.intersection(*(set(item) for item in items))
    masks = sorted(key for key in shared if isinstance(items[0][key], tv_tensors.Mask))
    return {
        "ids": [item["id"] for item in items],
        "image": _stacked(items, "image"),
        "background": (region == 1)[:, None].float(),
        "boxes": torch.cat(boxes),
        "labels": torch.cat([item["labels"] for item in items]),
        **{key: _stacked(items, key) for key in masks if key != "region"},
    }


def _stacked(items: Sequence[dict[str, Any]], key: str) -> Tensor:
    return torch.stack([item[key].as_subclass(Tensor) for item in items])


def _scaled_size(height: int, width: int, factor: float) -> tuple[int, int]:
    return max(1, round(height * factor)), max(1, round(width * factor))


def _resize_mask(mask: tv_tensors.Mask, size: tuple[int, int]) -> tv_tensors.Mask:
    plain = mask.as_subclass(Tensor)[None]  # [1, H, W]
    resized = F.resize_image(plain, list(size), interpolation=InterpolationMode.NEAREST_EXACT)
    return tv_tensors.wrap(resized[0], like=mask)


def _mix(seed: int, position: int) -> int:
    """Make one 63-bit seed of two numbers; nearby numbers give unrelated seeds."""
    return int(np.random.SeedSequence([seed, position]).generate_state(1, np.uint64)[0] >> 1)
