"""Order statistics, kernels, CKA and RSA of matrices that are never whole in memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import semrsm
from semrsm import kernels
from semrsm._internal.selection import FEW, select
from semrsm.errors import InputError
from semrsm.matrices.protocol import Matrix, upper_blocks


class Blocks:
    """A matrix in memory that pretends to be on disk, and remembers what was asked of it."""

    is_symmetric = True

    def __init__(self, values, side=7):
        self.values = np.asarray(values, np.float64)
        self.shape = self.values.shape
        self.row_ids = self.column_ids = tuple(map(str, range(len(values))))
        self.block_side = side
        self.largest = 0

    def block(self, rows, columns):
        assert rows.start <= columns.start, "only blocks on and above the diagonal are there"
        found = self.values[rows, columns]
        self.largest = max(self.largest, found.size)
        return found

    def part(self, rows, columns):
        raise AssertionError("nothing that is compared is loaded")


def symmetric(count, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, count)) + 3
    if ties:
        values = np.round(values)
    return np.triu(values) + np.triu(values, 1).T


floats = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(floats, min_size=1, max_size=60), st.data())
def test_selection_is_sorting(values, data):
    rank = data.draw(st.integers(0, len(values) - 1))
    cut = data.draw(st.integers(0, len(values)))
    pieces = [np.array(values[:cut]), np.array(values[cut:])]
    found = select(lambda: pieces, lambda count: [rank, count - 1 - rank])
    expected = sorted(values)
    assert found.tolist() == [expected[rank], expected[len(values) - 1 - rank]]


@pytest.mark.parametrize("few", [1, 3, FEW])
def test_selection_goes_down_to_the_last_bit(few, monkeypatch):
    monkeypatch.setattr("semrsm._internal.selection.FEW", few)
    near = 1.0 + np.arange(50) * np.finfo(float).eps
    values = np.random.default_rng(0).permutation(np.concatenate([near, near[:20], -near, [0.0]]))
    expected = np.sort(values)
    for rank in range(0, len(values), 7):
        pieces = np.array_split(values, 5)
        assert select(lambda p=pieces: p, lambda _, r=rank: [r])[0] == expected[rank]


def test_nothing_to_select_from():
    assert select(lambda: [np.empty(0)], lambda count: [count]).size == 0


def test_upper_blocks_cover_every_pair_once():
    seen = np.zeros((11, 11), dtype=int)
    for rows, columns in upper_blocks(11, 4):
        seen[rows, columns] += 1
    np.testing.assert_array_equal(seen[np.triu_indices(11)], 1)


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
    with pytest.raises(InputError, match="their ids differ$"):
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


KERNELS = [
    kernels.Linear(),
    kernels.Cosine(),
    kernels.RBF(),
    kernels.RBF(sigma="released"),
    kernels.RBF(sigma=2.5),
    kernels.Laplacian(),
    kernels.RationalQuadratic(alpha=0.5),
    kernels.Polynomial(),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
@pytest.mark.parametrize("matcher", ["none", "optimal"])
@pytest.mark.parametrize("rows", [None, 30])
def test_stored_grams_through_every_kernel(kernel, matcher, rows, tmp_path, monkeypatch):
    pytest.importorskip("zarr", reason="runs on disk need zarr")
    monkeypatch.setattr("semrsm.engine.plan.tile_side", lambda *_, **__: 16)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(41, 6, 5)).astype(np.float32)
    x[7] = x[3]  # duplicates: a distance of zero that no median counts
    y = None if rows is None else rng.normal(size=(rows, 6, 5)).astype(np.float32)
    stored = semrsm.gram(x, y, matcher=matcher, out=tmp_path / "run.zarr")
    whole = stored.load()
    found, expected = stored.rsm(kernel), whole.rsm(kernel)
    assert found.sigma == expected.sigma
    np.testing.assert_array_equal(found.load().values, expected.values)
    for top, left in ((0, 0), (0, 16), (16, 32), (32, 0)):
        part = slice(top, top + 9), slice(left, left + 8)
        np.testing.assert_array_equal(found.block(*part), expected.values[part])
    if rows is None:
        assert semrsm.cka(found, expected).value == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("rule", ["median", "released"])
@pytest.mark.parametrize("matcher", ["none", "optimal"])
@pytest.mark.parametrize("columns", [None, 12])
def test_bandwidths_by_their_definition(rule, matcher, columns):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(13, 4, 5))
    y = None if columns is None else rng.normal(size=(columns, 4, 5))
    gram = semrsm.gram(x, y, matcher=matcher)
    squared = kernels.squared_distances(gram)
    if rule == "median":
        chosen = squared if columns else squared[np.triu_indices(13, k=1)]
        expected = np.sqrt(np.median(chosen[chosen != 0]))
    else:
        lower = columns is None and matcher != "none"
        chosen = np.sort((squared[np.tril_indices(13)] if lower else squared).reshape(-1))
        chosen = chosen[chosen != 0]
        expected = np.sqrt(chosen[(len(chosen) - 1) // 2]) + 1e-3
    assert gram.rsm("rbf", sigma=rule).sigma == expected


# ---------------------------------------------------------------- memory, and what is read


def test_many_equal_values_are_counted_and_not_kept():
    """One more value than is sorted at once, thirty times over."""
    piece = np.full(FEW // 8, 0.5)
    tracemalloc.start()
    found = select(lambda: (piece.copy() for _ in range(30)), lambda count: [0, count - 1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tolist() == [0.5, 0.5]
    assert peak < 30 * piece.nbytes / 2


def test_ranks_beside_one_another_share_their_passes():
    rng = np.random.default_rng(0)
    data = [rng.normal(3, 0.3, size=FEW // 2) ** 2 for _ in range(5)]
    passes = []

    def again():
        passes.append(1)
        return data

    count = sum(piece.size for piece in data)
    found = select(again, lambda count: [(count - 1) // 2, count // 2])
    middle = np.sort(np.concatenate(data))[[(count - 1) // 2, count // 2]]
    np.testing.assert_array_equal(found, middle)
    assert len(passes) == 2  # one that counts, one that collects


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


@pytest.mark.parametrize("scale", [1e-170, 1e160])
def test_pearson_knows_no_unit(scale):
    a, b = symmetric(20), symmetric(20, 1)
    expected = semrsm.rsa(a, b, method="pearson").value
    for left in (a * scale, Blocks(a * scale)):
        assert semrsm.rsa(left, b, method="pearson").value == pytest.approx(expected, abs=1e-12)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    pytest.importorskip("zarr", reason="runs on disk need zarr")
    monkeypatch.setattr("semrsm.engine.plan.tile_side", lambda *_, **__: 16)
    x = np.random.default_rng(0).normal(size=(70, 4, 6)).astype(np.float32)
    return semrsm.gram(x, out=tmp_path / "run.zarr")


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_any_part_is_that_of_the_whole_and_reads_no_more(kernel, stored, monkeypatch):
    view, expected = stored.rsm(kernel), stored.load().rsm(kernel).values
    asked = []
    part = type(stored).part

    def recorded(self, rows, columns):
        asked.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return part(self, rows, columns)

    monkeypatch.setattr(type(stored), "part", recorded)
    parts = [
        (slice(30, 31), slice(None)),
        (slice(None), slice(30, 31)),
        (slice(10, 30), slice(20, 25)),
        (slice(20, 25), slice(10, 30)),
        (slice(5, 30), slice(20, 60)),
        (slice(40, 60), slice(3, 9)),
        (slice(3, 9), slice(40, 60)),
        (slice(4, 4), slice(0, 9)),
    ]
    for rows, columns in parts:
        asked.clear()
        found = view.block(rows, columns)
        np.testing.assert_array_equal(found, expected[rows, columns])
        assert sum(asked) == found.size


def test_a_pass_reads_each_tile_once(stored, monkeypatch):
    from semrsm.runs.folder import GramFolder

    loads = []
    load = GramFolder._load
    monkeypatch.setattr(GramFolder, "_load", lambda self, t: loads.append(t) or load(self, t))
    assert sum(1 for _ in stored.parts()) == len(loads) == len(set(loads))


@pytest.mark.parametrize("sigma", [2, np.float32(2)])
def test_the_bandwidth_of_a_view_is_known_whatever_number_it_was(sigma, stored):
    assert stored.rsm("rbf", sigma=sigma).sigma == 2.0


def test_a_kernel_of_ones_own_on_disk(stored):
    class Square(kernels.Kernel):
        name = "square"

        def values(self, inner, row_squared, column_squared, dtype):
            return inner**2

    found = stored.rsm(Square())
    assert (found.kernel, found.sigma) == ("square", None)
    values = stored.load().values
    np.testing.assert_array_equal(
        found.block(slice(3, 20), slice(30, 60)), values[3:20, 30:60] ** 2
    )
