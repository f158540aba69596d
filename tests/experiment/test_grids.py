"""N in training by N in generation: what is trained, where it lies, and what is measured."""

import pytest
import torch
from tiny import make_profile

from bana.data.voc import read_mask
from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.experiment import classifying, grids, stages
from bana.experiment.grids import at, grid_card, seconds_each, to_train
from bana.files.paths import run_dir

PROFILE = make_profile(name="gridded")
TRAINED, GENERATED = (1, 4), (1, 2)


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch, quick) -> None:
    monkeypatch.setenv("BANA_RUNS", str(tmp_path))


@pytest.fixture
def trained(monkeypatch) -> list[int]:
    """The N of every classifier that is trained."""
    made, real = [], classifying.train_classifier

    def watched(model, *rest):
        made.append(model.grid_size)
        return real(model, *rest)

    watched.__module__ = real.__module__
    monkeypatch.setattr(classifying, "train_classifier", watched)
    return made


def test_what_is_missing_is_trained_once_and_in_its_own_folder(trained):
    assert seconds_each(PROFILE) is None
    stages.classifier(PROFILE, "bap")
    own = (run_dir("gridded") / "classifier-bap.pt").read_bytes()
    assert seconds_each(PROFILE) >= 0
    assert to_train(PROFILE, None, TRAINED) == [1]
    card = grid_card(PROFILE, None, TRAINED, GENERATED)
    assert trained == [4, 1] and to_train(PROFILE, None, TRAINED) == []
    assert (run_dir("gridded-grid1") / "classifier-bap.pt").is_file()
    assert (run_dir("gridded") / "classifier-bap.pt").read_bytes() == own
    for name in ("gridded", "gridded-labelgrid2", "gridded-grid1", "gridded-grid1-labelgrid2"):
        assert (run_dir(name) / "labels" / "bap" / "val").is_dir(), name
    assert grid_card(PROFILE, None, TRAINED, GENERATED) == card and trained == [4, 1]


def test_every_cell_is_measured_on_its_own_labels():
    card = grid_card(PROFILE, None, TRAINED, GENERATED)
    assert card["own"] == [4, 1]
    data = stages.dataset(PROFILE, "val")

    def areas(trained: int, generated: int) -> torch.Tensor:
        folder = stages.labels(at(PROFILE, trained, generated), "val", "bap") / "Y_crf"
        return torch.stack(
            [
                class_areas(read_mask(folder / f"{n}.png"), data.mask(n), len(data.classes))
                for n in data.ids
            ]
        )

    assert [(c["trained"], c["generated"]) for c in card["cells"]] == [
        (n, m) for n in TRAINED for m in GENERATED
    ]
    for cell in card["cells"]:
        own = areas(cell["trained"], cell["generated"])
        assert cell["miou"] == estimate(own, mean_iou)._asdict()
        expected = paired_difference(own[None], areas(4, 1)[None])
        assert cell["over own"] == expected._asdict()
    first = next(c for c in card["cells"] if (c["trained"], c["generated"]) == (4, 1))
    assert set(first["over own"].values()) == {0}


def test_what_no_mask_tells_is_none(monkeypatch):
    monkeypatch.setattr(grids, "_areas", lambda *_: torch.zeros(2, 3, 2, dtype=torch.int64))
    card = grids._card(None, {(4, 1): "own", (1, 1): "other"}, (4, 1), [(1, 1)])
    assert card["cells"] == [{"trained": 1, "generated": 1, "miou": None, "over own": None}]


def test_the_place_of_both_n_is_the_profiles():
    made = at(PROFILE, 2, 3)
    assert (made.grid_size, made.unary.grid_size) == (2, 3)
    assert at(PROFILE, 4, 1) == PROFILE
