"""Prediction files: VOC server's folders and archive, runs that go on, and wrong input."""

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from made_data import write_voc
from PIL import Image
from torch import nn

from bana.commands.main import main
from bana.crf.dense import CrfParameters
from bana.data.voc import PALETTE, DataError, read_image, read_mask
from bana.data.voc_files import EXIF_ORIENTATION
from bana.evaluation import export
from bana.evaluation.export import (
    folder_images,
    pack_results,
    passed_over,
    server_folder,
    split_images,
    write_predictions,
)
from bana.evaluation.prediction import SINGLE, View, predict
from bana.experiment import stages
from bana.networks.backbones import Backbone
from bana.networks.segmenter import Segmenter

SERVER = Path("results") / "VOC2012" / "Segmentation"


@pytest.fixture
def model() -> Segmenter:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU())
    return Segmenter(Backbone(body, 6, 4), nn.Identity(), 6, 2).eval()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images in VOC layout, of a split "test" without boxes and masks."""
    generator = torch.Generator().manual_seed(1)
    images = [torch.randint(256, (3, 20, 30 + n), generator=generator).byte() for n in range(3)]
    masks = [image[0] * 0 for image in images]
    classes = ("background", "cat", "dog")
    root = write_voc(tmp_path / "voc", masks, [[]] * 3, classes, images, ("train", "val", "test"))
    shutil.rmtree(root / "Annotations")
    shutil.rmtree(root / "SegmentationClass")
    return root


@pytest.fixture
def trained(model: Segmenter, monkeypatch) -> list[tuple]:
    """Calls of the stage that trains the segmenter, which is the fixture's model."""
    asked: list[tuple] = []
    monkeypatch.setattr(stages, "segmenter", lambda *words: asked.append(words) or model)
    return asked


def test_files_are_predictions_with_vocs_palette(model, root, tmp_path) -> None:
    images = split_images(root, "test")
    folder = server_folder(tmp_path / "out", "test")
    assert folder == tmp_path / "out" / SERVER / "comp6_test_cls"
    assert write_predictions(model, images, folder, SINGLE) == {}
    assert sorted(path.stem for path in folder.glob("*.png")) == sorted(images)
    for name, path in images.items():
        image = read_image(path)
        expected = predict(model, image).argmax(0).byte()
        assert torch.equal(read_mask(folder / f"{name}.png"), expected)
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.mode == "P" and picture.size == (image.shape[2], image.shape[1])
            assert np.array_equal(np.array(picture.getpalette()).reshape(-1, 3), PALETTE)


def test_run_goes_on_where_it_stopped(model, root, tmp_path, monkeypatch) -> None:
    images, folder = split_images(root, "test"), tmp_path / "out"
    write = export.write_mask

    def killed(path: Path, mask) -> None:
        if path.stem == "im1":
            raise KeyboardInterrupt
        write(path, mask)

    monkeypatch.setattr(export, "write_mask", killed)
    with pytest.raises(KeyboardInterrupt):
        write_predictions(model, images, folder, SINGLE)
    assert [path.name for path in folder.glob("*.png")] == ["im0.png"]
    written = []
    monkeypatch.setattr(export, "write_mask", lambda p, m: written.append(p.stem) or write(p, m))
    write_predictions(model, images, folder, SINGLE)
    write_predictions(model, images, folder, SINGLE)
    assert written == ["im1", "im2"]


@pytest.mark.parametrize("change", ["view", "crf", "image_scale", "weights"])
def test_other_predictions_are_never_taken_for_these(change, model, root, tmp_path) -> None:
    images, folder = split_images(root, "test"), tmp_path / "out"
    settings = {"view": SINGLE, "crf": None, "image_scale": 1.0}
    write_predictions(model, images, folder, **settings)
    if change == "weights":
        model.weight.data += 1
    else:
        other = {"view": View(flip=True), "crf": CrfParameters(iterations=1), "image_scale": 2.0}
        settings[change] = other[change]
    with pytest.raises(DataError, match="out: holds predictions of another network"):
        write_predictions(model, images, folder, **settings)


