// The page below the heat maps: neighbours, pairs, distributions and alignment.

const NEIGHBOURS = 6;
const PAIRS = 12;

function makeQuery() {
  const order = rows.by_label ?? rows.ids.map((_, k) => k);
  for (const image of order) {
    $("query").append(element("option", { value: image }, rows.ids[image]));
  }
  $("query").addEventListener("change", () => ask(Number($("query").value)));
}

// The images of the other side by falling similarity to one image, itself left out.
function ranked(view, query) {
  const found = [];
  for (let j = 0; j < columnCount; j++) {
    if (!(data.symmetric && j === query)) found.push(j);
  }
  const start = query * columnCount;
  const values = view.values;
  return found.sort((a, b) => values[start + b] - values[start + a] || a - b);
}

function showNeighbours() {
  const query = state.query;
  $("query").value = String(query);
  const lists = panels()
    .map((panel) => viewOf(state.layer, state.matchers[panel], state.kernel))
    .filter((view) => view !== null)
    .map((view) => ({ view, order: ranked(view, query) }));
  const label = labelOf(rows, query);
  const alike = (j) => label !== null && labelOf(columns, j) === label;
  $("neighbour-lists").replaceChildren(
    ...lists.map(({ view, order }, k) => {
      const other = lists.length > 1 ? lists[1 - k] : null;
      const list = element("ol");
      order.slice(0, NEIGHBOURS).forEach((j) => {
        const place = other === null ? 0 : other.order.indexOf(j) + 1;
        list.append(neighbour(view, query, j, place, alike(j)));
      });
      const words = capital(data.matchers[view.matcher].words);
      const right = order.slice(0, NEIGHBOURS).filter(alike).length;
      const shown = Math.min(NEIGHBOURS, order.length);
      const score = label === null ? "" : `${right} of ${shown} are ${label}`;
      return element(
        "section",
        { "aria-label": `Neighbours under the ${words} RSM` },
        element("h3", {}, `${words} RSM `, element("span", { class: "quiet" }, score)),
        list,
      );
    }),
  );
  $("query-summary").textContent = summaryOf(lists);
  const photo = photoOf(rows, query, { class: "query-photo" });
  document.querySelector(".query-photo")?.remove();
  if (photo !== null) $("query").closest("p").prepend(photo);
}

function summaryOf(lists) {
  if (lists.length < 2) return "";
  const [left, right] = lists.map(({ order }) => order.slice(0, NEIGHBOURS));
  const shared = right.filter((j) => left.includes(j)).length;
  return `${shared} of ${right.length} neighbours are the same under both RSMs.`;
}

function neighbour(view, query, j, place, alike) {
  let change = null;
  if (place > NEIGHBOURS) change = element("span", { class: "new" }, `${ordinal(place)} by the other`);
  else if (place > 0) change = element("span", { class: "quiet" }, `${ordinal(place)} by the other`);
  return element(
    "li",
    { class: alike ? "alike" : null },
    element(
      "button",
      { type: "button", onclick: () => pinPair(query, j), title: columns.ids[j] },
      photoOf(columns, j, { loading: "lazy" }),
      element("span", { class: "names" }, shortened(columns.ids[j], 26)),
      element("span", { class: "value" }, similarity(view.at(query, j))),
      change,
    ),
    data.symmetric
      ? element(
          "button",
          { type: "button", class: "small", onclick: () => ask(j), title: "Ask for its neighbours" },
          "its neighbours",
        )
      : null,
  );
}

function ordinal(place) {
  const tens = place % 100;
  const ending = tens > 10 && tens < 14 ? "th" : (["th", "st", "nd", "rd"][place % 10] ?? "th");
  return `${place}${ending}`;
}

// The pairs that come first by one column, out of all pairs.
function firstPairs() {
  const [left, right] = shownViews();
  const a = left.values;
  const b = (right ?? left).values;
  const sign = state.sort.descending ? 1 : -1;
  const keys = {
    left: (k) => a[k],
    right: (k) => b[k],
    change: (k) => b[k] - a[k],
  };
  const key = keys[state.sort.key];
  const best = []; // [key, place], the first at the front; never longer than what is shown
  for (let i = 0; i < rowCount; i++) {
    for (let j = data.symmetric ? i + 1 : 0; j < columnCount; j++) {
      const value = sign * key(i * columnCount + j);
      if (best.length === PAIRS && value <= best[PAIRS - 1][0]) continue;
      let place = best.length;
      while (place > 0 && best[place - 1][0] < value) place--;
      best.splice(place, 0, [value, i, j]);
      if (best.length > PAIRS) best.pop();
    }
  }
  return best.map(([, i, j]) => [i, j]);
}

