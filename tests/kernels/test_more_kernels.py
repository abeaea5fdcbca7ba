"""Polynomial, Laplacian and rational quadratic kernels, against loops over the aligned images."""

import numpy as np
import pytest

import oracles
import semrsm
from semrsm.errors import InputError
from semrsm.kernels import RBF, Laplacian, Polynomial, RationalQuadratic

N, S, C = 6, 9, 5


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(N, S, C))


@pytest.fixture
def gram(x):
    return semrsm.gram(x)


def aligned(x, matcher="optimal"):
    """Both images of each pair as matched, from an independent matching."""
    return {
        (i, j): (a, b[oracles.MATCHERS[matcher](a, b)])
        for i, a in enumerate(x)
        for j, b in enumerate(x)
    }


def table(pairs, function):
    found = np.empty((N, N))
    for (i, j), (a, b) in pairs.items():
        found[i, j] = function(a.ravel(), b.ravel())
    return found


@pytest.mark.parametrize("matcher", ["none", "optimal"])
def test_against_the_aligned_arrays(x, matcher):
    gram = semrsm.gram(x, matcher=matcher)
    pairs = aligned(x, matcher)
    power = table(pairs, lambda a, b: (a @ b / 2.5**2 + 0.5) ** 4)
    np.testing.assert_allclose(gram.rsm(Polynomial(4, 0.5, 2.5)).values, power, rtol=1e-9)
    exponential = table(pairs, lambda a, b: np.exp(-np.linalg.norm(a - b) / 2.5))
    np.testing.assert_allclose(gram.rsm("laplacian", sigma=2.5).values, exponential, rtol=1e-6)
    rational = table(
        pairs, lambda a, b: (1 + np.linalg.norm(a - b) ** 2 / (2 * 0.7 * 2.5**2)) ** -0.7
    )
    np.testing.assert_allclose(
        gram.rsm(RationalQuadratic(2.5, alpha=0.7)).values, rational, rtol=1e-9
    )


def test_defaults(gram):
    unit = gram.row_squared_norms.mean()
    found = gram.rsm("polynomial")
    np.testing.assert_allclose(found.values, (gram.values / unit + 1) ** 3, rtol=1e-12)
    assert found.sigma == pytest.approx(np.sqrt(unit))
    assert RationalQuadratic().alpha == 1


def test_polynomial_of_two_sets_takes_the_norms_of_both():
    rng = np.random.default_rng(1)
    gram = semrsm.gram(rng.normal(size=(2, 4, 3)), 5 * rng.normal(size=(3, 4, 3)))
    norms = np.concatenate([gram.row_squared_norms, gram.column_squared_norms])
    assert gram.rsm("polynomial").sigma == pytest.approx(np.sqrt(norms.mean()))


def test_no_kernel_depends_on_the_unit_of_the_features(x):
    small, large = semrsm.gram(x * 1e-30), semrsm.gram(x * 1e30)
    for kernel in ("polynomial", "laplacian", "rational-quadratic"):
        np.testing.assert_allclose(small.rsm(kernel).values, large.rsm(kernel).values, rtol=1e-9)


@pytest.mark.parametrize("rule", ["median", "released", 3.0])
def test_one_rule_for_sigma(gram, rule):
    expected = gram.rsm("rbf", sigma=rule).sigma
    assert gram.rsm("laplacian", sigma=rule).sigma == expected
    assert gram.rsm("rational-quadratic", sigma=rule).sigma == expected


def test_sigma_is_never_dropped(x, gram):
    """Given to a kernel that takes none, or beside an object, it is refused; else it counts."""
    with pytest.raises(InputError, match=r"^sigma: expected None for the kernel 'cosine'.*got 3"):
        semrsm.rsm(x, sigma=3)
    with pytest.raises(InputError, match=r"^sigma: expected None for the kernel 'cosine'.*'foo'"):
        gram.rsm("cosine", sigma="foo")
    with pytest.raises(InputError, match=r"^sigma: expected None with a kernel object.*RBF"):
        gram.rsm(RBF(), sigma=3)
    with pytest.raises(InputError, match=r"^sigma: .* one of norm; got 'median'"):
        gram.rsm("polynomial", sigma="median")
    assert gram.rsm("polynomial", sigma=3.0).sigma == 3.0
    np.testing.assert_array_equal(
        gram.rsm("polynomial", sigma=3.0).values, gram.rsm(Polynomial(sigma=3.0)).values
    )


