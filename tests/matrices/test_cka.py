"""CKA and its jackknife against independent formulas, in memory and in blocks."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import semrsm
from matrices.matrix_helpers import Blocks, kernels, symmetric
from semrsm.errors import InputError


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


# ---------------------------------------------------------------- in blocks


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("interval", [None, 0.9])
def test_cka_in_blocks(debiased, interval, ties):
    a, b = symmetric(40, 0, ties), symmetric(40, 1, ties) + 0.3 * symmetric(40, 0, ties)
    expected = semrsm.cka(a, b, debiased=debiased, interval=interval)
    for left, right in ((Blocks(a), Blocks(b, 9)), (a, Blocks(b)), (Blocks(a, 40), b)):
        found = semrsm.cka(left, right, debiased=debiased, interval=interval)
        assert found.value == pytest.approx(expected.value, abs=1e-12)
        if interval is not None:
            assert found.interval == pytest.approx(expected.interval, abs=1e-11)
        assert (found.method, found.images) == (expected.method, expected.images)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_cka_knows_no_unit_and_no_offset(scale):
    a, b = symmetric(20, 0), symmetric(20, 1)
    expected = semrsm.cka(a, b).value
    assert semrsm.cka(Blocks(a * scale), Blocks(b)).value == pytest.approx(expected, abs=1e-10)
    assert semrsm.cka(Blocks(a + 1e6), Blocks(b)).value == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("images", [[3], [3, 8]])
def test_jackknife_in_blocks_beside_images_that_outweigh_all_others(debiased, images):
    a, b = symmetric(24, 0), symmetric(24, 1)
    for image in images:
        a[image] *= 1e6
        a[:, image] *= 1e6
    expected = semrsm.cka(a, b, debiased=debiased, interval=0.5).interval
    found = semrsm.cka(Blocks(a), Blocks(b, 5), debiased=debiased, interval=0.5).interval
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("debiased", [False, True])
def test_no_interval_in_blocks_where_all_variation_is_one_images(debiased):
    alone = np.ones((12, 12))
    alone[3, :4] = alone[:4, 3] = 5.0
    with pytest.raises(InputError, match="^interval: expected matrices that vary after centring w"):
        semrsm.cka(Blocks(alone), Blocks(symmetric(12)), debiased=debiased, interval=0.5)
