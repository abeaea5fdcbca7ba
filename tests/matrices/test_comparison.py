"""The parts that CKA and RSA share: accepted matrices, reading in blocks, refusals."""

import tracemalloc

import numpy as np
import pytest

import semrsm
from matrices.matrix_helpers import Blocks, kernels, symmetric
from semrsm.errors import InputError
from semrsm.matrices.protocol import Matrix


def test_rsms_are_taken_with_their_ids():
    x = np.random.default_rng(2).normal(size=(5, 4, 3))
    a, b = semrsm.rsm(x), semrsm.rsm(x, matcher="none")
    assert semrsm.cka(a, b).value == semrsm.cka(a.values, b.values).value
    other = semrsm.rsm(x, ids=list("vwxyz"))
    with pytest.raises(InputError, match="^a, b: expected ids in both; b has names"):
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


# ---------------------------------------------------------------- in blocks


def test_refusals():
    a = symmetric(12)
    with pytest.raises(InputError, match="^cka: expected matrices that vary after centring"):
        semrsm.cka(Blocks(a), Blocks(np.full((12, 12), 0.1)))
    with pytest.raises(InputError, match="^rsa: expected matrices whose entries vary"):
        semrsm.rsa(Blocks(a), Blocks(np.full((12, 12), 0.1)), method="pearson")
    with pytest.raises(InputError, match=r"^a, b: expected RSMs of the same images; got shapes"):
        semrsm.cka(Blocks(a), Blocks(symmetric(11)))
    other = Blocks(a)
    other.row_ids = ("x", *other.row_ids[1:])
    with pytest.raises(InputError, match="^a, b: expected ids in both"):
        semrsm.cka(Blocks(a), other)
    with pytest.raises(InputError, match=r"^a, b: expected at least 4 images; got 3$"):
        semrsm.cka(Blocks(symmetric(3)), Blocks(symmetric(3)), debiased=True)
    with pytest.raises(InputError, match=r"^interval: expected at least six images"):
        semrsm.cka(Blocks(symmetric(5)), Blocks(symmetric(5)), interval=0.9)
    with pytest.raises(InputError, match=r"^interval: expected None for matrices on disk"):
        semrsm.rsa(Blocks(a), Blocks(a), interval=0.9)
    with pytest.raises(InputError, match=r"^memory: expected at least .* for Kendall's tau of 12"):
        semrsm.rsa(Blocks(a), Blocks(a), method="kendall", memory=1000)
    bad = a.copy()
    bad[2, 9] = np.nan
    for call in (semrsm.cka, semrsm.rsa):
        with pytest.raises(InputError, match=r"^a, b: expected finite values; got NaN"):
            call(Blocks(a), Blocks(bad))
    rectangular = Blocks(a)
    rectangular.is_symmetric = False
    with pytest.raises(InputError, match="^b: expected the RSM of one set of images"):
        semrsm.cka(Blocks(a), rectangular)


def test_only_blocks_are_read():
    a, b = Blocks(symmetric(100), 10), Blocks(symmetric(100, 1), 10)
    assert isinstance(a, Matrix)
    for call in (
        lambda: semrsm.cka(a, b, interval=0.9),
        lambda: semrsm.rsa(a, b, method="pearson"),
        lambda: semrsm.rsa(a, b),
    ):
        call()
        assert a.largest == b.largest == 100


def test_memory_is_that_of_blocks_and_not_of_matrices():
    """Two matrices of 72 MB that are made as they are read: they were never in memory."""

    class Made(Blocks):
        def __init__(self, seed):
            super().__init__(np.empty((0, 0)), 256)
            self.shape = (3000, 3000)
            self.row_ids = self.column_ids = tuple(map(str, range(3000)))
            self._places = np.random.default_rng(seed).normal(size=3000)

        def block(self, rows, columns):
            return np.cos(self._places[rows, None] - self._places[None, columns])

    a, b = Made(0), Made(1)
    for call in (
        lambda: semrsm.cka(a, b, interval=0.9, memory="16MB"),
        lambda: semrsm.rsa(a, b, method="pearson", memory="16MB"),
        lambda: semrsm.rsa(a, b, memory="16MB"),
    ):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20


def test_smaller_budgets_take_smaller_blocks_and_too_small_ones_are_refused():
    a, b = Blocks(symmetric(300), 256), Blocks(symmetric(300, 1), 256)
    expected = semrsm.cka(a.values, b.values).value
    assert semrsm.cka(a, b, memory="4MB").value == pytest.approx(expected, abs=1e-12)
    assert a.largest < 256**2
    for call in (semrsm.cka, semrsm.rsa):
        with pytest.raises(InputError, match=r"^memory: expected at least .* for RSMs of 300 imag"):
            call(a, b, memory="100kB")
        with pytest.raises(InputError, match="^memory: expected a positive number"):
            call(a.values, b.values, memory="much")
