"""Background-aware pooling: Eq. 1-4 of the paper.

All of it in the features' own precision, under autocast too.
"""

import torch
from jaxtyping import Bool, Float, Int64, Real
from torch import Tensor


def smallest_length(dtype: torch.dtype) -> float:
    """Length below which a vector counts as zero: the square of the dtype's rounding error."""
    return torch.finfo(dtype).eps ** 2


def divisors(vectors: Float[Tensor, "..."], dim: int) -> Float[Tensor, "..."]:
    """Lengths to divide vectors by, dimension kept; infinite where a vector counts as zero.

    A zero has no direction: divided by infinity it is 0, with a gradient of 0.
    """
    lengths = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return lengths.masked_fill(lengths <= smallest_length(vectors.dtype), torch.inf)


def grid_cells(
    height: int, width: int, grid_size: int, device: torch.device | None = None
) -> Int64[Tensor, "{height} {width}"]:
    """Which cell of the N x N grid each position of a feature map falls into.

    The map is thought of as padded to a multiple of ``grid_size``: evenly on both sides where the
    padding is even in that direction, all at the bottom or right otherwise (as the authors do).
    No padding is ever stored, because padded positions carry no background.

    Args:
        height, width: size of the feature map, in feature cells.
        grid_size: N, the number of grid cells along each side, at least 1.
        device: device of the result.

    Returns:
        The row-major index of the grid cell, in 0..N²-1.

    Raises:
        ValueError: if ``grid_size`` is below 1.
    """
    if grid_size < 1:
        raise ValueError(f"grid_size must be at least 1, got {grid_size}")

    def axis(length: int) -> Int64[Tensor, " {length}"]:
        padding = -length % grid_size
        before = padding // 2 if padding % 2 == 0 else 0
        cell = (length + padding) // grid_size
        return (torch.arange(length, device=device) + before) // cell

    return axis(height)[:, None] * grid_size + axis(width)[None, :]  # [h, w]


def background_queries(
    features: Float[Tensor, "N D h w"], background: Real[Tensor, "N 1 h w"], grid_size: int
) -> tuple[Float[Tensor, "N J D"], Bool[Tensor, "N J"]]:
    """Mean feature of the certain background in each grid cell: the queries q_j of Eq. 1.

    Args:
        features: f.
        background: M, 1 outside every box and 0 inside (and in padding); fractions are weights.
        grid_size: cells along each side; J = grid_size².

    Returns:
        queries in the dtype of ``features`` (zeros where the cell has no background), and valid:
        the cells that hold any background. As in the paper a cell with a single background
        position counts as much in Eq. 2 as a full one.

    Raises:
        ValueError: if the shapes do not fit together.
    """
    n, _, h, w = _check_map(features, "features")
    if background.shape != (n, 1, h, w):
        raise ValueError(
            f"background must be {(n, 1, h, w)} like the features, got {tuple(background.shape)}"
        )
    cells = grid_cells(h, w, grid_size, features.device).flatten()  # [hw]
    member = torch.nn.functional.one_hot(cells, grid_size**2).to(features.dtype)  # [hw, J]
    weights = background.to(features.dtype).flatten(2).transpose(1, 2) * member  # [N, hw, J]
    mass = weights.sum(1)  # [N, J]
    valid = mass > 0
    # Weights are divided before the sum, which could overflow in half precision.
    weights = weights / mass.masked_fill(~valid, 1)[:, None]
    with torch.autocast(features.device.type, enabled=False):
        return torch.einsum("ndp,npj->njd", features.flatten(2), weights), valid


def background_attention(
    features: Float[Tensor, "N D h w"],
    queries: Float[Tensor, "N J D"],
    valid: Bool[Tensor, "N J"],
) -> Float[Tensor, "N 1 h w"]:
    """Mean over the valid queries of the rectified cosine similarity: A of Eq. 2 and 3.

    Only the inner case of Eq. 3 is computed, everywhere. Pooling (Eq. 4) looks outside the boxes
    only as far as a box covers a part of a background cell, and gives that part the weight 1 - A
    of the inner case, where Eq. 3 as it stands gives none.

    Args:
        features, queries, valid: f, and q_j as `background_queries` gives them.

    Returns:
        A in [0, 1]; 0 everywhere for an image without a valid query, which turns Eq. 4 into
        global average pooling. (The authors' code gives NaN there in stage 2.)

    Raises:
        ValueError: if shapes or types do not fit together.
    """
    n, d, h, w = _check_map(features, "features")
    _check_same_type(features, queries, "queries")
    if queries.ndim != 3 or queries.shape[::2] != (n, d) or valid.shape != queries.shape[:2]:
        raise ValueError(
            f"queries and valid must be [{n}, J, {d}] and [{n}, J], got "
            f"{tuple(queries.shape)} and {tuple(valid.shape)}"
        )
    flat = features.flatten(2)  # [N, D, hw]
    with torch.autocast(features.device.type, enabled=False):
        directions = queries / divisors(queries, 2)  # [N, J, D]
        cosines = directions @ flat / divisors(flat, 1)  # [N, J, hw]
    shares = valid.to(features.dtype) / valid.sum(1, keepdim=True).clamp_min(1)  # [N, J]
    attention = (shares[:, :, None] * cosines.relu()).sum(1, keepdim=True)  # [N, 1, hw]
    return attention.clamp(max=1).view(n, 1, h, w)


