"""The numbers that others published, in one place: mIoU on PASCAL VOC 2012, AP on COCO, in percent.

Source: tables 1 to 5 and the supplement of the CVPR 2021 paper (arXiv 2104.00905), and the
ReScience C replication of it (10.5281/zenodo.6574677), on VOC's segmentation splits. None of it was
measured here, and none of it can be compared with what a profile measures on other data: only the
order of the rows can. Rows carry the names that `bana.experiment.stages` gives its own.
"""

from typing import NamedTuple

SOURCE = "PASCAL VOC 2012, trained on the augmented list of 10,582 photographs"


class LabelScore(NamedTuple):
    """A row of Table 1: mIoU of pseudo labels on the two splits."""

    train: float
    val: float


class LossScore(NamedTuple):
    """A row of Table 3: mIoU on val before and after the authors' post-processing.

    "After" is multi-scale testing and CRF together, not CRF alone.
    """

    before: float
    after: float


class PrecisionScore(NamedTuple):
    """A row of Table 2: COCO's average precision of instance masks in percent."""

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float


LABELS: dict[str, LabelScore] = {
    "boxes": LabelScore(65.4, 62.2),
    "grabcut": LabelScore(65.7, 66.1),
    "wssl": LabelScore(69.7, 71.1),
    "gap": LabelScore(75.5, 76.1),
    "bap-no-u0": LabelScore(77.0, 77.8),
    "bap": LabelScore(78.7, 79.2),
    "bap-ret": LabelScore(70.8, 69.9),
    "agreement": LabelScore(85.3, 68.2),
}
"""Table 1. The paper does not say if "agreement" drops unlabelled pixels or counts them wrong."""

LABELS_REPLICATION_VAL: dict[str, float] = {
    "gap": 75.5,
    "bap-no-u0": 77.0,
    "bap": 78.8,
    "bap-ret": 69.9,
    "agreement": 72.7,
}
"""Table 1 on val, measured by the replication."""

PRECISION: dict[str, PrecisionScore] = {
    "VOC to COCO, Y_crf": PrecisionScore(11.7, 28.7, 8.0, 3.0, 15.0, 27.1),
    "VOC to COCO, Y_ret": PrecisionScore(9.0, 30.1, 2.8, 4.4, 10.2, 16.2),
    "COCO to COCO, Y_crf": PrecisionScore(17.2, 40.5, 12.5, 5.9, 20.4, 32.2),
}
"""Table 2, on COCO: masks of boxes by a classifier of VOC, which never saw sixty of the classes,
and by one of COCO."""

LOSSES: dict[str, LossScore] = {
    "ignore": LossScore(61.8, 67.5),
    "entropy": LossScore(61.4, 67.3),
    "bootstrap": LossScore(61.9, 67.6),
    "nal": LossScore(62.4, 68.1),
}
"""Table 3: what is done with the unreliable pixels, DeepLab-V1."""

LOSSES_REPLICATION: dict[str, LossScore] = {
    "ignore": LossScore(60.9, 64.5),
    "entropy": LossScore(60.8, 64.1),
    "bootstrap": LossScore(60.9, 64.6),
    "nal": LossScore(61.4, 64.8),
}
"""Table 3, measured by the replication."""

SEGMENTATION_V1: dict[str, float] = {"crf": 67.8, "ret": 66.1, "nal": 68.1}
"""Table 4, val, DeepLab-V1 (VGG-16): labels or loss that the network was trained with."""

SEGMENTATION_V2: dict[str, float] = {"crf": 74.0, "ret": 72.4, "nal": 74.6}
"""Table 4, val, DeepLab-V2 (ResNet-101)."""

SEGMENTATION_V1_REPLICATION: dict[str, float] = {"crf": 64.7, "ret": 62.8, "nal": 64.8}
SEGMENTATION_V2_REPLICATION: dict[str, float] = {"crf": 67.0, "ret": 70.2, "nal": 70.8}

TEST_V1: dict[str, float] = {"nal": 69.4, "nal with 1,464 masks": 71.5}
TEST_V2: dict[str, float] = {"nal": 76.1}
"""Tables 4 and 5 on VOC's test server."""

SEMI_SUPERVISED_V1_VAL = 70.5
"""Table 5, val: noise-aware loss with 1,464 masks besides the boxes, DeepLab-V1."""

PEERS_VAL: dict[str, float] = {
    "BoxSup (V1)": 62.0,
    "SDI (V1)": 65.7,
    "SDI (V2)": 69.4,
    "BCM (V1)": 66.8,
    "BCM (V2)": 70.2,
    "Box2Seg": 76.4,
    "BBAM": 73.7,
    "SPML": 73.5,
}
"""Other methods that learn from boxes, as Tables 4 and 5 quote them."""

PER_CLASS_V1_MIOU = 68.07
PER_CLASS_V1: dict[str, float] = {
    "background": 90.77,
    "aeroplane": 77.46,
    "bicycle": 29.51,
    "bird": 81.94,
    "boat": 59.69,
    "bottle": 70.07,
    "bus": 86.53,
    "car": 78.39,
    "cat": 82.59,
    "chair": 33.40,
    "cow": 78.19,
    "diningtable": 51.85,
    "dog": 76.46,
    "horse": 72.88,
    "motorbike": 71.35,
    "person": 73.73,
    "pottedplant": 50.09,
    "sheep": 76.26,
    "sofa": 42.47,
    "train": 79.95,
    "tvmonitor": 65.85,
}
"""Noise-aware loss, DeepLab-V1, val, multi-scale and CRF: IoU of each of VOC's classes."""

SINGLE_SCALE_V1 = 62.07
"""The authors' log of that network: single scale and without CRF."""

CAM_PRECISION: dict[str, float] = {"gap": 73.0, "bap": 77.9}
"""Supplement: precision of class activation maps; at which threshold is not told."""

GRID_SIZE_REPLICATION: dict[int, dict[int, float]] = {
    1: {1: 75.82, 2: 75.77, 3: 75.65},
    2: {1: 76.11, 2: 76.10, 3: 75.15},
    3: {1: 75.87, 2: 75.78, 3: 75.81},
    4: {1: 78.83, 2: 78.72, 3: 78.82},
    5: {1: 74.16, 2: 74.07, 3: 74.02},
}
"""mIoU of Y_crf on val, by the replication: by N in training, then by N in generation."""

CLASS_AGNOSTIC_REPLICATION_TRAIN: dict[str, float] = {"Y_crf": 67.48, "Y_ret": 68.66}
"""Labels with u_c = 1 - u_0 for all classes, on train, measured by the replication."""

SECONDS: dict[str, float] = {
    "classifier": 84 * 60.0,
    "segmenter": (4 * 60 + 12) * 60.0,
    "CRF, an image": 0.4,
}
"""The authors' times, about; the first two on a GPU that is not named, the CRF on a CPU."""

ORDERINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "Table 1": (
        ("grabcut", "boxes"),
        ("gap", "grabcut"),
        ("bap-no-u0", "gap"),
        ("bap", "bap-no-u0"),
        ("bap", "gap"),
        ("bap", "bap-ret"),
    ),
    "Table 3": (("nal", "ignore"), ("nal", "entropy"), ("nal", "bootstrap")),
    "Table 4": (("crf", "ret"), ("nal", "crf"), ("nal", "ret")),
}
"""The orderings of rows that the paper reports on val, the better one first."""
