// The heat maps. Each RSM becomes one picture of a pixel for each pair, which is then drawn scaled:
// moving, enlarging and pointing cost nothing however many images there are.

const maps = [];
let rowOrder = [];
let columnOrder = [];

class HeatMap {
  constructor(panel) {
    this.panel = panel;
    this.picture = document.createElement("canvas");
    this.canvas = element("canvas", { class: "cells", "aria-hidden": "true" });
    this.marks = element("canvas", { class: "marks", "aria-hidden": "true" });
    this.ticks = element("div", { class: "ticks", "aria-hidden": "true" });
    this.box = element(
      "div",
      {
        class: "map",
        tabindex: "0",
        role: "application",
        "aria-roledescription": "heat map",
        "aria-describedby": "pair-names",
      },
      this.canvas,
      this.marks,
    );
    this.head = element("div", { class: "map-head" });
    this.bar = element("canvas", { class: "bar", width: "256", height: "1" });
    this.barMark = element("span", { class: "bar-mark", hidden: true });
    this.low = element("span");
    this.high = element("span");
    this.middle = element("span");
    this.legend = element(
      "div",
      { class: "legend" },
      element("div", { class: "bar-box" }, this.bar, this.barMark),
      element("div", { class: "bar-ends" }, this.low, this.middle, this.high),
    );
    this.body = element("figure", { class: "matrix" }, this.head, this.box, this.legend);
    this.drag = null;
    this.listen();
  }

  // The RSM as a picture: once for each layer, matcher, kernel, order and scale.
  paint() {
    const view = shownViews()[this.panel];
    this.body.hidden = this.ticks.hidden = this.box.hidden = view === null;
    if (view === null) return;
    const [low, high] = limitsOf(view);
    const factor = high > low ? 255 / (high - low) : 0;
    const pixels = new Uint32Array(rowCount * columnCount);
    const values = view.values;
    for (let r = 0, k = 0; r < rowCount; r++) {
      const start = rowOrder[r] * columnCount;
      for (let c = 0; c < columnCount; c++, k++) {
        const level = (values[start + columnOrder[c]] - low) * factor;
        pixels[k] = colourTable[level < 0 ? 0 : level > 255 ? 255 : Math.round(level)];
      }
    }
    this.picture.width = columnCount;
    this.picture.height = rowCount;
    const bytes = new Uint8ClampedArray(pixels.buffer);
    const image = new ImageData(bytes, columnCount, rowCount);
    this.picture.getContext("2d").putImageData(image, 0, 0);
    const words = data.matchers[state.matchers[this.panel]].words;
    const kernel = data.kernels[state.kernel].name;
    this.box.setAttribute("aria-label", `${words} RSM, ${kernel}, ${data.layers[state.layer].name}`);
    this.low.textContent = written(low, 3);
    this.middle.textContent = kernel === "cosine" ? "cosine similarity" : `${kernel} similarity`;
    this.high.textContent = written(high, 3);
    this.limits = [low, high];
    this.draw();
  }

