"""From a data set with classes that the classifier never saw to labels and to their AP."""

import json
from pathlib import Path

import pytest
import torch
from made_data import write_voc
from torch import Tensor, nn

from bana.baselines import filled_boxes
from bana.commands.main import main
from bana.data.class_names import common_name
from bana.data.sample.make import SAMPLE_CLASSES
from bana.data.voc import VOC_CLASSES, VocDataset, read_mask, write_mask
from bana.evaluation.instances import decode
from bana.experiment import label_folders, stages
from bana.experiment.labelling import make_label_files
from bana.experiment.profiles import get_profile
from bana.experiment.transfer import transfer_weight, transferred_labels
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier

# Red is a class of the classifier's, green is not.
CLASSES = ("background", "zebra", SAMPLE_CLASSES[1])
SIZE = (48, 72)
RED, GREEN, BLUE = (torch.eye(3) * 200).byte().view(3, 3, 1, 1)


def square(top: int, left: int) -> Tensor:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top : top + 16, left : left + 16] = True
    return mask


@pytest.fixture
def target(tmp_path: Path) -> VocDataset:
    """Two images of a red and a green square each on blue, in boxes wider than they are."""
    images, masks, boxes, objects = [], [], [], []
    for red, green in ((square(8, 8), square(24, 44)), (square(24, 8), square(4, 40))):
        image = torch.where(red, RED, torch.where(green, GREEN, BLUE))
        images.append(image)
        objects.append(red.byte() + 2 * green.byte())
        masks.append(2 * red.byte() + green.byte())
        boxes.append([])
        for mask, name in ((red, CLASSES[2]), (green, CLASSES[1])):
            (top, left), (bottom, right) = mask.nonzero()[0].tolist(), mask.nonzero()[-1].tolist()
            boxes[-1].append((left - 4, top - 4, right + 5, bottom + 5, name))
    root = write_voc(tmp_path / "target", masks, boxes, CLASSES, images)
    for name, numbers in zip(("im0", "im1"), objects, strict=True):
        write_mask(root / "SegmentationObject" / f"{name}.png", numbers)
    return VocDataset(root, "val")


@pytest.fixture
def sees_colours(monkeypatch, tmp_path) -> None:
    """A classifier whose features are colours; red is the sample's first class."""
    look = nn.Conv2d(3, 3, 1, bias=False)
    look.weight.data = torch.eye(3).view(3, 3, 1, 1)
    backbone = Backbone(nn.Sequential(look, nn.ReLU()), 3, 1, (0.0,) * 3, (1.0,) * 3)
    model = BoxClassifier(backbone, len(SAMPLE_CLASSES) - 1).eval()
    model.weight.data = torch.zeros(len(SAMPLE_CLASSES), 3)
    model.weight.data[:2] = torch.eye(3)[[2, 0]]
    rows = model.weight.data.clone()

    def classifier(*_) -> BoxClassifier:
        model.weight = nn.Parameter(rows.clone())
        return model

    monkeypatch.setattr(stages, "classifier", classifier)
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))


def test_rows_follow_names_and_unseen_classes_are_nan() -> None:
    weight = torch.arange(6.0).view(3, 2)
    wanted = ("background", "zebra", "dining table", "airplane")
    moved = transfer_weight(weight, ("background", "aeroplane", "diningtable"), wanted)
    assert moved[[0, 2, 3]].tolist() == weight[[0, 2, 1]].tolist()
    assert moved[1].isnan().all()
    moved = transfer_weight(weight, ("background", "c", "c#"), ("background", "C++", "C", "C#"))
    assert moved[1].isnan().all() and moved[[2, 3]].tolist() == weight[[1, 2]].tolist()
    with pytest.raises(ValueError, match="2 class names for a classifier of 3 rows"):
        transfer_weight(weight, ("background", "cat"), wanted)
    with pytest.raises(ValueError, match="first class must be background, got 'background', 'a'"):
        transfer_weight(weight, ("background", "cat", "dog"), ("a", "background"))


