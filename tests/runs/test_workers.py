"""Workers that fill shares of a run that another process has laid out."""

import numpy as np
import pytest

import semrsm
from runs.run_helpers import KEY, images, written
from semrsm.errors import InputError
from semrsm.runs import compute_run, fill_share, open_run


def test_shares(store, x, undisturbed, tmp_path):
    run = tmp_path / "run.zarr"
    compute_run({"x": store(x)}, run, fill=False)
    assert fill_share(run, rank=1, world=2, workers=1).tiles == 7
    assert fill_share(run, rank=1, world=2, workers=1).tiles == 7
    done = []
    assert (
        fill_share(run, rank=0, world=2, workers=1, progress=lambda *n: done.append(n)).tiles == 15
    )
    assert done[-1][0] == done[-1][1] < 70 * 69 // 2
    assert written(run) == written(undisturbed)
    for rank, world, name in ((2, 2, "rank"), (-1, 2, "rank"), (0, 0, "world")):
        with pytest.raises(InputError, match=f"^{name}: expected "):
            fill_share(run, rank=rank, world=world)
    with pytest.raises(InputError, match=r"^progress: "):
        fill_share(run, progress=3)


def test_features_that_have_changed_since_are_refused(store, x, tmp_path):
    import zarr

    run = tmp_path / "run.zarr"
    compute_run({"x": store(x)}, run, fill=False)
    zarr.open_array(tmp_path / "features.zarr", mode="r+")[20] += 1
    with pytest.raises(
        InputError, match=r"^features: expected those that .* those of image 20 are"
    ):
        fill_share(run, workers=1)
    assert open_run(run).progress().tiles == 1  # before image 20 is read
    with pytest.raises(
        InputError, match=r"^features: expected '.*gone', which .*; it is not there"
    ):
        fill_share(run, features=tmp_path / "gone")
    store(x[:69], "fewer.zarr")
    with pytest.raises(
        InputError, match=r"^features: expected 70 images of 3 channels, .* 69 of 3"
    ):
        fill_share(run, features=tmp_path / "fewer.zarr")
    (tmp_path / "broken.zarr").mkdir()
    with pytest.raises(InputError, match=r"^features: expected '' in '.*broken\.zarr', which"):
        fill_share(run, features=tmp_path / "broken.zarr")


def test_two_stores_cannot_be_moved_as_one(store, x, tmp_path):
    run = tmp_path / "run.zarr"
    first, second = store(x, "a.zarr"), store(images(20, seed=1), "b.zarr")
    compute_run({"x": first}, run, others={"x": second}, fill=False)
    with pytest.raises(InputError, match=r"^features: expected None, since the run .* two stores"):
        fill_share(run, features=tmp_path / "a.zarr")
    fill_share(run, workers=1)
    found = open_run(run)[KEY].load().values
    np.testing.assert_allclose(found, semrsm.gram(x, images(20, seed=1)).values, rtol=1e-6)


def test_a_run_learns_where_its_features_are_now(store, x, undisturbed, tmp_path):
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, fill=False)
    compute_run({"x": store(x)}, run, fill=False)
    compute_run({"x": x}, run, fill=False)  # what is known stays
    fill_share(run, workers=1)
    assert written(run) == written(undisturbed)
