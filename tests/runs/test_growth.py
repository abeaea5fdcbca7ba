"""A run grows by new images at its end: only pairs with one of them are matched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrsm
from runs.run_helpers import (
    KEY,
    KILLED_WHILE_LAID_OUT,
    PAIRS,
    Counting,
    child,
    finish,
    images,
    written,
)
from semrsm.engine import plan as plan_module
from semrsm.errors import InputError
from semrsm.runs import compute_run, open_run


def check(run, x, y=None):
    found, wanted = open_run(run)[KEY].load(), semrsm.gram(x, y, workers=1)
    assert found.values.shape == wanted.values.shape
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.upper_bound, wanted.upper_bound, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(found.row_squared_norms, wanted.row_squared_norms)
    np.testing.assert_array_equal(found.column_squared_norms, wanted.column_squared_norms)
    assert (found.row_ids, found.column_ids) == (wanted.row_ids, wanted.column_ids)
    assert found.is_symmetric == wanted.is_symmetric


def test_one_set_grows_several_times(tmp_path):
    x = images(100)
    run = tmp_path / "run.zarr"
    before = {}
    for old, new in ((0, 37), (37, 64), (64, 65), (65, 100)):
        PAIRS.clear()
        compute_run({"x": x[:new]}, run, matchers=[Counting()], workers=1)
        assert sum(PAIRS) == new * (new - 1) // 2 - old * (old - 1) // 2
        after = written(run)
        whole = [
            f"x/optimal/{place}"
            for i in range(old // 16)
            for j in range(i, old // 16)
            for place in (f"gram/c/0/{i}/{j}", f"tiles/{i}-{j}.json")
        ]
        assert {place: after[place] for place in whole} == {place: before[place] for place in whole}
        before = after
        check(run, x[:new])


@pytest.mark.parametrize("steps", [[(20, 30), (20, 45), (33, 45), (40, 50)], [(16, 5), (32, 40)]])
def test_two_sets_grow(tmp_path, steps):
    x, y = images(60), images(60, size=6, seed=1)
    run = tmp_path / "run.zarr"
    old = 0
    for n, m in steps:
        PAIRS.clear()
        compute_run({"x": x[:n]}, run, others={"x": y[:m]}, matchers=[Counting()], workers=1)
        assert sum(PAIRS) == n * m - old
        old = n * m
        check(run, x[:n], y[:m])


def test_an_interrupted_growth_goes_on(tmp_path):
    """With some tiles of the first size and some of the second, it grows again."""
    x = images(60)
    run, clean = tmp_path / "run.zarr", tmp_path / "clean.zarr"
    for folder in (run, clean):
        compute_run({"x": x[:37]}, folder, workers=1)

    class Enough(Exception):
        pass

    def stop(done, total):
        if done > 0.8 * total:
            raise Enough

    with pytest.raises(Enough):
        compute_run({"x": x[:50]}, run, workers=1, progress=stop)
    with pytest.raises(InputError, match=r"^run: expected a complete one; .* \d of 10 tiles are"):
        open_run(run)[KEY]
    compute_run({"x": x[:50]}, run, workers=1)
    compute_run({"x": x[:50]}, clean, workers=1)
    assert written(run) == written(clean)
    with pytest.raises(Enough):
        compute_run({"x": x[:55]}, run, workers=1, progress=stop)
    compute_run({"x": x}, run, workers=1)
    check(run, x)


def test_killed_while_it_grows(store, tmp_path):
    x = images(60)
    store(x)
    run, clean = tmp_path / "run.zarr", tmp_path / "clean.zarr"
    for folder in (run, clean):
        compute_run({"x": x[:37]}, folder, workers=1)
    kills, status = finish(child(KILLED_WHILE_LAID_OUT, tmp_path / "features.zarr", run)).split()
    assert (int(kills) > 2, status) == (True, "0")
    compute_run({"x": x}, run, workers=1)
    compute_run({"x": x}, clean, workers=1)
    assert written(run) == written(clean)
    check(run, x)


@settings(max_examples=25)
@given(data=st.data())
def test_any_growth_equals_the_gram_of_everything(tmp_path_factory, data):
    side = data.draw(st.sampled_from([1, 2, 3, 4, 7]), "side")
    two = data.draw(st.booleans(), "two sets")
    matcher = data.draw(st.sampled_from(["optimal", "none", "greedy"]), "matcher")
    counts = st.integers(1, 9)
    rows = sorted(data.draw(st.lists(counts, min_size=1, max_size=3), "rows"))
    columns = sorted(data.draw(st.lists(counts, min_size=len(rows), max_size=len(rows)), "columns"))
    scale = data.draw(st.sampled_from([1.0, 1e-25, 1e25]), "scale")
    x, y = images(9) * np.float32(scale), images(9, seed=1)
    run = tmp_path_factory.mktemp("growth") / "run.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "tile_side", lambda *_, **__: side)
        for n, m in zip(rows, columns, strict=True):
            others = {"x": y[:m]} if two else None
            done = compute_run({"x": x[:n]}, run, others=others, matchers=[matcher], workers=1)
            found = done["x", matcher].load()
            wanted = semrsm.gram(x[:n], y[:m] if two else None, matcher=matcher, workers=1)
            for name in ("values", "upper_bound"):
                one, other = getattr(found, name), getattr(wanted, name)
                close = 1e-5 * np.abs(other).max()
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=close)
    assert done.progress().tiles == done.progress().all_tiles
