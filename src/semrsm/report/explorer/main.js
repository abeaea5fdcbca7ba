// The actions of the reader, and the parts of the page that they change.

function makeControls() {
  data.layers.forEach((layer, k) => {
    const grid = layer.grid === null ? "" : ` (${layer.grid[0]} × ${layer.grid[1]})`;
    $("layer").append(element("option", { value: k }, layer.name + grid));
  });
  data.kernels.forEach((kernel, k) => $("kernel").append(element("option", { value: k }, kernel.name)));
  $("layer-choice").hidden = data.layers.length < 2;
  $("kernel-choice").hidden = data.kernels.length < 2;
  const orders = [["given", "as given"]];
  if (rows.labels !== null) orders.push(["label", "by label"]);
  orders.push(["id", "by id"]);
  if (data.symmetric && rowCount > 2) {
    data.matchers.forEach((matcher, k) =>
      orders.push([`clustered-${k}`, `clustered, ${matcher.words}`]),
    );
  }
  for (const [value, words] of orders) $("order").append(element("option", { value }, words));
  $("layer").value = String(state.layer);
  $("order").value = state.order;
  $("layer").addEventListener("change", () => choose({ layer: Number($("layer").value) }));
  $("kernel").addEventListener("change", () => choose({ kernel: Number($("kernel").value) }));
  $("order").addEventListener("change", () => choose({ order: $("order").value }));
  $("scale").addEventListener("change", () => choose({ scale: $("scale").value }));
  $("whole").addEventListener("click", showWhole);
  $("controls").addEventListener("submit", (event) => event.preventDefault());
}

function choose(changes) {
  Object.assign(state, changes);
  state.cursor = null;
  if ("order" in changes) state.window = wholeWindow();
  $("whole").disabled = state.window.height === rowCount && state.window.width === columnCount;
  paintMaps();
  showReadout();
  if ("order" in changes || "scale" in changes) return;
  showPair();
  showNeighbours();
  showChanges();
  showDistributions();
  showAlignment();
}

function chooseMatcher(panel, matcher) {
  const matchers = [...state.matchers];
  matchers[panel] = matcher;
  choose({ matchers });
}

function pointAt(cell, speak = false) {
  const old = state.cursor;
  if (old?.[0] === cell?.[0] && old?.[1] === cell?.[1]) {
    for (const map of maps) if (map.drag?.moved) map.mark();
    return;
  }
  state.cursor = cell;
  for (const map of maps) map.mark();
  showReadout();
  if (speak && cell !== null) announce(cell);
}

// For screen readers: the pair and its value in both RSMs.
function announce([r, c], kept = false) {
  const [i, j] = [rowOrder[r], columnOrder[c]];
  const values = shownViews()
    .filter((view) => view !== null)
    .map((view) => `${data.matchers[view.matcher].words} ${similarity(view.at(i, j))}`);
  const names = `${rows.ids[i]} and ${columns.ids[j]}`;
  $("announce").textContent = `${kept ? "Kept: " : ""}${names}: ${values.join(", ")}`;
}

function pin([r, c], speak = false) {
  keepPair(rowOrder[r], columnOrder[c]);
  if (speak) announce([r, c], true);
}

function keepPair(i, j) {
  state.pair = [i, j];
  state.query = i;
  for (const map of maps) map.mark();
  showReadout();
  showPair();
  showNeighbours();
}

// A pair that was chosen further down: its pictures are further up.
function pinPair(i, j) {
  const query = state.query;
  keepPair(i, j);
  if (query !== i) ask(query);
  $("pair").scrollIntoView({ block: "nearest", behavior: "auto" });
  announce(cellOfPair(), true);
}

function ask(query) {
  state.query = query;
  showNeighbours();
}

function sortBy(key) {
  const descending = state.sort.key === key ? !state.sort.descending : true;
  state.sort = { key, descending };
  showChanges();
  document.querySelector(`#changes-table button[data-key="${key}"]`).focus();
}

state.window = wholeWindow();
makeControls();
makeMaps();
makePair();
makeQuery();
choose({});
