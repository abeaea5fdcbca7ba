"""Unequal sizes: every use of the solver where rows of zeros bid for columns that stay free."""

import math
import threading
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from native_search import native_search
from oracles import greedy_on
from semrsm import _native
from semrsm._internal.workers import Cancellation
from semrsm.matching.assignment import Cancelled, Stage, solve

KERNELS = _native.kernels()
# Shapes at which most rows want the same columns, so that rows of zeros do bid; the larger ones
# remember their rows, and neither is a multiple of a vector.
SHAPES = [(45, 49), (61, 70), (150, 196), (410, 450), (64, 80)]


def popular(shape, seed=0, dtype=np.float32):
    """Smooth features: rows compete for a few columns."""
    rng = np.random.default_rng(seed)
    x, y = np.abs(rng.standard_normal((shape[0], 4))), np.abs(rng.standard_normal((shape[1], 4)))
    return np.ascontiguousarray(x @ y.T, dtype)


def chosen(matrix):
    matrix = np.asarray(matrix, np.float64)
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    return matrix[rows, columns]


def run(matrix, kernels="", **options):
    """Solve one matrix; return value, bound, columns."""
    rows, columns = matrix.shape
    values, bounds, assigned = solve(
        np.ascontiguousarray(matrix).reshape(-1),
        np.zeros(1, np.int64),
        rows,
        columns,
        row_stride=columns,
        cancellation=options.pop("cancellation", Cancellation()),
        keep_columns=True,
        kernels=kernels,
        **options,
    )
    return values[0], bounds[0], assigned[0]


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_float64_after_float32(shape, kernels):
    """At tolerance 0 every matrix is solved again, from the prices of the rows of zeros."""
    for turned in (False, True):
        matrix = popular(shape).T if turned else popular(shape)
        best = math.fsum(chosen(matrix))
        loose = run(matrix, kernels, tolerance=1.0)
        exact = run(matrix, kernels, tolerance=0.0)
        assert loose[1] >= exact[1] >= best
        assert exact[1] - best <= 1e-14 * best
        assert exact[0] == pytest.approx(best, rel=1e-14)
        assert loose[0] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_search_stops_where_a_bound_allows_it(shape, dtype, kernels):
    for turned in (False, True):
        matrix = popular(shape, 1, dtype)
        matrix = np.ascontiguousarray(matrix.T) if turned else matrix
        best = math.fsum(chosen(matrix))
        maxima = matrix.max(axis=int(not turned)).sum(dtype=np.float64)
        assert maxima > best * 1.01
        for threshold, stages in [
            (-np.inf, {Stage.SOLVED}),
            (best * (1 - 1e-5), {Stage.SOLVED}),
            (best * (1 + 5e-3), {Stage.AUCTION}),
            (maxima * (1 - 1e-5), {Stage.AUCTION}),
            (maxima * (1 + 1e-5), {Stage.MAXIMA}),
        ]:
            value, bound, stage = native_search(matrix, threshold, kernels=kernels)
            assert stage in stages
            assert bound >= best
            if stage == Stage.SOLVED:
                assert value == pytest.approx(best, rel=2e-6)
            else:
                assert np.isnan(value)
                assert bound < threshold


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(49, 49), (450, 450), *SHAPES])
def test_prices_out_are_bounds_in(shape, dtype, kernels):
    """The prices of a solved matrix rule it out; tried and not enough, they leave no trace."""
    matrix = popular(shape, 2, dtype)
    best = math.fsum(chosen(matrix))
    rows, columns = shape
    prices = np.empty(rows + columns)
    value, bound = np.empty(1), np.empty(1)
    zero = np.zeros(1, np.int64)
    _native.assign(
        matrix.reshape(-1), zero, np.array([rows], np.int32), np.array([columns], np.int32), zero,
        columns, 1, 1e-6, 0, np.zeros(1, np.uint8), value, bound, None, kernels, prices, zero,
    )  # fmt: skip
    given = prices[rows:].astype(dtype)
    _, ruled, stage = native_search(matrix, best * (1 + 1e-4), given, kernels)
    assert stage == Stage.PRICES
    assert best <= ruled < best * (1 + 1e-4)
    # The starting prices are restored: the matrix is solved as it is without the attempt.
    bad = np.random.default_rng(3).uniform(-9, 9, columns).astype(dtype)
    assert native_search(matrix, best * (1 - 1e-5), bad, kernels) == native_search(
        matrix, best * (1 - 1e-5), None, kernels
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 8), (8, 5), (12, 12), (20, 24)])
def test_prices_are_feasible_exactly(shape, dtype):
    """u + v ≥ A entry by entry as rational numbers, ≥ 0 on the longer side; their sum the bound."""
    rows, columns = shape
    rng = np.random.default_rng(4)
    for scale in (1.0, 1e-30, 1e30):
        for draw in (popular(shape, 5, dtype), rng.standard_normal(shape).astype(dtype)):
            matrix = (draw * scale).astype(dtype)
            prices = np.empty(rows + columns)
            value, bound = np.empty(1), np.empty(1)
            zero = np.zeros(1, np.int64)
            _native.assign(
                matrix.reshape(-1), zero, np.array([rows], np.int32),
                np.array([columns], np.int32), zero, columns, 1, 1e-6, 0, np.zeros(1, np.uint8),
                value, bound, None, "", prices, zero,
            )  # fmt: skip
            u, v = [Fraction(x) for x in prices[:rows]], [Fraction(x) for x in prices[rows:]]
            for i, k in np.ndindex(shape):
                assert u[i] + v[k] >= Fraction(float(matrix[i, k]))
            if rows != columns:
                assert min(v if rows < columns else u) >= 0
            assert math.fsum(prices) == pytest.approx(bound[0], rel=1e-14)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("shape", [(45, 49), (49, 45), (410, 450), (30, 40)])
