"""Mistakes that the public codebases made with this method, one regression test each.

"Authors" is the code published with the paper, "replication" its reproduction in ReScience C.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import reference
import torch
import torch.nn.functional as F
import torchvision
from looker import looker
from made_data import write_voc
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from bana import labels
from bana.bap import background_attention, background_queries, pool_boxes
from bana.crf.dense import LABEL_CRF, CrfParameters, CrfResult
from bana.data.boxes import background_mask, box_masks, voc_to_half_open
from bana.data.transforms import Crops, training_transform
from bana.data.voc import VocDataset, write_mask
from bana.evaluation import instances, prediction, scoring
from bana.experiment import segmenting, stages
from bana.experiment.label_folders import label_folder
from bana.experiment.labelling import Crew, LabelJob, LabelSettings
from bana.experiment.profiles import get_profile
from bana.labels import UnaryOptions, pseudo_labels
from bana.losses import (
    agreement,
    bootstrapped_loss,
    cosine_scores,
    cross_entropy_loss,
    entropy_regularised_loss,
    noise_aware_loss,
    reliable_pixels,
)
from bana.networks.backbones import background_at_cells, boxes_at_cells
from bana.networks.classifier import BoxClassifier
from bana.networks.segmenter import Segmenter
from bana.training.machine import THIS_MACHINE


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def three_pixels(sure: float = 0.9) -> tuple[Tensor, Tensor]:
    """phi of three pixels in a row and the weights of three classes."""
    phi = torch.tensor([[1.0, 0.1, 0.0], [sure, 1 - sure, 0.2], [0.2, 0.3, 1.0]])
    return phi.T[None, :, None, :].clone(), torch.eye(3)


@pytest.mark.usefixtures("unchecked")
def test_authors_crf_sees_a_normalised_image_that_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean-subtracted BGR, cast to uint8, wraps below 0; the CRF wants the stored RGB."""
    seen = []

    def record(image: Tensor, unary: Tensor, parameters: CrfParameters) -> CrfResult:
        seen.append(image)
        return CrfResult(unary, torch.ones(len(unary), dtype=torch.bool))

    monkeypatch.setattr(labels, "dense_crf", record)
    image = torch.tensor([250, 100, 3], dtype=torch.uint8).view(3, 1, 1).expand(3, 20, 20)
    arguments = torch.rand(4, 3, 3), torch.rand(3, 4)
    boxes, classes = torch.tensor([[2.0, 2, 9, 9]]), torch.tensor([1])
    pseudo_labels(*arguments, image, boxes, classes)
    assert torch.equal(seen[0], image)
    mean = torch.tensor([104.0, 117, 123]).view(3, 1, 1)
    with pytest.raises(ValueError, match="uint8"):
        pseudo_labels(*arguments, image.flip(0) - mean, boxes, classes)
    # So does the CRF on a network's prediction, which is the authors'.
    seen.clear()
    monkeypatch.setattr(prediction, "dense_crf", record)
    model = Segmenter(looker(8), nn.Identity(), 3, 2).eval()
    dict(prediction.label_maps(model, [("a", image)], {"single": prediction.SINGLE}, LABEL_CRF))
    assert len(seen) == 1 and torch.equal(seen[0], image)


def test_authors_divide_0_by_0_without_unreliable_pixels() -> None:
    phi, weight = three_pixels()
    y = torch.tensor([[[0, 1, 2]]])
    loss = noise_aware_loss(phi.requires_grad_(), weight, y, y)
    loss.total.backward()
    assert loss.weighted == 0 and torch.isfinite(loss.total)
    assert torch.isfinite(phi.grad).all()


