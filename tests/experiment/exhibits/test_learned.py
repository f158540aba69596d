"""What confidence saves and spoils, and two networks image by image, against counts by hand."""

import pytest
import torch
from tiny import make_profile

from bana.evaluation.intervals import paired_difference
from bana.evaluation.miou import class_areas, mean_iou
from bana.evaluation.prediction import predict
from bana.experiment import stages
from bana.experiment.exhibits import learned
from bana.experiment.exhibits.learned import NAL, judged_pixels, with_and_without
from bana.experiment.exhibits.sources import Sources


def test_every_label_in_doubt_has_one_fate():
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([0, 1, 2, 255], dtype=torch.uint8)
    y_crf, mask = (values[torch.randint(n, (8, 9), generator=generator)] for n in (3, 4))
    unreliable = torch.rand(8, 9, generator=generator) > 0.4
    sigma = torch.rand(8, 9, generator=generator)
    sigma[0, :4] = learned.HALF  # is believed
    made = judged_pixels(sigma, y_crf, unreliable, mask)
    for y in range(8):
        for x in range(9):
            fate = None
            if unreliable[y, x] and mask[y, x] != 255:
                right = bool(y_crf[y, x] == mask[y, x])
                low = float(sigma[y, x]) < 0.5
                fate = {(0, 1): "saved", (0, 0): "believed", (1, 1): "spoiled", (1, 0): "kept"}
                fate = fate[right, low]
            assert [key for key, where in made.items() if where[y, x]] == ([fate] if fate else [])


@pytest.fixture(scope="module")
def shown(tmp_path_factory, quick):
    """The exhibit of a tiny run whose two networks differ."""
    profile = make_profile(name="learned", image_scale=1.5, val_limit=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BANA_RUNS", str(tmp_path_factory.mktemp("runs")))
        made = with_and_without(Sources(profile).gather(NAL))
        yield profile, made, stages.dataset(profile, "val"), _models(profile)


def _models(profile):
    return {loss: stages.segmenter(profile, loss) for loss in ("crf", "nal")}


def test_scenes_stand_at_quantiles_of_the_difference(shown):
    profile, made, data, models = shown
    n_classes, areas, ious = len(data.classes), {}, {}
    for loss, model in models.items():
        labels = [
            predict(model, data[n]["image"].as_subclass(torch.Tensor), 1.5).argmax(0).byte()
            for n in range(len(data))
        ]
        areas[loss] = torch.stack(
            [
                class_areas(label, data.mask(name), n_classes)
                for label, name in zip(labels, data.ids, strict=True)
            ]
        )
        ious[loss] = mean_iou(areas[loss]).tolist()
        for each in made["scenes"]:
            place = data.ids.index(each["id"])
            assert torch.equal(each["predictions"][loss], labels[place])
            assert each["iou"][loss] == pytest.approx(ious[loss][place])
    assert made["difference"] == paired_difference(areas["nal"][None], areas["crf"][None])._asdict()
    apart = {n: a - b for n, a, b in zip(data.ids, ious["nal"], ious["crf"], strict=True)}
    assert [each["score"] for each in made["scenes"]] == pytest.approx(
        [apart[each["id"]] for each in made["scenes"]]
    )
    scores = [each["score"] for each in made["scenes"]]
    assert scores == sorted(scores) and made["images"] == 5
    if made["seen"] == 5:
        assert scores == pytest.approx(sorted(apart.values())[1:4])


def test_where_one_alone_is_right(shown):
    _, made, _, _ = shown
    for each in made["scenes"]:
        mask, (crf, nal) = each["mask"], (each["predictions"][loss] for loss in ("crf", "nal"))
        known = mask != 255
        assert torch.equal(each["gained"], known & (nal == mask) & (crf != mask))
        assert torch.equal(each["lost"], known & (crf == mask) & (nal != mask))
