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
from jaxtyping import Float32, Int8, Int32, Int64
from torch import Tensor

KEY_BITS = 62
# Points whose simplices are found at once: few enough for what is in between to stay in cache.
CHUNK = 2**15


@dataclass(frozen=True)
class SparseMatrix:
    """A sparse matrix in compressed rows, multiplied with ``@``."""

    columns: Int32[Tensor, " nonzeros"]  # of each entry, row by row
    starts: Int32[Tensor, " rows_plus_1"]  # where in `columns` each row begins, and the last ends
    weights: Float32[Tensor, " nonzeros"]  # value of each entry

    def __matmul__(self, values: Float32[Tensor, "columns C"]) -> Float32[Tensor, "rows C"]:
        """Product with a dense matrix.

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

    def filter(self, values: Float32[Tensor, "N C"]) -> Float32[Tensor, "N C"]:
        """Filter over the points; the result is not normalised."""
        corners = self.splat @ values  # [M, C]
        for blur in self.blurs:
            corners = blur @ corners
        return self.slice @ corners

    def scaled(self, scale: Float32[Tensor, " N"]) -> "Lattice":
        """The lattice whose filter computes scale * filter(scale * values), ``scale`` > 0."""
        before = self.splat.weights * scale.index_select(0, self.splat.columns)
        after = self.slice.weights.view(len(scale), -1) * scale[:, None]
        return replace(
            self,
            splat=replace(self.splat, weights=before),
            slice=replace(self.slice, weights=after.flatten()),
        )


def build_lattice(features: Float32[Tensor, "d N"]) -> Lattice:
    """Build the lattice for the kernel exp(-|a - b|² / 2) between the given points.

    Args:
        features: one point a column, N >= 1, in units of the kernel's deviation.

    Returns:
        The lattice, on the device of ``features``. Its filter approximates the Gaussian up to one
        constant factor, which normalising cancels. Corners that no point touches are left out, as
        in every implementation, so nothing diffuses through them.

    Raises:
        ValueError: if the points spread over more lattice cells than a key of 62 bits can name.
    """
    d, n = features.shape
    strides, offset = _strides(features)
    weights = features.new_empty(n, d + 1)
    keys = torch.empty(n, d + 1, dtype=torch.int64, device=features.device)
    for i in range(0, n, CHUNK):
        part = slice(i, i + CHUNK)
        weights[part], keys[part] = _simplices(features[:, part], strides, offset)
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
    return Lattice(splat, tuple(_blur(corners, stride - 1) for stride in strides), from_corners)


def _simplices(
    features: Float32[Tensor, "d N"], strides: list[int], offset: int
) -> tuple[Float32[Tensor, "N d+1"], Int64[Tensor, "N d+1"]]:
    """The simplex around each point: its barycentric weights, and a key for each vertex.

    The keys have the ``strides`` and the ``offset`` of :func:`_strides`.
    """
    d, n = features.shape
    position = _elevation(d, features.device) @ features  # [d + 1, N], sums to 0 over dim 0
    base = position.round()
    excess = position - base
    rank = _descending_rank(excess) + base.sum(0).to(torch.int8)  # [d + 1, N]
    # Rounding may have left the plane of the lattice; the coordinates rounded furthest step back.
    wrap = (rank < 0).to(torch.int8) - (rank > d).to(torch.int8)
    rank += (d + 1) * wrap
    base += wrap
    excess -= wrap

    rank = rank.long()
    moved = torch.empty_like(excess).scatter_(0, rank, excess)  # excesses from largest to smallest
    stride = torch.tensor(strides, device=features.device)[:, None]
    freed = torch.empty_like(rank).scatter_(0, rank, stride.expand(d + 1, n))

    weights = torch.empty_like(moved)
    weights[0] = 1 + moved[d] - moved[0]
    torch.sub(moved[:-1].flip(0), moved[1:].flip(0), out=weights[1:])
    # From one vertex to the next every coordinate grows by 1, and that of the highest rank not
    # yet used falls by d + 1.
    keys = torch.empty_like(rank)
    keys[0] = (base.long() * stride).sum(0) + offset
    for k in range(1, d + 1):
        torch.sub(keys[k - 1] + 1, freed[d + 1 - k], out=keys[k])
    return weights.T, keys.T


def _elevation(d: int, device: torch.device) -> Float32[Tensor, "{d}+1 {d}"]:
    """Matrix into the plane of the lattice, in units of d + 1.

    The scale is the one at which splat, blur and slice together have deviation 1.
    """
    matrix = torch.zeros(d + 1, d, dtype=torch.float64)
    for j in range(d):
        matrix[: j + 1, j] = 1
        matrix[j + 1, j] = -(j + 1)
        matrix[:, j] *= math.sqrt(2 / 3) / math.sqrt((j + 1) * (j + 2))
    return matrix.to(device, torch.float32)


def _descending_rank(values: Float32[Tensor, "d_plus_1 N"]) -> Int8[Tensor, "d_plus_1 N"]:
    """Rank of each coordinate among its point's, largest first, ties in order."""
    rank = torch.arange(len(values), dtype=torch.int8, device=values.device)
    rank = rank[:, None].repeat(1, values.shape[1])
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            smaller = (values[i] < values[j]).view(torch.int8)
            rank[i] += smaller
            rank[j] -= smaller
    return rank


