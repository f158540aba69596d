"""VOC 2012 with SBD, VOC 2007: small archives of the same structure, served by the tests."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from servers import flaky_server
from torchvision.datasets import SBDataset, VOCSegmentation
from torchvision.datasets.voc import DATASET_YEAR_DICT

from bana.data import pascal
from bana.data.annotations import Annotation, write_annotation
from bana.data.pascal import prepare_voc2007, prepare_voc2012, train_aug
from bana.data.verify import verify
from bana.data.voc import DataError, VocDataset
from bana.data.voc_files import (
    read_mask,
    write_mask,
)

SIZE = (12, 10)
VOC_TRAIN, VOC_VAL = ("a", "b"), ("c", "d")
# SBD's own lists know nothing of VOC's: it trains on one of VOC's val and validates on VOC's train.
SBD_TRAIN, SBD_VAL = ("e", "c"), ("b", "f")


def tarred(folder: Path, mode: str) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode) as made:
        for path in sorted(folder.iterdir()):
            made.add(path, path.name)
    return memory.getvalue()


def write_voc(root: Path, names: str, splits: dict[str, tuple[str, ...]]) -> None:
    for number, name in enumerate(names):
        path = root / "JPEGImages" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, (number, 0, 0)).save(path)
        annotation = Annotation([("cat", [1, 1, 5, 5])], [], SIZE)
        write_annotation(root / "Annotations" / f"{name}.xml", annotation, "VOC")
    for split, ids in splits.items():
        path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(ids) + "\n")
        for name in ids:
            mask = np.zeros(SIZE[::-1], np.uint8)
            mask[:5, :5] = 8
            write_mask(root / "SegmentationClass" / f"{name}.png", mask)


@pytest.fixture
def voc2012(tmp_path: Path) -> Path:
    folder = tmp_path / "voc"
    splits = {"train": VOC_TRAIN, "val": VOC_VAL}
    write_voc(folder / "VOCdevkit" / "VOC2012", "abcdef", splits)
    return folder


@pytest.fixture
def sbd(tmp_path: Path) -> Path:
    savemat = pytest.importorskip("scipy.io", reason="scipy is not installed").savemat
    folder = tmp_path / "sbd"
    root = folder / "benchmark_RELEASE" / "dataset"
    for part in ("cls", "img", "inst"):
        (root / part).mkdir(parents=True)
    for split, names in (("train", SBD_TRAIN), ("val", SBD_VAL)):
        (root / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            mask = np.zeros(SIZE[::-1], np.uint8)
            mask[2, 1:4] = 8
            content = {"Segmentation": mask, "CategoriesPresent": np.array([8], np.uint8)}
            savemat(root / "cls" / f"{name}.mat", {"GTcls": content})
    return folder


@pytest.fixture
def served(voc2012, sbd, monkeypatch):
    """Gives a function that packs the two folders as they are and puts them on a server."""
    with flaky_server() as server:

        def serve():
            one = server.offer(DATASET_YEAR_DICT["2012"]["filename"], tarred(voc2012, "w"))
            entry = {**DATASET_YEAR_DICT["2012"], "url": one.url, "md5": one.md5}
            monkeypatch.setitem(DATASET_YEAR_DICT, "2012", entry)
            two = server.offer("benchmark.tgz", tarred(sbd, "w:gz"))
            monkeypatch.setattr(SBDataset, "url", two.url)
            monkeypatch.setattr(SBDataset, "md5", two.md5)
            return server

        yield serve


def test_addresses_and_checksums_are_torchvisions():
    archive = pascal._voc_archive("2007-test")
    assert archive.filename == "VOCtest_06-Nov-2007.tar"
    assert archive.md5 == DATASET_YEAR_DICT["2007-test"]["md5"]


def test_train_aug():
    assert train_aug(VOC_TRAIN, VOC_VAL, [SBD_TRAIN, SBD_VAL]) == ["a", "b", "e", "f"]


def test_voc2012(served, tmp_path):
    server = served()
    out = tmp_path / "out"
    root = prepare_voc2012(out, expected=4)
    dataset = VocDataset(root, "train_aug")
    assert dataset.ids == ["a", "b", "e", "f"]
    assert VocDataset(out, "train_aug").root == root
    # VOC's own masks are as they were, SBD's are only where VOC has none.
    assert sorted(path.stem for path in (root / "SegmentationClass").iterdir()) == list("abcd")
    augmented = root / "SegmentationClassAug"
    assert sorted(path.name for path in augmented.iterdir()) == ["e.png", "f.png"]
    assert read_mask(augmented / "e.png").sum(dim=1).tolist() == [0, 0, 24] + 7 * [0]
    assert (dataset[1]["mask"][:5, :5] == 8).all() and dataset[2]["mask"].sum() == 24
    assert verify(root).findings == []
    # torchvision's own classes read the same folders.
    assert len(VOCSegmentation(str(out), image_set="val")) == 2
    assert len(SBDataset(str(out / "SBD"), image_set="val", mode="segmentation")) == 2

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert prepare_voc2012(out, expected=4) == root
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before
    assert len(server.requests) == 2


def test_interrupted_preparation_goes_on(served, tmp_path, monkeypatch):
    server = served()
    out = tmp_path / "out"

    def killed(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pascal, "write_mask", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_voc2012(out, expected=4)
    lists = out / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    assert not (lists / "train_aug.txt").exists()
    assert len(VocDataset(prepare_voc2012(out, expected=4), "train_aug")) == 4
    assert len(server.requests) == 2


def test_another_number_of_photographs_is_an_error(served, tmp_path):
    served()
    with pytest.raises(DataError, match=r"train_aug has 4 photographs, not 10582"):
        prepare_voc2012(tmp_path / "out")
    root = tmp_path / "out" / "VOCdevkit" / "VOC2012"
    assert not (root / "ImageSets" / "Segmentation" / "train_aug.txt").exists()


def test_missing_files_are_told_one_by_one(served, voc2012, sbd, tmp_path, capsys):
    root = voc2012 / "VOCdevkit" / "VOC2012"
    (root / "Annotations" / "e.xml").unlink()
    (root / "JPEGImages" / "f.jpg").unlink()
    # VOC has a mask of b, so that SBD's is not needed, but none of e.
    for name in "be":
        (sbd / "benchmark_RELEASE" / "dataset" / "cls" / f"{name}.mat").unlink()
    served()
    with pytest.raises(DataError, match="3 files are missing, the first is .*f.jpg"):
        prepare_voc2012(tmp_path / "out", expected=4)
    missing = [line for line in capsys.readouterr().out.splitlines() if line.startswith("missing")]
    assert [Path(line).name for line in missing] == ["f.jpg", "e.xml", "e.mat"]


def test_damaged_masks_of_sbd(served, voc2012, sbd, tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    path = sbd / "benchmark_RELEASE" / "dataset" / "cls" / "e.mat"
    good = path.read_bytes()
    for damage in (b"", b"no mat", good[: len(good) // 2]):
        path.write_bytes(damage)
        with pytest.raises(DataError, match=r"e\.mat: no mask of SBD"):
            pascal.read_sbd_mask(path)
    savemat(path, {"GTcls": {"Segmentation": np.zeros((3, 3), np.uint8)}})
    served()
    with pytest.raises(DataError, match=r"e\.mat: mask of \[3, 3\], unlike"):
        prepare_voc2012(tmp_path / "out", expected=4)


def test_without_scipy_nothing_is_fetched(served, tmp_path, monkeypatch):
    server = served()
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    with pytest.raises(DataError, match=r"need scipy: pip install -e \.\[data\]"):
        prepare_voc2012(tmp_path / "out")
    assert server.requests == [] and not (tmp_path / "out").exists()


def test_voc2007(tmp_path, monkeypatch):
    with flaky_server() as server:
        for part, name, split in (("2007", "a", "train"), ("2007-test", "b", "test")):
            folder = tmp_path / part
            write_voc(folder / "VOCdevkit" / "VOC2007", name, {split: (name,)})
            entry = DATASET_YEAR_DICT[part]
            offered = server.offer(entry["filename"], tarred(folder, "w"))
            entry = {**entry, "url": offered.url, "md5": offered.md5}
            monkeypatch.setitem(DATASET_YEAR_DICT, part, entry)
        root = prepare_voc2007(tmp_path / "out")
        prepare_voc2007(tmp_path / "out")
        assert len(server.requests) == 2
    assert VocDataset(root, "train").ids == ["a"] and VocDataset(root, "test").ids == ["b"]
    assert "mask" in VocDataset(root, "test")[0]
