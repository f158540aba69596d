"""Gaussian filtering in many dimensions through a permutohedral lattice (Adams et al. 2010).

A Gaussian filter over N points sums over N² pairs. The lattice makes it linear in N: every point
is written into the d + 1 corners of the simplex around it (splat), the corners are blurred along
each of the d + 1 lattice directions (blur), and every point reads its corners back (slice). All
three are sparse matrices that depend on the points alone, so a CRF builds them once an image and
reuses them for every label and iteration.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

KEY_BITS = 62


@dataclass(frozen=True)
class SparseMatrix:
    """A sparse matrix in compressed rows, multiplied with ``@``.

    Attributes:
        columns: int32 [nonzeros], column of each entry, row by row.
        starts: int32 [rows + 1], where each row begins in ``columns``.
        weights: float32 [nonzeros], value of each entry.
    """

    columns: Tensor
    starts: Tensor
    weights: Tensor

    def __matmul__(self, values: Tensor) -> Tensor:
        """Product with dense float32 [columns, C], giving [rows, C].

        A bag of weighted embeddings is a sparse row times a dense matrix, and ``embedding_bag``
        is torch's fastest such product on a CPU for the few columns of a CRF.
        """
        return torch.nn.functional.embedding_bag(
            self.columns,
            values,
            self.starts,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )


@dataclass(frozen=True)
class Lattice:
    """The steps of the filter as matrices, for N points that touch M lattice corners.

    Attributes:
        splat: [M, N], from points to corners.
        blurs: one [M, M] for each of the d + 1 lattice directions.
        slice: [N, M], from corners to points.
    """

    splat: SparseMatrix
    blurs: tuple[SparseMatrix, ...]
    slice: SparseMatrix

    def filter(self, values: Tensor) -> Tensor:
        """Filter float32 [N, C] over the points; the result [N, C] is not normalised."""
        corners = self.splat @ values  # [M, C]
        for blur in self.blurs:
            corners = blur @ corners
        return self.slice @ corners  # [N, C]

    def scaled(self, scale: Tensor) -> "Lattice":
        """The lattice whose filter computes scale * filter(scale * values), ``scale`` [N] > 0."""
        before = self.splat.weights * scale.index_select(0, self.splat.columns)
        after = self.slice.weights.view(len(scale), -1) * scale[:, None]
        return replace(
            self,
            splat=replace(self.splat, weights=before),
            slice=replace(self.slice, weights=after.flatten()),
        )


def build_lattice(features: Tensor) -> Lattice:
    """Build the lattice for the kernel exp(-|a - b|² / 2) between the given points.

    Args:
        features: float32 [d, N], one point a column, N >= 1, in units of the kernel's deviation.

    Returns:
        The lattice, on the device of ``features``. Its filter approximates the Gaussian up to one
        constant factor, which normalising cancels. Corners that no point touches are left out, as
        in every implementation, so nothing diffuses through them.

    Raises:
        ValueError: if the points spread over more lattice cells than a key of 62 bits can name.
    """
    d, n = features.shape
    weights, keys, steps = _simplices(features)  # [N, d + 1] both, d + 1 numbers
    keys, order = _sort(keys.flatten())  # [N (d + 1)] both

    new = torch.ones_like(keys, dtype=torch.bool)
    torch.ne(keys[1:], keys[:-1], out=new[1:])
    begin = new.nonzero().squeeze(1)  # [M]
    number = new.cumsum(0, dtype=torch.int32) - 1
    corner = torch.empty_like(number).scatter_(0, order, number)  # which corner each vertex is

    splat = SparseMatrix(
        columns=torch.div(order.int(), d + 1, rounding_mode="floor"),
        starts=torch.nn.functional.pad(begin, (0, 1), value=len(order)).int(),
        weights=weights.flatten().index_select(0, order),
    )
    from_corners = SparseMatrix(
        columns=corner,
        starts=torch.arange(n + 1, dtype=torch.int32, device=features.device) * (d + 1),
        weights=weights.flatten(),
    )
    corners = keys[begin]  # [M], ascending
    return Lattice(splat, tuple(_blur(corners, step) for step in steps), from_corners)


def _simplices(features: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """The simplex around each point.

    Returns the barycentric weights [N, d + 1], an int64 key for each vertex [N, d + 1], and by
    how much the key changes from a vertex to its neighbour along each of the d + 1 directions.
    """
    d, n = features.shape
    position = _elevation(d, features.device) @ features  # [d + 1, N], sums to 0 over dim 0
    base = position.round()
    offset = position - base
    rank = _descending_rank(offset) + base.sum(0).to(torch.int8)  # [d + 1, N]
    # Rounding may have left the plane of the lattice; the coordinates rounded furthest step back.
    wrap = (rank < 0).to(torch.int8) - (rank > d).to(torch.int8)
    rank += (d + 1) * wrap
    base += wrap
    offset -= wrap

    rank = rank.long()
    strides = _strides(base)
    moved = torch.empty_like(offset).scatter_(0, rank, offset)  # offsets from largest to smallest
    stride = torch.tensor(strides, device=features.device)
    freed = torch.empty_like(rank).scatter_(0, rank, stride[:, None].expand(d + 1, n))

    weights = features.new_empty(n, d + 1)
    weights[:, 0] = 1 + moved[d] - moved[0]
    weights[:, 1:] = (moved[:-1] - moved[1:]).flip(0).T
    # From one vertex to the next every coordinate grows by 1, and that of the highest rank not
    # yet used falls by d + 1.
    keys = torch.empty_like(rank.T, memory_format=torch.contiguous_format)
    key = (base.long() * stride[:, None]).sum(0)
    keys[:, 0] = key
    for k in range(1, d + 1):
        key = key + (1 - freed[d + 1 - k])
        keys[:, k] = key
    return weights, keys - keys.amin(), [s - 1 for s in strides]


def _elevation(d: int, device: torch.device) -> Tensor:
    """Matrix [d + 1, d] into the plane of the lattice, in units of d + 1.

    The scale is the one at which splat, blur and slice together have deviation 1.
    """
    matrix = torch.zeros(d + 1, d, dtype=torch.float64)
    for j in range(d):
        matrix[: j + 1, j] = 1
        matrix[j + 1, j] = -(j + 1)
        matrix[:, j] *= math.sqrt(2 / 3) / math.sqrt((j + 1) * (j + 2))
    return matrix.to(device, torch.float32)


def _descending_rank(offset: Tensor) -> Tensor:
    """Rank of each coordinate among its point's, largest first, ties in order: int8 [d + 1, N]."""
    rank = torch.zeros_like(offset, dtype=torch.int8)
    for i in range(len(offset)):
        for j in range(i + 1, len(offset)):
            smaller = offset[i] < offset[j]
            rank[i] += smaller
            rank[j] += ~smaller
    return rank