def test_laplacian_at_its_median_distance(x):
    upper = np.triu_indices(N, k=1)
    found = semrsm.rsm(x, kernel="laplacian").values[upper]
    assert np.median(found) == pytest.approx(np.exp(-1))


def test_rational_quadratic_becomes_the_rbf(gram):
    close = gram.rsm(RationalQuadratic(alpha=1e9)).values
    np.testing.assert_allclose(close, gram.rsm("rbf").values, rtol=1e-7)
    far = gram.rsm(RationalQuadratic(alpha=0.1)).values
    assert np.abs(far - gram.rsm("rbf").values).max() > 0.1


@pytest.mark.parametrize("kernel", [RBF(), Laplacian(), RationalQuadratic()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_of_the_distance_are_one_for_duplicates_and_never_more(kernel, dtype):
    x = np.random.default_rng(2).normal(size=(4, 16, 200)).astype(dtype)
    gram = semrsm.gram(np.concatenate([x, x[:, ::-1]]))
    found = gram.rsm(kernel).values
    for i in range(4):
        assert found[i, i + 4] == found[i, i] == 1.0
    assert found.max() == 1.0
    assert found.min() > 0


@pytest.mark.parametrize("sigma", [1e-200, 1e-8, 1e8, 1e200])
@pytest.mark.parametrize("kernel", [Laplacian, RationalQuadratic])
def test_any_positive_bandwidth(gram, kernel, sigma):
    found = gram.rsm(kernel(sigma)).values
    np.testing.assert_array_equal(found.diagonal(), np.ones(N))
    off = found[~np.eye(N, dtype=bool)]
    assert np.isfinite(off).all()
    np.testing.assert_allclose(off, float(sigma > 1), atol=1e-6)


def test_images_of_zeros():
    gram = semrsm.gram(np.zeros((3, 4, 5)))
    for kernel, value in (("polynomial", 1), ("laplacian", 1), ("rational-quadratic", 1)):
        np.testing.assert_array_equal(gram.rsm(kernel).values, np.full((3, 3), value))


def test_polynomial_of_odd_degree_ranks_as_the_linear_kernel(gram):
    upper = np.triu_indices(N, k=1)
    linear, odd = (gram.rsm(k).values[upper] for k in ("linear", Polynomial(3, 0.0)))
    np.testing.assert_array_equal(np.argsort(linear), np.argsort(odd))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Polynomial(0), "^degree: expected a whole number >= 1; got 0"),
        (lambda: Polynomial(2.5), "^degree: expected a whole number >= 1; got 2.5"),
        (lambda: Polynomial(True), "^degree: "),
        (lambda: Polynomial(offset=-1), "^offset: expected a finite number >= 0; got -1"),
        (lambda: Polynomial(offset=np.inf), "^offset: "),
        (lambda: Polynomial(sigma="median"), "^sigma: .* one of norm; got 'median'"),
        (lambda: Laplacian("medain"), r"^sigma: .*Did you mean 'median'\?"),
        (lambda: Laplacian(0.0), "^sigma: expected a positive finite number; got 0.0"),
        (lambda: RationalQuadratic(alpha=0), "^alpha: expected a positive finite number; got 0"),
        (lambda: RationalQuadratic(alpha=np.nan), "^alpha: "),
        (lambda: RationalQuadratic(-1.0), "^sigma: "),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_refuses_a_power_beyond_float64(gram):
    with pytest.raises(InputError, match=r"^kernel: Polynomial\(degree=200.*leaves the range"):
        gram.rsm(Polynomial(200, sigma=1e-3))
