"""Instance masks and their AP: cases counted by hand, and the traps of COCO's format."""

import json
import math
from pathlib import Path

import pytest
import torch
from made_data import write_voc
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from bana.data.importing import import_boxes
from bana.data.voc import DataError, VocDataset, write_mask
from bana.evaluation.average_precision import (
    MEASURES,
    Truth,
    average_precision,
    coco_truth,
    find_truth,
    ids_of,
    voc_truth,
)
from bana.evaluation.instances import box_parts, encode, part_results
from bana.evaluation.scoring import label_file_instances
from bana.files.artefacts import write_json

IGNORE = 255
CLASSES = ("background", "diningtable", "dog")


def rectangle(top: int, left: int, bottom: int, right: int, size=(40, 60)) -> Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def truth_of(*masks: Tensor, size=(40, 60)) -> Truth:
    """One image per mask, each with one object of class 1."""
    images = [
        {"id": i, "file_name": f"{i:06d}.jpg", "height": size[0], "width": size[1]}
        for i in range(1, len(masks) + 1)
    ]
    annotations = [
        {
            "id": i,
            "image_id": i,
            "category_id": 7,
            "iscrowd": 0,
            "area": int(mask.sum()),
            "bbox": [0, 0, 1, 1],
            "segmentation": encode(mask),
        }
        for i, mask in enumerate(masks, 1)
    ]
    categories = [{"id": 7, "name": "cat"}]
    return Truth({"images": images, "categories": categories, "annotations": annotations}, {})


def results_of(*masks: Tensor, scores: tuple[float, ...] = ()) -> list[dict]:
    return [
        {"image_id": i, "category_id": 7, "segmentation": encode(mask), "score": score}
        for i, (mask, score) in enumerate(zip(masks, scores or [1.0] * len(masks), strict=True), 1)
        if mask.any()
    ]


def test_transposed_masks_would_score_nothing() -> None:
    size = (50, 50)  # square, so that nothing but the score tells
    masks = [rectangle(5, 20, 12, 45, size), rectangle(30, 2, 48, 9, size)]
    truth = truth_of(*masks, size=size)
    assert average_precision(truth, results_of(*masks), [1, 2])["ap"] == pytest.approx(100)
    wrong = average_precision(truth, results_of(*(mask.T for mask in masks)), [1, 2])
    assert wrong["ap"] == 0


def test_thresholds_by_hand() -> None:
    """IoU 13 / 20 = .65 counts at .5, .55, .6 and .65: 4 of 10 thresholds."""
    truth = truth_of(rectangle(0, 0, 10, 20))
    scores = average_precision(truth, results_of(rectangle(0, 0, 10, 13)), [1])
    assert list(scores) == list(MEASURES)
    assert scores["ap"] == pytest.approx(40) and scores["ap50"] == pytest.approx(100)
    assert scores["ap75"] == 0 and scores["ap_small"] == pytest.approx(40)
    assert math.isnan(scores["ap_medium"]) and math.isnan(scores["ap_large"])


@pytest.mark.parametrize(
    ("scores", "expected"),
    # The wrong mask ranks last or first. Half of the objects are found, at precision 1 or 1 / 2;
    # COCO reads precision at 101 recalls, 51 of which are at most 1 / 2.
    [((0.9, 0.1), 100 * 51 / 101), ((0.1, 0.9), 50 * 51 / 101)],
)
def test_ranking_by_hand(scores: tuple[float, float], expected: float) -> None:
    truth = truth_of(rectangle(0, 0, 10, 20), rectangle(0, 0, 10, 20))
    results = results_of(rectangle(0, 0, 10, 20), rectangle(20, 30, 30, 50), scores=scores)
    assert average_precision(truth, results, [1, 2])["ap"] == pytest.approx(expected)


def test_sizes_are_cocos() -> None:
    size = (120, 130)
    masks = [rectangle(0, 0, n, n, size) for n in (31, 33, 95, 97)]
    halves = [mask.clone() for mask in masks]
    for mask in (halves[1], halves[3]):
        mask[:] = False
        mask[0, 0] = True
    scores = average_precision(truth_of(*masks, size=size), results_of(*halves), [1, 2, 3, 4])
    assert scores["ap_small"] == pytest.approx(100) and scores["ap_large"] == 0
    assert scores["ap_medium"] == pytest.approx(100 * 51 / 101)


