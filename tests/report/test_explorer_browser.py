"""The page in a browser: what a reader does, and what it then says. See also docs/explorer.md."""

from __future__ import annotations

import re

import numpy as np
import pytest

from semrsm.report import write_explorer

from .conftest import EVIL


@pytest.fixture(scope="module")
def explorer(material, tmp_path_factory):
    pytest.importorskip("PIL.Image", reason="needs the extra 'features'")
    return write_explorer(
        material.grams,
        tmp_path_factory.mktemp("browser") / "report.html",
        features=material.features,
        images=material.images,
        kernels=material.kernels,
        pairs=[(material.ids[0], material.ids[5])],
    )


def by_label(material):
    return sorted(range(12), key=lambda k: material.groups[k])


def point(page, panel, row, column, count=12):
    """Move the mouse to a cell of a heat map that shows all images."""
    box = page.locator(".map").nth(panel).bounding_box()
    x = box["x"] + (column + 0.5) * box["width"] / count
    y = box["y"] + (row + 0.5) * box["height"] / count
    page.mouse.move(x, y)
    return x, y


def number(text):
    return float(text.replace("−", "-"))


def readout(page):
    names = page.locator("#readout .names").inner_text()
    return names, [number(text) for text in page.locator("#readout .value").all_inner_texts()]


def written(value):
    return f"{value:.4f}".replace("-", "−")


def values_of_pair(page):
    return {
        row.get_attribute("data-matcher"): row.locator("td.number").inner_text()
        for row in page.locator("#pair-values tr").all()
    }


def pixel(page, panel, row, column, count=12):
    """Return the colour in the middle of a cell of a heat map."""
    return page.evaluate(
        """([panel, x, y]) => {
          const canvas = document.querySelectorAll("canvas.cells")[panel];
          const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
          copy.drawImage(canvas, -Math.floor(x * canvas.width), -Math.floor(y * canvas.height));
          return Array.from(copy.getImageData(0, 0, 1, 1).data.slice(0, 3));
        }""",
        [panel, (column + 0.5) / count, (row + 0.5) / count],
    )


def test_names_stay_text(visit, explorer, material):
    page = visit(explorer)
    assert page.evaluate("document.scripts.length") == 2
    assert EVIL in page.locator("#query").inner_text()
    page.select_option("#query", label=EVIL)
    assert page.locator("#query").input_value() == str(material.ids.index(EVIL))
    page.get_by_role("button", name=EVIL).first.click()
    assert EVIL in page.locator("#pair-names").inner_text()


@pytest.mark.parametrize("panel", [0, 1])
def test_pointing_tells_names_values_and_bounds(visit, explorer, material, panel):
    page = visit(explorer)
    order = by_label(material)
    for row, column in ((0, 5), (7, 2), (11, 11)):
        point(page, panel, row, column)
        i, j = order[row], order[column]
        names, values = readout(page)
        assert names == f"{material.ids[i]} · {material.ids[j]}"
        for value, matcher in zip(values, material.matchers, strict=True):
            expected = material.rsm("early", matcher).values[i, j]
            assert value == pytest.approx(expected, abs=6e-5)
    point(page, panel, 7, 2)
    bound = page.locator("#readout .bound").first.inner_text()
    gram = material.grams["early", "none"]
    i, j = order[7], order[2]
    size = np.sqrt(gram.row_squared_norms[i] * gram.row_squared_norms[j])
    told = float(re.search(r"more than ([\d.]+)", bound)[1])
    assert told == pytest.approx(gram.upper_bound[i, j] / size, abs=1e-4)
    assert page.locator("#readout .bound").nth(1).inner_text().strip() == "no matching gives more"
    page.mouse.move(2, 2)
    assert readout(page)[0] == page.locator("#pair-names").inner_text().replace(" and ", " · ")


