"""A run grows by new images at its end: only pairs with one of them are matched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import semrsm
from runs.run_helpers import KILLED_WHILE_LAID_OUT, PAIRS, Counting, child, finish, images, written
from semrsm.engine import plan as plan_module
from semrsm.errors import InputError
from semrsm.runs import compute_run, fill_share, merge_runs, open_run

KEY = ("x", "optimal")


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


def test_what_was_there_stays_readable_when_a_growth_is_broken_off(tmp_path, monkeypatch):
    """Until the manifest says that there are more images, there are as many as before."""
    x = images(60)
    run = tmp_path / "run.zarr"
    compute_run({"x": x[:37]}, run, workers=1)
    before = written(run)
    from semrsm.runs.gram_folder import GramFolder

    class Killed(BaseException):
        pass

    def record(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(GramFolder, "record", record)
        with pytest.raises(Killed):
            compute_run({"x": x}, run)
    check(run, x[:37])
    changed = np.concatenate([x[:37], images(9, seed=5)])
    compute_run({"x": x[:37]}, run, workers=1)
    assert written(run) == before
    with monkeypatch.context() as patch:
        patch.setattr(GramFolder, "record", record)
        with pytest.raises(Killed):
            compute_run({"x": x}, run)
    compute_run({"x": changed}, run, workers=1)
    check(run, changed)


def test_it_does_not_grow_while_somebody_writes(tmp_path):
    x = images(60)
    run = tmp_path / "run.zarr"
    compute_run({"x": x[:37]}, run, workers=1)
    gram = open_run(run).folder(KEY)
    with gram.writing():
        compute_run({"x": x[:37]}, run, workers=1)
        with pytest.raises(InputError, match=r"^run: .* is being written by another process; it"):
            compute_run({"x": x}, run)
    assert open_run(run).folder(KEY).tiling.rows == 37
    compute_run({"x": x}, run, workers=1)
    check(run, x)


def test_a_view_opened_before_the_growth_still_reads(tmp_path):
    x = images(60)
    run = tmp_path / "run.zarr"
    old = compute_run({"x": x[:37]}, run, workers=1)[KEY]
    wanted = semrsm.gram(x[:37]).values
    compute_run({"x": x}, run, workers=1)
    np.testing.assert_allclose(old.load().values, wanted, rtol=1e-6)


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


# Merging


def halves(x, store, tmp_path):
    store(x)
    import shutil

    import zarr

    features = {"x": zarr.open_array(tmp_path / "features.zarr", mode="r")}
    first, second = tmp_path / "first.zarr", tmp_path / "second.zarr"
    compute_run(features, first, fill=False)
    shutil.copytree(first, second)
    elsewhere = tmp_path / "elsewhere.zarr"
    shutil.copytree(tmp_path / "features.zarr", elsewhere)
    fill_share(first, rank=0, world=2, workers=1)
    fill_share(second, rank=1, world=2, workers=1, features=elsewhere)
    return first, second


def test_halves_merge_to_the_same_bytes(store, x, undisturbed, tmp_path):
    first, second = halves(x, store, tmp_path)
    assert (open_run(first).progress().tiles, open_run(second).progress().tiles) == (8, 7)
    merged = merge_runs(first, second)
    assert merged.progress().tiles == 15
    assert merged.progress().seconds_left == 0
    assert written(first) == written(undisturbed)
    assert not set(written(second)) & {"x/optimal/tiles/0-0.json"}  # it is only read


def test_damaged_tiles_are_not_copied(store, x, undisturbed, tmp_path):
    first, second = halves(x, store, tmp_path)
    chunk = open_run(second).folder(KEY).chunk((0, 1))
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(content)
    with pytest.warns(UserWarning, match=r"second\.zarr: damaged tiles were not copied: 0-1$"):
        merged = merge_runs(first, second)
    assert merged.progress().tiles == 14
    fill_share(first, workers=1)
    assert written(first) == written(undisturbed)


def test_other_runs_are_refused_before_anything_is_copied(store, x, tmp_path):
    first, second = halves(x, store, tmp_path)
    before = written(first)
    x = np.array(x)
    x[40, 1, 1] += 1
    other = tmp_path / "other.zarr"
    compute_run({"x": x}, other, workers=1)
    with pytest.raises(InputError, match=r"^others: .* the features of image 40 \('40'\) are not"):
        merge_runs(first, second, other)
    assert written(first) == before
    compute_run({"z": x}, tmp_path / "layer.zarr", workers=1)
    with pytest.raises(InputError, match=r"^others: expected runs of the layers and matchers"):
        merge_runs(first, second, tmp_path / "layer.zarr")
    compute_run({"x": x[:60]}, tmp_path / "small.zarr", workers=1)
    with pytest.raises(InputError, match=r"^others: .* there were 70 images, and there are 60$"):
        merge_runs(first, second, tmp_path / "small.zarr")
    assert written(first) == before
