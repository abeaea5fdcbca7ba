// The pinned pair: both photographs, the matched patches, their contributions and distances.

const pairView = { match: null, patch: null, sides: [], links: null };

function makePair() {
  pairView.links = drawing("svg", { class: "links", "aria-hidden": "true" });
  const watch = new ResizeObserver(() => drawMatch());
  watch.observe($("photos"));
  $("paint").addEventListener("change", drawMatch);
}

function matchOf(i, j, layer = state.layer) {
  return matches.get(`${layer}|${Math.min(i, j)}|${Math.max(i, j)}`) ?? null;
}

function showPair() {
  let [i, j] = state.pair;
  const one = matchOf(i, j);
  // A match has a direction: the page keeps it with the earlier image on the left.
  if (one !== null) [i, j] = one.pair;
  pairView.patch = null;
  pairView.match = one === null ? null : unpackedMatch(one);
  $("pair-names").replaceChildren(
    element("b", {}, rows.ids[i]), " and ", element("b", {}, columns.ids[j]),
  );
  pairView.sides = [
    [rows, i],
    [columns, j],
  ].map(([side, image], k) => photoSide(side, image, k));
  $("photos").replaceChildren(...pairView.sides.map((side) => side.box), pairView.links);
  $("photos").hidden = data.photos === null && pairView.match === null;
  showPairValues(i, j, one);
  showDisplacement();
  $("pair-note").replaceChildren(...noteOf(i, j, one));
  $("paint-choice").hidden = pairView.match === null;
  showPatch();
  for (const { image } of pairView.sides) image?.addEventListener("load", drawMatch);
  drawMatch();
}

function unpackedMatch(one) {
  const grid = data.layers[state.layer].grid;
  const target = numbersOf(one.target, Uint16Array);
  const signed = (packed) => Float64Array.from(numbersOf(packed.data, Int16Array), (k) => k * packed.step);
  const colours = bytesOf(data.places[`${grid[0]}x${grid[1]}`]);
  const source = new Int32Array(target.length).fill(-1);
  target.forEach((t, s) => {
    if (t !== 65535) source[t] = s;
  });
  const given = signed(one.given);
  const out = one.out?.map(bytesOf) ?? null;
  return { ...one, grid, target, source, given, stayed: signed(one.stayed), colours, out };
}

// One photograph with a canvas over it, on which patches can be pointed at.
function photoSide(side, image, k) {
  const shown = photoOf(side, image, { class: "photo" });
  const paint = element("canvas", { class: "patches", "aria-hidden": "true" });
  const frame = element("div", { class: "photo-frame" }, shown ?? element("div", { class: "blank" }));
  frame.append(paint);
  const name = shortened(side.ids[image], 40);
  const box = element("figure", {}, frame, element("figcaption", { title: side.ids[image] }, name));
  if (pairView.match !== null) {
    frame.setAttribute("tabindex", "0");
    frame.setAttribute("role", "application");
    frame.setAttribute("aria-roledescription", "patches");
    frame.setAttribute("aria-label", `Patches of ${side.ids[image]}: arrows move`);
    frame.setAttribute("aria-describedby", "patch");
    frame.addEventListener("pointermove", (event) => {
      const box = frame.getBoundingClientRect();
      const [height, width] = pairView.match.grid;
      const r = clamp(Math.floor(((event.clientY - box.top) / box.height) * height), 0, height - 1);
      const c = clamp(Math.floor(((event.clientX - box.left) / box.width) * width), 0, width - 1);
      pointAtPatch(k, r * width + c);
    });
    frame.addEventListener("pointerleave", () => {
      if (document.activeElement !== frame) pointAtPatch(null);
    });
    frame.addEventListener("blur", () => pointAtPatch(null));
    frame.addEventListener("keydown", (event) => movePatch(event, k));
  }
  return { box, frame, paint, image: shown };
}

function movePatch(event, k) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const [height, width] = pairView.match.grid;
  const old = pairView.patch?.side === k ? pairView.patch.place : null;
  const centre = Math.floor(height / 2) * width + Math.floor(width / 2);
  if (old === null) return pointAtPatch(k, centre);
  const [dr, dc] = steps[event.key];
  const r = clamp(Math.floor(old / width) + dr, 0, height - 1);
  const c = clamp((old % width) + dc, 0, width - 1);
  return pointAtPatch(k, r * width + c);
}