def test_every_switch_changes_what_is_shown(visit, explorer, material):
    page = visit(explorer)
    order = by_label(material)

    def shows(order, layer, kernel):
        for row, column in ((1, 4), (10, 3)):
            point(page, 0, row, column)
            i, j = order[row], order[column]
            names, values = readout(page)
            assert names == f"{material.ids[i]} · {material.ids[j]}"
            expected = [material.rsm(layer, m, kernel).values[i, j] for m in material.matchers]
            assert values == pytest.approx(expected, abs=6e-5)

    shows(order, "early", "cosine")
    page.select_option("#layer", label="late (3 × 3)")
    shows(order, "late", "cosine")
    assert "late" in page.locator("#pair-values caption").inner_text()
    page.select_option("#kernel", label="rbf")
    shows(order, "late", "rbf")
    page.select_option("#order", label="by id")
    shows(sorted(range(12), key=lambda k: material.ids[k]), "late", "rbf")
    page.select_option("#order", label="as given")
    shows(list(range(12)), "late", "rbf")
    from semrsm.report.explorer.orders import clustered_order

    for matcher, words in (("none", "spatio-semantic"), ("optimal", "semantic (optimal)")):
        page.select_option("#order", label=f"clustered, {words}")
        shows(clustered_order(material.rsm("late", matcher, "rbf").values), "late", "rbf")


def test_colours_are_those_of_the_scale(visit, explorer, material):
    from semrsm.report.explorer.picture import COLOURS

    page = visit(explorer)
    order = by_label(material)
    page.select_option("#scale", "own")
    values = material.rsm("early", "none").values[np.ix_(order, order)]
    row, column = np.unravel_index(values.argmin(), values.shape)
    assert pixel(page, 0, row, column) == [int(COLOURS[0][k : k + 2], 16) for k in (1, 3, 5)]
    assert pixel(page, 0, 3, 3) == [int(COLOURS[-1][k : k + 2], 16) for k in (1, 3, 5)]
    ends = page.locator(".bar-ends").first.inner_text().split("\n")
    assert number(ends[0]) == pytest.approx(values.min(), abs=1e-3)
    page.select_option("#scale", "pairs")
    highest = values[np.triu_indices(12, k=1)].max()
    assert number(page.locator(".bar-ends").first.inner_text().split("\n")[2]) == pytest.approx(
        highest, abs=1e-3
    )
    page.select_option("#scale", "shared")
    lowest = min(
        material.rsm(k, m).values.min() for k in ("early", "late") for m in ("none", "optimal")
    )
    for bar in page.locator(".bar-ends").all():
        low, _, high = bar.inner_text().split("\n")
        assert number(low) == pytest.approx(lowest, abs=1e-3)
        assert float(high) == 1


def test_a_click_pins_the_pair(visit, explorer, material):
    page = visit(explorer)
    order = by_label(material)
    page.mouse.click(*point(page, 1, 6, 9))
    i, j = sorted((order[6], order[9]))
    page.mouse.move(2, 2)
    assert page.locator("#photos img").count() == 2
    sources = [image.get_attribute("src") for image in page.locator("#photos img.photo").all()]
    photos = page.evaluate("JSON.parse(document.getElementById('data').textContent).photos")
    found = values_of_pair(page)
    assert found["none"] == written(material.rsm("early", "none").values[i, j])
    assert found["optimal"] == written(material.rsm("early", "optimal").values[i, j])
    assert sorted(sources) == sorted([photos[i], photos[j]])
    assert page.locator("#query").input_value() == str(order[6])


