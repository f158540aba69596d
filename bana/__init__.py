"""Segmentation from bounding boxes: the method of BANA (CVPR 2021), an executable reading.

The paper, equation by equation:

    Eq. 1      background_queries    mean features of the certain background
    Eq. 2, 3   background_attention  likeness to them: the attention A
    Eq. 4      pool_boxes            one feature of a box, background weighed down
    Eq. 6      class_activation      class activation maps
    Eq. 5-9    pseudo_labels         unaries, Y_crf by a dense CRF, Y_ret by retrieval
    Eq. 10-14  noise_aware_loss      trusts a label as far as the network's own confidence

They are in bap, cam, labels and losses. Two modules stand beside these: interpolation, by which
labels are made from small maps, and baselines (boxes filled, with a CRF or not, and GrabCut).

The rooms around them, from the ground up:

    files       where things lie, and results that are kept
    crf         the dense CRF and the lattice that it filters with
    data        boxes, the one layout that everything reads, what brings data into it
    networks    backbones with their weights, box classifier and segmenter
    training    the two loops, and the machine and run folder around them
    evaluation  scores of label maps and networks, predictions, result files
    experiment  settings, stages that are made once and kept, their records
    course      notebooks that run, figures and the look of them
    commands    the command `bana`

The names in `__all__` are at hand, as in `bana.pool_boxes`; each is loaded when it is first asked
for. Import everything else from its room: `from bana.evaluation.miou import score_labels`.
"""

from importlib import import_module

HOMES: dict[str, str] = {
    "background_queries": "bap",
    "background_attention": "bap",
    "pool_boxes": "bap",
    "class_activation": "cam",
    "UnaryOptions": "labels",
    "PseudoLabels": "labels",
    "pseudo_labels": "labels",
    "noise_aware_loss": "losses",
    "reliable_pixels": "losses",
    "filled_boxes": "baselines",
    "refined_boxes": "baselines",
    "grabcut": "baselines",
    "CrfParameters": "crf.dense",
    "dense_crf": "crf.dense",
    "VocDataset": "data.voc",
    "make_sample": "data.sample.make",
    "build_backbone": "networks.backbones",
    "BoxClassifier": "networks.classifier",
    "Segmenter": "networks.segmenter",
    "train_classifier": "training.classification",
    "train_segmenter": "training.segmentation",
    "score_labels": "evaluation.miou",
    "Profile": "experiment.profiles",
    "get_profile": "experiment.profiles",
    "load_pretrained": "experiment.pretrained",
    "masks": "experiment.pretrained",
}
"""The module of each name that `bana` offers, below `bana`."""

__all__ = list(HOMES)


def __getattr__(name: str) -> object:
    """A name of `HOMES`, imported now: `import bana` itself costs nothing."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Every name, loaded or not."""
    return sorted({*globals(), *HOMES})
