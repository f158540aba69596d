"""Networks that are trained beside one another: the same networks, and nothing made twice."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import be_quick, make_profile

from bana.experiment import beside, stages
from bana.experiment.processes import computing_with
from bana.experiment.profiles import Profile, get_profile
from bana.training.runs import Interrupted


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    be_quick(monkeypatch)
    return make_profile(train_workers=2)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The jobs that were spread over processes; they are done here, where the backbone is known."""
    jobs_of: list[list[str]] = []

    def here(
        function: Any, shared: Any, jobs: Sequence[str], processes: int, title: str
    ) -> Iterator:
        assert processes == 2
        jobs_of.append(list(jobs))
        return ((job, function(shared, job)) for job in jobs)

    monkeypatch.setattr(beside, "spread", here)
    return jobs_of


def test_two_processes_train_what_one_thread_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = replace(get_profile("smoke"), train_workers=2)
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "two"))
    made = beside.classifiers(both)
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "one"))
    with computing_with(1):
        alone = stages.classifier(both, "gap")
    for name, value in alone.state_dict().items():
        # Not to the last bit: a library may cut its work otherwise in a process of another kind.
        torch.testing.assert_close(made["gap"].state_dict()[name], value, rtol=1e-3, atol=1e-5)
    assert (made["bap"].weight - made["gap"].weight).abs().max() > 5e-5


def test_only_what_is_missing_is_trained(profile: Profile, started: list[list[str]]) -> None:
    made = beside.classifiers(profile)
    assert started == [["gap", "bap"]] and list(made) == ["gap", "bap"]
    beside.classifiers(profile)
    networks = beside.segmenters(profile, ("crf", "nal", "truth"))
    assert started[1:] == [["crf", "nal", "truth"]] and list(networks) == ["crf", "nal", "truth"]
    assert torch.equal(networks["nal"].weight, stages.segmenter(profile, "nal").weight)
    beside.segmenters(profile, ("truth", "crf"))
    assert len(started) == 2


def test_one_network_and_those_of_a_gpu_are_trained_by_this_process(
    profile: Profile, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside.classifiers(profile, ("bap",))
    beside.classifiers(replace(profile, name="alone", train_workers=1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    beside.trained_beside(pytest.fail, None, ["one", "two"], 2, "on a GPU")
    assert started == []


def test_an_unknown_loss_is_refused(profile: Profile, started: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="unknown loss 'nall'"):
        beside.segmenters(profile, ("crf", "nall"))


def test_why_a_training_stopped_passes_between_processes() -> None:
    told = pickle.loads(pickle.dumps(Interrupted(15, "stopped after iteration 3")))
    assert told.exit_code == 143 and str(told) == "stopped after iteration 3"
