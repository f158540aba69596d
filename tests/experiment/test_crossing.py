"""Whose activation map, whose attention: labels of two classifiers, each put together by hand."""

from dataclasses import replace

import pytest
import torch
from tiny import make_profile

from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.experiment import crossing, labelling, stages
from bana.experiment.crossing import CELLS, NONE, PAIRS, card_of, crossed_labels, crossing_card
from bana.labels import UnaryOptions

PROFILE = make_profile(name="crossing", image_scale=1.5)


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory, quick):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


def models() -> dict:
    return {pooling: stages.classifier(PROFILE, pooling) for pooling in ("gap", "bap")}


def crossed(item, options: UnaryOptions = PROFILE.unary) -> dict:
    return crossed_labels(models(), item, options, PROFILE.label_crf, PROFILE.image_scale)


def test_labels_of_one_classifier_are_those_of_the_stage():
    data, own = stages.dataset(PROFILE, "val"), models()
    without = replace(PROFILE.unary, background="none")
    for number in range(len(data)):
        made = crossed(data[number])
        assert tuple(made) == CELLS
        for pooling, model in own.items():
            for attention, unary in ((pooling, PROFILE.unary), (NONE, without)):
                settings = replace(stages.label_settings_of(PROFILE, "bap"), unary=unary)
                expected = labelling.image_labels(model, data[number], settings).y_crf
                assert torch.equal(made[pooling, attention], expected)


def test_a_crossed_label_takes_u_c_of_one_and_u_0_of_the_other(monkeypatch):
    seen = []

    def keep(image, inside, unary, crf):
        seen.append(unary)
        return unary.argmax(0)

    monkeypatch.setattr(crossing, "refined", keep)
    data = stages.dataset(PROFILE, "val")
    everything = replace(PROFILE.unary, background_threshold=0)
    item = data[0]
    crossed(item, everything)
    by_cell = dict(zip(CELLS, seen, strict=True))
    own = {
        pooling: labelling.image_labels(
            model, item, replace(stages.label_settings_of(PROFILE, "bap"), unary=everything)
        )
        for pooling, model in models().items()
    }
    inside = own["gap"].unary[0] < 1
    for (cam, attention), unary in by_cell.items():
        # Inside boxes the logarithm of a softmax is its score less one number for all channels.
        score = unary[:, inside].log()
        foreground = own[cam].unary[1:, inside].log() - own[cam].unary[0, inside].log()
        foreground = foreground + own[cam].attention[inside]
        background = own[attention].attention[inside] if attention != NONE else 0.0
        torch.testing.assert_close(score[1:] - score[0], foreground - background)
    assert not torch.equal(by_cell["gap", "bap"], by_cell["gap", "gap"])
    assert not torch.equal(by_cell["gap", "bap"], by_cell["bap", "bap"])


def test_an_image_without_boxes_is_background():
    item = dict(stages.dataset(PROFILE, "val")[0])
    item |= {"boxes": item["boxes"][:0], "labels": item["labels"][:0]}
    assert all(not label.any() for label in crossed(item).values())


def test_the_card_is_of_the_areas():
    generator = torch.Generator().manual_seed(0)
    union = torch.randint(20, 40, (5, 3, 1), generator=generator)
    areas = {
        cell: torch.cat([torch.randint(20, (5, 3, 1), generator=generator), union], 2)
        for cell in CELLS
    }
    card = card_of(areas)
    assert [(c["cam"], c["attention"]) for c in card["cells"]] == list(CELLS)
    for cell in card["cells"]:
        own = areas[cell["cam"], cell["attention"]]
        assert cell["miou"] == estimate(own, mean_iou)._asdict()
    assert [(tuple(d["first"]), tuple(d["second"])) for d in card["differences"]] == list(PAIRS)
    for made in card["differences"]:
        first, second = (areas[tuple(made[end])][None] for end in ("first", "second"))
        assert made["points"] == paired_difference(first, second)._asdict()


def test_the_card_of_a_run_is_kept_and_of_its_labels(monkeypatch):
    card = crossing_card(PROFILE)
    data = stages.dataset(PROFILE, "val")
    (cell,) = (c for c in card["cells"] if (c["cam"], c["attention"]) == ("gap", "bap"))
    areas = [
        class_areas(crossed(data[n])["gap", "bap"], data.mask(name), len(data.classes))
        for n, name in enumerate(data.ids)
    ]
    assert cell["miou"] == estimate(torch.stack(areas), mean_iou)._asdict()

    def made_again(*words):
        raise AssertionError("labels were made again")

    monkeypatch.setattr(crossing, "_areas", made_again)
    assert crossing_card(PROFILE) == card
    with pytest.raises(AssertionError, match="made again"):
        crossing_card(replace(PROFILE, unary=replace(PROFILE.unary, background_threshold=0.2)))
