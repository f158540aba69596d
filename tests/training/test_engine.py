"""The machine's part of a training: pieces of a batch, precision, memory, checkpoints, errors."""

import csv
import errno
import math
import os
import re
import signal
import sys
import time
import types
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from training_jobs import job_profile, know_jobs, tiny

from bana.commands.main import main
from bana.experiment import classifying, stages, trained
from bana.files.artefacts import read_json
from bana.files.unfinished import NotWritten
from bana.networks.classifier import BoxClassifier, box_loss
from bana.networks.segmenter import Segmenter, build_neck
from bana.training import classification, engine, runs
from bana.training.classification import train_classifier
from bana.training.engine import Engine
from bana.training.machine import (
    Machine,
    activation_bytes,
    device_of,
    make_fabric,
    processes_of,
    random_state,
    set_random_state,
)
from bana.training.optimisation import Optimisation, optimiser
from bana.training.runs import Interrupted, Metrics, Run, RunError
from bana.training.segmentation import train_segmenter

CPU = Machine(accelerator="cpu")


def crops(seed: int, n: int = 4, side: int = 33) -> dict:
    """A batch with a box an image, of a random class."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(2, 12, (n, 2), generator=generator)
    boxes = torch.cat([torch.arange(n)[:, None], corner, corner + 14], 1).float()
    background = torch.ones(n, 1, side, side)
    for image, x1, y1, x2, y2 in boxes.int().tolist():
        background[image, :, y1:y2, x1:x2] = 0
    y_crf, y_ret = torch.randint(3, (2, n, side, side), generator=generator).byte()
    return {
        "image": torch.randint(256, (n, 3, side, side), generator=generator, dtype=torch.uint8),
        "background": background,
        "boxes": boxes,
        "labels": torch.randint(1, 3, (n,), generator=generator),
        "y_crf": y_crf,
        "y_ret": y_ret,
    }


def small_segmenter(dropout: float = 0.0) -> Segmenter:
    torch.manual_seed(0)
    neck, channels = build_neck("aspp-small", 8)
    return Segmenter(tiny(dropout)(16, 0, None), neck, channels, 2)


def small_classifier() -> BoxClassifier:
    torch.manual_seed(0)
    return BoxClassifier(tiny(0.0)(16, 0, None), 2)


@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(0, 5)
)
def test_crops_of_an_iteration_do_not_depend_on_the_number_of_processes(
    processes: int, accumulation: int, size: int, iterations: int, done: int
) -> None:
    done = min(done, iterations)
    batch = processes * accumulation * size
    order = list(range(iterations * batch))
    seen: list[list[int]] = [[] for _ in range(iterations)]
    for rank in range(processes):
        hold = Engine(Machine(accelerator="cpu", accumulation=accumulation))
        hold.processes, hold.rank, hold.done = processes, rank, done
        pieces = hold.draws(order, batch)
        assert len(pieces) == (iterations - done) * accumulation
        assert all(len(piece) == size for piece in pieces)
        for number, piece in enumerate(pieces):
            seen[done + number // accumulation] += piece
    for t in range(done, iterations):
        assert sorted(seen[t]) == order[t * batch : (t + 1) * batch]


@pytest.mark.parametrize(
    ("variables", "settings", "expected"),
    [
        ({}, {}, (1, 1)),
        ({}, {"devices": 2, "nodes": 3}, (2, 3)),
        ({"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}, {}, (4, 2)),
        ({"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}, {"devices": 1, "nodes": 1}, (1, 1)),
        ({"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "bana"}, {}, (4, 2)),
        ({"SLURM_NTASKS": "8", "SLURM_JOB_NAME": "interactive"}, {}, (1, 1)),
    ],
)
def test_processes_are_those_that_were_started(
    variables: dict, settings: dict, expected: tuple[int, int], monkeypatch
) -> None:
    for name in list(os.environ):
        if name.startswith("SLURM_") or name.endswith("WORLD_SIZE"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert processes_of(Machine(**settings)) == expected


def test_a_batch_that_cannot_be_cut_is_named() -> None:
    hold = Engine(Machine(accelerator="cpu", accumulation=3))
    with pytest.raises(ValueError, match="batch of 20 does not divide into 1 processes x 3"):
        hold.micro_batch(20)


def test_a_step_is_the_mean_of_its_micro_batches() -> None:
    settings = Optimisation(3, 8, 1e-2)
    batches = [crops(seed) for seed in range(6)]
    model, reference = small_classifier(), small_classifier()
    history = train_classifier(
        model, batches, settings, 1.0, Engine(Machine(accelerator="cpu", accumulation=2))
    )
    sgd, losses = optimiser(reference, settings), []
    for pair in zip(batches[::2], batches[1::2], strict=True):
        both = [
            box_loss(reference(b["image"], b["background"], b["boxes"]), b["labels"]) for b in pair
        ]
        loss = torch.stack(both).mean()
        losses.append(loss.item())
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    assert [row["loss"] for row in history] == pytest.approx(losses, rel=1e-6)
    for one, other in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_crops_without_boxes_and_background_train_nothing() -> None:
    batch = crops(0)
    batch |= {"boxes": torch.zeros(0, 5), "labels": torch.zeros(0).long()}
    batch["background"] = torch.zeros_like(batch["background"])
    model = small_classifier()
    before = model.weight.detach().clone()
    settings = Optimisation(1, 4, 1e-2, weight_decay=0.0)
    (row,) = train_classifier(model, [batch], settings)
    assert row["loss"] == 0 and torch.equal(model.weight, before)


@pytest.mark.parametrize("stage", ["classifier", "segmenter"])
def test_half_precision_trains_alike(stage: str) -> None:
    settings, batches = Optimisation(4, 4, 1e-2), [crops(seed) for seed in range(4)]
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        hold = Engine(Machine(accelerator="cpu", precision=precision))
        if stage == "classifier":
            history = train_classifier(small_classifier(), batches, settings, 1.0, hold)
        else:
            history = train_segmenter(small_segmenter(), batches, settings, "nal", None, hold)
        losses.append([row["loss"] for row in history])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]


def test_half_precision_leaves_boxes_alone() -> None:
    # Pixel 257 has no bfloat16.
    fabric = make_fabric(Machine(accelerator="cpu", precision="bf16-mixed"))
    network = fabric.setup(nn.Identity())
    seen = []
    network.module.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    network(torch.tensor([[0.0, 257.0, 3.0, 301.0, 9.0]]))
    assert seen[0].dtype == torch.float32 and seen[0][0, 1] == 257


def test_compiled_network_is_the_same_network(monkeypatch) -> None:
    compiled = []

    def compile_eagerly(model):
        compiled.append(model)
        return model

    monkeypatch.setattr(torch, "compile", compile_eagerly)
    model = small_segmenter()
    hold = Engine(Machine(accelerator="cpu", compile=True))
    train_segmenter(model, [crops(0)], Optimisation(1, 4, 1e-2), "crf", None, hold)
    assert compiled == [model]


def kept(iteration: int) -> dict:
    return {"iteration": iteration, "weight": torch.full((3,), float(iteration))}


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, capsys) -> None:
    run = Run(tmp_path, "key")
    for iteration in (1, 2, 3):
        run.save(kept(iteration))
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2
    newest = max(tmp_path.glob("checkpoint-*"))
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)
    resumed = Run(tmp_path, "key")
    assert resumed.load()["iteration"] == 2
    assert "damaged" in capsys.readouterr().out
    resumed.save(kept(3))
    names = sorted(path.stem.split("-")[1] for path in tmp_path.glob("checkpoint-*"))
    assert names == ["00000002", "00000003"] and Run(tmp_path, "key").load()["iteration"] == 3


def test_a_checkpoint_of_another_key_is_not_resumed(tmp_path: Path) -> None:
    Run(tmp_path, "one").save(kept(1))
    assert Run(tmp_path, "other").load() is None


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter\nfailed")],
    ids=["system", "torch"],
)
def test_a_full_disk_leaves_the_last_good_checkpoint(
    error: Exception, tmp_path: Path, monkeypatch
) -> None:
    run = Run(tmp_path, "key")
    run.save(kept(1))

    def full(value: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch, pytest.raises(RunError, match="free some disk") as caught:
        patch.setattr(torch, "save", full)
        run.save(kept(2))
    assert "\n" not in str(caught.value) and "checkpoint-00000001" in str(caught.value)
    assert [path.suffix for path in tmp_path.iterdir()] == [".pt"]
    assert Run(tmp_path, "key").load()["iteration"] == 1


def test_metrics_have_every_iteration_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = Metrics(path, 0)
    for iteration in range(1, 6):
        metrics.append({"iteration": iteration, "loss": 1 / iteration})
    metrics.close()
    path.write_text(path.read_text()[:-4])  # killed in the middle of the last row
    metrics = Metrics(path, 3)
    metrics.append({"iteration": 4, "loss": 0.25})
    metrics.close()
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert rows[0] == ["iteration", "loss"]
    assert [(int(n), float(loss)) for n, loss in rows[1:]] == [(n, 1 / n) for n in range(1, 5)]
    Metrics(path, 0).close()
    assert path.read_text() == ""


@pytest.mark.parametrize("room", [0, 5], ids=["none", "half a row"])
def test_metrics_on_a_full_disk_are_named_and_go_on(room: int, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = Metrics(path, 0)
    metrics.append({"iteration": 1, "loss": 1.0})
    disk = metrics._file

    class Full:
        def write(self, data: bytes) -> int:
            if not room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return disk.write(data[:room])

        close = disk.close

    metrics._file = Full()
    line = f"{path} cannot be written (No space left on device)"
    with pytest.raises(NotWritten, match=re.escape(line)):
        metrics.append({"iteration": 2, "loss": 0.5})
    metrics.close()  # does not fail a second time
    metrics = Metrics(path, 1)
    metrics.append({"iteration": 2, "loss": 0.25})
    metrics.close()
    assert path.read_text() == "iteration,loss\n1,1.0\n2,0.25\n"


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free some disk"), (errno.EACCES, "writable"), (errno.EROFS, "writable")],
)
def test_a_closed_folder_is_not_called_full(
    number: int, advice: str, tmp_path: Path, monkeypatch
) -> None:
    def refused(*given: object) -> None:
        raise RuntimeError(f"[enforce fail at x.cc:1] . open failed: {os.strerror(number)}\nmore")

    monkeypatch.setattr(torch, "save", refused)
    with pytest.raises(RunError, match=advice) as caught:
        Run(tmp_path, "key").save(kept(1))
    assert f"({os.strerror(number)};" in str(caught.value)


def test_tensorboard_gets_the_same_numbers(tmp_path: Path, monkeypatch) -> None:
    written = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            written.append((Path(folder), purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def close(self) -> None:
            written.append("closed")

    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    monkeypatch.setattr(runs.importlib.util, "find_spec", lambda name: name)
    metrics = Metrics(tmp_path / "metrics.csv", 2, tensorboard=True)
    metrics.append({"iteration": 3, "loss": 0.5})
    metrics.close()
    expected = [(tmp_path / "tensorboard", 3), ("iteration", 3, 3), ("loss", 0.5, 3), "closed"]
    assert written == expected


def test_signals_are_left_as_they_were(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    hold = Engine(CPU, Run(tmp_path, "key"))
    with pytest.raises(KeyboardInterrupt), hold.guarded(4):
        signal.raise_signal(signal.SIGINT)  # asks
        signal.raise_signal(signal.SIGINT)  # insists
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("rule", "ema"), [("sgd", None), ("adamw", None), ("sgd", 0.75), ("adamw", 0.75)]
)
def test_resumed_with_dropout_is_unbroken(rule: str, ema: float | None, tmp_path: Path) -> None:
    settings = Optimisation(6, 4, 1e-2, rule=rule, ema=ema)
    batches = [crops(seed) for seed in range(6)]
    every = Machine(accelerator="cpu", checkpoint_minutes=0)

    def train(folder: Path, given: list[dict]) -> Segmenter:
        hold = Engine(every, Run(folder, "key"))
        model = small_segmenter(0.5)
        torch.manual_seed(7)
        train_segmenter(model, given[hold.done :], settings, "nal", None, hold)
        model.history = hold.history
        return model

    unbroken = train(tmp_path / "one", batches)
    broken = [*batches[:3], {**batches[3], "y_ret": torch.zeros(1)}]
    with pytest.raises(ValueError, match="labels must be"):
        train(tmp_path / "two", broken)
    resumed = train(tmp_path / "two", batches)
    assert resumed.history == unbroken.history and len(resumed.history) == 6
    for one, other in zip(resumed.parameters(), unbroken.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_mean_that_was_stopped_after_the_last_step_is_still_the_result(tmp_path: Path) -> None:
    settings, batches = Optimisation(3, 4, 1e-2, ema=0.75), [crops(seed) for seed in range(3)]
    unbroken = small_segmenter()
    train_segmenter(unbroken, batches, settings, "crf")
    hold = Engine(Machine(accelerator="cpu", checkpoint_minutes=0), Run(tmp_path, "key"))

    def ask(number: int, model: Segmenter) -> None:
        if number == 3:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="after iteration 3 of 3"), hold.guarded(4):
        train_segmenter(small_segmenter(), batches, settings, "crf", ask, hold)
    resumed, hold = small_segmenter(), Engine(CPU, Run(tmp_path, "key"))
    train_segmenter(resumed, [], settings, "crf", None, hold)
    assert hold.done == 3
    for one, other in zip(resumed.parameters(), unbroken.parameters(), strict=True):
        assert torch.equal(one, other)


def test_every_process_has_dropout_of_its_own() -> None:
    drawn = set()
    for rank in range(4):
        torch.manual_seed(0)
        model = nn.Linear(1, 1)
        hold = Engine(CPU)
        hold.rank = rank
        sgd = torch.optim.SGD(model.parameters(), 0.1)
        hold.start(model, sgd, torch.optim.lr_scheduler.MultiStepLR(sgd, [1]))
        drawn.add(float(torch.rand(())))
    assert len(drawn) == 4


def test_random_states_come_back_to_their_process() -> None:
    states = []
    for seed in (1, 2, 3):
        torch.manual_seed(seed)
        states.append(random_state(torch.device("cpu"))["cpu"])
    stacked = {"cpu": torch.stack(states)}
    for rank, seed in enumerate((1, 2, 3)):
        set_random_state(stacked, torch.device("cpu"), rank, 3)
        drawn = torch.rand(3)
        torch.manual_seed(seed)
        assert torch.equal(drawn, torch.rand(3))
    before = torch.get_rng_state()
    set_random_state(stacked, torch.device("cpu"), 0, 2)  # of another number of processes
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_not_finite_leaves_the_checkpoint_before_it(tmp_path: Path) -> None:
    settings, batches = Optimisation(3, 4, 1e-2), [crops(seed) for seed in range(2)]
    model = small_segmenter()

    def spoil(number: int, model: Segmenter) -> None:
        if number == 1:
            model.weight.data.fill_(float("nan"))

    hold = Engine(
        Machine(accelerator="cpu", checkpoint_minutes=0, accumulation=1), Run(tmp_path, "key")
    )
    with pytest.raises(FloatingPointError, match="NaN at iteration 2: lower the learning rate"):
        train_segmenter(model, batches, settings, "crf", spoil, hold)
    assert Run(tmp_path, "key").load()["iteration"] == 1
    assert len(hold.history) == 1


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_training_ends_at_its_iterations_and_draws_no_batch_more(accumulation: int) -> None:
    model = nn.Linear(1, 1)
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    hold, numbers = Engine(Machine(accelerator="cpu", accumulation=accumulation)), iter(range(99))
    hold.start(model, sgd, torch.optim.lr_scheduler.MultiStepLR(sgd, [1]))
    hold.done = 1  # as a training that goes on
    batches = ({"image": torch.zeros(1), "number": number} for number in numbers)
    seen = []
    for number, micro_batches in hold.steps(batches, 3, "toy"):
        for batch in micro_batches:
            seen.append((number, batch["number"]))
            hold.log(loss=torch.tensor(0.0))
    expected = [(2 + place // accumulation, place) for place in range(2 * accumulation)]
    assert seen == expected and next(numbers) == len(expected)
    assert list(hold.steps(batches, 3, "toy")) == []


@pytest.mark.parametrize("stage", ["classifier", "segmenter"])
def test_too_few_batches_are_told(stage: str) -> None:
    settings, batches = Optimisation(5, 4, 1e-2), [crops(seed) for seed in range(2)]
    with pytest.raises(ValueError, match=rf"^{stage}.*: batches for 2 of 5 iterations$"):
        if stage == "classifier":
            train_classifier(small_classifier(), batches, settings)
        else:
            train_segmenter(small_segmenter(), batches, settings, "crf")


def numbered(*values: float) -> dict:
    """A micro-batch for `train_number`."""
    return {"image": torch.tensor(values)[:, None]}


def train_number(hold: Engine, batches: list[dict], accuracy: float = 1.0) -> float:
    """Train one weight w from 0 on the loss (w - 1) x, x the micro-batch's mean, at rate 1, .1, ...

    A step takes the rate times the mean x off the weight.
    """
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    sgd = torch.optim.SGD(model.parameters(), 1.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, [1])
    network, sgd = hold.start(model, sgd, schedule)
    total = hold.done + math.ceil(len(batches) / hold.machine.accumulation)
    for number, micro_batches in hold.steps(batches, total, "toy"):
        sgd.zero_grad()
        for batch in micro_batches:
            loss = network(batch["image"]).mean() - batch["image"].mean()
            hold.backward(loss)
            hold.log(loss=loss, accuracy=torch.tensor(accuracy))
        sgd.step()
        schedule.step()
        hold.extra[number] = torch.tensor(float(number))
    return model.weight.item()


def test_a_last_step_of_too_few_micro_batches_is_refused() -> None:
    hold = Engine(Machine(accelerator="cpu", accumulation=4))
    with pytest.raises(ValueError, match="^toy: batches for 1 of 2 iterations$"):
        train_number(hold, [numbered(1.0)] * 7)
    assert len(hold.history) == 1


@pytest.mark.parametrize("accumulation", [1, 2, 4])
def test_micro_batches_weigh_the_same_whatever_their_size_and_number(accumulation: int) -> None:
    batches = [numbered(1.0), numbered(2.0, 4.0, 9.0), numbered(7.0, 8.0), numbered(11.0)]
    means = [1.0, 5.0, 7.5, 11.0]
    steps = [means[i : i + accumulation] for i in range(0, 4, accumulation)]
    hold = Engine(Machine(accelerator="cpu", accumulation=accumulation))
    weight, expected = train_number(hold, batches), 0.0
    for number, (step, row) in enumerate(zip(steps, hold.history, strict=True)):
        mean = sum(step) / len(step)
        assert row["loss"] == pytest.approx(expected * mean - mean)
        expected -= (1.0 if number == 0 else 0.1) * mean
    assert weight == pytest.approx(expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", range(3))
def test_one_micro_batch_without_a_finite_loss_stops_the_training(
    value: float, place: int, tmp_path: Path
) -> None:
    whole = [numbered(1.0)] * 3
    broken = [numbered(value if number == place else 1.0) for number in range(3)]
    machine = Machine(accelerator="cpu", accumulation=3, checkpoint_minutes=0)
    hold = Engine(machine, Run(tmp_path, "key"))
    with pytest.raises(FloatingPointError, match="infinite or NaN at iteration 2"):
        train_number(hold, [*whole, *broken, *whole])
    assert len(hold.history) == 1
    assert Run(tmp_path, "key").load()["iteration"] == 1
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["iteration", "1"]


def test_numbers_other_than_the_loss_may_be_missing() -> None:
    hold = Engine(Machine(accelerator="cpu", accumulation=2))
    train_number(hold, [numbered(1.0)] * 2, float("nan"))
    (row,) = hold.history
    assert row["loss"] == -1 and row["accuracy"] != row["accuracy"]


EVERY_STEP = Machine(accelerator="cpu", checkpoint_minutes=0)
BATCHES = [numbered(1.0), numbered(2.0), numbered(4.0), numbered(8.0)]


@pytest.fixture
def half_done(tmp_path: Path) -> Path:
    """The folder of a training that did the first two of four steps."""
    train_number(Engine(EVERY_STEP, Run(tmp_path, "key")), BATCHES[:2])
    return tmp_path


def test_a_training_goes_on_with_all_that_it_had(half_done: Path, capsys) -> None:
    unbroken = Engine(CPU)
    weight = train_number(unbroken, BATCHES)
    hold = Engine(EVERY_STEP, Run(half_done, "key"))
    assert hold.done == 2 and len(hold.history) == 2 and hold.seconds > 0
    assert hold.extra == {1: 1.0, 2: 2.0}
    assert "going on after iteration 2" in capsys.readouterr().out
    assert train_number(hold, BATCHES[2:]) == pytest.approx(weight)
    assert hold.history == unbroken.history and list(hold.extra) == [1, 2, 3, 4]


def test_restart_forgets_all_that_a_training_had(half_done: Path, capsys) -> None:
    other = half_done / "other"
    train_number(Engine(EVERY_STEP, Run(other, "key")), BATCHES[:1])
    hold = Engine(replace(EVERY_STEP, restart=True), Run(half_done, "key"), {"given": 1})
    assert (hold.done, hold.history, hold.seconds) == (0, [], 0)
    assert hold.extra == {"given": 1}
    assert not list(half_done.glob("checkpoint-*")) and list(other.glob("checkpoint-*"))
    assert "going on" not in capsys.readouterr().out
    unbroken = Engine(CPU)
    assert train_number(hold, BATCHES) == train_number(unbroken, BATCHES)
    assert hold.history == unbroken.history
    rows = (half_done / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["iteration", "1", "2", "3", "4"]


def test_restart_without_a_run_or_a_checkpoint_is_a_start(tmp_path: Path) -> None:
    for run in (None, Run(tmp_path / "new", "key")):
        assert Engine(replace(CPU, restart=True), run).done == 0


def test_metrics_tell_rate_and_speed_of_the_step(tmp_path: Path, monkeypatch) -> None:
    # A clock that goes on by a quarter of a second whenever it is looked at.
    clock = types.SimpleNamespace(
        perf_counter=(0.25 * tick for tick in count()).__next__, monotonic=time.monotonic
    )
    monkeypatch.setattr(engine, "time", clock)
    machine = replace(EVERY_STEP, accumulation=2)
    batches = [*BATCHES, numbered(1.0, 2.0), numbered(3.0)]
    train_number(Engine(machine, Run(tmp_path, "key")), batches)
    with (tmp_path / "metrics.csv").open(newline="") as opened:
        rows = [{n: float(v) for n, v in row.items()} for row in csv.DictReader(opened)]
    assert [row["learning_rate"] for row in rows] == pytest.approx([1.0, 0.1, 0.1])
    assert [row["seconds"] for row in rows] == [0.25, 0.5, 0.75]
    assert [row["samples_per_second"] for row in rows] == [2 / 0.25, 2 / 0.25, 3 / 0.25]


def test_smallest_memory_of_a_training() -> None:
    # Worked out by hand: 17 x 17 and 5 x 5 cells of 8 channels, in bytes.
    assert activation_bytes(tiny(0.0)(16, 0, None), 65) == 4 * 8 * (17 * 17 + 5 * 5)


@pytest.fixture
def job(tmp_path: Path, monkeypatch):
    """Runs below a folder of the test; profile "job" can be named on the command line."""
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    profile = job_profile(3, batch=4)
    know_jobs(monkeypatch, profile)
    return profile


def said(capsys) -> str:
    """The one line of an error on the command line."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bana:")]
    assert len(lines) == 1
    return lines[0]


