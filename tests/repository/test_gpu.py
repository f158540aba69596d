"""The script for a GPU: it goes on after a kill, ends in time, and a rehearsal is no result."""

import json
import re
import runpy
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from made_data import write_voc

from bana.commands import bench
from bana.commands.main import _parser
from bana.commands.train import refuse_unused_by_labels
from bana.data.voc import VocDataset
from bana.files.paths import repo_root
from bana.training.machine import Machine

REPO = repo_root()
STAGES = ("classifier", "segmentation")
ABOUT = {"device": "none", "commit": "1"}


@pytest.fixture(scope="module")
def gpu() -> SimpleNamespace:
    script = loaded("gpu")
    script.steps = loaded("gpu_steps")
    return script


@pytest.fixture(scope="module")
def checks() -> SimpleNamespace:
    return loaded("gpu_checks")


def loaded(name: str) -> SimpleNamespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPO / "benchmarks"))
        patch.delitem(sys.modules, "measure", raising=False)
        return SimpleNamespace(**runpy.run_path(str(REPO / "benchmarks" / f"{name}.py")))


def step(gpu, folder: Path, name: str, value: float = 1.0, code: str = "", **more):
    """A step that notes that it was there and writes a record with a number."""
    out = folder / f"{name}.json"
    program = f"""
import json, pathlib, time
{code}
with open({str(folder / "ran")!r}, "a") as file: file.write({name!r} + " ")
pathlib.Path({str(out)!r}).write_text(json.dumps({{"value": {value}}}))
"""
    goals = lambda record: [gpu.steps.at_least("speed", record["value"], 20.0)]  # noqa: E731
    return gpu.steps.Step(name, ["-c", program], out, goals, **more)


def ran(folder: Path) -> str:
    return (folder / "ran").read_text() if (folder / "ran").exists() else ""


def test_what_is_done_is_not_done_again(gpu, tmp_path: Path, monkeypatch, capsys) -> None:
    steps = [step(gpu, tmp_path, name) for name in ("a", "b", "c")]
    out, begin = tmp_path / "out.json", gpu.begin

    def killed(step, log):
        if step.name == "b":
            raise KeyboardInterrupt
        return begin(step, log)

    monkeypatch.setitem(gpu.run_all.__globals__, "begin", killed)
    with pytest.raises(KeyboardInterrupt):
        gpu.run_all(steps, out, 5, ABOUT, False)
    assert json.loads(out.read_text())["steps"]["a"]["state"] == "done"
    monkeypatch.undo()
    record = gpu.run_all(steps, out, 5, ABOUT, False)
    assert ran(tmp_path) == "a b c " and "a: done before" in capsys.readouterr().out
    assert [row["state"] for row in record["steps"].values()] == ["done"] * 3
    assert json.loads(out.read_text()) == record
    # Another step of the name, and another machine, begin anew.
    gpu.run_all([step(gpu, tmp_path, "a", 2.0)], out, 5, ABOUT, False)
    gpu.run_all([step(gpu, tmp_path, "a", 2.0)], out, 5, {**ABOUT, "device": "other"}, False)
    assert ran(tmp_path) == "a b c a a "


