"""``assign`` for those who come from SciPy: costs, forbidden pairs, integers, lists, torch."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError

scipy_assign = pytest.importorskip("scipy.optimize").linear_sum_assignment
RNG = np.random.default_rng(0)


def exact(matrix, rows, columns):
    return sum(
        (Fraction(float(matrix[i, k])) for i, k in zip(rows, columns, strict=True)), Fraction(0)
    )


@pytest.mark.parametrize("shape", [(5, 5), (4, 9), (9, 4), (1, 7), (60, 60), (40, 70)], ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32, np.uint8])
def test_costs_are_minimised_as_scipy_does(shape, dtype):
    costs = (100 * RNG.random((3, *shape))).astype(dtype)
    found = semrsm.assign(costs, maximize=False)
    rows, columns = found.pairs()
    for n, matrix in enumerate(costs):
        expected = scipy_assign(matrix)
        assert found.value[n] == pytest.approx(matrix[expected].sum(dtype=np.float64), rel=1e-6)
        assert matrix[rows[n], columns[n]].sum(dtype=np.float64) == pytest.approx(found.value[n])
        assert sorted(set(rows[n])) == rows[n].tolist()
        assert len(set(columns[n])) == min(shape)
    assert (found.lower_bound <= found.value).all()
    assert (found.gap <= 1e-6).all()
    assert "minimal" in repr(found)
    with pytest.raises(AttributeError, match="lower_bound"):
        _ = found.upper_bound
    with pytest.raises(AttributeError, match="upper_bound"):
        _ = semrsm.assign(costs).lower_bound


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("shape", [(6, 6), (5, 8), (8, 5), (30, 30)], ids=str)
def test_forbidden_pairs_are_avoided(share, shape):
    solved = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        costs = rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)
        costs[rng.random(shape) < share] = np.inf
        try:
            rows, columns = scipy_assign(costs)
        except ValueError:
            with pytest.raises(InputError, match="^affinity: expected a complete assignment, of"):
                semrsm.assign(costs, maximize=False)
            continue
        solved += 1
        for sign, maximize in ((1, False), (-1, True)):
            found = semrsm.assign(sign * costs, maximize=maximize)
            assert sign * found.value == pytest.approx(costs[rows, columns].sum(), rel=1e-12)
            assert np.isfinite(costs[found.pairs()]).all()
            assert found.bound * sign <= found.value * sign + 1e-300
            assert found.gap < 1e-9
    assert solved or share > 0.5


def test_a_matrix_without_any_complete_assignment_is_named():
    batch = np.zeros((2, 3, 4, 4))
    batch[1, 2, :, :2] = -np.inf
    batch[1, 2, 0] = -np.inf
    with pytest.raises(
        InputError, match=r"^affinity\[1, 2\]: expected a complete assignment, of 4"
    ):
        semrsm.assign(batch)
    some = [np.zeros((2, 2)), np.array([[-np.inf, -np.inf, -np.inf], [0, 1, 2]])]
    with pytest.raises(InputError, match=r"^affinity\[1\]: expected a complete assignment, of 2"):
        semrsm.assign(some)


def test_infinities_of_the_other_sign_are_refused():
    for matrix, maximize, sign in (
        ([[np.inf, 0]], True, "-inf"),
        ([[-np.inf, 0]], False, r"\+inf"),
    ):
        with pytest.raises(InputError, match=f"^affinity: expected finite entries, or {sign} for"):
            semrsm.assign(matrix, maximize=maximize)
    with pytest.raises(InputError, match=r"^affinity\[1\]: .* got NaN"):
        semrsm.assign([[[0.0, 1.0]], [[np.nan, 1.0]]])


def test_integers_are_exact_or_refused():
    large = np.array([[2**53 + 1, 0], [0, 0]])
    with pytest.raises(
        InputError, match=r"^affinity: expected integers that float64 holds exactly"
    ):
        semrsm.assign(large)
    with pytest.raises(InputError, match="got 18446744073709551615"):
        semrsm.assign(np.full((2, 2), 2**64 - 1, dtype=np.uint64))
    even = np.array([[2**60, 3], [5, 2**58]])
    assert semrsm.assign(even).value == 2**60 + 2**58
    assert semrsm.assign(np.array([[0, 255], [255, 0]], dtype=np.uint8), maximize=False).value == 0


def test_lists_of_several_shapes():
    shapes = [(3, 5), (4, 4), (3, 5), (6, 2), (1, 1)]
    matrices = [RNG.normal(size=shape) for shape in shapes]
    found = semrsm.assign(matrices, prices=True)
    assert found.value.shape == (5,)
    rows, columns = found.pairs()
    for n, matrix in enumerate(matrices):
        alone = semrsm.assign(matrix)
        np.testing.assert_array_equal(found.columns[n], alone.columns)
        assert matrix[rows[n], columns[n]].sum() == pytest.approx(found.value[n])
        assert found.row_prices[n].shape == (matrix.shape[0],)
        assert found.column_prices[n].shape == (matrix.shape[1],)
    assert "5 matrices" in repr(found)
    same = semrsm.assign([matrices[0], matrices[2]])
    assert same.columns.shape == (2, 3)
    ragged = semrsm.assign([[[1, 2]], [[1, 2], [3, 5]]])
    assert [c.tolist() for c in ragged.columns] == [[1], [0, 1]]
    with pytest.raises(InputError, match=r"^affinity\[1\]: expected a matrix"):
        semrsm.assign([np.zeros((2, 2)), np.zeros(3)])


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("shape", [(7, 7), (5, 9), (9, 5), (49, 49)], ids=str)
def test_prices_are_a_dual_solution(shape, maximize):
    matrix = RNG.normal(size=shape)
    found = semrsm.assign(matrix, maximize=maximize, prices=True)
    sign = 1 if maximize else -1
    u, v = sign * found.row_prices, sign * found.column_prices
    assert (u[:, None] + v[None, :] >= sign * matrix - 1e-9).all()
    assert u.sum() + v.sum() == pytest.approx(sign * found.bound, abs=1e-6)
    free = v if shape[0] < shape[1] else u if shape[0] > shape[1] else np.zeros(1)
    assert (free >= -1e-9).all()  # those that stay free
    assert semrsm.assign(matrix).row_prices is None


def test_bounds_hold_in_exact_arithmetic():
    for seed in range(150):
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers(1, 6, size=2).tolist())
        matrix = rng.normal(size=shape) * 10.0 ** rng.integers(-8, 8, size=shape)
        if seed % 3 == 0:
            matrix = matrix.astype(np.float32)
        if seed % 5 == 0:
            matrix = np.round(matrix)
        found = semrsm.assign(matrix)
        rows, columns = (range(n) for n in shape)
        if shape[0] <= shape[1]:
            best = max(exact(matrix, rows, p) for p in itertools.permutations(columns, shape[0]))
        else:
            best = max(exact(matrix, p, columns) for p in itertools.permutations(rows, shape[1]))
        assert Fraction(float(found.bound)) >= best
        assert abs(Fraction(float(found.value)) - best) <= Fraction(float(found.gap) + 1e-15) * sum(
            abs(Fraction(float(x))) for x in matrix.reshape(-1)
        )


def test_an_optimum_of_zero_has_no_gap():
    assert semrsm.assign(np.array([[1.0, 0.0], [0.0, -1.0]]) * 0).gap == 0
    found = semrsm.assign(np.array([[3.0, -7.0], [-7.0, -3.0]]))
    assert (found.value, found.gap) == (0, 0)
    chosen = RNG.normal(size=(30, 30))
    found = semrsm.assign(chosen - np.mean(chosen))
    size = np.abs((chosen - np.mean(chosen))[found.pairs()]).sum()
    assert found.gap == pytest.approx((found.bound - found.value) / size, abs=1e-16)


def test_torch_in_and_torch_out():
    torch = pytest.importorskip("torch")
    matrix = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    found = semrsm.assign(matrix, prices=True)
    for tensor, dtype in (
        (found.columns, torch.int64),
        (found.value, torch.float64),
        (found.bound, torch.float64),
        (found.column_prices, torch.float64),
    ):
        assert isinstance(tensor, torch.Tensor)
        assert tensor.dtype == dtype
    rows, _ = found.pairs()
    assert isinstance(rows, torch.Tensor)
    np.testing.assert_array_equal(semrsm.assign(matrix.numpy()).columns, found.columns)
    assert semrsm.assign([matrix[0], matrix[1, :3]]).columns[1].shape == (3,)
    with pytest.raises(InputError, match="which is sparse"):
        semrsm.assign(matrix[0].to_sparse())


def test_sparse_matrices_are_pointed_to_their_solver():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(InputError, match=r"^affinity: .*min_weight_full_bipartite_matching"):
        semrsm.assign(sparse.eye(3).tocsr())


@pytest.mark.parametrize("option", ["maximize", "prices"])
def test_options_are_true_or_false(option):
    with pytest.raises(InputError, match=f"^{option}: expected True or False; got 'no'"):
        semrsm.assign(np.eye(2), **{option: "no"})


def test_nothing_is_assigned_in_empty_batches():
    found = semrsm.assign(np.zeros((0, 3, 4)), prices=True)
    assert (found.columns.shape, found.value.shape) == ((0, 3), (0,))
    assert semrsm.assign(np.zeros((2, 0, 4))).value.tolist() == [0, 0]
