"""The folders of a run: laid out by one process at a time, and joined by further Grams."""

import numpy as np
import pytest

import semrsm
from runs.run_helpers import (
    KILLED_WHILE_LAID_OUT,
    TILES,
    child,
    everything,
    finish,
    leftovers,
    written,
)
from semrsm.errors import InputError
from semrsm.matching.windows import BatchOptimal
from semrsm.runs import compute_run, computing, layout, open_run


def test_matchers_with_other_options_stand_side_by_side(x, tmp_path):
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, matchers=[BatchOptimal(window=2)], workers=1)
    before = everything(run)
    both = ["batch-optimal:window=2", "batch-optimal:window=3"]
    found = compute_run({"x": x}, run, matchers=both, workers=1)
    assert list(found) == [("x", label) for label in both]
    for window, label in ((2, both[0]), (3, both[1])):
        expected = semrsm.gram(x, matcher=BatchOptimal(window=window))
        np.testing.assert_allclose(found["x", label].load().values, expected.values, rtol=1e-6)
        assert found["x", label].matcher == label == expected.matcher
    own = run / "zarr.json"  # the list of Grams
    assert before.items() <= {**everything(run), own: before[own]}.items()


def test_further_layers_and_matchers_join_a_run(run, x, undisturbed):
    compute_run({"x": x, "y": x[:20]}, run, matchers=["optimal", "none"], workers=1)
    assert set(open_run(run)) == {(a, b) for a in "xy" for b in ("optimal", "none")}
    assert {k: v for k, v in written(run).items() if k.startswith("x/optimal/")} == written(
        undisturbed
    )


def test_killed_while_it_is_laid_out(store, x, undisturbed, tmp_path):
    features = store(x)
    run = tmp_path / "run.zarr"
    kills, status = finish(child(KILLED_WHILE_LAID_OUT, tmp_path / "features.zarr", run)).split()
    assert (int(kills) > 2, status) == (True, "0")
    compute_run({"x": features}, run, workers=1)
    assert written(run) == written(undisturbed)
    assert [name for name in leftovers(run) if not name.startswith(".run.zarr-")] == []
    # The folder of a further layer appears in a run that is there.
    kills, status = finish(
        child(KILLED_WHILE_LAID_OUT, tmp_path / "features.zarr", run, "y")
    ).split()
    assert (int(kills) > 2, status) == (True, "0")
    assert set(open_run(run)) == {("x", "optimal"), ("y", "optimal")}


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(x, tmp_path, monkeypatch):
    run = tmp_path / "run.zarr"
    needed = TILES * 2 * 16 * 16 * 8
    monkeypatch.setattr(layout, "free_bytes", lambda path: needed - 1)
    with pytest.raises(InputError, match=r"^out: expected at least 60\.0 kB free for the tiles; "):
        compute_run({"x": x}, run)
    assert not run.exists()
    monkeypatch.setattr(layout, "free_bytes", lambda path: needed)
    compute_run({"x": x}, run, workers=1)
    monkeypatch.setattr(layout, "free_bytes", lambda path: 0)
    compute_run({"x": x}, run, workers=1)  # all of it is there


def test_other_features_at_the_same_time_are_refused(x, tmp_path, monkeypatch):
    """The folder appears after this call has looked: it is looked at again."""
    plain = computing.check_disk
    run = tmp_path / "run.zarr"

    def meanwhile(target, jobs):
        monkeypatch.setattr(computing, "check_disk", plain)
        compute_run({"x": x + 1}, run, fill=False)

    monkeypatch.setattr(computing, "check_disk", meanwhile)
    with pytest.raises(InputError, match=r"the features of image 0 \('0'\) are not what they were"):
        compute_run({"x": x}, run)
    assert open_run(run).progress().tiles == 0
