"""Label files: what each variant is, what lies in the files, and what a killed run leaves."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from processes import watched
from tiny import random_classifier
from torch import Tensor, nn
from torchvision import tv_tensors

from bana.baselines import filled_boxes, grabcut, grown_middles, refined_boxes
from bana.crf.dense import CrfParameters
from bana.data.boxes import box_masks
from bana.data.sample.make import make_sample
from bana.data.transforms import eval_image
from bana.data.voc import IGNORE, PALETTE, DataError, VocDataset, read_mask
from bana.experiment import labelling
from bana.experiment.labelling import (
    VARIANTS,
    Crew,
    LabelJob,
    LabelSettings,
    check_devices,
    label_batches,
    label_settings,
    labelled,
    make_label_files,
)
from bana.experiment.profiles import Profile, get_profile
from bana.experiment.stages import image_labels
from bana.labels import pseudo_labels
from bana.networks.backbones import Backbone
from bana.networks.classifier import BoxClassifier
from bana.training.runs import RunError

STRIDE = 8
CLASSIFIED = [variant for variant, recipe in VARIANTS.items() if recipe]


@pytest.fixture(autouse=True)
def over_in_time() -> Iterator[None]:
    with watched():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_sample(tmp_path_factory.mktemp("data") / "sample", 0, train=3, val=2)


@pytest.fixture(scope="module")
def data(root: Path) -> VocDataset:
    return VocDataset(root, "train")


@pytest.fixture(scope="module")
def model(data: VocDataset) -> BoxClassifier:
    return random_classifier(len(data.classes) - 1)


@pytest.fixture
def profile() -> Profile:
    return replace(get_profile("smoke"), label_crf=CrfParameters(iterations=2), label_workers=1)


@pytest.fixture
def start(monkeypatch) -> Callable[[LabelJob], None]:
    """Makes this process a labelling process; threads stay as they are."""
    return lambda job: monkeypatch.setattr(labelling, "_job", job)


def settings_of(profile: Profile, variant: str) -> LabelSettings:
    settings = profile.unary, profile.label_crf, profile.box_inside, profile.image_scale
    return label_settings(variant, *settings)


def boxes_of(item: dict) -> tuple[Tensor, Tensor]:
    return item["boxes"].as_subclass(Tensor), item["labels"]


@pytest.mark.parametrize("variant", CLASSIFIED)
def test_labels_of_one_image(variant: str, profile, model, data) -> None:
    item = data[0]
    before = {key: item[key].clone() for key in ("image", "boxes", "labels")}
    made = image_labels(profile, model, item, variant)
    boxes, classes = boxes_of(item)
    size = item["image"].shape[1:]
    covered = filled_boxes(boxes, classes, *size) > 0
    for label in (made.y_crf, made.y_ret):
        assert label.shape == size and label.dtype == torch.uint8
        assert not label[~covered].any()
        assert set(label.unique().tolist()) <= {0, *classes.tolist()}
    assert not made.unary.requires_grad
    assert all(torch.equal(item[key], value) for key, value in before.items())


def test_a_baseline_that_nobody_wrote_is_not_filled_boxes() -> None:
    boxes, classes = torch.tensor([[1.0, 1, 6, 6]]), torch.tensor([1])
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match="'mine': `_baseline` does not say how to make them"):
        labelling._baseline(LabelSettings("mine"), image, boxes, classes)


def test_variants_differ_in_u_0_alone(profile, model, data) -> None:
    profile = replace(profile, unary=replace(profile.unary, background_threshold=0.0))
    item = data[0]
    covered = filled_boxes(*boxes_of(item), *item["image"].shape[1:]) > 0
    made = {variant: image_labels(profile, model, item, variant) for variant in CLASSIFIED}
    assert torch.equal(made["gap"].unary, made["bap-no-u0"].unary)
    # Inside the boxes the unary is a softmax, so that ratios of channels are exp(u_c - u_0).
    with_u0, without = (made[v].unary[:, covered] for v in ("bap", "gap"))
    u_0 = (without[1:] / without[:1]).log() - (with_u0[1:] / with_u0[:1]).log()  # [C, pixels]
    expected = made["bap"].attention[covered].expand_as(u_0)
    torch.testing.assert_close(u_0, expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.01


@pytest.mark.parametrize("variant", CLASSIFIED)
@pytest.mark.parametrize("image_scale", [1.0, 1.5])
def test_variants_are_pseudo_labels_with_another_unary(
    variant: str, image_scale: float, profile, model, data
) -> None:
    profile = replace(profile, image_scale=image_scale)
    item = data[1]
    background = "attention" if variant == "bap" else "none"
    with torch.no_grad():
        expected = pseudo_labels(
            model.backbone(eval_image(item, image_scale)[None])[0],
            model.weight,
            item["image"].as_subclass(Tensor),
            *boxes_of(item),
            replace(profile.unary, background=background),
            profile.label_crf,
            STRIDE / image_scale,
        )
    made = image_labels(profile, model, item, variant)
    assert all(torch.equal(one, other) for one, other in zip(made, expected, strict=True))


@pytest.mark.parametrize("image_scale", [1.0, 1.5, 2.0])
def test_labels_lie_where_the_object_is(image_scale: float, profile) -> None:
    look = nn.Conv2d(3, 3, 1, stride=4, bias=False)
    look.weight.data = torch.eye(3).view(3, 3, 1, 1)
    backbone = Backbone(nn.Sequential(look, nn.ReLU()), 3, 4, (0.0,) * 3, (1.0,) * 3)
    model = BoxClassifier(backbone, 1).eval()
    model.weight.data = torch.eye(3)[[2, 0]]  # background is blue, class 1 is red
    image = torch.zeros(3, 64, 96, dtype=torch.uint8)
    image[2] = 200
    image[:, 20:40, 50:74] = torch.tensor([220, 0, 0], dtype=torch.uint8).view(3, 1, 1)
    item = {
        "id": "a",
        "image": tv_tensors.Image(image),
        "boxes": tv_tensors.BoundingBoxes(
            [[38.0, 8.0, 86.0, 52.0]], format="XYXY", canvas_size=(64, 96)
        ),
        "labels": torch.tensor([1]),
    }
    made = image_labels(replace(profile, image_scale=image_scale), model, item)
    square = image[0] > 0
    assert (made.y_crf == 1).equal(square)
    likely = made.unary[1] > made.unary[0]
    assert (likely & square).sum() / (likely | square).sum() > 0.8


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - set(CLASSIFIED)))
def test_labels_without_a_classifier_are_refused(variant: str, profile, model, data) -> None:
    with pytest.raises(ValueError, match=f"{variant!r} are not made by a classifier"):
        image_labels(profile, model, data[0], variant)
    with pytest.raises(ValueError, match="unknown labels 'wssl': use one of boxes"):
        image_labels(profile, model, data[0], "wssl")


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_files_of_one_image(variant: str, profile, model, data, start, tmp_path) -> None:
    job = LabelJob(
        settings_of(profile, variant), data, model if VARIANTS[variant] else None, tmp_path
    )
    start(job)
    assert labelling._label_batch([2]) == {}
    item = data[2]
    if variant in CLASSIFIED:
        made = image_labels(profile, model, item, variant)
        expected = {"Y_crf": made.y_crf, "Y_ret": made.y_ret}
    elif variant == "boxes":
        expected = {"Y_crf": filled_boxes(*boxes_of(item), *item["image"].shape[1:])}
    elif variant == "boxes-crf":
        image, inside = item["image"].as_subclass(Tensor), profile.box_inside
        expected = {"Y_crf": refined_boxes(image, *boxes_of(item), profile.label_crf, inside)}
        assert not torch.equal(
            expected["Y_crf"], filled_boxes(*boxes_of(item), *item["image"].shape[1:])
        )
    elif variant == "boxes-middle":
        image = item["image"].as_subclass(Tensor)
        expected = {"Y_crf": grown_middles(image, *boxes_of(item), profile.label_crf)}
    else:
        expected = {"Y_crf": grabcut(item["image"].as_subclass(Tensor), *boxes_of(item))}
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert written == {f"{kind}/{item['id']}.png" for kind in expected}
    for kind, label in expected.items():
        assert torch.equal(read_mask(tmp_path / kind / f"{item['id']}.png"), label)


@pytest.mark.parametrize("killed_at", ["Y_ret", "Y_crf"])
def test_image_counts_as_finished_only_when_all_is_written(
    killed_at: str, profile, model, data, start, tmp_path, monkeypatch
) -> None:
    start(LabelJob(settings_of(profile, "bap"), data, model, tmp_path))
    write = labelling.write_mask

    def killed(path: Path, mask: Tensor) -> None:
        if path.parent.name == killed_at:
            raise KeyboardInterrupt
        write(path, mask)

    monkeypatch.setattr(labelling, "write_mask", killed)
    with pytest.raises(KeyboardInterrupt):
        labelling._label_batch([0])
    written = {path.parent.name for path in tmp_path.rglob("*.png")}
    assert written == (set() if killed_at == "Y_ret" else {"Y_ret"})


def test_label_process_that_was_not_started_says_so(monkeypatch) -> None:
    monkeypatch.setattr(labelling, "_job", None)
    with pytest.raises(AssertionError, match="not started"):
        labelling._label_batch([0])


def test_few_images_are_labelled_without_helpers(
    profile, model, data, tmp_path, monkeypatch
) -> None:
    threads = torch.get_num_threads()
    used = []
    label = labelling._label_batch
    monkeypatch.setattr(
        labelling, "_label_batch", lambda batch: used.append(labelling._job.model) or label(batch)
    )
    job = LabelJob(settings_of(profile, "bap"), data, model, tmp_path / "here")
    monkeypatch.setattr(labelling, "ProcessPoolExecutor", None)  # would fail if it were called
    assert make_label_files(job, [[0], [2]], Crew(2)) == {}
    assert torch.get_num_threads() == threads
    assert len(used) == 2 and model not in used  # which would move to the device
    assert labelling._job is None  # or its classifier would stay in memory
    made = label_files(job.folder)
    assert len(made) == 4
    monkeypatch.undo()
    monkeypatch.setattr(labelling, "IMAGES_A_PROCESS", 1)
    make_label_files(job._replace(folder=tmp_path / "there"), [[0], [2]], Crew(2))
    assert label_files(tmp_path / "there") == made


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few images there are, processes are started for them."""
    monkeypatch.setattr(labelling, "IMAGES_A_PROCESS", 0)


