"""Weights that come with the package: what is in them, how they are read, masks made with them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from load_tool import load_tool
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import convert_bounding_box_format

from bana.crf.dense import CrfParameters
from bana.data.class_names import common_name
from bana.data.voc import VOC_CLASSES, VocDataset
from bana.experiment import pretrained
from bana.experiment.pretrained import (
    Pretrained,
    load_pretrained,
    masks,
    pooling_of,
    save_pretrained,
)
from bana.files.paths import repo_root
from bana.labels import UnaryOptions, pseudo_labels
from bana.networks.backbones import build_backbone
from bana.networks.classifier import BoxClassifier

UNARY = UnaryOptions(background_threshold=0.6)
CRF = CrfParameters(iterations=2)
BACKBONE = {"backbone": {"name": "lite0", "output_stride": 16}}


@pytest.fixture(scope="module")
def shipped() -> Pretrained:
    return load_pretrained()


@pytest.fixture(scope="module")
def image() -> Tensor:
    """A disc on a striped ground, [3, 90, 120]."""
    y, x = torch.meshgrid(torch.arange(90), torch.arange(120), indexing="ij")
    ground = torch.stack([40 + 8 * (x % 9), 90 + 0 * x, 30 + 5 * (y % 7)])
    disc = (x - 60) ** 2 + (y - 45) ** 2 < 25**2
    return torch.where(disc, torch.tensor([220, 60, 40])[:, None, None], ground).to(torch.uint8)


BOX = torch.tensor([[35.0, 20.0, 85.0, 70.0]])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BoxClassifier]:
    torch.manual_seed(3)
    model = BoxClassifier(build_backbone("lite0", 16), 2, "gap").eval()
    folder = tmp_path_factory.mktemp("pretrained")
    names = "background", "cup", "tv monitor"
    save_pretrained("tiny", model, names, UNARY, CRF, BACKBONE | {"note": "here"}, folder)
    return folder, model


def test_what_is_shipped_is_small_and_fits_its_description(shipped: Pretrained) -> None:
    weights = pretrained.FOLDER / "voc-mini.safetensors"
    assert weights.stat().st_size <= 8e6
    assert shipped.classes == tuple(VOC_CLASSES)
    assert shipped.classifier.pooling == "bap"
    assert not shipped.classifier.training
    assert all(p.dtype == torch.float32 for p in shipped.classifier.parameters())
    assert shipped.unary.background_threshold == 0.75


def test_what_is_shipped_says_where_it_comes_from(shipped: Pretrained) -> None:
    about = shipped.about
    assert about["training"]["profile"] == "voc-mini"
    assert len(about["environment"]["commit"]) == 7  # clean: else "-dirty" would follow
    scores = about["scores"]
    assert scores["bap - boxes-crf"]["low"] > 0
    assert scores["boxes"]["value"] < scores["boxes-crf"]["value"] < scores["bap"]["value"]


def test_the_card_says_what_the_description_says(shipped: Pretrained) -> None:
    weights = pretrained.FOLDER / "voc-mini.safetensors"
    text = load_tool("pretrained").card("voc-mini", shipped.about, weights.stat().st_size / 1e6)
    assert (pretrained.FOLDER / "voc-mini.md").read_text(encoding="utf-8") == text


def test_boxes_that_were_read_off_masks_are_counted(shipped: Pretrained, voc_root: Path) -> None:
    if len(VocDataset(voc_root, "train")) != shipped.about["training"]["photographs"]:
        pytest.skip("another folder of VOC's photographs than the one it learned from")
    count = load_tool("pretrained").boxes_off_masks
    train, val = (count(VocDataset(voc_root, split)) for split in ("train", "val"))
    assert train == shipped.about["training"]["boxes_off_masks"]
    text = " ".join((repo_root() / "docs" / "results.md").read_text(encoding="utf-8").split())
    assert f"{train + val} ({train} of the" in text


def test_what_was_saved_is_read(saved: tuple[Path, BoxClassifier]) -> None:
    folder, model = saved
    read = load_pretrained("tiny", folder)
    assert read.classes == ("background", "cup", "tv monitor")
    assert (read.unary, read.crf, read.about["note"]) == (UNARY, CRF, "here")
    assert read.classifier.pooling == "gap"
    there = read.classifier.state_dict()
    for name, value in model.state_dict().items():
        exact = value.half().to(value) if value.is_floating_point() else value
        assert torch.equal(there[name], exact), name
        assert torch.allclose(there[name].double(), value.double(), rtol=1e-3, atol=1e-7), name


def test_reading_leaves_the_callers_generator_alone(saved: tuple[Path, BoxClassifier]) -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    load_pretrained("tiny", saved[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_how_a_classifier_pools_is_saved(tmp_path: Path) -> None:
    model = BoxClassifier(build_backbone("lite0", 16), 1, "bap", 2, 1, 0.5)
    save_pretrained("odd", model, ("background", "cup"), UNARY, CRF, BACKBONE, tmp_path)
    expected = {"pooling": "bap", "grid_size": 2, "parts": 1, "min_background": 0.5}
    assert pooling_of(load_pretrained("odd", tmp_path).classifier) == expected


def test_what_was_saved_without_parts_has_those_of_the_paper(
    saved: tuple[Path, BoxClassifier], tmp_path: Path
) -> None:
    path = copy_of(saved, tmp_path) / "tiny.json"
    about = json.loads(path.read_text())
    for name in ("grid_size", "parts", "min_background"):
        del about[name]
    path.write_text(json.dumps(about))
    expected = {"pooling": "gap", "grid_size": 4, "parts": 2, "min_background": 0.125}
    assert pooling_of(load_pretrained("tiny", tmp_path).classifier) == expected


def test_numbers_that_do_not_fit_are_not_saved(tmp_path: Path) -> None:
    model = BoxClassifier(build_backbone("lite0", 16), 1)
    with torch.no_grad():
        model.weight[0, 0] = 1e5
    with pytest.raises(ValueError, match="weight holds numbers that 16 bits cannot hold"):
        save_pretrained("big", model, ("background", "cup"), UNARY, CRF, BACKBONE, tmp_path)
    assert not list(tmp_path.iterdir())


def copy_of(saved: tuple[Path, BoxClassifier], folder: Path) -> Path:
    for path in saved[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_an_unknown_name_lists_those_that_are_there(saved: tuple[Path, BoxClassifier]) -> None:
    with pytest.raises(ValueError, match="no pretrained classifier 'voc': there is tiny"):
        load_pretrained("voc", saved[0])


def test_a_flipped_bit_is_noticed(saved: tuple[Path, BoxClassifier], tmp_path: Path) -> None:
    path = copy_of(saved, tmp_path) / "tiny.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="are not those of their description: install again"):
        load_pretrained("tiny", tmp_path)


def test_weights_that_are_gone_are_named(saved: tuple[Path, BoxClassifier], tmp_path: Path) -> None:
    (copy_of(saved, tmp_path) / "tiny.safetensors").unlink()
    with pytest.raises(ValueError, match=r"tiny\.safetensors cannot be read"):
        load_pretrained("tiny", tmp_path)


def test_another_format_is_refused(saved: tuple[Path, BoxClassifier], tmp_path: Path) -> None:
    path = copy_of(saved, tmp_path) / "tiny.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"format": 2}))
    with pytest.raises(ValueError, match="has format 2, this version of the package reads 1"):
        load_pretrained("tiny", tmp_path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"tiny\.json is damaged"):
        load_pretrained("tiny", tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"hash": None},
        {"backbone": None},
        {"backbone": {"name": 7, "output_stride": 16}},
        {"classes": ["background", "cup"]},
        {"classes": 3},
        {"unary": {"colour": 1}},
        {"crf": None},
        {"crf": {"iterations": "many"}},
    ],
)
def test_a_damaged_description_is_refused(
    change: dict, saved: tuple[Path, BoxClassifier], tmp_path: Path
) -> None:
    weights = saved[0] / "tiny.safetensors"
    (tmp_path / weights.name).write_bytes(weights.read_bytes())
    about = json.loads((saved[0] / "tiny.json").read_text())
    (tmp_path / "tiny.json").write_text(json.dumps(about | change))
    with pytest.raises(ValueError, match="damaged|are not those of their description"):
        load_pretrained("tiny", tmp_path)
    del about[next(iter(change))]
    (tmp_path / "tiny.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"tiny\.json is damaged"):
        load_pretrained("tiny", tmp_path)


def test_masks_are_the_pseudo_labels_of_the_package(shipped: Pretrained, image: Tensor) -> None:
    given = image.clone(), BOX.clone()
    made = masks(*given, ["cup"], shipped, side=120)
    model = shipped.classifier
    weight = torch.cat([model.weight.detach(), torch.full((1, 1280), float("nan"))])
    with torch.no_grad():
        features = model.backbone(image[None])[0]
    number = torch.tensor([21])
    plain = pseudo_labels(
        features, weight, image, BOX, number, shipped.unary, shipped.crf, model.backbone.stride
    )
    for one, other in zip(made, plain, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(given[0], image) and torch.equal(given[1], BOX)


def test_a_class_nobody_taught_takes_the_attention(shipped: Pretrained, image: Tensor) -> None:
    made = masks(image, BOX.repeat(2, 1), ["cup", "dog"], shipped, side=120)
    assert made.classes.tolist() == [0, 12, 21]
    background, _, cup = made.unary.log()[:, 25:65, 40:80]
    # softmax of [u_0, u_dog, 1 - u_0]: the difference of logarithms is 1 - 2 u_0
    inside = made.attention[25:65, 40:80]
    least = 0.75 * inside.max()
    kept = inside > least + 0.05
    torch.testing.assert_close((cup - background)[kept], (1 - 2 * inside)[kept])
    assert kept.any()


@pytest.mark.parametrize(
    ("name", "number"), [("person", 15), ("Motorcycle", 14), ("TV", 20), ("dining table", 11)]
)
def test_names_and_numbers_mean_the_same(
    name: str, number: int, shipped: Pretrained, image: Tensor
) -> None:
    assert common_name(shipped.classes[number]) == common_name(name)
    named = masks(image, BOX, [name], shipped, side=64)
    numbered = masks(image, BOX, torch.tensor([number]), shipped, side=64)
    assert all(torch.equal(a, b) for a, b in zip(named, numbered, strict=True))
    assert named.classes.tolist() == [0, number]


@pytest.mark.parametrize("numbers", [[15], np.array([15]), np.array([15], np.uint8), (15,)])
def test_numbers_may_be_in_a_list_or_an_array(numbers, shipped: Pretrained) -> None:
    rows, names = pretrained._numbered(numbers, shipped.classes)
    assert rows.tolist() == [15] and rows.dtype == torch.int64 and names == shipped.classes
    rows, names = pretrained._numbered(np.array(["person"]), shipped.classes)
    assert rows.tolist() == [15] and names == shipped.classes


@pytest.mark.parametrize(
    "classes",
    [{"dog", "cat"}, {"dog": 1, "cat": 2}, (name for name in ("dog", "cat")), 12],
    ids=["set", "dict", "generator", "number"],
)
def test_classes_without_an_order_are_refused(
    classes: object, shipped: Pretrained, image: Tensor
) -> None:
    """Of a set nobody knows which box has which class."""
    with pytest.raises(ValueError, match="classes must be a list, one for each box, got something"):
        masks(image, BOX.repeat(2, 1), classes, shipped, side=64)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"classes": torch.tensor([[15]])},
            r"classes must be \[K\], one for each box, got \(1, 1\)",
        ),
        ({"classes": torch.tensor(15)}, r"classes must be \[K\], one for each box, got \(\)"),
        ({"boxes": None}, r"boxes must be numbers \[K, 4\], one box a row"),
        ({"boxes": {"a": [1, 2, 3, 4]}}, r"boxes must be numbers \[K, 4\]"),
        ({"boxes": [["1", "2", "30", "40"]]}, r"boxes must be numbers \[K, 4\]"),
        (
            {"image": torch.zeros(3, 0, 80, dtype=torch.uint8)},
            r"must have pixels, got \(3, 0, 80\)",
        ),
        ({"side": 0}, "side must be a whole number of at least 32 pixels, got 0"),
        ({"side": 64.5}, "side must be a whole number of at least 32 pixels, got 64.5"),
    ],
    ids=range(8),
)
def test_arguments_of_other_types_are_told(
    change: dict, reason: str, shipped: Pretrained, image: Tensor
) -> None:
    given = {"image": image, "boxes": BOX, "classes": ["person"], "side": 64} | change
    with pytest.raises(ValueError, match=reason):
        masks(**given, model=shipped)


def test_new_classes_are_numbered_as_they_come(shipped: Pretrained, image: Tensor) -> None:
    boxes = torch.tensor([[5.0, 5, 40, 40], [60, 5, 110, 40], [5, 50, 40, 85]])
    made = masks(image, boxes, ["zebra", "cup", "Zebra"], shipped, side=64)
    assert made.classes.tolist() == [0, 21, 22]
    made = masks(image, boxes, ["C++", "C#", "c++"], shipped, side=64)
    assert made.classes.tolist() == [0, 21, 22]


@pytest.mark.parametrize("side", [60, 120, 250])
def test_labels_have_the_size_of_the_image(side: int, shipped: Pretrained, image: Tensor) -> None:
    boxes = torch.tensor([[33.4, 18.2, 85.9, 71.3], [88.0, 30.0, 400.0, 300.0]])
    # Labels nearly all of a box, so that the boxes' borders are what is seen.
    eager = replace(shipped, unary=UnaryOptions(background="none"), crf=CrfParameters(iterations=0))
    made = masks(image, boxes, ["person", "dog"], eager, side=side)
    assert made.y_crf.shape == made.y_ret.shape == made.attention.shape == (90, 120)
    assert made.unary.shape == (3, 90, 120)
    torch.testing.assert_close(made.unary.sum(0), torch.ones(90, 120))
    y, x = torch.meshgrid(torch.arange(90), torch.arange(120), indexing="ij")
    person = (x + 1 > 33.4) & (x < 85.9) & (y + 1 > 18.2) & (y < 71.3)
    dog = (x >= 88) & (y >= 30)
    for label in (made.y_crf, made.y_ret):
        assert set(label[person].tolist()) <= {0, 15}
        assert set(label[dog].tolist()) <= {0, 12}
        assert not label[~(person | dog)].any()
    assert (made.attention[~(person | dog)] == 1).all()
    assert made.y_crf.any()


def test_no_box_is_no_mask(shipped: Pretrained, image: Tensor) -> None:
    for none in (torch.zeros(0, 4), []):
        made = masks(image, none, [], shipped, side=64)
        assert not made.y_crf.any() and not made.y_ret.any() and (made.attention == 1).all()


@pytest.mark.parametrize(
    ("box", "shown"),
    [
        (
            [0.2, 0.2, 0.8, 0.9],
            r"\[0.2, 0.2, 0.8, 0.9\] has no whole pixel in an image of 120",
        ),
        ([0, 0, 1, 1], "is in fractions of the image"),
        ([85, 70, 35, 20], "not widths and heights"),
        ([130, 10, 150, 30], "has no whole pixel"),
        ([float("nan"), 0, 5, 5], "has no whole pixel"),
        ([0, 0, float("inf"), 5], "has no whole pixel"),
    ],
)
def test_a_box_that_holds_nothing_is_refused(
    box: list[float], shown: str, shipped: Pretrained, image: Tensor
) -> None:
    with pytest.raises(ValueError, match=shown):
        masks(image, torch.tensor([box]), ["dog"], shipped)


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
def test_boxes_that_know_their_format_are_read_by_it(
    form: str, shipped: Pretrained, image: Tensor
) -> None:
    corners = tv_tensors.BoundingBoxes(
        torch.tensor([[30, 10, 90, 70]]), format="XYXY", canvas_size=(90, 120)
    )
    given = convert_bounding_box_format(corners, new_format=form)
    plain = masks(image, [[30, 10, 90, 70]], ["person"], shipped, side=64)
    made = masks(image, given, ["person"], shipped, side=64)
    assert torch.equal(made.y_crf, plain.y_crf) and torch.equal(made.attention, plain.attention)
    assert given.tolist() == convert_bounding_box_format(corners, new_format=form).tolist()


def test_boxes_of_another_image_or_turned_ones_are_refused(
    shipped: Pretrained, image: Tensor
) -> None:
    other = tv_tensors.BoundingBoxes(BOX, format="XYXY", canvas_size=(180, 240))
    with pytest.raises(ValueError, match="of an image of 240 x 180, and this one is 120 x 90"):
        masks(image, other, ["dog"], shipped)
    turned = tv_tensors.BoundingBoxes(
        torch.tensor([[60.0, 40, 30, 20, 15]]), format="CXCYWHR", canvas_size=(90, 120)
    )
    with pytest.raises(ValueError, match="format CXCYWHR: use XYXY or XYWH or CXCYWH"):
        masks(image, turned, ["dog"], shipped)


def test_what_does_not_fit_is_refused(shipped: Pretrained, image: Tensor) -> None:
    with pytest.raises(ValueError, match=r"image must be uint8 \[3, H, W\]"):
        masks(image.float(), BOX, ["dog"], shipped)
    with pytest.raises(ValueError, match=r"image must be uint8 \[3, H, W\]"):
        masks(image.permute(1, 2, 0), BOX, ["dog"], shipped)
    with pytest.raises(ValueError, match=r"image must be a torch tensor.* got ndarray"):
        masks(image.numpy(), BOX, ["dog"], shipped)
    with pytest.raises(ValueError, match=r"boxes must be \[K, 4\], got \(4,\)"):
        masks(image, BOX[0], ["dog"], shipped)
    with pytest.raises(ValueError, match="1 boxes and 2 classes: one class a box"):
        masks(image, BOX, ["dog", "cat"], shipped)
    with pytest.raises(ValueError, match=r"classes must be 1\.\.20, got \[21\]"):
        masks(image, BOX, torch.tensor([21]), shipped)
    with pytest.raises(ValueError, match=r"classes must be 1\.\.20, got \[0\]"):
        masks(image, BOX, [0], shipped)
    for wrong in ([1.5], [None], [1, "dog"], [True]):
        with pytest.raises(ValueError, match=r"must be names or whole numbers, got \["):
            masks(image, BOX, wrong, shipped)
    for floats in (torch.tensor([7.9999995]), torch.tensor([True])):
        with pytest.raises(ValueError, match="classes must be whole numbers, got torch"):
            masks(image, BOX, floats, shipped)
    with pytest.raises(ValueError, match="classes must be a list, one for each box, got 'cat'"):
        masks(image, torch.cat([BOX] * 3), "cat", shipped)
    for shaped in (torch.tensor([[12]]), torch.tensor(12), np.array([["dog"]]), 12):
        with pytest.raises(
            ValueError, match=r"classes must be (a list|\[K\]), one for each box, got"
        ):
            masks(image, BOX, shaped, shipped)
    for side in (0, -5, float("nan")):
        with pytest.raises(ValueError, match="side must be a whole number of at least"):
            masks(image, BOX, ["dog"], shipped, side)
    with pytest.raises(ValueError, match=r"image must have pixels, got \(3, 0, 120\)"):
        masks(image[:, :0], BOX, ["dog"], shipped)
    with pytest.raises(ValueError, match="model must be of load_pretrained, got 'voc-mini'"):
        masks(image, BOX, ["dog"], "voc-mini")
    with pytest.raises(ValueError, match="must have a name"):
        masks(image, BOX, [" "], shipped)
    with pytest.raises(ValueError, match="other than background"):
        masks(image, BOX, ["background"], shipped)
