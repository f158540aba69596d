// Draw a box, see what background-aware pooling makes of it. An anywidget module: the page and
// JupyterLab call `render` with a model that holds what `values` of playground.py gives.

import {
  backgroundAtCells,
  backgroundAttention,
  backgroundQueries,
  bytes,
  coverage,
  enlarged,
  gridCells,
  pooled,
  thresholded,
  unpack,
} from "./bap.js";
import { teller } from "./numbers.js";

const SMALLEST = 16; // pixels of a box along each side: one cell
const STEP = 8; // pixels that an arrow key moves
const CORNERS = ["nw", "ne", "sw", "se"];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const LAYOUT = `
  <div class="controls">
    <fieldset class="pictures"><legend>Picture</legend></fieldset>
    <label class="slider">
      <span>Grid <i>N</i> <output class="grid-value" aria-hidden="true"></output></span>
      <input class="grid" type="range" min="1" max="8" step="1"></label>
    <label class="slider">
      <span>Threshold <output class="threshold-value" aria-hidden="true"></output></span>
      <input class="threshold" type="range" min="0" max="1" step="0.01"></label>
  </div>
  <div class="board">
    <figure class="photograph">
      <div class="stage"><img draggable="false">
        <div class="box" tabindex="0" role="application" aria-roledescription="movable box">
          ${CORNERS.map((corner) => `<span class="handle ${corner}"></span>`).join("")}
        </div></div>
      <figcaption><span>Drag the box or a corner, or draw a new box beside it. Arrow keys move it,
        <kbd>Shift</kbd> and arrows change its size.</span>
        <button class="reset" type="button">First box</button></figcaption>
    </figure>
    <div class="maps">
      <figure><canvas class="known" role="img"></canvas>
        <figcaption><b><i>M</i></b> certain background; × no query</figcaption></figure>
      <figure><canvas class="attention" role="img"></canvas>
        <figcaption><b><i>A</i></b> like the background outside</figcaption></figure>
      <figure><canvas class="weight" role="img"></canvas>
        <figcaption><b>1 − <i>A</i></b> weight in the average</figcaption></figure>
      <figure><canvas class="mask" role="img"></canvas>
        <figcaption><b>Mask</b> <i>A</i> below the threshold</figcaption></figure>
      <div class="scale"><span>0</span><canvas width="256" height="1" aria-hidden="true"></canvas>
        <span>1</span></div>
    </div>
    <dl class="numbers"></dl>
  </div>
  <p class="status" role="status"></p>
  <p class="source"></p>`;

/**
 * What follows from a box.
 * @param {object} picture of the model, with `features`
 * @param {{box: number[], grid: number, threshold: number}} settings
 */
export function computed(picture, { box, grid, threshold }) {
  const { features, object } = picture;
  const known = backgroundAtCells(box, features, picture);
  const queries = backgroundQueries(features, known, grid);
  const attention = backgroundAttention(features, queries);
  const covered = coverage(box, features, picture.stride);
  const none = new Float32Array(attention.length);
  const pixels = enlarged(attention, features, picture);
  const inside = thresholded(pixels, box, Infinity, picture);
  const mask = thresholded(pixels, box, threshold, picture);
  const count = (some) => some.reduce((sum, value) => sum + value, 0);
  // Mean A on the object in the box, or on the rest: NaN where there is none of it.
  const meanOn = (kind) => {
    return pooled(attention, none, covered.map((part, p) => part * (object[p] === kind)));
  };
  return {
    known,
    queries,
    attention,
    mask,
    pixels: pixels.map((value, p) => (inside[p] ? value : 1)), // the outer case of Eq. 3
    valid: queries.filter((query) => query !== null).length,
    weight: 1 - pooled(attention, none, covered),
    kept: count(mask) / count(inside),
    plainShare: object && pooled(object, none, covered),
    pooledShare: object && pooled(object, attention, covered),
    onObject: object && meanOn(1),
    onGround: object && meanOn(0),
  };
}

/**
 * A box with whole corners in the image and not too small; a point may be where it began.
 * @param {number[]} corners of two opposite points, in any order
 * @param {{height: number, width: number}} image
 * @returns {number[]}
 */