def test_patches_tell_where_they_went_and_what_they_gave(visit, explorer, material):
    import semrsm

    page = visit(explorer)
    vectors = [material.arrays["early"][k].reshape(6, -1).T for k in (0, 5)]
    best = semrsm.match(*vectors)
    size = np.prod([np.linalg.norm(v.astype(float)) for v in vectors])
    assert page.locator(".links .link").count() > 0
    box = page.locator(".photo-frame").first.bounding_box()
    s = 2 * 6 + 3
    page.mouse.move(box["x"] + 3.5 * box["width"] / 6, box["y"] + 2.5 * box["height"] / 6)
    text = page.locator("#patch").inner_text()
    t = int(best.permutation[s])
    assert text.startswith(f"row 3, column 4 → row {t // 6 + 1}, column {t % 6 + 1} (")
    share = float(re.search(r"([\d.]+) % of the similarity", text)[1]) / 100
    assert share == pytest.approx(best.contributions[s] / best.value, abs=0.006)
    stayed = float(vectors[0][s] @ vectors[1][s]) / size
    told = float(re.search(r"own place ([−\d.e]+)\.$", text)[1].replace("−", "-"))
    assert told == pytest.approx(stayed, rel=0.06, abs=2e-4)
    assert page.locator(".links .pointed").count() == 1
    assert page.locator(".links rect.box").count() == 2
    # The same patch, from the other side.
    box = page.locator(".photo-frame").nth(1).bounding_box()
    x, y = (t % 6 + 0.5) / 6, (t // 6 + 0.5) / 6
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    assert page.locator("#patch").inner_text() == text
    page.locator("#paint").uncheck()
    assert page.locator(".photo-frame.faded").count() == 0
    greedy = semrsm.match(*vectors, matcher="greedy").value / size
    assert values_of_pair(page)["greedy"] == written(greedy)
    assert "certified" in page.locator("#pair-values").inner_text()
    assert page.locator("#displacement svg").get_attribute("aria-label").startswith("Share of")


def test_pairs_without_a_match_say_how_to_get_it(visit, material, tmp_path, monkeypatch):
    from semrsm.report.explorer import matches

    monkeypatch.setattr(matches, "MOST_VECTORS", 2 * 36)
    page = visit(
        write_explorer(
            material.grams,
            tmp_path / "p.html",
            features=material.features,
            pairs=[(material.ids[0], material.ids[1])],
        )
    )
    assert page.locator("#pair-note").inner_text() == ""
    page.select_option("#order", "given")
    page.mouse.click(*point(page, 0, 2, 3))
    note = page.locator("#pair-note").inner_text()
    assert "was not computed when the page was made" in note
    assert f"--pair '{material.ids[2]}' '{material.ids[3]}'" in note
    page.mouse.click(*point(page, 0, 4, 4))
    assert "An image with itself" in page.locator("#pair-note").inner_text()


def test_neighbours_under_both_rsms(visit, explorer, material):
    page = visit(explorer)
    query = 3
    page.select_option("#query", str(query))
    lists = page.locator("#neighbour-lists section").all()
    orders = []
    for section, matcher in zip(lists, material.matchers, strict=True):
        row = material.rsm("early", matcher).values[query].copy()
        row[query] = -np.inf
        order = np.argsort(-row, kind="stable")
        orders.append(order)
        shown = section.locator("li .names").all_inner_texts()
        assert shown == [material.ids[j] for j in order[:6]]
        values = section.locator("li .value").all_inner_texts()
        assert values == [written(row[j]) for j in order[:6]]
        alike = sum(material.groups[j] == material.groups[query] for j in order[:6])
        assert section.locator("li.alike").count() == alike
        assert f"{alike} of 6 are" in section.locator("h3").inner_text()
    place = list(orders[1]).index(orders[0][0]) + 1
    assert f"{place}" in lists[0].locator("li").first.inner_text()
    shared = len(set(orders[0][:6]) & set(orders[1][:6]))
    assert page.locator("#query-summary").inner_text().startswith(f"{shared} of 6")
    lists[1].get_by_role("button", name="its neighbours").first.click()
    assert page.locator("#query").input_value() == str(orders[1][0])


def test_pairs_are_sorted_by_any_column(visit, explorer, material):
    page = visit(explorer)
    before, after = (material.rsm("early", m).values for m in material.matchers)
    upper = np.triu_indices(12, k=1)
    columns = {"left": before[upper], "right": after[upper], "change": (after - before)[upper]}

    def first(place):
        cells = page.locator("#changes-table tbody tr td.number").all_inner_texts()
        return [number(cell) for cell in cells][place::3]

    assert page.locator("th[aria-sort=descending]").inner_text().startswith("change")
    np.testing.assert_allclose(first(2), np.sort(columns["change"])[::-1][:12], atol=6e-5)
    page.locator("button[data-key=change]").click()
    for place, (key, values) in enumerate(columns.items()):
        page.locator(f"button[data-key={key}]").click()
        np.testing.assert_allclose(first(place), np.sort(values)[::-1][:12], atol=6e-5)
        page.locator(f"button[data-key={key}]").click()
        np.testing.assert_allclose(first(place), np.sort(values)[:12], atol=6e-5)
        assert page.locator("th[aria-sort=ascending]").count() == 1
    page.locator(".pair-button").first.click()
    assert page.locator("#pair-names").inner_text() == (
        page.locator(".pair-button .names").first.inner_text().replace(" · ", " and ")
    )


def test_all_of_it_with_the_keyboard(visit, explorer, material):
    page = visit(explorer)
    order = by_label(material)
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        focused = "document.activeElement"
        reached.add(page.evaluate(f"{focused}.id || {focused}.classList[0]"))
        assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") != "none"
    assert {"layer", "kernel", "order", "scale", "map", "photo-frame", "paint", "query"} <= reached
    page.locator(".photo-frame").first.focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#patch").inner_text().startswith("row 4, column 4 →")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#patch").inner_text().startswith("row 4, column 3 →")
    page.locator(".map").first.focus()
    page.keyboard.press("Home")  # shows where the cursor is
    row, column = order.index(0), order.index(5)
    for key, dr, dc in (("ArrowDown", 1, 0), ("ArrowRight", 0, 1), ("ArrowUp", -1, 0)):
        page.keyboard.press(key)
        row, column = min(max(row + dr, 0), 11), min(max(column + dc, 0), 11)
        names, _ = readout(page)
        assert names == f"{material.ids[order[row]]} · {material.ids[order[column]]}"
    value = material.rsm("early", "optimal").values[order[row], order[column]]
    said = page.locator("#announce").text_content()
    assert material.ids[order[row]] in said
    assert f"semantic (optimal) {written(value)}" in said
    page.keyboard.press("Enter")
    assert page.locator("#announce").text_content().startswith("Kept: ")
    assert material.ids[order[row]] in page.locator("#pair-names").inner_text()
    page.keyboard.press("+")
    assert page.locator("#whole").is_enabled()
    page.keyboard.press("0")
    assert page.locator("#whole").is_disabled()


def test_dragging_enlarges_a_part(visit, explorer, material):
    page = visit(explorer)
    order = by_label(material)
    page.mouse.move(*point(page, 0, 4, 4))
    page.mouse.down()
    point(page, 0, 9, 9)
    page.mouse.up()
    assert page.locator("#whole").is_enabled()
    point(page, 0, 0, 5, count=6)
    names, _ = readout(page)
    assert names == f"{material.ids[order[4]]} · {material.ids[order[9]]}"
    page.locator("#whole").click()
    point(page, 0, 0, 11)
    assert readout(page)[0] == f"{material.ids[order[0]]} · {material.ids[order[11]]}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_both_schemes_on_every_width(visit, explorer, scheme, width):
    page = visit(explorer, width=width, scheme=scheme)
    # Nothing is wider than the page, and texts stand out from their ground.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground, ink = page.evaluate(
        """() => {
          const style = getComputedStyle(document.body);
          return [style.backgroundColor, style.color].map(
            (text) => text.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0));
        }"""
    )
    assert (ground > 600) == (scheme == "light")
    assert abs(ground - ink) > 400
    boxes = [box.bounding_box() for box in page.locator(".map").all()]
    assert (boxes[0]["y"] == boxes[1]["y"]) == (width > 1000)
    for box in boxes:
        assert box["width"] > 200
        assert box["width"] == pytest.approx(box["height"], abs=1)


