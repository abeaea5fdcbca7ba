"""The solver against brute force, SciPy, and matrices made to break it."""

import itertools
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import semrsm
from oracles import greedy_on
from semrsm import _native
from semrsm._internal.workers import Cancellation
from semrsm.errors import InputError
from semrsm.matching.assignment import TOLERANCE, Cancelled, NotFiniteError, relative_gap, solve

SHAPES = [(1, 1), (1, 6), (6, 1), (2, 2), (3, 7), (7, 3), (20, 20), (49, 49), (50, 64), (64, 50)]


def optimum(matrix):
    rows, columns = linear_sum_assignment(np.asarray(matrix, np.float64), maximize=True)
    return float(np.asarray(matrix, np.float64)[rows, columns].sum())


def check(matrix, found, rel=2e-6):
    """One result is a matching, its value is right, and its bound is one."""
    matrix = np.asarray(matrix, np.float64)
    placed = np.flatnonzero(found.columns >= 0)
    assert len(placed) == min(matrix.shape)
    assert len(set(found.columns[placed].tolist())) == len(placed)
    taken = matrix[placed, found.columns[placed]].sum()
    size = np.abs(matrix).max(initial=0) * max(1, len(placed))
    assert float(found.value) == pytest.approx(taken, rel=1e-12, abs=1e-12 * size)
    best = optimum(matrix)
    assert float(found.value) == pytest.approx(best, rel=rel, abs=rel * size / 100)
    assert float(found.upper_bound) >= best - 1e-12 * size
    assert float(found.upper_bound) >= float(found.value)


def brute_force(matrix):
    rows, columns = matrix.shape
    if rows > columns:
        return brute_force(matrix.T)
    return max(
        sum(matrix[i, c] for i, c in enumerate(chosen))
        for chosen in itertools.permutations(range(columns), rows)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4, 4), (5, 3), (6, 6), (7, 7)])
def test_brute_force(shape, dtype):
    rng = np.random.default_rng(1)
    for draw in (rng.normal, lambda size: rng.integers(-2, 3, size)):
        matrix = draw(size=shape).astype(dtype)
        found = semrsm.assign(matrix)
        assert float(found.value) == pytest.approx(brute_force(matrix.astype(float)), rel=1e-6)


