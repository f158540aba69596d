"""Settings of the machine a training runs on, and what is asked of it.

Lightning Fabric does what differs from machine to machine: precision, several GPUs, torchrun,
SLURM.
"""

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
import torch
from torch import Tensor, nn

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
DEVICES = "cpu, cuda, cuda:<number> or mps"
# The other processes wait as long for the first one, which makes pseudo labels in the meantime.
PATIENCE = timedelta(hours=12)


@dataclass(frozen=True)
class Machine:
    """Settings of the machine, none of the experiment: they are in no key and in no profile.

    Attributes:
        accelerator: "cpu", "cuda", "cuda:1", "mps"; "auto" takes CUDA where there is any, else the
            CPU (mps must be asked for by name).
        devices: processes a node, one device each; None takes what torchrun or SLURM started,
            one where neither did.
        nodes: machines; None takes what torchrun or SLURM says.
        precision: "32-true", "bf16-mixed" or "16-mixed".
        accumulation: micro-batches that a process works through in each step.
        compile: run the network through torch.compile.
        loader_workers: processes that prepare crops, for each device; None takes the profile's.
        checkpoint_minutes: a checkpoint is written when the last is as old; 0 after every step.
        restart: begin anew, though a finished or an unfinished training is there.
        tensorboard: write the metrics for TensorBoard too.
        progress: show a bar.

    Raises:
        ValueError: if the precision is unknown or a number out of range.
    """

    accelerator: str = "auto"
    devices: int | None = None
    nodes: int | None = None
    precision: str = "32-true"
    accumulation: int = 1
    compile: bool = False
    loader_workers: int | None = None
    checkpoint_minutes: float = 5.0
    restart: bool = False
    tensorboard: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"unknown precision {self.precision!r}: use one of {', '.join(PRECISIONS)}"
            )
        lowest = {"accumulation": 1, "devices": 1, "nodes": 1, "loader_workers": 0}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if self.checkpoint_minutes < 0:
            raise ValueError(f"checkpoint_minutes must be >= 0, got {self.checkpoint_minutes}")


THIS_MACHINE = Machine()


def activation_bytes(body: nn.Module, crop: int) -> int:
    """Bytes of float32 that the convolutions to be trained give for one crop; nothing is computed.

    Args:
        body: maps images [N, 3, crop, crop] to features.
        crop: side in pixels.
    """
    count = 0

    def add(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal count
        count += output.numel() if output.requires_grad else 0

    hooks = [m.register_forward_hook(add) for m in body.modules() if isinstance(m, nn.Conv2d)]
    tensors = dict(body.named_parameters()) | dict(body.named_buffers())
    try:
        shapes = {name: value.to("meta") for name, value in tensors.items()}
        images = torch.empty(1, 3, crop, crop, device="meta")
        torch.func.functional_call(body, shapes, (images,))
    finally:
        for hook in hooks:
            hook.remove()
    return 4 * count


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device, or in the computer where the device shares its memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that a device's memory, or the computer's, is full."""
    # The CPU's allocator has no exception of its own.
    words = ("can't allocate memory", "not enough memory", "out of memory")
    oom = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, oom) or any(word in str(error) for word in words)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """States of torch's random generators: the CPU's and that of the device, uint8 [bytes]."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_state(
    states: dict[str, Tensor], device: torch.device, rank: int, processes: int
) -> None:
    """Put the generators into kept states.

    Args:
        states: of all processes, uint8 [processes, bytes]; those of another number of processes
            are left alone: dropout is another then, the crops are the same.
        device: of this process.
        rank: of this process.
        processes: how many there are now.
    """
    if len(states["cpu"]) != processes:
        return
    # Cloned: torch reads a state from where the memory of its tensor begins, row 0 for every row.
    own = {kind: rows[rank].clone() for kind, rows in states.items()}
    torch.set_rng_state(own["cpu"])
    if device.type == "cuda" and "cuda" in own:
        torch.cuda.set_rng_state(own["cuda"], device)
    if device.type == "mps" and "mps" in own:
        torch.mps.set_rng_state(own["mps"])


def is_device_name(name: str) -> bool:
    """Whether a name is one of `DEVICES`, in this machine or not."""
    return re.fullmatch(r"cpu|mps|cuda(:[0-9]+)?", name) is not None


def device_of(name: str) -> tuple[str, int | None] | None:
    """The device of a name: its kind, and its number where the name has one.

    Returns:
        None if the name is none of `DEVICES`, or if this machine has no such device.
    """
    if not is_device_name(name):
        return None
    kind, _, digits = name.partition(":")
    number = int(digits) if digits else None
    there = {"cpu": 1, "mps": int(torch.backends.mps.is_available())}
    there["cuda"] = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return (kind, number) if (number or 0) < there[kind] else None


def make_fabric(machine: Machine) -> Any:
    """Lightning Fabric under the machine's settings, not launched yet.

    Raises:
        ValueError: if no accelerator has that name, or torch sees no such device.
    """
    # Imported here: it takes half a second, which whoever only loads a trained network is spared.
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision
    from lightning_fabric.strategies import DDPStrategy

    class Autocast(MixedPrecision):
        """Mixed precision that leaves inputs alone: in 16 bits, boxes are off by whole pixels."""

        def convert_input(self, data: Any) -> Any:
            return data

    accelerator, number = _accelerator(machine.accelerator)
    devices, nodes = processes_of(machine)
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise ValueError(f"{devices} devices: torch sees {torch.cuda.device_count()} GPUs here")
    settings: dict[str, Any] = {"accelerator": accelerator, "num_nodes": nodes}
    settings["devices"] = devices if number is None else [number]
    if machine.precision != "32-true":
        settings["plugins"] = Autocast(machine.precision, accelerator)
    if devices * nodes > 1:
        settings["strategy"] = DDPStrategy(timeout=PATIENCE)
    return Fabric(**settings)


def _accelerator(asked: str) -> tuple[str, int | None]:
    """Kind and number as of `device_of`, for "auto" too."""
    if asked == "auto":
        return ("cuda" if torch.cuda.is_available() else "cpu"), None
    if not is_device_name(asked):
        raise ValueError(f"unknown accelerator {asked!r}: use auto, {DEVICES}")
    found = device_of(asked)
    if found is None:
        raise ValueError(f"accelerator {asked}: torch sees none here; use --accelerator cpu")
    return found


def is_first_process() -> bool:
    """Whether this is the first of a training's processes, or the only one.

    By the variables of torchrun, SLURM and Lightning Fabric, before any of them is asked.
    """
    ranks = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)


def processes_of(machine: Machine) -> tuple[int, int]:
    """Processes a node, and nodes.

    Args:
        machine: settings; where they say nothing, torchrun or SLURM does, by the variables it gave
            to this process. An interactive SLURM job starts one process like any shell.
    """
    variables = os.environ
    devices = nodes = 1
    if "TORCHELASTIC_RUN_ID" in variables or "LOCAL_WORLD_SIZE" in variables:
        devices = int(variables["LOCAL_WORLD_SIZE"])
        nodes = int(variables["WORLD_SIZE"]) // devices
    elif "SLURM_NTASKS" in variables and variables.get("SLURM_JOB_NAME") not in (
        "bash",
        "interactive",
    ):
        nodes = int(variables.get("SLURM_NNODES", 1))
        devices = int(variables["SLURM_NTASKS"]) // nodes
    return machine.devices or devices, machine.nodes or nodes
