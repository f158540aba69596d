"""Masks from boxes by a promptable model: what it is asked, what is taken, and what is not read."""

import hashlib
import importlib.util
import json
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_sam import save_tiny_sam, save_tiny_sam2
from torch import Tensor

from bana.baselines import filled_boxes
from bana.experiment import promptable
from bana.experiment.promptable import Promptable, filled_masks, load_promptable, prompted

CPU = torch.device("cpu")
HEIGHT, WIDTH = 40, 70  # neither square nor of the model's size
BOXES = torch.tensor([[3.0, 4, 20, 30], [10, 2, 60, 38], [0, 0, 70, 40], [5.5, 6, 21, 19.25]])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM as a user's own."""
    return save_tiny_sam(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """Another, to be spoilt."""
    return shutil.copytree(checkpoint, tmp_path / "tiny")


@pytest.fixture(scope="module")
def image() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("save", [save_tiny_sam, save_tiny_sam2])
def test_masks_are_of_the_photographs_size_and_one_for_every_box(save, image, tmp_path):
    model = load_promptable(save(tmp_path / "mine"), CPU)
    before = image.clone(), BOXES.clone()
    made = prompted(model, image, BOXES)
    assert made.masks.dtype == torch.bool and made.masks.shape == (len(BOXES), HEIGHT, WIDTH)
    assert made.scores.dtype == torch.float32 and made.scores.shape == (len(BOXES),)
    assert made.masks.any() and not made.masks.all()
    assert all(torch.equal(*pair) for pair in zip(prompted(model, image, BOXES), made, strict=True))
    assert torch.equal(image, before[0]) and torch.equal(BOXES, before[1])
    none = prompted(model, image, BOXES[:0])
    assert none.masks.shape == (0, HEIGHT, WIDTH) and none.scores.shape == (0,)


def test_sam_2_is_read_from_a_folder_of_its_video_model_too(tmp_path, image):
    """Under this type its weights are published."""
    folder = save_tiny_sam2(tmp_path / "mine")
    expected = prompted(load_promptable(folder, CPU), image, BOXES)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "sam2_video"}))
    model = load_promptable(folder, CPU)
    assert model.kind == "sam2_video"
    assert torch.equal(prompted(model, image, BOXES).masks, expected.masks)


@pytest.mark.parametrize("at_a_time", [1, 3, 16])
def test_a_mask_depends_on_no_other_box(at_a_time, checkpoint, image, monkeypatch):
    monkeypatch.setattr(promptable, "BOXES_A_BATCH", at_a_time)
    model = load_promptable(checkpoint, CPU)
    made = prompted(model, image, BOXES)
    order = torch.tensor([2, 0, 3, 1])
    turned = prompted(model, image, BOXES[order])
    assert torch.equal(turned.masks, made.masks[order])
    torch.testing.assert_close(turned.scores, made.scores[order])
    for number, box in enumerate(BOXES):
        alone = prompted(model, image, box[None])
        assert torch.equal(alone.masks[0], made.masks[number])
    assert len(made.scores.unique()) == len(BOXES)  # the boxes do reach the model


class Spy:
    """Stands in for a part of the model, and remembers what it was called with."""

    def __init__(self, real: Callable) -> None:
        self.real, self.given = real, []

    def __call__(self, **given: object) -> object:
        self.given.append(given)
        return self.real(**given)

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)


