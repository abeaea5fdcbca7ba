"""A run as a mapping of its Grams, how far it is, and folders that are not runs."""

import json
import os
import shutil

import numpy as np
import pytest

import semrsm
from runs.run_helpers import (
    KEY,
    TILES,
    everything,
    images,
)
from semrsm.errors import InputError
from semrsm.runs import compute_run, open_run


def group(*places):
    grams = [{"layer": "x", "matcher": "none", "path": place} for place in places]
    facts = {"semrsm": {"format": "semrsm.run/1", "grams": grams}}
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": facts})


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"zarr_format":3,"node_type":"group"}', "3", group("../x"), group("/x")],
)
def test_a_damaged_run_is_refused(content, run, x):
    (run / "zarr.json").write_text(content)
    before = everything(run)
    for work in (lambda: open_run(run), lambda: compute_run({"x": x}, run)):
        with pytest.raises(InputError, match=r"^run: expected a folder that a run was written to"):
            work()
    assert everything(run) == before


def test_what_is_no_run_is_refused(tmp_path, store, x):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("something")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("something")
    store(x)
    for name in ("empty", "file", "folder", "features.zarr"):
        with pytest.raises(InputError, match=rf"^run: expected a folder .*{name}' is not one$"):
            open_run(tmp_path / name)
    with pytest.raises(InputError, match=r"^run: '.*missing' does not exist$"):
        open_run(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    assert list((tmp_path / "empty").iterdir()) == []
    for name in ("file", "folder", "features.zarr"):
        with pytest.raises(InputError, match=r"^(out|run): expected a "):
            compute_run({"x": x}, tmp_path / name)
    compute_run({"x": x}, tmp_path / "empty", workers=1)
    assert list(open_run(tmp_path / "empty")) == [KEY]


@pytest.fixture(scope="module")
def wanted(x):
    return semrsm.gram(np.array(x), workers=1)


def test_an_incomplete_run(undisturbed, tmp_path):
    run = shutil.copytree(undisturbed, tmp_path / "run.zarr")
    found = open_run(run)
    gram = found.folder(KEY)
    for k, tile in enumerate(gram.tiling):
        os.utime(gram.marker(tile), (1000 + k, 1000 + k))
    assert found.progress().seconds_left == 0
    gram.marker((4, 4)).unlink()
    gram.marker((3, 4)).unlink()
    done = found.progress()
    assert (done.tiles, done.all_tiles) == (TILES - 2, TILES)
    assert done.all_pairs - done.pairs == 16 * 6 + 15
    assert 0.3 < done.seconds_left < 1  # two small tiles, at a second for a whole one
    assert repr(found) == f"Run({str(run)!r}: 13 of 15 tiles: x, optimal)"
    with pytest.raises(InputError, match=r"^run: .* x, optimal .* 13 of 15 tiles are there"):
        found[KEY]
    with pytest.raises(InputError, match=r"^run: .* 13 of 15 tiles are there"):
        _ = found.gram
    assert KEY in found
    for tile in gram.tiling:
        gram.discard(tile)
    assert found.progress().tiles == 0
    assert np.isnan(found.progress().largest_gap)
    assert found.progress().seconds_left is None


def test_a_run_is_a_mapping(tmp_path):
    x = images(20)
    run = compute_run({"x": x, "y": x}, tmp_path / "run.zarr", matchers=["none", "optimal"])
    assert len(run) == 4
    assert list(run) == [("x", "none"), ("x", "optimal"), ("y", "none"), ("y", "optimal")]
    assert run["y", "none"].shape == (20, 20)
    for key in (("x", "optimum"), "x", 3):
        assert key not in run
        assert run.get(key) is None
        with pytest.raises(KeyError, match="no Gram .*; there are x, none; x, optimal; y, none"):
            run[key]
    with pytest.raises(KeyError, match="Did you mean 'x, optimal'"):
        run["x", "optimum"]
    with pytest.raises(InputError, match=r"^run: expected one Gram; .* has x, none; x, optimal"):
        _ = run.gram
    assert run.progress(("x", "none")).all_pairs * 4 == run.progress().all_pairs


def test_a_run_can_be_read_where_nothing_can_be_written(undisturbed, tmp_path, wanted):
    run = shutil.copytree(undisturbed, tmp_path / "run.zarr")
    before = sorted(run.rglob("*"))
    (run / "x" / "optimal" / ".lock").unlink()
    found = open_run(run)
    found.progress()
    np.testing.assert_allclose(found[KEY].load().values, wanted.values, rtol=1e-6, atol=1e-5)
    assert len(before) - len(sorted(run.rglob("*"))) == 1  # not even a lock is made
