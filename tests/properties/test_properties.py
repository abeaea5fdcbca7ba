"""What must hold for any features."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

import semrsm
from semrsm import matchers

NUMBERS = st.floats(-100, 100, width=32)
OTHERS = [matchers.NoMatch(), matchers.Greedy(), matchers.TopKGreedy(k=3)]
OTHERS += [matchers.BatchOptimal(window=3)]


def features(count=2, equal=True):
    """Draw `count` images (S, C) with one C, and one S if `equal`."""
    sizes = st.integers(1, 9)
    return st.tuples(st.lists(sizes, min_size=count, max_size=count), st.integers(1, 6)).flatmap(
        lambda drawn: st.tuples(
            *(
                arrays.arrays(
                    np.float64, (drawn[0][0] if equal else size, drawn[1]), elements=NUMBERS
                )
                for size in drawn[0]
            )
        )
    )


def scale(x, y):
    return float(np.linalg.norm(x) * np.linalg.norm(y)) + 1e-30


def value(x, y):
    return float(semrsm.gram([x], [y]).values[0, 0])


@given(features(), st.randoms(use_true_random=False))
def test_where_things_stand_does_not_matter(pair, random):
    x, y = pair
    moved = x[random.sample(range(len(x)), len(x))]
    assert abs(value(moved, y) - value(x, y)) <= 1e-9 * scale(x, y)


@given(features(equal=False))
def test_symmetry(pair):
    x, y = pair
    assert abs(value(x, y) - value(y, x)) <= 1e-9 * scale(x, y)


@given(features(), st.floats(0.01, 100))
def test_scaling(pair, factor):
    x, y = pair
    assert abs(value(factor * x, y) - factor * value(x, y)) <= 1e-9 * factor * scale(x, y)


@given(features())
def test_cauchy_schwarz(pair):
    x, y = pair
    assert abs(value(x, y)) <= scale(x, y) * (1 + 1e-9) or value(x, y) < 0


@given(features(count=1))
def test_an_image_is_most_similar_to_itself(one):
    (x,) = one
    solved = semrsm.gram([x], [x.copy()])
    assert abs(solved.values[0, 0] - (x**2).sum()) <= 1e-9 * scale(x, x)
    assert semrsm.gram([x]).values[0, 0] == semrsm.gram([x]).row_squared_norms[0]


@given(features())
def test_own_means_shift_the_value(pair):
    x, y = pair
    shift = len(x) * float(x.mean(0) @ y.mean(0))
    centred = value(x - x.mean(0), y - y.mean(0))
    assert abs(centred + shift - value(x, y)) <= 1e-8 * scale(x, y)


@given(features())
def test_approximations_stay_below_the_optimum_and_bounds_above(pair):
    x, y = pair
    slack = 1e-9 * scale(x, y)
    best = semrsm.gram([x], [y])
    optimum = best.values[0, 0]
    assert best.upper_bound[0, 0] >= optimum
    assert best.upper_bound[0, 0] - optimum <= 1e-6 * abs(optimum) + slack
    for matcher in OTHERS:
        found = semrsm.gram([x], [y], matcher=matcher)
        assert found.values[0, 0] <= optimum + slack
        assert found.upper_bound[0, 0] >= optimum - slack


@given(features(equal=False))
def test_every_matcher_matches_the_smaller_image_completely(pair):
    x, y = pair
    for matcher in [matchers.Optimal(), *OTHERS[1:]]:
        found = semrsm.match(x, y, matcher=matcher)
        placed = found.permutation[found.permutation >= 0]
        assert len(placed) == len(set(placed.tolist())) == min(len(x), len(y))
        assert placed.max() < len(y)


MATRICES = st.tuples(st.integers(1, 8), st.integers(1, 8)).flatmap(
    lambda shape: arrays.arrays(np.float64, shape, elements=NUMBERS)
)


@given(MATRICES, st.randoms(use_true_random=False))
def test_assign_does_not_see_the_order(matrix, random):
    rows = random.sample(range(matrix.shape[0]), matrix.shape[0])
    columns = random.sample(range(matrix.shape[1]), matrix.shape[1])
    size = np.abs(matrix).sum() + 1e-30
    shuffled = semrsm.assign(matrix[rows][:, columns]).value
    assert abs(float(shuffled) - float(semrsm.assign(matrix).value)) <= 1e-12 * size
    assert abs(float(semrsm.assign(matrix.T).value - semrsm.assign(matrix).value)) <= 1e-12 * size


@given(MATRICES, NUMBERS)
def test_assign_moves_with_constants(matrix, constant):
    size = np.abs(matrix).sum() + abs(constant) * matrix.size + 1e-30
    plain = float(semrsm.assign(matrix).value)
    moved = float(semrsm.assign(matrix + constant).value)
    assert abs(moved - plain - constant * min(matrix.shape)) <= 1e-12 * size


@given(arrays.arrays(np.float32, (3, 5, 5), elements=st.floats(width=32, allow_nan=False)))
def test_any_finite_float32_ends_with_a_bound(batch):
    batch = np.nan_to_num(batch, posinf=3e38, neginf=-3e38)
    found = semrsm.assign(batch)
    for matrix, columns, total, bound in zip(
        batch.astype(np.float64), found.columns, found.value, found.upper_bound, strict=True
    ):
        assert sorted(columns.tolist()) == list(range(5))
        exact = matrix[np.arange(5), columns].sum()
        assert abs(total - exact) <= 1e-12 * np.abs(matrix).sum()
        assert bound >= total


@given(st.integers(1, 8), st.data())
def test_assign_moves_with_constants_of_rows_and_columns(size, data):
    """Where every row and column is taken, what is added to one is added to the value."""
    matrix = data.draw(arrays.arrays(np.float64, (size, size), elements=NUMBERS))
    rows = data.draw(arrays.arrays(np.float64, (size, 1), elements=NUMBERS))
    columns = data.draw(arrays.arrays(np.float64, (1, size), elements=NUMBERS))
    plain, moved = semrsm.assign(matrix), semrsm.assign(matrix + rows + columns)
    total = np.abs(matrix).sum() + size * (np.abs(rows).sum() + np.abs(columns).sum()) + 1e-30
    shift = rows.sum() + columns.sum()
    assert abs(float(moved.value) - float(plain.value) - shift) <= 1e-12 * total
    assert abs(float(moved.upper_bound) - float(plain.upper_bound) - shift) <= 1e-9 * total


@given(MATRICES)
def test_the_bound_is_above_every_assignment(matrix):
    found = semrsm.assign(matrix.astype(np.float32))
    exact = matrix.astype(np.float32).astype(np.float64)
    rows, columns = linear_sum_assignment(exact, maximize=True)
    best = exact[rows, columns].sum()
    slack = 1e-13 * np.abs(exact).sum()
    assert float(found.value) <= best + slack
    assert float(found.upper_bound) >= best - slack
    assert float(found.upper_bound) - float(found.value) <= 1e-6 * abs(best) + 10 * slack


@given(features(), st.sampled_from(["none", "optimal", "greedy", "topk-greedy", "batch-optimal"]))
def test_kernels_of_any_features_are_bounded_and_symmetric(pair, matcher):
    gram = semrsm.gram(list(pair), matcher=matcher)
    cosine, rbf = gram.rsm("cosine").values, gram.rsm("rbf").values
    assert (np.abs(cosine) <= 1 + 1e-9).all()
    assert ((rbf >= 0) & (rbf <= 1)).all()
    np.testing.assert_array_equal(cosine, cosine.T)


@given(features(), st.integers(-90, 90))
def test_float32_features_of_any_size(pair, exponent):
    """Powers of two change no digit of the result, be they ever so large."""
    x, y = (image.astype(np.float32) for image in pair)
    scaled = np.ldexp(x, exponent)
    if not np.array_equal(np.ldexp(scaled, -exponent), x):
        return  # some entries were lost to the range of float32
    plain, found = semrsm.match(x, y), semrsm.match(scaled, y)
    assert abs(np.ldexp(found.value, -exponent) - plain.value) <= 2e-6 * scale(x, y)
