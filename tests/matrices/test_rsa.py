"""RSA and its bootstrap against SciPy, in memory, in blocks and with ranks on disk."""

import numpy as np
import pytest
from scipy import stats

import semrsm
from matrices.matrix_helpers import Blocks, kernels, symmetric


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


def test_rsa_of_three_images_has_resamples_without_pairs():
    """Three times the same image, or twice: what such resamples say is not counted."""
    k, other = kernels(3)
    found = semrsm.rsa(k, other, method="pearson", interval=0.5, resamples=50)
    assert -1 <= found.interval[0] <= found.interval[1] <= 1


# ---------------------------------------------------------------- in blocks


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("method", ["pearson", "spearman", "kendall"])
@pytest.mark.parametrize("limit", [16, 200, 1 << 12])
def test_rsa_in_blocks(method, diagonal, ties, limit, monkeypatch):
    """Ranks of 820 entries in pieces of 16, of 200, and at once."""
    pieces = "semrsm.matrices.rsa.most_ranked"
    monkeypatch.setattr(pieces, lambda memory: limit)
    a, b = symmetric(40, 0, ties), symmetric(40, 1, ties) + 0.3 * symmetric(40, 0, ties)
    expected = semrsm.rsa(a, b, method=method, diagonal=diagonal)
    found = semrsm.rsa(Blocks(a), Blocks(b, 9), method=method, diagonal=diagonal)
    assert found.value == pytest.approx(expected.value, abs=1e-12)
    assert found.images == 40


def test_ranks_of_mostly_equal_values(monkeypatch):
    monkeypatch.setattr("semrsm.matrices.rsa.most_ranked", lambda memory: 16)
    a = np.zeros((30, 30))
    a[3, 5] = a[5, 3] = -2.0
    a[4, 6] = a[6, 4] = a[7, 8] = a[8, 7] = 1.0
    b = symmetric(30)
    expected = semrsm.rsa(a, b).value
    assert semrsm.rsa(Blocks(a), b).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-170, 1e160])
def test_pearson_knows_no_unit(scale):
    a, b = symmetric(20), symmetric(20, 1)
    expected = semrsm.rsa(a, b, method="pearson").value
    for left in (a * scale, Blocks(a * scale)):
        assert semrsm.rsa(left, b, method="pearson").value == pytest.approx(expected, abs=1e-12)
