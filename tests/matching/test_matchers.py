"""Every matcher: a valid matching, the right one, and a bound on the best one."""

import numpy as np
import pytest

import semrsm
from oracles import MATCHERS, batch_optimal, greedy, inner_product, optimal, topk_greedy
from semrsm import matchers
from semrsm.errors import InputError

NAMES = list(MATCHERS)


def images(size, width, channels=12, seed=0, smooth=False):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(size, channels)), rng.normal(size=(width, channels))
    if smooth:  # like features: few directions, different norms
        basis = rng.normal(size=(3, channels))
        x = np.abs(rng.normal(size=(size, 3))) @ basis + 0.1 * x
        y = np.abs(rng.normal(size=(width, 3))) @ basis + 0.1 * y
    return x, y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1), (9, 9), (40, 40), (6, 11), (11, 6), (300, 300)])
@pytest.mark.parametrize("name", NAMES)
def test_match_is_valid_and_bounded(name, sizes, smooth, dtype):
    if name == "none" and sizes[0] != sizes[1]:
        pytest.skip("needs one S; refused in test_none_needs_one_size")
    a, b = (x.astype(dtype) for x in images(*sizes, smooth=smooth))
    found = semrsm.match(a, b, matcher=name)
    placed = found.permutation[found.permutation >= 0]
    assert found.permutation.shape == (sizes[0],)
    assert len(placed) == len(set(placed.tolist())) == min(sizes)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    assert found.value == pytest.approx(inner_product(a, b, found.permutation), abs=1e-6 * size)
    assert found.contributions.sum() == pytest.approx(found.value, abs=1e-6 * size)
    assert (found.contributions[found.permutation < 0] == 0).all()
    best = inner_product(a, b, optimal(a, b))
    assert found.value <= best + 1e-6 * size
    assert found.upper_bound >= best - 1e-6 * size
    if name == "optimal":
        assert found.value == pytest.approx(best, abs=1e-6 * size)
        assert found.upper_bound - found.value <= 1e-6 * abs(found.upper_bound) + 1e-12


@pytest.mark.parametrize("sizes", [(1, 1), (30, 30), (12, 25), (25, 12)])
def test_greedy_is_the_greedy_of_its_definition(sizes):
    for seed in range(5):
        a, b = images(*sizes, seed=seed)
        np.testing.assert_array_equal(
            semrsm.match(a, b, matcher="greedy").permutation, greedy(a, b)
        )


def test_greedy_breaks_ties_by_position():
    a = np.array([[1.0, 0], [1, 0], [0, 1]])
    found = semrsm.match(a, np.array([[1.0, 0], [1, 0], [1, 1]]), matcher="greedy")
    np.testing.assert_array_equal(found.permutation, [0, 1, 2])


@pytest.mark.parametrize("k", [1, 5, 29, 30, 31, 1000])
@pytest.mark.parametrize("sizes", [(30, 30), (30, 44), (44, 30)])
def test_topk_greedy_is_that_of_its_definition(sizes, k):
    a, b = images(*sizes, seed=3)
    found = semrsm.match(a, b, matcher=matchers.TopKGreedy(k=k))
    expected = topk_greedy(a, b, k)
    assert found.value == pytest.approx(inner_product(a, b, expected))
    np.testing.assert_array_equal(found.permutation, expected)


@pytest.mark.parametrize("window", [1, 7, 15, 30, 100])
@pytest.mark.parametrize("sizes", [(30, 30), (30, 44), (44, 30)])
def test_batch_optimal_is_that_of_its_definition(sizes, window):
    a, b = images(*sizes, seed=4)
    found = semrsm.match(a, b, matcher=matchers.BatchOptimal(window=window))
    np.testing.assert_array_equal(found.permutation, batch_optimal(a, b, window))