export function tidy([xa, ya, xb, yb], { height, width }) {
  const axis = (a, b, length) => {
    const [from, to] = [a, b].map((value) => Math.round(Math.min(Math.max(value, 0), length)));
    const low = Math.min(from, to, length - SMALLEST);
    return [low, Math.max(from, to, low + SMALLEST)];
  };
  const [[x1, x2], [y1, y2]] = [axis(xa, xb, width), axis(ya, yb, height)];
  return [x1, y1, x2, y2];
}

/**
 * A box moved as far as the image lets it.
 * @param {number[]} box
 * @param {number} right
 * @param {number} down
 * @param {{height: number, width: number}} image
 * @returns {number[]}
 */
export function moved([x1, y1, x2, y2], right, down, { height, width }) {
  const dx = Math.round(Math.min(Math.max(right, -x1), width - x2));
  const dy = Math.round(Math.min(Math.max(down, -y1), height - y2));
  return [x1 + dx, y1 + dy, x2 + dx, y2 + dy];
}

const percent = (share) => `${Math.round(100 * share)} %`;

/** The formula of the notebook: means of A in the box, and what they make of the odds of object. */
function formula({ onObject, onGround }) {
  const means = [onObject, onGround].map((mean) => (Number.isNaN(mean) ? "none" : mean.toFixed(2)));
  const factor = (1 - onObject) / (1 - onGround);
  return [
    ["Mean A in the box: object, background", means.join(", ")],
    ["Odds of object times (1 − A_o) / (1 − A_b)", Number.isNaN(factor) ? "-" : factor.toFixed(2)],
  ];
}

/** The numbers of a picture in words: pairs of a name and a value. */
function told(result, { grid }) {
  const queries = result.valid ? `${result.valid} of ${grid * grid}` : "none, so A = 0";
  const rows = [["Grid cells that give a query", queries]];
  if (result.pooledShare !== null) {
    rows.push(["Object in the average, A = 0 (GAP)", percent(result.plainShare)]);
    rows.push(["Object in the average by 1 − A (BAP)", percent(result.pooledShare)]);
    rows.push(...formula(result));
  } else {
    rows.push(["Mean weight 1 − A in the box", result.weight.toFixed(2)]);
  }
  return [...rows, ["Part of the box on the mask", percent(result.kept)]];
}

/** Paint a canvas of the picture's size; `fill` gets its RGBA bytes. */
function paint(canvas, { height, width }, fill) {
  Object.assign(canvas, { height, width });
  const context = canvas.getContext("2d");
  const painted = context.createImageData(width, height);
  painted.data.fill(255);
  fill(painted.data);
  context.putImageData(painted, 0, 0);
  return context;
}

/** A map in colours over the photograph in grey, as the course's figures have it. */
function heat(values, colours, { grey }) {
  return (data) => {
    values.forEach((value, p) => {
      const start = 3 * Math.round(255 * value);
      for (let i = 0; i < 3; i++) data[4 * p + i] = 0.7 * colours[start + i] + 0.3 * grey[p];
    });
  };
}

/** The photograph on the mask, dark and grey elsewhere. */
function cutOut(mask, { grey, data: photograph }) {
  return (data) => {
    mask.forEach((kept, p) => {
      for (let i = 4 * p; i < 4 * p + 3; i++) data[i] = kept ? photograph[i] : 0.25 * grey[p];
    });
  };
}

/** Values of the cells at the pixels, by nearest neighbour. */
function blocks(values, { features, stride, height, width }) {
  return new Float32Array(height * width).map((_, p) => {
    const row = Math.round(Math.floor(p / width) / stride);
    return values[row * features.width + Math.round((p % width) / stride)];
  });
}

