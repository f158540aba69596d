// Turn the noise up and see what each pixel feels of the loss. An anywidget module, as
// playground.js is: `render` gets a model that holds what `values` of noise.py gives.

import { bytes } from "./bap.js";
import { cosines, labelled, pulls, shares } from "./nal.js";
import { teller } from "./numbers.js";

const SIDE = 10; // screen pixels of a pixel of the scene
const AWAY = [213, 94, 0];

const SLIDERS = [
  ["spill", "Reeds that <i>Y<sub>crf</sub></i> takes for the duck", 0, 1, 0.05],
  ["likeness", "How much the network takes reeds for the duck", 0, 1, 0.05],
  ["decided", "How decided it is: cosines of at most", 0.05, 1, 0.05],
  ["gamma", "<i>γ</i>", 1, 30, 1],
  ["lambda", "<i>λ</i>", -2, 0, 0.1], // its logarithm
];

const slider = ([name, text, least, most, step]) => `
  <label class="slider"><span>${text} <output class="${name}-value" aria-hidden="true"></output>
    </span><input class="${name}" type="range" min="${least}" max="${most}" step="${step}"></label>`;

const LAYOUT = `
  <div class="controls">${SLIDERS.map(slider).join("")}
    <label class="held-label"><input class="held" type="checkbox"> <i>σ</i> held constant</label>
  </div>
  <div class="maps four">
    <figure><canvas class="labels" role="img"></canvas><figcaption><b><i>Y<sub>crf</sub></i></b>
      with its mistakes struck out</figcaption></figure>
    <figure><canvas class="doubt" role="img"></canvas><figcaption><b>∼<i>S</i></b> in white: the two
      labels differ</figcaption></figure>
    <figure><canvas class="sigma" role="img"></canvas><figcaption><b><i>σ</i></b> on ∼<i>S</i>, 1
      elsewhere</figcaption></figure>
    <figure><canvas class="pull" role="img"></canvas><figcaption><b>Pull</b> to the label; orange:
      pushed away from it</figcaption></figure>
    <div class="scale"><span>0</span><canvas width="256" height="1" aria-hidden="true"></canvas>
      <span>1 or more</span></div>
  </div>
  <ul class="legend"></ul>
  <dl class="numbers"></dl>
  <p class="status" role="status"></p>`;

/**
 * What follows from the settings.
 * @param {object} scene of `unpacked`
 * @param {{spill: number, likeness: number, decided: number, gamma: number, lambda: number,
 *   held: boolean}} settings
 */
export function computed(scene, { spill, likeness, decided, gamma, lambda, held }) {
  const [ground, duck] = scene.directions;
  const angles = scene.angles.map((angle, p) => {
    return scene.reeds[p] ? angle + likeness * (duck - ground) : angle;
  });
  const { yCrf, yRet } = labelled(scene, spill);
  const { temperature } = scene;
  // The rest of each feature lies in a direction that no class has.
  const scores = cosines(angles, scene.directions).map((value) => decided * value);
  const felt = pulls(scores, yCrf, yRet, { temperature, gamma, lambda, held });
  const wrong = yCrf.map((label, p) => (label === scene.truth[p] ? 0 : 1));
  const mean = (wanted) => {
    const some = felt.sigma.filter((_, p) => felt.unreliable[p] && wrong[p] === wanted);
    return some.length ? some.reduce((sum, value) => sum + value, 0) / some.length : null;
  };
  const doubted = felt.unreliable.reduce((sum, value) => sum + value, 0);
  const mistaken = felt.unreliable.filter((value, p) => value && wrong[p]).length;
  return {
    ...felt,
    yCrf,
    yRet,
    wrong,
    right: 1 - mistaken / doubted,
    sigmaRight: mean(0),
    sigmaWrong: mean(1),
    shares: Object.fromEntries(
      ["crf", "ignore", "nal"].map((name) => [name, shares(felt[name], wrong, felt.unreliable)]),
    ),
  };
}

/** The scene as the page brings it, ready to compute with. */
export function unpacked(packed) {
  const whole = ({ truth, reeds, slips, missed }) => ({ truth, reeds, slips, missed });
  const maps = Object.entries(whole(packed)).map(([name, text]) => {
    return [name, new Uint8Array(bytes(text))];
  });
  const draws = Float64Array.from(new Float32Array(bytes(packed.draws)));
  const angles = Float64Array.from(new Float32Array(bytes(packed.angles)));
  return { ...packed, ...Object.fromEntries(maps), draws, angles };
}

const percent = (share) => `${Math.round(100 * share)} %`;
const decimals = (value) => (value === null ? "–" : value.toFixed(2));

/** The numbers in words: pairs of a name and a value. */
function told(result) {
  const losses = { crf: "Cross-entropy on Y_crf", ignore: "Ignore ∼S", nal: "Noise-aware" };
  return [
    ["Labels of ∼S that are right", percent(result.right)],
    ["Mean σ on them / on wrong ones",
      `${decimals(result.sigmaRight)} / ${decimals(result.sigmaWrong)}`],
    ...Object.entries(losses).map(([name, text]) => {
      const { wrong, saved } = result.shares[name];
      return [`${text}, share of all pull: wrong labels / right ones in ∼S`,
        `${percent(wrong)} / ${percent(saved)}`];
    }),
  ];
}

