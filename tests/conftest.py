"""What the tests share: signatures that are checked, and where real photographs and weights are."""

import importlib
import os
from pathlib import Path
from types import ModuleType

import hypothesis
import jaxtyping
import pytest

REPO = Path(__file__).resolve().parents[1]
SHAPED = (
    "bana.bap",
    "bana.baselines",
    "bana.cam",
    "bana.crf.dense",
    "bana.crf.permutohedral",
    "bana.interpolation",
    "bana.labels",
    "bana.losses",
    "bana.networks.classifier",
    "bana.networks.segmenter",
)
# In these modules the tests check every argument and result against its signature. Here, because
# nothing of the package may be imported earlier; with the tower an int may stand for a float.
TOWER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
jaxtyping.install_import_hook(SHAPED, TOWER)

# Read once: no test may depend on what the variable says, see `own_data`.
NAMED_PHOTOGRAPHS = os.environ.get("BANA_VOC_ROOT", "").strip()

# A busy machine is no failure.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    # Kernels started by the tests inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def own_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the data that a test gives them, whatever the machine has."""
    monkeypatch.delenv("BANA_VOC_ROOT", raising=False)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures as users have them: wrong shapes and types reach the function's own errors."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def shaped_modules() -> list[ModuleType]:
    """The modules whose signatures are checked."""
    return [importlib.import_module(name) for name in SHAPED]


@pytest.fixture(scope="session")
def voc_root() -> Path:
    """Folder of real photographs in VOC layout; skips, with the reason, where there is none."""
    named = NAMED_PHOTOGRAPHS
    root = Path(named).expanduser() if named else REPO.parent / "shared" / "voc2012-subset"
    if not (root / "ImageSets" / "Segmentation").is_dir():
        what = f"BANA_VOC_ROOT={named}" if named else "BANA_VOC_ROOT is not set"
        pytest.skip(f"no real photographs: {what} and {root.name}/ImageSets/Segmentation is absent")
    return root.resolve()


@pytest.fixture(scope="session")
def vgg_weights() -> Path:
    """VGG-16's ImageNet convolutions; skips, with the reason, where they are not."""
    named = os.environ.get("BANA_WEIGHTS", "").strip()
    folder = Path(named).expanduser() if named else REPO.parent / "shared" / "weights"
    path = folder / "vgg16_imagenet_features.pth"
    if not path.is_file():
        what = f"BANA_WEIGHTS={named}" if named else "BANA_WEIGHTS is not set"
        pytest.skip(f"no ImageNet weights: {what} and {folder.name}/{path.name} is absent")
    return path.resolve()
