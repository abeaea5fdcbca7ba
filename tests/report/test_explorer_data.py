"""What the page is made of: packed numbers, orders, matches, photographs, pictures."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import semrsm
from semrsm.errors import InputError
from semrsm.features import Features
from semrsm.features.photographs import Photos
from semrsm.matrices.results import Results
from semrsm.report.explorer import matches as matches_module
from semrsm.report.explorer.beginning import start_of
from semrsm.report.explorer.content import numbers_of, numbers_table
from semrsm.report.explorer.matches import Wanted, compute_matches, most_changed, wanted_matches
from semrsm.report.explorer.orders import clustered_order, sorted_order
from semrsm.report.explorer.pack import pack_excess, pack_matrix, pack_signed
from semrsm.report.explorer.photos import jpegs
from semrsm.report.explorer.picture import COLOURS, heat_png
from semrsm.report.explorer.views import views_of
from semrsm.report.results import match_figure


def numbers(text, kind):
    return np.frombuffer(base64.b64decode(text, validate=True), dtype=kind)


def unpacked(packed, count, symmetric):
    """Read a matrix as the script of the page does."""
    flat = numbers(packed["data"], {"f4": "<f4", "u2": "<u2"}[packed["kind"]]).astype(float)
    if packed["kind"] == "u2":
        flat = packed["low"] + flat * packed["step"]
    if not symmetric:
        return flat.reshape(count)
    matrix = np.zeros(count)
    k = 0
    for i in range(count[0]):
        for j in range(i, count[0]):
            matrix[i, j] = matrix[j, i] = flat[k]
            k += 1
    assert k == len(flat)
    return matrix


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("symmetric", [True, False])
def test_matrices_come_back_within_the_error_that_is_told(exact, symmetric):
    values = np.random.default_rng(0).normal(size=(9, 9) if symmetric else (9, 5))
    if symmetric:
        values = values + values.T
    packed = pack_matrix(values, symmetric=symmetric, exact=exact)
    away = np.abs(unpacked(packed, values.shape, symmetric) - values).max()
    assert away <= packed["error"] * (1 + 1e-9)
    assert packed["error"] <= (1e-6 if exact else np.ptp(values) / 65535 * 0.51)


def test_constant_matrices_are_packed_too():
    for exact in (True, False):
        packed = pack_matrix(np.full((3, 3), 0.25), symmetric=True, exact=exact)
        assert (unpacked(packed, (3, 3), True) == 0.25).all()


@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 1e4))
def test_bounds_stay_bounds(seed, size):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(6, 4))
    bounds = values + size * rng.random(size=(6, 4))
    packed = pack_excess(bounds, values, symmetric=False)
    steps = numbers(packed["data"], "<u2").reshape(6, 4)
    read = values + steps * packed["step"]
    assert (read >= bounds - 1e-12 * size).all()
    assert (read <= bounds + 1.01 * packed["step"]).all()


def test_bounds_that_nobody_can_tell_from_values_take_no_room():
    values = np.array([[1.0, 0.5], [0.5, 1.0]])
    packed = pack_excess(values + 1e-7, values, symmetric=True)
    assert packed["data"] is None
    assert packed["step"] == pytest.approx(1e-7)
    assert pack_excess(values + 1e-3, values, symmetric=True)["data"] is not None


def test_signed_numbers_keep_zero_and_sign():
    values = np.array([0.0, -1e-6, 3.0, -7.0])
    packed = pack_signed(values)
    read = numbers(packed["data"], "<i2") * packed["step"]
    assert read[0] == 0
    assert np.abs(read - values).max() <= 7 / 32767
    assert pack_signed(np.zeros(3))["step"] == 0


def test_clusters_are_those_of_scipy():
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy", reason="needs SciPy")
    for seed in range(12):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(2, 40))
        points = rng.normal(size=(count, 3))
        similarity = points @ points.T
        order = clustered_order(similarity)
        assert sorted(order) == list(range(count))
        upper = np.triu_indices(count, k=1)
        linkage = hierarchy.linkage(similarity.max() - similarity[upper], "average")
        # Every cluster of the tree is a run of neighbours in the order.
        place = np.argsort(order)
        clusters = [[k] for k in range(count)]
        for left, right, *_ in linkage:
            merged = clusters[int(left)] + clusters[int(right)]
            clusters.append(merged)
            places = sorted(place[merged])
            assert places[-1] - places[0] == len(merged) - 1


def test_equal_images_keep_their_order():
    assert clustered_order(np.ones((5, 5))) == [0, 1, 2, 3, 4]
    assert clustered_order(np.ones((1, 1))) == [0]
    similarity = np.kron(np.eye(2), np.ones((3, 3)))[np.ix_([0, 3, 1, 4, 2, 5], [0, 3, 1, 4, 2, 5])]
    assert clustered_order(similarity) == [0, 2, 4, 1, 3, 5]
    with pytest.raises(InputError, match=r"^similarity: expected a square matrix; got shape"):
        clustered_order(np.ones((2, 3)))


def test_sorted_order_is_stable():
    assert sorted_order(["b", "a", "b", "a"]) == [1, 3, 0, 2]


def test_views_hold_what_the_kernels_give(material):
    views = views_of(material.grams, kernels=material.kernels)
    assert views.layers == list(material.layers)
    for (layer, matcher, kernel), view in views.views.items():
        expected = material.rsm(layer, matcher, kernel)
        np.testing.assert_array_equal(view.values, expected.values)
        assert view.sigma == expected.sigma
        assert (view.upper_bound >= view.values).all()
        # The bound holds for every matching, so also for the other matcher's.
        best = views.views[layer, "optimal", kernel]
        if kernel == "cosine":
            assert (view.upper_bound >= best.values - 1e-9).all()


def test_only_the_first_images_are_taken_with_the_bandwidth_of_all(material):
    views = views_of(material.grams, kernels=["rbf"], most=5)
    assert views.row_ids == material.ids[:5]
    assert views.whole == (12, 12)
    view = views.views["early", "optimal", "rbf"]
    whole = material.rsm("early", "optimal", "rbf")
    np.testing.assert_allclose(view.values, whole.values[:5, :5], rtol=1e-12)


def test_kernels_of_one_name_are_views_of_their_own(material):
    """By label: the degree of a polynomial, and σ where it is not the one of the page."""
    labels = ["polynomial", "polynomial:degree=2", "rbf:sigma=3.0", "rbf"]
    views = views_of(material.grams, kernels=labels, sigma=2.0)
    assert views.kernels == labels
    gram = material.grams["early", "optimal"]
    for label, sigma in zip(labels, (2.0, 2.0, None, 2.0), strict=True):
        found = views.views["early", "optimal", label]
        np.testing.assert_array_equal(found.values, gram.rsm(label, sigma=sigma).values)
        assert found.sigma == (sigma or 3.0)


def test_views_of_a_run_are_those_of_its_grams(material, tmp_path):
    pytest.importorskip("zarr", reason="needs the extra 'scale'")
    run = semrsm.compute_run(
        material.features, tmp_path / "run.zarr", matchers=["none", "optimal"], workers=1
    )
    found = views_of(run, kernels=["cosine", "rbf"])
    expected = views_of(material.grams, kernels=["cosine", "rbf"])
    assert set(found.views) == set(expected.views)
    assert found.row_ids == expected.row_ids
    for key, view in found.views.items():
        np.testing.assert_allclose(view.values, expected.views[key].values, rtol=1e-6)
    assert views_of(run, most=4).views["late", "none", "cosine"].values.shape == (4, 4)


def test_views_of_rsms(material):
    a, b = material.rsm("early", "none"), material.rsm("late", "none")
    views = views_of([a, b])
    assert list(views.views) == [("RSM", "none", "cosine"), ("RSM 2", "none", "cosine")]
    assert views.views["RSM", "none", "cosine"].upper_bound is None


def test_views_refuse(material):
    other = semrsm.gram(material.arrays["early"], ids=[f"x{k}" for k in range(12)])
    with pytest.raises(InputError, match="^source: expected RSMs of the same images in the same"):
        views_of({("a", "none"): material.grams["early", "none"], ("a", "optimal"): other})
    with pytest.raises(InputError, match="^source: expected at least one Gram; got none"):
        views_of({})
    with pytest.raises(InputError, match="^source: expected results, a run, .*; got none"):
        views_of([])
    with pytest.raises(InputError, match="^kernels: expected None, since RSMs have theirs"):
        views_of([material.rsm("early", "none")], kernels=["rbf"])
    with pytest.raises(InputError, match="^kernel: expected one of .* Did you mean 'cosine'"):
        views_of(material.grams, kernels=["cosin"])
    with pytest.raises(InputError, match="^sigma: expected a kernel that takes one among cosine;"):
        views_of(material.grams, kernels=["cosine"], sigma=3)
    with pytest.raises(InputError, match="^sigma: expected None, since RSMs have theirs; got 3"):
        views_of([material.rsm("early", "none")], sigma=3)
    results = Results(material.grams, ("cosine",), "median", {}, {})
    assert views_of(results).kernels == ["cosine"]
    assert views_of(results, kernels=["linear"]).kernels == ["linear"]
    with pytest.raises(InputError, match="^sigma: expected None, since results have theirs; got 3"):
        views_of(results, kernels=["rbf"], sigma=3)
    two_sets = semrsm.rsm(material.arrays["early"], material.arrays["early"], matcher="none")
    one_set = semrsm.rsm(material.arrays["early"], matcher="none")
    with pytest.raises(InputError, match="^source: expected RSMs of one set of images, or of two"):
        views_of([one_set, two_sets])


def test_numbers_tell_what_compare_and_statistics_tell(material):
    from semrsm._internal.statistics import auc

    views = views_of(material.grams, kernels=["cosine"])
    found = numbers_of(views, material.groups, material.groups)
    upper = np.triu_indices(12, k=1)
    same = np.equal.outer(material.groups, material.groups)[upper]
    for one in found["views"]:
        key = (found["layers"][one["layer"]]["name"], found["matchers"][one["matcher"]]["name"])
        values = material.rsm(*key).values
        assert one["auc"] == auc(values[upper][same], values[upper][~same])
        assert one["order"] == clustered_order(values)
    (cka,) = found["cka"]
    keys = [
        (found["layers"][layer]["name"], found["matchers"][matcher]["name"])
        for layer, matcher in zip(cka["layers"], cka["matchers"], strict=True)
    ]
    for i, one in enumerate(keys):
        for j, other in enumerate(keys):
            expected = semrsm.cka(material.rsm(*one), material.rsm(*other)).value
            assert cka["values"][i][j] == pytest.approx(expected, abs=1e-12)
    for one in found["distributions"]:
        assert [sum(part) for part in one["counts"]] == [same.sum(), (~same).sum()]
    assert numbers_table(views, material.groups, material.groups).columns[-1] == "AUC"
    assert numbers_table(views, None, None).columns[-1] == "Largest gap"


def test_the_page_says_which_bounds_it_has(material):
    from dataclasses import replace

    own = {key: replace(gram, bounds="own") for key, gram in material.grams.items()}
    mixed = {**material.grams, ("late", "optimal"): own["late", "optimal"]}
    captions = {}
    for name, grams in {"optimal": material.grams, "own": own, "mixed": mixed}.items():
        views = views_of(grams)
        told = {(key[0], key[1]): view.bounds for key, view in views.views.items()}
        assert told == {key: gram.bounds for key, gram in grams.items()}
        packed = numbers_of(views, None, None)["views"]
        assert [one["bounds"] for one in packed] == list(told.values())
        captions[name] = numbers_table(views, None, None).caption
    assert "the best matching could still exceed" in captions["optimal"]
    assert "own constraints" not in captions["optimal"]
    assert "that the matcher's own constraints allow could still exceed" in captions["own"]
    assert "For semantic (optimal), the best matching is the best one that" in captions["mixed"]


def test_wanted_matches_come_by_rank_and_once(material):
    views = views_of(material.grams)
    found = list(wanted_matches(views, ["early"], [(5, 2)], nearest=1))
    assert (found[0].left, found[0].right) == (2, 5)
    assert len(set(found)) == len(found)
    assert all(one.left < one.right for one in found)
    changed = most_changed(views, "early", "cosine", 3)
    gain = material.rsm("early", "optimal").values - material.rsm("early", "none").values
    assert gain[changed[0]] == gain[np.triu_indices(12, k=1)].max()
    assert [(one.left, one.right) for one in found[1:3]] == [
        pair for pair in changed if pair != (2, 5)
    ][:2]
    nearest = np.argsort(-(material.rsm("early", "none").values - 9 * np.eye(12)), axis=1)[:, 0]
    pairs = {(one.left, one.right) for one in found}
    assert {tuple(sorted((i, int(j)))) for i, j in enumerate(nearest)} <= pairs


def test_matches_are_those_of_match(material):
    views = views_of(material.grams, kernels=["cosine", "rbf"])
    wanted = [matches_module.Wanted("early", 1, 4)]
    (one,) = compute_matches(_with_grids(views, material.features), material.features, iter(wanted))
    vectors = [material.arrays["early"][k].reshape(6, -1).T for k in (1, 4)]
    best = semrsm.match(*vectors)
    size = np.prod([np.linalg.norm(v.astype(float)) for v in vectors])
    np.testing.assert_array_equal(numbers(one["target"], "<u2"), best.permutation)
    given_ = numbers(one["given"]["data"], "<i2") * one["given"]["step"]
    np.testing.assert_allclose(given_, best.contributions / size, atol=one["given"]["step"])
    assert given_.sum() == pytest.approx(material.rsm("early", "optimal").values[1, 4], abs=1e-4)
    for kernel in ("cosine", "rbf"):
        for matcher in ("none", "optimal"):
            expected = material.rsm("early", matcher, kernel).values[1, 4]
            assert one["values"][kernel][matcher] == pytest.approx(expected, rel=1e-5)
    values = one["values"]["cosine"]
    assert max(values["none"], values["greedy"]) <= values["optimal"] <= values["bound"] + 1e-9
    greedy = semrsm.match(*vectors, matcher="greedy").value / size
    assert one["values"]["cosine"]["greedy"] == pytest.approx(greedy, rel=1e-6)


def test_matches_of_masked_images_lie_on_the_whole_grid(material):
    rng = np.random.default_rng(0)
    mask = rng.random((12, 6, 6)) < 0.7
    features = semrsm.Features(
        {"early": material.arrays["early"]}, material.ids, masks={"early": mask}
    )
    grams = {("early", "optimal"): semrsm.gram(features["early"], ids=material.ids)}
    views = _with_grids(views_of(grams), features)
    (one,) = compute_matches(views, features, iter([Wanted("early", 1, 4)]))
    out = [numbers(part, "u1").astype(bool) for part in one["out"]]
    np.testing.assert_array_equal(out, ~mask[[1, 4]].reshape(2, 36))
    target = numbers(one["target"], "<u2")
    assert (target[out[0]] == 65535).all()
    assert not out[1][target[target < 65535]].any()
    assert (target < 65535).sum() == mask[[1, 4]].sum(axis=(1, 2)).min()
    whole = [material.arrays["early"][k].reshape(6, -1).T.astype(float) for k in (1, 4)]
    paired = np.flatnonzero(target < 65535)
    found = np.einsum("sc,sc->", whole[0][paired], whole[1][target[paired]])
    assert found == pytest.approx(grams["early", "optimal"].values[1, 4], rel=1e-4)
    assert "none" not in one["values"]["cosine"]  # other places cannot be compared
    assert not np.any([out[0][s] for s in one["lines"]])


@pytest.mark.parametrize("matcher", ["optimal:tolerance=0.01", "greedy"])
def test_the_semantic_rsm_is_found_by_its_matcher_whatever_its_label(matcher, material):
    others = ["none", "topk-greedy"] if ":" in matcher else ["none"]
    grams = {
        ("early", m): semrsm.gram(material.arrays["early"], matcher=m, ids=material.ids)
        for m in (*others, matcher)
    }
    views = _with_grids(views_of(grams), material.features)
    gain = grams["early", matcher].rsm().values - grams["early", "none"].rsm().values
    first = most_changed(views, "early", "cosine", 1)[0]
    assert gain[first] == gain[np.triu_indices(12, k=1)].max()
    start = start_of(views, None, [], None)
    assert views.matchers[start["left"]] == "none"
    assert views.matchers[start["right"]] == matcher
    # The figure of the folder shows the pair that the page shows first.
    results = Results(grams, ("cosine",), "median", material.features.grids, {})
    _, caption = match_figure(results, material.features, material.images)
    i, j = start["pair"]
    assert caption == f"The match of {material.ids[i]} with {material.ids[j]} at early."
    # One row for the optimal matcher in the table of a pair, under the label of the page.
    (one,) = compute_matches(views, material.features, iter([Wanted("early", i, j)]))
    label = matcher if ":" in matcher else "optimal"
    assert one["matcher"] == label
    assert set(one["values"]["cosine"]) == {"none", "greedy", label, "bound"}


def test_matches_know_their_grid(material, monkeypatch):
    grids = []

    def watched(*images, grid=None, **options):
        grids.append(grid)
        return semrsm.match(*images, **options)

    monkeypatch.setattr(matches_module, "match", watched)
    views = _with_grids(views_of(material.grams), material.features)
    compute_matches(views, material.features, iter([matches_module.Wanted("early", 1, 4)]))
    assert set(grids) == {material.features.grids["early"]}


def _with_grids(views, features):
    from dataclasses import replace

    return replace(views, grids=features.grids)


def test_every_layer_has_its_share_of_the_matches(material, monkeypatch):
    # Room for four pairs of 36 patches; the nine of the late layer are not crowded out.
    monkeypatch.setattr(matches_module, "MOST_VECTORS", 2 * 36 * 4)
    views = _with_grids(views_of(material.grams), material.features)
    found = compute_matches(
        views, material.features, wanted_matches(views, material.layers, [], nearest=3)
    )
    layers = [one["layer"] for one in found]
    assert layers.count("early") == 4
    assert layers.count("late") == 16


def test_photos_are_as_small_as_they_must_be(material):
    pil = pytest.importorskip("PIL.Image", reason="needs the extra 'features'")
    photos = Photos(material.images)
    large = jpegs(photos, material.ids, budget=None)
    budget = sum(map(len, large)) * 3 // 4
    small = jpegs(photos, material.ids, budget=budget)
    assert sum(map(len, small)) <= budget
    sides = [max(pil.open(io.BytesIO(files[0])).size) for files in (large, small)]
    assert sides[0] == 96  # never larger than it was
    assert sides[1] < 96
    assert photos.labels == dict(zip(material.ids, material.groups, strict=True))


def test_photos_are_cut_as_the_network_saw_them(material):
    pil = pytest.importorskip("PIL.Image", reason="needs the extra 'features'")
    facts = {
        "preprocess": {
            "size": 32, "resize": 40, "mean": (0, 0, 0), "std": (1, 1, 1),
        }
    }  # fmt: skip
    photos = Photos(material.images, provenance=facts)
    assert photos.cut
    file = jpegs(photos, material.ids[:1], budget=None)[0]
    assert pil.open(io.BytesIO(file)).size == (32, 32)


def test_photos_refuse(material, tmp_path):
    with pytest.raises(InputError, match="^images: expected a folder of images; .* does not exist"):
        Photos(tmp_path / "none")
    with pytest.raises(
        InputError, match="^images: expected a folder of photographs, or a data set"
    ):
        Photos(3)
    with pytest.raises(InputError, match="^images: expected the photographs .* 'imag 1' is absent"):
        Photos(material.images).check([*material.ids, "imag 1"])


def test_picture_has_the_colours_of_its_values():
    values = np.array([[0.0, 0.5], [0.5, 1.0]])
    png = heat_png(values, side=8)
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) == (8, 8)
    start = png.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", png[start - 8 : start - 4])
    lines = np.frombuffer(zlib.decompress(png[start : start + length]), np.uint8).reshape(8, 25)
    pixels = lines[:, 1:].reshape(8, 8, 3)

    def rgb(text):
        return [int(text[k : k + 2], 16) for k in (1, 3, 5)]

    assert pixels[0, 0].tolist() == rgb(COLOURS[0])
    assert pixels[7, 7].tolist() == rgb(COLOURS[-1])
    assert pixels[0, 7].tolist() == rgb(COLOURS[5])
    large = heat_png(np.random.default_rng(0).random((1000, 500)), side=100)
    assert struct.unpack(">II", large[16:24]) == (100, 100)


def test_rsm_shows_itself_in_a_notebook(material):
    text = material.rsm("early", "optimal", "rbf")._repr_html_()
    assert "semantic (optimal)" in text
    assert "rbf" in text
    assert "<script" not in text
    assert "data:image/png;base64," in text
    rectangular = semrsm.rsm(material.arrays["early"], material.arrays["early"][:4])
    assert "12 × 4" in rectangular._repr_html_()


def test_features_of_other_images_are_refused(material, tmp_path):
    from semrsm.report import write_explorer

    others = Features({"early": material.arrays["early"][:3]}, ["a", "b", "c"])
    with pytest.raises(InputError, match="^features: expected those of the images of the RSMs"):
        write_explorer(material.grams, tmp_path / "p.html", features=others)
    assert list(tmp_path.iterdir()) == []