function pointAtPatch(side, place) {
  const same = pairView.patch?.side === side && pairView.patch?.place === place;
  if (same || (side === null && pairView.patch === null)) return;
  pairView.patch = side === null ? null : { side, place };
  showPatch();
  drawMatch();
}

// The patches of the pair that is pointed at: [in the left image, in the right one], -1 for none.
function pointedPatches() {
  const { match, patch } = pairView;
  if (match === null || patch === null) return null;
  if (patch.side === 1) return [match.source[patch.place], patch.place];
  const target = match.target[patch.place];
  return [patch.place, target === 65535 ? -1 : target];
}

function drawMatch() {
  const { match, sides, links } = pairView;
  links.replaceChildren();
  for (const side of sides) side.frame.classList.toggle("faded", match !== null && $("paint").checked);
  if (match === null) {
    for (const side of sides) side.paint.width = side.paint.width; // clears it
    return;
  }
  const gains = match.given.map((value, s) => (match.target[s] === 65535 ? 0 : Math.max(0, value)));
  const most = gains.reduce((a, b) => Math.max(a, b), 0) || 1;
  const [height, width] = match.grid;
  sides.forEach(({ paint }, k) => {
    paint.width = width;
    paint.height = height;
    if (!$("paint").checked) return;
    const pixels = new ImageData(width, height);
    for (let place = 0; place < width * height; place++) {
      if (match.out?.[k][place]) {
        // Left out by a mask: grey.
        pixels.data.set([128, 128, 128, 205], 4 * place);
        continue;
      }
      const s = k === 0 ? place : match.source[place];
      if (s < 0) continue;
      for (let c = 0; c < 3; c++) pixels.data[4 * place + c] = match.colours[3 * s + c];
      // The square root, since a few patches often give far more than the rest.
      pixels.data[4 * place + 3] = 205 * Math.sqrt(gains[s] / most);
    }
    paint.getContext("2d").putImageData(pixels, 0, 0);
  });
  drawLinks(gains);
}

function drawLinks(gains) {
  const { match, sides, links } = pairView;
  const outer = $("photos").getBoundingClientRect();
  if (outer.width === 0) return;
  const boxes = sides.map(({ frame }) => frame.getBoundingClientRect());
  const [height, width] = match.grid;
  links.setAttribute("viewBox", `0 0 ${outer.width} ${outer.height}`);
  const centre = (k, place) => [
    boxes[k].left - outer.left + ((place % width) + 0.5) * (boxes[k].width / width),
    boxes[k].top - outer.top + (Math.floor(place / width) + 0.5) * (boxes[k].height / height),
  ];
  const colourOf = (s) => `rgb(${[0, 1, 2].map((c) => 0.75 * match.colours[3 * s + c]).join(" ")})`;
  // A second line along the same row of patches would cover the first: it bends, the next one more.
  const along = new Map();
  const link = (s, kind) => {
    const [[x0, y0], [x1, y1]] = [centre(0, s), centre(1, match.target[s])];
    const row = `${y0},${y1}`;
    const before = along.get(row) ?? 0;
    along.set(row, before + 1);
    const inwards = (y0 + y1) / 2 < boxes[0].top - outer.top + boxes[0].height / 2 ? 1 : -1;
    const bend = inwards * before * 0.08 * boxes[0].height;
    const path = `M${x0} ${y0}Q${(x0 + x1) / 2} ${(y0 + y1) / 2 + bend} ${x1} ${y1}`;
    const group = drawing("g", { class: kind });
    group.append(drawing("path", { d: path, class: "edge" }));
    group.append(drawing("path", { d: path, stroke: colourOf(s) }));
    for (const [x, y] of [[x0, y0], [x1, y1]]) {
      group.append(drawing("circle", { cx: x, cy: y, r: 4, fill: colourOf(s) }));
    }
    links.append(group);
  };
  const pointed = pointedPatches();
  if (pointed === null) {
    match.lines.filter((s) => gains[s] > 0).forEach((s) => link(s, "link"));
    return;
  }
  pointed.forEach((place, k) => {
    if (place < 0) return;
    const [x, y] = centre(k, place);
    const [w, h] = [boxes[k].width / width, boxes[k].height / height];
    for (const kind of ["box-edge", "box"]) {
      links.append(
        drawing("rect", { x: x - w / 2, y: y - h / 2, width: w, height: h, class: kind }),
      );
    }
  });
  if (pointed[0] >= 0 && pointed[1] >= 0) link(pointed[0], "link pointed");
}

