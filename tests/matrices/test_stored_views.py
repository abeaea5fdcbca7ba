"""Grams on disk through every kernel are those in memory, in parts that read no more."""

import numpy as np
import pytest

import semrsm
from semrsm import kernels

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
    from semrsm.runs.gram_folder import GramFolder

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