MATRICES = {
    "normal": lambda rng, s, t: rng.normal(size=(s, t)),
    "uniform": lambda rng, s, t: rng.uniform(size=(s, t)),
    "ties": lambda rng, s, t: rng.integers(0, 3, size=(s, t)),
    "constant": lambda rng, s, t: np.full((s, t), -3.25),
    "zeros": lambda rng, s, t: np.zeros((s, t)),
    "identity": lambda rng, s, t: np.eye(s, t),
    "one": lambda rng, s, t: np.eye(s, t) * (np.arange(s) == 0)[:, None],
    "rank one": lambda rng, s, t: rng.normal(size=(s, 1)) * rng.normal(size=(1, t)),
    "products": lambda rng, s, t: np.arange(1.0, s + 1)[:, None] * np.arange(1.0, t + 1),
    "negative": lambda rng, s, t: -rng.uniform(1, 2, size=(s, t)),
    "one huge": lambda rng, s, t: rng.uniform(size=(s, t)) + 1e6 * np.eye(s, t, k=0)[::-1],
    "tiny": lambda rng, s, t: 1e-42 * rng.integers(1, 999, size=(s, t)),
    "large": lambda rng, s, t: 1e37 * rng.normal(size=(s, t)),
    "many magnitudes": lambda rng, s, t: 10.0 ** rng.uniform(-30, 30, size=(s, t)),
    "blocks": lambda rng, s, t: np.kron(rng.normal(size=(s, t)), np.ones((1, 1)))[:s, :t].round(1),
    "copies of a row": lambda rng, s, t: np.tile(rng.normal(size=(1, t)), (s, 1)),
    "copies of a column": lambda rng, s, t: np.tile(rng.normal(size=(s, 1)), (1, t)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", MATRICES)
def test_scipy(kind, dtype):
    rng = np.random.default_rng(2)
    for shape in SHAPES:
        matrix = MATRICES[kind](rng, *shape).astype(dtype)
        check(matrix, semrsm.assign(matrix))


@pytest.mark.parametrize("kind", ["normal", "ties", "one", "identity", "constant"])
def test_ends_on_4096(kind):
    matrix = MATRICES[kind](np.random.default_rng(3), 4096, 4096).astype(np.float32)
    found = semrsm.assign(matrix)
    assert len(np.unique(found.columns)) == 4096
    assert relative_gap(found.value, found.upper_bound) <= TOLERANCE
    if kind in ("one", "identity"):
        assert float(found.value) == (1.0 if kind == "one" else 4096.0)


@pytest.mark.parametrize("size", [128, 401, 784])
def test_large_matrices_of_every_width(size):
    """Around the sizes at which the solver changes how it reads rows."""
    rng = np.random.default_rng(size)
    features = rng.normal(size=(2, size, 24)).astype(np.float32)
    batch = np.stack([features[0] @ features[1].T, np.abs(features[0]) @ features[0].T])
    found = semrsm.assign(batch)
    for n in range(2):
        assert float(found.value[n]) == pytest.approx(optimum(batch[n]), rel=1e-6)
        assert relative_gap(found.value[n], found.upper_bound[n]) <= TOLERANCE


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_instruction_set_agrees(dtype):
    rng = np.random.default_rng(4)
    for size, width in [(5, 5), (49, 49), (30, 70), (500, 500)]:
        batch = rng.normal(size=(6, size, width)).astype(dtype)
        offsets = np.arange(6, dtype=np.int64) * size * width
        found = [
            solve(
                batch.reshape(-1),
                offsets,
                size,
                width,
                row_stride=width,
                cancellation=Cancellation(),
                kernels=name,
            )
            for name in _native.kernels()
        ]
        for values, bounds, _ in found:
            np.testing.assert_allclose(values, found[0][0], rtol=1e-6)
            assert (bounds >= values).all()
            np.testing.assert_allclose(values, [optimum(m) for m in batch], rtol=1e-6)


def test_an_unknown_instruction_set_is_refused():
    with pytest.raises(ValueError, match="cannot run the kernels 'mmx'"):
        solve(
            np.zeros(4),
            np.zeros(1, np.int64),
            2,
            2,
            row_stride=2,
            cancellation=Cancellation(),
            kernels="mmx",
        )


def test_native_refuses_what_lies_outside_the_buffer():
    for offset, stride in ((1, 2), (-1, 2), (0, 3)):
        with pytest.raises(ValueError, match="does not lie inside"):
            solve(
                np.zeros(4),
                np.array([offset], np.int64),
                2,
                2,
                row_stride=stride,
                cancellation=Cancellation(),
            )


def test_a_batch_gives_what_its_matrices_give_alone():
    """Matrices of different hardness share the solver's lanes; none may notice the others."""
    rng = np.random.default_rng(5)
    kinds = [MATRICES[kind] for kind in ("normal", "ties", "constant", "products", "identity")]
    batch = np.stack([kinds[n % 5](rng, 31, 31) for n in range(23)]).astype(np.float32)
    together = semrsm.assign(batch, workers=1)
    for n, matrix in enumerate(batch):
        alone = semrsm.assign(matrix)
        assert float(alone.value) == float(together.value[n])
        np.testing.assert_array_equal(alone.columns, together.columns[n])


def test_threads_change_nothing():
    batch = np.random.default_rng(6).normal(size=(300, 40, 40)).astype(np.float32)
    one, two = semrsm.assign(batch, workers=1), semrsm.assign(batch, workers=3)
    np.testing.assert_array_equal(one.columns, two.columns)
    np.testing.assert_array_equal(one.upper_bound, two.upper_bound)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (2, 0, 4)])
