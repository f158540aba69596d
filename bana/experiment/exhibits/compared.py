"""Labels of every kind on the chosen scenes: the paper's teaser, and where Y_ret differs."""

from typing import Any

from torch import Tensor

from bana.experiment.exhibits.scenes import chosen_scenes, image_iou
from bana.experiment.exhibits.sources import Materials, Needs
from bana.losses import IGNORE, reliable_pixels

KINDS = ("boxes", "boxes-crf", "grabcut", "gap", "bap", "bap-ret")
TEASER = Needs(labels=("boxes", "boxes-crf", "grabcut", "gap", "bap"))
BOTH_LABELS = Needs(labels=("bap",))


def teaser(materials: Materials) -> dict[str, Any]:
    """The chosen scenes with labels of all kinds; see `_with_labels`."""
    return _with_labels(materials, KINDS)


def both_labels(materials: Materials) -> dict[str, Any]:
    """The chosen scenes with BAP's two labels; see `_with_labels`."""
    return _with_labels(materials, ("bap", "bap-ret"))


def _with_labels(materials: Materials, kinds: tuple[str, ...]) -> dict[str, Any]:
    """What `chosen_scenes` returns; each scene with what its labels are worth.

    Returns:
        A scene has besides "kinds": uint8 [H, W] by kind of label; "iou": mIoU in percent by kind;
        "unreliable": bool [H, W], the paper's ~S; "wrong": bool [H, W], where Y_crf is not the
        mask; "shares": of `error_shares`.
    """
    made = chosen_scenes(materials)
    n_classes = len(made["classes"])
    for each in made["scenes"]:
        labels = {kind: materials.label(each["id"], kind) for kind in kinds}
        each["kinds"] = labels
        each["iou"] = {k: image_iou(v, each["mask"], n_classes) for k, v in labels.items()}
        _, unreliable = reliable_pixels(labels["bap"], labels["bap-ret"])
        each["unreliable"] = unreliable
        each["wrong"] = (labels["bap"] != each["mask"]) & (each["mask"] != IGNORE)
        each["shares"] = error_shares(unreliable, each["wrong"], each["mask"])
    return made


def error_shares(unreliable: Tensor, wrong: Tensor, mask: Tensor) -> dict[str, float]:
    """How ~S and the errors of Y_crf lie to one another, in percent; 0 where there is none.

    Args:
        unreliable, wrong: bool [H, W].
        mask: uint8 [H, W]; pixels marked 255 do not count.

    Returns:
        "unreliable": of the image; "precision": of ~S that is wrong; "recall": of the errors that
        are in ~S.
    """
    counted = mask != IGNORE
    both = int((unreliable & wrong & counted).sum())
    inside = int((unreliable & counted).sum())
    return {
        "unreliable": 100 * inside / max(1, int(counted.sum())),
        "precision": 100 * both / max(1, inside),
        "recall": 100 * both / max(1, int((wrong & counted).sum())),
    }
