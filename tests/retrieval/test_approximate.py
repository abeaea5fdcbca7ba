"""Approximate retrieval: exact for the candidates, and honest about the rest."""

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError, MissingDependencyError

try:
    import faiss  # noqa: F401
except ImportError:
    pytest.skip("FAISS is not installed", allow_module_level=True)


def images(count, size=12, channels=6, seed=0):
    rng = np.random.default_rng(seed)
    # Images that differ in their means and in their scale, as those of networks do.
    mean = 2 * rng.normal(size=(count, 1, channels))
    return (mean + rng.normal(size=(count, size, channels))) * rng.uniform(0.5, 2, (count, 1, 1))


KERNELS = ["linear", "cosine", semrsm.kernels.RBF(sigma=5.0)]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_all_images_as_candidates_are_the_exact_search(kernel):
    queries, gallery = images(5, seed=1), images(40)
    found = semrsm.approximate_topk(queries, gallery, 6, candidates=40, kernel=kernel)
    exact = semrsm.topk(queries, gallery, 6, kernel=kernel)
    np.testing.assert_array_equal(found.indices, exact.indices)
    np.testing.assert_array_equal(found.values, exact.values)
    assert semrsm.recall(found, exact) == 1
    assert "approximate" in repr(found).lower()


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_candidates_are_those_with_the_best_means(kernel):
    queries, gallery = images(5, seed=1), images(60)
    found = semrsm.approximate_topk(queries, gallery, 3, candidates=7, kernel=kernel)
    inner = queries.mean(1) @ gallery.mean(1).T * queries.shape[1]
    norms = np.linalg.norm(gallery, axis=(1, 2))
    scores = {
        "linear": inner,
        "cosine": inner / norms,
        "rbf:sigma=5.0": 2 * inner - norms**2,
    }[found.kernel]
    candidates = np.argsort(-scores, axis=1)[:, :7]
    every = semrsm.gram(queries, gallery).rsm(kernel).values
    for query in range(5):
        own = candidates[query]
        best = own[np.argsort(-every[query, own])[:3]]
        np.testing.assert_array_equal(found.indices[query], best)
        np.testing.assert_allclose(found.values[query], every[query, best], rtol=1e-6)


@pytest.mark.parametrize("kernel", ["linear", "cosine"])
def test_images_of_unequal_sizes_are_not_judged_by_their_means_alone(kernel):
    """Of two images with one mean, the larger one has more to match with."""
    rng = np.random.default_rng(0)
    gallery = [
        rng.normal(size=6) + 0.05 * rng.normal(size=(rng.integers(2, 30), 6)) for _ in range(80)
    ]
    queries = [rng.normal(size=6) + 0.05 * rng.normal(size=(n, 6)) for n in (3, 20, 20, 50, 40)]
    found = semrsm.approximate_topk(queries, gallery, 5, candidates=5, kernel=kernel)
    exact = semrsm.topk(queries, gallery, 5, kernel=kernel)
    assert semrsm.recall(found, exact) > 0.9


def test_recall_grows_with_candidates_and_beats_chance():
    queries, gallery = images(20, seed=1), images(200)
    exact = semrsm.topk(queries, gallery, 5)
    shares = [
        semrsm.recall(semrsm.approximate_topk(queries, gallery, 5, candidates=c), exact)
        for c in (5, 20, 80, 200)
    ]
    assert shares == sorted(shares)
    assert shares[0] > 0.2  # by chance 5 of 200
    assert shares[-1] == 1


def test_exclusion():
    gallery = images(30)
    exclude = np.eye(30, dtype=bool)
    exclude[0, :20] = True
    found = semrsm.approximate_topk(gallery, gallery, 4, candidates=6, exclude=exclude)
    assert not np.take_along_axis(exclude, found.indices, axis=1).any()
    every = semrsm.approximate_topk(gallery, gallery, 4, candidates=30, exclude=exclude)
    np.testing.assert_array_equal(
        every.indices, semrsm.topk(gallery, gallery, 4, exclude=exclude).indices
    )


def test_an_index_of_images_of_unequal_sizes_and_scales():
    rng = np.random.default_rng(0)
    gallery = [
        rng.normal(size=(n, 5)) * 10.0**e
        for n, e in zip([3, 7, 4] * 4, range(-24, 24, 4), strict=True)
    ]
    index = semrsm.Index(gallery, ids=[f"photo {n}" for n in range(12)])
    found = semrsm.approximate_topk(gallery[:2], index, 2, candidates=12, ids=["a", "b"])
    exact = semrsm.topk(gallery[:2], index, 2)
    np.testing.assert_array_equal(found.indices, exact.indices)
    assert found.names(0)[0] == "photo 0"
    assert found.query_ids == ("a", "b")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": 2}, r"^candidates: expected a whole number >= k = 3; got 2"),
        ({"candidates": 5.0}, r"^candidates: "),
        ({"candidates": True}, r"^candidates: "),
        ({"k": "3"}, r"^k: expected a whole number"),
        ({"k": None}, r"^k: expected a whole number"),
        ({"k": 99, "candidates": 99}, r"^k: expected at most 30"),
        ({"kernel": "cosin"}, r"cosin"),
        ({"exclude": np.zeros((2, 2), bool)}, r"^exclude: "),
        ({"memory": 1000}, r"^memory: expected at least"),
    ],
)
def test_refusals(options, message):
    arguments = {"k": 3, **options}
    with pytest.raises(InputError, match=message):
        semrsm.approximate_topk(images(2), images(30), arguments.pop("k"), **arguments)


def test_without_faiss_there_is_one_clear_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'semrsm\[faiss\]'"):
        semrsm.approximate_topk(images(2), images(30), 3)


def test_recall_refuses_what_does_not_belong_together():
    queries, gallery = images(3, seed=1), images(20)
    exact = semrsm.topk(queries, gallery, 2)
    with pytest.raises(InputError, match=r"^exact: expected results for 2 queries"):
        semrsm.recall(exact.indices[:2], exact)
    other = semrsm.topk(queries, gallery[:19], 2)
    with pytest.raises(InputError, match=r"^exact: expected results with the gallery_ids"):
        semrsm.recall(exact, other)
    with pytest.raises(InputError, match=r"^found: "):
        semrsm.recall([1, 2], exact)
    with pytest.raises(InputError, match=r"^found: "):
        semrsm.recall([[0.5]], exact)
    with pytest.raises(InputError, match=r"^exact: "):
        semrsm.recall([[1, 2], [3, 4]], [[1, 2], [3]])
