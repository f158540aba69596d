"""Figures of a small run: computed once, drawn once, and anew where a file or a source changes."""

import json
import shutil
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from tiny import be_quick, make_profile

from bana.course import plotting
from bana.course.gallery import charts, files, making, networks
from bana.course.gallery.files import REQUIRED, SIZES, Size
from bana.course.gallery.items import FIGURES
from bana.course.gallery.making import Gallery, figure_item
from bana.data.boxes import background_mask, box_masks
from bana.experiment import stages
from bana.experiment.profiles import PROFILES
from bana.files.artefacts import file_hash, read_json
from bana.files.paths import figures_dir, gallery_dir, repo_root, run_dir, runs_root
from bana.interpolation import bilinear
from bana.networks.backbones import background_at_cells

# Drawn from the run; the photographs need the weights that come along, and half a minute.
OF_A_RUN = [name for name in FIGURES if name != "photographs"]
DRAWN = ("attention_and_cam", "y_crf_and_y_ret", "per_class", "filling")  # of each module one
WRITTEN = ("figures", "results", "notebooks", "docs", "bana/pretrained")


def committed() -> dict[str, tuple[int, int]]:
    """Every file that lies where a run must not write, with size and time of change."""
    found = (path for place in WRITTEN for path in (repo_root() / place).rglob("*"))
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in found if p.is_file()}


@pytest.fixture(scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        patch.setitem(SIZES, "paper", Size(6.9, 8.8, 8.0, 50))
        patch.setitem(SIZES, "slide", Size(12.8, 7.2, 16.0, 30))
        patch.setattr(files, "ENDINGS", ("png",))  # `test_files.py` has the others
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, quick) -> Path:
    """Folder of runs with the data of every figure, and some drawn; not to be changed."""
    root = tmp_path_factory.mktemp("drawn")
    before = committed()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(root))
        gallery = Gallery(make_profile())
        made = {name: gallery.make(name) for name in DRAWN}
        for name in OF_A_RUN:
            gallery.data(name)
    assert all(each.computed and each.drawn for each in made.values())
    assert committed() == before, "a run leaves a clean checkout clean"
    return root


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch) -> Path:
    """A copy of that folder, to be changed; returns where its figures lie."""
    shutil.copytree(finished, tmp_path / "runs")
    monkeypatch.setenv("BANA_RUNS", str(tmp_path / "runs"))
    yield figures_dir("tiny")
    plt.close("all")


def note_of(name: str) -> dict:
    return json.loads((figures_dir("tiny") / f"{name}.json").read_text(encoding="utf-8"))


def test_what_a_run_draws_lies_in_the_folder_of_runs(monkeypatch):
    monkeypatch.delenv("BANA_RUNS", raising=False)
    for profile in PROFILES:
        assert figures_dir(profile).is_relative_to(runs_root())
        assert not figures_dir(profile).is_relative_to(gallery_dir())
    assert runs_root() == repo_root() / "runs"
    assert "runs/" in (repo_root() / ".gitignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", OF_A_RUN)
@pytest.mark.parametrize("size", SIZES)
def test_every_figure_is_drawn_within_its_size_and_told(name, size, run):
    data, item = Gallery(make_profile()).data(name), FIGURES[name]
    with matplotlib.rc_context(making.look(SIZES[size])):
        fig = item.draw(data, SIZES[size])
    width, height = fig.get_size_inches()
    assert width <= SIZES[size].width + 1e-6 and height <= SIZES[size].height + 1e-6
    assert fig.axes
    told = item.tell(data)
    assert len(told.caption.split()) > 8 and len(told.alt.split()) > 8
    assert told.caption.strip().endswith(".") and told.alt.strip().endswith(".")
    assert "nan" not in told.caption + told.alt
    plt.close(fig)


@pytest.mark.parametrize("name", DRAWN)
def test_a_note_tells_what_a_figure_is_and_was_made_from(name, run):
    note, item = note_of(name), FIGURES[name]
    assert all(note[key] not in (None, "") for key in REQUIRED)
    assert (note["profile"], note["seed"], note["size"]) == ("tiny", 0, "paper")
    assert note["command"] == f"bana figure {name} --profile tiny"
    assert "  " not in note["caption"] + note["alt"]
    kinds = [f"val-{kind}" for kind in item.needs.labels]
    assert sorted(note["labels"]) == sorted(
        kinds + [f"train-{kind}" for kind in item.needs.train_labels]
    )
    nets = [f"classifier-{p}" for p in item.needs.classifiers]
    nets += [f"segmenter-{loss}" for loss in item.needs.segmenters]
    assert sorted(note["weights"]) == sorted(nets)
    assert all(
        len(digest) == 16 for part in ("labels", "weights") for digest in note[part].values()
    )
    assert note["data"]["val"]["images"] == 2 and note["seconds"] >= 0 and note["commit"]