def test_greedy(shape, kernels):
    matrix = popular(shape, 6)
    for taken in (0, 4):
        value, bound, columns = run(matrix, kernels, method="greedy", taken=taken)
        expected = greedy_on(matrix[taken:, taken:])
        np.testing.assert_array_equal(
            columns[taken:], np.where(expected >= 0, expected + taken, -1)
        )
        assert value == pytest.approx(
            sum(matrix[i, k] for i, k in enumerate(columns) if i >= taken and k >= 0), rel=1e-6
        )
        assert bound >= math.fsum(chosen(matrix))


@pytest.mark.parametrize("shape", [(2600, 3000), (3000, 2600)])
def test_cancelled_while_it_runs(shape):
    """Distances on a line take seconds, in bids and in paths; cancelling ends either."""
    rng = np.random.default_rng(7)
    matrix = -np.abs(rng.random((shape[0], 1)) - rng.random(shape[1]))
    cancellation = Cancellation()
    timer = threading.Timer(0.1, cancellation.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        run(matrix, cancellation=cancellation)
    timer.join()


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_are_no_whole_vectors_are_read_in_place(dtype, kernels):
    """Nothing beyond a row or a matrix is used, whatever lies there, and nothing is written."""
    rng = np.random.default_rng(8)
    for rows, columns in [(5, 7), (17, 17), (31, 49), (403, 405), (3, 33)]:
        stride = columns + 3
        buffer = np.full((rows, stride), np.nan, dtype)
        buffer[:, :columns] = rng.standard_normal((rows, columns))
        flat = buffer.reshape(-1)[: (rows - 1) * stride + columns].copy()
        before = flat.copy()
        values, bounds, _ = solve(
            flat,
            np.zeros(1, np.int64),
            rows,
            columns,
            row_stride=stride,
            cancellation=Cancellation(),
            kernels=kernels,
        )
        best = math.fsum(chosen(buffer[:, :columns]))
        assert values[0] == pytest.approx(best, rel=1e-6)
        assert bounds[0] >= best
        np.testing.assert_array_equal(flat, before)
