"""Data sets in the layout of PASCAL VOC: photographs, boxes, masks.

A folder in VOC layout holds

    JPEGImages/<id>.jpg
    Annotations/<id>.xml
    SegmentationClass/<id>.png          (only needed to evaluate)
    SegmentationObject/<id>.png         (numbers of objects, only needed for average precision)
    SegmentationClassAug/<id>.png       (optional: masks of photographs that have none above)
    ImageSets/Segmentation/<split>.txt  (one id a line)
    classes.txt                         (ours, optional: one class name a line, background first)

Every other data set is brought into this layout once, by `bana data`, so that nothing else in the
package reads another. Besides <object> an XML file may hold <crowd>, with the same <name> and
<bndbox>: a region with so many objects that nobody boxed them one by one (COCO's crowds). Its
pixels are neither a box nor background.
"""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from bana.data.annotation_checks import before_first, names_other, other_photograph, other_size
from bana.data.annotations import read_named
from bana.data.boxes import check_boxes, voc_to_half_open
from bana.data.lists import first_photograph, photographs_of, read_split
from bana.data.mask_checks import Boxed, reordered
from bana.data.voc_files import (
    IGNORE,
    PALETTE,
    DataError,
    check_class_names,
    image_size,
    read_class_names,
    read_image,
    read_mask,
    write_mask,
)

__all__ = [
    "IGNORE",
    "PALETTE",
    "ROOT_VARIABLE",
    "VOC_CLASSES",
    "DataError",
    "VocDataset",
    "find_voc_root",
    "read_image",
    "read_mask",
    "write_mask",
]