def test_print_has_the_pictures_and_no_controls(visit, explorer):
    page = visit(explorer, scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("#controls").is_hidden()
    assert page.locator("canvas.cells").first.is_visible()
    assert page.locator("#pair-values").is_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 20_000


def test_two_sets_of_images_and_a_single_rsm(visit, material, tmp_path):
    import semrsm

    rsm = semrsm.rsm(
        material.arrays["early"],
        material.arrays["early"][:5],
        ids=material.ids,
        column_ids=[f"other {k}" for k in range(5)],
    )
    page = visit(rsm.explore(tmp_path / "p.html").path)
    assert page.locator(".map").count() == 1
    box = page.locator(".map").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.04 * box["height"])
    names, values = readout(page)
    assert names == f"{material.ids[0]} · other 2"
    assert values == pytest.approx([rsm.values[0, 2]], abs=6e-5)
    assert page.locator("#alignment").is_hidden()
    assert page.locator("#neighbour-lists li").count() == 5


def test_three_matchers_can_be_chosen_from(visit, material, tmp_path):
    import semrsm

    greedy = semrsm.gram(material.arrays["early"], matcher="greedy", ids=material.ids)
    grams = {
        ("early", matcher): material.grams["early", matcher] for matcher in ("none", "optimal")
    }
    page = visit(write_explorer({**grams, ("early", "greedy"): greedy}, tmp_path / "p.html"))
    choices = page.locator(".map-head select")
    assert choices.count() == 2
    choices.nth(0).select_option(label="Semantic (greedy) RSM")
    point(page, 0, 1, 8)
    _, values = readout(page)
    assert values[0] == pytest.approx(greedy.rsm("cosine").values[1, 8], abs=6e-5)


