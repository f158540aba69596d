// The noise-aware loss, Eq. 10 to 14: bana/losses.py for one image of pixels whose features are
// directions in a plane, and what each pixel feels of it. Maps are flat and row-major; maps of
// classes are class by class.

/**
 * Cosine of every pixel's feature to the direction of every class.
 * @param {ArrayLike<number>} angles of the features, in degrees
 * @param {number[]} directions of the classes, in degrees
 * @returns {Float64Array} [classes * pixels]
 */
export function cosines(angles, directions) {
  const degree = Math.PI / 180;
  return Float64Array.from(
    directions.flatMap((direction) => {
      return Array.from(angles, (angle) => Math.cos((angle - direction) * degree));
    }),
  );
}

/**
 * For each pixel the probability of its label, the label's ratio of Eq. 12 before the power, and
 * the largest D of Eq. 11.
 * @param {Float64Array} scores of `cosines`
 * @param {ArrayLike<number>} labels
 * @param {number} temperature
 * @returns {{likelihood: Float64Array, ratio: Float64Array, largest: Float64Array}}
 */
export function believed(scores, labels, temperature) {
  const pixels = labels.length;
  const classes = scores.length / pixels;
  const made = ["likelihood", "ratio", "largest"].map(() => new Float64Array(pixels));
  const [likelihood, ratio, largest] = made;
  for (let p = 0; p < pixels; p++) {
    const of = Array.from({ length: classes }, (_, c) => scores[c * pixels + p]);
    const best = Math.max(...of);
    const own = of[labels[p]];
    const sum = of.reduce((total, score) => total + Math.exp(temperature * (score - best)), 0);
    likelihood[p] = Math.exp(temperature * (own - best)) / sum;
    largest[p] = 1 + best;
    ratio[p] = (1 + own) / largest[p];
  }
  return { likelihood, ratio, largest };
}

/**
 * What each pixel feels of cross-entropy on Y_crf, of ignoring ~S and of the noise-aware loss:
 * - dL / dcos of its label, times the number of pixels over tau, so that cross-entropy gives 1 - H.
 * @param {Float64Array} scores of `cosines`
 * @param {ArrayLike<number>} yCrf
 * @param {ArrayLike<number>} yRet
 * @param {{temperature: number, gamma: number, lambda: number, held: boolean}} settings; held
 *   takes sigma for a constant
 * @returns {{sigma: Float64Array, unreliable: Uint8Array, crf: Float64Array, ignore: Float64Array,
 *   nal: Float64Array}}
 */
export function pulls(scores, yCrf, yRet, { temperature, gamma, lambda, held }) {
  const pixels = yCrf.length;
  const { likelihood, ratio, largest } = believed(scores, yCrf, temperature);
  const unreliable = Uint8Array.from(yCrf, (label, p) => (label === yRet[p] ? 0 : 1));
  const sigma = ratio.map((value) => value ** gamma);
  let reliable = 0;
  let weight = 0;
  let weighted = 0;
  for (let p = 0; p < pixels; p++) {
    if (unreliable[p]) {
      weight += sigma[p];
      weighted -= sigma[p] * Math.log(likelihood[p]);
    } else {
      reliable += 1;
    }
  }
  const mean = weighted / Math.max(weight, 1e-12); // Eq. 13
  const crf = likelihood.map((value) => 1 - value);
  const ignore = crf.map((value, p) => (unreliable[p] ? 0 : (value * pixels) / reliable));
  const nal = ignore.map((value, p) => {
    if (!unreliable[p]) return value;
    const share = (lambda * pixels) / Math.max(weight, 1e-12);
    // Where the label is the favourite, sigma is 1 whatever its cosine.
    const slope = held || ratio[p] >= 1 ? 0 : (gamma * ratio[p] ** (gamma - 1)) / largest[p];
    const surprise = -Math.log(likelihood[p]) - mean;
    return share * (sigma[p] * crf[p] - (slope * surprise) / temperature);
  });
  return { sigma, unreliable, crf, ignore, nal };
}

/**
 * Labels of the scene: Y_crf, which takes a part of the reeds for the duck, and Y_ret.
 * @param {{truth: Uint8Array, reeds: Uint8Array, draws: Float64Array, slips: Uint8Array,
 *   missed: Uint8Array}} scene with what Y_crf slips to (255: nowhere) and what Y_ret says
 * @param {number} spill 0 to 1
 * @returns {{yCrf: Uint8Array, yRet: Uint8Array}}
 */
export function labelled({ truth, reeds, draws, slips, missed }, spill) {
  const yCrf = truth.map((label, p) => {
    if (reeds[p] && draws[p] < spill) return 1;
    return slips[p] === 255 ? label : slips[p];
  });
  return { yCrf, yRet: missed };
}

/**
 * Shares of all pull towards labels: of labels that are wrong, and of right ones in ~S.
 * @param {Float64Array} pull
 * @param {Uint8Array} wrong
 * @param {Uint8Array} unreliable
 * @returns {{wrong: number, saved: number}}
 */
export function shares(pull, wrong, unreliable) {
  let [all, bad, saved] = [0, 0, 0];
  pull.forEach((value, p) => {
    const towards = Math.max(value, 0);
    all += towards;
    if (wrong[p]) bad += towards;
    else if (unreliable[p]) saved += towards;
  });
  return { wrong: bad / all, saved: saved / all };
}
