"""Bilinear interpolation as a pair of small matrices.

An enlarged map U f = Y f X^T is linear in f, so whatever is a dot product with the enlarged
features can be worked out on the small map: a dot product first and the enlargement after it,
or the transposed enlargement of a mask before it. Only the length of an enlarged vector is not
linear; it follows from the dot products of the four neighbours.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor


class Bilinear(NamedTuple):
    """Weights of the enlargement along y and x; each row sums to 1."""

    rows: Float[Tensor, "H h"]
    columns: Float[Tensor, "W w"]

    def enlarge(self, maps: Float[Tensor, "*maps h w"]) -> Float[Tensor, "*maps H W"]:
        """Maps of cells brought to the pixels."""
        return self.rows @ maps @ self.columns.T

    def gather(self, maps: Float[Tensor, "*maps H W"]) -> Float[Tensor, "*maps h w"]:
        """The transpose of `enlarge`: maps of pixels collected into the cells."""
        return self.rows.T @ maps @ self.columns

    def enlarged_norm(self, features: Float[Tensor, "D h w"]) -> Float[Tensor, "H W"]:
        """Length of every vector of the enlarged features, without them.

        |sum_i a_i f_i|² = sum_ij a_i a_j <f_i, f_j> over the four neighbours; with separable
        weights that takes the squares and the products with the next cell down, right and across.
        """
        f = features
        same = (f * f).sum(0)  # [h, w]
        down = (f[:, :-1] * f[:, 1:]).sum(0)  # [h - 1, w]
        right = (f[:, :, :-1] * f[:, :, 1:]).sum(0)  # [h, w - 1]
        crossed = (f[:, :-1, :-1] * f[:, 1:, 1:] + f[:, 1:, :-1] * f[:, :-1, 1:]).sum(0)
        rows, columns = self.rows**2, self.columns**2
        row_pairs = self.rows[:, :-1] * self.rows[:, 1:]  # [H, h - 1]
        column_pairs = self.columns[:, :-1] * self.columns[:, 1:]  # [W, w - 1]
        square = (rows @ same + 2 * row_pairs @ down) @ columns.T
        square = square + 2 * (rows @ right + row_pairs @ crossed) @ column_pairs.T
        return square.clamp_min(0).sqrt()


def bilinear(
    cells: tuple[int, int],
    pixels: tuple[int, int],
    stride: float | None = None,
    like: Tensor | None = None,
) -> Bilinear:
    """Matrices that enlarge a map of h x w cells to H x W pixels.

    Args:
        cells, pixels: h, w and H, W.
        stride: pixels from one cell to the next, cell 0 lying at pixel 0. None aligns the corners
            of map and image, as the authors do: (H - 1) / (h - 1) pixels along y.
        like: tensor whose device and dtype the matrices take.

    Raises:
        ValueError: if a size is below 1 or the stride is not positive.
    """
    if min(*cells, *pixels) < 1 or not (stride is None or stride > 0):
        raise ValueError(f"sizes and stride must be positive, got {cells}, {pixels}, {stride}")

    def axis(n_cells: int, n_pixels: int) -> Float64[Tensor, "{n_pixels} {n_cells}"]:
        step = (n_cells - 1) / max(n_pixels - 1, 1) if stride is None else 1 / stride
        where = (torch.arange(n_pixels, dtype=torch.float64) * step).clamp(max=n_cells - 1)
        distance = (where[:, None] - torch.arange(n_cells, dtype=torch.float64)).abs()
        return (1 - distance).clamp_min(0)

    like = torch.empty(0) if like is None else like
    return Bilinear(axis(cells[0], pixels[0]).to(like), axis(cells[1], pixels[1]).to(like))
