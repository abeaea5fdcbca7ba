"""Arrays, RSMs and RSMs on disk go through the same code, to the same independent values."""

import itertools

import numpy as np
import pytest
from scipy import stats

import semrsm
from matrices.test_cka import naive_hsic, naive_interval, unbiased_hsic
from semrsm.errors import InputError
from semrsm.matrices.cka import CentredKernel
from semrsm.matrices.protocol import ArrayMatrix, Matrix, in_one_block

FORMS = ("array", "rsm", "gram's part", "stored")
PAIRS = list(itertools.product(FORMS, repeat=2))


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """Two RSMs of 20 images, each in every form; the one on disk in tiles of 16."""
    pytest.importorskip("zarr", reason="runs on disk need zarr")
    x = np.random.default_rng(0).normal(size=(20, 4, 6))
    found = []
    for kernel, matcher in (("cosine", "optimal"), ("rbf", "none")):
        folder = tmp_path_factory.mktemp("forms") / "run.zarr"
        stored = semrsm.gram(x, matcher=matcher, out=folder).rsm(kernel)
        rsm = stored.load()
        found.append(
            {
                "array": rsm.values,
                "rsm": rsm,
                "gram's part": stored.part(slice(None), slice(None)),
                "stored": stored,
            }
        )
    return found


def test_the_forms_are_what_they_are_called(forms):
    one = forms[0]
    assert all(isinstance(one[form], Matrix) for form in FORMS[1:])
    assert [in_one_block(one[form]) for form in FORMS[1:]] == [True, True, False]


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("debiased", [False, True])
def test_cka(left, right, debiased, forms):
    a, b = forms[0]["array"], forms[1]["array"]
    found = semrsm.cka(forms[0][left], forms[1][right], debiased=debiased, interval=0.9)
    low, high = naive_interval(a, b, 0.9, debiased=debiased)
    assert found.interval == pytest.approx((low, high), rel=1e-9)
    assert found.images == 20
    if not debiased:
        expected = naive_hsic(a, b) / np.sqrt(naive_hsic(a, a) * naive_hsic(b, b))
        assert found.value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_debiased_cka_of_a_few(left, right, forms):
    """The definition goes over all tuples of four images: of seven only, in blocks of three."""
    some = slice(0, 7)
    a, b = (form["array"][some, some] for form in forms)
    cut = {
        "array": lambda x: x[some, some],
        "rsm": lambda x: x.part(some, some),
        "gram's part": lambda x: x.part(some, some),
        "stored": lambda x: InBlocks(x.part(some, some).values, 3),
    }
    found = semrsm.cka(cut[left](forms[0][left]), cut[right](forms[1][right]), debiased=True)
    expected = unbiased_hsic(a, b) / np.sqrt(unbiased_hsic(a, a) * unbiased_hsic(b, b))
    assert found.value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize(
    ("method", "oracle"),
    [
        ("pearson", lambda a, b: stats.pearsonr(a, b).statistic),
        ("spearman", lambda a, b: stats.spearmanr(a, b).statistic),
        ("kendall", lambda a, b: stats.kendalltau(a, b).statistic),
    ],
)
@pytest.mark.parametrize("limit", [50, 1000])
def test_rsa(left, right, diagonal, method, oracle, limit, forms, monkeypatch):
    """With fewer entries in memory than the 190 or 210 that there are, and with all of them."""
    monkeypatch.setattr("semrsm.matrices.rsa.most_ranked", lambda memory: limit)
    chosen = np.triu_indices(20, k=0 if diagonal else 1)
    found = semrsm.rsa(forms[0][left], forms[1][right], method=method, diagonal=diagonal)
    expected = oracle(forms[0]["array"][chosen], forms[1]["array"][chosen])
    assert found.value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_bootstraps_are_of_matrices_at_hand(left, right, forms):
    def call():
        return semrsm.rsa(forms[0][left], forms[1][right], interval=0.9, resamples=20)

    if "stored" in (left, right):
        with pytest.raises(InputError, match="^interval: expected None for matrices on disk"):
            call()
        return
    expected = semrsm.rsa(forms[0]["array"], forms[1]["array"], interval=0.9, resamples=20)
    assert call() == expected


