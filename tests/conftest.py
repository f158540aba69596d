"""What the tests share: where real photographs are, and that no test writes committed figures."""

import os
import tempfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    # Kernels started by the tests inherit these two, nbval's among them.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "BANA_FIGURES" not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="bana-figures-")
        os.environ["BANA_FIGURES"] = folder.name
        config.add_cleanup(folder.cleanup)
        config.add_cleanup(lambda: os.environ.pop("BANA_FIGURES", None))


@pytest.fixture(scope="session")
def voc_root() -> Path:
    """Folder of real photographs in VOC layout; skips, with the reason, where there is none."""
    named = os.environ.get("BANA_VOC_ROOT", "").strip()
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
