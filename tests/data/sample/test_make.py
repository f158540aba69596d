"""The drawn sample: what it promises about its scenes, and how it is written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bana.baselines import filled_boxes, refined_boxes
from bana.data.boxes import box_masks
from bana.data.sample import make
from bana.data.sample.objects import DRAW
from bana.data.sample.paint import Canvas, NoiseBank
from bana.data.sample.scene import _camouflaged, draw_scene
from bana.data.voc import DataError, VocDataset, read_mask
from bana.evaluation.miou import score_labels
from bana.experiment.profiles import SAMPLE

TRAIN, VAL = 40, 3


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make.make_sample(tmp_path_factory.mktemp("data") / "sample", 0, TRAIN, VAL)


@pytest.fixture(scope="module")
def items(root) -> list[dict]:
    return list(VocDataset(root, "train"))


def test_it_is_a_data_set_in_voc_layout(root, items):
    dataset = VocDataset(root, "train")
    assert dataset.classes == make.SAMPLE_CLASSES
    assert len(make.SAMPLE_CLASSES) == 9
    assert len(items) == TRAIN
    assert len(VocDataset(root, "val")) == VAL
    assert len(VocDataset(root, "trainval")) == TRAIN + VAL
    assert all(item["image"].shape == (3, 168, 224) for item in items)
    assert all(1 <= len(item["labels"]) <= 4 for item in items)


def test_masks_lie_in_boxes_of_their_class(items):
    for item in items:
        mask = item["mask"].as_subclass(torch.Tensor)
        drawn = box_masks(item["boxes"].as_subclass(torch.Tensor), *mask.shape)
        for label in set(mask.unique().tolist()) - {0, 255}:
            union = drawn[item["labels"] == label].any(0)
            assert not ((mask == label) & ~union).any()


def test_boxes_are_tight(items):
    for item in items:
        labelled = item["mask"].as_subclass(torch.Tensor) > 0
        for x1, y1, x2, y2 in item["boxes"].int().tolist():
            window = labelled[y1:y2, x1:x2]
            assert window[0].any()
            assert window[-1].any()
            assert window[:, 0].any()
            assert window[:, -1].any()


def test_objects_are_numbered_in_the_order_of_the_boxes(root, items):
    for item in items:
        mask = item["mask"].as_subclass(torch.Tensor)
        objects = read_mask(root / "SegmentationObject" / f"{item['id']}.png")
        assert torch.equal(objects == 0, mask == 0) and torch.equal(objects == 255, mask == 255)
        boxes, labels = item["boxes"].as_subclass(torch.Tensor), item["labels"]
        drawn = box_masks(boxes, *mask.shape)
        for number in set(objects.unique().tolist()) - {0, 255}:
            own = objects == number
            assert (mask[own] == labels[number - 1]).all()
            assert not (own & ~drawn[number - 1]).any()
    assert (
        max(
            int(objects[objects < 255].max())
            for objects in [read_mask(path) for path in (root / "SegmentationObject").iterdir()]
        )
        > 1
    )


def test_outline_is_a_thin_ring_of_255(items):
    share = np.mean([(item["mask"] == 255).float().mean().item() for item in items])
    assert 0.01 < share < 0.08


def test_it_is_neither_empty_nor_flattering(items):
    fills, nearly_full, cut = [], 0, 0
    for item in items:
        mask = item["mask"].as_subclass(torch.Tensor)
        for (x1, y1, x2, y2), label in zip(
            item["boxes"].int().tolist(), item["labels"].tolist(), strict=True
        ):
            window = mask[y1:y2, x1:x2]
            fills.append(((window == label).sum() / (window != 255).sum()).item())
            nearly_full += (x2 - x1) * (y2 - y1) > 0.7 * mask.numel()
            cut += x1 == 0 or y1 == 0 or x2 == 224 or y2 == 168
    assert 0.4 < np.mean(fills) < 0.65
    assert nearly_full >= 1
    assert cut >= 5


def test_scenes_follow_from_the_seed(root, tmp_path, items):
    again = make.make_sample(tmp_path / "again", 0, 2, 1)
    other = make.make_sample(tmp_path / "other", 1, 2, 1)
    for folder, ending in (
        ("JPEGImages", "jpg"),
        ("SegmentationClass", "png"),
        ("SegmentationObject", "png"),
        ("Annotations", "xml"),
    ):
        name = f"{folder}/train_0001.{ending}"
        assert (again / name).read_bytes() == (root / name).read_bytes()
        assert (other / name).read_bytes() != (root / name).read_bytes()


@pytest.fixture(scope="module")
def small_samples(tmp_path_factory) -> dict[int, Path]:
    """Samples of two small scenes a split, by seed."""
    folder = tmp_path_factory.mktemp("small")
    return {seed: make.make_sample(folder / str(seed), seed, 2, 2, (96, 64)) for seed in (0, 1)}


@pytest.mark.parametrize("folder", ["JPEGImages", "SegmentationClass", "SegmentationObject"])
def test_no_two_scenes_of_any_seed_split_and_number_are_alike(small_samples, folder):
    drawn = [
        path.read_bytes() for root in small_samples.values() for path in root.glob(f"{folder}/*")
    ]
    assert len(set(drawn)) == len(drawn) == 2 * 2 * 2


def test_scenes_do_not_depend_on_the_length_of_any_split(small_samples, tmp_path):
    other = make.make_sample(tmp_path / "other", 0, 1, 3, (96, 64))
    for name in ("train_0000", "val_0000", "val_0001"):
        one, again = (root / "JPEGImages" / f"{name}.jpg" for root in (small_samples[0], other))
        assert one.read_bytes() == again.read_bytes()


def test_textures_follow_from_the_seed(tmp_path, monkeypatch):
    banks = []
    real = draw_scene

    def keep(bank, rng, size):
        banks.append(bank)
        return real(bank, rng, size)

    monkeypatch.setattr(make, "draw_scene", keep)
    for number, seed in enumerate((0, 0, 1)):
        make.make_sample(tmp_path / str(number), seed, 1, 1, (96, 64))
    first, again, other = banks[::2]
    for kind in ("cloud", "grain", "streak", "ripple", "hair"):
        one, same, another = (
            bank.window(np.random.default_rng(7), kind, 20, 30) for bank in (first, again, other)
        )
        assert np.array_equal(one, same)
        assert np.abs(one - another).mean() > 0.1


def test_a_second_call_draws_nothing(tmp_path, monkeypatch):
    root = make.make_sample(tmp_path / "s", 0, 1, 1, (96, 64))
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    with monkeypatch.context() as patched:
        patched.delattr(make, "draw_scene")
        assert make.make_sample(root, 0, 1, 1, (96, 64)) == root
    make.make_sample(root, 0, 2, 1, (96, 64))
    assert len(VocDataset(root, "train")) == 2


def test_an_unfinished_run_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("interrupted")

    monkeypatch.setattr(make, "draw_scene", fail)
    with pytest.raises(RuntimeError, match="interrupted"):
        make.make_sample(tmp_path / "s", 0, 1, 1)
    assert not list(tmp_path.iterdir())


def test_other_files_are_not_overwritten(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(DataError, match="is no sample"):
        make.make_sample(tmp_path, 0, 1, 1)
    assert (tmp_path / "precious.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="cannot draw"):
        make.make_sample(tmp_path / "s", train=0)


SETTINGS = {"version": 2, "seed": 0, "train": 1, "val": 1, "size": [96, 64]}


@pytest.mark.parametrize(
    "manifest",
    [
        {"name": "web app"},
        [],
        {**SETTINGS, "name": "web app"},
        {**SETTINGS, "seed": "0"},
        {**SETTINGS, "train": True},
        {**SETTINGS, "size": "96"},
        {**SETTINGS, "size": [96]},
        SETTINGS,
    ],
)
def test_a_manifest_alone_makes_no_sample(tmp_path, manifest):
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(DataError, match="no sample"):
        make.make_sample(tmp_path, 0, 1, 1, (96, 64))
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_sample_is_replaced_only_where_nothing_else_lies_in_it(tmp_path):
    root = make.make_sample(tmp_path / "s", 0, 2, 1, (96, 64))
    own = root / "JPEGImages" / "holiday.jpg"
    own.write_text("mine")
    with pytest.raises(DataError, match=r"holds JPEGImages/holiday.jpg, which is of no sample"):
        make.make_sample(root, 1, 1, 1, (96, 64))
    assert own.read_text() == "mine" and len(VocDataset(root, "train")) == 2
    own.unlink()
    make.make_sample(root, 1, 1, 1, (96, 64))
    assert len(VocDataset(root, "train")) == 1


def test_a_file_in_the_way_is_no_sample(tmp_path):
    (tmp_path / "s").write_text("mine")
    with pytest.raises(DataError, match="is no sample"):
        make.make_sample(tmp_path / "s", 0, 1, 1, (96, 64))


def test_classes_of_a_pair_share_their_body():
    """Drawn from one seed, two classes of a pair agree over most of their area; others do not."""
    bank = NoiseBank(np.random.default_rng(0))
    matrix = np.array([[200, 0, 60], [0, 200, 40]], np.float32)

    def draw(name: str) -> Canvas:
        canvas = Canvas((260, 400), matrix, (0.0, -1.0))
        DRAW[name](canvas, bank, np.random.default_rng(1))
        return canvas

    def agreement(first: str, second: str) -> float:
        one, two = draw(first), draw(second)
        either = (one.cover > 0) | (two.cover > 0)
        same = (np.abs(one.colour - two.colour).max(-1) < 1e-6) & (one.cover == two.cover)
        return float(same[either].mean())

    names = list(DRAW)
    for first, second in zip(names[::2], names[1::2], strict=True):
        assert 0.6 < agreement(first, second) < 0.97
    assert agreement("deer", "stork") < 0.2


@pytest.mark.parametrize(("name", "hole"), [("bus", (0.25, 0.54)), ("teapot", (0.14, 0.66))])
def test_holes_show_what_is_behind(name, hole):
    bank = NoiseBank(np.random.default_rng(0))
    canvas = Canvas((260, 400), np.array([[200, 0, 60], [0, 200, 40]], np.float32), (0.0, -1.0))
    DRAW[name](canvas, bank, np.random.default_rng(1))
    # The hole is around this point; a window's post may happen to pass exactly through it.
    column, row = int(200 * hole[0] + 60), int(200 * hole[1] + 40)
    around = canvas.cover[row - 12 : row + 12, column - 18 : column + 18]
    assert (around == 0).any()
    assert (canvas.cover[row, :column] == 1).any()
    assert (canvas.cover[row, column:] == 1).any()


def test_every_scene_has_an_object():
    bank = NoiseBank(np.random.default_rng(0))
    for seed in range(20):
        scene = draw_scene(bank, np.random.default_rng(seed), (96, 72))
        assert len(scene.boxes) == len(scene.labels) >= 1
        assert scene.mask.shape == (72, 96)
        assert scene.image.shape == (72, 96, 3)


def test_colour_alone_finds_little_more_than_the_boxes(items):
    filled, refined = [], []
    for item in items[:24]:
        image, boxes, mask = (
            item[key].as_subclass(torch.Tensor) for key in ("image", "boxes", "mask")
        )
        filled.append((filled_boxes(boxes, item["labels"], *mask.shape), mask))
        refined.append((refined_boxes(image, boxes, item["labels"], SAMPLE.label_crf), mask))
    gain = np.diff([score_labels(pairs, 9).miou for pairs in (filled, refined)])
    assert 4 < gain < 12


def test_camouflage_moves_colours_in_degrees():
    rng = np.random.default_rng(0)
    colour = rng.uniform(0.4, 0.6, (20, 30, 3)).astype(np.float32)
    behind = rng.uniform(0.1, 0.5, (20, 30, 3)).astype(np.float32)
    shape = rng.random((20, 30)) < 0.5
    gaps = []
    for degree in (0.0, 0.5, 1.0):
        hidden = _camouflaged(colour, shape, behind, degree)[shape]
        assert hidden.dtype == np.float32 and hidden.min() >= 0 and hidden.max() <= 1
        gaps.append(np.abs(hidden.mean(0) - behind.mean((0, 1))).max())
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 0.01
    assert np.allclose(_camouflaged(colour, shape, behind, 0.0), colour, atol=1e-6)
    nothing = np.zeros((0, 5, 3), np.float32)
    assert _camouflaged(nothing, nothing[..., 0] > 0, nothing, 0.5).shape == (0, 5, 3)


def test_what_a_killed_drawing_left_goes(tmp_path: Path) -> None:
    left = tmp_path / f".sample.{2**22 + 1}.tmp"
    (left / "JPEGImages").mkdir(parents=True)
    make.make_sample(tmp_path / "sample", 0, 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]