def test_rows_of_a_classifier_in_training_bring_no_gradient() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    moved = transfer_weight(weight, ("background", "cat"), ("background", "cat"))
    assert not moved.requires_grad


def test_every_voc_class_is_one_of_cocos() -> None:
    coco = "person bicycle car motorcycle airplane bus train boat bird cat dog horse sheep cow"
    names = {*coco.split(), "bottle", "chair", "couch", "potted plant", "dining table", "tv"}
    assert {common_name(n) for n in VOC_CLASSES[1:]} == {common_name(n) for n in names}


def test_unseen_classes_from_boxes_to_average_precision(target, sees_colours, tmp_path) -> None:
    """The whole path, by the command: labels of both classes are the squares, AP is 100."""
    out = tmp_path / "results.json"
    words = ["export", "--profile", "smoke", "--target", str(target.root), "--out", str(out)]
    for kind in ("Y_crf", "Y_ret"):
        assert main([*words, "--labels", kind]) == 0
        results = json.loads(out.read_text())
        assert sorted((r["image_id"], r["category_id"]) for r in results) == [
            (1, 1),
            (1, 2),
            (2, 1),
            (2, 2),
        ]
        for entry in results:
            truth = target.mask(f"im{entry['image_id'] - 1}") == entry["category_id"]
            assert torch.equal(decode(entry["segmentation"]), truth), kind


def test_command_tells_ap_or_why_not(target, sees_colours, tmp_path, capsys) -> None:
    out = tmp_path / "results.json"
    words = ["export", "--profile", "smoke", "--target", str(target.root), "--out", str(out)]
    assert main(words) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Y_crf", "100.0", "100.0", "100.0", "100.0", "-", "-"] in lines
    (target.root / "SegmentationObject").rename(target.root / "elsewhere")
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "4 masks" in told and "no average precision" in told and "100.0" not in told
    assert main([*words, "--truth", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*words, "--labels", "Y_ret", "--variant", "boxes"]) == 2
    assert "have no Y_ret" in capsys.readouterr().err


def test_finished_labels_are_kept(target, sees_colours, monkeypatch) -> None:
    profile = get_profile("smoke")
    folder = transferred_labels(profile, target)
    lost = folder / "Y_crf" / "im1.png"
    before = read_mask(lost)
    lost.unlink()
    asked = []
    monkeypatch.setattr(
        label_folders,
        "make_label_files",
        lambda job, todo, crew: asked.append(todo) or make_label_files(job, todo, crew),
    )
    assert transferred_labels(profile, target) == folder
    assert transferred_labels(profile, target) == folder
    assert asked == [[[target.ids.index("im1")]]] and torch.equal(read_mask(lost), before)


def test_baselines_need_no_classifier(target, sees_colours, monkeypatch) -> None:
    monkeypatch.setattr(stages, "classifier", None)
    profile = get_profile("smoke")
    folder = transferred_labels(profile, target, "boxes")
    assert sorted(path.name for path in folder.iterdir()) == ["Y_crf", "manifest.json"]
    for name in target.ids:
        boxes, classes = target.annotation(name)
        expected = filled_boxes(boxes, classes, *SIZE)
        assert torch.equal(read_mask(folder / "Y_crf" / f"{name}.png"), expected)
    with pytest.raises(ValueError, match="unknown labels 'wssl': use one of boxes"):
        transferred_labels(profile, target, "wssl")


def test_another_classifier_has_labels_of_its_own(target, sees_colours, monkeypatch) -> None:
    profile = get_profile("smoke")
    folder = transferred_labels(profile, target)
    original = stages.classifier

    def trained_on(*words) -> BoxClassifier:
        model = original(*words)
        model.weight.data *= 2
        return model

    monkeypatch.setattr(stages, "classifier", trained_on)
    assert transferred_labels(profile, target) != folder
