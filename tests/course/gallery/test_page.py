"""The published gallery: whole, described, in step with its files."""

import json
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from bana.course.gallery import page
from bana.course.gallery.files import REQUIRED, SIZES, write_figure
from bana.course.gallery.items import FIGURES
from bana.course.gallery.page import GalleryError, check_figure, gallery_page, publish_gallery
from bana.experiment.exhibits.table_items import TABLES
from bana.files.artefacts import file_hash
from bana.files.paths import figures_dir, gallery_dir, results_dir

TWO = ("teaser", "filling")


@pytest.fixture
def run(tmp_path: Path, monkeypatch) -> Path:
    """Figures of a run, two of them; returns where they lie."""
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(page, "FIGURES", {name: FIGURES[name] for name in TWO})
    for name in TWO:
        fig, ax = plt.subplots(figsize=(1, 1))
        ax.plot([0, 1])
        note = dict.fromkeys(REQUIRED, f"of {name}") | {"seed": 0, "caption": f"About {name}."}
        write_figure(fig, figures_dir("smoke"), name, SIZES["paper"], note)
        plt.close(fig)
    return figures_dir("smoke")


def test_publishing_copies_figures_and_writes_tables_and_the_page(run, tmp_path):
    folder = tmp_path / "gallery"
    changed = publish_gallery("smoke", folder)
    endings = [f"{name}.{e}" for name in TWO for e in ("png", "svg", "pdf", "json")]
    endings += [f"table-{name}.{e}" for name in TABLES for e in ("md", "csv", "tex", "json")]
    assert changed == sorted([*endings, "README.md"])
    assert (folder / "teaser.png").read_bytes() == (run / "teaser.png").read_bytes()
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "![of teaser](teaser.png)" in text and "**Of teaser.** About teaser." in text
    assert "**Table 1.**" in text and "| BAP, Y_crf |" in text
    assert publish_gallery("smoke", folder) == []
    (folder / "old.png").write_bytes(b"of a figure that is no more")
    assert publish_gallery("smoke", folder) == ["old.png"]
    assert not (folder / "old.png").exists()


def test_a_missing_figure_is_named_and_nothing_is_published(run, tmp_path):
    (run / "filling.svg").unlink()
    with pytest.raises(GalleryError, match="filling.svg is missing: `bana figure --all --profile"):
        publish_gallery("smoke", tmp_path / "gallery")
    (run / "filling.json").unlink()
    with pytest.raises(GalleryError, match="filling.json is missing"):
        publish_gallery("smoke", tmp_path / "gallery")
    assert not (tmp_path / "gallery").exists()


@pytest.mark.parametrize("key", [*REQUIRED, "files"])
def test_a_figure_without_something_required_fails(key, run):
    note = json.loads((run / "teaser.json").read_text())
    del note[key]
    (run / "teaser.json").write_text(json.dumps(note))
    with pytest.raises(GalleryError, match=rf"teaser.json has no {key}: do this"):
        check_figure(run, "teaser", "do this")


def test_a_picture_that_is_not_its_notes_fails(run):
    shutil.copy(run / "filling.png", run / "teaser.png")
    with (run / "teaser.png").open("ab") as opened:
        opened.write(b" ")
    with pytest.raises(GalleryError, match="teaser.png is not what its note describes"):
        check_figure(run, "teaser", "do this")


# What follows looks at the gallery that is committed.


@pytest.mark.parametrize("name", FIGURES)
def test_every_committed_figure_is_whole_and_described(name):
    note = check_figure(gallery_dir(), name, "`bana publish` writes it")
    assert note["name"] == name and note["item"] == FIGURES[name].item
    assert note["title"] == FIGURES[name].title
    assert note["size"] == "paper" and "-dirty" not in note["commit"]


def test_the_committed_answers_are_those_of_the_committed_records():
    note = json.loads((gallery_dir() / "answers.json").read_text(encoding="utf-8"))
    now = {name: file_hash(results_dir() / name) for name in note["inputs"]}
    assert note["inputs"] == now, "`bana figure answers --profile sample --out figures`"


def test_the_committed_page_is_in_step():
    written = (gallery_dir() / "README.md").read_text(encoding="utf-8")
    assert written == gallery_page(gallery_dir())


def test_nothing_else_lies_in_the_gallery():
    stems = {*FIGURES, *(f"table-{name}" for name in TABLES), "README"}
    assert {path.stem for path in gallery_dir().iterdir()} == stems


def test_committed_tables_are_those_of_the_committed_records(tmp_path):
    from bana.course.gallery.table_files import write_table
    from bana.experiment.exhibits.measured import from_records

    measured = from_records()
    for name, make in TABLES.items():
        path = write_table(make(measured), tmp_path, name, measured, f"bana table {name}")
        for ending in ("md", "csv", "tex"):
            file = path.with_suffix(f".{ending}")
            there = (gallery_dir() / file.name).read_text(encoding="utf-8")
            assert there == file.read_text(encoding="utf-8"), f"{file.name}: `bana publish`"