def test_the_model_is_given_first_and_last_pixels(checkpoint, image):
    """Of half-open boxes, at the photograph's scale; the processor brings them to the model's."""
    model = load_promptable(checkpoint, CPU)
    spied = model._replace(processor=Spy(model.processor), model=Spy(model.model))
    thin = torch.tensor([[7.0, 8, 7.5, 30]])
    made = prompted(spied, image, torch.cat([BOXES, thin]))
    ((asked,),) = [each["input_boxes"] for each in spied.processor.given]
    assert asked[0] == [3, 4, 19, 29] and asked[2] == [0, 0, 69, 39]
    assert asked[3] == [5.5, 6, 20, 18.25]
    assert asked[4] == [7, 8, 7, 29]  # never the wrong way round
    assert torch.equal(spied.processor.given[0]["images"], image)
    ((found,),) = [each["input_boxes"] for each in spied.model.given]
    scale = torch.tensor([64 / WIDTH, 37 / HEIGHT]).repeat(2)
    torch.testing.assert_close(found, torch.tensor(asked) * scale)
    assert len(made.masks) == 5


def answering(model: Promptable, masks: Tensor, scores: Tensor) -> Promptable:
    """A model that proposes the same masks [3, h, w] with the same scores [3] for every box."""

    class Answering:
        device = CPU

        def get_image_embeddings(self, pixels: Tensor) -> Tensor:
            return pixels

        def __call__(self, input_boxes: Tensor, **_: object) -> SimpleNamespace:
            count = input_boxes.shape[1]
            return SimpleNamespace(
                iou_scores=scores.expand(1, count, 3),
                pred_masks=masks.expand(1, count, 3, *masks.shape[1:]).clone(),
            )

    return model._replace(model=Answering())


def test_the_mask_is_the_one_that_the_model_itself_likes_best(checkpoint, image):
    masks = torch.stack([torch.full((16, 16), value) for value in (5.0, -5.0, 5.0)])
    scores = torch.tensor([0.2, 0.9, 0.3])
    model = load_promptable(checkpoint, CPU)
    made = prompted(answering(model, masks, scores), image, BOXES[:2])
    assert not made.masks.any() and made.scores.tolist() == pytest.approx([0.9, 0.9])
    made = prompted(answering(model, masks, scores.roll(1)), image, BOXES[:2])
    assert made.masks.all() and made.scores.tolist() == pytest.approx([0.9, 0.9])


def test_what_pads_the_photograph_is_taken_off_its_mask(checkpoint, image):
    """The photograph fills 37 of 64 rows of what the model sees: 9.25 of 16 of a mask."""
    masks = torch.full((3, 16, 16), -5.0)
    masks[:, 5:, :8] = 5.0  # from row 21.6 on, left of column 35
    made = prompted(answering(load_promptable(checkpoint, CPU), masks, torch.ones(3)), image, BOXES)
    for mask in made.masks:
        assert mask[24:, :33].all() and not mask[:19].any() and not mask[:, 37:].any()


def test_masks_are_cut_off_at_their_boxes_and_the_smaller_box_wins():
    boxes = torch.tensor([[2.0, 1, 5, 6], [0, 0, 9, 7], [4, 4, 7, 7]])  # 15, 63 and 9 pixels
    classes = torch.tensor([3, 1, 2])
    masks = torch.ones(3, 8, 10, dtype=torch.bool)
    masks[2, 5] = False
    before = masks.clone()
    made = filled_masks(masks, boxes, classes)
    assert made.dtype == torch.uint8 and made.shape == (8, 10)
    expected = torch.zeros(8, 10, dtype=torch.uint8)
    for y in range(8):
        for x in range(10):
            if x < 9 and y < 7:
                expected[y, x] = 1
            if 2 <= x < 5 and 1 <= y < 6:
                expected[y, x] = 3
            if 4 <= x < 7 and 4 <= y < 7 and y != 5:
                expected[y, x] = 2
    assert torch.equal(made, expected) and torch.equal(masks, before)


def test_full_masks_are_filled_boxes():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(12, 2, 2, generator=generator).sort(1).values.flatten(1) * 30
    boxes = torch.cat([corners, corners[:3]])  # equal boxes too: the later one wins
    classes = torch.randint(1, 5, (15,), generator=generator)
    full = torch.ones(15, 25, 30, dtype=torch.bool)
    assert torch.equal(filled_masks(full, boxes, classes), filled_boxes(boxes, classes, 25, 30))
    assert not filled_masks(~full, boxes, classes).any()
    with pytest.raises(ValueError, match="14 masks and 15 classes for 15 boxes"):
        filled_masks(full[1:], boxes, classes)