def test_the_remainder_window_holds_the_smallest_norms():
    rng = np.random.default_rng(5)
    a = rng.normal(size=(10, 4)) * np.arange(1, 11)[:, None]
    found = semrsm.match(a, a[::-1], matcher=matchers.BatchOptimal(window=4))
    order = np.argsort(-np.linalg.norm(a, axis=1))
    partner_norms = np.linalg.norm(a[::-1][found.permutation], axis=1)
    for window in (order[:4], order[4:8], order[8:]):
        np.testing.assert_allclose(
            np.sort(partner_norms[window]), np.sort(np.linalg.norm(a[window], axis=1))
        )


def test_approximations_that_are_large_enough_are_exact():
    a, b = images(50, 50, seed=6)
    best = semrsm.match(a, b).value
    for matcher in (matchers.TopKGreedy(k=50), matchers.BatchOptimal(window=50)):
        assert semrsm.match(a, b, matcher=matcher).value == pytest.approx(best)


def test_zero_vectors_and_zero_images():
    for name in NAMES:
        found = semrsm.match(np.zeros((4, 3)), np.ones((4, 3)), matcher=name)
        assert found.value == 0
        assert found.upper_bound >= 0
        assert sorted(found.permutation.tolist()) == [0, 1, 2, 3]


def test_float32_meets_float64():
    a, b = images(10, 10)
    found = semrsm.match(a.astype(np.float32), b)
    assert found.value == pytest.approx(semrsm.match(a, b).value, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_scaled_features_give_scaled_values(scale):
    a, b = images(20, 20)
    plain = semrsm.match(a, b)
    for dtype in (np.float64, np.float32):
        found = semrsm.match((a * scale).astype(dtype), b.astype(dtype))
        np.testing.assert_array_equal(found.permutation, plain.permutation)
        assert found.value == pytest.approx(plain.value * scale, rel=1e-5)
        assert found.upper_bound == pytest.approx(found.value, rel=2e-6)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((2, 3, 4)), np.ones((2, 3)), r"^a: expected the concept vectors of one image"),
        (np.ones((2, 3)), np.ones(3), r"^b: expected the concept vectors of one image"),
        (np.ones((2, 3)), np.ones((2, 4)), "^b: expected 3 channels as in a; got 4"),
        (np.ones((0, 3)), np.ones((2, 3)), "^a: expected images with at least one vector"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), "^b: expected finite values; got NaN"),
        (np.full((2, 3), 1e200), np.ones((2, 3)), "^a: expected finite values; got a value beyond"),
    ],
)
def test_match_refuses(a, b, message):
    with pytest.raises(InputError, match=message):
        semrsm.match(a, b)


def test_none_needs_one_size():
    with pytest.raises(InputError, match=r"matcher 'none': .* got S = 2 and 3"):
        semrsm.match(np.ones((2, 3)), np.ones((3, 3)), matcher="none")


@pytest.mark.parametrize(
    ("matcher", "message"),
    [
        ("optimum", "^matcher: expected one of none, optimal, .*got 'optimum'. Did you mean 'opt"),
        (3, "^matcher: .*got int"),
        (matchers.Optimal, "^matcher: .*got ABCMeta"),
    ],
)
def test_unknown_matchers(matcher, message):
    with pytest.raises(InputError, match=message):
        semrsm.match(np.ones((2, 3)), np.ones((2, 3)), matcher=matcher)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: matchers.TopKGreedy(k=0), "^k: expected a whole number >= 1; got 0"),
        (lambda: matchers.BatchOptimal(window=2.5), "^window: expected a whole number >= 1"),
        (lambda: matchers.Optimal(tolerance=-1), "^tolerance: expected a number >= 0; got -1"),
    ],
)
def test_options_are_checked(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_repr_is_one_line():
    text = repr(semrsm.match(np.eye(3), np.eye(3)))
    assert text == "Match(3 vectors, matcher='optimal', value=3, relative gap=0.0e+00)"


# ---------------------------------------------------------------- ties, and both ways round


def whole_numbers(size, width, seed):
    """Small integers, as exact in float32 as in float64: many ties, and vectors that are zero."""
    rng = np.random.default_rng(seed)
    return rng.integers(-1, 2, (size, 3)).astype(float), rng.integers(-1, 2, (width, 3)) * 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(5, 5), (17, 17), (40, 64), (64, 40), (150, 150)])
