"""Predictions as files: palette PNGs, for VOC's evaluation server or of any folder of images."""

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from bana.crf.dense import CrfParameters
from bana.data.formats.known import ENDINGS
from bana.data.voc import DataError, VocDataset, read_image, write_mask
from bana.data.voc_files import orientation
from bana.evaluation.prediction import View, crf_workers, label_maps
from bana.files.alone import alone_in
from bana.files.artefacts import (
    content_hash,
    file_hash,
    read_json,
    weights_hash,
    write_json,
    write_whole,
)
from bana.files.unfinished import is_filled, remove_unfinished
from bana.networks.segmenter import Segmenter

SETTINGS = "predictions.json"


def split_images(root: str | Path, split: str) -> dict[str, Path]:
    """Photographs of a split of a folder in VOC layout, by id; no boxes or masks are needed.

    Raises:
        DataError: if the folder or the split is not there.
    """
    data = VocDataset(root, split)
    return {name: data.image_path(name) for name in data.ids}


def folder_images(folder: str | Path) -> dict[str, Path]:
    """The images of a folder, not below it, by name without the ending, in order.

    Returns:
        Files with one of `ENDINGS`, in capitals too; hidden files are passed over.

    Raises:
        DataError: if there is no such folder, none in it, or two of one name.
    """
    folder = Path(folder)
    images: dict[str, Path] = {}
    for path in _visible(folder):
        if path.suffix.lower() in ENDINGS:
            if path.stem in images:
                raise DataError(f"{path}: has the name of {images[path.stem].name}; rename one")
            images[path.stem] = path
    if not images:
        raise DataError(f"{folder}: no images ({', '.join(ENDINGS)})")
    return images


def upright(images: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, str]]:
    """Images that are shown as they are stored, and why others are not predicted.

    Label maps are of the pixels as stored, which is not what viewers show of an image that EXIF
    turns; a TIFF even reaches us turned.

    Args:
        images: by name; one that cannot be read counts as upright.

    Returns:
        Images, and reasons by name.
    """
    turned: dict[str, str] = {}
    for name, path in images.items():
        with suppress(DataError):
            if (turn := orientation(path)) != 1:
                turned[name] = (
                    f"{path}: EXIF says to turn it (orientation {turn}): store it upright"
                )
    return {name: path for name, path in images.items() if name not in turned}, turned


def passed_over(folder: str | Path) -> list[str]:
    """Names in a folder that `folder_images` does not return: other files, and folders as "b/"."""
    return [
        path.name + "/" * path.is_dir()
        for path in _visible(Path(folder))
        if path.is_dir() or path.suffix.lower() not in ENDINGS
    ]


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def server_folder(out: Path, split: str) -> Path:
    """Where VOC's evaluation server wants the label maps of a split, below ``out``.

    "comp6" is its competition for methods trained on data of any kind, which ImageNet's weights
    and boxes make it.
    """
    return out / "results" / "VOC2012" / "Segmentation" / f"comp6_{split}_cls"


def write_predictions(
    model: Segmenter,
    images: Mapping[str, Path],
    folder: Path,
    view: View,
    crf: CrfParameters | None = None,
    image_scale: float = 1.0,
    workers: int = 0,
) -> dict[str, str]:
    """Write <name>.png of every image: class indices with VOC's palette, at the image's size.

    Files appear whole or not at all, and those that are there are kept, so that a run goes on
    where it was stopped. An image that has changed since is predicted anew; another image of the
    same name is not. An image that cannot be read is left out and reported.

    Args:
        model, view, crf, image_scale: see `bana.evaluation.prediction.label_maps`.
        images: files by name.
        folder: of the PNGs; predictions.json in it tells what made them, of which images.
        workers: processes for the CRF, at most.

    Returns:
        {name: reason} of the images that could not be read.

    Raises:
        DataError: if the folder holds predictions of another network, under other settings, or of
            other images of the same names.
    """
    with alone_in(folder):
        remove_unfinished(folder)
        return _brought_up_to_date(model, images, folder, view, crf, image_scale, workers)


def _brought_up_to_date(
    model: Segmenter,
    images: Mapping[str, Path],
    folder: Path,
    view: View,
    crf: CrfParameters | None,
    image_scale: float,
    workers: int,
) -> dict[str, str]:
    """As `write_predictions`, alone in the folder."""
    made_by = {
        "network": weights_hash(model.state_dict()),
        "settings": content_hash(view, vars(crf) if crf else None, image_scale),
    }
    _open_folder(folder, made_by, images)
    missing = {name: p for name, p in images.items() if not is_filled(folder / f"{name}.png")}
    failed: dict[str, str] = {}
    loaded = _loaded(missing, failed)
    with tqdm(total=len(missing), desc="predict", unit="image") as progress:
        workers = crf_workers(workers, len(missing))
        for name, maps in label_maps(model, loaded, {"view": view}, crf, image_scale, workers):
            write_mask(folder / f"{name}.png", maps["view-crf" if crf else "view"])
            progress.update()
    return failed


def _open_folder(folder: Path, made_by: dict[str, str], images: Mapping[str, Path]) -> None:
    """Note what is predicted of which images, and remove the predictions of those that changed."""
    manifest = folder / SETTINGS
    there = read_json(manifest)
    known = there.pop("images", {})
    if any(folder.rglob("*.png")) and there != made_by:
        raise DataError(
            f"{folder}: holds predictions of another network or under other settings; "
            f"name another folder or remove it"
        )
    now = {
        name: {"file": str(path.resolve()), "content": file_hash(path) if path.is_file() else ""}
        for name, path in images.items()
    }
    changed = [
        name
        for name, image in now.items()
        if (folder / f"{name}.png").is_file()
        and known.get(name, {}).get("content") != image["content"]
    ]
    for name in changed:
        before = known.get(name, {}).get("file", "an image that nobody noted")
        if before != now[name]["file"]:
            raise DataError(
                f"{folder}: {name}.png is the prediction of {before}, not of {images[name]}; "
                f"name another folder or remove it"
            )
    for name in changed:
        (folder / f"{name}.png").unlink()
    write_json(manifest, {**made_by, "images": {**known, **now}})


def pack_results(out: Path, split: str, names: list[str]) -> Path:
    """Pack the label maps of a split as VOC's evaluation server takes them.

    Args:
        out: folder that holds results/.
        split: name of the split.
        names: ids of its images.

    Returns:
        <out>/comp6_<split>_cls.tgz, which appears whole or not at all.

    Raises:
        DataError: if a label map is missing.
    """
    folder = server_folder(out, split)
    archive = out / f"comp6_{split}_cls.tgz"

    def pack(begun: Path) -> None:
        with tarfile.open(begun, "w:gz") as packed:
            for name in names:
                path = folder / f"{name}.png"
                if not path.is_file():
                    raise DataError(f"{path}: no such file; predict the whole split first")
                packed.add(path, path.relative_to(out).as_posix(), filter=_anonymous)

    return write_whole(archive, pack)


def _loaded(images: Mapping[str, Path], failed: dict[str, str]) -> Iterator[tuple[str, Tensor]]:
    for name, path in images.items():
        try:
            yield name, read_image(path)
        except DataError as error:
            failed[name] = str(error)


def _anonymous(entry: tarfile.TarInfo) -> Any:
    """Without the user's name, which is nobody's business, and equal for equal files."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry
