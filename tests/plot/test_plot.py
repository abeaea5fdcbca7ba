"""The figures: limits, extents, counts and texts of what was drawn, and every refusal."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import semrsm
from semrsm import plot
from semrsm.errors import InputError
from semrsm.plot.common import shortened
from semrsm.plot.overlay import place_colours

matplotlib = pytest.importorskip("matplotlib", reason="the figures need the extra 'plot'")
from matplotlib.figure import Figure  # noqa: E402

GROUPS = ["a", "a", "b", "b", "c", "c"]


@pytest.fixture(autouse=True)
def _no_traces():
    """No function may change the user's settings, show, or leave pyplot figures behind here."""
    import matplotlib.pyplot as plt

    before, backend = dict(matplotlib.rcParams), matplotlib.get_backend()
    yield
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.get_backend() == backend
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    import matplotlib.pyplot as plt

    calls = []
    monkeypatch.setattr(plt, "show", lambda *a, **k: calls.append(a))
    return calls


def make(matcher="optimal", kernel="cosine", n=6, seed=0, ids=None):
    x = np.random.default_rng(seed).normal(size=(n, 4, 8))
    return semrsm.rsm(x, kernel=kernel, matcher=matcher, ids=ids)


def make_pairs(layers=2, kernel="cosine"):
    return {
        f"layer{i}": [make("none", kernel, seed=i), make("optimal", kernel, seed=i)]
        for i in range(layers)
    }


def panels_of(figure):
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]


def scales_of(figure):
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


def names_on(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


# One heat map


def test_heat_map_shows_the_values_in_the_axes_given(shown):
    rsm = make()
    ax = Figure().subplots()
    assert plot.plot_rsm(rsm, ax=ax) is ax
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array(), rsm.values)
    assert image.get_clim() == (rsm.values.min(), rsm.values.max())
    assert tuple(image.get_extent()) == (-0.5, 5.5, 5.5, -0.5)
    assert ax.get_title() == "cosine · semantic (optimal)"
    assert scales_of(ax.figure)[0].get_ylabel() == "cosine similarity"
    assert not shown


def test_method_and_new_figure(shown):
    ax = make("none").plot()
    assert ax.get_title() == "cosine · spatio-semantic"
    assert ax.figure.number in sys.modules["matplotlib.pyplot"].get_fignums()
    assert not shown


def test_without_scale_and_with_limits_and_title():
    ax = plot.plot_rsm(
        make(), ax=Figure().subplots(), vmin=-1, vmax=1, colorbar=False, title="Mine"
    )
    assert ax.images[0].get_clim() == (-1, 1)
    assert ax.get_title() == "Mine"
    assert not scales_of(ax.figure)


@pytest.mark.parametrize(("n", "named"), [(2, True), (24, True), (25, False)])
def test_names_where_they_can_be_read(n, named):
    ax = plot.plot_rsm(make("none", n=n), ax=Figure().subplots())
    expected = [str(i) for i in range(n)] if named else []
    assert names_on(ax.xaxis) == names_on(ax.yaxis) == expected


def test_names_on_request():
    assert names_on(plot.plot_rsm(make(), ax=Figure().subplots(), labels=False).xaxis) == []
    long = plot.plot_rsm(make("none", n=30), ax=Figure().subplots(), labels=True)
    assert len(names_on(long.yaxis)) == 30


def test_names_are_taken_literally():
    ids = ["$\\frac$", "price_$5$.jpg"]
    figure = Figure(layout="constrained")
    ax = plot.plot_rsm(make(n=2, ids=ids), ax=figure.subplots(), title="$\\oops$")
    figure.draw_without_rendering()  # mathtext would raise here
    assert names_on(ax.yaxis) == ids


def test_order_and_groups_arrange_both_sides():
    rsm = make()
    ax = plot.plot_rsm(rsm, ax=Figure().subplots(), order=[5, 0, 3])
    np.testing.assert_array_equal(
        ax.images[0].get_array(), rsm.values[np.ix_([5, 0, 3], [5, 0, 3])]
    )
    assert names_on(ax.yaxis) == ["5", "0", "3"]
    ax = plot.plot_rsm(rsm, ax=Figure().subplots(), groups=["x", "y", "x", "y", "x", "z"])
    order = [0, 2, 4, 1, 3, 5]
    np.testing.assert_array_equal(ax.images[0].get_array(), rsm.values[np.ix_(order, order)])
    assert names_on(ax.xaxis) == ["x", "y", "z"]
    assert list(ax.get_xticks()) == [1.0, 3.5, 5.0]
    vertical = [line.get_xdata()[0] for line in ax.lines if line.get_xdata()[0] != 0]
    assert vertical == [2.5, 4.5]


def test_queries_against_a_gallery():
    x = np.random.default_rng(0).normal(size=(7, 4, 8))
    rsm = semrsm.rsm(x[:2], x[2:])
    ax = plot.plot_rsm(rsm, ax=Figure().subplots())
    assert ax.images[0].get_array().shape == (2, 5)
    assert (len(names_on(ax.yaxis)), len(names_on(ax.xaxis))) == (2, 5)
    for name, value in (("order", [0]), ("groups", ["a", "b"])):
        with pytest.raises(InputError, match=f"^{name}: .*one set of images only; .* 2 x 5"):
            plot.plot_rsm(rsm, **{name: value})


def test_one_image_and_constant_values_have_a_scale():
    ax = plot.plot_rsm(make(n=1), ax=Figure().subplots())
    low, high = ax.images[0].get_clim()
    assert low < 1 < high


def test_many_images_are_averaged_and_not_picked():
    ids = tuple(map(str, range(2000)))
    values = np.eye(2000)
    rsm = semrsm.RSM(values, ids, ids, "cosine", "optimal", is_symmetric=True)
    figure = Figure(figsize=(3, 3), dpi=80)
    ax = plot.plot_rsm(rsm, ax=figure.subplots(), groups=[str(i // 20) for i in range(2000)])
    assert ax.images[0].get_interpolation() == "antialiased"
    assert not ax.lines  # 100 groups: lines would hide the values
    figure.canvas.draw()
    few = plot.plot_rsm(make(), ax=Figure().subplots())
    assert few.images[0].get_interpolation() == "nearest"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": [0, 0]}, r"order: expected different whole numbers from 0 to 5; got \[0, 0\]"),
        ({"order": [6]}, r"order: .* got \[6\]"),
        ({"order": [-1]}, r"order: .* got \[-1\]"),
        ({"order": [0.5]}, r"order: .* got \[0\.5\]"),
        ({"order": []}, r"order: .* got \[\]"),
        ({"order": [[0], [1, 2]]}, "order: expected an array of numbers; "),
        ({"groups": ["a"]}, "groups: expected one for each of 6 images; got 1"),
        ({"vmin": 2, "vmax": 1}, "vmin, vmax: expected vmin <= vmax; got 2 and 1"),
        ({"vmin": float("nan")}, "vmin, vmax: "),
    ],
)
def test_heat_map_refuses(options, message):
    with pytest.raises(InputError, match=f"^{message}"):
        plot.plot_rsm(make(), **options)
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_heat_map_refuses_values_without_a_colour():
    values = np.array([[1.0, np.nan], [np.inf, 1.0]])
    rsm = semrsm.RSM(values, ("a", "b"), ("a", "b"), "cosine", "none", is_symmetric=True)
    with pytest.raises(InputError, match=r"^rsm: expected finite values; 2 of 4 are not"):
        plot.plot_rsm(rsm)
    empty = semrsm.RSM(np.empty((0, 2)), (), ("a", "b"), "cosine", "none")
    with pytest.raises(InputError, match=r"^rsm: expected at least one value; got shape \(0, 2\)"):
        plot.plot_rsm(empty)


# Several heat maps


@pytest.mark.parametrize("layers", [1, 2, 8])
def test_one_scale_for_a_bounded_kernel(layers):
    pairs = make_pairs(layers)
    figure = Figure()
    assert plot.plot_rsms(pairs, groups=GROUPS, figure=figure) is figure
    panels = panels_of(figure)
    assert len(panels) == 2 * layers
    everything = np.concatenate([r.values.ravel() for found in pairs.values() for r in found])
    assert {ax.images[0].get_clim() for ax in panels} == {(everything.min(), everything.max())}
    assert [s.get_ylabel() for s in scales_of(figure)] == [
        "cosine similarity, one scale for all panels"
    ]
    assert [ax.get_title() for ax in panels[:2]] == ["spatio-semantic", "semantic (optimal)"]
    assert [ax.get_ylabel() for ax in panels[::2]] == list(pairs)
    assert names_on(panels[0].yaxis) == ["a", "b", "c"]
    assert names_on(panels[1].yaxis) == []
    assert names_on(panels[-1].xaxis) == ["a", "b", "c"]


def test_one_scale_for_each_layer_of_the_linear_kernel():
    pairs = make_pairs(3, "linear")
    figure = plot.plot_rsms(pairs, figure=Figure())
    panels = panels_of(figure)
    limits = [ax.images[0].get_clim() for ax in panels]
    assert limits[0::2] == limits[1::2]
    assert len(set(limits)) == 3
    assert len(scales_of(figure)) == 3
    shared = plot.plot_rsms(pairs, figure=Figure(), share="figure")
    assert len({ax.images[0].get_clim() for ax in panels_of(shared)}) == 1


def test_panels_lie_apart_in_a_new_figure():
    figure = plot.plot_rsms(make_pairs(3), groups=[f"photograph number {g}" for g in GROUPS])
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 - 1 <= box.x0
        assert box.x1 <= figure.bbox.x1 + 1
        assert all(not box.padded(-2).overlaps(other) for other in boxes[:i])


def test_part_of_a_figure_can_be_drawn_into():
    whole = Figure(layout="constrained")
    part = whole.subfigures(1, 2)[0]
    assert plot.plot_rsms(make_pairs(1), figure=part) is part
    assert len(panels_of(part)) == 2


def test_several_heat_maps_refuse():
    with pytest.raises(InputError, match=r"^pairs: expected at least one layer .* got none"):
        plot.plot_rsms({})
    with pytest.raises(InputError, match=r"^pairs: .* one kernel.*\['cosine', 'linear'\]"):
        plot.plot_rsms({"a": [make(), make(kernel="linear")]})
    with pytest.raises(InputError, match=r"^pairs: .* layer 'b' has \['optimal'\]"):
        plot.plot_rsms({"a": [make("none")], "b": [make()]})
    with pytest.raises(InputError, match=r"^share: .*got 'layers'\. Did you mean 'layer'\?"):
        plot.plot_rsms(make_pairs(), share="layers")
    with pytest.raises(InputError, match=r"^groups: "):
        plot.plot_rsms(make_pairs(), groups=["a"])
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []


# Distributions


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_share_of_pairs_in_order(seed):
    stats = pytest.importorskip("scipy.stats", reason="SciPy is the oracle")
    rng = np.random.default_rng(seed)
    same = rng.integers(2, 9, size=23) / 8  # with ties
    different = rng.integers(0, 7, size=31) / 8
    larger = (same[:, None] > different).mean() + 0.5 * (same[:, None] == different).mean()
    assert plot.auc(same, different) == pytest.approx(larger, abs=1e-15)
    test = stats.mannwhitneyu(same, different)
    assert plot.auc(same, different) == pytest.approx(test.statistic / (23 * 31), abs=1e-15)
    assert plot.auc(different, same) == pytest.approx(1 - larger, abs=1e-15)


def test_auc_at_its_ends():
    assert plot.auc([2], [1]) == 1.0
    assert plot.auc([1], [2]) == 0.0
    assert plot.auc([1, 1], [1]) == 0.5


def samples():
    rng = np.random.default_rng(3)
    return rng.normal(0.6, 0.1, 60), rng.normal(0.3, 0.1, 500)


def test_distribution_has_shared_bins_of_area_one(shown):
    same, different = samples()
    ax = Figure().subplots()
    assert plot.plot_distribution(same, different, ax=ax, kernel="cosine", bins=20) is ax
    bars = [patch.get_data() for patch in ax.patches]
    assert len(bars) == 2
    np.testing.assert_array_equal(bars[0].edges, bars[1].edges)
    assert len(bars[0].edges) == 21
    assert bars[0].edges[0] == different.min()
    assert bars[0].edges[-1] == same.max()
    for data, sample in zip(bars, (same, different), strict=True):
        counts = np.histogram(sample, data.edges)[0]
        area = np.nan_to_num(data.values) * np.diff(data.edges)
        np.testing.assert_allclose(area, counts / counts.sum())
    assert [line.get_xdata()[0] for line in ax.lines] == [np.median(same), np.median(different)]
    assert ax.get_title(loc="right") == f"AUC {plot.auc(same, different):.3f}"
    assert ax.get_xlabel() == "cosine similarity"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "same image, shifted",
        "different images",
    ]
    assert not shown


def test_auc_is_never_rounded_to_certainty():
    same, different = np.arange(1, 4001.0), np.array([0.0, 2.0])
    assert plot.auc(same, different) > 0.9995
    ax = plot.plot_distribution(same, different, ax=Figure().subplots())
    assert ax.get_title(loc="right") == "AUC 0.999"
    ax = plot.plot_distribution([1, 2], [0, 0.5], ax=Figure().subplots())
    assert ax.get_title(loc="right") == "AUC 1.000"


def test_constant_samples_can_be_drawn():
    ax = plot.plot_distribution([1.0, 1.0], [1.0], ax=Figure().subplots())
    assert ax.get_xlim() == (0.5, 1.5)
    assert ax.get_title(loc="right") == "AUC 0.500"


def test_distributions_in_rows_and_columns():
    same, different = samples()
    panels = {
        (layer, matcher): (same + shift, different + shift)
        for shift, layer in enumerate(("early", "late"))
        for matcher in ("none", "optimal")
    }
    figure = Figure()
    assert plot.plot_distributions(panels, figure=figure, kernel="cosine") is figure
    assert len(figure.axes) == 4
    assert {ax.get_xlim() for ax in figure.axes} == {(different.min(), same.max() + 1)}
    assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == [
        "spatio-semantic",
        "semantic (optimal)",
    ]
    assert [ax.get_ylabel() for ax in figure.axes[::2]] == ["early", "late"]
    assert [ax.get_xlabel() for ax in figure.axes[1::2]] == ["", "cosine similarity"]
    assert len(figure.legends) == 1
    own = plot.plot_distributions(panels, figure=Figure(), kernel="linear")
    assert [ax.get_xlim() for ax in own.axes[::2]] == [
        (different.min(), same.max()),
        (different.min() + 1, same.max() + 1),
    ]
    assert own.axes[0].get_xlim() == own.axes[1].get_xlim()


def test_distributions_by_name_in_a_new_figure(shown):
    figure = plot.plot_distributions({"blocks.2": samples(), "blocks.4": samples()})
    assert [ax.get_ylabel() for ax in figure.axes] == ["blocks.2", "blocks.4"]
    assert not shown


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.auc([], [1]), r"same: expected one or more similarities.*got shape \(0,\)"),
        (lambda: plot.auc([1], [[1]]), r"different: .* got shape \(1, 1\)"),
        (lambda: plot.auc(["a"], [1]), "same: expected real numbers of at most 64 bits; got"),
        (lambda: plot.auc([np.nan, 1], [1]), "same: expected finite values; 1 of 2 are not"),
        (lambda: plot.plot_distribution([1], [0], bins=0), "bins: expected a whole .*; got 0"),
        (lambda: plot.plot_distribution([1], [0], bins=[1, 0]), "bins: .* increasing edges"),
        (
            lambda: plot.plot_distribution([1], [0], bins=[0.5, 2]),
            "bins: expected edges around all values; got 0.5 to 2 for values from 0 to 0",
        ),
        (lambda: plot.plot_distribution([1], [0], labels="ab"), "labels: expected two texts; got"),
        (lambda: plot.plot_distributions({}), "panels: expected at least one pair"),
        (
            lambda: plot.plot_distributions(
                {("a", "none"): ([1], [0]), ("b", "optimal"): ([1], [0])}
            ),
            r"panels: expected every matcher at every layer; \('a', 'optimal'\) is missing",
        ),
        (
            lambda: plot.plot_distributions({"x": ([], [1])}),
            r"panels\['x'\], same: expected one or more",
        ),
        (lambda: plot.plot_distributions({"x": samples()}, share="all"), "share: expected one of"),
    ],
)
def test_distributions_refuse(call, message):
    with pytest.raises(InputError, match=f"^{message}"):
        call()
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []


# The overlay of a match


def shifted(rows=6, columns=8, by=2):
    """Features of a scene and of the same scene moved to the left."""
    scene = np.random.default_rng(1).normal(size=(rows, columns + by, 16))
    a, b = scene[:, :columns], scene[:, by:]
    return semrsm.match(a.reshape(-1, 16), b.reshape(-1, 16))


def photo(height=48, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def links_of(ax):
    from matplotlib.collections import LineCollection

    edge, lines = (c for c in ax.collections if isinstance(c, LineCollection))
    assert len(edge.get_segments()) == len(lines.get_segments())
    return lines


def test_overlay_paints_partners_alike(shown):
    match = shifted()
    ax = Figure().subplots()
    assert plot.plot_match(photo(), photo(seed=1), match, (6, 8), (6, 8), ax=ax) is ax
    photo_a, paint_a, photo_b, paint_b = ax.images
    width = 64 / 48
    assert tuple(photo_a.get_extent()) == tuple(paint_a.get_extent()) == (0, width, 1, 0)
    assert tuple(photo_b.get_extent()) == tuple(paint_b.get_extent())
    assert photo_b.get_extent()[1] - photo_b.get_extent()[0] == pytest.approx(width)
    assert photo_b.get_extent()[0] > width
    left = np.asarray(paint_a.get_array()).reshape(-1, 4)
    right = np.asarray(paint_b.get_array()).reshape(-1, 4)
    np.testing.assert_array_equal(left, right[match.permutation])
    shares = np.maximum(match.contributions, 0)
    np.testing.assert_array_equal(np.argsort(left[:, 3]), np.argsort(shares))
    assert left[shares == 0, 3].sum() == 0
    assert 0.8 < left[:, 3].max() <= 1
    assert not shown


def test_overlay_joins_the_strongest_pairs():
    match = shifted()
    ax = plot.plot_match(photo(), photo(), match, (6, 8), (6, 8), ax=Figure().subplots(), top=5)
    lines = links_of(ax)
    assert len(lines.get_segments()) == 5
    width, start = 64 / 48, ax.images[2].get_extent()[0]
    best = int(np.argmax(match.contributions))
    for end, offset, s in ((0, 0.0, best), (-1, start, int(match.permutation[best]))):
        row, column = divmod(s, 8)
        np.testing.assert_allclose(
            lines.get_segments()[0][end], (offset + (column + 0.5) * width / 8, (row + 0.5) / 6)
        )
    assert [t.get_text() for t in ax.texts] == ["1", "2", "3", "4", "5"] * 2
    assert "Lines: 5 of the strongest pairs" in ax.get_xlabel()


def test_joined_pairs_do_not_touch_and_their_share_is_stated():
    contributions = np.array([9.0, 8, 1, 1, 1, 1, 1, 1, 7])
    match = semrsm.matchers.Match(np.arange(9), 36.0, 36.0, contributions, "optimal")
    ax = plot.plot_match(photo(), photo(), match, (3, 3), (3, 3), ax=Figure().subplots())
    starts = [tuple(np.round(s[0] * [3 * 48 / 64, 3] - 0.5)) for s in links_of(ax).get_segments()]
    assert starts == [(0, 0), (2, 2), (2, 0), (0, 2)]  # not the second: it touches the first
    assert "Lines: 4 of the strongest pairs, 50% of the similarity" in ax.get_xlabel()


@pytest.mark.parametrize("place", range(9))
def test_no_neighbour_of_the_strongest_is_joined(place):
    contributions = np.ones(9)
    contributions[place] = 2.0
    match = semrsm.matchers.Match(np.arange(9), 10.0, 10.0, contributions, "optimal")
    ax = plot.plot_match(photo(), photo(), match, (3, 3), (3, 3), ax=Figure().subplots())
    starts = np.array([s[0] * [3 * 48 / 64, 3] - 0.5 for s in links_of(ax).get_segments()])
    np.testing.assert_allclose(starts[0], divmod(place, 3)[::-1], atol=1e-9)
    assert (np.abs(starts[1:] - starts[0]).max(axis=1) > 1.5).all()


def test_lines_along_one_row_do_not_cover_each_other():
    match = semrsm.matchers.Match(np.arange(8), 8.0, 8.0, np.ones(8), "none")
    ax = plot.plot_match(photo(), photo(), match, (1, 8), (1, 8), ax=Figure().subplots())
    middles = [segment[16, 1] for segment in links_of(ax).get_segments()]
    assert len(middles) == 4
    assert len(set(np.round(middles, 6))) == 4


def test_free_and_worthless_patches_stay_bare():
    match = semrsm.matchers.Match(
        np.array([1, -1, 0, -1]), 1.0, 1.0, np.array([2.0, 0.0, -1.0, 0.0]), "optimal"
    )
    ax = plot.plot_match(photo(), photo(30, 60), match, (2, 2), (1, 2), ax=Figure().subplots())
    left = np.asarray(ax.images[1].get_array()).reshape(-1, 4)
    right = np.asarray(ax.images[3].get_array()).reshape(-1, 4)
    assert (left[:, 3] > 0).tolist() == [True, False, False, False]
    assert (right[:, 3] > 0).tolist() == [False, True]
    assert len(links_of(ax).get_segments()) == 1


def test_nothing_similar_is_drawn_without_lines():
    match = semrsm.matchers.Match(np.arange(4), -4.0, -4.0, -np.ones(4), "none")
    ax = plot.plot_match(photo(), photo(), match, (2, 2), (2, 2), ax=Figure().subplots())
    assert not ax.collections
    assert "Lines" not in ax.get_xlabel()


def test_backgrounds_names_and_title():
    match = shifted()
    options = {"names": ("cat_$1$.jpg", "dog"), "title": "Mine", "top": 0}
    for background, images in (("photo", 4), ("none", 2)):
        ax = plot.plot_match(
            photo(), photo(), match, (6, 8), (6, 8), background=background,
            ax=Figure().subplots(), **options,
        )  # fmt: skip
        assert len(ax.images) == images
        assert not ax.collections
        assert names_on(ax.xaxis) == ["cat_$1$.jpg", "dog"]
        assert ax.get_xlabel() == "Mine"
    ax = plot.plot_match(photo(), photo(), match, (6, 8), (6, 8), background="photo")
    np.testing.assert_array_equal(ax.images[0].get_array(), photo())
    ax.figure.canvas.draw()
    whole = ax.figure.bbox.padded(1)
    box = ax.get_tightbbox()  # titles and captions are not cut off
    assert whole.contains(box.x0, box.y0)
    assert whole.contains(box.x1, box.y1)


def test_pillow_images_are_taken():
    image = pytest.importorskip("PIL.Image", reason="Pillow comes with matplotlib")
    ax = plot.plot_match(
        image.fromarray(photo()), photo(), shifted(), (6, 8), (6, 8), ax=Figure().subplots()
    )
    assert len(ax.images) == 4


def test_colours_of_places_differ_and_are_colours():
    colours = place_colours(14, 14)
    assert colours.shape == (196, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert len(np.unique(np.round(colours, 4), axis=0)) == 196
    assert np.isfinite(place_colours(1, 1)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"grid_a": (6, 7)},
            "grid_a: expected rows x columns = 48 concept vectors, as in match; got 6 x 7 = 42",
        ),
        ({"grid_b": (6, 7)}, "grid_b: expected rows x columns > 47, .* got 6 x 7 = 42"),
        ({"grid_b": (0, 9)}, r"grid_b: expected \(rows, columns\), both >= 1; got \(0, 9\)"),
        ({"grid_a": (48,)}, r"grid_a: expected \(rows, columns\)"),
        (
            {"image_a": photo()[..., 0]},
            r"image_a: expected an RGB image.*of shape \(48, 64\)",
        ),
        ({"image_b": photo() / 255}, "image_b: expected an RGB image.*got float64 of"),
        ({"background": "fade"}, r"background: .*got 'fade'\. Did you mean 'faded'\?"),
        ({"top": -1}, "top: expected a whole number >= 0; got -1"),
        ({"top": 1.5}, "top: expected a whole number >= 0; got 1.5"),
        ({"names": ("a",)}, r"names: expected two texts; got \('a',\)"),
    ],
)
def test_overlay_refuses(change, message):
    arguments = {
        "image_a": photo(),
        "image_b": photo(),
        "match": shifted(),
        "grid_a": (6, 8),
        "grid_b": (6, 8),
    }
    with pytest.raises(InputError, match=f"^{message}"):
        plot.plot_match(**{**arguments, **change})
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []


# All


def test_colours_follow_the_style_of_the_user():
    with matplotlib.rc_context({"text.color": "#abcdef", "axes.labelcolor": "#abcdef"}):
        ax = plot.plot_distribution(*samples(), ax=Figure().subplots())
        heat = plot.plot_rsm(make(), ax=Figure().subplots())
    assert ax.title.get_color() == heat.title.get_color() == "#abcdef"
    assert ax.xaxis.label.get_color() == "#abcdef"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("short.jpg", "short.jpg"), ("a" * 20 + "0123456789", "a" * 12 + "…" + "a0123456789"[-11:])],
)
def test_long_names_lose_their_middle(name, expected):
    assert shortened(name) == expected
    assert len(shortened(name)) <= 24


def test_matplotlib_is_loaded_when_something_is_drawn():
    code = (
        "import sys, semrsm.plot, semrsm.report; "
        "assert semrsm.plot.auc([2], [1]) == 1; "
        "sys.exit(any(name.partition('.')[0] == 'matplotlib' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_matplotlib_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(semrsm.errors.MissingDependencyError, match=r"Plotting needs .*\[plot\]"):
        plot.plot_rsm(make())


def test_patches_that_a_mask_leaves_out_are_grey():
    from semrsm.plot.overlay import LEFT_OUT, on_grid

    rng = np.random.default_rng(0)
    kept = (np.array([[True, False], [True, True]]), np.array([[False, True], [True, False]]))
    match = semrsm.match(rng.random((3, 5)), rng.random((2, 5)))
    target, given = on_grid(match, kept)
    places = [np.flatnonzero(k) for k in kept]
    for s, (partner, value) in enumerate(zip(match.permutation, match.contributions, strict=True)):
        assert target[places[0][s]] == (-1 if partner < 0 else places[1][partner])
        assert given[places[0][s]] == pytest.approx(value)
    assert (target[1], given[1]) == (-1, 0)
    ax = plot.plot_match(photo(), photo(), match, (2, 2), (2, 2), kept=kept, ax=Figure().subplots())
    paints = [image.get_array() for image in ax.images if image.get_array().shape == (2, 2, 4)]
    assert len(paints) == 2
    for paint, part in zip(paints, kept, strict=True):
        grey = np.isclose(paint, LEFT_OUT).all(axis=2)
        np.testing.assert_array_equal(grey, ~part)
    with pytest.raises(InputError, match=r"^kept: expected shape \(2, 2\)"):
        plot.plot_match(photo(), photo(), match, (2, 2), (2, 2), kept=(np.ones((3, 1)), None))
    with pytest.raises(InputError, match="^kept: expected the 3 patches of A that were matched"):
        plot.plot_match(photo(), photo(), match, (2, 2), (2, 2), kept=(np.ones((2, 2)), None))