def test_authors_let_the_loss_fall_by_lowering_sigma() -> None:
    """With sigma's gradient, a wrong label is not only fitted but also talked down.

    On two unreliable pixels of unlike loss, sigma's own gradient moves the weight away from the
    worse one. Held constant, sigma leaves each pixel's own cross-entropy gradient, scaled.
    """
    weight = torch.eye(3)
    phi = torch.tensor([[0.3, 1.0, 0.2], [1.0, 0.3, 0.2]]).T[None, :, None, :].clone()
    y_crf, y_ret = torch.tensor([[[0, 0]]]), torch.tensor([[[1, 1]]])

    def gradient(detach: bool) -> Tensor:
        own = phi.clone().requires_grad_()
        loss = noise_aware_loss(own, weight, y_crf, y_ret, detach_confidence=detach)
        return torch.autograd.grad(loss.weighted, own)[0]

    own = phi.clone().requires_grad_()
    sigma = noise_aware_loss(phi, weight, y_crf, y_ret).confidence[0, 0].detach()
    each = 20 * cosine_scores(own, weight, (1, 2))
    losses = F.cross_entropy(each, y_crf, reduction="none")[0, 0]
    (by_hand,) = torch.autograd.grad((sigma * losses).sum() / sigma.sum(), own)
    torch.testing.assert_close(gradient(True), by_hand)

    # Class 0 is pulled up at pixel 0 while sigma is constant, and down where it is not.
    pull = F.normalize(phi[0, :, 0, 0], dim=0)
    towards = F.normalize(weight[0] - pull * pull[0], dim=0)
    assert gradient(True)[0, :, 0, 0] @ towards < 0
    assert gradient(False)[0, :, 0, 0] @ towards > 0


def test_authors_get_nan_when_a_box_fills_the_image() -> None:
    features = noise(0, 1, 4, 5, 5).abs()
    queries, valid = background_queries(features, torch.zeros(1, 1, 5, 5), 4)
    attention = background_attention(features, queries, valid)
    assert not valid.any() and torch.equal(attention, torch.zeros_like(attention))
    image = torch.zeros(3, 33, 33, dtype=torch.uint8)
    box = torch.tensor([[0.0, 0, 33, 33]])
    result = pseudo_labels(features[0], noise(1, 3, 4), image, box, torch.tensor([2]))
    assert torch.isfinite(result.attention).all() and torch.isfinite(result.unary).all()