/** Lines around the grid cells, crosses in those that give no query. */
function drawGrid(context, { features, stride, height, width }, queries, n) {
  const cells = gridCells(features.height, features.width, n);
  queries.forEach((query, j) => {
    const members = [...cells.keys()].filter((p) => cells[p] === j);
    if (!members.length) return;
    const columns = members.map((p) => p % features.width);
    const rows = members.map((p) => Math.floor(p / features.width));
    const edge = (cell, length) => Math.min(Math.max((cell - 0.5) * stride, 0), length);
    const left = edge(Math.min(...columns), width);
    const right = edge(Math.max(...columns) + 1, width);
    const top = edge(Math.min(...rows), height);
    const bottom = edge(Math.max(...rows) + 1, height);
    const lines = new Path2D();
    if (n > 1) lines.rect(left, top, right - left, bottom - top);
    if (query === null) {
      const [x, y, arm] = [(left + right) / 2, (top + bottom) / 2, 10];
      lines.moveTo(x - arm, y - arm);
      lines.lineTo(x + arm, y + arm);
      lines.moveTo(x - arm, y + arm);
      lines.lineTo(x + arm, y - arm);
    }
    for (const [colour, thickness] of [["#0008", 5], ["#fff", 2.5]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: thickness });
      context.stroke(lines);
    }
  });
}

/** Grey values [pixels] and colours of a loaded image at the size of the picture. */
function pixelsOf(image, { height, width }) {
  const canvas = Object.assign(document.createElement("canvas"), { height, width });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const grey = new Float32Array(height * width).map((_, p) => {
    return (data[4 * p] + data[4 * p + 1] + data[4 * p + 2]) / 3;
  });
  return { data, grey };
}

let renders = 0;

/**
 * Build the playground and keep it in step with its model.
 * @param {{model: object, el: HTMLElement}} place
 * @returns {() => void} what parts the two again
 */