def test_leading_shapes(shape):
    batch = np.random.default_rng(7).normal(size=(*shape, 4, 5))
    found = semrsm.assign(batch)
    assert found.columns.shape == (*shape, 4)
    assert found.value.shape == found.upper_bound.shape == shape
    assert found.columns.dtype == np.int64
    assert found.value.dtype == found.upper_bound.dtype == np.float64
    for index in np.ndindex(shape):
        assert float(found.value[index]) == pytest.approx(optimum(batch[index]))


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 3), (3, 0)])
def test_empty_matrices(rows, columns):
    found = semrsm.assign(np.zeros((2, rows, columns)))
    assert found.columns.shape == (2, rows)
    assert (found.columns == -1).all()
    assert (found.value == 0).all()
    assert (found.upper_bound == 0).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(np.float16),
        lambda a: (a * 100).astype(np.int32),
        lambda a: a > 0,
        lambda a: np.asfortranarray(a),
        lambda a: a[::-1, ::2],
        lambda a: a.tolist(),
    ],
)
def test_kinds_of_arrays(change):
    matrix = change(np.random.default_rng(8).normal(size=(9, 12)))
    check(np.asarray(matrix), semrsm.assign(matrix))


def test_torch_tensors():
    torch = pytest.importorskip("torch", reason="torch is optional")
    matrix = torch.randn(9, 9, requires_grad=True)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        cast = matrix.to(dtype)
        found = semrsm.assign(cast)
        assert float(found.value) == pytest.approx(optimum(cast.detach().double().numpy()))


def test_zero_tolerance_solves_in_float64():
    rng = np.random.default_rng(9)
    features = rng.normal(size=(80, 49, 32)).astype(np.float32)
    batch = features[:40] @ features[40:].transpose(0, 2, 1)
    loose, exact = semrsm.assign(batch, tolerance=1.0), semrsm.assign(batch, tolerance=0.0)
    gaps = [relative_gap(r.value, r.upper_bound).max() for r in (loose, exact)]
    assert gaps[1] < 1e-14
    assert gaps[1] < gaps[0]
    np.testing.assert_allclose(exact.value, [optimum(m) for m in batch], rtol=1e-14)


def test_relative_gap():
    gaps = relative_gap([0.0, 1.0, -2.0, 0.0], [0.0, 2.0, -1.0, 1.0])
    np.testing.assert_array_equal(gaps, [0.0, 0.5, 0.5, 1.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0],), r"^affinity: expected an array of shape \(..., S, T\); got one of shape"),
        (([["a", "b"]],), "^affinity: expected real numbers"),
        ((np.eye(2) * 1j,), "^affinity: expected real numbers of at most 64 bits; got dtype comp"),
        (([[1.0], [2.0, 3.0]],), "^affinity: expected an array of numbers; got list"),
        ((np.array([[np.nan, 1], [0, 1]]),), "^affinity: expected finite entries, or -inf for"),
        ((np.array([[np.inf]], np.float32),), "^affinity: expected finite entries"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        semrsm.assign(*arguments)


def test_names_the_matrix_that_is_not_finite():
    batch = np.zeros((3, 4, 5, 5))
    batch[2, 1, 4, 4] = np.inf
    with pytest.raises(InputError, match=r"^affinity\[2, 1\]: .* got infinity of the other sign$"):
        semrsm.assign(batch)


@pytest.mark.parametrize("tolerance", [-1.0, float("nan")])
def test_refuses_a_tolerance(tolerance):
    with pytest.raises(InputError, match=r"^tolerance: expected a number >= 0; got"):
        semrsm.assign(np.eye(2), tolerance=tolerance)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "two"])
def test_refuses_workers(workers):
    with pytest.raises(InputError, match=r"^workers: expected a whole number >= 1; got"):
        semrsm.assign(np.eye(2), workers=workers)


def test_repr_is_one_line():
    assert repr(semrsm.assign(np.eye(3))) == (
        "Assignment(columns (3,), largest relative gap 0.0e+00)"
    )


