"""The dense CRF and the lattice that it filters with."""

from bana.crf.dense import (
    DEEPLAB_V1_CRF,
    DEEPLAB_V2_CRF,
    LABEL_CRF,
    CrfParameters,
    CrfResult,
    dense_crf,
)

__all__ = [
    "DEEPLAB_V1_CRF",
    "DEEPLAB_V2_CRF",
    "LABEL_CRF",
    "CrfParameters",
    "CrfResult",
    "dense_crf",
]
