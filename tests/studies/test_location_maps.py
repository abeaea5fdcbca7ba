"""Where similarity sits, against loops and scenes whose movement is known."""

import csv
import itertools
import json

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.plot.locations import (
    ContributionPanel,
    DisplacementPanel,
    plot_contribution,
    plot_contributions,
    plot_displacements,
)
from semrsm.studies.contributions import LocationMap, location_map, random_displacements
from semrsm.studies.location_maps import locations

pyplot = pytest.importorskip("matplotlib.pyplot")

N = 6
IDS = [f"photo {i}" for i in range(N)]
GRID = (3, 5)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return semrsm.Features(
        {"early": rng.normal(size=(N, 6, 6, 4)), "late": rng.normal(size=(N, 15, 8))},
        IDS,
        provenance={"model": "made up", "grids": {"late": GRID}},
    )


def vectors(array, i):
    return array[i].reshape(array.shape[1], -1).T if array.ndim == 4 else array[i]


# ------------------------------------------------------------------------------------ one map


def test_a_map_against_loops():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 15, 7))
    found = location_map(a, b, GRID)
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    assert sorted(found.partner) == list(range(15))
    for s, (row, column) in enumerate(itertools.product(range(3), range(5))):
        gives = a[s] @ b[found.partner[s]] / norm
        assert found.left[row, column] == pytest.approx(gives, abs=1e-15)
        there = divmod(found.partner[s], 5)
        assert found.right[there] == pytest.approx(gives, abs=1e-15)
        assert found.displacements()[s] == pytest.approx(
            np.hypot(there[0] - row, there[1] - column)
        )
        steps = max(abs(there[0] - row), abs(there[1] - column))
        assert [found.beyond(cells)[s] for cells in (0, 1)] == [steps > 0, steps > 1]
    assert found.gap == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("matcher", ["none", "optimal", "greedy", "topk-greedy", "batch-optimal"])
def test_maps_sum_to_the_cosine(matcher, dtype):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 24, 9)).astype(dtype)
    found = location_map(x[0], x[1], (4, 6), matcher=matcher)
    assert found.left.sum() == found.similarity
    assert found.right.sum() == pytest.approx(found.similarity, abs=1e-14)
    expected = semrsm.rsm(x, matcher=matcher, kernel="cosine").values[0, 1]
    assert found.similarity == pytest.approx(expected, abs=1e-12 if dtype is np.float64 else 1e-6)
    if matcher == "none":
        np.testing.assert_array_equal(found.left, found.right)
        assert not found.displacements().any()


def test_the_whole_range_of_float64():
    a = np.random.default_rng(3).normal(size=(2, 4, 3))
    plain = location_map(a[0], a[1], (2, 2))
    for scale in (1e-100, 1e130):
        scaled = location_map(scale * a[0], scale * a[1], (2, 2))
        np.testing.assert_allclose(scaled.left, plain.left, rtol=1e-12)


def test_an_image_of_zeros_gives_nothing():
    found = location_map(np.zeros((4, 3)), np.ones((4, 3)), (2, 2))
    assert found.similarity == 0
    assert not found.left.any()


def test_a_free_location_has_no_distance():
    found = LocationMap(np.ones((1, 3)), np.ones((1, 3)), np.array([2, -1, 0]), 3.0, 0.0)
    np.testing.assert_array_equal(found.displacements(), [2, np.nan, 2])
    np.testing.assert_array_equal(found.beyond(0), [True, False, True])


def test_a_map_refuses():
    a = np.ones((6, 3))
    with pytest.raises(InputError, match="^a: expected 2 x 2 = 4 concept vectors; got 6"):
        location_map(a, a, (2, 2))
    with pytest.raises(InputError, match="^b: expected 2 x 3 = 6 concept vectors; got 5"):
        location_map(a, a[:5], (2, 3))


@pytest.mark.parametrize("grid", [(1, 1), (1, 4), (3, 2), (4, 4)])
def test_random_displacements_against_all_pairs(grid):
    places = list(itertools.product(range(grid[0]), range(grid[1])))
    lengths = [np.hypot(a - c, b - d) for (a, b), (c, d) in itertools.product(places, places)]
    distances, probabilities = random_displacements(grid)
    assert probabilities.sum() == pytest.approx(1)
    for length in np.unique(np.round(lengths, 9)):
        expected = np.mean(np.isclose(lengths, length))
        assert probabilities[np.isclose(distances, length)].sum() == pytest.approx(expected)


# ------------------------------------------------------------------------------------ the study


def test_table_against_loops(features):
    pairs = [(0, 3), ("photo 4", 1), (np.int64(2), "photo 5")]
    study = locations(features, pairs=pairs, matchers=["none", "optimal", "greedy"])
    assert study.pairs == (
        ("photo 0", "photo 3"),
        ("photo 4", "photo 1"),
        ("photo 2", "photo 5"),
    )
    assert len(study.table) == 3 * 2 * 3
    for row in study.table:
        array = features[row["layer"]]
        x, y = (vectors(array, IDS.index(row[side])) for side in ("left", "right"))
        width = {"early": 4, "late": 5}[row["layer"]]
        partner = semrsm.match(x, y, matcher=row["matcher"]).permutation
        norm = np.linalg.norm(x) * np.linalg.norm(y)
        gives = np.array([x[s] @ y[t] for s, t in enumerate(partner)]) / norm
        aligned = (x * y).sum(axis=1) / norm
        positive = [max(g, 0) for g in gives]
        far = [
            max(abs(s // width - t // width), abs(s % width - t % width))
            for s, t in enumerate(partner)
        ]
        lengths = [
            np.hypot(s // width - t // width, s % width - t % width) / width
            for s, t in enumerate(partner)
        ]
        everywhere = [
            np.hypot(s // width - t // width, s % width - t % width) / width
            for s in range(len(x))
            for t in range(len(x))
        ]
        top = sorted(positive)[-int(np.ceil(len(x) / 10)) :]
        expected = {
            "similarity": gives.sum(),
            "rise": gives.sum() - aligned.sum(),
            "share_elsewhere": sum(p for p, f in zip(positive, far, strict=True) if f > 0),
            "share_beyond_neighbours": sum(p for p, f in zip(positive, far, strict=True) if f > 1),
            "top_share": sum(top),
            "displacement_mean": np.mean(lengths),
            "displacement_median": np.median(lengths),
            "displacement_random": np.mean(everywhere),
            "correlation": np.corrcoef(gives, aligned)[0, 1],
        }
        for name, value in expected.items():
            if "share" in name:
                value /= sum(positive)
            assert row[name] == pytest.approx(value, abs=1e-12), name
        assert row["vectors"] == len(x)
        assert row["gap"] >= 0
        if row["matcher"] == "optimal":
            assert row["gap"] < 1e-8
            assert row["rise"] > 0
    assert {row["model"] for row in study.table} == {"made up"}


def test_a_scene_that_has_moved():
    """Every vector is found where it went: distances and shares are those of the movement."""
    rng = np.random.default_rng(4)
    scene = rng.normal(size=(12, 5, 8))
    maps = np.stack([scene, np.roll(scene, 2, axis=2)])
    study = locations(semrsm.Features({"x": maps}))
    none, optimal = study.table
    found = study.maps["0", "1", "x", "optimal"]
    columns = np.arange(40).reshape(5, 8)
    np.testing.assert_array_equal(found.partner.reshape(5, 8), np.roll(columns, -2, axis=1))
    assert optimal["similarity"] == pytest.approx(1)
    assert optimal["share_elsewhere"] == optimal["share_beyond_neighbours"] == 1
    assert optimal["displacement_median"] == 2 / 8
    assert optimal["displacement_mean"] == pytest.approx((6 * 2 + 2 * 6) / 8 / 8)
    np.testing.assert_allclose(found.right, np.roll(found.left, 2, axis=1))
    assert abs(none["similarity"]) < 0.5
    assert none["share_elsewhere"] == none["displacement_mean"] == none["rise"] == 0
    assert none["correlation"] == pytest.approx(1)


def test_neighbours_are_elsewhere_but_not_beyond():
    scene = np.random.default_rng(5).normal(size=(12, 4, 4))
    maps = np.stack([scene, scene[:, :, [1, 0, 3, 2]]])  # columns swapped in twos
    row = locations(semrsm.Features({"x": maps})).table[1]
    assert row["share_elsewhere"] == 1
    assert row["share_beyond_neighbours"] == 0
    assert row["displacement_mean"] == row["displacement_median"] == 1 / 4


def test_what_is_undefined_is_nan():
    x = np.ones((2, 3, 2, 2))
    x[1] = -1  # nowhere similar, and alike everywhere
    for row in locations(semrsm.Features({"x": x})).table:
        assert row["similarity"] == pytest.approx(-1)
        for name in ("share_elsewhere", "share_beyond_neighbours", "top_share", "correlation"):
            assert np.isnan(row[name]), name


def test_pairs_are_those_that_rise_most():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(9, 10, 4, 4))
    x[7] = np.roll(x[3], 1, axis=1)
    study = locations(semrsm.Features({"x": x}))
    rise = semrsm.rsm(x).values - semrsm.rsm(x, matcher="none").values
    np.fill_diagonal(rise, -np.inf)
    expected = []
    for left in (0, 3, 5, 8):  # evenly spread
        order = sorted(range(9), key=lambda right: -rise[left, right])
        right = next(r for r in order if r != left and (r, left) not in expected)
        expected.append((left, right))
    assert study.pairs == tuple((str(i), str(j)) for i, j in expected)
    assert (3, 7) in expected
    assert "rises most from 'none' to 'optimal'" in study.protocol["choice_of_pairs"]


def test_two_images_make_one_pair():
    x = np.random.default_rng(7).normal(size=(2, 3, 4, 4))
    assert locations(semrsm.Features({"x": x})).pairs == (("0", "1"),)


@pytest.mark.parametrize("matcher", ["optimal", "topk-greedy", "batch-optimal"])
def test_the_aligned_map_is_there_without_its_row(features, matcher):
    study = locations(features, pairs=[(0, 1)], layers="late", matchers=matcher)
    both = locations(features, pairs=[(0, 1)], layers="late", matchers=["none", matcher])
    assert [row["matcher"] for row in study.table] == [matcher]
    assert study.table == both.table[1:]
    assert ("photo 0", "photo 1", "late", "none") in study.maps


@pytest.mark.parametrize("pairs", [None, [(0, 1), (2, 3)]])
def test_progress_counts_to_its_total(features, pairs):
    told = []
    locations(features, pairs=pairs, progress=lambda done, total: told.append((done, total)))
    done = [d for d, _ in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]
    assert all(d <= total for d, total in told)


# ------------------------------------------------------------------------------------ figures


def photos_of(sizes):
    image = pytest.importorskip("PIL.Image")
    return [image.new("RGB", size, (20 * i, 90, 200)) for i, size in enumerate(sizes)]


def test_what_is_written(features, tmp_path):
    folder = locations(features, pairs=[(0, 1), (2, 3)]).write(tmp_path / "out")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "table.csv",
        "protocol.json",
        "maps.png",
        "layers.png",
        "displacements.png",
    }
    with open(folder / "table.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 2
    protocol = json.loads((folder / "protocol.json").read_text())
    assert protocol["pairs"] == [["photo 0", "photo 1"], ["photo 2", "photo 3"]]
    assert protocol["layers"] == {"early": [6, 4], "late": [3, 5]}
    assert protocol["choice_of_pairs"] == "given"
    assert protocol["shown_layer"] == "early"


def test_maps_lie_on_what_the_network_saw(features):
    """The photograph is cut as the network cuts it, and the grid covers all of the cut."""
    image = pytest.importorskip("PIL.Image")
    preprocess = {
        "size": [60, 40],
        "resize": [60, 40],
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "interpolation": "nearest",
        "fit": "crop",
    }
    known = semrsm.Features(
        dict(features), IDS, provenance={**features.provenance, "preprocess": preprocess}
    )
    wide = np.zeros((60, 120, 3), dtype=np.uint8)
    wide[:, 40:80] = 255  # white is what the network sees
    study = locations(known, [image.fromarray(wide)] * N, pairs=[(0, 1)], layers="early")
    figure = study.figures["maps"]()
    panels = [ax for ax in figure.axes if ax.images]
    assert [len(ax.images) for ax in panels[:5]] == [1, 1, 2, 2, 2]
    found = study.maps["photo 0", "photo 1", "early", "optimal"]
    aligned = study.maps["photo 0", "photo 1", "early", "none"]
    for ax, values in zip(panels[2:5], (aligned.left, found.left, found.right), strict=True):
        under, over = ax.images
        assert under.get_array().shape == (60, 40, 3)
        assert np.asarray(under.get_array()).min() > 0.99
        assert list(over.get_extent()) == list(under.get_extent()) == [0, 40, 60, 0]
        np.testing.assert_array_equal(over.get_array(), values)
    scales = {(ax.images[1].norm.vmin, ax.images[1].norm.vmax) for ax in panels[2:5]}
    assert len(scales) == 1


def test_photographs_are_found_by_id(features):
    pytest.importorskip("PIL.Image")

    class Photos:
        ids = tuple(reversed(IDS))

        def __len__(self):
            return N

        def __getitem__(self, index):
            return photos_of([(8, 12)] * N)[N - 1 - index]

    study = locations(features, Photos(), pairs=[(4, 2)], layers="early")
    panels = [ax for ax in study.figures["maps"]().axes if ax.images]
    reds = [int(ax.images[0].get_array()[0, 0, 0]) for ax in panels[:2]]
    assert reds == [20 * 4, 20 * 2]
    assert [ax.get_xlabel() for ax in panels[:2]] == ["photo 4", "photo 2"]


def test_many_pairs_are_not_all_drawn(features):
    pairs = [(i, j) for i in range(N) for j in range(i)]
    study = locations(features, pairs=pairs, layers="late")
    panels = [ax for ax in study.figures["maps"]().axes if ax.get_xlabel()]
    assert len(panels) == 6 * 3


def test_displacements_against_counts():
    """Half of the locations moved by two cells, and all of the similarity with them."""
    distances = np.array([0.0, 0.0, 2.0, 2.0])
    panel = DisplacementPanel(
        distances, np.array([0.0, -1.0, 0.5, 0.5]), random_displacements((1, 4)), 4
    )
    figure = plot_displacements({("x", "optimal"): panel})
    ax = figure.axes[0]
    bars, similarity, random = (patch.get_data() for patch in ax.patches)
    np.testing.assert_allclose(bars.edges[:3] * 4, [-0.5, 0.5, 1.5])
    np.testing.assert_allclose(bars.values, [0.5, 0, 0.5, 0])
    np.testing.assert_allclose(similarity.values, [0, 0, 1, 0])
    np.testing.assert_allclose(random.values, [4 / 16, 6 / 16, 4 / 16, 2 / 16])


def test_a_fine_grid_has_wide_bars_that_lose_nothing():
    random = random_displacements((56, 56))
    panel = DisplacementPanel(random[0], random[1], random, 56)
    ax = plot_displacements({("x", "optimal"): panel}).axes[0]
    bars, similarity, expected = (patch.get_data() for patch in ax.patches)
    np.testing.assert_allclose(np.diff(bars.edges) * 56, 4)
    for data in (bars, similarity, expected):
        assert data.values.sum() == pytest.approx(1)
    np.testing.assert_allclose(similarity.values, expected.values)


@pytest.mark.parametrize("limits", [(-1, 1), (-1, 2), (-2, 1)])
def test_equal_amounts_are_equally_strong(limits):
    values = np.array([[-1.0, 0.0], [1.0, 0.5]])
    ax = plot_contribution(values, limits=limits)
    drawn = ax.images[0]
    minus, zero, plus, half = (drawn.cmap(drawn.norm(v)) for v in values.ravel())
    assert minus[3] == pytest.approx(plus[3], abs=0.01)
    assert zero[3] < 0.05 < half[3] < plus[3]
    assert (plus[3] > 0.8) == (max(np.abs(limits)) == 1)
    assert minus[2] > minus[0]  # blue
    assert plus[0] > plus[2]  # red


def test_a_scale_says_where_it_ends():
    values = np.linspace(0, 1, 400).reshape(20, 20)
    values[0, 0] = 50
    figure = plot_contribution(values).figure
    drawn = figure.axes[0].images[0]
    assert drawn.norm.vmax < 1.01
    assert drawn.colorbar.extend == "max"
    assert drawn.norm.vmin == 0


@pytest.mark.parametrize("values", [np.zeros((3, 4)), np.full((3, 4), -2.0), np.full((1, 1), 3.0)])
def test_constant_maps_can_be_drawn(values):
    plot_contribution(values).figure.canvas.draw()


# ------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matchers": "none"}, "^matchers: expected at least one besides 'none'"),
        ({"matchers": ["optimum"]}, r"^matcher: expected one of .*Did you mean 'optimal'\?"),
        ({"pairs": []}, "^pairs: expected at least one pair"),
        ({"pairs": "photo 1"}, "^pairs: expected a sequence of"),
        ({"pairs": ("photo 1", "photo 2")}, "^pairs: expected .*two ids or indices; got 'photo 1'"),
        ({"pairs": [(0, 1, 2)]}, r"^pairs: expected .*; got \(0, 1, 2\)"),
        ({"pairs": [(0, "foto 1")]}, r"^pairs: .* no 'foto 1'. Did you mean 'photo 1'\?"),
        ({"pairs": [(0, 6)]}, "^pairs: expected ids, or indices from 0 to 5; got 6"),
        ({"pairs": [(True, 2)]}, "^pairs: expected ids, .*; got True"),
        ({"pairs": [(0, 1), ("photo 0", 1)]}, "^pairs: expected each once"),
        ({"layers": "middle"}, "^layers: 'middle' fits no layer"),
        ({"images": [None]}, "^images: expected 6 photographs"),
        ({"progress": 3}, "^progress: expected True or a function"),
    ],
)
def test_refuses(features, change, message):
    with pytest.raises(InputError, match=message):
        locations(features, **({"pairs": [(0, 1)]} | change))


def test_refuses_features_that_cannot_be_mapped():
    tokens = np.ones((3, 16, 4))
    with pytest.raises(InputError, match="^features: expected what semrsm.extract"):
        locations(tokens)
    with pytest.raises(InputError, match="^layers: expected layers whose grid is known; .*'x'"):
        locations(semrsm.Features({"x": tokens}))
    wrong = semrsm.Features({"x": tokens}, provenance={"grids": {"x": [4, 5]}})
    with pytest.raises(InputError, match="^features: expected 4 x 5 = 20 vectors in 'x'.*got 16"):
        locations(wrong)
    with pytest.raises(InputError, match="^features: expected at least 2 images"):
        locations(semrsm.Features({"x": np.ones((1, 3, 2, 2))}))
    broken = np.ones((3, 4, 2, 2))
    broken[2, 1, 0, 0] = np.nan
    bad = semrsm.Features({"x": broken}, ["a", "b", "c"])
    with pytest.raises(InputError, match=r"^features\['x'\].*expected finite values; got NaN"):
        locations(bad)
    with pytest.raises(InputError, match=r"^features\['x'\], 'c': expected finite values"):
        locations(bad, pairs=[("a", "c")])
    assert len(locations(bad, pairs=[("a", "b")]).table) == 2  # the bad one is not looked at


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot_contribution(np.ones(3)), "^values: expected a grid"),
        (lambda: plot_contribution([[np.nan]]), "^values: expected finite values; 1 of 1"),
        (lambda: plot_contribution([["a"]]), "^values: expected an array of numbers"),
        (lambda: plot_contribution(np.ones((2, 2)), limits=(1, 2)), "^limits: .* around 0"),
        (lambda: plot_contribution(np.ones((2, 2)), limits=(0, 0)), "^limits: .* different"),
        (lambda: plot_contribution(np.ones((2, 2)), image=np.ones((4, 4))), "^image: expected"),
        (lambda: plot_contributions([]), "^rows: expected at least one row"),
        (lambda: plot_contributions([("a", [])]), "^rows: expected at least one row"),
        (
            lambda: plot_contributions([("a", [ContributionPanel()])]),
            r"^rows\[0\]\[0\]: expected values, an image, or both",
        ),
        (
            lambda: plot_contributions(
                [("a", [ContributionPanel(image=np.zeros((2, 2, 3), np.uint8))])]
            ),
            r"^rows\[0\]: expected at least one panel with values",
        ),
        (
            lambda: plot_contributions(
                [(n, [ContributionPanel(np.ones((2, 2)))] * k) for n, k in (("a", 1), ("b", 2))]
            ),
            r"^rows: expected one number of panels in all rows; got \[1, 2\]",
        ),
        (lambda: plot_displacements({}), "^panels: expected at least one"),
        (
            lambda: plot_displacements(
                {
                    (layer, matcher): DisplacementPanel(
                        np.ones(2), np.ones(2), random_displacements((2, 2)), 2
                    )
                    for layer, matcher in (("a", "optimal"), ("b", "greedy"))
                }
            ),
            "^panels: expected every matcher at every layer",
        ),
        (
            lambda: plot_displacements(
                {
                    ("a", "optimal"): DisplacementPanel(
                        np.ones(2), np.ones(3), random_displacements((2, 2)), 2
                    )
                }
            ),
            r"^panels\[\('a', 'optimal'\)\]: expected distances and similarity of one shape",
        ),
    ],
)
def test_plots_refuse(draw, message):
    with pytest.raises(InputError, match=message):
        draw()