def test_images_without_results_count_as_missed_and_others_do_not() -> None:
    truth = truth_of(*[rectangle(0, 0, 10, 20)] * 3)
    results = results_of(rectangle(0, 0, 10, 20))
    assert average_precision(truth, results, [1])["ap"] == pytest.approx(100)
    assert average_precision(truth, results, [1, 2])["ap"] == pytest.approx(100 * 51 / 101)
    assert average_precision(truth, [], [1, 2, 3])["ap"] == 0
    with pytest.raises(ValueError, match="results of image 1, which is not among"):
        average_precision(truth, results, [2])
    with pytest.raises(ValueError, match="no image to score"):
        average_precision(truth, [], [])


def test_evaluation_leaves_its_inputs_alone() -> None:
    truth, results = truth_of(rectangle(0, 0, 10, 20)), results_of(rectangle(0, 0, 10, 13))
    before = json.dumps([truth, results])
    average_precision(truth, results, [1])
    assert json.dumps([truth, results]) == before


def test_void_pixels_count_neither_for_nor_against() -> None:
    mask = rectangle(0, 0, 10, 20)
    truth = truth_of(mask)
    over = results_of(rectangle(0, 0, 20, 20))
    assert average_precision(truth, over, [1])["ap75"] == 0
    void = {1: encode(rectangle(10, 0, 20, 20))}
    assert average_precision(Truth(truth.dataset, void), over, [1])["ap"] == pytest.approx(100)
    inside_void = results_of(rectangle(12, 2, 14, 5))
    assert average_precision(Truth(truth.dataset, void), inside_void, [1])["ap"] == 0


@pytest.fixture
def voc(tmp_path: Path) -> VocDataset:
    """Two images: two touching squares of one class, and one of another in a white outline."""
    first = torch.zeros(40, 60, dtype=torch.uint8)
    first[10:30, 5:25], first[10:30, 25:45] = 1, 2
    second = torch.zeros(40, 60, dtype=torch.uint8)
    second[4:26, 4:26] = 255
    second[5:25, 5:25] = 1
    kinds = [(first > 0).byte(), torch.where(second == 1, 2, second).byte()]
    boxes = [[(5, 10, 25, 30, "cat"), (25, 10, 45, 30, "cat")], [(5, 5, 25, 25, "dog")]]
    root = write_voc(tmp_path / "voc", kinds, boxes, ("background", "cat", "dog"))
    for name, numbers in zip(("im0", "im1"), (first, second), strict=True):
        write_mask(root / "SegmentationObject" / f"{name}.png", numbers)
    return VocDataset(root, "val")


def test_voc_objects_as_ground_truth(voc: VocDataset) -> None:
    truth = voc_truth(voc)
    assert [c["name"] for c in truth.dataset["categories"]] == ["cat", "dog"]
    found = [(a["id"], a["image_id"], a["category_id"]) for a in truth.dataset["annotations"]]
    assert found == [(1, 1, 1), (2, 1, 1), (3, 2, 2)]
    assert [a["bbox"] for a in truth.dataset["annotations"]] == [
        [5, 10, 20, 20],
        [25, 10, 20, 20],
        [5, 5, 20, 20],
    ]
    assert all(a["area"] == 400 for a in truth.dataset["annotations"])
    results = []
    ids = ids_of(voc, truth)
    for name in voc.ids:
        boxes, classes = voc.annotation(name)
        # The outline is labelled too, which must cost nothing.
        labels = voc.mask(name).masked_fill(voc.mask(name) == IGNORE, 2)
        categories = [ids.categories[c] for c in classes.tolist()]
        results += part_results(box_parts(labels, boxes, classes), ids.images[name], categories)
    scores = average_precision(truth, results, ids.images.values())
    assert scores["ap"] == pytest.approx(100)


def test_class_masks_alone_cannot_be_scored(voc: VocDataset) -> None:
    (voc.root / "SegmentationObject").rename(voc.root / "elsewhere")
    with pytest.raises(
        DataError, match="SegmentationObject: no such folder.* needs instance masks"
    ):
        voc_truth(voc)