def test_ctrl_c_ends_one_long_assignment(request):
    """The worst matrix known: several seconds inside native code."""
    program = (
        "import numpy as np, semrsm; n = np.arange(1.0, 5001);"
        "print('go', flush=True); semrsm.assign(n[:, None] * n)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    request.addfinalizer(process.kill)
    assert process.stdout.readline() == "go\n"
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 3
    assert errors.rstrip().endswith("KeyboardInterrupt")


# ---------------------------------------------------------------- harder cases


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [63, 64, 300])
def test_price_wars_and_blocks(size, dtype):
    """Matrices on which an auction alone would take for ever."""
    rng = np.random.default_rng(size)
    n = np.arange(1.0, size + 1)
    group = np.arange(size) * 7 // size
    matrices = {
        "products": n[:, None] * n,
        "powers": 1.5 ** (-np.abs(n[:, None] - n) % 40),
        "blocks": (group[:, None] == group) * 1.0,
        "blocks with noise": (group[:, None] == group) + 1e-6 * rng.uniform(size=(size, size)),
        "offset": 1e6 + rng.normal(size=(size, size)),
        "triangle": np.tril(np.ones((size, size))),
        "two values": 1.0 + (rng.uniform(size=(size, size)) < 2 / size),
        "one good column": np.eye(size)[0] * n[:, None] + rng.normal(size=(size, size)) * 1e-9,
    }
    for kind, matrix in matrices.items():
        for part in (matrix, matrix[:, :-1], matrix[:-3]):
            cast = part.astype(dtype)
            found = semrsm.assign(cast)
            check(cast, found)
            assert relative_gap(found.value, found.upper_bound) <= TOLERANCE, kind


@pytest.mark.parametrize("kind", sorted(set(MATRICES) - {"many magnitudes"}))
def test_gaps_are_within_the_tolerance(kind):
    rng = np.random.default_rng(10)
    for dtype in (np.float32, np.float64):
        batch = np.stack([MATRICES[kind](rng, 33, 33) for _ in range(5)]).astype(dtype)
        found = semrsm.assign(batch)
        assert relative_gap(found.value, found.upper_bound).max() <= TOLERANCE


def test_the_ends_of_the_types():
    largest = np.finfo(np.float32).max
    rng = np.random.default_rng(11)
    for matrix in (
        np.full((9, 9), largest, np.float32),
        np.full((9, 9), -largest, np.float32),
        np.where(rng.uniform(size=(9, 9)) < 0.5, largest, -largest).astype(np.float32),
        rng.integers(0, 9, (9, 9)) * np.float32(1e-45),
        rng.integers(0, 9, (9, 9)) * 5e-324,
        rng.normal(size=(9, 9)) * 1e306,
    ):
        check(matrix, semrsm.assign(matrix))


def test_a_sum_beyond_float64_is_no_silent_infinity():
    with pytest.raises(InputError, match="^affinity: "):
        semrsm.assign(np.full((3, 3), 1.7e308))


@pytest.mark.parametrize("kernels", _native.kernels())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_batch_of_unequal_matrices(dtype, kernels):
    """Small, large, turned and empty side by side; the larger ones remember their bids."""
    rng = np.random.default_rng(12)
    shapes = [(5, 5), (450, 450), (3, 420), (0, 4), (420, 3), (30, 30), (64, 64), (450, 449)]
    shapes = shapes * 2 + [(1, 1), (16, 16), (401, 401)]
    stride = 450
    spaced = [np.full((max(s, 1), stride), np.nan, dtype) for s, _ in shapes]
    for n, (s, t) in enumerate(shapes):
        drawn = rng.normal(size=(s, t)) if n % 2 else rng.integers(-2, 3, (s, t))
        spaced[n][:s, :t] = drawn
    offsets = np.cumsum([0] + [m.size for m in spaced[:-1]])
    values, bounds, _ = solve(
        np.concatenate([m.ravel() for m in spaced]),
        offsets.astype(np.int64),
        np.array([s for s, _ in shapes], np.int32),
        np.array([t for _, t in shapes], np.int32),
        row_stride=stride,
        cancellation=Cancellation(),
        kernels=kernels,
    )
    for (s, t), matrix, value, bound in zip(shapes, spaced, values, bounds, strict=True):
        best = optimum(matrix[:s, :t])
        assert value == pytest.approx(best, rel=1e-6, abs=1e-9)
        assert bound >= best - 1e-9


