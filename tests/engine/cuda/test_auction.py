"""The kernel of the GPU, interpreted, against the solver of the CPU."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import semrsm

SOLVED, OPEN, NOT_FINITE = 0, 1, 2
TOLERANCE = 1e-5


def solve(auction, matrices, **options):
    """Solve matrices that may differ in shape, packed at offsets inside one wide buffer."""
    import torch

    width = sum(m.shape[1] for m in matrices) + 3
    height = max(m.shape[0] for m in matrices)
    buffer = np.full((height, width), 7e8, dtype=np.float32)  # what lies between must not count
    offsets, at = [], 2
    for matrix in matrices:
        buffer[: matrix.shape[0], at : at + matrix.shape[1]] = matrix
        offsets.append(at)
        at += matrix.shape[1]
    found = auction.solve(
        torch.from_numpy(buffer).reshape(-1),
        torch.tensor(offsets),
        torch.tensor([m.shape[0] for m in matrices], dtype=torch.int32),
        torch.tensor([m.shape[1] for m in matrices], dtype=torch.int32),
        row_stride=width,
        widest=max(max(m.shape) for m in matrices),
        **options,
    )
    arrays = found.values, found.upper_bounds, found.status, found.rounds
    return tuple(one.numpy() for one in arrays)


def check(found, matrices):
    """Solved matrices are within the tolerance of the optimum, and their bound is one."""
    values, bounds, status, _ = found
    for n, matrix in enumerate(matrices):
        exact = matrix.astype(np.float64)
        rows, columns = linear_sum_assignment(exact, maximize=True)
        best = exact[rows, columns].sum()
        rounding = 1e-12 * max(1.0, np.abs(exact).sum())
        assert status[n] == SOLVED
        assert values[n] <= best + rounding
        assert bounds[n] >= best - rounding
        size = max(abs(values[n]), abs(bounds[n]))
        assert bounds[n] - values[n] <= TOLERANCE * size


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_random_matrices(auction, size):
    rng = np.random.default_rng(size)
    # Entries around 1: relative gaps mean nothing where a value cancels to nearly zero.
    matrices = [rng.normal(1, 0.5, size=(size, size)).astype(np.float32) for _ in range(2)]
    check(solve(auction, matrices), matrices)


@pytest.mark.parametrize("size", [49, 64, 100])
def test_sizes_of_networks(auction, size, monkeypatch):
    monkeypatch.setattr(auction, "BLOCK_ROWS", 32)  # fewer steps for the interpreter
    rng = np.random.default_rng(size)
    x, y = np.abs(rng.normal(size=(2, size, 32))).astype(np.float32)
    check(solve(auction, [x @ y.T]), [x @ y.T])


@pytest.mark.parametrize(("rows", "columns"), [(3, 5), (5, 3), (1, 4), (9, 10)])
def test_images_of_unequal_sizes(auction, rows, columns):
    rng = np.random.default_rng(0)
    matrices = [rng.normal(mean, 1, size=(rows, columns)).astype(np.float32) for mean in (2, -2)]
    check(solve(auction, matrices), matrices)


@pytest.mark.parametrize(("rows", "columns"), [(1, 16), (15, 12)])
def test_rows_that_are_missing_do_not_outbid_each_other(auction, rows, columns):
    rng = np.random.default_rng(1)
    matrices = [rng.uniform(1, 2, (rows, columns)).astype(np.float32)]
    matrices.append(-matrices[0])
    found = solve(auction, matrices)
    check(found, matrices)
    assert found[3].max() <= 8 * max(rows, columns)


def test_rounding_puts_no_bound_below_the_optimum(auction):
    """In exact arithmetic, over all permutations, with entries of very different sizes."""
    rng = np.random.default_rng(11)
    matrices = [(10 ** rng.uniform(-6, 6, (4, 4))).astype(np.float32) for _ in range(30)]
    _, bounds, status, _ = solve(auction, matrices)
    orders = list(itertools.permutations(range(4)))
    for matrix, bound in zip(matrices, bounds.tolist(), strict=True):
        exact = [[Fraction(entry) for entry in row] for row in matrix.tolist()]
        best = max(sum(exact[i][k] for i, k in enumerate(order)) for order in orders)
        assert Fraction(bound) >= best
    assert (status == SOLVED).all()


def test_a_batch_of_different_shapes(auction):
    rng = np.random.default_rng(0)
    shapes = [(3, 3), (5, 2), (2, 5), (9, 9)]
    matrices = [rng.uniform(1, 2, size=shape).astype(np.float32) for shape in shapes]
    check(solve(auction, matrices), matrices)


@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_equal_entries_need_no_bids(auction, value):
    matrix = np.full((9, 9), value, dtype=np.float32)
    values, bounds, status, rounds = solve(auction, [matrix])
    assert values[0] == bounds[0] == 9 * value
    assert (status[0], rounds[0]) == (SOLVED, 0)


def test_ties(auction):
    matrix = (np.random.default_rng(0).uniform(size=(12, 12)) > 0.6).astype(np.float32) + 1
    check(solve(auction, [matrix]), [matrix])


@pytest.mark.parametrize("scale", [1e-28, 1e-3, 1e6, 1e30])
def test_scales(auction, scale):
    matrix = (np.random.default_rng(0).uniform(0.5, 1, size=(8, 8)) * scale).astype(np.float32)
    found = solve(auction, [matrix])
    exact = matrix.astype(np.float64) / scale
    check(tuple(one / scale if n < 2 else one for n, one in enumerate(found)), [exact])


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")  # of the interpreter
@pytest.mark.parametrize("scale", [1e-40, 3e38])
def test_what_float32_cannot_hold_is_uncertified_at_once(auction, scale):
    entries = np.random.default_rng(0).uniform(-1, 1, size=(8, 8)) * scale
    status, rounds = solve(auction, [entries.astype(np.float32)])[2:]
    assert (status[0], rounds[0]) == (OPEN, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_flagged(auction, bad):
    matrices = [np.ones((5, 5), dtype=np.float32) for _ in range(3)]
    matrices[1][4, 3] = bad
    assert solve(auction, matrices)[2].tolist() == [SOLVED, NOT_FINITE, SOLVED]


def test_rounds_are_capped(auction):
    matrix = np.random.default_rng(0).uniform(1, 2, size=(12, 12)).astype(np.float32)
    status, rounds = solve(auction, [matrix], most_rounds=2)[2:]
    assert (status[0], rounds[0]) == (OPEN, 2)


def test_a_value_that_cancels_is_uncertified(auction):
    """The gap of float32 is wide beside a value of nearly nothing: the CPU does better."""
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(10, 10)).astype(np.float32)
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    matrix -= np.float32(matrix[rows, columns].mean())
    values, bounds, status, _ = solve(auction, [matrix])
    assert status[0] == OPEN
    assert bounds[0] >= values[0]


@settings(max_examples=10)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.lists(st.integers(-4, 20), min_size=25, max_size=25),
)
def test_small_matrices_of_whole_numbers(auction, rows, columns, entries):
    matrix = np.array(entries[: rows * columns], dtype=np.float32).reshape(rows, columns)
    values, bounds, status, _ = solve(auction, [matrix])
    best = semrsm.assign(matrix.astype(np.float64)).value
    if status[0] == SOLVED:
        assert best - TOLERANCE * abs(bounds[0]) <= values[0] <= best <= bounds[0] + 1e-9
    else:
        assert best <= 4 * rows  # next to nothing beside the range of the entries


def test_nothing_to_do(auction):
    import torch

    nothing = torch.zeros(0, dtype=torch.int32)
    found = auction.solve(
        torch.zeros(4), torch.zeros(0, dtype=torch.int64), nothing, nothing, row_stride=2, widest=2
    )
    assert len(found.values) == 0
