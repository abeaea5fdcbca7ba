"""CKA and RSA against independent formulas."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import semrsm
from semrsm.errors import InputError


def kernels(count=6, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count, 4)), rng.normal(size=(count, 3))
    y += x[:, :3]
    return x @ x.T, y @ y.T


def naive_hsic(k, other):
    n = len(k)
    centre = np.eye(n) - 1 / n
    return np.trace(k @ centre @ other @ centre) / (n - 1) ** 2


def unbiased_hsic(k, other):
    """The U-statistic over all ordered tuples of four different images."""
    total, count = 0.0, 0
    for i, j, q, r in itertools.permutations(range(len(k)), 4):
        total += k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q])
        count += 1
    return total / count


@pytest.mark.parametrize(("debiased", "hsic"), [(False, naive_hsic), (True, unbiased_hsic)])
def test_cka_is_that_of_its_definition(debiased, hsic):
    for seed in range(3):
        k, other = kernels(seed=seed)
        expected = hsic(k, other) / np.sqrt(hsic(k, k) * hsic(other, other))
        assert semrsm.cka(k, other, debiased=debiased).value == pytest.approx(expected, rel=1e-10)


def test_cka_of_a_matrix_with_itself_moved_and_scaled():
    k, _ = kernels()
    assert semrsm.cka(k, 3 * k + 7).value == pytest.approx(1)
    assert semrsm.cka(k, -k).value == pytest.approx(-1)  # nothing is clamped


def test_debiased_cka_ignores_the_diagonal_and_is_near_zero_for_noise():
    k, other = kernels()
    changed = k + np.diag(np.arange(6.0))
    assert semrsm.cka(changed, other, debiased=True).value == pytest.approx(
        semrsm.cka(k, other, debiased=True).value
    )
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 60, 400))
    biased = semrsm.cka(x @ x.T, y @ y.T).value
    assert biased > 0.5
    assert abs(semrsm.cka(x @ x.T, y @ y.T, debiased=True).value) < 0.1


def deleted(k, i):
    return np.delete(np.delete(k, i, 0), i, 1)


def naive_interval(k, other, confidence, **options):
    """The jackknife by deletion, one image after the other."""
    n = len(k)
    left_out = [semrsm.cka(deleted(k, i), deleted(other, i), **options).value for i in range(n)]
    spread = np.sqrt((n - 1) / n * ((left_out - np.mean(left_out)) ** 2).sum())
    half = stats.norm.ppf((1 + confidence) / 2) * spread
    value = semrsm.cka(k, other, **options).value
    return value - half, value + half


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("count", [6, 30])
def test_jackknife_interval(debiased, count):
    k, other = kernels(count)
    found = semrsm.cka(k + 100, other, debiased=debiased, interval=0.9)
    expected = naive_interval(k, other, 0.9, debiased=debiased)
    assert found.interval == pytest.approx(expected, rel=1e-9)
    assert found.interval[1] - found.interval[0] > 1e-3


@pytest.mark.parametrize("debiased", [False, True])
def test_jackknife_keeps_its_digits_beside_an_image_that_outweighs_all_others(debiased):
    k, other = kernels(12)
    far = k.copy()
    far[3] *= 1e6
    far[:, 3] *= 1e6
    found = semrsm.cka(far, other, debiased=debiased, interval=0.5)
    expected = naive_interval(far, other, 0.5, debiased=debiased)
    assert found.interval == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("debiased", [False, True])
def test_no_interval_where_all_variation_is_one_images(debiased):
    _, other = kernels(12)
    alone = np.ones((12, 12))
    alone[3, :4] = alone[:4, 3] = 5.0
    value = semrsm.cka(alone, other, debiased=debiased).value
    assert -1 <= value <= 1
    with pytest.raises(InputError, match="^interval: expected matrices that vary after centring w"):
        semrsm.cka(alone, other, debiased=debiased, interval=0.5)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("scale", [1e-160, 1e-9, 1e160])
def test_cka_knows_no_unit(debiased, scale):
    k, other = kernels()
    assert semrsm.cka(k * scale, other, debiased=debiased).value == pytest.approx(
        semrsm.cka(k, other, debiased=debiased).value, rel=1e-12
    )


@pytest.mark.parametrize("debiased", [False, True])
def test_small_variation_about_a_large_mean_is_seen(debiased):
    k, other = kernels(9)
    close = 1 + 1e-10 * k
    assert semrsm.cka(close, other, debiased=debiased).value == pytest.approx(
        semrsm.cka(k, other, debiased=debiased).value, abs=1e-4
    )


@pytest.mark.parametrize("debiased", [False, True])
def test_rounding_is_no_variation(debiased):
    """Constant matrices, and those that centring explains, have no alignment."""
    _, other = kernels(40)
    part = np.random.default_rng(5).random(40)
    for flat in (np.full((40, 40), 0.1), part + part[:, None], np.zeros((40, 40))):
        with pytest.raises(InputError, match="^cka: expected matrices that vary after centring"):
            semrsm.cka(flat, other, debiased=debiased)
    if debiased:
        with pytest.raises(InputError, match="^cka: expected matrices that vary after centring"):
            semrsm.cka(np.diag(part), other, debiased=True)


@given(seed=st.integers(0, 10_000), count=st.integers(4, 9))
def test_debiased_cka_of_indefinite_matrices_stays_within_bounds(seed, count):
    """HSIC with itself is a sum of squares, whatever the eigenvalues are."""
    k, other = np.random.default_rng(seed).normal(size=(2, count, count))
    k, other = k + k.T, other + other.T
    assert abs(semrsm.cka(k, other, debiased=True).value) <= 1 + 1e-12
    assert abs(semrsm.cka(k, other).value) <= 1 + 1e-12
    assert semrsm.cka(k, k, debiased=True).value == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("method", "oracle"),
    [
        ("pearson", lambda a, b: stats.pearsonr(a, b).statistic),
        ("spearman", lambda a, b: stats.spearmanr(a, b).statistic),
        ("kendall", lambda a, b: stats.kendalltau(a, b).statistic),
    ],
)
@pytest.mark.parametrize("diagonal", [False, True])
def test_rsa_is_that_of_scipy(method, oracle, diagonal):
    k, other = kernels(9)
    other = other.round(0)  # ties
    chosen = np.triu_indices(9, k=0 if diagonal else 1)
    found = semrsm.rsa(k, other, method=method, diagonal=diagonal)
    assert found.value == pytest.approx(oracle(k[chosen], other[chosen]), rel=1e-10)


def test_rsa_interval_holds_the_value_and_repeats():
    k, other = kernels(25)
    one, two = (semrsm.rsa(k, other, interval=0.95, resamples=200, seed=3) for _ in range(2))
    assert one.interval == two.interval
    assert one.interval[0] < one.value < one.interval[1]
    wide = semrsm.rsa(k, other, interval=0.99, resamples=200, seed=3).interval
    assert wide[0] <= one.interval[0] <= one.interval[1] <= wide[1]


def test_rsms_are_taken_with_their_ids():
    x = np.random.default_rng(2).normal(size=(5, 4, 3))
    a, b = semrsm.rsm(x), semrsm.rsm(x, matcher="none")
    assert semrsm.cka(a, b).value == semrsm.cka(a.values, b.values).value
    other = semrsm.rsm(x, ids="vwxyz")
    with pytest.raises(InputError, match="^a, b: expected RSMs of the same images in the same ord"):
        semrsm.rsa(a, other)
    with pytest.raises(InputError, match="^b: expected the RSM of one set of images against itsel"):
        semrsm.cka(a, semrsm.rsm(x, x))


EYE = np.eye(4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: semrsm.cka(np.eye(3), np.eye(3), debiased=True), "^a, b: expected at least 4 im"),
        (lambda: semrsm.cka([[1.0]], [[1.0]]), "^a, b: expected at least 2 images; got 1"),
        (lambda: semrsm.rsa(np.eye(2), np.eye(2)), "^a, b: expected at least 3 images; got 2"),
        (lambda: semrsm.cka(EYE, np.eye(5)), "^a, b: expected RSMs of the same images; got shapes"),
        (lambda: semrsm.cka(np.ones((2, 3)), EYE), r"^a: expected a square matrix \(N, N\); got"),
        (lambda: semrsm.cka(EYE * np.nan, EYE), "^a: expected finite values; got NaN"),
        (lambda: semrsm.cka(EYE, np.triu(EYE + 1)), r"^b: expected a symmetric matrix; .* up to 1"),
        (lambda: semrsm.rsa(np.tri(4), EYE), "^a: expected a symmetric matrix"),
        (
            lambda: semrsm.rsa(EYE, np.full((4, 4), 0.1)),
            "^rsa: expected matrices whose entries var",
        ),
        (lambda: semrsm.rsa(*kernels(), interval=0.9, resamples=0), "^resamples: expected a whole"),
        (lambda: semrsm.rsa(*kernels(), interval=0.9, seed=-1), "^seed: expected a whole number"),
        (lambda: semrsm.cka(*kernels(), interval="0.9"), "^interval: expected a confidence betw"),
        (lambda: semrsm.cka(*kernels(), interval=True), "^interval: expected a confidence betwee"),
        (lambda: semrsm.cka(EYE, np.ones((4, 4))), "^cka: expected matrices that vary after cent"),
        (lambda: semrsm.rsa(EYE, EYE), "^rsa: expected matrices whose entries vary"),
        (lambda: semrsm.rsa(EYE, EYE, method="spear"), "^method: .*Did you mean 'spearman'"),
        (lambda: semrsm.cka(EYE, EYE, interval=0.9), "^interval: expected at least six images"),
        (lambda: semrsm.rsa(*kernels(), interval=95), "^interval: expected a confidence between"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_rsa_of_three_images_has_resamples_without_pairs():
    """Three times the same image, or twice: what such resamples say is not counted."""
    k, other = kernels(3)
    found = semrsm.rsa(k, other, method="pearson", interval=0.5, resamples=50)
    assert -1 <= found.interval[0] <= found.interval[1] <= 1


def test_triangles_may_differ_by_the_rounding_of_their_own_precision():
    k, other = kernels(20)
    noise = np.random.default_rng(6).normal(size=k.shape)
    for dtype, size in ((np.float32, 1e-6), (np.float64, 1e-14)):
        rough = (k + size * noise).astype(dtype)
        assert semrsm.cka(rough, other).value == pytest.approx(semrsm.cka(k, other).value, abs=1e-5)
    with pytest.raises(InputError, match="^a: expected a symmetric matrix"):
        semrsm.cka(k + 1e-4 * noise, other)


def test_repr_is_one_line():
    k, other = kernels()
    assert repr(semrsm.cka(k, k)) == "Comparison(CKA=1, images=6)"
    assert "interval=(" in repr(semrsm.rsa(k, other, interval=0.9, resamples=50))