def test_ties_are_broken_as_documented(sizes, dtype):
    """Values are compared: the choice between equal columns changes the rest of a matching."""
    for seed in range(3):
        a, b = whole_numbers(*sizes, seed)
        x, y = a.astype(dtype), b.astype(dtype)
        np.testing.assert_array_equal(
            semrsm.match(x, y, matcher="greedy").permutation, greedy(a, b)
        )
        windows = semrsm.match(x, y, matcher=matchers.BatchOptimal(window=7))
        assert windows.value == inner_product(a, b, batch_optimal(a, b, 7))
        found = semrsm.match(x, y, matcher=matchers.TopKGreedy(k=4))
        expected = inner_product(a, b, topk_greedy(a, b, 4))
        assert found.value == expected
        assert (found.permutation >= 0).sum() == min(sizes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_a_gram_holds_what_match_finds(name, dtype):
    """One tile of many pairs and one pair alone are the same computation."""
    x = np.random.default_rng(8).normal(size=(6, 30, 8)).astype(dtype)
    y = np.random.default_rng(9).normal(size=(4, 30, 8)).astype(dtype)
    options = {
        "topk-greedy": matchers.TopKGreedy(k=7),
        "batch-optimal": matchers.BatchOptimal(window=7),
    }
    matcher = options.get(name, name)
    gram = semrsm.gram(x, y, matcher=matcher)
    for i in range(6):
        for j in range(4):
            one = semrsm.match(x[i], y[j], matcher=matcher)
            assert gram.values[i, j] == pytest.approx(one.value, rel=1e-6, abs=1e-5)
            assert gram.upper_bound[i, j] == pytest.approx(one.upper_bound, rel=1e-6)


@pytest.mark.parametrize("sizes", [(30, 30), (20, 41), (41, 20)])
def test_the_exact_matchers_are_the_same_both_ways_round(sizes):
    a, b = images(*sizes, seed=10)
    for matcher in ("optimal", matchers.BatchOptimal(window=8), matchers.TopKGreedy(k=50)):
        there, back = semrsm.match(a, b, matcher=matcher), semrsm.match(b, a, matcher=matcher)
        assert there.value == pytest.approx(back.value)
        placed = np.flatnonzero(there.permutation >= 0)
        np.testing.assert_array_equal(back.permutation[there.permutation[placed]], placed)


@pytest.mark.parametrize("name", NAMES)
def test_bounds_are_no_smaller_than_the_solved_optimum(name):
    """Features after a ReLU: sparse, non-negative, with vectors that are zero."""
    rng = np.random.default_rng(11)
    x = np.maximum(rng.normal(-0.5, 1, size=(6, 49, 20)), 0).astype(np.float32)
    x[:, ::5] = 0
    best = semrsm.gram(x)
    found = semrsm.gram(x, matcher=name)
    assert (found.upper_bound >= best.values * (1 - 1e-6)).all()
    assert (found.values <= best.upper_bound * (1 + 1e-6)).all()
    assert (found.values <= found.upper_bound).all()


def test_one_vector_meets_many():
    a, b = images(1, 50, seed=12)
    best = int((b @ a[0]).argmax())
    for name in NAMES:
        if name == "none":
            continue
        found = semrsm.match(a, b, matcher=name)
        assert found.permutation.tolist() == [best]
        back = semrsm.match(b, a, matcher=name)
        assert back.permutation[best] == 0
        assert (np.delete(back.permutation, best) == -1).all()


@pytest.mark.parametrize("tolerance", ["tight", None, float("nan")])
def test_refuses_a_tolerance(tolerance):
    with pytest.raises(InputError, match="^tolerance: expected a number >= 0; got"):
        matchers.Optimal(tolerance=tolerance)


def test_zero_tolerance_is_the_optimum_in_float64():
    """Affinities are float32 products; the matching on them is exact."""
    a, b = (x.astype(np.float32) for x in images(60, 60, seed=13))
    found = semrsm.match(a, b, matcher=matchers.Optimal(tolerance=0.0))
    assert found.upper_bound - found.value <= 1e-14 * abs(found.value)
