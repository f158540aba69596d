"""Where ImageNet weights come from: a file or folder that is named, BANA_WEIGHTS, the publisher.

They are looked for in this order. `WEIGHT_FILES` says how the files in a folder are called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models import WeightsEnum

from bana.files.paths import weights_dir

# Names of weights files in a folder, the better one first: torchvision's own, so that a download of
# its cache can be copied there, and the thirteen convolutions of VGG-16 alone.
VGG_FILES = ("vgg16-397923af.pth", "vgg16_imagenet_features.pth")
WEIGHT_FILES: dict[str, tuple[str, ...]] = {
    "vgg16": VGG_FILES,
    "vgg16-largefov": VGG_FILES,
    "resnet101": ("resnet101-cd907fc2.pth",),
    "lite0": ("efficientnet-lite0.pth",),
    "lite2": ("efficientnet-lite2.pth",),
}


def find_weights(name: str, given: str | Path | None = None) -> Path | None:
    """The weights file of a backbone.

    Args:
        name: of a backbone, see `build_backbone`.
        given: the file, or a folder that holds it under a name of `WEIGHT_FILES` (of a timm model:
            <model>.pth). None looks into the folder that `BANA_WEIGHTS` names, if it is set.

    Returns:
        The file; None where none was given and the folder has none, so that the backbone takes
        its publisher's.

    Raises:
        FileNotFoundError: if what was given does not exist or has no such file.
    """
    folder = weights_dir() if given is None else Path(given).expanduser()
    if folder is None or folder.is_file():
        return folder
    if not folder.is_dir():
        raise FileNotFoundError(f"weights {folder} do not exist: pass a file, or a folder of them")
    names = WEIGHT_FILES.get(name, (f"{name.removeprefix('timm:')}.pth",))
    found = next((folder / file for file in names if (folder / file).is_file()), None)
    if found is None and given is not None:
        raise FileNotFoundError(f"{folder} has no weights of {name}: put {names[0]} there")
    return found


def load_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a weights file, on the CPU; no code in it is run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no state dict of tensors.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"weights {path} do not exist")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    # Of files that are no weights, or would run code, torch raises whatever it stumbles over.
    except Exception as error:
        raise ValueError(f"weights {path} are damaged or not a plain state dict") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"weights {path} are not a state dict of tensors")
    return state


@contextmanager
def fitting(path: Path | None, name: str) -> Iterator[None]:
    """Tell in one line that a state dict is another network's; for the block that copies it."""
    try:
        yield
    except (KeyError, RuntimeError, ValueError) as error:
        # torch lists every tensor of a network that does not fit.
        reason = str(error).splitlines()[-1].strip()[:160]
        raise ValueError(f"weights {path} do not fit {name}: {reason}") from error


def download(weights: WeightsEnum) -> dict[str, Tensor]:
    """State dict from torchvision's cache or publisher, checked against the hash in its name.

    Raises:
        ValueError: if it cannot be had.
    """
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise offline(str(weights), Path(weights.url).name, weights.url, error) from error


def offline(name: str, file: str, origin: str, error: Exception) -> ValueError:
    """The error that says which file to put where, since it could not be downloaded."""
    reason = str(error).splitlines()[0][:160]
    return ValueError(
        f"weights of {name} could not be downloaded ({reason}): put {file} from {origin} into a "
        f"folder and name it with --weights or BANA_WEIGHTS"
    )
