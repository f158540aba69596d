"""The paper's equations once more, slowly: one loop a pixel, cell and box, in float64.

Written from the equations alone and used only to check the fast code, so it favours looking like
the paper over everything else. Arguments are arrays or CPU tensors; results are numpy float64.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
IGNORE = 255


def float64(values: ArrayLike) -> Array:
    """A float64 copy of an array or of a tensor with or without a gradient."""
    if hasattr(values, "detach"):
        values = values.detach().double().numpy()
    return np.array(values, dtype=np.float64)


def cosine(a: Array, b: Array) -> float:
    """cos(a, b); 0 where either has no length."""
    lengths = np.sqrt((a * a).sum()) * np.sqrt((b * b).sum())
    return float((a * b).sum() / lengths) if lengths > 0 else 0.0


def queries(features: ArrayLike, background: ArrayLike, grid_size: int) -> list[Array | None]:
    """Eq. 1: q_j = sum_{p in G(j)} M(p) f(p) / sum_{p in G(j)} M(p), cells row by row.

    The map [D, h, w] is literally padded with zeros to a multiple of N: evenly on both sides where
    the padding is even in that direction, else at the bottom or right. None for an empty cell.
    """
    f, m = float64(features), float64(background)
    before_after = []
    for length in m.shape:
        padding = -length % grid_size
        half = padding // 2
        before_after.append((half, half) if padding % 2 == 0 else (0, padding))
    f = np.pad(f, [(0, 0), *before_after])
    m = np.pad(m, before_after)
    rows, columns = m.shape[0] // grid_size, m.shape[1] // grid_size
    result: list[Array | None] = []
    for i in range(grid_size):
        for j in range(grid_size):
            total, mass = np.zeros(len(f)), 0.0
            for y in range(i * rows, (i + 1) * rows):
                for x in range(j * columns, (j + 1) * columns):
                    total += m[y, x] * f[:, y, x]
                    mass += m[y, x]
            result.append(total / mass if mass > 0 else None)
    return result


def attention(features: ArrayLike, cells: list[Array | None], inside: ArrayLike) -> Array:
    """Eq. 2: A(p) = (1 / J) sum_j A_j(p) over the J valid queries; [h, w].

    An image without a valid query has nothing to average: A is 0 inside the boxes.
    """
    valid = [query for query in cells if query is not None]
    maps = [query_attention(features, query, inside) for query in valid]
    if not maps:
        return np.where(np.asarray(inside, dtype=bool), 0.0, 1.0)
    return sum(maps) / len(maps)


def query_attention(features: ArrayLike, query: Array, inside: ArrayLike) -> Array:
    """Eq. 3: A_j(p) = ReLU(cos(f(p), q_j)) for p in B, 1 otherwise; [h, w]."""
    f, b = float64(features), np.asarray(inside, dtype=bool)
    result = np.ones(b.shape)
    for y in range(b.shape[0]):
        for x in range(b.shape[1]):
            if b[y, x]:
                result[y, x] = max(0.0, cosine(f[:, y, x], query))
    return result


def pooled_box(
    features: ArrayLike, attention_map: ArrayLike, box: ArrayLike, spatial_scale: float
) -> Array:
    """Eq. 4: r_i = sum_{p in B_i} (1 - A(p)) f(p) / sum_{p in B_i} (1 - A(p)); [D].

    A cell is in B_i by the fraction of it that the box (x1, y1, x2, y2 in pixels) covers.
    """
    f, a = float64(features), float64(attention_map)
    x1, y1, x2, y2 = float64(box) * spatial_scale
    total, mass = np.zeros(len(f)), 0.0
    for y in range(a.shape[0]):
        for x in range(a.shape[1]):
            tall = max(0.0, min(y2, y + 1) - max(y1, y))
            wide = max(0.0, min(x2, x + 1) - max(x1, x))
            weight = tall * wide * (1 - a[y, x])
            total += weight * f[:, y, x]
            mass += weight
    return total / mass


def foreground_unary(cams: ArrayLike, boxes: ArrayLike, channels: list[int]) -> Array:
    """Eq. 5: u_c(p) = CAM_c(p) / max CAM_c for p in B_c, else 0; [C, H, W].

    The maximum is each box's own, as in the authors' settings; ``channels`` says which channel of
    ``cams`` each box (in pixels, half-open) belongs to. Where boxes overlap the larger value wins.
    """
    cam = float64(cams)
    result = np.zeros_like(cam)
    for box, c in zip(float64(boxes), channels, strict=True):
        inside = box_mask(box, *cam.shape[1:])
        top = max((cam[c, y, x] for y, x in np.argwhere(inside)), default=0.0)
        for y, x in np.argwhere(inside):
            if top > 0:
                result[c, y, x] = max(result[c, y, x], cam[c, y, x] / top)
    return result


def box_mask(box: ArrayLike, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels whose centre lies in x1, y1, x2, y2, half-open; [H, W]."""
    x1, y1, x2, y2 = float64(box)
    mask = np.zeros((height, width), dtype=bool)
    for y in range(height):
        for x in range(width):
            mask[y, x] = x1 <= x + 0.5 < x2 and y1 <= y + 0.5 < y2
    return mask


