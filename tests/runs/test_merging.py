"""The tiles of several copies of a run come together."""

import shutil

import numpy as np
import pytest

from runs.run_helpers import KEY, written
from semrsm.errors import InputError
from semrsm.runs import compute_run, fill_share, merge_runs, open_run


def halves(x, store, tmp_path):
    store(x)

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
