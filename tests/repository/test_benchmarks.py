"""The benchmarks run, on small problems, and their records hold what is read from them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bana.evaluation.miou import score_labels
from bana.experiment import stages
from bana.experiment.profiles import get_profile
from bana.files.paths import repo_root


def run(name: str, out: Path) -> dict:
    command = [sys.executable, str(repo_root() / "benchmarks" / f"{name}.py"), "--quick"]
    command += ["--repeats", "1", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["depthwise", "labels", "pooling"])
def test_benchmark_of_two_methods_compares_equals(name: str, tmp_path: Path) -> None:
    record = run(name, tmp_path / "record.json")
    assert record["speed_up_median"] > 0
    if name == "depthwise":
        assert record["largest_difference_of_gradients"] < 1e-5
    if name == "labels":
        assert record["largest_difference_of_unaries"] < 1e-4
        assert min(record["equal_y_crf"], record["equal_y_ret"]) > 0.999


def test_benchmark_of_the_crf(tmp_path: Path) -> None:
    record = run("crf", tmp_path / "record.json")
    assert {row["parameters"] for row in record["one_thread"]} == {
        row["parameters"] for row in record["two_processes"]
    }
    for row in record["accuracy"]:
        assert row["dense"]["equal_labels"] > 0.9
        assert row["dense"]["mean_difference"] < 0.05
    assert "exact" in record["scaling"][0]


def test_benchmark_of_labelling(tmp_path: Path) -> None:
    record = run("labelling", tmp_path / "record.json")
    assert record["images"] == 6
    assert record["2 processes of 1 thread"]["images_a_second"] > 0


def test_benchmark_beside_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the package does without it")
    record = run("ray_data", tmp_path / "record.json")
    for way in ("bana", "ray, all steps", "ray, apart"):
        assert record[way]["equal_label_files"] == record[way]["label_files"] == 32


def test_benchmark_of_the_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))
    record = run("threshold", tmp_path / "record.json")
    assert record["profile"] == "smoke" and len(record["images"]) == 3
    rows = record["thresholds"]
    assert list(rows) == ["none", "0", "0.6", "0.7", "0.75", "0.8", "0.85", "0.9", "0.99"]
    assert record["profiles_threshold"] == "0.75" and "verdict" not in rows["0.75"]
    ours = rows["0.75"]["miou"]["value"]
    for row in rows.values():
        assert row["miou"]["low"] <= row["miou"]["high"]
        margin = row["miou"]["value"] - ours
        assert row.get("less_the_profiles", {"mean": 0})["mean"] == pytest.approx(margin)
    scores = [rows[name]["miou"]["value"] for name in ("none", "0", "0.75")]
    assert len(set(scores)) == 3, "these make labels of their own"
    without = no_background(record["images"])
    assert rows["none"]["miou"]["value"] == pytest.approx(without)


def no_background(names: list[str]) -> float:
    """mIoU of the labels without u_0, of the run's own classifier."""
    profile = get_profile("smoke")
    model, data = stages.classifier(profile), stages.dataset(profile, "train")
    pairs = []
    for name in names:
        item = data[data.ids.index(name)]
        made = stages.image_labels(profile, model, item, "bap-no-u0")
        pairs.append((made.y_crf, data.mask(name)))
    return score_labels(pairs, len(data.classes)).miou


def test_benchmark_of_the_fingerprint(tmp_path: Path) -> None:
    record = run("fingerprint", tmp_path / "record.json")
    assert record["images"] == 50
    shares = record["share_of_decoding"]
    assert set(shares) == {"boxes", "boxes_and_masks", "boxes_again"}
    assert all(share > 0 for share in shares.values())
