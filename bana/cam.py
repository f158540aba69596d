"""Class activation maps: Eq. 6 of the paper."""

import torch
from jaxtyping import Float
from torch import Tensor


def class_activation(
    features: Float[Tensor, "N D h w"], weight: Float[Tensor, "C D"]
) -> Float[Tensor, "N C h w"]:
    """Rectified response of every class at every position: CAM_c of Eq. 6.

    Args:
        features, weight: f, and w, the rows of the box classifier that are wanted.

    Returns:
        The maps, at least 0, in units of the classifier's logits.

    Raises:
        ValueError: if shapes or types do not fit together.
    """
    if features.ndim != 4 or weight.ndim != 2 or features.shape[1] != weight.shape[1]:
        raise ValueError(
            f"features [N, D, h, w] and weight [C, D] must share D, got "
            f"{tuple(features.shape)} and {tuple(weight.shape)}"
        )
    if features.dtype != weight.dtype:
        raise ValueError(f"features {features.dtype} and weight {weight.dtype} are of two types")
    return torch.einsum("ndhw,cd->nchw", features, weight).relu()