def test_files_of_several_processes(profile, data, helpers, tmp_path) -> None:
    job = LabelJob(settings_of(profile, "boxes"), data, None, tmp_path)
    names = [data.ids[2], data.ids[0]]
    assert make_label_files(job, [[2], [0]], Crew(2)) == {}
    assert sorted(path.stem for path in tmp_path.glob("Y_crf/*")) == sorted(names)
    assert not (tmp_path / "Y_ret").exists()
    for number in (0, 2):
        item = data[number]
        path = tmp_path / "Y_crf" / f"{item['id']}.png"
        with Image.open(path) as picture:
            assert picture.mode == "P"
            assert np.array_equal(np.array(picture.getpalette()).reshape(-1, 3), PALETTE)
            assert picture.size == tuple(item["image"].shape[:0:-1])
        expected = filled_boxes(*boxes_of(item), *item["image"].shape[1:])
        assert torch.equal(read_mask(path), expected)


@pytest.mark.parametrize("few", [True, False], ids=["here", "in processes"])
def test_failures_are_in_the_order_of_the_data(
    few: bool, profile, data, tmp_path, monkeypatch
) -> None:
    name = "_label_here" if few else "_label_in_processes"
    made = {data.ids[number]: "unreadable" for number in (2, 0)}
    monkeypatch.setattr(labelling, "IMAGES_A_PROCESS", 8 * few)
    monkeypatch.setattr(labelling, name, lambda *job: made)
    job = LabelJob(settings_of(profile, "boxes"), data, None, tmp_path)
    assert list(make_label_files(job, [[2], [0]], Crew(2))) == [data.ids[0], data.ids[2]]


