"""The page as it is written, its values, and what the package says of the same boxes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from browser import Tab, tab_or_skip
from torch import Tensor

from bana.bap import background_attention, background_queries, pool_boxes
from bana.course.widget.pictures import Picture, features_of, pictures
from bana.course.widget.playground import write_playground
from bana.data.boxes import background_mask
from bana.experiment.pretrained import Pretrained, load_pretrained
from bana.interpolation import bilinear
from bana.networks.backbones import background_at_cells, boxes_at_cells


class Case(NamedTuple):
    """A box on a picture, and what the package makes of it at full precision."""

    number: int  # of the picture
    box: list[int]
    grid: int
    known: Tensor  # M at the cells, [h, w]
    queries: int
    attention: Tensor  # [h, w]
    pixels: Tensor  # A in the box, 1 outside, [H, W]
    plain: float  # share of the object, or of nothing, in the plain average
    pooled: float
    weight: float  # mean 1 - A in the box


def case(number: int, picture: Picture, features: Tensor, box: list[int], grid: int) -> Case:
    size, stride = picture.image.shape[1:], 16
    corners = torch.tensor([box], dtype=torch.float32)
    outside = background_mask(corners, *size)
    known = background_at_cells(outside[None], stride)
    queries, valid = background_queries(features, known, grid)
    attention = background_attention(features, queries, valid)
    thing = torch.zeros(size) if picture.object is None else picture.object
    maps = torch.cat([background_at_cells(thing[None, None], stride), 1 - attention], 1)
    rois = boxes_at_cells(torch.cat([torch.zeros(1, 1), corners], 1), stride)
    plain = pool_boxes(maps, torch.zeros_like(attention), rois, 1 / stride)[0, 0]
    pooled = pool_boxes(maps, attention, rois, 1 / stride)[0, 0]
    enlarged = bilinear(attention.shape[2:], size, stride).enlarge(attention[0, 0])
    return Case(
        number,
        box,
        grid,
        known[0, 0],
        int(valid.sum()),
        attention[0, 0],
        torch.where(outside[0] > 0, torch.ones_like(enlarged), enlarged),
        float(plain[0]),
        float(pooled[0]),
        float(plain[1]),
    )


def boxes_on(picture: Picture) -> list[list[int]]:
    """The first box, two at random, and some that leave a strip, nothing or almost everything."""
    height, width = picture.image.shape[1:]
    random = np.random.default_rng(0)
    made = [[int(corner) for corner in picture.box]]
    while len(made) < 3:
        (x1, x2), (y1, y2) = (np.sort(random.integers(0, s + 1, 2)) for s in (width, height))
        if x2 - x1 >= 40 and y2 - y1 >= 40:
            made.append([int(x1), int(y1), int(x2), int(y2)])
    strips = [[0, 0, width - 20, height], [8, 0, width, height]]
    return [*made, *strips, [0, 0, width, height], [90, 90, 107, 106]]


@pytest.fixture(scope="session")
def pretrained() -> Pretrained:
    return load_pretrained()


@pytest.fixture(scope="session")
def shown() -> list[Picture]:
    return pictures()


@pytest.fixture(scope="session")
def cases(pretrained: Pretrained, shown: list[Picture]) -> list[Case]:
    """Of all pictures, boxes and two grids."""
    made = []
    for number, picture in enumerate(shown):
        features = features_of(picture, pretrained)
        for box in boxes_on(picture):
            made += [case(number, picture, features, box, grid) for grid in (1, 4)]
    return made


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_playground(tmp_path_factory.mktemp("page") / "new" / "playground.html")


@pytest.fixture(scope="session")
def values(written: Path) -> dict[str, Any]:
    """What the page brings along."""
    found = re.search(
        r'<script type="application/json"[^>]*>(.*?)</script>', written.read_text("utf-8")
    )
    return json.loads(found[1])


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    yield from tab_or_skip(tmp_path_factory.mktemp("browser"))
