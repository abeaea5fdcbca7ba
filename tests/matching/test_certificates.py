"""Bounds hold in exact arithmetic for the entries as given, and meet the value where numbers do."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import semrsm
from native_search import native_search
from semrsm import _native
from semrsm._internal.workers import Cancellation
from semrsm.matching.assignment import Stage, solve

KERNELS = _native.kernels()


def run(batch, kernels="", method="assign"):
    count, rows, columns = batch.shape
    return solve(
        batch.reshape(-1),
        np.arange(count, dtype=np.int64) * rows * columns,
        rows,
        columns,
        row_stride=columns,
        cancellation=Cancellation(),
        keep_columns=True,
        kernels=kernels,
        method=method,
    )


def exact_optimum(matrix):
    """Brute force over all assignments in rational numbers."""
    rows, columns = matrix.shape
    if rows > columns:
        return exact_optimum(matrix.T)
    entries = [[Fraction(float(x)) for x in row] for row in matrix]
    return max(
        sum(entries[i][k] for i, k in enumerate(taken))
        for taken in itertools.permutations(range(columns), rows)
    )


DRAWS = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "thirds": lambda rng, size: rng.integers(-9, 10, size) / 3,
    "magnitudes": lambda rng, size: rng.standard_normal(size) * 10.0 ** rng.uniform(-30, 30, size),
    "denormal": lambda rng, size: rng.integers(0, 9, size) * 1e-45,
    "mixed with denormal": lambda rng, size: (
        np.where(rng.random(size) < 0.3, 1e25, 1) * rng.integers(0, 9, size) * 1e-44
    ),
    "large": lambda rng, size: rng.standard_normal(size) * 1e37,
    "distances": lambda rng, size: (
        -np.abs(rng.random((size[0], size[1], 1)) - rng.random((size[0], 1, size[2])))
    ),
    "offset": lambda rng, size: 1e6 + rng.standard_normal(size),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("draw", DRAWS)
def test_no_bound_lies_below_the_optimum(draw, dtype):
    rng = np.random.default_rng(1)
    for rows, columns in [(1, 1), (2, 2), (3, 5), (5, 3), (5, 5)]:
        batch = DRAWS[draw](rng, (8, rows, columns)).astype(dtype)
        best = [exact_optimum(matrix) for matrix in batch]
        for kernels, method in itertools.product(KERNELS, ("assign", "greedy")):
            values, bounds, _ = run(batch, kernels, method)
            for value, bound, exact in zip(values, bounds, best, strict=True):
                assert Fraction(bound) >= exact
                assert bound >= value
        for matrix, exact in zip(batch, best, strict=True):
            for kernels, share in itertools.product(KERNELS, (0.5, 0.999999, 1.000001, 2)):
                threshold = float(exact) * share
                _, bound, stage = native_search(matrix, threshold, kernels=kernels)
                assert Fraction(bound) >= exact
                assert stage == Stage.SOLVED or threshold >= exact


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_bound_of_larger_matrices_lies_below_a_matching(dtype):
    rng = np.random.default_rng(2)
    for size in [(3, 33, 40), (3, 49, 49), (2, 130, 120), (1, 410, 410)]:
        for draw in DRAWS:
            batch = DRAWS[draw](rng, size).astype(dtype)
            values, bounds, assigned = run(batch)
            for matrix, value, bound, columns in zip(batch, values, bounds, assigned, strict=True):
                matrix = matrix.astype(np.float64)
                rows = np.flatnonzero(columns >= 0)
                mine = math.fsum(matrix[rows, columns[rows]])
                other = math.fsum(matrix[linear_sum_assignment(matrix, maximize=True)])
                assert bound >= max(mine, other)
                assert value == pytest.approx(mine, rel=3e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(49, 49), (40, 49), (49, 40), (100, 100), (410, 410)])
def test_integers_have_exact_bounds(shape, dtype):
    rng = np.random.default_rng(3)
    for high in (2, 5, 100):
        batch = rng.integers(-high, high, (2, *shape)).astype(dtype)
        for kernels in KERNELS:
            values, bounds, _ = run(batch, kernels)
            np.testing.assert_array_equal(values, bounds)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_optimum_of_zeros_has_the_bound_zero(dtype):
    """Costs with a zero in every row: a relative gap has no room for rounding."""
    rng = np.random.default_rng(4)
    for size in (3, 30, 100):
        x = rng.standard_normal((size, 3))
        costs = ((x[:, None] - x[rng.permutation(size)]) ** 2).sum(-1)
        for matrix in (-costs, -np.sqrt(costs), -costs[:, : size // 2 + 1]):
            found = semrsm.assign(matrix.astype(dtype))
            assert float(found.value) == 0
            assert float(found.upper_bound) == 0