@pytest.fixture
def another(root, tmp_path) -> dict[str, Path]:
    """Another folder, with images of the same names and of other sizes."""
    folder = tmp_path / "camera b"
    folder.mkdir()
    for name in ("im0", "im1"):
        Image.new("RGB", (16, 12), (0, 200, 0)).save(folder / f"{name}.png")
    return folder_images(folder)


def test_another_folder_never_keeps_the_first_ones_masks(model, root, another, tmp_path) -> None:
    images, folder = split_images(root, "test"), tmp_path / "out"
    write_predictions(model, images, folder, SINGLE)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError, match=r"out: im0\.png is the prediction of .*voc.*, not of .*"):
        write_predictions(model, another, folder, SINGLE)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_mask_of_an_image_that_nobody_noted_is_not_taken(model, root, another, tmp_path) -> None:
    images, folder = split_images(root, "test"), tmp_path / "out"
    del images["im0"]
    write_predictions(model, images, folder, SINGLE)
    shutil.copy(folder / "im1.png", folder / "im0.png")
    with pytest.raises(DataError, match=r"im0\.png is the prediction of an image that nobody"):
        write_predictions(model, split_images(root, "test"), folder, SINGLE)


def test_an_edited_image_is_predicted_anew_and_a_moved_one_is_not(model, root, tmp_path) -> None:
    images, folder = split_images(root, "test"), tmp_path / "out"
    write_predictions(model, images, folder, SINGLE)
    times = {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    Image.new("RGB", (9, 7)).save(images["im1"])
    write_predictions(model, images, folder, SINGLE)
    assert read_mask(folder / "im1.png").shape == (7, 9)
    moved = root.rename(tmp_path / "moved")
    write_predictions(model, split_images(moved, "test"), folder, SINGLE)
    now = {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    assert {name for name in now if now[name] != times[name]} == {"im1"}


def test_folders_of_different_names_can_share_a_place(model, root, another, tmp_path) -> None:
    folder = tmp_path / "out"
    other = {f"b-{name}": path for name, path in another.items()}
    for images in (split_images(root, "test"), other, split_images(root, "test"), other):
        write_predictions(model, images, folder, SINGLE)
    assert read_mask(folder / "b-im0.png").shape == (12, 16)
    assert read_mask(folder / "im0.png").shape == (20, 30)


def test_unreadable_images_are_reported_and_passed_over(model, root, tmp_path) -> None:
    images = split_images(root, "test")
    images["im1"].write_bytes(b"no image")
    failed = write_predictions(model, images, tmp_path / "out", SINGLE)
    assert list(failed) == ["im1"] and failed["im1"].endswith("im1.png: not an image")
    assert sorted(p.stem for p in (tmp_path / "out").glob("*.png")) == ["im0", "im2"]


def test_archive_is_what_the_server_takes(model, root, tmp_path) -> None:
    images, out = split_images(root, "test"), tmp_path / "out"
    folder = server_folder(out, "test")
    write_predictions(model, images, folder, SINGLE)
    (folder / "other.png").write_bytes((folder / "im0.png").read_bytes())
    with tarfile.open(pack_results(out, "test", list(images))) as packed:
        names = packed.getnames()
        assert names == [(SERVER / "comp6_test_cls" / f"im{n}.png").as_posix() for n in range(3)]
        assert {entry.uname for entry in packed.getmembers()} == {""}
        stored = packed.extractfile(names[1]).read()
    assert stored == (folder / "im1.png").read_bytes()
    (folder / "im2.png").unlink()
    before = (out / "comp6_test_cls.tgz").read_bytes()
    with pytest.raises(DataError, match="im2.png: no such file; predict the whole split"):
        pack_results(out, "test", list(images))
    assert sorted(path.name for path in out.iterdir()) == ["comp6_test_cls.tgz", "results"]
    assert (out / "comp6_test_cls.tgz").read_bytes() == before


def test_images_of_a_folder(root, tmp_path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    with pytest.raises(DataError, match="pictures: no images"):
        folder_images(folder)
    for name in ("b.JPG", "a.png", "notes.txt", "c.WebP", "d.tif", "e.bmp", "._b.jpg", "f.gif"):
        (folder / name).touch()
    (folder / "more").mkdir()
    (folder / "more" / "g.jpg").touch()
    names = ["a.png", "b.JPG", "c.WebP", "d.tif", "e.bmp"]
    assert folder_images(folder) == {name[0]: folder / name for name in names}
    assert passed_over(folder) == ["f.gif", "more/", "notes.txt"]
    (folder / "a.jpeg").touch()
    with pytest.raises(DataError, match=r"a.png: has the name of a.jpeg"):
        folder_images(folder)
    with pytest.raises(DataError, match="none: no such folder"):
        folder_images(tmp_path / "none")


def test_command_predicts_a_split(root, tmp_path, trained, capsys) -> None:
    out = tmp_path / "out"
    words = ["predict", "--profile", "smoke", "--loss", "crf", "--out", str(out)]
    assert main([*words, "--split", "test", "--images", str(root)]) == 0
    assert capsys.readouterr().out.split() == [str(out / "comp6_test_cls.tgz")]
    ((profile, *rest),) = trained
    assert profile.name == "smoke" and rest == ["crf", None]


def test_command_predicts_a_folder(model, root, tmp_path, trained, capsys, monkeypatch) -> None:
    views = []
    write = export.write_predictions
    monkeypatch.setattr(
        export, "write_predictions", lambda *words: views.append(words[3:5]) or write(*words)
    )
    words = ["predict", "--profile", "smoke", "--images", str(root / "JPEGImages"), "--out"]
    assert main([*words, str(tmp_path / "a")]) == 0
    assert main([*words, str(tmp_path / "b"), "--multi-scale", "--crf"]) == 0
    profile = trained[0][0]
    several = View((0.5, 0.75, 1.0, 1.5), flip=True)
    assert views == [(SINGLE, None), (several, profile.test_crf)]
    assert capsys.readouterr().out.split() == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert len(list((tmp_path / "b").glob("*.png"))) == 3
    (root / "JPEGImages" / "more").mkdir()
    (root / "JPEGImages" / "film.gif").touch()
    assert main([*words, str(tmp_path / "a")]) == 0
    told = capsys.readouterr().err
    assert f"bana: note: passed over 2 things in {root / 'JPEGImages'}: film.gif, more/\n" in told


@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_command_passes_over_what_exif_turns(ending, root, tmp_path, trained, capsys) -> None:
    folder, out, exif = tmp_path / "photos", tmp_path / "out", Image.Exif()
    folder.mkdir()
    exif[EXIF_ORIENTATION] = 6
    Image.new("RGB", (20, 10)).save(folder / f"turned.{ending}", exif=exif)
    Image.new("RGB", (20, 10)).save(folder / f"upright.{ending}")
    (folder / "broken.jpg").write_bytes(b"no image")
    words = ["predict", "--profile", "smoke", "--images", str(folder), "--out", str(out)]
    assert main(words) == 1
    told = capsys.readouterr().err
    assert f"turned.{ending}: EXIF says to turn it (orientation 6): store it upright" in told
    assert "broken.jpg: not an image" in told
    assert [path.stem for path in out.glob("*.png")] == ["upright"]


def test_command_names_what_is_wrong_in_one_line_before_it_trains(
    root, tmp_path, trained, capsys
) -> None:
    words = ["predict", "--profile", "smoke", "--out", str(tmp_path / "out")]
    cases = {
        "predict what": [],
        "no such folder": ["--images", str(tmp_path / "none")],
        "no such split; there is": ["--images", str(root), "--split", "nothing"],
    }
    same = tmp_path / "out"
    same.mkdir()
    cases["is the folder of images"] = ["--images", str(same)]
    for reason, more in cases.items():
        assert main([*words, *more]) == 2
        told = capsys.readouterr().err
        assert reason in told and told.count("\n") == 1
    assert trained == []
    (root / "JPEGImages" / "im0.png").write_bytes(b"")
    assert main([*words, "--split", "test", "--images", str(root)]) == 1
    assert "im0.png: not an image" in capsys.readouterr().err
    assert not (tmp_path / "out" / "comp6_test_cls.tgz").exists()
