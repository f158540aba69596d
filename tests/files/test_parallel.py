"""Helper processes end with the process that started them, however it ends."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from processes import killed
from torch.utils.data import DataLoader, Dataset

from bana.crf.dense import CrfParameters
from bana.evaluation import prediction
from bana.files.parallel import HELPERS, mapped
from bana.training.engine import begin_worker

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills as Linux and macOS do")


class Endless(Dataset):
    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, place: int) -> int:
        return place


def wait(place: int) -> int:
    time.sleep(0.01)
    return place


def map_files(sign: Path) -> None:
    for _ in mapped(wait, range(10**6), "nothing", workers=2):
        sign.touch()


def refine(sign: Path) -> None:
    """The pool that refines predictions, by what `label_maps` makes it do."""
    image, likely = torch.zeros(3, 9, 9, dtype=torch.uint8), torch.full((2, 9, 9), 0.5)
    with prediction._pool(2) as pool:
        while True:
            prediction._refined(pool, image, likely, CrfParameters())()
            sign.touch()


def load(sign: Path) -> None:
    for _ in DataLoader(Endless(), num_workers=2, worker_init_fn=begin_worker):
        sign.touch()


@pytest.mark.parametrize("work", [map_files, refine, load])
def test_helpers_of_a_killed_process_end(work: Callable[[Path], None], tmp_path: Path) -> None:
    sign = tmp_path / "at work"
    process = HELPERS.Process(target=work, args=(sign,))
    process.start()
    late = time.monotonic() + 60
    while not sign.exists():
        assert process.is_alive() and time.monotonic() < late
        time.sleep(0.1)
    assert len(psutil.Process(process.pid).children(recursive=True)) >= 2
    killed(process)