VOC_CLASSES: tuple[str, ...] = (
    "background",
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
ROOT_VARIABLE = "BANA_VOC_ROOT"


class Things(NamedTuple):
    """Objects or crowds of a photograph: names of classes, and boxes [K, 4], XYXY, half-open."""

    kinds: list[str]
    boxes: Tensor


class VocDataset(Dataset[dict[str, Any]]):
    """One split of a folder in VOC layout, as dictionaries of image, boxes, classes and mask.

    torchvision's `VOCDetection` and `VOCSegmentation` insist on the folders VOCdevkit/VOC2012 and
    on VOC's own splits, and each returns half of what is needed; what serves from them is
    `VOCDetection.parse_voc_xml`, and the items are `torchvision.tv_tensors`, so that
    `torchvision.transforms.v2` moves images, boxes and masks together.

    Every annotated object counts, "difficult" ones too: whatever is in no box is taken for
    background, so that leaving an object out would teach that it is background. The size in the XML
    file, where there is one, must be the image's own. Orientation in EXIF is not applied, since
    VOC's boxes and masks refer to the pixels as stored.

    Args:
        root: folder in VOC layout, or a parent of `VOCdevkit/VOC2012` or `VOC2012`.
        split: name of a file in ImageSets/Segmentation, without .txt.
        classes: class names, background first; a file `classes.txt` in the root takes precedence.
        limit: take the first so many ids of the split; None takes them all.

    Raises:
        DataError: when the folder or the split is missing or the split is empty; when classes do
            not begin with background, occur twice, or are more than a mask has room for; when an
            item's files are missing, damaged, or disagree.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        classes: Sequence[str] = VOC_CLASSES,
        limit: int | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        self.root = _layout_root(Path(root))
        self.split = split
        self.classes = _read_classes(self.root) or check_class_names(classes, "classes")
        self.ids = read_split(self.root, split)[:limit]
        self._class_of_name = {name: index for index, name in enumerate(self.classes) if index}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Load one item.

        Args:
            index: position in `ids`.

        Returns:
            "id": str; "image": tv_tensors.Image uint8 [3, H, W], RGB; "boxes":
            tv_tensors.BoundingBoxes float32 [K, 4], XYXY, half-open, pixels; "labels": int64 [K],
            1 to L; where there is one, "mask": tv_tensors.Mask uint8 [H, W], 0 background, 255
            ignore; and, where there are any, "crowds": float32 [Q, 4], XYXY, half-open, the boxes
            of regions that are neither object nor background. K is 0 for a photograph without
            objects.

        Raises:
            DataError: when a file is missing or damaged, or files disagree.
        """
        name = self.ids[index]
        image = read_image(self.image_path(name))
        height, width = image.shape[-2:]
        boxes, labels, crowds = self._boxes(name, height, width)
        item: dict[str, Any] = {
            "id": name,
            "image": tv_tensors.Image(image),
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width)),
            "labels": labels,
        }
        if len(crowds):
            item["crowds"] = crowds
        if self.mask_path(name).exists():
            item["mask"] = tv_tensors.Mask(self._checked_mask(name, height, width))
        return item

    def image_path(self, name: str) -> Path:
        """Return the path of a photograph: .jpg, .jpeg or .png, in small letters or capitals.

        Raises:
            DataError: when there are several, as nobody says which of them is meant.
        """
        folder = self.root / "JPEGImages"
        there = photographs_of(folder, name)
        if len(there) > 1:
            raise DataError(f"{there[0]}: there is {there[1].name} too: remove one of them")
        return there[0] if there else first_photograph(folder, name)

    def mask_path(self, name: str) -> Path:
        """Return the path where a photograph's class mask is, if it has one.

        SegmentationClassAug serves only where SegmentationClass has no file: of VOC's own masks and
        SBD's, VOC's are the finer ones.
        """
        paths = [self.root / f"SegmentationClass{which}" / f"{name}.png" for which in ("", "Aug")]
        return next((path for path in paths if path.exists()), paths[0])

    def mask(self, name: str) -> Tensor:
        """Load a photograph's class mask as uint8 [H, W].

        Raises:
            DataError: when there is none, it is damaged, or contradicts photograph or boxes.
        """
        height, width = self.image_size(name)
        return self._checked_mask(name, height, width)

    def image_size(self, name: str) -> tuple[int, int]:
        """Return a photograph's (height, width) in pixels without decoding it."""
        return image_size(self.image_path(name))

    def annotation(self, name: str) -> tuple[Tensor, Tensor]:
        """Load a photograph's boxes without decoding it.

        Args:
            name: an id.

        Returns:
            boxes float32 [K, 4], XYXY, half-open, pixels, and their classes int64 [K].

        Raises:
            DataError: as `things`.
        """
        return self._boxes(name, *self.image_size(name))[:2]

    def annotation_path(self, name: str) -> Path:
        """Return the path of a photograph's XML file."""
        return self.root / "Annotations" / f"{name}.xml"

    def object_path(self, name: str) -> Path:
        """Return the path of a photograph's mask of single objects, if it has one."""
        return self.root / "SegmentationObject" / f"{name}.png"

    def things(
        self, name: str, height: int, width: int, dtype: torch.dtype = torch.float64
    ) -> tuple[Things, Things]:
        """Load a photograph's objects and crowds as its XML file has them.

        Args:
            name: an id.
            height, width: of the photograph, in pixels.
            dtype: of the boxes.

        Returns:
            Objects and crowds, whose boxes lie in the photograph.

        Raises:
            DataError: when the file is missing or damaged, of another photograph or of one of
                another size, an object's class unknown, or a box wrong or counted from 0.
        """
        path = self.annotation_path(name)
        annotation, said = read_named(path)
        problem = other_size(annotation.size, (width, height)) or self.other_photograph(name, said)
        unknown = sorted({kind for kind, _ in annotation.objects} - set(self._class_of_name))
        if not problem and unknown:
            there = ", ".join(self._class_of_name)
            problem = f"unknown class {unknown[0]!r}; the data set has {there}"
        if problem:
            raise DataError(f"{path}: {problem}")

        def checked(tag: str, things: list[tuple[str, list[float]]]) -> Things:
            # In float32, 1.43 - 1 would not be the .43 of the annotation that was brought here.
            corners = torch.tensor([box for _, box in things], dtype=torch.float64).reshape(-1, 4)
            boxes = check_boxes(voc_to_half_open(corners).to(dtype), height, width, str(path))
            for number, (_, box) in enumerate(things, start=1):
                if problem := before_first(f"{path}: {tag} {number}", box):
                    raise DataError(problem)
            return Things([kind for kind, _ in things], boxes)

        try:
            return checked("object", annotation.objects), checked("crowd", annotation.crowds)
        except ValueError as error:
            raise DataError(str(error)) from error

    def other_photograph(self, name: str, said: str | None) -> str | None:
        """What is wrong where an XML file names another photograph of the data set, or None.

        Args:
            name: the id of its own photograph.
            said: the file name that it says it is about.
        """
        images, place = self.root / "JPEGImages", PurePosixPath(name)
        if not names_other(place.name, said):
            return None
        folders = (images / place.parent, images)
        return other_photograph(first_photograph(images, name), place.name, said, folders)

    def _boxes(self, name: str, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        objects, crowds = self.things(name, height, width, torch.float32)
        labels = torch.tensor([self._class_of_name[kind] for kind in objects.kinds]).long()
        return objects.boxes, labels, crowds.boxes

    def _checked_mask(self, name: str, height: int, width: int) -> Tensor:
        path = self.mask_path(name)
        mask = read_mask(path)
        if mask.shape != (height, width):
            raise DataError(
                f"{path}: mask of {mask.shape[1]} x {mask.shape[0]} for an image of "
                f"{width} x {height}"
            )

        def boxes() -> Boxed | None:
            if not self.annotation_path(name).exists():
                return None
            objects, crowds = self.things(name, height, width)
            known = [self._class_of_name.get(kind, -1) for kind in (*objects.kinds, *crowds.kinds)]
            return Boxed(torch.cat([objects.boxes, crowds.boxes]), torch.tensor(known).long())

        if reason := reordered(path, mask, boxes, len(self.classes)):
            raise DataError(f"{path}: {reason}")
        # Adding 1 to a uint8 takes 255 (ignore) to 0, so that the maximum is over classes only.
        highest = int((mask + 1).max()) - 1
        if highest >= len(self.classes):
            raise DataError(
                f"{path}: mask holds class {highest}; the data set has 0 to "
                f"{len(self.classes) - 1} and {IGNORE}"
            )
        return mask


def find_voc_root(explicit: str | Path | None = None) -> Path:
    """Find the folder of VOC photographs.

    Args:
        explicit: the folder; None takes the environment variable BANA_VOC_ROOT.

    Returns:
        The folder that holds JPEGImages.

    Raises:
        DataError: when neither is given, or the folder is not in VOC layout.
    """
    given = explicit or os.environ.get(ROOT_VARIABLE)
    if not given:
        raise DataError(
            f"no folder of VOC photographs: pass one, or set the environment variable "
            f"{ROOT_VARIABLE} to the folder that holds JPEGImages"
        )
    return _layout_root(Path(given))


def _layout_root(given: Path) -> Path:
    candidates = (given, given / "VOCdevkit" / "VOC2012", given / "VOC2012")
    for root in candidates:
        if (root / "JPEGImages").is_dir():
            return root
    raise DataError(f"{given}: no folder in VOC layout (it has no JPEGImages)")


def _read_classes(root: Path) -> tuple[str, ...] | None:
    path = root / "classes.txt"
    return read_class_names(path) if path.exists() else None