function render({ model, el }) {
  el.classList.add("bana-playground");
  el.innerHTML = LAYOUT;
  const find = (name) => el.querySelector(name);
  const tell = teller(el);
  const [stage, frame, image] = [find(".stage"), find(".box"), find(".stage img")];
  const colours = new Uint8Array(bytes(model.get("colours")));
  const pictures = model.get("pictures").map((packed) => {
    const object = packed.object && new Uint8Array(bytes(packed.object));
    return { ...packed, features: unpack(packed.features), object };
  });
  const settings = () => {
    const [picture, box, grid, threshold] = ["picture", "box", "grid", "threshold"].map((name) => {
      return model.get(name);
    });
    // A box set from Python may not lie in the picture.
    return { picture: pictures[picture], box: tidy(box, pictures[picture]), grid, threshold };
  };
  let shown = null; // the loaded picture's pixels
  let waiting = 0;
  const group = `bana-picture-${(renders += 1)}`; // two widgets on one page choose apart

  function draw() {
    waiting = 0;
    const now = settings();
    const { picture, box, grid, threshold } = now;
    const result = computed(picture, now);
    const [x1, y1, x2, y2] = box;
    frame.style.left = `${(100 * x1) / picture.width}%`;
    frame.style.top = `${(100 * y1) / picture.height}%`;
    frame.style.width = `${(100 * (x2 - x1)) / picture.width}%`;
    frame.style.height = `${(100 * (y2 - y1)) / picture.height}%`;
    frame.setAttribute("aria-label", `Box from ${x1}, ${y1} to ${x2}, ${y2} pixels. ` +
      "Arrow keys move it, shift and arrow keys change its size.");
    find(".grid").value = grid;
    find(".grid-value").value = grid;
    find(".threshold").value = threshold;
    find(".threshold-value").value = threshold.toFixed(2);
    el.querySelectorAll(".pictures input").forEach((input, i) => {
      input.checked = pictures[i] === picture;
    });
    tell(told(result, now));
    if (shown !== null) drawMaps(now, result);
  }

  function drawMaps({ picture, grid }, result) {
    const map = (name, values) => paint(find(name), picture, heat(values, colours, shown));
    const known = map(".known", blocks(result.known, picture));
    drawGrid(known, picture, result.queries, grid);
    map(".attention", result.pixels);
    map(".weight", result.pixels.map((value) => 1 - value));
    paint(find(".mask"), picture, cutOut(result.mask, shown));
    const words = {
      known: `M: 1 outside the box. ${result.valid} of ${grid * grid} grid cells give a query.`,
      attention: "A: bright in the box where it looks like the background outside.",
      weight: `1 − A: bright where a cell counts, on average ${result.weight.toFixed(2)}.`,
      mask: `The mask keeps ${percent(result.kept)} of the box.`,
    };
    for (const [name, text] of Object.entries(words)) {
      find(`canvas.${name}`).setAttribute("aria-label", text);
    }
  }

  function redraw() {
    waiting ||= requestAnimationFrame(draw);
  }

  function change(values, finished = true) {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    if (finished) model.save_changes();
    redraw();
  }

  function show() {
    const { picture } = settings();
    shown = null;
    image.alt = picture.alt;
    image.width = picture.width;
    image.height = picture.height;
    image.onload = () => {
      shown = pixelsOf(image, picture);
      redraw();
    };
    image.src = `data:image/jpeg;base64,${picture.jpeg}`;
    find(".source").textContent = `Picture: ${picture.source}`;
    redraw();
  }

  /** Where on the picture a pointer is, in pixels of the picture. */
  function place(event) {
    const { left, top, width, height } = stage.getBoundingClientRect();
    const { picture } = settings();
    return [
      ((event.clientX - left) / width) * picture.width,
      ((event.clientY - top) / height) * picture.height,
    ];
  }

  /** How the box follows the pointer, by what was under it when it went down. */
  function following(target, [startX, startY]) {
    const { picture, box } = settings();
    const [x1, y1, x2, y2] = box;
    if (target === frame) {
      return ([x, y]) => moved(box, x - startX, y - startY, picture);
    }
    const corner = CORNERS.find((name) => target.classList.contains(name));
    if (corner === undefined) {
      // A tap beside the box draws nothing.
      return ([x, y]) => {
        const far = Math.abs(x - startX) > STEP && Math.abs(y - startY) > STEP;
        return far ? tidy([startX, startY, x, y], picture) : box;
      };
    }
    const fixed = [corner.includes("w") ? x2 : x1, corner.includes("n") ? y2 : y1];
    const held = [corner.includes("w") ? x1 : x2, corner.includes("n") ? y1 : y2];
    return ([x, y]) => tidy([...fixed, held[0] + x - startX, held[1] + y - startY], picture);
  }

  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    frame.focus({ preventScroll: true });
    const follow = following(event.target, place(event));
    const drag = (moving) => change({ box: follow(place(moving)) }, false);
    const stop = () => {
      stage.removeEventListener("pointermove", drag);
      change({});
    };
    stage.setPointerCapture(event.pointerId);
    stage.addEventListener("pointermove", drag);
    stage.addEventListener("lostpointercapture", stop, { once: true });
  });

  frame.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (arrow === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would select another cell
    const { picture, box } = settings();
    const [right, down] = arrow.map((direction) => direction * STEP);
    const grown = () => {
      const [x1, y1, x2, y2] = box;
      const sizes = [Math.max(x1 + SMALLEST, x2 + right), Math.max(y1 + SMALLEST, y2 + down)];
      return tidy([x1, y1, ...sizes], picture);
    };
    change({ box: event.shiftKey ? grown() : moved(box, right, down, picture) });
  });

  pictures.forEach((picture, i) => {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio" });
    input.name = group;
    input.addEventListener("change", () => change({ picture: i, box: picture.box }));
    label.append(input, picture.name);
    find(".pictures").append(label);
  });
  if (pictures.length === 1) find(".pictures").remove();
  for (const name of ["grid", "threshold"]) {
    find(`.${name}`).addEventListener("input", ({ target }) => {
      change({ [name]: Number(target.value) });
    });
  }
  find(".reset").addEventListener("click", () => change({ box: settings().picture.box }));

  const scale = find(".scale canvas").getContext("2d");
  for (let i = 0; i < 256; i++) {
    scale.fillStyle = `rgb(${colours.subarray(3 * i, 3 * i + 3).join()})`;
    scale.fillRect(i, 0, 1, 1);
  }
  const listeners = { picture: show, box: redraw, grid: redraw, threshold: redraw };
  for (const [name, listener] of Object.entries(listeners)) model.on(`change:${name}`, listener);
  show();
  return () => {
    for (const [name, listener] of Object.entries(listeners)) model.off(`change:${name}`, listener);
  };
}

export default { render };
