"use strict";
// What is shown is drawn anew from the photograph and the two label maps whenever anything changes.
const { key, classes, pictures } = JSON.parse(document.querySelector("#values").textContent);
const VIEWS = ["photograph", "Y_crf", "Y_ret", "where Y_crf and Y_ret differ"];
// Okabe and Ito's colours, told apart by readers of every colour vision; with three kinds of line.
const COLOURS = [
  [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66],
  [0, 114, 178], [213, 94, 0], [204, 121, 167],
];
const UNKNOWN = 255;
const ZOOM = 2; // canvas pixels a pixel of the pictures, so that outlines are fine
const state = { place: 0, view: 1, boxes: true, verdicts: restored() };
const canvas = document.querySelector("#picture");
const ink = canvas.getContext("2d", { willReadFrequently: true });
let shown = null; // the pixels of the photograph and of both label maps
let asked = 0;

function restored() {
  try {
    return JSON.parse(localStorage.getItem("bana-review-" + key)) ?? {};
  } catch {
    return {}; // no storage here: verdicts last as long as the page
  }
}

function keep() {
  try {
    localStorage.setItem("bana-review-" + key, JSON.stringify(state.verdicts));
  } catch {
    // see above
  }
}

function colourOf(number) {
  return number === UNKNOWN ? [255, 255, 255] : COLOURS[(number - 1) % COLOURS.length];
}

// Solid, dashed or dotted: whether the line of a class has its colour at a place along it.
function isInked(number, along) {
  const kind = Math.floor((number - 1) / COLOURS.length) % 3;
  return kind === 0 || (kind === 1 ? (along >> 3) % 2 === 0 : (along >> 2) % 2 === 0);
}

async function pixelsOf(kind, text, width, height) {
  const image = new Image();
  image.src = `data:image/${kind};base64,${text}`;
  await image.decode();
  const sheet = document.createElement("canvas");
  [sheet.width, sheet.height] = [width, height];
  const context = sheet.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return { image, values: context.getImageData(0, 0, width, height).data };
}

async function show() {
  const mine = ++asked;
  const picture = pictures[state.place];
  const { width, height } = picture;
  const [photograph, crf, ret] = await Promise.all([
    pixelsOf("jpeg", picture.photograph, width, height),
    pixelsOf("png", picture.crf, width, height),
    pixelsOf("png", picture.ret, width, height),
  ]);
  if (mine !== asked) return; // another one was asked for in the meantime
  shown = { picture, photograph: photograph.image, crf: crf.values, ret: ret.values };
  draw();
}

function draw() {
  const { picture } = shown;
  const [width, height] = [picture.width * ZOOM, picture.height * ZOOM];
  [canvas.width, canvas.height] = [width, height];
  ink.drawImage(shown.photograph, 0, 0, width, height);
  if (state.view > 0) {
    const pixels = ink.getImageData(0, 0, width, height);
    if (state.view === 3) paintDifference(pixels.data, width, height);
    paintLabel(pixels.data, width, height, state.view === 2 ? shown.ret : shown.crf);
    ink.putImageData(pixels, 0, 0);
  }
  if (state.boxes) drawBoxes(picture.boxes);
  tell();
}

// Labels lie ZOOM times coarser and have four channels.
function valueAt(label, width, x, y) {
  return label[4 * ((width / ZOOM) * Math.floor(y / ZOOM) + Math.floor(x / ZOOM))];
}

function paintLabel(data, width, height, label) {
  const filled = state.view !== 3;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const own = valueAt(label, width, x, y);
      const near = nearestOther(label, width, height, x, y, own);
      const at = 4 * (width * y + x);
      if (own && near === 1) {
        const colour = isInked(own, x + y) ? colourOf(own) : [255, 255, 255];
        mix(data, at, colour, 1);
      } else if (near === 2 || (!own && near === 1)) {
        mix(data, at, [0, 0, 0], 0.75); // an edge that shows on any photograph
      } else if (own && filled) {
        mix(data, at, colourOf(own), 0.35);
      }
    }
  }
}

// 1 where another label is within 2 canvas pixels, 2 where it is just beyond, else 0.
function nearestOther(label, width, height, x, y, own) {
  for (const [step, answer] of [[2, 1], [3, 2]]) {
    for (const [dx, dy] of [[step, 0], [-step, 0], [0, step], [0, -step]]) {
      const [u, v] = [x + dx, y + dy];
      if (u < 0 || v < 0 || u >= width || v >= height) continue;
      const other = valueAt(label, width, u, v);
      if (other !== own && (own || answer === 1)) return answer;
    }
  }
  return 0;
}

function paintDifference(data, width, height) {
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = 4 * (width * y + x);
      const grey = 0.35 * (data[at] + data[at + 1] + data[at + 2]) / 3;
      data[at] = data[at + 1] = data[at + 2] = grey;
      const crf = valueAt(shown.crf, width, x, y);
      if (crf !== UNKNOWN && crf !== valueAt(shown.ret, width, x, y)) {
        mix(data, at, (x + y) % 8 < 5 ? [255, 255, 255] : [213, 94, 0], 0.9);
      }
    }
  }
}

