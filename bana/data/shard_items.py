"""Images and masks in memory, where a folder would have files: what goes out of and into shards."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bana.data.tar_shards import BOXES, MASKS, Sample, key_of, photograph_of
from bana.data.voc import VocDataset
from bana.data.voc_files import mask_picture


def item_of(sample: Sample, classes: Sequence[str], shard: Path) -> dict[str, Any]:
    """One image as `VocDataset` gives it, with the same checks.

    Args:
        sample: its files.
        classes: class names, background first.
        shard: what it was read from, for messages.

    Raises:
        DataError: when a file is damaged, or files disagree; shard and member are named.
    """
    return _OneImage(sample, classes, shard)[0]


def mask_file(mask: Tensor) -> bytes:
    """The file that `bana.data.voc_files.write_mask` writes of a mask, uint8 [H, W]."""
    held = io.BytesIO()
    mask_picture(mask).save(held, format="PNG")
    return held.getvalue()


class _Member(io.BytesIO):
    """A file in memory, for readers that otherwise take a path."""

    def __init__(self, content: bytes | None, where: str) -> None:
        super().__init__(content or b"")
        self._there, self._where = content is not None, where

    def __str__(self) -> str:
        return self._where

    def exists(self) -> bool:
        """As of a path."""
        return self._there

    def open(self, mode: str = "rb") -> io.BytesIO:
        """As of a path; to be read."""
        return io.BytesIO(self.getvalue())


class _OneImage(VocDataset):
    """A data set of one image, which lies in memory and in no folder."""

    def __init__(self, sample: Sample, classes: Sequence[str], shard: Path) -> None:
        self.root, self.split, self.classes = shard, shard.stem, tuple(classes)
        self.ids = [sample.name]
        self._class_of_name = {name: index for index, name in enumerate(classes) if index}
        self._sample = sample

    def image_path(self, name: str) -> Any:
        """The photograph, from memory."""
        return self._member(photograph_of(self._sample.files))

    def annotation_path(self, name: str) -> Any:
        """The XML file, from memory."""
        return self._member(BOXES)

    def mask_path(self, name: str) -> Any:
        """The class mask, from memory: VOC's own where there is one, else SBD's."""
        kinds = [kind for kind in MASKS if kind in self._sample.files and kind != "object.png"]
        return self._member(kinds[0] if kinds else "class.png")

    def _member(self, kind: str) -> _Member:
        where = f"{self.root}: {key_of(self._sample.name)}.{kind}"
        return _Member(self._sample.files.get(kind), where)