function moveWords(from, to, width) {
  const down = Math.floor(to / width) - Math.floor(from / width);
  const right = (to % width) - (from % width);
  if (down === 0 && right === 0) return "the same place";
  const parts = [];
  if (right !== 0) parts.push(`${counted(Math.abs(right), "column")} ${right > 0 ? "right" : "left"}`);
  if (down !== 0) parts.push(`${counted(Math.abs(down), "row")} ${down > 0 ? "down" : "up"}`);
  return parts.join(", ");
}

function showPatch() {
  const { match } = pairView;
  $("patch").hidden = match === null;
  if (match === null) return;
  const pointed = pointedPatches();
  if (pointed === null) {
    const lines = match.lines.length;
    const part = match.lines.reduce((sum, s) => sum + match.given[s], 0) / match.cosine;
    $("patch").textContent =
      `Matched patches share a colour, the stronger the more they give. The lines are ` +
      `${lines} of the strongest: ${percent(part)} of the similarity. Point at a patch.`;
    return;
  }
  const [s, t] = pointed;
  const [, width] = match.grid;
  const at = (place) => `row ${Math.floor(place / width) + 1}, column ${(place % width) + 1}`;
  if (s < 0 || t < 0) {
    const out = match.out?.[pairView.patch.side][pairView.patch.place];
    $("patch").textContent =
      `${at(Math.max(s, t))}: ${out ? "left out by a mask" : "stayed without a partner"}`;
    return;
  }
  const stayed = match.stayed[s];
  $("patch").textContent =
    `${at(s)} → ${at(t)} (${moveWords(s, t, width)}): gives ${written(match.given[s], 2)}, ` +
    `${percent(match.given[s] / match.cosine)} of the similarity; at its own place ` +
    `${written(stayed, 2)}.`;
}

// The value under no match, greedy and optimal, as far as they are known.
function showPairValues(i, j, one) {
  const kernel = data.kernels[state.kernel].name;
  const known = new Map();
  data.matchers.forEach((matcher, k) => {
    const view = viewOf(state.layer, k, state.kernel);
    if (view !== null) known.set(matcher.name, view.at(i, j));
  });
  for (const [name, value] of Object.entries(one?.values[kernel] ?? {})) {
    if (!known.has(name)) known.set(name, value);
  }
  const words = { none: "no match", greedy: "greedy match", optimal: "optimal match" };
  const order = ["none", "greedy", "optimal"];
  // A label is the name of a matcher, and its options after a colon.
  const rank = (label) => (order.indexOf(label.split(":")[0]) + 9) % 9;
  const names = [...known.keys()].filter((name) => name !== "bound");
  names.sort((a, b) => rank(a) - rank(b));
  const highest = Math.max(...names.map((name) => known.get(name)), 1e-12);
  const body = element("tbody");
  for (const name of names) {
    const value = known.get(name);
    const bar = element("span", { class: "strip" });
    bar.style.width = `${100 * Math.max(0, value / Math.max(highest, data.kernels[state.kernel].bounded ? 1 : 0))}%`;
    body.append(
      element(
        "tr",
        { "data-matcher": name },
        element("th", { scope: "row" }, words[name] ?? name),
        element("td", { class: "number" }, similarity(value)),
        element("td", { class: "strip-cell", "aria-hidden": "true" }, bar),
      ),
    );
  }
  const where = data.layers.length > 1 ? ` at ${data.layers[state.layer].name}` : "";
  const caption = element("caption", {}, `${capital(kernel)} similarity${where}`);
  const parts = [element("table", {}, caption, body)];
  if (known.has("bound") && known.has(one?.matcher)) {
    const gap = known.get("bound") - known.get(one.matcher);
    const text = gap <= 2e-6 * Math.abs(known.get("bound"))
      ? "The optimal match is certified: no other one gives more."
      : `No match gives more than ${similarity(known.get("bound"))}.`;
    parts.push(element("p", { class: "quiet" }, text));
  }
  $("pair-values").replaceChildren(...parts);
}

