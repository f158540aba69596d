"""A run of a tiny profile on drawn scenes, made once for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import be_quick, make_profile

from bana.experiment.left_out.measuring import Bench
from bana.experiment.left_out.running import bench_of
from bana.experiment.profiles import Profile

PROFILE = make_profile(name="left-out", image_scale=1.25, val_limit=3, losses=("nal",))


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of runs."""
    yield tmp_path_factory.mktemp("left-out")


@pytest.fixture
def profile(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """The profile, whose runs are found and whose labels are made in this process."""
    be_quick(monkeypatch)
    monkeypatch.setenv("BANA_RUNS", str(run_folder))
    return PROFILE


@pytest.fixture
def bench(profile: Profile) -> Bench:
    """Classifier, val images and settings of the profile."""
    return bench_of(profile)