def _strides(features: Float32[Tensor, "d N"]) -> tuple[list[int], int]:
    """How a vertex is numbered: by how much its key grows with each coordinate, and what is added.

    A vertex has integer coordinates x_0..x_d that are equal modulo d + 1 and sum to 0, so it is
    named by x_0 and the (x_i - x_0) / (d + 1) for 0 < i < d. These are the digits of the key,
    which is linear in the coordinates and grows by 1 where all of them do.

    Returns:
        For each of the d + 1 coordinates what the key grows by when it grows by d + 1; and the
        number that makes the keys of all vertices and their neighbours at least 0.
    """
    d = len(features)
    low, high = (x.cpu().double() for x in torch.aminmax(features, dim=1))  # [d]
    matrix = _elevation(d, torch.device("cpu")).double()
    digits = torch.cat([matrix[:1] * (d + 1), matrix[1:d] - matrix[:1]])  # [d, d], of a position
    lowest = torch.minimum(digits * low, digits * high).sum(1)
    highest = torch.maximum(digits * low, digits * high).sum(1)
    # Beyond this, single precision rounds a position by more than a sixteenth.
    if float(torch.maximum(lowest.abs(), highest.abs()).max()) > 2**20:
        raise ValueError(
            "the kernel is too narrow for this image: its positions exceed single precision"
        )
    # In units of d + 1 a coordinate is off its position by up to .5 for rounding, 1 for stepping
    # back, 1 for the vertex and 1 for its neighbour. Of two coordinates, vertex and neighbour move
    # one by a unit against the other, so that their difference is off by up to 5.
    margin = torch.tensor([4.0 * (d + 1)] + [5.0] * (d - 1), dtype=torch.float64)
    first = (lowest - margin).floor().long().tolist()
    last = (highest + margin).ceil().long().tolist()
    spread = [b - a + 1 for a, b in zip(first, last, strict=True)]
    if math.prod(spread).bit_length() > KEY_BITS:
        raise ValueError(
            "the kernel is too narrow for this image: its lattice has over 2^62 corners"
        )
    scale = [math.prod(spread[:i]) for i in range(d)]
    offset = -sum(a * s for a, s in zip(first, scale, strict=True))
    return [d + 1 - sum(scale[1:]), *scale[1:], 0], offset


def _sort(keys: Int64[Tensor, " n"]) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Ascending keys, and where each came from; equal keys keep their order."""
    place = (len(keys) - 1).bit_length()
    if keys.device.type != "cpu" or int(keys.max()).bit_length() + place > KEY_BITS:
        return torch.sort(keys, stable=True)
    # Sorting numbers that carry their place takes NumPy a tenth of the time of an argsort.
    packed = (keys << place).bitwise_or_(torch.arange(len(keys)))
    packed.numpy().sort()
    order = packed & ((1 << place) - 1)
    return packed.bitwise_right_shift_(place), order


def _blur(corners: Int64[Tensor, " M"], step: int) -> SparseMatrix:
    """The blur [.5, 1, .5] along one direction, over the corners that exist.

    Every row has three entries, and a missing neighbour weighs 0: rows of one length are twice as
    fast to multiply as rows that leave it out.
    """
    m = len(corners)
    itself = torch.arange(m, dtype=torch.int32, device=corners.device)
    wanted = corners + step
    ahead = _search(corners, wanted)  # [M]
    exists = corners.index_select(0, ahead) == wanted
    # Who has this corner ahead has it behind; a corner with none ahead tells a place beyond all.
    behind = torch.full((m + 1,), -1, dtype=torch.int32, device=corners.device)
    behind.scatter_(0, torch.where(exists, ahead, m).long(), itself)
    behind = behind[:m]
    columns = torch.stack([itself, torch.where(exists, ahead, itself), behind.clamp_min(0)], 1)
    weights = torch.ones(m, 3, device=corners.device)
    weights[:, 1] = exists * 0.5
    weights[:, 2] = (behind >= 0) * 0.5
    starts = torch.arange(m + 1, dtype=torch.int32, device=corners.device) * 3
    return SparseMatrix(columns.flatten(), starts, weights.flatten())


def _search(
    ascending: Int64[Tensor, " M"], wanted: Int64[Tensor, " wanted"]
) -> Int32[Tensor, " wanted"]:
    """Where each wanted number would be found, clamped to the last place."""
    if ascending.device.type == "cpu":
        # NumPy profits from the wanted numbers being in order too, and takes half the time.
        place = torch.from_numpy(np.searchsorted(ascending.numpy(), wanted.numpy())).int()
    else:
        place = torch.searchsorted(ascending, wanted, out_int32=True)
    return place.clamp_(max=len(ascending) - 1)