  draw() {
    if (this.box.hidden) return;
    this.nameRows(); // before the width is read: names take some of it
    const side = Math.max(1, Math.round(this.box.clientWidth * devicePixelRatio));
    for (const canvas of [this.canvas, this.marks]) {
      canvas.width = side;
      canvas.height = side;
    }
    const { top, left, height, width } = state.window;
    const context = this.canvas.getContext("2d");
    // Cells stay sharp; where they are smaller than pixels, their mean is shown.
    context.imageSmoothingEnabled = side < width || side < height;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, left, top, width, height, 0, 0, side, side);
    this.drawGroups(context, side);
    this.mark();
  }

  // The names of rows at the left: of images, or else of runs of one label; where they have room.
  nameRows() {
    const { top, height } = state.window;
    const cell = this.box.clientWidth / height;
    let names = [];
    if (cell >= 12) {
      for (let r = top; r < top + height; r++) names.push([r + 0.5, rows.ids[rowOrder[r]]]);
    } else {
      names = runsOf(rows, rowOrder)
        .map((run) => [Math.max(run.first, top), Math.min(run.last, top + height), run.name])
        .filter(([first, last]) => (last - first) * cell >= 12)
        .map(([first, last, name]) => [(first + last) / 2, name]);
    }
    const longest = names.reduce((a, [, b]) => (b.length > a.length ? b : a), "");
    this.ticks.replaceChildren(element("span", { class: "sizer" }, shortened(longest, 20)));
    for (const [place, name] of names) {
      const tick = element("span", { title: name }, shortened(name, 20));
      tick.style.top = `${(100 * (place - top)) / height}%`;
      this.ticks.append(tick);
    }
    this.ticks.style.height = `${this.box.clientWidth}px`;
  }

  // White lines between runs of one label.
  drawGroups(context, side) {
    const { top, left, height, width } = state.window;
    const runs = runsOf(rows, rowOrder);
    if (runs.length < 2 || side / Math.max(runs.length, 1) < 6 * devicePixelRatio) return;
    context.fillStyle = "rgb(255 255 255 / 0.75)";
    const thick = Math.max(1, Math.round(devicePixelRatio));
    for (const run of runs.slice(1)) {
      const y = Math.round(((run.first - top) / height) * side);
      context.fillRect(0, y - Math.floor(thick / 2), side, thick);
    }
    for (const run of runsOf(columns, columnOrder).slice(1)) {
      const x = Math.round(((run.first - left) / width) * side);
      context.fillRect(x - Math.floor(thick / 2), 0, thick, side);
    }
  }

  // The pinned pair, and the cell that is pointed at, on both maps.
  mark() {
    if (this.box.hidden) return;
    const side = this.marks.width;
    const context = this.marks.getContext("2d");
    context.clearRect(0, 0, side, side);
    const [i, j] = state.pair;
    const pinned = [[rowOrder.indexOf(i), columnOrder.indexOf(j)]];
    if (data.symmetric && i !== j) pinned.push([rowOrder.indexOf(j), columnOrder.indexOf(i)]);
    for (const [r, c] of pinned) this.frame(context, side, r, c, "#ffffff", "#d6246e");
    if (state.cursor !== null) {
      const { top, left, height, width } = state.window;
      const [r, c] = state.cursor;
      const y = ((r + 0.5 - top) / height) * side;
      const x = ((c + 0.5 - left) / width) * side;
      context.fillStyle = "rgb(255 255 255 / 0.35)";
      const thick = Math.max(1, Math.round(devicePixelRatio));
      context.fillRect(0, y - thick / 2, side, thick);
      context.fillRect(x - thick / 2, 0, thick, side);
      this.frame(context, side, r, c, "#000000", "#ffffff");
    }
    const shown = state.cursor ?? null;
    this.barMark.hidden = shown === null;
    if (shown !== null) {
      const view = shownViews()[this.panel];
      const value = view.at(rowOrder[shown[0]], columnOrder[shown[1]]);
      const [low, high] = this.limits;
      const part = high > low ? (value - low) / (high - low) : 0;
      this.barMark.style.left = `${100 * Math.max(0, Math.min(1, part))}%`;
    }
    if (this.drag?.moved) {
      const { x0, y0, x1, y1 } = this.drag;
      const scale = devicePixelRatio;
      context.strokeStyle = "#ffffff";
      context.lineWidth = 2 * scale;
      context.setLineDash([6 * scale, 4 * scale]);
      context.strokeRect(
        Math.min(x0, x1) * scale,
        Math.min(y0, y1) * scale,
        Math.abs(x1 - x0) * scale,
        Math.abs(y1 - y0) * scale,
      );
      context.setLineDash([]);
    }
  }

  frame(context, side, r, c, outer, inner) {
    const { top, left, height, width } = state.window;
    const scale = devicePixelRatio;
    // Frames around tiny cells would hide them: they stay at least nine pixels wide.
    const w = Math.max(side / width, 9 * scale);
    const h = Math.max(side / height, 9 * scale);
    const x = ((c + 0.5 - left) / width) * side - w / 2;
    const y = ((r + 0.5 - top) / height) * side - h / 2;
    context.lineWidth = 4 * scale;
    context.strokeStyle = outer;
    context.strokeRect(x, y, w, h);
    context.lineWidth = 2 * scale;
    context.strokeStyle = inner;
    context.strokeRect(x, y, w, h);
  }

  cellAt(x, y) {
    const { top, left, height, width } = state.window;
    const side = this.box.clientWidth;
    const r = Math.floor(top + (y / side) * height);
    const c = Math.floor(left + (x / side) * width);
    return [clamp(r, 0, rowCount - 1), clamp(c, 0, columnCount - 1)];
  }

  listen() {
    const place = (event) => {
      const box = this.box.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const [x, y] = place(event);
      this.drag = { x0: x, y0: y, x1: x, y1: y, moved: false };
      if (event.pointerType === "mouse") this.box.setPointerCapture(event.pointerId);
    });
    this.box.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      if (this.drag !== null && event.pointerType === "mouse") {
        this.drag.x1 = x;
        this.drag.y1 = y;
        this.drag.moved ||= Math.hypot(x - this.drag.x0, y - this.drag.y0) > 8;
      }
      pointAt(this.cellAt(x, y));
    });
    this.box.addEventListener("pointerup", (event) => {
      const drag = this.drag;
      this.drag = null;
      if (drag === null) return;
      if (drag.moved) enlarge(this.cellAt(drag.x0, drag.y0), this.cellAt(drag.x1, drag.y1));
      else pin(this.cellAt(...place(event)));
    });
    this.box.addEventListener("pointercancel", () => (this.drag = null));
    this.box.addEventListener("pointerleave", () => {
      if (this.drag === null && document.activeElement !== this.box) pointAt(null);
    });
    this.box.addEventListener("blur", () => pointAt(null));
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [r, c] = state.cursor ?? cellOfPair();
    const far = event.shiftKey ? 10 : 1;
    const moves = {
      ArrowUp: [-far, 0],
      ArrowDown: [far, 0],
      ArrowLeft: [0, -far],
      ArrowRight: [0, far],
      PageUp: [-10, 0],
      PageDown: [10, 0],
      Home: [0, -columnCount],
      End: [0, columnCount],
    };
    if (event.key in moves) {
      const [dr, dc] = moves[event.key];
      // The first key shows where the cursor is; the next ones move it.
      const moved = state.cursor === null ? [r, c] : [r + dr, c + dc];
      const cell = [clamp(moved[0], 0, rowCount - 1), clamp(moved[1], 0, columnCount - 1)];
      follow(cell);
      pointAt(cell, true);
    } else if (event.key === "Enter" || event.key === " ") {
      pin([r, c], true);
    } else if (event.key === "+" || event.key === "=") {
      enlargeAbout([r, c], 0.5);
    } else if (event.key === "-") {
      enlargeAbout([r, c], 2);
    } else if (event.key === "0" || event.key === "Escape") {
      showWhole();
    } else {
      return;
    }
    event.preventDefault();
  }
}

