"""Kernels against their formulas, and every rule for σ."""

import numpy as np
import pytest

import semrsm
from semrsm import kernels
from semrsm.errors import InputError
from semrsm.kernels import RBF, Cosine, Linear


@pytest.fixture
def gram():
    return semrsm.gram(np.random.default_rng(0).normal(size=(6, 9, 5)))


def distances(gram):
    return gram.row_squared_norms[:, None] + gram.column_squared_norms - 2 * gram.values


def test_linear(gram):
    np.testing.assert_array_equal(gram.rsm("linear").values, gram.values)
    assert gram.rsm("linear").values is not gram.values


def test_cosine(gram):
    norms = np.sqrt(gram.row_squared_norms)
    np.testing.assert_allclose(gram.rsm("cosine").values, gram.values / np.outer(norms, norms))


def test_rbf_with_a_number(gram):
    found = gram.rsm("rbf", sigma=2.5)
    np.testing.assert_allclose(found.values, np.exp(-distances(gram) / (2 * 2.5**2)), rtol=1e-12)
    assert found.sigma == 2.5


def test_median_rule(gram):
    upper = np.triu_indices(6, k=1)
    expected = np.sqrt(np.median(distances(gram)[upper]))
    assert gram.rsm("rbf").sigma == pytest.approx(expected, rel=1e-12)


def test_median_rule_leaves_duplicates_out():
    x = np.random.default_rng(1).normal(size=(3, 4, 5))
    x = np.concatenate([x, x[:1, ::-1]])
    gram = semrsm.gram(x)
    d = distances(gram)
    kept = [d[i, j] for i in range(4) for j in range(i + 1, 4) if (i, j) != (0, 3)]
    assert gram.rsm("rbf").sigma == pytest.approx(np.sqrt(np.median(kept)))
    assert gram.rsm("rbf").values[0, 3] == 1.0


def test_median_rule_of_queries_and_gallery_takes_every_pair():
    rng = np.random.default_rng(2)
    gram = semrsm.gram(rng.normal(size=(3, 4, 5)), rng.normal(size=(4, 4, 5)))
    assert gram.rsm("rbf").sigma == pytest.approx(np.sqrt(np.median(distances(gram))))