def test_it_ends_within_its_minutes(gpu, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(gpu.run_all.__globals__, "GRACE", 0.5)
    monkeypatch.setitem(gpu.run_all.__globals__, "LEAST", 0.5)
    half = f"open({str(tmp_path / 'long.json')!r}, 'w').write('{{}}'); time.sleep(60)"
    steps = [step(gpu, tmp_path, "long", code=half), step(gpu, tmp_path, "next")]
    began = time.monotonic()
    record = gpu.run_all(steps, tmp_path / "out.json", 2 / 60, ABOUT, False)
    assert time.monotonic() - began < 10
    states = {name: row["state"] for name, row in record["steps"].items()}
    assert states == {"long": "stopped", "next": "not reached"}
    assert "record" not in record["steps"]["long"]


def test_what_is_not_timed_runs_side_by_side_as_far_as_there_are_cores(gpu, tmp_path: Path) -> None:
    def noted(name: str, cores: int | None, after: tuple[str, ...] = ()):
        note = f"open({str(tmp_path / 'at')!r}, 'a').write"
        code = f"{note}({f'+{name} '!r}); time.sleep(.3); {note}({f'-{name} '!r})"
        return step(gpu, tmp_path, name, code=code, cores=cores, after=after)

    steps = [noted("a", None), noted("b", 1), noted("c", 2), noted("d", 1), noted("e", 9, ("b",))]
    record = gpu.run_all([*steps, noted("f", 1, ("e",))], tmp_path / "out.json", 5, ABOUT, False, 2)
    at = (tmp_path / "at").read_text().split()
    assert at[:2] == ["+a", "-a"] and {*at[2:4]} == {"+b", "+d"}, "c has no room beside b"
    assert at[-4:] == ["+e", "-e", "+f", "-f"] and at.index("+c") > at.index("-b")
    assert [row["alone"] for row in record["steps"].values()].count(True) == 1


def test_what_needs_a_failed_step_is_not_reached(gpu, tmp_path: Path) -> None:
    bad = step(gpu, tmp_path, "bad", code="raise SystemExit(3)", cores=1)
    steps = [bad, step(gpu, tmp_path, "next", cores=1, after=("bad",))]
    record = gpu.run_all(
        [*steps, step(gpu, tmp_path, "good", cores=1)], tmp_path / "o", 5, ABOUT, 0
    )
    states = {name: row["state"] for name, row in record["steps"].items()}
    assert states == {"bad": "failed", "good": "done", "next": "not reached"}


def test_a_failed_step_is_told_and_the_others_go_on(gpu, tmp_path: Path, capsys) -> None:
    steps = [step(gpu, tmp_path, "bad", code="raise SystemExit(3)"), step(gpu, tmp_path, "good")]
    record = gpu.run_all(steps, tmp_path / "out.json", 5, ABOUT, False)
    assert [row["state"] for row in record["steps"].values()] == ["failed", "done"]
    assert re.search(r"bad: failed after .* see .*bad\.log", capsys.readouterr().out)


def test_goals_are_met_or_missed_by_a_factor(gpu, tmp_path: Path, capsys) -> None:
    assert (
        gpu.steps.at_least("speed", 25.0, 20.0)["met"]
        and gpu.steps.at_most("minutes", 10.0, 10.0)["met"]
    )
    assert gpu.steps.at_least("speed", 5.0, 20.0)["short_by"] == 4.0
    assert gpu.steps.at_most("minutes", 15.0, 10.0)["over_by"] == 1.5
    gpu.run_all([step(gpu, tmp_path, "a", 5.0)], tmp_path / "out.json", 5, ABOUT, False)
    assert "MISSED: speed 5 >= 20 by a factor of 4.0" in capsys.readouterr().out


def test_the_page_says_what_the_record_says(gpu) -> None:
    record = json.loads((REPO / "results" / "gpu.json").read_text())
    page = (REPO / "docs" / "scaling.md").read_text().split("### On a GPU")[1].split("## ")[0]
    states = {name: record["steps"][name]["state"] for name in ("checks", "labels", "training")}
    assert states == {"checks": "failed", "labels": "done", "training": "done"}
    goals = record["steps"]["checks"]["goals"]
    assert [each["goal"].split(":")[0] for each in goals if not each["met"]] == [
        "training, 16-mixed"
    ]
    speed = record["steps"]["training"]["record"]
    told = [f"{speed[stage]['minutes_projected']['minutes']:.1f}" for stage in STAGES]
    told += [f"{speed[stage]['together']['crops_per_second']:.0f}" for stage in STAGES]
    assert all(each in page for each in told) and record["about"]["device"].split()[-1] in page
    labels = record["steps"]["labels"]["record"]["labels"]
    assert labels["least"] >= 0.9999 and labels["photographs"] == 50
    assert "99.99 % of the pixels or more in each of 50 photographs" in page


def test_goals_of_the_records(gpu) -> None:
    row = {"labels": 21, "plausible": 21, "parameters": "label", "picture": "a"}
    lacking = gpu.steps.crf_goals({"one_thread": [{**row, "dense": {}}]})
    assert not lacking[0]["met"] and "not measured" in lacking[0]["why"]
    timed = {**row, "pydensecrf": {}, "dense on GPU": {"ratio_to_pydensecrf": 0.025}}
    (goal,) = gpu.steps.crf_goals({"one_thread": [timed, {**timed, "labels": 2}]})
    assert goal["met"] and goal["value"] == 40
    minutes = {"minutes_projected": {"minutes": 12.0}}
    both = gpu.steps.training_goals({"classifier": minutes, "segmentation": minutes})
    assert [goal["met"] for goal in both] == [False, True]


def test_no_number_of_a_rehearsal_is_a_result(gpu, tmp_path: Path, capsys) -> None:
    steps = [step(gpu, tmp_path, "a", 25.0)]
    record = gpu.run_all(steps, tmp_path / "out.json", 5, ABOUT, True)
    row = record["steps"]["a"]
    assert record["rehearsal"] and row["rehearsal"] and row["goals"][0]["rehearsal"]
    assert row["goals"][0]["met"] is None and "rehearsal: speed" in capsys.readouterr().out
    for words in (["--rehearse", "--out", str(REPO / "results" / "gpu.json")], []):
        with pytest.raises(SystemExit) as ended:
            gpu.main(words)
        assert ended.value.code == 2
    assert "a rehearsal is no result" in capsys.readouterr().err


def test_without_a_gpu_it_says_so(gpu, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        gpu.main(["--photographs", str(tmp_path)])
    assert ended.value.code == 2 and "no CUDA GPU here" in capsys.readouterr().err


@pytest.mark.parametrize("tiny", [True, False], ids=["rehearsal", "real"])
def test_every_step_is_a_command_that_there_is(gpu, tmp_path: Path, tiny: bool) -> None:
    steps = gpu.steps.plan(tmp_path, None if tiny else tmp_path / "voc", tmp_path / "weights", 3)
    assert len({step.name for step in steps}) == len(steps)
    before: set[str] = set()
    for step in steps:
        assert before.issuperset(step.after), (step.name, step.after)
        before.add(step.name)
    for step in steps:
        if step.words[:2] == ["-m", "bana"]:
            asked = _parser().parse_args(step.words[2:])
            if "variant" in asked:  # refused where they would not be used
                refuse_unused_by_labels(asked, asked.variant)
            continue
        script = Path(step.words[0]).read_text(encoding="utf-8")
        for option in (word for word in step.words if word.startswith("--")):
            assert f'"{option}"' in script, (step.name, option)
    words = [" ".join(step.words) for step in steps]
    assert not any("cuda" in each for each in words) or not tiny
    if not tiny:
        order = [step.name for step in steps]
        assert order[:3] == ["checks", "labels", "training"] and order[-1] == "crf"
        assert order.index("recipes") < order.index("voc-mini")
        assert {*gpu.steps.RECIPES} == {*bench.RECIPES}
        trained = [each for each in words if " segmentation " in each and "paper-vgg" in each]
        assert len(trained) == 3 * len(gpu.steps.LOSSES)


def test_a_device_that_computes_otherwise_is_found(checks) -> None:
    cpu = torch.device("cpu")
    right = {"a": torch.ones(10), "labels": torch.arange(1000)}
    wrong = {
        "a digit": {**right, "a": 1 + 1e-3 * torch.arange(10)},
        "not finite": {"labels": right["labels"], "a": torch.tensor([float("nan")] * 10)},
        "labels": {**right, "labels": torch.arange(1000).clamp(max=900)},
    }
    for values in (right, *wrong.values()):
        check = checks.Check(lambda device, values=values: values, 1e-3, lambda device: right)
        assert checks.compared(check, cpu)["met"] == (values is right)

    def broken(device):
        raise RuntimeError("no kernel\nfor this device")

    row = checks.compared(checks.Check(broken, 1.0, lambda device: right), cpu)
    assert not row["met"] and row["error"] == "RuntimeError: no kernel for this device"


@pytest.mark.parametrize("name", ["bap", "interpolation", "labels", "losses", "training, 32-true"])
def test_the_cpu_is_no_distance_from_itself(checks, name: str) -> None:
    row = checks.compared(checks.CHECKS[name], torch.device("cpu"))
    assert row["met"] and row["apart"] <= 1e-6


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_sixteen_bits_are_another_computation(checks, precision: str) -> None:
    row = checks.compared(checks.CHECKS[f"training, {precision}"], torch.device("cpu"))
    assert row["met"] and 1e-5 < row["apart"], "else the check could not find anything"


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_the_usual_scale_of_float16_leaves_out_all_that_is_compared(checks) -> None:
    on_the_cpu = {"accelerator": "cpu", "devices": 1, "nodes": 1, "progress": False}
    there = checks.trained(Machine(precision="16-mixed", **on_the_cpu), 2.0**16)
    here = checks.trained(Machine(**on_the_cpu))
    assert there["losses"].unique().numel() == 1 and here["losses"].unique().numel() == 3
    # Which is what the GPU's record has.
    record = json.loads((REPO / "results" / "gpu.json").read_text())["steps"]["checks"]["record"]
    apart = record["checks"]["training, 16-mixed"]["apart"]
    assert checks.distance(there, here) == pytest.approx(apart, rel=1e-3)


def test_labels_of_photographs_are_compared(checks, tmp_path: Path) -> None:
    write_voc(
        tmp_path,
        [torch.ones(60, 80, dtype=torch.uint8)] * 2,
        [[(10, 10, 60, 50, "cat")]] * 2,
        ["background", "cat"],
        [checks.scene(60, 80)[0]] * 2,
    )
    row = checks.equal_labels(VocDataset(tmp_path, "train"), 1, torch.device("cpu"))
    assert row["met"] and row["photographs"] == 1 and row["least"] == 1.0