# ------------------------------------------------------------------------------------ real data


def test_real_crops():
    """Lite0: partners in a crop that has moved lie where the crop has moved to."""
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("skimage")
    from semrsm.datasets import sample_photos
    from semrsm.datasets.crops import ShiftedCrops

    photos = [photo for photo in sample_photos() if photo[0] in ("astronaut", "coffee")]
    crops = ShiftedCrops(photos, (0.0, 0.5), size=256)  # what the network cuts out of 256 is 224
    features = semrsm.extract("efficientnet-lite0", crops, layers="_blocks.4")
    study = locations(features, crops, pairs=[(0, 1), (2, 3), (0, 2)])
    rows = {(row["left"], row["right"], row["matcher"]): row for row in study.table}
    for name in ("astronaut", "coffee"):
        moved = rows[f"{name} +0", f"{name} +1/2", "optimal"]
        assert moved["rise"] > 0.4
        assert moved["share_beyond_neighbours"] > 0.9
    stranger = rows["astronaut +0", "coffee +0", "optimal"]
    assert stranger["rise"] < moved["rise"]
    # Half of 256 pixels are 16 of the 28 cells, which are 8 pixels wide.
    found = study.maps["coffee +0", "coffee +1/2", "_blocks.4", "optimal"]
    columns = found.partner.reshape(28, 28) % 28 - np.arange(28)
    gains = np.maximum(found.left, 0)
    there = np.abs(columns + 16) <= 1
    assert gains[there].sum() / gains.sum() > 0.4
