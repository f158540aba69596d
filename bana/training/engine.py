"""What a training runs on: device, precision, processes, gradient accumulation, resumption.

The loops of a training stay plain; what is machinery and not method is here. Lightning Fabric does
the part that differs from machine to machine: precision, several GPUs, torchrun, SLURM.

A batch of the profile is cut into micro-batches: one for every process and accumulation step. The
loss of a step is the mean of the micro-batches' losses, each normalised over its own boxes or
pixels, as in DistributedDataParallel. k processes and k accumulation steps are therefore the same
thing, and one micro-batch of the whole batch is the paper's. The paper's losses are means over
boxes or pixels, of which micro-batches have different numbers, so that a batch in pieces is not
exactly a batch in one: a departure from the paper, and from one card to several.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from bana.files.parallel import end_with_parent
from bana.training.machine import (
    Machine,
    activation_bytes,
    free_memory,
    is_out_of_memory,
    make_fabric,
    random_state,
    set_random_state,
)
from bana.training.runs import Interrupted, Metrics, Run, RunError, check_tensorboard, environment


class Engine:
    """One training's hold on the machine and on its run folder.

    Made before the batches are, since `done` says where an interrupted training goes on.

    Args:
        machine: settings.
        run: where the training is kept; None keeps nothing.
        extra: tensors and plain values that each checkpoint saves and a resumed training gets
            back, in this same dictionary.

    Attributes:
        done: iterations that are done.
        history: one row for each of them.

    Raises:
        ValueError: if the machine has no such device.
    """

    def __init__(
        self, machine: Machine, run: Run | None = None, extra: dict[Any, Any] | None = None
    ) -> None:
        if machine.tensorboard:
            check_tensorboard()
        self.machine, self.run = machine, run
        self.extra = {} if extra is None else extra
        self.fabric = make_fabric(machine)
        self.fabric.launch()
        self.device: torch.device = self.fabric.device
        self.processes: int = self.fabric.world_size
        self.rank: int = self.fabric.global_rank
        self.done, self.history, self.seconds = 0, [], 0.0
        self._kept: dict[str, Any] | None = None
        self._asked: int | None = None  # the signal that asked to stop
        self._metrics: Metrics | None = None
        self._progress: tqdm | None = None
        if run is not None:
            self._find_checkpoint(run)

    def _find_checkpoint(self, run: Run) -> None:
        if self.rank == 0:
            if self.machine.restart:
                run.clear()
            self._kept = run.load()
        # Sent, not read by each: the folder may be known to the first process alone.
        self._kept = self.fabric.broadcast(self._kept)
        if self._kept is not None:
            self.done = self._kept["iteration"]
            self.history = list(self._kept["history"])
            self.seconds = self._kept["seconds"]
            self.extra.update(self._kept["extra"])
            if self.rank == 0:
                print(f"going on after iteration {self.done} ({run.folder})")

    def micro_batch(self, batch: int) -> int:
        """Crops in a micro-batch, of a profile's batch.

        Raises:
            ValueError: if the batch cannot be cut evenly.
        """
        pieces = self.processes * self.machine.accumulation
        if batch % pieces:
            raise ValueError(
                f"a batch of {batch} does not divide into {self.processes} processes x "
                f"{self.machine.accumulation} accumulation steps: change one of the three"
            )
        return batch // pieces

    def draws(self, order: list[Any], batch: int) -> list[list[Any]]:
        """The micro-batches of this process, from the iteration on where the training goes on.

        Which crops an iteration sees does not depend on the number of processes or of
        accumulation steps: iteration t has the positions from t * batch on, dealt out in turn.

        Args:
            order: of drawing, ``batch`` for each iteration.
            batch: of the profile.
        """
        size = self.micro_batch(batch)
        starts = range(self.done * batch + self.rank * size, len(order), self.processes * size)
        return [order[start : start + size] for start in starts]

    def prepare(self, settings: dict[str, Any], model: nn.Module, copies: int) -> None:
        """Write down what is about to run, and see that the folder has room for its checkpoints.

        Args:
            settings: what is trained.
            model: the network.
            copies: see `bana.training.optimisation.Optimisation.copies`.

        Raises:
            RunError: if the folder cannot be written or the disk is too full.
        """
        if self.run is not None and self.rank == 0:
            tensors = model.state_dict().values()
            size = copies * sum(v.numel() * v.element_size() for v in tensors)
            self.run.prepare(
                {**settings, "machine": asdict(self.machine)},
                environment(self.device, self.processes),
                size,
            )

    def check_memory(self, body: nn.Module, crop: int, batch: int, copies: int) -> None:
        """Refuse a micro-batch that cannot fit the memory, before anything is trained.

        Args:
            body: maps images [N, 3, crop, crop] to features.
            crop: side of a crop in pixels.
            batch: of the profile.
            copies: see `bana.training.optimisation.Optimisation.copies`.

        Raises:
            RunError: if even the convolutions' outputs alone, which training must keep, are more
                than what is free.
        """
        size = self.micro_batch(batch)
        each = activation_bytes(body, crop) // (1 if self.machine.precision == "32-true" else 2)
        # Every weight has a gradient beside what its checkpoints hold.
        fixed = 4 * (copies + 1) * sum(p.numel() for p in body.parameters())
        free = free_memory(self.device)
        if size * each + fixed <= free:
            return
        share = batch // self.processes
        fitting = [k for k in range(1, share + 1) if share % k == 0]
        fitting = [k for k in fitting if share // k * each + fixed <= free]
        remedy = f"use --accumulate {fitting[0]}" if fitting else "use a smaller crop"
        raise RunError(
            f"{size} crops of {crop} pixels need more than {(size * each + fixed) / 1e9:.1f} GB, "
            f"{self.device.type} has {free / 1e9:.1f} GB free: {remedy}"
        )

    def start(
        self,
        model: nn.Module,
        descent: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        ema: float | None = None,
    ) -> tuple[nn.Module, Any]:
        """Move everything to the device, and back to where an interrupted training stopped.

        Args:
            model: moved in place.
            descent: the optimiser of its parameters.
            schedule: of the optimiser's rates.
            ema: decay of an exponential mean of weights and buffers, which begins with those after
                the first step; the model has it when `steps` has come to its end.

        Returns:
            The network and the optimiser to use in the loop.
        """
        self._model, self._descent, self._schedule = model, descent, schedule
        if self.device.type == "cuda":
            model.to(memory_format=torch.channels_last)
        network = torch.compile(model) if self.machine.compile else model
        self._network, optimiser = self.fabric.setup(network, descent)
        self._mean = None
        if ema is not None:
            self._mean = AveragedModel(
                model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True
            )
        if self.rank:
            # Dropout of its own. The seed is mixed, since torch's generator on the CPU looks at 32
            # bits of it and neighbouring seeds are those of other experiments.
            mixed = np.random.SeedSequence([torch.initial_seed(), self.rank]).generate_state(1)
            torch.manual_seed(int(mixed[0]))
        if self._kept is not None:
            model.load_state_dict(self._kept["model"])
            descent.load_state_dict(self._kept["optimiser"])
            schedule.load_state_dict(self._kept["schedule"])
            self.fabric.strategy.precision.load_state_dict(self._kept["precision"])
            if self._mean is not None:
                self._mean.load_state_dict(self._kept["mean"])
        return self._network, optimiser

    def steps(self, batches: Iterable[dict], total: int, title: str) -> Iterator[tuple[int, Any]]:
        """The iterations that are left, each with its micro-batches on the device.

        After each the numbers given to `log` become a row of the history and of the metrics, and
        a checkpoint is written when one is due or when the process was asked to stop.

        Args:
            batches: micro-batches, from the first iteration that is left; more are not drawn.
            total: number of iterations in all, at which the training ends.
            title: of the progress bar.

        Yields:
            Number of the iteration, from 1, and an iterator over its micro-batches.

        Raises:
            Interrupted: after a signal that asked to stop, when everything is saved.
            FloatingPointError: after an iteration whose loss was not finite.
            ValueError: if there are fewer micro-batches.
        """
        batches = iter(batches)
        if self._kept is not None:
            # After the loader, which draws a seed as well; and only where it is the same machine.
            set_random_state(self._kept["random"], self.device, self.rank, self.processes)
            self._kept = None
        if self.run is not None and self.rank == 0:
            path = self.run.folder / "metrics.csv"
            self._metrics = Metrics(path, self.done, self.machine.tensorboard)
        hidden = self.rank > 0 or not self.machine.progress
        self._progress = tqdm(total=total, initial=self.done, desc=title, disable=hidden)
        self._saved = time.monotonic()
        began = time.perf_counter()
        while self.done < total:
            step = list(islice(batches, self.machine.accumulation))
            if len(step) < self.machine.accumulation:
                raise ValueError(f"{title}: batches for {self.done} of {total} iterations")
            rate = self._descent.param_groups[0]["lr"]
            self._logged: list[dict[str, Tensor]] = []
            yield self.done + 1, self._on_device(step)
            if self._mean is not None:
                self._mean.update_parameters(self._model)
            self.done += 1
            stop, due = self._record(rate, step, time.perf_counter() - began)
            began = time.perf_counter()
            self._progress.update()
            if stop or due:
                self._checkpoint()
            if stop:
                raise Interrupted(
                    stop, f"stopped after iteration {self.done} of {total}; run again to go on"
                )
        self._progress.close()
        if self._mean is not None:
            self._model.load_state_dict(self._mean.module.state_dict())

    def _on_device(self, step: list[dict]) -> Iterator[dict]:
        self._pieces = len(step)
        for number, batch in enumerate(step, start=1):
            # Gradients travel between processes once, with the last micro-batch.
            alone = self.processes > 1 and number < len(step)
            with self.fabric.no_backward_sync(self._network) if alone else nullcontext():
                yield {
                    name: value.to(self.device, non_blocking=True)
                    if isinstance(value, Tensor)
                    else value
                    for name, value in batch.items()
                }

    def backward(self, loss: Tensor) -> None:
        """Add a micro-batch's share of the gradient."""
        self.fabric.backward(loss / self._pieces)

    def log(self, **numbers: Tensor) -> None:
        """Note scalars of a micro-batch, "loss" among them; the iteration's row has their means."""
        self._logged.append({name: number.detach() for name, number in numbers.items()})

    def _record(self, rate: float, step: list[dict], seconds: float) -> tuple[int, bool]:
        """Add the iteration's row; say which signal asks to stop, 0 for none, and whether to save.

        All processes must take the same turn, so they tell one another. Nothing is read from the
        device before this, so that it is never kept waiting within an iteration.

        Raises:
            FloatingPointError: if the loss is not finite; no checkpoint holds what came of it.
        """
        names = list(self._logged[0])
        values = torch.stack([torch.stack([row[n] for n in names]) for row in self._logged])
        # A micro-batch without a single box has no accuracy: NaN, which does not count.
        sums = torch.cat([values.nansum(0), values.isfinite().sum(0)])  # [2 names]
        late = time.monotonic() - self._saved >= 60 * self.machine.checkpoint_minutes
        broken = not values[:, names.index("loss")].isfinite().all()
        flags = torch.tensor([self._asked or 0, self.run is not None and late, broken])
        if self.processes > 1:
            sums = self.fabric.all_reduce(sums, reduce_op="sum")
            flags = self.fabric.all_reduce(flags.to(self.device), reduce_op="max")
        stop, due, broken = flags.tolist()
        if broken:
            raise FloatingPointError(
                f"the loss became infinite or NaN at iteration {self.done}: lower the learning rate"
            )
        means = sums[: len(names)] / sums[len(names) :]
        numbers = dict(zip(names, means.tolist(), strict=True))
        self.history.append(numbers)
        self.seconds += seconds
        if self._metrics is not None:
            crops = self.processes * sum(len(batch["image"]) for batch in step)
            self._metrics.append(
                {
                    "iteration": self.done,
                    **numbers,
                    "learning_rate": rate,
                    "samples_per_second": round(crops / seconds, 3),
                    "seconds": round(self.seconds, 3),
                }
            )
        return stop, bool(due)

    def _checkpoint(self) -> None:
        if self.run is None:
            return
        random = {k: self._everyones(v) for k, v in random_state(self.device).items()}
        if self.rank == 0:
            assert self._metrics is not None
            self._metrics.sync()
            self.run.save(
                {
                    "iteration": self.done,
                    "model": self._model.state_dict(),
                    "mean": None if self._mean is None else self._mean.state_dict(),
                    "optimiser": self._descent.state_dict(),
                    "schedule": self._schedule.state_dict(),
                    "precision": self.fabric.strategy.precision.state_dict(),
                    "random": random,
                    "history": self.history,
                    "extra": self.extra,
                    "seconds": self.seconds,
                }
            )
        self._saved = time.monotonic()

    def _everyones(self, state: Tensor) -> Tensor:
        """The random states of all processes, uint8 [processes, bytes]."""
        states = [state]
        if self.processes > 1:
            states = [state] * self.processes
            torch.distributed.all_gather_object(states, state)
        return torch.stack(states)

    @contextmanager
    def guarded(self, batch: int) -> Iterator[None]:
        """Let SIGTERM, and SIGINT once, end an iteration and not the process; explain full memory.

        Args:
            batch: of the profile, for the explanation.

        Raises:
            RunError: in place of an error of too little memory.
        """

        def ask(number: int, frame: Any) -> None:
            self._asked = number
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one ends it at once

        # Python hands signals to the main thread only; a training elsewhere goes without.
        watched = (signal.SIGTERM, signal.SIGINT) if self.run is not None else ()
        if threading.current_thread() is not threading.main_thread():
            watched = ()
        before = {number: signal.signal(number, ask) for number in watched}
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            size = self.micro_batch(batch)
            remedy = "--accumulate with a larger number" if size > 1 else "a smaller crop"
            raise RunError(
                f"{self.device.type} ran out of memory with micro-batches of {size} crops: use "
                f"{remedy}"
            ) from error
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._metrics is not None:
                self._metrics.close()
            if self._progress is not None:
                self._progress.close()  # an error is told on a line of its own

    def first_alone(self, work: Callable[[], Any]) -> Any:
        """Let the first process do something that the others wait for; they get its result too."""
        return self.fabric.broadcast(work() if self.rank == 0 else None)


def engine_of(model: nn.Module) -> Engine:
    """An engine on the device where a model is, which keeps nothing."""
    device = next(model.parameters()).device
    return Engine(Machine(accelerator=str(device), devices=1, nodes=1))


def finish() -> bool:
    """Take leave of the other processes, where there are any; say whether this is the first."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return True
    first = torch.distributed.get_rank() == 0
    torch.distributed.destroy_process_group()
    return first


def begin_worker(worker: int) -> None:
    """For a DataLoader's ``worker_init_fn``: signals are the main process's, ends are shared.

    Queues send SIGTERM to workers as well. One that died of it would take the iteration with it
    that the main process wants to finish and save. PyTorch's own watch over that process does not
    see it end where the workers are not its forks.
    """
    end_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