// The distances of matches, in patches, weighted by contribution: bars, and the direction.
function showDisplacement() {
  const { match } = pairView;
  $("displacement").replaceChildren();
  $("displacement").hidden = match === null;
  if (match === null) return;
  const [height, width] = match.grid;
  const distances = new Array(Math.ceil(Math.hypot(height, width)) + 1).fill(0);
  const moves = new Map();
  let total = 0;
  match.target.forEach((t, s) => {
    const gain = Math.max(0, match.given[s]);
    if (t === 65535 || gain === 0) return;
    const down = Math.floor(t / width) - Math.floor(s / width);
    const right = (t % width) - (s % width);
    distances[Math.round(Math.hypot(down, right))] += gain;
    moves.set(`${down},${right}`, (moves.get(`${down},${right}`) ?? 0) + gain);
    total += gain;
  });
  if (total === 0) return;
  const [move, part] = [...moves].reduce((a, b) => (b[1] > a[1] ? b : a));
  const [down, right] = move.split(",").map(Number);
  const from = Math.max(0, -down) * width + Math.max(0, -right);
  const words = moveWords(from, from + down * width + right, width);
  $("displacement").append(
    element("h3", {}, "How far patches went"),
    distanceBars(distances.map((gain) => gain / total)),
    element(
      "p",
      { class: "quiet" },
      `The share of the similarity by distance, in patches. Most often: ${words} `,
      `(${percent(part / total)}).`,
    ),
  );
}

function distanceBars(shares) {
  const last = shares.findLastIndex((share) => share > 0.001);
  // Of fine grids several distances share a bar.
  const each = Math.ceil((Math.max(last, 4) + 1) / 24);
  const shown = [];
  for (let k = 0; k <= Math.max(last, 4); k += each) {
    shown.push(shares.slice(k, k + each).reduce((a, b) => a + b, 0));
  }
  const distance = (k) => (each === 1 ? `${k}` : `${k * each}–${k * each + each - 1}`);
  const most = Math.max(...shown);
  const [width, height] = [240, 84];
  const step = width / shown.length;
  const text = shown
    .map((share, k) => (share > 0.005 ? `${distance(k)}: ${percent(share)}` : null))
    .filter((part) => part !== null)
    .join(", ");
  const chart = drawing("svg", {
    viewBox: `0 0 ${width} ${height + 14}`,
    class: "bars",
    role: "img",
    "aria-label": `Share of the similarity by distance in patches: ${text}`,
  });
  shown.forEach((share, k) => {
    const tall = (share / most) * height;
    chart.append(
      drawing(
        "rect",
        { x: k * step + 0.5, y: height - tall, width: Math.max(step - 1, 0.5), height: tall },
        drawing("title", {}, `${distance(k)} patches: ${percent(share)}`),
      ),
    );
  });
  const every = Math.max(1, Math.ceil(shown.length / 8));
  for (let k = 0; k < shown.length; k += every) {
    chart.append(drawing("text", { x: (k + 0.5) * step, y: height + 11 }, String(k * each)));
  }
  return chart;
}

// The reason why no match is shown, and the option that adds it.
function noteOf(i, j, one) {
  if (one !== null) return [];
  if (i === j && data.symmetric) return ["An image with itself: every patch stays where it is."];
  if (data.unmatched !== "") return [data.unmatched];
  const elsewhere = data.layers
    .map((layer, k) => (matchOf(i, j, k) === null ? null : layer.name))
    .filter((name) => name !== null);
  const there = elsewhere.length === 0 ? "" : ` It is here at ${elsewhere.join(", ")}.`;
  if (!data.patched.includes(state.layer)) {
    return [`The patches of this layer are not known, or too many to be shown.${there}`];
  }
  const quoted = (name) => `'${name.replaceAll("'", "'\\''")}'`;
  return [
    `The match of this pair was not computed when the page was made.${there} To have it, add `,
    element("code", {}, `--pair ${quoted(rows.ids[i])} ${quoted(columns.ids[j])}`),
    " to ",
    element("code", {}, "semrsm report"),
    ".",
  ];
}