def test_a_note_keeps_the_hashes_of_the_files_that_went_in(run, tmp_path, monkeypatch):
    weights = tmp_path / "some.safetensors"
    weights.write_bytes(b"weights")
    item = FIGURES["per_class"]
    needs = item.needs._replace(files=(weights,))
    monkeypatch.setitem(FIGURES, "per_class", item._replace(needs=needs))
    Gallery(make_profile(), folder=tmp_path).make("per_class")
    note = read_json(tmp_path / "per_class.json")
    assert note["inputs"] == {"some.safetensors": file_hash(weights)}
    assert "per_class.png" in note["files"]


def test_a_second_call_computes_and_draws_nothing(run):
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    gallery = Gallery(make_profile())
    for name in DRAWN:
        assert gallery.make(name)[1:] == (False, False), name
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before


@pytest.mark.parametrize("ending", ["png", "json"])
def test_a_lost_file_is_drawn_again_with_the_same_bytes(ending, run):
    lost, other = run / f"filling.{ending}", run / "per_class.png"
    content, untouched = lost.read_bytes(), other.stat().st_mtime_ns
    lost.unlink()
    gallery = Gallery(make_profile())
    assert gallery.make("filling")[1:] == (False, True)
    assert gallery.make("per_class")[1:] == (False, False)
    assert lost.read_bytes() == content
    assert other.stat().st_mtime_ns == untouched


def test_another_size_computes_nothing_and_has_a_file_of_its_own(run):
    before = (run / "filling.png").read_bytes()
    made = Gallery(make_profile()).make("filling", "slide")
    assert made == (run / "filling-slide.png", False, True)
    note = json.loads((run / "filling-slide.json").read_text(encoding="utf-8"))
    assert note["command"].endswith("--size slide")
    assert (run / "filling.png").read_bytes() == before


def test_another_look_draws_anew_and_computes_nothing(run, monkeypatch):
    monkeypatch.setattr(making.matplotlib, "__version__", "0.0")
    assert Gallery(make_profile()).make("filling")[1:] == (False, True)


def test_a_changed_weight_changes_the_note_and_the_data(run):
    before = note_of("attention_and_cam")
    path = run_dir("tiny") / "classifier-bap.pt"
    kept = torch.load(path, weights_only=True)
    kept["state"]["weight"][1] *= -1
    torch.save(kept, path)
    gallery = Gallery(make_profile())
    assert gallery.make("attention_and_cam")[1:] == (True, True)
    after = note_of("attention_and_cam")
    changed = {k for k in before["weights"] if before["weights"][k] != after["weights"][k]}
    assert changed == {"classifier-bap"}
    assert gallery.make("per_class")[1:] == (False, False), "it is of another network"


def test_a_changed_label_changes_the_note_and_the_data(run):
    before = note_of("y_crf_and_y_ret")
    folder = run_dir("tiny") / "labels" / "bap" / "val" / "Y_ret"
    first, second = sorted(folder.glob("*.png"))
    first.write_bytes(second.read_bytes())
    gallery = Gallery(make_profile())
    assert gallery.make("y_crf_and_y_ret")[1:] == (True, True)
    assert before["labels"]["val-bap"] != note_of("y_crf_and_y_ret")["labels"]["val-bap"]
    assert before["data"] == note_of("y_crf_and_y_ret")["data"]


def test_the_diagram_shows_the_tensors_of_the_run(run):
    profile = make_profile()
    gallery = Gallery(profile)
    shown = gallery.data("overview")
    folder = stages.labels(profile, "val", "bap")
    for key, kind in (("y_crf", "Y_crf"), ("y_ret", "Y_ret")):
        kept = stages.voc.read_mask(folder / kind / f"{shown['id']}.png")
        assert torch.equal(shown[key], kept), key
    inside = ~shown["outside"]
    assert torch.equal(shown["unreliable"], (shown["y_crf"] != shown["y_ret"]))
    assert (shown["label_attention"][shown["outside"]] == 1).all()
    assert (shown["cam"][shown["outside"]] == 0).all() and 0 <= shown["cam"].max() <= 1
    assert shown["attention"].shape == inside.shape and shown["probabilities"].sum() <= 1 + 1e-5
    assert shown["prediction"].dtype == torch.uint8 and shown["colours"].shape[0] == 3
    (scene,) = [s for s in gallery.data("teaser")["scenes"] if s["id"] == shown["id"]][:1] or [None]
    if scene:
        assert torch.equal(scene["kinds"]["bap"], shown["y_crf"])


def test_attention_by_grid_size_is_that_of_the_equations(run):
    profile = make_profile()
    made, model = Gallery(profile).data("grid_size"), stages.classifier(profile)
    assert list(made["means"]) == [1, 2, 4, 8] and made["trained"] == 4
    scene = made["scenes"][0]
    assert scene["queries"][1] == 1 < scene["queries"][8]
    with torch.no_grad():
        f = model.backbone(scene["image"][None])[0]  # [D, h, w]
    outside = background_mask(scene["boxes"], *scene["mask"].shape)[None]
    outside = background_at_cells(outside, model.backbone.stride)[0, 0]
    query = (f * outside).sum((1, 2)) / outside.sum()
    cells = torch.cosine_similarity(f, query[:, None, None], dim=0).relu()
    enlarged = bilinear(f.shape[1:], scene["mask"].shape, model.backbone.stride).enlarge(cells)
    inside = box_masks(scene["boxes"], *scene["mask"].shape).any(0)
    torch.testing.assert_close(scene["grids"][1][inside], enlarged[inside])
    assert all((a[~inside] == 1).all() for a in scene["grids"].values())


