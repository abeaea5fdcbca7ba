"""The laws of the matchers between location and none, against brute force and planted truths."""

from contextlib import nullcontext
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrsm
from semrsm import matchers
from semrsm._internal.workers import Cancellation
from semrsm.errors import InputError
from semrsm.matching.assignment import Cancelled, NotFiniteError
from semrsm.matching.base import PairTile, Workspace
from semrsm.matching.grids import positions
from semrsm.matching.recompute import inner_products, solve_near
from semrsm.matching.window import near

LADDER = ("none", "shift", "shift:flips=True,quarter_turns=True", "optimal")


def photos(count=6, channels=6, grid=(6, 6), seed=0, dtype=np.float32):
    """Smooth maps, as of photographs, that differ in norm."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(count, channels, *grid))
    for axis in (2, 3):
        maps = maps + np.roll(maps, 1, axis=axis)
    maps += rng.normal(size=(1, channels, 1, 1))
    return (maps * rng.uniform(0.5, 2, size=(count, 1, 1, 1))).astype(dtype)


def vectors(image):
    return image.reshape(len(image), -1).T


def scaled(x):
    """Vectors with ‖X‖² = S."""
    x = np.asarray(x, np.float64)
    return x * np.sqrt(len(x) / (x**2).sum())


def gram(x, matcher, **options):
    return semrsm.gram(x, matcher=matcher, **options)


def moved(grid):
    places = positions(grid)
    return ((places[:, None] - places) ** 2).sum(axis=2)


small = st.tuples(
    st.integers(0, 2**31), st.sampled_from([(1, 5), (2, 3), (1, 7), (2, 2)]), st.integers(1, 4)
)


def pair_of(seed, grid, channels):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(grid[0] * grid[1], channels)).astype(np.float32) for _ in range(2))


@settings(max_examples=15, deadline=None)
@given(small, st.sampled_from([0.0, 0.3, 2.0, 50.0]))
def test_displacement_by_brute_force(case, penalty):
    a, b = pair_of(*case)
    grid = case[1]
    cost = scaled(a) @ scaled(b).T - penalty / 2 * moved(grid)
    rows = np.arange(len(a))
    best = max(cost[rows, list(order)].sum() for order in permutations(range(len(a))))
    found = semrsm.match(a, b, matcher=matchers.Displacement(penalty), grid=grid)
    assert found.value == pytest.approx(best, abs=1e-4)
    assert found.value <= found.upper_bound
    assert found.upper_bound >= best - 1e-12
    d = moved(grid)[rows, found.permutation].mean()
    assert found.extras["displacement"] == pytest.approx(d) == found.displacement
    v = (scaled(a) * scaled(b)[found.permutation]).sum()
    assert found.extras["inner"] == pytest.approx(v, rel=1e-9, abs=1e-9)
    assert found.value == pytest.approx(v - penalty / 2 * len(a) * d, abs=1e-9)
    assert found.squared_norms == (len(a), len(a))


@settings(max_examples=15, deadline=None)
@given(small, st.integers(0, 3))
def test_window_by_brute_force(case, radius):
    a, b = pair_of(*case)
    affinity = a.astype(np.float64) @ b.T.astype(np.float64)
    allowed = near(case[1], radius)
    rows = np.arange(len(a))
    best = max(
        affinity[rows, list(order)].sum()
        for order in permutations(range(len(a)))
        if allowed[rows, list(order)].all()
    )
    found = semrsm.match(a, b, matcher=matchers.Window(radius=radius), grid=case[1])
    assert found.value == pytest.approx(best, abs=1e-4)
    assert allowed[rows, found.permutation].all()
    assert best - 1e-4 <= found.upper_bound <= best + 1e-3


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([(1, 1), (1, 12), (5, 4), (9, 7)]),
    st.integers(0, 4),
    st.sampled_from(["noise", "ties", "equal", "zeros"]),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_banded_solver(seed, grid, radius, kind, dtype):
    """Against the dense solver, with ties and images without any difference."""
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=(grid[0] * grid[1], 3)).astype(dtype) for _ in range(2))
    if kind == "ties":
        a, b = np.round(a), np.round(b)
    elif kind != "noise":
        a[:] = kind == "equal"
    blocks = [semrsm.measure([x], grid=grid).block(0, 1) for x in (a, b)]
    one = np.zeros(1, dtype=np.int64)
    tile = PairTile(*blocks, one, one, Workspace(Cancellation(), nullcontext()))
    values, bounds, [columns] = solve_near(tile, grid, radius)
    allowed = near(grid, radius)
    affinity = a.astype(np.float64) @ b.T.astype(np.float64)
    best = float(semrsm.assign(np.where(allowed, affinity, -1e5)).value)
    assert sorted(columns) == list(range(len(a)))
    assert allowed[np.arange(len(a)), columns].all()
    size = 1 + float(np.linalg.norm(a) * np.linalg.norm(b))
    assert values[0] == pytest.approx(best, abs=1e-6 * size)
    assert values[0] == pytest.approx(inner_products(tile, columns[None], 3)[0], abs=1e-6 * size)
    assert 0 <= bounds[0] - values[0] <= 1e-9 * size


def test_the_banded_solver_can_be_stopped():
    blocks = [semrsm.measure(photos(1, grid=(20, 20))).block(0, 1)] * 2
    one, stop = np.zeros(1, dtype=np.int64), Cancellation()
    stop.cancel()
    with pytest.raises(Cancelled):
        solve_near(PairTile(*blocks, one, one, Workspace(stop, nullcontext())), (20, 20), 2)
    huge = [semrsm.measure(photos(1, grid=(20, 20))).block(0, 1)] * 2
    huge[0].vectors[:] = huge[1].vectors[:] = 1e30
    fresh = Workspace(Cancellation(), nullcontext())
    with pytest.raises(NotFiniteError):
        solve_near(PairTile(*huge, one, one, fresh), (20, 20), 2)


def test_both_ways_through_a_window(monkeypatch):
    x = photos(4, grid=(12, 12))
    for radius in range(12):
        found = []
        for share in (0, 10**9):
            monkeypatch.setattr("semrsm.matching.window.BANDED", share)
            found.append(gram(x, matchers.Window(radius=radius)))
        np.testing.assert_allclose(found[0].values, found[1].values, rtol=1e-5, atol=1e-3)
        assert max(one.largest_gap for one in found) < 1e-6


def test_a_window_that_large_gains_would_leave():
    """One forbidden pair would make room for many better ones."""
    size = 24
    a, b = np.eye(size, dtype=np.float32), np.zeros((size, size), np.float32)
    for s in range(size):
        b[s, s], b[s, (s - 1) % size] = -1, 1  # ⟨a_s, b_s⟩ = −1, ⟨a_s, b_(s+1)⟩ = 1
    found = semrsm.match(a, b, matcher=matchers.Window(radius=1), grid=(1, size))
    assert np.abs(found.permutation - np.arange(size)).max() <= 1
    affinity = np.where(near((1, size), 1), a @ b.T, -1000.0)
    assert found.value == pytest.approx(float(semrsm.assign(affinity.astype(float)).value))
    assert found.upper_bound >= found.value


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 6), st.sampled_from([0.1, 0.5, 0.8, 1])
)
def test_partial_by_brute_force(seed, size, width, share):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(size, 3)), rng.normal(size=(width, 3))
    affinity = a @ b.T
    m = max(1, round(share * min(size, width)))

    def best(m):
        return max(
            sum(affinity[i, j] for i, j in zip(rows, columns, strict=True))
            for rows in combinations(range(size), m)
            for columns in permutations(range(width), m)
        )

    found = semrsm.match(a, b, matcher=matchers.Partial(share, exact=True))
    taken = np.flatnonzero(found.permutation >= 0)
    assert len(taken) == m == len(set(found.permutation[taken]))
    assert found.extras["inner"] == pytest.approx(best(m), abs=1e-9)
    chosen, met = a[taken], b[found.permutation[taken]]
    cosine = (chosen * met).sum() / np.linalg.norm(chosen) / np.linalg.norm(met)
    assert found.extras["cosine"] == pytest.approx(cosine)
    assert found.value == pytest.approx(cosine * np.linalg.norm(a) * np.linalg.norm(b))
    assert found.gap < 1e-6
    curve = found.curve(exact=True)
    np.testing.assert_allclose(curve, [best(k) for k in range(1, min(size, width) + 1)], atol=1e-9)
    assert (np.diff(curve, n=2) <= 1e-9).all()
    near_best = semrsm.match(a, b, matcher=matchers.Partial(share))
    assert near_best.extras["inner"] <= best(m) + 1e-9
    # The bound is that of the best m pairs, over the norms of the vectors that were matched.
    assert near_best.upper_bound >= best(m) * near_best.value / near_best.extras[
        "inner"
    ] - 1e-9 or (near_best.extras["inner"] <= 0)
    own, other = found.unmatched
    assert len(own) == size - m
    assert len(other) == width - m


def test_the_ladder():
    x = photos()
    rungs = [gram(x, name) for name in LADDER]
    for low, high in pairwise(rungs):
        slack = 1e-5 * np.sqrt(low.row_squared_norms[:, None] * low.row_squared_norms)
        assert (low.values <= high.values + slack).all()
        assert low.values.mean() < high.values.mean()
    radii = [gram(x, matchers.Window(radius=r)).values for r in range(6)]
    scale = 1e-5 * np.abs(radii[-1]).max()
    np.testing.assert_allclose(radii[0], rungs[0].values, atol=scale)
    np.testing.assert_allclose(radii[-1], rungs[-1].values, atol=scale)
    assert all((a <= b + scale).all() for a, b in pairwise(radii))
    assert matchers.Window(share=0.5).cells((6, 4)) == 3
    assert matchers.Window(share=1.0).cells((6, 4)) == 6
    assert matchers.Window().cells((4, 10)) == 2


def test_both_ends_of_displacement():
    x = photos()
    for penalty, end in ((0, "optimal"), (1e7, "none")):
        found = gram(x, matchers.Displacement(penalty))
        np.testing.assert_allclose(found.row_squared_norms, 36)
        np.testing.assert_allclose(
            found.rsm("cosine").values, gram(x, end).rsm("cosine").values, atol=2e-6
        )
        np.testing.assert_array_equal(found.rsm("cosine").values.diagonal(), 1)
        assert (found.upper_bound >= found.values).all()


def test_everything_falls_with_the_penalty():
    x = photos(2, dtype=np.float64)
    a, b = vectors(x[0]), vectors(x[1])
    penalties = np.linspace(0, 20, 41)
    found = [
        semrsm.match(a, b, matcher=matchers.Displacement(penalty), grid=(6, 6))
        for penalty in penalties
    ]
    w = np.array([one.value for one in found])
    d = np.array([one.extras["displacement"] for one in found])
    v = np.array([one.extras["inner"] for one in found])
    for falling in (w, d, v):
        assert (np.diff(falling) <= 1e-9).all()
        assert falling[-1] < falling[0]
    assert (np.diff(w, n=2) >= -1e-9).all()
    slope = np.diff(w) / np.diff(penalties)  # between the derivatives −S·D/2 at both ends
    assert (slope >= -18 * d[:-1] - 1e-9).all()
    assert (slope <= -18 * d[1:] + 1e-9).all()


@pytest.mark.parametrize("scale", [1e-18, 1e18])
@pytest.mark.parametrize(
    "name", ["displacement:penalty=3", "window", "shift", "align", "partial", "maxsim"]
)
def test_units_cancel_out(name, scale):
    x = photos(3)
    one = gram(x, name).rsm("cosine").values
    other = gram((x.astype(np.float64) * scale).astype(np.float32), name).rsm("cosine").values
    np.testing.assert_allclose(other, one, atol=1e-5)


@pytest.mark.parametrize("matcher", ["displacement:penalty=3", "shift", "window:radius=2"])
def test_symmetry(matcher):
    x = photos(5)
    np.testing.assert_allclose(
        gram(x, matcher, y=x[::-1]).values[:, ::-1], gram(x, matcher).values, rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("matcher", ["align", "partial", "partial:exact=true", "maxsim"])
def test_symmetry_of_similarities(matcher):
    x, y = photos(4), photos(4, seed=1)
    np.testing.assert_allclose(
        gram(x, matcher, y=y).values, gram(y, matcher, y=x).values.T, rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("matcher", ["displacement:penalty=3", "shift", "shift:flips=true"])
def test_the_triangle_inequality(matcher):
    x = photos(9, dtype=np.float64)
    x[1:4] = [np.roll(x[0], 1, axis=2), np.roll(x[0], 2, axis=1), x[0] + 0.3 * x[5]]
    found = gram(x, matcher)
    norms = found.row_squared_norms
    distance = np.sqrt(np.maximum(norms[:, None] + norms - 2 * found.values, 0))
    assert (distance[:, :, None] <= distance[:, None, :] + distance.T[None] + 1e-7).all()


def test_rolled_maps():
    x = photos(1, grid=(5, 8))[0]
    for shift in ((0, 0), (1, 3), (-2, -3), (2, 1)):
        y = np.roll(x, shift, axis=(1, 2))
        found = semrsm.match(vectors(x), vectors(y), matcher="shift", grid=(5, 8))
        assert found.extras["shift"] == shift
        assert found.value == pytest.approx(float((x.astype(float) ** 2).sum()), rel=1e-9)
        assert found.upper_bound >= found.value
        assert found.gap < 1e-4
        np.testing.assert_allclose(vectors(y)[found.permutation], vectors(x))


def test_turned_and_mirrored_maps():
    x = photos(1, grid=(5, 5))[0]
    every = "shift:flips=true,quarter_turns=true"
    for flip in (False, True):
        for turn in range(4):
            y = np.roll(np.rot90(x[:, ::-1] if flip else x, turn, axes=(1, 2)), (1, 2), axis=(1, 2))
            found = semrsm.match(vectors(x), vectors(y), matcher=every, grid=(5, 5))
            np.testing.assert_allclose(vectors(y)[found.permutation], vectors(x))
            extras = found.extras
            back = np.rot90(y[:, ::-1] if extras["flipped"] else y, extras["quarter_turns"], (1, 2))
            down, across = extras["shift"]
            np.testing.assert_allclose(np.roll(back, (-down, -across), axis=(1, 2)), x)
    wide = photos(2, grid=(4, 6))
    flipped = gram(wide, "shift:flips=true", y=wide[:, :, ::-1, ::-1])
    assert flipped.rsm("cosine").values.diagonal() == pytest.approx(1)
    with pytest.raises(InputError, match=r"^x: the matcher 'shift.*expects a square grid"):
        gram(wide, every)


def test_crops_are_aligned():
    """Blocks of constant cells, so that a crop shrunk by averaging is the same at both scales."""
    rng = np.random.default_rng(3)
    photo = rng.normal(size=(5, 12, 12)).repeat(2, axis=1).repeat(2, axis=2)
    for down, across in ((0, 4), (6, 2), (12, 12)):
        # A crop of half the side at full resolution, against the whole photograph.
        whole = photo.reshape(5, 12, 2, 12, 2).mean(axis=(2, 4))
        crop = photo[:, down : down + 12, across : across + 12]
        found = semrsm.match(vectors(crop), vectors(whole), matcher="align", grid=(12, 12))
        assert found.extras["scale"] == 0.5
        assert found.extras["shift"] == (down / 2, across / 2)
        assert found.extras["frame"] == (down / 2, across / 2, 6, 6)
        assert found.extras["cosine"] == pytest.approx(1, abs=1e-9)
        np.testing.assert_allclose(vectors(whole)[found.permutation], vectors(crop))
        back = semrsm.match(vectors(whole), vectors(crop), matcher="align", grid=(12, 12))
        assert back.extras["scale"] == 2
        assert back.extras["shift"] == (-down, -across)
        assert back.value == pytest.approx(found.value)
    for shift in ((3, -4), (-5, 1)):
        a = rng.normal(size=(4, 20, 20)).astype(np.float32)
        one = a[:, 5:15, 5:15]
        other = a[:, 5 - shift[0] : 15 - shift[0], 5 - shift[1] : 15 - shift[1]]
        options = matchers.Align(overlap=0.3)
        found = semrsm.match(vectors(one), vectors(other), matcher=options, grid=(10, 10))
        assert found.extras["shift"] == shift
        assert found.extras["scale"] == 1
        assert found.extras["cosine"] == pytest.approx(1, abs=1e-9)
        inside = (10 - abs(shift[0])) * (10 - abs(shift[1]))
        assert (found.permutation >= 0).sum() == inside
        narrow = semrsm.match(
            vectors(one), vectors(other), matcher="align:overlap=0.9", grid=(10, 10)
        )
        assert narrow.extras["cosine"] < 0.9


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(1, 4), (3, 3), (4, 3)]), st.booleans())
def test_align_by_brute_force(seed, grid, sparse):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 3, *grid))
    if sparse:  # overlaps without anything in them
        x[:, :, :, : grid[1] // 2] = 0
    least = 0.4
    best = 0.0 if sparse else -1.0
    height, width = grid
    for down in range(1 - height, height):
        for across in range(1 - width, width):
            a = x[
                0,
                :,
                max(0, -down) : height - max(0, down),
                max(0, -across) : width - max(0, across),
            ]
            b = x[
                1, :, max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)
            ]
            if a[0].size < least * height * width - 1e-9:
                continue
            size = np.sqrt((a**2).sum() * (b**2).sum())
            best = max(best, (a * b).sum() / size if size > 0 else 0.0)
    for dtype, close in ((np.float64, 1e-9), (np.float32, 1e-5)):
        one, other = (vectors(image).astype(dtype) for image in x)
        options = matchers.Align(overlap=least, scales=(1,))
        found = semrsm.match(one, other, matcher=options, grid=grid)
        assert found.extras["cosine"] == pytest.approx(best, abs=close)
        assert found.upper_bound >= found.value
        assert found.gap < 3e-3


def test_planted_displacements_and_outliers():
    rng = np.random.default_rng(0)
    grid = (6, 6)
    a = rng.normal(size=(36, 12))
    exchanged = np.arange(36)
    exchanged[[7, 8]] = [8, 7]
    b = a[exchanged] + 0.01 * rng.normal(size=a.shape)
    found = semrsm.match(a, b, matcher="displacement:penalty=1", grid=grid)
    np.testing.assert_array_equal(found.permutation, exchanged)
    assert found.displacement == pytest.approx(2 / 36 / 36)
    outliers = rng.choice(36, 9, replace=False)
    b[outliers] = 0.02 * rng.normal(size=(9, 12))
    for exact in (False, True):
        kept = semrsm.match(a, b, matcher=matchers.Partial(0.75, exact=exact), grid=grid)
        own, other = kept.unmatched
        assert set(other) == set(outliers)
        assert len(own) == 9
        assert kept.extras["cosine"] > 0.99


def test_maxsim():
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(s, 5)) for s in (4, 7, 1, 6)]

    def value(a, b):
        affinity = a @ b.T
        return (affinity.max(axis=1).sum() + affinity.max(axis=0).sum()) / 2

    for unit in (False, True):
        y = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in x] if unit else x
        expected = np.array([[value(a, b) for b in y] for a in y])
        found = gram(x, matchers.MaxSim(unit=unit))
        np.testing.assert_allclose(found.values, expected, atol=1e-12)
        np.testing.assert_allclose(found.row_squared_norms, expected.diagonal())
        np.testing.assert_array_equal(found.rsm("cosine").values.diagonal(), 1)
    maps = photos(4)
    assert (gram(maps, "maxsim").values >= gram(maps, "optimal").values - 1e-3).all()
    best = semrsm.match(x[0], x[1], matcher="maxsim")
    np.testing.assert_array_equal(best.permutation, (x[0] @ x[1].T).argmax(axis=1))


def test_images_of_zeros():
    x = photos(4)
    x[2] = 0
    names = ("displacement:penalty=5", "window", "shift", "align", "partial", "maxsim")
    for name in (*names, "maxsim:unit=true", "partial:exact=true"):
        found = gram(x, name)
        assert (found.values[2] == 0).all(), name
        assert found.row_squared_norms[2] == 0
        assert np.isfinite(found.rsm("cosine").values).all()
        assert found.largest_gap < (1 if name == "partial" else 1e-3)


def test_the_unit_of_the_penalty():
    x = photos(5, dtype=np.float64)
    by_hand = []
    for i, j in combinations(range(5), 2):
        a, b = scaled(vectors(x[i])), scaled(vectors(x[j]))
        best = semrsm.match(a, b, grid=(6, 6))
        by_hand.append((best.value - (a * b).sum(), 36 * best.displacement))
    gained, distance = np.sum(by_hand, axis=0)
    found = gram(x, "displacement:penalty=2x")
    assert found.matcher == "displacement:penalty=2x"
    assert found.resolved == {"penalty": pytest.approx(4 * gained / distance)}
    np.testing.assert_array_equal(
        found.values, gram(x, matchers.Displacement(found.resolved["penalty"])).values
    )
    assert gram(x, "displacement:penalty=0.0").matcher == "displacement:penalty=0"
    same = np.repeat(x[:1], 3, axis=0)
    assert gram(same, "displacement").resolved == {"penalty": 0}
    assert gram(x, "displacement", y=x[:2]).resolved["penalty"] > 0


@pytest.mark.parametrize("bad", [-1, np.inf, "x", "-2x", "2", True, None])
def test_bad_penalties(bad):
    with pytest.raises(InputError, match=r"^penalty: expected a finite number >= 0, or a multiple"):
        matchers.Displacement(bad)


def test_refusals():
    cases = {
        "radius, share: expected one": lambda: matchers.Window(radius=1, share=0.1),
        "radius: expected a whole": lambda: matchers.Window(radius=-1),
        "share: expected a number in [0, 1]": lambda: matchers.Window(share=1.1),
        "share: expected a number in (0, 1]": lambda: matchers.Partial(0),
        "exact: expected": lambda: matchers.Partial(exact=1),
        "flips: expected": lambda: matchers.Shift(flips="yes"),
        "overlap: expected": lambda: matchers.Align(overlap=0),
        "scales: expected distinct": lambda: matchers.Align(scales=(0.5,)),
        "matcher: align:scales: expected numbers": lambda: matchers.resolve_matcher(
            "align:scales=a"
        ),
    }
    for beginning, call in cases.items():
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value).startswith(beginning)
    flat, wide, tall = photos(3, grid=(3, 4)), photos(3, grid=(2, 6)), photos(3, grid=(2, 2))
    for name in ("displacement", "window", "shift", "align"):
        with pytest.raises(
            InputError, match=r"^y: expected images with the grid of x, \(3, 4\).*\(2, 6\)"
        ):
            gram(flat, name, y=wide)
        with pytest.raises(
            InputError, match=rf"^matcher '{name}': expected images with one number"
        ):
            gram(flat, name, y=tall)
        with pytest.raises(InputError, match=r"^x: expected features whose grid is known"):
            gram(flat.reshape(3, 6, 12).transpose(0, 2, 1), name)


def test_options_go_round_in_labels():
    for label in (
        "align:scales=1.0+0.5",
        "window:radius=3",
        "window:share=0.25",
        "maxsim:unit=True",
    ):
        assert matchers.resolve_matcher(label).label == label
    assert matchers.resolve_matcher("partial:share=1").label == "partial:share=1.0"
    assert matchers.Displacement("2.0x").label == "displacement:penalty=2x"


def test_curves():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(9, 3))
    whole = semrsm.match(a, b)
    np.testing.assert_allclose(whole.curve()[-1], whole.value)
    np.testing.assert_allclose(semrsm.match(a, b, matcher="partial").curve(), whole.curve())
    exact = whole.curve(exact=True)
    assert (exact >= whole.curve() - 1e-9).all()
    np.testing.assert_allclose(exact[-1], whole.value)
    np.testing.assert_allclose(exact[0], (a @ b.T).max())
