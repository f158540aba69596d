"""Where ImageNet weights are found, and what is said where there are none that fit."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision

from bana.networks import weights
from bana.networks.backbones import build_backbone, resnet101
from bana.networks.weights import WEIGHT_FILES, find_weights, load_state

VGG = "vgg16_imagenet_features.pth"


@pytest.fixture(autouse=True)
def no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANA_WEIGHTS", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with VGG-16's convolutions, in name only."""
    torch.save({"0.weight": torch.zeros(1)}, tmp_path / VGG)
    return tmp_path


def test_named_file_comes_before_the_folder_and_that_before_the_publisher(
    folder: Path, monkeypatch
) -> None:
    assert find_weights("vgg16") is None
    monkeypatch.setenv("BANA_WEIGHTS", str(folder))
    assert find_weights("vgg16") == find_weights("vgg16-largefov") == folder / VGG
    assert find_weights("resnet101") is None
    other = folder / "other.pth"
    other.touch()
    assert find_weights("vgg16", other) == other
    assert find_weights("vgg16", str(folder)) == folder / VGG
    (folder / "vgg16-397923af.pth").touch()  # whole: it has fc6 and fc7 as well
    assert find_weights("vgg16") == folder / "vgg16-397923af.pth"
    (folder / "resnet18.pth").touch()
    assert find_weights("timm:resnet18") == folder / "resnet18.pth"


def test_names_are_torchvisions() -> None:
    models = torchvision.models
    for name, chosen in [
        ("vgg16", models.VGG16_Weights.IMAGENET1K_V1),
        ("resnet101", models.ResNet101_Weights.IMAGENET1K_V2),
    ]:
        assert WEIGHT_FILES[name][0] == Path(chosen.url).name


def one_line(call: Callable[[], object]) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_weights_are_one_line(folder: Path, monkeypatch) -> None:
    nowhere = folder / "nowhere"
    assert "nowhere do not exist" in one_line(lambda: find_weights("vgg16", nowhere))
    wanted = "put resnet101-cd907fc2.pth there"
    assert wanted in one_line(lambda: find_weights("resnet101", folder))
    monkeypatch.setenv("BANA_WEIGHTS", str(nowhere))
    assert "BANA_WEIGHTS" in one_line(lambda: find_weights("vgg16"))


def test_unfit_weights_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    for name, stride in [("vgg16", 8), ("resnet101", 8), ("timm:resnet50", 16), ("lite0", 16)]:
        message = one_line(lambda name=name, stride=stride: build_backbone(name, stride, 0, path))
        assert "w.pth do not fit" in message and len(message) < 400


def test_damaged_weights_are_one_line(folder: Path) -> None:
    path = folder / VGG
    path.write_bytes(path.read_bytes()[:-30])
    assert "damaged" in one_line(lambda: load_state(path))
    path.write_bytes(b"<html>not found</html>")
    assert "damaged" in one_line(lambda: load_state(path))
    path.write_bytes(b"")
    assert "damaged" in one_line(lambda: load_state(path))
    torch.save({"epoch": 3}, path)
    assert "not a state dict" in one_line(lambda: load_state(path))


class _Evil:
    def __reduce__(self):
        return os.system, ("exit 1",)


def test_code_in_a_weights_file_is_not_run(tmp_path: Path) -> None:
    torch.save(_Evil(), tmp_path / "evil.pth")
    assert "damaged or not a plain" in one_line(lambda: load_state(tmp_path / "evil.pth"))


@pytest.mark.parametrize(
    "error",
    [
        URLError(OSError("no route to host")),
        RuntimeError('invalid hash value (expected "397923af", got "0")\nmore'),
    ],
    ids=["offline", "damaged on the way"],
)
def test_what_cannot_be_downloaded_is_one_line(error: Exception, monkeypatch) -> None:
    def fail(*arguments, **settings) -> None:
        assert settings["weights_only"] and settings["check_hash"]
        raise error

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", fail)
    for name in ("vgg16", "resnet101"):
        message = one_line(lambda name=name: build_backbone(name, 8))
        assert f"put {WEIGHT_FILES[name][0]} from https://" in message
        assert "BANA_WEIGHTS" in message


def test_torchvisions_download_from_a_server(tmp_path: Path, monkeypatch) -> None:
    # The real way, over a file:// address, with the hash in the name checked.
    with torch.device("meta"):
        names = {n: v.shape for n, v in torchvision.models.resnet101().state_dict().items()}
    zero = torch.zeros(())
    state = {n: zero.expand(shape) for n, shape in names.items()}
    torch.save(state, tmp_path / "made.pth")
    digest = weights_hash(tmp_path / "made.pth")
    source = tmp_path / f"resnet101-{digest}.pth"
    (tmp_path / "made.pth").rename(source)
    chosen = torchvision.models.ResNet101_Weights.IMAGENET1K_V2
    monkeypatch.setattr(type(chosen), "url", property(lambda self: source.as_uri()))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    assert resnet101().body[0][0].weight.abs().sum() == 0
    source.write_bytes(source.read_bytes() + b"x")
    (cached,) = (tmp_path / "cache").rglob("*.pth")
    cached.unlink()
    assert "invalid hash" in one_line(resnet101)


def weights_hash(path: Path) -> str:
    from hashlib import sha256

    return sha256(path.read_bytes()).hexdigest()[:8]


def test_the_file_of_the_thirteen_convolutions_is_known() -> None:
    assert weights.VGG_FILES[1] == VGG
