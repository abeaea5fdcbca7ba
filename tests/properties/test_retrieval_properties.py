"""Properties of the exact search, its bounds, and its certificate."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

import semrsm
from native_search import native_search
from semrsm.matching.assignment import Stage

KERNELS = st.sampled_from(
    [
        "linear",
        "cosine",
        semrsm.kernels.RBF(sigma=2.0),
        semrsm.kernels.Laplacian(sigma=2.0),
        semrsm.kernels.RationalQuadratic(sigma=2.0),
    ]
)
#: Few different values, so that ties are common.
ENTRIES = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0])


def optimum(affinity):
    rows, columns = linear_sum_assignment(affinity, maximize=True)
    return float(affinity[rows, columns].sum())


@st.composite
def questions(draw):
    """Queries and a gallery of images that may be of unequal sizes, and how many are wanted."""
    channels = draw(st.integers(1, 3))
    sizes = st.integers(1, 4)

    def some(count):
        return [
            draw(hnp.arrays(np.float64, (draw(sizes), channels), elements=ENTRIES))
            for _ in range(count)
        ]

    queries, gallery = some(draw(st.integers(1, 3))), some(draw(st.integers(1, 7)))
    exclude = draw(hnp.arrays(bool, (len(queries), len(gallery))))
    exclude[:, draw(st.integers(0, len(gallery) - 1))] = False
    most = int((~exclude).sum(axis=1).min())
    return queries, gallery, exclude, draw(st.integers(1, most))


def scores(queries, gallery, kernel):
    """The kernel's value of every pair by SciPy, and a number that orders like it."""
    inner = np.array([[optimum(x @ y.T) for y in gallery] for x in queries])
    rows = np.array([(x**2).sum() for x in queries])[:, None]
    columns = np.array([(y**2).sum() for y in gallery])[None, :]
    if kernel == "linear":
        return inner
    if kernel == "cosine":
        norms = np.sqrt(rows) * np.sqrt(columns)
        return np.divide(inner, norms, out=np.zeros_like(inner), where=norms > 0)
    return 2 * inner - rows - columns


@given(questions(), KERNELS)
def test_nothing_more_similar_is_missed(question, kernel):
    queries, gallery, exclude, k = question
    found = semrsm.topk(queries, gallery, k, kernel=kernel, exclude=exclude, workers=1)
    order = scores(queries, gallery, kernel)
    order[exclude] = -np.inf
    best = -np.sort(-order, axis=1)[:, :k]
    np.testing.assert_allclose(
        np.take_along_axis(order, found.indices, axis=1), best, rtol=1e-9, atol=1e-9
    )
    assert not np.take_along_axis(exclude, found.indices, axis=1).any()
    assert all(len(set(row)) == k for row in found.indices.tolist())
    assert found.pairs == (~exclude).sum() == found.solved + sum(found.removed.values())
    assert found.exact
    every = semrsm.gram(queries, gallery).rsm(kernel).values
    np.testing.assert_allclose(
        found.values, np.take_along_axis(every, found.indices, axis=1), rtol=1e-9, atol=1e-9
    )


@given(questions(), KERNELS, st.integers(0, 3))
def test_a_budget_misses_no_more_than_it_says(question, kernel, more):
    queries, gallery, exclude, k = question
    found = semrsm.topk(
        queries, gallery, k, kernel=kernel, exclude=exclude, budget=k + more, workers=1
    )
    every = semrsm.gram(queries, gallery).rsm(kernel).values
    for query, results in enumerate(found.indices.tolist()):
        others = [
            every[query, n]
            for n in range(len(gallery))
            if n not in results and not exclude[query, n]
        ]
        missed = found.missed_at_most[query]
        assert max(others, default=-np.inf) <= missed + 1e-9 * max(1, abs(missed))
    assert found.solved <= len(queries) * (k + more)
    if found.exact or k + more >= len(gallery):
        exact = semrsm.topk(queries, gallery, k, kernel=kernel, exclude=exclude)
        np.testing.assert_allclose(found.values, exact.values, rtol=1e-9, atol=1e-9)


@st.composite
def matrices(draw):
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    wide = st.floats(-1e3, 1e3, width=32)
    matrix = draw(hnp.arrays(dtype, shape, elements=draw(st.sampled_from([ENTRIES, wide]))))
    return matrix * dtype(draw(st.sampled_from([1.0, 1e-30, 1e30])))


@given(matrices(), st.floats(-1.5, 1.5), st.data())
def test_a_matrix_is_left_only_where_its_value_is_below_the_threshold(matrix, place, data):
    best = optimum(matrix.astype(np.float64))
    size = max(float(np.abs(matrix).sum(dtype=np.float64)), 1e-300)
    threshold = best + place * size * data.draw(st.sampled_from([1.0, 1e-3, 0.0]))
    prices = data.draw(
        hnp.arrays(matrix.dtype, matrix.shape[1], elements=st.floats(0, 4, width=32))
    )
    given_prices = matrix.shape[0] == matrix.shape[1] and data.draw(st.booleans())
    value, bound, stage = native_search(matrix, threshold, prices if given_prices else None)
    # Prices count too: float64 loses a matrix beside prices that are much larger.
    rounding = 1e-12 * size + 1e-15 * float(np.abs(prices).sum()) * given_prices
    assert bound >= best - rounding
    if stage == Stage.SOLVED:
        np.testing.assert_allclose(value, best, rtol=0, atol=2e-6 * size)
    else:
        assert np.isnan(value)
        assert best <= bound + rounding
        assert bound < threshold
        assert best < threshold + rounding