@pytest.mark.parametrize("kernels", _native.kernels())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_small_matrices_against_scipy(dtype, kernels):
    rng = np.random.default_rng(13)
    for size, width in [(1, 1), (2, 2), (3, 4), (8, 8), (9, 7), (16, 16), (17, 17)]:
        batch = np.concatenate(
            [
                rng.integers(-1, 2, size=(60, size, width)),
                rng.normal(size=(60, size, width)),
                10.0 ** rng.uniform(-3, 3, size=(60, size, width)),
            ]
        ).astype(dtype)
        rng.shuffle(batch)
        values, bounds, columns = solve(
            batch.reshape(-1),
            np.arange(180, dtype=np.int64) * size * width,
            size,
            width,
            row_stride=width,
            cancellation=Cancellation(),
            keep_columns=True,
            kernels=kernels,
        )
        best = np.array([optimum(matrix) for matrix in batch])
        np.testing.assert_allclose(values, best, rtol=1e-6, atol=1e-9)
        assert (bounds >= best - 1e-9).all()
        for matrix, taken, value in zip(batch.astype(np.float64), columns, values, strict=True):
            rows = np.flatnonzero(taken >= 0)
            assert len(set(taken[rows].tolist())) == min(size, width)
            assert matrix[rows, taken[rows]].sum() == pytest.approx(value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("kernels", _native.kernels())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_greedy_is_the_same_on_every_instruction_set(dtype, kernels):
    rng = np.random.default_rng(14)
    for size, width in [(5, 5), (8, 9), (17, 17), (40, 33), (130, 130)]:
        matrix = rng.integers(0, 3, (size, width)).astype(dtype)
        for taken in (0, 3):
            _, bounds, columns = solve(
                matrix.reshape(-1),
                np.zeros(1, np.int64),
                size,
                width,
                row_stride=width,
                method="greedy",
                taken=taken,
                cancellation=Cancellation(),
                keep_columns=True,
                kernels=kernels,
            )
            expected = greedy_on(matrix[taken:, taken:])
            expected = np.where(expected >= 0, expected + taken, -1)
            np.testing.assert_array_equal(columns[0, taken:], expected)
            assert bounds[0] >= optimum(matrix)


@pytest.mark.parametrize("method", ["assign", "greedy"])
def test_cancelled_work_ends(method):
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        solve(
            np.ones(16),
            np.zeros(1, np.int64),
            4,
            4,
            row_stride=4,
            method=method,
            cancellation=cancellation,
        )


@pytest.mark.parametrize("method", ["assign", "greedy"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_native_solver_names_what_is_not_finite(method, bad):
    for place in (0, 7, 16, 24):
        data = np.ones(3 * 25)
        data[50 + place] = bad
        with pytest.raises(NotFiniteError) as caught:
            solve(
                data,
                np.arange(3, dtype=np.int64) * 25,
                5,
                5,
                row_stride=5,
                method=method,
                cancellation=Cancellation(),
            )
        assert caught.value.matrix == 2


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_the_input_is_not_changed(factor):
    for shape in ((16, 16), (17, 17), (16, 9)):
        matrix = (np.random.default_rng(15).normal(size=shape) * factor).astype(np.float32)
        before = matrix.copy()
        matrix.flags.writeable = False
        semrsm.assign(matrix, tolerance=0.0)
        np.testing.assert_array_equal(matrix, before)


def test_other_byte_order():
    matrix = np.random.default_rng(16).normal(size=(7, 7))
    assert float(semrsm.assign(matrix.astype(">f8")).value) == float(semrsm.assign(matrix).value)


@pytest.mark.parametrize("tolerance", ["tight", None, [1e-6]])
def test_refuses_a_tolerance_that_is_no_number(tolerance):
    with pytest.raises(InputError, match="^tolerance: expected a number >= 0; got"):
        semrsm.assign(np.eye(2), tolerance=tolerance)