function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}

// Consecutive images of one label, in the order that is shown.
function runsOf(side, order) {
  if (side.labels === null) return [];
  const runs = [];
  order.forEach((image, place) => {
    const name = side.names[side.labels[image]];
    const last = runs.at(-1);
    if (last !== undefined && last.name === name) last.last = place + 1;
    else runs.push({ name, first: place, last: place + 1 });
  });
  return runs;
}

function cellOfPair() {
  return [rowOrder.indexOf(state.pair[0]), columnOrder.indexOf(state.pair[1])];
}

function wholeWindow() {
  return { top: 0, left: 0, height: rowCount, width: columnCount };
}

function showWindow(window) {
  state.window = window;
  $("whole").disabled = window.height === rowCount && window.width === columnCount;
  for (const map of maps) map.draw();
}

function showWhole() {
  showWindow(wholeWindow());
}

// Show the cells from one corner to the other; of symmetric RSMs as many rows as columns.
function enlarge([r0, c0], [r1, c1]) {
  let height = Math.abs(r1 - r0) + 1;
  let width = Math.abs(c1 - c0) + 1;
  if (data.symmetric) height = width = Math.max(height, width, Math.min(4, rowCount));
  showWindow({
    top: clamp(Math.min(r0, r1), 0, rowCount - height),
    left: clamp(Math.min(c0, c1), 0, columnCount - width),
    height,
    width,
  });
}

