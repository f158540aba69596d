"""Photographs with boxes of one's own as training data: looked at, parted, brought to size.

`bana.experiment.own_classifier` trains on them.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from bana.data.boxes import background_mask
from bana.data.checks import counted
from bana.data.fingerprint import photograph_hash
from bana.data.transforms import MIN_BOX_SIZE
from bana.data.voc_files import DataError, image_size
from bana.experiment.keeping import key_of
from bana.experiment.masking import MaskJob, checked_photograph, shorter_side
from bana.experiment.pretrained import seen_size
from bana.experiment.processes import computing_with, spread
from bana.files.artefacts import kept_json
from bana.files.parallel import FEW

LEAST_PHOTOGRAPHS = 20
LEAST_BOXES = 5
"""Boxes of a class from which something can be learned of it."""
HELD_OUT = 5
"""One photograph in so many is held out, of many photographs `MOST_HELD_OUT`."""
MOST_HELD_OUT = 100
INSTEAD = "leave --train out, which trains nothing"


class Looked(NamedTuple):
    """What a look at a photograph found: why it is of no use, or its share outside of all boxes."""

    reason: str
    background: float


class BoxedPhotographs(Dataset[dict[str, Any]]):
    """Photographs with boxes, brought to the size at which a classifier sees them.

    Items are those of `bana.data.voc.VocDataset`, without masks.

    Args:
        jobs: of `bana.experiment.masking.mask_jobs`.
        side: longer side in pixels.
    """

    def __init__(self, jobs: Sequence[MaskJob], side: int) -> None:
        self.jobs = list(jobs)
        self.side = side

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Load one; DataError where the photograph or its boxes are wrong."""
        job = self.jobs[index]
        image, boxes, crowds = checked_photograph(job.photograph)
        height, width = image.shape[1:]
        size = seen_size(height, width, self.side)
        factors = boxes.new_tensor([size[1] / width, size[0] / height] * 2)
        item = {
            "id": job.name,
            "image": tv_tensors.Image(F.resize(image, size, antialias=True)),
            "boxes": tv_tensors.BoundingBoxes(
                boxes * factors, format="XYXY", canvas_size=(size[0], size[1])
            ),
            "labels": torch.tensor(job.numbers, dtype=torch.int64),
        }
        return item | ({"crowds": crowds * factors} if len(crowds) else {})


def looked_at(folder: Path, jobs: Sequence[MaskJob], processes: int) -> dict[str, Looked]:
    """What is to be known of each photograph before it is trained on, by name.

    Args:
        folder: where it is kept, since every photograph must be decoded for it.
        jobs: the photographs.
        processes: that look.
    """

    def look() -> dict[str, Any]:
        with computing_with(1):
            few = len(jobs) < FEW
            done = spread(_look, None, jobs, 1 if few else processes, "photographs")
            found = {job.name: looked for job, looked in done}
        return {job.name: found[job.name] for job in jobs}

    kept = kept_json(folder / "photographs.json", key_of(_look, described_jobs(jobs)), look)
    return {name: Looked(*looked) for name, looked in kept.items()}


def _look(_: None, job: MaskJob) -> Looked:
    try:
        image, boxes, crowds = checked_photograph(job.photograph)
    except (ValueError, OSError) as error:
        return Looked(str(error), 0.0)
    outside = background_mask(torch.cat([boxes, crowds]), *image.shape[1:])
    return Looked("", float(outside.mean()))


def described_jobs(jobs: Sequence[MaskJob]) -> list[Any]:
    """All that a result depends on in some photographs and their boxes, as plain values."""
    return [
        [
            job.name,
            photograph_hash(job.photograph.path),
            list(job.numbers),
            [box.corners for box in job.photograph.boxes],
            [box.corners for box in job.photograph.crowds],
            job.photograph.size,
        ]
        for job in jobs
    ]


def check_enough(
    jobs: Sequence[MaskJob],
    classes: Sequence[str],
    learned: Sequence[Sequence[int]],
    background: Sequence[float],
    least_background: float,
) -> None:
    """Refuse what nothing can be learned from.

    Args:
        jobs: the photographs that can be read.
        classes: background first.
        learned: of each, the classes of the boxes that training keeps, see `large_enough`.
        background: of each, the share of its pixels that lie in no box.
        least_background: the share from which on a photograph shows background.

    Raises:
        DataError: if there are fewer than `LEAST_PHOTOGRAPHS`, if no two classes have
            `LEAST_BOXES`, or if boxes fill nearly all of the photographs.
    """
    if len(jobs) < LEAST_PHOTOGRAPHS:
        raise DataError(
            f"--train: {len(jobs)} photographs with boxes are too few to learn from, it takes "
            f"{LEAST_PHOTOGRAPHS}: {INSTEAD}"
        )
    counts = Counter(number for numbers in learned for number in numbers)
    if sum(count >= LEAST_BOXES for count in counts.values()) < 2:
        told = ", ".join(f"{classes[number]} ({count})" for number, count in counts.most_common(5))
        small = sum(len(job.numbers) for job in jobs) - counts.total()
        raise DataError(
            f"--train learns by telling classes apart, and needs two with {LEAST_BOXES} boxes; "
            f"there is {told or 'none'}{_left_out(small)}: {INSTEAD}"
        )
    some = sum(share > least_background for share in background)
    if some < LEAST_PHOTOGRAPHS:
        raise DataError(
            f"--train: the boxes fill all but {some} of {len(jobs)} photographs, and background "
            f"is learned from what lies outside of them, {100 * least_background:g} % or more of "
            f"{LEAST_PHOTOGRAPHS} photographs: {INSTEAD}"
        )


def large_enough(job: MaskJob, side: int) -> list[int]:
    """The classes of a photograph's boxes that training keeps.

    Args:
        job: the photograph.
        side: longer side to which it is brought, in pixels; there boxes below `MIN_BOX_SIZE` go.
    """
    height, width = image_size(job.photograph.path)
    boxes = zip(job.numbers, job.photograph.boxes, strict=True)
    least = MIN_BOX_SIZE * max(height, width) / side
    return [number for number, box in boxes if shorter_side(box) >= least]


def _left_out(small: int) -> str:
    if not small:
        return ""
    return (
        f", and {counted(small, 'box', 'boxes')} of less than {MIN_BOX_SIZE:g} pixels where "
        f"photographs are brought to --longest, which training leaves out (a larger --longest "
        f"makes them larger)"
    )


def parted(jobs: Sequence[MaskJob], seed: int) -> tuple[list[MaskJob], list[MaskJob]]:
    """Photographs to train on and to hold out, drawn by the seed.

    A fifth is held out, at most `MOST_HELD_OUT`, and less where a class would be left with fewer
    than half of its photographs.

    Raises:
        DataError: if none can be held out, as every photograph has a class of few others.
    """
    wanted = min(len(jobs) // HELD_OUT, MOST_HELD_OUT)
    photographs = Counter(number for job in jobs for number in set(job.numbers))
    left, held = photographs.copy(), set()
    for place in np.random.default_rng(seed).permutation(len(jobs)).tolist():
        kinds = set(jobs[place].numbers)
        if len(held) < wanted and all(2 * left[kind] - 2 >= photographs[kind] for kind in kinds):
            held.add(place)
            left.subtract(kinds)
    if not held:
        raise DataError(
            f"--train: every photograph has a class that too few others have, so that none can be "
            f"held out to measure on: {INSTEAD}"
        )
    train = [job for place, job in enumerate(jobs) if place not in held]
    return train, [jobs[place] for place in sorted(held)]