function mix(data, at, colour, weight) {
  for (let k = 0; k < 3; k++) {
    data[at + k] = (1 - weight) * data[at + k] + weight * colour[k];
  }
}

function drawBoxes(boxes) {
  for (const [number, ...corners] of boxes) {
    const [x1, y1, x2, y2] = corners.map((value) => value * ZOOM);
    ink.setLineDash([]);
    ink.lineWidth = 5;
    ink.strokeStyle = "#000";
    ink.strokeRect(x1, y1, x2 - x1, y2 - y1);
    ink.lineWidth = 3;
    ink.strokeStyle = "#fff";
    ink.strokeRect(x1, y1, x2 - x1, y2 - y1);
    ink.setLineDash(number > COLOURS.length ? (number > 2 * COLOURS.length ? [4, 4] : [12, 8]) : []);
    ink.strokeStyle = `rgb(${colourOf(number)})`;
    ink.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
}

function tell() {
  const { picture } = shown;
  const verdict = state.verdicts[picture.id] ?? "";
  const numbers = [...new Set(picture.boxes.map(([number]) => number))].sort((a, b) => a - b);
  const names = numbers.map((number) => classes[number]);
  const said = { good: "looks good", wrong: "wrong" }[verdict] ?? "no verdict";
  document.querySelector("#name").textContent = picture.name;
  document.querySelector("#place").textContent =
    `${state.place + 1} of ${pictures.length}: ${said}. The two masks of a box differ by ` +
    `${(100 * picture.differ).toFixed(0)} %.` +
    (picture.empty ? ` ${picture.empty} of ${picture.boxes.length} boxes have no mask.` : "");
  canvas.setAttribute("aria-label", `${picture.name}, ${VIEWS[state.view]}: ${names.join(", ")}`);
  document.querySelector("#legend").replaceChildren(...numbers.map(legendOf));
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.view) === state.view));
  }
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
  }
  document.querySelector("#boxes").setAttribute("aria-pressed", String(state.boxes));
  const values = pictures.map(({ id }) => state.verdicts[id]).filter(Boolean);
  const wrong = values.filter((value) => value === "wrong").length;
  document.querySelector("#tally").textContent =
    `${values.length} looked at: ${wrong} wrong, ${values.length - wrong} good.`;
}

function legendOf(number) {
  const swatch = document.createElement("canvas");
  [swatch.width, swatch.height] = [72, 36];
  const context = swatch.getContext("2d");
  for (let x = 0; x < swatch.width; x++) {
    const colour = isInked(number, x) ? colourOf(number) : [255, 255, 255];
    context.fillStyle = `rgb(${colour})`;
    context.fillRect(x, 0, 1, swatch.height);
  }
  const item = document.createElement("li");
  item.append(swatch, classes[number]);
  return item;
}

function go(place) {
  if (place < 0 || place >= pictures.length || place === state.place) return;
  state.place = place;
  show();
}

function say(verdict) {
  const { id } = pictures[state.place];
  if (verdict) state.verdicts[id] = verdict;
  else delete state.verdicts[id];
  keep();
  if (verdict && state.place + 1 < pictures.length) go(state.place + 1);
  else tell();
}

function goToOpen() {
  const later = pictures.findIndex((p, k) => k > state.place && !(p.id in state.verdicts));
  go(later < 0 ? pictures.findIndex((p) => !(p.id in state.verdicts)) : later);
}

function setView(view) {
  state.view = view;
  draw();
}

function flipBoxes() {
  state.boxes = !state.boxes;
  draw();
}

function verdictsAsCsv() {
  const field = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = pictures
    .filter(({ id }) => id in state.verdicts)
    .map(({ id, name, differ }) => `${field(name)},${state.verdicts[id]},${differ}\r\n`);
  return "image,verdict,differ\r\n" + rows.join("");
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([verdictsAsCsv()], { type: "text/csv" }));
  link.download = "verdicts.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const KEYS = {
  ArrowRight: () => go(state.place + 1),
  ArrowLeft: () => go(state.place - 1),
  1: () => setView(0),
  2: () => setView(1),
  3: () => setView(2),
  4: () => setView(3),
  b: flipBoxes,
  g: () => say("good"),
  w: () => say("wrong"),
  u: () => say(""),
  o: goToOpen,
  d: download,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || shown === null) return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});
for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => setView(Number(button.dataset.view)));
}
for (const button of document.querySelectorAll("[data-verdict]")) {
  button.addEventListener("click", () => say(button.dataset.verdict));
}
for (const button of document.querySelectorAll("[data-step]")) {
  button.addEventListener("click", () => go(state.place + Number(button.dataset.step)));
}
document.querySelector("#boxes").addEventListener("click", flipBoxes);
document.querySelector("#open").addEventListener("click", goToOpen);
document.querySelector("#download").addEventListener("click", download);
if (pictures.length) show();