def test_released_rule_takes_the_lower_median(gram):
    lower = np.sort(distances(gram)[np.tril_indices(6, k=-1)])
    assert len(lower) == 15
    four = semrsm.gram(np.random.default_rng(3).normal(size=(4, 9, 5)))
    lower4 = np.sort(distances(four)[np.tril_indices(4, k=-1)])
    for found, values in ((gram, lower), (four, lower4)):
        middle = values[(len(values) - 1) // 2]
        assert found.rsm("rbf", sigma="released").sigma == pytest.approx(np.sqrt(middle) + 1e-3)


def test_duplicates_only():
    x = np.tile(np.random.default_rng(4).normal(size=(1, 4, 5)), (3, 1, 1))
    found = semrsm.rsm(x, kernel="rbf")
    assert found.sigma == 1.0
    np.testing.assert_array_equal(found.values, np.ones((3, 3)))
    assert semrsm.rsm(x, kernel="rbf", sigma="released").sigma == pytest.approx(1e-3)


def test_objects_are_kernels_too(gram):
    for kernel, name in ((Linear(), "linear"), (Cosine(), "cosine"), (RBF(2.0), "rbf")):
        found = gram.rsm(kernel)
        assert found.kernel == kernel.label
        sigma = 2.0 if name == "rbf" else None
        np.testing.assert_array_equal(found.values, gram.rsm(name, sigma=sigma).values)


def test_a_kernel_of_ones_own(gram):
    class Square(kernels.Kernel):
        name = "square"

        def values(self, inner, row_squared, column_squared, dtype):
            return inner**2

    found = gram.rsm(Square())
    assert found.kernel == "square"
    np.testing.assert_array_equal(found.values, gram.values**2)


@pytest.mark.parametrize(
    ("kernel", "sigma", "message"),
    [
        ("gaussian", "median", r"^kernel: expected one of linear, cosine, rbf.*; got 'gaussian'"),
        ("rfb", "median", r"Did you mean 'rbf'\?"),
        (3, None, r"^kernel: expected a name or an object of a subclass of semrsm.kernels.Kernel"),
        (Cosine, None, "^kernel: expected an object; got the class Cosine itself"),
        ("rbf", "medain", r"^sigma: .*got 'medain'. Did you mean 'median'\?"),
        ("rbf", 0.0, "^sigma: expected a positive finite number; got 0.0"),
        ("rbf", float("nan"), "^sigma: expected a positive finite number; got nan"),
    ],
)
def test_refuses(gram, kernel, sigma, message):
    with pytest.raises(InputError, match=message):
        gram.rsm(kernel, sigma=sigma)


# ---------------------------------------------------------------- where formulas meet their limits


@pytest.mark.parametrize("sigma", [1e-200, 1e-8, 1e8, 1e200])
def test_any_positive_bandwidth(gram, sigma):
    """σ² may leave the range of float64; K may not become NaN."""
    found = gram.rsm("rbf", sigma=sigma).values
    np.testing.assert_array_equal(found.diagonal(), np.ones(6))
    off = found[~np.eye(6, dtype=bool)]
    if sigma < 1:
        np.testing.assert_array_equal(off, np.zeros(30))
    else:
        np.testing.assert_allclose(off, np.ones(30), atol=1e-12)


@pytest.mark.parametrize("sigma", [None, [1.0, 2.0], 1j, -1.0, float("inf"), "", True])
def test_refuses_a_bandwidth(sigma):
    with pytest.raises(InputError, match="^sigma: expected"):
        RBF(sigma)


def test_sigma_is_the_same_rule_on_a_numpy_scalar(gram):
    assert gram.rsm("rbf", sigma=np.float32(2)).sigma == 2.0


def test_released_rule_takes_all_pairs_of_the_baseline():
    """With no matching the released code takes the whole matrix: every value twice."""
    gram = semrsm.gram(np.random.default_rng(5).normal(size=(4, 9, 5)), matcher="none")
    off = np.sort(distances(gram)[~np.eye(4, dtype=bool)])
    expected = np.sqrt(off[(len(off) - 1) // 2]) + 1e-3
    assert gram.rsm("rbf", sigma="released").sigma == pytest.approx(expected)


def test_cosine_of_zero_images_is_zero_on_both_sides():
    x, y = np.ones((3, 2, 2)), np.ones((2, 2, 2))
    x[1], y[0] = 0, 0
    found = semrsm.rsm(x, y).values
    np.testing.assert_allclose(found, [[0, 1], [0, 0], [0, 1]])


def test_cosine_of_the_far_ends_of_float64():
    """‖X‖ ‖Y‖ overflows, or underflows, where the cosine does not."""
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3))
    expected = semrsm.rsm(x, y).values
    for factor in (1e-139, 1e139):
        np.testing.assert_allclose(semrsm.rsm(x * factor, y * factor).values, expected)
        np.testing.assert_allclose(semrsm.rsm(x * factor, y / factor).values, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("matcher", ["none", "optimal", "greedy", "topk-greedy", "batch-optimal"])
def test_kernels_of_duplicates(matcher, dtype):
    x = np.random.default_rng(7).normal(size=(5, 49, 300)).astype(dtype)
    x = np.concatenate([x, x])
    gram = semrsm.gram(x, matcher=matcher)
    cosine, rbf = gram.rsm("cosine").values, gram.rsm("rbf").values
    for i in range(5):
        assert cosine[i, i + 5] == pytest.approx(1, abs=1e-6)
        assert rbf[i, i + 5] == 1.0
    assert (rbf <= 1).all()
    assert (rbf > 0).all()


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_one_set_of_images_gives_a_symmetric_matrix(kernel):
    """To the last bit: what reads one triangle and what reads the other must agree."""
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(8).normal(size=(20, 9, 5)).astype(dtype)
        found = semrsm.gram(x).rsm(kernel).values
        np.testing.assert_array_equal(found, found.T)


def test_median_rule_leaves_the_diagonal_out():
    """A greedy matching need not find the identity: its d²(x, x) can be above zero."""
    gram = semrsm.gram(np.random.default_rng(9).normal(size=(5, 100, 3)), matcher="greedy")
    d = distances(gram)
    assert (d.diagonal() > 1e-6).any()
    expected = np.sqrt(np.median(d[np.triu_indices(5, k=1)]))
    assert gram.rsm("rbf").sigma == pytest.approx(expected, rel=1e-12)
