"""Kernels against their formulas, and every rule for σ."""

import numpy as np
import pytest

import semrsm
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
        assert found.kernel == name
        np.testing.assert_array_equal(found.values, gram.rsm(name, sigma=2.0).values)


def test_a_kernel_of_ones_own(gram):
    class Square:
        name = "square"

        def view(self, gram):
            return gram.values**2, None

    found = gram.rsm(Square())
    assert found.kernel == "square"
    np.testing.assert_array_equal(found.values, gram.values**2)


@pytest.mark.parametrize(
    ("kernel", "sigma", "message"),
    [
        ("gaussian", "median", r"^kernel: expected one of linear, cosine, rbf.*; got 'gaussian'"),
        ("rfb", "median", r"Did you mean 'rbf'\?"),
        (3, "median", r"^kernel: expected a name or an object with .name and .view\(gram\); got"),
        (Cosine, "median", "^kernel: expected an object; got the class Cosine itself"),
        ("rbf", "medain", r"^sigma: .*got 'medain'. Did you mean 'median'\?"),
        ("rbf", 0.0, "^sigma: expected a positive finite number; got 0.0"),
        ("rbf", float("nan"), "^sigma: expected a positive finite number; got nan"),
    ],
)
def test_refuses(gram, kernel, sigma, message):
    with pytest.raises(InputError, match=message):
        gram.rsm(kernel, sigma=sigma)
