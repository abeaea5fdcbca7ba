// The data of the page, and small helpers. Arrays are base64 of little-endian numbers (pack.py).

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const rows = data.rows;
const columns = data.symmetric ? data.rows : data.columns;
const rowCount = rows.ids.length;
const columnCount = columns.ids.length;

function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  return bytes;
}

function numbersOf(text, Kind) {
  return new Kind(bytesOf(text).buffer);
}

// The place of (i, j), i <= j, in an upper triangle, row after row.
function trianglePlace(i, j) {
  return i * rowCount - (i * (i - 1)) / 2 + (j - i);
}

class View {
  constructor(packed) {
    Object.assign(this, packed);
    this.matrix = null;
    this.steps = null;
  }

  // All values, row after row; unpacked when they are first asked for.
  get values() {
    if (this.matrix !== null) return this.matrix;
    const { kind, data: text, low, step } = this.packed;
    const flat = numbersOf(text, kind === "f4" ? Float32Array : Uint16Array);
    const value = kind === "f4" ? (k) => flat[k] : (k) => low + flat[k] * step;
    const matrix = new Float32Array(rowCount * columnCount);
    if (data.symmetric) {
      let k = 0;
      for (let i = 0; i < rowCount; i++) {
        for (let j = i; j < rowCount; j++, k++) {
          matrix[i * rowCount + j] = matrix[j * rowCount + i] = value(k);
        }
      }
    } else {
      for (let k = 0; k < matrix.length; k++) matrix[k] = value(k);
    }
    this.matrix = matrix;
    keepFew(this);
    return matrix;
  }

  at(i, j) {
    return this.values[i * columnCount + j];
  }

  // No matching of the two images gives more than this; null where no bound is known.
  bound(i, j) {
    if (this.excess === null) return null;
    if (this.excess.data === null) return this.at(i, j) + this.excess.step;
    if (this.steps === null) this.steps = numbersOf(this.excess.data, Uint16Array);
    const place = data.symmetric
      ? trianglePlace(Math.min(i, j), Math.max(i, j))
      : i * columnCount + j;
    return this.at(i, j) + this.steps[place] * this.excess.step;
  }
}

// Matrices of thousands of images take tens of megabytes: only the last ones stay unpacked.
const unpacked = [];
function keepFew(view) {
  unpacked.push(view);
  const most = Math.max(4, Math.floor(3e7 / (rowCount * columnCount)));
  while (unpacked.length > most) unpacked.shift().matrix = null;
}

const views = data.views.map(({ values, ...facts }) => new View({ ...facts, packed: values }));

function viewOf(layer, matcher, kernel) {
  return (
    views.find((v) => v.layer === layer && v.matcher === matcher && v.kernel === kernel) ?? null
  );
}

const matches = new Map(
  data.matches.map((one) => {
    const layer = data.layers.findIndex((known) => known.name === one.layer);
    return [`${layer}|${one.pair[0]}|${one.pair[1]}`, one];
  }),
);

// Numbers as people write them: four digits, a real minus sign.
function written(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  const text = String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

// A similarity under the kernel that is shown; where it is bounded, always with as many decimals.
function similarity(value) {
  if (value === null || value === undefined) return "–";
  if (!data.kernels[state.kernel].bounded) return written(value);
  return value.toFixed(4).replace("-", "−");
}

function percent(part) {
  return part >= 0.0995 ? `${Math.round(100 * part)} %` : `${(100 * part).toFixed(1)} %`;
}

function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

// An element with properties, attributes and children; texts are text nodes, never HTML.
function element(name, properties = {}, ...children) {
  return furnished(document.createElement(name), properties, children);
}

function drawing(name, properties = {}, ...children) {
  return furnished(
    document.createElementNS("http://www.w3.org/2000/svg", name), properties, children,
  );
}

function furnished(node, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function photoOf(side, image, properties = {}) {
  if (data.photos === null) return null;
  const source = data.photos[side.photos[image]];
  return element("img", { src: source, alt: "", decoding: "async", ...properties });
}

function labelOf(side, image) {
  return side.labels === null ? null : side.names[side.labels[image]];
}

// Names differ at their ends: of long ones the middle is left out.
function shortened(name, limit = 28) {
  if (name.length <= limit) return name;
  const half = Math.floor((limit - 1) / 2);
  return `${name.slice(0, limit - 1 - half)}…${name.slice(-half)}`;
}

// A table of 256 colours from dark to light, as one 32-bit number each.
const colourTable = (() => {
  const anchors = data.colours.map((text) =>
    [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16)),
  );
  const table = new Uint32Array(256);
  const bytes = new Uint8Array(table.buffer);
  for (let k = 0; k < 256; k++) {
    const place = (k / 255) * (anchors.length - 1);
    const below = Math.min(Math.floor(place), anchors.length - 2);
    for (let c = 0; c < 3; c++) {
      const [a, b] = [anchors[below][c], anchors[below + 1][c]];
      bytes[4 * k + c] = Math.round(a + (b - a) * (place - below));
    }
    bytes[4 * k + 3] = 255;
  }
  return table;
})();

function colourText(part) {
  const bytes = new Uint8Array(colourTable.buffer);
  const k = 4 * Math.max(0, Math.min(255, Math.round(255 * part)));
  return `rgb(${bytes[k]} ${bytes[k + 1]} ${bytes[k + 2]})`;
}

// The current view. The parts of the page read it; only main.js writes it.
const state = {
  layer: data.start.layer,
  kernel: 0,
  matchers: [data.start.left, data.start.right],
  order: data.start.order,
  scale: "shared",
  pair: data.start.pair,
  query: data.start.pair[0],
  cursor: null,
  sort: { key: "change", descending: true },
  window: null,
};

function shownViews() {
  return state.matchers.map((matcher) => viewOf(state.layer, matcher, state.kernel));
}

// With fewer than two different RSMs there is nothing to put side by side.
function panels() {
  return state.matchers[0] === state.matchers[1] && data.matchers.length === 1 ? [0] : [0, 1];
}

function limitsOf(view) {
  if (state.scale === "own") return view.range;
  if (state.scale === "pairs") return view.pair_range;
  const bounded = data.kernels[view.kernel].bounded;
  const peers = views.filter(
    (v) => v.kernel === view.kernel && (bounded || v.layer === view.layer),
  );
  return [Math.min(...peers.map((v) => v.range[0])), Math.max(...peers.map((v) => v.range[1]))];
}

// The images of one side in the order that is shown.
function orderOf(side) {
  const given = Array.from(side.ids, (_, k) => k);
  if (state.order === "id") return side.by_id;
  if (state.order === "label") return side.by_label ?? given;
  if (state.order.startsWith("clustered-")) {
    const matcher = Number(state.order.slice("clustered-".length));
    const view = viewOf(state.layer, matcher, state.kernel);
    return view?.order ?? given;
  }
  return given;
}