TRAIN = ["train", "classifier", "--profile", "job", "--accelerator", "cpu"]


def test_too_little_memory_is_said_before_training(job, monkeypatch, capsys) -> None:
    each = activation_bytes(tiny(0.5)(16, 0, None), job.crop)
    weights = sum(p.numel() for p in tiny(0.5)(16, 0, None).parameters())
    monkeypatch.setattr(engine, "free_memory", lambda device: 12 * weights + 2 * each)
    assert main(TRAIN) == 2
    assert said(capsys).endswith("use --accumulate 2")
    assert main([*TRAIN, "--accumulate", "2"]) == 0


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
    ],
    ids=["cpu", "cuda", "python"],
)
def test_memory_that_runs_out_is_one_line(error: Exception, job, monkeypatch, capsys) -> None:
    def fail(*arguments) -> None:
        raise error

    monkeypatch.setattr(classification, "box_loss", fail)
    assert main(TRAIN) == 2
    assert "ran out of memory with micro-batches of 4 crops: use --accumulate" in said(capsys)


def test_other_errors_are_not_called_memory(job, monkeypatch) -> None:
    def fail(*arguments) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(classification, "box_loss", fail)
    with pytest.raises(RuntimeError, match="a mistake"):
        main(TRAIN)


def test_a_folder_that_cannot_be_written_is_said_before_training(job, monkeypatch, capsys) -> None:
    stages.data_root(job)
    (stages.run_dir("job")).write_text("a file where the folder should be")
    assert main(TRAIN) == 2
    assert "cannot be written" in said(capsys)