/** Paint a canvas pixel by pixel of the scene; `colour` gives [r, g, b] of a pixel. */
function paint(canvas, { height, width }, colour) {
  Object.assign(canvas, { height: height * SIDE, width: width * SIDE });
  const context = canvas.getContext("2d");
  for (let p = 0; p < height * width; p++) {
    context.fillStyle = `rgb(${colour(p).join()})`;
    context.fillRect(SIDE * (p % width), SIDE * Math.floor(p / width), SIDE, SIDE);
  }
  return context;
}

/** A stroke through every marked pixel. */
function strike(context, marked, { width }) {
  context.strokeStyle = "#fff";
  context.lineWidth = 2;
  context.beginPath();
  marked.forEach((value, p) => {
    if (!value) return;
    const [x, y] = [SIDE * (p % width), SIDE * Math.floor(p / width)];
    context.moveTo(x + 2, y + SIDE - 2);
    context.lineTo(x + SIDE - 2, y + 2);
  });
  context.stroke();
}

/**
 * Build the widget and keep it in step with its model.
 * @param {{model: object, el: HTMLElement}} place
 * @returns {() => void} what parts the two again
 */
function render({ model, el }) {
  el.classList.add("bana-playground");
  el.innerHTML = LAYOUT;
  const find = (name) => el.querySelector(name);
  const tell = teller(el);
  const scene = unpacked(model.get("scene"));
  const colours = new Uint8Array(bytes(model.get("colours")));
  const names = ["spill", "likeness", "decided", "gamma", "lambda", "held"];
  const settings = () => Object.fromEntries(names.map((name) => [name, model.get(name)]));
  const heat = (value) => {
    const start = 3 * Math.round(255 * Math.min(Math.max(value, 0), 1));
    return [...colours.subarray(start, start + 3)];
  };
  let waiting = 0;

  function draw() {
    waiting = 0;
    const now = settings();
    const result = computed(scene, now);
    for (const name of ["spill", "likeness"]) {
      find(`.${name}`).value = now[name];
      find(`.${name}-value`).value = percent(now[name]);
    }
    find(".decided").value = now.decided;
    find(".decided-value").value = now.decided.toFixed(2);
    find(".gamma").value = now.gamma;
    find(".gamma-value").value = now.gamma;
    find(".lambda").value = Math.log10(now.lambda);
    find(".lambda-value").value = now.lambda.toFixed(2);
    find(".held").checked = now.held;
    drawMaps(result);
    tell(told(result));
  }

  function drawMaps({ yCrf, wrong, unreliable, sigma, nal, right, sigmaRight, sigmaWrong }) {
    const label = (p) => scene.palette[yCrf[p]];
    strike(paint(find(".labels"), scene, label), wrong, scene);
    paint(find(".doubt"), scene, (p) => (unreliable[p] ? [255, 255, 255] : label(p)));
    paint(find(".sigma"), scene, (p) => heat(unreliable[p] ? sigma[p] : 1));
    paint(find(".pull"), scene, (p) => {
      if (nal[p] > -0.005) return heat(nal[p]);
      const share = 0.35 + 0.65 * Math.min(1, -nal[p]);
      return AWAY.map((value) => Math.round(share * value));
    });
    const means = `${decimals(sigmaRight)} on right labels, ${decimals(sigmaWrong)} on wrong ones`;
    const words = {
      labels: "Y_crf: ground, a duck, a barrel, and reeds of which a part is taken for the duck.",
      doubt: `The pixels in which the labels differ; ${percent(right)} of Y_crf is right there.`,
      sigma: `Sigma: 1 where both agree; elsewhere in the mean ${means}.`,
      pull: "What each pixel feels of the noise-aware loss: its pull to the label.",
    };
    for (const [name, text] of Object.entries(words)) {
      find(`canvas.${name}`).setAttribute("aria-label", text);
    }
  }

  function redraw() {
    waiting ||= requestAnimationFrame(draw);
  }

  function change(name, value) {
    model.set(name, value);
    model.save_changes();
    redraw();
  }

  for (const [name] of SLIDERS) {
    find(`input.${name}`).addEventListener("input", ({ target }) => {
      const value = Number(target.value);
      change(name, name === "lambda" ? Number((10 ** value).toFixed(4)) : value);
    });
  }
  find(".held").addEventListener("change", ({ target }) => change("held", target.checked));
  find(".legend").replaceChildren(...scene.names.map((name, c) => {
    const entry = document.createElement("li");
    const patch = document.createElement("span");
    patch.style.background = `rgb(${scene.palette[c].join()})`;
    entry.append(patch, name);
    return entry;
  }));
  const scale = find(".scale canvas").getContext("2d");
  for (let i = 0; i < 256; i++) {
    scale.fillStyle = `rgb(${heat(i / 255).join()})`;
    scale.fillRect(i, 0, 1, 1);
  }
  for (const name of names) model.on(`change:${name}`, redraw);
  redraw();
  return () => {
    for (const name of names) model.off(`change:${name}`, redraw);
  };
}

export default { render };