def pool_boxes(
    features: Float[Tensor, "N D h w"],
    attention: Float[Tensor, "N 1 h w"],
    boxes: Float[Tensor, "K 5"],
    spatial_scale: float,
    parts: int = 1,
) -> Float[Tensor, "K {parts}**2 D"]:
    """Average the features of each box, background weighed down: r_i of Eq. 4.

    A feature cell belongs to a box by the fraction of the cell that the box covers, so a box
    thinner than a cell still pools something (the paper does not say how boxes are rounded).
    Where A is 1 all over a box, Eq. 4 is 0 / 0; the box is then pooled plainly (GAP). Where A is
    less than 1 by rounding alone, so are the weights.

    Args:
        features, attention: f, and A in [0, 1]; zeros of A give global average pooling.
        boxes: image index, x1, y1, x2, y2 in input pixels, half-open, as in torchvision's RoI
            operators; feature cell (i, j) covers the input from (j, i) / spatial_scale to
            (j + 1, i + 1) / spatial_scale.
        spatial_scale: feature cells per input pixel.
        parts: each box is cut into parts x parts equal pieces that are pooled apart. The paper's
            equation has 1, the authors' training 2.

    Returns:
        r_i, pieces row by row. A box wholly outside the map, or whose x2 or y2 is not above x1 or
        y1, gives zeros; nan in A gives nan.

    Raises:
        ValueError: if shapes or types do not fit together, a box is not finite or of no image,
            ``spatial_scale`` is not above 0, or ``parts`` is below 1.
    """
    n, d, h, w = _check_map(features, "features")
    _check_same_type(features, attention, "attention")
    if attention.shape != (n, 1, h, w):
        raise ValueError(f"attention must be {(n, 1, h, w)}, got {tuple(attention.shape)}")
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise ValueError(f"boxes must be [K, 5] (image, x1, y1, x2, y2), got {tuple(boxes.shape)}")
    if parts < 1:
        raise ValueError(f"parts must be at least 1, got {parts}")
    if not spatial_scale > 0:
        raise ValueError(f"spatial_scale must be above 0, got {spatial_scale}")
    if len(boxes) == 0:
        return features.new_zeros(0, parts**2, d)
    if not boxes.isfinite().all() or not (boxes[:, 0] >= 0).all():
        raise ValueError("boxes must be finite, and the numbers of their images at least 0")

    image = boxes[:, 0].long()  # [K]
    slot, slots = _slots(image, n)
    # Half precision cannot tell pixel 256 from 257: coverage is worked out in float32 or better.
    precise = torch.promote_types(boxes.dtype, torch.float32)
    coverage = _coverage(boxes[:, 1:].to(precise) * spatial_scale, h, w, parts)
    coverage = (coverage / coverage.amax(2, keepdim=True).clamp_min(1e-30)).to(features.dtype)
    weights = coverage * (1 - attention.flatten(2))[image]  # [K, P, hw]
    mass = weights.sum(2, keepdim=True)  # [K, P, 1]
    zero = smallest_length(features.dtype)
    weights = torch.where(mass <= zero, coverage, weights)  # nan stays
    weights = weights / weights.sum(2, keepdim=True).clamp_min(zero)

    # One batched product over images: every image gets as many rows as the fullest one needs, so
    # neither the features are copied per box nor is there a loop over boxes.
    rows = weights.new_zeros(n, slots, parts**2, h * w).index_put((image, slot), weights)
    with torch.autocast(features.device.type, enabled=False):
        pooled = rows.flatten(1, 2) @ features.flatten(2).transpose(1, 2)  # [N, slots * P, D]
    return pooled.view(n, slots, parts**2, d)[image, slot]


def _coverage(
    boxes: Float[Tensor, "K 4"], height: int, width: int, parts: int
) -> Float[Tensor, "K {parts}**2 {height}*{width}"]:
    """Fraction of each feature cell that each part of each box covers."""

    def axis(low: Float[Tensor, " K"], high: Float[Tensor, " K"], length: int) -> Tensor:
        steps = torch.arange(parts + 1, device=boxes.device, dtype=boxes.dtype) / parts
        edges = low[:, None] + (high - low)[:, None] * steps  # [K, parts + 1]
        start = torch.arange(length, device=boxes.device, dtype=boxes.dtype)
        overlap = torch.minimum(edges[:, 1:, None], start + 1) - torch.maximum(
            edges[:, :-1, None], start
        )
        return overlap.clamp_min(0)  # [K, parts, length]

    rows = axis(boxes[:, 1], boxes[:, 3], height)[:, :, None, :, None]
    columns = axis(boxes[:, 0], boxes[:, 2], width)[:, None, :, None, :]
    return (rows * columns).reshape(len(boxes), parts**2, height * width)


def _slots(image: Int64[Tensor, " K"], n_images: int) -> tuple[Int64[Tensor, " K"], int]:
    """Each box's running number within its image, and the largest number of boxes."""
    counts = torch.bincount(image, minlength=n_images)  # [N]
    if len(counts) > n_images:
        raise ValueError(f"boxes name image {int(image.max())}, but there are {n_images} images")
    order = torch.argsort(image, stable=True)
    first = counts.cumsum(0) - counts
    slot = torch.empty_like(image)
    slot[order] = torch.arange(len(image), device=image.device) - first[image[order]]
    return slot, int(counts.max())


def _check_map(tensor: Tensor, name: str) -> tuple[int, int, int, int]:
    if tensor.ndim != 4 or not tensor.is_floating_point():
        raise ValueError(
            f"{name} must be a float tensor [N, D, h, w], got {tensor.dtype} {tuple(tensor.shape)}"
        )
    return tuple(tensor.shape)


def _check_same_type(features: Tensor, other: Tensor, name: str) -> None:
    if other.dtype != features.dtype:
        raise ValueError(f"{name} must be {features.dtype} as features are, got {other.dtype}")
