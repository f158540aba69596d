"""Prediction against means taken by hand; label maps of many images, few at a time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bana.crf.dense import CrfParameters, dense_crf
from bana.evaluation import prediction
from bana.evaluation.prediction import (
    SINGLE,
    View,
    crf_workers,
    label_maps,
    multi_view,
    predict,
)
from bana.networks.backbones import Backbone
from bana.networks.segmenter import Segmenter

CRF = CrfParameters(iterations=2)
SCALES = (0.5, 0.75, 1.0, 1.5)
MULTI = View((0.5, 1.0), flip=True)


@pytest.fixture(scope="module")
def model() -> Segmenter:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.ReLU())
    return Segmenter(Backbone(body, 6, 4), nn.Identity(), 6, 2).eval()


def pictures(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = [(20 + number, 30 - number) for number in range(count)]
    return [torch.randint(256, (3, *size), generator=generator).byte() for size in sizes]


def named(images: list[Tensor]) -> list[tuple[str, Tensor]]:
    return [(f"im{number}", image) for number, image in enumerate(images)]


def picture(height: int = 22, width: int = 31) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = 255 * torch.rand(1, 3, 5, 6, generator=generator)
    return F.interpolate(coarse, size=(height, width), mode="bilinear")[0].byte()


def cosines_at(model: Segmenter, image: Tensor, scale: float, flip: bool) -> Tensor:
    """Cosines [L + 1, H, W] of one view, back at the size of the image."""
    height, width = image.shape[1:]
    seen = F.interpolate(
        image[None].float() / 255,
        size=(round(height * scale), round(width * scale)),
        mode="bilinear",
        antialias=True,
    )
    seen = seen[..., torch.arange(seen.shape[3] - 1, -1, -1)] if flip else seen
    with torch.no_grad():
        cosines = model.scores(seen)
    cosines = cosines[..., torch.arange(cosines.shape[3] - 1, -1, -1)] if flip else cosines
    return F.interpolate(cosines, size=(height, width), mode="bilinear")[0]


@pytest.mark.parametrize("options", [{}, {"flip": True}, {"scales": SCALES, "flip": True}])
@pytest.mark.parametrize("image_scale", [1.0, 1.5])
def test_probabilities(model: Segmenter, options: dict, image_scale: float) -> None:
    image = picture()
    before = image.clone()
    probabilities = predict(model, image, image_scale, **options)
    assert probabilities.shape == (3, 22, 31)
    assert not probabilities.requires_grad
    assert probabilities.min() >= 0
    torch.testing.assert_close(probabilities.sum(0), torch.ones(22, 31))
    assert torch.equal(image, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool])
def test_an_image_that_is_not_uint8_is_refused(model: Segmenter, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"^image must be uint8, got {dtype}$"):
        predict(model, picture().to(dtype))


@pytest.mark.parametrize("scales", [(), (-1.0,), (1.0, 0.0), (float("nan"),)])
def test_sizes_that_are_none_are_refused(model: Segmenter, scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="^scales must be above 0, got "):
        predict(model, picture(), scales=scales)


def test_a_model_of_half_precision_predicts(model: Segmenter) -> None:
    options = {"scales": (0.5, 1.0), "flip": True}
    made = predict(deepcopy(model).bfloat16(), picture(), **options)
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, predict(model, picture(), **options), atol=0.05, rtol=0)


def test_one_view_is_the_softmax_of_its_cosines(model: Segmenter) -> None:
    image = picture()
    with torch.no_grad():
        expected = (model.temperature * model.scores(image[None])[0]).softmax(0)
    torch.testing.assert_close(predict(model, image), expected)


def test_views_are_averaged_as_cosines(model: Segmenter) -> None:
    image = picture()
    views = [cosines_at(model, image, s, flip) for s in SCALES for flip in (False, True)]
    averaged = predict(model, image, scales=SCALES, flip=True)
    torch.testing.assert_close(
        averaged, (model.temperature * sum(views) / len(views)).softmax(0), atol=1e-5, rtol=1e-4
    )
    mean_of_probabilities = sum((model.temperature * v).softmax(0) for v in views) / len(views)
    assert (averaged - mean_of_probabilities).abs().max() > 1e-2


def test_without_flip_only_the_sizes_are_averaged(model: Segmenter) -> None:
    image = picture()
    mean = sum(cosines_at(model, image, s, False) for s in (1.0, 1.5)) / 2
    torch.testing.assert_close(
        predict(model, image, scales=(1.0, 1.5)),
        (model.temperature * mean).softmax(0),
        atol=1e-5,
        rtol=1e-4,
    )


def test_flipped_prediction_of_a_mirrored_image_is_the_mirror_image(model: Segmenter) -> None:
    image = picture()
    both = predict(model, image, flip=True)
    torch.testing.assert_close(predict(model, image.flip(2), flip=True), both.flip(2))
    # One view alone is not so: cells sit at the left end of their pixels.
    single = predict(model, image)
    assert (predict(model, image.flip(2)) - single.flip(2)).abs().max() > 1e-2


def test_image_scale_multiplies_the_scales(model: Segmenter) -> None:
    image = picture()
    enlarged = predict(model, image, image_scale=2.0)
    torch.testing.assert_close(enlarged, predict(model, image, scales=(2.0,)))
    assert (enlarged - predict(model, image)).abs().max() > 1e-2
    torch.testing.assert_close(
        predict(model, image, 1.5, SCALES),
        predict(model, image, 1.0, tuple(1.5 * s for s in SCALES)),
    )


def test_several_views_are_the_authors_or_the_profiles_sizes_each_mirrored_too() -> None:
    assert SINGLE == ((1.0,), False)
    assert multi_view((1.0,)) == ((0.5, 0.75, 1.0, 1.5), True)
    assert multi_view((0.8, 1.0)) == ((0.8, 1.0), True)


def test_every_size_as_it_is_and_mirrored_counts_once() -> None:
    image, asked = picture(), []

    def scores(seen: Tensor) -> Tensor:
        asked.append(seen)
        answer = torch.zeros(1, 3, *seen.shape[2:])
        answer[:, 1] = len(asked) / 10
        return answer

    network = SimpleNamespace(scores=scores, temperature=2.0)
    probabilities = predict(network, image, 2.0, SCALES, flip=True)
    sizes = [tuple(seen.shape[2:]) for seen in asked]
    assert sizes == [size for s in SCALES for size in [(round(44 * s), round(62 * s))] * 2]
    for plain, mirrored in zip(asked[::2], asked[1::2], strict=True):
        assert torch.equal(mirrored, plain.flip(3)) and not torch.equal(mirrored, plain)
    mean = sum(range(1, 9)) / 8 / 10
    expected = torch.tensor([0, 2.0 * mean, 0]).softmax(0)
    torch.testing.assert_close(probabilities[:, 3, 5], expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5), (16, 17)])
def test_any_size_is_restored(model: Segmenter, size: tuple[int, int]) -> None:
    probabilities = predict(model, picture(*size), 1.5, SCALES, flip=True)
    assert probabilities.shape == (3, *size)
    assert probabilities.isfinite().all()


def test_maps_are_those_of_predict_and_of_the_crf(model: Segmenter) -> None:
    images = pictures(2)
    views = {"single": SINGLE, "multi": MULTI}
    made = list(label_maps(model, named(images), views, CRF, 1.5))
    assert [name for name, _ in made] == ["im0", "im1"]
    for image, (_, maps) in zip(images, made, strict=True):
        assert set(maps) == {"single", "single-crf", "multi", "multi-crf"}
        for view, (scales, flip) in views.items():
            probabilities = predict(model, image, 1.5, scales, flip)
            refined = dense_crf(image, probabilities, CRF).q
            assert torch.equal(maps[view], probabilities.argmax(0).byte())
            assert torch.equal(maps[f"{view}-crf"], refined.argmax(0).byte())
    assert not torch.equal(made[0][1]["single"], made[0][1]["multi"])
    assert not torch.equal(made[0][1]["single"], made[0][1]["single-crf"])


def test_without_crf_there_is_no_crf(model: Segmenter) -> None:
    ((_, maps),) = label_maps(model, named(pictures(1)), {"single": SINGLE}, workers=3)
    assert set(maps) == {"single"}


def test_processes_give_what_one_process_gives(model: Segmenter) -> None:
    images = named(pictures(4))
    alone = list(label_maps(model, images, {"single": SINGLE}, CRF))
    beside = list(label_maps(model, images, {"single": SINGLE}, CRF, workers=1))
    for (name, one), (other_name, other) in zip(alone, beside, strict=True):
        assert name == other_name
        assert all(torch.equal(one[mode], other[mode]) for mode in one)


@pytest.mark.parametrize("workers", [0, 2])
def test_few_images_are_in_memory_at_a_time(workers: int, model: Segmenter, monkeypatch) -> None:
    if workers:
        monkeypatch.setattr(prediction, "_pool", ThreadPoolExecutor)
    read, written = 0, 0
    most = 0

    def images() -> Iterator[tuple[str, Tensor]]:
        nonlocal read, most
        for name, image in named(pictures(12)):
            read += 1
            most = max(most, read - written)
            yield name, image

    for _ in label_maps(model, images(), {"single": SINGLE}, CRF, workers=workers):
        written += 1
    assert read == written == 12
    assert most <= 2 * workers + 2


def test_processes_are_started_for_many_images_only() -> None:
    assert [crf_workers(4, n) for n in (0, 7, 8, 31, 32, 9999)] == [0, 0, 1, 3, 4, 4]
    assert crf_workers(0, 9999) == 0
