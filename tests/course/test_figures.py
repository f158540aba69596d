"""Saved figures: same bytes on every run, with a note of where they came from."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from bana.course import figures
from bana.files.paths import figures_dir


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BANA_FIGURES", str(tmp_path / "figures"))
    yield figures_dir("smoke")
    plt.close("all")


def draw(height=1.0):
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, height])
    return fig


def save(fig, tmp_path, **changes):
    data = tmp_path / "scores.json"
    if not data.exists():
        data.write_text("{}")
    settings = {
        "name": "teaser",
        "alt": "A line that rises",
        "profile": "smoke",
        "inputs": [data, "VOC subset, val"],
        "command": "bana run --profile smoke --only 08",
    }
    return figures.save_figure(fig, **(settings | changes))


def test_three_files_of_which_the_note_tells_the_origin(tmp_path, folder):
    assert save(draw(), tmp_path) == folder / "teaser.png"
    assert sorted(f.name for f in folder.iterdir()) == ["teaser.json", "teaser.png", "teaser.svg"]
    note = json.loads((folder / "teaser.json").read_text())
    assert set(note) == {"alt", "profile", "seed", "commit", "inputs", "command"}
    assert note["inputs"][0] == {"name": "scores.json", "sha256": "44136fa355b3"}
    assert note["inputs"][1] == {"name": "VOC subset, val"}
    assert str(tmp_path) not in (folder / "teaser.json").read_text()


def test_the_same_figure_gives_the_same_bytes(tmp_path, folder):
    def saved():
        save(draw(), tmp_path)
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    assert saved() == saved()


def test_the_commit_is_the_one_that_changed_the_picture(tmp_path, folder, monkeypatch):
    def commit():
        return json.loads((folder / "teaser.json").read_text())["commit"]

    monkeypatch.setattr(figures, "source_commit", lambda: "aaaaaaa")
    save(draw(), tmp_path)
    monkeypatch.setattr(figures, "source_commit", lambda: "bbbbbbb")
    save(draw(), tmp_path)
    assert commit() == "aaaaaaa"
    save(draw(height=2.0), tmp_path)
    assert commit() == "bbbbbbb"
    monkeypatch.setattr(figures, "source_commit", lambda: "ccccccc")
    (tmp_path / "scores.json").write_text('{"mIoU": 1}')
    save(draw(height=2.0), tmp_path)
    assert commit() == "ccccccc"


def test_a_large_figure_is_saved_at_a_lower_resolution(tmp_path, folder):
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    fig, ax = plt.subplots(figsize=(8, 6))
    ax.imshow(noise, interpolation="nearest")
    save(fig, tmp_path)
    assert all(file.stat().st_size < figures.MAX_BYTES for file in folder.iterdir())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "a/b"}, "letters, digits"),
        ({"alt": " "}, "must not be empty"),
        ({"command": ""}, "must not be empty"),
        ({"profile": "smal"}, "unknown profile"),
    ],
)
def test_errors_say_what_is_wrong(tmp_path, changes, reason):
    with pytest.raises(ValueError, match=reason):
        save(draw(), tmp_path, **changes)


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.json"):
        save(draw(), tmp_path, inputs=[tmp_path / "absent.json"])


def test_fingerprint_of_a_folder_sees_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    first = figures.fingerprint(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = figures.fingerprint(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, figures.fingerprint(tmp_path)}) == 3
