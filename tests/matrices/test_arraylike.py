"""An RSM, Gram or stored matrix where an array is expected."""

import warnings

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError

X = np.random.default_rng(0).normal(size=(6, 4, 8))
IDS = list("abcdef")


@pytest.fixture(scope="module")
def gram():
    return semrsm.gram(X, ids=IDS)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    pytest.importorskip("zarr")
    return semrsm.gram(X, ids=IDS, out=tmp_path_factory.mktemp("run") / "run.zarr")


@pytest.fixture(params=["gram", "rsm", "stored gram", "stored rsm"])
def matrix(request, gram):
    where = request.getfixturevalue("stored") if "stored" in request.param else gram
    return where.rsm("cosine") if "rsm" in request.param else where


def whole(matrix):
    return matrix.block(slice(0, 6), slice(0, 6))


def test_numpy_sees_the_values(matrix):
    values = whole(matrix)
    np.testing.assert_array_equal(np.asarray(matrix), values)
    assert np.asarray(matrix).dtype == np.float64
    assert np.asarray(matrix, dtype=np.float32).dtype == np.float32
    assert (matrix.shape, matrix.ndim, len(matrix)) == ((6, 6), 2, 6)
    np.testing.assert_array_equal(np.stack(list(matrix)), values)


def test_operators_give_arrays(matrix):
    values = whole(matrix)
    for found, expected in [
        (1 - matrix, 1 - values),
        (matrix * 2, values * 2),
        (matrix + matrix, values + values),
        (values - matrix, np.zeros((6, 6))),
        (np.exp(matrix), np.exp(values)),
        (-matrix, -values),
        (matrix > 0.5, values > 0.5),
        (np.add.reduce(matrix), values.sum(axis=0)),
    ]:
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected)


def test_indexing_gives_copies(matrix):
    values = whole(matrix).copy()
    np.testing.assert_array_equal(matrix[1:3, [0, 5]], values[1:3, [0, 5]])
    assert matrix[2, 3] == values[2, 3]
    matrix[:][0, 0] = 77
    np.testing.assert_array_equal(np.asarray(matrix), values)
    with pytest.raises(IndexError):
        matrix[6]


def test_matrices_can_be_keys(gram):
    assert {gram: 1}[gram] == 1


def test_a_matrix_is_no_place_for_results(gram):
    with pytest.raises(TypeError):
        np.add(X[:, 0, :6], 1, out=gram)