def cam(features: ArrayLike, weight: ArrayLike) -> Array:
    """Eq. 6: CAM_c(p) = ReLU(f(p) . w_c); [C, h, w]."""
    f, w = float64(features), float64(weight)
    result = np.zeros((len(w), *f.shape[1:]))
    for c in range(len(w)):
        for y in range(f.shape[1]):
            for x in range(f.shape[2]):
                result[c, y, x] = max(0.0, float((f[:, y, x] * w[c]).sum()))
    return result


def background_unary(attention_map: ArrayLike, threshold: float = 0.0) -> Array:
    """Eq. 7: u_0(p) = A(p); A below a fraction of its maximum counts as 0 (authors' setting)."""
    a = float64(attention_map)
    result = a.copy()
    for y in range(a.shape[0]):
        for x in range(a.shape[1]):
            if a[y, x] < threshold * a.max():
                result[y, x] = 0.0
    return result


def prototypes(features: ArrayLike, y_crf: ArrayLike, weight: ArrayLike) -> Array:
    """Eq. 8: q_c = mean of f over {Y_crf = c}; [C, D].

    ``y_crf`` holds channel numbers. A class that vanished from Y_crf keeps its weight w_c.
    """
    f, labels, w = float64(features), np.asarray(y_crf), float64(weight)
    result = w.copy()
    for c in range(len(w)):
        members = [f[:, y, x] for y, x in np.argwhere(labels == c)]
        if members:
            result[c] = sum(members) / len(members)
    return result


def retrieved(features: ArrayLike, means: Array, inside: ArrayLike) -> NDArray[np.int64]:
    """Eq. 9: C_c(p) = cos(f(p), q_c), Y_ret(p) = argmax_c C_c(p); channel numbers [H, W].

    ``inside`` [C - 1, H, W] are the classes' boxes: outside all of them background scores 1, and
    outside its own a class scores 0. Channel 0 is background and wins ties.
    """
    f, b = float64(features), np.asarray(inside, dtype=bool)
    result = np.zeros(f.shape[1:], dtype=np.int64)
    for y in range(f.shape[1]):
        for x in range(f.shape[2]):
            scores = [cosine(f[:, y, x], means[0]) if b[:, y, x].any() else 1.0]
            for c in range(1, len(means)):
                scores.append(cosine(f[:, y, x], means[c]) if b[c - 1, y, x] else 0.0)
            result[y, x] = int(np.argmax(scores))
    return result


def log_softmax(scores: Array) -> Array:
    """log of exp(s_c) / sum_k exp(s_k); [C]."""
    shifted = scores - scores.max()
    return shifted - np.log(np.exp(shifted).sum())


