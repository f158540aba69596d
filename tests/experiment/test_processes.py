"""Work spread over processes: what is made is the same, and what goes wrong is told."""

import os
from functools import partial

import pytest
import torch
from torch import Tensor

from bana.experiment.processes import spread
from bana.training.runs import RunError


def power(base: Tensor, exponent: int) -> tuple[Tensor, int, int]:
    return base**exponent, torch.get_num_threads(), os.getpid()


def die(code: int, job: int) -> None:
    os._exit(code)


def refuse(shared: None, job: int) -> None:
    raise ValueError(f"not {job}")


def test_several_processes_make_what_one_makes() -> None:
    base = torch.rand(3, generator=torch.Generator().manual_seed(0))
    here = dict(spread(power, base, [1, 2, 3, 4], 1, "here"))
    there = dict(spread(power, base, [1, 2, 3, 4], 2, "there"))
    assert here.keys() == there.keys() == {1, 2, 3, 4}
    for job, (value, threads, process) in there.items():
        assert torch.equal(value, here[job][0])
        assert threads == 1 and process != os.getpid() == here[job][2]


def test_what_goes_wrong_in_a_process_is_told() -> None:
    with pytest.raises(ValueError, match="not [12]"):
        list(spread(refuse, None, [1, 2], 2, "refused"))
    with pytest.raises(RunError, match="a process was ended from outside"):
        list(spread(die, 3, [1, 2], 2, "ended"))
    assert list(spread(partial(refuse), None, [], 2, "nothing")) == []