def test_authors_sample_aligned_corners_as_if_they_were_not() -> None:
    """A map computed at pixels 0, 8, 16, ... is read there, not half a cell aside."""
    torch.manual_seed(0)
    model = Segmenter(looker(8), nn.Identity(), 3, 2)
    images = torch.rand(1, 3, 33, 41, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        at_cells = model.scores(images)[:, :, ::8, ::8]
        own = F.cosine_similarity(
            images[:, None, :, ::8, ::8], model.weight[None, :, :, None, None], dim=2
        )
    torch.testing.assert_close(at_cells, own)
    # A box half a cell around pixel (16, 24) is cell (2, 3) and nothing else.
    box = torch.tensor([[0, 20.5, 12.5, 28.5, 20.5]])
    pooled = pool_boxes(
        images[:, :, ::8, ::8], torch.zeros(1, 1, 5, 6), boxes_at_cells(box, 8), 1 / 8
    )
    torch.testing.assert_close(pooled[0, 0], images[0, :, 16, 24])


def test_authors_make_clipped_boxes_one_pixel_too_wide() -> None:
    box = torch.tensor([[10.0, 0, 20, 16]])
    assert box_masks(box, 16, 20).sum() == 10 * 16
    over = torch.tensor([[10.0, 0, 21, 16]])
    assert torch.equal(box_masks(over, 16, 20), box_masks(box, 16, 20))
    features = noise(2, 1, 3, 2, 3)
    empty = torch.zeros(1, 1, 2, 3)
    index = torch.zeros(1, 1)
    torch.testing.assert_close(
        pool_boxes(features, empty, torch.cat([index, torch.tensor([[8.0, 0, 24, 16]])], 1), 1 / 8),
        pool_boxes(features, empty, torch.cat([index, torch.tensor([[8.0, 0, 25, 17]])], 1), 1 / 8),
    )


def test_authors_take_vocs_1_based_inclusive_boxes_as_0_based_half_open() -> None:
    """VOC's (1, 1, 8, 8) is the first 8 x 8 pixels: cell 0 at stride 8, and none of cell 1."""
    box = voc_to_half_open(torch.tensor([[1.0, 1, 8, 8]]))
    assert box.tolist() == [[0, 0, 8, 8]] and box_masks(box, 10, 10).sum() == 64
    features = noise(3, 1, 3, 2, 2)
    pooled = pool_boxes(features, torch.zeros(1, 1, 2, 2), F.pad(box, (1, 0)), 1 / 8)
    torch.testing.assert_close(pooled[0, 0], features[0, :, 0, 0])


@pytest.fixture
def stage_2(tmp_path: Path) -> tuple[LabelJob, Callable[[], dict[str, str]]]:
    """Stage 2 on two images, and what runs it."""
    masks = [torch.zeros(24, 32, dtype=torch.uint8), torch.ones(24, 32, dtype=torch.uint8)]
    boxes = [[(4, 4, 20, 16, "cat")], [(0, 0, 32, 24, "cat")]]
    pictures = [noise(seed, 3, 24, 32).mul(60).add(120).clamp(0, 255).byte() for seed in (0, 1)]
    data = VocDataset(
        write_voc(tmp_path / "voc", masks, boxes, ("background", "cat"), pictures), "train"
    )
    settings = LabelSettings("bap", UnaryOptions(), replace(LABEL_CRF, iterations=1))
    job = LabelJob(settings, data, BoxClassifier(looker(8), 1).eval(), tmp_path / "labels")
    return job, lambda: label_folder(job, "key", Crew(processes=1), make_model=lambda: job.model)


def test_stages_2_and_3_know_one_file_name(stage_2, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authors' stage 2 writes Y_crf, and their stage 3 reads Ycrf."""
    job, label = stage_2
    label()
    handed: list[dict[str, Path]] = []

    class Read(Exception):
        """Stands for the training, once it has its crops."""

    def crops(images: VocDataset, *given) -> None:
        handed.extend(each for each in given if isinstance(each, dict))
        raise Read

    settings = stages.segmenter_settings(get_profile("smoke"), "nal", None)
    monkeypatch.setattr(segmenting, "untrained_segmenter", lambda *_: nn.Identity())
    monkeypatch.setattr(segmenting, "kept_training", lambda *given, **_: given[4](None))
    monkeypatch.setattr(segmenting, "batches", crops)
    plain = replace(settings, from_classifier=False)
    with pytest.raises(Read):
        segmenting.trained_segmenter(
            job.folder / "s.pt", plain, job.data, ("key", lambda _: job.folder), None, THIS_MACHINE
        )
    (folders,) = handed
    read = Crops(job.data, training_transform(16), 0, folders)[0, 0]
    assert {"y_crf", "y_ret"} <= read.keys()
    written = {path.parent for path in job.folder.glob("*/*.png")}
    assert set(folders.values()) == written


def test_authors_second_run_of_stage_2_crashes_on_mkdir(stage_2) -> None:
    job, label = stage_2
    assert label() == {}
    files = {path: path.read_bytes() for path in job.folder.glob("*/*.png")}
    assert label() == {} and len(files) == 4
    assert files == {path: path.read_bytes() for path in job.folder.glob("*/*.png")}


def test_authors_have_no_script_for_stage_3_with_resnet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile says all of it; the ResNet here has one block a layer."""
    whole = torchvision.models.resnet.ResNet
    small = partial(whole, torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])
    monkeypatch.setattr(torchvision.models, "resnet101", small)
    torch.save(small().state_dict(), tmp_path / "resnet.pth")
    settings = stages.segmenter_settings(get_profile("paper-resnet"), "nal", None)
    assert settings.backbone.name == "resnet101" and settings.loss == "nal"
    backbone = replace(settings.backbone, weights=tmp_path / "resnet.pth")
    model = segmenting.untrained_segmenter(replace(settings, backbone=backbone), 20).eval()
    with torch.no_grad():
        assert model.scores(torch.rand(1, 3, 33, 41)).shape == (1, 21, 33, 41)


def test_agreement_row_depends_on_how_ignored_pixels_count(tmp_path: Path) -> None:
    """Table 1's row where both labels agree has two conventions, and both are reported."""
    mask = torch.tensor([[1, 1, 1, 0, 0, 0]], dtype=torch.uint8)
    other = torch.tensor([[1, 1, 0, 0, 0, 0]], dtype=torch.uint8)
    root = write_voc(tmp_path / "voc", [mask], [[(0, 0, 3, 1, "cat")]], ("background", "cat"))
    for kind, label in {"Y_crf": mask, "Y_ret": other}.items():
        write_mask(tmp_path / "bap" / kind / "im0.png", label)
    rows = scoring.score_label_files(VocDataset(root, "val"), {"bap": tmp_path / "bap"})
    assert rows["agreement-dropped"]["miou"] == pytest.approx(100)
    assert rows["agreement-wrong"]["miou"] == pytest.approx((100 + 100 * 2 / 3) / 2)


def test_single_background_pixel_weighs_as_much_as_a_full_cell() -> None:
    """So it does in Eq. 2; kept, and stated, so that nobody changes it unawares."""
    features = torch.zeros(1, 2, 2, 4)
    features[:, 0, :, :2] = 1
    features[:, 1, :, 2:] = 1
    background = torch.ones(1, 1, 2, 4)
    background[:, :, :, 2:] = 0
    background[:, :, 0, 3] = 1
    queries, valid = background_queries(features, background, 2)
    # Valid cells: left above and below, full; right above, with one background pixel.
    assert valid.tolist() == [[True, True, True, False]]
    attention = background_attention(features, queries, valid)[0, 0]
    torch.testing.assert_close(attention[1, 3], torch.tensor(1 / 3))


def test_authors_have_no_program_for_the_background_masks() -> None:
    box = torch.tensor([[2.0, 3, 5, 6]])
    mask = background_mask(box, 10, 12)
    assert mask.shape == (1, 10, 12) and (mask == 0).sum() == 9 and (mask == 1).sum() == 111


def test_replication_takes_the_unreliable_region_class_by_class() -> None:
    """NOT(Y_crf = c and Y_ret = c) for every c puts reliable pixels into ~S too."""
    y_crf = torch.tensor([[[0, 1, 2]]])
    y_ret = torch.tensor([[[0, 1, 1]]])
    _, unreliable = reliable_pixels(y_crf, y_ret)
    assert unreliable.shape == y_crf.shape and unreliable.flatten().tolist() == [False, False, True]
    phi, weight = three_pixels()
    phi.requires_grad_()
    reliable_only = torch.autograd.grad(
        noise_aware_loss(phi, weight, y_crf, y_ret).weighted
        + entropy_regularised_loss(phi, weight, y_crf, y_ret)
        + bootstrapped_loss(phi, weight, y_crf, y_ret)
        - 2 * cross_entropy_loss(phi, weight, agreement(y_crf, y_ret)),
        phi,
    )[0]
    torch.testing.assert_close(
        reliable_only[..., :2], torch.zeros_like(reliable_only[..., :2]), atol=1e-6, rtol=0
    )
    assert reliable_only[..., 2].abs().max() > 0


def test_replication_lets_the_bootstraps_beta_compound_to_0() -> None:
    phi, weight = three_pixels()
    y_crf, y_ret = torch.tensor([[[0, 1, 2]]]), torch.tensor([[[0, 2, 1]]])
    values = {bootstrapped_loss(phi, weight, y_crf, y_ret).item() for _ in range(200)}
    assert len(values) == 1


def test_replication_learns_crop_padding_as_background() -> None:
    """Padding is 255 in the labels and 0 in M: neither S, nor ~S, nor a query."""
    y_crf = torch.tensor([[[0, 2, 255, 255]]])
    y_ret = torch.tensor([[[0, 1, 255, 0]]])
    for region in reliable_pixels(y_crf, y_ret):
        assert not region[..., 2:].any()
    phi, weight = noise(4, 1, 3, 1, 4).requires_grad_(), noise(5, 3, 3)
    (gradient,) = torch.autograd.grad(noise_aware_loss(phi, weight, y_crf, y_ret).total, phi)
    assert torch.equal(gradient[..., 2:], torch.zeros_like(gradient[..., 2:]))
    assert (gradient[..., :2] != 0).any()
    cells = background_at_cells(torch.ones(1, 1, 1, 10), 8)
    assert cells.flatten().tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("size", [(33, 57), (30, 50), (321, 321)])
def test_replication_hard_codes_41_and_321(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(6))
    boxes = torch.tensor([[0, 3.0, 3.0, 20.0, 25.0], [1, 5.0, 9.0, 29.0, 29.0]])
    background = torch.stack([background_mask(boxes[i : i + 1, 1:], *size) for i in range(2)])
    torch.manual_seed(0)
    logits = BoxClassifier(looker(8), 5)(images, background, boxes)
    assert logits.boxes.shape == (2, 4, 6) and torch.isfinite(logits.boxes).all()
    assert Segmenter(looker(8), nn.Identity(), 3, 5).scores(images).shape == (2, 6, *size)


def test_agreement_is_the_same_region_in_every_loss() -> None:
    """The reference's S, the loss's S and the "ignore ~S" baseline are one."""
    generator = torch.Generator().manual_seed(7)
    y_crf, y_ret = torch.randint(3, (2, 1, 4, 4), generator=generator)
    phi, weight = noise(8, 1, 3, 4, 4), noise(9, 3, 3)
    loss = noise_aware_loss(phi, weight, y_crf, y_ret)
    ignoring = cross_entropy_loss(phi, weight, agreement(y_crf, y_ret))
    cosines = reference.cosine_map(phi, weight)
    expected = reference.cross_entropy(cosines, y_crf, y_ret, 20.0)
    assert loss.cross_entropy.item() == pytest.approx(expected, rel=1e-5)
    assert ignoring.item() == pytest.approx(expected, rel=1e-5)


def test_replication_transposes_its_coco_masks() -> None:
    """COCO's run lengths go down the columns: two pixels of the second column are 3 to 4 of 6."""
    mask = torch.tensor([[False, False], [False, True], [False, True]])
    rows = instances.encode(mask)
    assert rows["size"] == [3, 2]
    by_column = coco_mask.frPyObjects({"size": [3, 2], "counts": [4, 2]}, 3, 2)
    assert rows["counts"] == by_column["counts"].decode()
    assert torch.equal(instances.decode(rows), mask)


def test_replication_scores_the_shuffled_augmented_training_loader(tmp_path: Path) -> None:
    """Scores see every image of the split once, in order, whole, and as it is stored."""
    sizes = [(20, 30), (24, 18), (17, 33)]
    pictures = [torch.randint(256, (3, *s)).byte() for s in sizes]
    masks = [picture[0] // 200 for picture in pictures]
    root = write_voc(tmp_path / "voc", masks, [[]] * 3, ("background", "cat"), pictures)
    seen = []

    def watched(model: Segmenter, images, *_) -> Iterator[tuple[str, dict[str, Tensor]]]:
        for (name, image), mask in zip(images, masks, strict=True):
            seen.append(image)
            yield name, {"single": mask, "single-crf": mask}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "label_maps", watched)
        views = {"single": prediction.SINGLE}
        rows = scoring.score_segmenter(None, VocDataset(root, "val"), views, LABEL_CRF)
    assert all(torch.equal(one, other) for one, other in zip(seen, pictures, strict=True))
    assert rows["single"]["miou"] == rows["single"]["boundary_miou"] == 100


def test_authors_mix_several_scales_into_before_and_after_crf() -> None:
    """Each of single scale, several scales and CRF can be told from the others."""
    model = Segmenter(looker(8), nn.Identity(), 3, 2).eval()
    model.weight.data = torch.eye(3)
    image = torch.randint(256, (3, 40, 56), generator=torch.Generator().manual_seed(0)).byte()
    views = {"single": prediction.SINGLE, "multi": prediction.AUTHORS_MULTI}
    one_step = replace(LABEL_CRF, iterations=1)
    ((_, maps),) = prediction.label_maps(model, [("a", image)], views, one_step)
    assert list(maps) == ["single", "single-crf", "multi", "multi-crf"]
    for one, other in (("single", "multi"), ("single", "single-crf"), ("multi", "multi-crf")):
        assert not torch.equal(maps[one], maps[other])