function showChanges() {
  const [left, right] = shownViews();
  const two = panels().length === 2 && left !== null && right !== null;
  $("changes").hidden = left === null;
  if (left === null) return;
  const heads = [["left", data.matchers[left.matcher].words]];
  if (two) heads.push(["right", data.matchers[right.matcher].words], ["change", "change"]);
  if (!two && state.sort.key !== "left") state.sort.key = "left";
  const head = element("tr", {}, element("th", { scope: "col" }, "Pair"));
  for (const [key, words] of heads) {
    const sorted = state.sort.key === key;
    const arrow = sorted ? (state.sort.descending ? " ↓" : " ↑") : "";
    const direction = state.sort.descending ? "descending" : "ascending";
    head.append(
      element(
        "th",
        { scope: "col", class: "number", "aria-sort": sorted ? direction : "none" },
        element("button", { type: "button", "data-key": key, onclick: () => sortBy(key) }, words + arrow),
      ),
    );
  }
  const body = firstPairs().map(([i, j]) => {
    const cells = [left.at(i, j)];
    if (two) cells.push(right.at(i, j), right.at(i, j) - left.at(i, j));
    return element(
      "tr",
      {},
      element(
        "th",
        { scope: "row" },
        element(
          "button",
          { type: "button", class: "pair-button", onclick: () => pinPair(i, j) },
          photoOf(rows, i, { loading: "lazy" }),
          photoOf(columns, j, { loading: "lazy" }),
          element("span", { class: "names" }, rows.ids[i], " · ", columns.ids[j]),
        ),
      ),
      ...cells.map((value) => element("td", { class: "number" }, similarity(value))),
    );
  });
  const table = $("changes-table");
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...body);
}

function showDistributions() {
  const found = panels()
    .map((panel) =>
      data.distributions.find(
        (one) =>
          one.layer === state.layer &&
          one.kernel === state.kernel &&
          one.matcher === state.matchers[panel],
      ),
    )
    .filter((one) => one !== undefined);
  const grouped = found.some((one) => one.counts.length === 2);
  $("distributions-text").textContent = grouped
    ? "Pairs of one group and pairs of different groups. AUC is the probability that a pair of one " +
      "group is more similar; a half is chance."
    : "All pairs of different images.";
  const tallest = found.map((one) => Math.max(...one.counts.flatMap(normalised)));
  $("charts").replaceChildren(...found.map((one, k) => distribution(one, tallest[k])));
}

function normalised(counts) {
  const total = counts.reduce((a, b) => a + b, 0) || 1;
  return counts.map((count) => count / total);
}

// A few round numbers between two others: steps of 1, 2 or 5 times a power of ten.
function roundNumbers(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((one) => one >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(k * step);
  return found;
}

function distribution(one, tallest) {
  const view = viewOf(one.layer, one.matcher, one.kernel);
  const words = capital(data.matchers[one.matcher].words);
  const [width, height] = [440, 150];
  const names = one.counts.length === 2 ? ["same group", "different groups"] : ["all pairs"];
  const text = names.map((name, k) => `${name}: median ${written(one.medians[k], 3)}`).join(", ");
  const chart = drawing("svg", {
    viewBox: `0 0 ${width} ${height + 22}`,
    class: "histogram",
    role: "img",
    "aria-label": `${words} RSM. ${text}`,
  });
  one.counts.map(normalised).forEach((shares, k) => {
    const step = width / shares.length;
    let path = `M0 ${height}`;
    shares.forEach((share, bin) => {
      path += `V${height - (share / tallest) * (height - 6)}H${(bin + 1) * step}`;
    });
    path += `V${height}Z`;
    chart.append(drawing("path", { d: path, class: one.counts.length === 2 ? `part-${k}` : "part-1" }));
  });
  chart.append(drawing("path", { d: `M0 ${height}H${width}`, class: "axis" }));
  for (const value of roundNumbers(one.low, one.high)) {
    const x = ((value - one.low) / (one.high - one.low)) * width;
    chart.append(drawing("path", { d: `M${x} ${height}v4`, class: "axis" }));
    chart.append(drawing("text", { x, y: height + 16 }, written(value, 3)));
  }
  const legend = element("p", { class: "legend-line" });
  names.forEach((name, k) => {
    const kind = one.counts.length === 2 ? `part-${k}` : "part-1";
    legend.append(
      element("span", { class: `swatch ${kind}` }),
      `${name}, median ${written(one.medians[k], 3)} `,
    );
  });
  const auc = view.auc === null ? null : element("b", { class: "auc" }, `AUC ${view.auc.toFixed(3)}`);
  return element("figure", {}, element("h3", {}, `${words} RSM `, auc), chart, legend);
}

function showAlignment() {
  const one = data.cka?.find((found) => found.kernel === state.kernel);
  $("alignment").hidden = one === undefined || one.values.length < 2;
  if ($("alignment").hidden) return;
  const name = (k) => [
    data.layers[one.layers[k]].name,
    element("br"),
    element("span", { class: "quiet" }, data.matchers[one.matchers[k]].words),
  ];
  const indices = one.values.map((_, k) => k);
  const table = $("cka");
  table.tHead.replaceChildren(
    element(
      "tr",
      {},
      element("td"),
      ...indices.map((k) => element("th", { scope: "col", class: "number" }, ...name(k))),
    ),
  );
  table.tBodies[0].replaceChildren(
    ...indices.map((k) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, ...name(k)),
        ...one.values[k].map((value) => {
          const cell = element("td", { class: "number" }, value === null ? "–" : value.toFixed(2));
          if (value !== null) {
            cell.style.background = colourText(value);
            cell.style.color = value > 0.55 ? "#000000" : "#ffffff";
          }
          return cell;
        }),
      ),
    ),
  );
}