function enlargeAbout([r, c], factor) {
  const old = state.window;
  const height = clamp(Math.round(old.height * factor), Math.min(4, rowCount), rowCount);
  const width = clamp(Math.round(old.width * factor), Math.min(4, columnCount), columnCount);
  showWindow({
    top: clamp(Math.round(r - height / 2), 0, rowCount - height),
    left: clamp(Math.round(c - width / 2), 0, columnCount - width),
    height,
    width,
  });
}

// Move the window so that the cell is in it.
function follow([r, c]) {
  const { top, left, height, width } = state.window;
  const moved = {
    top: clamp(top, Math.max(0, r - height + 1), Math.min(r, rowCount - height)),
    left: clamp(left, Math.max(0, c - width + 1), Math.min(c, columnCount - width)),
    height,
    width,
  };
  if (moved.top !== top || moved.left !== left) showWindow(moved);
}

function makeMaps() {
  $("maps").classList.toggle("single", panels().length === 1);
  for (const panel of panels()) {
    const map = new HeatMap(panel);
    maps.push(map);
    $("maps").append(map.ticks, map.body);
    fillHead(map);
  }
  const watch = new ResizeObserver(() => maps.forEach((map) => map.draw()));
  watch.observe($("maps"));
  for (const map of maps) {
    const context = map.bar.getContext("2d");
    const image = new ImageData(256, 1);
    new Uint32Array(image.data.buffer).set(colourTable);
    context.putImageData(image, 0, 0);
  }
}

// The name of the RSM; with more than two matchers, a choice.
function fillHead(map) {
  if (data.matchers.length <= 2) {
    map.head.append(
      element("h2", {}, `${capital(data.matchers[state.matchers[map.panel]].words)} RSM`),
    );
    return;
  }
  const select = element("select", { "aria-label": "RSM of this heat map" });
  data.matchers.forEach((matcher, k) => {
    const chosen = k === state.matchers[map.panel];
    select.append(element("option", { value: k, selected: chosen }, `${capital(matcher.words)} RSM`));
  });
  select.addEventListener("change", () => chooseMatcher(map.panel, Number(select.value)));
  map.head.append(select);
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function paintMaps() {
  rowOrder = orderOf(rows);
  columnOrder = data.symmetric ? rowOrder : orderOf(columns);
  for (const map of maps) map.paint();
}

// The pair under the pointer, or else the pinned pair.
function showReadout() {
  const pointed = state.cursor !== null;
  const [i, j] = pointed
    ? [rowOrder[state.cursor[0]], columnOrder[state.cursor[1]]]
    : state.pair;
  const line = element("div", { class: "readout-values" });
  shownViews().forEach((view, panel) => {
    if (view === null || !panels().includes(panel)) return;
    const bound = view.bound(i, j);
    line.append(
      element(
        "p",
        {},
        `${data.matchers[view.matcher].words} `,
        element("b", { class: "value" }, similarity(view.at(i, j))),
        element("span", { class: "quiet bound" }, boundWords(view, i, j, bound)),
      ),
    );
  });
  const names = element("p", { class: "names" }, rows.ids[i], " · ", columns.ids[j]);
  $("readout").replaceChildren(
    element("div", { class: "thumbs" }, photoOf(rows, i), photoOf(columns, j)),
    element("div", {}, names, line),
  );
  $("readout").classList.toggle("pointed", pointed);
}

function boundWords(view, i, j, bound) {
  if (bound === null) return "";
  const value = view.at(i, j);
  const apart = bound - value;
  const matching = view.bounds === "own" ? "matching within the matcher's constraints" : "matching";
  if (apart <= 2e-6 * Math.max(Math.abs(value), Math.abs(bound))) return ` no ${matching} gives more`;
  return ` no ${matching} gives more than ${similarity(bound)}`;
}
