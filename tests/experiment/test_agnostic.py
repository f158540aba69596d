"""Class-agnostic labels by the origin of features: the label function's own, measured by hand."""

from dataclasses import replace

import pytest
import torch
from tiny import make_profile, tiny

from bana.baselines import filled_boxes
from bana.evaluation.intervals import estimate, paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.experiment import agnostic, labelling, stages
from bana.experiment.agnostic import agnostic_areas, agnostic_card, backbones_of, card_of

PROFILE = make_profile(name="agnostic", image_scale=1.5)


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory, quick):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield


def test_labels_are_those_of_the_profile_without_any_known_class():
    data, model = stages.dataset(PROFILE, "val"), stages.classifier(PROFILE, "bap")
    areas = agnostic_areas(PROFILE, data, {"trained": model.backbone})
    unary = replace(PROFILE.unary, class_agnostic=True)
    settings = stages.label_settings_of(replace(PROFILE, unary=unary), "bap")
    for number, name in enumerate(data.ids):
        item, mask = data[number], data.mask(name)
        made = labelling.image_labels(model, item, settings)
        crf = class_areas(made.y_crf, mask, len(data.classes))
        assert torch.equal(areas["trained", "Y_crf"][number], crf)
        boxes, classes = data.annotation(name)
        filled = filled_boxes(boxes.as_subclass(torch.Tensor), classes, *mask.shape)
        expected = class_areas(filled, mask, len(data.classes))
        assert torch.equal(areas["boxes",][number], expected)


def test_the_card_is_of_the_areas():
    generator = torch.Generator().manual_seed(0)
    union = torch.randint(20, 40, (5, 3, 1), generator=generator)
    areas = {
        place: torch.cat([torch.randint(20, (5, 3, 1), generator=generator), union], 2)
        for place in [("boxes",), ("trained", "Y_crf"), ("trained", "Y_ret")]
    }
    card = card_of(areas)
    assert card["boxes"] == estimate(areas["boxes",], mean_iou)._asdict()
    for kind in ("Y_crf", "Y_ret"):
        own = areas["trained", kind]
        assert card["trained"][kind]["miou"] == estimate(own, mean_iou)._asdict()
        less = paired_difference(own[None], areas["boxes",][None])
        assert card["trained"][kind]["over boxes"] == less._asdict()


def test_what_no_mask_tells_is_none():
    nothing = torch.zeros(5, 3, 2, dtype=torch.int64)
    card = card_of({("boxes",): nothing, ("trained", "Y_crf"): nothing})
    assert card == {"boxes": None, "trained": {"Y_crf": {"miou": None, "over boxes": None}}}


def test_features_are_of_three_origins_and_the_card_is_kept(monkeypatch):
    made = backbones_of(PROFILE)
    assert tuple(made) == agnostic.FEATURES
    weights = [next(iter(each.parameters())) for each in made.values()]
    trained = stages.classifier(PROFILE, "bap").backbone
    assert torch.equal(weights[2], next(iter(trained.parameters())))
    assert weights[0].shape == weights[2].shape and not torch.equal(weights[0], weights[2])
    assert not any(each.training for each in made.values())

    torch.manual_seed(0)
    few = {name: tiny(16, 0, None).eval() for name in agnostic.FEATURES}
    done, real = [], agnostic.agnostic_areas
    monkeypatch.setattr(agnostic, "backbones_of", lambda profile, root: few)
    monkeypatch.setattr(agnostic, "agnostic_areas", lambda *words: done.append(1) or real(*words))
    card = agnostic_card(PROFILE)
    assert agnostic_card(PROFILE) == card and done == [1]
    assert set(card) == {"boxes", *agnostic.FEATURES}
    agnostic_card(replace(PROFILE, unary=replace(PROFILE.unary, background_threshold=0.2)))
    assert done == [1, 1]