def test_a_disk_too_small_is_said_before_training(job, monkeypatch, capsys) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda path: usage)
    assert main(TRAIN) == 2
    assert "free disk" in said(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--accelerator", "abacus"], "unknown accelerator 'abacus'"),
        (["--accelerator", "cuda"], "accelerator cuda: torch sees none here"),
        (["--accelerator", "cuda:1"], "accelerator cuda:1: torch sees none here"),
        (["--accelerator", "cpu:1"], "unknown accelerator 'cpu:1': use auto, cpu, cuda, cuda:<n"),
        (["--accelerator", "cpu:x"], "unknown accelerator 'cpu:x'"),
        (["--accelerator", "cuda:-1"], "unknown accelerator 'cuda:-1'"),
        (["--accumulate", "3"], "does not divide"),
        (["--accumulate", "0"], "accumulation must be at least 1"),
        (["--checkpoint-minutes", "-1"], "checkpoint_minutes must be >= 0"),
        (["--iterations", "0"], "iterations must be at least 1"),
        (["--tensorboard"], "TensorBoard is not installed"),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, list) else "",
)
def test_wrong_machine_is_one_line(words: list[str], message: str, job, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(runs.importlib.util, "find_spec", lambda name: None)
    assert main([*TRAIN, *words]) == 2
    assert message in said(capsys)


def test_devices_are_counted_from_zero(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    made = {name: device_of(name) for name in ("cpu", "cuda", "cuda:0", "cuda:1")}
    assert made == {
        "cpu": ("cpu", None),
        "cuda": ("cuda", None),
        "cuda:0": ("cuda", 0),
        "cuda:1": ("cuda", 1),
    }
    for name in ("cuda:2", "cuda:-1", "cuda:a", "cuda:", "cuda:²", "cpu:1", "cpu:-3", "mps", ""):
        assert device_of(name) is None, name


def test_a_result_that_cannot_be_written_is_one_line(job, monkeypatch, capsys) -> None:
    def full(*arguments) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(trained, "save_checkpoint", full)
        assert main([*TRAIN, "--checkpoint-minutes", "0"]) == 2
    assert "No space left on device" in said(capsys)
    assert main(TRAIN) == 0
    assert "going on after iteration 3" in capsys.readouterr().out


def test_restart_begins_anew(job, monkeypatch, capsys) -> None:
    assert main(TRAIN) == 0
    monkeypatch.setattr(classifying, "train_classifier", None)
    assert main(TRAIN) == 0  # finished: nothing to do
    with pytest.raises(TypeError):
        main([*TRAIN, "--restart"])


def test_a_run_says_what_it_was(job) -> None:
    stages.classifier(job, "bap", None, CPU)
    (folder,) = stages.run_dir("job").glob("classifier-bap-*")
    settings = read_json(folder / "settings.json")
    assert settings["training"] == "classifier-bap"
    assert settings["settings"]["optimisation"]["iterations"] == job.classifier.iterations
    assert (
        settings["settings"]["pooling"] == "bap" and settings["machine"]["precision"] == "32-true"
    )
    environment = read_json(folder / "environment.json")
    assert environment["torch"] == torch.__version__ and environment["device"].startswith("cpu")
    header = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert header[:4] == ["iteration", "loss", "accuracy", "learning_rate"]
    assert header[4:] == ["samples_per_second", "seconds"]
