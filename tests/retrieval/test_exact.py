"""Exact retrieval against solving everything, and the bounds that it prunes by against SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

import semrsm
from native_search import native_search
from semrsm import _native, kernels
from semrsm.errors import InputError
from semrsm.matching.assignment import Stage


def best(matrix):
    rows, columns = linear_sum_assignment(np.asarray(matrix, np.float64), maximize=True)
    return float(np.asarray(matrix, np.float64)[rows, columns].sum())


entries = st.floats(-100, 100, width=32)
shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(arrays.arrays(np.float32, shapes, elements=entries), st.floats(-2, 2), st.data())
def test_bounds_are_bounds_and_nothing_that_matters_is_left(matrix, share, data):
    optimum = best(matrix)
    threshold = optimum + share * (1 + abs(optimum))
    prices = None
    if matrix.shape[0] == matrix.shape[1] and data.draw(st.booleans()):
        prices = data.draw(arrays.arrays(np.float32, matrix.shape[1], elements=entries))
    value, bound, stage = native_search(matrix, threshold, prices)
    slack = 1e-6 * (1 + float(np.abs(matrix).sum()))
    assert bound >= optimum - slack
    if stage == Stage.SOLVED:
        assert value == pytest.approx(optimum, abs=slack)
    else:
        assert np.isnan(value)
        assert bound < threshold


@pytest.mark.parametrize("name", _native.kernels())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 5, 16, 49, 50, 64])
def test_every_stage_of_every_instruction_set(name, dtype, size):
    rng = np.random.default_rng(size)
    matrix = rng.normal(size=(size, size)).astype(dtype)
    optimum = best(matrix)
    slack = 1e-5 * size
    assert native_search(matrix, -np.inf, kernels=name)[2] == Stage.SOLVED
    assert native_search(matrix, optimum - slack, kernels=name)[2] == Stage.SOLVED
    _, bound, stage = native_search(matrix, np.inf, kernels=name)
    maxima = min(matrix.max(axis=1).sum(dtype=float), matrix.max(axis=0).sum(dtype=float))
    assert stage == Stage.MAXIMA
    assert bound == pytest.approx(maxima, rel=1e-6)
    # Just below the bound of the maxima, another bound has to do it, or the solver.
    _, bound, stage = native_search(matrix, maxima - 1e-4, kernels=name)
    rows, columns = matrix.max(axis=1, keepdims=True), matrix.max(axis=0, keepdims=True)
    reduced = min(
        rows.sum(dtype=float) + (matrix - rows).max(axis=0).sum(dtype=float),
        columns.sum(dtype=float) + (matrix - columns).max(axis=1).sum(dtype=float),
    )
    if reduced < maxima - 2e-4:
        assert stage == Stage.REDUCED
        assert bound == pytest.approx(reduced, rel=1e-5, abs=1e-5)
    # The exact prices are a bound that is tight: nothing needs solving.
    prices = dual_prices(matrix.astype(np.float64)).astype(dtype)
    _, bound, stage = native_search(matrix, optimum + 10 * slack, prices, name)
    assert stage in (Stage.MAXIMA, Stage.REDUCED, Stage.PRICES)
    assert bound >= optimum - slack


def dual_prices(matrix, rounds=2000):
    """Column prices that are nearly optimal, by a plain auction."""
    size = len(matrix)
    prices, owner, column = np.zeros(size), np.full(size, -1), np.full(size, -1)
    epsilon = 1e-4 / size
    free = list(range(size))
    while free:
        i = free.pop()
        gains = matrix[i] - prices
        k = int(gains.argmax())
        second = np.partition(gains, -2)[-2] if size > 1 else gains[k]
        prices[k] += gains[k] - second + epsilon
        if owner[k] >= 0:
            free.append(owner[k])
        owner[k] = i
        column[i] = k
    return prices


@pytest.mark.parametrize("matrix", [np.zeros((4, 4)), np.full((3, 5), 2.0), np.ones((6, 2)) * -1])
def test_constant_matrices(matrix):
    matrix = matrix.astype(np.float32)
    optimum = best(matrix)
    assert native_search(matrix, optimum)[2] == Stage.SOLVED
    assert native_search(matrix, optimum)[0] == optimum
    assert native_search(matrix, optimum + 1)[2] == Stage.MAXIMA


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales(scale):
    matrix = (np.random.default_rng(0).normal(size=(9, 9)) * scale).astype(np.float32)
    optimum = best(matrix)
    assert native_search(matrix, optimum * (1 - 1e-5))[0] == pytest.approx(optimum, rel=1e-6)
    _, bound, stage = native_search(matrix, optimum * 1.5)
    assert stage != Stage.SOLVED
    assert bound >= optimum * (1 - 1e-6)


def test_the_binding_checks_its_memory():
    data, flag = np.zeros(9, np.float32), np.zeros(1, np.uint8)
    one = {
        "offsets": np.zeros(1, np.int64),
        "rows": np.full(1, 3, np.int32),
        "columns": np.full(1, 3, np.int32),
        "stop_below": np.zeros(1),
        "values": np.zeros(1),
        "upper_bounds": np.zeros(1),
        "stages": np.zeros(1, np.uint8),
    }

    def call(prices=None, price_offsets=None, **changed):
        given = one | changed
        return _native.search(
            data,
            given["offsets"],
            given["rows"],
            given["columns"],
            3,
            1e-6,
            flag,
            given["stop_below"],
            prices,
            price_offsets,
            given["values"],
            given["upper_bounds"],
            given["stages"],
            "",
        )

    assert call() == (0, 0)
    for changed in (
        {"offsets": np.ones(1, np.int64)},
        {"offsets": np.full(1, -1, np.int64)},
        {"rows": np.full(1, 4, np.int32)},
        {"columns": np.full(1, -3, np.int32)},
        {"stop_below": np.zeros(2)},
        {"stages": np.zeros(2, np.uint8)},
        {"prices": np.zeros(3, np.float32)},
        {"prices": np.zeros(3, np.float32), "price_offsets": np.ones(1, np.int64)},
    ):
        with pytest.raises(ValueError, match=r"batch|buffer|size|prices"):
            call(**changed)


# topk


def brute_force(queries, gallery, kernel, k, exclude=None):
    """Every pair in float64, sorted by kernel value and then by place in the gallery."""
    scores = np.zeros((len(queries), len(gallery)))
    for i, x in enumerate(queries):
        for j, y in enumerate(gallery):
            x64, y64 = np.asarray(x, np.float64), np.asarray(y, np.float64)
            value = best(x64 @ y64.T)
            own = (x64**2).sum(), (y64**2).sum()
            if kernel == "linear":
                scores[i, j] = value
            elif kernel == "cosine":
                norms = np.sqrt(own[0] * own[1])
                scores[i, j] = value / norms if norms > 0 else 0.0
            else:
                scores[i, j] = 2 * value - own[0] - own[1]
    if exclude is not None:
        scores[exclude] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


KERNELS = {
    "linear": "linear",
    "cosine": "cosine",
    "rbf": kernels.RBF(sigma=4.0),
    "laplacian": kernels.Laplacian(sigma=4.0),
    "rational-quadratic": kernels.RationalQuadratic(sigma=4.0),
    "odd polynomial": kernels.Polynomial(3, 1.0, sigma=4.0),
}


def images(count, size=6, channels=5, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(count, size, channels)).astype(dtype) + dtype(1)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("k", [1, 3, 40])
def test_the_result_is_that_of_solving_everything(kernel, k):
    queries, gallery = images(7, seed=1), images(40)
    found = semrsm.topk(queries, gallery, k, kernel=KERNELS[kernel])
    ranks_by = "linear" if kernel == "odd polynomial" else kernel
    order, scores = brute_force(queries, gallery, ranks_by, k)
    np.testing.assert_array_equal(found.indices, order)
    if kernel in ("linear", "cosine"):
        np.testing.assert_allclose(found.values, scores, rtol=1e-12)
    elif kernel == "odd polynomial":
        np.testing.assert_allclose(found.values, (scores / 16 + 1) ** 3, rtol=1e-9)
    elif kernel == "rbf":
        np.testing.assert_allclose(found.values, np.exp(scores / 32), rtol=1e-9)
    assert found.exact
    np.testing.assert_array_equal(found.missed_at_most, found.values[:, -1])
    assert found.pairs == 280 == found.solved + sum(found.removed.values())
    if k == 1:
        assert found.solved < found.pairs


@pytest.mark.parametrize("kernel", ["linear", "cosine", "rbf"])
def test_images_of_unequal_sizes(kernel):
    rng = np.random.default_rng(2)
    gallery = [rng.normal(size=(n, 4)) for n in rng.integers(1, 9, size=25)]
    queries = [rng.normal(size=(n, 4)) for n in (1, 3, 8)]
    found = semrsm.topk(queries, gallery, 5, kernel=KERNELS[kernel])
    np.testing.assert_array_equal(found.indices, brute_force(queries, gallery, kernel, 5)[0])


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e17])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scales_and_dtypes(scale, dtype):
    if dtype is np.float16 and scale != 1.0:
        pytest.skip("out of the range of float16")
    queries, gallery = images(3, seed=3).astype(dtype), images(30, seed=4).astype(dtype)
    gallery = (gallery * dtype(scale)).astype(dtype)
    found = semrsm.topk(queries, gallery, 4)
    np.testing.assert_array_equal(found.indices, brute_force(queries, gallery, "cosine", 4)[0])


@pytest.mark.parametrize("apart", [1e-7, 1e-8, 1e-10])
def test_near_ties_are_told_apart(apart):
    """float32 sees these as ties; none of them may be dropped, and float64 orders them."""
    base = images(1, 16, 8, seed=5)[0].astype(np.float64)
    lean = np.random.default_rng(6).normal(size=base.shape)
    order = np.random.default_rng(7).permutation(30)
    gallery = np.stack([base + apart * n * lean for n in order])
    others = images(50, 16, 8, seed=8, dtype=np.float64)
    everything = np.concatenate([others, gallery])
    found = semrsm.topk(base[None], everything, 10)
    expected, scores = brute_force(base[None], everything, "cosine", 10)
    np.testing.assert_allclose(found.values, scores, rtol=0, atol=1e-15)
    if apart >= 1e-7:  # below, the cosines themselves are equal in float64
        np.testing.assert_array_equal(found.indices, expected)
    single = semrsm.topk(base[None].astype(np.float32), everything.astype(np.float32), 30)
    assert set(single.indices[0].tolist()) == set(range(50, 80))


def test_equal_images_come_in_the_order_of_the_gallery():
    gallery = np.repeat(images(5), 4, axis=0)
    found = semrsm.topk(images(1), gallery, 6)
    assert found.indices[0, :4].tolist() == [0, 1, 2, 3]
    zeros = np.zeros_like(gallery)
    assert semrsm.topk(images(1), zeros, 3).indices.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("tile", [1, 1 << 12, 4 << 20])
def test_how_the_work_is_cut_changes_nothing(workers, tile, monkeypatch):
    monkeypatch.setattr("semrsm.retrieval.search.TILE_BYTES", tile)
    queries, gallery = images(9, seed=1), images(50)
    found = semrsm.topk(queries, gallery, 4, workers=workers)
    np.testing.assert_array_equal(found.indices, brute_force(queries, gallery, "cosine", 4)[0])
    panels = iter([(2, 7)])
    monkeypatch.setattr("semrsm.retrieval.search.Search._panels", lambda *_: next(panels))
    again = semrsm.topk(queries, gallery, 4, workers=workers)
    np.testing.assert_array_equal(again.indices, found.indices)
    np.testing.assert_array_equal(again.values, found.values)


def test_exclusion():
    gallery = images(20)
    exclude = np.eye(20, dtype=bool)
    exclude[:, 3] = True
    found = semrsm.topk(gallery, gallery, 2, exclude=exclude)
    expected = brute_force(gallery, gallery, "cosine", 2, exclude)[0]
    np.testing.assert_array_equal(found.indices, expected)
    assert found.pairs == 400 - exclude.sum()
    with pytest.raises(InputError, match=r"^k: expected at most 18, the images that a query has"):
        semrsm.topk(gallery, gallery, 19, exclude=exclude)


def test_a_budget_is_kept_and_its_certificate_holds():
    queries, gallery = images(6, seed=1), images(60)
    every, scores = brute_force(queries, gallery, "cosine", 60)
    for budget in (3, 5, 20, 60, 100):
        found = semrsm.topk(queries, gallery, 3, budget=budget)
        assert found.solved <= min(budget, 60) * 6
        for n in range(6):
            missed = [s for j, s in zip(every[n], scores[n], strict=True)
                      if j not in found.indices[n]]  # fmt: skip
            assert max(missed) <= found.missed_at_most[n] + 1e-12
        if budget >= 60:
            assert found.exact
        if found.exact:
            np.testing.assert_array_equal(found.indices, every[:, :3])
    assert not semrsm.topk(queries, gallery, 3, budget=3).exact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, r"^k: expected a whole number >= 1; got 0"),
        ({"k": 2.0}, r"^k: expected a whole number >= 1; got 2\.0"),
        ({"k": "3", "budget": 5}, r"^k: expected a whole number >= 1; got '3'"),
        ({"k": 21}, r"^k: expected at most 20"),
        ({"kernel": "rbf"}, r"^kernel: expected a bandwidth in numbers"),
        ({"kernel": "polynomial"}, r"^kernel: expected a bandwidth in numbers.*rule 'norm'"),
        ({"kernel": kernels.Polynomial(2, sigma=1.0)}, r"^kernel: expected linear, cosine or a"),
        ({"budget": 1}, r"^budget: expected a whole number >= k = 2; got 1"),
        ({"exclude": np.zeros((3, 3), bool)}, r"^exclude: expected booleans of shape \(2, 20\)"),
        ({"exclude": np.zeros((2, 20))}, r"^exclude: expected booleans"),
        ({"ids": ["a"]}, r"^ids: expected 2 ids"),
        ({"gallery_ids": ["a"]}, r"^ids: expected 20 ids"),
        ({"workers": 0}, r"^workers: expected"),
        ({"memory": 10}, r"^memory: expected at least .* for one query and one image"),
        ({"progress": 3}, r"^progress: expected True or a function"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        semrsm.topk(images(2), images(20, seed=1), **({"k": 2} | options))


def test_what_cannot_be_compared():
    with pytest.raises(InputError, match=r"^gallery: expected 5 channels as in queries; got 4"):
        semrsm.topk(images(2), images(3, channels=4), 1)
    index = semrsm.Index(images(3))
    with pytest.raises(InputError, match=r"^gallery_ids: expected None"):
        semrsm.topk(images(2), index, 1, gallery_ids=["a", "b", "c"])


def test_progress_counts_pairs_and_may_end_the_work():
    seen = []
    semrsm.topk(
        images(4), images(30, seed=1), 2, progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen[-1] == (120, 120)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        semrsm.topk(images(4), images(30, seed=1), 2, progress=stop)


def test_names():
    found = semrsm.topk(images(2), images(4), 2, ids=["p", "q"], gallery_ids=list("abcd"))
    assert found.query_ids == ("p", "q")
    assert found.names(1)[0] == "b"
    assert "2 queries, k=2 of 4, kernel='cosine', exact" in repr(found)


# Index


def test_an_index_grows(tmp_path):
    first, second = images(10), images(7, seed=1, dtype=np.float64)
    index = semrsm.Index(first).add(second).add(images(2, size=3, seed=2), ids=["x", "y"])
    assert index.ids == (*map(str, range(17)), "x", "y")
    assert len(index) == 19
    everything = [*first, *second, *images(2, size=3, seed=2)]
    queries = images(3, seed=9)
    found = semrsm.topk(queries, index, 5)
    np.testing.assert_array_equal(found.indices, brute_force(queries, everything, "cosine", 5)[0])
    with pytest.raises(InputError, match=r"^gallery: expected 5 channels as in the index; got 4"):
        index.add(images(2, channels=4))
    with pytest.raises(InputError, match=r"^ids: expected distinct ids"):
        index.add(images(1), ids=["x"])


@pytest.mark.parametrize("ragged", [False, True])
def test_an_index_on_disk(ragged, tmp_path):
    pytest.importorskip("zarr", reason="indices on disk need zarr")
    gallery = images(30)
    if ragged:
        gallery = [*gallery, *images(5, size=2)]
    index = semrsm.Index(gallery, ids=[f"n{i}" for i in range(len(gallery))])
    path = index.save(tmp_path / "gallery.zarr")
    loaded = semrsm.Index.load(path)
    assert loaded.ids == index.ids
    queries = images(4, seed=3)
    for k in (1, 6):
        a, b = semrsm.topk(queries, index, k), semrsm.topk(queries, loaded, k)
        np.testing.assert_array_equal(a.indices, b.indices)
        np.testing.assert_array_equal(a.values, b.values)
    with pytest.raises(InputError, match="exists"):
        index.save(path)
    loaded.add(images(1, seed=8)).save(path, overwrite=True)
    assert len(semrsm.Index.load(path)) == len(gallery) + 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "text").write_text("mine")
    with pytest.raises(InputError, match=r"^path: expected a folder that Index.save wrote"):
        index.save(tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "text").read_text() == "mine"
    with pytest.raises(InputError, match=r"^path: expected a folder that Index.save wrote"):
        semrsm.Index.load(tmp_path / "nothing")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gallery.zarr", "mine"]


@pytest.mark.parametrize("k", [1, 10])
def test_real_features_need_few_assignments(shared_data, k):
    pytest.importorskip("torch", reason="features need torch")
    photos = semrsm.datasets.ImageFolder(shared_data / "imagenet").take(range(0, 200, 2))
    features = semrsm.extract("efficientnet-lite0", photos, layers="_blocks.15")["_blocks.15"]
    exclude = np.eye(100, dtype=bool)
    found = semrsm.topk(features, features, k, exclude=exclude)
    values = semrsm.rsm(features).values.copy()
    values[exclude] = -np.inf
    np.testing.assert_array_equal(found.indices, np.argsort(-values, axis=1, kind="stable")[:, :k])
    # Of a hundred images ten are the result: the share falls as galleries grow.
    assert found.solved / found.pairs < (0.05 if k == 1 else 0.3)


def test_queries_that_are_the_gallery_are_measured_once(monkeypatch):
    from semrsm.tokens import measuring

    passes = []
    pass_over = measuring._pass_over
    monkeypatch.setattr(
        measuring, "_pass_over", lambda *given: passes.append(given[1]) or pass_over(*given)
    )
    x = images(9)
    not_itself = np.eye(9, dtype=bool)
    found = semrsm.topk(x, x, 2, exclude=not_itself)
    assert passes == ["queries"]
    tokens = semrsm.measure(x)
    again = semrsm.topk(tokens, tokens, 2, exclude=not_itself)
    semrsm.gram(tokens)
    semrsm.rsm(tokens, matcher="none")
    semrsm.forecast(tokens)
    assert passes == ["queries", "x"]
    np.testing.assert_array_equal(again.indices, found.indices)


def test_values_never_rise_along_a_row():
    """Two scores may round to one value; equal values come in the order of the gallery."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(1, 9, 6))
    gallery = base + 1e-9 * rng.normal(size=(300, 9, 6))
    for kernel in ("cosine", kernels.RBF(sigma=1.0), kernels.Laplacian(sigma=0.3)):
        found = semrsm.topk(base, gallery, 300, kernel=kernel)
        steps = np.diff(found.values[0])
        assert (steps <= 0).all()
        assert (np.diff(found.indices[0])[steps == 0] > 0).all()


@pytest.mark.parametrize("budget", [3, 5, 20, 40])
def test_exact_is_never_said_of_results_that_brute_force_contradicts(budget):
    """Near-equal images: the RBF kernel rounds their similarities to one value."""
    rng = np.random.default_rng(1)
    base = rng.normal(size=(1, 9, 6))
    kernel = kernels.RBF(sigma=1e4)
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(40)
        gallery = (base + 1e-5 * rng.normal(size=(40, 9, 6)))[order]
        found = semrsm.topk(base, gallery, 3, kernel=kernel, budget=budget)
        values = semrsm.gram(base, gallery).rsm(kernel).values[0]
        best = np.lexsort((np.arange(40), -values))[:3]
        assert not found.exact or set(found.indices[0]) == set(best) or budget == 40
        assert found.exact or budget < 40
