"""Whether sigma is honest, against sums over pixels."""

import pytest
import torch

from bana.evaluation.regime import FINE, JudgedImage
from bana.experiment.left_out.sigma import GAMMAS, honesty


def judged(seed: int, right: float = 0.4) -> JudgedImage:
    generator = torch.Generator().manual_seed(seed)
    sigma = 0.5 + 0.5 * torch.rand(20, 30, generator=generator)
    y_crf = torch.randint(3, (20, 30), generator=generator).byte()
    y_ret = (y_crf + (torch.rand(20, 30, generator=generator) < 0.6)) % 3
    correct = torch.rand(20, 30, generator=generator) < right
    mask = torch.where(correct, y_crf, (y_crf + 1) % 3)
    mask[0], y_ret[1] = 255, 255
    return JudgedImage(sigma, y_crf, y_ret.byte(), mask)


IMAGES = [judged(seed) for seed in range(6)]


def test_every_number_by_pixels() -> None:
    made = honesty(iter(IMAGES))
    sigma, right = [], []
    for image in IMAGES:
        for y in range(20):
            for x in range(30):
                crf, ret, mask = (int(m[y, x]) for m in image[1:])
                if 255 not in (ret, mask) and crf != ret:
                    sigma.append((int(float(image.confidence[y, x]) * FINE) + 0.5) / FINE)
                    right.append(crf == mask)
    share = 100 * sum(right) / len(right)
    assert made["images"] == 6 and made["right"]["value"] == pytest.approx(share)
    assert set(made["gammas"]) == {f"{gamma:g}" for gamma in GAMMAS}
    for gamma in GAMMAS:
        powers = [value**gamma for value in sigma]
        row = made["gammas"][f"{gamma:g}"]
        mean = 100 * sum(powers) / len(powers)
        assert row["sigma"]["value"] == pytest.approx(mean)
        assert row["over"]["value"] == pytest.approx(mean - share)
        error = 0.0
        for part in range(10):
            inside = [i for i, p in enumerate(powers) if min(9, int(p * 10)) == part]
            error += abs(sum(powers[i] - right[i] for i in inside))
        assert row["error"]["value"] == pytest.approx(100 * error / len(powers))
        assert row["error"]["value"] >= abs(row["over"]["value"]) - 1e-9
        assert row["over"]["low"] < row["over"]["value"] < row["over"]["high"]


def test_nothing_is_known_where_both_labels_agree() -> None:
    made = honesty([image._replace(y_ret=image.y_crf) for image in IMAGES])
    assert made["right"] is None
    assert all(value is None for row in made["gammas"].values() for value in row.values())


def test_no_image_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="no image"):
        honesty([])


def test_a_higher_exponent_trusts_less() -> None:
    rows = honesty(IMAGES)["gammas"].values()
    means = [row["sigma"]["value"] for row in rows]
    assert means == sorted(means, reverse=True)