def cross_entropy(cosines: ArrayLike, y_crf: ArrayLike, y_ret: ArrayLike, tau: float) -> float:
    """Eq. 10: L_ce = -(1 / |S|) sum_{p in S} log H_{c*}(p), H = softmax(tau cos(phi, W)).

    S = {Y_crf = Y_ret}, without ignored pixels; 0 where S is empty. Cosines [N, C, H, W].
    """
    s, crf, ret = float64(cosines), np.asarray(y_crf), np.asarray(y_ret)
    losses = []
    for n, y, x in np.ndindex(crf.shape):
        if IGNORE not in (crf[n, y, x], ret[n, y, x]) and crf[n, y, x] == ret[n, y, x]:
            losses.append(-log_softmax(tau * s[n, :, y, x])[crf[n, y, x]])
    return float(np.mean(losses)) if losses else 0.0


def closeness(cosines: Array) -> Array:
    """Eq. 11: D_c(p) = 1 + cos(phi(p), W_c), of the cosines [C] of one pixel."""
    return 1 + cosines


def confidence(cosines: ArrayLike, y_crf: ArrayLike, gamma: float) -> Array:
    """Eq. 12: sigma(p) = (D_{c*}(p) / max_c D_c(p))^gamma with c* = Y_crf(p); [N, H, W].

    Ignored pixels have no c*; they get 0.
    """
    s, crf = float64(cosines), np.asarray(y_crf)
    result = np.zeros(crf.shape)
    for n, y, x in np.ndindex(crf.shape):
        if crf[n, y, x] != IGNORE:
            d = closeness(s[n, :, y, x])
            result[n, y, x] = (d[crf[n, y, x]] / d.max()) ** gamma
    return result


def weighted_cross_entropy(
    cosines: ArrayLike, y_crf: ArrayLike, y_ret: ArrayLike, tau: float, gamma: float
) -> float:
    """Eq. 13: L_wce = -sum_{~S} sigma log H_{c*} / sum_{~S} sigma; 0 where ~S is empty."""
    s, crf, ret = float64(cosines), np.asarray(y_crf), np.asarray(y_ret)
    sigma = confidence(s, crf, gamma)
    total, mass = 0.0, 0.0
    for n, y, x in np.ndindex(crf.shape):
        if IGNORE not in (crf[n, y, x], ret[n, y, x]) and crf[n, y, x] != ret[n, y, x]:
            total -= sigma[n, y, x] * log_softmax(tau * s[n, :, y, x])[crf[n, y, x]]
            mass += sigma[n, y, x]
    return total / mass if mass > 0 else 0.0


def noise_aware(
    cosines: ArrayLike,
    y_crf: ArrayLike,
    y_ret: ArrayLike,
    tau: float = 20.0,
    gamma: float = 7.0,
    lam: float = 0.1,
) -> float:
    """Eq. 14: L = L_ce + lambda L_wce."""
    reliable = cross_entropy(cosines, y_crf, y_ret, tau)
    return reliable + lam * weighted_cross_entropy(cosines, y_crf, y_ret, tau, gamma)


def cosine_map(phi: ArrayLike, weight: ArrayLike) -> Array:
    """cos(phi(p), W_c) at every position of phi [N, D, h, w]; [N, C, h, w]."""
    f, w = float64(phi), float64(weight)
    result = np.zeros((len(f), len(w), *f.shape[2:]))
    for n, c, y, x in np.ndindex(result.shape):
        result[n, c, y, x] = cosine(f[n, :, y, x], w[c])
    return result


def enlarged(maps: ArrayLike, height: int, width: int) -> Array:
    """Bilinear enlargement of maps [..., h, w] with aligned corners; [..., H, W]."""
    small = float64(maps)
    h, w = small.shape[-2:]
    result = np.zeros((*small.shape[:-2], height, width))
    for y in range(height):
        for x in range(width):
            v = y * (h - 1) / (height - 1) if height > 1 else 0.0
            u = x * (w - 1) / (width - 1) if width > 1 else 0.0
            top, left = min(int(v), max(h - 2, 0)), min(int(u), max(w - 2, 0))
            down, right = min(top + 1, h - 1), min(left + 1, w - 1)
            dy, dx = v - top, u - left
            result[..., y, x] = (
                (1 - dy) * (1 - dx) * small[..., top, left]
                + (1 - dy) * dx * small[..., top, right]
                + dy * (1 - dx) * small[..., down, left]
                + dy * dx * small[..., down, right]
            )
    return result