def test_wrong_instance_masks_are_named(voc: VocDataset) -> None:
    path = voc.root / "SegmentationObject" / "im0.png"
    write_mask(path, torch.ones(3, 3, dtype=torch.uint8))
    with pytest.raises(DataError, match=r"im0.png: \[3, 3\], its class mask \[40, 60\]"):
        voc_truth(voc)
    outside = torch.zeros(40, 60, dtype=torch.uint8)
    outside[0, 0] = 5
    write_mask(path, outside)
    with pytest.raises(DataError, match="im0.png: object 5 is background in its class mask"):
        voc_truth(voc)


def test_coco_file_as_ground_truth(tmp_path: Path) -> None:
    polygon = [[5.0, 10.0, 25.0, 10.0, 25.0, 30.0, 5.0, 30.0]]
    dataset = {
        "images": [{"id": 42, "file_name": "000000000042.jpg", "height": 40, "width": 60}],
        "categories": [{"id": 67, "name": "dining table"}, {"id": 18, "name": "dog"}],
        "annotations": [
            {
                "id": 9,
                "image_id": 42,
                "category_id": 67,
                "iscrowd": 0,
                "area": 400,
                "bbox": [5, 10, 20, 20],
                "segmentation": polygon,
            }
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(dataset))
    mask = rectangle(10, 5, 30, 25).byte()
    root = write_voc(
        tmp_path / "voc",
        [mask],
        [[(5, 10, 25, 30, "diningtable")]],
        CLASSES,
        names=["000000000042"],
    )
    data = VocDataset(root, "val")
    truth = find_truth(data, path)
    ids = ids_of(data, truth)
    assert ids == ({"000000000042": 42}, [0, 67, 18])
    results = label_file_instances(data, root / "SegmentationClass", ids)
    assert [entry["category_id"] for entry in results] == [67]
    assert average_precision(truth, results, [42])["ap"] == pytest.approx(100)
    assert find_truth(data) is None
    del truth.dataset["categories"][1]
    with pytest.raises(DataError, match="no class 'dog'; it has dining table"):
        ids_of(data, truth)
    truth.dataset["images"].clear()
    with pytest.raises(DataError, match="no image '000000000042'; is it of another split"):
        ids_of(data, truth)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no such file"),
        ("{", "no JSON"),
        ("[]", "it has no 'images'"),
        ('{"images": [], "annotations": []}', "it has no 'categories'"),
        (
            '{"images": [], "categories": [], "annotations": [{"id": 1, "image_id": 1, '
            '"category_id": 1}]}',
            "annotations 1: no 'segmentation'",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "truth.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=f"truth.json.*{reason}"):
        coco_truth(path)


def test_without_ground_truth_ids_count_from_1(voc: VocDataset) -> None:
    assert ids_of(voc) == ({"im0": 1, "im1": 2}, [0, 1, 2])


def test_results_file_is_read_by_cocos_own_tools(voc: VocDataset, tmp_path: Path) -> None:
    """Both files on disk, and nothing of this package between them and the score."""
    truth = voc_truth(voc)
    gold, found = tmp_path / "instances.json", tmp_path / "results.json"
    gold.write_text(json.dumps(truth.dataset))
    results = label_file_instances(voc, voc.root / "SegmentationClass", ids_of(voc, truth))
    write_json(found, results)
    coco = COCO(str(gold))
    evaluation = COCOeval(coco, coco.loadRes(str(found)), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
    # An export of our own ground truth is as good as the folder it came from.
    again = average_precision(coco_truth(gold), results, [1, 2])
    assert again == pytest.approx(average_precision(truth, results, [1, 2]), nan_ok=True)


@pytest.fixture
def one(tmp_path: Path) -> tuple[VocDataset, Path, dict]:
    """An image with one square, its COCO file, and what is in the file."""
    mask = rectangle(10, 5, 30, 25).byte()
    root = write_voc(tmp_path / "voc", [mask], [[(5, 10, 25, 30, "dog")]], ("background", "dog"))
    square = {"id": 1, "image_id": 3, "category_id": 1, "iscrowd": 0, "area": 400}
    square |= {"bbox": [5, 10, 20, 20], "segmentation": [[5, 10, 25, 10, 25, 30, 5, 30]]}
    file = {
        "images": [{"id": 3, "file_name": "im0.png", "width": 60, "height": 40}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [square],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(file))
    return VocDataset(root, "val"), path, file


def ap_of(data: VocDataset, path: Path, file: dict) -> float:
    path.write_text(json.dumps(file))
    truth = find_truth(data, path)
    ids = ids_of(data, truth)
    results = label_file_instances(data, data.root / "SegmentationClass", ids)
    return average_precision(truth, results, ids.images.values())["ap"]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("annotations", {"id": 0}),
        ("annotations", {"id": "1", "image_id": "3", "category_id": 1.0}),
        ("annotations", {"iscrowd": ...}),
        ("annotations", {"area": ..., "bbox": ...}),
        ("annotations", {"segmentation": {"size": [40, 60], "counts": [0, 2400]}, "area": ...}),
        ("images", {"id": "3"}),
        ("images", {"file_name": "val2014\\\\im0.jpg", "width": 60.0}),
    ],
    ids=range(7),
)
def test_truths_by_other_programs_score_the_same(one, part, change):
    data, path, file = one
    entry = {**file[part][0], **change}
    file[part] = [{key: value for key, value in entry.items() if value is not ...}]
    whole = isinstance(change.get("segmentation"), dict)
    assert ap_of(data, path, file) == pytest.approx(0 if whole else 100)


def test_an_id_of_0_counts_as_any_other(one):
    data, path, file = one
    for key in ("images", "annotations", "categories"):
        file[key][0]["id"] = 0
    file["annotations"][0] |= {"image_id": 0, "category_id": 0}
    assert ap_of(data, path, file) == pytest.approx(100)


@pytest.mark.parametrize(
    ("part", "change", "reason"),
    [
        ("annotations", {"segmentation": []}, r"annotation 1: no segmentation to decode: it is \["),
        ("annotations", {"segmentation": [[1, 2, 3, 4]]}, "no polygon of three points"),
        ("annotations", {"area": None}, "annotation 1: area is null"),
        ("annotations", {"image_id": 4}, "annotation 1: there is no image 4"),
        ("images", {"width": 40, "height": 60}, r"image 'im0' has 40 x 60, but .* has 60 x 40"),
        ("images", {"file_name": "../im0.png"}, "is no file in the folder"),
        ("categories", {"name": None}, "category 1: name is null"),
    ],
    ids=range(7),
)
def test_truths_that_are_wrong_are_one_line(one, part, change, reason):
    data, path, file = one
    file[part][0] |= change
    with pytest.raises(DataError, match=reason) as caught:
        ap_of(data, path, file)
    assert "\n" not in str(caught.value)


def test_images_of_one_name(one):
    data, path, file = one
    file["images"].append({**file["images"][0], "id": 9, "file_name": "old/im0.png"})
    assert ap_of(data, path, file) == pytest.approx(100), "the one that an import calls im0"
    file["images"][0]["file_name"] = "new/im0.png"
    with pytest.raises(DataError, match="several images 'im0': new/im0.png, old/im0.png"):
        ap_of(data, path, file)


def test_two_classes_are_not_scored_as_one(one):
    data, path, file = one
    (data.root / "classes.txt").write_text("background\ndog\nDog\n")
    with pytest.raises(DataError, match="one class for 'dog' and 'Dog', which differ in spelling"):
        ap_of(VocDataset(data.root, data.split), path, file)


def test_classes_of_one_name(one):
    data, path, file = one
    file["categories"].append({"id": 2, "name": "Dog"})
    assert ap_of(data, path, file) == pytest.approx(100)
    file["categories"][0]["name"] = "DOG"
    with pytest.raises(DataError, match="several classes that could be 'dog': DOG, Dog"):
        ap_of(data, path, file)


def test_what_an_import_takes_is_found_again(one, tmp_path):
    data, path, file = one
    photo = tmp_path / "photos" / "camera 1" / "a b.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(data.image_path("im0").read_bytes())
    file["images"][0]["file_name"] = "camera 1/a b.png"
    path.write_text(json.dumps(file))
    import_boxes("coco", path, tmp_path / "photos", tmp_path / "out", "val")
    again = VocDataset(tmp_path / "out", "val")
    assert ids_of(again, find_truth(again, path)).images == {"camera_1_a_b": 3}