def label_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*.png")}


def test_batches_are_of_one_size_and_do_not_depend_on_what_is_done(root: Path) -> None:
    data = VocDataset(root, "train")
    assert label_batches(data, 1) == [[0], [1], [2]]
    sizes = dict(zip(data.ids, [(3, 4), (5, 4), (3, 4)], strict=True))
    data.image_size = sizes.__getitem__
    assert label_batches(data, 2) == [[0, 2], [1]]
    assert label_batches(data, 9) == [[0, 2], [1]]


def test_image_of_unknown_size_is_alone(root: Path, monkeypatch) -> None:
    data = VocDataset(root, "train")
    real = data.image_size

    def size(name: str) -> tuple[int, int]:
        if name == data.ids[1]:
            raise DataError("damaged")
        return real(name)

    monkeypatch.setattr(data, "image_size", size)
    assert sorted(label_batches(data, 3)) == [[0, 2], [1]]


def test_batch_gives_the_labels_of_single_images(profile, model, data, start, tmp_path) -> None:
    start(LabelJob(settings_of(profile, "bap"), data, model, tmp_path / "one"))
    for number in range(3):
        labelling._label_batch([number])
    start(LabelJob(settings_of(profile, "bap"), data, model, tmp_path / "three"))
    labelling._label_batch([0, 1, 2])
    assert label_files(tmp_path / "one") == label_files(tmp_path / "three")


