"""PASCAL VOC 2012 with SBD, and VOC 2007: addresses and checksums are torchvision's.

The archives are unpacked to where torchvision's own classes look for them: VOCdevkit/VOC2012,
VOCdevkit/VOC2007 and SBD in one folder.

`train_aug`, what everybody trains on, is not a file that anybody official offers. It is computed:
SBD's photographs (train and val) and VOC's train, without VOC's val. All of them are photographs of
VOC 2012, whose Annotations have their boxes, which is all that the method learns from. SBD's masks
serve only to measure labels. They go to SegmentationClassAug and VOC's own SegmentationClass stays
as it is; `bana.data.voc.VocDataset` looks there first, since VOC's masks are the finer ones
(SBD's have no 255 along the outlines).
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from torchvision.datasets import SBDataset
from torchvision.datasets.voc import DATASET_YEAR_DICT

from bana.data.downloads import Archive, install
from bana.data.layout import write_split
from bana.data.voc import VocDataset
from bana.data.voc_files import DataError, image_size, write_mask
from bana.files.alone import alone_in
from bana.files.parallel import mapped
from bana.files.unfinished import is_filled, remove_unfinished

TRAIN_AUG = 10_582
MEGABYTES = {"2012": 2_000, "2007": 460, "2007-test": 451, "sbd": 1_420}


def prepare_voc2012(out: Path, expected: int = TRAIN_AUG, workers: int | None = None) -> Path:
    """Fetch VOC 2012 and SBD, compute `train_aug`, and write SBD's masks.

    What is there already is not made again, so that an interrupted call is simply repeated.

    Args:
        out: folder of the archives and of what is in them, 7 GB.
        expected: number of photographs in train_aug.
        workers: processes that write masks; None takes as many as there are cores, at most 8.

    Returns:
        The folder in VOC layout, `out`/VOCdevkit/VOC2012.

    Raises:
        DataError: when scipy is not installed; when an archive cannot be had; when the list has
            another length; when a file of one of its photographs is missing (all are printed).
    """
    _loadmat()
    install(_voc_archive("2012"), out)
    sbd = out / "SBD"
    archive = Archive(SBDataset.url, SBDataset.filename, SBDataset.md5, MEGABYTES["sbd"])
    install(archive, sbd, "benchmark_RELEASE/dataset")
    root = out / "VOCdevkit" / "VOC2012"
    train, val = (VocDataset(root, split) for split in ("train", "val"))
    names = train_aug(
        train.ids, val.ids, (_ids(sbd / f"{split}.txt") for split in ("train", "val"))
    )
    if len(names) != expected:
        raise DataError(
            f"train_aug has {len(names)} photographs, not {expected}: the lists in {sbd} or in "
            f"{root / 'ImageSets'} are not the published ones"
        )
    masks = {
        name: sbd / "cls" / f"{name}.mat"
        for name in names
        if not (root / "SegmentationClass" / f"{name}.png").exists()
    }
    _check_files(train, names, masks)
    with alone_in(root):
        remove_unfinished(root / "SegmentationClassAug")
        todo = {name: path for name, path in masks.items() if not is_filled(train.mask_path(name))}
        for _ in mapped(
            partial(_write_sbd_mask, train), list(todo.items()), "SBD's masks", workers
        ):
            pass
        write_split(root, "train_aug", names)
    return root


def prepare_voc2007(out: Path) -> Path:
    """Fetch VOC 2007, trainval and test.

    Args:
        out: folder of the archives and of what is in them, 2 GB.

    Returns:
        The folder in VOC layout, `out`/VOCdevkit/VOC2007, with the segmentation splits train, val,
        trainval and test.

    Raises:
        DataError: when an archive cannot be had.
    """
    for part in ("2007", "2007-test"):
        install(_voc_archive(part), out)
    return out / "VOCdevkit" / "VOC2007"


def train_aug(
    train: Iterable[str], val: Iterable[str], others: Iterable[Iterable[str]]
) -> list[str]:
    """Compute the augmented training list: everything that is not in VOC's val.

    Args:
        train: ids of VOC's train.
        val: ids of VOC's val.
        others: the lists of SBD.

    Returns:
        The ids, sorted, each once.
    """
    return sorted(set(train).union(*others) - set(val))


def read_sbd_mask(path: Path) -> np.ndarray:
    """Read the class mask in one of SBD's .mat files.

    Args:
        path: cls/<id>.mat.

    Returns:
        uint8 [H, W], 0 to 20.

    Raises:
        DataError: when scipy is not installed, or the file is missing or damaged.
    """
    try:
        mask = _loadmat()(str(path))["GTcls"][0]["Segmentation"][0]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    # scipy tells damage in many ways, bare Exceptions among them.
    except Exception as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: no mask of SBD ({error!r})") from error
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise DataError(f"{path}: no mask of SBD but {mask.dtype} {list(mask.shape)}")
    return mask


def _voc_archive(year: str) -> Archive:
    entry = DATASET_YEAR_DICT[year]
    return Archive(entry["url"], entry["filename"], entry["md5"], MEGABYTES[year])


def _loadmat():
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise DataError("SBD's masks need scipy: pip install -e .[data]") from error
    return loadmat


def _ids(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; SBD is not complete") from error


def _check_files(dataset: VocDataset, names: list[str], masks: dict[str, Path]) -> None:
    """Print every file that is missing, and raise where there is one: nothing is made up."""
    needed = [dataset.image_path(name) for name in names]
    needed += [dataset.annotation_path(name) for name in names]
    missing = [path for path in (*needed, *masks.values()) if not path.exists()]
    for path in missing:
        print(f"missing: {path}")
    if missing:
        raise DataError(f"train_aug: {len(missing)} files are missing, the first is {missing[0]}")


def _write_sbd_mask(dataset: VocDataset, one: tuple[str, Path]) -> None:
    name, path = one
    mask = read_sbd_mask(path)
    if mask.shape != image_size(dataset.image_path(name)):
        raise DataError(f"{path}: mask of {list(mask.shape)}, unlike {dataset.image_path(name)}")
    write_mask(dataset.root / "SegmentationClassAug" / f"{name}.png", mask)
