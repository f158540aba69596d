// Background-aware pooling, Eq. 1 to 4: the functions of bana/bap.py for one image and one box.
// Boxes are x1, y1, x2, y2 in pixels, half-open. Cell (i, j) of a feature map looks at pixel
// (i * stride, j * stride). Maps are flat and row-major.

/**
 * @typedef {object} Features
 * @property {number} height cells along y
 * @property {number} width cells along x
 * @property {number} channels K
 * @property {Float32Array} directions [cells, K], f / |f|
 * @property {Float32Array} lengths [cells], |f|
 */

/**
 * Bytes of a base64 string.
 * @param {string} text
 * @returns {ArrayBuffer}
 */
export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

/**
 * Features as the page brings them: directions in 8 bits with a scale a channel, exact lengths.
 * @param {{cells: number[], scales: number[], directions: string, lengths: string}} packed
 * @returns {Features}
 */
export function unpack({ cells: [height, width], scales, directions, lengths }) {
  const channels = scales.length;
  const whole = new Int8Array(bytes(directions));
  return {
    height,
    width,
    channels,
    directions: Float32Array.from(whole, (value, i) => value * scales[i % channels]),
    lengths: new Float32Array(bytes(lengths)),
  };
}

/**
 * Which cell of the N x N grid each position falls into; see `bana.bap.grid_cells`.
 * @param {number} height
 * @param {number} width
 * @param {number} n
 * @returns {Int32Array} [cells], 0..n * n - 1
 */
export function gridCells(height, width, n) {
  const axis = (length) => {
    const padding = (n - (length % n)) % n;
    const before = padding % 2 === 0 ? padding / 2 : 0;
    const size = (length + padding) / n;
    return Array.from({ length }, (_, i) => Math.floor((i + before) / size));
  };
  const columns = axis(width);
  return Int32Array.from(axis(height).flatMap((row) => columns.map((column) => row * n + column)));
}

/**
 * Whether a pixel lies in a box: its centre does.
 * @param {number[]} box
 * @param {number} y
 * @param {number} x
 * @returns {boolean}
 */
export function inBox(box, y, x) {
  // Not taken apart: this is asked of every pixel.
  return box[0] <= x + 0.5 && x + 0.5 < box[2] && box[1] <= y + 0.5 && y + 0.5 < box[3];
}

/**
 * M at the cells: 1 where the cell's pixel is in the image and outside the box.
 * @param {number[]} box
 * @param {Features} features
 * @param {{height: number, width: number, stride: number}} image
 * @returns {Uint8Array} [cells]
 */
export function backgroundAtCells(box, features, image) {
  return new Uint8Array(features.height * features.width).map((_, p) => {
    const y = image.stride * Math.floor(p / features.width);
    const x = image.stride * (p % features.width);
    // The cells at the lower and right border may look at padding, which is no background.
    return y < image.height && x < image.width && !inBox(box, y, x) ? 1 : 0;
  });
}

/**
 * Eq. 1: direction of the mean background feature of each grid cell.
 * @param {Features} features
 * @param {Uint8Array} background M at the cells
 * @param {number} n grid cells along each side
 * @returns {(Float32Array | null)[]} n * n unit vectors [K]; null where there is no background
 */
export function backgroundQueries(features, background, n) {
  const { channels, directions, lengths } = features;
  const queries = Array(n * n).fill(null);
  gridCells(features.height, features.width, n).forEach((cell, p) => {
    if (!background[p]) return;
    queries[cell] ??= new Float32Array(channels);
    for (let k = 0; k < channels; k++) {
      queries[cell][k] += lengths[p] * directions[p * channels + k];
    }
  });
  return queries.map((sum) => {
    if (sum === null) return null;
    const length = Math.hypot(...sum);
    return sum.map((value) => value / (length || 1));
  });
}

/**
 * Eq. 2 and the inner case of Eq. 3: mean over the queries of the rectified cosine.
 * @param {Features} features
 * @param {(Float32Array | null)[]} queries of `backgroundQueries`
 * @returns {Float32Array} A [cells], 0..1; 0 everywhere where there is no query
 */
export function backgroundAttention(features, queries) {
  const { channels, directions, lengths } = features;
  const valid = queries.filter((query) => query !== null);
  return new Float32Array(lengths.length).map((_, p) => {
    let total = 0;
    for (const query of valid) {
      let cosine = 0;
      for (let k = 0; k < channels; k++) cosine += query[k] * directions[p * channels + k];
      total += Math.max(0, cosine);
    }
    return Math.min(1, total / Math.max(1, valid.length));
  });
}

/**
 * Fraction of each cell that the box covers, the cells centred on their pixels.
 * @param {number[]} box
 * @param {Features} features
 * @param {number} stride
 * @returns {Float32Array} [cells]
 */
export function coverage([x1, y1, x2, y2], features, stride) {
  const axis = (low, high, length) =>
    Array.from({ length }, (_, i) => {
      const start = i * stride - (stride - 1) / 2;
      return Math.max(0, Math.min(high, start + stride) - Math.max(low, start)) / stride;
    });
  const columns = axis(x1, x2, features.width);
  return Float32Array.from(
    axis(y1, y2, features.height).flatMap((row) => columns.map((column) => row * column)),
  );
}

/**
 * Eq. 4 on a map of one channel: its mean in the box, weighed by 1 - A.
 * @param {ArrayLike<number>} values [cells]
 * @param {Float32Array} attention A [cells]; zeros give the plain mean
 * @param {Float32Array} covered of `coverage`
 * @returns {number} the plain mean where A is 1 all over the box
 */
export function pooled(values, attention, covered) {
  const mean = (weights) => {
    const mass = weights.reduce((sum, weight) => sum + weight, 0);
    return weights.reduce((sum, weight, p) => sum + weight * values[p], 0) / mass;
  };
  const weighed = mean(covered.map((part, p) => part * (1 - attention[p])));
  return Number.isFinite(weighed) ? weighed : mean(covered);
}

/**
 * A map of cells brought to the pixels, bilinearly; see `bana.interpolation.bilinear`.
 * @param {Float32Array} values [cells]
 * @param {Features} features
 * @param {{height: number, width: number, stride: number}} image
 * @returns {Float32Array} [pixels]
 */
export function enlarged(values, features, image) {
  const axis = (cells, pixels) =>
    Array.from({ length: pixels }, (_, i) => {
      const low = Math.min(Math.floor(i / image.stride), cells - 1);
      return { low, high: Math.min(low + 1, cells - 1), part: i / image.stride - low };
    });
  const columns = axis(features.width, image.width);
  const result = new Float32Array(image.height * image.width);
  axis(features.height, image.height).forEach((row, y) => {
    const upper = row.low * features.width;
    const lower = row.high * features.width;
    columns.forEach(({ low, high, part }, x) => {
      const above = values[upper + low] * (1 - part) + values[upper + high] * part;
      const below = values[lower + low] * (1 - part) + values[lower + high] * part;
      result[y * image.width + x] = above * (1 - row.part) + below * row.part;
    });
  });
  return result;
}

/**
 * The plainest mask: what lies in the box and has an A below the threshold.
 * @param {Float32Array} attention A [pixels]
 * @param {number[]} box
 * @param {number} threshold
 * @param {{width: number}} image
 * @returns {Uint8Array} [pixels], 1 on the mask
 */
export function thresholded(attention, box, threshold, { width }) {
  const mask = new Uint8Array(attention.length);
  for (let p = 0; p < mask.length; p++) {
    const low = attention[p] < threshold;
    mask[p] = low && inBox(box, Math.floor(p / width), p % width) ? 1 : 0;
  }
  return mask;
}