def test_groups_of_few_boxes_are_hollow_and_no_line_joins_them(run):
    data = Gallery(make_profile()).data("filling")
    (some,) = [place for place, count in enumerate(data["boxes"]) if count][:1]
    data = data | {"boxes": [charts.FEW - (place != some) for place in range(len(data["boxes"]))]}
    estimate = next(each[some] for each in data["iou"].values() if each[some])
    data |= {"iou": {kind: [estimate] * len(each) for kind, each in data["iou"].items()}}
    fig = charts.draw_filling(data, SIZES["paper"])
    lines = [line for line in fig.axes[1].lines if line.get_marker() in charts.MARKERS.values()]
    hollow = [line for line in lines if line.get_markerfacecolor() == "white"]
    assert len(lines) == 2 * len(hollow) == 2 * len(charts.MARKERS)
    for line in lines:
        joined = line not in hollow
        assert len(line.get_xdata()) == (1 if joined else len(data["boxes"]) - 1)
        assert joined or line.get_linestyle() == "None"
    plt.close(fig)


def test_confidence_tells_what_is_saved_and_spoiled(run):
    data = Gallery(make_profile()).data("confidence")
    told = FIGURES["confidence"].tell(data)
    for each in data["scenes"]:
        for iteration, judged in each["judged"].items():
            wrong = int((judged["saved"] | judged["believed"]).sum())
            right = int((judged["spoiled"] | judged["kept"]).sum())
            assert wrong + right == int((each["unreliable"] & (each["mask"] != 255)).sum())
            saved, spoiled = networks.shares(judged)
            assert saved == (100 * int(judged["saved"].sum()) / wrong if wrong else None)
            assert spoiled == (100 * int(judged["spoiled"].sum()) / right if right else None)
            assert f"at iteration {iteration}: " in told.alt
            assert f" of {wrong:,} pixels saved" in told.alt


def test_confidence_without_masks_is_drawn_without_them(run):
    data = Gallery(make_profile()).data("confidence")
    bare = {**data, "scenes": [dict(each) for each in data["scenes"]]}
    for each in bare["scenes"]:
        del each["mask"], each["judged"]
    with matplotlib.rc_context(making.look(SIZES["paper"])):
        fig = FIGURES["confidence"].draw(bare, SIZES["paper"])
    assert len([ax for ax in fig.axes if ax.images]) == 3 * (2 + len(data["iterations"]))
    assert "saved" not in " ".join(FIGURES["confidence"].tell(bare))
    plt.close(fig)


def test_a_notebook_shows_the_figure_with_its_text(run, monkeypatch):
    shown = []
    monkeypatch.setattr(plotting, "display", shown.append)
    Gallery(make_profile()).show("per_class")
    data, metadata = DisplayFormatter().format(shown[0])
    (kind,) = (name for name in data if name.startswith("image/"))
    assert metadata[kind]["alt"] == note_of("per_class")["alt"]
    assert plt.get_fignums() == []


def test_figures_may_be_written_elsewhere(run, tmp_path):
    made = Gallery(make_profile(), folder=tmp_path / "here").make("per_class")
    assert made == (tmp_path / "here" / "per_class.png", False, True)
    assert read_json(tmp_path / "here" / "per_class.json")["files"]


def test_errors_name_what_there_is(run):
    with pytest.raises(ValueError, match="unknown figure 'tease': use one of teaser, overview"):
        figure_item("tease")
    with pytest.raises(ValueError, match="unknown size 'poster'"):
        Gallery(make_profile()).make("teaser", "poster")


def test_the_photographs_are_drawn_and_told():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 30, 40), generator=generator, dtype=torch.uint8)
    label = torch.zeros(30, 40, dtype=torch.uint8)
    label[5:20, 5:30] = 1
    shot = {"name": "cup", "image": image, "boxes": torch.tensor([[5.0, 5, 30, 20]])}
    shot |= {"classes": ["cup"], "source": "a package", "licence": "CC0", "control": label}
    shot |= {"attention": torch.rand(30, 40, generator=generator), "y_crf": label, "y_ret": label}
    item = FIGURES["photographs"]
    data = {"shots": [shot, shot | {"classes": ["cat"]}], "known": ["background", "cat"]}
    with matplotlib.rc_context(making.look(SIZES["paper"])):
        fig = item.draw(data, SIZES["paper"])
    assert len([ax for ax in fig.axes if ax.images]) >= 12
    told = item.tell(data)
    assert "a package (CC0)" in told.caption and "cup" in told.alt
    assert "Of no class that they know: cup. Sources" in told.caption
    plt.close(fig)