def _strides(base: Tensor) -> list[int]:
    """By how much the key grows when each of the d + 1 coordinates grows by d + 1.

    A vertex has integer coordinates x_0..x_d that are equal modulo d + 1 and sum to 0, so it is
    named by x_0 and the (x_i - x_0) / (d + 1) for 0 < i < d. These are the digits of the key.
    The key is linear in the coordinates and grows by 1 where all of them do.
    """
    d = len(base) - 1
    digits = torch.cat([base[:1] * (d + 1), base[1:d] - base[:1]])  # [d, N]
    low, high = torch.aminmax(digits, dim=1)
    # The vertices of the simplex and their neighbours lie up to 2 (d + 1) and 2 steps outside.
    margin = [4 * (d + 1)] + [4] * (d - 1)
    spread = [int(s) + m + 1 for s, m in zip((high - low).tolist(), margin, strict=True)]
    if math.prod(spread).bit_length() > KEY_BITS:
        raise ValueError(
            "the kernel is too narrow for this image: its lattice has over 2^62 corners"
        )
    scale = [math.prod(spread[:i]) for i in range(1, d)]
    return [d + 1 - sum(scale), *scale, 0]


def _sort(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Ascending keys, and where each came from; equal keys keep their order."""
    place = (len(keys) - 1).bit_length()
    if keys.device.type != "cpu" or int(keys.max()).bit_length() + place > KEY_BITS:
        return torch.sort(keys, stable=True)
    # Sorting numbers that carry their place takes NumPy a tenth of the time of an argsort.
    packed = (keys << place) | torch.arange(len(keys))
    packed.numpy().sort()
    return packed >> place, packed & ((1 << place) - 1)


def _blur(corners: Tensor, step: int) -> SparseMatrix:
    """The blur [.5, 1, .5] along one direction, over the corners that exist.

    Every row has three entries, and a missing neighbour weighs 0: rows of one length are twice as
    fast to multiply as rows that leave it out.
    """
    m = len(corners)
    itself = torch.arange(m, dtype=torch.int32, device=corners.device)
    wanted = corners + step
    found = _search(corners, wanted)  # [M]
    exists = corners.index_select(0, found) == wanted
    here, there = itself[exists], found[exists]
    columns = itself[:, None].repeat(1, 3)  # [M, 3]: itself, its neighbour ahead and behind
    columns[:, 1] = torch.where(exists, found, itself)
    columns[there, 2] = here
    weights = torch.ones(m, 3, device=corners.device)
    weights[:, 1] = exists * 0.5
    weights[:, 2] = (columns[:, 2] != itself) * 0.5
    starts = torch.arange(m + 1, dtype=torch.int32, device=corners.device) * 3
    return SparseMatrix(columns.flatten(), starts, weights.flatten())


def _search(ascending: Tensor, wanted: Tensor) -> Tensor:
    """Where each wanted number would be found, int32, clamped to the last place."""
    if ascending.device.type == "cpu":
        # NumPy profits from the wanted numbers being in order too, and takes half the time.
        place = torch.from_numpy(np.searchsorted(ascending.numpy(), wanted.numpy())).int()
    else:
        place = torch.searchsorted(ascending, wanted, out_int32=True)
    return place.clamp_(max=len(ascending) - 1)