def test_photographs_beside_the_page_are_shown(visit, tmp_path):
    import semrsm

    from .conftest import Pictures

    pytest.importorskip("PIL.Image", reason="needs the extra 'features'")
    ids = tuple(f"{k:03}" for k in range(201))
    values = np.random.default_rng(0).random((201, 201))
    rsm = semrsm.RSM((values + values.T) / 2, ids, ids, "cosine", "none", None, True)
    page = visit(rsm.explore(tmp_path / "report", images=Pictures(ids, ["a"] * 201)).path)
    image = page.locator("#photos img").first
    image.wait_for()
    assert page.wait_for_function("document.querySelector('#photos img').naturalWidth > 0")
    assert image.get_attribute("src").startswith("thumbnails/")


def test_two_thousand_images_stay_fluid(visit, tmp_path):
    import semrsm

    count = 2000
    ids = tuple(f"{k:04}" for k in range(count))
    values = np.cos(np.subtract.outer(np.arange(count), np.arange(count)) / 100)
    rsm = semrsm.RSM(values, ids, ids, "cosine", "none", None, True)
    page = visit(rsm.explore(tmp_path / "p.html").path)
    point(page, 0, 1234, 567, count)
    names, (value,) = readout(page)
    i, j = map(int, names.split(" · "))
    assert (i, j) == pytest.approx((1234, 567), abs=6)  # a pixel is some images wide
    assert value == pytest.approx(values[i, j], abs=1e-4)
    milliseconds = page.evaluate(
        """() => {
          const map = document.querySelector(".map");
          const box = map.getBoundingClientRect();
          const start = performance.now();
          for (let k = 0; k < 100; k++) {
            map.dispatchEvent(new PointerEvent("pointermove", {
              clientX: box.left + 5 + 2 * k, clientY: box.top + 5 + k, pointerType: "mouse",
            }));
          }
          return (performance.now() - start) / 100;
        }"""
    )
    assert milliseconds < 16  # a frame


def test_distributions_and_alignment_follow_the_choices(visit, explorer, material):
    import semrsm
    from semrsm._internal.statistics import auc

    page = visit(explorer)
    upper = np.triu_indices(12, k=1)
    same = np.equal.outer(material.groups, material.groups)[upper]
    for layer, choice in (("early", "0"), ("late", "1")):
        page.select_option("#layer", choice)
        shown = page.locator("#charts .auc").all_inner_texts()
        for text, matcher in zip(shown, material.matchers, strict=True):
            values = material.rsm(layer, matcher).values[upper]
            assert text == f"AUC {auc(values[same], values[~same]):.3f}"
    for kernel in material.kernels:
        page.select_option("#kernel", label=kernel)
        cells = page.locator("#cka tbody td").all_inner_texts()
        rsms = [material.rsm(k, m, kernel) for k in material.layers for m in material.matchers]
        expected = [f"{semrsm.cka(a, b).value:.2f}" for a in rsms for b in rsms]
        assert cells == expected


def test_patches_that_a_mask_leaves_out_are_grey(visit, material, tmp_path):
    import semrsm

    pytest.importorskip("PIL.Image", reason="needs the extra 'features'")
    mask = np.ones((12, 6, 6), bool)
    mask[0, :2] = False
    mask[5, :, 4:] = False
    features = semrsm.Features(
        {"early": material.arrays["early"]}, material.ids, masks={"early": mask}
    )
    page = visit(
        write_explorer(
            {("early", "optimal"): semrsm.gram(features["early"], ids=material.ids)},
            tmp_path / "report.html",
            features=features,
            images=material.images,
            pairs=[(material.ids[0], material.ids[5])],
        )
    )
    pixels = page.evaluate(
        "[...document.querySelectorAll('canvas.patches')].map((c) => "
        "[...c.getContext('2d').getImageData(0, 0, 6, 6).data])"
    )
    for side, image in zip(pixels, (0, 5), strict=True):
        rgba = np.reshape(side, (6, 6, 4)).astype(int)
        grey = (abs(rgba[..., :3] - 128) <= 1).all(axis=2) & (rgba[..., 3] == 205)
        np.testing.assert_array_equal(grey, ~mask[image])
    box = page.locator(".photo-frame").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 12, box["y"] + box["height"] / 12)
    assert page.locator("#patch").inner_text() == "row 1, column 1: left out by a mask"