def test_torch_takes_it_in_one_piece_and_does_not_share_it(gram):
    torch = pytest.importorskip("torch")
    rsm = gram.rsm("cosine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = torch.as_tensor(rsm)
    assert tensor.dtype == torch.float64
    np.testing.assert_array_equal(tensor.numpy(), rsm.values)
    before = rsm.values.copy()
    tensor[0, 0] = 5
    np.testing.assert_array_equal(rsm.values, before)


def test_pandas_and_matplotlib(gram):
    pandas = pytest.importorskip("pandas")
    rsm = gram.rsm("cosine")
    np.testing.assert_array_equal(pandas.DataFrame(rsm).to_numpy(), rsm.values)
    frame = rsm.to_pandas()
    assert list(frame.index) == list(frame.columns) == IDS
    assert frame.loc["b", "d"] == rsm.values[1, 3]
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    picture = pyplot.imshow(rsm)
    np.testing.assert_array_equal(np.asarray(picture.get_array()), rsm.values)
    pyplot.close("all")


def test_scikit_learn_takes_it_as_precomputed():
    pytest.importorskip("sklearn")
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    rng = np.random.default_rng(3)
    classes = np.arange(24) % 2
    images = rng.normal(size=(24, 4, 8)) + 2 * classes[:, None, None]
    rsm = semrsm.rsm(images)
    for x in (rsm, semrsm.gram(images)):
        values = np.asarray(x)
        expected = SVC(kernel="precomputed").fit(values, classes).predict(values)
        found = SVC(kernel="precomputed").fit(x, classes).predict(x)
        np.testing.assert_array_equal(found, expected)
    search = GridSearchCV(SVC(kernel="precomputed"), {"C": [0.1, 1.0]}, cv=3).fit(rsm, classes)
    assert search.best_score_ > 0.9


def test_a_stored_matrix_obeys_its_budget(stored, monkeypatch):
    import semrsm.runs.stored as module

    monkeypatch.setattr(module, "memory_budget", lambda memory: 100)
    with pytest.raises(InputError, match=r"^memory: expected at least .* to load 6 x 6 pairs"):
        np.asarray(stored.rsm("cosine"))


def test_distances_follow_their_rule(gram):
    rsm = gram.rsm("cosine")
    np.testing.assert_array_equal(rsm.to_distance(), 1 - rsm.values)
    np.testing.assert_array_equal(rsm.to_distance("negative"), -rsm.values)
    linear = gram.rsm("linear")
    own = linear.values.diagonal()
    np.testing.assert_allclose(
        linear.to_distance("squared-distance"), own[:, None] + own - 2 * linear.values
    )
    with pytest.raises(InputError, match="^rule: .*'linear', whose values are not bounded by 1"):
        linear.to_distance()
    with pytest.raises(InputError, match="^rule: expected one of .* Did you mean 'one-minus'"):
        rsm.to_distance("one-minu")
    with pytest.raises(InputError, match="^dissimilarity: expected 'negative' or"):
        linear.to_rsatoolbox()


def test_condensed_is_that_of_scipy(gram):
    squareform = pytest.importorskip("scipy.spatial.distance").squareform
    rsm = gram.rsm("rbf")
    np.testing.assert_array_equal(
        rsm.to_condensed("one-minus"), squareform(1 - rsm.values, checks=False)
    )
    again = semrsm.RSM.from_condensed(rsm.to_condensed(), IDS, diagonal=1.0)
    np.testing.assert_array_equal(again.values, rsm.values)
    assert again.row_ids == rsm.row_ids


def test_select_and_reorder(gram):
    rsm = gram.rsm("cosine")
    chosen = rsm.select(["f", "b"])
    assert chosen.row_ids == chosen.column_ids == ("f", "b")
    np.testing.assert_array_equal(chosen.values, rsm.values[np.ix_([5, 1], [5, 1])])
    assert chosen.is_symmetric
    np.testing.assert_array_equal(gram.select(["f", "b"]).rsm("cosine").values, chosen.values)
    np.testing.assert_array_equal(rsm.reorder(IDS[::-1]).values, rsm.values[::-1, ::-1])
    with pytest.raises(InputError, match="^ids: expected all 6 ids; 'f' is missing"):
        rsm.reorder("abcde")
    with pytest.raises(InputError, match="^ids: expected ids of the matrix; 'g' is not one"):
        rsm.select(["g"])
    with pytest.raises(InputError, match="^ids: expected distinct ids; got 'a' more than once"):
        rsm.select(["a", "a"])
    with pytest.raises(InputError, match="^columns: expected None"):
        rsm.select(["a"], columns=["b"])
    queries = semrsm.rsm(X[:2], X, ids=["q", "r"], column_ids=IDS)
    part = queries.select(["r"], columns=["c", "a"])
    np.testing.assert_array_equal(part.values, queries.values[1:, [2, 0]])


def test_the_nearest_psd_matrix_states_its_distance():
    values = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    rsm = semrsm.RSM.from_array(values)
    assert "least eigenvalue" not in repr(rsm)
    assert rsm.least_eigenvalue == pytest.approx(np.linalg.eigvalsh(values)[0])
    assert "least eigenvalue=-0.8" in repr(rsm)
    near, distance = rsm.nearest_psd()
    assert near.eigenvalues()[0] > -1e-12
    assert distance == pytest.approx(
        np.linalg.norm(near.values - values) / np.linalg.norm(values), rel=1e-9
    )
    assert near.provenance["nearest_psd_distance"] == distance
    # No convex mixture with another positive matrix is nearer.
    for seed in range(5):
        factor = np.random.default_rng(seed).normal(size=(3, 3))
        other = 0.9 * near.values + 0.1 * factor @ factor.T
        assert np.linalg.norm(other - values) > distance * np.linalg.norm(values)


def test_train_and_test_share_a_bandwidth(gram, stored):
    train = gram.rsm("rbf")
    test = semrsm.gram(X[:3] + 0.1, X)
    np.testing.assert_array_equal(
        test.rsm("rbf", like=train).values, test.rsm("rbf", sigma=train.sigma).values
    )
    assert test.rsm("rbf").sigma != train.sigma
    assert stored.rsm("rbf", like=train).sigma == train.sigma
    with pytest.raises(InputError, match="^like: expected an RSM under the kernel 'laplacian'"):
        test.rsm("laplacian", like=train)
    with pytest.raises(InputError, match="^like: expected an RSM whose kernel has a bandwidth"):
        test.rsm("rbf", like=gram.rsm("cosine"))
    with pytest.raises(InputError, match="^sigma: expected None beside like"):
        test.rsm("rbf", like=train, sigma=2.0)


def test_results_show_themselves_in_notebooks(gram):
    found = semrsm.topk(X[:2], X, k=3)
    both = semrsm.cka(gram.rsm("cosine"), gram.rsm("rbf"))
    for result in (gram, found, both, semrsm.match(X[0], X[1]), gram.rsm("cosine")):
        assert "<table>" in result._repr_html_()
    assert "(1.000)" in found._repr_html_()