def test_unreadable_image_is_skipped_and_the_rest_of_its_batch_labelled(
    profile, model, data, start, tmp_path, monkeypatch
) -> None:
    real = VocDataset.__getitem__

    def read(self: VocDataset, index: int) -> dict:
        if index == 1:
            raise DataError("b.jpg: cannot be read as an image")
        return real(self, index)

    monkeypatch.setattr(VocDataset, "__getitem__", read)
    start(LabelJob(settings_of(profile, "bap"), data, model, tmp_path))
    assert labelling._label_batch([0, 1, 2]) == {data.ids[1]: "b.jpg: cannot be read as an image"}
    assert labelling._label_batch([1]) == {data.ids[1]: "b.jpg: cannot be read as an image"}
    assert labelled(data, tmp_path).ids == [data.ids[0], data.ids[2]]


def test_finished_image_of_a_batch_is_left_alone(profile, model, data, start, tmp_path) -> None:
    start(LabelJob(settings_of(profile, "bap"), data, model, tmp_path))
    labelling._label_batch([0, 1])
    path = tmp_path / "Y_crf" / f"{data.ids[0]}.png"
    path.write_bytes(b"finished")
    labelling._label_batch([0, 1, 2])
    assert path.read_bytes() == b"finished"
    assert labelled(data, tmp_path).ids == data.ids


def test_crowds_reach_the_labels_of_a_classifier(profile, model, data) -> None:
    item = dict(data[0])
    height, width = item["image"].shape[1:]
    item["crowds"] = torch.tensor([[0.0, 0.0, width / 2, height]])
    with torch.no_grad():
        expected = pseudo_labels(
            model.backbone(eval_image(item)[None])[0],
            model.weight,
            item["image"].as_subclass(Tensor),
            *boxes_of(item),
            profile.unary,
            profile.label_crf,
            STRIDE,
            item["crowds"],
        )
    made = image_labels(profile, model, item)
    assert all(torch.equal(one, other) for one, other in zip(made, expected, strict=True))
    assert made.y_crf.eq(IGNORE).any()


@pytest.mark.parametrize("variant", ["boxes", "boxes-crf"])
def test_crowds_outside_the_boxes_are_ignored(
    variant: str, profile, data, start, tmp_path, monkeypatch
) -> None:
    real = VocDataset.__getitem__
    size = data.image_size(data.ids[0])
    crowd = torch.tensor([[0.0, 0.0, size[1] / 2, size[0]]])

    def read(self: VocDataset, index: int) -> dict:
        box = tv_tensors.BoundingBoxes(crowd, format="XYXY", canvas_size=size)
        return {**real(self, index), "crowds": box}

    def made() -> dict[str, Tensor]:
        start(LabelJob(settings_of(profile, variant), data, None, tmp_path))
        labelling._label_batch([0])
        return {f.parent.name: read_mask(f) for f in sorted(tmp_path.glob(f"*/{data.ids[0]}.png"))}

    without = made()
    for path in tmp_path.glob("*/*.png"):
        path.unlink()
    monkeypatch.setattr(VocDataset, "__getitem__", read)
    boxes, _ = boxes_of(data[0])
    ignored = box_masks(crowd, *size)[0] & ~box_masks(boxes, *size).any(0)
    assert ignored.any() and not ignored.all()
    for kind, label in made().items():
        assert torch.equal(label, without[kind].masked_fill(ignored, IGNORE))