def test_a_checkpoint_is_known_by_what_its_files_hold(copy, tmp_path):
    model = load_promptable(copy, CPU)
    digest = hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest()
    assert model.weights == {"model.safetensors": digest} and model.name == "tiny"
    assert set(model.files) == {"model.safetensors", "config.json", "processor_config.json"}
    (copy / "README.md").write_text("of no account")
    assert load_promptable(copy, CPU).files == model.files
    moved = copy.rename(tmp_path / "moved")
    assert load_promptable(moved, CPU).files == model.files
    other = save_tiny_sam(tmp_path / "other", seed=1)
    assert load_promptable(other, CPU).weights != model.weights


class Trap:
    """Unpickled it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def refusal(folder: Path) -> str:
    with pytest.raises(ValueError) as caught:
        load_promptable(folder, CPU)
    told = str(caught.value)
    assert "\n" not in told and str(folder) in told
    return told


def test_nothing_is_unpickled(copy, tmp_path):
    trap = tmp_path / "sprung"
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(trap)))
    load_promptable(copy, CPU)  # beside safetensors it is left alone
    (copy / "model.safetensors").unlink()
    assert "pickled weights can run code and are not read" in refusal(copy)
    (copy / "other.safetensors").write_bytes(b"")  # under a name that transformers looks past
    assert "transformers cannot read it" in refusal(copy)
    alone = tmp_path / "sam_vit_b.pth"
    alone.write_bytes((copy / "pytorch_model.bin").read_bytes())
    told = refusal(alone)
    assert "pickled weights" in told and "`save_pretrained` of SamModel writes" in told
    assert not trap.exists()
    pickle.loads(alone.read_bytes())
    assert trap.exists()  # as it would have been


def test_what_is_no_checkpoint_is_told_in_a_line(copy, tmp_path):
    assert "no such folder: wanted is a folder with config.json" in refusal(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no weights: wanted is" in refusal(tmp_path / "empty")
    assert "is a file: wanted is" in refusal(copy / "model.safetensors")
    config = copy / "config.json"
    text = config.read_text()
    config.write_text(json.dumps(json.loads(text) | {"model_type": "bert"}))
    assert "a model of type 'bert', not SAM: use one of sam, sam2" in refusal(copy)
    for wrong in ("{", "[]", "{}"):
        config.write_text(wrong)
        assert "says no model_type" in refusal(copy)
    config.unlink()
    assert "no config.json" in refusal(copy)
    config.write_text(text)
    (copy / "processor_config.json").rename(tmp_path / "kept")
    assert "transformers cannot read it" in refusal(copy)


def test_weights_that_are_missing_or_damaged_are_not_made_up(copy):
    path = copy / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if "iou_prediction_head" in name)
    save_file({k: v for k, v in weights.items() if k != name}, path, {"format": "pt"})
    assert f"1 weights are missing, such as {name}" in refusal(copy)
    save_file(weights | {name: weights[name][:1]}, path, {"format": "pt"})
    assert "transformers cannot read it" in refusal(copy)
    path.write_bytes(path.read_bytes()[:100])
    assert "transformers cannot read it" in refusal(copy)


def test_no_address_is_asked(copy, image, monkeypatch):
    asked = []

    def closed(*words: object, **more: object) -> None:
        asked.append(words)
        raise OSError("no network")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, closed)
    monkeypatch.setattr(socket, "getaddrinfo", closed)
    prompted(load_promptable(copy, CPU), image, BOXES)
    (copy / "processor_config.json").unlink()
    refusal(copy)  # nor for what is missing
    assert not asked


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^SAM needs transformers: pip install -e .\[sam\]$"):
        load_promptable(tmp_path, CPU)