class InBlocks(ArrayMatrix):
    """An array that is read in blocks, and counts them."""

    def __init__(self, values, side):
        super().__init__(values, is_symmetric=True)
        self.block_side = side
        self.read = []

    def block(self, rows, columns):
        assert rows.stop - rows.start <= self.block_side
        self.read.append((rows.start, columns.start))
        return super().block(rows, columns)


@pytest.mark.parametrize("interval", [None, 0.9])
def test_cka_goes_through_matrices_on_disk_twice(interval, forms):
    a, b = (InBlocks(form["array"], 7) for form in forms)
    semrsm.cka(a, b, interval=interval)
    once = [(i, j) for i in (0, 7, 14) for j in (0, 7, 14) if i <= j]
    assert a.read == b.read == 2 * once


def test_a_matrix_is_centred_once_for_any_number_of_alignments(forms):
    matrices = [InBlocks(form["array"], 20) for form in forms]
    centred = [CentredKernel.of(matrix, debiased=False) for matrix in matrices]
    for a, b in itertools.product(range(2), repeat=2):
        value = centred[a].alignment(centred[b])
        expected = semrsm.cka(forms[a]["array"], forms[b]["array"], interval=0.9)
        assert value == pytest.approx(expected.value, abs=1e-14)
        interval = centred[a].jackknife(centred[b], 0.9)
        assert interval == pytest.approx(expected.interval, abs=1e-14)
    assert [matrix.read for matrix in matrices] == [[(0, 0)]] * 2


@pytest.mark.parametrize("debiased", [False, True])
def test_arrays_larger_than_the_budget_are_gone_through_in_blocks(debiased):
    """Of 300 images, in blocks of 75 and of 64: never refused, since they lie in memory already."""
    k, other = np.random.default_rng(1).normal(size=(2, 300, 300))
    k, other = k + k.T, other + other.T + k + k.T
    whole = semrsm.cka(k, other, debiased=debiased, interval=0.9)
    for memory in ("700kB", "1kB"):
        found = semrsm.cka(k, other, debiased=debiased, interval=0.9, memory=memory)
        assert found.value == pytest.approx(whole.value, abs=1e-12)
        assert found.interval == pytest.approx(whole.interval, abs=1e-12)
        for method in ("pearson", "spearman", "kendall"):
            small = semrsm.rsa(k, other, method=method, memory=memory).value
            assert small == pytest.approx(semrsm.rsa(k, other, method=method).value, abs=1e-12)


@pytest.mark.parametrize("side", [3, 20])
@pytest.mark.parametrize("scale", [1e-300, 1e307])
def test_sums_stay_in_range(side, scale, forms):
    """Rows whose sums leave float64, and blocks that are larger than those before them."""
    a, b = (form["array"].copy() for form in forms)
    a[:4] = a[:, :4] = 0.0
    a[4, 10:] = a[10:, 4] = 1.0
    expected = semrsm.cka(a, b).value
    assert semrsm.cka(InBlocks(a * scale, side), b).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("side", [3, 20])
@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("place", [(2, 2), (3, 17)])
def test_values_that_are_not_finite_are_refused_wherever_they_are(side, debiased, place, forms):
    bad = forms[0]["array"].copy()
    bad[place] = bad[place[::-1]] = np.nan
    with pytest.raises(InputError, match="expected finite values; got NaN or infinity$"):
        semrsm.cka(InBlocks(bad, side), forms[1]["array"], debiased=debiased)


def test_a_matrix_is_centred_in_the_unit_that_is_passed(forms):
    values = 5 * forms[0]["array"]
    everything = slice(0, len(values))

    def centred(**unit):
        matrix = InBlocks(values, 20)
        found = CentredKernel(matrix, side=len(values), debiased=False, **unit)
        return found.block(everything, everything)

    mean = values.mean(axis=0)
    expected = values - mean[:, None] - mean[None, :] + values.mean()
    np.testing.assert_allclose(centred(exponent=0), expected, atol=1e-12)
    np.testing.assert_allclose(centred(exponent=3), expected / 8, atol=1e-12)
    unit = 2 ** np.frexp(np.abs(values).max())[1]
    assert unit > 1
    np.testing.assert_allclose(centred(), expected / unit, atol=1e-12)
