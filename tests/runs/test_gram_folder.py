"""The folder of a Gram: its description is checked, its locks are kept, its growth is one step."""

import errno
import os
import shutil

import numpy as np
import pytest

import semrsm
from runs.run_helpers import (
    KEY,
    TILES,
    edit,
    everything,
    flip,
    images,
    written,
)
from semrsm.errors import InputError
from semrsm.runs import compute_run, fill_share, open_run
from semrsm.runs.gram_folder import GramFolder


def manifest(change):
    return lambda folder: edit(folder / "zarr.json", lambda f: change(f["attributes"]["semrsm"]))


def ids_exchanged(facts):
    facts["row_ids"][3], facts["row_ids"][4] = facts["row_ids"][4], facts["row_ids"][3]


#: What is done to what describes a Gram.
DESCRIPTIONS = {
    "no JSON": lambda folder: (folder / "zarr.json").write_text("{"),
    "no file": lambda folder: (folder / "zarr.json").unlink(),
    "a list": lambda folder: (folder / "zarr.json").write_text("[]"),
    "binary": lambda folder: (folder / "zarr.json").write_bytes(b"\xff\0"),
    "no attributes": lambda folder: edit(folder / "zarr.json", lambda f: f["attributes"].clear()),
    "another tile": manifest(lambda facts: facts.update(tile=32)),
    "another matcher": manifest(lambda facts: facts.update(matcher="Greedy(k=None)")),
    "no matcher": manifest(lambda facts: facts.pop("matcher")),
    "an id less": manifest(lambda facts: facts["row_ids"].pop()),
    "two ids exchanged": manifest(ids_exchanged),
    "another format": manifest(lambda facts: facts.update(format="something")),
    "a norm": lambda folder: flip(folder / "row_squared_norms" / "c" / "0", 8),
    "no norms": lambda folder: shutil.rmtree(folder / "row_squared_norms"),
    "a digest": lambda folder: flip(folder / "row_digests" / "c" / "0" / "0", 8),
    "a shorter array": lambda folder: edit(
        folder / "row_digests" / "zarr.json", lambda f: f.update(shape=[69, 16])
    ),
    "another chunk": lambda folder: edit(
        folder / "gram" / "zarr.json",
        lambda f: f["chunk_grid"]["configuration"].update(chunk_shape=[2, 8, 8]),
    ),
    "no array": lambda folder: (folder / "gram" / "zarr.json").unlink(),
}


@pytest.mark.parametrize("damage", DESCRIPTIONS)
def test_a_damaged_description_is_refused(damage, run, x):
    DESCRIPTIONS[damage](run / "x" / "optimal")
    before = everything(run)
    for work in (
        lambda: open_run(run)[KEY],
        lambda: open_run(run).progress(),
        lambda: compute_run({"x": x}, run),
        lambda: fill_share(run),
    ):
        with pytest.raises(InputError, match=r"^run: .*x/optimal['/]"):
            work()
    assert everything(run) == before


def check(run, x, y=None):
    found, wanted = open_run(run)[KEY].load(), semrsm.gram(x, y, workers=1)
    assert found.values.shape == wanted.values.shape
    np.testing.assert_allclose(found.values, wanted.values, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.upper_bound, wanted.upper_bound, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(found.row_squared_norms, wanted.row_squared_norms)
    np.testing.assert_array_equal(found.column_squared_norms, wanted.column_squared_norms)
    assert (found.row_ids, found.column_ids) == (wanted.row_ids, wanted.column_ids)
    assert found.is_symmetric == wanted.is_symmetric


def test_what_was_there_stays_readable_when_a_growth_is_broken_off(tmp_path, monkeypatch):
    """Until the manifest says that there are more images, there are as many as before."""
    x = images(60)
    run = tmp_path / "run.zarr"
    compute_run({"x": x[:37]}, run, workers=1)
    before = written(run)

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


def test_a_writer_does_not_sweep_away_what_another_is_writing(x, tmp_path):
    run = tmp_path / "run.zarr"
    compute_run({"x": x}, run, fill=False)
    gram = open_run(run).folder(("x", "optimal"))
    aside = gram.path / "tiles" / ".0-0-abc.json"
    with gram.writing():
        aside.touch()
        compute_run({"x": x}, run, workers=1)
        assert aside.exists()
    compute_run({"x": x}, run, workers=1)
    assert not aside.exists()


def test_a_file_system_without_locks(x, tmp_path, monkeypatch):
    """Nothing is swept away where nobody knows whether others are writing."""
    run = tmp_path / "run.zarr"

    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    compute_run({"x": x[:40]}, run, workers=1)
    aside = open_run(run).folder(("x", "optimal")).path / "tiles" / ".0-0-abc.json"
    aside.touch()
    compute_run({"x": x}, run, workers=1)
    assert aside.exists()
    assert open_run(run).progress().tiles == TILES
