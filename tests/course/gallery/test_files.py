"""Figures on disk: the same bytes on every run, with a note that tells their origin."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from bana.course.gallery import files
from bana.course.gallery.files import SIZES, Size, is_current, stem_of, write_figure


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def draw(height=1.0):
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, 1], [0, height])
    ax.set_title("a title")
    return fig


NOTE = {
    "item": "Figure 1",
    "title": "A line",
    "caption": "A line that rises.",
    "alt": "A line from 0 to 1",
    "command": "bana figure line --profile smoke",
    "profile": "smoke",
    "seed": 0,
    "key": "1234",
}


def write(folder, fig=None, **changes):
    return write_figure(fig or draw(), folder, "line", SIZES["paper"], NOTE | changes)


def test_three_formats_and_a_note_of_their_hashes(tmp_path):
    assert write(tmp_path / "new") == tmp_path / "new" / "line.png"
    names = {f"line.{ending}" for ending in ("png", "svg", "pdf", "json")}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names
    note = json.loads((tmp_path / "new" / "line.json").read_text())
    assert NOTE.items() <= note.items()
    assert set(note["files"]) == names - {"line.json"}
    assert set(note["versions"]) == {"python", "torch", "numpy", "matplotlib"}
    assert note["commit"]
    assert str(tmp_path) not in (tmp_path / "new" / "line.json").read_text()


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    def written():
        write(tmp_path)
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert written() == written()


def test_the_commit_is_the_one_that_changed_the_picture(tmp_path, monkeypatch):
    def commit_after(commit, **changes):
        monkeypatch.setattr(files, "source_commit", lambda: commit)
        write(tmp_path, **changes)
        return json.loads((tmp_path / "line.json").read_text())["commit"]

    assert commit_after("aaa") == "aaa"
    assert commit_after("bbb") == "aaa"
    assert commit_after("ccc", fig=draw(2.0)) == "ccc"
    assert commit_after("ddd", fig=draw(2.0), weights={"classifier-bap": "0"}) == "ddd"


def test_files_are_current_as_long_as_they_are_as_they_were_written(tmp_path):
    assert not is_current(tmp_path, "line", "1234")
    write(tmp_path)
    assert is_current(tmp_path, "line", "1234")
    assert not is_current(tmp_path, "line", "4321")
    whole = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path, content in whole.items():
        path.unlink()
        assert not is_current(tmp_path, "line", "1234"), path.name
        if path.suffix != ".json":
            path.write_bytes(content + b" ")
            assert not is_current(tmp_path, "line", "1234"), path.name
        path.write_bytes(content)


@pytest.mark.parametrize("key", files.REQUIRED)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_a_note_without_something_required_is_refused(key, value, tmp_path):
    with pytest.raises(ValueError, match=f"its note lacks {key}"):
        write(tmp_path, **{key: value})
    assert not list(tmp_path.iterdir())


def test_a_large_figure_is_saved_at_a_lower_resolution(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    monkeypatch.setattr(files, "MAX_BYTES", 200_000)
    fig, ax = plt.subplots(figsize=(3, 2))
    ax.imshow(noise, interpolation="nearest")
    size = Size(3.0, 2.0, 8.0, 200)
    write_figure(fig, tmp_path, "line", size, NOTE)
    assert all(path.stat().st_size < files.MAX_BYTES for path in tmp_path.iterdir())


def test_names_of_files():
    assert stem_of("teaser", "paper") == "teaser"
    assert stem_of("teaser", "slide") == "teaser-slide"
    with pytest.raises(ValueError, match="unknown size 'poster': use paper or slide"):
        stem_of("teaser", "poster")
    for name in ("a/b", "", "..", "a b"):
        with pytest.raises(ValueError, match="letters, digits"):
            stem_of(name, "paper")