@pytest.mark.parametrize("change", [{"processes": 0}, {"devices": ()}, {"batch": 0}])
def test_empty_crew_is_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Crew(**change)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cpu:1", "cpu:-3", "cuda:-1", "cuda:a"])
def test_device_that_is_not_there_is_named(device: str) -> None:
    check_devices(Crew(devices=("cpu",)))
    with pytest.raises(ValueError, match=f"no device '{device}' here"):
        check_devices(Crew(devices=("cpu", device)))


class Deadly(VocDataset):
    """Images that nobody survives reading."""

    def __getitem__(self, index: int) -> dict:
        os._exit(9)


def test_process_ended_from_outside_is_told_in_one_line(profile, root, helpers, tmp_path) -> None:
    job = LabelJob(settings_of(profile, "boxes"), Deadly(root, "train"), None, tmp_path)
    with pytest.raises(RunError, match="perhaps for want of memory: use fewer than 1 --workers"):
        make_label_files(job, [[0]], Crew(1))


def test_only_what_is_unfinished_of_these_images_is_removed(profile, data, tmp_path) -> None:
    folder = tmp_path / "Y_crf"
    folder.mkdir()
    own, others = (folder / f".{data.ids[i]}.png.123.tmp" for i in (0, 1))
    for path in (own, others):
        path.touch()
    labelling._remove_unfinished(
        LabelJob(settings_of(profile, "boxes"), data, None, tmp_path), [[0], [2]]
    )
    assert not own.exists() and others.exists()


def label_all(job: LabelJob) -> None:
    """What a killed process does: all images in turn, half-written files cleared before."""
    torch.set_num_threads(1)
    labelling._job = job
    for number in range(len(job.data)):
        labelling._label_batch([number])


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has used torch")
def test_labels_after_twenty_kills_are_those_of_an_unbroken_run(
    profile, model, root, tmp_path
) -> None:
    # Forked, with torch on one thread, so that twenty starts do not import torch twenty times.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    data = VocDataset(root, "train")
    unbroken, broken = (
        LabelJob(settings_of(profile, "bap"), data, model, tmp_path / n) for n in "ab"
    )
    start = time.perf_counter()
    label_all(unbroken)
    whole = time.perf_counter() - start
    random = np.random.default_rng(0)
    context = multiprocessing.get_context("fork")
    for _ in range(20):
        process = context.Process(target=label_all, args=(broken,))
        process.start()
        # Long enough to get somewhere, and now and then to the end.
        time.sleep(whole * random.uniform(0, 0.6))
        process.kill()
        process.join()
        for name in labelled(data, broken.folder).ids:
            for kind in ("Y_crf", "Y_ret"):
                read_mask(broken.folder / kind / f"{name}.png")  # whole, or it would raise
    label_all(broken)
    torch.set_num_threads(threads)
    assert label_files(broken.folder) == label_files(unbroken.folder)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_helpers_of_a_killed_process_end_with_it(root: Path, tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from bana.experiment.labelling import Crew, LabelJob, LabelSettings, make_label_files
        from bana.data.voc import VocDataset
        if __name__ == "__main__":
            data = VocDataset(sys.argv[1], "train")
            job = LabelJob(LabelSettings("grabcut"), data, None, Path(sys.argv[2]))
            make_label_files(job, [[0], [1], [2]] * 10_000, Crew(2))
    """
    script = tmp_path / "script.py"
    script.write_text(code)
    process = psutil.Popen([sys.executable, script, root, tmp_path / "labels"])
    deadline = time.monotonic() + 60
    while not labelled(VocDataset(root, "train"), tmp_path / "labels").ids:
        assert process.is_running() and time.monotonic() < deadline
        time.sleep(0.05)
    helpers = process.children(recursive=True)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(helpers, timeout=20)
    assert len(gone) >= 1 and not alive


def test_process_that_fails_says_why(profile, model, data, helpers, tmp_path) -> None:
    # The model reaches the process whole; its weights know fewer classes than the data set.
    small = BoxClassifier(model.backbone, 1)
    job = LabelJob(settings_of(profile, "bap"), data, small, tmp_path)
    with pytest.raises(ValueError, match=r"classes must be in 1\.\.1"):
        make_label_files(job, [[0]], Crew(1))
    assert not list(tmp_path.rglob("*.png"))
